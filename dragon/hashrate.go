package dragon

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// The fields named MHS are in a unit of the model, and only some firmware says
// which: "Hash Rate H" is in hashes per second whatever the model, and "Hash Rate"
// in the Unit beside it. Firmware without Unit is a DragonMint's or older, where
// "Hash Rate" is one of the MHS.

// unitFactor is the number of hashes in a unit such as H/s, KH/s, TH/s, KSol/s.
func unitFactor(unit string) (float64, bool) {
	unit = strings.ToUpper(strings.TrimSpace(unit))
	for _, base := range []string{"H/S", "SOL/S"} {
		if prefix, ok := strings.CutSuffix(unit, base); ok {
			f, known := prefixes[prefix]
			return f, known
		}
	}
	return 0, false
}

var prefixes = map[string]float64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}

// hashes returns the rate in hashes per second.
func (t shownHash) hashes() Number {
	if t.plain.IsKnown() {
		return t.plain
	}
	if f, ok := unitFactor(t.unit); ok {
		return t.rate.Times(f)
	}
	return Number{}
}

// givesUnits reports whether the model is not needed to understand the answer: the
// boards show their unit, or there is nothing to show yet.
func (s *reported) givesUnits() bool {
	if _, ok := s.factor(); ok {
		return true
	}
	for i := range s.boards {
		b := &s.boards[i]
		for _, n := range []Number{b.Hashrate5s, b.Hashrate1m, b.Hashrate5m, b.Hashrate15m, b.HashrateAvg, b.Hashes, b.displayed} {
			if n.Or(0) > 0 {
				return false
			}
		}
	}
	return true
}

// selected is the MHS figure that the firmware shows as Hash Rate: the longest window that
// the miner process has run for, or the average where the driver lacks the long ones. Vendor
// backend source.
func (b *reportedBoard) selected() Number {
	age, ok := b.Elapsed.Get()
	switch {
	case !ok:
		return Number{}
	case !b.Hashrate5m.IsKnown() || !b.Hashrate15m.IsKnown():
		return b.HashrateAvg
	case age < 300:
		return b.Hashrate5s
	case age < 900:
		return b.Hashrate1m
	case age < 3600:
		return b.Hashrate5m
	}
	return b.Hashrate15m
}

// rate is the board's figure in hashes per second, where it gives one with its unit.
func (b *reportedBoard) rate() Number {
	return shownHash{rate: b.displayed, unit: b.unit, plain: b.Hashrate}.hashes()
}

// factor is what the board's own figures show one MHS to be.
func (b *reportedBoard) factor() (float64, bool) {
	return factorOf(b.rate().Or(0), b.selected().Or(0))
}

// factor is that of the first board which shows one: a dead board shows none, and all
// boards of a dragon are alike. Else it is what the total shows, which has its unit where
// the boards have none.
func (s *reported) factor() (float64, bool) {
	shown := 0.0
	for i := range s.boards {
		if f, ok := s.boards[i].factor(); ok {
			return f, true
		}
		shown += s.boards[i].selected().Or(0)
	}
	return factorOf(s.total.hashes().Or(0), shown)
}

// factorOf returns the factor from MHS to hashes per second: of the known factors, the
// best match.
func factorOf(rate, shown float64) (float64, bool) {
	if rate <= 0 || shown <= 0 {
		return 0, false
	}
	ratio := math.Log10(rate / shown)
	return slices.MinFunc([]float64{1, 1e3, 1e6}, func(a, b float64) int {
		return cmp.Compare(math.Abs(ratio-math.Log10(a)), math.Abs(ratio-math.Log10(b)))
	}), true
}

// inBaseUnits makes the Summary, with the factor of the model where the boards show none.
func (s *reported) inBaseUnits(factor float64) *Summary {
	if f, ok := s.factor(); ok {
		factor = f
	}
	if len(s.boards) > 0 {
		s.Boards = make([]Board, len(s.boards))
	}
	for i := range s.boards {
		b, f := &s.boards[i], factor
		if own, ok := b.factor(); ok {
			f = own
		}
		for _, n := range []*Number{&b.Hashrate5s, &b.Hashrate1m, &b.Hashrate5m, &b.Hashrate15m, &b.HashrateAvg, &b.Hashes} {
			*n = n.Times(f)
		}
		if rate := b.rate(); rate.IsKnown() {
			b.Hashrate = rate
		} else if b.unit == "" {
			b.Hashrate = b.displayed.Times(f)
		} else {
			s.note("DEVS.Unit")
		}
		id, _ := b.id.Get()
		b.ID = int(id)
		s.Boards[i] = b.Board
	}
	if s.FanDuty.Or(0) == 0 {
		for i := range s.boards {
			if duty, ok := s.boards[i].duty.Get(); ok && duty >= s.FanDuty.Or(0) {
				s.FanDuty = Known(duty)
			}
		}
	}
	s.Hashrate = s.total.hashes()
	if s.total.rate.IsKnown() && !s.Hashrate.IsKnown() {
		s.note("TotalHash.Unit")
	}
	s.number()
	summary := s.Summary // a copy: a pointer into s would keep the rest of s alive
	return &summary
}

// number gives boards and pools their slots. They tell series apart, so they are
// unique: if the device repeats itself, all count from zero.
func (s *reported) number() {
	slots := slots(len(s.boards), func(i int) Number { return s.boards[i].asc }, &s.Unreadable, "DEVS.ASC")
	for i := range s.Boards {
		s.Boards[i].Slot = slots[i]
	}
	s.Pools = numberPools(s.pools, &s.Unreadable)
}

func (s *reported) note(name string) { s.Unreadable = note(s.Unreadable, name) }

func note(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func numberPools(reported []reportedPool, unreadable *[]string) []Pool {
	if len(reported) == 0 {
		return nil
	}
	slots := slots(len(reported), func(i int) Number { return reported[i].index }, unreadable, "POOLS.POOL")
	pools := make([]Pool, len(reported))
	for i := range reported {
		pools[i] = reported[i].Pool
		pools[i].Index = slots[i]
	}
	return pools
}

// maxSlot bounds a slot that a device may name.
const maxSlot = 999

// slots returns the indexes that n elements say they have. If those are not unique, impossible
// or not there, all count from zero, and the field that has them is noted as unreadable.
func slots(n int, of func(int) Number, unreadable *[]string, field string) []int {
	out := make([]int, n)
	for i := range out {
		v, ok := of(i).Get()
		if !ok || v > maxSlot || slices.Contains(out[:i], int(v)) {
			*unreadable = note(*unreadable, field)
			for i := range out {
				out[i] = i
			}
			return out
		}
		out[i] = int(v)
	}
	return out
}
