package healer

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const (
	rateWindow = 15 * time.Minute // that rates and frozen counters are measured over
	goodInARow = 5                // samples that end a suspicion
	freshInRow = 3                // samples that must be bad to act, or good to call it off
	gapPolls   = 3                // without a sample: evidence starts again
	heatMemory = 10 * time.Minute
)

// evidence is what consecutive fresh samples said to one detector.
type evidence struct {
	bits  uint64 // 1: bad; the newest sample is the lowest bit
	n     int    // samples in bits
	since Moment // the first bad sample of the suspicion; 0: none
	at    Moment // the newest sample
	fired bool
	muted muteReason // what the newest sample was muted by, if it would have been bad

	value, threshold float64
	slot             int
}

// push takes in one sample.
func (e *evidence) push(bad bool, at Moment, need Evidence) {
	e.bits, e.n, e.at, e.muted = e.bits<<1, min(e.n+1, 64), at, 0
	if bad {
		e.bits |= 1
		if e.since == 0 || e.n == 1 {
			e.since = at
		}
	}
	good := e.goodRun()
	if good >= freshInRow {
		e.fired = false
	}
	if good >= goodInARow {
		e.since = 0
	}
	if e.since != 0 && e.lastBad() && e.badIn(need.Of) >= need.Bad && at.Since(e.since) >= need.For {
		e.fired = true
	}
}

// lapse forgets the samples from before a gap: for too long this detector could not judge. A
// suspicion stays and begins again: the dragon is neither sick nor healthy.
func (e *evidence) lapse(at Moment) {
	e.bits, e.n, e.fired = 0, 0, false
	if e.since != 0 {
		e.since = at
	}
}

// lastBad reports whether the newest samples were all bad.
func (e *evidence) lastBad() bool {
	const mask = 1<<freshInRow - 1
	return e.n >= freshInRow && e.bits&mask == mask
}

// goodRun is the number of good samples since the last bad one.
func (e *evidence) goodRun() int { return min(bits.TrailingZeros64(e.bits), e.n) }

func (e *evidence) badIn(of int) int {
	if of >= 64 {
		return bits.OnesCount64(e.bits)
	}
	return bits.OnesCount64(e.bits & (1<<max(of, 0) - 1))
}

// counters are a sample as the rates need it.
type counters struct {
	at      Moment
	elapsed float64
	boards  []boardCounters
}

// boardCounters are what is kept of a board for the time of rateWindow: there are some fifty for
// each dragon.
type boardCounters struct {
	slot                      int
	hashes, elapsed, accepted dragon.Number
}

func countersOf(f *Facts, at Moment, elapsed float64) counters {
	c := counters{at, elapsed, make([]boardCounters, len(f.Boards))}
	for i := range f.Boards {
		b := &f.Boards[i]
		c.boards[i] = boardCounters{b.Slot, b.Hashes, b.Elapsed, b.Accepted}
	}
	return c
}

func (c *counters) board(slot int) *boardCounters {
	return find(c.boards, func(b *boardCounters) bool { return b.slot == slot })
}

// boardWatch follows the temperature of one board.
type boardWatch struct {
	slot     int
	temp     float64
	changed  Moment // when the temperature last differed
	hot      Moment // when it was last hot enough to die of it; 0: never
	died     Moment // when it was first seen dead; 0: it is not
	credible bool   // it has shown a temperature that can be one

	hashes float64                // of the newest sample
	works  Moment                 // since when it has worked without a pause; 0: it does not
	still  Moment                 // since when it has worked at one and the same temperature; 0: it has not
	stuck  bool                   // it was frozen, and has said nothing else since
	swings [mostSwings]*tempRange // of the other boards since then
}

// mostSwings is the number of other boards that are compared with one.
const mostSwings = 4

// tempRange is how far the temperature of another board has gone. It is never changed once
// made, since a watch may be cloned.
type tempRange struct {
	slot      int
	low, high float64
}

