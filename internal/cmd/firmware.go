package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// firmwareCall is one run of a subcommand with its request to the API.
type firmwareCall struct {
	*cli.Session
	web.Request
	yes     bool
	program *cli.Program
}

func addFirmware(p *cli.Program) {
	parent := p.Command("firmware", "Show the firmware of the fleet and run rollouts. It asks the running instance.")
	control := p.Control(parent)
	rollout := parent.Command("rollout", "Roll out firmware: one dragon first, then wave by wave.")

	add := func(cmd *kingpin.CmdClause, do func(*firmwareCall, context.Context) error, flags ...func(*kingpin.CmdClause, *firmwareCall)) {
		c := &firmwareCall{program: p}
		for _, f := range flags {
			f(cmd, c)
		}
		control.Add(cmd, func(ctx context.Context, s *cli.Session) error {
			c.Session, c.Request.Owner = s, s.Owner
			return do(c, ctx)
		})
	}
	id := func(cmd *kingpin.CmdClause, c *firmwareCall) {
		cmd.Arg("rollout", "The ID that status shows.").Required().StringVar(&c.ID)
	}
	reason := func(cmd *kingpin.CmdClause, c *firmwareCall) {
		cmd.Flag("reason", "Why, for others and for the audit log.").NoEnvar().Required().StringVar(&c.Reason)
	}
	add(parent.Command("list", "List what the dragons run and which images are available."), (*firmwareCall).list)
	add(rollout.Command("start", "Start a rollout."), (*firmwareCall).start, reason, func(cmd *kingpin.CmdClause, c *firmwareCall) {
		cmd.Arg("version", "The version to install; latest for the newest available.").Required().StringVar(&c.Version)
		cmd.Flag("model", "Model of the dragons.").NoEnvar().Required().StringVar(&c.Model)
		cmd.Flag("hwver", "Hardware version of the dragons, such as g19, if the model has several.").NoEnvar().StringVar(&c.HWVer)
		cmd.Flag("from", "Only dragons that run this version (repeatable).").NoEnvar().PlaceHolder("VERSION").StringsVar(&c.From)
		cmd.Flag("allow-downgrade", "Include dragons that run a newer version.").NoEnvar().BoolVar(&c.AllowDowngrade)
		cmd.Flag("yes", "Do not ask for confirmation.").NoEnvar().BoolVar(&c.yes)
	})
	for _, v := range []struct{ verb, help string }{
		{"pause", "Start no further upgrades; those in progress are watched to their end."},
		{"resume", "Continue a paused rollout."},
		{"abort", "End a rollout for good."},
	} {
		add(rollout.Command(v.verb, v.help), func(c *firmwareCall, ctx context.Context) error { return c.change(ctx, v.verb) }, id, reason)
	}
	add(rollout.Command("status", "Show the progress of the rollouts."), (*firmwareCall).status, func(cmd *kingpin.CmdClause, c *firmwareCall) {
		cmd.Arg("rollout", "Only this rollout, with its dragons.").StringVar(&c.ID)
	})
}

func (c *firmwareCall) list(ctx context.Context) error {
	a, err := cli.Get[web.FirmwaresAnswer](ctx, c.Session, "/api/v1/firmware")
	if a == nil {
		return err
	}
	running := cli.Table{Head: []string{"MODEL", "HARDWARE", "VERSION", "DRAGONS"}}
	for _, r := range a.Running {
		running.Add(r.Model, r.HWVer, r.Version, fmt.Sprint(r.Dragons))
	}
	images := cli.Table{Head: []string{"IMAGE", "HARDWARE", "SHA-256", "MB", "FROM"}, Cell: 200}
	for _, x := range a.Images {
		images.Add(x.Version, x.HWVer, fmt.Sprintf("%.12s", x.SHA256), fmt.Sprintf("%.1f", float64(x.Size)/1e6), x.Origin)
	}
	for _, o := range a.Offers {
		if !slices.ContainsFunc(a.Images, func(x firmware.Image) bool { return x.Version == o.Version }) {
			images.Add(o.Version, o.HWVer, "", "", "offered: "+o.URL)
		}
	}
	if err := c.Output.Write(c.Stdout, &running, nil); err != nil {
		return err
	}
	if len(images.Rows) > 0 {
		fmt.Fprintln(c.Stdout)
		if err := c.Output.Write(c.Stdout, &images, nil); err != nil {
			return err
		}
	}
	for _, why := range a.Wrong {
		fmt.Fprintln(c.Stderr, cli.Plain(why, 500))
	}
	return nil
}

