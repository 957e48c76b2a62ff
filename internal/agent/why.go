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
	err = h.onLoop(ctx, "explaining", func(context.Context) error {
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

// Preview returns the decision that a request for each target would meet now, with all its
// gates. Nothing is sent, and nothing is recorded.
func (h *Healer) Preview(ctx context.Context, kind healer.Kind, force bool, targets []string) (decisions []healer.Decision, err error) {
	err = h.onLoop(ctx, "previewing", func(context.Context) error {
		if h.view == nil {
			return ErrNotYet
		}
		for _, target := range targets {
			mac, err := h.macOf(target)
			if err != nil {
				return err
			}
			request := healer.Request{MAC: mac, Kind: kind, Force: force}
			decisions = append(decisions, healer.Ask(h.clock.Now(), h.view, h.mem, h.enforced(), request))
		}
		return nil
	})
	return decisions, err
}
