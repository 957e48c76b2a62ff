package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// dashboard is what of a board asks Prometheus something.
type dashboard struct {
	Title  string
	Panels []struct {
		Title       string
		Targets     []struct{ Expr, RefID string }
		FieldConfig struct {
			Defaults struct{ NoValue string }
		}
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct{ Name, Query, Type string }
	}
}

// question is a query of a board, and what its panel shows without an answer.
type question struct{ board, panel, expr, noValue string }

func (q question) String() string { return q.board + ": " + q.panel + ": " + q.expr }

// questions are the queries of all boards, the variables' among them.
func questions(t *testing.T) (all []question) {
	t.Helper()
	files, err := filepath.Glob("../../dashboards/*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d boards, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all = append(all, question{d.Title, p.Title, target.Expr, p.FieldConfig.Defaults.NoValue})
			}
		}
		for _, a := range d.Annotations.List {
			all = append(all, question{d.Title, "annotation " + a.Name, a.Expr, "no mark"})
		}
		for _, v := range d.Templating.List {
			if args, ok := strings.CutPrefix(v.Query, "label_values("); ok && v.Name != "farm" { // there is one farm
				series, label, _ := cutLast(strings.TrimSuffix(args, ")"), ", ")
				all = append(all, question{d.Title, "variable " + v.Name, fmt.Sprintf(`count by (%s) (%s) unless count by (nothing) (%[2]s)`, label, series), "no choice"})
			}
		}
	}
	return all
}

// cutLast is strings.Cut around the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// rightlyEmpty are queries that no fleet answers, each with the reason.
var rightlyEmpty = map[string]string{
	`dragon_busy{`:                      "a write holds a dragon for less than it takes to scrape",
	`mother_rollout_device_state{`:      "no firmware is rolled out here: it takes a canary a day",
	`mother_firmware_upload_ratio`:      "the same",
	`mother_ha_`:                        "one instance shares its state with no other",
	`ALERTS{`:                           "an alert lasts for minutes before it fires",
	`dragon_firmware_upgrade_available`: "no vendor is asked in the first half hour, and then once a day",
}

const watchedConfig = `
global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: farm
    static_configs: [{targets: [%q]}]
`

