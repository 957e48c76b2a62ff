package healer

import (
	"slices"
	"time"
)

// slow lets a breaker admit a few actions when it has been open for long and no upstream cause
// explains it. Without it a farm of three with two broken machines would never be healed.
// A cause that holds only its own members goes into slow mode too.
func (c *cycle) slow(b *Breaker, x condition) {
	after := c.p.Breakers.SlowAfter
	switch {
	case x.inside:
		after = c.p.Breakers.SlowInside
	case !x.slow:
		return
	case c.siteHot || c.ofAll() != nil: // a cause of some dragons does not explain it, see covered
		if b.Slow || c.now.Since(b.Blind) > 0 {
			b.Blind, b.Slow = c.now, false
			b.forgetPace()
			c.m.TouchFleet()
		}
		return
	}
	if !b.Slow && b.State == BreakerOpen && c.now.Since(b.Blind) >= after {
		b.Slow = true
		b.forgetPace()
		c.m.TouchFleet()
	}
}

const (
	winsToDouble = 2  // verified successes that double the pace of slow mode
	paceLeast    = -4 // the pace is halved at most four times: then a storm of something else almost stops
	paceMost     = 10
)

// learnPace moves the pace of slow mode by how an action of the ladder ended: a storm of
// truly broken dragons is over in a day, a storm of something else stops at its first
// failures. Once a dragon was cured, failures stop nothing: some are broken for good. A step
// that leaves a stronger one to try has not failed yet, and a dragon fails once.
func (c *cycle) learnPace(s *subject, a *Action) {
	if a.Outcome == NotKnown || a.Outcome == NotExecuted && a.Result.NotExecuted() || c.leavesStronger(s, a) {
		return
	}
	for _, b := range c.m.Fleet.Breakers {
		if !b.Slow || !b.covers(s.f, s.r) {
			continue
		}
		switch {
		case a.Outcome != Recovered:
			if c.failedSince(s, b.Since, a) {
				continue
			}
			least := paceLeast
			if b.Cured {
				least = 0
			}
			b.Pace, b.Wins = max(least, b.Pace-1), 0
		case b.Pace < 0:
			b.Pace, b.Wins, b.Cured = 0, 0, true
		case b.Wins+1 < winsToDouble:
			b.Wins, b.Cured = b.Wins+1, true
		default:
			b.Pace, b.Wins, b.Cured = min(paceMost, b.Pace+1), 0, true
		}
		c.m.TouchFleet()
	}
}

// leavesStronger reports whether a restart did nothing, and a reboot comes next.
func (c *cycle) leavesStronger(s *subject, a *Action) bool {
	i, steps := rank(a.Reason), s.p.Ladder.Steps
	return a.Kind == Restart && i < len(detectors) && a.Rung < min(detectors[i].maxRung, len(steps)) && slices.Contains(steps[a.Rung:], Reboot) &&
		!c.m.Fleet.charged(week, c.now) && (a.Outcome == NoEffect || a.Outcome == NotExecuted)
}

// failedSince reports whether another action of the ladder has failed on the dragon since then.
func (c *cycle) failedSince(s *subject, since Moment, but *Action) bool {
	return nil != s.r.last(func(a *Action) bool {
		return a.ID != but.ID && a.heals() && a.At >= since && a.Outcome != Open && a.Outcome != Recovered && a.Outcome != NotKnown && !c.leavesStronger(s, a)
	})
}

// forgetPace starts slow mode from its beginning.
func (b *Breaker) forgetPace() { b.Pace, b.Wins, b.Cured = 0, 0, false }

// slowSlots and slowEvery are how many writes may be in flight in slow mode, and how far
// apart they begin: at most half of what is normal.
func (c *cycle) slowSlots(b *Breaker) int {
	return max(1, min(1<<max(0, b.Pace), c.p.Fleet.flightLimit(c.n)/2))
}

func (c *cycle) slowEvery(b *Breaker) time.Duration {
	every := c.p.Breakers.SlowEvery
	if b.Pace < 0 {
		return every << -b.Pace
	}
	normal := time.Hour / time.Duration(max(1, c.p.Fleet.hourLimit(c.n)))
	return max(every>>b.Pace, min(every, 2*normal))
}
