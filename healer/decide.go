package healer

import (
	"cmp"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Decide decides about the fleet once. It adds what is seen to mem, which it
// changes, and says for every dragon its state and what to do: to at most
// one of them at a time, since writes are spaced anyway and the next cycle has newer
// readings. The same now, view, mem and policy give the same plan, byte for byte.
//
// A reading is at most one sample, however often it is in a view.
func Decide(now Instant, view *View, mem *Memory, policy *Policy) *Plan {
	return decide(now, view, mem, policy).out
}

func decide(now Instant, view *View, mem *Memory, policy *Policy) *cycle {
	c := survey(now, view, mem, policy)
	c.auditCanaries()
	for _, s := range c.all {
		c.curtail(s)
		c.downshift(s)
		c.overlay(s)
	}
	for _, s := range c.all {
		c.examine(s)
		c.conclude(s)
		c.watchUpgrade(s)
		c.transition(s)
	}
	c.giveUp()
	for _, s := range c.all {
		c.compare(s)
	}
	c.advanceRollouts()
	c.breakers()
	c.choose()
	c.explain()
	return c
}

// survey is the first half of a cycle: the fleet as it is, before any dragon is judged.
func survey(now Instant, view *View, mem *Memory, policy *Policy) *cycle {
	c := &cycle{p: policy, m: mem, host: view.Host, out: &Plan{}}
	c.start(now)
	c.gather(view)
	for _, s := range c.all {
		c.ingest(s)
	}
	c.causes()
	return c
}

// subject is one dragon in one cycle.
type subject struct {
	f *Facts // never nil: a dragon that is not in the view is Absent
	r *Record
	w *watch
	p *DragonPolicy

	conflict    bool
	maintenance bool
	retired     bool     // no rollout of firmware waits for it
	fresh       bool     // a new sample was folded in
	answered    bool     // a new answer was, of a dragon whose miner process does not answer
	counts      bool     // is one of the N that limits are computed from
	silent      bool     // as the breakers count: two cycles in a row
	noWork      bool     // none of its pools is alive
	idle        bool     // the pool that it works for gives no work
	poolHeld    string   // the pool that it works for, or would, which is down, or was a short time ago
	fineWith    []string // the pools that give it work
	fine        int      // other members of its pools that have work
	fired       int      // index of the most severe detector that fired; -1: none
	suspect     int      // the same for one with a bad sample
	decision    *Decision
	rollout     *ConfigRollout // of its desired state; nil: it has none
	drift       []Difference   // of what it is known to be configured for
	phase       Phase
	turned      bool // a curtailment of it has just begun or ended
	layered     layered
}

// sick reports whether a detector that leads to actions has fired.
func (s *subject) sick() bool { return s.fired >= 0 && detectors[s.fired].maxRung > 0 }

type cycle struct {
	now  Moment
	p    *Policy
	m    *Memory
	host Host
	out  *Plan

	all       []*subject      // by MAC; those in conflict last
	earned    map[string]bool // the pools that some dragon has an accepted share at, since its process began
	workless  map[string]bool // the pools that have members, and work for none that could do any
	byMAC     map[string]*subject
	frozen    []*subject // that are remembered, and whose MAC several claim by now; not in all
	order     []*subject // those of all, as the plan has them
	n         int        // dragons that count
	baselines map[string]dragon.Number

	underway     []*subject     // had a write without an outcome when the cycle began
	flight       int            // writes without an outcome
	flightDomain map[string]int // the same by domain
	rollouts     int            // those of them that are not the healer's
	domainSize   map[string]int
	granted      *subject // that this cycle's action goes to
	observed     *subject // that it would go to if its mode were enforce
	siteHot      bool
	peers        []float64       // sorted: see peersHottest; nil: not collected since an upgrade changed its phase
	exam         detectorInput   // of the dragon that is examined
	today        map[string]bool // dragons that were written to within a day to heal them; nil: not counted yet
}

func (c *cycle) start(now Instant) {
	t := &c.m.run.time
	t.advance(c.m.Fleet.Anchor, now, c.host.ClockSynced)
	c.now = t.moment
	if t.credited {
		for mac, r := range c.m.Dragons {
			if r.Boot != 0 {
				r.Boot = 0
				c.m.touch(mac)
			}
		}
		for _, w := range c.m.run.dragons {
			w.forgetEvidence(false)
		}
	}
	if c.m.Fleet.Anchor.BootID != now.BootID || c.now/Moment(anchorEvery) != c.m.Fleet.Anchor.Moment/Moment(anchorEvery) {
		c.m.TouchFleet()
	}
	c.m.expire(c.now)
	c.expireMarks()
	c.out.At, c.out.Wall, c.out.Epoch = c.now, now.Wall, c.m.Fleet.Epoch
	if c.p.External.Query != "" {
		a := c.external()
		c.out.External = &GateState{GateExternal, a.open, a.detail, Until{Known: a.open}}
	}
	c.out.ClockTrusted, c.out.ClockJumps, c.out.SafeMode = t.trusted, t.jumps, c.m.Fleet.SafeMode != nil
}

// gather brings the view and the memory together, by MAC.
func (c *cycle) gather(view *View) {
	c.byMAC = make(map[string]*subject, len(view.Dragons))
	conflicts := c.present(view)
	c.expireConflicts()
	c.absent(conflicts)
	slices.SortFunc(c.all, func(a, b *subject) int { return cmp.Compare(a.f.MAC, b.f.MAC) })
	for _, s := range c.all {
		if s.w = c.m.run.dragons[s.f.MAC]; s.w == nil {
			s.w = newWatch()
			c.m.run.dragons[s.f.MAC] = s.w
		}
	}
	slices.SortFunc(conflicts, func(a, b *subject) int {
		return cmp.Or(cmp.Compare(a.f.MAC, b.f.MAC), cmp.Compare(a.f.Address, b.f.Address), cmp.Compare(a.f.Worker, b.f.Worker))
	})
	c.all = append(c.all, conflicts...)

	c.flightDomain, c.domainSize = make(map[string]int), make(map[string]int)
	retired := retiredBy(c.m.Fleet.Pauses)
	for _, s := range c.all {
		if s.conflict {
			continue
		}
		if s.maintenance = c.m.paused(Maintained, s.f, c.now) != nil; s.maintenance {
			s.w.maintained = c.now
		}
		s.retired = retired[s.f.MAC]
		c.domainSize[s.f.Domain]++
		c.countFlight(s)
	}
	if len(c.byMAC) == len(c.m.Dragons) {
		return
	}
	// Their MAC is contested, but actions on them have no outcome yet.
	for _, mac := range sortedKeys(c.m.Dragons) {
		if c.byMAC[mac] == nil {
			r := c.m.Dragons[mac]
			s := &subject{f: &Facts{Who: r.Who, Status: Absent}, r: r, w: newWatch(), p: c.p.For(r.Who.Profile), conflict: true, fired: -1, suspect: -1}
			if r.State != StateConflict {
				r.State, r.Since = StateConflict, c.now
				c.m.touch(mac)
			}
			c.frozen = append(c.frozen, s)
			c.countFlight(s)
		}
	}
}

// present makes subjects of the dragons in the view, and returns those in conflict.
func (c *cycle) present(view *View) (conflicts []*subject) {
	subjects := make([]subject, len(view.Dragons))
	twice := make(map[string]bool)
	for i := range view.Dragons {
		f := &view.Dragons[i]
		subjects[i] = subject{f: f, p: c.p.For(f.Profile), fired: -1, suspect: -1}
		if c.byMAC[f.MAC] != nil {
			twice[f.MAC] = true
		}
		c.byMAC[f.MAC] = &subjects[i]
	}
	c.all = make([]*subject, 0, max(len(subjects), len(c.m.Dragons)))
	for i := range subjects {
		s := &subjects[i]
		mac := s.f.MAC
		if c.contested(s.f, twice[mac]) {
			// It is not known which of them the record belongs to. The record stays as it is, and
			// what was seen of it recently is dropped.
			s.conflict, s.r, s.w = true, &Record{Who: s.f.Who}, newWatch()
			delete(c.m.run.dragons, mac)
			delete(c.byMAC, mac)
			conflicts = append(conflicts, s)
			continue
		}
		s.r = c.m.Dragons[mac]
		if s.r == nil {
			s.r = &Record{Who: s.f.Who, FirstSeen: c.now, Observe: c.now, State: StateNew, Since: c.now}
			c.m.Dragons[mac] = s.r
			c.m.touch(mac)
		}
		c.all = append(c.all, s)
	}
	return conflicts
}

// absent adds the dragons that are remembered and not in the view, and forgets those that
// are gone for long.
func (c *cycle) absent(conflicts []*subject) {
	claimed := make(map[string]bool, len(conflicts))
	for _, s := range conflicts {
		claimed[s.f.MAC] = true
	}
	for mac, r := range c.m.Dragons {
		if c.byMAC[mac] != nil || claimed[mac] {
			continue
		}
		if c.now.Since(max(r.LastSeen, r.FirstSeen)) >= c.p.ForgetAfter {
			delete(c.m.Dragons, mac)
			delete(c.m.run.dragons, mac)
			delete(c.m.run.lastAudited, mac)
			c.m.touch(mac)
			continue
		}
		s := &subject{f: &Facts{Who: r.Who, Status: Absent}, r: r, p: c.p.For(r.Who.Profile), fired: -1, suspect: -1}
		c.byMAC[mac] = s
		c.all = append(c.all, s)
	}
}

// conflictFor is how long a MAC counts as contested after the last sign of it: one of two
// twins may be silent for hours, and then it is not known which of them still runs. The sign
// is written down to the hour.
const conflictFor = 24*time.Hour + seenGranularity

// contested reports whether it is not known which dragon the MAC belongs to.
func (c *cycle) contested(f *Facts, twice bool) bool {
	if !dragon.UsableMAC(f.MAC) {
		return true
	}
	last, known := c.m.Fleet.Conflicts[f.MAC]
	if f.Conflict || twice {
		if !known || c.now.Since(last) >= seenGranularity {
			if c.m.Fleet.Conflicts == nil {
				c.m.Fleet.Conflicts = make(map[string]Moment)
			}
			c.m.Fleet.Conflicts[f.MAC] = c.now
			c.m.TouchFleet()
		}
		return true
	}
	return known && c.now.Since(last) < conflictFor
}

func (c *cycle) expireConflicts() {
	for mac, last := range c.m.Fleet.Conflicts {
		if c.now.Since(last) >= conflictFor {
			delete(c.m.Fleet.Conflicts, mac)
			c.m.TouchFleet()
		}
	}
}

func (c *cycle) countFlight(s *subject) {
	if a := s.r.open(); a != nil {
		c.underway = append(c.underway, s)
		c.flight++
		c.flightDomain[s.f.Domain]++
		if a.Actor != HealerActor {
			c.rollouts++
		}
	}
}

// examine shows a fresh sample to the detectors.
func (c *cycle) examine(s *subject) {
	if s.conflict {
		return
	}
	if s.answered {
		e := c.detectorInput(s)
		e.at = s.w.bare
		e.run()
	}
	if s.fresh {
		e := c.detectorInput(s)
		e.run()
		healthy := e.muted&^byMode == 0 && !s.w.tuning && s.r.open() == nil && s.r.Quarantine == nil && !s.w.doubtful() &&
			(s.r.Curtailed == nil || c.now.Since(s.r.Curtailed.Since) >= 2*day) // what it does otherwise would be forgotten every day
		if s.w.learn(s.r, s.f.Mode, s.w.at, healthy, c.every(s), c.p.Causes.BaselineFall) {
			c.m.chill(s.f.MAC)
		}
	}
	// Where the miner process does not answer, what its boards were like is old.
	bare := s.w.bare > s.w.at && s.w.stale >= gapPolls
	for i := range s.w.evidence {
		ev := &s.w.evidence[i]
		if ev.fired && s.fired < 0 && (!bare || detectors[i].bare) {
			s.fired = i
		}
		if (ev.since != 0 || ev.muted != 0) && detectors[i].maxRung > 0 && s.suspect < 0 {
			s.suspect = i
		}
	}
}

// doubtful reports whether any detector that leads to actions has had a bad sample recently.
func (w *watch) doubtful() bool {
	for i := range w.evidence {
		if detectors[i].maxRung > 0 && (w.evidence[i].since != 0 || w.evidence[i].muted != 0) {
			return true
		}
	}
	return false
}

func (c *cycle) detectorInput(s *subject) *detectorInput {
	e := &c.exam
	*e = detectorInput{
		f: s.f, p: s.p, w: s.w, r: s.r, at: s.w.at, gap: c.gap(s), need: &c.p.Causes,
		baseline: c.baseline(s), expected: c.expected(s), fine: s.fine, noWork: s.noWork,
	}
	if s.w.tuning {
		e.muted |= byTuning
	}
	// A pool that has long been held may have nothing to do with it. If it has, the others
	// have no work of it either.
	if b := c.m.breaker("pool", s.poolHeld); b != nil && !b.Slow {
		e.muted |= byPool
	}
	// An idle pool and an idle dragon look the same, unless others work for that pool.
	if s.noWork || s.idle && s.fine < c.p.Causes.Neighbours {
		e.muted |= byOwnPools
	}
	if heated(s.f, s.r, &s.p.Heat) {
		e.muted |= byHeat
	}
	if c.unsettled(s) {
		e.muted |= byHold
	}
	if s.overlaid() {
		e.muted |= byMode
	}
	return e
}

// unsettled reports whether the dragon, its site or its pool has just come back or changed.
func (c *cycle) unsettled(s *subject) bool {
	if a := s.r.last(func(a *Action) bool { return a.Kind == Configure || a.Kind == Upgrade }); a != nil &&
		c.now.Since(a.At) < s.p.Grace.AfterConfig {
		return true
	}
	return c.ofAll() != nil || c.m.breaker("domain", s.f.Domain) != nil
}

// baseline is what the dragon's rate is measured by: what the operator says, which is of the
// mode that the operator has chosen, else what it did when it was well, else what its model does.
func (c *cycle) baseline(s *subject) dragon.Number {
	if s.p.Hashrate > 0 && !s.overlaid() {
		return dragon.Known(s.p.Hashrate)
	}
	if b := s.r.Baseline.known(s.f.Mode); b.IsKnown() {
		return b
	}
	if c.baselines == nil {
		c.baselines = c.modelBaselines()
	}
	perBoard, known := c.baselines[s.f.Model+"\x00"+s.f.Mode].Get()
	n := c.boardsOf(s)
	if !known || n == 0 {
		return dragon.Number{}
	}
	return dragon.Known(perBoard * float64(n))
}

// boardsOf is the number of boards that a dragon should have, or has.
func (c *cycle) boardsOf(s *subject) int { return cmp.Or(c.expected(s), len(s.f.Boards)) }

// modelBaselines is, of each board, the median of what the dragons of a model have learned,
// else of what the healthy ones do now: one dragon may have been built with fewer boards.
func (c *cycle) modelBaselines() map[string]dragon.Number {
	learned, present := make(map[string][]float64), make(map[string][]float64)
	for _, s := range c.all {
		if s.conflict {
			continue
		}
		key := s.f.Model + "\x00" + s.f.Mode
		if v, ok := s.r.Baseline.known(s.f.Mode).Get(); ok && c.boardsOf(s) > 0 {
			learned[key] = append(learned[key], v/float64(c.boardsOf(s)))
		}
		if v, ok := s.w.rate.Get(); ok && !s.w.tuning && !s.w.doubtful() && s.f.alive() > 0 {
			present[key] = append(present[key], v/float64(s.f.alive()))
		}
	}
	out := make(map[string]dragon.Number)
	for key, v := range present {
		if len(v) >= peersNow {
			out[key] = dragon.Known(median(v))
		}
	}
	for key, v := range learned {
		if len(v) >= peersNeeded {
			out[key] = dragon.Known(median(v))
		}
	}
	return out
}

// expected is the number of boards that the dragon should have. 0: unknown.
func (c *cycle) expected(s *subject) int {
	return dragon.ExpectedBoards(s.f.Shown, s.p.Boards, s.f.Model).Boards
}

// tunesNeeded is how many tunings of a model must have been seen before they say
// how long tuning takes.
const tunesNeeded = 10

// TuneTime is how long autotuning takes a model: the 95th percentile of what was seen;
// 0 if too few were seen.
func (m *Memory) TuneTime(model string) time.Duration {
	t := m.Fleet.Tunes[model]
	if len(t) < tunesNeeded {
		return 0
	}
	return time.Duration(percentile(slices.Clone(t), 0.95)) * time.Second
}

// settle is how long a dragon takes to show what a write did to it: at most as long as
// tuning may take, on top of the time after which it is judged.
func (c *cycle) settle(s *subject) time.Duration {
	return s.p.Ladder.Judge + min(c.m.TuneTime(s.f.Model), s.p.Grace.TuningMax)
}

// choose decides about the sick, the worst and longest first, and lets at most one
// action through.
func (c *cycle) choose() {
	c.order = make([]*subject, 0, len(c.all))
	for _, s := range c.all {
		if s.r.State == StateSick {
			c.order = append(c.order, s)
		}
	}
	sick := len(c.order)
	slow := slices.ContainsFunc(c.m.Fleet.Breakers, func(b *Breaker) bool { return b.Slow })
	slices.SortFunc(c.order, func(a, b *subject) int {
		// Turns are rare in slow mode: a dragon that a reboot did not cure comes after the others.
		if x, y := a.r.Rung > 1, b.r.Rung > 1; slow && x != y {
			return cmp.Compare(a.r.Rung, b.r.Rung)
		}
		return cmp.Or(cmp.Compare(a.fired, b.fired), cmp.Compare(c.turnSince(a), c.turnSince(b)), cmp.Compare(a.f.MAC, b.f.MAC))
	})
	for _, s := range c.all {
		if s.r.State != StateSick {
			c.order = append(c.order, s)
		}
	}
	c.out.Dragons = make([]Decision, len(c.order))
	for i, s := range c.order {
		s.decision = &c.out.Dragons[i]
		c.describe(s, s.decision)
	}
	for _, s := range c.order[:sick] {
		c.decide(s)
	}
	c.chooseRollouts()
}

// turnSince is since when a sick dragon has waited for its turn. Where a step for heat is only tried now and
// then, it is not tried on the same dragon each time: its own cooling may be at fault.
func (c *cycle) turnSince(s *subject) Moment {
	if detectors[s.fired].reason == DeadHot && c.m.breaker("efficacy", c.stepKey(s, 1)) != nil {
		if a := s.r.last((*Action).heals); a != nil {
			return max(s.r.SickSince, a.At)
		}
	}
	return s.r.SickSince
}

// decide finds the next step for a sick dragon and asks the gates.
func (c *cycle) decide(s *subject) {
	d := s.decision
	step := c.step(s)
	d.Kind, d.Rung, d.Rungs, d.Slot = step.kind, step.rung, len(s.p.Ladder.Steps), s.w.evidence[s.fired].slot
	d.Benefit = step.benefit
	d.Step, d.Skipped = step.label, step.skipped
	if step.exhausted != "" {
		c.givenUp(s, d.Reason)
		c.m.skip(d)
		c.quarantine(s, HealerActor, step.exhausted)
		d.State, d.Verb, d.Note, d.Kind = StateQuarantined, Quarantine, step.exhausted, ""
		d.Since = c.now
		return
	}
	q := &gateRequest{c: c, s: s, kind: step.kind, reason: d.Reason, step: &step}
	d.Gates = q.ask()
	c.tallyGates(d)
	c.weigh(s, d)
	if d.Blocked != "" {
		d.State, d.Verb = StateHeld, Blocked
		return
	}
	if s.p.Mode == Enforce {
		d.Verb, c.granted = Act, s
	} else {
		d.Verb, c.observed = WouldAct, s
	}
}

// weigh remembers since when the next step costs more than it may bring.
func (c *cycle) weigh(s *subject, d *Decision) {
	costly := slices.ContainsFunc(d.Gates, func(g GateState) bool { return g.Name == GateBenefit && !g.Open })
	switch {
	case costly && s.r.Costly == 0:
		s.r.Costly = c.now
	case !costly && s.r.Costly != 0:
		s.r.Costly = 0
	default:
		return
	}
	c.m.touch(s.f.MAC)
}

// tallyGates says what a decision is blocked by first, and for how long by all of it.
func (c *cycle) tallyGates(d *Decision) {
	for _, g := range d.Gates {
		if g.Open {
			continue
		}
		if d.Blocked == "" {
			d.Blocked = g.Name
			d.In = g.Wait
		} else if g.Wait.For > d.In.For || !g.Wait.Known {
			d.In = Until{max(d.In.For, g.Wait.For), d.In.Known && g.Wait.Known}
		}
	}
	if d.Blocked == "" {
		d.In = Until{Known: true}
	}
}
