package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// comparable is how configurations are compared.
var comparable = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmpopts.IgnoreUnexported(healer.Policy{}, healer.Window{}),
	cmpopts.IgnoreFields(healer.Policy{}, "Place", "Matches", "Desired"), // functions: file_test.go and desired_test.go ask them
}

// parse reads a command line the way the program does.
func parse(args ...string) (*Config, error) {
	app := kingpin.New("test", "").Terminate(nil).ErrorWriter(io.Discard).UsageWriter(io.Discard)
	load := Register(app)
	if _, err := app.Parse(args); err != nil {
		return nil, err
	}
	return load()
}

// The default of every setting is in docs/configuration.md. These stay.
func TestDefaultsAreTheOriginals(t *testing.T) {
	got, err := parse("--network=127.1.0.0/24")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ name, got, want any }{
		{"networks", got.Networks, []Network{{CIDR: discovery.RangeOf(netip.MustParsePrefix("127.1.0.0/24"))}}},
		{"data_dir", got.DataDir, "data"},
		{"collectors", got.Collectors, Collectors{true, true, true, true, true, true, true, true, true, false}},
		{"inventory", []any{got.Inventory.File, got.Inventory.Retention, got.Inventory.Max}, []any{"dragon-inventory.json", 30 * 24 * time.Hour, 20000}},
		{"discovery", []any{got.Discovery.Interval, got.Discovery.Port, got.Discovery.Timeout, got.Discovery.ConnectTimeout},
			[]any{300 * time.Second, uint16(80), 10 * time.Second, time.Second}},
		{"scrape", []any{got.Scrape.DragonTimeout, got.Scrape.TimeoutOffset, got.Scrape.Workers, got.Scrape.MaxRequests},
			[]any{10 * time.Second, 500 * time.Millisecond, 256, 40}},
		{"statsd", []any{got.Statsd.Host, got.Statsd.Port, got.Statsd.Prefix, got.Statsd.Interval}, []any{"", uint16(8125), "dragons", time.Minute}},
		{"ha", []any{got.HA.Lease, got.HA.Etcd.Prefix}, []any{10 * time.Second, "/mother-of-dragons/"}},
		{"firmware", []any{got.Firmware.Path, got.Firmware.AllowedHosts}, []any{"firmwares/", firmware.VendorHosts()}},
	} {
		if diff := cmp.Diff(x.want, x.got, comparable, cmp.AllowUnexported(Settings{})); diff != "" {
			t.Errorf("%s: %s", x.name, diff)
		}
	}
	policy := healer.DefaultPolicy()
	policy.Default.Detect.MinPerBoard, policy.Default.Detect.Min.For = 1000e9, time.Hour
	if diff := cmp.Diff(&policy, got.Healing.Policy(), comparable); diff != "" {
		t.Error(diff)
	}
}

func TestOriginalsCommandLine(t *testing.T) {
	c, err := parse("--network=127.1.0.0/24",
		"--statsd-host=127.0.0.1", "--statsd-port=9125", "--dragon-autotune-mode=balanced",
		"--dragon-health-reboot", "--statsd-interval=60",
		`--pools=[{"mac_addresses":[],"pools":[{"id":0,"url":"stratum+tcp://one.example.net:3333","username":"somebody","password":"x"},`+
			`{"id":1,"url":"stratum+tcp://two.example.net:3333","username":"3Somebody","password":"x"}]},`+
			`{"mac_addresses":["a0:b0:45:00:E3:AB"],"pools":[{"id":0,"url":"stratum+tcp://one.example.net:3333","username":"somebody","password":"other"}]}]`)
	if err != nil {
		t.Fatal(err)
	}
	want := []PoolSet{
		{Pools: []WantedPool{
			{ID: 0, PoolConfig: dragon.PoolConfig{URL: "stratum+tcp://one.example.net:3333", User: "somebody", Password: "x"}},
			{ID: 1, PoolConfig: dragon.PoolConfig{URL: "stratum+tcp://two.example.net:3333", User: "3Somebody", Password: "x"}},
		}},
		{MACs: []string{"a0:b0:45:00:e3:ab"}, Pools: []WantedPool{
			{ID: 0, PoolConfig: dragon.PoolConfig{URL: "stratum+tcp://one.example.net:3333", User: "somebody", Password: "other"}},
		}},
	}
	if diff := cmp.Diff(want, c.Pools); diff != "" {
		t.Error(diff)
	}
	if !c.Healing.Policy().Enforcing() || c.AutotuneMode != "balanced" || c.Statsd.Host != "127.0.0.1" || c.Statsd.Port != 9125 {
		t.Errorf("options lost: %+v", c)
	}
}

func TestTimesAreSecondsOrDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"300": 300 * time.Second, "0": 0, "2.5": 2500 * time.Millisecond, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "8d": 192 * time.Hour, "1w": 168 * time.Hour,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1", "-5m", "NaN", "Inf", "1e300", "five", "5 m", "3x", "d"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q was taken for %v", in, got)
		}
	}
}

func TestErrorsNameValueReasonAndRange(t *testing.T) {
	pool := func(id, url, user, password string) string {
		return `{"id":` + id + `,"url":"` + url + `","username":"` + user + `","password":"` + password + `"}`
	}
	ok := pool("0", "stratum+tcp://one.example.net:3333", "u", "p")
	for _, c := range []struct{ flag, want string }{
		{"--network=127.1.0.5/24", `network "127.1.0.5/24" has host bits set; did you mean 127.1.0.0/24`},
		{"--network=127.0.0.0/8", "wider than /12"},
		{"--network=127.1.0.5", "no prefix length; for this one address write 127.1.0.5/32"},
		{"--network=farm", "not an IPv4 network"},
		{"--network=::1/128", "IPv6"},
		{"--network=224.0.0.0/24", "holds no hosts"},
		{"--dragon=http://127.0.0.1/", "write host or host:port"},
		{"--dragon=127.0.0.1:x", "is not a port"},
		{"--dragon=", "is not a host"},
		{"--dragon-port=0", `invalid port "0"`},
		{"--statsd-port=65536", `invalid port "65536"`},
		{"--statsd-prefix=a:b", `--statsd-prefix: invalid value "a:b": want at most 100 letters`},
		{"--statsd-prefix=a\nb|c", "want at most 100 letters"},
		{"--simulation.speed=0.5", "want 1 to 1000"},
		{"--scan-interval=0", "must be more than zero"},
		{"--statsd-interval=1ms", "want 1s or more"},
		{"--scrape-workers=0", "invalid value 0: want 1 to 100000"},
		{"--web.max-requests=-1", "want 0 to 1000000"},
		{"--dragon-health-hashrate-min=-1", "want GH/s"},
		{"--dragon-health-hashrate-min=NaN", "want GH/s"},
		{"--dragon-autotune-mode=fast", `invalid value "fast": want one of efficient, balanced, factory, performance`},
		{"--pools=[", "line 1, column 2: unexpected end"},
		{"--pools=pools.json", "line 1, column 1: invalid character 'p'"},
		{"--pools=[]", "leave the option out"},
		{"--pools=[{}]", "[0].pools: 0 pools: want 1 to 3"},
		{"--pools=[{\n\"pool\":[]}]", "unknown field"},
		{"--pools=[] []", "unexpected text after"},
		{`--pools=[{"pools":[` + ok + `,` + ok + `]}]`, "[0].pools[1].id: 0 is a duplicate"},
		{`--pools=[{"pools":[` + strings.Repeat(ok+",", 3) + ok + `]}]`, "4 pools: want 1 to 3"},
		{`--pools=[{"pools":[` + pool("3", "stratum+tcp://one.example.net:3333", "u", "p") + `]}]`, "want 0, 1 or 2"},
		{`--pools=[{"pools":[` + pool("0", "stratum+tcp://one.example.net:3333", "u", "") + `]}]`, "[0].pools[0]: the password is empty"},
		{`--pools=[{"pools":[` + pool("0", "stratum+tcp://one.example.net:3333", "", "p") + `]}]`, "[0].pools[0]: the user is empty"},
		{`--pools=[{"pools":[` + pool("0", "one.example.net:3333", "u", "p") + `]}]`, "[0].pools[0]: the url"},
		{`--pools=[{"mac_addresses":["a0:b0"],"pools":[` + ok + `]}]`, "[0].mac_addresses"},
		{`--pools=[{"mac_addresses":["a0:b0:45:00:e3:ab"],"pools":[` + ok + `]},{"mac_addresses":["A0-B0-45-00-E3-AB"],"pools":[` + ok + `]}]`,
			"[1]: a0:b0:45:00:e3:ab already has pools in [0]"},
		{`--pools=[{"pools":[` + ok + `]},{"pools":[` + ok + `]}]`, "[1]: every other dragon already has pools in [0]"},
	} {
		_, err := parse("--network=127.2.0.0/24", c.flag)
		name, _, _ := strings.Cut(c.flag, "=")
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant an error with %s", c.flag, err, c.want)
		}
	}
}

