package healer

import (
	"cmp"
	"fmt"
	"time"
)

// step is the next thing to try on a sick dragon.
type step struct {
	kind      Kind
	rung      int
	hold      time.Duration // that remains of the step before
	interval  time.Duration // the same for the reason's own gap
	benefit   *Benefit
	exhausted string // why there is no next step
	label     string
	skipped   []string // steps below that do not help, or are not as good as this one
	useless   string   // why no step is worth a try now, for a reason that must not climb
	first     string   // the worker whose first treatment is waited for
	retry     time.Duration
}

// step finds the next rung. The position on the ladder is the dragon's, whatever the
// reason; a reason that must not climb stays on the first rung.
func (c *cycle) step(s *subject) step {
	d := &detectors[s.fired]
	l := &s.p.Ladder
	tried := func(a *Action) bool { return a.Actor == HealerActor && a.Result != NotSent } // what was not sent needs no rest
	last := s.r.last(func(a *Action) bool { return tried(a) && a.Rung > 0 })
	st := step{}
	c.pick(s, &st)
	rung := st.rung
	if last != nil {
		st.hold = max(0, holdOf(l, last.Rung)-c.now.Since(last.At))
		if d.gap != nil {
			same := s.r.last(func(a *Action) bool { return tried(a) && a.Reason == d.reason })
			if same != nil {
				st.interval = max(0, d.gap(&s.p.Device)-c.now.Since(same.At))
			}
		}
	}
	if n := len(l.Steps); n > 0 && s.r.Refused >= n {
		// Also for a reason that must not climb: it would be tried forever.
		st.rung, st.kind = min(rung, n), l.kindOf(d.reason, min(rung, n))
		if st.hold == 0 {
			st.exhausted = "it refuses" + refusals(s.r)
		}
		return st
	}
	if rung > len(l.Steps) {
		st.rung = len(l.Steps)
		if len(l.Steps) > 0 {
			st.kind = l.kindOf(d.reason, st.rung)
		}
		if st.hold == 0 {
			st.exhausted = exhausted(len(l.Steps), len(st.skipped)) + refusals(s.r)
		}
		return st
	}
	st.kind, st.label = l.kindOf(d.reason, rung), l.label(d.reason, rung)
	if st.kind != Reboot {
		return st
	}
	st.benefit = c.benefit(s, rung)
	if st.hold > 0 {
		return st
	}
	switch {
	case c.hopeless(s):
		st.exhausted = "the last reboot did not bring the board back, and the others mine on"
	case s.r.Costly != 0 && c.now.Since(s.r.Costly) >= costlyMost:
		st.exhausted = "for a day, a reboot would have cost more than it may bring"
	case rebooted(s.r, 24*time.Hour, c.now) >= s.p.Device.Reboots24h:
		st.exhausted = fmt.Sprintf("%d reboots in 24h", s.p.Device.Reboots24h) + refusals(s.r)
	case count(s.r, Reboot, week, c.now) >= s.p.Device.Reboots7d:
		// The gate counts what was not carried out as well, and would hold the dragon for days.
		st.exhausted = fmt.Sprintf("%d reboots in 7d", s.p.Device.Reboots7d)
		if n := count(s.r, Reboot, week, c.now) - rebooted(s.r, week, c.now); n > 0 {
			st.exhausted += fmt.Sprintf(", %d of them not carried out", n)
		}
		st.exhausted += refusals(s.r)
	}
	return st
}

// costlyMost is how long a dragon waits for a step that costs more than it may bring
// before it counts as chronic.
const costlyMost = 24 * time.Hour

func exhausted(steps, skipped int) string {
	if skipped > 0 {
		return fmt.Sprintf("of %d steps, %d do not help its model, and the others were tried", steps, skipped)
	}
	return fmt.Sprintf("all %d steps of the ladder were tried", steps)
}

// kindOf is the step of a rung for a reason. One that must not climb gets a restart, also where
// the ladder begins with a reboot: a reboot cures no heat, no sensor and no pool.
func (l *LadderPolicy) kindOf(reason Reason, rung int) Kind {
	if d := detectorOf(reason); d != nil && d.maxRung == 1 {
		return Restart
	}
	return l.Steps[rung-1]
}

// label names a step of the ladder by its kind, and the second and third of a kind by their
// number too: reboot, reboot#2. What helps first need not help again.
func (l *LadderPolicy) label(reason Reason, rung int) string {
	if rung < 1 || rung > len(l.Steps) {
		return ""
	}
	kind := l.kindOf(reason, rung)
	if n := howMany(l.Steps[:rung], func(k Kind) bool { return k == kind }); n > 1 {
		return fmt.Sprintf("%s#%d", kind, n)
	}
	return string(kind)
}

