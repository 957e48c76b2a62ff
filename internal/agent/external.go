package agent

import (
	"context"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// externalAnswers is the newest answer of the gate outside the program, and of the gateway,
// with what was asked.
type externalAnswers struct {
	asked   healer.External
	answer  healer.ExternalAnswer
	gateway string
	cutOff  string // why the gateway does not answer; empty: it does, or there is none
}

// askExternal asks the gate outside the program and the gateway, if there are any. It
// takes its time, so it is not for the owner.
func (h *Healer) askExternal(ctx context.Context) (externalAnswers, error) {
	asked := h.config.Policy()
	err := h.onLoop(ctx, "asking outside", func(context.Context) error {
		if h.policy != nil { // a new one may have been refused
			asked = h.policy
		}
		return nil
	})
	if err != nil {
		return externalAnswers{}, err
	}
	return h.askBoth(ctx, asked), nil
}

func (h *Healer) askBoth(ctx context.Context, p *healer.Policy) externalAnswers {
	o := h.askGate(ctx, p.External)
	o.gateway = p.Causes.Gateway
	switch {
	case o.gateway == "":
	case h.config.ProbeGateway == nil:
		o.cutOff = "this program cannot ask it"
	default:
		if err := h.config.ProbeGateway(ctx, o.gateway); err != nil && ctx.Err() == nil {
			o.cutOff = healer.Text(err.Error())
		}
	}
	return o
}

func (h *Healer) askGate(ctx context.Context, asked healer.External) externalAnswers {
	o := externalAnswers{asked: asked}
	if asked.Query == "" {
		return o
	}
	o.answer.Asked = true
	if h.config.ExternalGate == nil {
		o.answer.Err = "this program cannot ask it"
		return o
	}
	closed, err := h.config.ExternalGate(ctx, asked)
	if err != nil {
		o.answer.Err = healer.Text(err.Error())
		if ctx.Err() == nil {
			h.metrics.gateErrors.Inc()
		}
		return o
	}
	o.answer.Open, o.answer.Detail = closed == "", healer.Text(closed)
	return o
}

// setExternal takes in what the gate outside said. Only the owner may call it.
func (h *Healer) setExternal(o externalAnswers) {
	switch before := h.external.answer.Err; {
	case o.answer.Err != "" && before == "":
		level.Error(h.logger).Log("msg", "external gate unreachable", "err", o.answer.Err, "on_error", o.asked.OnError)
	case o.answer.Err == "" && before != "":
		level.Info(h.logger).Log("msg", "external gate reachable again")
	}
	switch before := h.external.cutOff; {
	case o.cutOff != "" && before == "":
		level.Error(h.logger).Log("msg", "gateway unreachable, holding all actions", "gateway", o.gateway, "err", o.cutOff)
	case o.cutOff == "" && before != "":
		level.Info(h.logger).Log("msg", "gateway reachable again")
	}
	h.external = o
}

// gatewayDown reports whether the gateway of the policy in force did not answer.
func (h *Healer) gatewayDown() bool {
	return h.policy != nil && h.external.gateway == h.policy.Causes.Gateway && h.external.cutOff != ""
}

// externalAnswer is what the gate outside said, if it was asked what the policy in force asks.
func (h *Healer) externalAnswer() healer.ExternalAnswer {
	if h.policy == nil || h.external.asked != h.policy.External {
		return healer.ExternalAnswer{}
	}
	return h.external.answer
}
