package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// managedByTitle are the rules of a file that Grafana provisions.
func managedByTitle(t *testing.T, file string) map[string]managedRule {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(committed, file))
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Groups []managedGroup }
	if err := yaml.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]managedRule)
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			if _, twice := all[r.Title]; twice {
				t.Errorf("%s: %s is there twice", file, r.Title)
			}
			all[r.Title] = r
		}
	}
	return all
}

func prometheusRules(t *testing.T) (alerts, recording []prometheusRule) {
	t.Helper()
	files, err := filepath.Glob("../../alerts/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct{ Groups []prometheusGroup }
		if err := yaml.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		for _, g := range f.Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					alerts = append(alerts, r)
				} else {
					recording = append(recording, r)
				}
			}
		}
	}
	if len(alerts) < 60 || len(recording) < 100 {
		t.Fatalf("only %d alerts and %d recording rules", len(alerts), len(recording))
	}
	return alerts, recording
}

func TestGrafanaHasEveryAlert(t *testing.T) {
	managed := managedByTitle(t, alertsFile)
	alerts, _ := prometheusRules(t)
	for _, a := range alerts {
		m, ok := managed[a.Alert]
		if !ok {
			t.Errorf("no alert %s", a.Alert)
			continue
		}
		delete(managed, a.Alert)
		if diff := cmp.Diff(m.Labels, a.Labels); diff != "" {
			t.Errorf("%s: labels (-Grafana +Prometheus)\n%s", a.Alert, diff)
		}
		if m.For != a.For || m.KeepFiringFor != a.KeepFiringFor || m.Data[0].Model["expr"] != strings.TrimSpace(a.Expr) {
			t.Errorf("%s: not as in Prometheus: %+v", a.Alert, m)
		}
		if !slices.Equal(slices.Sorted(maps.Keys(m.Annotations)), slices.Sorted(maps.Keys(a.Annotations))) {
			t.Errorf("%s: annotations %v, want %v", a.Alert, m.Annotations, a.Annotations)
		}
		for name, text := range a.Annotations {
			inPrometheus := rendered(t, `{{$labels := .Labels}}{{$value := .Value}}`+text)
			if inGrafana := rendered(t, `{{$labels := .Labels}}{{$values := .Values}}`+m.Annotations[name]); inGrafana != inPrometheus {
				t.Errorf("%s: %s is\n%s\nin Prometheus\n%s", a.Alert, name, inGrafana, inPrometheus)
			}
		}
	}
	for title := range managed {
		t.Errorf("alerts/ has no %s", title)
	}
}

// rendered is what a template makes of an alert with the value 42. A query finds nothing.
func rendered(t *testing.T, text string) string {
	t.Helper()
	humanize := func(float64) string { return "42" }
	parsed, err := template.New("").Option("missingkey=zero").Funcs(template.FuncMap{
		"humanize": humanize, "humanizeDuration": humanize, "humanizePercentage": humanize, "query": func(string) []string { return nil },
	}).Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var out strings.Builder
	type value struct{ Value float64 }
	if err := parsed.Execute(&out, map[string]any{
		"Labels": map[string]string{"worker": "dragon-1", "place": "rack a12"}, "Value": 42.0, "Values": map[string]value{"query": {42}},
	}); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out.String()
}

func TestGrafanaRecordsEverySeries(t *testing.T) {
	managed := managedByTitle(t, recordingFile)
	_, recording := prometheusRules(t)
	if len(managed) != len(recording) {
		t.Errorf("%d rules, want %d", len(managed), len(recording))
	}
	for _, r := range recording {
		if !slices.ContainsFunc(slices.Collect(maps.Values(managed)), func(m managedRule) bool {
			return m.Record.Metric == r.Record && m.Data[0].Model["expr"] == strings.TrimSpace(r.Expr) && maps.Equal(m.Labels, r.Labels)
		}) {
			t.Errorf("no rule for %s%v", r.Record, r.Labels)
		}
	}
}

// Grafana refuses a whole file for one bad or repeated uid.
func TestManagedRulesHaveTheirOwnUIDs(t *testing.T) {
	valid := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,40}$`)
	seen := make(map[string]string)
	for _, file := range []string{alertsFile, recordingFile} {
		for title, r := range managedByTitle(t, file) {
			if !valid.MatchString(r.UID) || seen[r.UID] != "" {
				t.Errorf("%s: uid %q is not valid, or that of %s", title, r.UID, seen[r.UID])
			}
			seen[r.UID] = title
			for _, q := range r.Data {
				if q.DatasourceUID != alertingSource && q.DatasourceUID != "__expr__" {
					t.Errorf("%s asks %s", title, q.DatasourceUID)
				}
			}
		}
	}
	for _, file := range []string{committed + "/provisioning", "../../packaging/compose/grafana"} {
		data, err := os.ReadFile(file + "/datasources/dragons.yml")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), "\n    uid: "+alertingSource+"\n") {
			t.Errorf("%s: the data source has not the uid that the rules ask", file)
		}
	}
}
