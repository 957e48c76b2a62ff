package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/gate"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

func addPlan(program *cli.Program) {
	cmd := program.Command("plan", "Show what the healer would do now, to whom, and why. It asks the running instance; where none runs, it looks at what the last one left and at the known dragons itself. "+
		"With a --config.file that the instance does not run on, it shows what that would change: who would become sick, and whose decision differs. "+
		"The exit status is 0 for nothing, 2 if something would be done, 3 if a breaker is in the way, 1 after an error.")
	load := config.Register(cmd)
	var from cli.InstanceFlags
	from.Register(cmd)
	var why string
	config.Flag(cmd, "why", "Everything about one dragon: worker, MAC or address.", &why, config.Text).PlaceHolder("DRAGON")
	var at time.Duration
	config.Flag(cmd, "at", "The plan as it would stand after so long, such as +2h, if nothing but time changes: what is held until then is free.", &at, parseAhead).PlaceHolder("+TIME")
	cli.HideFlagsOf(program.GetCommand("run"), cmd, "config.file", "data-dir")
	program.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		c, err := load()
		if err != nil && !errors.Is(err, config.ErrNoTarget) {
			return err
		}
		p := web.PlanAnswer{Plan: &healer.Plan{}}
		path := "/api/v1/plan"
		if why != "" {
			path += "?why=" + url.QueryEscape(why)
		}
		if c.File != "" && from.URL == "" && why == "" && at == 0 {
			x, err := compare(ctx, c)
			switch {
			case errors.Is(err, cli.ErrNoInstance): // nobody has anything to compare with
			case err != nil:
				return err
			case !x.Empty():
				return showComparison(stdout, x, from.JSON())
			}
		}
		err = cli.Connect(from.URL, c.DataDir).Call(ctx, http.MethodGet, path, nil, &p)
		if errors.Is(err, cli.ErrNoInstance) {
			if p, err = planOffline(ctx, c, level.NewFilter(program.Logs.Logger(stderr), level.AllowError())); err == nil {
				fmt.Fprintf(stderr, "no instance runs on %s: this is one look at the dragons, and what the last instance left\n", c.DataDir)
			}
		}
		if err != nil {
			return err
		}
		if at > 0 {
			ahead(p.Plan, at)
			p.ExitCode = p.Plan.ExitCode()
		}
		switch {
		case from.JSON() && why != "":
			d := find(p.Plan, why)
			if d == nil {
				return unknown(why)
			}
			err = cli.WriteJSON(stdout, d)
		case from.JSON():
			err = cli.WriteJSON(stdout, p)
		case why != "":
			d := find(p.Plan, why)
			if d == nil || !p.Why(stdout, d.MAC) {
				return unknown(why)
			}
		default:
			if at > 0 {
				fmt.Fprintf(stdout, "in %s, if nothing but time changes:\n", config.Span(at))
			}
			fmt.Fprintf(stdout, "mode=%s ", cmp.Or(p.Mode, "none"))
			err = p.Render(stdout)
		}
		if err == nil && p.ExitCode != healer.ExitNothing {
			err = cli.Exit(p.ExitCode)
		}
		return err
	})
}

// compare has the running instance compare the policy of our file with the one in force.
func compare(ctx context.Context, c *config.Config) (*healer.Comparison, error) {
	file, err := config.ReadFile(c.File)
	if err != nil {
		return nil, err
	}
	var x healer.Comparison
	return &x, cli.Connect("", c.DataDir).Call(ctx, http.MethodPost, "/api/v1/plan/compare", web.CompareRequest{File: string(file)}, &x)
}

func showComparison(w io.Writer, x *healer.Comparison, asJSON bool) error {
	show := x.Render
	if asJSON {
		show = func(w io.Writer) error { return cli.WriteJSON(w, x) }
	}
	err := show(w)
	if code := x.ExitCode(); err == nil && code != healer.ExitNothing {
		err = cli.Exit(code)
	}
	return err
}

