// Package alerts holds Prometheus' rules for the dragons to what they promise: every
// alert has a runbook, a way to fire and one to stay silent, and speaks of nothing that
// the program does not show.
package alerts

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

type rule struct {
	Alert       string            `yaml:"alert"`
	Record      string            `yaml:"record"`
	Expr        string            `yaml:"expr"`
	For         model.Duration    `yaml:"for"`
	Keep        model.Duration    `yaml:"keep_firing_for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`

	file string
}

// rules are all that Prometheus is to load: the files of this directory.
func rules(t *testing.T) (all []rule) {
	t.Helper()
	for _, file := range ruleFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct{ Groups []struct{ Rules []rule } }
		if err := yaml.Unmarshal(data, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range f.Groups {
			for _, r := range g.Rules {
				r.file = file
				all = append(all, r)
			}
		}
	}
	return all
}

func ruleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 7 {
		t.Fatalf("only %v", files)
	}
	return files
}

func alerts(t *testing.T) (all []rule) {
	t.Helper()
	for _, r := range rules(t) {
		if r.Alert != "" {
			all = append(all, r)
		}
	}
	if len(all) < 60 {
		t.Fatalf("only %d alerts", len(all))
	}
	return all
}

// A series that is recorded more seldom than Prometheus looks back is gone most of the
// time: an alert on it never lasts. promtool evaluates every group alike and does not see it.
func TestNoSeriesIsRecordedTooSeldom(t *testing.T) {
	const lookback = 5 * time.Minute
	for _, file := range ruleFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Groups []struct {
				Name     string
				Interval model.Duration
			}
		}
		if err := yaml.Unmarshal(data, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range f.Groups {
			if interval := time.Duration(g.Interval); interval >= lookback {
				t.Errorf("%s: group %s is recorded every %v, and Prometheus looks back for %v", file, g.Name, interval, lookback)
			}
		}
	}
}

// doing are the words that what to do begins with.
var doing = regexp.MustCompile(`[.!?] (Check|Clean|Compare|Correct|Cut|Capture|Find|Free|Give|Go|Let|Load|Look|Plan|Power|Raise|Read|Remove|Repair|Report|Restart|Run|Scrape|Set|Start|Take) [^.]`)

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range alerts(t) {
		if seen[a.Alert] {
			t.Errorf("%s is there twice", a.Alert)
		}
		seen[a.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s: severity %q", a.Alert, a.Labels["severity"])
		}
		if a.For == 0 {
			t.Errorf("%s fires at once; one bad scrape is not a reason", a.Alert)
		}
		want := []string{"dashboard_url", "description", "runbook_url", "summary"}
		if got := slices.Sorted(maps.Keys(a.Annotations)); !slices.Equal(got, want) {
			t.Errorf("%s has the annotations %v, want %v", a.Alert, got, want)
		}
		if summary := a.Annotations["summary"]; strings.Contains(summary, "{{") || !strings.HasSuffix(summary, ".") {
			t.Errorf("%s: the summary is to be one fixed sentence: %q", a.Alert, summary)
		}
		description := a.Annotations["description"]
		if !doing.MatchString(description) {
			t.Errorf("%s does not say what to do, in a sentence that begins with one of %s: %q", a.Alert, doing, description)
		}
		if !strings.Contains(description, "$value") && !strings.Contains(description, "$labels") {
			t.Errorf("%s tells no value: %q", a.Alert, description)
		}
		if !strings.Contains(a.Annotations["dashboard_url"], "/d/mother-") {
			t.Errorf("%s: dashboard_url %q has no /d/mother-…", a.Alert, a.Annotations["dashboard_url"])
		}
	}
}

// pages are the alerts that page: what only a person can repair, and what gets
// worse until morning.
var pages = []string{
	"DuplicateMAC", "EfficacyLatched", "ExporterDown", "FleetHashrateDrop", "HarmLatched", "HealerDown", "HealerIsolated", "HealerReadOnly",
	"LostAfterAction", "NoLeader", "PoolForeign", "RolloutAborted", "SiteHot", "SiteUnreachable", "StormHold", "TwoLeaders",
}

