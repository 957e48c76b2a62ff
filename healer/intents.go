package healer

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// HealerActor is the actor of what the ladder and the healer itself decide.
const HealerActor = "healer"

// ErrNoAction says that an action is not known, or already has what it was to get.
var ErrNoAction = errors.New("no such open action")

// Intend writes down that a decision is about to be carried out. It returns the
// action; the store must hold it before anything is sent. actor is empty for the
// ladder's own decisions, else who wants it (user:name, rollout:name). had is what a
// dragon that is to be configured has now; nil where that was not read. From here on
// the write is charged, whatever comes of it.
func (m *Memory) Intend(now Instant, d *Decision, actor string, had *ConfigSnapshot) (Action, error) {
	if d.Verb != Act {
		return Action{}, fmt.Errorf("intent for %s: the decision is %q, not to act", d.Worker, d.Verb)
	}
	r := m.Dragons[d.MAC]
	if r == nil {
		return Action{}, fmt.Errorf("intent for %s: no such dragon", d.MAC)
	}
	if a := r.open(); a != nil {
		return Action{}, fmt.Errorf("intent for %s: %s has no outcome yet", d.Worker, a.ID)
	}
	t := m.Moment(now)
	m.Fleet.Seq++
	a := Action{
		ID:   fmt.Sprintf("%d-%d", m.Fleet.Epoch, m.Fleet.Seq),
		Kind: d.Kind, Reason: d.Reason, Rung: d.Rung, Was: r.Rung, Actor: HealerActor, Slot: d.Slot,
		At: t, Wall: now.Wall, Note: d.Note,
		Before: Sample{d.Evidence.Uptime, d.Evidence.Elapsed, d.Evidence.Rate, d.Evidence.Alive},
	}
	if actor != "" {
		a.Actor = actor
	}
	m.intendChange(&a, d, had, t)
	if err := m.intendUpgrade(d, &a); err != nil {
		return Action{}, fmt.Errorf("intent for %s: %w", d.Worker, err)
	}
	r.Actions = append(r.Actions, a)
	if a.Rung > r.Rung && a.Actor == HealerActor {
		r.Rung = a.Rung
	}
	if a.Rung > 0 {
		r.CleanAt, r.Costly = 0, 0
		if a.Actor == HealerActor {
			o := m.Fleet.outcomes(efficacyKey(d.Step, d.Reason, d.Model))
			o.Skipped, o.Tried = 0, t
			m.skip(d)
		}
	}
	r.State, r.Since = StateActing, t
	m.touch(d.MAC)
	m.Fleet.Ring = append(m.Fleet.Ring, FleetAction{a.ID, d.MAC, a.Kind, t})
	for _, b := range m.Fleet.Breakers {
		if a.heals() && b.State == BreakerHalfOpen && b.Trial == "" && b.covers(m.facts(d.MAC), r) {
			b.Trial = a.ID
		}
	}
	m.TouchFleet()
	return a, nil
}

// skip counts the steps that a decision passes over, so that one is tried again now and then.
func (m *Memory) skip(d *Decision) {
	for _, step := range d.Skipped {
		m.Fleet.outcomes(efficacyKey(step, d.Reason, d.Model)).Skipped++
	}
	m.TouchFleet()
}

// Sent writes down what the sender learned. What was certainly not carried out ends here,
// and its charge stays.
func (m *Memory) Sent(now Instant, mac, id string, result Result, note string) error {
	a := m.Action(mac, id)
	if a == nil || a.Result != Pending || a.Outcome != Open {
		return fmt.Errorf("result of %s for %s: %w", id, mac, ErrNoAction)
	}
	a.Result, a.Note = result, note
	m.Dragons[mac].answered(a)
	if result.NotExecuted() {
		a.Outcome, a.Ended = NotExecuted, m.Moment(now)
		m.refused(mac, a)
		m.cancelTrial(id)
	}
	m.touch(mac)
	return nil
}

// answered counts the steps of the ladder that the dragon rejects. What was not sent
// does not count.
func (r *Record) answered(a *Action) {
	switch {
	case !a.heals():
	case a.Result == NotSent:
		if a.Rung > 0 && a.Rung == r.Rung && a.Actor == HealerActor { // it is still the next step
			r.Rung = a.Was
		}
	case a.Result != Refusal:
		r.Refused = 0
	case a.Actor == HealerActor:
		r.Refused++
	}
}

// Conclude gives an action its outcome. It is for the writes whose effect Decide
// cannot see: configuration and firmware.
func (m *Memory) Conclude(now Instant, mac, id string, outcome Outcome, note string) error {
	a := m.Action(mac, id)
	if a == nil || a.Outcome != Open || outcome == Open {
		return fmt.Errorf("outcome of %s for %s: %w", id, mac, ErrNoAction)
	}
	a.Outcome, a.Ended, a.Note = outcome, m.Moment(now), note
	if outcome == Worse || outcome == LostOutcome {
		m.Fleet.Harm = append(m.Fleet.Harm, a.Ended)
	}
	m.cancelTrial(id)
	m.TouchFleet()
	m.touch(mac)
	return nil
}

