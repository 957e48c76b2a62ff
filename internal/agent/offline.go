package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// PlanOffline makes a plan where no healer runs: from the state that the last one
// left, and one look at the fleet. Nothing is written and nothing is sent. One look is
// one sample, so that what it finds can be suspect at most; what has been written down
// (quarantine, budgets, breakers, pauses) is in it. A running healer, which knows more,
// makes it fail with store.ErrHeld.
//
// Of the dragons named in explain (worker, MAC or address) it has the gates in any state, as
// Explain has.
//
// The fleet's readings must reach OnReading of no other Healer; config.Fleet must run.
func PlanOffline(ctx context.Context, config Config, explain ...string) (*healer.Plan, error) {
	h, err := New(config)
	if err != nil {
		return nil, err
	}
	where := config.Dir
	read := func(context.Context) (store.State, error) { return store.Peek(config.Dir) }
	if config.ReadState != nil {
		where, read = "etcd", config.ReadState
	}
	r, err := read(ctx)
	if err != nil {
		return nil, err
	}
	if h.mem, err = healer.LoadMemory(r.Fleet, r.Dragons); err != nil {
		return nil, fmt.Errorf("the healer's state in %s: %w", where, err)
	}
	h.mem.LoadCold(r.Cold)
	h.policy = config.Policy()
	h.mem.Start(h.clock.Now(), h.policy)
	h.refresh(ctx, 0)
	h.external = h.askBoth(ctx, h.policy)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := h.clock.Now()
	h.view = h.snapshot(h.policy)
	// What a running healer would have.
	h.view.Host.Owner, h.view.Host.StateWritable = true, true
	p := h.decide(now, h.view, h.mem, h.policy)
	for i := range p.Dragons {
		d := &p.Dragons[i]
		named := slices.Contains(explain, d.Worker) || slices.Contains(explain, d.MAC) || slices.Contains(explain, d.Address)
		if named && len(d.Gates) == 0 {
			h.askGates(d, h.policy)
		}
	}
	return p, nil
}