// frozen reports whether the sensor has said the same for so long, while the others
// went so far, that it must be broken. A board that its fans hold at one
// temperature has sister boards that stand still too.
func (b *boardWatch) frozen(at Moment, p *HeatPolicy) bool {
	switch {
	case p.FrozenFor <= 0:
		return false
	case b.stuck:
		return true
	case b.still == 0 || at.Since(b.still) < p.FrozenFor:
		return false
	}
	others := 0
	for _, o := range b.swings {
		if o == nil {
			continue
		}
		if o.high-o.low < p.FrozenSwing {
			return false
		}
		others++
	}
	return others > 0
}

// trackPeer follows another board's temperature while this one's stands still. One that
// has not worked for long gets warm by itself, whatever the air is.
func (b *boardWatch) trackPeer(o *BoardFacts, warm bool) {
	i := slices.IndexFunc(b.swings[:], func(s *tempRange) bool { return s != nil && s.slot == o.Slot })
	t := o.Temperature.Or(0)
	switch {
	case !warm || !credible(o.Temperature): // it says nothing of the air any more
		if i >= 0 {
			b.swings[i] = nil
		}
	case i >= 0:
		if s := b.swings[i]; t < s.low || t > s.high {
			b.swings[i] = &tempRange{o.Slot, min(s.low, t), max(s.high, t)}
		}
	default:
		if i = slices.Index(b.swings[:], nil); i >= 0 {
			b.swings[i] = &tempRange{o.Slot, t, t}
		}
	}
}

// poolWatch follows whether a pool gives work.
type poolWatch struct {
	url      string
	works    float64
	accepted float64
	moved    Moment // when either last grew
	grew     bool   // since the evidence began: it is known to give work
}

// watch is the running evidence about one dragon.
type watch struct {
	facts        *Facts // of the newest cycle; nil: there was none
	foldedAt     Moment // when that was
	seen         bool
	at           Moment // the newest sample folded in
	samples      int    // since this process started
	ok           Moment // the newest attempt that reached it
	heard        Moment // since when every attempt has; 0: the last did not
	misses       int    // cycles in a row in which it was silent
	silent       Moment // since when it is silent; 0: it is not
	maintained   Moment // the last cycle in which it was in maintenance
	unsent       Moment // the last attempt that ended before anything was sent
	stale        int    // readings in a row without a valid sample
	bare         Moment // the newest answer without a sample
	invalid      bool   // the newest reading lacked what every firmware sends
	elapsed      dragon.Number
	tuning       bool
	tuned        Moment // since when it tunes; 0: it does not
	tuneKnew     bool   // the beginning was seen
	counts       []counters
	boards       []boardWatch
	pools        []poolWatch
	evidence     []evidence // by index of detectors
	rate         dragon.Number
	rates        []float64 // by board, of the newest sample; -1: unknown
	heatEvidence evidence  // of heat, for the downshift
	cool         Moment    // since when it is cool; 0: it is not
	tracked      Moment    // when that was last seen
	hourSum      float64   // for the baseline
	hourN        int
	hourFrom     Moment
	trial        trial // after an upgrade
}

// up is how long the system is up at least, where its uptime cannot be read and nothing
// mines: as long as it has answered without a pause.
func (w *watch) up(f *Facts, at Moment) dragon.Number {
	if f.Uptime.IsKnown() || w.heard == 0 {
		return f.Uptime
	}
	return dragon.Known(at.Since(w.heard).Seconds())
}

func newWatch() *watch { return &watch{evidence: make([]evidence, len(detectors))} }

func (w *watch) clone() *watch {
	c := *w
	c.counts, c.boards, c.pools = slices.Clone(w.counts), slices.Clone(w.boards), slices.Clone(w.pools)
	c.evidence, c.rates = slices.Clone(w.evidence), slices.Clone(w.rates)
	return &c
}

