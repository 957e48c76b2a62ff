package config

import (
	"fmt"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/collector"
	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// Settings is what an operator can set, in the shape of the file: a yaml tag is a key. What
// each is for, and the flag that sets it, is its row in sections.
type Settings struct {
	Networks  []Network         `yaml:"networks"`
	Exclude   []discovery.Range `yaml:"exclude"`
	Dragons   []Target          `yaml:"dragons"`
	Logins    []credential      `yaml:"credentials"`
	DataDir   string            `yaml:"data_dir"`
	Inventory struct {
		File       string        `yaml:"file"` // empty: not written
		Retention  time.Duration `yaml:"retention"`
		Labels     []string      `yaml:"labels"` // the declared names
		LabelsFile string        `yaml:"labels_file"`
		Max        int           `yaml:"max"`
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
		MaxRequests   int           `yaml:"max_requests"` // 0: no limit
		Created       bool          `yaml:"openmetrics_created"`
	} `yaml:"scrape"`
	Collectors Collectors `yaml:"collectors"`
	Statsd     struct {
		Host             string        `yaml:"host"` // empty: off
		Port             uint16        `yaml:"port"`
		Prefix           string        `yaml:"prefix"`
		Interval         time.Duration `yaml:"interval"`
		OneLinePerPacket bool          `yaml:"one_line_per_packet"`
	} `yaml:"statsd"`
	Web struct {
		Grafana    string `yaml:"grafana"`    // empty: none
		Prometheus string `yaml:"prometheus"` // empty: none
	} `yaml:"web"`
	Policy   healer.Policy `yaml:"healing"`
	Firmware struct {
		Path         string          `yaml:"path"`          // empty: no directory
		AllowedHosts []firmware.Host `yaml:"allowed_hosts"` // empty: nothing is fetched
		AutoUpgrade  bool            `yaml:"auto_upgrade"`
	} `yaml:"firmware"`
	Profiles     []profile    `yaml:"profiles"`
	Power        []ModelPower `yaml:"power"`
	HA           HA           `yaml:"ha"`
	CalendarList []calendar   `yaml:"calendars"`
	Notify       struct {
		Webhooks []webhook `yaml:"webhooks"`
	} `yaml:"notify"`

	// These are set by flags alone.
	Pools           []PoolSet     `yaml:"-"` // empty: left as they are
	AutotuneMode    string        `yaml:"-"` // empty: left as it is
	CheckInterval   time.Duration `yaml:"-"` // 0: as the policy has it
	SimulationSpeed float64       `yaml:"-"` // how many times faster the healer's clock runs; 1 but for simulated dragons

	beside []string // the flags that are given and have no key
}

// Network is where dragons are searched.
type Network struct {
	CIDR  discovery.Range       `yaml:"cidr"`
	Ports []discovery.PortRange `yaml:"ports"` // empty: discovery.port
	Site  string                `yaml:"site"`
}

func (n *Network) searched() discovery.Network {
	return discovery.Network{Range: n.CIDR, Ports: n.Ports}
}

// Target is a dragon that is read without a search, or has a name and labels, or both.
type Target struct {
	Address string            `yaml:"address"` // host or host:port
	Site    string            `yaml:"site"`
	MAC     string            `yaml:"mac"`
	Name    string            `yaml:"name"`
	Labels  map[string]string `yaml:"labels"`
}

// Collectors says which series there are. Its keys are the names of collector.Switches.
type Collectors struct {
	System   bool `yaml:"system"`
	Boards   bool `yaml:"boards"`
	Pools    bool `yaml:"pools"`
	Restarts bool `yaml:"restarts"`
	Autotune bool `yaml:"autotune"`
	Errors   bool `yaml:"errors"`
	Firmware bool `yaml:"firmware"`
	Power    bool `yaml:"power"`
	Facts    bool `yaml:"facts"`
	Chips    bool `yaml:"chips"`
}

// sections has a row for every key of the file and every flag of the program, in the order
// of the reference.
func sections() []section {
	return append([]section{
		{path: "networks", rows: []setting{
			{doc: "The networks that are searched for dragons.", flag: "network", holder: "CIDR",
				help: "Network to search for dragons, in CIDR notation or as FIRST-LAST, with :PORTS for other ports than the default one.",
				example: "- {cidr: 192.0.2.0/25, site: hall-a}\n- {cidr: 192.0.2.130-192.0.2.199, site: hall-b}\n" +
					"- {cidr: 198.51.100.7/32, ports: [80, 8101-8120], site: behind-a-router}",
				set: func(s *Settings, text string) error {
					n, err := discovery.ParseNetwork(text)
					s.Networks = append(s.Networks, Network{CIDR: n.Range, Ports: n.Ports})
					return err
				}},
			{key: "[].cidr", as: network, doc: "The network in CIDR notation or as first-last, /12 at the widest."},
			{key: "[].ports", doc: "The TCP ports that are searched at each address, such as [80, 8101-8120] for port forwards. Not set: `discovery.port`."},
			{key: "[].site", doc: "The site of its dragons: what shares a switch or a fuse. Without a name the CIDR is the name."},
		}},
		{rows: []setting{
			{key: "exclude", flag: "exclude", holder: "ADDRESS", example: "[192.0.2.1, 192.0.2.40-192.0.2.49, 192.0.2.64/28]",
				doc: "Addresses, ranges and networks that are never searched, whichever network has them. Dragons that are named are read all the same."},
		}},
		{path: "dragons", about: `A dragon with a MAC may have a name and the labels that ` + "`inventory.labels`" + ` declares. They are on ` + "`dragon_info`" + `: each label
by its own name, ` + "`name`, and `place`" + `, which is all of them in one text, such as "the old one, rack a12, slot 3". ` + "`place`" + ` is in alert texts and on the
boards. ` + "`/sd`" + ` has ` + "`__meta_dragon_name` and `__meta_dragon_label_NAME`" + `. The fleet page filters and groups by labels, and
` + "`healer pause --scope=label=rack=a12`" + ` takes all with a label. A long list is better in
` + "`inventory.labels_file`" + `, a CSV file such as "mac,name,rack,slot"; where both have a value, this file wins.`, rows: []setting{
			{doc: "Dragons that are read without a search, and the names and labels of dragons by their MACs.", flag: "dragon", holder: "HOST[:PORT]", help: "Dragon to read without a search.",
				example: "- {address: \"198.51.100.17:8080\", site: shed}\n- {mac: \"a0:b0:45:00:ad:e5\", name: the old one, labels: {rack: a12, slot: 3}}",
				set: func(s *Settings, text string) error {
					s.Dragons = append(s.Dragons, Target{Address: text})
					return discovery.CheckTarget(text)
				}},
			{key: "[].address", doc: "The address to read without a search: `host` or `host:port`."},
			{key: "[].site", doc: "Its site; not set: the site of its address."},
			{key: "[].mac", doc: "The MAC of the dragon that has the name and the labels."},
			{key: "[].name", doc: "A name for people, on `dragon_info`, on the pages and in alerts."},
			{key: "[].labels", doc: "Values of the labels that `inventory.labels` declares, such as `{rack: a12, slot: 3}`."},
		}},
		{path: "credentials", about: `At a dragon's login the matching credentials are tried, the most specific match first (as with profiles), then in the order of the
file; where none matches, the factory passwords. As long as the dragon at an address is unknown, credentials without a MAC and a model are tried
first, then at most eight of the others that fit the address. A password is sent only to what answers like a dragon.`,
			rows: []setting{
				{doc: "The credentials for the dragons, in place of the factory passwords admin/dragonadmin and admin/admin.",
					example: "- {username: admin, password_file: admin.password}\n" +
						"- {username: admin, password_file: hall-a.password, match: {site: hall-a}}\n- {username: admin, password: dragonadmin}"},
				{key: "[].username", doc: "The user."},
				{key: "[].password", doc: "The password in clear text. Prefer `password_file`."},
				{key: "[].password_file", doc: "A file whose only line is the password. A relative path starts at the directory of the configuration file."},
				{key: "[].match.all", doc: "true: the credential is for every dragon, as is one without a match."},
				{key: "[].match.mac", doc: "The MACs of the dragons that the credential is for."},
				{key: "[].match.network", doc: "The networks of the dragons that the credential is for."},
				{key: "[].match.site", doc: "The sites of the dragons that the credential is for."},
				{key: "[].match.model", doc: "The models of the dragons that the credential is for, as `dragon_info` has them."},
			}},
		{rows: []setting{
			{key: "data_dir", flag: "data-dir", def: "data", restart: true, doc: "The directory for everything that survives a restart."},
		}},
		{path: "inventory", rows: []setting{
			{key: "file", flag: "inventory-file", def: "dragon-inventory.json", restart: true,
				doc: "A second copy of the inventory in the Python tool's format, for scripts; empty: none."},
			{key: "retention", flag: "inventory-retention", def: "720h", as: interval, doc: "How long a dragon is remembered after it was last seen."},
			{key: "max", flag: "inventory-max", def: "20000", from: "1", to: "1000000", restart: true,
				doc: "How many dragons a first scan takes in, and half of how many are ever taken in without a human. A later scan takes in 200, or a fifth of the known ones."},
			{key: "labels", flag: "inventory.labels", holder: "NAME", example: "[rack, slot, owner]",
				doc: "The labels that dragons may have. They are on `dragon_info`, in `/sd` and on the pages."},
			{key: "labels_file", flag: "inventory.labels-file", holder: "FILE", example: "labels.csv",
				doc: "A CSV file with labels: its header has mac, and then name or any declared labels. It is read again at a reload. " +
					"A relative path in the file starts at the directory of the configuration file."},
		}},
		{path: "discovery", rows: []setting{
			{key: "interval", flag: "scan-interval", def: "300", as: interval, doc: "The time between two scans."},
			{key: "port", flag: "dragon-port", def: "80", doc: "The TCP port of the dragons' HTTP API."},
			{key: "timeout", flag: "scan-timeout", def: "10", as: interval, doc: "The longest time for one answer of a host in a scan. To identify it takes four answers or more."},
			{key: "connect_timeout", flag: "scan-connect-timeout", def: "1", as: interval,
				doc: "The TCP connect timeout of a scan: at least four times the longest round trip."},
			{key: "listen", flag: "discovery.listen", restart: true,
				doc: "Whether to listen for dragons whose front button is pressed (UDP 14235 and 8001), and identify those in the networks at once."},
		}},
		{path: "scrape", rows: []setting{
			{key: "dragon_timeout", flag: "dragon-timeout", def: "10", as: interval, doc: "The longest time to read one dragon."},
			{key: "timeout_offset", flag: "scrape-timeout-offset", def: "500ms", doc: "The time by which a scrape ends before Prometheus' scrape timeout."},
			{key: "workers", flag: "scrape-workers", def: "256", from: "1", to: "100000", doc: "How many dragons a scrape reads at the same time."},
			{key: "max_requests", flag: "web.max-requests", def: "40", from: "0", to: "1000000",
				doc: "How many scrapes are served at the same time; more get status 503. 0: no limit."},
			{key: "openmetrics_created", flag: "web.openmetrics-created", restart: true,
				doc: "Whether OpenMetrics text has `_created` lines, which Prometheus stores as series of their own by default."},
		}},
		{path: "collectors", about: "Which series are exported. What is off is not read from the dragons either, where it takes a request of its own.", rows: collectorRows()},
		{path: "statsd", rows: []setting{
			{key: "host", flag: "statsd-host", holder: "HOST", example: "statsd.example.net", doc: "The host of the statsd server to send to; empty: none."},
			{key: "port", flag: "statsd-port", def: "8125", doc: "The UDP port of the statsd server."},
			{key: "prefix", flag: "statsd-prefix", def: "dragons", as: statsdPrefix, doc: "The first part of every statsd name."},
			{key: "interval", flag: "statsd-interval", def: "60", from: "1s", doc: "The time between two statsd updates of a dragon."},
			{key: "one_line_per_packet", flag: "statsd-one-line", doc: "Whether each packet has a single line, for a statsd server that reads no more."},
		}},
		{path: "web", rows: []setting{
			{key: "grafana", example: "http://grafana.example.net:3000", doc: "The base URL of the Grafana that has the boards: " +
				"each dragon's page links to its board there; empty: none."},
			{key: "prometheus", flag: "web.prometheus", holder: "URL", example: "http://127.0.0.1:9090", doc: "The base URL of the Prometheus that " +
				"the charts of a dragon's page come from; empty: they show the last 6 hours, from memory."},
		}},
	}, append(healingSections(), lastSections()...)...)
}

func collectorRows() []setting {
	var rows []setting
	for _, s := range collector.Switches() {
		standard := map[bool]string{true: "on", false: "off"}[s.On]
		rows = append(rows, setting{key: s.Name, flag: "collector." + s.Name, def: fmt.Sprint(s.On), restart: true, doc: s.Help,
			help: fmt.Sprintf("%s (default: %s)", s.Help, standard)})
	}
	return rows
}

// lastSections are those after healing, and the flags that have no key.
func lastSections() []section {
	sections := []section{
		{path: "firmware", about: "Where firmware comes from, and whether it is installed without being asked: [firmware.md](firmware.md). " +
			"How a rollout proceeds is in `healing.firmware`.", rows: []setting{
			{key: "path", flag: "firmwares-path", def: "firmwares/", doc: "The directory of firmware images, with their digests in its file SHA256SUMS; empty: none."},
			{key: "allowed_hosts", flag: "firmware.allowed-hosts", holder: "HOST", def: vendorHosts(), set: addFirmwareHost,
				doc:  "The hosts, as `HOST` or `HOST:PORT`, that firmware is downloaded from if a vendor names them; []: none.",
				help: "Host that firmware is downloaded from, as HOST or HOST:PORT, if a vendor names it; none: no host. Default: the vendors' own."},
			{key: "auto_upgrade", flag: "dragon-auto-upgrade",
				doc: "Whether the latest firmware, of the directory or of the vendors' allowed hosts, is rolled out without being asked, wave by wave."},
		}},
		{path: "profiles", about: `A profile changes keys of ` + "`healing.default`" + ` for the dragons that it matches. A dragon matches if it is in every list of
the ` + "`match`" + `. Where several profiles set the same key for a dragon, the most specific wins: one with a MAC, then one with a network (the
narrower first), a site, a model, ` + "`all`" + `. Two equally specific profiles that set the same key and can match the same dragon are an error.
` + "`mother-of-dragons plan --why WORKER`" + ` shows the result for a dragon.`, rows: []setting{
			{doc: "What differs for some dragons.", example: profilesExample},
			{key: "[].name", doc: "The name in plan and audit, of a-z, 0-9, - and _."},
			{key: "[].match.all", doc: "true: every dragon. An empty match is an error."},
			{key: "[].match.mac", doc: "The MACs of the dragons."},
			{key: "[].match.network", doc: "The networks of the dragons."},
			{key: "[].match.site", doc: "The sites of the dragons."},
			{key: "[].match.model", doc: "The models of the dragons, as `dragon_info` has them."},
			{key: "[].healing", doc: "Any keys of `healing.default`."},
			{key: "[].wish.pools", doc: "The desired pools, one to three, in their order. They replace all others."},
			{key: "[].wish.pools[].url", doc: "The pool's URL, such as `stratum+tcp://pool.example.com:3333`."},
			{key: "[].wish.pools[].username", doc: "The account. The dragon's worker name is added to it."},
			{key: "[].wish.pools[].password", doc: "The pool's password; x if the pool needs none. Prefer `password_file` for a secret one."},
			{key: "[].wish.pools[].password_file",
				doc: "A file whose only line is the password. A relative path starts at the directory of the configuration file."},
			{key: "[].wish.worker_name", doc: "The name that a dragon logs in to its pools with. {user} is the account, {worker} is `dragon-` and the end of the MAC, " +
				"{mac} is the MAC, {ip} is the IP address at the time. Default: `{user}.{worker}`."},
			{key: "[].wish.autotune.mode", doc: "The desired autotune mode: efficient, balanced, factory or performance."},
			{key: "[].wish.autotune.level", from: "0", to: "4", doc: "The desired autotune level, for models that have levels. Not set: left as it is."},
			{key: "[].wish.firmware", doc: "The exact firmware version that the dragons should run, such as t1_20180803_143208. A difference is shown; only " +
				"`firmware rollout start` installs it."},
			{key: "[].wish.priority", from: "0", to: "9", doc: "The order of rollouts: dragons with a higher priority are written to first. Not set: 0."},
		}},
	}
	return append(append(sections, append(haSections(), powerSection(), notifySection(), calendarSection())...), section{rows: []setting{
		{flag: "dragon-autotune-mode", holder: "MODE", doc: "Desired autotune mode: efficient, balanced, factory or performance. Default: left as it is.",
			set: into(func(s *Settings) *string { return &s.AutotuneMode }, Choice(dragon.AutoTuneModes()...))},
		{flag: "pools", holder: "JSON", secret: true, doc: "Desired pools, as a JSON list. Default: left as they are.",
			set: into(func(s *Settings) *[]PoolSet { return &s.Pools }, ParsePools)},
		{flag: "simulation.speed", def: "1", doc: "How many times faster the healer's clock runs. Only where every network and dragon has a loopback address.",
			set: into(func(s *Settings) *float64 { return &s.SimulationSpeed }, ParseSpeed)},
	}})
}

func vendorHosts() (list string) {
	for _, h := range firmware.VendorHosts() {
		list += h.String() + " "
	}
	return list
}

func addFirmwareHost(s *Settings, text string) error {
	if text == "none" {
		return nil
	}
	h, err := firmware.ParseHost(text)
	s.Firmware.AllowedHosts = append(s.Firmware.AllowedHosts, h)
	return err
}

const profilesExample = `- name: old-hall
  match: {site: hall-a, model: [T1]}
  healing:
    mode: observe
    heat: {warn: 85}
- name: shed
  match: {network: 198.51.100.0/24}
  healing: {detect: {low_ratio: 50%}}
- name: the-old-one
  match: {mac: "a0:b0:45:00:ad:e5"}
  healing: {boards: 2}
- name: everyone
  match: {all: true}
  healing: {device: {reboots_7d: 4}}
  wish:
    pools:
      - {url: "stratum+tcp://pool.example.com:3333", username: account, password: x}
      - {url: "stratum+tcp://spare.example.com:3333", username: account, password: x} # or password_file: pool.password
    worker_name: "{user}.{worker}"        # account.dragon-4500ade5
    autotune: {mode: balanced, level: 2}
    firmware: t1_20180803_143208`
