package dragon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// reads adds a subcommand that asks each dragon one question. rows makes rows of the answer
// for the table below head.
func reads[T any](f *family, verb, help string, head []string, ask func(*target, context.Context) (T, error), rows func(T) [][]string) {
	f.add(verb, help, nil, func(ctx context.Context, b *batch) error {
		outcomes := b.each(ctx, func(ctx context.Context, t *target) (any, error) { return ask(t, ctx) })
		return b.show(outcomes, head, func(result any) [][]string { return rows(result.(T)) })
	})
}

func (f *family) addReads() {
	reads(f, "summary", "Show what the boards do.",
		[]string{"BOARD", "STATUS", "HASHRATE", "TEMPERATURE", "ACCEPTED", "REJECTED", "ERRORS", "MINING FOR"}, (*target).Summary, boardRows)
	reads(f, "overview", "Show what the dragon is: model, firmware, MAC, network, uptime, memory.",
		[]string{"MODEL", "HARDWARE", "FIRMWARE", "MAC", "NETWORK", "UP FOR", "LOAD", "MEMORY USED"}, (*target).Overview, overviewRows)
	reads(f, "pools", "Show the configured pools and how they do.", poolHead, (*target).minedPools, poolRows)
	reads(f, "errors", "Show the error that the dragon has found in itself (Innosilicon).",
		[]string{"CODE", "MEANING", "MESSAGE"}, (*target).foundError, func(e *dragon.ErrorReport) [][]string {
			if e.Code == "" {
				return one("", "none", "")
			}
			return one(e.Code, dragon.ErrorText(e.Code), strings.TrimSpace(e.Message+" "+e.Description+" "+e.Analysis))
		})
	reads(f, "debug", "Show the boards in detail; JSON has every chip.",
		[]string{"BOARD", "CHIPS", "ACTIVE", "TEMPERATURE", "VOLTAGE", "PLL", "WORST CHIP"}, (*target).DebugStats, debugRows)
	reads(f, "stats", "Show the statistics of the miner process, in the form of its driver.",
		[]string{"STATS"}, (*target).rawStats, func(raw json.RawMessage) [][]string { return one(string(raw)) })
	reads(f, "hashrates", "Show the history of hash rates that the dragon keeps; JSON has every sample.",
		[]string{"BOARD", "SAMPLES", "LAST", "MEAN", "SINCE"}, (*target).history, historyRows)
	reads(f, "network", "Show the network configuration.",
		[]string{"BY", "ADDRESS", "NETMASK", "GATEWAY", "RESOLVERS"}, (*target).Network, func(n *dragon.Network) [][]string {
			return one(assignedBy(n), n.IPAddress, n.Netmask, n.Gateway, strings.Join(n.DNS, " "))
		})
	reads(f, "autotune", "Show the autotune profile and what the tuner does.",
		[]string{"MODE", "LEVEL", "RUNNING", "TUNING"}, (*target).tune, func(t *tune) [][]string {
			return one(t.Profile.Mode, number(t.Profile.Level, "%.0f"), yesNo(t.Status.Running), yesNo(t.Status.Tuning))
		})
	reads(f, "firmware", "Let the dragon ask its vendor for the newest firmware, which can take two minutes.",
		[]string{"CURRENT", "NEWEST", "UP TO DATE", "URL"}, (*target).LatestFirmware, func(f *dragon.LatestFirmware) [][]string {
			return one(f.CurrentVersion, f.Version, yesNo(f.UpToDate), f.URL)
		})
	reads(f, "type", "Show the model.", []string{"MODEL"}, (*target).Type, oneCell)
	reads(f, "unit", "Show the unit of the dragon's hash rates (Innosilicon).", []string{"UNIT"}, (*target).Unit, oneCell)
	reads(f, "get-all", "Show most of the above with one request (Innosilicon since September 2018).",
		[]string{"MODEL", "FIRMWARE", "MAC", "BOARDS", "HASHRATE", "POWER", "FAN", "UP FOR"}, (*target).All, func(a *dragon.All) [][]string {
			return one(a.Model, a.Firmware, a.MAC, fmt.Sprint(len(a.Boards)), rate(a.Hashrate), number(a.Power, "%.0f W"), percent(a.FanDuty), span(a.Uptime))
		})
	reads(f, "runtime-pools", "Show the pools of the miner process (Innosilicon since September 2018).",
		poolHead, (*target).RuntimePools, func(p *dragon.RuntimePools) (rows [][]string) {
			for i := range p.Pools {
				x := &p.Pools[i]
				rows = append(rows, []string{fmt.Sprint(x.Index), x.URL, x.User, poolStatus(x), number(x.Accepted, "%.0f"), number(x.Rejected, "%.0f")})
			}
			return rows
		})
	reads(f, "ping", "Check that the dragon answers and accepts the credentials.", []string{"ANSWERS"}, (*target).ping, oneCell)
}

var poolHead = []string{"POOL", "URL", "USER", "STATUS", "ACCEPTED", "REJECTED"}

func (t *target) ping(ctx context.Context) (string, error) {
	start := time.Now()
	err := t.Ping(ctx)
	return "in " + time.Since(start).Round(100*time.Microsecond).String(), err
}

// one is a table of one row.
func one(cells ...string) [][]string { return [][]string{cells} }

func oneCell(s string) [][]string { return one(s) }

func number(n dragon.Number, format string) string {
	if v, known := n.Get(); known {
		return fmt.Sprintf(format, v)
	}
	return "-"
}

func percent(ratio dragon.Number) string { return number(ratio.Times(100), "%.0f %%") }

func yesNo(n dragon.Number) string {
	switch v, known := n.Get(); {
	case !known:
		return "-"
	case v != 0:
		return "yes"
	}
	return "no"
}