func TestOnlyWhatAPersonMustDoNowPages(t *testing.T) {
	var got []string
	for _, a := range alerts(t) {
		if a.Labels["severity"] == "critical" {
			got = append(got, a.Alert)
		}
	}
	slices.Sort(got)
	doc, err := os.ReadFile("../docs/alerting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range got {
		if !strings.Contains(string(doc), "\n| ["+name+"](runbooks/"+name+".md) | ") {
			t.Errorf("docs/alerting.md does not say why %s pages", name)
		}
	}
	if !slices.Equal(got, pages) {
		t.Errorf("pages are\n%v, want\n%v", got, pages)
	}
}

func TestEveryAlertIsInTheListOfAll(t *testing.T) {
	doc, err := os.ReadFile("../docs/alerting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(doc), "\n## All alerts\n")
	if !found {
		t.Fatal("docs/alerting.md has no list of all alerts")
	}
	for _, a := range alerts(t) {
		row := fmt.Sprintf("\n| [%s](runbooks/%s.md) | %s | %s | %s |\n", a.Alert, a.Alert, a.Labels["severity"], a.For, a.Annotations["summary"])
		if !strings.Contains(list, row) {
			t.Errorf("docs/alerting.md, All alerts: no row %q", row)
		}
	}
}

func TestEveryAlertHasItsRunbook(t *testing.T) {
	const where = "https://github.com/brndnmtthws/mother-of-dragons/blob/main/docs/runbooks/"
	books, err := filepath.Glob("../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	left := make(map[string]bool)
	for _, b := range books {
		left[filepath.Base(b)] = true
	}
	for _, a := range alerts(t) {
		name := a.Alert + ".md"
		if got := a.Annotations["runbook_url"]; got != where+name {
			t.Errorf("%s: runbook_url %q", a.Alert, got)
		}
		data, err := os.ReadFile("../docs/runbooks/" + name)
		if err != nil {
			t.Error(err)
			continue
		}
		delete(left, name)
		page := string(data)
		for _, part := range []string{"# " + a.Alert + "\n", "Severity: " + a.Labels["severity"], a.file, "## What it means\n", "## How bad\n", "## First look\n", "## What to do\n", "## What the healer does\n"} {
			if !strings.Contains(page, part) {
				t.Errorf("%s lacks %q", name, part)
			}
		}
	}
	for name := range left {
		t.Errorf("%s is about no alert", name)
	}
}

// shown are the metrics of docs/metrics.md, which is made from the program, with their labels.
func shown(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (gauge|counter|histogram) \\| (.*?) \\|")
	label := regexp.MustCompile("`([a-z0-9_]+)`")
	metrics := make(map[string][]string)
	for _, m := range row.FindAllStringSubmatch(string(data), -1) {
		labels := []string{"job", "instance"}
		if strings.HasPrefix(m[1], "dragon_") {
			labels = append(labels, "worker")
		}
		for _, l := range label.FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, l[1])
		}
		metrics[m[1]] = labels
		if m[2] == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				metrics[m[1]+suffix] = append(slices.Clone(labels), "le")
			}
		}
	}
	if len(metrics) < 120 {
		t.Fatalf("only %d metrics", len(metrics))
	}
	// Prometheus' own, of every scrape.
	metrics["up"] = []string{"job", "instance"}
	metrics["scrape_duration_seconds"] = []string{"job", "instance"}
	return metrics
}

var firstLook = regexp.MustCompile("(?s)```promql\n(.*?)\n```")

// TestRulesSpeakOfWhatTheProgramShows: an alert on a metric that is not there is silent
// for ever, unnoticed.
func TestRulesSpeakOfWhatTheProgramShows(t *testing.T) {
	metrics := shown(t)
	all := rules(t)
	for _, r := range all {
		if r.Record != "" {
			metrics[r.Record] = nil // what labels it has is the business of its expression
		}
	}
	used := make(map[string]bool)
	for _, r := range all {
		check(t, r.file+" "+r.Alert+r.Record, r.Expr, metrics, used)
		if r.Alert == "" {
			continue
		}
		data, err := os.ReadFile("../docs/runbooks/" + r.Alert + ".md")
		if err != nil {
			t.Error(err)
			continue
		}
		m := firstLook.FindSubmatch(data)
		if m == nil {
			t.Errorf("the runbook of %s has no first look", r.Alert)
			continue
		}
		for line := range strings.Lines(string(m[1])) {
			check(t, "the runbook of "+r.Alert, line, metrics, used)
		}
	}
	boards, err := filepath.Glob("../dashboards/*.json")
	if err != nil || len(boards) == 0 {
		t.Fatalf("no boards: %v", err)
	}
	var shown strings.Builder
	// The page of energy names series for queries of one's own.
	for _, b := range append(boards, "../docs/energy.md") {
		data, err := os.ReadFile(b)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(data)
	}
	for _, r := range all {
		if r.Record != "" && !used[r.Record] && !strings.Contains(shown.String(), r.Record) {
			t.Errorf("nothing uses %s", r.Record)
		}
	}
}

