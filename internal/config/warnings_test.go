package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestDangerousSettingsAreWarnedOf(t *testing.T) {
	const here = "networks: [{cidr: 127.5.0.0/24}]\n"
	for _, x := range []struct{ text, want string }{
		{"networks: [{cidr: 127.5.0.0/16, site: a}, {cidr: 127.5.1.0/24, site: a}]\n", "networks[1].cidr: 127.5.0.0/16 and 127.5.1.0/24 overlap"},
		{"networks: [{cidr: 127.0.0.0/12}]\n", "discovery.interval: a scan of 1048576 addresses"},
		{here + "scrape: {dragon_timeout: 2m}\n", "scrape.dragon_timeout: 2m"},
		{here + "scrape: {timeout_offset: 6s}\n", "scrape.timeout_offset: 6s"},
		{here + "inventory: {retention: 1h}\n", "inventory.retention:"},
		{here + "statsd: {host: 127.0.0.1, interval: 2s}\n", "statsd.interval:"},
		{here + "credentials: [{username: admin, password: dragonadmin}]\n", "credentials[0]: this is a factory password"},
		{here + "credentials: [{username: admin, password: hunter2, match: {network: 127.6.0.0/24}}]\n", "credentials[0].match.network: 127.6.0.0/24 is not searched"},
		{here + "profiles: [{name: a, match: {network: 127.6.0.0/24}, healing: {boards: 2}}]\n", "profiles[0].match.network:"},
		{here + "profiles: [{name: a, match: {model: [T1, T2Tx, B53]}, healing: {boards: 2}}]\n", `profiles[0].match.model[2]: no dragon of the model "B53" is known; did you mean B52?`},
		{here + "healing: {windows: [{start: '22:00', length: 6h}]}\n", "healing.windows:"},
		{here + "healing: {gate: {prometheus: 'http://127.0.0.1:9090', query: up, on_error: allow}}\n", "healing.gate.on_error:"},
		{here + "healing: {breakers: {storm: 90%}}\n", "healing.breakers.storm: 90%"},
		{here + "healing: {start_observe: 1s, default: {mode: enforce}}\n", "healing.start_observe:"},
		{here + "firmware: {auto_upgrade: true, path: '', allowed_hosts: []}\n", "firmware.auto_upgrade:"},
	} {
		c := mustParse(t, x.text)
		if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], x.want) {
			t.Errorf("%s: %q\nwant one warning, %s", x.text, c.Warnings, x.want)
		}
		if strings.Contains(strings.Join(c.Warnings, ""), "hunter2") {
			t.Errorf("a secret is in %q", c.Warnings)
		}
	}
	for name, text := range map[string]string{
		"a site in a site": "networks: [{cidr: 127.5.0.0/16, site: a}, {cidr: 127.5.1.0/24, site: b}]\n",
		"a usual file":     here + "healing: {default: {mode: enforce}}\nprofiles: [{name: a, match: {network: 127.5.0.0/28}, healing: {boards: 2}}]\n",
	} {
		if c := mustParse(t, text); len(c.Warnings) != 0 {
			t.Errorf("%s: %q", name, c.Warnings)
		}
	}
}

// A model that the table does not know yet is not a mistake where a dragon has it.
func TestAModelOfAKnownDragonIsNotWarnedOf(t *testing.T) {
	dir := t.TempDir()
	inventory := `{"version": 1, "dragons": [{"mac": "a0:b0:45:00:00:01", "address": "127.5.0.1", "model": "X77"}]}`
	if err := os.WriteFile(filepath.Join(dir, fleet.InventoryName), []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "networks: [{cidr: 127.5.0.0/24}]\ncredentials: [{username: admin, password: a, match: {model: [x77, X78]}}]\n"
	c := mustParse(t, text, "--data-dir="+dir)
	if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], `credentials[0].match.model[1]: no dragon of the model "X78" is known; did you mean X77?`) {
		t.Errorf("%q", c.Warnings)
	}
}
