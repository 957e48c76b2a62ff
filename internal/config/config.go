// Package config turns what the operator wrote, in flags and in a file, into one
// validated value.
package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// Config is what the program runs on. What Register returns makes it; whoever holds
// one need not check it again.
type Config struct {
	Probing
	Targets                     []discovery.Target
	Listen                      bool // for dragons whose button is pressed
	ScanInterval, DragonTimeout time.Duration

	DataDir            string
	InventoryFile      string // empty: not written
	InventoryRetention time.Duration

	ScrapeWorkers int
	ScrapeOffset  time.Duration
	MaxRequests   int             // 0: no limit
	Collectors    map[string]bool // those that are not as they are by default
	Created       bool            // also _created lines in OpenMetrics text

	Health  Health // as the flags have it; Healing is what counts
	Healing Healing
	Wish    Wish    // as the flags have it; Wishes is what counts
	Wishes  *Wishes // never nil
	Statsd  Statsd

	// SimulationSpeed is how many times faster the healer's clock runs; 1 but for
	// simulated dragons.
	SimulationSpeed float64

	Sites       Sites
	Credentials Credentials
	Warnings    []string // what is legal and not wise
	File        string   // that it was read from; empty: from flags alone

	flags *Config // as it was before the file
	doc   *document
	read  *reader
}

// Probing says where and how to scan.
type Probing struct {
	Networks                    []discovery.Network
	Port                        uint16
	ScanTimeout, ConnectTimeout time.Duration
}

// Health is the healer's part of the original's options.
type Health struct {
	HashrateMin      float64 // hashes per second and board
	HashrateDuration time.Duration
	Reboot           bool
	CheckInterval    time.Duration // 0: as the healing policy has it
}

// Wish is what the operator wants the dragons to be.
type Wish struct {
	Pools         []PoolSet // empty: left as they are
	AutotuneMode  string    // empty: left as it is
	AutoUpgrade   bool
	FirmwaresPath string
	FirmwareHosts []firmware.Host // that images may be fetched from; empty: none
}

// Statsd says where the mirror goes.
type Statsd struct {
	Host             string // empty: off
	Port             uint16
	Prefix           string
	Interval         time.Duration
	OneLinePerPacket bool
}

// ErrNoTarget says that neither a network nor a dragon was named.
var ErrNoTarget = errors.New("no network and no dragon named")

// Register adds the program's flags to a command and returns how to get what they
// and the file say, once they are parsed: each time anew, as the file is then. With ErrNoTarget comes a configuration that is in order
// otherwise. The names and defaults are the original tool's, but for
// three: there is no default network, no default pool list and no default autotune
// mode, because each of them acts on machines that nobody named.
func Register(cmd flagger) func() (*Config, error) {
	var file string
	Flag(cmd, "config.file", "Configuration file. What it says wins over the flags.", &file, Text).PlaceHolder("FILE")
	return register(cmd, &file)
}

// RegisterCheck is Register for a command whose argument is the file.
func RegisterCheck(cmd *kingpin.CmdClause) func() (*Config, error) {
	file := cmd.Arg("file", "Configuration file.").Required().String()
	return register(cmd, file)
}

