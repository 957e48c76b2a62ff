package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Imported as Grafana does it, a board from grafana.com is the one in dashboards/ with its
// data source chosen.
func TestBoardsForGrafanaComAreTheSameOnceImported(t *testing.T) {
	dir := t.TempDir()
	if err := run("../../alerts", dir, true); err != nil {
		t.Fatal(err)
	}
	rules, err := readRules("../../alerts")
	if err != nil {
		t.Fatal(err)
	}
	all, err := boards(rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		text, err := os.ReadFile(filepath.Join(dir, b.file()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "${datasource}") || strings.Count(string(text), "${"+input+"}") < 20 {
			t.Errorf("%s: not all panels ask the chosen data source", b.uid)
		}
		var got, want map[string]any
		original, err := b.encode()
		if err != nil {
			t.Fatal(err)
		}
		for data, to := range map[string]*map[string]any{
			strings.ReplaceAll(string(text), "${"+input+"}", "chosen"):      &got,
			strings.ReplaceAll(string(original), "${datasource}", "chosen"): &want,
		} {
			if err := json.Unmarshal([]byte(data), to); err != nil {
				t.Fatal(err)
			}
		}
		inputs := got["__inputs"].([]any)
		if in := inputs[0].(map[string]any); len(inputs) != 1 || in["name"] != input || in["type"] != "datasource" || in["pluginId"] != "prometheus" {
			t.Errorf("%s: %v", b.uid, inputs)
		}
		var required []string
		for _, r := range got["__requires"].([]any) {
			if r := r.(map[string]any); r["type"] == "panel" {
				required = append(required, r["id"].(string))
			}
		}
		if types := panelTypes(want); !slices.Equal(required, types) || len(types) < 3 {
			t.Errorf("%s: requires %v, has %v", b.uid, required, types)
		}
		for _, key := range []string{"__inputs", "__requires", "__elements"} {
			delete(got, key)
		}
		templating := want["templating"].(map[string]any)
		if first := templating["list"].([]any)[0].(map[string]any); first["name"] != "datasource" {
			t.Fatalf("%s: the first variable is %v", b.uid, first)
		}
		templating["list"] = templating["list"].([]any)[1:]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-shipped +imported)\n%s", b.uid, diff)
		}
	}
}

func TestAnUnknownPanelIsNotPublished(t *testing.T) {
	_, err := forGrafanaCom([]byte(`{"panels": [{"type": "row", "panels": [{"type": "piechart"}]}], "templating": {"list": []}}`))
	if err == nil || !strings.Contains(err.Error(), `"piechart"`) {
		t.Error(err)
	}
}