// forgetEvidence starts all evidence again: after a gap, a restart, a mute. The suspicion of an
// untreated dragon stays: silence and a restart do not show that it is well.
func (w *watch) forgetEvidence(untreated bool) {
	for i, e := range w.evidence {
		w.evidence[i] = evidence{}
		if untreated {
			w.evidence[i] = evidence{since: e.since, slot: e.slot}
		}
	}
	w.heatEvidence = evidence{}
	w.counts = w.counts[:0]
	w.rate, w.rates = dragon.Number{}, nil
	for i := range w.boards {
		w.boards[i].still = 0
	}
	for i := range w.pools {
		w.pools[i] = poolWatch{url: w.pools[i].url, works: -1, accepted: -1, moved: w.at}
	}
	w.hourSum, w.hourN, w.hourFrom = 0, 0, 0
	w.trial = trial{said: w.trial.said}
}

// measure takes in the counters of a sample and computes the rates.
func (w *watch) measure(f *Facts, at Moment) {
	elapsed, ok := f.Elapsed.Get()
	if !ok {
		w.rate, w.rates = dragon.Number{}, nil
		return
	}
	if w.counts == nil {
		w.counts = make([]counters, 0, int(rateWindow/time.Minute)+3)
	}
	w.counts = append(w.counts, countersOf(f, at, elapsed))
	// Keep one sample that is older than the window, to measure from.
	for len(w.counts) > 2 && at.Since(w.counts[1].at) >= rateWindow {
		w.counts = slices.Delete(w.counts, 0, 1)
	}
	w.rate, w.rates = rateOf(&w.counts[0], &w.counts[len(w.counts)-1])
}

// apart reports whether enough of the device's own time is between two samples to
// measure over. A minute is allowed for samples that come a little early.
func apart(from, to *counters) bool {
	return to.elapsed-from.elapsed >= (rateWindow - time.Minute).Seconds()
}

// rateOf is the work done between two samples over the device's own time. A board
// that is in one of them only adds nothing; a board whose counter is unreadable makes
// the whole unknown.
func rateOf(from, to *counters) (dragon.Number, []float64) {
	if !apart(from, to) {
		return dragon.Number{}, nil
	}
	total, known := 0.0, true
	rates := make([]float64, len(to.boards))
	for i := range to.boards {
		b := &to.boards[i]
		rates[i] = -1
		old := from.board(b.slot)
		if old == nil {
			continue
		}
		h0, ok0 := old.hashes.Get()
		h1, ok1 := b.hashes.Get()
		seconds := b.elapsed.Or(to.elapsed) - old.elapsed.Or(from.elapsed)
		if !ok0 || !ok1 || h1 < h0 {
			known = false
			continue
		}
		switch {
		case seconds > 0:
			rates[i] = (h1 - h0) / seconds
		case h1 == h0: // a dead board's clock may stand still with its counter
			rates[i] = 0
		default:
			known = false
			continue
		}
		total += rates[i]
	}
	if !known {
		return dragon.Number{}, rates
	}
	return dragon.Known(total), rates
}

// frozen reports whether no board has done any work, nor had a share accepted, over
// the whole window, while the device's own clock went on.
func (w *watch) frozen() (frozen, known bool) {
	if len(w.counts) < 2 {
		return false, false
	}
	from, to := &w.counts[0], &w.counts[len(w.counts)-1]
	if !apart(from, to) {
		return false, false
	}
	for i := range to.boards {
		b := &to.boards[i]
		old := from.board(b.slot)
		if old == nil || !old.hashes.IsKnown() || !b.hashes.IsKnown() {
			return false, false
		}
		if b.hashes != old.hashes || b.accepted != old.accepted {
			return false, true
		}
	}
	return len(to.boards) > 0, true
}

