package healer

import (
	"fmt"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Gate is the name of something that must agree before a dragon is written to.
type Gate string

// The gates, from cheap to dear. Those of the upper half are about the healer itself.
const (
	GateStop        Gate = "stop"
	GateOwner       Gate = "owner"
	GateStore       Gate = "state"
	GateClock       Gate = "clock"
	GateRecovered   Gate = "recovered_state"
	GateSafeMode    Gate = "safe_mode"
	GatePause       Gate = "pause"
	GateStart       Gate = "start_observation"
	GateConflict    Gate = "conflict"
	GateMaintenance Gate = "maintenance"
	GateQuarantine  Gate = "quarantine"
	GateLost        Gate = "lost"
	GateFlapping    Gate = "flapping"
	GateNew         Gate = "new_device"
	GateFresh       Gate = "fresh"
	GateYoung       Gate = "young"
	GateTuning      Gate = "tuning"
	GateConfig      Gate = "after_config"
	GateCooling     Gate = "cooling"
	GateWindow      Gate = "window"
	GateUnfit       Gate = "unfit"   // firmware only comes to who is well
	GateUploads     Gate = "uploads" // and to few at one time
	GateIsolation   Gate = "isolation"
	GateBoot        Gate = "fleet_boot"
	GatePool        Gate = "pool"
	GateDomain      Gate = "domain"
	GateSchema      Gate = "schema"
	GateForeign     Gate = "foreign"
	GateStorm       Gate = "storm"
	GateScope       Gate = "scope"
	GateEfficacy    Gate = "efficacy"
	GateHarm        Gate = "harm"
	GateInFlight    Gate = "device_in_flight"
	GateHold        Gate = "hold-down"
	GateInterval    Gate = "interval"
	GateGap         Gate = "device_gap"
	GateDevice      Gate = "device_budget"
	GateBenefit     Gate = "benefit"
	GateFlight      Gate = "in_flight"
	GateDomainSlots Gate = "domain_in_flight"
	GateRollouts    Gate = "rollout_share"
	GateSpacing     Gate = "spacing"
	GateHour        Gate = "hour"
	GateDay         Gate = "day"
	GateExternal    Gate = "external"
	GateRollout     Gate = "rollout"
	GateWave        Gate = "wave"
)

// gateRequest is: may this kind of write go to this dragon now?
type gateRequest struct {
	c      *cycle
	s      *subject
	kind   Kind
	reason Reason  // that the ladder acts on; empty for a human or a rollout
	step   *step   // of the ladder; nil for a human or a rollout
	change *change // to a wish; nil for all else

	upgrade *FirmwareStep // what a rollout of firmware wants; nil: none does
}

// taken is the dragon that this cycle's action goes to already. What is only observed
// takes nothing away from what is enforced.
func (q *gateRequest) taken() *subject {
	if q.c.granted == nil && (q.step != nil && q.s.p.Mode != Enforce || q.change != nil && q.c.p.Rollout.Mode != Enforce) {
		return q.c.observed
	}
	return q.c.granted
}

// answer is what a gate says. A closed one that knows when it may open says so.
type answer struct {
	open   bool
	detail string
	wait   time.Duration // 0: not known
}

func yes(detail string) answer { return answer{open: true, detail: detail} }

func no(wait time.Duration, format string, args ...any) answer {
	return answer{detail: fmt.Sprintf(format, args...), wait: wait}
}

// openUnless is closed where why is not empty.
func openUnless(why string) answer { return answer{open: why == "", detail: why} }

// gate is a row of the table below.
type gate struct {
	name Gate
	// firm gates are not skipped by force: a human may overrule policy, never what
	// keeps two writes apart or says that nothing can be written down.
	unforceable bool
	// write gates are about every write; the others are about what the ladder wants.
	write bool
	ask   func(*gateRequest) answer
}

// gates in the order in which they are asked: all of them, so that an operator sees
// everything that is in the way.
var gates = []gate{
	{GateStop, true, true, func(q *gateRequest) answer { return openUnless(reasonIf(q.c.host.Stop, "the STOP file is there")) }},
	{GateOwner, true, true, func(q *gateRequest) answer {
		return openUnless(reasonIf(!q.c.host.Owner, "another process holds the store"))
	}},
	{GateStore, true, true, func(q *gateRequest) answer {
		return openUnless(reasonIf(!q.c.host.StateWritable, "the state cannot be written"))
	}},
	{GateClock, false, true, (*gateRequest).clock},
	{GateRecovered, false, true, (*gateRequest).recovered},
	{GateSafeMode, false, true, (*gateRequest).safeMode},
	{GatePause, false, true, (*gateRequest).pause},
	{GateStart, false, true, (*gateRequest).startObservation},
	{GateConflict, true, true, func(q *gateRequest) answer { return openUnless(reasonIf(q.s.conflict, "its MAC is not its own")) }},
	{GateMaintenance, false, true, func(q *gateRequest) answer { return openUnless(reasonIf(q.s.maintenance, "in maintenance")) }},
	{GateQuarantine, false, true, (*gateRequest).quarantine},
	{GateLost, false, true, func(q *gateRequest) answer { return openUnless(reasonIf(q.s.r.Lost != 0, "lost after an action")) }},
	{GateFlapping, false, true, (*gateRequest).flapping},
	{GateNew, false, true, (*gateRequest).newDevice},
	{GateFresh, false, true, (*gateRequest).fresh},
	{GateYoung, false, true, (*gateRequest).uptimeGate},
	{GateTuning, false, true, (*gateRequest).tuning},
	{GateConfig, false, true, (*gateRequest).afterConfig},
	{GateCooling, false, false, (*gateRequest).cooling},
	{GateWindow, false, true, (*gateRequest).window},
	{GateUnfit, false, true, (*gateRequest).fitness},
	{GateUploads, false, true, (*gateRequest).uploads},
	{GateIsolation, false, true, closedBy("isolation")},
	{GateBoot, false, true, closedBy("fleet_boot")},
	{GatePool, false, true, (*gateRequest).pool},
	{GateDomain, false, true, closedBy("domain")},
	{GateSchema, false, true, closedBy("schema")},
	{GateForeign, false, true, closedBy("foreign")},
	{GateStorm, false, true, closedBy("storm")},
	{GateScope, false, true, closedBy("scope")},
	{GateEfficacy, false, false, (*gateRequest).efficacy},
	{GateHarm, false, true, closedBy("harm")},
	{GateInFlight, true, true, (*gateRequest).inFlight},
	{GateHold, false, false, (*gateRequest).holdDown},
	{GateInterval, false, false, (*gateRequest).interval},
	{GateGap, false, true, (*gateRequest).gap},
	{GateDevice, false, true, (*gateRequest).deviceBudget},
	{GateBenefit, false, false, (*gateRequest).benefit},
	{GateFlight, false, true, (*gateRequest).flight},
	{GateDomainSlots, false, true, (*gateRequest).domainFlight},
	{GateRollouts, false, true, (*gateRequest).rolloutShare},
	{GateSpacing, false, true, (*gateRequest).spacing},
	{GateHour, false, true, (*gateRequest).hour},
	{GateDay, false, true, (*gateRequest).day},
	{GateExternal, false, true, (*gateRequest).external},
	{GateRollout, false, true, (*gateRequest).rollout},
	{GateWave, false, true, (*gateRequest).wave},
}

// Gates returns the names of all gates in order.
func Gates() []Gate {
	names := make([]Gate, len(gates))
	for i := range gates {
		names[i] = gates[i].name
	}
	return names
}

// WithoutGate returns the policy with one gate always open. It wants a test, since it
// exists to prove that each gate is needed.
func WithoutGate(t interface{ Helper() }, p Policy, name Gate) Policy {
	t.Helper()
	p.without = name
	return p
}

// ask asks every gate that is about the question.
func (q *gateRequest) ask() []GateState {
	out := make([]GateState, 0, len(gates))
	for i := range gates {
		g := &gates[i]
		if !g.write && q.step == nil || q.kind.heals() && (g.name == GateRollout || g.name == GateWave) ||
			q.upgrade == nil && (g.name == GateUnfit || g.name == GateUploads) {
			continue
		}
		var a answer
		if g.name == q.c.p.without {
			a = yes("switched off by a test")
		} else {
			a = g.ask(q)
		}
		out = append(out, GateState{g.name, a.open, a.detail, Until{Span(a.wait), a.open || a.wait > 0}})
	}
	return out
}

func reasonIf(condition bool, why string) string {
	if condition {
		return why
	}
	return ""
}

func (q *gateRequest) clock() answer {
	t := &q.c.m.run.time
	if !t.trusted {
		return no(max(0, trustAfter-t.alive), "the clock is not trusted yet")
	}
	if wait := t.jumpPause(q.c.p.JumpPause); wait > 0 {
		return no(wait, "the clock has jumped")
	}
	return yes("")
}

func (q *gateRequest) recovered() answer {
	if r := q.c.m.Fleet.Recovered; r != nil && !r.Acked {
		if wait := q.c.p.Breakers.RecoveredObserve - q.c.now.Since(r.At); wait > 0 {
			return no(wait, "memory lost: %s", r.Reason)
		}
	}
	return yes("")
}

func (q *gateRequest) safeMode() answer {
	if s := q.c.m.Fleet.SafeMode; s != nil {
		return no(q.c.p.Breakers.SafeFor-q.c.now.Since(s.At), "%s", s.Reason)
	}
	return yes("")
}

func (q *gateRequest) pause() answer {
	if p := q.c.m.paused(Paused, q.s.f, q.c.now); p != nil {
		wait := time.Duration(0)
		if !p.UntilResume {
			wait = time.Duration(p.Until - q.c.now)
		}
		return no(wait, "%s by %s: %s", p.ID, p.Owner, p.Reason)
	}
	return yes("")
}

func (q *gateRequest) startObservation() answer {
	if q.change != nil {
		r, alive, w := &q.c.p.Rollout, q.c.m.run.time.alive, q.s.w
		if alive < r.Start || w.samples < r.Samples {
			return no(max(r.Start-alive, time.Duration(r.Samples-w.samples)*q.c.p.Poll), "the healer is up for %s, %d samples", ShortDuration(alive), w.samples)
		}
		return yes("")
	}
	if q.c.starting(q.s) {
		left := q.c.p.StartObserve - q.c.m.run.time.alive
		missing := time.Duration(q.c.p.StartSamples-q.s.w.samples) * q.c.p.Poll
		return no(max(left, missing), "the healer is up for %s, %d samples", ShortDuration(q.c.m.run.time.alive), q.s.w.samples)
	}
	return yes("")
}

func (q *gateRequest) quarantine() answer {
	if m := q.s.r.Quarantine; m != nil {
		return no(0, "quarantined by %s: %s", m.By, m.Reason)
	}
	return yes("")
}

func (q *gateRequest) flapping() answer {
	if f := q.s.r.Flapping; f != 0 {
		return no(q.s.p.Device.FlappingStable-q.c.now.Since(f), "it restarts by itself")
	}
	return yes("")
}

// newDevice lets a dragon be watched before it is judged. What it is to be is no
// judgement: until it has been told it may be working for somebody else.
func (q *gateRequest) newDevice() answer {
	if q.change != nil {
		return yes("")
	}
	watched := q.c.now.Since(q.s.r.Observe)
	if watched < q.c.p.NewObserve || q.s.r.Samples < q.c.p.NewSamples {
		missing := time.Duration(q.c.p.NewSamples-q.s.r.Samples) * q.c.p.Poll
		return no(max(q.c.p.NewObserve-watched, missing), "watched for %s, %d samples", ShortDuration(watched), q.s.r.Samples)
	}
	return yes("")
}

func (q *gateRequest) fresh() answer {
	w := q.s.w
	at, seen := w.at, w.seen
	if q.step != nil && q.reason == NotMining { // it gives no samples: that is what is wrong
		at, seen = max(at, w.bare), seen || w.bare != 0
	}
	if w.misses > 0 || q.s.f.Status != Reached || !seen || q.c.now.Since(at) > 2*q.c.p.Poll {
		return no(0, "no fresh sample (%s)", word(q.s.f.Status))
	}
	if q.step != nil && !w.evidence[q.s.fired].lastBad() {
		return no(0, "the last %d samples are not all bad", freshInRow)
	}
	return yes("")
}

func word(r ReadStatus) string {
	if r == Untried {
		return "never read"
	}
	return string(r)
}

func (q *gateRequest) uptimeGate() answer {
	f := q.s.f
	if up, ok := f.Uptime.Get(); q.change != nil && max(up, f.Elapsed.Or(0)) >= q.c.p.Rollout.Boot.Seconds() {
		return yes("")
	} else if q.change != nil && ok {
		return no(q.c.p.Rollout.Boot-seconds(up), "up for %s", ShortDuration(seconds(up)))
	}
	if booted(f, &q.s.p.Grace) {
		return yes("")
	}
	up := max(f.Uptime.Or(-1), f.Elapsed.Or(-1))
	if up < 0 {
		return no(0, "its uptime is unknown")
	}
	return no(q.s.p.Grace.SystemBoot-seconds(up), "up for %s", ShortDuration(seconds(up)))
}

// tuning keeps its hands off a tuning dragon: a restart throws the work away. Boards
// that are dead or missing do not come back by tuning, and tuning that never ends is
// a complaint of its own.
func (q *gateRequest) tuning() answer {
	if !q.s.w.tuning {
		return yes("")
	}
	switch q.reason {
	case DeadBoard, Missing, TuningStuck, NotMining:
		return yes("tuning, which does not matter for " + string(q.reason))
	}
	if q.change != nil {
		return yes("tuning, perhaps for somebody else")
	}
	if q.step != nil && q.c.now.Since(q.s.w.tuned) > q.s.p.Grace.TuningMax { // nothing is lost by a restart
		return yes("stuck in tuning")
	}
	return no(0, "tuning for %s", ShortDuration(q.c.now.Since(q.s.w.tuned)))
}

func (q *gateRequest) afterConfig() answer {
	if u := q.s.r.Upgrade; q.change != nil && !q.change.Restore && u != nil && u.Phase == UpgradeVerifying {
		return no(0, "its new firmware is being measured") // another mode would be held against that
	}
	a := q.s.r.last(func(a *Action) bool { return a.Kind == Configure || a.Kind == Upgrade })
	if a == nil || q.change != nil { // that one has its gap, and its budget
		return yes("")
	}
	if wait := q.s.p.Grace.AfterConfig - q.c.now.Since(a.At); wait > 0 {
		return no(wait, "%s written %s ago", a.Kind, ShortDuration(q.c.now.Since(a.At)))
	}
	return yes("")
}

// cooling waits until a board that died of heat is cold. A dead board may report the
// temperature that it died with for ever; then time has to do. Whatever else a dragon
// suffers from, while it overheats its next boards die of heat, and a restart helps none.
func (q *gateRequest) cooling() answer {
	if q.reason == "" {
		return yes("")
	}
	h, w := &q.s.p.Heat, q.s.w
	limit := h.Crit
	if q.reason == DeadHot {
		limit = h.Warn
	}
	if t, ok := q.s.f.hottest().Get(); ok && t >= limit {
		return no(0, "the other boards are at %.0fC", t)
	}
	for i := range q.s.f.Boards {
		b := &q.s.f.Boards[i]
		if !b.dead() || !slices.Contains(q.s.r.DeadHot, b.Slot) {
			continue
		}
		bw := w.board(b.Slot, q.c.now)
		if wait := h.CoolFor - q.c.now.Since(bw.died); wait > 0 {
			return no(wait, "board %d died %s ago", b.Slot, ShortDuration(q.c.now.Since(bw.died)))
		}
		frozen := q.c.now.Since(bw.changed) >= h.CoolFor
		if t, ok := b.Temperature.Get(); ok && t >= h.CoolBelow && !frozen {
			return no(0, "board %d is at %.0fC", b.Slot, t)
		}
	}
	return yes("")
}

func (q *gateRequest) window() answer {
	if a := q.firmwareWindow(); !a.open {
		return a
	}
	if len(q.c.p.Windows) == 0 {
		return yes("")
	}
	for i := range q.c.p.Windows {
		if q.c.p.Windows[i].Open(q.c.m.run.time.last.Wall) {
			return yes("")
		}
	}
	return no(0, "outside the healing windows")
}

// pool holds those that suffer from a pool's outage. To be moved to another one that
// works is what helps them, and nobody is moved to one that does not.
func (q *gateRequest) pool() answer {
	if q.change != nil && len(q.change.want.Pools) > 0 {
		for _, p := range q.change.want.Pools {
			if q.c.m.breaker("pool", Text(dragon.PoolWithoutLogin(p.URL))) == nil {
				return yes("")
			}
		}
		return no(0, "all pools that it is to have are out")
	}
	if b := q.c.m.breaker("pool", q.s.poolHeld); b != nil {
		return q.breaker(b)
	}
	return yes("")
}

// closedBy makes the gate of a breaker.
func closedBy(name string) func(*gateRequest) answer {
	return func(q *gateRequest) answer {
		for _, scope := range scopesFor(name, q.s.f) {
			if b := q.c.m.breaker(name, scope); b != nil && b.covers(q.s.f, q.s.r) {
				if a := q.breaker(b); !a.open {
					return a
				}
			}
		}
		return yes("")
	}
}

func (q *gateRequest) breaker(b *Breaker) answer {
	switch {
	case q.change != nil && (b.State == BreakerHalfOpen || b.Slow): // only a cure can show that it is over
		return no(0, "%s: %s", b.State, b.Detail)
	case b.State == BreakerHalfOpen && b.Trial == "" && q.taken() == nil:
		return yes("half-open: this would be the trial")
	case b.State == BreakerHalfOpen:
		return no(0, "half-open: a trial is under way")
	case b.Slow:
		return q.slow(b)
	case b.Name == "pool" && q.reason != NoWorkLocal || b.State == BreakerLatched:
		return no(0, "%s: %s", b.State, b.Detail)
	}
	return no(max(0, time.Duration(b.Until-q.c.now)), "%s: %s", b.State, b.Detail)
}

// slow admits few actions at a time, and rarely.
func (q *gateRequest) slow(b *Breaker) answer {
	every, slots, used := q.c.slowEvery(b), q.c.slowSlots(b), q.c.flight
	if q.taken() != nil {
		used++
	}
	if used >= slots {
		return no(0, "slow mode: %d of %d in flight", used, slots)
	}
	for a := range q.c.m.Fleet.healing(every, q.c.now) {
		return no(every-q.c.now.Since(a.At), "slow mode: one in %s", ShortDuration(every))
	}
	return yes("slow mode")
}

func (q *gateRequest) efficacy() answer {
	if b := q.c.m.breaker("efficacy", ladderKey(q.reason, q.s.f.Model)); b != nil {
		return no(0, "latched: %s", b.Detail)
	}
	switch {
	case q.step.useless != "":
		return no(q.step.retry, "%s", q.step.useless)
	case q.step.first != "":
		return no(0, "%s tries %s first", q.step.first, q.kind)
	}
	return yes("")
}

func (q *gateRequest) inFlight() answer {
	if a := q.s.r.open(); a != nil {
		return no(0, "%s %s has no outcome yet", a.Kind, a.ID)
	}
	return yes("")
}

func (q *gateRequest) holdDown() answer {
	if q.step.hold > 0 {
		return no(q.step.hold, "%s after step %d", ShortDuration(holdOf(&q.s.p.Ladder, q.s.r.Rung)), q.s.r.Rung)
	}
	return yes("")
}

func (q *gateRequest) interval() answer {
	if q.step.interval > 0 {
		return no(q.step.interval, "%s is not acted on more often", q.reason)
	}
	return yes("")
}

func (q *gateRequest) gap() answer {
	if q.change != nil && q.s.w.unsent != 0 {
		if wait := unsentGap - q.c.now.Since(q.s.w.unsent); wait > 0 {
			return no(wait, "it could not be written to %s ago", ShortDuration(q.c.now.Since(q.s.w.unsent)))
		}
	}
	var last Moment
	for i := range q.s.r.Actions {
		last = max(last, q.s.r.Actions[i].At)
	}
	if len(q.s.r.Actions) == 0 || q.change != nil && q.change.Restore {
		return yes("")
	}
	if wait := q.s.p.Device.MinGap - q.c.now.Since(last); wait > 0 {
		return no(wait, "written to %s ago", ShortDuration(q.c.now.Since(last)))
	}
	return yes("")
}

func (q *gateRequest) deviceBudget() answer {
	r, d, now := q.s.r, &q.s.p.Device, q.c.now
	limit := func(kind Kind, window time.Duration, most int) answer {
		used := count(r, kind, window, now)
		detail := fmt.Sprintf("%s %d/%d in %s", kind, used, most, ShortDuration(window))
		if used < most {
			return yes(detail)
		}
		for i := range r.Actions {
			if a := &r.Actions[i]; a.Kind == kind && now.Since(a.At) < window {
				return answer{detail: detail, wait: window - now.Since(a.At)}
			}
		}
		return answer{detail: detail}
	}
	switch q.kind {
	case Configure:
		if q.change != nil && q.change.Restore {
			return yes("")
		}
		a := limit(Configure, day, d.ConfigWrites24h)
		if n := rollbacks(r, day, now); !a.open && count(r, Configure, day, now)-n < d.ConfigWrites24h {
			return yes(fmt.Sprintf("%s, %d of them undoings", a.detail, n))
		}
		return a
	case Restart:
		return limit(Restart, day, d.Restarts24h)
	case Reboot:
		if a := limit(Reboot, day, d.Reboots24h); !a.open {
			return a
		}
		if f := &q.c.m.Fleet; f.charged(week, now) {
			return no(week-now.Since(f.Recovered.At), "memory lost: the reboots of %s count as used up", ShortDuration(week))
		}
		return limit(Reboot, week, d.Reboots7d)
	}
	return yes("")
}

func (q *gateRequest) benefit() answer {
	b := q.step.benefit
	if b == nil {
		return yes("")
	}
	if !b.Known {
		return yes("nothing to compute it from")
	}
	detail := fmt.Sprintf("p %.2f: gain %s over a day, cost %s", b.Chance, Hashes(b.Gain), Hashes(b.Cost))
	// A dragon that earns nothing has nothing to lose.
	return answer{open: b.Gain >= b.Cost, detail: detail}
}

func (q *gateRequest) flight() answer {
	limit := q.c.p.Fleet.flightLimit(q.c.n)
	used := q.c.flight
	if q.taken() != nil {
		used++
	}
	return answer{open: used < limit, detail: fmt.Sprintf("%d/%d", used, limit)}
}

func (q *gateRequest) domainFlight() answer {
	domain := q.s.f.Domain
	limit, used := q.c.p.Fleet.domainLimit(q.c.domainSize[domain]), q.c.flightDomain[domain]
	if g := q.taken(); g != nil && g.f.Domain == domain {
		used++
	}
	return answer{open: used < limit, detail: fmt.Sprintf("%s %d/%d", domain, used, limit)}
}

// rolloutShare leaves half of the slots to the healer.
func (q *gateRequest) rolloutShare() answer {
	if q.step != nil {
		return yes("")
	}
	limit := max(1, q.c.p.Fleet.RolloutShare.floorOf(q.c.p.Fleet.flightLimit(q.c.n)))
	return answer{open: q.c.rollouts < limit, detail: fmt.Sprintf("%d/%d", q.c.rollouts, limit)}
}

func (q *gateRequest) spacing() answer {
	if g := q.taken(); g != nil {
		return no(q.c.p.Fleet.Spacing, "after %s", g.f.Worker)
	}
	ring := q.c.m.Fleet.Ring
	if len(ring) == 0 {
		return yes("")
	}
	last := ring[len(ring)-1]
	if wait := q.c.p.Fleet.SpacingAfter(q.c.p.Seed, last.ID, q.c.n) - q.c.now.Since(last.At); wait > 0 {
		return no(wait, "the last write was %s ago", ShortDuration(q.c.now.Since(last.At)))
	}
	return yes("")
}

// hour bounds the writes of an hour, day the dragons of a day: what was begun with one may
// be brought to an end.
func (q *gateRequest) hour() answer {
	return q.rate(time.Hour, q.c.m.Fleet.begun(time.Hour, q.c.now), q.c.p.Fleet.hourLimit(q.c.n))
}

func (q *gateRequest) day() answer {
	treated := q.c.treatedToday()
	if treated[q.s.f.MAC] && !q.c.m.Fleet.charged(day, q.c.now) {
		return yes("treated already")
	}
	return q.rate(day, len(treated), q.c.p.Fleet.dayLimit(q.c.n))
}

// rate bounds what is done to heal. What brings a wish to the dragons goes by waves.
func (q *gateRequest) rate(window time.Duration, used, limit int) answer {
	f := &q.c.m.Fleet
	if !q.kind.heals() {
		return yes("")
	}
	if q.taken() != nil {
		used++
	}
	wait := f.nextFree(window, q.c.now)
	if f.charged(window, q.c.now) {
		used, wait = max(used, limit), window-q.c.now.Since(f.Recovered.At)
	}
	return answer{open: used < limit, detail: fmt.Sprintf("%d/%d", used, limit), wait: wait}
}

// rollout lets one dragon try a new wish before the others get it.
func (q *gateRequest) rollout() answer {
	if q.change == nil || q.change.Restore {
		return yes("")
	}
	ro := q.change.ro
	if b := q.c.m.breaker("rollout", ro.ID); b != nil {
		return no(0, "%s: %s", b.State, b.Detail)
	}
	switch ro.State {
	case RolloutCanary:
		return no(0, "%s tries it first", q.c.m.name(ro.Canary))
	case RolloutWaiting:
		return yes("this would be the canary")
	}
	return yes(string(ro.State))
}

// wave is the pace at which dragons are changed.
func (q *gateRequest) wave() answer {
	if q.kind != Configure || q.change != nil && q.change.Restore {
		return yes("")
	}
	p := &q.c.p.Rollout
	limit, used := p.wave(q.c.n), q.c.m.Fleet.changed(Configure, p.Every, q.c.now)
	a := answer{open: used < limit, detail: fmt.Sprintf("%d/%d in %s", used, limit, ShortDuration(p.Every))}
	if !a.open {
		a.wait = q.c.m.Fleet.nextChange(Configure, p.Every, q.c.now)
	}
	return a
}

func (q *gateRequest) external() answer {
	a := q.c.external()
	if q.upgrade != nil && a.open && q.c.p.External.Query != "" && q.c.host.External.Err != "" {
		a.open = false // firmware is in no hurry
	}
	return a
}

func (c *cycle) external() answer {
	e, p := &c.host.External, &c.p.External
	switch {
	case p.Query == "":
		return yes("")
	case !e.Asked:
		return no(0, "not asked yet")
	case e.Err != "":
		return answer{open: p.OnError == "allow", detail: "cannot be asked: " + e.Err}
	}
	return answer{open: e.Open, detail: e.Detail}
}
