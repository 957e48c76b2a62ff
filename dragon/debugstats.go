package dragon

import (
	"context"
	"slices"
	"strconv"
)

// DebugStats are the boards with their chips: /api/getDebugStats.
type DebugStats struct {
	Answer
	Boards     []DebugBoard // none while the miner process does not answer
	Hashes     BuildHashes
	Unreadable []string
}

// BuildHashes are the commits that the firmware was built from.
type BuildHashes struct{ Firmware, Backend, CGMiner string }

// DebugBoard is a hash board with its chips. Keys differ by driver: what one does not
// send is unknown. The vendor gives no unit for PLL, voltages and iVid; they are as
// reported.
type DebugBoard struct {
	Slot                   int    // Chain ID; unique
	ID                     string // ID, the driver's name for it
	Elapsed                Number // seconds
	Chips                  Number // Num chips
	Cores                  Number // Num cores
	ActiveChips            Number // Num active chips
	ChainSkew              Number
	Temperature            Number // Temp, °C
	TemperatureMin         Number // °C
	TemperatureMax         Number // °C
	FanDuty                Number // Fan duty, as a ratio 0–1
	IVid                   Number
	PLL                    Number
	VoltageMin             Number
	VoltageMax             Number
	VoltageAvg             Number
	VidOptimal, PLLOptimal Number // 1 when tuned, else 0
	Hashrate               Number // MHS av, hashes per second
	Disabled, Throttled    Number // 1 or 0, or a count
	EnabledChips           string // Enabled chips: a bit for each, in hex
	Details                []Chip // chips
	chain                  Number
}

// Chip is a chip of a board.
type Chip struct {
	Index                    int // its number; unique on its board
	HardwareErrors           Number
	Stales, Duplicates       Number
	NoncesFound, NonceRanges Number
	Cooldown                 Number
	FailCount, FailReset     Number
	Temperature              Number // Temp, °C
	Voltage                  Number // nVol, as reported
	PLL, Cores               Number // as reported
}

const (
	maxChips   = 1024 // of all boards; the most that was built is eight boards of 80
	maxEnabled = 256
)

var debugStatsFields = table(
	own("boards", func(r *reader, d *DebugStats) bool {
		d.Boards = d.Boards[:0]
		chips := maxChips
		return r.elements(maxBoards, func(int, string) {
			var b debugEntry
			if !readObject(r, "boards", &debugEntryFields, &b) {
				r.unreadableField("boards")
				return
			}
			if len(b.chips) > chips {
				r.unreadableField("boards.chips")
			}
			b.board.Details = slices.Clip(slices.Clone(b.chips[:min(len(b.chips), chips)]))
			chips -= len(b.board.Details)
			d.Boards = append(d.Boards, b.board)
		})
	}).always(),
	object("hashes", &hashesFields, func(d *DebugStats) *BuildHashes { return &d.Hashes }),
)

var hashesFields = table(
	text("firmware", func(h *BuildHashes) *string { return &h.Firmware }),
	text("backend", func(h *BuildHashes) *string { return &h.Backend }),
	text("cgminer", func(h *BuildHashes) *string { return &h.CGMiner }),
)

type debugEntry struct {
	board DebugBoard
	chips []Chip
}

var debugEntryFields = table(
	object("board", &debugBoardFields, func(e *debugEntry) *DebugBoard { return &e.board }).always(),
	own("chips", func(r *reader, e *debugEntry) bool {
		e.chips = e.chips[:0]
		ok := r.elements(maxChips, func(i int, key string) {
			chip := Chip{Index: i}
			if n, err := strconv.Atoi(key); err == nil {
				chip.Index = n
			}
			if !readObject(r, "chips", &chipFields, &chip) {
				r.unreadableField("chips")
				return
			}
			e.chips = append(e.chips, chip)
		})
		numbers := slots(len(e.chips), func(i int) Number {
			n, _ := whole(float64(e.chips[i].Index))
			return n
		}, &r.unreadable, r.path+"chips")
		for i := range e.chips {
			e.chips[i].Index = numbers[i]
		}
		return ok
	}),
)