// check holds an expression against the metrics, and notes those that it uses.
func check(t *testing.T, what, expr string, metrics map[string][]string, used map[string]bool) {
	t.Helper()
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		t.Errorf("%s: %v: %s", what, err, expr)
		return
	}
	known := map[string]bool{}
	labels := func(names []string) {
		for _, l := range names {
			if !known[l] {
				t.Errorf("%s joins or groups by %q, which nothing in it has: %s", what, l, expr)
			}
		}
	}
	visit := func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.MetricExpr:
			for _, filters := range e.LabelFilterss {
				var name string
				for _, f := range filters {
					switch {
					case f.Label == "__name__" && !f.IsRegexp:
						name = f.Value
						if _, ok := metrics[name]; !ok {
							t.Errorf("%s speaks of %s, which nothing shows: %s", what, name, expr)
						}
						used[name] = true
						for _, l := range metrics[name] {
							known[l] = true
						}
						if strings.Contains(name, ":") {
							for _, l := range []string{"worker", "model", "brand", "firmware", "ip", "mac", "site", "place", "url", "account", "result", "state", "mode", "level"} {
								known[l] = true
							}
						}
					case f.Label != "__name__" && metrics[name] != nil && !slices.Contains(metrics[name], f.Label):
						t.Errorf("%s selects by %s of %s, which has no such label", what, f.Label, name)
					}
				}
			}
		case *metricsql.FuncExpr:
			if strings.HasPrefix(e.Name, "label_") {
				known[e.Args[1].(*metricsql.StringExpr).S] = true
			}
		}
	}
	metricsql.VisitAll(parsed, visit)
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.AggrFuncExpr:
			labels(e.Modifier.Args)
		case *metricsql.BinaryOpExpr:
			labels(e.GroupModifier.Args)
			labels(e.JoinModifier.Args)
		}
	})
}

// TestTheExampleHidesWhatThereIs has amtool read the example for Alertmanager, and wants each alert
// that it names to be one.
func TestTheExampleHidesWhatThereIs(t *testing.T) {
	const file = "../examples/alertmanager.yml"
	if out, err := exec.CommandContext(t.Context(), installed.Tool(t, "amtool", "prometheus-alertmanager"), "check-config", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile("../packaging/compose/alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	if _, rules, _ := strings.Cut(string(data), "inhibit_rules:"); rules == "" || !strings.HasSuffix(string(compose), rules) {
		t.Error("packaging/compose/alertmanager.yml hides other alerts than the example")
	}
	named := regexp.MustCompile(`alertname=~?"([^"]+)"`).FindAllStringSubmatch(string(data), -1)
	if len(named) < 10 {
		t.Fatalf("only %d matchers", len(named))
	}
	for _, m := range named {
		for name := range strings.SplitSeq(m[1], "|") {
			is := regexp.MustCompile("^" + name + "$")
			if !slices.ContainsFunc(alerts(t), func(a rule) bool { return is.MatchString(a.Alert) }) {
				t.Errorf("there is no alert %s", name)
			}
		}
	}
}

// TestMaintenanceMutes: every alert about a dragon knows of maintenance, but for those
// that a human at the dragon wants to know too.
func TestMaintenanceMutes(t *testing.T) {
	for _, a := range alerts(t) {
		about := strings.Contains(a.Expr, "group_left (model, ip, site)")
		mutes := strings.Contains(a.Expr, "dragon_maintenance") || strings.Contains(a.Expr, "worker:dragon_muted:any") || strings.Contains(a.Expr, "mother_healer_device_state")
		if about && !mutes && a.Alert != "NewDragon" {
			t.Errorf("%s goes on during maintenance", a.Alert)
		}
	}
}
