package dragontest

import (
	"math"
	"slices"
	"strings"
	"time"
)

// state is all that changes with time. Between two events everything grows or
// decays at a constant rate, so that it can be brought forward in one step.
type state struct {
	at time.Time // when the rest of this was true

	off       bool // no power, or hung for good
	bricked   bool // no power cycle helps
	brickNext bool // the next boot bricks

	boots, starts int       // of the system, of the miner process
	bootedAt      time.Time // the system's uptime counts from here
	upAt          time.Time // the web server answers from here
	minerAt       time.Time // the miner process answers from here
	statsAt       time.Time // Device Elapsed counts from here
	tunedAt       time.Time // the autotuner ends here; zero: it does not run
	outageUntil   time.Time // no network until here: what arrives is answered after it

	down     downKind // what happens at downAt
	downAt   time.Time
	flashAt  time.Time // an upload is in its slot here and the system reboots; zero: none under way
	flashing *Image    // nil: what was uploaded is not an image for this dragon

	imageRefused bool // it refused the last upload

	firmware  string
	lostBoard bool    // the firmware cannot see the last board
	slow      float64 // the firmware's effect on the rate

	configured []Pool
	autotune   AutoTune
	explicit   bool // the profile stands in cgminer.conf
	network    Network
	redLight   bool
	errorCode  string
	errorText  string

	boards []board
	pools  []pool
}

type downKind int

const (
	staysUp downKind = iota
	reboots
	powersOff
)

// windows of cgminer's decaying averages, in seconds.
var windows = [4]float64{5, 60, 300, 900}

// decayPerSecond is the rate at which a window forgets. cgminer adds to an average
// f the rate r of the last step as f = (f + r·p)/(1+p) with p = 1 - exp(-step/window):
// the distance to r shrinks by 1/(1+p) a step, here of one second.
// (cgminer source, decay_time.)
var decayPerSecond = func() (rates [4]float64) {
	for i, w := range windows {
		rates[i] = math.Log1p(1 - math.Exp(-1/w))
	}
	return rates
}()

// board is what the miner process knows about a hash board. Amounts of work are in
// the unit of the MHS fields.
type board struct {
	share float64 // of the dragon's rate
	phase float64 // how far into its first share it starts, 0–1

	average   [4]float64
	work      float64
	errors    float64
	shares    uint64 // found, rejected ones too
	rejected  uint64
	lastShare time.Time
	lastWork  time.Time
	lastPool  int
	lifetime  float64 // hashes since New
}

// pool is what the miner process knows about a pool.
type pool struct {
	Pool
	host     string // of the URL, without the port
	active   float64
	failures float64
	accepted uint64
	rejected uint64
	best     float64
	last     time.Time
}

func (s *state) clone() *state {
	c := *s
	c.boards = slices.Clone(s.boards)
	c.pools = slices.Clone(s.pools)
	c.configured = slices.Clone(s.configured)
	return &c
}

func (d *Dragon) firstState() state {
	s := state{
		at:         d.spec.BootedAt,
		bootedAt:   d.spec.BootedAt,
		upAt:       d.spec.BootedAt.Add(d.spec.BootTime),
		boots:      1,
		firmware:   d.spec.Firmware,
		slow:       1,
		configured: d.spec.Pools,
		autotune:   d.spec.AutoTune,
		explicit:   d.spec.AutoTune != d.model.defaultAutoTune() && d.spec.AutoTune.Mode != "balanced",
		network:    d.spec.Network,
		errorCode:  "0",
		boards:     make([]board, d.model.Boards),
	}
	var sum float64
	for i := range s.boards {
		b := &s.boards[i]
		b.share = 1 + 0.03*d.noise(uint64(i), 1)
		b.phase = 0.5 + 0.499*d.noise(uint64(i), 2)
		sum += b.share
	}
	for i := range s.boards {
		s.boards[i].share /= sum
	}
	s.startMiner(d, s.upAt)
	return s
}

func (s *state) startMiner(d *Dragon, at time.Time) {
	s.starts++
	s.minerAt = at.Add(d.spec.MinerStart)
	s.tunedAt = time.Time{}
	if d.spec.TuneTime > 0 {
		s.tunedAt = s.minerAt.Add(d.spec.TuneTime)
	}
	if d.spec.Locked && s.pools != nil {
		for i := range s.pools {
			s.pools[i] = newPool(s.pools[i].Pool)
		}
	} else {
		s.pools = make([]pool, len(s.configured))
		for i, p := range s.configured {
			s.pools[i] = newPool(p)
		}
	}
	s.zeroStats(s.minerAt)
}

