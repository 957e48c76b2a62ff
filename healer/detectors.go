package healer

import (
	"fmt"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Reason is what is wrong with a dragon.
type Reason string

// The reasons that a detector finds, and those that say why a dragon is not judged.
const (
	Flatline      Reason = "flatline"
	DeadHot       Reason = "dead_hot"
	DeadBoard     Reason = "dead_board"
	Missing       Reason = "missing_board"
	LowHashrate   Reason = "low_hashrate"
	MinHashrate   Reason = "hashrate_minimum"
	NoWorkLocal   Reason = "no_work_local"
	BogusTemp     Reason = "bogus_temp"
	TuningStuck   Reason = "tuning_stuck"
	BelowBaseline Reason = "below_baseline" // shown, never acted on
	Hot           Reason = "hot"
	Overheat      Reason = "overheat"

	NotMining Reason = "not_mining" // it answers, its miner process does not
	BoardLow  Reason = "board_low"

	NotReachable Reason = "unreachable"
	NoLogin      Reason = "auth_failed"
	Schema       Reason = "schema"
)

// muteReason is a set of circumstances under which a bad sample means nothing.
type muteReason uint8

const (
	byTuning   muteReason = 1 << iota
	byPool                // a pool of it is down for many, or was a short time ago
	byOwnPools            // its pools give no work: no_work_local is about that, the rest follows from it
	byHeat                // it is hot, its fans are at their end, or a board died of heat
	byHold                // it, or many, have just booted, changed or come back
	byMode                // the healer has given it another mode for a while
)

var muteNames = []string{"tuning", "pool", "own pools dead", "attributed to heat", "just changed", "in another mode for a while"}

func (m muteReason) String() string { return bitNames(m, muteNames) }

// detector is a row of the table below: all that there is to say about one thing that may be wrong
// with a dragon. The ladder, the gates, the labels of metrics and the documentation go by
// the rows; TestEveryDetectorIsWhole names what a row lacks.
type detector struct {
	reason Reason
	doc    string                   // what is wrong, for the documentation
	words  func(*Shown, int) string // the finding in words and numbers; the int is the board
	alert  string                   // that tells a human

	judge func(*detectorInput) finding
	needs func(*GracePolicy) time.Duration // age of the miner process before it is judged
	boot  bool                             // and the system must be past its boot grace
	bare  bool                             // it also judges an answer without a sample, and needs is an age of the system

	setting string // key of the evidence it takes: healing.default.SETTING
	need    func(*DragonPolicy) Evidence
	mutes   muteReason

	maxRung int  // the highest rung that it may climb to; 0: it is shown, and nothing is done
	boards  bool // a board does not work: the ladder begins with the step that has helped the model best, and a restart is judged soon
	tuning  bool // tuning neither explains nor cures it
	gap     func(*DevicePolicy) time.Duration
}

const wholeLadder = 1 << 10

// byRate are the circumstances that explain a low rate.
const byRate = byTuning | byPool | byOwnPools | byHeat | byHold

// detectors in the order of severity: of several reasons the first is acted on.
// A board that died of heat comes before everything else, and caps the ladder: heat
// is not cured by a reboot. Those that only alert come last.
var detectors = []detector{
	{reason: DeadHot, doc: "a board died of heat: once it has cooled for an hour", alert: "BoardDead",
		words: measured(func(s *Shown, slot int) string { return fmt.Sprintf("board %d Dead of heat, %.0fC", slot, s.Value) }),
		judge: judgeDeadHot, maxRung: 1,
		needs:   func(g *GracePolicy) time.Duration { return g.DeadHot },
		setting: "detect.dead_hot", need: func(p *DragonPolicy) Evidence { return p.Detect.DeadHot },
		gap: func(d *DevicePolicy) time.Duration { return d.DeadHotGap }},
	{reason: NotMining, alert: "DragonUntreated",
		doc:   "the web server answers and the miner process does not, for 10 minutes, while the system is up for half an hour",
		words: func(*Shown, int) string { return "no miner process" },
		judge: judgeNotMining, boot: true, bare: true, maxRung: wholeLadder, tuning: true,
		needs:   func(g *GracePolicy) time.Duration { return g.NotMining },
		setting: "detect.not_mining", need: func(p *DragonPolicy) Evidence { return p.Detect.NotMining }},
	{reason: Flatline, doc: "it says that it hashes, and its counters stand still", alert: "HashrateFlatline",
		words: func(*Shown, int) string { return "counters frozen" },
		judge: judgeFlatline, needs: rateGrace, boot: true, mutes: byPool | byOwnPools, maxRung: wholeLadder,
		setting: "detect.flatline", need: func(p *DragonPolicy) Evidence { return p.Detect.Flatline }},
	{reason: DeadBoard, doc: "a board says that it is Dead, for 10 minutes", alert: "BoardDead",
		words: func(_ *Shown, slot int) string { return fmt.Sprintf("board %d Dead", slot) },
		judge: judgeDeadBoard, boot: true, maxRung: wholeLadder, boards: true, tuning: true,
		needs:   func(g *GracePolicy) time.Duration { return g.DeadBoard },
		setting: "detect.dead_board", need: func(p *DragonPolicy) Evidence { return p.Detect.DeadBoard }},
	{reason: Missing, alert: "BoardMissing",
		doc:   "fewer boards than the dragon has shown, for 10 minutes (else the configured number, else the model's where it is certain)",
		words: func(s *Shown, _ int) string { return fmt.Sprintf("%d of %d boards", s.Boards, s.Expected) },
		judge: judgeMissing, boot: true, maxRung: wholeLadder, boards: true, tuning: true,
		needs:   func(g *GracePolicy) time.Duration { return g.MissingBoard },
		setting: "detect.missing_board", need: func(p *DragonPolicy) Evidence { return p.Detect.Missing }},
	{reason: LowHashrate, doc: "less than 60 % of what this dragon does when it is well, for 30 minutes", alert: "HashrateLow",
		words: measured(ofBaseline),
		judge: judgeLow(func(d *DetectPolicy) Ratio { return d.LowRatio }), needs: rateGrace, boot: true, mutes: byRate, maxRung: wholeLadder,
		setting: "detect.low", need: func(p *DragonPolicy) Evidence { return p.Detect.Low }},
	{reason: MinHashrate, doc: "a board below the configured minimum for an hour (the Python tool's rule)", alert: "DragonUntreated",
		words: measured(func(s *Shown, slot int) string {
			return fmt.Sprintf("board %d %s of %s", slot, Hashrate(s.Value), Hashrate(s.Threshold))
		}),
		judge: judgeMin, needs: rateGrace, boot: true, mutes: byRate | byMode, maxRung: wholeLadder,
		setting: "detect.min_hashrate", need: func(p *DragonPolicy) Evidence { return p.Detect.Min }},
	{reason: BoardLow, alert: "BoardLow",
		doc: "a board hashes less than 60 % of its sister boards, or of its usual rate, for 30 minutes, while the dragon as a whole is not low",
		words: measured(func(s *Shown, slot int) string {
			return fmt.Sprintf("board %d at %.0f%% of what it should do", slot, 100*s.Value)
		}),
		judge: judgeBoardLow, needs: rateGrace, boot: true, mutes: byRate, maxRung: 2,
		setting: "detect.board_low", need: func(p *DragonPolicy) Evidence { return p.Detect.BoardLow }},
	{reason: NoWorkLocal, doc: "its pools fail it while others at the same pool have work", alert: "DragonPoolUnreachable",
		words: func(*Shown, int) string { return "own pools dead" },
		judge: judgeNoWork, boot: true, mutes: byPool, maxRung: 1,
		needs:   func(g *GracePolicy) time.Duration { return g.NoWork },
		setting: "detect.no_work", need: func(p *DragonPolicy) Evidence { return p.Detect.NoWork },
		gap: func(d *DevicePolicy) time.Duration { return d.NoWorkGap }},
	{reason: BogusTemp, alert: "SensorFault",
		doc: "a temperature that cannot be (without work it may be below zero), or one that stands still while those of all other boards, " +
			"that have worked for half an hour, go through 5 °C",
		words: measured(bogusInWords),
		judge: judgeBogusTemp, boot: true, maxRung: 1,
		needs:   func(g *GracePolicy) time.Duration { return g.BogusTemp },
		setting: "detect.bogus_temp", need: func(p *DragonPolicy) Evidence { return p.Detect.BogusTemp },
		gap: func(d *DevicePolicy) time.Duration { return d.BogusTempGap }},
	{reason: TuningStuck, doc: "it has tuned for more than six hours", alert: "TuningStuck",
		words: measured(func(s *Shown, _ int) string { return "tuning " + ShortDuration(time.Duration(s.Value)*time.Second) }),
		judge: judgeTuningStuck, boot: true, maxRung: 1, tuning: true,
		setting: "detect.tuning_stuck", need: func(p *DragonPolicy) Evidence { return p.Detect.TuningStuck },
		gap: func(d *DevicePolicy) time.Duration { return d.TuningStuckGap }},
	{reason: Overheat, doc: "a board is at 100 °C or above", alert: "TemperatureCritical",
		words: measured(degrees), judge: judgeHeat(func(h *HeatPolicy) float64 { return h.Crit }),
		setting: "heat.crit_for", need: func(p *DragonPolicy) Evidence { return Evidence{For: p.Heat.CritFor, Bad: 4, Of: 5} }},
	{reason: Hot, doc: "a board is at 90 °C or above", alert: "TemperatureHigh",
		words: measured(degrees), judge: judgeHeat(func(h *HeatPolicy) float64 { return h.Warn }),
		setting: "heat.warn_for", need: func(p *DragonPolicy) Evidence { return Evidence{For: p.Heat.WarnFor, Bad: 8, Of: 10} }},
	{reason: BelowBaseline, doc: "less than 80 % of what this dragon does when it is well", alert: "HashrateLow",
		words: measured(ofBaseline),
		judge: judgeLow(func(d *DetectPolicy) Ratio { return d.WarnRatio }), needs: rateGrace, boot: true,
		mutes:   byTuning | byPool | byOwnPools | byHold,
		setting: "detect.low", need: func(p *DragonPolicy) Evidence { return p.Detect.Low }},
}

// measured are words about a value: none before a sample is judged.
func measured(words func(*Shown, int) string) func(*Shown, int) string {
	return func(s *Shown, slot int) string {
		if s.Threshold < 0 {
			return ""
		}
		return words(s, slot)
	}
}

func ofBaseline(s *Shown, _ int) string {
	return fmt.Sprintf("%.0f%% of %s", 100*s.Value, Hashrate(s.Baseline))
}

func degrees(s *Shown, _ int) string { return fmt.Sprintf("%.0fC", s.Value) }

func bogusInWords(s *Shown, slot int) string {
	switch {
	case s.Value < 0:
		return fmt.Sprintf("board %d no temperature", slot)
	case credible(dragon.Known(s.Value)):
		return fmt.Sprintf("board %d frozen at %.0fC", slot, s.Value)
	}
	return fmt.Sprintf("board %d %.0fC", slot, s.Value)
}

// describe puts a finding into words and numbers that mean something to an operator.
func describe(reason Reason, s *Shown, slot int) string {
	if d := detectorOf(reason); d != nil {
		return d.words(s, slot)
	}
	return ""
}

// detectorOf is the row of a reason; nil: no detector finds it.
func detectorOf(reason Reason) *detector {
	if i := rank(reason); i < len(detectors) {
		return &detectors[i]
	}
	return nil
}

// Treated returns the reasons that the ladder acts on, the most severe first.
func Treated() (reasons []Reason) {
	for i := range detectors {
		if detectors[i].maxRung > 0 {
			reasons = append(reasons, detectors[i].reason)
		}
	}
	return reasons
}

func rateGrace(g *GracePolicy) time.Duration { return g.Rate }

// rank is the position of a reason in the table; the length of the table for one
// that is not in it.
func rank(reason Reason) int {
	for i := range detectors {
		if detectors[i].reason == reason {
			return i
		}
	}
	return len(detectors)
}

// detectorInput is one dragon in front of the detectors.
type detectorInput struct {
	f        *Facts
	p        *DragonPolicy
	w        *watch
	r        *Record
	at       Moment        // of the sample
	gap      time.Duration // without a verdict, after which evidence starts again
	baseline dragon.Number
	expected int
	muted    muteReason
	fine     int // other members of its pools that have work
	noWork   bool
	need     *CausePolicy
}

// verdict is what a detector makes of one sample.
type verdict uint8

const (
	unknown verdict = iota // not sick, and not healthy either
	good
	bad
)

type finding struct {
	verdict          verdict
	value, threshold float64
	slot             int
	despite          muteReason // circumstances that do not explain it
}

func is(sick bool, value, threshold float64, slot int) finding {
	v := good
	if sick {
		v = bad
	}
	return finding{verdict: v, value: value, threshold: threshold, slot: slot}
}

// old reports whether the dragon has run long enough for a detector.
func (e *detectorInput) old(d *detector) bool {
	if d.bare && e.f.HasSample && len(e.f.Boards) > 0 { // it mines: that says so at any age
		return true
	}
	elapsed, known := e.f.Elapsed.Get()
	uptime, upKnown := e.w.up(e.f, e.at).Get()
	if d.bare || len(e.f.Boards) == 0 && !known { // nothing that mines: the system's age has to do
		elapsed, known = uptime, upKnown
	}
	if d.needs != nil && (!known || elapsed < d.needs(&e.p.Grace).Seconds()) {
		return false
	}
	return !d.boot || booted(e.f, &e.p.Grace) || d.bare && uptime >= e.p.Grace.SystemBoot.Seconds()
}

// booted reports whether the system is past its boot grace. Where its uptime is
// unknown the miner process, which is younger, must be old enough.
func booted(f *Facts, g *GracePolicy) bool {
	return max(f.Uptime.Or(-1), f.Elapsed.Or(-1)) >= g.SystemBoot.Seconds()
}

// run shows the sample to every detector.
func (e *detectorInput) run() {
	for i := range detectors {
		d, ev := &detectors[i], &e.w.evidence[i]
		if !e.f.HasSample && !d.bare {
			continue
		}
		if e.at.Since(ev.at) > e.gap {
			ev.lapse(e.at)
		}
		if !e.old(d) {
			continue
		}
		f := d.judge(e)
		if f.verdict == unknown {
			continue
		}
		if muted := d.mutes & e.muted &^ f.despite; muted != 0 {
			clean := ev.since == 0 && ev.muted == 0
			*ev = evidence{at: e.at}
			if f.verdict == bad && (muted&byMode == 0 || !clean) { // its mode alone makes no dragon suspect
				ev.muted, ev.value, ev.threshold, ev.slot = muted, f.value, f.threshold, f.slot
			}
			continue
		}
		ev.value, ev.threshold = f.value, f.threshold
		if f.verdict == bad {
			ev.slot = f.slot
		}
		ev.push(f.verdict == bad, e.at, d.need(e.p))
	}
}

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
	if b := diedHot(e.f, e.r); b != nil {
		return is(true, b.Temperature.Or(-1), e.p.Heat.DeadHot, b.Slot)
	}
	return is(false, 0, e.p.Heat.DeadHot, -1)
}

