package healer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// BreakerState is how far a breaker is open. It is the value of its metric.
type BreakerState int

// The states of a breaker. A latched one is closed by a human only.
const (
	BreakerClosed   BreakerState = 0
	BreakerHalfOpen BreakerState = 1
	BreakerOpen     BreakerState = 2
	BreakerLatched  BreakerState = 3
)

func (s BreakerState) String() string {
	return [...]string{"closed", "half-open", "open", "latched"}[s]
}

// Breaker is a reason to leave dragons alone that is not closed. Name says which:
//
//	storm       many dragons are sick, or out of reach
//	scope       the same within a pool, domain, model or firmware (Scope is model=T1)
//	pool        a pool is down, or was (Scope is its URL)
//	domain      a fault domain is out of reach, or was
//	isolation   the healer is cut off
//	fleet_boot  the power was off
//	schema      a firmware version cannot be read
//	foreign     somebody else restarts dragons (Scope is a MAC, or empty for the fleet)
//	efficacy    what is done does not help (Scope is action/reason/model)
//	harm        what is done does harm
//	rollout     a changed wish does not work (Scope is the rollout)
type Breaker struct {
	Name   string       `json:"name"`
	Scope  string       `json:"scope,omitempty"`
	State  BreakerState `json:"state"`
	Since  Moment       `json:"since"`           // when it opened first; a trial that fails does not change it
	Until  Moment       `json:"until,omitempty"` // open at least so long
	Blind  Moment       `json:"blind,omitempty"` // since when no upstream cause has been seen that explains it
	Slow   bool         `json:"slow,omitempty"`  // one action at a time is allowed, rarely
	Trial  string       `json:"trial,omitempty"` // the action that decides whether it closes
	Detail string       `json:"detail"`
}

// Key tells a breaker from any other.
func (b *Breaker) Key() string { return b.Name + "\x00" + b.Scope }

// scopesFor lists the scopes of the breakers of a name that concern a dragon.
func scopesFor(name string, f *Facts) []string {
	switch name {
	case "pool":
		urls := make([]string, len(f.Pools))
		for i := range f.Pools {
			urls[i] = f.Pools[i].URL
		}
		return urls
	case "domain":
		return []string{f.Domain}
	case "schema":
		return []string{f.Firmware}
	case "foreign":
		return []string{"", f.MAC}
	case "scope":
		return scopesOf(f)
	}
	return []string{""}
}

// covers reports whether a breaker concerns a dragon.
func (b *Breaker) covers(f *Facts) bool { return slices.Contains(scopesFor(b.Name, f), b.Scope) }

// condition is what a breaker is shown in every cycle, also when nothing is wrong.
type condition struct {
	name, scope string
	tripped     bool          // the reason to open is there
	clear       bool          // it is so far gone that it may close; neither: it stays
	hold        time.Duration // open at least so long after it tripped last
	cooldown    time.Duration // clear for so long before it closes
	halfOpen    bool          // and then one action must succeed first
	slow        bool          // may go into slow mode
	detail      string
}

