// Command benchtable passes the output of go test -bench through and prints it again as
// tables by the size of the farm, so that growth is seen. With -into it also puts the
// tables into a page, between its two marks.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
)

const end = "<!-- end of the tables -->"

func main() {
	into := flag.String("into", "", "page that the tables are put into")
	target := flag.String("target", "bench", "target of make that the first of the two marks names")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *into, *target, time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, into, target string, now time.Time) error {
	begin := "<!-- tables: make " + target + " " // and how, up to the arrow
	var text bytes.Buffer
	results, err := read(io.TeeReader(in, io.MultiWriter(out, &text)))
	if err != nil {
		return err
	}
	tables := results.tables(now)
	fmt.Fprintf(out, "\n%s", tables)
	if into == "" {
		return nil
	}
	if err := whole(text.String()); err != nil {
		return fmt.Errorf("%s stays as it is: %w", into, err)
	}
	page, err := os.ReadFile(into) //nolint:gosec // named on the command line
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	how, rest, closed := bytes.Cut(rest, []byte(" -->"))
	_, after, ends := bytes.Cut(rest, []byte(end))
	if !found || !closed || !ends {
		return fmt.Errorf("%s: expected the marks %q and %q", into, begin+"… -->", end)
	}
	page = slices.Concat(before, []byte(begin), how, []byte(" -->\n\n"+tables+"\n"+end), after)
	return os.WriteFile(into, page, 0o600) //nolint:gosec // named on the command line
}

// whole returns an error if the benchmarks of a package failed or did not end.
func whole(text string) error {
	running := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch pkg, begins := strings.CutPrefix(line, "pkg: "); {
		case begins:
			running = pkg
		case line == "PASS":
			running = ""
		case strings.HasPrefix(line, "FAIL"), strings.HasPrefix(line, "--- FAIL"):
			return fmt.Errorf("the benchmarks failed: %s", line)
		}
	}
	if running != "" {
		return fmt.Errorf("the benchmarks of %s did not end", running)
	}
	return nil
}

// A series is one figure of one benchmark.
type series struct{ what, unit string }

type results struct {
	machine string
	bySize  map[series]map[int][]float64
	single  map[series][]float64
	order   []series
	lines   []*line
}

// A line is a benchmark of two sizes, with all its figures beside each other.
type line struct {
	what, name string
	units      []string
	values     map[string][]float64
}

const (
	sizeKey = "dragons="
	lineKey = "sick="
)

func read(in io.Reader) (*results, error) {
	r := &results{bySize: map[series]map[int][]float64{}, single: map[series][]float64{}}
	reader := benchfmt.NewReader(in, "")
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue // not a result; go test prints many
		}
		r.machine = fmt.Sprintf("%s, %s/%s", result.GetConfig("cpu"), result.GetConfig("goos"), result.GetConfig("goarch"))
		base, parts := result.Name.Parts()
		what, size := string(base), 0
		for _, p := range parts {
			if n, ok := strings.CutPrefix(string(p[1:]), sizeKey); ok && p[0] == '/' {
				size, _ = strconv.Atoi(n)
			} else if p[0] == '/' {
				what += " " + string(p[1:])
			}
		}
		room := result.GetConfig("pkg")
		room = room[strings.LastIndexByte(room, '/')+1:]
		if name, ok := strings.CutPrefix(string(result.Name.Full()), string(base)+"/"); ok && strings.Contains(name, lineKey) {
			r.line(string(base), name, result.Values)
			continue
		}
		for _, v := range result.Values {
			value, unit := v.Value, v.Unit
			if v.OrigUnit != "" { // as the benchmark has it
				value, unit = v.OrigValue, v.OrigUnit
			}
			if value == 0 && unit == "ns/op" {
				continue // of a benchmark that lasts as long as it lasts
			}
			s := series{room + ": " + what, unit}
			if !slices.Contains(r.order, s) {
				r.order = append(r.order, s)
			}
			if size == 0 {
				r.single[s] = append(r.single[s], value)
				continue
			}
			if r.bySize[s] == nil {
				r.bySize[s] = map[int][]float64{}
			}
			r.bySize[s][size] = append(r.bySize[s][size], value)
		}
	}
	if len(r.order) == 0 && len(r.lines) == 0 {
		return nil, cmp.Or(reader.Err(), errors.New("there is no benchmark in it"))
	}
	return r, reader.Err()
}

