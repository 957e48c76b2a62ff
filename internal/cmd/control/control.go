// Package control has the command healer: it talks to the healer of a running instance.
package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// Add adds the healer command with its verbs.
func Add(p *cli.Program) {
	parent := p.Command("healer", "Talk to the healer of the running instance.")
	var at cli.InstanceFlags
	at.Register(parent)
	dir := config.RegisterDataDir(parent)
	var owner string
	config.Flag(parent, "owner", "Who wants it; not set: your name.", &owner, config.Text).PlaceHolder("NAME")

	add := func(verb, help string, do func(*errand, context.Context) error, flags ...func(*kingpin.CmdClause, *wish)) {
		cmd := parent.Command(verb, help)
		w := &wish{}
		for _, f := range flags {
			f(cmd, w)
		}
		p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
			d, err := dir()
			if err != nil && at.URL == "" {
				return err
			}
			w.Owner = cmp.Or(owner, cli.UserName())
			err = do(&errand{cli.Connect(at.URL, d), w, verb, at.JSON, stdout, stderr}, ctx)
			if errors.Is(err, cli.ErrNoInstance) {
				err = fmt.Errorf("%w; name its data directory with --data-dir or --config.file, or its address with --url; "+
					"where none runs, nothing is healed", err)
			}
			return err
		})
	}
	add("status", "Show what the healer is at.", (*errand).status)
	add("pause", "Keep the healer's hands off a part of the fleet, within a second.", (*errand).hold, scopeFlags, holdFlags, reasonFlag)
	add("maintenance", "The same, and the dragons do not count as sick, and their alerts are muted.", (*errand).hold, scopeFlags, holdFlags, reasonFlag)
	add("resume", "End pauses or maintenances.", (*errand).resume, func(cmd *kingpin.CmdClause, w *wish) {
		cmd.Arg("id", "Which, as status shows them; all for all.").Required().StringsVar(&w.targets)
	})
	add("quarantine", "Take dragons out of the healer's hands until they are released.", (*errand).each, dragonArgs, reasonFlag)
	add("release", "Put dragons back into the healer's hands.", (*errand).each, dragonArgs)
	add("ack", "Close a breaker that you have looked into.", (*errand).ack, func(cmd *kingpin.CmdClause, w *wish) {
		cmd.Arg("breaker", "Its name, as status shows it; also safe_mode, recovered_state, and config for what is stuck or in conflict on a dragon.").Required().StringVar(&w.Breaker)
		cmd.Arg("scope", "What it is for, as status shows it.").StringVar(&w.Scope)
	})
	add("restart", "Restart the mining process of dragons, within the healer's limits.", (*errand).each, dragonArgs, reasonFlag, writeFlags)
	add("reboot", "Reboot dragons, within the healer's limits.", (*errand).each, dragonArgs, reasonFlag, writeFlags)
}

