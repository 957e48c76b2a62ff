package web

import (
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// DragonAnswer is one dragon in a list, by its last reading. Values are in base units, and
// null while unknown: all of them are while the dragon is offline.
type DragonAnswer struct {
	Worker    string `json:"worker"`
	MAC       string `json:"mac"`
	Address   string `json:"address"`        // host or host:port, where it was seen last
	Link      string `json:"link,omitempty"` // of the dragon's own pages
	Brand     string `json:"brand"`
	Model     string `json:"model"`
	Algorithm string `json:"algorithm"` // empty if unknown
	Firmware  string `json:"firmware"`
	HWVersion string `json:"hw_version"`
	Site      string `json:"site"`

	healer.Named

	Profile  string `json:"profile"`
	Conflict bool   `json:"conflict"` // another dragon claims the same MAC, or it is invalid

	Up   bool   `json:"up"`
	Down string `json:"down_reason,omitempty"` // a value of dragon_scrape_failures_total's reason
	Busy string `json:"busy,omitempty"`        // the write that holds it now
	// Restarting is "ours" while a write of the healer restarts the dragon: that it is not read then is expected.
	Restarting string `json:"restarting,omitempty"`

	ReadAt    *time.Time    `json:"read_at"` // the last time that it was read
	Age       dragon.Number `json:"age_s"`   // of that reading
	FirstSeen time.Time     `json:"first_seen"`
	LastSeen  time.Time     `json:"last_seen"`

	Hashrate       dragon.Number      `json:"hashrate"`          // hashes (Equihash: solutions) per second, of the boards that are not dead
	Expected       dragon.Number      `json:"hashrate_expected"` // what it does when it is well, as the healer has learned
	Nominal        dragon.Number      `json:"hashrate_nominal"`  // as the maker announced it
	Temperature    dragon.Number      `json:"temperature"`       // °C, of the hottest board
	FanDuty        dragon.Number      `json:"fan_duty"`          // ratio
	Boards         dragon.Number      `json:"boards"`
	BoardsAlive    dragon.Number      `json:"boards_alive"`
	BoardsExpected dragon.Number      `json:"boards_expected"`
	BoardsSource   dragon.BoardSource `json:"boards_expected_source,omitempty"` // learned, operator or model

	Tuning      dragon.Number `json:"tuning"` // 1 while it tunes
	Uptime      dragon.Number `json:"uptime_s"`
	MinerUptime dragon.Number `json:"miner_uptime_s"`
	Pool        string        `json:"pool"` // URL of the active pool, without a login
	PoolUser    string        `json:"pool_user"`

	Healer     *HealingAnswer `json:"healer"`      // null before the healer has looked at it
	LastAction *ActionAnswer  `json:"last_action"` // null if none is remembered

	reading  *fleet.Reading // nil while it does not answer
	decision *healer.Decision
}

const ours = "ours" // the value of DragonAnswer.Restarting

// HealingAnswer is the healer's view of a dragon.
type HealingAnswer struct {
	State    healer.State  `json:"state"`
	For      float64       `json:"for_s"` // in that state
	Reason   healer.Reason `json:"reason,omitempty"`
	Evidence string        `json:"evidence,omitempty"` // in words
	Decision healer.Verb   `json:"decision,omitempty"`
	Action   healer.Kind   `json:"action,omitempty"`
	Blocked  healer.Gate   `json:"blocked_by,omitempty"` // the first gate in the way
	Note     string        `json:"note,omitempty"`
	Desired  healer.Phase  `json:"wish,omitempty"` // state of its desired configuration; empty: none
	// Firmware is the same for the desired firmware.
	Firmware healer.FirmwareIs `json:"wish_firmware,omitempty"`
}

// ActionAnswer is one action on a dragon.
type ActionAnswer struct {
	ID      string         `json:"id"`
	Kind    healer.Kind    `json:"kind"`
	Reason  healer.Reason  `json:"reason,omitempty"`
	Actor   string         `json:"actor"` // healer, user:name, …
	At      time.Time      `json:"at"`
	Age     float64        `json:"age_s"`
	Result  healer.Result  `json:"result,omitempty"`  // the answer of the dragon
	Outcome healer.Outcome `json:"outcome,omitempty"` // empty while it is open
	Note    string         `json:"note,omitempty"`
}

// look is a snapshot of the healer, by dragon.
type look struct {
	status    *agent.Status // nil before its first
	decisions map[string]*healer.Decision
}

func lookAt(h *agent.Healer) look {
	l := look{status: h.Status()}
	if l.status == nil {
		return l
	}
	l.decisions = make(map[string]*healer.Decision, len(l.status.Plan.Dragons))
	for i := range l.status.Plan.Dragons {
		d := &l.status.Plan.Dragons[i]
		l.decisions[d.Worker] = d
	}
	return l
}

func (l look) retired(mac string) bool {
	return l.status != nil && slices.ContainsFunc(l.status.Plan.Pauses, func(p healer.Pause) bool { return p.Retires(mac) })
}

func (l look) action(a *healer.Action) ActionAnswer {
	return ActionAnswer{
		ID: a.ID, Kind: a.Kind, Reason: a.Reason, Actor: a.Actor, At: l.status.Plan.Time(a.At).UTC(), Age: l.status.Plan.At.Since(a.At).Seconds(),
		Result: a.Result, Outcome: a.Outcome, Note: a.Note,
	}
}

// describe returns what is known of a dragon. It reads no dragon.
func (l look) describe(d *fleet.Dragon, now time.Time) DragonAnswer {
	i, h, r := d.Info(), d.Health(), d.Last()
	a := DragonAnswer{
		Worker: i.Worker, MAC: i.MAC, Address: i.Address, Link: linkTo(i), Brand: string(i.Brand), Model: i.Model,
		Algorithm: dragon.ModelOf(i.Model).Algorithm, Firmware: i.Firmware, HWVersion: i.HWVersion,
		Site: i.Site, Named: agent.Named(i), Conflict: i.Conflict,
		Up: h.Up, Down: h.Reason, Busy: h.Busy, FirstSeen: i.FirstSeen.UTC(), LastSeen: i.LastSeen.UTC(),
	}
	if !h.LastSuccess.IsZero() {
		at := h.LastSuccess.UTC()
		a.ReadAt, a.Age = &at, dragon.Known(max(0, now.Sub(at).Seconds()))
		if at.After(a.LastSeen) {
			a.LastSeen = at
		}
	}
	if h.Expected == fleet.HealerRestart {
		a.Restarting = ours
	}
	if rate := dragon.ModelOf(i.Model).Hashrate; rate > 0 {
		a.Nominal = dragon.Known(rate)
	}
	if h.Boards.Boards > 0 {
		a.BoardsExpected, a.BoardsSource = dragon.Known(float64(h.Boards.Boards)), h.Boards.Source
	}
	if r != nil && r.Summary != nil {
		a.read(r)
	}
	x := l.decisions[i.Worker]
	if x == nil {
		return a
	}
	a.decision, a.Profile = x, x.Profile
	a.Healer = &HealingAnswer{
		State: x.State, For: l.status.Plan.At.Since(x.Since).Seconds(), Reason: x.Reason, Evidence: explain.Evidence(x),
		Decision: x.Verb, Action: x.Kind, Blocked: x.Blocked, Note: x.Note,
	}
	if x.State == healer.StateActing {
		a.Restarting = ours
	}
	if x.Desired != nil {
		a.Healer.Desired, a.Healer.Firmware = x.Desired.Phase, x.Desired.Firmware
	}
	if x.Evidence.Baseline > 0 {
		a.Expected = dragon.Known(x.Evidence.Baseline)
	}
	if actions := l.status.Actions[x.MAC]; len(actions) > 0 && !i.Conflict {
		last := l.action(&actions[len(actions)-1])
		a.LastAction = &last
	}
	return a
}

// read sets the values of a reading.
func (a *DragonAnswer) read(r *fleet.Reading) {
	s := r.Summary
	a.reading = r
	a.FanDuty, a.Tuning, a.MinerUptime, a.Uptime = s.FanDuty, s.Tuning, s.Elapsed(), r.Uptime()
	a.readBoards(s)
	for i := range s.Pools {
		if p := &s.Pools[i]; p.Active.Or(0) == 1 {
			a.Pool, a.PoolUser = dragon.PoolWithoutLogin(p.URL), p.User
			break
		}
	}
}

func (a *DragonAnswer) readBoards(s *dragon.Summary) {
	if len(s.Boards) > 0 || !slices.Contains(s.Unreadable, "DEVS") {
		alive := 0
		for i := range s.Boards {
			b := &s.Boards[i]
			if b.Alive() {
				alive++
			}
			if t, known := b.Temperature.Get(); known && t >= a.Temperature.Or(t) {
				a.Temperature = b.Temperature
			}
			if rate, known := rateOf(b).Get(); known {
				a.Hashrate = dragon.Known(a.Hashrate.Or(0) + rate)
			}
		}
		a.Boards, a.BoardsAlive = dragon.Known(float64(len(s.Boards))), dragon.Known(float64(alive))
	}
}

// rateOf is the current hash rate of a board. A dead one has none: some firmware shows its
// last averages for ever.
func rateOf(b *dragon.Board) dragon.Number {
	if b.Status == "Dead" {
		return dragon.Known(0)
	}
	for _, n := range []dragon.Number{b.Hashrate5m, b.Hashrate, b.Hashrate15m, b.Hashrate1m, b.HashrateAvg, b.Hashrate5s} {
		if n.IsKnown() {
			return n
		}
	}
	return dragon.Number{}
}

// linkTo is the URL of a dragon's own pages. Only an IP address becomes a link: a name that
// a device reports may lead anywhere.
func linkTo(i *fleet.Info) string {
	host, port, err := net.SplitHostPort(i.Address)
	if err != nil {
		host, port = strings.Trim(i.Address, "[]"), ""
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || i.IP == "" || ip.Zone() != "" {
		return ""
	}
	if port != "" {
		return "http://" + net.JoinHostPort(ip.String(), port) + "/"
	}
	if ip.Is6() {
		return "http://[" + ip.String() + "]/"
	}
	return "http://" + ip.String() + "/"
}

// OneDragonAnswer is one dragon with all details.
type OneDragonAnswer struct {
	DragonAnswer
	BoardList []BoardAnswer  `json:"board_list"`
	PoolList  []PoolAnswer   `json:"pool_list"`
	System    *SystemAnswer  `json:"system"`   // null while it does not answer
	Autotune  *TuneAnswer    `json:"autotune"` // null while it is not known
	Error     *FaultAnswer   `json:"error"`    // that the dragon found in itself; null if none is known
	Upgrade   *UpgradeAnswer `json:"upgrade"`  // what its vendor offers; null while it is not known

	Restarts    fleet.Restarts    `json:"restarts"`
	Failures    map[string]uint64 `json:"failures"`     // readings that failed, by reason
	ParseErrors map[string]uint64 `json:"parse_errors"` // readings in which a field made no sense, by field
	LastError   string            `json:"last_error,omitempty"`

	Why     *healer.Decision `json:"why"`     // as in the plan; null before the healer has looked at it
	Actions []ActionAnswer   `json:"actions"` // that are remembered, the newest first
	History []healer.Audit   `json:"history"` // the newest first
}

// BoardAnswer is one hash board.
type BoardAnswer struct {
	Slot           int           `json:"slot"`
	Status         string        `json:"status"`
	Temperature    dragon.Number `json:"temperature"`
	Hashrate       dragon.Number `json:"hashrate"`
	Hashrate5s     dragon.Number `json:"hashrate_5s"`
	Hashrate15m    dragon.Number `json:"hashrate_15m"`
	HashrateAvg    dragon.Number `json:"hashrate_avg"`
	Accepted       dragon.Number `json:"accepted"`
	Rejected       dragon.Number `json:"rejected"`
	HardwareErrors dragon.Number `json:"hardware_errors"`
	LastValidWork  dragon.Number `json:"last_valid_work_age_s"` // by the dragon's own clock
	Chips          dragon.Number `json:"chips"`                 // these are facts, see docs/metrics.md
	ActiveChips    dragon.Number `json:"active_chips"`
	TemperatureMax dragon.Number `json:"temperature_max"`
}

// PoolAnswer is one pool. Its password is not known here.
type PoolAnswer struct {
	Index     int           `json:"index"`
	URL       string        `json:"url"` // without a login
	User      string        `json:"user"`
	Status    string        `json:"status"`
	Active    dragon.Number `json:"active"`
	Accepted  dragon.Number `json:"accepted"`
	Rejected  dragon.Number `json:"rejected"`
	Stale     dragon.Number `json:"stale"`
	LastShare dragon.Number `json:"last_share_age_s"` // by the dragon's own clock
}

// SystemAnswer is the controller of the dragon.
type SystemAnswer struct {
	BuildDate   string        `json:"build_date"`
	DHCP        bool          `json:"dhcp"`
	Netmask     string        `json:"netmask"`
	Gateway     string        `json:"gateway"`
	DNS         []string      `json:"dns"`
	Load1       dragon.Number `json:"load1"`
	MemoryUsed  dragon.Number `json:"memory_used"`
	MemoryTotal dragon.Number `json:"memory_total"`
	ClockOffset dragon.Number `json:"clock_offset_s"` // that its clock is ahead of ours
}

// TuneAnswer is the stored autotune profile.
type TuneAnswer struct {
	Mode  string        `json:"mode"`
	Level dragon.Number `json:"level"`
	At    time.Time     `json:"at"`
}

// FaultAnswer is an error that the dragon reports.
type FaultAnswer struct {
	Code    string    `json:"code"`
	Message string    `json:"message"` // what the code means, or what the dragon says of it
	At      time.Time `json:"at"`
}

// UpgradeAnswer is the firmware that the vendor offers.
type UpgradeAnswer struct {
	Available dragon.Number `json:"available"` // 1 if it is newer
	Version   string        `json:"version"`
	At        time.Time     `json:"at"`
}

// everything returns all that is known of a dragon. The error is that of the history alone.
func (l look) everything(d *fleet.Dragon, h *agent.Healer, now time.Time) (OneDragonAnswer, error) {
	health := d.Health()
	a := OneDragonAnswer{
		DragonAnswer: l.describe(d, now), BoardList: []BoardAnswer{}, PoolList: []PoolAnswer{}, Actions: []ActionAnswer{}, History: []healer.Audit{},
		Restarts: health.Restarts, Failures: make(map[string]uint64), ParseErrors: health.ParseErrors,
	}
	a.Why = a.decision
	for i, n := range health.Failures {
		a.Failures[fleet.Reasons[i]] = n
	}
	if health.Err != nil {
		a.LastError = dragon.Secretless(health.Err.Error())
	}
	if r := a.reading; r != nil {
		a.parts(r)
		a.facts(r, d.Facts())
	}
	if l.status != nil && !a.Conflict {
		for _, x := range slices.Backward(l.status.Actions[a.MAC]) {
			a.Actions = append(a.Actions, l.action(&x))
		}
	}
	if a.MAC == "" {
		return a, nil
	}
	history, err := h.History(a.MAC, historyShown)
	a.History = append(a.History, history...)
	return a, err
}

// parts sets boards, pools and system from a reading.
func (a *OneDragonAnswer) parts(r *fleet.Reading) {
	s := r.Summary
	since := func(unix dragon.Number) dragon.Number { // by the dragon's clock, whatever it shows
		at, known := unix.Get()
		if !known || s.DeviceTime.IsZero() {
			return dragon.Number{}
		}
		return dragon.Known(max(0, float64(s.DeviceTime.Unix())-at))
	}
	for i := range s.Boards {
		b := &s.Boards[i]
		a.BoardList = append(a.BoardList, BoardAnswer{
			Slot: b.Slot, Status: b.Status, Temperature: b.Temperature, Hashrate: rateOf(b), Hashrate5s: b.Hashrate5s, Hashrate15m: b.Hashrate15m,
			HashrateAvg: b.HashrateAvg, Accepted: b.Accepted, Rejected: b.Rejected, HardwareErrors: b.HardwareErrors, LastValidWork: since(b.LastValidWork),
		})
	}
	slices.SortStableFunc(a.BoardList, func(x, y BoardAnswer) int { return x.Slot - y.Slot })
	for i := range s.Pools {
		p := &s.Pools[i]
		a.PoolList = append(a.PoolList, PoolAnswer{
			Index: p.Index, URL: dragon.PoolWithoutLogin(p.URL), User: p.User, Status: p.Status, Active: p.Active,
			Accepted: p.Accepted, Rejected: p.Rejected, Stale: p.Stale, LastShare: since(p.LastShareTime),
		})
	}
	if o := r.Overview; o != nil {
		a.System = &SystemAnswer{
			BuildDate: o.BuildDate, DHCP: o.Network.DHCP, Netmask: o.Network.Netmask, Gateway: o.Network.Gateway, DNS: o.Network.DNS,
			Load1: o.Load1, MemoryUsed: o.MemoryUsed, MemoryTotal: o.MemoryTotal,
		}
		if offset, known := r.ClockOffset().Get(); known {
			a.System.ClockOffset = dragon.Known(math.Round(offset))
		}
	}
}

// facts sets what is read less often.
func (a *OneDragonAnswer) facts(r *fleet.Reading, f *fleet.Facts) {
	if x := f.AutoTune; !x.At.IsZero() {
		a.Autotune = &TuneAnswer{x.Value.Mode, x.Value.Level, x.At.UTC()}
	}
	if x := f.Errors; x.Value.Code != "" {
		message := dragon.ErrorText(x.Value.Code)
		if message == "" {
			message = dragon.Secretless(x.Value.Message)
		}
		a.Error = &FaultAnswer{x.Value.Code, message, x.At.UTC()}
	}
	if x := f.Firmware; !x.At.IsZero() && r.Overview != nil {
		a.Upgrade = &UpgradeAnswer{f.UpgradeAvailable(r.Overview.Firmware), x.Value.Version, x.At.UTC()}
	}
	for _, c := range f.Chips.Value {
		for i := range a.BoardList {
			if b := &a.BoardList[i]; b.Slot == c.Slot {
				b.Chips, b.ActiveChips, b.TemperatureMax = c.Chips, c.ActiveChips, c.TemperatureMax
			}
		}
	}
}
