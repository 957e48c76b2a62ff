package dragon

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// Answer says when and how fast a dragon answered.
type Answer struct {
	At         time.Time     // when the answer was complete, by our clock
	Took       time.Duration // from sending the request to the end of the answer
	DeviceTime time.Time     // the HTTP Date header (whole seconds); zero if unreadable
	Raw        []byte        // the body as the device sent it; NaN and infinities are quoted where they are no string
}

// Summary is the state of the miner process: /api/summary. All figures are in
// base units; a missing or unreadable figure is unknown.
type Summary struct {
	Answer

	Boards []Board // DEVS; may hold fewer than are installed
	Pools  []Pool  // POOLS

	FanDuty  Number // HARDWARE."Fan duty", else the largest DUTY of DEVS, as a ratio 0–1: one figure for all fans
	Tuning   Number // tuning: 1 while the autotuner runs, else 0
	Hashrate Number // TotalHash in hashes (or solutions) per second; Innosilicon since 2018-06-27

	// Unreadable names the fields that were there and unreadable, and those that
	// every firmware sends and that were missing, as "DEVS.Temperature".
	Unreadable []string
}

// Board is one hash board as cgminer reports it: an element of DEVS.
type Board struct {
	Slot    int    // ASC: the physical chain where the firmware knows it, else the index; unique in a Summary
	ID      int    // ID
	Name    string // Name: the driver, the same on all boards
	Enabled bool   // Enabled == "Y"
	Status  string // Status: Alive, Sick, Dead, NoStart, Initialising, Unknown

	Temperature Number // Temperature, °C; unknown where impossible (9999, > 200, < -40)

	// Hash rates in hashes (Equihash: solutions) per second. "MHS …" times the
	// factor of the model's algorithm, or what "Hash Rate H" shows the factor to be.
	Hashrate5s, Hashrate1m, Hashrate5m, Hashrate15m Number
	HashrateAvg                                     Number // MHS av: since the miner process started
	Hashrate                                        Number // "Hash Rate H", else "Hash Rate": the window that the device thinks fit for its age
	Hashes                                          Number // Total MH, in hashes

	Accepted, Rejected  Number // shares
	HardwareErrors      Number // nonces that failed the device's own check
	DifficultyAccepted  Number
	DifficultyRejected  Number
	Diff1Work           Number
	LastShareDifficulty Number
	LastSharePool       Number // index of a pool; unknown where the device says -1
	LastShareTime       Number // Unix seconds by the device's clock; unknown where it says 0
	LastValidWork       Number // Unix seconds by the device's clock; unknown where it says 0
	Elapsed             Number // Device Elapsed, seconds since the miner process started or finished tuning
}

// Alive reports whether the device calls the board Alive.
func (b *Board) Alive() bool { return b.Status == "Alive" }

// Pool is one pool as the miner process uses it: an element of POOLS.
type Pool struct {
	Index  int // POOL; unique in a Summary
	URL    string
	User   string
	Status string // Alive, Dead, Disabled, Rejecting

	Active   Number // Stratum Active: 1 for the pool in use, else 0
	Priority Number

	Accepted, Rejected, Stale, Discarded Number // shares
	DifficultyAccepted                   Number
	DifficultyRejected                   Number
	DifficultyStale                      Number
	Getworks, Works                      Number
	GetFailures, RemoteFailures          Number
	BadWork, Diff1Shares                 Number
	LastShareTime                        Number // Unix seconds by the device's clock; unknown where it says 0
	LastShareDifficulty                  Number
	WorkDifficulty, StratumDifficulty    Number
	BestShare                            Number // difficulty
	BlockHeight                          Number // Current Block Height; unknown where it says 0
}

// Alive reports whether the device calls the pool Alive.
func (p *Pool) Alive() bool { return p.Status == "Alive" }

// Elapsed is the age of the miner process in seconds: the largest Device Elapsed.
func (s *Summary) Elapsed() Number {
	var largest Number
	for i := range s.Boards {
		if e, ok := s.Boards[i].Elapsed.Get(); ok && e >= largest.Or(e) {
			largest = Known(e)
		}
	}
	return largest
}

// Bounds on what a device may list: they become labels. The most that was built is
// eight boards and three pools.
const (
	maxBoards = 64
	maxPools  = 32
)

// reported is a summary as the device words it: MHS not yet turned into hashes.
type reported struct {
	Summary
	boards []reportedBoard
	pools  []reportedPool
	total  shownHash
}

