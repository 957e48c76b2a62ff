package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/datadir"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/gate"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

type planCall struct {
	program *cli.Program
	from    cli.InstanceFlags
	why     string
	at      time.Duration
	all     bool
	stdout  io.Writer
	stderr  io.Writer
}

func addPlan(program *cli.Program) {
	c := &planCall{program: program}
	cmd := program.Command("plan", "Show what the healer would do now, to which dragons, and why. It asks the running instance. Without one it uses "+
		"the state of the last instance and one look at the dragons. "+
		"With a --config.file that the instance does not run on, it shows what this file would change. It takes the flags of run, too. "+
		"The exit status is 0 if nothing waits, 2 if something would be done now, 3 if something waits for a gate, 1 after an error.")
	load := config.Register(cmd)
	c.from.Register(cmd)
	config.Flag(cmd, "why", "Everything about one dragon, with every gate: worker, MAC or address.", &c.why, config.Text).PlaceHolder("DRAGON")
	config.Flag(cmd, "at", "The plan after this time, such as +2h, if nothing else changes.", &c.at, parseAhead).PlaceHolder("+TIME")
	cmd.Flag("all", "List every dragon; otherwise dragons that wait for a rollout are grouped.").NoEnvar().BoolVar(&c.all)
	cli.HideFlagsOf(program.GetCommand("run"), cmd, "config.file", "data-dir")
	program.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		conf, err := load()
		if err != nil && !errors.Is(err, config.ErrNoTarget) {
			return err
		}
		c.stdout, c.stderr = stdout, stderr
		return c.run(ctx, conf)
	})
}

func (c *planCall) run(ctx context.Context, conf *config.Config) error {
	if conf.File != "" {
		if c.from.URL != "" {
			return errors.New("--url shows the plan by the rules of that instance, and --config.file what a file would change: want one of them")
		}
		x, err := compare(ctx, conf)
		switch {
		case errors.Is(err, cli.ErrNoInstance): // there is nothing to compare with
		case err != nil:
			return err
		case x.Empty():
		case c.why != "" || c.at != 0:
			return fmt.Errorf("--why and --at show the plan by the rules in force, and %s has others: leave out --config.file, or the other flag", conf.File)
		default:
			return showComparison(c.stdout, x, c.from.JSON())
		}
	}
	p, err := c.get(ctx, conf)
	if err != nil {
		return err
	}
	if c.at > 0 {
		ahead(p.Plan, c.at)
		p.ExitCode = p.Plan.ExitCode()
	}
	if err := c.show(p); err != nil {
		return err
	}
	if p.ExitCode != healer.ExitNothing {
		return cli.Exit(p.ExitCode)
	}
	return nil
}

// get asks the running instance, or makes a plan without one.
func (c *planCall) get(ctx context.Context, conf *config.Config) (web.PlanAnswer, error) {
	p := web.PlanAnswer{Plan: &healer.Plan{}}
	path := "/api/v1/plan"
	if c.why != "" {
		path += "?why=" + url.QueryEscape(c.why)
	}
	err := cli.Connect(c.from.URL, conf.DataDir).Call(ctx, http.MethodGet, path, nil, &p)
	if errors.Is(err, cli.ErrNoInstance) {
		if p, err = planOffline(ctx, conf, level.NewFilter(c.program.Logs.Logger(c.stderr), level.AllowError()), c.why); err == nil {
			fmt.Fprintf(c.stderr, "no instance runs on %s: this is one look at the dragons with the state of the last instance\n", conf.DataDir)
		}
	}
	return p, err
}

func (c *planCall) show(p web.PlanAnswer) error {
	if c.why != "" {
		d := p.Find(c.why)
		switch {
		case d == nil:
			return unknown(c.why)
		case c.from.JSON():
			return cli.WriteJSON(c.stdout, d)
		}
		explain.Dragon(c.stdout, p.Plan, d)
		return nil
	}
	if !c.from.Table() {
		return c.from.Write(c.stdout, planTable(p.Plan), p)
	}
	if c.at > 0 {
		fmt.Fprintf(c.stdout, "in %s, if nothing else changes:\n", config.Span(c.at))
	}
	fmt.Fprintf(c.stdout, "mode=%s ", cmp.Or(p.Mode, "none"))
	return explain.Plan(c.stdout, p.Plan, explain.Layout{All: c.all, Width: cli.Width(c.stdout)})
}