// cancelTrial gives a half-open breaker its trial back.
func (m *Memory) cancelTrial(id string) {
	for _, b := range m.Fleet.Breakers {
		if b.Trial == id {
			b.Trial = ""
			m.TouchFleet()
		}
	}
}

// Action returns one of a dragon's remembered actions, or nil.
func (m *Memory) Action(mac, id string) *Action {
	r := m.Dragons[mac]
	if r == nil {
		return nil
	}
	return r.last(func(a *Action) bool { return a.ID == id })
}

// Start is the first thing that a healer does with its memory. It counts the start,
// and gives every intent without a result the result Unknown: it stays charged and is
// never sent again. It returns those. clean says that the last process had ended in
// order; see Stop.
func (m *Memory) Start(now Instant, p *Policy) (unknown []Action) {
	f := &m.Fleet
	m.run.time.advance(f.Anchor, now, false)
	t := m.run.time.moment
	if f.Running {
		f.Unclean = append(f.Unclean, t)
	}
	f.Unclean = slices.DeleteFunc(slices.Clone(f.Unclean), func(u Moment) bool { return t.Since(u) >= 30*time.Minute })
	if n := len(f.Unclean); n > p.Breakers.SafeStarts && f.SafeMode == nil {
		f.SafeMode = &Mark{By: HealerActor, Reason: fmt.Sprintf("%d unclean starts in 30m", n), At: t, Wall: now.Wall}
	} else if f.SafeMode != nil && n > 0 && f.Running {
		f.SafeMode.At = t // six clean hours start again
	}
	f.Running = true
	f.Epoch++
	for _, mac := range sortedKeys(m.Dragons) {
		r := m.Dragons[mac]
		for i := range r.Actions {
			if a := &r.Actions[i]; a.Outcome == Open && a.Result == Pending {
				a.Result, a.Note = Unknown, "the healer stopped before it knew"
				unknown = append(unknown, *a)
				m.touch(mac)
			}
		}
		// What was sick has to be found sick again.
		switch r.State {
		case StateSick, StateHeld, StateSuspect, StateHealthy, StateUnreachable, StateFlapping:
			r.State, r.Since = StateObserving, t
			m.touch(mac)
		}
	}
	m.TouchFleet()
	return unknown
}

// Stop notes that the process ends in order.
func (m *Memory) Stop(now Instant) {
	m.Moment(now)
	m.Fleet.Running = false
	m.run.allCold = true
	m.TouchFleet()
}

// Recover marks a memory that replaces a lost or corrupt one: it is not known what was
// done before, so every budget counts as used up until its window is over. Nor is it
// known how often the healer was started, and an action's ID must not be
// used again: epochs go on from the time of day, which is beyond any count of starts.
func (m *Memory) Recover(now Instant, reason string) {
	m.run.time.advance(m.Fleet.Anchor, now, false)
	m.run.time.countFromHere()
	m.Fleet.Recovered = &Mark{By: HealerActor, Reason: reason, At: m.run.time.moment, Wall: now.Wall}
	m.Fleet.Epoch = max(m.Fleet.Epoch, int(now.Wall.Unix()))
	m.TouchFleet()
}

// Moment moves the line of time to now, between two cycles.
func (m *Memory) Moment(now Instant) Moment {
	t := &m.run.time
	if !t.started {
		t.advance(m.Fleet.Anchor, now, false)
		return t.moment
	}
	return t.moment.Add(max(0, now.Mono-t.last.Mono))
}

// expire forgets what is over.
func (m *Memory) expire(now Moment) {
	f := &m.Fleet
	n := 0
	for n < len(f.Ring) && now.Since(f.Ring[n].At) >= day {
		n++
	}
	if n > 0 {
		f.Ring = slices.Clone(f.Ring[n:])
		m.TouchFleet()
	}
	if len(f.PastHolds) > 0 {
		m.expirePastHolds(now, func(*PastHold) bool { return false })
	}
	if live := slices.DeleteFunc(slices.Clone(f.Pauses), func(p Pause) bool { return !p.UntilResume && now >= p.Until }); len(live) != len(f.Pauses) {
		f.Pauses = live
		m.TouchFleet()
	}
	for mac, r := range m.Dragons {
		n := 0
		for n < len(r.Actions) && now.Since(r.Actions[n].At) >= actionsKept && r.Actions[n].Outcome != Open {
			n++
		}
		if n > 0 {
			r.Actions = slices.Clone(r.Actions[n:])
			m.touch(mac)
		}
	}
}

// expireMarks ends what the policy limits in time.
func (c *cycle) expireMarks() {
	f := &c.m.Fleet
	if f.SafeMode != nil && c.now.Since(f.SafeMode.At) >= c.p.Breakers.SafeFor {
		f.SafeMode, f.Unclean = nil, nil
		c.m.TouchFleet()
	}
	if f.Recovered != nil && c.now.Since(f.Recovered.At) >= max(week, c.p.Breakers.RecoveredObserve) {
		f.Recovered = nil
		c.m.TouchFleet()
	}
}
