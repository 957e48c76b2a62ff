package config

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// document is the configuration file. Before it is read it holds what the flags say,
// so that a key of the file wins over its flag, and a flag over what nobody says.
type document struct {
	Networks    []network      `yaml:"networks"`
	Dragons     []staticDragon `yaml:"dragons"`
	Credentials []credential   `yaml:"credentials"`
	DataDir     string         `yaml:"data_dir"`
	Inventory   struct {
		File      string        `yaml:"file"`
		Retention time.Duration `yaml:"retention"`
	} `yaml:"inventory"`
	Discovery struct {
		Interval       time.Duration `yaml:"interval"`
		Port           uint16        `yaml:"port"`
		Timeout        time.Duration `yaml:"timeout"`
		ConnectTimeout time.Duration `yaml:"connect_timeout"`
		Listen         bool          `yaml:"listen"`
	} `yaml:"discovery"`
	Scrape struct {
		DragonTimeout time.Duration `yaml:"dragon_timeout"`
		TimeoutOffset time.Duration `yaml:"timeout_offset"`
		Workers       int           `yaml:"workers"`
		MaxRequests   int           `yaml:"max_requests"`
		Created       bool          `yaml:"openmetrics_created"`
	} `yaml:"scrape"`
	Collectors collectors `yaml:"collectors"`
	Statsd     struct {
		Host             string        `yaml:"host"`
		Port             uint16        `yaml:"port"`
		Prefix           string        `yaml:"prefix"`
		Interval         time.Duration `yaml:"interval"`
		OneLinePerPacket bool          `yaml:"one_line_per_packet"`
	} `yaml:"statsd"`
	Healing  healer.Policy `yaml:"healing"`
	Firmware struct {
		Path         string   `yaml:"path"`
		AllowedHosts []string `yaml:"allowed_hosts"`
		AutoUpgrade  bool     `yaml:"auto_upgrade"`
	} `yaml:"firmware"`
	Profiles []profile `yaml:"profiles"`
}

type network struct {
	CIDR discovery.Range `yaml:"cidr"`
	Site string          `yaml:"site"`
}

type staticDragon struct {
	Address string `yaml:"address"`
	Site    string `yaml:"site"`
}

// largest is more than any configuration has; it keeps a wrong path from filling the memory.
const largest = 4 << 20

// complete makes the configuration of what the flags say, and the file at path, if
// there is one.
func (c *Config) complete(path string) error {
	c.File = path
	doc, r := documentOf(c), newReader()
	if path == "" {
		c.adopt(r, &doc, "")
		return r.failed("the options")
	}
	data, err := ReadFile(path)
	if err != nil {
		return err
	}
	if root := r.parse(data); root != nil {
		r.take(root, "", reflect.ValueOf(&doc).Elem())
	}
	c.adopt(r, &doc, filepath.Dir(path))
	secret := slices.ContainsFunc(doc.Credentials, func(c credential) bool { return c.Password != "" }) ||
		slices.ContainsFunc(doc.Profiles, func(p profile) bool {
			return slices.ContainsFunc(p.Wish.Pools, func(w wantedPool) bool { return len(w.Password) > 1 }) // x is none
		})
	if info, err := os.Stat(path); err == nil && secret && othersRead(info) {
		c.warn("%s has passwords in it and others may read it: chmod 600", path)
	}
	return r.failed(path)
}

// PolicyOf is the healing policy that a configuration file with this content would
// give an instance that was started with the same flags. The rest of the file is not
// looked at: whoever wrote it has to have it checked.
func (c *Config) PolicyOf(data []byte) (*healer.Policy, error) {
	other, r := *c.flags, newReader()
	doc := documentOf(&other)
	if root := r.parse(data); root != nil {
		r.take(root, "", reflect.ValueOf(&doc).Elem())
	}
	sites := other.adoptSites(r, &doc)
	other.Healing = newHealing(r, &doc, sites)
	if err := r.failed("the file"); err != nil {
		return nil, err
	}
	return other.Healing.Policy(), nil
}

// ReadFile reads a configuration file as it stands.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if info.Size() > largest {
		return nil, fmt.Errorf("configuration file %s: %d bytes, expected at most %d", path, info.Size(), largest)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("configuration file: %s is a directory", path)
	}
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largest+1)) // a device has no size
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if len(data) > largest {
		return nil, fmt.Errorf("configuration file %s: more than %d bytes", path, largest)
	}
	return data, nil
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

func othersRead(info fs.FileInfo) bool { return info.Mode().Perm()&0o004 != 0 }

