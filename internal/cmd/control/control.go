// Package control has the command healer, which controls the healer of a running instance.
package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// Add adds the command healer with its subcommands.
func Add(p *cli.Program) {
	parent := p.Command("healer", "Control the healer of the running instance. It shows the status, pauses, releases, acknowledges, restarts and reboots.")
	f := &family{CmdClause: parent, program: p, control: p.Control(parent)}
	f.control.Advice = "; without an instance nothing is healed"

	f.add("status", "Show the healer's status: mode, preconditions, budgets, breakers, pauses.", (*call).status)
	f.add("pause", "Pause the healer for part of the fleet. It takes effect within a second.", (*call).pause, scopeFlags, durationFlags, reasonFlag,
		forceScopeFlag)
	f.add("maintenance", "Pause the healer and silence the alerts for part of the fleet. Its dragons do not count as sick.", (*call).pause, scopeFlags,
		durationFlags, reasonFlag, forceScopeFlag)
	f.add("curtailment", "Give part of the fleet another autotune mode for a while, by a rollout, and then the one it had.", (*call).pause, scopeFlags,
		durationFlags, reasonFlag, forceScopeFlag, func(cmd *kingpin.CmdClause, r *request) {
			config.Flag(cmd, "autotune", "The mode: efficient, balanced, factory or performance, and on Innosilicon a level from 0 to 4, as in balanced:2.",
				&r.Autotune, func(s string) (string, error) {
					_, err := dragon.ParseAutoTune(s)
					return s, err
				}).NoEnvar().Default("efficient")
		})
	f.add("resume", "End pauses, maintenances or curtailments.", (*call).resume, func(cmd *kingpin.CmdClause, r *request) {
		cmd.Arg("id", "The IDs that status shows; all for all, but retired dragons stay so.").Required().StringsVar(&r.targets)
	})
	f.add("quarantine", "Exclude dragons from healing until they are released.", (*call).each, dragonArgs, reasonFlag)
	f.add("release", "End the quarantine of dragons.", (*call).each, dragonArgs)
	f.add("ack", "Close a breaker after you have looked into it.", (*call).ack, func(cmd *kingpin.CmdClause, r *request) {
		cmd.Arg("breaker", "Its name, as status shows it; also safe_mode, recovered_state, and config for a dragon that is stuck or in "+
			"conflict.").Required().StringVar(&r.Breaker)
		cmd.Arg("scope", "Its scope, as status shows it.").StringVar(&r.Scope)
	})
	f.add("pace", "Make a rollout of pools or autotune modes fast, within the limits that are compiled in, or normal again.", (*call).pace,
		func(cmd *kingpin.CmdClause, r *request) {
			cmd.Arg("rollout", "Its ID, as plan shows it, such as r3.").Required().StringVar(&r.ID)
			cmd.Arg("pace", "fast or normal.").Required().EnumVar(&r.Pace, "fast", "normal")
		})
	f.add("restart", "Restart the miner process of dragons, within the healer's limits.", (*call).each, dragonArgs, reasonFlag, writeFlags)
	f.add("reboot", "Reboot dragons, within the healer's limits.", (*call).each, dragonArgs, reasonFlag, writeFlags)
}

// family is the command healer.
type family struct {
	*kingpin.CmdClause
	program *cli.Program
	control *cli.Control
}

type call struct {
	*family
	*cli.Session
	*request
	verb string
}

func (f *family) add(verb, help string, do func(*call, context.Context) error, flags ...func(*kingpin.CmdClause, *request)) {
	cmd := f.Command(verb, help)
	r := &request{}
	for _, add := range flags {
		add(cmd, r)
	}
	f.control.Add(cmd, func(ctx context.Context, c *cli.Session) error {
		r.Owner = c.Owner
		return do(&call{f, c, r, verb}, ctx)
	})
}

type request struct {
	web.Request
	targets []string
	yes     bool
	forSet  bool
}

func reasonFlag(cmd *kingpin.CmdClause, r *request) {
	cmd.Flag("reason", "Why, for others and for the audit log.").NoEnvar().Required().StringVar(&r.Reason)
}

func scopeFlags(cmd *kingpin.CmdClause, r *request) {
	config.Flag(cmd, "scope", "The part of the fleet: fleet, site=NAME, pool=URL, model=NAME, firmware=VERSION, label=NAME=VALUE, "+
		"worker=NAME or mac=MAC.", &r.Scope, func(s string) (kind string, err error) {
		kind, r.Value, err = parseScope(s)
		return kind, err
	}).NoEnvar().Required().PlaceHolder("SCOPE")
}

func forceScopeFlag(cmd *kingpin.CmdClause, r *request) {
	cmd.Flag("force", "Also for a site, pool, model, firmware or label that no known dragon has yet.").NoEnvar().BoolVar(&r.Force)
}

