package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// labels are names of labels.
type labels map[string]bool

func labelled(names ...string) labels {
	l := labels{}
	for _, n := range names {
		l[n] = true
	}
	return l
}

func (l labels) with(more ...string) labels {
	l = maps.Clone(l)
	for _, n := range more {
		l[n] = true
	}
	return l
}

func (l labels) String() string { return strings.Join(slices.Sorted(maps.Keys(l)), ", ") }

// series are all that a query may ask for, with their labels.
type series map[string]labels

// Those that every target has, and of Go's and the process's those that boards show.
var everybodys = []string{
	"up", "scrape_duration_seconds", "scrape_samples_scraped", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
	"process_max_fds", "process_start_time_seconds", "go_goroutines", "go_memstats_heap_alloc_bytes",
}

var (
	metricRow = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| (\\w+) \\| ([^|]*) \\|")
	labelName = regexp.MustCompile("`(\\w+)`")
)

// knownSeries are the metrics of docs/metrics.md, and what the rules make of them.
func knownSeries(t *testing.T) series {
	t.Helper()
	known := series{}
	for _, name := range everybodys {
		known[name] = labelled("job", "instance")
	}
	known["ALERTS_FOR_STATE"] = labelled("alertname", "severity")
	known["ALERTS"] = known["ALERTS_FOR_STATE"].with("alertstate")
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		m := metricRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		l := labelled("job", "instance")
		for _, n := range labelName.FindAllStringSubmatch(m[3], -1) {
			l[n[1]] = true
		}
		if strings.HasPrefix(m[1], "dragon_") {
			l["worker"] = true
		}
		known[m[1]] = l
		if m[2] == "histogram" {
			known[m[1]+"_bucket"], known[m[1]+"_sum"], known[m[1]+"_count"] = l.with("le"), l, l
		}
	}
	if len(known) < 120 {
		t.Fatalf("only %d metrics in docs/metrics.md", len(known))
	}

	files, err := filepath.Glob("../../alerts/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record, Expr string
		Labels       map[string]string
	}
	var rules []rule
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct{ Groups []struct{ Rules []rule } }
		if err := yaml.Unmarshal(data, &f); err != nil {
			continue // an Alertmanager's file, say
		}
		for _, g := range f.Groups {
			rules = append(rules, g.Rules...)
		}
	}
	// Rules build upon rules, in whatever order.
	for range 5 {
		for _, r := range rules {
			if r.Record == "" {
				continue
			}
			expr, err := parser.ParseExpr(r.Expr)
			if err != nil {
				t.Fatalf("%s: %v", r.Record, err)
			}
			l := known.of(expr, nil).with(slices.Collect(maps.Keys(r.Labels))...)
			known[r.Record] = l.with(slices.Collect(maps.Keys(known[r.Record]))...)
		}
	}
	return known
}

