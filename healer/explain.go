package healer

import (
	"fmt"
	"slices"
	"time"
)

// describe fills in the decision about a dragon that nothing is done with: the state and
// the numbers.
func (c *cycle) describe(s *subject, d *Decision) {
	d.Who, d.Named, d.State, d.Since, d.Reason, d.Slot = s.f.Who, s.f.Named, s.r.State, s.r.Since, s.r.Reason, -1
	d.Evidence, d.Desired = c.shown(s), s.syncStatus(c.m)
	if i := s.about(); i >= 0 && !s.conflict {
		d.Slot = s.w.evidence[i].slot
	}
	if !s.conflict && s.f.HasSample && s.w.sensors() {
		for i := range s.f.Boards {
			if s.w.sensorFault(&s.f.Boards[i], s.w.at, &s.p.Heat) {
				d.Sensors++
			}
		}
	}
	if a := s.r.open(); a != nil {
		d.Kind, d.Rung, d.Slot, d.ActionID, d.Verb = a.Kind, a.Rung, a.Slot, a.ID, Wait
		if a.Rung > 0 {
			d.Rungs = len(s.p.Ladder.Steps)
		}
		d.Note = fmt.Sprintf("%s %s ago", a.Kind, ShortDuration(c.now.Since(a.At)))
	}
	if a := s.r.last(func(*Action) bool { return true }); a != nil {
		d.Last = &LastAction{a.Kind, a.Wall, a.Outcome}
	}
	switch {
	case s.conflict:
		d.State, d.Note = StateConflict, "its MAC is claimed by another dragon, or invalid"
	case s.r.Quarantine != nil:
		d.Note = "by " + s.r.Quarantine.By + ": " + s.r.Quarantine.Reason
	case d.Note == "" && s.r.Downshift != nil && s.r.Downshift.Back == 0:
		d.Note = fmt.Sprintf("in the mode %s until it has cooled; it had %s", coolest, s.r.Downshift.words())
	case s.suspect >= 0 && s.w.evidence[s.suspect].muted != 0 && !s.sick():
		d.Note = s.w.evidence[s.suspect].muted.String()
	}
}

// about is the index of the detector that the dragon's state is about; -1: none.
func (s *subject) about() int {
	if i := rank(s.r.Reason); i < len(detectors) {
		return i
	}
	if s.fired >= 0 {
		return s.fired
	}
	return s.suspect
}

// shown is the evidence of the detector that the dragon's state is about.
func (c *cycle) shown(s *subject) Shown {
	f, w := s.f, s.w
	e := Shown{
		Value: -1, Threshold: -1, Uptime: -1, Elapsed: -1, Rate: w.rate.Or(-1), Baseline: -1, Hottest: -1, FanDuty: -1,
		Tuning: w.tuning,
	}
	if s.conflict {
		return e
	}
	if f.HasSample {
		e.Uptime, e.Elapsed, e.FanDuty = f.Uptime.Or(-1), f.Elapsed.Or(-1), f.FanDuty.Or(-1)
		e.Hottest = f.hottest().Or(-1)
		e.Boards, e.Alive = len(f.Boards), f.alive()
	}
	e.Baseline, e.Expected = c.baseline(s).Or(-1), c.expected(s)
	if w.tuning {
		e.TuningFor = Span(c.now.Since(w.tuned))
	}
	i := s.about()
	if i < 0 {
		return e
	}
	ev := &w.evidence[i]
	need := detectors[i].need(s.p)
	if ev.n > 0 || ev.muted != 0 {
		e.Value, e.Threshold = ev.value, ev.threshold
	}
	e.Of = min(ev.n, need.Of)
	e.Bad = ev.badIn(e.Of)
	if ev.since != 0 {
		e.For = Span(c.now.Since(ev.since))
	}
	return e
}

// explain counts, and writes the audit of what is new.
func (c *cycle) explain() {
	n := &c.out.Counts
	n.Fleet, n.States, n.Blocked = len(c.all), make(map[State]int), make(map[Gate]int)
	for _, s := range c.all {
		if x := s.r.Downshift; x != nil && x.Back == 0 {
			n.Shifted++
		}
		if x := s.r.Curtailed; x != nil && x.Back == 0 {
			n.Curtailed++
		}
	}
	for i := range c.out.Dragons {
		d := &c.out.Dragons[i]
		n.States[d.State]++
		if c.order[i].f.Pace > 1 {
			n.Slow++
		}
		if d.Blocked != "" {
			n.Blocked[d.Blocked]++
		}
	}
	for i := range c.out.Changes {
		if d := &c.out.Changes[i]; d.Verb == Blocked {
			n.Blocked[d.Blocked]++
		}
	}
	c.waits()
	c.showRollouts()
	f, fleet := &c.p.Fleet, &c.m.Fleet
	hour, _ := fleet.begun(Kind.heals, time.Hour, c.now)
	hourLimit, dayLimit := f.hourLimit(c.n), f.dayLimit(c.n)
	c.out.Budgets = []BudgetUse{
		{"fleet", 0, c.flight, f.flightLimit(c.n)},
		{"fleet", Span(time.Hour), fleet.used(time.Hour, hour, hourLimit, c.now), hourLimit},
		{"fleet", Span(day), fleet.used(day, len(c.treatedToday()), dayLimit, c.now), dayLimit},
	}
	for _, domain := range sortedKeys(c.flightDomain) {
		c.out.Budgets = append(c.out.Budgets, BudgetUse{"domain=" + domain, 0, c.flightDomain[domain], f.domainLimit(c.domainSize[domain])})
	}
	c.out.Pauses = slices.Clone(fleet.Pauses)
	c.showFirmware()
	c.auditDecisions()
	c.auditSteps()
}