// parseScope parses fleet, model=T1 and the like.
func parseScope(s string) (kind, value string, err error) {
	if label, ok := strings.CutPrefix(s, "label:"); ok {
		s = "label=" + label
	}
	kind, value, _ = strings.Cut(s, "=")
	switch kind {
	case "all":
		kind = "fleet"
	case "domain": // as the API called a site
		kind = "site"
	}
	if !slices.Contains([]string{"fleet", "site", "pool", "model", "firmware", "label", "worker", "mac"}, kind) || (kind == "fleet") != (value == "") {
		return "", "", fmt.Errorf("invalid value %q: want fleet, or site=, pool=, model=, firmware=, label=NAME=, worker= or mac= with a value", s)
	}
	return kind, value, nil
}

func durationFlags(cmd *kingpin.CmdClause, r *request) {
	config.Flag(cmd, "for", "How long: 30m, 4h, 2d; at most 7d.", &r.For, func(s string) (string, error) {
		d, err := config.ParseInterval(s)
		return d.String(), err
	}).NoEnvar().Default("4h").IsSetByUser(&r.forSet)
	cmd.Flag("until-resume", "Until someone resumes it.").NoEnvar().BoolVar(&r.UntilResume)
}

func dragonArgs(cmd *kingpin.CmdClause, r *request) {
	cmd.Arg("dragon", "Worker, MAC or address.").Required().StringsVar(&r.targets)
}

func writeFlags(cmd *kingpin.CmdClause, r *request) {
	cmd.Flag("yes", "Do not ask for confirmation.").NoEnvar().BoolVar(&r.yes)
	cmd.Flag("force", "Ignore pauses, breakers and budgets, but not identity, the limits per dragon, or STOP.").NoEnvar().BoolVar(&r.Force)
}

// post sends the request and prints the result.
func post[T any](ctx context.Context, c *call, describe func(T) string) error {
	return cli.Change(ctx, c.Session, "/api/v1/healer/"+c.verb, &c.Request, describe)
}

func (c *call) pause(ctx context.Context) error {
	if c.UntilResume {
		if c.forSet {
			return errors.New("--for and --until-resume exclude each other: want one of them")
		}
		c.For = ""
	}
	return post(ctx, c, func(p web.PauseAnswer) string { return c.describe(&p) + "; end it with: healer resume " + p.ID })
}

// describe is a pause in words.
func (f *family) describe(p *web.PauseAnswer) string {
	end := "until resumed"
	if p.Ends != nil {
		end = "until " + f.program.Time(*p.Ends)
	}
	return fmt.Sprintf("%s %s of %s %s by %s: %s", p.InWords(), p.ID, scope(p.Scope, p.Value), end, cli.Plain(p.Owner, 100), cli.Plain(p.Reason, 500))
}

// scope is the scope of a pause or breaker in words.
func scope(kind, value string) string {
	if kind == "domain" {
		kind = "site"
	}
	return strings.TrimSpace(kind + " " + cli.Plain(value, 200))
}

func (c *call) resume(ctx context.Context) error {
	if slices.Equal(c.targets, []string{"all"}) {
		var s web.HealerAnswer
		if err := c.Instance.Call(ctx, http.MethodGet, "/api/v1/healer", nil, &s); err != nil {
			return err
		}
		c.targets = nil
		for _, p := range s.Pauses {
			if !p.Retired { // inventory unretire ends that
				c.targets = append(c.targets, p.ID)
			}
		}
		if len(c.targets) == 0 {
			fmt.Fprintln(c.Stderr, "nothing is paused")
		}
	}
	for _, id := range c.targets {
		c.ID = id
		if err := post(ctx, c, func(id string) string { return "resumed " + id }); err != nil {
			return err
		}
	}
	return nil
}

// each sends the request for every named dragon, also after one has failed.
func (c *call) each(ctx context.Context) error {
	if (c.verb == "reboot" || c.verb == "restart") && !c.yes {
		question := c.verb + " " + strings.Join(c.targets, ", ")
		if err := cli.Agree(ctx, c.Stderr, question, c.verb+" interrupts mining; confirm it with --yes"); err != nil {
			return err
		}
	}
	var failed []error
	for _, target := range c.targets {
		c.Dragon = target
		if err := c.one(ctx, target); errors.Is(err, cli.ErrNoInstance) {
			return err
		} else if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", target, err))
		}
	}
	return errors.Join(failed...)
}

func (c *call) one(ctx context.Context, target string) error {
	switch c.verb {
	case "restart", "reboot":
		return post(ctx, c, func(a healer.Action) string {
			return fmt.Sprintf("%s: %s %s, action %s; plan shows the outcome", target, a.Kind, cmp.Or(string(a.Result), "sent"), a.ID)
		})
	case "quarantine":
		return post(ctx, c, func(string) string { return target + ": quarantined; end it with: healer release " + target })
	}
	return post(ctx, c, func(string) string { return target + ": released" })
}

func (c *call) ack(ctx context.Context) error {
	return post(ctx, c, func(what string) string { return "acknowledged " + what })
}

func (c *call) pace(ctx context.Context) error {
	return post(ctx, c, func(id string) string { return id + ": pace " + c.Pace + "; plan shows the time left" })
}
