package dragon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// reads adds a verb that asks each dragon for one thing. rows makes lines of it for the
// table below head, columns being separated by tabs.
func reads[T any](d *dragonCommand, verb, help, head string, ask func(*visit, context.Context) (T, error), rows func(T) []string) {
	d.add(verb, help, nil, func(ctx context.Context, r *round) error {
		outcomes := r.visitAll(ctx, func(ctx context.Context, v *visit) (any, error) { return ask(v, ctx) })
		return r.show(outcomes, head, func(result any) []string { return rows(result.(T)) })
	})
}

func (d *dragonCommand) addReads() {
	reads(d, "summary", "Show what the boards do.",
		"BOARD\tSTATUS\tHASHRATE\tTEMPERATURE\tACCEPTED\tREJECTED\tERRORS\tMINING FOR", (*visit).Summary, boardRows)
	reads(d, "overview", "Show what the dragon is: model, firmware, MAC, network, uptime, memory.",
		"MODEL\tHARDWARE\tFIRMWARE\tMAC\tNETWORK\tUP FOR\tLOAD\tMEMORY USED", (*visit).Overview, overviewRows)
	reads(d, "pools", "Show the pools that the dragon is configured for, and how they do.",
		"POOL\tURL\tUSER\tSTATUS\tACCEPTED\tREJECTED", (*visit).minedPools, poolRows)
	reads(d, "errors", "Show the error that the dragon has found in itself (Innosilicon).",
		"CODE\tMEANING\tMESSAGE", (*visit).foundError, func(e *dragon.ErrorReport) []string {
			if e.Code == "" {
				return []string{cli.Row("", "none", "")}
			}
			return []string{cli.Row(e.Code, dragon.ErrorText(e.Code), strings.TrimSpace(e.Message+" "+e.Description+" "+e.Analysis))}
		})
	reads(d, "debug", "Show the boards down to their chips (--json has each of them).",
		"BOARD\tCHIPS\tACTIVE\tTEMPERATURE\tVOLTAGE\tPLL\tWORST CHIP", (*visit).DebugStats, debugRows)
	reads(d, "stats", "Show the mining process's own statistics, which every driver words differently.",
		"STATS", (*visit).rawStats, func(raw json.RawMessage) []string { return []string{cli.Plain(string(raw), 1<<20)} })
	reads(d, "hashrates", "Show the history of hash rates that the dragon keeps (--json has all of it).",
		"BOARD\tSAMPLES\tLAST\tMEAN\tSINCE", (*visit).HashRates, historyRows)
	reads(d, "network", "Show the network configuration.",
		"BY\tADDRESS\tNETMASK\tGATEWAY\tRESOLVERS", (*visit).Network, func(n *dragon.Network) []string { return []string{networkRow(n)} })
	reads(d, "autotune", "Show the autotune profile, and what the tuner does.",
		"MODE\tLEVEL\tRUNNING\tTUNING", (*visit).tune, func(t *tune) []string {
			return []string{cli.Row(t.Profile.Mode, number(t.Profile.Level, "%.0f"), yesNo(t.Status.Running), yesNo(t.Status.Tuning))}
		})
	reads(d, "firmware", "Let the dragon ask its vendor for the newest firmware, which may take two minutes.",
		"CURRENT\tNEWEST\tUP TO DATE\tURL", (*visit).LatestFirmware, func(f *dragon.LatestFirmware) []string {
			return []string{cli.Row(f.CurrentVersion, f.Version, yesNo(f.UpToDate), f.URL)}
		})
	reads(d, "type", "Show the model.", "MODEL", (*visit).Type, oneRow)
	reads(d, "unit", "Show the unit that the dragon counts in (Innosilicon).", "UNIT", (*visit).Unit, oneRow)
	reads(d, "get-all", "Show most of what the dragon says of itself, asked for at once (Innosilicon since September 2018).",
		"MODEL\tFIRMWARE\tMAC\tBOARDS\tHASHRATE\tPOWER\tFAN\tUP FOR", (*visit).All, func(a *dragon.All) []string {
			return []string{cli.Row(a.Model, a.Firmware, a.MAC, fmt.Sprint(len(a.Boards)), rate(a.Hashrate), number(a.Power, "%.0f W"), percent(a.FanDuty), since(a.Uptime))}
		})
	reads(d, "runtime-pools", "Show the pools of the mining process (Innosilicon since September 2018).",
		"POOL\tURL\tUSER\tSTATUS\tACCEPTED\tREJECTED", (*visit).RuntimePools, func(p *dragon.RuntimePools) (rows []string) {
			for i := range p.Pools {
				x := &p.Pools[i]
				rows = append(rows, cli.Row(fmt.Sprint(x.Index), x.URL, x.User, poolStatus(x), number(x.Accepted, "%.0f"), number(x.Rejected, "%.0f")))
			}
			return rows
		})
	reads(d, "ping", "See whether the dragon answers, and takes the credentials.", "ANSWERS", (*visit).pong, oneRow)
}

func (v *visit) pong(ctx context.Context) (string, error) {
	start := time.Now()
	err := v.Ping(ctx)
	return "in " + time.Since(start).Round(100*time.Microsecond).String(), err
}

func oneRow(s string) []string { return []string{cli.Row(s)} }

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

func since(seconds dragon.Number) string {
	v, known := seconds.Get()
	if !known || v > 1e9 {
		return "-"
	}
	return config.Span(time.Duration(v) * time.Second)
}

