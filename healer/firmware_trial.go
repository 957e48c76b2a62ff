package healer

import (
	"fmt"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Condition is how well a dragon worked before it was sent firmware.
type Condition struct {
	Rate    float64 `json:"rate"` // hashes per second
	Boards  int     `json:"boards"`
	Hottest float64 `json:"hottest"` // °C; 0: unknown
	Peers   float64 `json:"peers"`   // the same of the others, in the middle; 0: unknown
	Errors  float64 `json:"errors"`  // hardware errors per hash; -1: unknown
}

// errorsAllowed is a number of hardware errors that means nothing.
const errorsAllowed = 20

// rateBefore is the dragon's usual rate: the median of its last healthy day, or its present
// rate where that was not seen.
func (s *subject) rateBefore() dragon.Number {
	b := &s.r.Baseline
	if n := len(b.Slots); n >= slotsNeeded && b.Mode == s.f.Mode {
		return dragon.Known(median(slices.Clone(b.Slots[n-slotsNeeded:])))
	}
	return s.w.rate
}

func (c *cycle) condition(s *subject) Condition {
	errors, hashes := s.f.errors()
	x := Condition{Rate: rounded(s.rateBefore().Or(0)), Boards: s.f.alive(), Hottest: s.f.hottest().Or(0), Peers: c.peersHottest(s), Errors: -1}
	if hashes > 0 && errors >= 0 {
		x.Errors = errors / hashes
	}
	return x
}

// peersHottest is the median of the hottest boards of the other dragons that do what they
// always do: the weather that they have in common. 0 where there are none.
func (c *cycle) peersHottest(of *subject) float64 {
	if c.peers == nil {
		c.peers = make([]float64, 0, len(c.all))
		for _, s := range c.all {
			if t, ok := s.peer(); ok {
				c.peers = append(c.peers, t)
			}
		}
		slices.Sort(c.peers)
	}
	n, own := len(c.peers), len(c.peers)
	if t, ok := of.peer(); ok {
		own, _ = slices.BinarySearch(c.peers, t)
		n--
	}
	if n == 0 {
		return 0
	}
	at := func(i int) float64 { // of the others, the i-th coolest
		if i >= own {
			i++
		}
		return c.peers[i]
	}
	return (at((n-1)/2) + at(n/2)) / 2
}

// peer is the hottest board of a dragon that others are compared with; false: none. One that is
// being upgraded, runs in another mode for a while or has no work is not cooler for the weather.
func (s *subject) peer() (float64, bool) {
	if s.conflict || s.r.Upgrade != nil && !s.r.Upgrade.Phase.Over() || s.overlaid() || s.noWork || s.idle {
		return 0, false
	}
	return s.f.hottest().Get()
}

// errors sums up hardware errors, -1 where they are unknown, and the hashes that they came with.
func (f *Facts) errors() (errors, hashes float64) {
	for i := range f.Boards {
		e, ok := f.Boards[i].Errors.Get()
		if !ok {
			return -1, 0
		}
		errors += e
		hashes += f.Boards[i].Hashes.Or(0)
	}
	return errors, hashes
}

// works reports whether all boards that there were do some work again.
func (f *Facts) works(boards int) bool {
	n := howMany(f.Boards, func(b BoardFacts) bool { return !b.dead() && b.Hashes.Or(0) > 0 })
	return n >= boards && n > 0
}

// verify measures, for as long as the policy says, whether the dragon is as good as before.
func (x *upgrade) verify() {
	if x.regressed() {
		return
	}
	s, p := x.s, &x.p.Firmware
	t := &s.w.trial
	if s.fresh && (s.w.tuning || s.poolHeld != "" || !s.f.works(x.Before.Boards)) {
		*t = trial{}
	} else if s.fresh {
		t.add(s, x.peersHottest(s))
		if t.last.at.Since(t.first.at) >= p.VerifyFor {
			why := t.judge(x.Upgrading, p)
			if why == "" {
				x.enter(UpgradeSoaking, "")
				return
			}
			*t = trial{said: why}
		}
	}
	switch excuse := x.unrelatedCause(s); {
	case !x.late(p.Verify):
	case excuse != "":
		x.enter(UpgradeInconclusive, excuse)
	case t.said != "":
		x.enter(UpgradeFailed, t.said)
	default:
		x.enter(UpgradeFailed, "it could not be verified within "+ShortDuration(p.Verify))
	}
}

// trial is a stretch of time in which a dragon is measured. It is running evidence: a restart
// or a gap starts it again.
type trial struct {
	first, last    totals
	hottest, peers float64 // sums
	samples        int
	compared       int    // samples with peers
	said           string // what was against it the last time
}

// totals are the counters of a dragon at one time.
type totals struct {
	at      Moment
	elapsed float64
	hashes  float64
	errors  float64 // -1: unknown
}

func (t *trial) add(s *subject, peers float64) {
	r := totals{at: s.w.at, elapsed: s.f.Elapsed.Or(-1)}
	r.errors, _ = s.f.errors()
	for i := range s.f.Boards {
		r.hashes += s.f.Boards[i].Hashes.Or(0)
	}
	if r.elapsed < 0 {
		return
	}
	if t.samples == 0 || r.elapsed < t.last.elapsed || r.hashes < t.last.hashes {
		*t = trial{first: r, said: t.said}
	}
	t.last = r
	t.hottest += s.f.hottest().Or(0)
	t.samples++
	if peers > 0 {
		t.peers += peers
		t.compared++
	}
}

// judge says what is worse than before; empty: nothing.
func (t *trial) judge(u *Upgrading, p *FirmwarePolicy) string {
	took := t.last.elapsed - t.first.elapsed
	if took <= 0 {
		return "its clock stands still"
	}
	done := t.last.hashes - t.first.hashes
	if rate := done / took; rate < float64(p.Ratio)*u.Before.Rate {
		return fmt.Sprintf("%.1f%% of the %s that it did before, expected %.0f%%", 100*rate/u.Before.Rate, Hashrate(u.Before.Rate), 100*p.Ratio)
	}
	hottest, weather := t.hottest/float64(t.samples), 0.0
	if u.Before.Peers > 0 && t.compared > 0 {
		weather = t.peers/float64(t.compared) - u.Before.Peers
	}
	if warmer := hottest - u.Before.Hottest - weather; u.Before.Hottest > 0 && hottest > 0 && warmer > p.Warmer {
		return fmt.Sprintf("%.1f °C warmer than before, at most %.0f", warmer, p.Warmer)
	}
	if t.first.errors < 0 || t.last.errors < 0 || u.Before.Errors < 0 {
		return "" // its firmware does not count them
	}
	if errors := t.last.errors - t.first.errors; errors > p.Errors*u.Before.Errors*done+errorsAllowed {
		return fmt.Sprintf("%.0f hardware errors in %s, before it had %.0f", errors, ShortDuration(seconds(took)), u.Before.Errors*done)
	}
	return ""
}