// wish is what a verb asks for, as the API takes it.
type wish struct {
	Scope       string `json:"scope,omitempty"`
	Value       string `json:"value,omitempty"`
	Dragon      string `json:"dragon,omitempty"`
	ID          string `json:"id,omitempty"`
	Breaker     string `json:"breaker,omitempty"`
	For         string `json:"for,omitempty"`
	UntilResume bool   `json:"until_resume,omitempty"`
	Force       bool   `json:"force,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Owner       string `json:"owner"`

	targets []string
	yes     bool
}

func reasonFlag(cmd *kingpin.CmdClause, w *wish) {
	cmd.Flag("reason", "Why, for the others and for the audit.").NoEnvar().Required().StringVar(&w.Reason)
}

func scopeFlags(cmd *kingpin.CmdClause, w *wish) {
	clause := cmd.Flag("scope", "What: fleet, or domain=, pool=, model= or mac= with a value. A domain is a site.").NoEnvar().Required().PlaceHolder("SCOPE")
	clause.SetValue(scopeValue{w})
}

// scopeValue reads fleet, or model=T1 and its like.
type scopeValue struct{ w *wish }

func (v scopeValue) String() string { return "" }

func (v scopeValue) Set(s string) error {
	kind, value, _ := strings.Cut(s, "=")
	if kind == "all" {
		kind = "fleet"
	}
	if !slices.Contains([]string{"fleet", "domain", "pool", "model", "mac"}, kind) || (kind == "fleet") != (value == "") {
		return fmt.Errorf("--scope: %q will not do: want fleet, or domain=, pool=, model= or mac= with a value", s)
	}
	v.w.Scope, v.w.Value = kind, value
	return nil
}

func holdFlags(cmd *kingpin.CmdClause, w *wish) {
	config.Flag(cmd, "for", "How long, at most a week.", &w.For, func(s string) (string, error) {
		d, err := config.ParseInterval(s)
		return d.String(), err
	}).NoEnvar().Default("4h")
	cmd.Flag("until-resume", "Until somebody resumes it.").NoEnvar().BoolVar(&w.UntilResume)
}

func dragonArgs(cmd *kingpin.CmdClause, w *wish) {
	cmd.Arg("dragon", "Worker, MAC or address.").Required().StringsVar(&w.targets)
}

func writeFlags(cmd *kingpin.CmdClause, w *wish) {
	cmd.Flag("yes", "Do not ask.").NoEnvar().BoolVar(&w.yes)
	cmd.Flag("force", "Overrule pauses, breakers and budgets; never identity, the limits per dragon, or STOP.").NoEnvar().BoolVar(&w.Force)
}

// errand carries out one verb.
type errand struct {
	*cli.Instance
	*wish
	verb           string
	json           bool
	stdout, stderr io.Writer
}

// post sends the wish, and shows what came of it.
func post[T any](ctx context.Context, v *errand, show func(T) string) error {
	var raw json.RawMessage
	if err := v.Call(ctx, http.MethodPost, "/api/v1/healer/"+v.verb, v.wish, &raw); err != nil {
		return err
	}
	var d cli.Done[T]
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("%s: the answer is not what was expected: %w", v.Where, err)
	}
	if d.Warning != "" {
		fmt.Fprintln(v.stderr, "warning:", cli.Plain(d.Warning, 1000))
	}
	if v.json {
		_, err := v.stdout.Write(raw)
		return err
	}
	fmt.Fprintln(v.stdout, show(d.Result))
	return nil
}

func (v *errand) hold(ctx context.Context) error {
	if v.UntilResume {
		v.For = ""
	}
	return post(ctx, v, func(p web.PauseAnswer) string { return describePause(&p) + "; end it with: healer resume " + p.ID })
}

func describePause(p *web.PauseAnswer) string {
	end := "until resumed"
	if p.Ends != nil {
		end = "until " + p.Ends.Local().Format("2006-01-02 15:04 MST")
	}
	return fmt.Sprintf("%s %s of %s %s by %s: %s", p.Kind, p.ID, strings.TrimSpace(p.Scope+" "+cli.Plain(p.Value, 100)), end, cli.Plain(p.Owner, 100), cli.Plain(p.Reason, 500))
}

func (v *errand) resume(ctx context.Context) error {
	if slices.Equal(v.targets, []string{"all"}) {
		var s web.HealerAnswer
		if err := v.Call(ctx, http.MethodGet, "/api/v1/healer", nil, &s); err != nil {
			return err
		}
		v.targets = nil
		for _, p := range s.Pauses {
			v.targets = append(v.targets, p.ID)
		}
		if len(v.targets) == 0 {
			fmt.Fprintln(v.stderr, "nothing is paused")
		}
	}
	for _, id := range v.targets {
		v.ID = id
		if err := post(ctx, v, func(id string) string { return "resumed " + id }); err != nil {
			return err
		}
	}
	return nil
}

// each asks for the same for every dragon that was named. One that fails does not keep
// it from the others.
func (v *errand) each(ctx context.Context) error {
	if v.verb == "reboot" || v.verb == "restart" {
		if !v.yes {
			if err := cli.Agree(ctx, v.stderr, v.verb+" "+strings.Join(v.targets, ", "), v.verb+" makes dragons stop mining for a while; say --yes"); err != nil {
				return err
			}
		}
	}
	var failed []error
	for _, target := range v.targets {
		v.Dragon = target
		if err := v.one(ctx, target); errors.Is(err, cli.ErrNoInstance) {
			return err
		} else if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", target, err))
		}
	}
	return errors.Join(failed...)
}

func (v *errand) one(ctx context.Context, target string) error {
	switch v.verb {
	case "restart", "reboot":
		return post(ctx, v, func(a healer.Action) string {
			return fmt.Sprintf("%s: %s %s, action %s; plan shows what comes of it", target, a.Kind, cmp.Or(string(a.Result), "sent"), a.ID)
		})
	case "quarantine":
		return post(ctx, v, func(string) string { return target + ": quarantined; end it with: healer release " + target })
	}
	return post(ctx, v, func(string) string { return target + ": released" })
}

func (v *errand) ack(ctx context.Context) error {
	return post(ctx, v, func(what string) string { return "acknowledged " + what })
}

func (v *errand) status(ctx context.Context) error {
	if v.json {
		var raw json.RawMessage
		if err := v.Call(ctx, http.MethodGet, "/api/v1/healer", nil, &raw); err != nil {
			return err
		}
		_, err := v.stdout.Write(raw)
		return err
	}
	var s web.HealerAnswer
	if err := v.Call(ctx, http.MethodGet, "/api/v1/healer", nil, &s); err != nil {
		return err
	}
	return showStatus(v.stdout, &s)
}

func showStatus(w io.Writer, s *web.HealerAnswer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	if s.Status == nil {
		return errors.New("the answer is not what was expected: it has no status")
	}
	row("mode", "%s", s.Mode)
	for _, x := range []struct {
		is   bool
		says string
	}{
		{s.Stop, "the STOP file is there: nothing is sent"},
		{!s.Owner, "another process owns the state: this one only observes"},
		{s.Owner && !s.Writable, "the state cannot be written: nothing is sent"},
		{s.Error != "", cli.Plain(s.Error, 500)},
		{s.Recovered != "", cli.Plain(s.Recovered, 500)},
		{!s.ClockTrusted, "the clock is not trusted yet: nothing is sent"},
	} {
		if x.is {
			row("", "%s", x.says)
		}
	}
	row("last look", "%s", s.LastCycle.Local().Format(time.DateTime))
	var states []string
	for _, state := range healer.States {
		if n := s.Counts.States[state]; n > 0 {
			states = append(states, fmt.Sprintf("%d %s", n, state))
		}
	}
	row("dragons", "%s", cmp.Or(strings.Join(states, ", "), "none"))
	for _, b := range s.Budgets {
		window := "under way"
		if b.Window > 0 {
			window = "in " + config.Span(time.Duration(b.Window))
		}
		row("budget", "%s %s: %d of %d", cli.Plain(b.Scope, 100), window, b.Used, b.Limit)
	}
	for _, b := range s.Breakers {
		row("breaker", "%s: %s: %s", strings.TrimSpace(b.Name+" "+cli.Plain(b.Scope, 200)), b.State, cli.Plain(b.Detail, 500))
	}
	for i := range s.Pauses {
		row("hold", "%s", describePause(&s.Pauses[i]))
	}
	for i := range s.Apart {
		d := &s.Apart[i]
		row(string(d.State), "%s %s %s", cli.Plain(d.Worker, 100), d.MAC, cli.Plain(d.Note, 500))
	}
	return t.Flush()
}
