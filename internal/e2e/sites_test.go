package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

const siteConfig = `
global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s, external_labels: {farm: %s}}
rule_files: [%q]
scrape_configs:
  - job_name: dragons
    static_configs: [{targets: [%q]}]
remote_write:
  - url: %s/api/v1/write
`

// TestTwoSitesInOnePrometheus has the Prometheus of each of two sites write to a third one. What
// is known of each site is there, and the sums over both are right.
func TestTwoSitesInOnePrometheus(t *testing.T) {
	t.Parallel()
	installed.Tool(t, "prometheus", "prometheus")
	all := runPrometheus(t, "global: {}\n", "--web.enable-remote-write-receiver")
	sizes := map[string]float64{"north": 4, "south": 7}
	for farm, n := range sizes {
		_, flags := fleetOf(t, dragontest.FleetConfig{Count: int(n)})
		_, base := mother(t, append(flags, "--data-dir="+t.TempDir())...)
		runPrometheus(t, fmt.Sprintf(siteConfig, farm, hastyRules(t), strings.TrimPrefix(base, "http://"), all.base))
	}
	byFarm := func(expr string) map[string]float64 {
		return all.query(t, fmt.Sprintf(`label_replace(%s, "worker", "$1", "farm", "(.*)")`, expr))
	}
	for farm, n := range sizes {
		eventually(t, "all dragons of "+farm+" are there", func() bool { return byFarm("sum by (farm) (dragon_up)")[farm] == n })
	}
	// The recorded series of each site, which the boards ask for.
	for _, series := range []string{"worker:dragon_state:info", "worker:dragon_info:any"} {
		for farm, n := range sizes {
			eventually(t, series+" of "+farm, func() bool { return byFarm("count by (farm) (" + series + ")")[farm] == n })
		}
	}
	for expr, want := range map[string]float64{
		"sum(dragon_up)":                             11,
		"count(worker:dragon_state:info)":            11,
		"count(count by (farm) (mother_build_info))": 2,
	} {
		eventually(t, expr, func() bool { return all.query(t, expr)[""] == want })
	}
	// The fleet's board shows each farm, and both.
	for _, panel := range []string{"Known", "Up", "Hashing", "Hash rate", "Hash rate by model", "Temperature"} {
		of := func(farm string) (sum float64) {
			for _, q := range questions(t) {
				if q.board == "Dragons: fleet" && q.panel == panel {
					expr := strings.NewReplacer("$farm", farm, "$site", ".*", "$place", "", "$model", ".*", "$__rate_interval", "1m").Replace(q.expr)
					for _, v := range all.query(t, expr) {
						sum += v
					}
				}
			}
			return sum
		}
		eventually(t, panel+" of both farms is the sum", func() bool {
			north, south, both := of("north"), of("south"), of(".*")
			return north > 0 && south > 0 && math.Abs(both-north-south) < 1e-6*both
		})
	}
	eventually(t, "the sum over both is that of the parts", func() bool {
		each := byFarm("sum by (farm) (dragon_boards)")
		return each["north"] > 0 && each["south"] > 0 && all.query(t, "sum(dragon_boards)")[""] == each["north"]+each["south"]
	})
}

const shardJob = `
  - job_name: shard-%d
    metrics_path: /probe
    http_sd_configs: [{url: "%s/sd?probe=1", refresh_interval: 1s}]
    relabel_configs:
      - {source_labels: [__param_target], modulus: 3, target_label: __tmp_shard, action: hashmod}
      - {source_labels: [__tmp_shard], regex: "%[1]d", action: keep}
`

// TestShardsShareTheDragons has three jobs as in examples/shards: each dragon is in one of them.
func TestShardsShareTheDragons(t *testing.T) {
	t.Parallel()
	installed.Tool(t, "prometheus", "prometheus")
	const n = 24
	_, flags := fleetOf(t, dragontest.FleetConfig{Count: n})
	_, base := mother(t, append(flags, "--data-dir="+t.TempDir())...)
	config := "global: {scrape_interval: 1s, scrape_timeout: 900ms}\nscrape_configs:"
	for i := range 3 {
		config += fmt.Sprintf(shardJob, i, base)
	}
	prom := runPrometheus(t, config)
	for expr, want := range map[string]float64{
		"count(dragon_up == 1)":                     n, // each once
		"count(count by (worker) (dragon_up == 1))": n, // and each of them
		"count(count by (job) (dragon_up == 1))":    3,
		"max(count by (worker) (dragon_boards))":    1,
	} {
		eventually(t, expr, func() bool { return prom.query(t, expr)[""] == want })
	}
}

// TestARolloutWaitsForAnotherSite has the external gate of one site closed until a rollout of
// firmware at another one has been soaked to its end.
func TestARolloutWaitsForAnotherSite(t *testing.T) {
	t.Parallel()
	installed.Tool(t, "prometheus", "prometheus")
	images, _ := firmwares(t, dragontest.Image{Version: newer, Outcome: dragontest.Good, Size: 1 << 20})
	farm := func(policy string) *instance {
		w := prepareFarm(t, 3, quick, policy, func(_ int, s *dragontest.Spec) { s.TuneTime = -1 })
		w.start("--firmwares-path=" + images)
		w.healthy()
		return w
	}
	begin := func(w *instance) {
		if out, status := w.invoke("firmware", "rollout", "start", "latest", "--model=T1", "--reason=a test", "--yes"); status != 0 {
			t.Fatalf("%d: %s", status, out)
		}
	}
	first := farm(swift)
	prom := runPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 900ms}
scrape_configs:
  - job_name: north
    static_configs: [{targets: [%q], labels: {farm: north}}]
`, strings.TrimPrefix(first.base, "http://")))
	gate := fmt.Sprintf("  gate:\n    prometheus: %s\n    query: 'absent(max(mother_rollout_state{farm=\"north\",name=%q,state=\"done\"}) == 1)'\n    holds: rollouts\n", prom.base, newer)
	second := farm(swift + gate)
	begin(second)
	begin(first)
	state := func(w *instance, state string) bool {
		return w.value(fmt.Sprintf(`mother_rollout_state{name=%q,rollout="f1",state=%q}`, newer, state)) == 1
	}
	for end := time.Now().Add(5 * time.Minute); !state(first, "done"); {
		if time.Now().After(end) {
			t.Fatal("the first site is not done within 5 minutes")
		}
		if n := second.uploads(); n > 0 && !state(first, "done") {
			t.Fatalf("the second site was sent %d images before the first was done", n)
		}
		second.live(5 * time.Minute)
	}
	eventually(t, "the second site goes on", func() bool { return second.uploads() > 0 })
	if n := first.uploads(); n != 3 {
		t.Errorf("the first site was sent %d images, want 3", n)
	}
}
