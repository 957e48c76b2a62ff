package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

var update = flag.Bool("update", false, "write the golden files, the example, the schema and docs/configuration.md")

// golden compares got with a file, or writes the file with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what it should be (-want +got); if the new one is right: go test ./internal/config -update\n%s", file, diff)
	}
}

// written puts text into a file that only its owner may read.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeExampleFiles writes the files that the example names.
func writeExampleFiles(t *testing.T, dir string) {
	t.Helper()
	for name, content := range map[string]string{
		"admin.password": "dragonadmin\n", "hall-a.password": "dragonadmin\n", "ops.secret": "0123456789abcdef\n", "chat.url": "https://chat.example.net/hook\n",
		"labels.csv": "mac,rack\na0:b0:45:00:00:01,a12\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func parseFile(t *testing.T, text string, args ...string) (*Config, error) {
	t.Helper()
	return parse(append([]string{"--config.file=" + written(t, text)}, args...)...)
}

func mustParse(t *testing.T, text string, args ...string) *Config {
	t.Helper()
	c, err := parseFile(t, text, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			_, err := parse("--config.file=" + file)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is in the error: %v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yml")+".err", err.Error()+"\n")
		})
	}
}

func TestAFileThatIsNotThere(t *testing.T) {
	if _, err := parse("--network=127.5.0.0/24", "--config.file=testdata/nowhere.yml"); err == nil || !strings.Contains(err.Error(), "nowhere.yml") {
		t.Errorf("%v", err)
	}
}

const whole = `
networks:
  - cidr: 127.5.0.0/16
  - {cidr: 127.5.7.0/24, site: hall-a}
dragons:
  - address: 127.6.0.1:8080
    site: hall-b
  - address: one.example.net
credentials:
  - {username: admin, password: 0123}
data_dir: /var/lib/elsewhere
inventory: {file: "", retention: 48h}
discovery: {interval: 10m, port: 8080, timeout: 4, connect_timeout: 500ms}
scrape: {dragon_timeout: 5s, timeout_offset: 1s, workers: 9, max_requests: 0, openmetrics_created: true}
statsd: {host: 127.0.0.1, port: 9125, prefix: d, interval: 30, one_line_per_packet: true}
collectors: {chips: true, firmware: false}
firmware: {path: "", allowed_hosts: [files.example.com, "10.0.0.5:8080"], auto_upgrade: true}
healing:
  poll: 30s
  fleet: {in_flight: 3%, spacing: 1m}
  gate: {prometheus: "https://prometheus.example.net/prefix/", query: "ALERTS > 0", on_error: allow, holds: rollouts}
  windows: [{days: Mon, start: "22:30", length: 6h, zone: Europe/Berlin}]
  default:
    mode: enforce
    detect: {min_hashrate_per_board: 1.5 TH/s, low: {bad: 20}}
    ladder: {steps: [restart, reboot], hold: [10m, 1h]}
`