// of returns the labels that the result of an expression may have, and gives what it
// finds wrong on the way to wrong, which may be nil.
func (s series) of(expr parser.Expr, wrong func(format string, args ...any)) labels {
	if wrong == nil {
		wrong = func(string, ...any) {}
	}
	want := func(have labels, names []string, what string) {
		for _, n := range names {
			if !have[n] && n != farmLabel {
				wrong("%s: the label %q is not there; %s are", what, n, have)
			}
		}
	}
	switch e := expr.(type) {
	case *parser.VectorSelector:
		have, ok := s[e.Name]
		if !ok {
			wrong("no such metric: %s", e.Name)
			return labels{}
		}
		for _, m := range e.LabelMatchers {
			if m.Name != "__name__" && m.Name != "unset" && m.Name != farmLabel && !have[m.Name] { // see fleet.go and farm.go
				wrong("%s: has no label %q, only %s", e.Name, m.Name, have)
			}
		}
		return have
	case *parser.MatrixSelector:
		return s.of(e.VectorSelector, wrong)
	case *parser.SubqueryExpr:
		return s.of(e.Expr, wrong)
	case *parser.ParenExpr:
		return s.of(e.Expr, wrong)
	case *parser.UnaryExpr:
		return s.of(e.Expr, wrong)
	case *parser.StepInvariantExpr:
		return s.of(e.Expr, wrong)
	case *parser.AggregateExpr:
		inner := s.of(e.Expr, wrong)
		want(inner, e.Grouping, e.String())
		switch {
		case e.Op == parser.TOPK || e.Op == parser.BOTTOMK:
			return inner
		case e.Without:
			out := maps.Clone(inner)
			for _, n := range e.Grouping {
				delete(out, n)
			}
			return out
		}
		return labelled(e.Grouping...)
	case *parser.Call:
		out := labels{}
		for _, a := range e.Args {
			if a.Type() == parser.ValueTypeVector || a.Type() == parser.ValueTypeMatrix {
				out = s.of(a, wrong)
			}
		}
		switch e.Func.Name {
		case "label_replace":
			if from := e.Args[3].(*parser.StringLiteral).Val; from != "" || e.Args[4].(*parser.StringLiteral).Val != "" {
				want(out, []string{from}, e.String())
			}
			return out.with(e.Args[1].(*parser.StringLiteral).Val)
		case "histogram_quantile":
			want(out, []string{"le"}, e.String())
			out = maps.Clone(out)
			delete(out, "le")
		case "scalar", "vector", "time":
			return labels{}
		}
		return out
	case *parser.BinaryExpr:
		l, r := s.of(e.LHS, wrong), s.of(e.RHS, wrong)
		m := e.VectorMatching
		switch {
		case e.LHS.Type() == parser.ValueTypeScalar:
			return r
		case e.RHS.Type() == parser.ValueTypeScalar:
			return l
		}
		if m.On {
			want(l, m.MatchingLabels, e.String())
			want(r, m.MatchingLabels, e.String())
		}
		switch {
		case e.Op == parser.LOR:
			return l.with(slices.Collect(maps.Keys(r))...)
		case e.Op.IsSetOperator(), e.Op.IsComparisonOperator() && m.Card == parser.CardOneToOne:
			return l
		case m.Card == parser.CardManyToOne:
			want(r, m.Include, e.String())
			return l.with(m.Include...)
		case m.Card == parser.CardOneToMany:
			want(l, m.Include, e.String())
			return r.with(m.Include...)
		case m.On:
			return labelled(m.MatchingLabels...)
		}
		return l
	}
	return labels{}
}

// The checks must be able to fail.
func TestErrorsAreFound(t *testing.T) {
	known := knownSeries(t)
	for expr, what := range map[string]string{
		`dragon_upp`:                 "no such metric",
		`dragon_up{board="1"}`:       "no label",
		`sum by (board) (dragon_up)`: "label",
		`dragon_load1 * on (worker) group_left (modell) dragon_info`:              "label",
		`label_replace(dragon_up, "a", "$1", "model", "")`:                        "label",
		`dragon_up and on (board) dragon_board_up`:                                "label",
		`histogram_quantile(0.5, sum(rate(mother_lane_wait_seconds_bucket[5m])))`: "label",
	} {
		e, err := parser.ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		known.of(e, func(format string, _ ...any) { found = format })
		if !strings.Contains(found, what) {
			t.Errorf("%s: found %q, want something of %q", expr, found, what)
		}
		if _, ok := unitOf(e); expr == "dragon_upp" && !ok {
			t.Errorf("%s has no unit", expr)
		}
	}
}

// The heat map of labelled dragons has the buckets of the recorded one.
func TestHottestBucketsAreTheRecordedOnes(t *testing.T) {
	data, err := os.ReadFile("../../alerts/dashboards.yml")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []string
	for _, m := range regexp.MustCompile(`(?s)record: model:dragon_hottest_board:celsius_bucket\s+labels: \{le: "([^"]+)"\}`).FindAllStringSubmatch(string(data), -1) {
		recorded = append(recorded, m[1])
	}
	if want := append(slices.Clone(hottestBuckets), "+Inf"); !slices.Equal(recorded, want) {
		t.Errorf("recorded %v, on the board %v", recorded, want)
	}
}