// diedHot is the first board that died of heat; nil: none did.
func diedHot(f *Facts, r *Record) *BoardFacts {
	return find(f.Boards, func(b *BoardFacts) bool { return b.dead() && slices.Contains(r.DeadHot, b.Slot) })
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

// judgeNotMining looks for a web server with no miner process behind it, or one that has
// no board at all: nothing is earned, and a restart of the process costs nothing.
func judgeNotMining(e *detectorInput) finding {
	return is(!e.f.HasSample || len(e.f.Boards) == 0, 0, 1, -1)
}

// judgeBoardLow looks for a board that is far below its sisters, or below its own share of what
// the dragon usually does, where the dragon as a whole is not low. Two slow boards of three
// hide each other from the comparison with sisters.
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
	usual := median(rates[1:])
	share := baseline / float64(max(e.expected, len(e.f.Boards)))
	if best := rates[len(rates)-1]; known && best >= float64(e.p.Detect.BoardRatio)*share {
		usual = max(usual, share)
	}
	if usual <= 0 {
		return finding{slot: -1}
	}
	least := float64(e.p.Detect.BoardRatio)
	f := is(worst < least*usual, worst/usual, least, slot)
	if e.asHotAsWell(slot, least*usual) {
		f.despite = byHeat
	}
	return f
}

