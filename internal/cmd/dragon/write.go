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
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// change is a subcommand that changes something on a dragon.
type change struct {
	verb, help string
	flags      func(*kingpin.CmdClause)
	check      func(*batch) error                             // of the flags, before anything is sent
	before     func(context.Context, *target) (string, error) // a look at the dragon; a text says why there is nothing to do
	send       func(context.Context, *target) error

	// away is how long the dragon may restart or be silent. For so long the running
	// instance's healer ignores it and does not count the restart as unexplained. 0: it
	// keeps mining.
	away         time.Duration
	result       string // the result of a success; done if empty
	silent       bool   // the dragon often cannot answer any more
	irreversible bool   // it cannot be reverted over the network
}

func (f *family) addWrites() {
	var light string
	f.addChange(change{
		verb: "locate", help: "Turn the red light on or off (Innosilicon).",
		flags: func(cmd *kingpin.CmdClause) { cmd.Arg("light", "on or off.").Required().EnumVar(&light, "on", "off") },
		send:  func(ctx context.Context, t *target) error { return t.Locate(ctx, light == "on") },
	})
	f.addChange(change{
		verb: "restart", help: "Restart the miner process. Unlike healer restart this ignores the healer's limits.",
		away: 15 * time.Minute,
		send: func(ctx context.Context, t *target) error { return t.RestartCgMiner(ctx) },
	})
	f.addChange(change{
		verb: "reboot", help: "Reboot. Unlike healer reboot this ignores the healer's limits.",
		away: 15 * time.Minute, silent: true,
		send: func(ctx context.Context, t *target) error { return t.Reboot(ctx) },
	})
	f.addChange(change{
		verb: "poweroff", help: "Shut down. Only a power cycle brings the dragon back.",
		away: 24 * time.Hour, silent: true, irreversible: true,
		send: func(ctx context.Context, t *target) error { return t.PowerOff(ctx) },
	})
	f.addChange(change{
		verb: "factory-reset", help: "Delete the configuration and reboot. Passwords and network are those of the factory afterwards, and the dragon " +
			"mines for its vendor.",
		away: time.Hour, silent: true, irreversible: true,
		send: func(ctx context.Context, t *target) error { return t.FactoryReset(ctx) },
	})
	f.addSetAutotune()
	f.addSetPools()
	f.addSetNetwork()
	f.addUpgrade()
}

func (f *family) addSetAutotune() {
	var mode string
	var profile dragon.AutoTune
	f.addChange(change{
		verb: "set-autotune", help: "Set the autotune profile: efficient, balanced, factory or performance, and on Innosilicon a level from 0 to 4, as " +
			"in balanced:2. The dragon then tunes for up to half an hour.",
		flags:  func(cmd *kingpin.CmdClause) { cmd.Arg("mode", "MODE or MODE:LEVEL.").Required().StringVar(&mode) },
		check:  func(*batch) (err error) { profile, err = dragon.ParseAutoTune(mode); return err },
		before: func(ctx context.Context, t *target) (string, error) { return t.hasProfile(ctx, profile) },
		away:   45 * time.Minute,
		send:   func(ctx context.Context, t *target) error { return t.setProfile(ctx, profile) },
	})
}

func (f *family) addSetPools() {
	var file string
	var sets []config.PoolSet
	f.addChange(change{
		verb: "set-pools", help: "Replace the pools. The worker's name is appended to each user, as the original tool does.",
		flags: func(cmd *kingpin.CmdClause) {
			cmd.Flag("pools-file", "File with the pools: the JSON list that --pools takes.").NoEnvar().Required().PlaceHolder("FILE").StringVar(&file)
		},
		check: func(*batch) (err error) { sets, err = readPools(file); return err },
		away:  15 * time.Minute,
		send:  func(ctx context.Context, t *target) error { return t.setPools(ctx, sets) },
	})
}