type reportedBoard struct {
	Board
	asc, id   Number
	displayed Number // "Hash Rate", in unit, or in MHS where there is none
	unit      string
	duty      Number // of its fans
}

type reportedPool struct {
	Pool
	index Number
}

// shownHash is a hash rate that comes with its unit.
type shownHash struct {
	rate  Number // in unit
	unit  string
	plain Number // in hashes per second, where the firmware says so too
}

var summaryFields = table(
	list("DEVS", maxBoards, &boardFields, func(s *reported) *[]reportedBoard { return &s.boards }).always(),
	list("POOLS", maxPools, &poolFields, func(s *reported) *[]reportedPool { return &s.pools }).always(),
	object("HARDWARE", &fanFields, func(s *reported) *reported { return s }),
	object("TotalHash", &totalFields, func(s *reported) *shownHash { return &s.total }),
	flag("tuning", func(s *reported) *Number { return &s.Tuning }),
)

var fanFields = table(
	number("Fan duty", percent, func(s *reported) *Number { return &s.FanDuty }).always(),
)

var totalFields = table(
	number("Hash Rate", amount, func(t *shownHash) *Number { return &t.rate }).always(),
	text("Unit", func(t *shownHash) *string { return &t.unit }).always(),
	number("Hash Rate H", amount, func(t *shownHash) *Number { return &t.plain }), // in getAll
)

// boardFields are those of a DEVS element. Required is what every fork of cgminer
// sends; A4 and A5 have TempAVG in Temperature's place.
var boardFields = func() fields[reportedBoard] {
	f := table(
		number("ASC", whole, func(b *reportedBoard) *Number { return &b.asc }).always(),
		number("ID", whole, func(b *reportedBoard) *Number { return &b.id }),
		text("Name", func(b *reportedBoard) *string { return &b.Name }),
		text("Status", func(b *reportedBoard) *string { return &b.Status }).always(),
		own("Enabled", func(r *reader, b *reportedBoard) (ok bool) {
			b.Enabled, ok = r.flag()
			return ok
		}),
		number("Temperature", celsius, func(b *reportedBoard) *Number { return &b.Temperature }).always(),
		number("TempAVG", celsius, func(b *reportedBoard) *Number { return &b.Temperature }).instead("Temperature"),
		number("MHS 5s", amount, func(b *reportedBoard) *Number { return &b.Hashrate5s }),
		number("MHS 1m", amount, func(b *reportedBoard) *Number { return &b.Hashrate1m }),
		number("MHS 5m", amount, func(b *reportedBoard) *Number { return &b.Hashrate5m }),
		number("MHS 15m", amount, func(b *reportedBoard) *Number { return &b.Hashrate15m }),
		number("MHS av", amount, func(b *reportedBoard) *Number { return &b.HashrateAvg }).always(),
		number("Hash Rate", amount, func(b *reportedBoard) *Number { return &b.displayed }),
		text("Unit", func(b *reportedBoard) *string { return &b.unit }),
		number("Hash Rate H", amount, func(b *reportedBoard) *Number { return &b.Hashrate }),
		number("Total MH", amount, func(b *reportedBoard) *Number { return &b.Hashes }),
		number("Accepted", amount, func(b *reportedBoard) *Number { return &b.Accepted }).always(),
		number("Rejected", amount, func(b *reportedBoard) *Number { return &b.Rejected }).always(),
		number("Hardware Errors", amount, func(b *reportedBoard) *Number { return &b.HardwareErrors }).always(),
		number("Difficulty Accepted", amount, func(b *reportedBoard) *Number { return &b.DifficultyAccepted }),
		number("Difficulty Rejected", amount, func(b *reportedBoard) *Number { return &b.DifficultyRejected }),
		number("Diff1 Work", amount, func(b *reportedBoard) *Number { return &b.Diff1Work }),
		number("Last Share Difficulty", amount, func(b *reportedBoard) *Number { return &b.LastShareDifficulty }),
		number("Last Share Pool", poolIndex, func(b *reportedBoard) *Number { return &b.LastSharePool }),
		number("Last Share Time", moment, func(b *reportedBoard) *Number { return &b.LastShareTime }),
		number("Last Valid Work", moment, func(b *reportedBoard) *Number { return &b.LastValidWork }),
		number("DUTY", percent, func(b *reportedBoard) *Number { return &b.duty }),
		number("Device Elapsed", age, func(b *reportedBoard) *Number { return &b.Elapsed }).always(),
	)
	f.alias = intervalKey
	return f
}()

