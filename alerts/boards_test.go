package alerts

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
