package healer

import (
	"cmp"
	"fmt"
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
//	foreign     someone else restarts dragons (Scope is a MAC, or empty for several)
//	efficacy    open: a step of the ladder does not help, and is skipped (Scope is step/reason/model);
//	            latched: the whole ladder does not (Scope is ladder/reason/model)
//	harm        actions do harm
//	rollout     the change of a rollout does not work (Scope is the rollout)
type Breaker struct {
	Name   string       `json:"name"`
	Scope  string       `json:"scope,omitempty"`
	State  BreakerState `json:"state"`
	Since  Moment       `json:"since"`           // when it opened first; a trial that fails does not change it
	Until  Moment       `json:"until,omitempty"` // open at least so long
	Blind  Moment       `json:"blind,omitempty"` // since when no upstream cause has been seen that explains it
	Slow   bool         `json:"slow,omitempty"`  // few actions are allowed, rarely: see Pace
	Pace   int          `json:"pace,omitempty"`  // in slow mode, how often its pace was doubled; negative: halved
	Wins   int          `json:"wins,omitempty"`  // verified successes since the pace changed last
	Cured  bool         `json:"cured,omitempty"` // slow mode has cured a dragon
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
		var names []string
		for _, key := range scopesOf(f) {
			if key.kind != "" {
				names = append(names, key.String())
			}
		}
		return names
	}
	return []string{""}
}

// covers reports whether a breaker concerns a dragon.
func (b *Breaker) covers(f *Facts, r *Record) bool {
	if b.Name == "foreign" && b.Scope == "" { // the dragons that were restarted, not all
		return slices.ContainsFunc(r.Restarts, func(x RestartSeen) bool {
			return x.Cause == CauseUnknown && x.At >= b.Since.Add(-time.Hour)
		})
	}
	return slices.Contains(scopesFor(b.Name, f), b.Scope)
}

// restarts reports whether a breaker is about dragons that restart: a trial that restarts and
// comes back shows that it is over, also one that does not help. One of a storm has to help.
func (b *Breaker) restarts() bool { return b.Name == "fleet_boot" || b.Name == "foreign" }

// condition is what a breaker is shown in every cycle, also when nothing is wrong.
type condition struct {
	name, scope string
	tripped     bool          // the reason to open is there
	clear       bool          // it is so far gone that it may close; neither: it stays
	hold        time.Duration // open at least so long after it tripped last
	cooldown    time.Duration // clear for so long before it closes
	halfOpen    bool          // and then one action must succeed first
	slow        bool          // may go into slow mode
	inside      bool          // holds its own members only, and goes into slow mode when it is old
	detail      func() string // of what has tripped it
}