const (
	probeOf    = 20   // of so many times that a step would be skipped, it is tried once
	probeEvery = week // or after so long
)

// pick finds the rung to try next: the one above the last, without those that do not help
// the model. For boards that are dead or missing it begins with the step that has helped
// the model best.
func (c *cycle) pick(s *subject, st *step) {
	d, l := &detectors[s.fired], &s.p.Ladder
	st.rung = min(s.r.Rung+1, d.maxRung)
	if s.r.Rung == 0 && d.boards {
		best := c.bestStart(s)
		for ; st.rung < best; st.rung++ {
			st.skipped = append(st.skipped, l.label(d.reason, st.rung))
		}
		st.first = c.firstTreated(s, st.rung)
	}
	for ; st.rung <= len(l.Steps); st.rung++ {
		o := c.m.Fleet.Outcomes[c.stepKey(s, st.rung)]
		if o == nil || !c.useless(o) || c.probes(s, o) {
			return
		}
		if st.rung >= d.maxRung { // it must not climb, so it waits for the next probe
			st.useless = fmt.Sprintf("%s does not help: %d of the last %d did", l.kindOf(d.reason, st.rung), o.good(), len(o.Last))
			st.retry = c.probeAfter(s) - c.now.Since(o.Tried)
			return
		}
		st.skipped = append(st.skipped, l.label(d.reason, st.rung))
	}
}

// probes reports whether a step that is passed over is tried once more.
func (c *cycle) probes(s *subject, o *Outcomes) bool {
	return o.Skipped+1 >= probeOf || c.now.Since(o.Tried) >= c.probeAfter(s)
}

// probeAfter is how long a step is not tried at most. Heat goes by itself, and what waits for the step
// then does not climb past it: so many times that it would have been due count as well.
func (c *cycle) probeAfter(s *subject) time.Duration {
	if detectors[s.fired].reason != DeadHot {
		return probeEvery
	}
	n := howMany(c.all, func(x *subject) bool { return x.fired == s.fired && x.f.Model == s.f.Model })
	return min(probeEvery, probeOf*s.p.Device.DeadHotGap/time.Duration(max(1, n)))
}

// stepKey is the key of what is known of a step for what the dragon suffers from.
func (c *cycle) stepKey(s *subject, rung int) string {
	reason := detectors[s.fired].reason
	return efficacyKey(s.p.Ladder.label(reason, rung), reason, s.f.Model)
}

func (c *cycle) useless(o *Outcomes) bool {
	return len(o.Last) >= c.p.Breakers.EfficacyOf && o.good() < c.p.Breakers.EfficacyMin
}

// good is how many of the last tries helped.
func (o *Outcomes) good() int {
	return howMany(o.Last, func(ok bool) bool { return ok })
}

// chance is the mean of what is known of a step: Beta(1,1) by its last tries.
func (o *Outcomes) chance() float64 {
	if o == nil {
		return 0.5
	}
	return float64(o.good()+1) / float64(len(o.Last)+2)
}

// bestStart is the rung with the best chance, of those that are the first of their kind;
// the gentlest of equals.
func (c *cycle) bestStart(s *subject) int {
	l := &s.p.Ladder
	best, chance := 1, -1.0
	seen := make(map[Kind]bool)
	for i, kind := range l.Steps {
		if seen[kind] || kind == Reboot && c.m.Fleet.charged(week, c.now) { // a restart is allowed sooner
			continue
		}
		seen[kind] = true
		o := c.m.Fleet.Outcomes[c.stepKey(s, i+1)]
		if o != nil && o.Skipped > 0 && c.probes(s, o) {
			return i + 1
		}
		if p := o.chance(); p > chance {
			best, chance = i+1, p
		}
	}
	return best
}

// firstMost is how long others wait for the first dragon that a step is tried on: it may not be
// readable any more.
const firstMost = 20 * time.Minute

// firstTreated names the dragon that tries a step first, where nothing is known of the
// step yet: its verdict comes in minutes, and spares all others a step that does not help.
func (c *cycle) firstTreated(s *subject, rung int) string {
	l := &s.p.Ladder
	reason := detectors[s.fired].reason
	if rung > len(l.Steps) || l.Steps[rung-1] != Restart {
		return ""
	}
	if o := c.m.Fleet.Outcomes[c.stepKey(s, rung)]; o != nil && len(o.Last) > 0 {
		return ""
	}
	for _, x := range c.underway {
		if x.conflict || x == s || x.f.Model != s.f.Model {
			continue
		}
		if a := x.r.open(); a != nil && a.Reason == reason && a.Rung == rung && c.now.Since(a.At) < firstMost {
			return x.f.Worker
		}
	}
	return ""
}

