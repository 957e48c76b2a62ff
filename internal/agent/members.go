package agent

import (
	"context"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// meetMembersEvery is how often an instance asks etcd who is there.
const meetMembersEvery = 5 * time.Second

type meeting struct {
	up     bool // etcd answered; the rest is empty otherwise
	all    []store.Member
	leader store.Instance

	namesake bool // another instance has the name of this one
}

// meetMembers asks etcd who is there until ctx is done.
func (h *Healer) meetMembers(ctx context.Context) {
	defer func() { _ = h.config.Members.Close() }()
	tick := time.Tick(meetMembersEvery)
	for {
		hash := ""
		if s := h.published.Load(); s != nil {
			hash = s.Config
		}
		all, leader, err := h.config.Members.Meet(ctx, hash)
		h.met.Store(&meeting{up: err == nil, all: all, leader: leader, namesake: h.config.Members.Namesake()})
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Status) meeting() *meeting {
	if s.met == nil {
		return nil
	}
	return s.met.Load()
}