// documentOf writes down what the flags say, as a file would say it.
func documentOf(c *Config) document {
	var d document
	for _, n := range c.Networks {
		d.Networks = append(d.Networks, network{CIDR: n.Range})
	}
	for _, t := range c.Targets {
		d.Dragons = append(d.Dragons, staticDragon{Address: t.Name, Site: t.Site})
	}
	d.DataDir = c.DataDir
	d.Inventory.File, d.Inventory.Retention = c.InventoryFile, c.InventoryRetention
	d.Discovery.Interval, d.Discovery.Port = c.ScanInterval, c.Port
	d.Discovery.Timeout, d.Discovery.ConnectTimeout, d.Discovery.Listen = c.ScanTimeout, c.ConnectTimeout, c.Listen
	d.Scrape.DragonTimeout, d.Scrape.TimeoutOffset = c.DragonTimeout, c.ScrapeOffset
	d.Scrape.Workers, d.Scrape.MaxRequests, d.Scrape.Created = c.ScrapeWorkers, c.MaxRequests, c.Created
	d.Collectors = collectorsOf(c.Collectors)
	d.Statsd.Host, d.Statsd.Port, d.Statsd.Prefix = c.Statsd.Host, c.Statsd.Port, c.Statsd.Prefix
	d.Statsd.Interval, d.Statsd.OneLinePerPacket = c.Statsd.Interval, c.Statsd.OneLinePerPacket
	d.Healing = c.policy()
	d.Firmware.Path, d.Firmware.AutoUpgrade = c.Wish.FirmwaresPath, c.Wish.AutoUpgrade
	for _, h := range c.Wish.FirmwareHosts {
		d.Firmware.AllowedHosts = append(d.Firmware.AllowedHosts, h.String())
	}
	return d
}

// adopt checks what a document says and takes it over. What is wrong goes to r.
func (c *Config) adopt(r *reader, d *document, dir string) {
	c.doc, c.read = d, r
	for path, v := range map[string]time.Duration{
		"inventory.retention":       d.Inventory.Retention,
		"discovery.interval":        d.Discovery.Interval,
		"discovery.timeout":         d.Discovery.Timeout,
		"discovery.connect_timeout": d.Discovery.ConnectTimeout,
		"scrape.dragon_timeout":     d.Scrape.DragonTimeout,
		"statsd.interval":           d.Statsd.Interval,
	} {
		if v == 0 {
			r.at(path, "must be longer than nothing")
		} else if path == "statsd.interval" && v < leastPace {
			r.at(path, "is too short: want a second or more")
		}
	}
	if n := d.Scrape.Workers; n < 1 || n > 1e5 {
		r.at("scrape.workers", "%d will not do: want 1 to 100000", n)
	}
	if n := d.Scrape.MaxRequests; n < 0 || n > 1e6 {
		r.at("scrape.max_requests", "%d will not do: want 0 to 1000000", n)
	}
	if _, err := parseStatsdPrefix(d.Statsd.Prefix); err != nil {
		r.at("statsd.prefix", "%s", err)
	}
	if d.DataDir == "" {
		r.at("data_dir", "is empty; write . for the working directory")
	}
	c.Wish.FirmwaresPath, c.Wish.AutoUpgrade, c.Wish.FirmwareHosts = d.Firmware.Path, d.Firmware.AutoUpgrade, nil
	for i, s := range d.Firmware.AllowedHosts {
		h, err := firmware.ParseHost(s)
		if err != nil {
			r.at(fmt.Sprintf("firmware.allowed_hosts[%d]", i), "%s", err)
		}
		c.Wish.FirmwareHosts = append(c.Wish.FirmwareHosts, h)
	}
	sites := c.adoptSites(r, d)
	c.adoptCredentials(r, d.Credentials, dir, sites)
	c.Healing = newHealing(r, d, sites)
	c.Wishes = c.newWishes(r, d, sites, dir)
	c.Healing.policy.Wish = c.Wishes.Of
	if asked := c.Health.CheckInterval; asked > longestPoll && !r.has("healing.poll") {
		c.warn("--dragon-health-check-interval=%s: dragons are checked every %s all the same, since the healer's evidence is so many samples", Span(asked), Span(longestPoll))
	}

	c.DataDir, c.InventoryFile, c.InventoryRetention = d.DataDir, d.Inventory.File, d.Inventory.Retention
	c.Listen = d.Discovery.Listen
	c.ScanInterval, c.Port, c.ScanTimeout, c.ConnectTimeout = d.Discovery.Interval, d.Discovery.Port, d.Discovery.Timeout, d.Discovery.ConnectTimeout
	c.DragonTimeout, c.ScrapeOffset = d.Scrape.DragonTimeout, d.Scrape.TimeoutOffset
	c.ScrapeWorkers, c.MaxRequests, c.Created = d.Scrape.Workers, d.Scrape.MaxRequests, d.Scrape.Created
	c.Collectors = d.Collectors.choice()
	c.Statsd = Statsd{d.Statsd.Host, d.Statsd.Port, d.Statsd.Prefix, d.Statsd.Interval, d.Statsd.OneLinePerPacket}
	if len(r.problems) == 0 {
		c.warnOfFoolish(d)
	}
}

