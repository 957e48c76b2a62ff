package agent

import (
	"context"
	"errors"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// ShareIn has the state kept in etcd, where instances of several hosts share it.
func (c *Config) ShareIn(etcd store.EtcdConfig) {
	if c.Clock == nil {
		c.Clock = NewHostClock()
	}
	clock := NewHostClock() // a lease knows nothing of a simulation's clock
	etcd.Boot = func() time.Duration { return clock.Now().Mono }
	c.Shared, c.ID, c.URL = true, etcd.Self.ID, etcd.Self.URL
	c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
		e, state, err := store.OpenEtcd(ctx, etcd, floor)
		if err != nil {
			return nil, state, err
		}
		return e, state, nil
	}
	c.Peek = func(ctx context.Context, why error) *healer.Memory {
		if !errors.Is(why, store.ErrHeld) {
			return nil
		}
		state, err := store.PeekEtcd(ctx, etcd)
		if err != nil {
			return nil
		}
		return memoryOf(&state)
	}
}
