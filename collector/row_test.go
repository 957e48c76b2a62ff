package collector

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

var update = flag.Bool("update", false, "write testdata")

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
var units = []string{"seconds", "bytes", "celsius", "watts", "ratio", "hashes_per_second", "hashes"}

// What names and labels look like.
var (
	nameForm   = regexp.MustCompile(`^dragon(_[a-z0-9]+)+$`)
	foreign    = regexp.MustCompile(`_(mhz|ghz|mhs|ghs|ths|percent|pct|c|temp|ms|us|kb|mb|minutes|hours|days|count|sum|bucket|created)(_|$)`)
	onlyOnInfo = []string{"mac", "ip", "address", "host", "model", "brand", "firmware", "hw_version", "site", "url", "user", "name"}
)

// faults are what is wrong with the rows of a table, or missing in them.
func (t table[T]) faults() (all []string) {
	first := map[string]row[T]{}
	for _, r := range t.rows {
		fault := func(text string) { all = append(all, r.name+": "+text) }
		if r.get == nil {
			fault("no get")
		}
		if r.source == "" {
			fault("no source: the device's own field")
		}
		f, again := first[r.name]
		switch {
		case !again:
			first[r.name] = r
			if r.help == "" {
				fault("no help")
			}
		case r.typ != f.typ || r.with.name != f.with.name || r.unit != "" && r.unit != f.unit || r.help != "" && r.help != f.help || len(r.labels) != len(f.labels):
			fault("contradicts the first row of that name")
		}
	}
	seen := map[string]bool{}
	for _, f := range t.families() {
		if seen[f.name] {
			all = append(all, f.name+": rows of one name stand apart")
		}
		seen[f.name] = true
		all = append(all, f.faults()...)
	}
	return all
}

func (f *family) faults() (all []string) {
	fault := func(format string, args ...any) { all = append(all, f.name+": "+fmt.Sprintf(format, args...)) }
	base := strings.TrimSuffix(f.name, "_total")
	switch {
	case !nameForm.MatchString(f.name):
		fault("not a name of a dragon's metric")
	case foreign.MatchString(f.name):
		fault("not in base units, or an end that Prometheus uses itself")
	case f.typ == counter != strings.HasSuffix(f.name, "_total"):
		fault("typ is %s: a counter ends in _total, and a gauge does not", strings.ToLower(f.typ.String()))
	case f.unit != "" && !strings.HasSuffix(base, "_"+f.unit):
		fault("does not end in its unit %s", f.unit)
	case f.unit == "" && slices.ContainsFunc(units, func(u string) bool { return strings.HasSuffix(base, "_"+u) }):
		fault("no unit, and its name has one")
	case f.unit != "" && !slices.Contains(units, f.unit):
		fault("%s is not a unit of the house", f.unit)
	case strings.HasSuffix(f.name, "_timestamp_seconds") && f.typ != gauge:
		fault("a moment is a gauge")
	}
	if !slices.IsSorted(append(slices.Clone(f.labels), "worker")) {
		fault("labels %v and worker are not sorted", f.labels)
	}
	for _, l := range f.labels {
		if slices.Contains(onlyOnInfo, l) && !strings.HasSuffix(f.name, "_info") {
			fault("label %s belongs on an _info metric", l)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(f.values)))) != len(f.values) {
		fault("two rows have the same label: %v", f.values)
	}
	help := strings.TrimSuffix(f.help, " ("+strings.Join(f.sources, ", ")+")")
	if help == f.help || !strings.HasSuffix(strings.Split(help, "; ")[0], ".") && !strings.HasSuffix(help, ".") && !strings.HasSuffix(help, "1") {
		fault("help %q is not a sentence with the source behind it", f.help)
	}
	return all
}

func TestRowsFollowTheNamingRules(t *testing.T) {
	seen := map[string]bool{}
	for _, tab := range tables() {
		for _, fault := range tab.(interface{ faults() []string }).faults() {
			t.Error(fault)
		}
		for _, f := range tab.families() {
			if seen[f.name] {
				t.Errorf("%s: in two tables", f.name)
			}
			seen[f.name] = true
		}
	}
}

// A new row is complete, or the test above names what is missing.
func TestAForgottenPieceOfARowIsNamed(t *testing.T) {
	whole := row[dragon.Board]{
		name: "dragon_board_fan_seconds", help: "How long the board's fan has run.", typ: gauge, unit: "seconds", source: "summary.DEVS.Fan",
		labels: []labelOf[dragon.Board]{{"fan", func(*dragon.Board) string { return "" }}},
		get:    func(*dragon.Board) dragon.Number { return dragon.Known(1) },
	}
	for _, c := range []struct {
		forgotten string
		spoil     func(*row[dragon.Board])
		want      string
	}{
		{"nothing", func(*row[dragon.Board]) {}, ""},
		{"the name", func(r *row[dragon.Board]) { r.name = "" }, "not a name"},
		{"the prefix", func(r *row[dragon.Board]) { r.name = "board_fan_seconds" }, "not a name"},
		{"the help", func(r *row[dragon.Board]) { r.help = "" }, "no help"},
		{"the full stop", func(r *row[dragon.Board]) { r.help = "How long" }, "not a sentence"},
		{"the unit", func(r *row[dragon.Board]) { r.unit = "" }, "no unit"},
		{"the unit in the name", func(r *row[dragon.Board]) { r.name = "dragon_board_fan" }, "does not end in its unit"},
		{"base units", func(r *row[dragon.Board]) { r.name = "dragon_board_fan_minutes" }, "not in base units"},
		{"_total", func(r *row[dragon.Board]) { r.typ = counter }, "a counter ends in _total"},
		{"the source", func(r *row[dragon.Board]) { r.source = "" }, "no source"},
		{"get", func(r *row[dragon.Board]) { r.get = nil }, "no get"},
		{"the order of labels", func(r *row[dragon.Board]) { r.labels[0].name = "a" }, "not sorted"},
		{"that identity is elsewhere", func(r *row[dragon.Board]) { r.labels[0].name = "model" }, "belongs on an _info metric"},
	} {
		r := whole
		r.labels = slices.Clone(whole.labels)
		c.spoil(&r)
		boards := boardTable()
		boards.rows = append(boards.rows, r)
		faults := strings.Join(boards.faults(), "\n")
		if c.want == "" && faults != "" || !strings.Contains(faults, c.want) {
			t.Errorf("%s forgotten: %q, want %q", c.forgotten, faults, c.want)
		}
	}
}

// What a new row changes is the page and the reference, and in them its own lines only.
func TestAddingARowIsAddingAMetric(t *testing.T) {
	withRow := func() []part {
		boards := boardTable()
		boards.rows = append(boards.rows, row[dragon.Board]{
			name: "dragon_board_enabled", help: "Whether the board is meant to run.", typ: gauge, source: "summary.DEVS.Enabled",
			get: func(b *dragon.Board) dragon.Number { return dragon.Bool(b.Enabled) },
		})
		all := parts()
		i := slices.IndexFunc(all, func(p part) bool { return p.Name == "boards" })
		all[i].tables = []grouped{boards}
		return all
	}
	c := aCollector(t)
	before := pageOf(t, c, aFleet(1))
	c.families = nil
	for _, p := range withRow() {
		c.families = append(c.families, compile(p.tables)...)
	}
	slices.SortStableFunc(c.families, func(a, b *family) int { return strings.Compare(a.name, b.name) })
	after := pageOf(t, c, aFleet(1))

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

// tables returns all tables, whatever is on.
func tables() []grouped {
	var all []grouped
	for _, p := range parts() {
		all = append(all, p.tables...)
	}
	return all
}