// planTable is the plan's dragons as a list.
func planTable(p *healer.Plan) *cli.Table {
	t := &cli.Table{Head: []string{"WORKER", "MAC", "NAME", "LABELS", "MODEL", "SITE", "STATE", "REASON", "EVIDENCE", "DECISION", "ACTION", "BLOCKED BY", "NOTE"}}
	for i := range p.Dragons {
		d := &p.Dragons[i]
		t.Add(d.Worker, d.MAC, d.Name, labelText(d.Labels), d.Model, d.Domain, string(d.State), string(d.Reason), explain.Evidence(d),
			string(d.Verb), string(d.Kind), string(d.Blocked), d.Note)
	}
	return t
}

// labelText is labels as one cell: owner=x rack=a12.
func labelText(labels map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, name+"="+labels[name])
	}
	return strings.Join(words, " ")
}

// compare asks the running instance to compare the policy of the file with its own.
func compare(ctx context.Context, c *config.Config) (*healer.Comparison, error) {
	file, err := config.ReadFile(c.File)
	if err != nil {
		return nil, err
	}
	var x healer.Comparison
	return &x, cli.Connect("", c.DataDir).Call(ctx, http.MethodPost, "/api/v1/plan/compare", web.CompareRequest{File: string(file)}, &x)
}

func showComparison(w io.Writer, x *healer.Comparison, asJSON bool) error {
	show := func(w io.Writer) error { return explain.Comparison(w, x) }
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
	return fmt.Errorf("%w: %q; want a worker, MAC or address of the plan", agent.ErrUnknownDragon, target)
}

// ahead changes the plan to what it would be after d, if nothing else changes: gates that
// will have opened by then are open. It is an estimate: the first action spends budgets that
// the next one needs.
func ahead(p *healer.Plan, d time.Duration) {
	p.At, p.Wall = p.At.Add(d), p.Wall.Add(d)
	p.Pauses = slices.DeleteFunc(p.Pauses, func(x healer.Pause) bool { return !x.UntilResume && x.Until <= p.At })
	for i := range p.Dragons {
		x := &p.Dragons[i]
		if x.Verb != healer.Blocked {
			continue
		}
		gates := slices.Clone(x.Gates)
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

func planOffline(ctx context.Context, c *config.Config, logger log.Logger, why string) (web.PlanAnswer, error) {
	// The fleet gets a copy of the inventory, since it writes to it and this command must not.
	inventory, err := datadir.ReadFile(filepath.Join(c.DataDir, fleet.InventoryName))
	if errors.Is(err, fs.ErrNotExist) {
		return web.PlanAnswer{}, fmt.Errorf("%s has no inventory of dragons: name the data directory with --data-dir or --config.file, or an instance "+
			"with --url", c.DataDir)
	} else if err != nil {
		return web.PlanAnswer{}, err
	}
	if _, err := fleet.Remembered(c.DataDir, nil); err != nil { // which the fleet would set aside, and plan for none
		return web.PlanAnswer{}, err
	}
	dir, err := os.MkdirTemp("", cli.Name+"-plan-")
	if err != nil {
		return web.PlanAnswer{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, fleet.InventoryName), inventory, 0o600); err != nil {
		return web.PlanAnswer{}, err
	}
	var dragons *fleet.Fleet // set before the first login
	dragons, err = fleet.Open(fleet.Config{
		Dir: dir,
		Client: dragon.Options{CredentialsFor: app.CredentialsFor(&dragons, passwords.Reader(c.DataDir), func() *config.Config { return c }),
			Transport: app.NewTransport(), Timeout: c.Scrape.DragonTimeout},
		Site:   c.Sites.Of,
		Labels: c.LabelsOf,
		Logger: logger,
	})
	if err != nil {
		return web.PlanAnswer{}, err
	}
	running, stop := context.WithCancel(ctx)
	var lanes sync.WaitGroup
	lanes.Go(func() { _ = dragons.Run(running) })
	defer lanes.Wait()
	defer stop()
	p, err := agent.PlanOffline(ctx, agent.Config{
		Fleet: dragons, Dir: c.DataDir, Policy: c.Healing.Policy, ExternalGate: gate.New().Ask, ProbeGateway: gate.Answers, Logger: logger,
		ReadState: app.ReadState(c),
	}, why)
	if err != nil {
		return web.PlanAnswer{}, err
	}
	return web.PlanAnswer{Mode: "offline", ExitCode: p.ExitCode(), Plan: p}, nil
}
