// Package dragon has the command dragon: it talks to dragons themselves.
package dragon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

// dragonCommand is the command dragon. Its verbs are in dragon_read.go, dragon_write.go,
// dragon_logs.go and password.go; here is how each of them comes to its dragons, and
// what came of it to the user.
type dragonCommand struct {
	*kingpin.CmdClause
	program *cli.Program

	load         func() (*config.Config, error)
	all, json    bool
	atOnce       int
	user         string
	passwordFile string
	ask          bool
}

// Add adds the command dragon with its verbs.
func Add(p *cli.Program) {
	d := &dragonCommand{program: p, CmdClause: p.Command("dragon", "Talk to dragons themselves, to many at once. A dragon is named by its address, or by the worker or MAC that the inventory in the data directory knows. The exit status is 1 if any of them failed.")}
	d.load = config.RegisterAccess(d)
	d.Flag("all", "All dragons of the inventory.").NoEnvar().BoolVar(&d.all)
	config.Flag(d, "at-once", "How many dragons are talked to at a time.", &d.atOnce, config.Whole(1, 1000)).Default("16")
	d.Flag("json", "Print JSON.").BoolVar(&d.json)
	config.Flag(d, "user", "User to log in as, where the password is from --password-file or --ask-password.", &d.user, config.Text).Default("admin")
	config.Flag(d, "password-file", "File with the password to log in with in its only line, in place of the configuration's credentials.", &d.passwordFile, config.Text).PlaceHolder("FILE")
	d.Flag("ask-password", "Ask for the password to log in with.").NoEnvar().BoolVar(&d.ask)
	d.addReads()
	d.addWrites()
	d.addPassword()
	d.addLogs()
}

// host is a dragon that was named.
type host struct {
	Name    string // as it was named; the worker, where that is known
	Address string
	MAC     string // of whom is expected there; empty: of whoever is there
}

// round is one call of a verb: its dragons, and where the results go.
type round struct {
	*dragonCommand
	config         *config.Config
	names          []string // as the user wrote them
	hosts          []host
	client         dragon.Options
	verb           string
	streams        bool  // it prints while it goes on: there is no bar, and who fails is told at once
	size           int64 // bytes that each dragon is sent, which takes its time; 0: nothing of the kind
	stdout, stderr io.Writer
	mu             sync.Mutex         // of what the visits write to
	offline        agent.OfflineAudit // for deeds while no instance runs
}

// add adds a verb. flags registers what the verb has of its own, and may be nil.
func (d *dragonCommand) add(verb, help string, flags func(*kingpin.CmdClause), do func(context.Context, *round) error) {
	d.addSelecting(verb, help, flags, func() bool { return false }, do)
}

// addSelecting adds a verb that may also want all dragons by a flag of its own.
func (d *dragonCommand) addSelecting(verb, help string, flags func(*kingpin.CmdClause), all func() bool, do func(context.Context, *round) error) {
	cmd := d.Command(verb, help)
	if flags != nil {
		flags(cmd)
	}
	var names []string
	cmd.Arg("host", "Address, worker or MAC.").StringsVar(&names)
	d.program.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		c, err := d.load()
		if err != nil {
			return err
		}
		r := &round{dragonCommand: d, config: c, names: names, verb: verb, stdout: stdout, stderr: stderr}
		if r.hosts, err = d.named(c, names, d.all || all()); err != nil {
			return err
		}
		if r.client, err = d.clientOptions(ctx, c, stderr); err != nil {
			return err
		}
		defer dragon.New("", r.client).CloseIdleConnections()
		return do(ctx, r)
	})
}

