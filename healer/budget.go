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

// used is how much of the limit of a window counts as used.
func (f *FleetRecord) used(window time.Duration, known, limit int, now Moment) int {
	if f.charged(window, now) {
		return max(known, limit)
	}
	return known
}

// Interlock is the last word before a write: identity aside, it asks only the
// compiled-in ceilings, and the error says which of them. It may be asked before the
// intent and again after it: the action with the ID intended does not count against
// itself.
func (m *Memory) Interlock(now Instant, mac string, kind Kind, intended string) error {
	if _, err := m.ceiling(m.Moment(now), mac, kind, intended); err != nil {
		return fmt.Errorf("interlock: %w", err)
	}
	return nil
}

// ceiling is Interlock with the time until the ceiling allows the write again; 0: not known.
func (m *Memory) ceiling(t Moment, mac string, kind Kind, intended string) (wait time.Duration, err error) {
	r := m.Dragons[mac]
	if r == nil {
		return 0, fmt.Errorf("%s is not a known dragon", mac)
	}
	if m.Fleet.charged(ceilingGap, t) {
		return ceilingGap - t.Since(m.Fleet.Recovered.At), fmt.Errorf("the healer's memory was lost less than %s ago", ShortDuration(ceilingGap))
	}
	if wait, err = r.ceiling(t, kind, intended); err != nil {
		return wait, err
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
		return 0, fmt.Errorf("%d writes in flight, at most %d of %d dragons", flight, limit, known)
	}
	if limit := max(1, Ratio(ceilingDomain).floorOf(members)); domain >= limit {
		return 0, fmt.Errorf("%d writes in flight in %s, at most %d of %d dragons", domain, r.Who.Domain, limit, members)
	}
	if kind == Configure {
		pace, free := m.Fleet.begun(Kind.configures, ceilingPaceFor, t)
		if a := m.Action(mac, intended); a != nil && a.Kind == Configure && t.Since(a.At) < ceilingPaceFor {
			pace--
		}
		if limit := fastWave(known); pace >= limit {
			return free, fmt.Errorf("%d dragons configured in %s, at most %d of %d", pace, ShortDuration(ceilingPaceFor), limit, known)
		}
		return 0, nil
	}
	treated := m.Fleet.treated(day, t)
	delete(treated, mac)
	if limit := max(ceilingDayFloor, Ratio(ceilingDay).floorOf(known)); len(treated) >= limit {
		_, free := m.Fleet.begun(Kind.heals, day, t)
		return free, fmt.Errorf("%d dragons written to in 24h, at most %d of %d", len(treated), limit, known)
	}
	return 0, nil
}

// ceiling is what is compiled in for one dragon.
func (r *Record) ceiling(t Moment, kind Kind, intended string) (wait time.Duration, err error) {
	used := 0
	for i := range r.Actions {
		a := &r.Actions[i]
		age := t.Since(a.At)
		switch {
		case a.ID == intended:
			continue
		case age < ceilingGap:
			return ceilingGap - age, fmt.Errorf("%s was written to %s ago, less than %s", r.Who.Worker, ShortDuration(age), ShortDuration(ceilingGap))
		case age >= day || a.Kind != kind:
			continue
		}
		if used++; used == 1 { // the oldest
			wait = day - age
		}
	}
	switch {
	case kind == Configure && used >= ceilingChanges:
		return wait, fmt.Errorf("%s was configured %d times in 24h", r.Who.Worker, used)
	case kind == Reboot && used >= ceilingReboots:
		return wait, fmt.Errorf("%s was rebooted %d times in 24h", r.Who.Worker, used)
	}
	return 0, nil
}
