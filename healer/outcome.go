package healer

import (
	"math"
	"slices"
	"time"
)

// conclude reads off the dragon's own clock what an action did to it. Until that is known, the
// action keeps its slot.
func (c *cycle) conclude(s *subject) {
	if s.conflict {
		return
	}
	a := s.r.open()
	if a == nil {
		c.loseLate(s)
		return
	}
	if a.Proof == 0 && (s.fresh && s.w.at > a.At || s.answered && a.Kind == Reboot) {
		if at, ok := c.proof(s, a); ok {
			a.Proof = max(at, a.At)
			c.m.touch(s.f.MAC)
			c.learnBoot(s, a)
		}
	}
	if c.lost(s, a) {
		c.lose(s, a, "it did not come back")
		return
	}
	if c.idle(s, a) {
		return
	}
	if !(a.Proof != 0 && c.seenLately(s)) && c.now.Since(a.At) >= c.deadline(s, a) && c.m.run.time.alive >= startGrace {
		// An action that cannot be judged keeps no slot forever, whatever the cause: silence,
		// a refused login, garbage, a clock that cannot be read.
		if why := c.hidden(s); why != "" {
			c.abandon(s, a, "no verdict in time: "+why)
		} else {
			c.lose(s, a, "no verdict in time")
		}
		return
	}
	if a.Kind == Configure {
		c.concludeChange(s, a)
		return
	}
	if a.Kind != Restart && a.Kind != Reboot {
		return // see watchUpgrade and Conclude
	}
	if a.Proof == 0 {
		c.unproved(s, a)
		return
	}
	due := c.judgeAfter(s, a)
	if waited := c.now.Since(a.At); waited >= due && s.fresh {
		if outcome := c.outcome(s, a); outcome != Open {
			c.end(s, a, outcome, "")
			return
		}
	}
	// What can be seen of the dragon may say nothing for long: it tunes, its pool is out. Others wait
	// for its place.
	if c.now.Since(a.At) >= due+min(verdictTimes*(s.p.Ladder.Judge+c.tunes(s)), s.p.Grace.TuningMax) {
		c.end(s, a, NotKnown, "no verdict in time")
	}
}

// idle ends an action after which the dragon answers, and its miner process does not, or has no
// board at all. Boards may appear late.
func (c *cycle) idle(s *subject, a *Action) bool {
	bare, due, note := s.fresh && len(s.f.Boards) == 0, c.judgeAfter(s, a), "its miner process does not answer"
	if bare {
		note = "its miner process has no board"
		if a.Reason != NotMining {
			due = max(due, c.settle(s))
		}
	}
	if !s.answered && !bare || !a.heals() || c.now.Since(a.At) < due || !s.w.evidence[rank(NotMining)].lastBad() {
		return false
	}
	outcome := Worse
	if a.Reason == NotMining {
		outcome = NoEffect
	}
	c.end(s, a, outcome, note)
	return true
}

// unproved ends an action that has left no trace on the dragon's clock. The charge stays,
// and the next step is the next rung: an unknown outcome is not repeated.
func (c *cycle) unproved(s *subject, a *Action) {
	if c.now.Since(a.At) < s.p.Ladder.LostAfter || !s.fresh || !s.f.Elapsed.IsKnown() {
		return
	}
	if a.Kind == Reboot && !s.f.Uptime.IsKnown() {
		// A reboot restarts the miner process as well: its clock shows it where the uptime
		// cannot be read.
		if at, ok := startedAfter(s, a, c.now); ok {
			a.Proof = max(at, a.At)
			c.m.touch(s.f.MAC)
			return
		}
	}
	c.end(s, a, NotExecuted, "its clock never went back")
}

// lose ends an action whose dragon did not come back, or gave no verdict until its
// deadline. The charge stays, the slot is free, and the dragon is left to a human.
func (c *cycle) lose(s *subject, a *Action, why string) {
	c.end(s, a, LostOutcome, why)
	s.r.Lost = c.now
	c.failRollout(s, a, why)
}

