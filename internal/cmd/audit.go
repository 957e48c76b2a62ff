package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// auditFilter says which records of the audit are wanted.
type auditFilter struct {
	dragon             string // worker, MAC or address
	since, until       time.Time
	decisions, actions []string
	actor              string
}

func addAudit(p *cli.Program) {
	cmd := p.Command("audit", "Show what the healer has decided and done, and what people have done to dragons: the audit of the data directory, also what was set aside of it.")
	dir := config.RegisterDataDir(cmd)
	var f auditFilter
	var last int
	var asJSON bool
	cmd.Flag("dragon", "Only about this dragon: worker, MAC or address.").NoEnvar().PlaceHolder("DRAGON").StringVar(&f.dragon)
	config.Flag(cmd, "since", "Only from then on: a time such as 2h or 24h ago, or like 2026-01-31 or 2026-01-31T15:04:05Z.", &f.since, parseMoment).NoEnvar().PlaceHolder("TIME")
	config.Flag(cmd, "until", "Only until then.", &f.until, parseMoment).NoEnvar().PlaceHolder("TIME")
	cmd.Flag("decision", "Only these decisions: act, would_act, blocked, recovered, quarantine, hold, manual and so on (repeatable).").NoEnvar().StringsVar(&f.decisions)
	cmd.Flag("action", "Only about these actions: restart, reboot and so on (repeatable).").NoEnvar().StringsVar(&f.actions)
	cmd.Flag("actor", "Only what this one did: healer, user:NAME or unverified:NAME.").NoEnvar().StringVar(&f.actor)
	config.Flag(cmd, "last", "Only so many of them, the last ones; 0 for all.", &last, config.Whole(0, 1e6)).NoEnvar().Default("0")
	cmd.Flag("json", "Print the lines as they are in the file.").BoolVar(&asJSON)
	p.Add(cmd, func(_ context.Context, stdout, stderr io.Writer) error {
		d, err := dir()
		if err != nil {
			return err
		}
		var found []string
		row := f.row
		if asJSON {
			row = func(line []byte, _ *healer.Audit) string { return string(line) }
		}
		torn, err := agent.EachAudit(d, func(line []byte, a *healer.Audit) bool {
			if f.wants(a) {
				found = append(found, row(line, a))
				if last > 0 && len(found) > 2*last {
					found = slices.Clone(found[len(found)-last:])
				}
			}
			return true
		})
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w (--data-dir or --config.file say where it is)", err)
		} else if err != nil {
			return err
		}
		if last > 0 && len(found) > last {
			found = found[len(found)-last:]
		}
		if torn > 0 {
			fmt.Fprintf(stderr, "%d lines are torn, and left out\n", torn)
		}
		if asJSON {
			for _, line := range found {
				fmt.Fprintln(stdout, line)
			}
			return nil
		}
		table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "TIME\tDRAGON\tDECISION\tSTATE\tACTION\tREASON\tACTOR\tNOTE")
		for _, r := range found {
			fmt.Fprintln(table, r)
		}
		return table.Flush()
	})
}

// parseMoment reads a time, or how long ago it was.
func parseMoment(s string) (time.Time, error) {
	if d, err := config.ParseInterval(s); err == nil {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want one like 2h, 2026-01-31, \"2026-01-31 15:04\" or 2026-01-31T15:04:05Z", s)
}

func (f *auditFilter) wants(a *healer.Audit) bool {
	mac, isMAC := dragon.ParseMAC(f.dragon)
	return (f.dragon == "" || a.Worker == f.dragon || a.IP == f.dragon || isMAC && a.MAC == mac) &&
		(f.since.IsZero() || !a.At.Before(f.since)) &&
		(f.until.IsZero() || !a.At.After(f.until)) &&
		(len(f.decisions) == 0 || slices.Contains(f.decisions, string(a.Decision))) &&
		(len(f.actions) == 0 || slices.Contains(f.actions, string(a.Action))) &&
		(f.actor == "" || a.Actor == f.actor)
}

// row is a record as a line of the table. What blocks a decision is its note.
func (f *auditFilter) row(_ []byte, a *healer.Audit) string {
	note := a.Note
	if a.Decision == healer.Blocked {
		for _, g := range a.Gates {
			if !g.Open {
				note = string(g.Name) + ": " + g.Detail
				break
			}
		}
	}
	if a.Result != nil && a.Result.Error != "" {
		note = a.Result.Error
	}
	return cli.Row(a.At.Local().Format("2006-01-02 15:04:05"), a.Worker, string(a.Decision), string(a.State), string(a.Action), string(a.Reason), a.Actor, note)
}
