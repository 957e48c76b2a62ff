package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// ShareIn has the state kept in etcd, where instances of several hosts share it.
func (c *Config) ShareIn(etcd store.EtcdConfig) (err error) {
	if c.Clock == nil {
		c.Clock = NewHostClock()
	}
	logger, dir := c.Logger, c.Dir
	if logger == nil {
		logger = log.NewNopLogger()
	}
	clock := NewHostClock() // a lease knows nothing of a simulation's clock
	etcd.Boot = func() time.Duration { return clock.Now().Mono }
	c.Shared, c.ID, c.URL = true, etcd.Self.ID, etcd.Self.URL
	c.Prefix = etcd.Prefix
	if c.Members, err = store.OpenMembers(etcd); err != nil {
		return err
	}
	newest := uint64(0) // generation that was seen: the audit of a standby knows of none
	c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
		e, state, err := store.OpenEtcd(ctx, etcd, max(floor, newest))
		if err != nil {
			return nil, state, err
		}
		if state.Empty() {
			local, from, err := e.Adopt(dir)
			if err != nil {
				return nil, state, errors.Join(fmt.Errorf("moving the state of this host to etcd: %w", err), e.Close())
			}
			if from != "" {
				level.Info(logger).Log("msg", "healer state moved to etcd", "from", from, "dragons", len(local.Dragons), "generation", local.Generation)
				state = local
			}
		}
		return e, state, nil
	}
	seen := int64(0) // a standby asks every few seconds, and the leader writes once a minute
	c.Peek = func(ctx context.Context, why error) *healer.Memory {
		if !errors.Is(why, store.ErrHeld) {
			return nil
		}
		state, revision, err := store.PeekEtcd(ctx, etcd, seen)
		newest = max(newest, state.Generation)
		if err != nil || state.Empty() {
			return nil
		}
		seen = revision
		return memoryOf(&state)
	}
	return nil
}
