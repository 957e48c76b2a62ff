package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// BlockedError says which gate a request failed at. The Decision holds all of them.
type BlockedError struct{ Decision healer.Decision }

func (e *BlockedError) Error() string {
	d := &e.Decision
	for _, g := range d.Gates {
		if g.Name == d.Blocked {
			return fmt.Sprintf("%s %s: blocked by %s: %s", d.Kind, d.Worker, g.Name, g.Detail)
		}
	}
	return fmt.Sprintf("%s %s: blocked by %s", d.Kind, d.Worker, d.Blocked)
}

// Status returns where the healer stands, nil before its first look.
func (h *Healer) Status() *Status { return h.published.Load() }

// Plan returns what the healer made of its last look, with what was asked of it
// since. Do not change it. Ask and Confirm are not for it.
func (h *Healer) Plan() (*healer.Plan, error) {
	s := h.published.Load()
	if s == nil {
		return nil, ErrNotYet
	}
	return s.Plan, nil
}

// Why returns the decision about one dragon, by worker, MAC or address. The error is ErrNotYet
// for one that was found since the last look.
func (h *Healer) Why(target string) (healer.Decision, error) {
	p, err := h.Plan()
	if err != nil {
		return healer.Decision{}, err
	}
	if d := p.Find(target); d != nil {
		return *d, nil
	}
	return healer.Decision{}, h.unknown(target)
}

// unknown is the error for a dragon that the healer does not have. The fleet finds a dragon
// before the healer looks at it: such a dragon is new, not unknown.
func (h *Healer) unknown(target string) error {
	switch d := h.config.Fleet.Lookup(target); {
	case d == nil:
	case d.Info().Conflict: // it may never have a record
		return fmt.Errorf("%w: %q: it has no MAC of its own, so the healer has no record of it", ErrUnknownDragon, target)
	default:
		return fmt.Errorf("%q is new: %w", target, ErrNotYet)
	}
	return fmt.Errorf("%w: %q", ErrUnknownDragon, target)
}

// Compare says what another policy would make of the fleet as it is now. Nothing comes
// of it, not even of a panic.
func (h *Healer) Compare(ctx context.Context, other *healer.Policy) (x *healer.Comparison, err error) {
	return h.compare(ctx, other, func(*healer.Comparison) {})
}

// Judge compares a policy that is about to be what Config.Policy returns. If it would be
// refused, that is counted and said as if it had been: who asks will not come with it.
func (h *Healer) Judge(ctx context.Context, next *healer.Policy) (*healer.Comparison, error) {
	return h.compare(ctx, next, func(x *healer.Comparison) {
		if x.Refused != "" {
			h.refusePolicy(x.Other, x.Refused, &x.Guarded)
			h.republish()
		}
	})
}

func (h *Healer) compare(ctx context.Context, other *healer.Policy, then func(*healer.Comparison)) (x *healer.Comparison, err error) {
	err = h.onLoop(ctx, "comparing", func(context.Context) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("comparing policies: panic: %v", v)
			}
		}()
		if h.view == nil {
			return ErrNotYet
		}
		in := h.enforced()
		x = healer.Compare(h.clock.Now(), h.mem, healer.PolicyView{By: in, View: h.snapshot(in)}, healer.PolicyView{By: other, View: h.snapshot(other)})
		then(x)
		return nil
	})
	return x, err
}

// Pause pauses the healer for a part of the fleet. For the scope mac the value
// may be a worker or an address too. When it returns nothing more is sent there.
func (h *Healer) Pause(ctx context.Context, r healer.PauseRequest) (p healer.Pause, err error) {
	err = h.change(ctx, "pausing", func(now healer.Instant) error {
		if r.Kind == "" {
			r.Kind = healer.Paused
		}
		if err := h.checkScope(&r); err != nil {
			return err
		}
		if p, err = h.mem.Pause(now, r); err != nil {
			return err
		}
		h.keepPause(r, &p)
		h.auditRequest(healer.Hold, "", userActor(p.Owner), fmt.Sprintf("%s %s of %s: %s", p.InWords(), p.ID, p.Of(), p.Reason))
		return nil
	})
	return p, err
}

// Retire silences a dragon for as long as it takes: a maintenance without a limit.
func (h *Healer) Retire(ctx context.Context, target string, d time.Duration, by, reason string) (healer.Pause, error) {
	return h.Pause(ctx, healer.PauseRequest{Kind: healer.Maintained, Scope: "mac", Value: target, For: d, Owner: by, Reason: reason, Retired: true})
}

// ErrNotRetired says that a dragon is not retired.
var ErrNotRetired = errors.New("not retired")

// Unretire ends the retirement of a dragon, by worker, MAC or address.
func (h *Healer) Unretire(ctx context.Context, target, by string) error {
	return h.change(ctx, "unretiring", func(healer.Instant) error {
		mac, err := h.macOf(target)
		if err != nil {
			return err
		}
		ids := h.mem.Retirements(mac)
		if len(ids) == 0 {
			return fmt.Errorf("%s: %w", target, ErrNotRetired)
		}
		for _, id := range ids {
			if err := h.resume(id); err != nil {
				return err
			}
			h.auditRequest(healer.Resume, mac, userActor(by), "unretired, pause "+id)
		}
		return nil
	})
}

