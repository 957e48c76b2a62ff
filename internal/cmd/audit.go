package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// auditFilter selects records of the audit log.
type auditFilter struct {
	dragon             string // worker, MAC or address
	mac                string // of that dragon, if it is known
	since, until       time.Time
	decisions, actions []string
	actor              string

	found struct{ dragon, action, actor bool } // in any record
}

func addAudit(p *cli.Program) {
	cmd := p.Command("audit", "Show what the healer decided and did, and what people did to dragons. It reads the audit log of the data directory, "+
		"including rotated files.")
	data := config.RegisterData(cmd)
	var f auditFilter
	var last int
	var output cli.Output
	cmd.Flag("dragon", "Only about this dragon: worker, MAC or address.").NoEnvar().PlaceHolder("DRAGON").StringVar(&f.dragon)
	config.Flag(cmd, "since", "Only since this time: 2h for two hours ago, or 2026-01-31, or 2026-01-31T15:04:05Z.", &f.since,
		parseMoment).NoEnvar().PlaceHolder("TIME")
	config.Flag(cmd, "until", "Only until this time.", &f.until, parseMoment).NoEnvar().PlaceHolder("TIME")
	var verbs []string
	for _, v := range healer.AuditVerbs {
		verbs = append(verbs, string(v))
	}
	cmd.Flag("decision", "Only these decisions: act, would_act, blocked, recovered, quarantine, hold, manual and others "+
		"(repeatable).").NoEnvar().EnumsVar(&f.decisions, verbs...)
	cmd.Flag("action", "Only these actions: restart, reboot and others (repeatable).").NoEnvar().StringsVar(&f.actions)
	cmd.Flag("actor", "Only actions of this actor: healer, or user:NAME.").NoEnvar().StringVar(&f.actor)
	config.Flag(cmd, "last", "Only the last N records; 0 for all.", &last, config.Whole(0, 1e6)).NoEnvar().Default("0")
	output.Register(cmd)
	p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		d, err := data()
		if err != nil {
			return err
		}
		if !f.until.IsZero() && f.until.Before(f.since) {
			return errors.New("--until is before --since: want a time after it")
		}
		f.resolve(d.Dir)
		leader := leaderElsewhere(ctx, d.Dir)
		var lines [][]byte
		var records []healer.Audit
		torn, err := agent.EachAudit(d.Dir, func(line []byte, a *healer.Audit) bool {
			if !f.wants(a) {
				return true
			}
			lines, records = append(lines, slices.Clone(line)), append(records, *a)
			if last > 0 && len(records) > 2*last {
				lines, records = tail(lines, last), tail(records, last)
			}
			return true
		})
		if errors.Is(err, fs.ErrNotExist) && leader != "" {
			return fmt.Errorf("%w: %s", err, leader)
		} else if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w (name the data directory with --data-dir or --config.file)", err)
		} else if err != nil {
			return err
		}
		if err := f.check(p, stderr); err != nil {
			return err
		}
		if last > 0 {
			lines, records = tail(lines, last), tail(records, last)
		}
		if leader != "" {
			fmt.Fprintln(stderr, leader)
		}
		if torn > 0 {
			fmt.Fprintf(stderr, "%d torn lines left out\n", torn)
		}
		if output.JSON() { // as in the file
			for _, line := range lines {
				if _, err := fmt.Fprintf(stdout, "%s\n", line); err != nil {
					return err
				}
			}
			return nil
		}
		table := cli.Table{Head: []string{"TIME", "DRAGON", "DECISION", "STATE", "ACTION", "REASON", "ACTOR", "NOTE"}, Cell: 120}
		for i := range records {
			a := &records[i]
			table.Add(p.Time(a.At), subject(a), string(a.Decision), string(a.State), string(a.Action), string(a.Reason), a.Actor, note(a))
		}
		return output.Write(stdout, &table, nil)
	})
}

// leaderElsewhere says which instance leads, and thus writes the audit; empty: no other one that is known.
func leaderElsewhere(ctx context.Context, dir string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var s web.HealerAnswer
	err := cli.Connect("", dir).Call(ctx, http.MethodGet, "/api/v1/healer", nil, &s)
	if err != nil || s.Status == nil || !s.Standby || s.Leader == nil {
		return ""
	}
	return cli.Plain(fmt.Sprintf("instance %s leads, and its host has the newest records (%s)", s.Leader.ID, cmp.Or(s.Leader.URL, "no URL known")), 500)
}