// Whatever a board asks, something answers on a farm where something happens.
func TestEveryPanelHasData(t *testing.T) {
	t.Parallel()
	installed.Tool(t, "prometheus", "prometheus")
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsd.Close()
	_, port, _ := net.SplitHostPort(statsd.LocalAddr().String())

	chat := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer chat.Close()

	const speed = 100
	clock := dragontest.SpedUp(speed)
	dragons, _ := fleetOf(t, dragontest.FleetConfig{Count: 12, Specs: func(i int) dragontest.Spec {
		s := dragontest.Spec{Now: clock, Speed: speed, TuneTime: time.Minute, Model: "t1-innosilicon"}
		switch i {
		case 10:
			s.AutoTune.Mode = "efficient"
		case 11:
			s.Model = "b29" // which has no average over 15 minutes
		}
		return s
	}})
	file := filepath.Join(t.TempDir(), "mother.yml")
	config := fmt.Sprintf(hasty, "enforce") + "  rollout: {mode: observe}\n" + fmt.Sprintf(`
networks: [{cidr: %q, site: hall}]
dragons: [{address: %q, site: hall}, {mac: %q, labels: {rack: a12}}, {mac: %q, labels: {rack: a12}}]
inventory: {labels: [rack]}
discovery: {interval: 2s, port: %d}
statsd: {host: 127.0.0.1, port: %s, interval: 1s}
notify: {webhooks: [{name: chat, url: %q, events: [acted, new]}]}
power: [{model: T1, watts: 1480}]
calendars: [{name: long-ago, scope: fleet, reason: none, time_intervals: [{years: [2001]}]}]
profiles:
  - name: everyone
    match: {all: true}
    wish: {autotune: {mode: factory}}
`, dragons.Networks()[0], dragons.Addr(0), dragons.Dragon(0).Spec().MAC, dragons.Dragon(9).Spec().MAC, dragons.Port(), port, chat.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &instance{t: t, dragons: dragons, dir: t.TempDir()}
	w.p, w.base = mother(t, "--data-dir="+w.dir, "--config.file="+file, fmt.Sprintf("--simulation.speed=%d", speed), "--dragon-timeout=1")

	prom := runPrometheus(t, fmt.Sprintf(watchedConfig, hastyRules(t), strings.TrimPrefix(w.base, "http://")))
	began := time.Now()

	w.healthy()
	eventually(t, "Prometheus sees all hashing", func() bool { return prom.query(t, `count(worker:dragon_state:info{state="hashing"})`)[""] == 12 })
	eventually(t, "what they should hash is known while they are well", func() bool {
		return prom.query(t, `count(dragon_hashrate_expected_hashes_per_second)`)[""] > 0
	})

	// One is healed. Then so many fall sick that the healer holds.
	dragons.Dragon(0).SetError("51", "a board was lost")
	dragons.Dragon(0).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	dragons.Dragon(1).Inject(dragontest.WrongPassword)
	dragons.Dragon(2).Inject(dragontest.BogusTemperature)
	eventually(t, "one is healed", func() bool {
		return w.value(`mother_healer_outcomes_total{action="restartCgMiner",outcome="recovered",reason="dead_board"}`) == 1
	})
	for _, i := range []int{0, 3, 4, 5, 6, 7, 8} {
		dragons.Dragon(i).Inject(dragontest.DeadBoard)
	}
	dragons.Dragon(9).Inject(dragontest.Hang)

	// The tiles of the fleet's board count these, and each dragon once.
	states := map[string]string{w.worker(1): "unauthenticated", w.worker(9): "down"}
	for _, i := range []int{0, 3, 4, 5, 6, 7, 8} {
		states[w.worker(i)] = "degraded"
	}
	for _, i := range []int{2, 10, 11} {
		states[w.worker(i)] = "hashing"
	}
	eventually(t, "each dragon is in its state, and in no other", func() bool {
		n := 0
		for _, state := range []string{"hashing", "degraded", "dead", "busy", "down", "unauthenticated"} {
			for who := range prom.query(t, fmt.Sprintf(`worker:dragon_state:info{state=%q}`, state)) {
				if states[who] != state {
					return false
				}
				n++
			}
		}
		return n == dragons.Len()
	})

	// A text in the labels narrows the sums to those that have it.
	for expr, want := range countedByLabel(t) {
		eventually(t, expr, func() bool {
			for _, n := range prom.query(t, expr) {
				return n == want
			}
			return want == 0
		})
	}

	spared := map[string]bool{}
	open := slices.DeleteFunc(questions(t), func(q question) bool {
		for part := range rightlyEmpty {
			if strings.Contains(q.expr, part) {
				spared[part] = true
				return true
			}
		}
		return false
	})
	if len(spared) != len(rightlyEmpty) {
		t.Errorf("of the queries that are spared, boards have only %v", spared)
	}
	if len(open) < 150 {
		t.Errorf("only %d queries", len(open))
	}
	defer func() {
		for _, q := range open {
			t.Errorf("no data: %v", q)
		}
	}()
	eventually(t, "every query has data", func() bool {
		open = slices.DeleteFunc(open, func(q question) bool { return prom.answers(t, q, w, began) })
		return len(open) == 0
	})
	w.p.stop(t)
}

// TestAPanelThatIsEmptyWhenAllIsWellSaysSo: of a farm where nothing happens, every panel has data, or says in words that there is none.
func TestAPanelThatIsEmptyWhenAllIsWellSaysSo(t *testing.T) {
	t.Parallel()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 6})
	w := &instance{t: t, dragons: dragons}
	_, w.base = mother(t, append(flags, "--data-dir="+t.TempDir())...)
	prom := runPrometheus(t, fmt.Sprintf(watchedConfig, hastyRules(t), strings.TrimPrefix(w.base, "http://")))
	began := time.Now()
	eventually(t, "Prometheus sees all", func() bool { return prom.query(t, `count(worker:dragon_state:info)`)[""] == 6 })
	silent := make(map[string]bool) // by board and panel
	var open []question
	for _, q := range questions(t) {
		if q.noValue == "" {
			silent[q.board+": "+q.panel] = true
			open = append(open, q)
		}
	}
	defer func() {
		for panel := range silent {
			t.Errorf("empty, and does not say so: %s", panel)
		}
	}()
	eventually(t, "every panel without words has data", func() bool {
		open = slices.DeleteFunc(open, func(q question) bool {
			if silent[q.board+": "+q.panel] && prom.answers(t, q, w, began) {
				delete(silent, q.board+": "+q.panel)
			}
			return !silent[q.board+": "+q.panel]
		})
		return len(silent) == 0
	})
}

