package dragontest

import (
	"iter"
	"math"
	"time"
)

// summary is the state of the miner process.
func (d *Dragon) summary(out *reply, a *request) {
	s := a.state
	if !d.ready(s, a.now) {
		out.raw(noSuccess)
		return
	}
	out.open()
	out.members("success", true)
	out.key("DEVS")
	out.list(len(s.boards))
	duty, total := 0, 0.0
	for index, i := range d.listed(s) {
		out.item()
		d.boardEntry(out, a, i, index)
		duty = max(duty, d.fanDuty(s, i))
		total += d.hashRate(a, i) * d.model.Factor
	}
	out.endList()
	out.key("POOLS")
	d.poolEntries(out, a)
	var hardware any = object{"Fan duty", duty}
	switch {
	case out.arrays:
		hardware = list{}
	case d.model.fanObjects:
		hardware = object{"Fan duty", object{"1", duty * 60, "2", duty * 60}}
	}
	out.members("HARDWARE", hardware, "tuning", s.tuning(a.now))
	if d.model.innosilicon() {
		out.members("TotalHash", d.scaledRate(total))
	}
	out.members("hashrates", list{})
	out.close()
}

// listed goes through the boards that the dragon shows, with how many come before each.
func (d *Dragon) listed(s *state) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		index := 0
		for i := range s.boards {
			if d.boardMissing(s, i) {
				continue
			}
			if !yield(index, i) {
				return
			}
			index++
		}
	}
}

// boardEntry writes an element of DEVS, as recorded from a T1 and as the vendor
// backend source and published answers have it for the others.
func (d *Dragon) boardEntry(out *reply, a *request, i, index int) {
	m, b, s := &d.model, &a.state.boards[i], a.state
	slot := i
	if d.onEndpoint(DuplicateBoards, a.endpoint) != nil {
		slot, index = 0, 0
	}
	status := "Alive"
	if d.boardDead(i) {
		status = "Dead"
	}
	elapsed := a.now.Sub(s.statsAt).Seconds()
	diff1 := math.Floor(b.work / m.diff1)
	accepted := float64(b.shares - b.rejected)
	difficulty := d.difficulty()

	out.open()
	out.members("ASC", slot, "Name", d.label(a.endpoint, m.driver), "ID", index, "Enabled", "Y", "Status", status,
		"Temperature", decimal{d.temperature(a, i), 2})
	if m.chipCore {
		out.members("CHIP", m.Chips, "CORE", m.Cores, "DUTY", d.fanDuty(s, i))
	}
	mean := 0.0
	if elapsed > 0 {
		mean = b.work / elapsed
	}
	out.members("MHS av", decimal{mean, 2}, "MHS 5s", decimal{d.shownAverage(a, i, 0), 2}, "MHS 1m", decimal{d.shownAverage(a, i, 1), 2})
	if !m.shortAvg {
		out.members("MHS 5m", decimal{d.shownAverage(a, i, 2), 2}, "MHS 15m", decimal{d.shownAverage(a, i, 3), 2})
	}
	out.members("Accepted", int64(accepted), "Rejected", int64(b.rejected), "Hardware Errors", int64(b.errors),
		"Utility", decimal{perMinute(accepted, elapsed), 2})
	if !m.chipCore {
		out.members("Last Share Pool", b.lastPool, "Last Share Time", d.deviceUnix(a, b.lastShare), "Total MH", int64(math.Round(b.work)))
		if !m.tuneHash {
			out.members("Diff1 Work", int64(diff1))
		}
		out.members("Difficulty Accepted", int64(accepted*difficulty), "Difficulty Rejected", int64(float64(b.rejected)*difficulty))
		last := int64(0)
		if b.shares > 0 {
			last = int64(difficulty)
		}
		out.members("Last Share Difficulty", last, "Last Valid Work", d.deviceUnix(a, b.lastWork),
			"Device Hardware%", decimal{percent(math.Floor(b.errors), math.Floor(b.errors)+diff1), 4},
			"Device Rejected%", decimal{percent(float64(b.rejected)*difficulty, diff1), 4})
	}
	out.members("Device Elapsed", int64(elapsed))
	if m.tuneHash {
		out.members("Tune hash", decimal{d.nominal(b), 2})
	}
	if i < m.hashRateBoards() {
		rate := d.hashRate(a, i)
		if m.innosilicon() {
			out.members(d.scaledRate(rate * m.Factor)...)
			out.members("Hash Rate H", decimal{rate * m.Factor, 2})
		} else {
			out.members("Hash Rate", decimal{rate, 2})
		}
	}
	out.close()
}

func (m *Model) hashRateBoards() int {
	if m.api >= inno2018b {
		return 9
	}
	return 8
}

// hashRate is the MHS value that the backend thinks fit for the age of the figures.
func (d *Dragon) hashRate(a *request, i int) float64 {
	elapsed := a.now.Sub(a.state.statsAt).Seconds()
	switch {
	case d.model.shortAvg:
		if elapsed <= 0 {
			return 0
		}
		return roundTo(a.state.boards[i].work/elapsed, 2)
	case elapsed < 300:
		return roundTo(d.shownAverage(a, i, 0), 2)
	case elapsed < 900:
		return roundTo(d.shownAverage(a, i, 1), 2)
	case elapsed < 3600:
		return roundTo(d.shownAverage(a, i, 2), 2)
	}
	return roundTo(d.shownAverage(a, i, 3), 2)
}