// named finds the dragons that were named, each once.
func (d *dragonCommand) named(c *config.Config, names []string, all bool) (hosts []host, err error) {
	if (len(names) == 0) != all {
		return nil, errors.New("name the dragons, or say --all for all of the inventory; one of the two")
	}
	known, err := fleet.Remembered(c.DataDir, c.Sites.Of)
	if err != nil && (all || !errors.Is(err, fs.ErrNotExist)) {
		return nil, fmt.Errorf("%w (--data-dir or --config.file say where it is)", err)
	}
	for _, i := range known {
		if all && i.IP != "" {
			hosts = append(hosts, host{i.Worker, i.Address, i.MAC})
		}
	}
	if all && len(hosts) == 0 {
		return nil, fmt.Errorf("the inventory in %s has no dragon", c.DataDir)
	}
	for _, name := range names {
		h, err := hostOf(name, known, c)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(hosts, func(o host) bool { return o.Address == h.Address }) {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// hostOf finds the dragon that one name means: a worker or MAC of the inventory, else
// an address.
func hostOf(name string, known []*fleet.Info, c *config.Config) (host, error) {
	mac, isMAC := dragon.ParseMAC(name)
	if _, err := netip.ParseAddrPort(name); err == nil {
		isMAC = false // an address can have twelve digits
	}
	isWorker := strings.HasPrefix(name, "dragon-")
	var found []host
	for _, i := range known {
		if i.IP != "" && (i.Worker == name || isMAC && i.MAC == mac || isWorker && strings.HasPrefix(i.Worker, name+"@")) {
			found = append(found, host{i.Worker, i.Address, i.MAC})
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return host{}, fmt.Errorf("%s is more than one dragon: name one by its address, %s or %s", name, found[0].Address, found[1].Address)
	case isMAC || isWorker:
		return host{}, fmt.Errorf("%s is not in the inventory in %s (--data-dir or --config.file say where another is); an address needs none", name, c.DataDir)
	}
	if err := discovery.CheckTarget(name); err != nil {
		return host{}, err
	}
	address := name
	if _, _, err := net.SplitHostPort(name); err != nil && c.Discovery.Port != 80 {
		address = net.JoinHostPort(name, strconv.Itoa(int(c.Discovery.Port)))
	}
	return host{Name: name, Address: address}, nil
}

// clientOptions say how to log in: as the flags want it, else as the configuration does.
func (d *dragonCommand) clientOptions(ctx context.Context, c *config.Config, stderr io.Writer) (dragon.Options, error) {
	known, _ := fleet.Remembered(c.DataDir, c.Sites.Of) // without an inventory nobody is known
	given := passwords.Reader(c.DataDir)
	if err := given.Err(); err != nil {
		return dragon.Options{}, err
	}
	o := dragon.Options{Transport: dragon.NewTransport(), Timeout: c.Scrape.DragonTimeout, CredentialsFor: func(address string) []dragon.Credential {
		var who *fleet.Info
		if i := slices.IndexFunc(known, func(i *fleet.Info) bool { return i.Address == address }); i >= 0 {
			who = known[i]
		}
		return passwords.Login(given, address, who, c.Credentials.For(address, who))
	}}
	var password dragon.Secret
	var err error
	switch {
	case d.passwordFile != "" && d.ask:
		return o, errors.New("--password-file or --ask-password, one of the two")
	case d.passwordFile != "":
		password, err = readPassword(d.passwordFile)
	case d.ask:
		password, err = cli.AskPassword(ctx, stderr, "password of "+d.user)
	default:
		return o, nil
	}
	o.Credentials, o.CredentialsFor = []dragon.Credential{{Username: d.user, Password: password}}, nil
	return o, err
}

// readPassword reads a password from a file: its only line.
func readPassword(path string) (dragon.Secret, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" || len(password) > 1000 || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("%s has no password in it: want one line", path)
	}
	return dragon.Secret(password), nil
}

// visit is one dragon of a round.
type visit struct {
	*round
	host
	*dragon.Client
	overview *dragon.Overview // by which the dragon said who it is
	progress func(sent int64) // of what it is sent
}

// outcome is what came of a visit.
type outcome struct {
	Dragon  string `json:"dragon"`
	Address string `json:"address"`
	MAC     string `json:"mac,omitempty"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
	Result  any    `json:"result,omitempty"`
	result  any    // the same as it was
}

// visitAll does the same at every dragon, so many at a time. Who was named by worker or
// MAC must say that it is who was meant.
func (r *round) visitAll(ctx context.Context, do func(context.Context, *visit) (any, error)) []outcome {
	outcomes := make([]outcome, len(r.hosts))
	var group errgroup.Group
	group.SetLimit(r.atOnce)
	bar := r.progress()
	for i, h := range r.hosts {
		group.Go(func() error {
			v := &visit{round: r, host: h, Client: dragon.New(h.Address, r.client), progress: func(sent int64) { bar(i, sent, false) }}
			result, err := v.meet(ctx, do)
			o := outcome{Dragon: h.Name, Address: h.Address, MAC: v.MAC, OK: err == nil, result: result}
			if err != nil {
				o.Error = cli.Plain(said(ctx, err), 1000)
			} else {
				o.Result = jsonOf(result)
			}
			outcomes[i] = o
			if r.streams && !o.OK {
				r.mu.Lock()
				fmt.Fprintf(r.stderr, "%s: %s\n", o.Dragon, o.Error)
				r.mu.Unlock()
			}
			bar(i, 0, true)
			return nil
		})
	}
	_ = group.Wait() // none of them returns one
	return outcomes
}

// progress draws how far the round is: in dragons, or in bytes where these are what takes
// time. What it returns is told of each dragon what it was sent, and when it is done.
func (r *round) progress() func(i int, sent int64, done bool) {
	n := int64(len(r.hosts))
	draw, unit := cli.DrawBar(r.stderr, r.verb, progressbar.OptionShowCount()), int64(1)
	switch {
	case r.size > 0:
		draw, unit = cli.DrawBar(r.stderr, r.verb), r.size
	case n == 1 || r.streams:
		draw = nil
	}
	if draw == nil {
		return func(int, int64, bool) {}
	}
	far, all := make([]int64, n), int64(0)
	return func(i int, sent int64, done bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if done {
			sent = unit
		}
		all += sent - far[i]
		far[i] = sent
		draw(all, n*unit)
	}
}

// said is what went wrong, in words for who typed the command.
func said(ctx context.Context, err error) string {
	if e, ok := errors.AsType[*dragon.Error](err); ok && errors.Is(err, dragon.ErrNotOffered) {
		return fmt.Sprintf("%s: %v", e.Endpoint, dragon.ErrNotOffered)
	}
	if ctx.Err() != nil { // by Ctrl-C
		return strings.ReplaceAll(err.Error(), context.Canceled.Error(), "interrupted")
	}
	return err.Error()
}

func (v *visit) meet(ctx context.Context, do func(context.Context, *visit) (any, error)) (any, error) {
	if ctx.Err() != nil {
		return nil, errors.New("not asked: interrupted")
	}
	if v.MAC != "" {
		if err := v.itself(ctx); err != nil {
			return nil, err
		}
	}
	return do(ctx, v)
}

// itself makes sure that the dragon is who was meant, and learns its MAC.
func (v *visit) itself(ctx context.Context) error {
	if v.overview != nil {
		return nil
	}
	o, err := v.Overview(ctx)
	switch {
	case err != nil:
		return err
	case v.MAC != "" && o.MAC != v.MAC:
		return fmt.Errorf("%s answers at %s, expected %s; scan anew, or name the address", cmp.Or(o.MAC, "a dragon without a MAC"), v.Address, v.MAC)
	}
	v.overview, v.MAC = o, o.MAC
	return nil
}

// show prints what came of a round: a table with head above the rows of each dragon
// that answered, then who did not; or JSON. The error says how many failed.
func (r *round) show(outcomes []outcome, head string, rows func(any) []string) error {
	failed := 0
	for _, o := range outcomes {
		if !o.OK {
			failed++
		}
	}
	if r.json {
		if err := cli.WriteJSON(r.stdout, outcomes); err != nil {
			return err
		}
	} else {
		if failed < len(outcomes) {
			table := tabwriter.NewWriter(r.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(table, "DRAGON\t"+head)
			for _, o := range outcomes {
				if !o.OK {
					continue
				}
				for _, row := range rows(o.result) {
					fmt.Fprintln(table, o.Dragon+"\t"+row)
				}
			}
			if err := table.Flush(); err != nil {
				return err
			}
		}
		for _, o := range outcomes {
			if !o.OK && !r.streams {
				fmt.Fprintf(r.stderr, "%s: %s\n", o.Dragon, o.Error)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d of %d failed", r.verb, failed, len(outcomes))
	}
	return nil
}