// asHotAsWell reports whether another board is at least as hot as one, and does what it should.
func (e *detectorInput) asHotAsWell(slot int, least float64) bool {
	low, known := find(e.f.Boards, func(b *BoardFacts) bool { return b.Slot == slot }).Temperature.Get()
	for i := range e.f.Boards {
		t, ok := e.f.Boards[i].Temperature.Get()
		if known && ok && t >= low && i < len(e.w.rates) && e.w.rates[i] >= least {
			return true
		}
	}
	return false
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
	if len(e.f.Pools) == 0 || e.noWork && e.fine < e.need.Neighbours {
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
	if b := find(e.f.Boards, func(b *BoardFacts) bool { return e.w.sensorFault(b, e.at, &e.p.Heat) }); b != nil {
		if t, known := b.Temperature.Get(); known && t <= 0 && e.muted&(byPool|byOwnPools) != 0 { // idle in a hard frost
			return finding{slot: -1}
		}
		return is(true, b.Temperature.Or(-1), 125, b.Slot)
	}
	return is(false, 0, 125, -1)
}

// sensors reports whether any board has shown that it has a sensor.
func (w *watch) sensors() bool {
	return slices.ContainsFunc(w.boards, func(b boardWatch) bool { return b.credible })
}

// sensorFault reports whether a board's temperature is missing, implausible or frozen.
func (w *watch) sensorFault(b *BoardFacts, at Moment, p *HeatPolicy) bool {
	if b.Status != "Alive" || !credible(b.Temperature) {
		return b.Status == "Alive"
	}
	bw := w.boardAt(b.Slot)
	return bw != nil && b.Temperature == dragon.Known(bw.temp) && bw.frozen(at, p)
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
	return diedHot(f, r) != nil
}
