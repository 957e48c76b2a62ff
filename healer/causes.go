package healer

import (
	"fmt"
	"slices"
	"time"
)

// causes finds common causes, before any dragon is judged.
func (c *cycle) causes() {
	c.poolsDown()
	c.domainsDown()
	c.isolated()
	c.fleetBoot()
	c.schemaDrift()
}

// atLeast is a limit that is a part of n with a floor.
func atLeast(part Ratio, n, floor int) int { return max(floor, part.ceilOf(n)) }

// poolsDown finds the pools that are out for many of their members.
func (c *cycle) poolsDown() {
	type pool struct{ members, bad, fine, able int }
	pools := make(map[string]*pool)
	c.earned, c.workless = make(map[string]bool), make(map[string]bool)
	for _, s := range c.all {
		if s.conflict || !s.w.seen || c.now.Since(s.w.at) > c.gap(s) || !s.f.HasSample {
			continue
		}
		s.noWork = noWork(s.f)
		for j := range s.f.Pools {
			f := &s.f.Pools[j]
			if f.URL == "" || f.Status == "Disabled" || slices.ContainsFunc(s.f.Pools[:j], f.same) {
				continue
			}
			idle := j < len(s.w.pools) && c.now.Since(s.w.pools[j].moved) >= c.p.Causes.PoolIdle
			s.idle = s.idle || f.Active && idle
			bad := !f.alive() || f.Active && idle
			if bad && s.r.gaveUpWork() {
				continue
			}
			p := entry(pools, f.URL)
			p.members++
			if s.r.Quarantine == nil && s.f.alive() > 0 {
				p.able++
			}
			c.earned[f.URL] = c.earned[f.URL] || f.Accepted.Or(0) > 0
			switch {
			case bad:
				p.bad++
			case !idle && j < len(s.w.pools) && s.w.pools[j].grew: // not one that has only just been heard of again
				p.fine++
				s.fineWith = append(s.fineWith, f.URL)
			}
		}
	}
	for _, url := range sortedKeys(pools) {
		p := pools[url]
		limit := atLeast(c.p.Causes.Pool, p.members, c.p.Causes.PoolFloor)
		down := p.bad >= limit
		c.track(condition{name: "pool", inside: true, scope: url, tripped: down, clear: !down, cooldown: c.p.Causes.PoolHold,
			detail: func() string { return fmt.Sprintf("%d of %d members without work", p.bad, p.members) }})
		c.workless[url] = p.bad == p.members && p.able > 0
		c.out.Pools = append(c.out.Pools, CauseState{url, p.members, p.bad, limit, down, c.m.breaker("pool", url) != nil})
	}
	// A pool without members keeps its hold, and then loses it.
	for _, b := range slices.Clone(c.m.Fleet.Breakers) {
		if b.Name == "pool" && pools[b.Scope] == nil {
			c.track(condition{name: "pool", inside: true, scope: b.Scope, clear: true, cooldown: c.p.Causes.PoolHold})
		}
	}
	for _, s := range c.all {
		if s.conflict {
			continue
		}
		slow, works := false, false
		for j := range s.f.Pools {
			url := s.f.Pools[j].URL
			// One that works for another pool does not suffer: a spare pool may be
			// dead for months.
			b := c.m.breaker("pool", url)
			if b != nil && (s.poolHeld == "" || slow && !b.Slow) && (s.f.Pools[j].Active || s.noWork) {
				s.poolHeld, slow = url, b.Slow // of two, the one that is not held for long
			}
			if p := pools[url]; p != nil {
				fine := p.fine
				if slices.Contains(s.fineWith, url) {
					fine--
				}
				s.fine = max(s.fine, fine)
				works = works || b == nil && fine >= c.p.Causes.Neighbours
			}
		}
		if works && s.noWork { // another of its pools works for others: its fault is its own
			s.poolHeld = ""
		}
	}
}

// gaveUpWork reports whether a dragon is in quarantine since it takes no work: that is known to
// be its own fault.
func (r *Record) gaveUpWork() bool {
	if r.Quarantine == nil {
		return false
	}
	a := r.last((*Action).heals)
	return a != nil && (a.Reason == Flatline || a.Reason == NoWorkLocal)
}

// same reports whether another pool counts as the same one of a dragon.
func (p *PoolFacts) same(o PoolFacts) bool { return o.URL == p.URL && o.Status != "Disabled" }

// noWork reports whether a dragon has no pool to work for.
func noWork(f *Facts) bool {
	any := false
	for i := range f.Pools {
		if f.Pools[i].alive() {
			return false
		}
		any = any || f.Pools[i].Status != ""
	}
	return any
}

// domainsDown finds the fault domains that have gone out of reach: many at once, not
// one by one over days.
func (c *cycle) domainsDown() {
	type domain struct {
		members int
		gone    []Moment
	}
	domains := make(map[string]*domain)
	for _, s := range c.all {
		if s.conflict || c.now.Since(max(s.r.LastSeen, s.w.ok)) >= 24*time.Hour {
			continue
		}
		d := entry(domains, s.f.Domain)
		d.members++
		if s.w.silent != 0 {
			d.gone = append(d.gone, s.w.silent)
		}
	}
	for _, name := range sortedKeys(domains) {
		d := domains[name]
		limit := atLeast(c.p.Causes.Domain, d.members, c.p.Causes.DomainFloor)
		slices.Sort(d.gone)
		down := most(d.gone, gapPolls*c.p.Poll) >= limit
		c.track(condition{name: "domain", inside: true, scope: name, tripped: down, clear: 2*len(d.gone) < limit,
			cooldown: c.p.Default.Grace.SystemBoot + c.p.Causes.DomainHold,
			detail:   func() string { return fmt.Sprintf("%d of %d unreachable", len(d.gone), d.members) }})
		b := c.m.breaker("domain", name)
		c.out.Domains = append(c.out.Domains, CauseState{name, d.members, len(d.gone), limit,
			b != nil && c.m.run.clearSince[b.Key()] == 0, b != nil})
	}
	for _, b := range slices.Clone(c.m.Fleet.Breakers) {
		if b.Name == "domain" && domains[b.Scope] == nil {
			c.track(condition{name: "domain", inside: true, scope: b.Scope, clear: true, cooldown: c.p.Causes.DomainHold})
		}
	}
}

