package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const originals = `
[main]
inventory_file = 'dragons.json'
firmwares_path = 'firmwares/'
api_timeout = 300
colour = "red"
  [main.local_network]
  network = "127.5.0.9/22"
  scan_interval = 600
  scan_timeout = 4
  [main.statsd]
  host = "localhost"
  port = 9125
  prefix = "d"
  interval = 30
  [[main.credentials]]
  username = "admin"
  password = "hunter2"
[[configs]]
health_reboot = true
health_check_interval = 300
health_hashrate_duration = 1800
health_hashrate_minimum = 900
auto_upgrade = true
autotune_mode = "balanced"
autotune_level = 2
  [configs.apply_to]
  models = []
  mac_addresses = []
  [[configs.pools]]
  url = "stratum+tcp://one.example.net:3333"
  username = "account"
  password = "x"
  [[configs.pools]]
  url = "stratum+tcp://two.example.net:3333"
  username = "account"
  password = "hunter2"
[[configs]]
health_reboot = false
  [configs.apply_to]
  models = ["T1"]
  mac_addresses = ["a0:b0:45:00:00:01"]
`

const ours = `# Converted from a configuration of the Python tool.
networks:
  - cidr: 127.5.0.0/22
credentials:
  - username: admin
    password: hunter2
inventory:
  file: dragons.json
discovery:
  interval: 600s
  timeout: 4s
statsd:
  host: localhost
  interval: 30s
  port: 9125
  prefix: d
healing:
  default:
    detect:
      min_hashrate:
        for: 1800s
      min_hashrate_per_board: 900 GH/s
    mode: enforce
firmware:
  auto_upgrade: true
  path: firmwares/
profiles:
  - name: config-1
    match:
      all: true
    wish:
      autotune:
        level: 2
        mode: balanced
      pools:
        - password: x
          url: stratum+tcp://one.example.net:3333
          username: account
        - password: hunter2
          url: stratum+tcp://two.example.net:3333
          username: account
  - name: config-2
    match:
      mac:
        - a0:b0:45:00:00:01
      model:
        - T1
    healing:
      mode: observe
`

func TestThePythonToolsConfigurationIsConverted(t *testing.T) {
	got, err := Convert([]byte(originals), true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ours, string(got.File)); diff != "" {
		t.Error(diff)
	}
	for _, key := range []string{"main.api_timeout", "main.colour", "main.local_network.network", "configs[0].health_check_interval"} {
		if !slices.ContainsFunc(got.Notes, func(n string) bool { return strings.HasPrefix(n, key+": ") }) {
			t.Errorf("nothing is said of %s: %q", key, got.Notes)
		}
	}
	if len(got.Notes) != 4 {
		t.Errorf("%d notes: %q", len(got.Notes), got.Notes)
	}
	mustParse(t, string(got.File))

	masked, err := Convert([]byte(originals), false)
	if err != nil || strings.Contains(string(masked.File), "hunter2") || strings.Count(string(masked.File), "<secret>") != 2 {
		t.Errorf("%v\n%s", err, masked.File)
	}
}

func TestAConversionIsTheSameFromJSON(t *testing.T) {
	got, err := Convert([]byte(`{
		"main": {"local_network": {"network": "127.5.0.0/24", "scan_interval": 60}, "statsd": {"port": 8125}, "credentials": [{"username": "admin", "password": "admin"}]},
		"configs": [
			{"apply_to": {"models": [], "mac_addresses": []}, "autotune_level": 3, "pools": [{"id": 0, "url": "stratum+tcp://one.example.net:3333", "username": "u", "password": "p"}]},
			{"health_reboot": true},
			{"health_reboot": "yes", "apply_to": {"models": ["T1"]}},
			{"health_reboot": true, "apply_to": {"models": ["T1", 2]}},
			{"health_reboot": true, "apply_to": {"mac_addresses": "a0:b0:45:00:00:01"}},
			{"health_reboot": true, "apply": {"models": ["T1"]}}
		]}`), true)
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Converted from a configuration of the Python tool.
networks:
  - cidr: 127.5.0.0/24
discovery:
  interval: 60s
statsd:
  port: 8125
profiles:
  - name: config-1
    match:
      all: true
    wish:
      pools:
        - password: p
          url: stratum+tcp://one.example.net:3333
          username: u
`
	if diff := cmp.Diff(want, string(got.File)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"configs[0].autotune_level: left out, since a level belongs to a mode",
		"configs[0].pools[0].id: left out, it is not known here",
		"configs[1]: left out: it is for every dragon, and so is configs[0]",
		"configs[2].health_reboot: left out, it is not true or false",
		"configs[3].apply_to.models[1]: left out, it is not a text",
		"configs[3]: left out, because it is not clear which dragons it is for",
		"configs[4].apply_to.mac_addresses: left out, it is not a list",
		"configs[4]: left out, because it is not clear which dragons it is for",
		"configs[5].apply.models: left out, it is not known here",
		"configs[5]: left out, because it is not clear which dragons it is for",
	}, got.Notes); diff != "" {
		t.Error(diff)
	}
}

func TestAWrongResultIsReported(t *testing.T) {
	got, err := Convert([]byte("[[configs]]\nautotune_mode = 'fast'\n[configs.apply_to]\nmac_addresses = ['12']\n"), true)
	if err != nil || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "needs a change") || !strings.Contains(got.Notes[0], `"12" is not the MAC`) || !strings.Contains(got.Notes[0], `invalid value "fast"`) {
		t.Errorf("%v %+v", err, got)
	}
}

func TestOtherFilesAreNotConverted(t *testing.T) {
	for _, text := range []string{`{"main": hunter2`, "[main\nhunter2", "a = hunter2", "main = {password = \"hunter2\n\"}"} {
		if _, err := Convert([]byte(text), true); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(originals)
	f.Add(`{"main": {"statsd": {"port": 1e300}}, "configs": [{"apply_to": []}]}`)
	f.Fuzz(func(_ *testing.T, text string) { _, _ = Convert([]byte(text), true) })
}