// rate is a hash rate with its prefix: 14.7 TH/s.
func rate(n dragon.Number) string {
	v, known := n.Get()
	if !known {
		return "-"
	}
	prefix := ""
	for _, p := range []string{"k", "M", "G", "T", "P"} {
		if v < 1000 {
			break
		}
		v, prefix = v/1000, p
	}
	return fmt.Sprintf("%.4g %sH/s", v, prefix)
}

func boardRows(s *dragon.Summary) (rows []string) {
	for i := range s.Boards {
		b := &s.Boards[i]
		rows = append(rows, cli.Row(fmt.Sprint(b.Slot), b.Status, rate(b.Hashrate), number(b.Temperature, "%.0f °C"),
			number(b.Accepted, "%.0f"), number(b.Rejected, "%.0f"), number(b.HardwareErrors, "%.0f"), since(b.Elapsed)))
	}
	if len(rows) == 0 {
		rows = []string{cli.Row("none")}
	}
	return rows
}

func overviewRows(o *dragon.Overview) []string {
	memory := "-"
	used, ok := o.MemoryUsed.Get()
	if total, known := o.MemoryTotal.Get(); ok && known && total > 0 {
		memory = fmt.Sprintf("%.0f of %.0f MB", used/1e6, total/1e6)
	}
	by := "static"
	if o.Network.DHCP {
		by = "DHCP"
	}
	return []string{cli.Row(o.Model, o.HWVersion, o.Firmware, o.MAC, o.Network.IPAddress+" by "+by, since(o.Uptime), number(o.Load1, "%.2f"), memory)}
}

// minedPools are the pools of a dragon: as it is configured, and what the mining process
// says of them, as long as it says anything.
type minedPools struct {
	Configured []dragon.PoolConfig
	Mined      []dragon.Pool
}

func (v *visit) minedPools(ctx context.Context) (*minedPools, error) {
	configured, err := v.Pools(ctx)
	if err != nil {
		return nil, err
	}
	p := &minedPools{Configured: configured}
	if s, err := v.Summary(ctx); err == nil {
		p.Mined = s.Pools
	} else if !errors.Is(err, dragon.ErrNotReady) {
		return nil, err
	}
	return p, nil
}

func poolRows(p *minedPools) (rows []string) {
	for i, c := range p.Configured {
		status, accepted, rejected := "", "", ""
		for j := range p.Mined {
			if m := &p.Mined[j]; m.URL == c.URL && m.User == c.User {
				status, accepted, rejected = poolStatus(m), number(m.Accepted, "%.0f"), number(m.Rejected, "%.0f")
			}
		}
		rows = append(rows, cli.Row(fmt.Sprint(i), c.URL, c.User, status, accepted, rejected))
	}
	return rows
}

func poolStatus(p *dragon.Pool) string {
	if v, _ := p.Active.Get(); v != 0 {
		return p.Status + ", in use"
	}
	return p.Status
}

// foundError asks as the newer firmware can be asked, and else as the older.
func (v *visit) foundError(ctx context.Context) (*dragon.ErrorReport, error) {
	e, err := v.ErrorDetail(ctx)
	if errors.Is(err, dragon.ErrNotOffered) {
		return v.ErrorMessage(ctx)
	}
	return e, err
}

func debugRows(d *dragon.DebugStats) (rows []string) {
	for i := range d.Boards {
		b := &d.Boards[i]
		worst, errs := "-", 0.0
		for j := range b.Details {
			if n := b.Details[j].HardwareErrors.Or(0); n > errs {
				worst, errs = fmt.Sprintf("%d with %.0f errors", b.Details[j].Index, n), n
			}
		}
		rows = append(rows, cli.Row(fmt.Sprint(b.Slot), number(b.Chips, "%.0f"), number(b.ActiveChips, "%.0f"),
			number(b.Temperature, "%.0f °C"), number(b.VoltageAvg, "%.2f"), number(b.PLL, "%.0f"), worst))
	}
	if len(rows) == 0 {
		rows = []string{cli.Row("none")}
	}
	return rows
}

func (v *visit) rawStats(ctx context.Context) (json.RawMessage, error) {
	a, err := v.Stats(ctx)
	if err != nil {
		return nil, err
	}
	if !json.Valid(a.Raw) {
		return nil, errors.New("stats: what came is no JSON")
	}
	return a.Raw, nil
}

func historyRows(h *dragon.HashRates) (rows []string) {
	first := "-"
	if len(h.Times) > 0 {
		first = h.Times[0].Format("2006-01-02 15:04")
	}
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
		rows = append(rows, cli.Row(fmt.Sprint(b.Slot), fmt.Sprint(len(b.Hashrates)), rate(last), rate(mean), first))
	}
	return rows
}

func networkRow(n *dragon.Network) string {
	by := "static"
	if n.DHCP {
		by = "DHCP"
	}
	return cli.Row(by, n.IPAddress, n.Netmask, n.Gateway, strings.Join(n.DNS, " "))
}

// tune is the profile that is stored, and what the tuner does.
type tune struct {
	Profile dragon.AutoTune
	Status  dragon.AutoTuneStatus
}

func (v *visit) tune(ctx context.Context) (*tune, error) {
	profile, err := v.AutoTune(ctx)
	if err != nil {
		return nil, err
	}
	status, err := v.AutoTuneStatus(ctx)
	if err != nil {
		return nil, err
	}
	return &tune{*profile, *status}, nil
}