// Forget drops all that is known of a dragon, by MAC, between two cycles. forget takes it
// out of the fleet; it is not called where the healer refuses.
func (h *Healer) Forget(ctx context.Context, mac, by string, forget func() error) error {
	return h.change(ctx, "forgetting", func(healer.Instant) error {
		if err := h.needsState(); err != nil {
			return err
		}
		who := h.mem.Dragons[mac]
		if err := h.mem.Forget(mac, time.Now()); err != nil {
			return err
		}
		if h.forgotten != nil { // it is done here at once
			h.followForgotten()
		}
		if who != nil {
			h.auditRequest(healer.Resume, "", userActor(by), "forgot "+who.Who.Worker+" "+mac)
		}
		seen := *h.view // shown at once, without it
		seen.Dragons = slices.DeleteFunc(slices.Clone(seen.Dragons), func(f healer.Facts) bool { return f.MAC == mac })
		h.view = &seen
		return forget()
	})
}

// Resume ends one pause or maintenance.
func (h *Healer) Resume(ctx context.Context, id, by string) error {
	return h.changeOne(ctx, "resuming", healer.Resume, by, func(healer.Instant) (mac, note string, err error) {
		if by == "" {
			return "", "", errors.New("resume: it needs an owner")
		}
		return "", "pause " + id, h.resume(id)
	})
}

func (h *Healer) resume(id string) error {
	if err := h.takeBack(id); err != nil {
		return err
	}
	return h.mem.Resume(id)
}

// Quarantine takes a dragon, by worker, MAC or address, out of the healer's hands.
func (h *Healer) Quarantine(ctx context.Context, target, by, reason string) error {
	return h.changeOne(ctx, "quarantining", healer.Quarantine, by, func(now healer.Instant) (mac, note string, err error) {
		already := false
		if mac, err = h.macOf(target); err == nil {
			r := h.mem.Dragons[mac]
			already = r != nil && r.Quarantine != nil
			err = h.mem.Quarantine(now, mac, by, reason)
		}
		if err == nil && !already { // or a release would take this one back, and leave the other
			h.keepUnsaved(mac, func(now healer.Instant) (string, error) { return mac, h.mem.Quarantine(now, mac, by, reason) })
		}
		return mac, reason, err
	})
}

// Release puts a quarantined or flapping dragon back into the healer's hands.
func (h *Healer) Release(ctx context.Context, target, by string) error {
	return h.changeOne(ctx, "releasing", healer.Release, by, func(now healer.Instant) (mac, note string, err error) {
		if mac, err = h.macOf(target); err == nil && by != "" { // else it is refused, and takes nothing back
			err = h.takeBack(mac)
		}
		if err == nil {
			err = h.mem.Release(now, mac, by)
		}
		return mac, "", err
	})
}

// Ack closes a breaker that a human has looked into: see Memory.Ack for the names.
func (h *Healer) Ack(ctx context.Context, name, scope, by string) error {
	return h.changeOne(ctx, "acknowledging", healer.Resume, by, func(now healer.Instant) (mac, note string, err error) {
		if err := h.needsState(); err != nil {
			return "", "", err
		}
		if name == "config" {
			if scope, err = h.macOf(scope); err != nil {
				return "", "", err
			}
		}
		return "", "acknowledged breaker " + name + " " + scope, h.mem.Ack(now, name, scope, by)
	})
}

// SetPace makes a rollout of a configuration fast, or not.
func (h *Healer) SetPace(ctx context.Context, id string, fast bool, by string) error {
	return h.changeOne(ctx, "setting the pace of a rollout", healer.Changed, by, func(healer.Instant) (mac, note string, err error) {
		if err := h.needsState(); err != nil {
			return "", "", err
		}
		return "", fmt.Sprintf("rollout %s: pace %s", id, map[bool]string{true: "fast", false: "normal"}[fast]), h.mem.SetPace(id, fast)
	})
}

// WriteRequest is a human's request to restart or reboot a dragon.
type WriteRequest struct {
	Target string      // worker, MAC or address
	Kind   healer.Kind // Restart or Reboot
	Owner  string
	Reason string
	Force  bool // skips policy: pauses, breakers, budgets. Never identity, ceilings, the state or STOP
}

