package dragon

import (
	"context"
	"net/url"
)

type unitAnswer struct{ unit string }

var unitFields = table(text("unit", func(u *unitAnswer) *string { return &u.unit }).always())

// Unit reads /api/unit, of Innosilicon: H/s or Sol/s.
func (c *Client) Unit(ctx context.Context) (string, error) {
	u, _, err := call(ctx, c, read("unit"), nil, &unitFields)
	if err != nil {
		return "", err
	}
	return u.unit, nil
}

// Locate turns the red light on or off by /api/SetMonitor, of Innosilicon. The daemon
// behind it loses a file descriptor at each call: do not blink.
func (c *Client) Locate(ctx context.Context, on bool) error {
	e := write("SetMonitor")
	e.timeout = ordinary
	light := "off"
	if on {
		light = "on"
	}
	return c.tell(ctx, e, url.Values{"red_light": {light}})
}

// All is most of what a dragon says of itself in one answer: /api/getAll, of
// Innosilicon since September 2018.
type All struct {
	Answer
	Model     string
	MAC       string
	HWVersion string // hwver
	Firmware  string // platform
	DNA       string // the serial number of the control board's chip
	Network   Network
	AutoTune  AutoTune // running_mode
	Boards    []AllBoard
	Pools     []PoolConfig // the active one first; none while the miner process does not answer
	Hashrate  Number       // total_hash, hashes per second
	FanDuty   Number       // fansSpeed in percent, as a ratio
	Power     Number       // power, W as far as known; newer firmware
	Uptime    Number       // uptime, seconds

	Unreadable []string
}

// AllBoard is a board in All.
type AllBoard struct {
	Slot           int    // ASC, else its place; unique
	Hashrate       Number // Hash Rate H, hashes per second
	Temperature    Number // Average Temp, °C
	TemperatureMax Number // Temp max, °C
	TemperatureMin Number // Temp min, °C; newer firmware
}

type reportedAll struct {
	All
	boards []reportedAllBoard
	total  shownHash
}

type reportedAllBoard struct {
	AllBoard
	asc  Number
	rate shownHash
}

type allAnswer struct{ all reportedAll }

var allAnswerFields = table(
	object("all", &allFields, func(a *allAnswer) *reportedAll { return &a.all }).always(),
)

var allFields = table(
	own("type", func(r *reader, a *reportedAll) (ok bool) {
		a.Model, ok = r.text(maxText)
		a.Model = upper(a.Model)
		return ok
	}).always(),
	own("mac", func(r *reader, a *reportedAll) (ok bool) {
		mac, _ := r.text(maxText)
		a.MAC, ok = ParseMAC(mac)
		return ok
	}).always(),
	text("hwver", func(a *reportedAll) *string { return &a.HWVersion }),
	text("platform", func(a *reportedAll) *string { return &a.Firmware }),
	text("dna", func(a *reportedAll) *string { return &a.DNA }),
	own("uptime", func(r *reader, a *reportedAll) bool {
		line, _ := r.text(maxText)
		a.Uptime, _ = parseUptime(line)
		return a.Uptime.IsKnown()
	}),
	number("fansSpeed", percent, func(a *reportedAll) *Number { return &a.FanDuty }),
	number("power", amount, func(a *reportedAll) *Number { return &a.Power }),
	object("network", &networkFields, func(a *reportedAll) *Network { return &a.Network }),
	object("running_mode", &modeFields, func(a *reportedAll) *AutoTune { return &a.AutoTune }),
	object("total_hash", &totalFields, func(a *reportedAll) *shownHash { return &a.total }),
	list("chain", maxBoards, &allBoardFields, func(a *reportedAll) *[]reportedAllBoard { return &a.boards }),
	own("pools", func(r *reader, a *reportedAll) (ok bool) {
		a.Pools, ok = readPoolConfigs(r)
		return ok
	}),
)

var allBoardFields = table(
	number("ASC", whole, func(b *reportedAllBoard) *Number { return &b.asc }),
	number("Average Temp", celsius, func(b *reportedAllBoard) *Number { return &b.Temperature }),
	number("Temp max", celsius, func(b *reportedAllBoard) *Number { return &b.TemperatureMax }),
	number("Temp min", celsius, func(b *reportedAllBoard) *Number { return &b.TemperatureMin }),
	number("Hash Rate", amount, func(b *reportedAllBoard) *Number { return &b.rate.rate }),
	text("Unit", func(b *reportedAllBoard) *string { return &b.rate.unit }),
	number("Hash Rate H", amount, func(b *reportedAllBoard) *Number { return &b.rate.plain }),
)

// All reads /api/getAll.
func (c *Client) All(ctx context.Context) (*All, error) {
	answer, a, err := call(ctx, c, read("getAll"), nil, &allAnswerFields)
	if err != nil {
		return nil, err
	}
	all := answer.all.finish()
	all.Answer, all.Unreadable = a.Answer, append(all.Unreadable, a.unreadable...)
	return all, nil
}

func (r *reportedAll) finish() *All {
	r.Hashrate = r.total.hashes()
	slots := slots(len(r.boards), func(i int) Number { return r.boards[i].asc }, &r.Unreadable, "all.chain.ASC")
	for i := range r.boards {
		b := &r.boards[i]
		b.Slot, b.Hashrate = slots[i], b.rate.hashes()
		r.Boards = append(r.Boards, b.AllBoard)
	}
	return &r.All
}
