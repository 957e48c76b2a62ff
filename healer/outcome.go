package healer

import "time"

// conclude reads off the dragon's own clock what an action of ours did to it. The
// slot is free only once that is known.
func (c *cycle) conclude(s *subject) {
	if s.conflict {
		return
	}
	a := s.r.open()
	if a == nil {
		return
	}
	if a.Proof == 0 && s.fresh && s.w.at > a.At {
		if at, ok := c.proof(s, a); ok {
			a.Proof = max(at, a.At)
			c.m.touch(s.f.MAC)
		}
	}
	if c.lost(s, a) {
		c.end(s, a, LostOutcome, "")
		s.r.Lost = c.now
		if ro := c.rolloutFor(a); ro != nil {
			c.failed(ro, s.f.MAC, "it did not come back", c.members(ro))
		}
		return
	}
	if a.Kind == Configure {
		c.concludeChange(s, a)
		return
	}
	if a.Kind != Restart && a.Kind != Reboot {
		return // whoever wrote it knows what to look for: see Conclude
	}
	if a.Proof == 0 {
		// It answers, and its clock has not gone back: nothing happened. The charge
		// stays, and the next step is the next rung: an unknown outcome is not repeated.
		if c.now.Since(a.At) >= s.p.Ladder.LostAfter && s.fresh && s.f.Uptime.IsKnown() && s.f.Elapsed.IsKnown() {
			c.end(s, a, NotExecuted, "its clock never went back")
		}
		return
	}
	due := c.judgeAfter(s, a)
	if waited := c.now.Since(a.At); waited >= due && s.fresh {
		if outcome := c.outcome(s, a); outcome != Open {
			c.end(s, a, outcome, "")
			return
		}
	}
	// Silence is failure, too.
	if c.now.Since(a.At) >= due+s.p.Grace.TuningMax {
		c.end(s, a, NoEffect, "no verdict in time")
	}
}

// rolloutFor is the rollout that an action brings a wish for; nil: it does not.
func (c *cycle) rolloutFor(a *Action) *Rollout {
	if a.Change == nil || a.Change.Restore {
		return nil
	}
	return c.m.rollout(a.Change.Rollout)
}

// window is how long after an action one looks for its verdict at least, where nothing can
// be seen of the dragon.
func (c *cycle) window(s *subject, a *Action) time.Duration {
	switch f := &c.p.Firmware; a.Kind {
	case Configure:
		return max(excusedFor, c.p.Rollout.CanaryWait+2*s.p.Ladder.LostAfter)
	case Upgrade:
		return f.Uploading + f.Rebooting + f.Telling + f.Hashing
	}
	return s.p.Ladder.Judge + c.m.TuneTime(s.f.Model)
}

const contested = "its MAC is claimed by another dragon"

