package dragon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// change is a verb that changes something at a dragon.
type change struct {
	verb, help string
	flags      func(*kingpin.CmdClause)
	check      func(*round) error // of the flags, before anything is sent
	send       func(context.Context, *visit) error

	// away is how long the dragon may restart, or be silent, because of it. For so long
	// the running instance's healer keeps its hands off it, and takes nothing amiss.
	// 0: it mines on.
	away   time.Duration
	said   string // of what went well; done unless set
	silent bool   // it often can answer no more
	lost   bool   // what it does cannot be undone over the network
}

func (d *dragonCommand) addWrites() {
	var light string
	d.changes(change{
		verb: "locate", help: "Turn the red light on or off (Innosilicon).",
		flags: func(cmd *kingpin.CmdClause) { cmd.Arg("light", "on or off.").Required().EnumVar(&light, "on", "off") },
		send:  func(ctx context.Context, v *visit) error { return v.Locate(ctx, light == "on") },
	})
	d.changes(change{
		verb: "restart", help: "Restart the mining process. Unlike healer restart, this is sent whatever the healer's limits say.",
		away: 15 * time.Minute,
		send: func(ctx context.Context, v *visit) error { return v.RestartCgMiner(ctx) },
	})
	d.changes(change{
		verb: "reboot", help: "Reboot. Unlike healer reboot, this is sent whatever the healer's limits say.",
		away: 15 * time.Minute, silent: true,
		send: func(ctx context.Context, v *visit) error { return v.Reboot(ctx) },
	})
	d.changes(change{
		verb: "poweroff", help: "Shut down. Only pulling the plug brings a dragon back.",
		away: 24 * time.Hour, silent: true, lost: true,
		send: func(ctx context.Context, v *visit) error { return v.PowerOff(ctx) },
	})
	d.changes(change{
		verb: "factory-reset", help: "Delete the configuration and reboot. Passwords and network are the factory's afterwards, and the dragon mines for its vendor.",
		away: time.Hour, silent: true, lost: true,
		send: func(ctx context.Context, v *visit) error { return v.FactoryReset(ctx) },
	})

	var mode string
	var profile dragon.AutoTune
	d.changes(change{
		verb: "set-autotune", help: "Set the autotune profile: efficient, balanced, factory or performance, and on Innosilicon a level from 0 to 4, as in balanced:2. The dragon then tunes for up to half an hour.",
		flags: func(cmd *kingpin.CmdClause) { cmd.Arg("mode", "MODE or MODE:LEVEL.").Required().StringVar(&mode) },
		check: func(*round) (err error) { profile, err = parseProfile(mode); return err },
		away:  45 * time.Minute,
		send:  func(ctx context.Context, v *visit) error { return v.tuneTo(ctx, profile) },
	})

	var poolsFile string
	var sets []config.PoolSet
	d.changes(change{
		verb: "set-pools", help: "Replace the pools. The worker's name is added to each user, as the original tool does.",
		flags: func(cmd *kingpin.CmdClause) {
			cmd.Flag("pools-file", "File with the pools, the JSON list that --pools takes.").NoEnvar().Required().PlaceHolder("FILE").StringVar(&poolsFile)
		},
		check: func(*round) (err error) { sets, err = readPools(poolsFile); return err },
		away:  15 * time.Minute,
		send:  func(ctx context.Context, v *visit) error { return v.mineAt(ctx, sets) },
	})

	var network dragon.Network
	d.changes(change{
		verb: "set-network", help: "Let a dragon take its address by DHCP, or set it. It is gone for some seconds, and a new address is answered from no more.",
		flags: func(cmd *kingpin.CmdClause) {
			cmd.Flag("dhcp", "By DHCP.").NoEnvar().BoolVar(&network.DHCP)
			cmd.Flag("address", "This address; needs netmask, gateway and dns.").NoEnvar().PlaceHolder("IP").StringVar(&network.IPAddress)
			cmd.Flag("netmask", "Its netmask.").NoEnvar().PlaceHolder("IP").StringVar(&network.Netmask)
			cmd.Flag("gateway", "Its gateway.").NoEnvar().PlaceHolder("IP").StringVar(&network.Gateway)
			cmd.Flag("dns", "A resolver (once or twice).").NoEnvar().PlaceHolder("IP").StringsVar(&network.DNS)
		},
		check: func(r *round) error {
			switch given := network.IPAddress != "" || network.Netmask != "" || network.Gateway != "" || len(network.DNS) > 0; {
			case network.DHCP == given:
				return errors.New("set-network: --dhcp, or --address with --netmask, --gateway and --dns")
			case given && len(r.hosts) > 1:
				return errors.New("set-network: one address is for one dragon")
			}
			return nil
		},
		away: 15 * time.Minute, silent: true,
		send: func(ctx context.Context, v *visit) error { return v.UpdateNetwork(ctx, network) },
	})

	var image, from string
	d.changes(change{
		verb: "upgrade", help: "Send a firmware image to each dragon, which checks and flashes it, and reboots, all by itself.",
		flags: func(cmd *kingpin.CmdClause) {
			cmd.Flag("image", "The image, a .swu file that the vendor has signed.").NoEnvar().PlaceHolder("FILE").StringVar(&image)
			cmd.Flag("url", "Let the dragon fetch the image from here, which is less reliable.").NoEnvar().PlaceHolder("URL").StringVar(&from)
		},
		check: func(r *round) error {
			if (image == "") == (from == "") {
				return errors.New("upgrade: --image or --url, one of the two")
			}
			if image == "" {
				return nil
			}
			info, err := os.Stat(image)
			if err != nil {
				return fmt.Errorf("upgrade: %w", err)
			}
			if !info.Mode().IsRegular() {
				return fmt.Errorf("upgrade: %s is no file", image)
			}
			r.size = info.Size()
			return nil
		},
		away: 45 * time.Minute, said: "taken; it is checked and flashed, then the dragon reboots",
		send: func(ctx context.Context, v *visit) error {
			if from != "" {
				return v.UpgradeDownload(ctx, from)
			}
			return v.flash(ctx, image)
		},
	})
}