// track moves a breaker by one cycle.
func (c *cycle) track(x condition) {
	b := c.m.breaker(x.name, x.scope)
	if b == nil {
		if x.tripped {
			c.m.open(&Breaker{Name: x.name, Scope: x.scope, State: BreakerOpen, Since: c.now, Until: c.now.Add(x.hold), Blind: c.now, Detail: x.detail})
			c.auditBreaker(Hold, x.name, x.scope, x.detail)
		}
		return
	}
	if b.State == BreakerLatched {
		return
	}
	key := b.Key()
	if x.tripped {
		if b.State == BreakerHalfOpen {
			// It was as good as over: this is another time, and its cause is looked for anew.
			b.State, b.Trial, b.Blind = BreakerOpen, "", c.now
			c.auditBreaker(Hold, x.name, x.scope, x.detail)
			c.m.TouchFleet()
		}
		// A hold is extended by every new reason, and stored when that makes a difference.
		if until := c.now.Add(x.hold); x.hold > 0 && until.Since(b.Until) >= time.Minute {
			b.Until = until
			c.m.TouchFleet()
		}
		if b.Detail != x.detail {
			b.Detail = x.detail
			c.m.TouchFleet()
		}
	}
	if !x.clear {
		delete(c.m.run.clearSince, key)
		c.slow(b, x)
		return
	}
	if c.m.run.clearSince[key] == 0 {
		c.m.run.clearSince[key] = c.now
	}
	quiet := c.now.Since(c.m.run.clearSince[key])
	if c.now < b.Until || quiet < x.cooldown {
		c.slow(b, x)
		return
	}
	if x.halfOpen && b.State == BreakerOpen {
		b.State, b.Slow = BreakerHalfOpen, false
		c.m.run.clearSince[key] = c.now
		c.m.TouchFleet()
		return
	}
	// Half open with nobody sick, nothing can be tried, and after another cooldown
	// nothing has to be.
	if b.State == BreakerHalfOpen && (b.Trial != "" || quiet < c.p.Breakers.Cooldown || c.anySick(b)) {
		return
	}
	c.drop(b.Name, b.Scope)
}

// slow lets a breaker that has been open for long, without any upstream cause that
// would explain it, admit one action at a time. Else a farm of three with two broken
// machines would never be healed.
func (c *cycle) slow(b *Breaker, x condition) {
	if !x.slow {
		return
	}
	if c.upstream() != "" {
		b.Blind, b.Slow = c.now, false
		c.m.TouchFleet()
		return
	}
	if !b.Slow && b.State == BreakerOpen && c.now.Since(b.Blind) >= c.p.Breakers.SlowAfter {
		b.Slow = true
		c.m.TouchFleet()
	}
}

func (c *cycle) anySick(b *Breaker) bool {
	return slices.ContainsFunc(c.all, func(s *subject) bool {
		return s.counts && s.sick() && b.covers(s.f)
	})
}

// drop closes a breaker.
func (c *cycle) drop(name, scope string) {
	if b := c.m.breaker(name, scope); b != nil {
		c.m.closeBreaker(b)
		c.auditBreaker(Resume, name, scope, "")
	}
}

func (m *Memory) breaker(name, scope string) *Breaker {
	if i, ok := m.findBreaker(name, scope); ok {
		return m.Fleet.Breakers[i]
	}
	return nil
}

func (m *Memory) findBreaker(name, scope string) (int, bool) {
	return slices.BinarySearchFunc(m.Fleet.Breakers, name, func(b *Breaker, name string) int {
		return cmp.Or(cmp.Compare(b.Name, name), cmp.Compare(b.Scope, scope))
	})
}

func (m *Memory) open(b *Breaker) {
	i, _ := m.findBreaker(b.Name, b.Scope)
	m.Fleet.Breakers = slices.Insert(m.Fleet.Breakers, i, b)
	delete(m.run.clearSince, b.Key())
	m.TouchFleet()
}

func (m *Memory) closeBreaker(b *Breaker) {
	m.Fleet.Breakers = slices.DeleteFunc(slices.Clone(m.Fleet.Breakers), func(x *Breaker) bool { return x == b })
	delete(m.run.clearSince, b.Key())
	m.TouchFleet()
}