func (c *firmwareCall) start(ctx context.Context) error {
	if !c.yes {
		question := fmt.Sprintf("upgrade the dragons of model %s to firmware %s, wave by wave", c.Model, c.Version)
		if err := cli.Agree(ctx, c.Stderr, question, "a rollout interrupts mining; confirm it with --yes"); err != nil {
			return err
		}
	}
	return cli.Change(ctx, c.Session, "/api/v1/firmware/start", &c.Request, func(ro healer.FirmwareRollout) string {
		r := &ro.Release
		return fmt.Sprintf("rollout %s: %s for %s %s, %.1f MB, sha256 %s\nwatch it with: firmware rollout status %s", ro.ID, r.Version, r.Model,
			r.HWVer, float64(r.Size)/1e6, r.SHA256, ro.ID)
	})
}

func (c *firmwareCall) change(ctx context.Context, verb string) error {
	return cli.Change(ctx, c.Session, "/api/v1/firmware/"+verb, &c.Request, func(x healer.FirmwareShown) string {
		return cli.Plain(explain.Firmware(&x, x.Since), 1000)
	})
}

func (c *firmwareCall) status(ctx context.Context) error {
	a, err := cli.Get[web.FirmwaresAnswer](ctx, c.Session, "/api/v1/firmware")
	if a == nil {
		return err
	}
	shown := 0
	for n := range slices.Backward(a.Rollouts) { // the newest first
		x := &a.Rollouts[n]
		if c.ID != "" && x.ID != c.ID {
			continue
		}
		shown++
		fmt.Fprintf(c.Stdout, "%s\n  started %s by %s: %s\n", cli.Plain(explain.Firmware(x, a.At), 1000), c.program.Time(x.Wall), cli.Plain(x.Owner, 100),
			cli.Plain(x.Reason, 500))
		if x.State == healer.RolloutRunning || c.ID != "" {
			if err := c.showUpgrades(x, a); err != nil {
				return err
			}
		}
	}
	if shown == 0 && c.ID != "" {
		return fmt.Errorf("there is no rollout %q", c.ID)
	}
	if shown == 0 {
		fmt.Fprintln(c.Stdout, "no rollouts")
	}
	return nil
}

func (c *firmwareCall) showUpgrades(x *healer.FirmwareShown, a *web.FirmwaresAnswer) error {
	t := cli.Table{Head: []string{"WAVE", "WORKER", "MAC", "FROM", "PHASE", "NOTE"}, Cell: 200}
	for _, u := range x.Dragons {
		note := u.Why
		for _, up := range a.Uploads {
			if up.MAC == u.MAC && !u.Phase.Over() {
				note = strings.TrimSpace(fmt.Sprintf("%.0f%% sent %s", 100*float64(up.Sent)/float64(max(1, up.Size)), up.Updater))
			}
		}
		t.Add(fmt.Sprint(u.Wave+1), u.Worker, u.MAC, u.From, string(u.Phase), note)
	}
	if err := c.Output.Write(c.Stdout, &t, nil); err != nil {
		return err
	}
	for i := range a.Upgrades {
		d := &a.Upgrades[i]
		if !strings.HasPrefix(d.Note, "rollout "+x.ID+",") && !strings.HasPrefix(d.Note, "rollout "+x.ID+":") {
			continue
		}
		fmt.Fprintf(c.Stdout, "  next: %s %s", cli.Plain(d.Worker, 100), d.Kind)
		if d.Blocked != "" {
			fmt.Fprintf(c.Stdout, ", blocked by %s", cli.Plain(d.WhatBlocks(), 300))
		}
		fmt.Fprintln(c.Stdout)
	}
	return nil
}