func span(seconds dragon.Number) string {
	v, known := seconds.Get()
	if !known || v > 1e9 {
		return "-"
	}
	return healer.ShortDuration(time.Duration(v) * time.Second)
}

func rate(n dragon.Number) string {
	if v, known := n.Get(); known {
		return healer.Hashrate(v)
	}
	return "-"
}

func boardRows(s *dragon.Summary) (rows [][]string) {
	for i := range s.Boards {
		b := &s.Boards[i]
		rows = append(rows, []string{fmt.Sprint(b.Slot), b.Status, rate(b.Hashrate), number(b.Temperature, "%.0f °C"),
			number(b.Accepted, "%.0f"), number(b.Rejected, "%.0f"), number(b.HardwareErrors, "%.0f"), span(b.Elapsed)})
	}
	if len(rows) == 0 {
		rows = one("none")
	}
	return rows
}

func overviewRows(o *dragon.Overview) [][]string {
	memory := "-"
	used, ok := o.MemoryUsed.Get()
	if total, known := o.MemoryTotal.Get(); ok && known && total > 0 {
		memory = fmt.Sprintf("%.0f of %.0f MB", used/1e6, total/1e6)
	}
	return one(o.Model, o.HWVersion, o.Firmware, o.MAC, o.Network.IPAddress+" by "+assignedBy(&o.Network), span(o.Uptime), number(o.Load1, "%.2f"), memory)
}

// minedPools are the configured pools of a dragon, and their status if the miner process
// tells it.
type minedPools struct {
	Configured []dragon.PoolConfig
	Mined      []dragon.Pool
}

func (t *target) minedPools(ctx context.Context) (*minedPools, error) {
	configured, err := t.Pools(ctx)
	if err != nil {
		return nil, err
	}
	p := &minedPools{Configured: configured}
	if s, err := t.Summary(ctx); err == nil {
		p.Mined = s.Pools
	} else if !errors.Is(err, dragon.ErrNotReady) {
		return nil, err
	}
	return p, nil
}

func poolRows(p *minedPools) (rows [][]string) {
	for i, c := range p.Configured {
		status, accepted, rejected := "", "", ""
		for j := range p.Mined {
			if m := &p.Mined[j]; m.URL == c.URL && m.User == c.User {
				status, accepted, rejected = poolStatus(m), number(m.Accepted, "%.0f"), number(m.Rejected, "%.0f")
			}
		}
		rows = append(rows, []string{fmt.Sprint(i), c.URL, c.User, status, accepted, rejected})
	}
	return rows
}

func poolStatus(p *dragon.Pool) string {
	if v, _ := p.Active.Get(); v != 0 {
		return p.Status + ", in use"
	}
	return p.Status
}

// foundError asks for the details that newer firmware has, else for the message.
func (t *target) foundError(ctx context.Context) (*dragon.ErrorReport, error) {
	e, err := t.ErrorDetail(ctx)
	if errors.Is(err, dragon.ErrNotOffered) {
		return t.ErrorMessage(ctx)
	}
	return e, err
}

func debugRows(d *dragon.DebugStats) (rows [][]string) {
	for i := range d.Boards {
		b := &d.Boards[i]
		worst, errs := "-", 0.0
		for j := range b.Details {
			if n := b.Details[j].HardwareErrors.Or(0); n > errs {
				worst, errs = fmt.Sprintf("%d with %.0f errors", b.Details[j].Index, n), n
			}
		}
		rows = append(rows, []string{fmt.Sprint(b.Slot), number(b.Chips, "%.0f"), number(b.ActiveChips, "%.0f"),
			number(b.Temperature, "%.0f °C"), number(b.VoltageAvg, "%.2f"), number(b.PLL, "%.0f"), worst})
	}
	if len(rows) == 0 {
		rows = one("none")
	}
	return rows
}

func (t *target) rawStats(ctx context.Context) (json.RawMessage, error) {
	a, err := t.Stats(ctx)
	if err != nil {
		return nil, err
	}
	if !json.Valid(a.Raw) {
		return nil, errors.New("stats: the answer is not JSON")
	}
	return json.RawMessage(dragon.PrintableLines(string(a.Raw))), nil
}

// history is the hash rates that a dragon keeps, and when they begin, in words.
type history struct {
	*dragon.HashRates
	since string
}

func (t *target) history(ctx context.Context) (*history, error) {
	h, err := t.HashRates(ctx)
	if err != nil {
		return nil, err
	}
	since := "-"
	if len(h.Times) > 0 {
		since = t.program.Time(h.Times[0])
	}
	return &history{h, since}, nil
}

func historyRows(h *history) (rows [][]string) {
	for _, b := range h.Boards {
		sum, n := 0.0, 0
		var last dragon.Number
		for _, x := range b.Hashrates {
			if v, known := x.Get(); known {
				sum, n, last = sum+v, n+1, x
			}
		}
		var mean dragon.Number
		if n > 0 {
			mean = dragon.Known(sum / float64(n))
		}
		rows = append(rows, []string{fmt.Sprint(b.Slot), fmt.Sprint(len(b.Hashrates)), rate(last), rate(mean), h.since})
	}
	return rows
}

func assignedBy(n *dragon.Network) string {
	if n.DHCP {
		return "DHCP"
	}
	return "static"
}

// tune is the stored profile and what the tuner does.
type tune struct {
	Profile dragon.AutoTune
	Status  dragon.AutoTuneStatus
}

func (t *target) tune(ctx context.Context) (*tune, error) {
	profile, err := t.AutoTune(ctx)
	if err != nil {
		return nil, err
	}
	status, err := t.AutoTuneStatus(ctx)
	if err != nil {
		return nil, err
	}
	return &tune{*profile, *status}, nil
}
