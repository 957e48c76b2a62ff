package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// DiscoveryAnswer is the answer of GET /api/v1/discovery.
type DiscoveryAnswer struct {
	Outcome    string          `json:"outcome"` // of the last scan; empty before the first
	At         *time.Time      `json:"at,omitempty"`
	Duration   float64         `json:"duration_s"`
	Addresses  int             `json:"addresses"`
	Unanswered []string        `json:"unanswered"`
	Locked     []LockedAnswer  `json:"locked"`
	LockedMore int             `json:"locked_more"`
	Waiting    []WaitingAnswer `json:"waiting"`
	Waits      int             `json:"waits"` // all of them
	Targets    []TargetAnswer  `json:"targets"`
}

// LockedAnswer is a dragon that refuses our credentials.
type LockedAnswer struct {
	Address string    `json:"address"`
	Brand   string    `json:"brand"`
	Reason  string    `json:"reason"` // password, lockout or change
	Detail  string    `json:"detail"`
	Since   time.Time `json:"since"`
}

// WaitingAnswer is a new dragon that waits for a human.
type WaitingAnswer struct {
	Address string    `json:"address"`
	MAC     string    `json:"mac"`
	Model   string    `json:"model"`
	Since   time.Time `json:"since"`
}

// TargetAnswer is a named dragon.
type TargetAnswer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Up      bool   `json:"up"`
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// describeDiscovery is what discovery stands at. state may be nil.
func describeDiscovery(state func() discovery.Status, f *fleet.Fleet) *DiscoveryAnswer {
	a := &DiscoveryAnswer{Unanswered: []string{}, Locked: []LockedAnswer{}, Waiting: []WaitingAnswer{}, Targets: []TargetAnswer{}}
	list, more := f.Waiting()
	a.Waits = len(list) + more
	for _, w := range list {
		a.Waiting = append(a.Waiting, WaitingAnswer{w.Address, w.MAC, cut(most, w.Model), w.Since})
	}
	if state == nil {
		return a
	}
	s := state()
	a.Outcome, a.Duration, a.Addresses, a.LockedMore = s.Outcome, s.Duration.Seconds(), s.Addresses, s.LockedMore
	if !s.At.IsZero() {
		a.At = &s.At
	}
	a.Unanswered = append(a.Unanswered, s.Unanswered...)
	for _, l := range s.Locked {
		a.Locked = append(a.Locked, LockedAnswer{l.Address, string(l.Brand), string(l.Reason), cut(most, l.Detail), l.Since})
	}
	for _, t := range s.Targets {
		a.Targets = append(a.Targets, TargetAnswer{t.Name, t.Address, t.Up, t.Reason, cut(most, t.Detail)})
	}
	return a
}

func (a *api) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, describeDiscovery(a.Discovery, a.Fleet))
}

// accept takes in new dragons that wait: one, or all.
func (a *api) accept(_ context.Context, q *Request) (any, error) {
	name := q.Dragon
	switch name {
	case "":
		return nil, errors.New(`accept: it needs a dragon, or "all"`)
	case "all":
		name = ""
	}
	addresses, err := a.Fleet.Accept(name)
	if addresses == nil {
		addresses = []string{}
	}
	return addresses, err
}

// look asks at once who lives at an address of the networks.
func (a *api) look(ctx context.Context, q *Request) (any, error) {
	if a.Look == nil || q.Dragon == "" {
		return nil, errors.New("look: it needs the address of a dragon, as dragon")
	}
	return a.Look(ctx, q.Dragon), nil
}

// forget makes a dragon unknown, to the fleet and to the healer.
func (a *api) forget(ctx context.Context, q *Request) (any, error) {
	d := a.Fleet.Lookup(q.Dragon)
	if d == nil {
		return nil, fmt.Errorf("%w: %q", agent.ErrUnknownDragon, q.Dragon)
	}
	worker := d.Info().Worker
	return worker, a.Healer.Forget(ctx, d.Info().MAC, q.Owner, func() error { return a.Fleet.Forget(worker) })
}

// retire keeps a dragon in the inventory for a time, and silences it.
func (a *api) retire(ctx context.Context, q *Request) (any, error) {
	d, err := time.ParseDuration(q.For)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("for %q is not a duration: expected one like 720h", q.For)
	}
	p, err := a.Healer.Retire(ctx, q.Dragon, d, q.Owner, q.Reason)
	if err != nil && !errors.Is(err, agent.ErrUnwritten) {
		return nil, err
	}
	if _, missing := a.Fleet.Retire(q.Dragon, time.Now().Add(d)); missing != nil {
		return nil, missing
	}
	return withEnd(p), err
}

// unretire ends the retirement of a dragon.
func (a *api) unretire(ctx context.Context, q *Request) (any, error) {
	refused := a.Healer.Unretire(ctx, q.Dragon, q.Owner)
	if refused != nil && !errors.Is(refused, agent.ErrUnwritten) && !errors.Is(refused, agent.ErrNotRetired) {
		return nil, refused // as an instance that does not lead does
	}
	info, err := a.Fleet.Retire(q.Dragon, time.Time{})
	if err != nil {
		return nil, err
	}
	return info.Worker, refused
}

// Missing reports whether there is something that a person has to look at.
func (a *DiscoveryAnswer) Missing() bool {
	return len(a.Unanswered)+len(a.Locked)+a.Waits+len(a.TargetsDown()) > 0
}

// LockedCount is how many dragons are locked, listed or not.
func (a *DiscoveryAnswer) LockedCount() int { return len(a.Locked) + a.LockedMore }

// TargetsDown are the named dragons that cannot be read and are not in the fleet.
func (a *DiscoveryAnswer) TargetsDown() (down []TargetAnswer) {
	for _, t := range a.Targets {
		if t.Reason != "" {
			down = append(down, t)
		}
	}
	return down
}

// InWords is the reason in words.
func (l LockedAnswer) InWords() string {
	switch discovery.LockedReason(l.Reason) {
	case discovery.LockedPassword:
		return "refuses every password that we have"
	case discovery.LockedOut:
		return "locked out after failed logins: wait"
	case discovery.LockedChange:
		return "wants its password changed first"
	}
	return l.Reason
}
