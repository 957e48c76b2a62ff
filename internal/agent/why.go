package agent

import (
	"context"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Explain is Why with gates for every dragon: if no action is wanted, those that a restart
// would meet now.
func (h *Healer) Explain(ctx context.Context, target string) (healer.Decision, error) {
	d, err := h.Why(target)
	if err != nil || len(d.Gates) > 0 {
		return d, err
	}
	err = h.ask(ctx, "explaining", func(context.Context) error {
		if h.view != nil {
			h.askGates(&d, h.enforced())
		}
		return nil
	})
	return d, err
}

func (h *Healer) askGates(d *healer.Decision, policy *healer.Policy) {
	d.Gates = healer.Ask(h.clock.Now(), h.view, h.mem, policy, healer.Request{MAC: d.MAC, Kind: healer.Restart}).Gates
}