// scaledRate is a rate for people: divided by 1000 until it is below, with its unit.
func (d *Dragon) scaledRate(rate float64) object {
	prefixes := [...]string{"", "K", "M", "G", "T", "P", "E"}
	n := 0
	for rate >= 1000 && n < len(prefixes)-1 {
		rate /= 1000
		n++
	}
	return object{"Hash Rate", decimal{rate, 2}, "Unit", prefixes[n] + d.model.Unit}
}

// shownAverage is an average with the scatter that shares bring into it: the
// shorter its window, the more.
func (d *Dragon) shownAverage(a *request, i, window int) float64 {
	if d.model.tuneHash && window > 1 {
		window = 1
	}
	scatter := [4]float64{0.04, 0.015, 0.006, 0.003}[window]
	// Two seconds share a value: cgminer's figures do not change with every question.
	n := d.noise(uint64(i), uint64(a.now.Unix()/2)<<2|uint64(window))
	if d.onBoard(DeadBoardFrozen, i, theLast) != nil {
		n = 0
	}
	return a.state.boards[i].average[window] * (1 + scatter*n)
}

// temperature of a board follows how much it hashes.
func (d *Dragon) temperature(a *request, i int) float64 {
	b := &a.state.boards[i]
	if f := d.onBoard(BogusTemperature, i, theLast); f != nil {
		return f.amount
	}
	if d.onBoard(DeadBoardHot, i, theLast) != nil {
		return 111
	}
	if f := d.onBoard(Overheat, i, theWhole); f != nil {
		return f.amount
	}
	load := min(b.average[1]/d.nominal(b), 1.3)
	return math.Round(31 + 39*load + 3*d.noise(uint64(i), 5) + 0.8*d.noise(uint64(i), uint64(a.now.Unix()/30)+6))
}

func (d *Dragon) fanDuty(s *state, i int) int {
	if d.onBoard(DeadBoardHot, i, theLast) != nil || d.onBoard(Overheat, i, theWhole) != nil {
		return 100
	}
	b := &s.boards[i]
	return int(min(100, 30+32*b.average[1]/d.nominal(b)+4*d.noise(uint64(i), 5)))
}

func (d *Dragon) poolEntries(out *reply, a *request) {
	s := a.state
	active := d.activePool(s)
	out.list(len(s.pools))
	for i := range s.pools {
		d.poolEntry(out, a, i, active)
	}
	out.endList()
}

func (d *Dragon) poolEntry(out *reply, a *request, i, active int) {
	m, s := &d.model, a.state
	difficulty := d.difficulty()
	p := &s.pools[i]
	number := i
	if d.onEndpoint(DuplicateBoards, a.endpoint) != nil {
		number = 0
	}
	status, stratumURL := "Alive", ""
	if !d.poolAlive(i) {
		status = "Dead"
	}
	used := p.active > 0
	if i == active {
		stratumURL = p.host
	}
	work, height := 0.0, int64(0)
	if used {
		// A block every ten minutes since the year 2000, so that all dragons agree.
		work, height = difficulty, (a.now.Unix()-946684800)/600
	}
	accepted, rejected := float64(p.accepted), float64(p.rejected)
	last := 0.0
	if p.accepted+p.rejected > 0 {
		last = difficulty
	}

	out.item()
	out.open()
	out.members("POOL", number, "URL", p.URL, "Status", status, "Priority", i, "Quota", 1, "Long Poll", "N",
		"Getworks", int64(math.Ceil(p.active/27)), "Accepted", int64(p.accepted), "Rejected", int64(p.rejected),
		"Works", int64(p.active*22), "Discarded", int64(p.active*0.57), "Stale", 0, "Get Failures", int64(p.failures),
		"Remote Failures", 0, "User", d.label(a.endpoint, p.User), "Last Share Time", d.deviceUnix(a, p.last))
	if !m.leanPools {
		out.members("Diff1 Shares", int64((accepted+rejected)*difficulty))
	}
	out.members("Proxy Type", "", "Proxy", "", "Difficulty Accepted", int64(accepted*difficulty),
		"Difficulty Rejected", int64(rejected*difficulty), "Difficulty Stale", 0, "Last Share Difficulty", int64(last))
	if !m.leanPools {
		out.members("Work Difficulty", int64(work))
	}
	out.members("Has Stratum", true, "Stratum Active", i == active, "Stratum URL", stratumURL)
	if !m.leanPools {
		out.members("Stratum Difficulty", int64(work), "Has Vmask", true)
	}
	out.members("Has GBT", false)
	if !m.leanPools {
		out.members("Best Share", int64(p.best))
	}
	out.members("Pool Rejected%", decimal{percent(rejected, accepted+rejected), 4}, "Pool Stale%", decimal{0, 4})
	if !m.leanPools {
		out.members("Bad Work", int64(p.active/600), "Current Block Height", height, "Current Block Version", 536870912)
	}
	out.close()
}

// deviceUnix is a time by the device's clock in seconds, 0 for never.
func (d *Dragon) deviceUnix(a *request, t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(a.deviceNow.Sub(a.now)).Unix()
}

func percent(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * part / whole
}

func perMinute(n, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return n * 60 / seconds
}