func TestTheFileApplies(t *testing.T) {
	c := mustParse(t, whole, "--network=127.9.0.0/24", "--data-dir=flag", "--statsd-prefix=flag", "--dragon-timeout=7")
	if diff := cmp.Diff("[127.5.0.0/16 127.5.7.0/24]", fmt.Sprint(c.Searched())); diff != "" {
		t.Errorf("networks: %s", diff)
	}
	if diff := cmp.Diff([]discovery.Target{{Name: "127.6.0.1:8080", Site: "hall-b"}, {Name: "one.example.net"}}, c.Targets()); diff != "" {
		t.Errorf("dragons: %s", diff)
	}
	if diff := cmp.Diff([]dragon.Credential{{Username: "admin", Password: "0123"}}, c.Credentials.For("127.5.0.1", nil)); diff != "" {
		t.Errorf("credentials: %s", diff)
	}
	if c.DataDir != "/var/lib/elsewhere" || c.Inventory.File != "" || c.Inventory.Retention != 48*time.Hour ||
		c.Discovery.Interval != 10*time.Minute || c.Discovery.Port != 8080 || c.Discovery.Timeout != 4*time.Second || c.Discovery.ConnectTimeout != 500*time.Millisecond ||
		c.Scrape.DragonTimeout != 5*time.Second || c.Scrape.TimeoutOffset != time.Second || c.Scrape.Workers != 9 || c.Scrape.MaxRequests != 0 || !c.Scrape.Created ||
		c.Statsd.Host != "127.0.0.1" || c.Statsd.Port != 9125 || c.Statsd.Prefix != "d" || c.Statsd.Interval != 30*time.Second || !c.Statsd.OneLinePerPacket ||
		!c.Collectors.Chips || c.Collectors.Firmware || !c.Collectors.Boards ||
		c.Firmware.Path != "" || fmt.Sprint(c.Firmware.AllowedHosts) != "[files.example.com 10.0.0.5:8080]" || !c.Firmware.AutoUpgrade {
		t.Errorf("settings lost: %+v", c)
	}
	p := c.Healing.Policy()
	want := healer.DefaultPolicy()
	want.Poll = 30 * time.Second
	want.Fleet.InFlight, want.Fleet.Spacing = 0.03, time.Minute
	want.External = healer.External{Prometheus: "https://prometheus.example.net/prefix/", Query: "ALERTS > 0", OnError: "allow", Holds: healer.HoldsRollouts}
	want.Default.Mode = healer.Enforce
	want.Default.Detect.MinPerBoard, want.Default.Detect.Min.For = 1.5e12, time.Hour
	want.Default.Detect.Low.Bad = 20
	want.Default.Ladder.Steps = []healer.Kind{healer.Restart, healer.Reboot}
	want.Default.Ladder.Hold = []time.Duration{10 * time.Minute, time.Hour}
	for _, x := range []struct{ name, diff string }{
		{"fleet", cmp.Diff(want.Fleet, p.Fleet)}, {"breakers", cmp.Diff(want.Breakers, p.Breakers)},
		{"causes", cmp.Diff(want.Causes, p.Causes)}, {"gate", cmp.Diff(want.External, p.External)}, {"default", cmp.Diff(want.Default, p.Default)},
	} {
		if x.diff != "" {
			t.Errorf("%s: %s", x.name, x.diff)
		}
	}
	if p.Poll != want.Poll || p.StartSamples != want.StartSamples {
		t.Errorf("poll %v, start samples %d", p.Poll, p.StartSamples)
	}
	monday := time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC) // 23:00 in Berlin
	if w := p.Windows; len(w) != 1 || !w[0].Open(monday) || w[0].Open(monday.Add(-time.Hour)) {
		t.Errorf("windows: %+v", w)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "on_error") {
		t.Errorf("warnings: %v", c.Warnings)
	}
}

func TestFlagsApplyWhereTheFileIsSilent(t *testing.T) {
	c := mustParse(t, "statsd: {host: 127.0.0.1}\nhealing:\n  default:\n    # mode: observe\n",
		"--network=127.9.0.0/24", "--statsd-prefix=flag", "--dragon-health-reboot", "--dragon-health-hashrate-min=900",
		"--dragon-health-hashrate-duration=600", "--dragon-health-check-interval=20")
	p := c.Healing.Policy()
	if len(c.Networks) != 1 || c.Statsd.Prefix != "flag" || c.Statsd.Host != "127.0.0.1" ||
		p.Default.Mode != healer.Enforce || p.Default.Detect.MinPerBoard != 900e9 || p.Default.Detect.Min.For != 10*time.Minute || p.Poll != 20*time.Second || len(c.Warnings) != 0 {
		t.Errorf("%+v\n%+v", c, p)
	}
	if c := mustParse(t, "healing: {default: {mode: observe}}", "--network=127.9.0.0/24", "--dragon-health-reboot"); c.Healing.Policy().Enforcing() {
		t.Error("the flag won over the file")
	}
	if c := mustParse(t, "", "--network=127.9.0.0/24"); c.Healing.Policy().Enforcing() {
		t.Error("the healer enforces by default")
	}
}

