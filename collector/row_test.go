package collector

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

var update = flag.Bool("update", false, "write testdata anew")

// golden compares got with a file, or writes the file with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s is not what it should be (-want +got); if the new one is right: go test ./collector -update\n%s", file, diff)
	}
}

// units are the ends of names that say in what a value is measured.
var units = []string{"seconds", "bytes", "celsius", "ratio", "hashes_per_second", "hashes"}

func TestRowsKeepTheHouseRules(t *testing.T) {
	name := regexp.MustCompile(`^dragon(_[a-z0-9]+)+$`)
	foreign := regexp.MustCompile(`_(mhz|ghz|mhs|ghs|ths|percent|pct|c|temp|ms|us|kb|mb|minutes|hours|days|count|sum|bucket|created)(_|$)`)
	onlyOnInfo := []string{"mac", "ip", "address", "host", "model", "brand", "firmware", "hw_version", "site", "url", "user", "name"}

	seen := map[string]bool{}
	for _, f := range compile(tables()) {
		if seen[f.name] {
			t.Errorf("%s: rows of one name stand apart", f.name)
		}
		seen[f.name] = true
		base := strings.TrimSuffix(f.name, "_total")
		switch {
		case !name.MatchString(f.name):
			t.Errorf("%s: not a name of a dragon's metric", f.name)
		case foreign.MatchString(f.name):
			t.Errorf("%s: not in base units, or an end that Prometheus uses itself", f.name)
		case f.typ == counter != strings.HasSuffix(f.name, "_total"):
			t.Errorf("%s: counters, and only they, end in _total", f.name)
		case f.unit != "" && !strings.HasSuffix(base, "_"+f.unit):
			t.Errorf("%s: does not end in its unit %s", f.name, f.unit)
		case f.unit == "" && slices.ContainsFunc(units, func(u string) bool { return strings.HasSuffix(base, "_"+u) }):
			t.Errorf("%s: has a unit in its name and none in its row", f.name)
		case f.unit != "" && !slices.Contains(units, f.unit):
			t.Errorf("%s: %s is not a unit of the house", f.name, f.unit)
		case strings.HasSuffix(f.name, "_timestamp_seconds") && f.typ != gauge:
			t.Errorf("%s: a moment is a gauge", f.name)
		}
		if !slices.IsSorted(append(slices.Clone(f.labels), "worker")) {
			t.Errorf("%s: labels %v and worker are not sorted", f.name, f.labels)
		}
		for _, l := range f.labels {
			if slices.Contains(onlyOnInfo, l) && !strings.HasSuffix(f.name, "_info") {
				t.Errorf("%s: label %s belongs on an _info metric", f.name, l)
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(f.values)))) != len(f.values) {
			t.Errorf("%s: two rows have the same label: %v", f.name, f.values)
		}
		help := strings.TrimSuffix(f.help, " ("+strings.Join(f.sources, ", ")+")")
		if help == f.help || !strings.HasSuffix(strings.Split(help, "; ")[0], ".") && !strings.HasSuffix(help, ".") && !strings.HasSuffix(help, "1") {
			t.Errorf("%s: help %q is not a sentence with the source behind it", f.name, f.help)
		}
		if strings.Contains(help, "(summary.") || slices.Contains(f.sources, "") {
			t.Errorf("%s: sources %q", f.name, f.sources)
		}
	}
}

// Rows of one name must agree in what is said once for all of them.
func TestRowsOfOneNameAgree(t *testing.T) {
	agree(t, healthTable())
	agree(t, parseErrorTable())
	agree(t, dragonTable())
	agree(t, boardTable())
	agree(t, poolTable())
	agree(t, restartTable())
	agree(t, autotuneTable())
	agree(t, errorTable())
	agree(t, firmwareTable())
	agree(t, factTable())
	agree(t, chipTable())
}

func agree[T any](t *testing.T, table table[T]) {
	t.Helper()
	first := map[string]row[T]{}
	for _, r := range table.rows {
		f, again := first[r.name]
		if !again {
			first[r.name] = r
			if r.help == "" {
				t.Errorf("%s: no help", r.name)
			}
			continue
		}
		if r.typ != f.typ || r.with.name != f.with.name || r.unit != "" && r.unit != f.unit || r.help != "" && r.help != f.help || len(r.labels) != len(f.labels) {
			t.Errorf("%s{%s=%q} contradicts the first row of that name", r.name, r.with.name, r.with.value)
		}
	}
}

// What a new row changes is the page and the reference, and in them its own lines only.
func TestAddingARowIsAddingAMetric(t *testing.T) {
	withRow := func() []part {
		boards := boardTable()
		boards.rows = append(boards.rows, row[dragon.Board]{
			name: "dragon_board_enabled", help: "Whether the board is meant to run.", typ: gauge, source: "summary.DEVS.Enabled",
			get: func(b *dragon.Board) dragon.Number { return boolValue(b.Enabled) },
		})
		all := parts()
		i := slices.IndexFunc(all, func(p part) bool { return p.Name == "boards" })
		all[i].tables = []grouped{boards}
		return all
	}
	c := aCollector(t)
	before := pageOf(t, c, aHerd(1))
	c.families = nil
	for _, p := range withRow() {
		c.families = append(c.families, compile(p.tables)...)
	}
	slices.SortStableFunc(c.families, func(a, b *family) int { return strings.Compare(a.name, b.name) })
	after := pageOf(t, c, aHerd(1))

	wantPage := []string{
		`# HELP dragon_board_enabled Whether the board is meant to run. (summary.DEVS.Enabled)`,
		`# TYPE dragon_board_enabled gauge`,
		`dragon_board_enabled{board="0",worker="dragon-21000000"} 1`,
		`dragon_board_enabled{board="1",worker="dragon-21000000"} 1`,
		`dragon_board_enabled{board="2",worker="dragon-21000000"} 1`,
	}
	if diff := cmp.Diff(wantPage, added(t, before, after)); diff != "" {
		t.Error("page", diff)
	}
	wantReference := []string{"| `dragon_board_enabled` | gauge | `board` | Whether the board is meant to run. | summary.DEVS.Enabled |"}
	if diff := cmp.Diff(wantReference, added(t, reference(parts(), nil), reference(withRow(), nil))); diff != "" {
		t.Error("reference", diff)
	}
}

// added returns the lines that after has more than before, which must have lost none.
func added(t *testing.T, before, after string) []string {
	t.Helper()
	old := strings.Split(before, "\n")
	var more []string
	for line := range strings.SplitSeq(after, "\n") {
		if len(old) > 0 && line == old[0] {
			old = old[1:]
			continue
		}
		more = append(more, line)
	}
	if len(old) > 0 {
		t.Errorf("lost or changed: %q", old)
	}
	return more
}
