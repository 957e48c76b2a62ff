// Package dragon has the command dragon: it talks to dragons themselves.
package dragon

import (
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

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

// family is the command dragon with the flags of all subcommands. The subcommands are in
// read.go, write.go, upgrade.go, logs.go and password.go.
type family struct {
	*kingpin.CmdClause
	program *cli.Program
	offline func(dir string, d Done) error

	load         func() (*config.Config, error)
	all          bool
	parallel     int
	output       cli.Output
	user         string
	passwordFile string
	ask          bool
}

// Done is a change that was made to a dragon, for the audit log.
type Done struct{ MAC, Worker, Action, Owner, Note string }

// Add adds the command dragon with its subcommands. It calls offline, from one goroutine per
// dragon, with changes made while no instance runs on the data directory dir.
func Add(p *cli.Program, offline func(dir string, d Done) error) {
	f := &family{program: p, offline: offline, CmdClause: p.Command("dragon", "Talk to dragons directly, to many at once. "+
		"A dragon is named by its address, or by worker or MAC if the inventory of the data directory knows it. The exit status is 1 if any dragon failed.")}
	f.load = config.RegisterAccess(f)
	f.Flag("all", "All dragons of the inventory.").NoEnvar().BoolVar(&f.all)
	config.Flag(f, "at-once", "How many dragons to talk to at the same time.", &f.parallel, config.Whole(1, 1000)).Default("16")
	f.output.Register(f)
	config.Flag(f, "user", "User to log in as, with --password-file or --ask-password.", &f.user, config.Text).Default("admin")
	config.Flag(f, "password-file", "File with the login password in its only line, instead of the configured credentials.", &f.passwordFile,
		config.Text).PlaceHolder("FILE")
	f.Flag("ask-password", "Ask for the login password.").NoEnvar().BoolVar(&f.ask)
	f.addReads()
	f.addWrites()
	f.addPassword()
	f.addAdopt()
	f.addLogs()
}

type host struct {
	Name    string // the worker if it is known, else what was typed
	Address string
	MAC     string // the expected MAC; empty accepts any
}

// batch is one run of a subcommand: the dragons, and where the results go.
type batch struct {
	*family
	config         *config.Config
	names          []string // as the user typed them
	hosts          []host
	client         dragon.Options
	verb           string
	streams        bool  // it prints while it runs: no progress bar, and errors at once
	size           int64 // bytes to upload to each dragon; 0: no upload
	stdout, stderr io.Writer
	mu             sync.Mutex // guards what the targets write to
}

// add adds a subcommand. flags registers its own flags and may be nil.
func (f *family) add(verb, help string, flags func(*kingpin.CmdClause), do func(context.Context, *batch) error) {
	f.addSelecting(verb, help, flags, func() bool { return false }, do)
}

// addSelecting adds a subcommand that can also select all dragons by a flag of its own.
func (f *family) addSelecting(verb, help string, flags func(*kingpin.CmdClause), all func() bool, do func(context.Context, *batch) error) {
	cmd := f.Command(verb, help)
	if flags != nil {
		flags(cmd)
	}
	var names []string
	cmd.Arg("host", "Address, worker or MAC.").StringsVar(&names)
	f.program.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		c, err := f.load()
		if err != nil {
			return err
		}
		b := &batch{family: f, config: c, names: names, verb: verb, stdout: stdout, stderr: stderr}
		if b.hosts, err = named(c, names, f.all || all()); err != nil {
			return err
		}
		if b.client, err = f.clientOptions(ctx, c, stderr); err != nil {
			return err
		}
		defer dragon.New("", b.client).CloseIdleConnections()
		return do(ctx, b)
	})
}

// named finds the named dragons, each once.
func named(c *config.Config, names []string, all bool) (hosts []host, err error) {
	if (len(names) == 0) != all {
		return nil, errors.New("name the dragons, or give --all for all of the inventory; one of the two")
	}
	known, err := fleet.Remembered(c.DataDir, c.Sites.Of)
	if err != nil && (all || !errors.Is(err, fs.ErrNotExist)) {
		return nil, fmt.Errorf("%w (name the data directory with --data-dir or --config.file)", err)
	}
	for _, i := range known {
		if all && i.IP != "" {
			hosts = append(hosts, host{i.Worker, i.Address, i.MAC})
		}
	}
	if all && len(hosts) == 0 {
		return nil, fmt.Errorf("the inventory in %s is empty", c.DataDir)
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

// hostOf finds the dragon of one name: a worker or MAC of the inventory, else an address.
func hostOf(name string, known []*fleet.Info, c *config.Config) (host, error) {
	mac, isMAC := dragon.ParseMAC(name)
	if _, err := netip.ParseAddrPort(name); err == nil {
		isMAC = false // an address can have twelve digits, too
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
		return host{}, fmt.Errorf("%s is ambiguous: use an address, %s or %s", name, found[0].Address, found[1].Address)
	case isMAC || isWorker:
		return host{}, fmt.Errorf("%s is not in the inventory in %s (name another data directory with --data-dir or --config.file, or use an address)",
			name, c.DataDir)
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

// clientOptions returns how to log in: by the flags, else by the configuration.
func (f *family) clientOptions(ctx context.Context, c *config.Config, stderr io.Writer) (dragon.Options, error) {
	known, _ := fleet.Remembered(c.DataDir, c.Sites.Of) // without an inventory nothing is known
	given := passwords.Reader(c.DataDir)
	if err := given.Err(); err != nil {
		return dragon.Options{}, err
	}
	o := dragon.Options{Transport: dragon.NewTransport(), Timeout: c.Scrape.DragonTimeout, CredentialsFor: func(address string) []dragon.Credential {
		var info *fleet.Info
		if i := slices.IndexFunc(known, func(i *fleet.Info) bool { return i.Address == address }); i >= 0 {
			info = known[i]
		}
		return passwords.Login(given, address, info, c.Credentials.For(address, info))
	}}
	var password dragon.Secret
	var err error
	switch {
	case f.passwordFile != "" && f.ask:
		return o, errors.New("give --password-file or --ask-password, not both")
	case f.passwordFile != "":
		password, err = readPassword(f.passwordFile)
	case f.ask:
		password, err = cli.AskPassword(ctx, stderr, "password of "+f.user)
	default:
		return o, nil
	}
	o.Credentials, o.CredentialsFor = []dragon.Credential{{Username: f.user, Password: password}}, nil
	return o, err
}

func readPassword(path string) (dragon.Secret, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" || len(password) > 1000 || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("%s has no password: want one line", path)
	}
	return dragon.Secret(password), nil
}
