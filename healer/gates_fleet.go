package healer

import (
	"fmt"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// pool holds dragons whose pool is down. A change to a pool that
// works helps them, and passes; a change to one that is down waits.
func (q *gateRequest) pool() answer {
	if q.change != nil && len(q.change.want.Pools) > 0 {
		for _, p := range q.change.want.Pools {
			// While its own pool is out, it is not moved to one that has work for no dragon.
			url := Text(dragon.PoolWithoutLogin(p.URL))
			if q.c.m.breaker("pool", url) == nil && (q.s.poolHeld == "" || !q.c.workless[url]) {
				return yes("")
			}
		}
		return no(0, "all pools that it is to have are out")
	}
	if b := q.c.m.breaker("pool", q.s.poolHeld); b != nil {
		return q.breaker(b)
	}
	if q.reason != NoWorkLocal {
		return yes("")
	}
	for j := range q.s.f.Pools {
		if was := q.c.m.pastHold("pool", q.s.f.Pools[j].URL); was != nil {
			if back := q.c.now.Since(was.Closed) + q.c.p.Causes.PoolHold; back < q.c.p.Causes.PoolStuck {
				return no(q.c.p.Causes.PoolStuck-back, "back for %s, stuck after %s", ShortDuration(back), ShortDuration(q.c.p.Causes.PoolStuck))
			}
		}
	}
	return yes("")
}

// closedBy makes the gate of a breaker.
func closedBy(name string) func(*gateRequest) answer {
	return func(q *gateRequest) answer {
		if !q.c.m.anyBreaker(name) {
			return yes("")
		}
		for _, scope := range scopesFor(name, q.s.f) {
			if b := q.c.m.breaker(name, scope); b != nil && b.covers(q.s.f, q.s.r) {
				if a := q.breaker(b); !a.open {
					return a
				}
			}
		}
		return yes("")
	}
}

func (q *gateRequest) breaker(b *Breaker) answer {
	switch {
	case (b.Name == "storm" || b.Name == "scope") && q.endsCurtailment() && (b.State == BreakerHalfOpen || b.Slow):
		return yes("the end of a curtailment does not wait for a cure")
	case (q.change != nil || q.upgrade != nil) && (b.State == BreakerHalfOpen || b.Slow): // only a cure can show that it is over
		return no(0, "%s: %s", b.State, b.Detail)
	case b.State == BreakerHalfOpen && b.Trial == "" && q.taken() == nil:
		return yes("half-open: this would be the trial")
	case b.State == BreakerHalfOpen:
		return no(0, "half-open: a trial is under way")
	case b.Slow:
		return q.slow(b)
	case b.Name == "pool" && q.reason != NoWorkLocal || b.State == BreakerLatched:
		return no(0, "%s: %s", b.State, b.Detail)
	}
	return no(max(0, time.Duration(b.Until-q.c.now)), "%s: %s", b.State, b.Detail)
}

// slow admits a few actions at a time, with long gaps.
func (q *gateRequest) slow(b *Breaker) answer {
	every, slots, used := q.c.slowEvery(b), q.c.slowSlots(b), q.c.flight
	if q.taken() != nil {
		used++
	}
	if used >= slots {
		return no(0, "slow mode: %d of %d in flight", used, slots)
	}
	for a := range q.c.m.Fleet.writes(Kind.heals, every, q.c.now) {
		return no(every-q.c.now.Since(a.At), "slow mode: one in %s", ShortDuration(every))
	}
	return yes("slow mode")
}

func (q *gateRequest) flight() answer {
	limit := q.c.p.Fleet.flightLimit(q.c.n)
	used := q.c.flight
	if q.taken() != nil {
		used++
	}
	return answer{open: used < limit, detail: fmt.Sprintf("%d/%d", used, limit)}
}

func (q *gateRequest) domainFlight() answer {
	domain := q.s.f.Domain
	limit, used := q.c.p.Fleet.domainLimit(q.c.domainSize[domain]), q.c.flightDomain[domain]
	if g := q.taken(); g != nil && g.f.Domain == domain {
		used++
	}
	return answer{open: used < limit, detail: fmt.Sprintf("%s %d/%d", domain, used, limit)}
}

// rolloutShare leaves half of the slots to the healer.
func (q *gateRequest) rolloutShare() answer {
	limit := max(1, q.c.p.Fleet.RolloutShare.floorOf(q.c.p.Fleet.flightLimit(q.c.n)))
	if q.change.fast() {
		limit = max(1, q.c.p.Fleet.flightLimit(q.c.n)-1)
	}
	return answer{open: q.c.rollouts < limit, detail: fmt.Sprintf("%d/%d", q.c.rollouts, limit)}
}

func (q *gateRequest) spacing() answer {
	if g := q.taken(); g != nil {
		return no(q.c.p.Fleet.Spacing, "after %s", g.f.Worker)
	}
	if wait := q.c.m.UntilNext(q.c.p, q.c.n, q.c.now); wait > 0 {
		ring := q.c.m.Fleet.Ring
		return no(wait, "the last write was %s ago", ShortDuration(q.c.now.Since(ring[len(ring)-1].At)))
	}
	return yes("")
}

// hour limits the writes of an hour, day the dragons of a day: a treatment that has begun may
// be completed.
func (q *gateRequest) hour() answer {
	used, free := q.c.m.Fleet.begun(Kind.heals, time.Hour, q.c.now)
	return q.rate(time.Hour, used, q.c.p.Fleet.hourLimit(q.c.n), free)
}

func (q *gateRequest) day() answer {
	treated := q.c.treatedToday()
	if treated[q.s.f.MAC] && !q.c.m.Fleet.charged(day, q.c.now) {
		return yes("treated already")
	}
	_, free := q.c.m.Fleet.begun(Kind.heals, day, q.c.now)
	return q.rate(day, len(treated), q.c.p.Fleet.dayLimit(q.c.n), free)
}

// rate limits what is done to heal. Rollouts go by waves.
func (q *gateRequest) rate(window time.Duration, used, limit int, wait time.Duration) answer {
	f := &q.c.m.Fleet
	if !q.kind.heals() {
		return yes("")
	}
	if q.taken() != nil {
		used++
	}
	if f.charged(window, q.c.now) {
		wait = window - q.c.now.Since(f.Recovered.At)
	}
	used = f.used(window, used, limit, q.c.now)
	return answer{open: used < limit, detail: fmt.Sprintf("%d/%d", used, limit), wait: wait}
}

// rollout lets one dragon try a new desired state before the others get it.
func (q *gateRequest) rollout() answer {
	if q.change == nil { // a request
		return yes("")
	}
	ro := q.change.ro
	if b := q.c.m.breaker("rollout", ro.ID); b != nil {
		return no(0, "%s: %s", b.State, b.Detail)
	}
	switch ro.State {
	case RolloutCanary:
		return no(0, "%s tries it first", q.c.m.name(ro.Canary))
	case RolloutWaiting:
		if other := q.c.triedBy(q.s, ro); other != nil {
			return no(0, "%s tries its first pool, for %s", q.c.m.name(other.Canary), other.ID)
		}
		return yes("this would be the canary")
	}
	return yes(string(ro.State))
}

// wave is the pace at which dragons are changed.
func (q *gateRequest) wave() answer {
	p := &q.c.p.Rollout
	limit, every := p.wave(q.c.n), p.Every
	if q.change.fast() {
		limit, every = fastWave(q.c.n), ceilingPaceFor
	}
	used, free := q.c.m.Fleet.begun(Kind.configures, every, q.c.now)
	if used < limit {
		free = 0
	}
	return answer{open: used < limit, detail: fmt.Sprintf("%d/%d in %s", used, limit, ShortDuration(every)), wait: free}
}

// ceiling asks what is asked again right before the write. It looks at every dragon, so it is
// asked only where nothing else is in the way.
func (q *gateRequest) ceiling() answer {
	if q.closed {
		return yes("")
	}
	wait, err := q.c.m.ceiling(q.c.now, q.s.f.MAC, q.kind, "")
	if err != nil {
		return no(wait, "%v", err)
	}
	return yes("")
}

func (q *gateRequest) external() answer {
	if q.c.p.External.Holds == HoldsRollouts && q.write()&(configWrites|firmwareWrites|firmwareBoots) == 0 {
		return yes("")
	}
	a := q.c.external()
	if q.upgrade != nil && a.open && q.c.p.External.Query != "" && q.c.host.External.Err != "" {
		a.open = false // firmware can wait
	}
	return a
}

func (c *cycle) external() answer {
	e, p := &c.host.External, &c.p.External
	switch {
	case p.Query == "":
		return yes("")
	case !e.Asked:
		return no(0, "not asked yet")
	case e.Err != "":
		return answer{open: p.OnError == "allow", detail: "cannot be asked: " + e.Err}
	}
	return answer{open: e.Open, detail: e.Detail}
}