// trackTemperature follows the boards' temperatures.
func (w *watch) trackTemperature(f *Facts, at Moment, p *HeatPolicy) {
	for i := range w.boards {
		if find(f.Boards, func(b *BoardFacts) bool { return b.Slot == w.boards[i].slot }) == nil { // what is missing gets cold
			w.boards[i].works, w.boards[i].still = 0, 0
		}
	}
	for i := range f.Boards {
		b := &f.Boards[i]
		bw := w.board(b.Slot, at)
		hashes := b.Hashes.Or(0)
		switch {
		case b.Status != "Alive" || hashes <= bw.hashes: // what does not work need not get warm
			bw.works = 0
		case bw.credible && math.Abs(b.Temperature.Or(bw.temp)-bw.temp) >= p.FrozenSwing: // a sensor that was frozen: no air leaps
			bw.works = 0
		case bw.works == 0:
			bw.works = at
		}
		bw.hashes = hashes
	}
	for i := range f.Boards {
		b := &f.Boards[i]
		bw := w.board(b.Slot, at)
		t, ok := b.Temperature.Get()
		switch {
		case !credible(b.Temperature) || bw.works == 0:
			bw.still = 0
		case bw.still == 0 || t != bw.temp:
			bw.still, bw.swings = at, [mostSwings]*tempRange{}
		}
		for j := range f.Boards {
			if j != i && bw.still != 0 {
				peer := w.board(f.Boards[j].Slot, at)
				bw.trackPeer(&f.Boards[j], peer.works != 0 && at.Since(peer.works) >= p.FrozenFor && !peer.stuck)
			}
		}
		if ok && t != bw.temp {
			bw.temp, bw.changed, bw.stuck = t, at, false
		}
		bw.stuck = bw.frozen(at, p) // also through a restart, in which it would have cooled
		if credible(b.Temperature) {
			bw.credible = true
			if t >= p.DeadHot {
				bw.hot = at
			}
		}
		switch {
		case !b.dead():
			bw.died = 0
		case bw.died == 0:
			bw.died = at
		}
	}
}

// boardAt is what is known of a board; nil: nothing.
func (w *watch) boardAt(slot int) *boardWatch {
	return find(w.boards, func(b *boardWatch) bool { return b.slot == slot })
}

func (w *watch) board(slot int, at Moment) *boardWatch {
	if b := w.boardAt(slot); b != nil {
		return b
	}
	w.boards = append(w.boards, boardWatch{slot: slot, changed: at})
	return &w.boards[len(w.boards)-1]
}

// credible reports whether a board can be that warm.
func credible(t dragon.Number) bool {
	v, ok := t.Get()
	return ok && v > 0 && v <= 125
}

// work follows whether the pools give work.
func (w *watch) work(f *Facts, at Moment) {
	if !slices.EqualFunc(w.pools, f.Pools, func(a poolWatch, b PoolFacts) bool { return a.url == b.URL }) {
		w.pools = w.pools[:0]
		for i := range f.Pools {
			w.pools = append(w.pools, poolWatch{url: f.Pools[i].URL, works: -1, accepted: -1, moved: at})
		}
	}
	for i := range f.Pools {
		p, pw := &f.Pools[i], &w.pools[i]
		works, accepted := p.Works.Or(-1), p.Accepted.Or(-1)
		counted := pw.works >= 0 || pw.accepted >= 0
		pw.grew = pw.grew || counted && (works > pw.works || accepted > pw.accepted)
		if works != pw.works || accepted != pw.accepted || !p.Works.IsKnown() && !p.Accepted.IsKnown() {
			pw.works, pw.accepted, pw.moved = works, accepted, at
		}
	}
}

// hottest is the highest credible temperature of a board that is not dead: a dead
// board keeps the temperature that it died with.
func (f *Facts) hottest() dragon.Number {
	var t dragon.Number
	for i := range f.Boards {
		b := &f.Boards[i]
		if v, _ := b.Temperature.Get(); !b.dead() && credible(b.Temperature) && v >= t.Or(v) {
			t = b.Temperature
		}
	}
	return t
}

// alive is the number of boards that the device does not call dead.
func (f *Facts) alive() int {
	return howMany(f.Boards, func(b BoardFacts) bool { return b.Status == "Alive" })
}

// valid reports whether a sample has what every firmware sends. Without it, a sample is not
// evidence.
func (f *Facts) valid() bool {
	if !f.HasSample {
		return false
	}
	if slices.Contains(f.Unreadable, "DEVS") { // a board that cannot be read is not missing
		return false
	}
	if len(f.Boards) == 0 { // no board at all is a fact where the field was there
		return true
	}
	if !f.Elapsed.IsKnown() {
		return false
	}
	return !slices.ContainsFunc(f.Boards, func(b BoardFacts) bool { return b.Status == "" || !b.Hashes.IsKnown() })
}