// changes adds a verb that changes something.
func (d *dragonCommand) changes(c change) {
	var yes bool
	var meant, reason string
	d.add(c.verb, c.help, func(cmd *kingpin.CmdClause) {
		if c.flags != nil {
			c.flags(cmd)
		}
		cmd.Flag("reason", "Why, for the others and for the audit.").NoEnvar().StringVar(&reason)
		switch {
		case c.lost:
			cmd.Flag("yes-i-mean", "The same dragons once more, as they were named and separated by commas; otherwise they have to be typed.").NoEnvar().PlaceHolder("HOSTS").StringVar(&meant)
		case c.away > 0:
			cmd.Flag("yes", "Do not ask.").NoEnvar().BoolVar(&yes)
		}
	}, func(ctx context.Context, r *round) error {
		if c.check != nil {
			if err := c.check(r); err != nil {
				return err
			}
		}
		if err := r.confirm(ctx, &c, yes, meant); err != nil {
			return err
		}
		outcomes := r.visitAll(ctx, func(ctx context.Context, v *visit) (any, error) { return v.change(ctx, &c, reason) })
		return r.show(outcomes, "RESULT", func(result any) []string { return []string{cli.Row(result.(string))} })
	})
}

// confirm asks before dragons stop mining. What cannot be undone is asked for by name.
func (r *round) confirm(ctx context.Context, c *change, yes bool, meant string) error {
	if !c.lost {
		if yes || c.away == 0 {
			return nil
		}
		return cli.Agree(ctx, r.stderr, c.verb+" "+r.who(), c.verb+" makes dragons stop mining for a while; say --yes")
	}
	if r.all {
		return fmt.Errorf("%s: name the dragons; it cannot be undone over the network, and there is no --all for it", c.verb)
	}
	if meant == "" {
		wanted := strings.Join(r.names, ",")
		if !cli.IsTerminal() {
			return fmt.Errorf("%s cannot be undone over the network; say --yes-i-mean=%s", c.verb, wanted)
		}
		var err error
		if meant, err = cli.Ask(ctx, r.stderr, fmt.Sprintf("%s cannot be undone over the network. To go on, type the dragons' names: %s\n> ", c.verb, wanted)); err != nil {
			return fmt.Errorf("%s: %w", c.verb, err)
		}
	}
	typed := strings.FieldsFunc(meant, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if !slices.Equal(typed, r.names) {
		return fmt.Errorf("%s: %w: what was typed is not %s", c.verb, cli.ErrNotDone, strings.Join(r.names, ","))
	}
	return nil
}

// who says for a question which dragons are meant; of many, how many they are.
func (r *round) who() string {
	switch n := len(r.hosts); {
	case len(r.names) == 0:
		return fmt.Sprintf("all %d dragons of the inventory", n)
	case len(r.names) > 8:
		return fmt.Sprintf("%s and %d more", strings.Join(r.names[:7], ", "), len(r.names)-7)
	}
	return strings.Join(r.names, ", ")
}

// change does it, tells the running instance before, and puts on record what came of it.
func (v *visit) change(ctx context.Context, c *change, reason string) (any, error) {
	if err := v.itself(ctx); err != nil {
		return nil, err
	}
	if c.away > 0 {
		v.announce(ctx, c, reason)
	}
	// What is sent goes to who has just said who it is, or to nobody.
	err := c.send(dragon.WithoutLogin(ctx), v)
	said := cmp.Or(c.said, "done")
	if c.silent && errors.Is(err, dragon.ErrUnknownOutcome) {
		said, err = "sent; no answer came, which is usual", nil
	}
	note := said
	if err != nil {
		note = err.Error()
	}
	if reason != "" {
		note = reason + ": " + note
	}
	v.record(ctx, c.verb, note)
	return said, err
}

// announce tells the running instance that the dragon will be away, so that its healer
// takes what it sees for what it is.
func (v *visit) announce(ctx context.Context, c *change, reason string) {
	if reason == "" {
		reason = "by hand"
	}
	wanted := map[string]string{"scope": "mac", "value": v.MAC, "for": c.away.String(), "reason": "dragon " + c.verb + ": " + reason, "owner": cli.UserName()}
	var answer cli.Done[any]
	if err := cli.Connect("", v.config.DataDir).Call(ctx, http.MethodPost, "/api/v1/healer/maintenance", wanted, &answer); err != nil && !errors.Is(err, cli.ErrNoInstance) {
		v.warn("%s: the running instance could not be told: %v", v.Name, err)
	}
}

// record puts on record what was done to the dragon: with the running instance, or in
// the audit of one that does not run. Where there is neither there is nobody to tell.
func (v *visit) record(ctx context.Context, action, note string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	note = cli.Plain(note, 400)
	var answer cli.Done[any]
	err := cli.Connect("", v.config.DataDir).Call(ctx, http.MethodPost, "/api/v1/healer/record",
		map[string]string{"dragon": v.MAC, "action": action, "reason": note, "owner": cli.UserName()}, &answer)
	if errors.Is(err, cli.ErrNoInstance) {
		if _, missing := os.Stat(filepath.Join(v.config.DataDir, fleet.InventoryName)); missing != nil {
			return
		}
		err = v.offline.Record(v.config.DataDir, agent.ManualAction{MAC: v.MAC, Worker: dragon.WorkerName(v.MAC), Action: action, Owner: cli.UserName(), Note: note})
	}
	if err != nil {
		v.warn("%s: it is not on record in the audit: %v", v.Name, err)
	}
}

func (r *round) warn(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(r.stderr, "warning:", cli.Plain(fmt.Sprintf(format, args...), 1000))
}

// parseProfile reads MODE or MODE:LEVEL.
func parseProfile(s string) (p dragon.AutoTune, err error) {
	mode, level, leveled := strings.Cut(s, ":")
	p.Mode = mode
	if leveled {
		n, err := config.Whole(0, 4)(level)
		if err != nil {
			return p, fmt.Errorf("the level of %q: %w", s, err)
		}
		p.Level = dragon.Known(float64(n))
	}
	if !slices.Contains(dragon.AutoTuneModes(), mode) {
		return p, fmt.Errorf("%q is none of the modes %s", mode, strings.Join(dragon.AutoTuneModes(), ", "))
	}
	return p, nil
}

// tuneTo sets the profile, unless it is set: setting it costs half an hour in any case.
func (v *visit) tuneTo(ctx context.Context, wanted dragon.AutoTune) error {
	now, err := v.AutoTune(ctx)
	if err != nil {
		return err
	}
	if now.Mode == wanted.Mode && (!wanted.Level.IsKnown() || now.Level == wanted.Level) {
		return errors.New("not sent: it has this profile")
	}
	if err := v.SetAutoTune(ctx, wanted); err != nil {
		return err
	}
	now, err = v.AutoTune(ctx)
	if err == nil && now.Mode != wanted.Mode {
		err = fmt.Errorf("the dragon says success and has %s all the same; to get to %s, set another mode first", now.Mode, wanted.Mode)
	}
	return err
}

func readPools(path string) ([]config.PoolSet, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	sets, err := config.ParsePools(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sets, nil
}

// mineAt replaces the dragon's pools by those that are meant for it.
func (v *visit) mineAt(ctx context.Context, sets []config.PoolSet) error {
	var set *config.PoolSet
	for i := range sets {
		if slices.Contains(sets[i].MACs, v.MAC) || set == nil && len(sets[i].MACs) == 0 {
			set = &sets[i]
		}
	}
	if set == nil {
		return fmt.Errorf("the list has no pools for %s", v.MAC)
	}
	var pools []dragon.PoolConfig
	for _, p := range set.Pools {
		p.User += "." + dragon.WorkerName(v.MAC)
		pools = append(pools, p.PoolConfig)
	}
	u, err := v.UpdatePools(ctx, pools)
	switch {
	case err != nil:
		return err
	case u.Locked:
		return errors.New("the dragon is pinned to its vendor's pools: the change has no effect")
	case !u.AsWished():
		return fmt.Errorf("the dragon says success and has other pools: dropped %v, differing %v", u.Dropped, u.Differing)
	}
	return nil
}

// flash sends a firmware image.
func (v *visit) flash(ctx context.Context, path string) error {
	image, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer image.Close()
	info, err := image.Stat()
	if err != nil {
		return err
	}
	return v.UpgradeUpload(ctx, filepath.Base(path), image, info.Size(), v.progress)
}
