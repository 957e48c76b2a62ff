package healer

import (
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// A typo in a pool costs one dragon, however many rollouts begin with that pool: one of them
// tries it at a time, and if that one is aborted, so are those that have waited.

// anyWorker is in the place of a dragon's name in the user of a first pool.
const anyWorker = "{worker}"

// firstPool is the first pool that the operator wants of a dragon, for any worker, and the rollout
// that brings it; nil: none.
func (s *subject) firstPool() (own *ConfigRollout, first dragon.PoolConfig) {
	own, want := s.rollout, s.f.Desired
	if s.layered.own != nil {
		own = s.layered.own
	}
	if s.layered.pools != nil {
		want = s.layered.pools
	}
	if own == nil || len(want.Pools) == 0 {
		return nil, first
	}
	first = want.Pools[0]
	first.User = strings.ReplaceAll(first.User, s.f.Worker, anyWorker)
	return own, first
}

// earnsAt reports whether a dragon earns at a first pool.
func (s *subject) earnsAt(first dragon.PoolConfig) bool {
	first.User = strings.ReplaceAll(first.User, anyWorker, s.f.Worker)
	return s.fresh && s.f.earns(&DesiredState{Pools: []dragon.PoolConfig{first}})
}

// triedBy is another rollout whose canary tries the first pool that a rollout wants of a dragon;
// nil: none.
func (c *cycle) triedBy(s *subject, ro *ConfigRollout) *ConfigRollout {
	own, first := s.firstPool()
	if own != ro {
		return nil
	}
	for _, other := range c.m.Fleet.Rollouts {
		if canary := c.byMAC[other.Canary]; other != ro && other.State == RolloutCanary && canary != nil {
			if its, tried := canary.firstPool(); its == other && tried == first {
				return other
			}
		}
	}
	return nil
}

// abortAlike aborts the rollouts that wait for a canary, and begin with the same pool as one that
// its dragons have just aborted. A pool that any dragon earns at is not what was wrong. A desired
// state that people set later begins with a canary again.
func (c *cycle) abortAlike(ro *ConfigRollout) {
	i := slices.IndexFunc(c.all, func(s *subject) bool { own, _ := s.firstPool(); return own == ro })
	if i < 0 {
		return
	}
	_, first := c.all[i].firstPool()
	if slices.ContainsFunc(c.all, func(s *subject) bool { return s.earnsAt(first) }) {
		return
	}
	for _, s := range c.all {
		if own, its := s.firstPool(); own != nil && own.State == RolloutWaiting && its == first {
			c.move(own, RolloutAborted, ro.ID+" has the same first pool and was aborted: "+ro.Why)
		}
	}
}
