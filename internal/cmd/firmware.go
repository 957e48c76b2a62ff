package cmd

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
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// firmwareWish is what a verb asks for, as the API takes it.
type firmwareWish struct {
	ID             string   `json:"id,omitempty"`
	Version        string   `json:"version,omitempty"`
	Model          string   `json:"model,omitempty"`
	HWVer          string   `json:"hwver,omitempty"`
	From           []string `json:"from,omitempty"`
	AllowDowngrade bool     `json:"allow_downgrade,omitempty"`
	Reason         string   `json:"reason,omitempty"`
	Owner          string   `json:"owner,omitempty"`

	yes, json      bool
	stdout, stderr io.Writer
}

// addFirmware adds the firmware command with its verbs.
func addFirmware(p *cli.Program) {
	parent := p.Command("firmware", "The firmware of the running instance's dragons, and its rollouts.")
	var at cli.InstanceFlags
	at.Register(parent)
	dir := config.RegisterDataDir(parent)
	var owner string
	config.Flag(parent, "owner", "Who wants it; not set: your name.", &owner, config.Text).PlaceHolder("NAME")
	rollout := parent.Command("rollout", "Bring a firmware to dragons: one first, then wave by wave.")

	add := func(cmd *kingpin.CmdClause, do func(context.Context, *cli.Instance, *firmwareWish) error, flags ...func(*kingpin.CmdClause, *firmwareWish)) {
		w := &firmwareWish{}
		for _, f := range flags {
			f(cmd, w)
		}
		p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
			d, err := dir()
			if err != nil && at.URL == "" {
				return err
			}
			w.Owner, w.json, w.stdout, w.stderr = cmp.Or(owner, cli.UserName()), at.JSON, stdout, stderr
			err = do(ctx, cli.Connect(at.URL, d), w)
			if errors.Is(err, cli.ErrNoInstance) {
				err = fmt.Errorf("%w; name its data directory with --data-dir or --config.file, or its address with --url", err)
			}
			return err
		})
	}
	id := func(cmd *kingpin.CmdClause, w *firmwareWish) {
		cmd.Arg("rollout", "Which, as status shows them.").Required().StringVar(&w.ID)
	}
	reason := func(cmd *kingpin.CmdClause, w *firmwareWish) {
		cmd.Flag("reason", "Why, for the others and for the audit.").NoEnvar().Required().StringVar(&w.Reason)
	}
	add(parent.Command("list", "Show what the dragons run, and which firmware there is for them."), listFirmware)
	add(rollout.Command("start", "Begin a rollout."), startFirmware, reason, func(cmd *kingpin.CmdClause, w *firmwareWish) {
		cmd.Arg("version", "Of the firmware; latest for the newest there is.").Required().StringVar(&w.Version)
		cmd.Flag("model", "Of the dragons that it is for.").NoEnvar().Required().StringVar(&w.Model)
		cmd.Flag("hwver", "Their hardware, such as g19, where dragons of the model differ in it.").NoEnvar().StringVar(&w.HWVer)
		cmd.Flag("from", "Only dragons that run this version (repeatable).").NoEnvar().PlaceHolder("VERSION").StringsVar(&w.From)
		cmd.Flag("allow-downgrade", "Also from a newer version to this one.").NoEnvar().BoolVar(&w.AllowDowngrade)
		cmd.Flag("yes", "Do not ask.").NoEnvar().BoolVar(&w.yes)
	})
	for _, c := range []struct{ verb, help string }{
		{"pause", "Let no more dragons begin; those that have begun are watched on."},
		{"resume", "Go on with a paused rollout."},
		{"abort", "End a rollout for good."},
	} {
		add(rollout.Command(c.verb, c.help), func(ctx context.Context, i *cli.Instance, w *firmwareWish) error {
			return changeFirmware(ctx, i, w, c.verb)
		}, id, reason)
	}
	add(rollout.Command("status", "Show how far the rollouts are."), firmwareStatus, func(cmd *kingpin.CmdClause, w *firmwareWish) {
		cmd.Arg("rollout", "One of them, with its dragons.").StringVar(&w.ID)
	})
}

// askFirmware asks the instance what it knows of firmware.
func askFirmware(ctx context.Context, i *cli.Instance, w *firmwareWish) (*web.FirmwaresAnswer, error) {
	var raw json.RawMessage
	if err := i.Call(ctx, http.MethodGet, "/api/v1/firmware", nil, &raw); err != nil {
		return nil, err
	}
	if w.json {
		_, err := w.stdout.Write(raw)
		return nil, err
	}
	var a web.FirmwaresAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("%s: the answer is not what was expected: %w", i.Where, err)
	}
	return &a, nil
}