// Write restarts or reboots a dragon because a human wants it. It waits for what comes
// of it; if ctx ends first, it goes on without it. What the healer's gates have against
// it is a *BlockedError.
func (h *Healer) Write(ctx context.Context, r WriteRequest) (healer.Action, error) {
	type result struct {
		action healer.Action
		err    error
	}
	if r.Owner == "" || r.Reason == "" {
		return healer.Action{}, errors.New("it needs an owner and a reason")
	}
	if r.Kind != healer.Restart && r.Kind != healer.Reboot {
		return healer.Action{}, fmt.Errorf("action %q, expected %s or %s", r.Kind, healer.Restart, healer.Reboot)
	}
	done := make(chan result, 1)
	err := h.onLoop(ctx, "asking", func(life context.Context) error {
		mac, err := h.macOf(r.Target)
		if err == nil {
			err = h.hears("asking")
		}
		switch {
		case err != nil:
			return err
		case life.Err() != nil:
			return ErrEnded
		}
		h.view.Host = h.host()
		d := healer.Ask(h.clock.Now(), h.view, h.mem, h.enforced(), healer.Request{MAC: mac, Kind: r.Kind, Actor: userActor(r.Owner), Note: r.Reason, Force: r.Force})
		if d.Verb != healer.Act {
			blocked := h.recordOf(&d, healer.Blocked)
			blocked.Actor, blocked.Gates, blocked.Note = userActor(r.Owner), healer.Closed(d.Gates), r.Reason
			h.appendAudit(blocked)
			return &BlockedError{d}
		}
		j := h.job(d, userActor(r.Owner), r.Force)
		j.done = func(a healer.Action, err error) {
			if unsent, ok := errors.AsType[*healer.NotSentError](err); ok && unsent.Decision != nil {
				err = &BlockedError{*unsent.Decision}
			}
			done <- result{a, err}
		}
		h.spawn(func() { h.runJob(life, j) })
		return nil
	})
	if err != nil {
		return healer.Action{}, err
	}
	select {
	case x := <-done:
		return x.action, x.err
	case <-ctx.Done():
		return healer.Action{}, ctx.Err()
	}
}

// change does what a human wants done to the memory, writes it down, and shows it.
// What could not be written down is in force all the same: humans win.
func (h *Healer) change(ctx context.Context, doing string, fn func(healer.Instant) error) error {
	var w written
	err := h.onLoop(ctx, doing, func(context.Context) error {
		if err := h.hears(doing); err != nil {
			return err
		}
		if err := fn(h.clock.Now()); err != nil {
			return err
		}
		w = h.persist()
		h.republish()
		return nil
	})
	if err != nil {
		return err
	}
	err = w.within(context.WithoutCancel(ctx), answerWithin)
	switch {
	case err == nil:
		return nil
	case h.config.Shared:
		advice := "ask it again then"
		if slices.Contains(stops, doing) {
			advice = "but a file STOP in its data directory holds there"
		}
		return fmt.Errorf("%w: an instance that takes over may not know of it, %s: %w", ErrUnwritten, advice, err)
	}
	return fmt.Errorf("%w: %w", ErrUnwritten, err)
}

// changeOne is change with one audit record, about the dragon that fn returns, if any.
func (h *Healer) changeOne(ctx context.Context, doing string, verb healer.Verb, by string, fn func(healer.Instant) (mac, note string, err error)) error {
	return h.change(ctx, doing, func(now healer.Instant) error {
		mac, note, err := fn(now)
		if err == nil {
			h.auditRequest(verb, mac, userActor(by), note)
		}
		return err
	})
}

// macOf finds the MAC of a dragon that the healer remembers.
func (h *Healer) macOf(target string) (string, error) {
	if mac, ok := dragon.ParseMAC(target); ok && h.mem.Dragons[mac] != nil {
		return mac, nil
	}
	if d := h.config.Fleet.Lookup(target); d != nil && h.mem.Dragons[d.Info().MAC] != nil {
		return d.Info().MAC, nil
	}
	for mac, r := range h.mem.Dragons {
		if target != "" && r.Who.Worker == target {
			return mac, nil
		}
	}
	return "", h.unknown(target)
}

func (h *Healer) auditRequest(verb healer.Verb, mac, actor, note string) {
	h.appendAudit(h.record(h.clock.Now().Wall, verb, mac, actor, note))
}

// record is an audit record, about a dragon if the healer remembers one with the MAC.
func (h *Healer) record(at time.Time, verb healer.Verb, mac, actor, note string) healer.Audit {
	a := healer.Audit{At: at, Epoch: h.mem.Fleet.Epoch, Decision: verb, Actor: actor, Config: h.mem.Fleet.ConfigHash, Note: note}
	if r := h.mem.Dragons[mac]; r != nil {
		w := r.Who
		a.MAC, a.Worker, a.IP, a.Model, a.Firmware, a.Domain, a.State = w.MAC, w.Worker, w.Address, w.Model, w.Firmware, w.Domain, r.State
	}
	return a
}

// Unverified is put before the name of an owner that no login has proven.
const Unverified = "unverified:"

func userActor(name string) string {
	if strings.HasPrefix(name, Unverified) {
		return name
	}
	return "user:" + name
}

// AutoUpgrade is the owner of the rollouts that --dragon-auto-upgrade starts.
const AutoUpgrade = "dragon-auto-upgrade"

// ByPerson reports whether the actor of an audit record is a person.
func ByPerson(actor string) bool {
	return (strings.HasPrefix(actor, "user:") || strings.HasPrefix(actor, Unverified)) && actor != userActor(AutoUpgrade)
}
