package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

func keepsName(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.VectorSelector:
		return true
	case *parser.ParenExpr:
		return keepsName(e.Expr)
	case *parser.AggregateExpr:
		return e.Op == parser.TOPK || e.Op == parser.BOTTOMK
	case *parser.BinaryExpr:
		return (e.Op.IsSetOperator() || e.Op.IsComparisonOperator() && !e.ReturnBool) && keepsName(e.LHS)
	}
	return false
}

var legendLabel = regexp.MustCompile(`{{(\w+)}}`)

func TestQueriesUseExistingMetrics(t *testing.T) {
	known := knownSeries(t)
	check := func(where, expr string, alsoNamed ...string) {
		have := known.of(parsed(t, where, expr), func(format string, args ...any) { t.Errorf(where+": "+format, args...) })
		for _, n := range alsoNamed {
			if !have[n] {
				t.Errorf("%s: shows the label %q, of which %s has none (%s)", where, n, expr, have)
			}
		}
	}
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			fields := labels{"Value": true}
			for _, q := range p.Targets {
				where := b.file + ": " + p.Title
				var named []string
				for _, m := range legendLabel.FindAllStringSubmatch(q.LegendFormat, -1) {
					named = append(named, m[1])
				}
				check(where, q.Expr, named...)
				fields["Value #"+q.RefID] = true
				for l := range known.of(parsed(t, where, q.Expr), nil) {
					fields[l] = true
				}
			}
			for _, tr := range p.Transformations {
				for field := range tr.Options.RenameByName {
					if !fields[field] || field == "Value" && len(p.Targets) > 1 {
						t.Errorf("%s: %s: the column %q is not one of %s", b.file, p.Title, field, fields)
					}
				}
			}
		}
		for _, a := range b.Annotations.List {
			named := strings.Split(a.TagKeys, ",")
			for _, m := range legendLabel.FindAllStringSubmatch(a.TitleFormat+a.TextFormat, -1) {
				named = append(named, m[1])
			}
			check(b.file+": "+a.Name, a.Expr, named...)
		}
		if len(b.Annotations.List) != 1 {
			t.Errorf("%s: %d annotations, want what the healer did", b.file, len(b.Annotations.List))
		}
		for _, v := range b.Templating.List {
			args, ok := strings.CutPrefix(v.Query, "label_values(")
			if !ok {
				continue
			}
			if v.Name == farmLabel { // a Prometheus adds it to all series
				continue
			}
			i := strings.LastIndex(args, ", ")
			check(b.file+": variable "+v.Name, args[:i], strings.TrimSuffix(args[i+2:], ")"))
			if v.Refresh != 2 {
				t.Errorf("%s: variable %s is not refreshed with the time range", b.file, v.Name)
			}
		}
	}
}

func TestRangesAreAskedRight(t *testing.T) {
	known := knownSeries(t)
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				where := b.file + ": " + p.Title
				if q.Instant != slices.Contains([]string{"stat", "bargauge", "table"}, p.Type) {
					t.Errorf("%s: instant is %v for a %s", where, q.Instant, p.Type)
				}
				if (q.Format == "table") != (p.Type == "table") {
					t.Errorf("%s: format %q for a %s", where, q.Format, p.Type)
				}
				if b.UID != dragonUID {
					parser.Inspect(parsed(t, where, q.Expr), func(n parser.Node, _ []parser.Node) error {
						if m, ok := n.(*parser.MatrixSelector); ok && m.Range > 10*time.Minute && strings.HasPrefix(m.VectorSelector.(*parser.VectorSelector).Name, "dragon_") {
							t.Errorf("%s: hours of every dragon, which is for a recording rule: %s", where, q.Expr)
						}
						return nil
					})
				}
				if q.Instant {
					continue
				}
				if q.Interval != sparsest {
					t.Errorf("%s: asked every %q", where, q.Interval)
				}
				if strings.Contains(q.Expr, "topk") || strings.Contains(q.Expr, "bottomk") {
					t.Errorf("%s: topk over a range: %s", where, q.Expr)
				}
				e := parsed(t, where, q.Expr)
				if have := known.of(e, nil); b.UID != dragonUID && (have["worker"] || have["board"]) {
					t.Errorf("%s: a line for each dragon: %s", where, q.Expr)
				}
				parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
					if m, ok := n.(*parser.MatrixSelector); ok && m.Range < time.Hour && m.Range != 4*time.Minute {
						t.Errorf("%s: a range that is not $__rate_interval: %s", where, q.Expr)
					}
					return nil
				})
			}
		}
	}
}