func register(cmd flagger, file *string) func() (*Config, error) {
	c := &Config{}
	Flags(cmd, "network", "Network to scan for dragons, in CIDR notation or as FIRST-LAST (repeatable).", &c.Networks, parseNetwork).PlaceHolder("CIDR")
	Flags(cmd, "dragon", "Dragon to read without any scan (repeatable).", &c.Targets, parseTarget).PlaceHolder("HOST[:PORT]")
	Flag(cmd, "scan-interval", "Time between scans. Times are seconds or durations like 5m.", &c.ScanInterval, ParseInterval).Default("300")
	c.register(cmd)
	cmd.Flag("discovery.listen", "Listen for dragons whose front button is pressed (UDP 14235 and 8001), and look at once who they are, if they are in the networks.").BoolVar(&c.Listen)
	Flag(cmd, "dragon-timeout", "Longest time that a read of one dragon may take.", &c.DragonTimeout, ParseInterval).Default("10")

	Flag(cmd, "data-dir", "Directory of what must survive a restart.", &c.DataDir, Text).Default("data")
	Flag(cmd, "inventory-file", "Also write the inventory here, in the original tool's form, for people's scripts; empty for none.", &c.InventoryFile, Text).Default("dragon-inventory.json")
	Flag(cmd, "inventory-retention", "Forget a dragon that has been gone for this long.", &c.InventoryRetention, ParseInterval).Default("720h")

	Flag(cmd, "scrape-workers", "Dragons read at once in a scrape.", &c.ScrapeWorkers, Whole(1, 1e5)).Default("256")
	Flag(cmd, "scrape-timeout-offset", "Taken off Prometheus' scrape timeout, so that an answer leaves in time.", &c.ScrapeOffset, ParseDuration).Default("500ms")
	Flag(cmd, "web.max-requests", "Scrapes served at once; more get 503. 0 means no limit.", &c.MaxRequests, Whole(0, 1e6)).Default("40")

	cmd.Flag("web.openmetrics-created", "Write when counters began as _created lines too, which a Prometheus stores as series unless told otherwise.").BoolVar(&c.Created)
	c.registerCollectors(cmd)

	Flag(cmd, "dragon-health-hashrate-min", "Least healthy hash rate of a board, in GH/s (SHA-256 models).", &c.Health.HashrateMin, parseGigahashes).Default("1000")
	Flag(cmd, "dragon-health-hashrate-duration", "Time that a board's hash rate must be below the minimum to count as sick.", &c.Health.HashrateDuration, ParseDuration).Default("3600")
	cmd.Flag("dragon-health-reboot", "Heal sick dragons: restart their mining process or reboot them, within limits. Without it the healer says what it would do, and does nothing.").BoolVar(&c.Health.Reboot)
	Flag(cmd, "dragon-health-check-interval", "Time between health checks. More than a minute, which is also the default, counts as a minute: the healing policy counts samples, and would wait that much longer for them.", &c.Health.CheckInterval, ParseInterval).PlaceHolder("TIME")

	Flag(cmd, "dragon-autotune-mode", "Wanted autotune mode: efficient, balanced, factory or performance. Not set: left as it is.", &c.Wish.AutotuneMode, Choice("efficient", "balanced", "factory", "performance")).PlaceHolder("MODE")
	cmd.Flag("dragon-auto-upgrade", "Bring dragons to the latest firmware: of the --firmwares-path, or what their vendors offer from allowed hosts, wave by wave.").BoolVar(&c.Wish.AutoUpgrade)
	Flag(cmd, "pools", "Wanted pools, a JSON list. Not set: left as they are.", &c.Wish.Pools, ParsePools).PlaceHolder("JSON")
	Flag(cmd, "firmwares-path", "Directory of firmware files, pinned by a SHA256SUMS in it.", &c.Wish.FirmwaresPath, Text).Default("firmwares/")
	Flags(cmd, "firmware.allowed-hosts", "Host that firmware may be fetched from, as HOST or HOST:PORT, if a vendor names it (repeatable); none for no host. Not set: the vendors' own.", &c.Wish.FirmwareHosts, parseFirmwareHost).PlaceHolder("HOST")

	Flag(cmd, "statsd-host", "Mirror to the statsd server on this host.", &c.Statsd.Host, Text).PlaceHolder("HOST")
	Flag(cmd, "statsd-port", "UDP port of the statsd server.", &c.Statsd.Port, parsePort).Default("8125")
	Flag(cmd, "statsd-prefix", "First part of every statsd name.", &c.Statsd.Prefix, parseStatsdPrefix).Default("dragons")
	Flag(cmd, "statsd-interval", "Time between two statsd mirrorings of a dragon, a second or more.", &c.Statsd.Interval, parsePace).Default("60")
	cmd.Flag("statsd-one-line", "Send one line in each packet, for a statsd server that reads no more.").BoolVar(&c.Statsd.OneLinePerPacket)

	Flag(cmd, "simulation.speed", "Let the healer's clock run so many times faster. Refused unless every network and dragon is a loopback address.", &c.SimulationSpeed, ParseSpeed).Default("1")

	return func() (*Config, error) {
		flags := *c
		c := flags
		c.Wish.FirmwareHosts = firmwareHosts(flags.Wish.FirmwareHosts)
		c.flags = &flags
		if err := c.complete(*file); err != nil {
			return nil, err
		}
		if len(c.Networks) == 0 && len(c.Targets) == 0 {
			return &c, ErrNoTarget // for those who need none
		}
		return &c, nil
	}
}

