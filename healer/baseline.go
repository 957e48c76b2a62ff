package healer

import (
	"math"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const (
	slotLength   = 4 * time.Hour // of healthy samples that make one learned value
	slotsKept    = 42            // seven days
	slotsNeeded  = 6             // a day, before a dragon is measured by its own past
	slotSamples  = 0.7           // of the samples of a slot that must have been healthy
	peersNeeded  = 3             // with learned values, before a model is measured by its median
	peersNow     = 5             // the same with nothing learned: healthy ones at this moment
	week         = 7 * 24 * time.Hour
	learnedDigit = 4
)

// Baseline is what one dragon does when it is well, in one mode: the rolling median
// of seven days of healthy hours. Value falls slowly, so that a dragon that gets
// slowly worse is not measured by its own decline.
type Baseline struct {
	Mode  string    `json:"mode,omitempty"`
	Slots []float64 `json:"slots,omitempty"` // mean rates of four healthy hours each, oldest first
	Value float64   `json:"value,omitempty"` // hashes per second; 0: nothing learned
	At    Moment    `json:"at,omitempty"`    // of Value
}

// learn takes in the mean rate of a slot.
func (b *Baseline) learn(mode string, mean float64, now Moment, fall Ratio) {
	if !b.holds(mode) {
		*b = Baseline{}
	}
	if mode != "" {
		b.Mode = mode
	}
	b.Slots = append(b.Slots, rounded(mean))
	if n := len(b.Slots) - slotsKept; n > 0 {
		b.Slots = slices.Delete(b.Slots, 0, n)
	}
	if len(b.Slots) < slotsNeeded {
		return
	}
	v := median(slices.Clone(b.Slots))
	if b.Value > 0 {
		weeks := float64(now.Since(b.At)) / float64(week)
		v = max(v, b.Value*(1-float64(fall)*min(weeks, 1)))
	}
	b.Value, b.At = rounded(v), now
}

// known returns what was learned for the mode.
func (b *Baseline) known(mode string) dragon.Number {
	if b.Value <= 0 || !b.holds(mode) {
		return dragon.Number{}
	}
	return dragon.Known(b.Value)
}

// holds reports whether what was learned is about a mode. One that is not known, as
// before the first question for it, is taken for the one that was.
func (b *Baseline) holds(mode string) bool { return mode == "" || b.Mode == "" || mode == b.Mode }

// learn adds a healthy sample to the dragon's running slot; others would
// make a low rate the baseline.
func (w *watch) learn(r *Record, mode string, at Moment, healthy bool, poll time.Duration, fall Ratio) (learned bool) {
	rate, ok := w.rate.Get()
	if !healthy || !ok || rate <= 0 {
		return false
	}
	if w.hourN == 0 {
		w.hourFrom = at
	}
	w.hourSum += rate
	w.hourN++
	if at.Since(w.hourFrom) < slotLength {
		return false
	}
	enough := float64(w.hourN) >= slotSamples*float64(slotLength/max(poll, time.Second))
	if enough {
		r.Baseline.learn(mode, w.hourSum/float64(w.hourN), at, fall)
	}
	w.hourSum, w.hourN, w.hourFrom = 0, 0, 0
	return enough
}

// rounded keeps what is remembered short.
func rounded(v float64) float64 {
	if v <= 0 || math.IsInf(v, 0) {
		return 0
	}
	scale := math.Pow(10, math.Floor(math.Log10(v))-learnedDigit+1)
	return math.Round(v/scale) * scale
}

// median of at least one value; it sorts them.
func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// percentile of at least one value; it sorts them.
func percentile(v []float64, p float64) float64 {
	slices.Sort(v)
	return v[min(len(v)-1, int(p*float64(len(v))))]
}
