package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// input is the name of the data source that is chosen when a board is imported.
const input = "DS_PROMETHEUS"

// panelNames are the panels of the boards, by their plugins. All are part of Grafana.
var panelNames = map[string]string{
	"bargauge": "Bar gauge", "heatmap": "Heatmap", "stat": "Stat", "state-timeline": "State timeline", "table": "Table",
	"text": "Text", "timeseries": "Time series", "alertlist": "Alert list",
}

// forGrafanaCom turns a board into one for grafana.com: the data source is
// chosen at the import, not by a variable, and Grafana says what the board needs.
func forGrafanaCom(data []byte) ([]byte, error) {
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	requires := []any{
		map[string]any{"type": "grafana", "id": "grafana", "name": "Grafana", "version": "9.4.0"}, // see schema
		map[string]any{"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
	}
	for _, id := range panelTypes(m) {
		name, ok := panelNames[id]
		if !ok {
			return nil, fmt.Errorf("the panel %q has no name in panelNames", id)
		}
		requires = append(requires, map[string]any{"type": "panel", "id": id, "name": name, "version": ""})
	}
	templating := m["templating"].(map[string]any)
	templating["list"] = slices.DeleteFunc(templating["list"].([]any), func(v any) bool {
		return v.(map[string]any)["type"] == "datasource"
	})
	m["__requires"], m["__elements"] = requires, map[string]any{}
	m["__inputs"] = []any{map[string]any{
		"type": "datasource", "name": input, "label": "Prometheus", "pluginId": "prometheus", "pluginName": "Prometheus",
		"description": "The Prometheus that scrapes mother-of-dragons and has its recording rules.",
	}}
	withSource(m, "${"+input+"}")

	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(m)
	return out.Bytes(), err
}

// panelTypes are the plugins of all panels but rows, each once.
func panelTypes(board map[string]any) []string {
	types := map[string]bool{}
	for _, p := range board["panels"].([]any) {
		p := p.(map[string]any)
		if p["type"] == "row" {
			for _, inner := range panelTypes(p) {
				types[inner] = true
			}
			continue
		}
		types[p["type"].(string)] = true
	}
	return slices.Sorted(maps.Keys(types))
}

// withSource replaces the variable of the data source.
func withSource(v any, uid string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			withSource(x, uid)
		}
	case map[string]any:
		if v["uid"] == "${datasource}" {
			v["uid"] = uid
		}
		for _, x := range v {
			withSource(x, uid)
		}
	}
}