// countedByLabel are queries of the fleet's board about the two dragons with a label, of
// which one is degraded and one is down, and how many they count.
func countedByLabel(t *testing.T) map[string]float64 {
	t.Helper()
	exprs := map[string]float64{}
	for _, q := range questions(t) {
		want, ok := map[string]float64{"Known": 2, "Degraded": 1, "Down": 1, "Dead": 0, "Hashing": 0}[q.panel]
		if ok && q.board == "Dragons: fleet" {
			exprs[strings.NewReplacer("$site", ".*", "$place", "rack a12", "$model", ".*", "$farm", ".*").Replace(q.expr)] = want
		}
	}
	if len(exprs) != 5 {
		t.Fatalf("%d tiles of the fleet's board, want 5: %v", len(exprs), exprs)
	}
	return exprs
}

// hastyRules are the shipped rules, all of them evaluated as often as the first.
func hastyRules(t *testing.T) (pattern string) {
	t.Helper()
	files, err := filepath.Glob("../../alerts/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data = ownInterval.ReplaceAll(data, nil)
		data = bytes.ReplaceAll(data, []byte("[1d:1m]"), []byte("[10m:1s]"))
		data = bytes.Replace(data, []byte(`price_per_kilowatt_hour", expr: vector(0)`), []byte(`price_per_kilowatt_hour", expr: vector(0.1)`), 1)
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "*.yml")
}

var ownInterval = regexp.MustCompile(`(?m)^    interval: .*\n`)

// answers reports whether the query has a number for anything at any time since. One
// about a dragon is asked about those that something happened to.
func (p prometheus) answers(t *testing.T, q question, w *instance, since time.Time) bool {
	t.Helper()
	for _, i := range []int{0, 1, 2, w.dragons.Len() - 2} {
		expr := strings.NewReplacer("$__rate_interval", "10s", "$__range", "5m", "$site", ".*", "$place", "", "$model", ".*", "$state", ".*",
			"$instance", ".*", "$farm", ".*", "$worker", w.worker(i)).Replace(q.expr)
		if strings.Contains(expr, "$") && !strings.Contains(expr, "$1") {
			t.Fatalf("%v: a variable that is not known here", q)
		}
		body, err := tryGet(fmt.Sprintf("%s/api/v1/query_range?query=%s&start=%d&end=%d&step=1", p.base, url.QueryEscape(expr), since.Unix(), time.Now().Unix()))
		if err != nil {
			t.Fatalf("%v: %v", q, err)
		}
		var answer struct {
			Data struct {
				Result []struct{ Values [][2]any }
			}
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		for _, r := range answer.Data.Result {
			if slices.ContainsFunc(r.Values, func(v [2]any) bool { return v[1] != "NaN" }) {
				return true
			}
		}
		if !strings.Contains(q.expr, "$worker") {
			return false
		}
	}
	return false
}

func TestExampleForPrometheusIsValid(t *testing.T) {
	t.Parallel()
	promtool := installed.Tool(t, "promtool", "prometheus")
	for _, file := range []string{"prometheus.yml", "ha/prometheus-a.yml", "ha/prometheus-b.yml", "shards/prometheus.yml"} {
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "config", "../../examples/"+file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
