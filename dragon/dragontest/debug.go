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

// statsEntry is one board in cgminer's stats.
func (d *Dragon) statsEntry(a *request, i, index int) object {
	b := &a.state.boards[i]
	temperature, seconds := d.temperature(a, i), a.now.Sub(a.state.statsAt).Seconds()
	return object{
		"STATS", index, "ID", fmt.Sprintf("%s%d", d.label(a.endpoint, d.model.driver), index),
		"Elapsed", int64(seconds), "Chain ID", i, "Num chips", d.model.Chips,
		"Num cores", d.model.Chips * d.model.Cores, "Num active chips", d.chips(i), "Chain skew", 0,
		"Temp max", decimal{temperature + 6, 1}, "Temp min", decimal{temperature - 9, 1}, "Temp", decimal{temperature, 1},
		"Fan duty", d.fanDuty(a.state, i), "iVid", 8, "PLL", 108, "Voltage Max", decimal{425 + 5*d.noise(uint64(i), 13), 2},
		"Voltage Min", decimal{402 + 5*d.noise(uint64(i), 14), 2}, "Voltage Avg", decimal{414 + 5*d.noise(uint64(i), 15), 2},
		"VidOptimal", !a.state.tuning(a.now), "pllOptimal", !a.state.tuning(a.now), "Chain num", d.model.Boards,
		"MHS av", decimal{perMinute(b.work, seconds) / 60, 2}, "Disabled", d.boardDead(i), "Throttled", false,
		"Enabled chips", fmt.Sprintf("%x", uint64(1)<<min(d.chips(i), 60)-1),
	}
}

// getDebugStats shows every board with its chips. It succeeds without the mining
// process, and then shows no board.
func (d *Dragon) getDebugStats(out *reply, a *request) {
	boards := list{}
	if d.ready(a.state, a.now) {
		for index, i := range d.listed(a.state) {
			chips := list{}
			for c := range d.chips(i) {
				chips = append(chips, d.chipEntry(a, i, c))
			}
			boards = append(boards, object{"board", d.statsEntry(a, i, index), "chips", chips})
		}
	}
	hash := func(k uint64) string {
		h := mix(d.spec.Seed + k)
		return fmt.Sprintf("%016x%016x%08x", h, mix(h), uint32(mix(h+1)))
	}
	var hashes any = object{"firmware", hash(0), "backend", hash(1), "cgminer", hash(2)}
	if out.arrays {
		hashes = list{}
	}
	out.success("boards", boards, "hashes", hashes)
}

func (d *Dragon) chipEntry(a *request, i, c int) object {
	b, chips := &a.state.boards[i], float64(d.model.Chips)
	id := uint64(i)<<8 | uint64(c)
	return object{
		"HW errors", int64(b.errors / chips * (1 + d.noise(id, 16))), "Stales", 0, "Duplicates", 0,
		"Nonces found", int64(b.work / d.model.diff1 / chips * (1 + 0.02*d.noise(id, 17))), "Nonce ranges", 0, "Cooldown", 0,
		"Fail count", 0, "Fail reset", 0, "Temp", decimal{d.temperature(a, i) + 7*d.noise(id, 18), 1},
		"nVol", decimal{414 + 8*d.noise(id, 19), 2}, "PLL", 108, "cores", d.model.Cores,
	}
}

// stats is cgminer's own answer with success beside it: its boards and its pools.
func (d *Dragon) stats(out *reply, a *request) {
	s := a.state
	if !d.ready(s, a.now) {
		out.raw(noSuccess)
		return
	}
	stats := list{}
	for index, i := range d.listed(s) {
		stats = append(stats, d.statsEntry(a, i, index))
	}
	for i, p := range s.pools {
		stats = append(stats, object{
			"STATS", len(stats), "ID", fmt.Sprintf("POOL%d", i), "Elapsed", int64(a.now.Sub(s.statsAt).Seconds()), "Calls", 0,
			"Work Had Roll Time", false, "Times Sent", int64(p.accepted + p.rejected),
		})
	}
	status := object{"STATUS", "S", "When", a.deviceNow.Unix(), "Code", 70, "Msg", "CGMiner stats", "Description", "cgminer 4.10.0"}
	out.object("STATUS", list{status}, "STATS", stats, "id", 1, "success", true)
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
	stats, times := list{}, array{}
	for k := range n {
		times = append(times, last.Add(-time.Duration(n-1-k)*every).Unix())
	}
	for _, i := range d.listed(a.state) {
		rate, _ := d.boardRates(a.state, i, false, true)
		rates := array{}
		for _, t := range times {
			rates = append(rates, decimal{math.Round(rate * factor * (1 + 0.02*d.noise(uint64(i), uint64(t.(int64))))), 0})
		}
		stats = append(stats, rates)
	}
	out.success("stats", stats, "times", times)
}
