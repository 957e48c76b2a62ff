package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// alertingSource is the uid of the data source in provisioning/datasources/dragons.yml.
const alertingSource = "dragons"

// The files that Grafana provisions its own rules from, for a Prometheus that cannot have them.
const (
	alertsFile    = "alerting/alerts.yml"
	recordingFile = "alerting/recording.yml"
)

const alertingHeader = "# Generated from alerts/ by make dashboards. See docs/grafana.md.\n"

// prometheusRule is a rule of alerts/.
type prometheusRule struct {
	Record, Alert, Expr string
	For                 string
	KeepFiringFor       string `yaml:"keep_firing_for"`
	Labels, Annotations map[string]string
}

type prometheusGroup struct {
	Name, Interval string
	Rules          []prometheusRule
}

// managedRule is a rule as Grafana's provisioning reads it.
type managedRule struct {
	UID           string            `yaml:"uid"`
	Title         string            `yaml:"title"`
	Condition     string            `yaml:"condition,omitempty"`
	Data          []managedQuery    `yaml:"data"`
	Record        *managedRecord    `yaml:"record,omitempty"`
	NoDataState   string            `yaml:"noDataState,omitempty"`
	ExecErrState  string            `yaml:"execErrState,omitempty"`
	For           string            `yaml:"for,omitempty"`
	KeepFiringFor string            `yaml:"keepFiringFor,omitempty"`
	MissingEvals  int               `yaml:"missing_series_evals_to_resolve,omitempty"`
	Labels        map[string]string `yaml:"labels,flow,omitempty"`
	Annotations   map[string]string `yaml:"annotations,omitempty"`
}

type managedQuery struct {
	RefID         string         `yaml:"refId"`
	TimeRange     map[string]int `yaml:"relativeTimeRange,flow,omitempty"`
	DatasourceUID string         `yaml:"datasourceUid"`
	Model         map[string]any `yaml:"model"`
}

type managedRecord struct {
	Metric string `yaml:"metric"`
	From   string `yaml:"from"`
	Target string `yaml:"targetDatasourceUid"`
}

type managedGroup struct {
	OrgID    int           `yaml:"orgId"`
	Name     string        `yaml:"name"`
	Folder   string        `yaml:"folder"`
	Interval string        `yaml:"interval"`
	Rules    []managedRule `yaml:"rules"`
}

// readRules are the groups of all files of a directory.
func readRules(alertsDir string) (all []prometheusGroup, err error) {
	files, err := filepath.Glob(filepath.Join(alertsDir, "*.yml"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file) //nolint:gosec // whose directory the Makefile gives
		if err != nil {
			return nil, err
		}
		var rules struct{ Groups []prometheusGroup }
		if err := yaml.Unmarshal(data, &rules); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, rules.Groups...)
	}
	return all, nil
}

// alertNames are the names of the alerts, as alternatives.
func alertNames(rules []prometheusGroup) string {
	var names []string
	for _, g := range rules {
		for _, r := range g.Rules {
			if r.Alert != "" {
				names = append(names, r.Alert)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, "|")
}

// managedRules are the files of Grafana-managed rules, by their names.
func managedRules(rules []prometheusGroup) (map[string][]byte, error) {
	groups := make(map[string][]managedGroup)
	for _, g := range rules {
		m := managedGroup{OrgID: 1, Name: g.Name, Folder: "Dragons", Interval: g.Interval}
		if m.Interval == "" {
			m.Interval = sparsest
		}
		for _, r := range g.Rules {
			m.Rules = append(m.Rules, r.managed())
		}
		name := recordingFile
		if g.Rules[0].Alert != "" {
			name = alertsFile
		}
		groups[name] = append(groups[name], m)
	}
	encoded := make(map[string][]byte)
	for name, g := range groups {
		out := bytes.NewBufferString(alertingHeader)
		e := yaml.NewEncoder(out)
		e.SetIndent(2)
		if err := e.Encode(map[string]any{"apiVersion": 1, "groups": g}); err != nil {
			return nil, err
		}
		encoded[name] = out.Bytes()
	}
	return encoded, nil
}

// managed is the rule for Grafana. As in Prometheus, an alert fires for each series of its query,
// whatever the value, and ends with the series.
func (r prometheusRule) managed() managedRule {
	const asked, answered = "query", "answered"
	m := managedRule{
		Title: r.Alert,
		Data: []managedQuery{{asked, map[string]int{"from": 600, "to": 0}, alertingSource,
			map[string]any{"refId": asked, "expr": strings.TrimSpace(r.Expr), "instant": true, "range": false}}},
		Labels: r.Labels,
	}
	if r.Record != "" {
		m.Title = r.Record
		for _, label := range slices.Sorted(maps.Keys(r.Labels)) {
			m.Title += " " + label + "=" + r.Labels[label]
		}
		m.UID = fmt.Sprintf("mother-%.8x", sha256.Sum256([]byte(m.Title)))
		m.Record = &managedRecord{r.Record, asked, alertingSource}
		return m
	}
	m.UID = "mother-" + r.Alert
	m.Condition = answered
	m.Data = append(m.Data, managedQuery{answered, nil, "__expr__", map[string]any{
		"refId": answered, "type": "math", "expression": "is_number($query) || is_nan($query) || is_inf($query)",
	}})
	m.NoDataState, m.ExecErrState, m.MissingEvals = "OK", "Error", 1
	m.For, m.KeepFiringFor = r.For, r.KeepFiringFor
	m.Annotations = make(map[string]string)
	for name, text := range r.Annotations {
		m.Annotations[name] = managedTemplate(text)
	}
	return m
}

// queried is what a template asks Prometheus for, which Grafana's cannot.
var queried = regexp.MustCompile(`\{\{ range query .*?\{\{ end \}\}`)

// managedTemplate is a template for Grafana, where $value is a text about all values.
func managedTemplate(text string) string {
	return strings.ReplaceAll(queried.ReplaceAllString(text, ""), "$value ", "$values.query.Value ")
}
