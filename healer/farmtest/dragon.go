package farmtest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

const (
	boardsPerDragon = 3
	warmth          = 48.0            // °C that a working board is above the air
	cooler          = 8.0             // °C less in the mode efficient
	inertia         = 5 * time.Minute // of its temperature
	deadly          = 103.0           // °C that a board dies of
	overviewAge     = 5 * time.Minute // before the fleet reads an overview again
	averaging       = 15 * time.Minute
)

// never is before every farm.
const never = -longest

type phase int

const (
	off phase = iota
	booting
	starting // the system is up, its mining process is not
	running
)

// defect is something that is wrong with a dragon, and how likely it is to go away.
type defect struct {
	kind    string // dead, missing, slow, late, sensor, freeze, nopool, tuning
	slot    int
	since   time.Duration
	factor  float64       // slow
	late    time.Duration // late: after every start of the mining process
	sensor  string        // frozen, nan, 0, 150
	frozen  float64       // what a frozen sensor says
	hot     bool          // it died of heat
	looked  bool          // somebody has seen it since
	told    bool          // and could tell that it was heat
	restart float64       // chance that a restart of the mining process cures it
	reboot  float64       // chance that a boot does
	tried   float64       // the chance that it would be gone by now
}

func (f *defect) curable() bool { return f.restart > 0 || f.reboot > 0 }

// sick reports whether it is something that a healer should notice and act on.
func (f *defect) sick() bool {
	switch f.kind {
	case "dead", "missing", "freeze", "nopool":
		return true
	}
	return false
}

// low reports whether the dragon does clearly less than it could.
func (d *Dragon) low() bool {
	can, does := 0.0, 0.0
	for i := range d.boards {
		b := &d.boards[i]
		if can += b.rate; !b.dead && !b.missing {
			does += b.rate * b.factor
		}
	}
	return does < 0.5*can
}

type board struct {
	rate    float64 // hashes per second when it is well
	factor  float64
	dead    bool
	missing bool
	late    time.Duration
	sensor  *defect
	temp    float64
	hashes  float64 // since the counters began
	mhs15m  float64 // the decaying average, hashes per second
	shares  float64
	errors  float64
	hotSeen time.Duration // when it was last seen to be deadly hot
}

// Dragon is one device: what it is, and how it shows itself.
type Dragon struct {
	world   *World
	N       int
	MAC     string // its own
	Shown   string // the MAC that it tells
	Address string // its lease
	Known   string // where the fleet looks for it
	Switch  int
	PDU     int

	boards  [boardsPerDragon]board
	defects []*defect
	nopool  bool
	freeze  bool
	web     string  // empty: fine
	answer  string  // to a reboot: empty, ignored, never, lostreply, refused
	dies    float64 // chance that a reboot is the last
	gone    bool    // it was
	goneAt  time.Duration
	offset  time.Duration // of its clock
	soak    float64       // °C that its air is above the others'
	drag    time.Duration // that it takes longer to boot
	retunes time.Duration // instead of the script's

	firmware       string
	told           string // of it, as the fleet has read it last
	firmwareBefore string // right before the last write
	bricksNext     bool   // the next boot is its last
	worse          float64
	memory         float64
	flashed        []string // what the images did that it was flashed with

	phase  phase
	ready  time.Duration // when the phase ends
	boot   time.Duration // of its system
	start  time.Duration // of its mining process
	count  time.Duration // since when its counters count
	tuned  time.Duration // when tuning ends; 0: it does not tune
	at     time.Duration // simulated so far
	boots  int
	starts int
	works  [4]float64 // seconds of work, by pool

	conf  []lead // the pools that it is configured for, in order
	mode  string // of its autotuner
	wish  *healer.Wish
	asked time.Duration     // when the fleet read its configuration last
	said  healer.Configured // what it said then

	Earned   float64 // hashes, ever
	Restarts []Restart

	facts    healer.Facts
	overview dragon.Overview
	elapsed  float64
	// Answered are the times at which the fleet got a sample of it, newest last.
	Answered []time.Duration
	shownAt  time.Duration // when the MAC that it shows changed
	seen     time.Duration // first
	lastRead time.Duration
	// As it was right before the last write, which may have cured it.
	justBefore []*defect
	bootBefore time.Duration
	tuneBefore time.Duration // since when it tunes; never: it does not
}

