package healer

import (
	"fmt"
	"slices"
	"time"
)

// left estimates how long a rollout takes until none of its dragons waits; 0: not known. It goes
// by the pace of its writes so far, before the second one by that of the waves, which all rollouts
// share. waits is what the next dragon waits for; nil: nothing.
func (c *cycle) left(ro *ConfigRollout, waiting, priority int, waits *Waiting) Span {
	if waiting == 0 || ro.State == RolloutAborted || c.p.Rollout.Mode != Enforce {
		return 0
	}
	held := time.Duration(0)
	if waits != nil {
		if g := gateOf(waits.Gate); g == nil || !g.turn {
			if !waits.Ends.Known {
				return 0 // until a person or an event opens it
			}
			held = time.Duration(waits.Ends.For)
		}
	}
	first, written := c.now, 0
	for _, s := range c.all {
		if s.rollout != ro {
			continue
		}
		for i := range s.r.Actions {
			if a := &s.r.Actions[i]; a.Change != nil && a.Change.Rollout == ro.ID && !a.Change.Restore {
				first = min(first, a.At)
				written++
			}
		}
	}
	if written >= 2 && ro.State == RolloutWaves {
		return Span(held + c.now.Since(first)/time.Duration(written)*time.Duration(waiting))
	}
	if !ro.proven() {
		held += c.p.Rollout.CanaryWait
	}
	pace := c.p.configPace(c.n)
	if ro.Fast {
		pace = min(pace, ceilingPaceFor/time.Duration(fastWave(c.n)))
	}
	return Span(held + pace*time.Duration(waiting+c.ahead(ro, priority)))
}

// SetPace makes a rollout of a configuration fast, or not. A fast one has its canary, too. After
// it, it goes as fast as the compiled-in ceilings allow, and leaves one place in flight to the
// healer. It stays fast until it is told otherwise.
func (m *Memory) SetPace(id string, fast bool) error {
	ro := m.configRollout(id)
	switch {
	case ro == nil:
		return fmt.Errorf("%s: %w of a configuration", id, ErrNoRollout)
	case ro.Fast == fast:
		return fmt.Errorf("%s: %w: it has that pace", id, ErrRollout)
	}
	ro.Fast = fast
	m.TouchFleet()
	return nil
}

// fast reports whether a change may go at the pace of the ceilings.
func (x *change) fast() bool { return x != nil && x.ro.Fast && x.ro.proven() }

// fastWave is how many of n dragons may be configured in ceilingPaceFor.
func fastWave(n int) int { return max(ceilingPaceFloor, Ratio(ceilingPace).floorOf(n)) }

// UntilNext is how long the next write has to wait after the last one, in a fleet of n.
func (m *Memory) UntilNext(p *Policy, n int, now Moment) (wait time.Duration) {
	ring := m.Fleet.Ring
	if len(ring) == 0 {
		return 0
	}
	last := ring[len(ring)-1]
	gap := p.Fleet.SpacingAfter(p.Seed, last.ID, n)
	if a := m.Action(last.MAC, last.ID); a != nil && a.Change != nil {
		if ro := m.configRollout(a.Change.Rollout); ro != nil && ro.Fast && ro.proven() {
			gap = min(gap, ceilingPaceFor/time.Duration(fastWave(n)))
		}
	}
	return max(0, gap-now.Since(last.At))
}

// configPace is the time between two writes of configurations in a fleet of n at best.
func (p *Policy) configPace(n int) time.Duration {
	return max(p.Rollout.Every/time.Duration(p.Rollout.wave(n)), min(p.Fleet.Spacing, time.Hour/time.Duration(max(1, p.Fleet.hourLimit(n)))))
}

// ConfigTime is how long a rollout of a configuration takes for some dragons of a fleet of n: its
// canary, and the waves.
func (p *Policy) ConfigTime(n, dragons int) time.Duration {
	return p.Rollout.CanaryWait + p.configPace(n)*time.Duration(max(0, dragons-1))
}

// ahead is how many dragons of other rollouts may be written to before a rollout ends.
func (c *cycle) ahead(ro *ConfigRollout, priority int) int {
	return howMany(c.all, func(s *subject) bool {
		return s.rollout != nil && s.rollout != ro && s.rollout.State != RolloutAborted && s.f.Desired.Priority >= priority && s.waitsForWrite()
	})
}

// waitsForWrite reports whether the dragon is still to get its desired state.
func (s *subject) waitsForWrite() bool { return s.phase == PhaseWaiting || s.phase == PhaseDrifted }