// abandon ends an action whose verdict is hidden by a common cause, or by another claim on the
// MAC: that says nothing of the action, so the dragon is neither lost nor harmed.
func (c *cycle) abandon(s *subject, a *Action, why string) {
	c.end(s, a, NotKnown, why)
	c.failRollout(s, a, why)
}

func (c *cycle) failRollout(s *subject, a *Action, why string) {
	if ro := c.rolloutFor(a); ro != nil {
		c.failed(ro, s.f.MAC, why)
	}
}

// maintained reports whether a dragon is in maintenance, or was within a time.
func (c *cycle) maintained(s *subject, within time.Duration) bool {
	return s.w.maintained != 0 && c.now.Since(s.w.maintained) < within
}

// hidden names what keeps a dragon out of sight, a common cause or people at work; empty: none.
func (c *cycle) hidden(s *subject) string {
	switch {
	case s.w.misses == 0:
		return ""
	case c.maintained(s, s.p.Ladder.LostAfter): // it may take a while to be on again
		return "it is in maintenance, or was just now"
	case c.m.breaker("isolation", "") != nil:
		return "the healer is isolated"
	case c.m.breaker("domain", s.f.Domain) != nil:
		return "its site is out of reach"
	}
	return ""
}

// startGrace is how long a process that has just started looks before it calls anything late.
const startGrace = 5 * time.Minute

const (
	verdictMost  = 24 * time.Hour // after its verdict was due, an action is over
	verdictTimes = 4              // or after so many settle times, if that is shorter
)

// deadline is how long after an action its outcome is known, or the dragon is lost.
func (c *cycle) deadline(s *subject, a *Action) time.Duration {
	if !a.heals() {
		return c.window(s, a) + verdictMost
	}
	return c.judgeAfter(s, a) + min(verdictMost, verdictTimes*c.settle(s))
}

// seenLately reports whether the dragon gives samples that can be judged.
func (c *cycle) seenLately(s *subject) bool { return s.w.seen && c.now.Since(s.w.at) <= c.gap(s) }

// rolloutFor is the rollout that an action configures its dragon for; nil: none.
func (c *cycle) rolloutFor(a *Action) *ConfigRollout {
	if a.Change == nil || a.Change.Restore {
		return nil
	}
	return c.m.configRollout(a.Change.Rollout)
}

// window is how long after an action its verdict is awaited at least, if nothing can
// be seen of the dragon.
func (c *cycle) window(s *subject, a *Action) time.Duration {
	switch f := &c.p.Firmware; a.Kind {
	case Configure:
		return max(excusedFor, c.p.Rollout.CanaryWait+2*s.p.Ladder.LostAfter)
	case Upgrade:
		return f.Uploading + f.Rebooting + f.Telling + f.Hashing
	}
	return c.settle(s)
}

const contested = "its MAC is claimed by another dragon"

// giveUp ends what was begun with dragons whose MAC others claim by now, when its time is
// over: nothing tells which dragon an outcome would be read from, and their places in flight
// would keep the others from being healed. A rollout has not been shown to work: a canary
// aborts a configuration, and pauses firmware.
func (c *cycle) giveUp() {
	if c.m.run.time.alive < startGrace {
		return
	}
	for _, s := range c.frozen {
		a := s.r.open()
		if a != nil && c.now.Since(a.At) < c.window(s, a) {
			continue
		}
		if a != nil {
			c.abandon(s, a, contested)
		}
		if u := s.r.Upgrade; u != nil && !u.Phase.Over() {
			c.giveUpUpgrade(s, a)
		}
	}
}

// proof looks whether the dragon's clock went back after the action was intended.
func (c *cycle) proof(s *subject, a *Action) (Moment, bool) {
	from := a.At.Add(-sendSlack)
	if a.Kind != Restart {
		if s.r.Boot >= from && s.f.Uptime.IsKnown() {
			return s.r.Boot, true
		}
		if a.Kind == Reboot || a.Kind == Upgrade {
			return 0, false
		}
	}
	return startedAfter(s, a, c.now)
}