// tail is the last n of a list, in memory of its own.
func tail[T any](list []T, n int) []T { return slices.Clone(list[max(0, len(list)-n):]) }

func parseMoment(s string) (time.Time, error) {
	if d, err := config.ParseInterval(s); err == nil {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, cli.TimeFormat, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04",
		time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("invalid time %q: want one like 2h, 2026-01-31, \"2026-01-31 15:04\" or 2026-01-31T15:04:05Z", s)
}

// resolve finds the MAC of the wanted dragon. Early records have neither worker nor address,
// so an address is looked up in the inventory.
func (f *auditFilter) resolve(dir string) {
	_, notAddress := netip.ParseAddrPort(f.dragon) // which can have twelve digits, too
	if mac, ok := dragon.ParseMAC(f.dragon); ok && notAddress != nil {
		f.mac = mac
		return
	}
	known, _ := fleet.Remembered(dir, nil) // without an inventory the records have to do
	for _, i := range known {
		if f.dragon != "" && (i.Worker == f.dragon || i.Address == f.dragon || i.IP == f.dragon) {
			f.mac = i.MAC
		}
	}
}

func (f *auditFilter) wants(a *healer.Audit) bool {
	about := f.dragon == "" || a.Worker == f.dragon || a.IP == f.dragon || a.MAC != "" && (a.MAC == f.mac || dragon.WorkerName(a.MAC) == f.dragon)
	did := len(f.actions) == 0 || slices.ContainsFunc(f.actions, func(action string) bool { return kindOf(action) == kindOf(string(a.Action)) })
	by := f.actor == "" || a.Actor == f.actor
	f.found.dragon, f.found.action, f.found.actor = f.found.dragon || about, f.found.action || did, f.found.actor || by
	return about && did && by &&
		(f.since.IsZero() || !a.At.Before(f.since)) &&
		(f.until.IsZero() || !a.At.After(f.until)) &&
		(len(f.decisions) == 0 || slices.Contains(f.decisions, string(a.Decision)))
}

// check refuses what is in no record and can be in none, as a typo is.
func (f *auditFilter) check(p *cli.Program, stderr io.Writer) error {
	if f.dragon != "" && f.mac == "" && !f.found.dragon {
		return fmt.Errorf("%w: %q; want a worker, MAC or address of the inventory or of a record", agent.ErrUnknownDragon, f.dragon)
	}
	for _, action := range f.actions {
		known := slices.Contains([]healer.Kind{healer.Restart, healer.Reboot, healer.Configure, healer.Upgrade}, kindOf(action)) ||
			p.GetCommand("dragon").GetCommand(action) != nil
		if !f.found.action && !known {
			return fmt.Errorf("no record has the action %q; want restart, reboot, configure, firmware, or a verb of the command dragon", action)
		}
	}
	if f.actor != "" && !f.found.actor {
		fmt.Fprintf(stderr, "no record has the actor %q; actors are healer, user:NAME and others: see the column ACTOR\n", cli.Plain(f.actor, 100))
	}
	return nil
}

// kindOf is the kind of an action. What people do with the command dragon has the name of its verb.
func kindOf(action string) healer.Kind {
	if action == "restart" {
		return healer.Restart
	}
	return healer.Kind(action)
}

// subject names the dragon of a record, or the part of the fleet that it is about.
func subject(a *healer.Audit) string {
	switch {
	case a.Worker != "":
		return a.Worker
	case a.MAC != "":
		return dragon.WorkerName(a.MAC)
	case a.Pool != "":
		return "pool " + a.Pool
	case a.Domain != "":
		return "site " + a.Domain
	}
	return "fleet"
}

// note is the note of a record, its error, or the gate that blocked it.
func note(a *healer.Audit) string {
	if a.Result != nil && a.Result.Error != "" {
		return a.Result.Error
	}
	if closed := healer.Closed(a.Gates); a.Decision == healer.Blocked && len(closed) > 0 {
		return string(closed[0].Name) + ": " + closed[0].Detail
	}
	return a.Note
}