// rolloutWaits is what the next dragon of a rollout waits for; nil: nothing, or it is not known.
func (c *cycle) rolloutWaits(ro *ConfigRollout, waiting int) *Waiting {
	var next *Decision
	for i := range c.out.Changes {
		d := &c.out.Changes[i]
		if d.Change.Rollout != ro.ID || d.Change.Restore {
			continue
		}
		if d.Verb == Act {
			return nil
		}
		if next == nil || next.Verb == Blocked && d.Verb != Blocked {
			next = d
		}
	}
	if next == nil { // the plan asks for some dragons only, where a gate holds them all
		if i := slices.IndexFunc(c.out.Changes, func(d Decision) bool { return !d.Change.Restore && closedForAll(&d) }); i >= 0 && waiting > 0 {
			next = &c.out.Changes[i]
		}
	}
	if next == nil {
		return nil
	}
	w := c.waitingOf(next, waiting, ro.Since)
	if b := c.m.breaker("rollout", ro.ID); w != nil && w.Gate == GateRollout && b == nil {
		w.Human, w.Event = "", "the end of the canary's trial"
	} else if w != nil && w.Gate == GateRollout {
		w.Human = "mother-of-dragons healer ack rollout " + ro.ID
	}
	return w
}

// waitingOf is the closed gate of a decision that opens last; nil: all are open. A gate that opens
// by an event or a person comes before one that opens in time, and one that only lets dragons
// take turns comes last.
func (c *cycle) waitingOf(d *Decision, dragons int, since Moment) *Waiting {
	w := &Waiting{Dragons: dragons, Worker: d.Worker, For: Span(c.now.Since(since))}
	if d.Verb == WouldAct {
		w.Gate, w.Human = GateObserve, "set mode: enforce in healing.rollout"
		return w
	}
	longest := -1
	for _, g := range d.Gates {
		row := gateOf(g.Name)
		if g.Open || row == nil {
			continue
		}
		rank := int(time.Duration(g.Wait.For) / time.Second)
		if !g.Wait.Known {
			rank += int(week / time.Second)
		}
		if !row.turn {
			rank += int(2 * week / time.Second)
		}
		if rank > longest || rank == longest && row.turn { // the canary's trial before its slot
			longest, w.Gate, w.Detail, w.Ends = rank, g.Name, g.Detail, g.Wait
		}
	}
	if longest < 0 {
		return nil
	}
	if s := c.byMAC[d.MAC]; !w.Ends.Known && s != nil {
		w.Human, w.Event = c.opens(w.Gate, s)
		if w.Event != "" { // either ends it; a rollout needs no person then
			w.Human = ""
		}
	}
	return w
}

// firmwareWaits is what a rollout of firmware waits for, and how long it takes at least; 0: not known.
func (c *cycle) firmwareWaits(ro *FirmwareRollout) (*Waiting, Span) {
	if !ro.open() {
		return nil, 0
	}
	w := c.waveOf(ro)
	if ro.State == RolloutPaused {
		return &Waiting{Gate: GateRollout, Dragons: len(w.waiting), For: Span(c.now.Since(ro.Since)), Detail: ro.Why,
			Human: fmt.Sprintf("mother-of-dragons firmware rollout resume %s --reason WHY", ro.ID)}, 0
	}
	rest := w.rest(c.now)
	var next *Decision
	for i := range c.out.Upgrades {
		d := &c.out.Upgrades[i]
		if d.Upgrade.Rollout != ro.ID || d.Upgrade.Reboot {
			continue
		}
		if d.Verb == Act {
			return nil, Span(rest)
		}
		if next == nil {
			next = d
		}
	}
	switch {
	case next != nil:
		x := c.waitingOf(next, len(w.waiting), ro.Since)
		if x != nil && !x.Ends.Known && !gateOf(x.Gate).turn && x.Human != "" {
			return x, 0
		}
		return x, Span(rest)
	case w.going > 0:
		return &Waiting{Gate: GateWave, Dragons: len(w.waiting), For: Span(c.now.Since(ro.Since)),
			Detail: fmt.Sprintf("%d dragons of wave %d are checked", w.going, ro.Wave+1), Event: "the end of their checks"}, Span(rest)
	}
	return nil, Span(rest)
}

// rest is how long the checks of this wave and of all later ones take at least.
func (w *wave) rest(now Moment) time.Duration {
	longest := time.Duration(0)
	_, soak := w.p.wave(w.ro.Wave, w.members)
	for _, s := range w.begun {
		switch u := s.r.Upgrade; {
		case u.Phase.Over():
		case u.Phase == UpgradeSoaking:
			longest = max(longest, soak-now.Since(u.Since))
		case u.Phase == UpgradeVerifying:
			longest = max(longest, w.p.VerifyFor-now.Since(u.Since)+soak)
		default:
			longest = max(longest, w.p.VerifyFor+soak)
		}
	}
	if w.room() > 0 && len(w.waiting) > 0 {
		longest = w.p.VerifyFor + soak
	}
	reached := w.reach()
	for i := w.ro.Wave + 1; i < w.p.waves() && reached < w.members; i++ {
		reach, soak := w.p.wave(i, w.members)
		if reach = min(reach, w.members); reach > reached {
			longest, reached = longest+w.p.VerifyFor+soak, reach
		}
	}
	return longest
}