func newPool(p Pool) pool {
	_, host, ok := strings.Cut(p.URL, "://")
	if !ok {
		host = p.URL
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return pool{Pool: p, host: host}
}

// zeroStats is what cgminer does to its statistics when it starts and when the
// autotuner has finished.
func (s *state) zeroStats(at time.Time) {
	s.statsAt = at
	for i := range s.boards {
		b := &s.boards[i]
		*b = board{share: b.share, phase: b.phase, lifetime: b.lifetime, lastPool: -1, lastWork: at}
	}
	for i := range s.pools {
		s.pools[i] = newPool(s.pools[i].Pool)
	}
}

// event is what happens next by itself.
type event int

const (
	nothing event = iota
	tuned
	flashed
	goesDown
	selfReboot
	faultEnds
)

// advance brings the dragon forward to the present and returns it. The caller holds d.mu.
func (d *Dragon) advance() time.Time {
	now := d.spec.Now()
	s := &d.state
	for {
		next, what := now, nothing
		consider := func(at time.Time, e event) {
			if !at.IsZero() && !at.Before(s.at) && !at.After(next) {
				next, what = at, e
			}
		}
		if !s.off {
			consider(s.tunedAt, tuned)
			consider(s.flashAt, flashed)
			consider(s.downAt, goesDown)
			if f := d.has(RebootLoop); f != nil {
				at := s.bootedAt.Add(f.delay)
				if at.Before(s.at) {
					at = s.at
				}
				consider(at, selfReboot)
			}
		}
		for i := range d.faults {
			consider(d.faults[i].until, faultEnds)
		}
		d.integrate(next)
		switch what {
		case nothing:
			return now
		case tuned:
			s.zeroStats(next)
			s.tunedAt = time.Time{}
		case flashed:
			d.flash(next)
		case goesDown:
			d.goDown(next)
		case selfReboot:
			d.boot(next, CuredByReboot)
		case faultEnds:
			d.dropFaults(func(f *fault) bool { return !f.until.IsZero() && !f.until.After(next) })
		}
	}
}

// goDown carries out what reboot, poweroff or factoryReset asked for.
func (d *Dragon) goDown(at time.Time) {
	s := &d.state
	what := s.down
	s.down, s.downAt = staysUp, time.Time{}
	if what == powersOff || d.has(RebootNeverReturns) != nil {
		s.off = true
		return
	}
	d.boot(at, CuredByReboot)
}

// boot restarts the system. Tokens die with the key in /tmp.
func (d *Dragon) boot(at time.Time, c Cure) {
	s := &d.state
	s.boots++
	s.down, s.downAt, s.flashAt, s.outageUntil = staysUp, time.Time{}, time.Time{}, time.Time{}
	s.imageRefused = false
	s.bricked = s.bricked || s.brickNext
	s.off = s.bricked
	s.bootedAt = at
	s.upAt = at.Add(d.spec.BootTime)
	s.redLight = false
	d.cured(c)
	s.startMiner(d, s.upAt)
}

// answers reports whether the web server can be reached. The caller holds d.mu.
func (s *state) answers(now time.Time) bool {
	return !s.off && !now.Before(s.upAt)
}

// ready reports whether the miner process answers. The caller holds d.mu.
func (d *Dragon) ready(s *state, now time.Time) bool {
	// cgminer without a pool ends at once and is started again, forever.
	return !s.off && !now.Before(s.minerAt) && len(s.pools) > 0 && d.has(NotReady) == nil
}

func (s *state) tuning(now time.Time) bool { return !s.tunedAt.IsZero() && now.Before(s.tunedAt) }

// activePool returns the index of the pool in use: the first that is alive; -1 if none is.
func (d *Dragon) activePool(s *state) int {
	for i := range s.pools {
		if d.poolAlive(i) {
			return i
		}
	}
	return -1
}

func (d *Dragon) poolAlive(i int) bool {
	return d.find(PoolDead, func(f *fault) bool { return f.index == i || f.index == anyIndex }) == nil
}

func (d *Dragon) boardDead(i int) bool {
	return d.onBoard(DeadBoard, i, theLast) != nil || d.onBoard(DeadBoardHot, i, theLast) != nil || d.onBoard(DeadBoardFrozen, i, theLast) != nil
}

func (d *Dragon) boardMissing(s *state, i int) bool {
	return s.lostBoard && i == d.model.Boards-1 || d.onBoard(MissingBoard, i, theLast) != nil
}

// nominal is the rate of board i in balanced mode, in the unit of the MHS fields.
func (d *Dragon) nominal(b *board) float64 { return d.model.Hashrate / d.model.Factor * b.share }

// boardRates returns the rate that board i shows and the rate at which it really
// hashes, both in the unit of the MHS fields.
func (d *Dragon) boardRates(s *state, i int, tuning, work bool) (shown, real float64) {
	if !work || d.boardDead(i) || d.boardMissing(s, i) {
		return 0, 0
	}
	shown = d.nominal(&s.boards[i]) * s.slow * s.autotune.effect()
	if tuning {
		shown *= 0.85
	}
	if f := d.onBoard(LowHashrate, i, theWhole); f != nil {
		shown *= f.amount
	}
	if d.has(Flatline) != nil {
		return shown, 0
	}
	if d.has(Unplugged) != nil {
		return 0, 0
	}
	return shown, shown
}

// difficulty of a share, so that a healthy board finds about four a minute.
func (d *Dragon) difficulty() float64 {
	mean := d.model.Hashrate / d.model.Factor / float64(d.model.Boards)
	return max(1, math.Round(mean*15/d.model.diff1))
}

// rejectRatio is the part of the shares that a pool rejects.
const rejectRatio = 0.004

// errorRatio is the part of the nonces that fail the dragon's own check, about.
const errorRatio = 0.0008

// integrate brings the statistics from s.at to a time up to which nothing happens.
func (d *Dragon) integrate(to time.Time) {
	s := &d.state
	from := s.at
	if !to.After(from) {
		return
	}
	s.at = to
	if from.Before(s.minerAt) {
		from = s.minerAt
	}
	seconds := to.Sub(from).Seconds()
	running := seconds > 0 && d.ready(s, to)
	active := d.activePool(s)
	if running {
		for i := range s.pools {
			if !d.poolAlive(i) {
				s.pools[i].failures += seconds / 30
			} else if i == active {
				s.pools[i].active += seconds
			}
		}
	}
	var forget [4]float64
	for w := range forget {
		forget[w] = math.Exp(-seconds * decayPerSecond[w])
	}
	tuning := !s.tunedAt.IsZero()
	difficulty := d.difficulty()
	for i := range s.boards {
		b := &s.boards[i]
		if !running {
			break
		}
		shown, real := d.boardRates(s, i, tuning, active >= 0)
		frozen := d.onBoard(DeadBoardFrozen, i, theLast) != nil
		for w := range b.average {
			if frozen && w > 0 {
				continue
			}
			b.average[w] = shown + (b.average[w]-shown)*forget[w]
		}
		if real == 0 {
			continue
		}
		b.work += real * seconds
		b.lifetime += real * seconds * d.model.Factor
		b.lastWork = to
		errors := real * seconds / d.model.diff1 * errorRatio * (0.7 + 0.65*d.noise(uint64(i), 3))
		if f := d.onBoard(HardwareErrors, i, theWhole); f != nil {
			errors *= f.amount
		}
		b.errors += errors

		perShare := difficulty * d.model.diff1
		found := uint64(b.work/perShare + b.phase)
		if found == b.shares {
			continue
		}
		rejected := uint64(float64(found)*rejectRatio + b.phase)
		since := (b.work - (float64(found)-b.phase)*perShare) / real // seconds
		b.lastShare = to.Add(-time.Duration(since * float64(time.Second)))
		b.lastPool = active
		p := &s.pools[active]
		p.rejected += rejected - b.rejected
		p.accepted += found - b.shares - (rejected - b.rejected)
		p.best = max(p.best, math.Round(float64(p.accepted)*difficulty*(1+0.6*d.noise(uint64(active), 4))))
		if b.lastShare.After(p.last) {
			p.last = b.lastShare
		}
		b.shares, b.rejected = found, rejected
	}
}

// effect of a profile on the rate.
func (a AutoTune) effect() float64 {
	e := 1.0
	switch a.Mode {
	case "efficient":
		e = 0.91
	case "factory":
		e = 1.02
	case "performance":
		e = 1.07
	}
	if n := len(a.Level); n == 1 && a.Level[0] >= '0' && a.Level[0] <= '9' {
		e *= 1 + 0.015*(float64(a.Level[0]-'0')-2)
	}
	return e
}

// noise returns a number from -1 to 1 that is always the same for the same seed and arguments.
func (d *Dragon) noise(a, b uint64) float64 { return noise(d.spec.Seed, a, b) }

func noise(seed, a, b uint64) float64 {
	x := mix(seed + 0x9e3779b97f4a7c15*mix(a+0x632be59bd9b4e019*mix(b+1)))
	return float64(x>>11)/(1<<52) - 1
}

// mix is splitmix64's finish.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