// startedAfter looks whether the miner process started after the action was intended.
func startedAfter(s *subject, a *Action, now Moment) (Moment, bool) {
	e, ok := s.f.Elapsed.Get()
	if !ok {
		return 0, false
	}
	start := s.w.at.Add(-seconds(e))
	// The clock of the miner process also restarts when tuning ends, so an old one that was
	// young anyway proves nothing.
	if start < a.At.Add(-sendSlack) || a.Before.Elapsed >= 0 && e >= a.Before.Elapsed+now.Since(a.At).Seconds()-sendSlack.Seconds() {
		return 0, false
	}
	return start, true
}

// lost reports whether the dragon has been gone for too long after an action, and
// nothing else explains that.
func (c *cycle) lost(s *subject, a *Action) bool {
	return s.w.misses > 0 && c.now.Since(max(a.At, s.w.silent)) >= c.lostAfter(s, a.Kind) && c.hidden(s) == ""
}

const (
	bootsNeeded = 3   // reboots of a model that its boot time is learned from
	bootSlack   = 1.5 // times its 95th percentile before a dragon counts as lost
	bootsMost   = 4   // times the policy's own limit, at most
)

// lostAfter is how long a dragon may be silent after an action: as the policy says, and
// longer for a model that is known to boot slowly, or while it flashes firmware.
func (c *cycle) lostAfter(s *subject, kind Kind) time.Duration {
	limit := s.p.Ladder.LostAfter
	if boots := c.m.Fleet.Boots[s.f.Model]; len(boots) >= bootsNeeded {
		learned := seconds(bootSlack * percentile(slices.Clone(boots), 0.95))
		limit = min(max(limit, learned), bootsMost*limit)
	}
	if kind == Upgrade {
		limit = max(limit, c.p.Firmware.Rebooting)
	}
	return limit
}

// learnBoot learns how long a model takes from a reboot of ours to its first answer.
func (c *cycle) learnBoot(s *subject, a *Action) {
	if a.Kind != Reboot || !s.fresh {
		return
	}
	b := append(slices.Clone(c.m.Fleet.Boots[s.f.Model]), math.Round(s.w.at.Since(a.At).Seconds()))
	c.m.Fleet.Boots[s.f.Model] = b[max(0, len(b)-tunesKept):]
	c.m.TouchFleet()
}

// judgeAfter is how long after an action it is judged.
func (c *cycle) judgeAfter(s *subject, a *Action) time.Duration {
	switch d := detectorOf(a.Reason); {
	case a.Kind != Restart || d == nil:
	case d.boards:
		return s.p.Ladder.JudgeBoards
	case d.bare:
		return max(s.p.Ladder.JudgeBoards, d.need(s.p).For)
	}
	return c.settle(s)
}

// outcome judges by fresh evidence alone; Open where there is not enough of it yet.
func (c *cycle) outcome(s *subject, a *Action) Outcome {
	if s.f.alive() < a.Before.Boards {
		if s.f.Elapsed.Or(0) < s.p.Grace.MissingBoard.Seconds() || !booted(s.f, &s.p.Grace) {
			return Open // boards may appear late
		}
		return Worse
	}
	i := rank(a.Reason)
	if i >= len(detectors) { // a human's reboot, for no reason of ours
		if c.firmlyHealthy(s) {
			return Recovered
		}
		return Open
	}
	switch ev := &s.w.evidence[i]; {
	case a.Reason == TuningStuck && s.w.tuning: // its time has begun again with the restart
		return NoEffect
	case ev.lastBad():
		return NoEffect
	case s.sick() && !s.otherFault(a):
		return NoEffect
	case ev.goodRun() >= goodInARow && ev.n >= goodInARow && (s.sick() || !s.w.doubtful() || s.w.tuning && detectors[i].tuning):
		return Recovered // it may go on to tune for hours, which says nothing of a board that is there
	}
	return Open
}

// otherFault reports whether what a sick dragon suffers from is not what an action was for: the action brought
// a board back, or only a fault is left that must not climb, such as a broken sensor.
func (s *subject) otherFault(a *Action) bool {
	d := detectorOf(a.Reason)
	if d == nil || !s.sick() {
		return false
	}
	left := &detectors[s.fired]
	return d.boards && s.f.alive() > a.Before.Boards || d.maxRung > 1 && left.maxRung == 1 && left.reason != DeadHot
}