// line takes in a benchmark of two sizes.
func (r *results) line(what, name string, values []benchfmt.Value) {
	name, _, _ = strings.Cut(name, "-") // the number of processors
	name = strings.NewReplacer(sizeKey, "", lineKey, "", "/", " / ").Replace(name)
	i := slices.IndexFunc(r.lines, func(l *line) bool { return l.what == what && l.name == name })
	if i < 0 {
		i = len(r.lines)
		r.lines = append(r.lines, &line{what: what, name: name, values: map[string][]float64{}})
	}
	l := r.lines[i]
	for _, v := range values {
		if v.Unit == "ns/op" || v.OrigUnit == "ns/op" {
			continue // the time that a simulation takes is not a figure of it
		}
		if _, known := l.values[v.Unit]; !known {
			l.units = append(l.units, v.Unit)
		}
		l.values[v.Unit] = append(l.values[v.Unit], v.Value)
	}
}

// lineTable shows the benchmarks of two sizes: a line each, a column for every figure.
func (r *results) lineTable(b *strings.Builder) {
	for i, l := range r.lines {
		if i == 0 || r.lines[i-1].what != l.what {
			fmt.Fprintf(b, "\n| farm / sick |")
			for _, unit := range l.units {
				fmt.Fprintf(b, " %s |", strings.ReplaceAll(unit, "-", " "))
			}
			fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("--:|", len(l.units)))
		}
		fmt.Fprintf(b, "| %s |", l.name)
		for _, unit := range l.units {
			fmt.Fprintf(b, " %s |", figure(median(l.values[unit])))
		}
		fmt.Fprintln(b)
	}
}

func (r *results) tables(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s.\n\n", now.Format("2006-01-02"), r.machine)
	sizes := map[int]bool{}
	for _, by := range r.bySize {
		for n := range by {
			sizes[n] = true
		}
	}
	if columns := slices.Sorted(maps.Keys(sizes)); len(columns) > 0 {
		fmt.Fprint(&b, "| by dragons | unit |")
		for _, n := range columns {
			fmt.Fprintf(&b, " %d |", n)
		}
		fmt.Fprintf(&b, "\n|---|---|%s\n", strings.Repeat("--:|", len(columns)))
		for _, s := range r.order {
			by := r.bySize[s]
			if by == nil {
				continue
			}
			unit, scale := shownAs(s.unit)
			fmt.Fprintf(&b, "| %s | %s |", s.what, unit)
			for _, n := range columns {
				if v := by[n]; len(v) > 0 {
					fmt.Fprintf(&b, " %s |", figure(median(v)*scale))
				} else {
					fmt.Fprint(&b, " |")
				}
			}
			fmt.Fprintln(&b)
		}
	}
	if len(r.single) > 0 {
		fmt.Fprint(&b, "\n| of one size | unit | |\n|---|---|--:|\n")
		for _, s := range r.order {
			if v := r.single[s]; len(v) > 0 {
				unit, scale := shownAs(s.unit)
				fmt.Fprintf(&b, "| %s | %s | %s |\n", s.what, unit, figure(median(v)*scale))
			}
		}
	}
	r.lineTable(&b)
	return strings.Replace(b.String(), "\n\n\n", "\n\n", 1)
}

// shownAs is how a unit is shown.
func shownAs(unit string) (string, float64) {
	if unit == "ns/op" {
		return "ms/op", 1e-6
	}
	return unit, 1
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)/2]
}

// figure is a number with three digits that count.
func figure(v float64) string {
	if v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
