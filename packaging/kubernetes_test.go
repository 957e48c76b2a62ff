package packaging_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd"
)

// statefulSet is what a test here wants to know of one.
type statefulSet struct {
	Kind string
	Spec struct {
		Template struct {
			Spec struct {
				SecurityContext struct {
					RunAsUser int64 `yaml:"runAsUser"`
				} `yaml:"securityContext"`
				Containers []struct {
					Args         []string
					Env          []struct{ Name string }
					Ports        []struct{ ContainerPort int } `yaml:"ports"`
					VolumeMounts []struct {
						MountPath string `yaml:"mountPath"`
						ReadOnly  bool   `yaml:"readOnly"`
					} `yaml:"volumeMounts"`
				}
			}
		}
	}
}

// statefulSets are those of the plain manifests and of the chart's golden ones, by file.
func statefulSets(t *testing.T) map[string]statefulSet {
	t.Helper()
	files, err := filepath.Glob("tools/chart/testdata/*.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]statefulSet{}
	for _, file := range append(files, "packaging/kubernetes/statefulset.yaml") {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for d := yaml.NewDecoder(f); ; {
			var node yaml.Node
			if err := d.Decode(&node); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			var s statefulSet
			if err := node.Decode(&s); err == nil && s.Kind == "StatefulSet" {
				sets[file] = s
			}
		}
		if _, ok := sets[file]; !ok {
			t.Errorf("%s has no StatefulSet", file)
		}
	}
	if len(sets) < 5 {
		t.Fatalf("only %d", len(sets))
	}
	return sets
}

func TestPodsRunTheProgramAsItsImageDoes(t *testing.T) {
	image, err := os.ReadFile("packaging/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for file, s := range statefulSets(t) {
		pod := s.Spec.Template.Spec
		if pod.SecurityContext.RunAsUser != 65534 || !strings.Contains(string(image), "\nUSER 65534:65534\n") {
			t.Errorf("%s: the user is %d", file, pod.SecurityContext.RunAsUser)
		}
		c := pod.Containers[0]
		app := cmd.New(nil)
		app.UsageWriter(io.Discard).ErrorWriter(io.Discard)
		app.Terminate(nil)
		if _, err := app.Parse(c.Args); err != nil {
			t.Errorf("%s: %q: %v", file, c.Args, err)
		}
		variables := map[string]bool{} // which parsing names
		for _, command := range app.Model().FlattenedCommands() {
			for _, f := range command.Flags {
				variables[f.Envar] = true
			}
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "MOTHER_OF_DRAGONS_") && !variables[e.Name] {
				t.Errorf("%s: %s sets no flag", file, e.Name)
			}
		}
		if dir := strings.TrimPrefix(c.Args[1], "--data-dir="); !strings.HasPrefix(dir, "/data/") || c.VolumeMounts[0].MountPath != "/data" || c.VolumeMounts[0].ReadOnly {
			t.Errorf("%s: the data directory %s is not on the volume %+v", file, dir, c.VolumeMounts[0])
		}
	}
}
