package dragontest

import (
	"fmt"
	"math"
	"time"
)

// chips that answer on a board: all of them, unless it is dead.
func (d *Dragon) chips(i int) int {
	if d.boardDead(i) {
		return 0
	}
	return d.model.Chips
}

// statsEntry writes the members of one board in cgminer's stats.
func (d *Dragon) statsEntry(out *reply, a *request, i, index int) {
	b := &a.state.boards[i]
	temperature := d.temperature(a, i)
	out.intField("STATS", int64(index))
	out.strField("ID", fmt.Sprintf("%s%d", d.label(a.endpoint, d.model.driver), index))
	out.intField("Elapsed", int64(a.now.Sub(a.state.statsAt).Seconds()))
	out.intField("Chain ID", int64(i))
	out.intField("Num chips", int64(d.model.Chips))
	out.intField("Num cores", int64(d.model.Chips*d.model.Cores))
	out.intField("Num active chips", int64(d.chips(i)))
	out.intField("Chain skew", 0)
	out.floatField("Temp max", temperature+6, 1)
	out.floatField("Temp min", temperature-9, 1)
	out.floatField("Temp", temperature, 1)
	out.intField("Fan duty", int64(d.fanDuty(a.state, i)))
	out.intField("iVid", 8)
	out.intField("PLL", 108)
	out.floatField("Voltage Max", 425+5*d.noise(uint64(i), 13), 2)
	out.floatField("Voltage Min", 402+5*d.noise(uint64(i), 14), 2)
	out.floatField("Voltage Avg", 414+5*d.noise(uint64(i), 15), 2)
	out.boolField("VidOptimal", !a.state.tuning(a.now))
	out.boolField("pllOptimal", !a.state.tuning(a.now))
	out.intField("Chain num", int64(d.model.Boards))
	out.floatField("MHS av", perMinute(b.work, a.now.Sub(a.state.statsAt).Seconds())/60, 2)
	out.boolField("Disabled", d.boardDead(i))
	out.boolField("Throttled", false)
	out.strField("Enabled chips", fmt.Sprintf("%x", uint64(1)<<min(d.chips(i), 60)-1))
}

// getDebugStats shows every board with its chips. It succeeds without the mining
// process, and then shows no board.
func (d *Dragon) getDebugStats(out *reply, a *request) {
	s := a.state
	out.open()
	out.boolField("success", true)
	out.key("boards")
	if !d.ready(s, a.now) {
		out.raw("[]")
	} else {
		out.list(len(s.boards))
		index := 0
		for i := range s.boards {
			if d.boardMissing(s, i) {
				continue
			}
			out.item()
			out.open()
			out.key("board")
			out.open()
			d.statsEntry(out, a, i, index)
			out.close()
			out.key("chips")
			out.list(d.chips(i))
			for c := range d.chips(i) {
				out.item()
				d.chipEntry(out, a, i, c)
			}
			out.endList()
			out.close()
			index++
		}
		out.endList()
	}
	out.key("hashes")
	if out.arrays {
		out.raw("[]")
	} else {
		out.open()
		for k, name := range []string{"firmware", "backend", "cgminer"} {
			h := mix(d.spec.Seed + uint64(k))
			out.strField(name, fmt.Sprintf("%016x%016x%08x", h, mix(h), uint32(mix(h+1))))
		}
		out.close()
	}
	out.close()
}

func (d *Dragon) chipEntry(out *reply, a *request, i, c int) {
	b := &a.state.boards[i]
	id := uint64(i)<<8 | uint64(c)
	out.open()
	out.intField("HW errors", int64(b.errors/float64(d.model.Chips)*(1+d.noise(id, 16))))
	out.intField("Stales", 0)
	out.intField("Duplicates", 0)
	out.intField("Nonces found", int64(b.work/d.model.diff1/float64(d.model.Chips)*(1+0.02*d.noise(id, 17))))
	out.intField("Nonce ranges", 0)
	out.intField("Cooldown", 0)
	out.intField("Fail count", 0)
	out.intField("Fail reset", 0)
	out.floatField("Temp", d.temperature(a, i)+7*d.noise(id, 18), 1)
	out.floatField("nVol", 414+8*d.noise(id, 19), 2)
	out.intField("PLL", 108)
	out.intField("cores", int64(d.model.Cores))
	out.close()
}

// stats is cgminer's own answer with success beside it: its boards and its pools.
func (d *Dragon) stats(out *reply, a *request) {
	s := a.state
	if !d.ready(s, a.now) {
		out.raw(noSuccess)
		return
	}
	out.open()
	out.key("STATUS")
	out.list(1)
	out.item()
	out.open()
	out.strField("STATUS", "S")
	out.intField("When", a.deviceNow.Unix())
	out.intField("Code", 70)
	out.strField("Msg", "CGMiner stats")
	out.strField("Description", "cgminer 4.10.0")
	out.close()
	out.endList()
	out.key("STATS")
	out.list(len(s.boards) + len(s.pools))
	index := 0
	for i := range s.boards {
		if d.boardMissing(s, i) {
			continue
		}
		out.item()
		out.open()
		d.statsEntry(out, a, i, index)
		out.close()
		index++
	}
	for i := range s.pools {
		out.item()
		out.open()
		out.intField("STATS", int64(index))
		out.strField("ID", fmt.Sprintf("POOL%d", i))
		out.intField("Elapsed", int64(a.now.Sub(s.statsAt).Seconds()))
		out.intField("Calls", 0)
		out.boolField("Work Had Roll Time", false)
		out.intField("Times Sent", int64(s.pools[i].accepted+s.pools[i].rejected))
		out.close()
		index++
	}
	out.endList()
	out.intField("id", 1)
	out.boolField("success", true)
	out.close()
}

// getHashRates is the history that a monitor keeps, a sample every two minutes
// since the system booted: 5 hours in MH/s, on Innosilicon 24 in H/s. The simulation
// keeps none and shows the present rate with some scatter.
func (d *Dragon) getHashRates(out *reply, a *request) {
	const every = 120 * time.Second
	window, factor := 5*time.Hour, 1.0
	if d.model.innosilicon() {
		window, factor = 24*time.Hour, d.model.Factor
	}
	from := a.state.minerAt
	if earliest := a.now.Add(-window); from.Before(earliest) {
		from = earliest
	}
	n := int(a.now.Sub(from) / every)
	if n <= 0 || !d.ready(a.state, a.now) {
		out.failure("No data to show")
		return
	}
	last := a.deviceNow.Truncate(every)
	out.open()
	out.boolField("success", true)
	out.key("stats")
	out.list(len(a.state.boards))
	for i := range a.state.boards {
		if d.boardMissing(a.state, i) {
			continue
		}
		rate, _ := d.boardRates(a.state, i, false, true)
		out.item()
		out.raw("[")
		for k := range n {
			t := last.Add(-time.Duration(n-1-k) * every)
			out.comma()
			out.float(math.Round(rate*factor*(1+0.02*d.noise(uint64(i), uint64(t.Unix())))), 0)
		}
		out.raw("]")
	}
	out.endList()
	out.key("times")
	out.raw("[")
	for k := range n {
		out.comma()
		out.int(last.Add(-time.Duration(n-1-k) * every).Unix())
	}
	out.raw("]")
	out.close()
}
