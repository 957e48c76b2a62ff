package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// originalOptions are those of the systemd unit in the original's README: two pool sets, of
// which one is for a dragon by its MAC, balanced autotune, health reboots, firmware files.
func originalOptions(mac string) []string {
	pool := func(id int, host, user string) string {
		return fmt.Sprintf(`{"id": %d, "url": "stratum+tcp://%s:3333", "username": %q, "password": "hunter2"}`, id, host, user)
	}
	return []string{
		fmt.Sprintf(`--pools=[{"mac_addresses": [], "pools": [%s, %s]}, {"mac_addresses": [%q], "pools": [%s]}]`,
			pool(0, "eu.pool.example.com", "brndnmtthws"), pool(1, "us.pool.example.com", "brndnmtthws"),
			mac, pool(0, "other.pool.example.com", "special")),
		"--dragon-autotune-mode=balanced", "--dragon-health-reboot", "--firmwares-path=/var/lib/mother-of-dragons/firmwares",
	}
}

// wanted is what dragon i is to be configured for by originalOptions.
func wanted(dragons *dragontest.Fleet, i int, own bool) []dragontest.Pool {
	worker := "dragon-" + strings.ReplaceAll(dragons.Dragon(i).Spec().MAC, ":", "")[4:]
	if own {
		return []dragontest.Pool{{URL: "stratum+tcp://other.pool.example.com:3333", User: "special." + worker, Password: "hunter2"}}
	}
	return []dragontest.Pool{
		{URL: "stratum+tcp://eu.pool.example.com:3333", User: "brndnmtthws." + worker, Password: "hunter2"},
		{URL: "stratum+tcp://us.pool.example.com:3333", User: "brndnmtthws." + worker, Password: "hunter2"},
	}
}

// The original's command line configures a fleet: every dragon its pools, under its own
// worker name, and balanced, within the budgets; who is right already is left alone.
func TestTheOriginalsCommandLineConfiguresAFleet(t *testing.T) {
	t.Parallel()
	const count, own, right = 6, 2, 4
	mac := func(i int) string { return fmt.Sprintf("a0:b0:45:00:0e:%02x", i) }
	w := prepareFarm(t, count, quick, "", func(i int, s *dragontest.Spec) {
		s.MAC = mac(i)
		switch i {
		case 0, own:
			s.AutoTune.Mode = "efficient"
		case 1:
			s.Model = "a9" // an Innosilicon, on which balanced alone does nothing
		case 3:
			s.Pools = dragontest.VendorPools() // as after a factory reset
		case right:
			worker := "dragon-45000e04"
			s.Pools = []dragontest.Pool{
				{URL: "stratum+tcp://eu.pool.example.com:3333", User: "brndnmtthws." + worker, Password: "hunter2"},
				{URL: "stratum+tcp://us.pool.example.com:3333", User: "brndnmtthws." + worker, Password: "hunter2"},
			}
		}
	})
	w.args = slices.DeleteFunc(w.args, func(a string) bool { return strings.HasPrefix(a, "--config.file") })
	w.start(originalOptions(mac(own))...)
	asWished := func(i int) bool {
		truth := w.dragons.Dragon(i).Truth()
		return slices.Equal(truth.Configured, wanted(w.dragons, i, i == own)) && truth.AutoTune.Mode == "balanced"
	}
	eventually(t, "every dragon is in sync", func() bool {
		for i := range count {
			if !asWished(i) {
				return false
			}
		}
		return w.value(`mother_rollout_devices{phase="in_sync",rollout="r1"}`)+w.value(`mother_rollout_devices{phase="in_sync",rollout="r2"}`) == count
	})
	w.live(15 * time.Minute)

	page := get(t, w.base+"/metrics")
	if n := strings.Count(page, "\ndragon_config_drift{"); n != 2*count || regexp.MustCompile(`(?m)^dragon_config_drift.* 1$`).MatchString(page) {
		t.Errorf("%d series of drift, or some that differ", n)
	}
	type write struct {
		at time.Time
		i  int
	}
	var all []write
	for i := range count {
		var seen []string
		for _, x := range w.dragons.Dragon(i).Writes() {
			seen = append(seen, x.Endpoint)
			all = append(all, write{x.At, i})
		}
		want := map[int][]string{
			0: {"updatePools", "setAutoTune"}, own: {"updatePools", "setAutoTune"}, right: nil,
			1: {"updatePools", "setAutoTune", "setAutoTune", "setAutoTune"},
		}
		expected, special := want[i]
		if !special {
			expected = []string{"updatePools"}
		}
		if !slices.Equal(seen, expected) {
			t.Errorf("dragon %d was written to: %v, want %v", i, seen, expected)
		}
	}
	// One after another, without other writes in between.
	slices.SortStableFunc(all, func(a, b write) int { return a.at.Compare(b.at) })
	order := slices.CompactFunc(all, func(a, b write) bool { return a.i == b.i })
	if len(order) != count-1 {
		t.Errorf("%d dragons were changed in the order %v", count-1, order)
	}
	audit, err := os.ReadFile(filepath.Join(w.dir, "audit.jsonl"))
	if err != nil || strings.Count(string(audit), `"action":"configure"`) < count-1 {
		t.Errorf("the audit does not tell: %v", err)
	}
	for name, text := range map[string]string{"audit": string(audit), "log": w.p.logged(), "metrics": page, "plan": get(t, w.base+"/api/v1/plan")} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the password is in the %s", name)
		}
	}
}
