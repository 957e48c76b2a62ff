// Package chart tests the Helm chart of packaging/helm, and writes what is made from it: its
// README, the golden manifests in testdata and the plain manifests of packaging/kubernetes.
package chart

import (
	"flag"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

var update = flag.Bool("update", false, "write the README of the chart, the golden manifests and packaging/kubernetes")

const (
	root     = "../.."
	chartDir = root + "/packaging/helm/mother-of-dragons"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // helm mentions the links to alerts and dashboards
	flag.Parse()
	os.Exit(m.Run())
}

func load(t *testing.T) *helmchart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sets are the sets of values in testdata, by name.
func sets(t *testing.T) map[string]chartutil.Values {
	t.Helper()
	files, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	all := map[string]chartutil.Values{}
	for _, f := range files {
		values, err := chartutil.ReadValuesFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".values.yaml")] = values
	}
	return all
}

// render is what helm template makes: a text for each template that is not empty.
func render(c *helmchart.Chart, values chartutil.Values, release, service string) (map[string]string, error) {
	// helm install does the first, too: it drops the defaults that the values set to null.
	values, err := chartutil.CoalesceValues(c, values)
	if err != nil {
		return nil, err
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: "dragons", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	all["Release"].(map[string]any)["Service"] = service
	rendered, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for path, text := range rendered {
		if text = strings.TrimSpace(text); text != "" {
			texts[filepath.Base(path)] = text + "\n"
		}
	}
	return texts, nil
}

func mustRender(t *testing.T, values chartutil.Values) map[string]string {
	t.Helper()
	texts, err := render(load(t), values, "mother", "Helm")
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// golden holds a file to what it should be, or writes it.
func golden(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(got), "\n"), strings.Split(want, "\n")); diff != "" {
		t.Errorf("%s is stale; if the new one is right: make golden (-committed +generated)\n%s", file, diff)
	}
}

func TestChartLintsWithoutAWarning(t *testing.T) {
	for name, values := range sets(t) {
		for _, m := range lint.All(chartDir, values, "dragons", true).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func TestChartHasTheVersionOfTheProgram(t *testing.T) {
	version, err := os.ReadFile(root + "/VERSION")
	if err != nil {
		t.Fatal(err)
	}
	if got := load(t).Metadata.AppVersion; got != strings.TrimSpace(string(version)) {
		t.Errorf("appVersion is %s, the program's is %s", got, version)
	}
}

func TestManifestsAreTheGoldenOnes(t *testing.T) {
	for name, values := range sets(t) {
		texts := mustRender(t, values)
		var b strings.Builder
		for _, file := range slices.Sorted(maps.Keys(texts)) {
			text := texts[file]
			switch file {
			case "NOTES.txt":
				text = "# " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n# ") + "\n"
			case "prometheusrule.yaml":
				text = withoutBody(text, "spec:")
			case "dashboards.yaml":
				text = withoutBody(text, "data:")
			}
			b.WriteString("---\n# " + file + "\n" + strings.TrimPrefix(text, "---\n"))
		}
		golden(t, "testdata/"+name+".golden.yaml", b.String())
	}
}

// withoutBody leaves out what TestRulesAndBoardsAreThoseShipped looks at.
func withoutBody(text, key string) string {
	var heads []string
	for doc := range strings.SplitSeq(text, "---\n") {
		head, _, _ := strings.Cut(doc, "\n"+key+"\n")
		heads = append(heads, head)
	}
	return strings.Join(heads, "\n"+key+" # left out here\n---\n") + "\n" + key + " # left out here\n"
}

func TestWrongValuesAreRefused(t *testing.T) {
	networks := map[string]any{"networks": []any{map[string]any{"cidr": "192.0.2.0/24"}}}
	etcd := map[string]any{"networks": networks["networks"], "ha": map[string]any{"etcd": map[string]any{"endpoints": []any{"http://etcd:2379"}}}}
	on := map[string]any{"enabled": true}
	for name, c := range map[string]struct {
		values chartutil.Values
		want   string
	}{
		"no networks":             {chartutil.Values{}, "name the networks"},
		"an unknown value":        {chartutil.Values{"config": networks, "replicas": 2}, "replicas"},
		"a network without CIDR":  {chartutil.Values{"config": map[string]any{"networks": []any{map[string]any{"site": "a"}}}}, "cidr"},
		"another data directory":  {chartutil.Values{"config": map[string]any{"networks": networks["networks"], "data_dir": "/tmp"}}, "config.data_dir"},
		"a pair without etcd":     {chartutil.Values{"config": networks, "ha": on}, "config.ha.etcd.endpoints"},
		"etcd without a pair":     {chartutil.Values{"config": etcd}, "ha.enabled"},
		"a pair with one volume":  {chartutil.Values{"config": etcd, "ha": on, "persistence": map[string]any{"existingClaim": "data"}}, "existingClaim"},
		"both monitors":           {chartutil.Values{"config": networks, "serviceMonitor": on, "podMonitor": on}, "enable one"},
		"an argument of no flag":  {chartutil.Values{"config": networks, "extraArgs": []any{"scan"}}, "extraArgs"},
		"a range and a policy":    {chartutil.Values{"config": map[string]any{"networks": []any{map[string]any{"cidr": "192.0.2.1-192.0.2.9"}}}}, "CIDR"},
		"an unknown threshold":    {chartutil.Values{"config": networks, "prometheusRule": map[string]any{"enabled": true, "thresholds": map[string]any{"heat": 90}}}, "thresholds.heat"},
		"a threshold of no value": {chartutil.Values{"config": networks, "prometheusRule": map[string]any{"thresholds": map[string]any{"heat": "high"}}}, "thresholds"},
	} {
		_, err := render(load(t), c.values, "mother", "Helm")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}
