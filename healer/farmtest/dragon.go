package farmtest

import (
	"cmp"
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
	starting // the system is up, its miner process is not
	running
)

type board struct {
	rate    float64 // hashes per second when it is well
	factor  float64
	dead    bool
	missing bool
	none    bool // it was built without it
	late    time.Duration
	sensor  *defect
	froze   *defect // what froze its sensor before, while that still says the same
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
	worker  string // the name that goes with that
	Address string // its lease
	Known   string // where the fleet looks for it
	Switch  int
	PDU     int

	boards   [boardsPerDragon]board
	most     int // boards that it has ever shown at once
	defects  []*defect
	nopool   bool
	freeze   bool
	stopped  bool          // its miner process is dead, its web server is not
	webs     []string      // what its web server suffers from; the newest shows
	released time.Duration // when a human last took it out of quarantine
	shared   time.Duration // when its MAC was last told by another
	answer   string        // to a reboot: empty, ignored, never, lostreply, refused
	dies     float64       // chance that a reboot is the last
	gone     bool          // it was
	goneAt   time.Duration
	offset   time.Duration // of its clock
	soak     float64       // °C that its air is above the others'
	fans     float64       // what it says of its fans; negative: the truth
	drag     time.Duration // that it takes longer to boot
	retunes  time.Duration // instead of the script's

	firmware       string
	told           string // of it, as the fleet has read it last
	toldMode       string // of its autotuner, the same
	firmwareBefore string // right before the last write
	bricksNext     bool   // the next boot is its last
	worse          float64
	memory         float64
	flashed        []string      // what the images did that it was flashed with
	heated         time.Duration // until when it was hotter than the air makes it; 0: it was not

	phase   phase
	ready   time.Duration // when the phase ends
	boot    time.Duration // of its system
	start   time.Duration // of its miner process
	count   time.Duration // since when its counters count
	tuned   time.Duration // when tuning ends; 0: it does not tune
	retuned time.Duration // when it last began to tune without a start
	tuneEnd time.Duration // when it last ended
	at      time.Duration // simulated so far
	boots   int
	starts  int
	works   [4]float64 // seconds of work, by pool

	conf []lead        // the pools that it is configured for, in order
	mode string        // of its autotuner
	same time.Duration // when a sensor that was frozen last said the same as then

	desired   *healer.DesiredState
	desiredAt []time.Duration   // when that was said
	asked     time.Duration     // when the fleet read its configuration last
	said      healer.Configured // what it said then

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

// Restart is a start of a dragon's miner process, or of all of it.
type Restart struct {
	At      time.Duration
	System  bool
	Why     string
	tuning  bool          // the process restarts while it tunes, which may look like the end of that
	shown   bool          // by an answer after it, and before the next
	seen    time.Duration // when that was
	excused bool          // the dragon was in maintenance then, or its MAC contested
}

func newDragon(w *World, n int) *Dragon {
	s := w.script
	d := &Dragon{
		world: w, N: n, Switch: n % s.Switches, PDU: n % s.PDUs, phase: running,
		MAC:     fmt.Sprintf("a0:b0:45:00:%02x:%02x", n>>8, n&0xff),
		Address: fmt.Sprintf("127.%d.%d.%d", 1+n%s.Switches>>8, n%s.Switches&0xff, 2+n/s.Switches),
	}
	d.Known = d.Address
	d.show(d.MAC)
	d.firmware, d.worse, d.memory, d.fans = firmware(n), 1, memoryFree, -1
	d.told = d.firmware
	// The farm has been running for a while before the script begins.
	up := 40*time.Hour + time.Duration(draw(s.Seed, n, "up", 0)*float64(200*time.Hour))
	d.boot, d.start, d.count = -up, -up+time.Minute, -up+time.Minute
	for i := range d.boards {
		b := &d.boards[i]
		b.rate = nominal * (0.97 + 0.06*draw(s.Seed, n, "rate", i))
		if b.none = i >= cmp.Or(s.Built[n], boardsPerDragon); b.none {
			b.rate, b.missing = 0, true
		}
		b.factor, b.mhs15m = 1, b.rate
		b.hashes = b.rate * (-d.count).Seconds()
		b.errors = b.hashes * errorsPer
		b.temp, b.hotSeen = w.air+warmth, never
	}
	d.works[0] = (-d.count).Seconds()
	d.mode, d.toldMode, d.asked = "balanced", "balanced", never
	for i := range w.pools {
		d.conf = append(d.conf, lead{i, w.pools[i].login, "farm.worker", secret})
	}
	d.seen, d.released, d.shared = never, never, never
	return d
}

// show lets the dragon tell a MAC.
func (d *Dragon) show(mac string) {
	for _, x := range d.world.Dragons { // for a day it is not known which of two it was
		if x.MAC == d.Shown || x.MAC == mac {
			x.shared = d.world.Now
		}
	}
	d.Shown, d.worker = mac, worker(mac)
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
			d.tuned, d.tuneEnd = 0, d.at
			d.reset()
		case d.phase == running && d.tuned != 0 && d.at >= d.tuned:
			d.tuned += time.Hour // it never gets done
		}
	}
}

// reset begins the counters again.
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
	works := pool >= 0 && w.pools[pool].idle == 0 && !d.stopped
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
			if e := w.script.Efficient; e > 0 && d.mode == "efficient" {
				w.eased += rate * (1 - e) * dt.Seconds()
				rate *= e
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

// restart restarts the miner process.
func (d *Dragon) restart(why string) {
	if d.phase != running && d.phase != starting {
		return
	}
	d.starts++
	d.phase, d.ready = starting, d.at+20*time.Second+time.Duration(d.chance("start", d.starts)*float64(20*time.Second))
	if d.tuned != 0 { // tuning is what the process does, and begins again with it
		d.tuned = d.ready + d.tunes()
	}
	d.Restarts = append(d.Restarts, Restart{At: d.at, Why: why, tuning: d.tuned != 0 || d.tuneEnd != 0 && d.at-d.tuneEnd < 2*poll})
	d.mend(false)
}

// reboot restarts everything.
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

// remember keeps how the dragon is, right before a write.
func (d *Dragon) remember() {
	d.justBefore, d.firmwareBefore = slices.Clone(d.defects), d.firmware
	d.bootBefore, d.tuneBefore = d.boot, never
	if d.tuned != 0 && d.phase == running && !d.stopped {
		d.tuneBefore = max(d.start, d.retuned)
	}
}

// tunesSince is how long it had been tuning right before the last write.
func (d *Dragon) tunesSince(now time.Duration) time.Duration {
	if d.tuneBefore == never {
		return 0
	}
	return now - d.tuneBefore
}