func parseAhead(s string) (time.Duration, error) {
	if len(s) > 0 && s[0] == '+' {
		s = s[1:]
	}
	return config.ParseInterval(s)
}

func unknown(target string) error {
	return fmt.Errorf("%w: %q; want a worker, MAC or address that the plan has", agent.ErrUnknownDragon, target)
}

func find(p *healer.Plan, target string) *healer.Decision {
	mac, _ := dragon.ParseMAC(target)
	i := slices.IndexFunc(p.Dragons, func(d healer.Decision) bool {
		return d.Worker == target || d.Address == target || mac != "" && d.MAC == mac
	})
	if i < 0 {
		return nil
	}
	return &p.Dragons[i]
}

// ahead makes the plan what it would be after d, if nothing but time changed: the
// gates that know when they open are open if that is within d. It is an outlook, not a
// promise: what is done first spends budgets that the next one needs.
func ahead(p *healer.Plan, d time.Duration) {
	p.At, p.Wall = p.At.Add(d), p.Wall.Add(d)
	p.Pauses = slices.DeleteFunc(p.Pauses, func(x healer.Pause) bool { return !x.UntilResume && x.Until <= p.At })
	for i := range p.Dragons {
		x := &p.Dragons[i]
		if x.Verb != healer.Blocked {
			continue
		}
		gates := slices.Clone(x.Gates) // they are shared with nobody else then
		x.Blocked, x.In = "", healer.Until{Known: true}
		for j := range gates {
			g := &gates[j]
			if g.Open {
				continue
			}
			if g.Wait.Known && time.Duration(g.Wait.For) <= d {
				g.Open, g.Wait = true, healer.Until{}
				continue
			}
			g.Wait.For -= min(g.Wait.For, healer.Span(d))
			if x.Blocked == "" {
				x.Blocked = g.Name
			}
			x.In = healer.Until{For: max(x.In.For, g.Wait.For), Known: x.In.Known && g.Wait.Known}
		}
		x.Gates = gates
		if x.Blocked == "" {
			x.Verb = healer.WouldAct
		}
	}
}

// planOffline makes a plan without an instance.
func planOffline(ctx context.Context, c *config.Config, logger log.Logger) (web.PlanAnswer, error) {
	// The fleet gets a copy of the inventory: it writes what it learns, and this
	// command is to leave no trace.
	inventory, err := os.ReadFile(filepath.Join(c.DataDir, fleet.InventoryName))
	if errors.Is(err, fs.ErrNotExist) {
		return web.PlanAnswer{}, fmt.Errorf("%s has no inventory of dragons: name the data directory of an instance with --data-dir or --config.file, or its address with --url", c.DataDir)
	} else if err != nil {
		return web.PlanAnswer{}, err
	}
	dir, err := os.MkdirTemp("", cli.Name+"-plan-")
	if err != nil {
		return web.PlanAnswer{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, fleet.InventoryName), inventory, 0o600); err != nil { //nolint:gosec // the directory is ours, the name fixed
		return web.PlanAnswer{}, err
	}
	var dragons *fleet.Fleet // there before the first login
	dragons, err = fleet.Open(fleet.Config{
		Dir: dir,
		Client: dragon.Options{CredentialsFor: app.CredentialsFor(&dragons, passwords.Reader(c.DataDir), func() *config.Config { return c }),
			Transport: app.NewTransport(), Timeout: c.Scrape.DragonTimeout},
		Site:   c.Sites.Of,
		Logger: logger,
	})
	if err != nil {
		return web.PlanAnswer{}, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = dragons.Run(running)
	}()
	defer func() {
		stop()
		<-ended
	}()
	p, err := agent.PlanOffline(ctx, agent.Config{
		Fleet: dragons, Dir: c.DataDir, Policy: c.Healing.Policy, Outside: gate.New().Ask, Answers: gate.Answers, Logger: logger,
	})
	if err != nil {
		return web.PlanAnswer{}, err
	}
	return web.PlanAnswer{Mode: "offline", ExitCode: p.ExitCode(), Plan: p}, nil
}