// breakers counts the sick and the silent, and shows the numbers to the breakers that
// go by them. They are evaluated in every cycle, also with nobody sick.
func (c *cycle) breakers() {
	bp := &c.p.Breakers
	type tally struct{ n, sick, fresh, silent int }
	var fleet tally
	scopes := make(map[string]*tally)
	hot := 0
	for _, s := range c.all {
		if s.conflict {
			continue
		}
		s.counts = !s.maintenance && s.r.Quarantine == nil && c.now.Since(max(s.r.LastSeen, s.w.ok)) < 24*time.Hour
		if !s.counts {
			continue
		}
		open := s.r.open() // who is under treatment still counts; who is only configured was not sick
		sick := s.sick() || (s.r.State == StateSettling || s.r.State == StateActing) && (open == nil || open.heals())
		count := func(t *tally) {
			t.n++
			if sick {
				t.sick++
			}
			if s.sick() && c.now.Since(s.r.SickSince) < bp.StormFreshFor {
				t.fresh++
			}
			if s.silent {
				t.silent++
			}
		}
		count(&fleet)
		for _, name := range scopesOf(s.f) {
			t := scopes[name]
			if t == nil {
				t = new(tally)
				scopes[name] = t
			}
			count(t)
		}
		if s.w.evidence[rank(Hot)].fired {
			hot++
		}
	}
	c.n = fleet.n
	c.siteHot = fleet.n > 0 && hot >= atLeast(c.p.Causes.SiteHot, fleet.n, 2)
	c.out.SiteHot = c.siteHot

	storm, fresh := atLeast(bp.Storm, c.n, bp.Floor), atLeast(bp.StormFresh, c.n, bp.Floor)
	silent := atLeast(bp.Unreachable, c.n, bp.Floor)
	c.out.Counts.N, c.out.Counts.Sick, c.out.Counts.Storm, c.out.Counts.Silent = c.n, fleet.sick, storm, fleet.silent
	// Half of the limit, or below, is clear: with a limit of two, one sick dragon must
	// not keep the storm alive.
	c.track(condition{name: "storm",
		tripped:  fleet.sick >= storm || fleet.fresh >= fresh || fleet.silent >= silent,
		clear:    2*fleet.sick <= storm && 2*fleet.fresh <= fresh && 2*fleet.silent <= silent,
		detail:   fmt.Sprintf("%d sick, %d of them new, %d unreachable of %d", fleet.sick, fleet.fresh, fleet.silent, c.n),
		cooldown: bp.Cooldown, halfOpen: true, slow: true})
	for _, name := range slices.Sorted(maps.Keys(scopes)) {
		t := scopes[name]
		limit := atLeast(bp.Scope, t.n, bp.ScopeFloor)
		c.track(condition{name: "scope", scope: name, tripped: t.n >= bp.ScopeFloor && t.sick >= limit, clear: 2*t.sick <= limit,
			detail: fmt.Sprintf("%d of %d sick", t.sick, t.n), cooldown: bp.Cooldown, halfOpen: true, slow: true})
	}
	for _, b := range slices.Clone(c.m.Fleet.Breakers) {
		if b.Name == "scope" && scopes[b.Scope] == nil || b.Name == "schema" && !c.hasFirmware(b.Scope) {
			c.track(condition{name: b.Name, scope: b.Scope, clear: true, cooldown: bp.Cooldown, detail: b.Detail})
		}
	}
	c.foreign()
	c.harm()
	c.out.Breakers = make([]Breaker, len(c.m.Fleet.Breakers))
	for i, b := range c.m.Fleet.Breakers {
		c.out.Breakers[i] = *b
	}
}

func (c *cycle) hasFirmware(name string) bool {
	return slices.ContainsFunc(c.all, func(s *subject) bool {
		return !s.conflict && s.f.Firmware == name && (s.f.Status == Reached || s.f.Status == BadResponse)
	})
}

// scopesOf lists what a dragon has in common with others.
func scopesOf(f *Facts) []string {
	out := make([]string, 0, 4)
	out = append(out, "domain="+f.Domain, "model="+f.Model, "firmware="+f.Firmware)
	for i := range f.Pools {
		if f.Pools[i].Active && f.Pools[i].URL != "" {
			return append(out, "pool="+f.Pools[i].URL)
		}
	}
	return out
}

