package alerts

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// boardQuery is a query of a board, as Prometheus gets it when all is chosen.
type boardQuery struct{ board, panel, expr string }

// boardQueries are those of all boards but the ones that are left out.
func boardQueries(t *testing.T, without ...string) (all []boardQuery) {
	t.Helper()
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	chosen := strings.NewReplacer("$__rate_interval", "4m", "$__range", "1h", "$worker", "dragon-4500e3ab", "$place", "",
		"$site", ".*", "$model", ".*", "$state", ".*", "$instance", ".*")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if slices.Contains(without, name) {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(data, &b); err != nil {
			t.Fatal(err)
		}
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				all = append(all, boardQuery{name, p.Title, chosen.Replace(q.Expr)})
			}
		}
	}
	return all
}

// ofFarms is the query about these farms.
func (q boardQuery) ofFarms(pattern string) string {
	return strings.ReplaceAll(q.expr, "$farm", pattern)
}

var (
	askedName  = regexp.MustCompile(`[a-z]+:?[A-Za-z0-9_:]+\{`)
	askedLabel = regexp.MustCompile(`(?:by|on|ignoring|group_left) \(([^)]+)\)`)
)

// Farms that write to one Prometheus have the same names for their sites, and each may scrape
// localhost:9977, as docs/multi-site.md has it.
func TestBoardsShowFarmsWithTheSameNamesTogether(t *testing.T) {
	queries := boardQueries(t)
	names, labels := map[string]bool{}, map[string]bool{"job": true, "instance": true}
	for _, q := range queries {
		for _, name := range askedName.FindAllString(q.expr, -1) {
			names[strings.TrimSuffix(name, "{")] = true
		}
		for _, list := range askedLabel.FindAllStringSubmatch(q.expr, -1) {
			for label := range strings.SplitSeq(list[1], ", ") {
				labels[label] = true
			}
		}
	}
	if len(names) < 100 || len(labels) < 20 {
		t.Fatalf("only %d series and %d labels", len(names), len(labels))
	}
	u := unit{Name: "two farms", Step: "1m"}
	for i, farm := range []string{"north", "south"} {
		with := ""
		for _, label := range slices.Sorted(maps.Keys(labels)) {
			value := map[string]string{"farm": farm, "worker": fmt.Sprintf("dragon-4500e3a%c", 'b'+i)}[label]
			if value == "" {
				value = "1"
			}
			with += fmt.Sprintf(",%s=%q", label, value)
		}
		for name := range names {
			u.add(name+"{"+with[1:]+"}", "1+1x60")
		}
	}
	for _, q := range queries {
		u.Tests = append(u.Tests, at(60, "1 + 0 * count("+q.ofFarms(".*")+") or vector(1)", "{}"))
	}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml"})
}

