package alerts

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// values writes out what a series is in each minute.
func (s *scenario) values(t *testing.T, notation string, minutes int) string {
	t.Helper()
	well, trouble, troubled := strings.Cut(notation, "|")
	if !troubled {
		trouble = well
	}
	longer := 0
	if v, after, ok := strings.Cut(trouble, " 1+"); ok { // the trouble of this series lasts longer
		n, err := strconv.Atoi(after)
		if err != nil {
			t.Fatal(notation)
		}
		trouble, longer = v, n
	}
	var out []string
	var counter float64
	there := true
	for m := range minutes {
		now, began := well, m == s.begins && troubled
		if in := m >= s.begins && m < s.begins+s.lasts+longer; in {
			now = trouble
		}
		next := func(v float64) {
			out = append(out, strconv.FormatFloat(v, 'g', -1, 64))
			there = true
		}
		switch rate, grows := strings.CutPrefix(now, "+"); {
		case now == "none":
			if there {
				out = append(out, "stale")
			} else {
				out = append(out, "_")
			}
			there = false
		case now == "age":
			next(float64(m) * 60)
		case now == "stands":
			next(float64(s.begins-1) * 60)
		case now == "once" || now == "thrice":
			if began {
				counter++
			}
			if now == "thrice" && (m == s.begins+3 || m == s.begins+6) {
				counter++
			}
			next(counter)
		case now == "reset":
			if began {
				counter = 0
			}
			v, err := strconv.ParseFloat(strings.TrimPrefix(well, "+"), 64)
			if err != nil {
				t.Fatal(notation)
			}
			counter += v
			next(counter)
		case grows:
			v, err := strconv.ParseFloat(rate, 64)
			if err != nil {
				t.Fatal(notation)
			}
			counter += v
			next(counter)
		default:
			v, err := strconv.ParseFloat(now, 64)
			if err != nil {
				t.Fatalf("%q: %v", notation, err)
			}
			if counted := strings.Contains(trouble, "once") || strings.Contains(trouble, "thrice") || strings.HasPrefix(trouble, "+"); counted {
				v = counter // a counter that stands still
			}
			next(v)
		}
	}
	return strings.Join(out, " ")
}

// unit is one test as promtool reads it.
type unit struct {
	Name   string       `yaml:"name"`
	Step   string       `yaml:"interval"`
	Series []unitSeries `yaml:"input_series"`
	Tests  []unitTest   `yaml:"promql_expr_test"`
}

func (u *unit) add(series, values string) { u.Series = append(u.Series, unitSeries{series, values}) }

type unitSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type unitTest struct {
	Expr string       `yaml:"expr"`
	At   string       `yaml:"eval_time"`
	Want []unitSample `yaml:"exp_samples"`
}

type unitSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

// another is the instance of a series, where it is not the usual one.
var another = regexp.MustCompile(`instance="([^"]*)",`)

// scraped adds what Prometheus adds: the farm in one scrape, or each dragon in its own.
func scraped(series string, probed bool) string {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	job, instance := "dragons", "mother:9977"
	if m := regexp.MustCompile(`worker="([^"]*)"`).FindStringSubmatch(labels); probed && m != nil &&
		strings.HasPrefix(name, "dragon_") && name != "dragon_maintenance" && name != "dragon_hashrate_expected_hashes_per_second" {
		job, instance = "dragon", m[1]
	}
	if labels != "" {
		labels += ","
	}
	if m := another.FindStringSubmatch(labels); m != nil { // that shares the healer's state
		labels, instance = another.ReplaceAllString(labels, ""), m[1]
	}
	return fmt.Sprintf("%s{%sjob=%q,instance=%q}", name, labels, job, instance)
}

var named = regexp.MustCompile(`\$labels\.(\w+)`)

// at wants an expression to give these series at a minute, each with the value 1.
func at(minute int, expr string, series ...string) unitTest {
	want := []unitSample{}
	for _, s := range slices.Sorted(slices.Values(series)) {
		want = append(want, unitSample{s, 1})
	}
	return unitTest{expr, fmt.Sprintf("%dm", minute), want}
}

// firing wants these alerts to fire at a minute, and no others; of those that select.
func firing(minute int, selecting string, names ...string) unitTest {
	for i, n := range names {
		names[i] = fmt.Sprintf("{alertname=%q}", n)
	}
	return at(minute, fmt.Sprintf(`count by (alertname) (ALERTS{alertstate="firing"%s})`, selecting), names...)
}