// foreign looks for restarts that nobody explains: a second healer, a timer on the
// dragons, a human with a script.
func (c *cycle) foreign() {
	bp := &c.p.Breakers
	dragons := 0
	var newest []Moment
	for _, s := range c.all {
		if s.conflict || s.maintenance {
			continue
		}
		n := 0
		for _, x := range s.r.Restarts {
			if x.Cause == CauseUnknown && c.now.Since(x.At) < time.Hour {
				if n++; n == 1 {
					newest = append(newest, x.At)
				}
				newest[len(newest)-1] = max(newest[len(newest)-1], x.At)
			}
		}
		if n == 0 && c.m.breaker("foreign", s.f.MAC) == nil {
			continue
		}
		// A dragon that flaps all by itself is known to; it says nothing about the others,
		// unless a good part of the farm does so at the same time.
		if n > 0 && s.r.Flapping == 0 {
			dragons++
		}
		tripped := n >= bp.ForeignOnOne && s.r.Flapping == 0
		c.track(condition{name: "foreign", scope: s.f.MAC, tripped: tripped, clear: !tripped, hold: bp.ForeignHold,
			detail: fmt.Sprintf("%d unexplained restarts in an hour", n)})
	}
	slices.Sort(newest)
	together := most(newest, c.p.Causes.BootSpan)
	if together >= atLeast(c.p.Causes.BootFleet, c.n, c.p.Causes.BootFloor) {
		dragons = max(dragons, together)
	}
	boot := c.m.breaker("fleet_boot", "")
	tripped := dragons >= atLeast(bp.ForeignShare, c.n, bp.ForeignDevices) && (boot == nil || boot.State != BreakerOpen)
	c.track(condition{name: "foreign", tripped: tripped, clear: !tripped, hold: bp.ForeignHold, halfOpen: true,
		detail: fmt.Sprintf("unexplained restarts of %d dragons in an hour", dragons)})
}

// harm latches everything when actions have cost dragons.
func (c *cycle) harm() {
	f := &c.m.Fleet
	if n := len(f.Harm); n > 0 && c.now.Since(f.Harm[0]) >= 24*time.Hour {
		f.Harm = slices.DeleteFunc(slices.Clone(f.Harm), func(m Moment) bool { return c.now.Since(m) >= 24*time.Hour })
		c.m.TouchFleet()
	}
	if len(f.Harm) >= c.p.Breakers.HarmMax && c.m.breaker("harm", "") == nil {
		c.latch("harm", "", fmt.Sprintf("%d dragons lost or worse after an action in 24h", len(f.Harm)))
	}
}

func (c *cycle) latch(name, scope, detail string) {
	if b := c.m.breaker(name, scope); b != nil {
		return
	}
	c.m.open(&Breaker{Name: name, Scope: scope, State: BreakerLatched, Since: c.now, Detail: detail})
	c.auditBreaker(Hold, name, scope, detail)
}

func efficacyKey(kind Kind, reason Reason, model string) string {
	return strings.Join([]string{string(kind), string(reason), model}, "/")
}

// tally remembers how an action of the ladder ended, and latches the efficacy
// breaker when that kind of action no longer helps.
func (c *cycle) tally(a *Action, model string) {
	key := efficacyKey(a.Kind, a.Reason, model)
	o := c.m.Fleet.Outcomes[key]
	if o == nil {
		o = &Outcomes{Totals: make(map[Outcome]int)}
		c.m.Fleet.Outcomes[key] = o
	}
	if o.Totals == nil {
		o.Totals = make(map[Outcome]int)
	}
	o.Totals[a.Outcome]++
	switch n := len(o.Last); {
	case a.Outcome == NotKnown: // says nothing of what helps
	case a.Outcome == Relapsed:
		// It was counted as a success; the newest success turns out to be none.
		o.Totals[Recovered]--
		for i := n - 1; i >= 0; i-- {
			if o.Last[i] {
				o.Last[i] = false
				break
			}
		}
	default:
		o.Last = append(o.Last, a.Outcome == Recovered)
		o.Last = slices.Clone(o.Last[max(0, n+1-c.p.Breakers.EfficacyOf):])
	}
	c.m.TouchFleet()
	good := 0
	for _, ok := range o.Last {
		if ok {
			good++
		}
	}
	if len(o.Last) >= c.p.Breakers.EfficacyOf && good < c.p.Breakers.EfficacyMin {
		c.latch("efficacy", key, fmt.Sprintf("%d of the last %d helped", good, len(o.Last)))
	}
}