// Restart is a start of a dragon's mining process, or of all of it.
type Restart struct {
	At     time.Duration
	System bool
	Why    string
	shown  bool // by an answer after it, and before the next
}

func newDragon(w *World, n int) *Dragon {
	s := w.script
	d := &Dragon{
		world: w, N: n, Switch: n % s.Switches, PDU: n % s.PDUs, phase: running,
		MAC:     fmt.Sprintf("a0:b0:45:00:%02x:%02x", n>>8, n&0xff),
		Address: fmt.Sprintf("127.%d.%d.%d", 1+n%s.Switches>>8, n%s.Switches&0xff, 2+n/s.Switches),
	}
	d.Shown, d.Known = d.MAC, d.Address
	d.firmware, d.worse, d.memory = firmware(n), 1, memoryFree
	d.told = d.firmware
	// The farm has been running for a while, and nobody was there to see it.
	up := 40*time.Hour + time.Duration(draw(s.Seed, n, "up", 0)*float64(200*time.Hour))
	d.boot, d.start, d.count = -up, -up+time.Minute, -up+time.Minute
	for i := range d.boards {
		b := &d.boards[i]
		b.rate = nominal * (0.97 + 0.06*draw(s.Seed, n, "rate", i))
		b.factor, b.mhs15m = 1, b.rate
		b.hashes = b.rate * (-d.count).Seconds()
		b.errors = b.hashes * errorsPer
		b.temp, b.hotSeen = w.air+warmth, never
	}
	d.works[0] = (-d.count).Seconds()
	d.mode, d.asked = "balanced", never
	for i := range w.pools {
		d.conf = append(d.conf, lead{i, w.pools[i].login, "farm.worker", secret})
	}
	d.seen = never
	return d
}

// Nominal is what the dragon does when it is well, in hashes per second.
func (d *Dragon) Nominal() float64 {
	total := 0.0
	for i := range d.boards {
		total += d.boards[i].rate
	}
	return total
}

func (d *Dragon) chance(what string, n int) float64 {
	return draw(d.world.script.Seed, d.N, what, n)
}

// advance simulates the dragon up to a time. Phases end when they end; everything
// else is taken as constant in between.
func (d *Dragon) advance(to time.Duration) {
	for d.at < to {
		next := to
		if (d.phase == booting || d.phase == starting) && d.ready < next {
			next = max(d.ready, d.at)
		}
		if d.phase == running && d.tuned != 0 && d.tuned < next {
			next = max(d.tuned, d.at)
		}
		d.mine(next - d.at)
		d.at = next
		switch {
		case d.phase == booting && d.at >= d.ready:
			d.phase, d.ready = starting, d.at+30*time.Second
		case d.phase == starting && d.at >= d.ready:
			d.phase, d.start = running, d.at
			d.reset()
		case d.phase == running && d.tuned != 0 && d.at >= d.tuned && !d.has("tuning"):
			d.tuned = 0
			d.reset()
		case d.phase == running && d.tuned != 0 && d.at >= d.tuned:
			d.tuned += time.Hour // it never gets done
		}
	}
}

// reset begins the counters anew.
func (d *Dragon) reset() {
	d.count = d.at
	clear(d.works[:])
	for i := range d.boards {
		b := &d.boards[i]
		b.hashes, b.shares, b.errors, b.mhs15m = 0, 0, 0, 0
	}
}

// pool is the index of the pool that the dragon works for; -1: none.
func (d *Dragon) pool() int {
	for _, l := range d.conf {
		if l.pool >= 0 && d.sees(l.pool) {
			return l.pool
		}
	}
	return -1
}

// lead is a pool that a dragon is configured for.
type lead struct {
	pool                int // of the world; negative: there is none
	url, user, password string
}

// sees reports whether a pool is alive to the dragon.
func (d *Dragon) sees(pool int) bool {
	w := d.world
	return w.pools[pool].down == 0 && w.uplink == 0 && w.switches[d.Switch] == 0 && !d.nopool
}

