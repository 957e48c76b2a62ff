package healer

import "time"

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
	case c.upstream() != "":
		if b.Slow || c.now.Since(b.Blind) > 0 {
			b.Blind, b.Slow, b.Pace, b.Wins = c.now, false, 0, 0
			c.m.TouchFleet()
		}
		return
	}
	if !b.Slow && b.State == BreakerOpen && c.now.Since(b.Blind) >= after {
		b.Slow, b.Pace, b.Wins = true, 0, 0
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
// failures. A step that leaves a stronger one to try has not failed yet.
func (c *cycle) learnPace(s *subject, a *Action) {
	if a.Outcome == NotKnown || a.Outcome == NotExecuted && a.Result.NotExecuted() {
		return
	}
	i := rank(a.Reason)
	harmless := a.Kind == Restart && i < len(detectors) && a.Rung < detectors[i].maxRung && (a.Outcome == NoEffect || a.Outcome == NotExecuted)
	for _, b := range c.m.Fleet.Breakers {
		if !b.Slow || !b.covers(s.f, s.r) || harmless {
			continue
		}
		switch {
		case a.Outcome != Recovered:
			b.Pace, b.Wins = max(paceLeast, b.Pace-1), 0
		case b.Wins+1 < winsToDouble:
			b.Wins++
		default:
			b.Pace, b.Wins = min(paceMost, b.Pace+1), 0
		}
		c.m.TouchFleet()
	}
}

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