func listFirmware(ctx context.Context, i *cli.Instance, w *firmwareWish) error {
	a, err := askFirmware(ctx, i, w)
	if a == nil {
		return err
	}
	t := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODEL\tHARDWARE\tVERSION\tDRAGONS")
	for _, r := range a.Running {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\n", cli.Dashed(r.Model), cli.Dashed(r.HWVer), cli.Dashed(r.Version), r.Dragons)
	}
	if len(a.Images)+len(a.Offers) > 0 {
		fmt.Fprintln(t, "\t\t\t\nIMAGE\tHARDWARE\tSHA-256\tMB\tFROM")
	}
	for _, x := range a.Images {
		fmt.Fprintf(t, "%s\t%s\t%.12s\t%.1f\t%s\n", x.Version, cli.Dashed(x.HWVer), x.SHA256, float64(x.Size)/1e6, cli.Plain(x.Origin, 200))
	}
	for _, o := range a.Offers {
		if !slices.ContainsFunc(a.Images, func(x firmware.Image) bool { return x.Version == o.Version }) {
			fmt.Fprintf(t, "%s\t%s\t-\t-\toffered: %s\n", o.Version, cli.Dashed(o.HWVer), cli.Plain(o.URL, 200))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, why := range a.Wrong {
		fmt.Fprintln(w.stderr, cli.Plain(why, 500))
	}
	return nil
}

func startFirmware(ctx context.Context, i *cli.Instance, w *firmwareWish) error {
	if !w.yes {
		question := fmt.Sprintf("bring the dragons of model %s to firmware %s, wave by wave", w.Model, w.Version)
		if err := cli.Agree(ctx, w.stderr, question, "a rollout makes dragons stop mining for a while; say --yes"); err != nil {
			return err
		}
	}
	ro, err := postFirmware[healer.FirmwareRollout](ctx, i, w, "start")
	if ro == nil {
		return err
	}
	r := &ro.Release
	fmt.Fprintf(w.stdout, "rollout %s: %s for %s %s, %.1f MB, sha256 %s\nwatch it with: firmware rollout status %s\n", ro.ID, r.Version, r.Model, r.HWVer, float64(r.Size)/1e6, r.SHA256, ro.ID)
	return nil
}

func changeFirmware(ctx context.Context, i *cli.Instance, w *firmwareWish, verb string) error {
	x, err := postFirmware[healer.FirmwareShown](ctx, i, w, verb)
	if x == nil {
		return err
	}
	fmt.Fprintln(w.stdout, cli.Plain(x.InWords(x.Since), 1000))
	return nil
}

// postFirmware sends the wish. Nil is returned where the answer has been written as JSON.
func postFirmware[T any](ctx context.Context, i *cli.Instance, w *firmwareWish, verb string) (*T, error) {
	var raw json.RawMessage
	if err := i.Call(ctx, http.MethodPost, "/api/v1/firmware/"+verb, w, &raw); err != nil {
		return nil, err
	}
	var d cli.Done[*T]
	if err := json.Unmarshal(raw, &d); err != nil || d.Result == nil {
		return nil, fmt.Errorf("%s: the answer is not what was expected: %w", i.Where, cmp.Or(err, errors.New("it has no result")))
	}
	if d.Warning != "" {
		fmt.Fprintln(w.stderr, "warning:", cli.Plain(d.Warning, 1000))
	}
	if w.json {
		_, err := w.stdout.Write(raw)
		return nil, err
	}
	return d.Result, nil
}

func firmwareStatus(ctx context.Context, i *cli.Instance, w *firmwareWish) error {
	a, err := askFirmware(ctx, i, w)
	if a == nil {
		return err
	}
	shown := 0
	for n := range slices.Backward(a.Rollouts) { // the newest first
		x := &a.Rollouts[n]
		if w.ID != "" && x.ID != w.ID {
			continue
		}
		shown++
		fmt.Fprintf(w.stdout, "%s\n  begun %s by %s: %s\n", cli.Plain(x.InWords(a.At), 1000), x.Wall.Local().Format(time.DateTime), cli.Plain(x.Owner, 100), cli.Plain(x.Reason, 500))
		if x.State == healer.FirmwareRunning || w.ID != "" {
			showUpgrades(w.stdout, x, a)
		}
	}
	if shown == 0 && w.ID != "" {
		return fmt.Errorf("there is no rollout %q", w.ID)
	}
	if shown == 0 {
		fmt.Fprintln(w.stdout, "no rollouts")
	}
	return nil
}

func showUpgrades(w io.Writer, x *healer.FirmwareShown, a *web.FirmwaresAnswer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  WAVE\tWORKER\tMAC\tFROM\tPHASE\t")
	for _, u := range x.Dragons {
		note := u.Why
		for _, up := range a.Uploads {
			if up.MAC == u.MAC && !u.Phase.Over() {
				note = strings.TrimSpace(fmt.Sprintf("%.0f%% sent %s", 100*float64(up.Sent)/float64(max(1, up.Size)), up.Updater))
			}
		}
		fmt.Fprintf(t, "  %d\t%s\t%s\t%s\t%s\t%s\n", u.Wave+1, cli.Plain(u.Worker, 100), u.MAC, cli.Plain(u.From, 64), u.Phase, cli.Plain(note, 200))
	}
	_ = t.Flush()
	for i := range a.Upgrades {
		d := &a.Upgrades[i]
		if !strings.HasPrefix(d.Note, "rollout "+x.ID+",") && !strings.HasPrefix(d.Note, "rollout "+x.ID+":") {
			continue
		}
		fmt.Fprintf(w, "  next: %s %s", cli.Plain(d.Worker, 100), d.Kind)
		if d.Blocked != "" {
			fmt.Fprintf(w, ", blocked by %s", cli.Plain(d.WhatBlocks(), 300))
		}
		fmt.Fprintln(w)
	}
}