// Sites says which site, and so which fault domain, an address belongs to.
type Sites struct {
	networks []network // the narrowest first
	named    []namedSite
}

// namedSite is the site of a static dragon.
type namedSite struct {
	ip   netip.Addr
	port string // empty: the usual one
	site string
}

// Of returns the site of an address, host or host:port: that of the dragon which is named
// by it, else that of the narrowest network around it, which goes by its CIDR where it
// has no name. Empty: no network holds it.
func (s *Sites) Of(address string) string {
	a, err := addressOf(address)
	if err != nil {
		return ""
	}
	if site := s.ofNamed(a, portOf(address)); site != "" {
		return site
	}
	for _, n := range s.networks {
		if n.CIDR.Contains(a) {
			return cmp.Or(n.Site, n.CIDR.String())
		}
	}
	return ""
}

// ofNamed returns the site of the static dragon at an address; where none has this port,
// that of all static dragons there, if they are at one site.
func (s *Sites) ofNamed(a netip.Addr, port string) string {
	var sites []string
	for _, n := range s.named {
		if n.ip == a && n.port == port {
			return n.site
		}
		if n.ip == a && !slices.Contains(sites, n.site) {
			sites = append(sites, n.site)
		}
	}
	if len(sites) == 1 {
		return sites[0]
	}
	return ""
}

// adoptSites takes over where dragons are looked for, and returns the sites' names.
func (c *Config) adoptSites(r *reader, d *document) (names []string) {
	c.Networks, c.Targets, c.Sites = nil, nil, Sites{}
	named := func(path, site string) {
		if r.has(path+".site") && (site == "" || len(site) > 100 || strings.TrimSpace(site) != site || strings.ContainsFunc(site, unprintable)) {
			r.at(path+".site", "%s will not do: want a name of at most 100 letters", shown(site))
		}
		if site != "" && !slices.Contains(names, site) {
			names = append(names, site)
		}
	}
	for i, n := range d.Networks {
		path := fmt.Sprintf("networks[%d]", i)
		if !n.CIDR.IsValid() {
			if !r.has(path + ".cidr") {
				r.at(path, "it has no cidr")
			}
			continue
		}
		if j := slices.IndexFunc(d.Networks[:i], func(o network) bool { return o.CIDR == n.CIDR }); j >= 0 && r.has(path) {
			r.at(path+".cidr", "%s is networks[%d] already", n.CIDR, j)
			continue
		}
		named(path, n.Site)
		c.Networks = append(c.Networks, discovery.Network{Range: n.CIDR})
		c.Sites.networks = append(c.Sites.networks, n)
	}
	slices.SortStableFunc(c.Sites.networks, func(a, b network) int { return cmp.Compare(a.CIDR.Size(), b.CIDR.Size()) })
	for i, t := range d.Dragons {
		path := fmt.Sprintf("dragons[%d]", i)
		if t.Address == "" && !r.has(path+".address") {
			r.at(path, "it has no address")
			continue
		}
		if err := discovery.CheckTarget(t.Address); err != nil {
			r.at(path+".address", "%s", err)
			continue
		}
		if slices.ContainsFunc(c.Targets, func(o discovery.Target) bool { return o.Name == t.Address }) && r.has(path) {
			r.at(path+".address", "%s is there twice", t.Address)
			continue
		}
		c.Targets = append(c.Targets, discovery.Target{Name: t.Address, Site: t.Site})
		named(path, t.Site)
		if t.Site == "" {
			continue
		}
		ip, err := addressOf(t.Address)
		if err != nil {
			continue // a name: the scanner knows where it leads
		}
		n := namedSite{ip, portOf(t.Address), t.Site}
		if i := slices.IndexFunc(c.Sites.named, func(o namedSite) bool { return o.ip == n.ip && o.port == n.port }); i >= 0 && c.Sites.named[i] != n {
			r.at(path+".site", "%s is at site %s already", ip, c.Sites.named[i].site)
			continue
		}
		c.Sites.named = append(c.Sites.named, n)
	}
	return names
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }

// portOf is the port of host:port; empty if there is none.
func portOf(target string) string {
	_, port, _ := net.SplitHostPort(target)
	return port
}

// addressOf is the IP address of host or host:port; an error if the host is a name.
func addressOf(target string) (netip.Addr, error) {
	if host, _, err := net.SplitHostPort(target); err == nil {
		target = host
	}
	a, err := netip.ParseAddr(target)
	return a.Unmap(), err
}
