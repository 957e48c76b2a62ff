package healer

import (
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"time"
)

// The ceilings. No configuration reaches them, and they know nothing of policy: they
// are what holds if everything above them is wrong.
const (
	ceilingGap      = 10 * time.Minute // between any two writes to one dragon
	ceilingReboots  = 6                // of one dragon in 24 h
	ceilingDomain   = 0.25             // of a fault domain in flight, at least one
	ceilingFlight   = 0.10             // of the fleet in flight, at least one
	ceilingDay      = 0.25             // of the fleet written to in 24 h, to heal it
	ceilingDayFloor = 6
	ceilingChanges  = 4    // configurations of one dragon in 24 h
	ceilingPace     = 0.10 // of the fleet configured in ceilingPaceFor, at least ceilingPaceFloor
	ceilingPaceFor  = 10 * time.Minute

	ceilingPaceFloor = 3
	day              = 24 * time.Hour
)

// flightLimit is how many writes may be without an outcome at one time.
func (p *FleetPolicy) flightLimit(n int) int {
	return max(p.InFlightMin, min(p.InFlightMax, p.InFlight.floorOf(n)))
}

// hourLimit is how many writes may begin in an hour, dayLimit how many dragons they may go
// to in a day.
func (p *FleetPolicy) hourLimit(n int) int { return max(p.PerHourMin, p.PerHour.ceilOf(n)) }
func (p *FleetPolicy) dayLimit(n int) int  { return max(p.PerDayMin, p.PerDay.ceilOf(n)) }

// domainLimit is how many of a fault domain may be in flight.
func (p *FleetPolicy) domainLimit(members int) int {
	if members >= p.BigDomain {
		return 2 * p.PerDomain
	}
	return p.PerDomain
}

// SpacingAfter is the time between two writes to n dragons: jittered, but the same for the
// same write, and short enough for the hour's budget to be used.
func (p *FleetPolicy) SpacingAfter(seed uint64, after string, n int) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%s", seed, after)
	spread := 2*float64(h.Sum64())/float64(math.MaxUint64) - 1
	between := min(p.Spacing, time.Hour/time.Duration(max(1, p.hourLimit(n))))
	return time.Duration(float64(between) * (1 + float64(p.SpacingJitter)*spread))
}

// writes yields the writes of some kinds that began within a window, the newest first.
func (f *FleetRecord) writes(kinds func(Kind) bool, window time.Duration, now Moment) iter.Seq[*FleetAction] {
	return func(yield func(*FleetAction) bool) {
		for i := len(f.Ring) - 1; i >= 0 && now.Since(f.Ring[i].At) < window; i-- {
			if kinds(f.Ring[i].Kind) && !yield(&f.Ring[i]) {
				return
			}
		}
	}
}

// begun counts the writes of some kinds that began within a window. free is how long until the
// oldest of them leaves it.
func (f *FleetRecord) begun(kinds func(Kind) bool, window time.Duration, now Moment) (n int, free time.Duration) {
	for a := range f.writes(kinds, window, now) {
		n, free = n+1, window-now.Since(a.At)
	}
	return n, free
}

// treated is the dragons that were written to within a window to heal them: a restart
// and a reboot of one dragon are one treatment.
func (f *FleetRecord) treated(window time.Duration, now Moment) map[string]bool {
	macs := make(map[string]bool)
	for a := range f.writes(Kind.heals, window, now) {
		macs[a.MAC] = true
	}
	return macs
}

// treatedToday is the same for a day, found once in a cycle.
func (c *cycle) treatedToday() map[string]bool {
	if c.today == nil {
		c.today = c.m.Fleet.treated(day, c.now)
	}
	return c.today
}

// charged reports whether the budgets of a window count as used up, because it is
// not known what was done in it.
func (f *FleetRecord) charged(window time.Duration, now Moment) bool {
	return f.Recovered != nil && now.Since(f.Recovered.At) < window
}

// Interlock is the last word before a write: identity aside, it asks only the
// compiled-in ceilings, and the error says which of them. It may be asked before the
// intent and again after it: the action with the ID intended does not count against
// itself.
func (m *Memory) Interlock(now Instant, mac string, kind Kind, intended string) error {
	t := m.Moment(now)
	r := m.Dragons[mac]
	if r == nil {
		return fmt.Errorf("interlock: %s is no known dragon", mac)
	}
	if m.Fleet.charged(ceilingGap, t) {
		return fmt.Errorf("interlock: the healer's memory was lost less than %s ago", ShortDuration(ceilingGap))
	}
	reboots, changes := 0, 0
	for i := range r.Actions {
		a := &r.Actions[i]
		if a.ID == intended {
			continue
		}
		if t.Since(a.At) < ceilingGap {
			return fmt.Errorf("interlock: %s was written to %s ago, less than %s", r.Who.Worker, ShortDuration(t.Since(a.At)), ShortDuration(ceilingGap))
		}
		if a.Kind == Reboot && t.Since(a.At) < day {
			reboots++
		}
		if a.Kind == Configure && t.Since(a.At) < day {
			changes++
		}
	}
	if kind == Configure && changes >= ceilingChanges {
		return fmt.Errorf("interlock: %s was configured %d times in 24h", r.Who.Worker, changes)
	}
	if kind == Reboot && reboots >= ceilingReboots {
		return fmt.Errorf("interlock: %s was rebooted %d times in 24h", r.Who.Worker, reboots)
	}
	known, flight, members, domain := 0, 0, 0, 0
	for _, x := range m.Dragons {
		known++
		same := x.Who.Domain == r.Who.Domain
		if same {
			members++
		}
		if a := x.open(); a != nil && a.ID != intended {
			flight++
			if same {
				domain++
			}
		}
	}
	if limit := max(1, Ratio(ceilingFlight).floorOf(known)); flight >= limit {
		return fmt.Errorf("interlock: %d writes in flight, at most %d of %d dragons", flight, limit, known)
	}
	if limit := max(1, Ratio(ceilingDomain).floorOf(members)); domain >= limit {
		return fmt.Errorf("interlock: %d writes in flight in %s, at most %d of %d dragons", domain, r.Who.Domain, limit, members)
	}
	pace, treated := 0, m.Fleet.treated(day, t)
	delete(treated, mac)
	for _, a := range m.Fleet.Ring {
		if a.ID != intended && a.Kind == Configure && t.Since(a.At) < ceilingPaceFor {
			pace++
		}
	}
	if kind == Configure {
		if limit := max(ceilingPaceFloor, Ratio(ceilingPace).floorOf(known)); pace >= limit {
			return fmt.Errorf("interlock: %d dragons configured in %s, at most %d of %d", pace, ShortDuration(ceilingPaceFor), limit, known)
		}
		return nil
	}
	if limit := max(ceilingDayFloor, Ratio(ceilingDay).floorOf(known)); len(treated) >= limit {
		return fmt.Errorf("interlock: %d dragons written to in 24h, at most %d of %d", len(treated), limit, known)
	}
	return nil
}