func (d *Dragon) mine(dt time.Duration) {
	if dt <= 0 {
		return
	}
	w := d.world
	air := w.air + d.soak
	warm, decay := w.decay(dt)
	pool := -1
	if d.phase == running {
		pool = d.pool()
	}
	works := pool >= 0 && w.pools[pool].idle == 0
	if works && !d.freeze {
		d.works[pool] += dt.Seconds()
	}
	for i := range d.boards {
		b := &d.boards[i]
		rate := 0.0
		if works && !d.freeze && !b.dead && !d.hidden(b) {
			rate = b.rate * b.factor
			if d.tuned != 0 {
				rate /= 2
			}
			done := rate * dt.Seconds()
			b.hashes += done
			b.errors += done * errorsPer * d.worse
			b.shares += dt.Seconds() / 20
			d.Earned += done
		}
		b.mhs15m += (rate - b.mhs15m) * decay
		target := air + 5
		if rate > 0 {
			target = air + warmth
			if d.mode == "efficient" {
				target -= cooler
			}
		}
		b.temp += (target - b.temp) * warm
		if b.temp >= deadly && !b.dead {
			d.add(&defect{kind: "dead", slot: i, since: d.at, hot: true, restart: 1, reboot: 1})
		}
	}
}

func (d *Dragon) hidden(b *board) bool {
	return b.missing || b.late > 0 && d.at-d.start < b.late
}

// add gives the dragon a defect; the newest of a kind in a place counts.
func (d *Dragon) add(f *defect) {
	d.remove(f.kind, f.slot)
	d.defects = append(d.defects, f)
	d.feel()
}

func (d *Dragon) remove(kind string, slot int) {
	d.defects = slices.DeleteFunc(d.defects, func(f *defect) bool { return f.kind == kind && f.slot == slot })
	d.feel()
}

func (d *Dragon) has(kind string) bool {
	return slices.ContainsFunc(d.defects, func(f *defect) bool { return f.kind == kind })
}

// feel makes the parts' state from the defects.
func (d *Dragon) feel() {
	d.nopool, d.freeze = d.has("nopool"), d.has("freeze")
	for i := range d.boards {
		b := &d.boards[i]
		b.dead, b.missing, b.factor, b.late, b.sensor = false, false, 1, 0, nil
	}
	for _, f := range d.defects {
		b := &d.boards[f.slot]
		switch f.kind {
		case "dead":
			b.dead = true
		case "missing":
			b.missing = true
		case "slow":
			b.factor = f.factor
		case "late":
			b.late = f.late
		case "sensor":
			b.sensor = f
		}
	}
	if d.has("tuning") && d.tuned == 0 && d.phase == running {
		d.tuned = d.at + time.Hour
	}
}

// restart starts the mining process anew.
func (d *Dragon) restart(why string) {
	if d.phase != running && d.phase != starting {
		return
	}
	d.starts++
	d.phase, d.ready = starting, d.at+20*time.Second+time.Duration(d.chance("start", d.starts)*float64(20*time.Second))
	if d.tuned != 0 { // tuning is what the process does, and begins anew with it
		d.tuned = d.ready + d.tunes()
	}
	d.Restarts = append(d.Restarts, Restart{At: d.at, System: false, Why: why})
	d.mend(false)
}

// reboot starts everything anew.
func (d *Dragon) reboot(why string) {
	if d.phase == off {
		return
	}
	d.boots++
	d.Restarts = append(d.Restarts, Restart{At: d.at, System: true, Why: why})
	d.begin()
	if d.bricksNext {
		d.gone, d.goneAt = true, d.at
	}
	if d.dies > 0 && d.chance("dies", d.boots) < d.dies {
		d.gone, d.goneAt = true, d.at
	}
	if d.gone {
		d.phase = off
	}
}

// begin boots; the system's clock counts from its own start.
func (d *Dragon) begin() {
	takes := time.Minute + time.Duration(d.chance("boot", d.boots)*float64(4*time.Minute)) + d.drag
	d.phase, d.ready = booting, d.at+takes
	d.boot = d.ready - 30*time.Second
	d.tuned = d.ready + 30*time.Second + d.tunes()
	d.mend(true)
}

func (d *Dragon) tunes() time.Duration {
	s := d.world.script
	if d.retunes > 0 {
		return d.retunes
	}
	return s.TuneMin + time.Duration(d.chance("tune", d.boots)*float64(s.TuneMax-s.TuneMin))
}

// wrongSlot is where the first defect is.
func (d *Dragon) wrongSlot() int {
	if len(d.defects) == 0 {
		return 0
	}
	return d.defects[0].slot
}

