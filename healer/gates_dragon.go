package healer

import (
	"fmt"
	"slices"
	"time"
)

func (q *gateRequest) clock() answer {
	t := &q.c.m.run.time
	if !t.trusted {
		return no(max(0, trustAfter-t.alive), "the clock is not trusted yet")
	}
	return closedFor(t.jumpPause(q.c.p.JumpPause), "the clock has jumped")
}

func (q *gateRequest) recovered() answer {
	if r := q.c.m.Fleet.Recovered; r != nil && !r.Acked {
		return closedFor(q.c.p.Breakers.RecoveredObserve-q.c.now.Since(r.At), "memory lost: %s", r.Reason)
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
	start, samples := q.c.p.StartObserve, q.c.p.StartSamples
	if q.change != nil {
		start, samples = q.c.p.Rollout.Start, q.c.p.Rollout.Samples
	}
	if q.c.starting(q.s, start, samples) {
		alive, seen := q.c.m.run.time.alive, q.s.w.samples
		missing := time.Duration(samples-seen) * q.c.p.Poll
		return no(max(start-alive, missing), "the healer is up for %s, %d samples", ShortDuration(alive), seen)
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

// newDevice lets the healer watch a dragon before it judges it. Its desired state is not a
// judgement: until it is configured it may work for someone else.
func (q *gateRequest) newDevice() answer {
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
	if q.step != nil && detectors[q.s.fired].bare { // it gives no samples: that is what is wrong
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
	if up := q.s.w.up(f, q.c.now).Or(-1); booted(f, &q.s.p.Grace) || q.reason == NotMining && up >= q.s.p.Grace.SystemBoot.Seconds() {
		return yes("")
	}
	up := max(f.Uptime.Or(-1), f.Elapsed.Or(-1))
	if up < 0 {
		return no(0, "its uptime is unknown")
	}
	return no(q.s.p.Grace.SystemBoot-seconds(up), "up for %s", ShortDuration(seconds(up)))
}

// tuning holds actions on a dragon that tunes: a restart throws the work away. Boards
// that are dead or missing do not come back by tuning, and for tuning that never ends there is
// a detector.
func (q *gateRequest) tuning() answer {
	if !q.s.w.tuning {
		return yes("")
	}
	if d := detectorOf(q.reason); d != nil && d.tuning {
		return yes("tuning, which does not matter for " + string(q.reason))
	}
	if q.change != nil {
		return yes("tuning, perhaps for someone else")
	}
	if q.step != nil && q.c.now.Since(q.s.w.tuned) > q.s.p.Grace.TuningMax { // nothing is lost by a restart
		return yes("stuck in tuning")
	}
	return no(0, "tuning for %s", ShortDuration(q.c.now.Since(q.s.w.tuned)))
}

func (q *gateRequest) afterConfig() answer {
	if u := q.s.r.Upgrade; q.change != nil && u != nil && u.Phase == UpgradeVerifying {
		return no(0, "its new firmware is being measured") // another mode would be held against that
	}
	a := q.s.r.last(func(a *Action) bool { return a.Kind == Configure || a.Kind == Upgrade })
	if a == nil || q.change != nil { // that one has its gap, and its budget
		return yes("")
	}
	age := q.c.now.Since(a.At)
	return closedFor(q.s.p.Grace.AfterConfig-age, "%s written %s ago", a.Kind, ShortDuration(age))
}

// cooling waits until a board that died of heat is cold. A dead board may report the
// temperature that it died with forever: then the gate waits for a time. While a dragon
// overheats, more boards may die of heat, and a restart does not help, whatever else is wrong.
func (q *gateRequest) cooling() answer {
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
	now := q.c.m.run.time.last.Wall
	if q.upgrade != nil && !allowed(q.c.p.Firmware.Windows, now) {
		return no(0, "outside the windows for firmware")
	}
	return closedIf(!allowed(q.c.p.Windows, now), "outside the healing windows")
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
	return closedFor(q.step.hold, "%s after step %d", ShortDuration(holdOf(&q.s.p.Ladder, q.s.r.Rung)), q.s.r.Rung)
}

func (q *gateRequest) interval() answer {
	return closedFor(q.step.interval, "%s is not acted on more often", q.reason)
}

func (q *gateRequest) gap() answer {
	if q.s.w.unsent != 0 && q.write() != requests {
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
	age := q.c.now.Since(last)
	return closedFor(q.s.p.Device.MinGap-age, "written to %s ago", ShortDuration(age))
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
		return q.configBudget()
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
	switch {
	case !b.Known && q.s.r.Costly != 0: // for a while, after a gap
		return no(0, "its rate is not known, and it did not pay before")
	case !b.Known:
		return yes("nothing to compute it from")
	}
	detail := fmt.Sprintf("p %.2f: gain %s over a day, cost %s", b.Chance, Hashes(b.Gain), Hashes(b.Cost))
	// A dragon that earns nothing has nothing to lose.
	return answer{open: b.Gain >= b.Cost, detail: detail}
}
