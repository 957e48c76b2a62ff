package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// raised are the alerts that each fault of a dragon raises and no other alert hides, in
// the order of their names.
var raised = map[dragontest.Fault]string{
	dragontest.Hang:        "DragonDown",
	dragontest.HangReading: "DragonDown",
	dragontest.Reset:       "DragonDown",
	dragontest.Trickle:     "DragonDown",
	dragontest.Unplugged:   "DragonDown",

	dragontest.Cut:       "DragonUnreadable",
	dragontest.Empty:     "DragonUnreadable",
	dragontest.Endless:   "DragonUnreadable",
	dragontest.Garbage:   "DragonUnreadable",
	dragontest.HTML:      "DragonUnreadable",
	dragontest.Huge:      "DragonUnreadable",
	dragontest.NotReady:  "DragonUnreadable",
	dragontest.Redirect:  "DragonUnreadable",
	dragontest.Status500: "DragonUnreadable",
	dragontest.Status502: "DragonUnreadable",
	dragontest.Truncated: "DragonUnreadable",

	dragontest.AlwaysExpired:  "DragonAuthFailed",
	dragontest.LockedOut:      "DragonAuthFailed",
	dragontest.PasswordChange: "DragonAuthFailed",
	dragontest.WrongPassword:  "DragonAuthFailed",

	dragontest.BogusTemperature: "SensorFault",
	dragontest.DeadBoard:        "BoardDead",
	dragontest.DeadBoardFrozen:  "BoardDead",
	dragontest.DeadBoardHot:     "BoardDead FanFull TemperatureCritical",
	dragontest.Flatline:         "HashrateFlatline",
	dragontest.Frozen:           "HashrateFlatline",
	dragontest.LowHashrate:      "HashrateLow",
	dragontest.MissingBoard:     "BoardMissing",
	dragontest.Overheat:         "FanFull TemperatureHigh",
	dragontest.PoolDead:         "DragonPoolUnreachable",
	dragontest.RebootLoop:       "DragonFlapping",

	// These are read all the same.
	dragontest.DuplicateBoards:  "",
	dragontest.HostileLabels:    "",
	dragontest.InvalidUTF8:      "",
	dragontest.NumbersAsStrings: "",
	dragontest.PHPArrays:        "",
	dragontest.Slow:             "",
	// Not in so small a part of the hashes.
	dragontest.HardwareErrors: "",
	// These are not rebooted.
	dragontest.RebootIgnored:      "",
	dragontest.RebootNeverReturns: "",
	dragontest.RebootUnanswered:   "",
	// DeviceClockSkew is left out: by the clock of this machine, all of this fleet's are wrong.
	dragontest.WrongClock: "",
}

// everyKind is a policy for a fleet that is sick in every way on purpose, at which the
// healer only looks: so many at once do not count as a storm here.
const everyKind = `
healing:
  breakers: {storm: 90%, storm_fresh: 90%, unreachable: 90%, scope: 90%}
  causes: {site_hot: 90%, domain: 90%, pool: 90%}
`

// TestFaultsRaiseTheirAlertsAndNoPage has the shipped rules in a real Prometheus, and
// the example in a real Alertmanager, with all times shortened as the dragons live faster.
func TestFaultsRaiseTheirAlertsAndNoPage(t *testing.T) {
	t.Parallel()
	const speed, count = 120, 130 // so many that the sick ones do not lower the fleet's rate much
	manager := startAlertmanager(t)
	w := prepareFarm(t, count, speed, everyKind, nil)
	w.start("--dragon-timeout=700ms", "--scrape-timeout-offset=200ms")
	prom := startPrometheusWithRules(t, w.base[len("http://"):], manager, speed)
	eventually(t, "all are seen, and it is known what they should hash", func() bool {
		return prom.query(t, `count(worker:dragon_hashrate:ratio > 0.9 and on (worker) (dragon_miner_uptime_seconds > 1800))`)[""] == count
	})
	want := make(map[string]string)
	var dead string
	for i, f := range dragontest.Faults() {
		alerts, known := raised[f.Fault]
		if !known {
			t.Fatalf("no alert is named for %s", f.Fault)
		}
		w.dragons.Dragon(3 * i).Inject(f.Fault)
		if alerts != "" {
			want[w.worker(3*i)] = alerts
		}
		if f.Fault == dragontest.DeadBoard {
			dead = w.worker(3 * i)
		}
	}
	var got map[string]string
	defer func() {
		if !maps.Equal(got, want) {
			t.Errorf("Alertmanager tells\n%v, want\n%v", got, want)
		}
	}()
	eventually(t, "Alertmanager has the alert of each sick dragon, and no others", func() bool {
		got = manager.told(t)
		return maps.Equal(got, want)
	})
	if n := prom.query(t, `count(ALERTS{alertstate="firing",severity="critical"}) or vector(0)`)[""]; n != 0 {
		t.Errorf("%v alerts page", n)
	}
	for _, q := range questions(t) {
		if q.panel == "Firing alerts" {
			expr := strings.ReplaceAll(q.expr, "$farm", ".*")
			eventually(t, "the fleet's board shows that alerts fire: "+expr[:40], func() bool { return len(prom.query(t, expr)) > 0 })
		}
	}
	eventually(t, "Alertmanager has the dead board, with what to do", func() bool {
		return strings.Contains(manager.alerts(t, `alertname="BoardDead"`, `worker="`+dead+`"`), "reseat the cables")
	})
}