func (f *family) addSetNetwork() {
	var network dragon.Network
	f.addChange(change{
		verb: "set-network", help: "Use DHCP, or set a static address. The dragon is silent for some seconds, and does not answer at its old address again.",
		flags: func(cmd *kingpin.CmdClause) {
			cmd.Flag("dhcp", "Use DHCP.").NoEnvar().BoolVar(&network.DHCP)
			cmd.Flag("address", "Static address; needs --netmask, --gateway and --dns.").NoEnvar().PlaceHolder("IP").StringVar(&network.IPAddress)
			cmd.Flag("netmask", "Netmask.").NoEnvar().PlaceHolder("IP").StringVar(&network.Netmask)
			cmd.Flag("gateway", "Gateway.").NoEnvar().PlaceHolder("IP").StringVar(&network.Gateway)
			cmd.Flag("dns", "Resolver (once or twice).").NoEnvar().PlaceHolder("IP").StringsVar(&network.DNS)
		},
		check: func(b *batch) error {
			switch static := network.IPAddress != "" || network.Netmask != "" || network.Gateway != "" || len(network.DNS) > 0; {
			case network.DHCP == static:
				return errors.New("set-network: give --dhcp, or --address with --netmask, --gateway and --dns")
			case static && len(b.hosts) > 1:
				return errors.New("set-network: an address is for one dragon")
			}
			return nil
		},
		away: 15 * time.Minute, silent: true,
		send: func(ctx context.Context, t *target) error { return t.UpdateNetwork(ctx, network) },
	})
}

func (f *family) addChange(c change) {
	var yes bool
	var meant, reason string
	f.add(c.verb, c.help, func(cmd *kingpin.CmdClause) {
		if c.flags != nil {
			c.flags(cmd)
		}
		cmd.Flag("reason", "Why, for others and for the audit log.").NoEnvar().StringVar(&reason)
		switch {
		case c.irreversible:
			cmd.Flag("yes-i-mean", "The same dragons again, as they were named, separated by commas. Without this flag they have to be "+
				"typed.").NoEnvar().PlaceHolder("HOSTS").StringVar(&meant)
		case c.away > 0:
			cmd.Flag("yes", "Do not ask for confirmation.").NoEnvar().BoolVar(&yes)
		}
	}, func(ctx context.Context, b *batch) error {
		if c.check != nil {
			if err := c.check(b); err != nil {
				return err
			}
		}
		if err := b.confirm(ctx, &c, yes, meant); err != nil {
			return err
		}
		outcomes := b.each(ctx, func(ctx context.Context, t *target) (any, error) { return t.change(ctx, &c, reason) })
		return b.show(outcomes, []string{"RESULT"}, func(result any) [][]string { return one(result.(string)) })
	})
}

