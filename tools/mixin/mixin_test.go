// Package mixin tests the jsonnet mixin: by default it is what is shipped, and what its
// configuration changes is changed everywhere.
package mixin

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-jsonnet"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

type output struct {
	Rules, Alerts struct{ Groups []group }
	Dashboards    map[string]any
}

type group struct {
	Name, Interval string
	Limit          int
	Rules          []rule
}

type rule struct {
	Record, Alert, Expr string
	For                 string
	KeepFiringFor       string `json:"keep_firing_for" yaml:"keep_firing_for"`
	Labels, Annotations map[string]string
}

// What evaluate may ask for: the boards take the longest.
const (
	rules  = "rules: mixin.prometheusRules, alerts: mixin.prometheusAlerts, "
	boards = "dashboards: mixin.grafanaDashboards"
)

// evaluate is what the mixin makes with a configuration.
func evaluate(t *testing.T, fields, config string) (out output) {
	t.Helper()
	text, err := jsonnet.MakeVM().EvaluateAnonymousSnippet(root+"/mixin/test.jsonnet", `
		local mixin = (import '`+root+`/mixin/mixin.libsonnet') + { _config+:: `+config+` };
		{ `+fields+` }`)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// shipped are the groups of alerts/ by their names.
func shipped(t *testing.T) map[string]group {
	t.Helper()
	groups := map[string]group{}
	for _, file := range glob(t, root+"/alerts/*.yml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct{ Groups []group }
		d := yaml.NewDecoder(strings.NewReader(string(data)))
		d.KnownFields(true)
		if err := d.Decode(&f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range f.Groups {
			groups[g.Name] = g
		}
	}
	return groups
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal(pattern, err)
	}
	return files
}

func TestMixinIsWhatIsShipped(t *testing.T) {
	out := evaluate(t, rules+boards, "{}")
	got := map[string]group{}
	for _, g := range out.Rules.Groups {
		got[g.Name] = g
		if g.Rules[0].Alert != "" {
			t.Errorf("%s has alerts and is in prometheusRules", g.Name)
		}
	}
	for _, g := range out.Alerts.Groups {
		got[g.Name] = g
		if g.Rules[0].Alert == "" {
			t.Errorf("%s has no alerts and is in prometheusAlerts", g.Name)
		}
	}
	if diff := cmp.Diff(shipped(t), got); diff != "" {
		t.Errorf("the rules (-shipped +mixin)\n%s", diff)
	}
	files := map[string]any{}
	for _, file := range glob(t, root+"/dashboards/*.json") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board any
		if err := json.Unmarshal(data, &board); err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(file)] = board
	}
	if diff := cmp.Diff(files, out.Dashboards); diff != "" {
		t.Errorf("the boards (-shipped +mixin)\n%s", diff)
	}
}

// ofProgram are the series that a selector is added to.
var ofProgram = regexp.MustCompile(`^(dragon|mother)_`)

// check parses a query and counts its selectors of the program's series. Each of them must
// have the matcher of the test, and no other series may have it.
func check(t *testing.T, where, query string) (selected int) {
	t.Helper()
	parsed, err := parser.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, query)
		return 0
	}
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		has := false
		for _, m := range s.LabelMatchers {
			has = has || m.Name == "site_owner" && m.Value == "north"
		}
		if want := ofProgram.MatchString(s.Name); has != want {
			t.Errorf("%s: selected: %v, want %v: %s", where, has, want, s)
		} else if want {
			selected++
		}
		return nil
	})
	return selected
}

func TestMixinAppliesItsConfiguration(t *testing.T) {
	out := evaluate(t, rules, `{
		selector: 'site_owner="north"',
		thresholds: { hashrate_ratio: 0.8 },
		runbookURLPattern: 'https://wiki.example.net/dragons#%s',
		grafanaURL: 'https://grafana.example.net',
	}`)
	want := shipped(t)
	selected, changed := 0, 0
	for _, g := range out.Rules.Groups {
		for i, r := range g.Rules {
			selected += check(t, r.Record, r.Expr)
			if strings.HasPrefix(r.Record, "threshold:") && r.Expr != want[g.Name].Rules[i].Expr {
				changed++
				if r.Record != "threshold:hashrate_ratio" || r.Expr != "vector(0.8)" {
					t.Errorf("%+v", r)
				}
			}
		}
	}
	for _, g := range out.Alerts.Groups {
		for _, r := range g.Rules {
			selected += check(t, r.Alert, r.Expr)
			if got := r.Annotations["runbook_url"]; got != "https://wiki.example.net/dragons#"+r.Alert {
				t.Errorf("%s: %s", r.Alert, got)
			}
			if got := r.Annotations["dashboard_url"]; !strings.HasPrefix(got, "https://grafana.example.net/d/mother-") {
				t.Errorf("%s: %s", r.Alert, got)
			}
		}
	}
	if selected < 150 || changed != 1 {
		t.Errorf("%d selectors and %d thresholds are changed", selected, changed)
	}
}

// interval is a duration that Grafana fills in.
var interval = regexp.MustCompile(`\$__(range|rate_interval|interval)\b`)

func TestMixinSelectsInBoards(t *testing.T) {
	selected := 0
	var walk func(where string, v any)
	walk = func(where string, v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(where, x)
			}
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				query, ok := v[key].(string)
				if args, is := strings.CutPrefix(query, "label_values("); is && (key == "query" || key == "definition") {
					selected += check(t, where, args[:strings.LastIndex(args, ", ")])
				} else if ok && key == "expr" {
					selected += check(t, where, interval.ReplaceAllString(query, "5m"))
				}
				walk(where, v[key])
			}
		}
	}
	for file, board := range evaluate(t, boards, `{ selector: 'site_owner="north"' }`).Dashboards {
		walk(file, board)
	}
	if selected < 200 {
		t.Errorf("only %d", selected)
	}
}

func TestMixinRefusesAnUnknownThreshold(t *testing.T) {
	_, err := jsonnet.MakeVM().EvaluateAnonymousSnippet("test", `
		((import '`+root+`/mixin/mixin.libsonnet') + { _config+:: { thresholds: { heat: 90 } } }).prometheusRules`)
	if err == nil || !strings.Contains(err.Error(), "alerts/thresholds.yml has no heat") {
		t.Error(err)
	}
}