// plan fills in what a scenario leaves to its alert.
func (s *scenario) plan(a rule) {
	minutes := func(d model.Duration) int { return int(math.Ceil(time.Duration(d).Minutes())) }
	s.begins = cmp.Or(s.begins, 20)
	s.lasts = cmp.Or(s.lasts, max(30, minutes(a.For)+15))
	s.fires = cmp.Or(s.fires, minutes(a.For)+3)
	s.resolved = cmp.Or(s.resolved, minutes(a.Keep)+7)
}

// tests of one scenario, where selecting selects its alerts.
func (s *scenario) tests(a rule, selecting string) []unitTest {
	// Whatever its annotations speak of is there.
	has := []string{fmt.Sprintf("severity=%q", a.Labels["severity"])}
	for _, m := range named.FindAllStringSubmatch(a.Annotations["description"], -1) {
		if m[1] != "scope" {
			has = append(has, m[1]+`!=""`)
		}
	}
	itself := fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"%s})`, s.alert, selecting)
	complete := fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"%s,%s})`, s.alert, selecting, strings.Join(has, ","))
	fires := s.begins + s.fires
	return []unitTest{
		firing(s.begins-1, selecting),
		at(s.begins+int(time.Duration(a.For).Minutes())-1, itself),
		firing(fires, selecting, append([]string{s.alert}, s.also...)...),
		at(fires, complete, "{}"),
		firing(s.begins+s.lasts+s.resolved, selecting),
	}
}

// ends is the minute after which nothing is asked about it any more.
func (s *scenario) ends() int { return s.begins + max(s.lasts, s.fires) + max(s.resolved, 0) + 1 }

// aboutADragon reports whether an alert has one dragon in it.
func aboutADragon(a rule) bool {
	return strings.Contains(a.Expr, "group_left (model, ip, site")
}

