package chart

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const plainDir = root + "/packaging/kubernetes"

// ofHelm is what plain manifests do not have: what Helm adds, the namespace, which the
// kustomization sets, and the hash of the configuration, which it makes.
var ofHelm = regexp.MustCompile(`(?m)^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by|namespace): .*\n|^ *annotations:\n *#.*\n *checksum/config: .*\n`)

// The plain manifests are those of the chart, with the values of alone.values.yaml.
func TestPlainManifestsAreTheCharts(t *testing.T) {
	texts, err := render(load(t), sets(t)["alone"], "mother-of-dragons", "")
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct{ Resources []string }
	if err := yaml.Unmarshal([]byte(read(t, plainDir+"/kustomization.yaml")), &kustomization); err != nil {
		t.Fatal(err)
	}
	var made []string
	for file, text := range texts {
		switch file {
		case "NOTES.txt":
			continue
		case "configmap.yaml": // the generator's, from mother-of-dragons.yml
			_, config, ok := strings.Cut(text, "  mother-of-dragons.yml: |\n")
			if !ok {
				t.Fatal(text)
			}
			config = "# The program's configuration: docs/configuration.md.\n" + strings.ReplaceAll(strings.TrimPrefix(config, "    "), "\n    ", "\n")
			golden(t, plainDir+"/mother-of-dragons.yml", config)
			continue
		}
		made = append(made, file)
		golden(t, filepath.Join(plainDir, file), "# Generated from packaging/helm by make golden.\n"+ofHelm.ReplaceAllString(text, ""))
	}
	slices.Sort(made)
	for _, file := range made {
		if in := slices.Contains(kustomization.Resources, file); in == (file == "servicemonitor.yaml") {
			t.Errorf("%s in resources: %v; all but the ServiceMonitor should be", file, in)
		}
	}
	if files := glob(t, plainDir+"/*.yaml"); len(files) != len(made)+2 {
		t.Errorf("%v: the chart makes %v", files, made)
	}
}

// The README has a table of the values, in the form of helm-docs.
func TestReadmeHasEveryValue(t *testing.T) {
	var values yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, chartDir+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	var rows []string
	collect(t, "", values.Content[0], &rows)
	if len(rows) < 50 {
		t.Fatalf("only %d values", len(rows))
	}
	slices.Sort(rows)
	c := load(t)
	badge := func(name, value string) string {
		return fmt.Sprintf("![%s: %s](https://img.shields.io/badge/%s-%s-informational?style=flat-square)", name, value, name, value)
	}
	text := strings.NewReplacer(
		`{{ template "chart.header" . }}`, "# "+c.Name()+"\n",
		`{{ template "chart.description" . }}`, c.Metadata.Description,
		`{{ template "chart.versionBadge" . }}`, badge("Version", c.Metadata.Version)+" ",
		`{{ template "chart.appVersionBadge" . }}`, badge("AppVersion", c.AppVersion()),
		`{{ template "chart.requirementsSection" . }}`, "## Requirements\n\nKubernetes: `"+c.Metadata.KubeVersion+"`\n",
		`{{ template "chart.valuesSection" . }}`, "## Values\n\n| Key | Type | Default | Description |\n|-----|------|---------|-------------|\n"+strings.Join(rows, "\n"),
	).Replace(read(t, chartDir+"/README.md.gotmpl"))
	if strings.Contains(text, "{{") {
		t.Fatalf("a template that is not known here:\n%s", text)
	}
	golden(t, chartDir+"/README.md", text)
}

// collect makes a row of each value that has a comment "# -- …". One without such a comment is
// a section; a scalar or a list must have one.
func collect(t *testing.T, prefix string, n *yaml.Node, rows *[]string) {
	t.Helper()
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		path := prefix + key.Value
		_, doc, documented := strings.Cut(key.HeadComment, "# -- ")
		switch {
		case !documented && value.Kind == yaml.MappingNode && len(value.Content) > 0:
			collect(t, path+".", value, rows)
			continue
		case !documented:
			t.Errorf("%s has no comment", path)
			continue
		}
		doc, shown, named := strings.Cut(doc, "\n# @default -- ")
		if !named {
			var v any
			if err := value.Decode(&v); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			shown = "`" + string(data) + "`"
		}
		kind := map[string]string{"!!map": "object", "!!seq": "list", "!!str": "string", "!!bool": "bool", "!!int": "int"}[value.Tag]
		*rows = append(*rows, fmt.Sprintf("| %s | %s | %s | %s |", path, kind, shown, strings.ReplaceAll(doc, "\n# ", " ")))
	}
}