func TestOnlyNamedAddressesAreScanned(t *testing.T) {
	if _, err := parse(); !errors.Is(err, ErrNoTarget) {
		t.Errorf("%v, want ErrNoTarget", err)
	}
}

func TestPoolErrorsHoldNoPassword(t *testing.T) {
	const password = "hunter2-secret"
	for _, s := range []string{
		`[{"pools":[{"id":0,"url":"nowhere","username":"u","password":"` + password + `"}]}]`,
		`[{"pools":[{"id":0,"url":"stratum+tcp://a.example.net:1","username":"u","password":{"x":"` + password + `"}}]}]`,
		`[{"pools":[{"id":0,"url":"stratum+tcp://a.example.net:1","username":"u","password":"` + password + `"}]`,
		`[{"pools":["` + password + `"]}]`,
	} {
		if _, err := ParsePools(s); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("%v: want an error without the password", err)
		}
	}
}

func FuzzParsePools(f *testing.F) {
	f.Add(`[{"mac_addresses":["a0:b0:45:00:e3:ab"],"pools":[{"id":0,"url":"stratum+tcp://a.example.net:1","username":"u","password":"p"}]}]`)
	f.Add(`[{"pools":[`)
	f.Fuzz(func(t *testing.T, s string) {
		sets, err := ParsePools(s)
		if err != nil {
			return
		}
		for _, set := range sets {
			if len(set.Pools) < 1 || len(set.Pools) > 3 {
				t.Errorf("%d pools were accepted", len(set.Pools))
			}
			for _, p := range set.Pools {
				if p.Validate() != nil {
					t.Errorf("a pool was accepted that the device would drop: %+v", p)
				}
			}
		}
	})
}

func TestFirmwareHosts(t *testing.T) {
	for args, want := range map[string]string{
		"":                              "[download.halongmining.com www.innosilicon.com.cn]",
		"--firmware.allowed-hosts=none": "[]",
		"--firmware.allowed-hosts=files.example.com --firmware.allowed-hosts=10.0.0.5:8080": "[files.example.com 10.0.0.5:8080]",
	} {
		c, err := parse(append(strings.Fields(args), "--network=127.5.0.0/16")...)
		if err != nil || fmt.Sprint(c.Firmware.AllowedHosts) != want {
			t.Errorf("%q: %v, %v", args, c, err)
		}
	}
	if _, err := parse("--network=127.5.0.0/16", "--firmware.allowed-hosts=http://x/"); err == nil || !strings.Contains(err.Error(), "--firmware.allowed-hosts") {
		t.Errorf("%v", err)
	}
}

func TestPortAndTimeoutOfOneCallWinOverTheFile(t *testing.T) {
	file := written(t, "discovery: {port: 8080}\nscrape: {dragon_timeout: 5s}\ndata_dir: there\n")
	for _, c := range []struct {
		args    []string
		port    uint16
		timeout time.Duration
	}{
		{[]string{"--config.file=" + file}, 8080, 5 * time.Second},
		{[]string{"--config.file=" + file, "--dragon-port=80", "--dragon-timeout=10"}, 80, 10 * time.Second},
		{[]string{"--dragon-timeout=3"}, 80, 3 * time.Second},
	} {
		app := kingpin.New("test", "").Terminate(nil)
		load := RegisterAccess(app)
		if _, err := app.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		got, err := load()
		if err != nil || got.Discovery.Port != c.port || got.Scrape.DragonTimeout != c.timeout {
			t.Errorf("%v: %v, port %d, timeout %v", c.args, err, got.Discovery.Port, got.Scrape.DragonTimeout)
		}
	}
}