// end writes down how an action ended.
func (c *cycle) end(s *subject, a *Action, outcome Outcome, note string) {
	a.Outcome, a.Ended = outcome, c.now
	if note != "" {
		a.Note = note
	}
	if s.fresh {
		after := s.sample()
		a.After = &after
	}
	c.m.touch(s.f.MAC)
	ended := Ended{MAC: s.f.MAC, Action: *a}
	if outcome == Recovered && a.heals() {
		if s.r.SickSince != 0 {
			ended.Sick = c.now.Since(s.r.SickSince)
		}
		s.r.SickSince = 0
		s.r.State, s.r.Since = StateProbation, c.now
	}
	c.out.Ended = append(c.out.Ended, ended)
	if outcome == LostOutcome || outcome == Worse {
		c.harmed()
	}
	if a.Actor == HealerActor {
		c.tally(s, a)
		c.learnPace(s, a)
	}
	c.tried(s, a)
	c.flight--
	c.flightDomain[s.f.Domain]--
	if a.Actor != HealerActor {
		c.rollouts--
	}
	c.auditOutcome(s, a)
}

func (c *cycle) harmed() {
	c.m.Fleet.Harm = append(c.m.Fleet.Harm, c.now)
	c.m.TouchFleet()
}

// loseLate marks a dragon as lost whose action ended as unknown during an isolation or an outage
// of its site, if it is still silent when that is over. One that people had in their hands may be
// off. Whether the step would have helped stays unknown, so its efficacy does not count it.
func (c *cycle) loseLate(s *subject) {
	if len(s.r.Actions) == 0 {
		return
	}
	a := &s.r.Actions[len(s.r.Actions)-1]
	if !a.heals() || a.Outcome != NotKnown || s.w.silent > a.Ended || s.w.maintained > a.At || !c.lost(s, a) {
		return
	}
	a.Outcome, a.Ended, a.Note = LostOutcome, c.now, "it did not come back with the others"
	s.r.Lost = c.now
	c.m.touch(s.f.MAC)
	c.out.Ended = append(c.out.Ended, Ended{MAC: s.f.MAC, Action: *a})
	c.harmed()
	if a.Actor == HealerActor {
		c.learnPace(s, a)
	}
	c.auditOutcome(s, a)
}

// relapse records that a recovery did not last.
func (c *cycle) relapse(s *subject, a *Action) {
	a.Outcome = Relapsed
	c.m.touch(s.f.MAC)
	c.out.Ended = append(c.out.Ended, Ended{MAC: s.f.MAC, Action: *a})
	if a.Actor == HealerActor {
		c.tally(s, a)
		c.learnPace(s, a)
	}
	c.auditOutcome(s, a)
}

// tried closes or opens the breakers that had made the action their trial. A restart that
// leaves a reboot to try is not the end of a trial.
func (c *cycle) tried(s *subject, a *Action) {
	for _, b := range append([]*Breaker(nil), c.m.Fleet.Breakers...) {
		switch {
		case b.Trial != a.ID:
		case a.Outcome == Recovered:
			c.drop(b.Name, b.Scope)
		case c.leavesStronger(s, a):
			b.Trial = ""
			c.m.TouchFleet()
		case b.restarts() && a.Outcome == NoEffect && a.Proof != 0: // it came back, and is still sick of its own
			c.drop(b.Name, b.Scope)
		case b.restarts() && (a.Outcome == NoEffect || a.Outcome == NotExecuted): // it answers, and did not restart
			b.Trial = ""
			c.m.TouchFleet()
		default:
			b.State, b.Trial, b.Until = BreakerOpen, "", c.now.Add(c.p.Breakers.Reopen)
			c.m.TouchFleet()
			c.auditBreaker(Hold, b.Name, b.Scope, "the trial "+a.ID+" ended "+string(a.Outcome))
		}
	}
}

// sample is the state of the dragon as an action's before and after.
func (s *subject) sample() Sample {
	return Sample{Uptime: s.f.Uptime.Or(-1), Elapsed: s.f.Elapsed.Or(-1), Rate: s.w.rate.Or(-1), Boards: s.f.alive()}
}
