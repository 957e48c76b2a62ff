package healer

import (
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func judgeFlatline(e *detectorInput) finding {
	if e.fine < e.need.Neighbours || e.f.alive() == 0 {
		return finding{slot: -1}
	}
	frozen, known := e.w.frozen()
	if !known {
		return finding{slot: -1}
	}
	return is(frozen, 0, 0, -1)
}

// judgeDeadHot looks for boards that died hot, also long ago: a board that has cooled
// did still die of heat.
func judgeDeadHot(e *detectorInput) finding {
	for i := range e.f.Boards {
		b := &e.f.Boards[i]
		if b.dead() && slices.Contains(e.r.DeadHot, b.Slot) {
			return is(true, b.Temperature.Or(-1), e.p.Heat.DeadHot, b.Slot)
		}
	}
	return is(false, 0, e.p.Heat.DeadHot, -1)
}

func judgeDeadBoard(e *detectorInput) finding {
	dead, slot := 0, -1
	for i := range e.f.Boards {
		if b := &e.f.Boards[i]; b.dead() && !slices.Contains(e.r.DeadHot, b.Slot) {
			if dead++; slot < 0 {
				slot = b.Slot
			}
		}
	}
	return is(dead > 0, float64(dead), 1, slot)
}

func judgeMissing(e *detectorInput) finding {
	if e.expected == 0 {
		return finding{slot: -1}
	}
	n := len(e.f.Boards)
	return is(n < e.expected, float64(n), float64(e.expected), -1)
}

func judgeLow(limit func(*DetectPolicy) Ratio) func(*detectorInput) finding {
	return func(e *detectorInput) finding {
		rate, ok := e.w.rate.Get()
		baseline, known := e.baseline.Get()
		if !ok || !known || baseline <= 0 {
			return finding{slot: -1}
		}
		least := float64(limit(&e.p.Detect))
		return is(rate < least*baseline, rate/baseline, least, -1)
	}
}

// judgeNotMining looks for a web server with no mining process behind it, or one that has
// no board at all: nothing is earned, and a restart of the process costs nothing.
func judgeNotMining(e *detectorInput) finding {
	return is(!e.f.HasSample || len(e.f.Boards) == 0, 0, 1, -1)
}

// judgeBoardLow looks for one board that is far below its sisters, where the dragon as a
// whole is not low.
func judgeBoardLow(e *detectorInput) finding {
	rate, ok := e.w.rate.Get()
	baseline, known := e.baseline.Get()
	if !ok || known && rate < float64(e.p.Detect.LowRatio)*baseline {
		return finding{slot: -1}
	}
	var rates []float64
	worst, slot := 0.0, -1
	for i, r := range e.w.rates {
		if i >= len(e.f.Boards) || e.f.Boards[i].dead() {
			continue
		}
		if r < 0 {
			return finding{slot: -1}
		}
		if slot < 0 || r < worst {
			worst, slot = r, e.f.Boards[i].Slot
		}
		rates = append(rates, r)
	}
	if len(rates) < 2 {
		return finding{slot: -1}
	}
	slices.Sort(rates)
	sisters := median(rates[1:])
	if sisters <= 0 {
		return finding{slot: -1}
	}
	least := float64(e.p.Detect.BoardRatio)
	return is(worst < least*sisters, worst/sisters, least, slot)
}

// judgeMin is the original's rule: a minimum for each board.
func judgeMin(e *detectorInput) finding {
	least := e.p.Detect.MinPerBoard
	if least <= 0 || !e.p.Detect.MinAnyAlgorithm && dragon.ModelOf(e.f.Model).Algorithm != "SHA-256" {
		return finding{slot: -1}
	}
	worst, slot, known := 0.0, -1, false
	for i, r := range e.w.rates {
		if i < len(e.f.Boards) && r >= 0 && (!known || r < worst) {
			worst, slot, known = r, e.f.Boards[i].Slot, true
		}
	}
	if !known {
		return finding{slot: -1}
	}
	return is(worst < least, worst, least, slot)
}

func judgeNoWork(e *detectorInput) finding {
	if len(e.f.Pools) == 0 || e.fine < e.need.Neighbours {
		return finding{slot: -1}
	}
	return is(e.noWork, 0, 0, -1)
}

// judgeBogusTemp looks for a living board without a possible temperature, or with one
// that is frozen. A board that never had one, on a dragon where none has, has no
// sensor (an A9 says 0).
func judgeBogusTemp(e *detectorInput) finding {
	if !e.w.sensors() {
		return finding{slot: -1}
	}
	for i := range e.f.Boards {
		if b := &e.f.Boards[i]; e.w.sensorFault(b, e.at, &e.p.Heat) {
			return is(true, b.Temperature.Or(-1), 125, b.Slot)
		}
	}
	return is(false, 0, 125, -1)
}

// sensors reports whether any board has shown that it has a sensor.
func (w *watch) sensors() bool {
	return slices.ContainsFunc(w.boards, func(b boardWatch) bool { return b.credible })
}

// sensorFault reports whether what a board says of its temperature is none.
func (w *watch) sensorFault(b *BoardFacts, at Moment, p *HeatPolicy) bool {
	if b.Status != "Alive" || !credible(b.Temperature) {
		return b.Status == "Alive"
	}
	for i := range w.boards {
		if bw := &w.boards[i]; bw.slot == b.Slot {
			return b.Temperature == dragon.Known(bw.temp) && bw.frozen(at, p)
		}
	}
	return false
}

func judgeTuningStuck(e *detectorInput) finding {
	if !e.w.tuning {
		return is(false, 0, e.p.Grace.TuningMax.Seconds(), -1)
	}
	tuning := e.at.Since(e.w.tuned)
	return is(tuning > e.p.Grace.TuningMax, tuning.Seconds(), e.p.Grace.TuningMax.Seconds(), -1)
}

func judgeHeat(limit func(*HeatPolicy) float64) func(*detectorInput) finding {
	return func(e *detectorInput) finding {
		t, ok := e.f.hottest().Get()
		if !ok {
			return finding{slot: -1}
		}
		l := limit(&e.p.Heat)
		return is(t >= l, t, l, -1)
	}
}

// heatNear is how far below the warning a dragon may be for its fans to be a sign of heat.
const heatNear = 10.0

// heated reports whether a low rate is put down to heat.
func heated(f *Facts, r *Record, h *HeatPolicy) bool {
	if t, ok := f.hottest().Get(); ok && t >= h.Warn {
		return true
	}
	// Fans at full speed, or fixed there, say nothing by themselves: with cool boards it
	// is how the dragon was set up.
	if duty, ok := f.FanDuty.Get(); ok && h.FanDuty > 0 && duty >= float64(h.FanDuty) {
		if t, known := f.hottest().Get(); known && t >= h.Warn-heatNear {
			return true
		}
	}
	for i := range f.Boards {
		if b := &f.Boards[i]; b.dead() && slices.Contains(r.DeadHot, b.Slot) {
			return true
		}
	}
	return false
}