// RegisterDataDir adds what says where the data directory of an instance is, for
// commands that talk to it, and returns how to get it.
func RegisterDataDir(cmd flagger) func() (string, error) {
	data := RegisterData(cmd)
	return func() (string, error) {
		dir, _, err := data()
		return dir, err
	}
}

// RegisterData is RegisterDataDir for commands that are to know the sites, too. Where
// no file is named there are none.
func RegisterData(cmd flagger) func() (dir string, sites Sites, err error) {
	var flag, file string
	Flag(cmd, "data-dir", "Data directory of the instance.", &flag, Text).Default("data")
	Flag(cmd, "config.file", "Its configuration file, for the data directory that it names.", &file, Text).PlaceHolder("FILE")
	return func() (string, Sites, error) { return Data(file, flag) }
}

// Data returns the data directory that a configuration file names, dir if it names none,
// and its sites. The file may be empty.
func Data(file, dir string) (string, Sites, error) {
	if file == "" {
		return dir, Sites{}, nil
	}
	data, err := ReadFile(file)
	if err != nil {
		return "", Sites{}, err
	}
	// The instance runs on the file, or not; that its other keys are right is not for
	// this command to say.
	doc, r := document{DataDir: dir}, newReader()
	if root := r.parse(data); root != nil {
		r.take(root, "", reflect.ValueOf(&doc).Elem())
	}
	var c Config
	c.adoptSites(r, &doc)
	return doc.DataDir, c.Sites, nil
}

func (p *Probing) register(cmd flagger) {
	Flag(cmd, "dragon-port", "TCP port that the dragons' HTTP API listens on.", &p.Port, parsePort).Default("80")
	Flag(cmd, "scan-timeout", "Longest time that identifying one host may take in a scan.", &p.ScanTimeout, ParseInterval).Default("10")
	Flag(cmd, "scan-connect-timeout", "Pace of the connects in a scan: at least four times the longest round trip. A silent host is tried twice within two of it.", &p.ConnectTimeout, ParseInterval).Default("1")
}

// RegisterScan adds what a single scan needs: networks as arguments, and flags.
func RegisterScan(cmd *kingpin.CmdClause) *Probing {
	p := &Probing{}
	cmd.Arg("network", "Network to scan, in CIDR notation or as FIRST-LAST, with :PORTS where they are not --dragon-port.").Required().SetValue(&value[discovery.Network]{
		name: "<network>", many: true, parse: discovery.ParseNetwork, take: func(n discovery.Network) { p.Networks = append(p.Networks, n) },
	})
	p.register(cmd)
	return p
}

// parseFirmwareHost reads a host, or none, which is no host.
func parseFirmwareHost(s string) (firmware.Host, error) {
	if s == "none" {
		return firmware.Host{}, nil
	}
	return firmware.ParseHost(s)
}

// firmwareHosts are those that were named, or the vendors' own where none was.
func firmwareHosts(named []firmware.Host) []firmware.Host {
	if len(named) == 0 {
		return firmware.VendorHosts()
	}
	return slices.DeleteFunc(slices.Clone(named), func(h firmware.Host) bool { return h == firmware.Host{} })
}

func parseTarget(s string) (discovery.Target, error) {
	return discovery.Target{Name: s}, discovery.CheckTarget(s)
}

// parseNetwork reads a network without ports, which the file has no key for.
func parseNetwork(s string) (discovery.Network, error) {
	n, err := discovery.ParseNetwork(s)
	if err == nil && len(n.Ports) > 0 {
		err = fmt.Errorf("network %q names ports; --dragon-port is for all networks", s)
	}
	return n, err
}

// ControlSocket is the socket in the data directory on which a running instance takes
// commands. Only the owner of the directory may open it.
const ControlSocket = "control.sock"