// TestAlertsAboutADragon has all scenarios of one dragon in one farm, each on a dragon of its
// own; beside it one in the same trouble that is in maintenance, and one in trouble
// that is not yet enough.
func TestAlertsAboutADragon(t *testing.T) {
	byName := alertsByName(t)
	// Those that end within these minutes share a farm: each minute asks all rules of all dragons.
	farm := func(name string, after, within int, probed bool) unit {
		all := scenario{begins: 20, lasts: 30}
		total := 0
		in := func(s *scenario) bool {
			return aboutADragon(byName[s.alert]) && s.ends() > after && s.ends() <= within
		}
		for i := range scenarios {
			s := &scenarios[i]
			s.plan(byName[s.alert])
			if in(s) {
				total = max(total, s.ends())
			}
		}
		u := unit{Name: name, Step: "1m"}
		for series, value := range world() {
			u.add(scraped(series, probed), all.values(t, value, total))
		}
		put := func(s *scenario, worker string, with map[string]string, gone int) {
			d := dragonA()
			maps.Copy(d, with)
			for series, value := range d {
				values := s.values(t, value, total)
				if gone > 0 && strings.Contains(series, `worker="a"`) {
					values = cut(values, gone)
				}
				u.add(scraped(as(worker, series), probed), values)
			}
		}
		for i := range scenarios {
			s := &scenarios[i]
			a := byName[s.alert]
			if !in(s) {
				continue
			}
			worker := fmt.Sprintf("%s-%d", s.alert, i)
			selecting := fmt.Sprintf(",worker=%q", worker)
			if probed { // it is taken away in its trouble
				fires := s.begins + s.fires
				put(s, worker, s.with, fires+1)
				u.Tests = append(u.Tests, firing(fires, selecting, append([]string{s.alert}, s.also...)...), firing(fires+1+max(s.resolved, 7), selecting))
				continue
			}
			put(s, worker, s.with, 0)
			u.Tests = append(u.Tests, s.tests(a, selecting)...)
			if !s.loud {
				muted := also(s.with, `dragon_maintenance{worker="a"}`, "1", `mother_healer_device_state{worker="a",state="healthy"}`, "none", `mother_healer_device_state{worker="a",state="lost"}`, "none", `mother_healer_device_state{worker="a",state="maintenance"}`, "1")
				put(s, "muted-"+worker, muted, 0)
				u.Tests = append(u.Tests, firing(s.begins+s.fires, fmt.Sprintf(`,worker="muted-%s"`, worker)))
			}
			if s.near != nil {
				put(s, "near-"+worker, s.near, 0)
				u.Tests = append(u.Tests, at(s.begins+s.fires, fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing",worker="near-%s"})`, s.alert, worker)))
			}
		}
		return u
	}
	promtoolTests(t, []unit{farm("dragons in trouble", 0, 80, false)}, alertFiles(t))
	// Rules about what takes hours are evaluated every other minute, which costs half.
	promtoolTestsEvery(t, "2m", []unit{farm("dragons in trouble for hours", 80, 300, false)}, alertFiles(t))
	promtoolTestsEvery(t, "2m", []unit{farm("dragons in trouble for a day", 300, math.MaxInt, false)}, []string{"thresholds.yml", "recording.yml", "dragon.yml"})
	promtoolTests(t, []unit{farm("dragons taken away, with a scrape each", 0, 80, true)}, alertFiles(t))
	promtoolTestsEvery(t, "2m", []unit{farm("dragons taken away after hours, with a scrape each", 80, 300, true)}, alertFiles(t))
}

// TestAlertsAboutMany has a farm for each scenario, and the rules of its file.
func TestAlertsAboutMany(t *testing.T) {
	byName := alertsByName(t)
	type run struct{ file, every string }
	units := make(map[run][]unit)
	for i := range scenarios {
		s := &scenarios[i]
		a := byName[s.alert]
		if aboutADragon(a) {
			continue
		}
		s.plan(a)
		file := a.file
		if s.allFiles {
			file = ""
		}
		farm := func(name string, with map[string]string, total int, tests ...unitTest) {
			u := unit{Name: name, Step: "1m", Tests: tests}
			all := world()
			maps.Copy(all, with)
			for series, value := range all {
				u.add(scraped(series, false), s.values(t, value, total))
			}
			every := "1m"
			if total > 150 {
				every = "2m"
			}
			units[run{file, every}] = append(units[run{file, every}], u)
		}
		farm(s.alert, s.with, s.ends(), s.tests(a, "")...)
		if s.near != nil {
			fires := s.begins + s.fires
			farm("not yet "+s.alert, s.near, fires+1, at(fires, fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"})`, s.alert)))
		}
	}
	for run, units := range units {
		files := []string{"thresholds.yml", "recording.yml", run.file}
		switch run.file {
		case "":
			files = alertFiles(t)
		case "healer.yml", "exporter.yml":
			files = []string{"thresholds.yml", run.file}
		}
		for chunk := range slices.Chunk(units, 12) {
			promtoolTestsEvery(t, run.every, chunk, files)
		}
	}
}

// TestNoAlertFiresWithoutCause: neither where all is well, nor where counters begin again at zero
// with the miner process and with the program.
func TestNoAlertFiresWithoutCause(t *testing.T) {
	s := scenario{begins: 20, lasts: 120}
	reset := world()
	for series, value := range reset {
		if strings.HasPrefix(value, "+") {
			reset[series] = value + "|reset"
		}
	}
	var units []unit
	for name, all := range map[string]map[string]string{"all is well": world(), "counters are reset": reset} {
		u := unit{Name: name, Step: "1m", Tests: []unitTest{firing(5, ""), firing(22, ""), firing(36, ""), firing(80, ""), firing(95, "")}}
		for series, value := range all {
			u.add(scraped(series, true), s.values(t, value, 100))
		}
		units = append(units, u)
	}
	promtoolTests(t, units, alertFiles(t))
}

// TestMissingThresholdsAreAnAlert: without them the others are silent.
func TestMissingThresholdsAreAnAlert(t *testing.T) {
	s := scenario{begins: 20, lasts: 30}
	u := unit{Name: "no thresholds", Step: "1m", Tests: []unitTest{firing(8, ""), firing(15, "", "RulesIncomplete")}}
	for series, value := range world() {
		u.add(scraped(series, false), s.values(t, value, 20))
	}
	promtoolTests(t, []unit{u}, slices.DeleteFunc(alertFiles(t), func(f string) bool { return f == "thresholds.yml" }))
}

// TestADragonThatIsDownCountsAsZero: in the mean that the fleet's board opens with, a dragon that is
// down counts as one that makes nothing, also if it was never seen hashing; but not while
// nothing is known of its model.
func TestADragonThatIsDownCountsAsZero(t *testing.T) {
	u := unit{Name: "down", Step: "1m"}
	for worker, up := range map[string]string{"a": "1", "down": "0", "lost": "0"} {
		model := "T1"
		if worker == "lost" {
			model = "B29"
		}
		u.add(scraped(fmt.Sprintf("dragon_info{worker=%q,model=%q,brand=\"DragonMint\",firmware=\"1\",ip=\"10.0.0.1\",mac=%[1]q,site=\"\"}", worker, model), false), "1x30")
		u.add(scraped(fmt.Sprintf("dragon_up{worker=%q}", worker), false), up+"x30")
	}
	u.add(scraped(`dragon_boards{worker="a"}`, false), "1x30")
	u.add(scraped(`dragon_board_up{worker="a",board="0"}`, false), "1x30")
	u.add(scraped(`dragon_board_hashrate_hashes_per_second{worker="a",board="0",window="15m"}`, false), "90x30")
	u.add(scraped(`dragon_hashrate_expected_hashes_per_second{worker="a"}`, false), "_x14 100x15")
	u.Tests = []unitTest{
		at(10, `worker:dragon_hashrate_of_expected:ratio`),
		{Expr: `sum by (worker, model) (worker:dragon_hashrate_of_expected:ratio)`, At: "25m", Want: []unitSample{{`{model="T1", worker="a"}`, 0.9}, {`{model="T1", worker="down"}`, 0}}},
	}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml", "recording.yml", "dashboards.yml"})
}

// TestARetiredDragonIsNotDown: the fleet's board counts one that is retired, or that people work on, neither as
// down nor as one that makes nothing.
func TestARetiredDragonIsNotDown(t *testing.T) {
	u := unit{Name: "retired", Step: "1m"}
	for worker, shows := range map[string][2]string{"a": {"1", "0"}, "down": {"0", "0"}, "retired": {"0", "1"}, "locked": {"0", "1"}} {
		with := func(name, more string) string {
			return scraped(fmt.Sprintf("%s{worker=%q%s}", name, worker, more), false)
		}
		u.add(with("dragon_info", `,model="T1",site=""`), "1x30")
		u.add(with("dragon_up", ""), shows[0]+"x30")
		u.add(with("dragon_maintenance", ""), shows[1]+"x30")
		u.add(with("dragon_hashrate_expected_hashes_per_second", ""), "100x30")
	}
	u.add(scraped(`dragon_down_info{worker="locked",reason="auth"}`, false), "1x30")
	u.add(scraped(`dragon_boards{worker="a"}`, false), "1x30")
	u.add(scraped(`dragon_board_up{worker="a",board="0"}`, false), "1x30")
	u.add(scraped(`dragon_board_hashrate_hashes_per_second{worker="a",board="0",window="15m"}`, false), "90x30")
	u.Tests = []unitTest{
		at(25, `worker:dragon_state:info{state="down"}`, `worker:dragon_state:info{worker="down",model="T1",state="down"}`),
		{Expr: `count by (state) (worker:dragon_state:info)`, At: "25m", Want: []unitSample{
			{`{state="down"}`, 1}, {`{state="hashing"}`, 1}, {`{state="maintenance"}`, 2},
		}},
		{Expr: `sum by (worker) (worker:dragon_hashrate_of_expected:ratio)`, At: "25m", Want: []unitSample{{`{worker="a"}`, 0.9}, {`{worker="down"}`, 0}}},
	}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml", "recording.yml", "dashboards.yml"})
}

// TestEnergyIsThatOfTheDragonsWhosePowerIsKnown: no source, no series; the sums of a model that
// hashes otherwise are its own; and cost needs a price.
func TestEnergyIsThatOfTheDragonsWhosePowerIsKnown(t *testing.T) {
	farm := func(name string, tests ...unitTest) unit {
		u := unit{Name: name, Step: "1m", Tests: tests}
		add := func(series, value string) { u.add(scraped(series, false), value+"x200") }
		for worker, is := range map[string]struct{ model, site, hashrate string }{
			"a": {"T1", "north", "15e12"}, "b": {"T1", "north", "10e12"}, "unknown": {"T1", "north", "16e12"},
			"c": {"T2T", "south", "25e12"}, "d": {"B52", "south", "4e12"}, "idle": {"T1", "south", "0"},
		} {
			add(fmt.Sprintf("dragon_info{worker=%q,model=%q,site=%q,ip=%[1]q,mac=%[1]q}", worker, is.model, is.site), "1")
			add(fmt.Sprintf("dragon_board_up{worker=%q,board=\"0\"}", worker), "1")
			add(fmt.Sprintf("dragon_board_hashrate_hashes_per_second{worker=%q,board=\"0\",window=\"15m\"}", worker), is.hashrate)
		}
		add(`dragon_power_watts{worker="a",source="dragon"}`, "1500")
		add(`dragon_power_watts{worker="b",source="operator"}`, "1000")
		add(`dragon_power_watts{worker="b",source="pdu"}`, "1100")
		add(`dragon_power_watts{worker="c",source="pdu"}`, "2000")
		add(`dragon_power_watts{worker="d",source="dragon"}`, "1400")
		add(`dragon_power_watts{worker="idle",source="dragon"}`, "60")
		return u
	}
	is := func(expr string, want ...unitSample) unitTest { return unitTest{expr, "70m", want} }
	of := func(labels string, value float64) unitSample { return unitSample{"{" + labels + "}", value} }
	energy := []unitTest{
		is(`max by (worker) (worker:dragon_power_watts:any)`, of(`worker="a"`, 1500), of(`worker="b"`, 1000), of(`worker="c"`, 2000), of(`worker="d"`, 1400), of(`worker="idle"`, 60)),
		is(`sum by (site, model) (model:dragon_power_watts:sum)`, of(`model="B52", site="south"`, 1400), of(`model="T1", site="north"`, 2500), of(`model="T1", site="south"`, 60), of(`model="T2T", site="south"`, 2000)),
		is(`sum by (site) (site:dragon_power_watts:sum)`, of(`site="north"`, 2500), of(`site="south"`, 3460)),
		is(`sum(fleet:dragon_power_watts:sum)`, of("", 5960)),
		is(`sum by (worker) (worker:dragon_energy:joules_per_terahash)`, of(`worker="a"`, 100), of(`worker="b"`, 100), of(`worker="c"`, 80), of(`worker="d"`, 350)),
		is(`sum by (site, model) (model:dragon_energy:joules_per_terahash)`, of(`model="B52", site="south"`, 350), of(`model="T1", site="north"`, 100), of(`model="T2T", site="south"`, 80)),
		is(`sum by (site) (site:dragon_energy:joules_per_terahash)`, of(`site="north"`, 100), of(`site="south"`, 82.4)), // without the B52, with the power of the idle one
		is(`round(sum(fleet:dragon_energy:joules_per_terahash), 0.1)`, of("", 91.2)),
		is(`round(sum by (site) (site:dragon_energy_kilowatt_hours:sum24h), 0.5)`, of(`site="north"`, 3), of(`site="south"`, 4)),
	}
	files := []string{"thresholds.yml", "recording.yml", "dashboards.yml"}
	promtoolTests(t, []unit{farm("energy", append(energy, is(`fleet:dragon_energy_cost:sum24h`))...)}, files)

	prices, err := os.ReadFile("thresholds.yml")
	if err != nil {
		t.Fatal(err)
	}
	const price = `{record: "threshold:energy_price_per_kilowatt_hour", expr: vector(`
	files[0] = filepath.Join(t.TempDir(), "thresholds.yml")
	if err := os.WriteFile(files[0], []byte(strings.Replace(string(prices), price+"0)", price+"0.5)", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	promtoolTests(t, []unit{farm("cost", is(`sum(fleet:dragon_energy_cost:sum24h) / sum(fleet:dragon_energy_kilowatt_hours:sum24h)`, of("", 0.5)))}, files)
}

// TestAPDUGivesItsDragonsTheirPower: by the labels pdu and outlet of the dragons.
func TestAPDUGivesItsDragonsTheirPower(t *testing.T) {
	u := unit{Name: "PDU", Step: "1m"}
	for worker, labels := range map[string]string{"a": `,pdu="pdu-1.example.net",outlet="7"`, "b": `,pdu="pdu-2.example.net",outlet="7"`, "c": `,pdu="pdu-2.example.net"`, "d": ""} {
		u.add(scraped(fmt.Sprintf(`dragon_info{worker=%q,model="T1",site="hall"%s}`, worker, labels), false), "1x30")
	}
	for outlet, watts := range map[string]string{`instance="pdu-1.example.net",rPDU2OutletMeteredStatusIndex="7"`: "1480",
		`instance="pdu-2.example.net:161",rPDU2OutletMeteredStatusIndex="7"`: "1210", `instance="pdu-2.example.net",rPDU2OutletMeteredStatusIndex="8"`: "1300"} {
		u.add(`rPDU2OutletMeteredStatusPower{job="pdu",`+outlet+"}", watts+"x30")
	}
	u.Tests = []unitTest{{`max by (worker, source) (dragon_power_watts)`, "10m", []unitSample{{`{source="pdu", worker="a"}`, 1480}, {`{source="pdu", worker="b"}`, 1210}}}}
	promtoolTests(t, []unit{u}, []string{"../examples/pdu.yml"})
}

// TestSHA256ModelsAreThoseOfTheRules: the matcher of the rules is what the program knows.
func TestSHA256ModelsAreThoseOfTheRules(t *testing.T) {
	rules, err := os.ReadFile("recording.yml")
	if err != nil {
		t.Fatal(err)
	}
	matchers := regexp.MustCompile(`model=~"([^"]*)"`).FindAllStringSubmatch(string(rules), -1)
	if len(matchers) != 4 {
		t.Fatalf("%q", matchers)
	}
	for _, m := range matchers {
		for _, name := range append(dragon.Models(), "T2TURBO", "T3-50T", "A8+", "D9+") {
			if got, want := regexp.MustCompile("^(?:"+m[1]+")$").MatchString(name), dragon.ModelOf(name).Algorithm == "SHA-256"; got != want {
				t.Errorf("%s fits %s: %v, want %v", name, m[1], got, want)
			}
		}
	}
}

func TestEveryAlertHasAScenario(t *testing.T) {
	left := alertsByName(t)
	delete(left, "RulesIncomplete") // TestMissingThresholdsAreAnAlert
	for i := range scenarios {
		if _, ok := left[scenarios[i].alert]; !ok && i > 0 && scenarios[i-1].alert != scenarios[i].alert {
			t.Errorf("there is no alert %s", scenarios[i].alert)
		}
		delete(left, scenarios[i].alert)
	}
	for name := range left {
		t.Errorf("no scenario lets %s fire", name)
	}
}

func alertsByName(t *testing.T) map[string]rule {
	t.Helper()
	byName := make(map[string]rule)
	for _, a := range alerts(t) {
		byName[a.Alert] = a
	}
	return byName
}

// alertFiles are the files that alerts need: not what is computed for the boards, which
// costs more than all else.
func alertFiles(t *testing.T) []string {
	return slices.DeleteFunc(ruleFiles(t), func(f string) bool { return f == "dashboards.yml" })
}

// cut ends a series at a minute.
func cut(values string, minute int) string {
	all := strings.Split(values, " ")
	all = all[:min(len(all), minute)]
	return strings.Join(append(all, "stale"), " ")
}

// promtoolTests has promtool run tests of rule files, and evaluate the rules every minute.
func promtoolTests(t *testing.T, units []unit, files []string) {
	t.Helper()
	promtoolTestsEvery(t, "1m", units, files)
}

func promtoolTestsEvery(t *testing.T, every string, units []unit, files []string) {
	t.Helper()
	promtool := installed.Tool(t, "promtool", "prometheus")
	files = slices.Clone(files)
	for i, f := range files {
		path, err := filepath.Abs(f)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = path
	}
	data, err := yaml.Marshal(map[string]any{"rule_files": files, "evaluation_interval": every, "group_eval_order": groupOrder(t, files), "tests": units})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run(units[0].Name, func(t *testing.T) {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", name)
		cmd.Env = append(os.Environ(), "GOGC=400") // a fifth of its time is collecting garbage
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// groupOrder is the order of the files' groups in which what is recorded comes before who uses it.
func groupOrder(t *testing.T, files []string) []string {
	t.Helper()
	first := []string{"dragon-thresholds", "dragon-pools", "dragon-own-accounts", "dragon-boards", "dragon"}
	var order []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct{ Groups []struct{ Name string } }
		if err := yaml.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		for _, g := range f.Groups {
			order = append(order, g.Name)
		}
	}
	slices.SortStableFunc(order, func(a, b string) int {
		at := func(n string) int {
			if i := slices.Index(first, n); i >= 0 {
				return i
			}
			return len(first)
		}
		return at(a) - at(b)
	})
	return order
}

func TestPromtoolTakesTheRules(t *testing.T) {
	args := append([]string{"check", "rules"}, ruleFiles(t)...)
	if out, err := exec.CommandContext(t.Context(), installed.Tool(t, "promtool", "prometheus"), args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