// intervalKey: "MHS 5s" is named after cgminer's log interval, which can be set.
func intervalKey(key []byte) string {
	seconds, ok := bytes.CutPrefix(key, []byte("MHS "))
	if !ok || len(seconds) < 2 || seconds[len(seconds)-1] != 's' {
		return ""
	}
	for _, c := range seconds[:len(seconds)-1] {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return "MHS 5s"
}

// poolFields are those of a POOLS element. The A9 lacks many.
var poolFields = table(
	number("POOL", whole, func(p *reportedPool) *Number { return &p.index }).always(),
	text("URL", func(p *reportedPool) *string { return &p.URL }).always(),
	text("User", func(p *reportedPool) *string { return &p.User }).always(),
	text("Status", func(p *reportedPool) *string { return &p.Status }).always(),
	flag("Stratum Active", func(p *reportedPool) *Number { return &p.Active }).always(),
	number("Priority", amount, func(p *reportedPool) *Number { return &p.Priority }),
	number("Accepted", amount, func(p *reportedPool) *Number { return &p.Accepted }).always(),
	number("Rejected", amount, func(p *reportedPool) *Number { return &p.Rejected }).always(),
	number("Stale", amount, func(p *reportedPool) *Number { return &p.Stale }),
	number("Discarded", amount, func(p *reportedPool) *Number { return &p.Discarded }),
	number("Difficulty Accepted", amount, func(p *reportedPool) *Number { return &p.DifficultyAccepted }),
	number("Difficulty Rejected", amount, func(p *reportedPool) *Number { return &p.DifficultyRejected }),
	number("Difficulty Stale", amount, func(p *reportedPool) *Number { return &p.DifficultyStale }),
	number("Getworks", amount, func(p *reportedPool) *Number { return &p.Getworks }),
	number("Works", amount, func(p *reportedPool) *Number { return &p.Works }),
	number("Get Failures", amount, func(p *reportedPool) *Number { return &p.GetFailures }),
	number("Remote Failures", amount, func(p *reportedPool) *Number { return &p.RemoteFailures }),
	number("Bad Work", amount, func(p *reportedPool) *Number { return &p.BadWork }),
	number("Diff1 Shares", amount, func(p *reportedPool) *Number { return &p.Diff1Shares }),
	number("Last Share Time", moment, func(p *reportedPool) *Number { return &p.LastShareTime }),
	number("Last Share Difficulty", amount, func(p *reportedPool) *Number { return &p.LastShareDifficulty }),
	number("Work Difficulty", amount, func(p *reportedPool) *Number { return &p.WorkDifficulty }),
	number("Stratum Difficulty", amount, func(p *reportedPool) *Number { return &p.StratumDifficulty }),
	number("Best Share", amount, func(p *reportedPool) *Number { return &p.BestShare }),
	number("Current Block Height", moment, func(p *reportedPool) *Number { return &p.BlockHeight }),
)

// poolIndex: -1 says none yet.
func poolIndex(v float64) (Number, bool) {
	if v == -1 {
		return Number{}, true
	}
	return whole(v)
}

// Summary reads /api/summary. Where the model is not known yet, and the answer
// does not give its own units, it asks for it once. The model is forgotten with
// every new login, since another dragon may then answer at the address.
func (c *Client) Summary(ctx context.Context) (*Summary, error) {
	return c.summary(ctx, read("summary"))
}

// LeanSummary is Summary without its Raw: a fifth of the memory that a reading takes.
func (c *Client) LeanSummary(ctx context.Context) (*Summary, error) {
	e := read("summary")
	e.lean = true
	return c.summary(ctx, e)
}

// decoded are used again: a summary is a copy of what it needs of them.
var decoded = sync.Pool{New: func() any { return new(reported) }}

func (c *Client) summary(ctx context.Context, e endpoint) (*Summary, error) {
	s := decoded.Get().(*reported)
	defer decoded.Put(s)
	a, err := callInto(ctx, c, e, nil, &summaryFields, func() *reported {
		*s = reported{boards: s.boards[:0], pools: s.pools[:0]}
		return s
	})
	if err != nil {
		return nil, err
	}
	s.Answer, s.Unreadable = a.Answer, a.unreadable
	factor := 0.0 // not needed
	if !s.givesUnits() {
		if factor, err = c.factor(ctx); err != nil {
			return nil, err
		}
	}
	return s.inBaseUnits(factor), nil
}