// giveUp ends what was begun with dragons whose MAC others claim by now, when its time is
// over: nobody can tell of whom the outcome would be read, and their places in flight would
// keep all others from being healed. What is rolled out has not shown that it works: a canary
// aborts the rollout of its wish, and pauses that of its firmware.
func (c *cycle) giveUp() {
	if c.m.run.time.alive < upgradeGrace {
		return
	}
	for _, s := range c.frozen {
		over := false
		if a := s.r.open(); a != nil {
			if c.now.Since(a.At) < c.window(s, a) {
				continue
			}
			c.end(s, a, NotKnown, contested)
			if ro := c.rolloutFor(a); ro != nil {
				c.failed(ro, s.f.MAC, contested, c.members(ro))
			}
			over = a.Kind == Upgrade || s.r.Upgrade != nil && s.r.Upgrade.Reboot == a.ID
		}
		u, f := s.r.Upgrade, &c.p.Firmware
		if u == nil || u.Phase.Over() {
			continue
		}
		switch age := c.now.Since(u.Since); u.Phase {
		case UpgradeVerifying:
			over = over || age >= f.Verify
		case UpgradeSoaking:
			over = over || age >= f.soak(u.Wave)+f.Hashing
		default: // its action is what it waited for
			over = true
		}
		if ro := c.m.FirmwareRollout(u.Rollout); over && ro != nil {
			c.unclear(s, ro, u, contested)
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
	e, ok := s.f.Elapsed.Get()
	if !ok {
		return 0, false
	}
	start := s.w.at.Add(-seconds(e))
	// The clock of the mining process also starts anew when tuning ends, so an old
	// one that was young anyway proves nothing.
	if start < from || a.Before.Elapsed >= 0 && e >= a.Before.Elapsed+c.now.Since(a.At).Seconds()-sendSlack.Seconds() {
		return 0, false
	}
	return start, true
}

// lost reports whether the dragon has been gone for too long after an action, and
// nothing else explains that.
func (c *cycle) lost(s *subject, a *Action) bool {
	if s.w.misses == 0 || c.now.Since(max(a.At, s.w.silent)) < s.p.Ladder.LostAfter {
		return false
	}
	if c.m.breaker("isolation", "") != nil || c.m.breaker("domain", s.f.Domain) != nil {
		return false
	}
	return true
}

// judgeAfter is how long after an action it is judged.
func (c *cycle) judgeAfter(s *subject, a *Action) time.Duration {
	l := &s.p.Ladder
	if a.Kind == Restart && (a.Reason == DeadBoard || a.Reason == Missing) {
		return l.JudgeBoards
	}
	return l.Judge + c.m.TuneTime(s.f.Model)
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
	case a.Reason == TuningStuck && s.w.tuning: // its time has begun anew with our restart
		return NoEffect
	case ev.lastBad():
		return NoEffect
	case s.sick():
		return NoEffect
	case ev.goodRun() >= goodInARow && ev.n >= goodInARow && !s.w.doubtful():
		return Recovered
	}
	return Open
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
	ended := Ended{MAC: s.f.MAC, Action: *a, Lost: c.cost(s, a)}
	if outcome == Recovered && a.heals() {
		if s.r.SickSince != 0 {
			ended.Sick = c.now.Since(s.r.SickSince)
		}
		s.r.SickSince = 0
		s.r.State, s.r.Since = StateProbation, c.now
	}
	c.out.Ended = append(c.out.Ended, ended)
	if outcome == LostOutcome || outcome == Worse {
		c.m.Fleet.Harm = append(c.m.Fleet.Harm, c.now)
		c.m.TouchFleet()
	}
	if a.Actor == HealerActor {
		c.tally(a, s.f.Model)
	}
	c.tried(a.ID, outcome)
	c.flight--
	c.flightDomain[s.f.Domain]--
	if a.Actor != HealerActor {
		c.rollouts--
	}
	c.auditOutcome(s, a)
}

// cost is what the dragon would have done since the action at the rate it had, less
// what it did. The counters began anew with the action.
func (c *cycle) cost(s *subject, a *Action) float64 {
	if a.Before.Rate < 0 || a.Outcome == NotExecuted || a.Outcome == NotKnown {
		return 0
	}
	lost := a.Before.Rate * c.now.Since(a.At).Seconds()
	if !s.fresh {
		return lost
	}
	for i := range s.f.Boards {
		lost -= s.f.Boards[i].Hashes.Or(0)
	}
	return lost
}

// relapse turns a recovery that did not last into what it was.
func (c *cycle) relapse(s *subject, a *Action) {
	a.Outcome = Relapsed
	c.m.touch(s.f.MAC)
	c.out.Ended = append(c.out.Ended, Ended{MAC: s.f.MAC, Action: *a})
	if a.Actor == HealerActor {
		c.tally(a, s.f.Model)
	}
	c.auditOutcome(s, a)
}

// tried closes or opens the breakers that had made the action their trial.
func (c *cycle) tried(id string, outcome Outcome) {
	for _, b := range append([]*Breaker(nil), c.m.Fleet.Breakers...) {
		if b.Trial != id {
			continue
		}
		if outcome == Recovered {
			c.drop(b.Name, b.Scope)
			continue
		}
		b.State, b.Trial, b.Until = BreakerOpen, "", c.now.Add(c.p.Breakers.Reopen)
		c.m.TouchFleet()
		c.auditBreaker(Hold, b.Name, b.Scope, "the trial "+id+" ended "+string(outcome))
	}
}

// sample is the state of the dragon as an action's before and after.
func (s *subject) sample() Sample {
	return Sample{Uptime: s.f.Uptime.Or(-1), Elapsed: s.f.Elapsed.Or(-1), Rate: s.w.rate.Or(-1), Boards: s.f.alive()}
}