// TestAnUnreachableSiteHidesItsDragons: one alert for a site, and one for a network
// that has no named site, in place of one for each of their dragons.
func TestAnUnreachableSiteHidesItsDragons(t *testing.T) {
	t.Parallel()
	const speed, count, hall = 240, 40, 6
	manager := startAlertmanager(t)
	clock := dragontest.SpedUp(speed)
	dragons, _ := fleetOf(t, dragontest.FleetConfig{Count: count, Specs: func(int) dragontest.Spec {
		return dragontest.Spec{Now: clock, Speed: speed}
	}})
	config := fmt.Sprintf("discovery: {port: %d}\ndragons:\n", dragons.Port())
	for i := range count {
		site := ""
		if i < hall {
			site = ", site: hall"
		}
		config += fmt.Sprintf("  - {address: %q%s}\n", dragons.Addr(i), site)
	}
	file := filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &instance{t: t, dragons: dragons, dir: t.TempDir()}
	w.p, w.base = mother(t, "--data-dir="+w.dir, "--config.file="+file, fmt.Sprintf("--simulation.speed=%d", speed), "--dragon-timeout=500ms", "--scrape-timeout-offset=200ms")
	prom := startPrometheusWithRules(t, w.base[len("http://"):], manager, speed)
	eventually(t, "Prometheus knows all", func() bool { return prom.query(t, `count(worker:dragon_info:any)`)[""] == count })

	// down wants DragonDown about these to be hidden, about that one to be told, and no other.
	told := w.worker(count - 1)
	down := func(what string, hidden ...int) {
		t.Helper()
		want := map[string]bool{told: false}
		for _, i := range hidden {
			want[w.worker(i)] = true
		}
		eventually(t, what, func() bool { return maps.Equal(manager.hidden(t, "DragonDown", "worker"), want) })
	}
	dragons.Dragon(count - 1).Inject(dragontest.Reset)
	down("one is down, and told of")

	var out []int
	for i := range hall {
		dragons.Dragon(i).Inject(dragontest.Unplugged)
		out = append(out, i)
	}
	down("the hall hides its dragons, and no other", out...)
	if got := manager.hidden(t, "SiteUnreachable", "site"); !maps.Equal(got, map[string]bool{"hall": false}) {
		t.Errorf("out of reach: %v", got)
	}

	for i := hall; i < hall+12; i++ {
		dragons.Dragon(i).Inject(dragontest.Unplugged)
		out = append(out, i)
	}
	eventually(t, "the network hides its dragons", func() bool {
		got := manager.hidden(t, "DragonDown", "worker")
		return len(got) == len(out)+1 && !slices.Contains(slices.Collect(maps.Values(got)), false)
	})
	network := dragons.Networks()[0].Addr().String() + "/24"
	if got := manager.hidden(t, "SiteUnreachable", "site"); !maps.Equal(got, map[string]bool{"hall": false, network: false}) {
		t.Errorf("out of reach: %v", got)
	}
}