// Figures of several farms are those of all their dragons together, and where that is no sum the worst.
func TestBoardsAddUpFarms(t *testing.T) {
	u := unit{Name: "figures of two farms", Step: "1m"}
	of := func(name, labels string, north, south float64) {
		u.add(fmt.Sprintf(`%s{farm="north",%s}`, name, labels), fmt.Sprintf("%gx60", north))
		u.add(fmt.Sprintf(`%s{farm="south",%s}`, name, labels), fmt.Sprintf("%gx60", south))
	}
	of("model:dragon_power_watts:sum", `site="hall",model="T1"`, 1000, 3000)
	of("model:dragon_powered_hashrate_hashes_per_second:sum", `site="hall",model="T1"`, 10e12, 40e12)
	of("model:dragon_energy:joules_per_terahash", `site="hall",model="T1"`, 100, 75)
	of("site:dragon_energy:joules_per_terahash", `site="hall"`, 100, 75)
	of("fleet:dragon_energy:joules_per_terahash", ``, 100, 75)
	of("mother_healer_budget_used", `scope="fleet",window="1h"`, 10, 5)
	of("mother_healer_budget_limit", `scope="fleet",window="1h"`, 10, 100)
	of("mother_clock_trusted", ``, 0, 1)
	of("mother_healer_last_cycle_timestamp_seconds", ``, 600, 3590)
	of("item:dragon_config_drift:sum", `item="pools"`, 2, 3)
	queries := boardQueries(t)
	for _, x := range []struct {
		panel  string
		query  int
		labels string
		want   float64
	}{
		{"Energy per hash", 0, `{}`, 80},
		{"Energy by site", 1, `{site="hall"}`, 80},
		{"Energy by site and model", 1, `{site="hall",model="T1"}`, 80},
		{"Energy per hash by site and model", 0, `{site="hall",model="T1"}`, 80},
		{"Budgets", 0, `{scope="fleet",window="1h"}`, 1},
		{"Trusts the clock", 0, `{}`, 0},
		{"Last decision", 0, `{}`, 3000},
		{"Out of sync", 0, `{item="pools"}`, 5},
	} {
		i := slices.IndexFunc(queries, func(q boardQuery) bool { return q.panel == x.panel && q.board != "dragon" })
		if i < 0 {
			t.Fatalf("no panel %s", x.panel)
		}
		u.Tests = append(u.Tests, unitTest{queries[i+x.query].ofFarms(".*"), "60m", []unitSample{{x.labels, x.want}}})
	}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml"})
}

// An instance that waits for the owner of the healer's state says that it cannot write, does not
// know what the owner does, and holds everything. No board takes that for the healer's.
func TestBoardsDoNotTakeAStandbyForTheHealer(t *testing.T) {
	u := unit{Name: "a standby", Step: "1m"}
	of := func(farm, instance string, series map[string]float64) {
		for name, value := range series {
			name, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
			u.add(fmt.Sprintf(`%s{farm=%q,job="dragons",instance=%q,%s}`, name, farm, instance, labels), fmt.Sprintf("%gx60", value))
		}
	}
	owner := map[string]float64{
		`mother_healer_standby`: 0, `mother_healer_lock_held`: 1, `mother_state_writable`: 1, `mother_clock_trusted`: 0,
		`mother_healer_mode{mode="enforce"}`: 1, `mother_healer_mode{mode="observe"}`: 0, `mother_healer_last_cycle_timestamp_seconds`: 3000,
		`mother_healer_blocked{gate="hour"}`: 2, `mother_healer_blocked{gate="owner"}`: 0, `mother_healer_waiting_seconds{gate="hour"}`: 600,
		`mother_healer_untreated_seconds`: 600, `mother_healer_breaker_state{breaker="foreign",scope=""}`: 0,
	}
	standby := map[string]float64{
		`mother_healer_standby`: 1, `mother_healer_lock_held`: 0, `mother_state_writable`: 0, `mother_clock_trusted`: 1,
		`mother_healer_mode{mode="enforce"}`: 0, `mother_healer_mode{mode="observe"}`: 1, `mother_healer_last_cycle_timestamp_seconds`: 3590,
		`mother_healer_blocked{gate="hour"}`: 0, `mother_healer_blocked{gate="owner"}`: 2, `mother_healer_waiting_seconds{gate="owner"}`: 90000,
		`mother_healer_untreated_seconds`: 90000, `mother_healer_breaker_state{breaker="foreign",scope=""}`: 2,
	}
	of("alone", "a", owner)
	of("pair", "a", owner)
	of("pair", "b", standby)
	of("orphan", "b", standby)
	for _, q := range boardQueries(t, "exporter", "dragon") { // the exporter's is about each instance
		pair, alone := "("+q.ofFarms("pair")+")", "("+q.ofFarms("alone")+")"
		for _, expr := range []string{pair + " unless " + alone, alone + " unless " + pair, pair + " != " + alone} {
			u.Tests = append(u.Tests, at(60, expr))
		}
		if q.board == "healer" && q.panel == "Mode" { // without an owner it is all that is known
			u.Tests = append(u.Tests, at(60, q.ofFarms("orphan"), `{mode="observe"}`))
		}
	}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml"})
}