// track moves a breaker by one cycle.
func (c *cycle) track(x condition) {
	b := c.m.breaker(x.name, x.scope)
	if b == nil {
		if x.tripped {
			b = &Breaker{Name: x.name, Scope: x.scope, State: BreakerOpen, Since: c.now, Until: c.now.Add(x.hold), Blind: c.now, Detail: x.detail()}
			if past := c.m.pastHold(x.name, x.scope); x.inside && past != nil {
				b.Blind = past.Blind
			}
			c.m.open(b)
			c.auditBreaker(Hold, x.name, x.scope, b.Detail)
		}
		return
	}
	if b.State == BreakerLatched {
		return
	}
	key := b.Key()
	if x.tripped {
		detail := x.detail()
		if b.State == BreakerHalfOpen {
			// It was almost closed: this counts as a new one, and its cause is looked for again.
			b.State, b.Trial, b.Blind = BreakerOpen, "", c.now
			b.forgetPace()
			c.auditBreaker(Hold, x.name, x.scope, detail)
			c.m.TouchFleet()
		}
		// A hold is extended by every new reason, and stored when that makes a difference.
		if until := c.now.Add(x.hold); x.hold > 0 && until.Since(b.Until) >= time.Minute {
			b.Until = until
			c.m.TouchFleet()
		}
		if b.Detail != detail {
			b.Detail = detail
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
	// Half open and no dragon to try it on: after another cooldown nothing has to be. What was
	// quiet for a day is over, too.
	if b.State == BreakerHalfOpen && (b.Trial != "" || quiet < c.p.Breakers.Cooldown || quiet < trialMost && c.anyTrial(b)) {
		return
	}
	c.drop(b.Name, b.Scope)
}

// trialMost is how long a half-open breaker waits for its trial.
const trialMost = 24 * time.Hour

// anyTrial reports whether a treatment may show that the cause of a breaker is over.
func (c *cycle) anyTrial(b *Breaker) bool {
	return slices.ContainsFunc(c.all, func(s *subject) bool {
		return s.counts && s.sick() && b.covers(s.f, s.r) && s.p.Mode == Enforce && !c.beyondHelp(s) && !c.inVain(s)
	})
}

// inVain reports whether the last step that a dragon's fault has was tried without effect.
func (c *cycle) inVain(s *subject) bool {
	last := s.r.last(func(a *Action) bool {
		return a.heals() && a.Actor == HealerActor && a.At >= s.r.SickSince && !a.saysNothing()
	})
	return last != nil && last.Outcome == NoEffect && s.r.Rung >= min(detectors[s.fired].maxRung, len(s.p.Ladder.Steps))
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

// anyBreaker reports whether a breaker of a name is not closed.
func (m *Memory) anyBreaker(name string) bool {
	return slices.ContainsFunc(m.Fleet.Breakers, func(b *Breaker) bool { return b.Name == name })
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

// PastHold is a breaker that has closed recently: opened again, it is as old as it was. A
// cause that is out of sight for a while, since its members are out of reach, would hold
// them forever.
type PastHold struct {
	Name   string `json:"name"`
	Scope  string `json:"scope,omitempty"`
	Blind  Moment `json:"blind"`
	Closed Moment `json:"closed"`
}

// pastHoldFor is how long a breaker is remembered after it has closed.
const pastHoldFor = 6 * time.Hour

func (m *Memory) pastHold(name, scope string) *PastHold {
	return find(m.Fleet.PastHolds, func(p *PastHold) bool { return p.Name == name && p.Scope == scope })
}

// expirePastHolds forgets the breakers that closed long ago, or that the function chooses.
func (m *Memory) expirePastHolds(now Moment, drop func(*PastHold) bool) {
	left := slices.DeleteFunc(slices.Clone(m.Fleet.PastHolds), func(p PastHold) bool { return now.Since(p.Closed) >= pastHoldFor || drop(&p) })
	if len(left) != len(m.Fleet.PastHolds) {
		m.Fleet.PastHolds = left
		m.TouchFleet()
	}
}

func (m *Memory) closeBreaker(b *Breaker) {
	now := m.run.time.moment
	switch b.Name {
	case "pool", "domain", "schema", "foreign": // those that hold their members only
		m.expirePastHolds(now, func(p *PastHold) bool { return p.Name == b.Name && p.Scope == b.Scope })
		m.Fleet.PastHolds = append(slices.Clip(m.Fleet.PastHolds), PastHold{b.Name, b.Scope, b.Blind, now})
	}
	m.Fleet.Breakers = slices.DeleteFunc(slices.Clone(m.Fleet.Breakers), func(x *Breaker) bool { return x == b })
	delete(m.run.clearSince, b.Key())
	m.TouchFleet()
}

// sickTally counts dragons that no common cause holds.
type sickTally struct{ n, sick, fresh, silent int }

// breakers counts the sick and the silent, and shows the numbers to the breakers that
// go by them. They are evaluated in every cycle, also with no dragon sick.
func (c *cycle) breakers() {
	bp := &c.p.Breakers
	fleet, scopes := c.countSick()
	storm, fresh := atLeast(bp.Storm, fleet.n, bp.Floor), atLeast(bp.StormFresh, fleet.n, bp.Floor)
	silent := atLeast(bp.Unreachable, fleet.n, bp.Floor)
	c.out.Counts.N, c.out.Counts.Sick, c.out.Counts.Storm, c.out.Counts.Silent = c.n, fleet.sick, storm, fleet.silent
	// Half of the limit, or below, is clear: with a limit of two, one sick dragon must
	// not keep the storm alive.
	c.track(condition{name: "storm",
		tripped: fleet.sick >= storm || fleet.fresh >= fresh || fleet.silent >= silent,
		clear:   2*fleet.sick <= storm && 2*fleet.fresh <= fresh && 2*fleet.silent <= silent,
		detail: func() string {
			return fmt.Sprintf("%d sick, %d of them new, %d unreachable of %d", fleet.sick, fleet.fresh, fleet.silent, fleet.n)
		},
		cooldown: bp.Cooldown, halfOpen: true, slow: true})
	for _, name := range sortedKeys(scopes) {
		t := scopes[name]
		limit := atLeast(bp.Scope, t.n, bp.ScopeFloor)
		c.track(condition{name: "scope", scope: name, tripped: t.n >= bp.ScopeFloor && t.sick >= limit, clear: 2*t.sick <= limit,
			detail: func() string { return fmt.Sprintf("%d of %d sick", t.sick, t.n) }, cooldown: bp.Cooldown, halfOpen: true, slow: true})
	}
	for _, b := range slices.Clone(c.m.Fleet.Breakers) {
		if b.Name == "scope" && scopes[b.Scope] == nil || b.Name == "schema" && !c.hasFirmware(b.Scope) {
			c.track(condition{name: b.Name, scope: b.Scope, clear: true, cooldown: bp.Cooldown})
		}
	}
	c.foreign()
	c.harm()
	c.out.Breakers = make([]Breaker, len(c.m.Fleet.Breakers))
	for i, b := range c.m.Fleet.Breakers {
		c.out.Breakers[i] = *b
	}
}

// countSick counts the dragons of the fleet, and of each scope of a breaker. It also finds
// how many dragons count, and whether the site is hot.
func (c *cycle) countSick() (fleet sickTally, scopes map[string]*sickTally) {
	keys := make(map[scopeKey]*sickTally)
	hot := 0
	for _, s := range c.all {
		if s.conflict {
			continue
		}
		s.counts = !s.maintenance && s.r.Quarantine == nil && c.now.Since(max(s.r.LastSeen, s.w.ok)) < 24*time.Hour
		if !s.counts {
			continue
		}
		c.n++
		if s.w.evidence[rank(Hot)].fired && s.f.alive() > 0 { // a dead board keeps its last temperature
			hot++
		}
		if c.covered(s) {
			continue
		}
		one := c.tallyOf(s)
		fleet.add(one)
		for _, key := range scopesOf(s.f) {
			if key.kind != "" {
				entry(keys, key).add(one)
			}
		}
	}
	c.siteHot = c.n > 0 && hot >= atLeast(c.p.Causes.SiteHot, c.n, 2)
	c.out.SiteHot = c.siteHot
	scopes = make(map[string]*sickTally, len(keys))
	for key, t := range keys {
		scopes[key.String()] = t
	}
	return fleet, scopes
}

func (t *sickTally) add(x sickTally) {
	t.n, t.sick, t.fresh, t.silent = t.n+x.n, t.sick+x.sick, t.fresh+x.fresh, t.silent+x.silent
}

// tallyOf counts one dragon.
func (c *cycle) tallyOf(s *subject) sickTally {
	// A dragon under treatment still counts. One that is configured, or rebooted on request, may be well.
	open := s.r.open()
	treated := open == nil || open.heals() && (open.Actor == HealerActor || s.r.SickSince != 0)
	sick := s.sick() || (s.r.State == StateSettling || s.r.State == StateActing) && treated
	t := sickTally{n: 1}
	if sick && !c.beyondHelp(s) {
		t.sick = 1
	}
	if s.sick() && !c.chronic(s) && c.now.Since(s.r.SickSince) < c.p.Breakers.StormFreshFor {
		t.fresh = 1
	}
	if s.silent {
		t.silent = 1
	}
	return t
}

func (c *cycle) hasFirmware(name string) bool {
	return slices.ContainsFunc(c.all, func(s *subject) bool {
		return !s.conflict && s.f.Firmware == name && (s.f.Status == Reached || s.f.Status == BadResponse)
	})
}

// scopeKey is something that a dragon has in common with others. As text it is the scope of
// a breaker.
type scopeKey struct{ kind, value string }

func (k scopeKey) String() string { return k.kind + "=" + k.value }

// scopesOf lists what a dragon has in common with others; the last is empty where it works
// for no pool.
func scopesOf(f *Facts) [4]scopeKey {
	out := [4]scopeKey{{"domain", f.Domain}, {"model", f.Model}, {"firmware", f.Firmware}}
	if p := find(f.Pools, func(p *PoolFacts) bool { return p.Active && p.URL != "" }); p != nil {
		out[3] = scopeKey{"pool", p.URL}
	}
	return out
}

// foreign looks for restarts that nothing explains: a second healer, a timer on the
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
		// A dragon that flaps restarts by itself; that says nothing about the others,
		// unless a good part of the farm does so at the same time.
		if n > 0 && s.r.Flapping == 0 {
			dragons++
		}
		tripped := n >= bp.ForeignOnOne && s.r.Flapping == 0
		c.track(condition{name: "foreign", inside: true, scope: s.f.MAC, tripped: tripped, clear: !tripped, hold: bp.ForeignHold,
			detail: func() string { return fmt.Sprintf("%d unexplained restarts in an hour", n) }})
	}
	c.foreignUnwatched()
	slices.Sort(newest)
	together := most(newest, c.p.Causes.BootSpan)
	if together >= atLeast(c.p.Causes.BootFleet, c.n, c.p.Causes.BootFloor) {
		dragons = max(dragons, together)
	}
	boot := c.m.breaker("fleet_boot", "")
	tripped := dragons >= atLeast(bp.ForeignShare, c.n, bp.ForeignDevices) && (boot == nil || boot.State != BreakerOpen)
	c.track(condition{name: "foreign", inside: true, tripped: tripped, clear: !tripped, hold: bp.ForeignHold, halfOpen: true,
		detail: func() string { return fmt.Sprintf("unexplained restarts of %d dragons in an hour", dragons) }})
}

// foreignUnwatched ends the breakers of single dragons that foreign does not look at. In a
// maintenance, where restarts are announced, and in a conflict they end after their hold; that of
// a forgotten dragon ends at once.
func (c *cycle) foreignUnwatched() {
	for _, b := range slices.Clone(c.m.Fleet.Breakers) {
		if b.Name != "foreign" || b.Scope == "" {
			continue
		}
		if s := c.byMAC[b.Scope]; c.m.Dragons[b.Scope] == nil {
			c.drop(b.Name, b.Scope)
		} else if s == nil || s.maintenance {
			c.track(condition{name: b.Name, inside: true, scope: b.Scope, clear: true})
		}
	}
}

// harm latches its breaker, which holds everything, when actions made dragons worse or lost them.
func (c *cycle) harm() {
	f := &c.m.Fleet
	if n := len(f.Harm); n > 0 && c.now.Since(f.Harm[0]) >= 24*time.Hour {
		f.Harm = slices.DeleteFunc(slices.Clone(f.Harm), func(m Moment) bool { return c.now.Since(m) >= 24*time.Hour })
		c.m.TouchFleet()
	}
	writes := len(f.Ring) // of a day
	if len(f.Harm) >= max(c.p.Breakers.HarmMax, c.p.Breakers.HarmShare.ceilOf(writes)) && c.harmedLately() {
		c.latch("harm", "", fmt.Sprintf("%d dragons lost or worse after %d actions in 24h", len(f.Harm), writes))
	}
}

// harmWrites is how many of the newest writes the share of harmful ones is computed from.
const harmWrites = 20

// harmedLately reports whether a good part of the newest writes did harm.
func (c *cycle) harmedLately() bool {
	newest, from := c.m.Fleet.Ring[max(0, len(c.m.Fleet.Ring)-harmWrites):], c.now
	if len(newest) > 0 {
		from = newest[0].At
	}
	harmful := howMany(c.m.Fleet.Harm, func(at Moment) bool { return at >= from })
	return harmful >= c.p.Breakers.HarmRecent.ceilOf(len(newest))
}

// unharmed no longer counts a dragon as harmed that was lost and came back by itself. A breaker that
// was latched by such dragons alone closes.
func (m *Memory) unharmed(lost Moment) {
	i := slices.Index(m.Fleet.Harm, lost)
	if i < 0 {
		return
	}
	m.Fleet.Harm = slices.Delete(slices.Clone(m.Fleet.Harm), i, i+1)
	m.TouchFleet()
	if b := m.breaker("harm", ""); b != nil && len(m.Fleet.Harm) == 0 {
		m.closeBreaker(b)
	}
}

func (c *cycle) latch(name, scope, detail string) {
	if b := c.m.breaker(name, scope); b != nil {
		return
	}
	c.m.open(&Breaker{Name: name, Scope: scope, State: BreakerLatched, Since: c.now, Detail: detail})
	c.auditBreaker(Hold, name, scope, detail)
}

// efficacyKey names what is known of a step for a reason on a model: reboot/dead_board/T1.
func efficacyKey(step string, reason Reason, model string) string {
	return strings.Join([]string{step, string(reason), model}, "/")
}

func ladderKey(reason Reason, model string) string { return efficacyKey("ladder", reason, model) }

// tally remembers how a step of the ladder ended, and opens the efficacy breaker of a
// step that no longer helps, which is then skipped.
func (c *cycle) tally(s *subject, a *Action) {
	step := s.p.Ladder.label(a.Reason, a.Rung)
	if step == "" { // the policy has a shorter ladder by now
		step = string(a.Kind)
	}
	key := efficacyKey(step, a.Reason, s.f.Model)
	o := c.m.Fleet.outcomes(key)
	o.Totals[a.Outcome]++
	switch n := len(o.Last); {
	case a.Outcome == NotKnown: // says nothing of what helps
	case a.Outcome == Relapsed:
		// It was counted as a success, and did not last: the newest success no longer counts.
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
	b := c.m.breaker("efficacy", key)
	switch useless := c.useless(o); {
	case useless && b == nil:
		detail := fmt.Sprintf("%d of the last %d helped: the step is skipped", o.good(), len(o.Last))
		c.m.open(&Breaker{Name: "efficacy", Scope: key, State: BreakerOpen, Since: c.now, Detail: detail})
		c.auditBreaker(Hold, "efficacy", key, detail)
	case !useless && b != nil && b.State != BreakerLatched:
		c.drop("efficacy", key)
	}
	if a.Outcome == Recovered {
		c.m.Fleet.outcomes(ladderKey(a.Reason, s.f.Model)).GivenUp = nil
	}
}

func (f *FleetRecord) outcomes(key string) *Outcomes {
	o := entry(f.Outcomes, key)
	if o.Totals == nil {
		o.Totals = make(map[Outcome]int)
	}
	return o
}

// givenUp counts the dragons of a model that no step of the ladder has helped, each once, and
// latches that ladder when many in a row did not recover. A dragon on which no step ran says
// nothing of the ladder.
func (c *cycle) givenUp(s *subject, reason Reason) {
	key := ladderKey(reason, s.f.Model)
	o := c.m.Fleet.outcomes(key)
	tried := func(a *Action) bool { return a.Actor == HealerActor && a.heals() && a.At >= s.r.SickSince }
	ran := func(a *Action) bool { return tried(a) && !a.saysNothing() }
	if s.r.last(tried) != nil && s.r.last(ran) == nil || slices.Contains(o.GivenUp, s.f.MAC) {
		return
	}
	o.GivenUp = append(o.GivenUp, s.f.MAC)
	c.m.TouchFleet()
	if len(o.GivenUp) >= c.p.Breakers.LadderMax {
		c.latch("efficacy", key, fmt.Sprintf("%d dragons quarantined in a row, none got well", len(o.GivenUp)))
	}
}