// TestConsequentialAlertsAreInhibited gives Alertmanager alerts that follow from each other, all at once.
func TestConsequentialAlertsAreInhibited(t *testing.T) {
	t.Parallel()
	manager := startAlertmanager(t)
	want := map[string]bool{ // alert and dragon, or its labels: hidden
		"DragonDown a": false, "BoardDead a": true, "BoardMissing a": true, "HashrateLow a": true, "NoShares a": true, "TemperatureHigh a": true, "ConfigDrift a": false,
		"BoardDead b": false, "HashrateLow b": true, "BoardMissing b": false,
		"DragonAuthFailed c": false, "BoardDead c": true, "FanFull c": true,
		"DragonUnreadable d": false, "BoardMissing d": true,
		"LostAfterAction e": false, "DragonDown e": true,
		"PoolForeign f": false, "ConfigDrift f": true,
		"HashrateLow g": false,

		"HealerIsolated farm=north": false, "SiteUnreachable farm=north site=hall": true, "SiteUnreachable farm=south site=hall": false,
		"DragonDown farm=south site=hall worker=i": true,
		"DragonDown farm=east site=hall worker=i":  false, "DragonDown farm=south worker=h": false, "BoardDead farm=east worker=h": false,
		"SiteHot farm=north": false, "TemperatureCritical farm=north worker=k": true, "TemperatureCritical farm=south worker=k": false,
		"QuarantineHigh farm=north": false, "DragonQuarantined farm=north": true, "DragonQuarantined farm=south": false,
		"ExporterDown job=standby instance=b": false, "ScanFailing job=standby instance=b": true, "HealerDown job=dragons instance=a": false,
		"ExporterDown farm=west job=dragons instance=c": false, "HealerDown farm=west": true, "HealerDown farm=east": false,
	}
	type alert struct {
		Labels map[string]string `json:"labels"`
	}
	var all []alert
	for what := range want {
		name, of, _ := strings.Cut(what, " ")
		labels := map[string]string{"alertname": name, "what": what}
		for label := range strings.FieldsSeq(of) {
			if key, value, named := strings.Cut(label, "="); named {
				labels[key] = value
			} else {
				labels["worker"] = label
			}
		}
		all = append(all, alert{labels})
	}
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "Alertmanager takes alerts", func() bool {
		resp, err := http.Post("http://"+manager.address+"/api/v2/alerts", "application/json", bytes.NewReader(body))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	got := make(map[string]bool)
	defer func() {
		if !maps.Equal(got, want) {
			t.Errorf("Alertmanager hides\n%v, want\n%v", got, want)
		}
	}()
	eventually(t, "what follows is hidden, and nothing else", func() bool {
		clear(got)
		for what := range want {
			name, _, _ := strings.Cut(what, " ")
			maps.Copy(got, manager.hidden(t, name, "what"))
		}
		return maps.Equal(got, want)
	})
}

type alertmanager struct{ address string }

func startAlertmanager(t *testing.T) alertmanager {
	t.Helper()
	program := installed.Tool(t, "prometheus-alertmanager", "prometheus-alertmanager")
	example, err := filepath.Abs("../../examples/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	a := alertmanager{fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	spawn(t, nil, program, "--config.file="+example, "--storage.path="+t.TempDir(), "--web.listen-address="+a.address, "--cluster.listen-address=")
	return a
}

// alerts are those that are active, neither silenced nor inhibited, as JSON.
func (a alertmanager) alerts(t *testing.T, matchers ...string) string {
	t.Helper()
	q := url.Values{"filter": matchers, "inhibited": {"false"}}
	body, err := tryGet("http://" + a.address + "/api/v2/alerts?" + q.Encode())
	if err != nil || !json.Valid([]byte(body)) {
		return ""
	}
	return body
}

// told are the names of the alerts about each dragon that nothing hides.
func (a alertmanager) told(t *testing.T) map[string]string {
	t.Helper()
	var all []struct{ Labels map[string]string }
	if body := a.alerts(t, `worker!=""`, `alertname!="DeviceClockSkew"`); body != "" {
		if err := json.Unmarshal([]byte(body), &all); err != nil {
			t.Fatal(err)
		}
	}
	names := make(map[string][]string)
	for _, alert := range all {
		who := alert.Labels["worker"]
		names[who] = append(names[who], alert.Labels["alertname"])
	}
	told := make(map[string]string)
	for who, n := range names {
		slices.Sort(n)
		told[who] = strings.Join(n, " ")
	}
	return told
}

// hidden are the alerts of a name by one of their labels: whether another hides it.
func (a alertmanager) hidden(t *testing.T, name, label string) map[string]bool {
	t.Helper()
	body, err := tryGet("http://" + a.address + "/api/v2/alerts?" + url.Values{"filter": {fmt.Sprintf("alertname=%q", name)}}.Encode())
	if err != nil {
		return nil
	}
	var all []struct {
		Labels map[string]string
		Status struct{ InhibitedBy []string }
	}
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%v: %.300s", err, body)
	}
	hidden := make(map[string]bool)
	for _, alert := range all {
		hidden[alert.Labels[label]] = len(alert.Status.InhibitedBy) > 0
	}
	return hidden
}

// lasting are the durations in a file of rules.
var lasting = regexp.MustCompile(`(\[|offset |for: |interval: )(\d+)([smhd])`)

func startPrometheusWithRules(t *testing.T, mother string, manager alertmanager, speed int) prometheus {
	t.Helper()
	program := installed.Tool(t, "prometheus", "prometheus")
	dir := t.TempDir()
	files, err := filepath.Glob("../../alerts/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		short := lasting.ReplaceAllStringFunc(string(data), func(s string) string {
			m := lasting.FindStringSubmatch(s)
			n, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[3]]
			return fmt.Sprintf("%s%dms", m[1], (time.Duration(n) * unit / time.Duration(speed)).Milliseconds())
		})
		if err := os.WriteFile(filepath.Join(dir, "rules", filepath.Base(file)), []byte(short), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}
rule_files: [rules/*.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs:
  - job_name: dragons
    static_configs: [{targets: [%q]}]
`, manager.address, mother)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	spawn(t, nil, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	return prometheus{"http://" + address}
}