// most is the largest number of sorted moments that lie within a span.
func most(sorted []Moment, span time.Duration) int {
	n, from := 0, 0
	for to := range sorted {
		for sorted[to].Since(sorted[from]) > span {
			from++
		}
		n = max(n, to-from+1)
	}
	return n
}

// isolated finds out whether it is the healer that is cut off.
func (c *cycle) isolated() {
	known, silent := 0, 0
	for _, s := range c.all {
		if s.conflict || c.now.Since(max(s.r.LastSeen, s.w.ok)) >= 24*time.Hour {
			continue
		}
		known++
		if s.silent {
			silent++
		}
	}
	cut := float64(silent) > float64(c.p.Causes.Isolation)*float64(known)
	detail := fmt.Sprintf("%d of %d unreachable", silent, known)
	if c.host.GatewayDown {
		detail = "the gateway does not answer"
	}
	tripped := cut || c.host.GatewayDown
	c.track(condition{name: "isolation", tripped: tripped, clear: !tripped, cooldown: c.p.Breakers.Cooldown, detail: func() string { return detail }})
}

// fleetBoot finds out whether many dragons have booted together: the power was off.
func (c *cycle) fleetBoot() {
	var boots []Moment
	var booted []*subject
	counted := 0
	for _, s := range c.all {
		if s.conflict || !s.w.seen {
			continue
		}
		counted++
		age := c.now.Since(s.r.Boot)
		if s.r.Boot == 0 || age >= c.p.Causes.BootHold && !(s.w.tuning && age < s.p.Grace.TuningMax) || c.ours(s, s.r.Boot) {
			continue
		}
		boots, booted = append(boots, s.r.Boot), append(booted, s)
	}
	slices.Sort(boots)
	n := most(boots, c.p.Causes.BootSpan)
	limit := atLeast(c.p.Causes.BootFleet, counted, c.p.Causes.BootFloor)
	tripped := n >= limit
	if tripped {
		// A power cut does not make a dragon flap, and is not a foreign restart; what
		// happens later, while the healer waits for its end, does.
		together := func(at Moment) bool {
			from, _ := slices.BinarySearch(boots, at.Add(-c.p.Causes.BootSpan))
			to, _ := slices.BinarySearch(boots, at.Add(c.p.Causes.BootSpan)+1)
			return to-from >= limit
		}
		for _, s := range booted {
			for i := range s.r.Restarts {
				if x := &s.r.Restarts[i]; x.Cause == CauseUnknown && c.now.Since(x.At) < c.p.Causes.BootHold && together(x.At) {
					x.Cause = CauseFleet
					c.m.touch(s.f.MAC)
				}
			}
		}
		c.drop("foreign", "")
	}
	c.track(condition{name: "fleet_boot", tripped: tripped, clear: !tripped, halfOpen: true,
		detail: func() string {
			return fmt.Sprintf("%d dragons booted within %s", n, ShortDuration(c.p.Causes.BootSpan))
		}})
}

// ours reports whether the healer caused a start of the dragon at a moment.
func (c *cycle) ours(s *subject, at Moment) bool {
	return slices.ContainsFunc(s.r.Restarts, func(x RestartSeen) bool {
		return x.Cause == CauseHealer && time.Duration(x.At-at).Abs() <= bootTolerance
	})
}

// schemaDrift finds the firmware versions that many dragons cannot be read with.
func (c *cycle) schemaDrift() {
	type version struct{ members, bad int }
	versions := make(map[string]*version)
	for _, s := range c.all {
		if s.conflict || s.f.Status != Reached && s.f.Status != BadResponse {
			continue
		}
		v := entry(versions, s.f.Firmware)
		v.members++
		if s.w.invalid {
			v.bad++
		}
	}
	for _, name := range sortedKeys(versions) {
		v := versions[name]
		tripped := v.bad >= atLeast(c.p.Causes.Schema, v.members, c.p.Causes.SchemaFloor)
		c.track(condition{name: "schema", inside: true, scope: name, tripped: tripped, clear: !tripped, cooldown: c.p.Breakers.Cooldown,
			detail: func() string { return fmt.Sprintf("%d of %d readings invalid", v.bad, v.members) }})
	}
}

// ofAll is the open breaker of a cause of the whole fleet, or nil.
func (c *cycle) ofAll() *Breaker {
	for _, name := range [...]string{"isolation", "fleet_boot"} {
		if b := c.m.breaker(name, ""); b != nil && b.State == BreakerOpen {
			return b
		}
	}
	return nil
}

// covered reports whether a common cause holds the dragon: its pool, its site, its
// firmware, or a stranger who restarts it. Then its fault says nothing about the others.
func (c *cycle) covered(s *subject) bool {
	if s.poolHeld != "" {
		return true
	}
	for _, name := range [...]string{"domain", "schema", "foreign"} {
		if !c.m.anyBreaker(name) {
			continue
		}
		for _, scope := range scopesFor(name, s.f) {
			if b := c.m.breaker(name, scope); b != nil && b.State == BreakerOpen && b.covers(s.f, s.r) {
				return true
			}
		}
	}
	return false
}