// A rate over fewer scrapes has holes as soon as one fails.
func TestNoRateOverLessThanFourScrapes(t *testing.T) {
	scrape, err := model.ParseDuration(sparsest)
	if err != nil {
		t.Fatal(err)
	}
	exprs := make(map[string]string)
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				exprs[b.file+": "+p.Title+" "+q.RefID] = q.Expr
			}
		}
		for _, a := range b.Annotations.List {
			exprs[b.file+": "+a.Name] = a.Expr
		}
	}
	rules, err := readRules("../../alerts")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range rules {
		for _, r := range g.Rules {
			exprs[fmt.Sprint(r.Alert, r.Record, r.Labels)] = r.Expr
		}
	}
	rates := 0
	for where, expr := range exprs {
		parser.Inspect(parsed(t, where, expr), func(n parser.Node, _ []parser.Node) error {
			call, ok := n.(*parser.Call)
			if !ok || !slices.Contains([]string{"rate", "irate", "increase", "delta", "idelta", "deriv", "resets", "changes"}, call.Func.Name) {
				return nil
			}
			rates++
			over := time.Duration(0)
			switch a := call.Args[0].(type) {
			case *parser.MatrixSelector:
				over = a.Range
			case *parser.SubqueryExpr:
				over = a.Range
			}
			if over < 4*time.Duration(scrape) {
				t.Errorf("%s: over %v: %s", where, over, call)
			}
			return nil
		})
	}
	if rates < 80 {
		t.Errorf("only %d rates", rates)
	}
}

func TestUnitsAreTheMetrics(t *testing.T) {
	same := map[string][]string{
		"": {noValues, count, plain}, count: {count, noValues, plain}, "hashes": {hashed},
	}
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			titles, units := map[string]string{}, map[string]string{}
			for _, tr := range p.Transformations {
				maps.Copy(titles, tr.Options.RenameByName)
			}
			for _, o := range p.FieldConfig.Overrides {
				for _, property := range o.Properties {
					if property.ID == "unit" {
						units[fmt.Sprint(o.Matcher.Options)] = fmt.Sprint(property.Value)
					}
				}
			}
			for _, q := range p.Targets {
				got := p.FieldConfig.Defaults.Unit
				if p.Type == "table" {
					field := "Value"
					if len(p.Targets) > 1 {
						field += " #" + q.RefID
					}
					title, visible := titles[field]
					if !visible {
						continue
					}
					if got = units[title]; got == "" {
						got = noValues
					}
				}
				want, ok := unitOf(parsed(t, p.Title, q.Expr))
				if p.Type == "heatmap" { // the unit is that of le
					for _, end := range []string{seconds, celsius} {
						if strings.Contains(q.Expr, map[string]string{seconds: "_seconds_bucket", celsius: ":celsius_bucket"}[end]) {
							want = end
						}
					}
				}
				if !ok {
					t.Errorf("%s: %s: the unit of %s cannot be told", b.file, p.Title, q.Expr)
				} else if got != want && !slices.Contains(same[want], got) {
					t.Errorf("%s: %s: unit %q, but %s is in %q", b.file, p.Title, got, q.Expr, want)
				}
			}
		}
	}
}

var usedVariable = regexp.MustCompile(`\$\{?(\w+)`)

func TestVariablesAreThereAndUsed(t *testing.T) {
	for _, b := range shownBoards(t) {
		there := map[string]bool{}
		for _, v := range b.Templating.List {
			there[v.Name] = false
		}
		for _, m := range usedVariable.FindAllStringSubmatch(b.raw, -1) {
			name := m[1]
			if _, ok := there[name]; ok {
				there[name] = true
			} else if !slices.Contains(builtIn, name) && !strings.HasPrefix(name, "__data") && !strings.HasPrefix(name, "__field") && name != "__all" && name != "1" {
				t.Errorf("%s: there is no variable %s", b.file, m[0])
			}
		}
		for name, used := range there {
			if !used {
				t.Errorf("%s: the variable is unused: %s", b.file, name)
			}
		}
	}
}

// docs/multi-site.md shows what a farm's Prometheus has to write to a central one.
func TestWhatTheDocsWriteRemotelyIsWhatTheBoardsNeed(t *testing.T) {
	page, err := os.ReadFile("../../docs/multi-site.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`# what the boards need[^\n]*\n.*__name__.*\n +regex: "(.*)"`).FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/multi-site.md does not say what the boards need")
	}
	written := regexp.MustCompile("^(?:" + string(found[1]) + ")$")
	needs := func(where, expr string) {
		parser.Inspect(parsed(t, where, expr), func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok && !written.MatchString(s.Name) {
				t.Errorf("%s: %s is not written", where, s.Name)
			}
			return nil
		})
	}
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				needs(b.file+": "+p.Title, q.Expr)
			}
		}
		for _, a := range b.Annotations.List {
			needs(b.file+": "+a.Name, a.Expr)
		}
	}
}