// mend gives every defect its chance.
func (d *Dragon) mend(boot bool) {
	d.defects = slices.DeleteFunc(d.defects, func(f *defect) bool {
		p := f.restart
		if boot {
			p = max(p, f.reboot)
		}
		if f.hot && d.boards[f.slot].temp > 90 {
			return false
		}
		// How long it holds out is drawn once, so that one attempt more never makes it
		// worse: else luck would be taken for harm.
		f.tried = 1 - (1-f.tried)*(1-p)
		return d.chance("mend"+f.kind, 10*int(f.since/time.Minute)+f.slot) < f.tried
	})
	d.feel()
}

// decay is what is gone of a first-order lag after dt: of a temperature, and of
// cgminer's 15 minutes' average.
func (w *World) decay(dt time.Duration) (warm, mhs float64) {
	if dt != w.decayed {
		w.decayed = dt
		w.warm = 1 - math.Exp(-dt.Seconds()/inertia.Seconds())
		w.mhs = 1 - math.Exp(-dt.Seconds()/averaging.Seconds())
	}
	return w.warm, w.mhs
}

// shownTemperature is what the board says of its own temperature.
func (b *board) shownTemperature() dragon.Number {
	if b.sensor == nil {
		return dragon.Known(math.Round(b.temp))
	}
	switch b.sensor.sensor {
	case "nan":
		return dragon.Number{}
	case "0":
		return dragon.Known(0)
	case "150":
		return dragon.Known(150)
	}
	return dragon.Known(math.Round(b.sensor.frozen))
}

// watched reports whether the healer that there is, if there is one, has seen a time.
func (w *World) watched(at time.Duration) bool {
	h := w.healer
	return h.Alive() && len(h.Starts) > 0 && at >= h.Starts[len(h.Starts)-1]
}

// reach is how an attempt to read the dragon ends.
func (d *Dragon) reach() healer.Reach {
	w := d.world
	switch {
	case w.gateway > 0 || w.switches[d.Switch] > 0 || w.at(d.Known) != d:
		return healer.Unreachable
	case d.phase == off:
		return healer.Timeout
	case d.phase == booting:
		return healer.Unreachable
	}
	switch d.web {
	case "slow": // every second answer comes too late
		if int(d.at/time.Minute)%2 == 0 {
			return healer.Timeout
		}
	case "hang":
		return healer.Timeout
	case "500", "garbage", "truncated":
		return healer.BadResponse
	case "401":
		return healer.AuthFailed
	}
	return healer.Reached
}

// poll reads the dragon as the fleet does, and makes facts of it.
func (d *Dragon) poll() {
	if d.web == "sluggish" { // which the process asks half as often
		if int(d.at/time.Minute)%2 == 0 {
			return
		}
		defer func() { d.facts.Pace = 2 }()
	}
	d.facts = d.read()
	if d.facts.Wish == nil && d.wish != nil { // what it was to be is known, and what it said before
		said := d.said
		d.facts.Wish, d.facts.Configured = d.wish, &said
	}
	if !d.facts.HasSample || d.web == "stale" || d.web == "renamed" {
		return
	}
	if d.seen == never {
		d.seen = d.at
	}
	for i := range d.boards {
		if b := &d.boards[i]; b.sensor == nil && math.Round(b.temp) >= 100 {
			b.hotSeen = d.at
		}
	}
	for _, f := range d.defects {
		if f.hot && !f.looked {
			f.looked, f.told = true, d.at-d.boards[f.slot].hotSeen <= 10*time.Minute && d.world.watched(d.boards[f.slot].hotSeen)
		}
	}
	if n := len(d.Restarts); n > 0 {
		d.Restarts[n-1].shown = true
	}
	d.Answered = append(d.Answered, d.at)
	if len(d.Answered) > 64 {
		d.Answered = append(d.Answered[:0], d.Answered[32:]...)
	}
}