var debugBoardFields = table(
	text("ID", func(b *DebugBoard) *string { return &b.ID }),
	number("Chain ID", whole, func(b *DebugBoard) *Number { return &b.chain }),
	number("Elapsed", age, func(b *DebugBoard) *Number { return &b.Elapsed }),
	number("Num chips", amount, func(b *DebugBoard) *Number { return &b.Chips }),
	number("Num cores", amount, func(b *DebugBoard) *Number { return &b.Cores }),
	number("Num active chips", amount, func(b *DebugBoard) *Number { return &b.ActiveChips }),
	number("Chain skew", anything, func(b *DebugBoard) *Number { return &b.ChainSkew }),
	number("Temp", celsius, func(b *DebugBoard) *Number { return &b.Temperature }),
	number("Temp min", celsius, func(b *DebugBoard) *Number { return &b.TemperatureMin }),
	number("Temp max", celsius, func(b *DebugBoard) *Number { return &b.TemperatureMax }),
	number("Fan duty", percent, func(b *DebugBoard) *Number { return &b.FanDuty }),
	number("iVid", anything, func(b *DebugBoard) *Number { return &b.IVid }),
	number("PLL", anything, func(b *DebugBoard) *Number { return &b.PLL }),
	number("Voltage Min", anything, func(b *DebugBoard) *Number { return &b.VoltageMin }),
	number("Voltage Max", anything, func(b *DebugBoard) *Number { return &b.VoltageMax }),
	number("Voltage Avg", anything, func(b *DebugBoard) *Number { return &b.VoltageAvg }),
	flag("VidOptimal", func(b *DebugBoard) *Number { return &b.VidOptimal }),
	flag("pllOptimal", func(b *DebugBoard) *Number { return &b.PLLOptimal }),
	number("MHS av", amount, func(b *DebugBoard) *Number { return &b.Hashrate }),
	own("Disabled", func(r *reader, b *DebugBoard) bool { return flagOrCount(r, &b.Disabled) }),
	own("Throttled", func(r *reader, b *DebugBoard) bool { return flagOrCount(r, &b.Throttled) }),
	own("Enabled chips", func(r *reader, b *DebugBoard) (ok bool) {
		b.EnabledChips, ok = r.text(maxEnabled)
		return ok
	}),
)

var chipFields = table(
	number("HW errors", amount, func(c *Chip) *Number { return &c.HardwareErrors }),
	number("Stales", amount, func(c *Chip) *Number { return &c.Stales }),
	number("Duplicates", amount, func(c *Chip) *Number { return &c.Duplicates }),
	number("Nonces found", amount, func(c *Chip) *Number { return &c.NoncesFound }),
	number("Nonce ranges", amount, func(c *Chip) *Number { return &c.NonceRanges }),
	number("Cooldown", amount, func(c *Chip) *Number { return &c.Cooldown }),
	number("Fail count", amount, func(c *Chip) *Number { return &c.FailCount }),
	number("Fail reset", amount, func(c *Chip) *Number { return &c.FailReset }),
	number("Temp", celsius, func(c *Chip) *Number { return &c.Temperature }),
	number("nVol", anything, func(c *Chip) *Number { return &c.Voltage }),
	number("PLL", anything, func(c *Chip) *Number { return &c.PLL }),
	number("cores", amount, func(c *Chip) *Number { return &c.Cores }),
)

// anything accepts every value: its meaning is unknown.
func anything(v float64) (Number, bool) { return Known(v), true }

// flagOrCount reads a value that is a boolean in some drivers and a number in others.
func flagOrCount(r *reader, n *Number) bool {
	if kind := r.dec.PeekKind(); kind != 't' && kind != 'f' {
		return r.number(n, amount)
	}
	v, ok := r.flag()
	*n = Bool(v)
	return ok
}

// DebugStats reads /api/getDebugStats. On Innosilicon it takes a second a board.
func (c *Client) DebugStats(ctx context.Context) (*DebugStats, error) {
	d, a, err := call(ctx, c, read("getDebugStats"), nil, &debugStatsFields)
	if err != nil {
		return nil, err
	}
	d.Answer, d.Unreadable = a.Answer, a.unreadable
	factor := 0.0 // not needed
	for i := range d.Boards {
		if d.Boards[i].Hashrate.Or(0) > 0 {
			if factor, err = c.factor(ctx); err != nil {
				return nil, err
			}
			break
		}
	}
	d.finish(factor)
	return d, nil
}

// finish gives the boards unique slots and base units.
func (d *DebugStats) finish(factor float64) {
	slots := slots(len(d.Boards), func(i int) Number { return d.Boards[i].chain }, &d.Unreadable, "boards.board.Chain ID")
	for i := range d.Boards {
		d.Boards[i].Slot = slots[i]
		d.Boards[i].Hashrate = d.Boards[i].Hashrate.Times(factor)
	}
}