// Evidence is so many samples: with one in five minutes a low hash rate would have to
// last for two and a half hours.
func TestALongCheckIntervalDoesNotStretchTheEvidence(t *testing.T) {
	c, err := parse("--network=127.9.0.0/24", "--dragon-health-check-interval=300")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Healing.Policy(); p.Poll != time.Minute {
		t.Errorf("a sample every %s", p.Poll)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "--dragon-health-check-interval=5m") {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if c := mustParse(t, "healing: {poll: 30s}", "--network=127.9.0.0/24", "--dragon-health-check-interval=300"); c.Healing.Policy().Poll != 30*time.Second || len(c.Warnings) != 0 {
		t.Errorf("the file says 30s: %+v, %q", c.Healing.Policy().Poll, c.Warnings)
	}
}

func TestSitesAreThoseOfTheNarrowestNetwork(t *testing.T) {
	c := mustParse(t, whole)
	for address, want := range map[string]string{
		"127.5.7.9": "hall-a", "127.5.8.9": "127.5.0.0/16", "127.6.0.1": "hall-b", "::ffff:127.6.0.1": "hall-b", "127.6.0.2": "",
		"127.5.7.9:8101": "hall-a", "127.6.0.1:8080": "hall-b", "one.example.net": "",
	} {
		if got := c.Sites.Of(address); got != want {
			t.Errorf("%s: site %q, want %q", address, got, want)
		}
	}
}

func TestPortForwardsBehindOneAddressHaveSitesOfTheirOwn(t *testing.T) {
	c := mustParse(t, `
networks: [{cidr: 127.5.0.1-127.5.0.9, site: range}]
dragons: [{address: "127.5.0.1:8101", site: a}, {address: "127.5.0.1:8102", site: b}, {address: miner.example, site: named}]`)
	for address, want := range map[string]string{
		"127.5.0.1:8101": "a", "127.5.0.1:8102": "b", "127.5.0.1": "range", "127.5.0.9": "range", "127.5.0.10": "",
	} {
		if got := c.Sites.Of(address); got != want {
			t.Errorf("%s: site %q, want %q", address, got, want)
		}
	}
	if c.Targets()[2].Site != "named" {
		t.Errorf("the host name has the site %q", c.Targets()[2].Site)
	}
}

func TestNetworksHavePortsAndHoles(t *testing.T) {
	c := mustParse(t, `
networks:
  - {cidr: 127.5.0.7/32, ports: [8101-8110, 80], site: a}
  - {cidr: 127.5.0.7/32, ports: 8111-8120, site: b}
  - {cidr: 127.5.0.0/24, site: all}
exclude: [127.5.0.1, 127.5.0.40-127.5.0.49, 127.5.0.64/28]
`, "--network=127.9.0.0/24", "--exclude=127.9.0.1")
	if got := fmt.Sprint(c.Searched(), c.Exclude); got != "[127.5.0.7/32:8101-8110,80 127.5.0.7/32:8111-8120 127.5.0.0/24] [127.5.0.1 127.5.0.40-127.5.0.49 127.5.0.64/28]" {
		t.Errorf("searched: %s", got)
	}
	for address, want := range map[string]string{
		"127.5.0.7:8105": "a", "127.5.0.7": "a", "127.5.0.7:8111": "b", "127.5.0.7:9": "all", "127.5.0.8:8111": "all",
	} {
		if got := c.Sites.Of(address); got != want {
			t.Errorf("%s: site %q, want %q", address, got, want)
		}
	}
	flags, err := parse("--network=127.9.0.10-127.9.0.19:80,8101-8102", "--exclude=127.9.0.12", "--exclude=127.9.0.16/31")
	if err != nil || fmt.Sprint(flags.Searched(), flags.Exclude) != "[127.9.0.10-127.9.0.19:80,8101-8102] [127.9.0.12 127.9.0.16/31]" {
		t.Errorf("%v %v", flags, err)
	}
	if other := mustParse(t, "exclude: 127.9.0.12", "--network=127.9.0.10-127.9.0.19:80,8101-8102"); other.SearchesAs(flags) || !other.SearchesAs(other) {
		t.Error("what is excluded makes no difference")
	}
}

func TestPasswordsAreReadFromFiles(t *testing.T) {
	path := written(t, "networks: {}\n")
	dir := filepath.Dir(path)
	text := "networks: [{cidr: 127.5.0.0/24}]\ncredentials: [{username: admin, password_file: secret}]\n"
	for _, x := range []struct {
		name, content string
		mode          os.FileMode
		warns         bool
		err           string
	}{
		{"a line", "hunter2\n", 0o600, false, ""},
		{"without its end", "hunter2", 0o640, false, ""},
		{"that all may read", "hunter2\n", 0o644, true, ""},
		{"empty", "\n", 0o600, false, "has no password"},
		{"two lines", "hunter2\nhunter3\n", 0o600, false, "want one line"},
	} {
		t.Run(x.name, func(t *testing.T) {
			secret := filepath.Join(dir, "secret")
			_ = os.Remove(secret)
			for file, content := range map[string]string{secret: x.content, path: text} {
				if err := os.WriteFile(file, []byte(content), x.mode); err != nil {
					t.Fatal(err)
				}
			}
			c, err := parse("--config.file=" + path)
			if x.err != "" {
				if err == nil || !strings.Contains(err.Error(), x.err) || strings.Contains(err.Error(), "hunter") {
					t.Errorf("%v, want %q", err, x.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if list := c.Credentials.For("127.5.0.1", nil); len(list) != 1 || string(list[0].Password) != "hunter2" {
				t.Errorf("the password is not what the file holds")
			}
			if warned := len(c.Warnings) == 1 && strings.Contains(c.Warnings[0], "secret contains a password"); warned != x.warns {
				t.Errorf("warnings: %q, want one: %v", c.Warnings, x.warns)
			}
		})
	}
}

func TestAFileWithPasswordsThatAllMayReadIsWarnedOf(t *testing.T) {
	path := written(t, "networks: [{cidr: 127.5.0.0/24}]\ncredentials: [{username: admin, password: hunter2}]\n")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := parse("--config.file=" + path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "chmod 600") || strings.Contains(c.Warnings[0], "hunter2") {
		t.Errorf("warnings: %q", c.Warnings)
	}
}

func TestProfilesApplyFieldByField(t *testing.T) {
	c := mustParse(t, `
networks: [{cidr: 127.5.0.0/16, site: hall-a}, {cidr: 127.6.0.0/16, site: hall-b}]
profiles:
  - name: one
    match: {mac: "A0-B0-45-00-00-01"}
    healing: {grace: {rate: 1m}}
  - name: t1
    match: {model: [t1]}
    healing: {mode: enforce, grace: {rate: 5m, no_work: 5m}, ladder: {steps: [reboot], hold: [1h]}}
  - name: hall
    match: {site: hall-a}
    healing: {grace: {rate: 4m}}
  - name: shelf
    match: {network: [127.5.3.0/24, 127.5.3.8/30]}
    healing: {grace: {rate: 3m}}
  - name: row
    match: {network: 127.5.3.0/28}
    healing: {grace: {rate: 2m, no_work: 2m}}
  - name: everyone
    match: {all: true}
    healing: {grace: {rate: 6m, no_work: 6m, dead_hot: 6m}}
`)
	p := c.Healing.Policy()
	for _, x := range []struct {
		name, mac, model, ip string
		profile              string
		mode                 healer.Mode
		rate, noWork         int // minutes
	}{
		{"nothing fits but all", "a0:b0:45:00:00:09", "B29", "127.6.0.1", "everyone", healer.Observe, 6, 6},
		{"a model", "a0:b0:45:00:00:09", "T1", "127.6.0.1", "everyone+t1", healer.Enforce, 5, 5},
		{"a site is more than a model", "a0:b0:45:00:00:09", "T1", "127.5.0.1", "everyone+t1+hall", healer.Enforce, 4, 5},
		{"a network is more than a site", "a0:b0:45:00:00:09", "B29", "127.5.3.99", "everyone+hall+shelf", healer.Observe, 3, 6},
		{"the narrower network", "a0:b0:45:00:00:09", "B29", "127.5.3.1", "everyone+hall+shelf+row", healer.Observe, 2, 2},
		{"narrower still, of the first again", "a0:b0:45:00:00:09", "B29", "127.5.3.9", "everyone+hall+row+shelf", healer.Observe, 3, 2},
		{"a MAC is more than all", "a0:b0:45:00:00:01", "T1", "127.5.3.1", "everyone+t1+hall+shelf+row+one", healer.Enforce, 1, 2},
		{"a name has no network", "a0:b0:45:00:00:09", "T1", "", "everyone+t1", healer.Enforce, 5, 5},
	} {
		if x.ip != "" && !strings.Contains(p.Matches, "row [] 127.5.3.0/") {
			t.Errorf("the policy does not say which dragons it matches: %q", p.Matches)
		}
		_, profile := c.Healing.Place(healer.Device{MAC: x.mac, Model: x.model, IP: x.ip, Site: c.Sites.Of(x.ip)})
		if profile != x.profile {
			t.Errorf("%s: profile %s, want %s", x.name, profile, x.profile)
		}
		d := p.Profiles[profile]
		if d == nil {
			t.Errorf("%s: the policy has no profile %s", x.name, profile)
			continue
		}
		if d.Mode != x.mode || d.Grace.Rate.Minutes() != float64(x.rate) || d.Grace.NoWork.Minutes() != float64(x.noWork) || d.Grace.DeadHot != 6*time.Minute ||
			d.Grace.DeadBoard != p.Default.Grace.DeadBoard {
			t.Errorf("%s: %+v", x.name, d)
		}
	}
	if len(p.Default.Ladder.Steps) != 4 || len(p.Profiles["everyone+t1"].Ladder.Steps) != 1 {
		t.Error("a profile's ladder is in the default, or not in the profile")
	}
}

func TestProfilesThatCannotMeetDoNotTie(t *testing.T) {
	c := mustParse(t, `
networks: [{cidr: 127.5.0.0/16}]
profiles:
  - {name: a, match: {model: T1}, healing: {mode: enforce}}
  - {name: b, match: {model: T2}, healing: {mode: enforce}}
  - {name: c, match: {network: 127.5.1.0/24}, healing: {mode: enforce}}
  - {name: d, match: {network: 127.5.2.0/24}, healing: {mode: enforce}}
  - {name: e, match: {model: T1}, healing: {boards: 2}}
`)
	// A model has a and e, or b, or none of them; a network c, or d, or none.
	if n := len(c.Healing.Policy().Profiles); n != 3*3-1 {
		t.Errorf("%d stacks of profiles, want 8", n)
	}
}

func TestProfilesThatMeetInEveryWayAreRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("networks: [{cidr: 127.5.0.0/16}]\nprofiles:\n")
	keys := []string{"system_boot", "dead_hot", "dead_board", "bogus_temp", "missing_board", "no_work", "rate", "tuning_max", "after_config"}
	name := 'a'
	for _, kind := range []string{"mac", "model"} {
		for i, key := range keys {
			var list []string // of all but one, so that any of these profiles may meet
			for j := range keys {
				if j != i {
					list = append(list, fmt.Sprintf("'a0:b0:45:00:00:0%d'", j))
				}
			}
			fmt.Fprintf(&b, "  - {name: %c, match: {%s: [%s]}, healing: {grace: {%s: 7m}}}\n", name, kind, strings.Join(list, ", "), key)
			name++
		}
	}
	if _, err := parseFile(t, b.String()); err == nil || !strings.Contains(err.Error(), "overlap in more than 2000 ways") {
		t.Errorf("%v", err)
	}
}

// Profiles of one dragon each do not overlap, so there may be any number of them.
func TestEachDragonMayHaveAProfile(t *testing.T) {
	const dragons = 1000
	var b strings.Builder
	b.WriteString("networks: [{cidr: 127.5.0.0/16}]\nprofiles:\n  - {name: all, match: {all: true}, healing: {boards: 3}}\n")
	for i := range dragons {
		fmt.Fprintf(&b, "  - {name: d%d, match: {mac: 'a0:b0:45:00:%02x:%02x'}, healing: {boards: 2}}\n", i, i/256, i%256)
	}
	p := mustParse(t, b.String()).Healing.Policy()
	if len(p.Profiles) != dragons+1 || p.For("all+d999").Boards != 2 {
		t.Errorf("%d stacks of profiles, want %d; the last with %v boards", len(p.Profiles), dragons+1, p.For("all+d999").Boards)
	}
}

// A line that begins with # and no blank after it is a setting; with a blank it is prose.
var commented = regexp.MustCompile(`(?m)^(\s*)#(\S.*)$`)

func TestExampleStatesTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../examples/mother-of-dragons.yml")
	if err != nil {
		t.Fatal(err)
	}
	as := mustParse(t, string(text), "--network=127.5.0.0/16")
	all := commented.ReplaceAllString(string(text), "$1$2")
	if strings.Count(all, "\n") < 100 || all == string(text) {
		t.Fatal("the example has no settings in comments")
	}
	path := written(t, all)
	writeExampleFiles(t, filepath.Dir(path))
	uncommented, err := parse("--config.file=" + path)
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := parse("--network=127.5.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Config{"as it stands": as, "with every setting": uncommented} {
		got, want := c.Settings, defaults.Settings
		got.Networks, got.Exclude, got.Dragons, got.Logins, got.Profiles, got.Power, got.Statsd.Host = want.Networks, nil, want.Dragons, nil, nil, nil, ""
		got.Notify.Webhooks, got.CalendarList = nil, nil
		got.Inventory.Labels, got.Inventory.LabelsFile = nil, "" // examples, not defaults
		got.HA.URL, got.HA.Etcd.Endpoints, got.Web.Grafana, got.Web.Prometheus = "", nil, "", ""
		got.Policy, want.Policy = healer.Policy{}, healer.Policy{}
		if diff := cmp.Diff(want, got, comparable, cmp.AllowUnexported(Settings{})); diff != "" {
			t.Errorf("%s: not the defaults:\n%s", name, diff)
		}
		a, b := defaults.Healing.Policy(), c.Healing.Policy()
		b.Windows, b.Firmware.Windows, b.Profiles, b.External.Prometheus, b.External.Query = nil, nil, nil, "", ""
		if diff := cmp.Diff(a, b, comparable); diff != "" {
			t.Errorf("%s: not the default policy:\n%s", name, diff)
		}
	}
}

func TestExampleIsGenerated(t *testing.T) {
	golden(t, "../../examples/mother-of-dragons.yml", exampleFile())
}

func FuzzFile(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseFile(t, text, "--network=127.5.0.0/24")
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if len(line) > 4000 {
					t.Errorf("a line of %d bytes", len(line))
				}
			}
			return
		}
		p := c.Healing.Policy()
		for name, d := range p.Profiles {
			if len(d.Ladder.Hold) != len(d.Ladder.Steps) || len(d.Ladder.Steps) == 0 {
				t.Errorf("profile %s has %d steps and %d holds", name, len(d.Ladder.Steps), len(d.Ladder.Hold))
			}
		}
		first := printed(t, c)
		if strings.Contains(text, "password_file") {
			return // whatever file a fuzzer means
		}
		again, err := parseFile(t, first)
		if err != nil {
			t.Fatalf("what is printed is not taken: %v\n%s", err, first)
		}
		if second := printed(t, again); second != first {
			t.Errorf("printed again it is another:\n%s", cmp.Diff(first, second))
		}
		for _, n := range c.Networks {
			if n.CIDR.Size() > 1<<20 {
				t.Errorf("%s was accepted", n.CIDR)
			}
		}
	})
}

func TestAFileIsReadUpToItsLimit(t *testing.T) {
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip(err)
	}
	if _, err := ReadFile("/dev/zero"); err == nil || !strings.Contains(err.Error(), "/dev/zero: more than") {
		t.Errorf("%v", err)
	}
}