// chronic reports whether a dragon stays sick: what was done to it
// did not help, or costs too much, or is known not to help its model.
func (c *cycle) chronic(s *subject) bool { return s.r.Rung > 0 || c.beyondHelp(s) }

// beyondHelp reports whether the healer does not treat a sick dragon for now.
func (c *cycle) beyondHelp(s *subject) bool {
	if !s.sick() {
		return false
	}
	return s.r.Costly != 0 || c.m.breaker("efficacy", ladderKey(detectors[s.fired].reason, s.f.Model)) != nil
}

// refusals says how often in a row the dragon rejected a step, and its last answer.
func refusals(r *Record) string {
	last := r.last(func(a *Action) bool { return a.Result == Refusal && a.Actor == HealerActor && a.heals() })
	if r.Refused == 0 || last == nil {
		return ""
	}
	times := "once"
	if r.Refused > 1 {
		times = fmt.Sprintf("%d times in a row", r.Refused)
	}
	return fmt.Sprintf(": refused %s, the last was %s: %s", times, last.Kind, last.Note)
}

func holdOf(l *LadderPolicy, rung int) time.Duration {
	if len(l.Hold) == 0 || rung < 1 {
		return 0
	}
	return l.Hold[min(rung, len(l.Hold))-1]
}

// hopeless reports whether a reboot has already failed to bring back the same
// board, while at least half of the boards earn something that another would cost. What
// never ran says nothing, and neither does what was before a release: a human may have
// repaired the board.
func (c *cycle) hopeless(s *subject) bool {
	reason := detectors[s.fired].reason
	if !detectors[s.fired].boards && reason != BoardLow {
		return false
	}
	expected := max(c.expected(s), len(s.f.Boards))
	if expected == 0 || 2*s.f.alive() < expected {
		return false
	}
	last := s.r.last(func(a *Action) bool { return a.Kind == Reboot && a.Actor == HealerActor && !a.saysNothing() })
	return last != nil && last.Reason == reason &&
		(reason == BoardLow || last.Slot == s.w.evidence[s.fired].slot) && // of two low boards now one is the lowest, now the other
		last.Outcome != Recovered && last.At >= s.r.Released && c.now.Since(last.At) < week
}

// benefit compares what a reboot may bring in a day with what it costs while the
// dragon boots and tunes.
func (c *cycle) benefit(s *subject, rung int) *Benefit {
	b := &Benefit{Chance: c.m.Fleet.Outcomes[c.stepKey(s, rung)].chance()}
	rate, ok := s.w.rate.Get()
	full, known := c.baseline(s).Get()
	if alive, expected := s.f.alive(), c.expected(s); ok && !known && alive > 0 && expected > 0 {
		full, known = rate/float64(alive)*float64(expected), true
	}
	if !ok || !known {
		return b
	}
	b.Known = true
	b.Gain = b.Chance * max(0, full-rate) * (24 * time.Hour).Seconds()
	b.Cost = rate * (s.p.Ladder.Boot + c.tunes(s)).Seconds()
	return b
}

// tunes is how long a dragon tunes after a start: as its model has shown, else as the policy says.
func (c *cycle) tunes(s *subject) time.Duration {
	return cmp.Or(min(c.m.TuneTime(s.f.Model), s.p.Grace.TuningMax), s.p.Ladder.Tune)
}

// count is the number of writes of a kind to a dragon in a window, of any actor.
func count(r *Record, kind Kind, window time.Duration, now Moment) int {
	return countOf(r, window, now, func(a *Action) bool { return a.Kind == kind })
}

// rebooted counts the reboots that were carried out. The others are charged, but say nothing of the
// dragon.
func rebooted(r *Record, window time.Duration, now Moment) int {
	return countOf(r, window, now, func(a *Action) bool { return a.Kind == Reboot && !a.Result.NotExecuted() })
}

func countOf(r *Record, window time.Duration, now Moment, fits func(*Action) bool) int {
	n := 0
	for i := range r.Actions {
		if a := &r.Actions[i]; now.Since(a.At) < window && fits(a) {
			n++
		}
	}
	return n
}