func (d *Dragon) read() healer.Facts {
	w := d.world
	d.lastRead = d.at
	if d.web == "stale" && d.facts.HasSample { // it tells what it told before
		f := d.facts
		f.At = w.mono()
		return f
	}
	who := healer.Who{MAC: d.Shown, Worker: worker(d.Shown), Address: d.Known, Model: w.script.Model, Firmware: d.told, HWVer: "g19"}
	if !w.script.Unnamed {
		who.Domain = w.domainNames[d.Switch]
	}
	reach := d.reach()
	if reach != healer.Reached || d.phase != running {
		return healer.FactsOf(who, reach, nil, nil, w.mono())
	}
	s := &w.summary
	s.At = w.script.Begins.Add(d.at)
	s.DeviceTime = s.At.Add(d.offset).Truncate(time.Second)
	s.FanDuty = dragon.Known(w.fan(d))
	s.Tuning = dragon.Known(0)
	if d.tuned != 0 {
		s.Tuning = dragon.Known(1)
	}
	elapsed := (d.at - d.count).Seconds()
	s.Unreadable = nil
	s.Boards = s.Boards[:0]
	for i := range d.boards {
		b := &d.boards[i]
		if d.hidden(b) {
			continue
		}
		status := "Alive"
		if b.dead {
			status = "Dead"
		}
		shown := dragon.Board{
			Slot: i, ID: i, Status: status, Temperature: b.shownTemperature(), Hashrate15m: dragon.Known(b.mhs15m),
			Hashes: dragon.Known(math.Round(b.hashes)), Elapsed: dragon.Known(math.Floor(elapsed)), Accepted: dragon.Known(math.Floor(b.shares)),
			HardwareErrors: dragon.Known(math.Floor(b.errors)),
		}
		if d.web == "renamed" {
			shown.Hashes = dragon.Number{}
			s.Unreadable = renamed
		}
		s.Boards = append(s.Boards, shown)
	}
	active := d.pool()
	s.Pools = s.Pools[:0]
	for i, l := range d.conf {
		p := dragon.Pool{Index: i, URL: l.url, User: l.user, Status: "Dead", Active: dragon.Known(0), Works: dragon.Known(0), Accepted: dragon.Known(0)}
		if l.pool >= 0 {
			p.Works, p.Accepted = dragon.Known(math.Floor(d.works[l.pool]/15)), dragon.Known(math.Floor(d.works[l.pool]/6))
		}
		if l.pool >= 0 && d.sees(l.pool) {
			p.Status = "Alive"
		}
		if l.pool >= 0 && l.pool == active || active < 0 && i == 0 {
			p.Active = dragon.Known(1)
		}
		s.Pools = append(s.Pools, p)
	}
	if d.overview.At.IsZero() || s.At.Sub(d.overview.At) >= overviewAge || elapsed < d.elapsed {
		d.overview.At, d.overview.MemoryFree, d.told = s.At, dragon.Known(d.memory), d.firmware
		d.overview.Uptime = dragon.Known(math.Floor((d.at - d.boot).Minutes()) * 60)
	}
	d.elapsed = elapsed
	f := healer.FactsOf(who, reach, s, &d.overview, w.mono())
	d.tell(&f)
	return f
}

var renamed = []string{"DEVS.Total MH"}

func worker(mac string) string {
	return "dragon-" + mac[6:8] + mac[9:11] + mac[12:14] + mac[15:17]
}

// wrong lists what is wrong with the dragon that a healer should act on.
func (d *Dragon) wrong() []*defect {
	var out []*defect
	for _, f := range d.defects {
		if f.sick() || f.kind == "slow" && d.low() {
			out = append(out, f)
		}
	}
	return out
}

// looksSick reports whether the dragon shows, right now, anything that a detector
// with consequences is about, rates aside: they look back.
func (d *Dragon) looksSick() bool {
	if d.nopool || d.freeze || d.has("tuning") {
		return true
	}
	for i := range d.boards {
		if b := &d.boards[i]; b.dead || d.hidden(b) || b.sensor != nil || b.factor < 1 {
			return true
		}
	}
	return false
}

// remember keeps how the dragon is, right before a write.
func (d *Dragon) remember() {
	d.justBefore, d.firmwareBefore = slices.Clone(d.defects), d.firmware
	d.bootBefore, d.tuneBefore = d.boot, never
	if d.tuned != 0 && d.phase == running {
		d.tuneBefore = d.start
		if i := slices.IndexFunc(d.defects, func(f *defect) bool { return f.kind == "tuning" }); i >= 0 {
			d.tuneBefore = max(d.start, d.defects[i].since)
		}
	}
}

// before is how long the system had been up right before the last write.
func before(d *Dragon, now time.Duration) time.Duration { return now - d.bootBefore }

// tunesSince is how long it had been tuning right before the last write.
func (d *Dragon) tunesSince(now time.Duration) time.Duration {
	if d.tuneBefore == never {
		return 0
	}
	return now - d.tuneBefore
}

func (d *Dragon) had(kind string) bool {
	return slices.ContainsFunc(d.justBefore, func(f *defect) bool { return f.kind == kind })
}