// confirm asks before dragons stop mining. For an irreversible change the names must be
// typed again.
func (b *batch) confirm(ctx context.Context, c *change, yes bool, meant string) error {
	if !c.irreversible {
		if yes || c.away == 0 {
			return nil
		}
		return cli.Agree(ctx, b.stderr, c.verb+" "+b.who(), c.verb+" interrupts mining; confirm it with --yes")
	}
	if b.all {
		return fmt.Errorf("%s: name the dragons; it cannot be undone over the network, so --all is not allowed", c.verb)
	}
	if meant == "" {
		wanted := strings.Join(b.names, ",")
		if !cli.IsTerminal() {
			return fmt.Errorf("%s cannot be undone over the network; confirm it with --yes-i-mean=%s", c.verb, wanted)
		}
		var err error
		if meant, err = cli.Ask(ctx, b.stderr, fmt.Sprintf("%s cannot be undone over the network. To continue, type the names of the dragons: %s\n> ",
			c.verb, wanted)); err != nil {
			return fmt.Errorf("%s: %w", c.verb, err)
		}
	}
	typed := strings.FieldsFunc(meant, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if !slices.Equal(typed, b.names) {
		return fmt.Errorf("%s: %w: the typed names are not %s", c.verb, cli.ErrNotDone, strings.Join(b.names, ","))
	}
	return nil
}

// who names the dragons of the batch for a question; of many it says how many.
func (b *batch) who() string {
	switch n := len(b.hosts); {
	case len(b.names) == 0:
		return fmt.Sprintf("all %d dragons of the inventory", n)
	case len(b.names) > 8:
		return fmt.Sprintf("%s and %d more", strings.Join(b.names[:7], ", "), len(b.names)-7)
	}
	return strings.Join(b.names, ", ")
}

// change makes one change: it tells the running instance before and records the outcome.
func (t *target) change(ctx context.Context, c *change, reason string) (any, error) {
	if err := t.identify(ctx); err != nil {
		return nil, err
	}
	if c.before != nil {
		if why, err := c.before(ctx, t); err != nil || why != "" {
			return why, err
		}
	}
	if c.away > 0 {
		t.announce(ctx, c, reason)
	}
	// Without a new login it can only reach the dragon that has just identified itself.
	err := c.send(dragon.WithoutLogin(ctx), t)
	result := cmp.Or(c.result, "done")
	if c.silent && errors.Is(err, dragon.ErrUnknownOutcome) {
		result, err = "sent; no answer, which is usual", nil
	}
	t.record(ctx, c.verb, note(reason, result, err))
	return result, err
}

// note is what the audit log gets of an outcome.
func note(reason, result string, err error) string {
	if err != nil {
		result = err.Error()
	}
	if reason != "" {
		result = reason + ": " + result
	}
	return result
}

// announce puts the dragon into maintenance at the running instance, so that its healer
// expects the restart.
func (t *target) announce(ctx context.Context, c *change, reason string) {
	body := map[string]string{
		"scope": "mac", "value": t.MAC, "for": c.away.String(),
		"reason": "dragon " + c.verb + ": " + cmp.Or(reason, "by hand"), "owner": cli.UserName(),
	}
	var answer any
	err := cli.Connect("", t.config.DataDir).Call(ctx, http.MethodPost, "/api/v1/healer/maintenance", body, &answer)
	if err != nil && !errors.Is(err, cli.ErrNoInstance) {
		t.warn("%s: the running instance does not know of this: %v", t.Name, err)
	}
}

// record writes the change to the audit log, through the running instance if there is one.
// Without an instance and an inventory there is no audit log to write to.
func (t *target) record(ctx context.Context, action, note string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	note = cli.Plain(note, 400)
	var answer any
	err := cli.Connect("", t.config.DataDir).Call(ctx, http.MethodPost, "/api/v1/healer/record",
		map[string]string{"dragon": t.MAC, "action": action, "reason": note, "owner": cli.UserName()}, &answer)
	if errors.Is(err, cli.ErrNoInstance) {
		if _, missing := os.Stat(filepath.Join(t.config.DataDir, fleet.InventoryName)); missing != nil {
			return
		}
		err = t.offline(t.config.DataDir, Done{MAC: t.MAC, Worker: dragon.WorkerName(t.MAC), Action: action, Owner: cli.UserName(), Note: note})
	}
	if err != nil {
		t.warn("%s: not written to the audit log: %v", t.Name, err)
	}
}

func (b *batch) warn(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintln(b.stderr, "warning:", cli.Plain(fmt.Sprintf(format, args...), 1000))
}

// hasProfile reports that the profile is set already: setting it again costs half an hour of
// tuning.
func (t *target) hasProfile(ctx context.Context, wanted dragon.AutoTune) (string, error) {
	now, err := t.AutoTune(ctx)
	if err == nil && now.Mode == wanted.Mode && (!wanted.Level.IsKnown() || now.Level == wanted.Level) {
		return "not sent: it has this profile", nil
	}
	return "", err
}

// setProfile sets the profile and reads it back. Firmware ignores balanced, and reports
// success, while its configuration names no profile yet (docs of the device API, setAutoTune).
func (t *target) setProfile(ctx context.Context, wanted dragon.AutoTune) error {
	if err := t.SetAutoTune(ctx, wanted); err != nil {
		return err
	}
	now, err := t.AutoTune(ctx)
	if err != nil || now.Mode == wanted.Mode {
		return err
	}
	hint := ""
	if wanted.Mode == "balanced" {
		hint = "; set another mode first, then balanced"
	}
	return fmt.Errorf("the dragon reports success but still has %s, expected %s%s", now.Mode, wanted.Mode, hint)
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

// setPools replaces the pools by the first set for this dragon.
func (t *target) setPools(ctx context.Context, sets []config.PoolSet) error {
	var set *config.PoolSet
	for i := range sets {
		if slices.Contains(sets[i].MACs, t.MAC) || set == nil && len(sets[i].MACs) == 0 {
			set = &sets[i]
		}
	}
	if set == nil {
		return fmt.Errorf("the list has no pools for %s", t.MAC)
	}
	var pools []dragon.PoolConfig
	for _, p := range set.Pools {
		p.User += "." + dragon.WorkerName(t.MAC)
		pools = append(pools, p.PoolConfig)
	}
	u, err := t.UpdatePools(ctx, pools)
	switch {
	case err != nil:
		return err
	case u.Locked:
		return errors.New("the dragon is locked to its vendor's pools: the change has no effect")
	case !u.InSync():
		return fmt.Errorf("the dragon reports success but has other pools: dropped %v, different %v", u.Dropped, u.Differing)
	}
	return nil
}
