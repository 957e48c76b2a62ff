package chart

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chartutil"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	security "k8s.io/pod-security-admission/api"
	securitypolicy "k8s.io/pod-security-admission/policy"
)

// decode reads manifests as the API server does. An unknown field or a field twice is an error.
func decode(t *testing.T, texts map[string]string) (objects []runtime.Object) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, networking.AddToScheme, policy.AddToScheme, monitoring.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	serializer := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		if file == "NOTES.txt" {
			continue
		}
		for doc := range strings.SplitSeq("\n"+texts[file], "\n---\n") {
			if strings.TrimSpace(doc) == "" {
				continue
			}
			object, _, err := serializer.Decode([]byte(doc), nil, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", file, err, doc)
			}
			objects = append(objects, object)
		}
	}
	return objects
}

// only is the object of a type, of which there is one.
func only[T any](t *testing.T, objects []runtime.Object) (found T) {
	t.Helper()
	n := 0
	for _, o := range objects {
		if x, ok := o.(T); ok {
			found = x
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%d of %T", n, found)
	}
	return found
}

func TestManifestsAreValidAndFindEachOther(t *testing.T) {
	for name, values := range sets(t) {
		t.Run(name, func(t *testing.T) {
			objects := decode(t, mustRender(t, values))
			set := only[*apps.StatefulSet](t, objects)
			pod := set.Spec.Template
			selects := func(what string, selector map[string]string) {
				if !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) || len(selector) == 0 {
					t.Errorf("%s: %v does not select %v", what, selector, pod.Labels)
				}
			}
			selects("StatefulSet", set.Spec.Selector.MatchLabels)
			services := map[string]bool{}
			for _, o := range objects {
				switch o := o.(type) {
				case *core.Service:
					services[o.Name] = true
					selects(o.Name, o.Spec.Selector)
					if o.Spec.Ports[0].TargetPort.StrVal != pod.Spec.Containers[0].Ports[0].Name {
						t.Errorf("%s: %v", o.Name, o.Spec.Ports)
					}
				case *networking.NetworkPolicy:
					selects("NetworkPolicy", o.Spec.PodSelector.MatchLabels)
				case *policy.PodDisruptionBudget:
					selects("PodDisruptionBudget", o.Spec.Selector.MatchLabels)
				case *monitoring.PodMonitor:
					selects("PodMonitor", o.Spec.Selector.MatchLabels)
				case *monitoring.ServiceMonitor:
					matching := 0
					for _, other := range objects {
						if s, ok := other.(*core.Service); ok && labels.SelectorFromSet(o.Spec.Selector.MatchLabels).Matches(labels.Set(s.Labels)) {
							matching++
						}
					}
					if matching != 1 {
						t.Errorf("the ServiceMonitor selects %d Services, so that dragons are read as often", matching)
					}
				}
			}
			if !services[set.Spec.ServiceName] {
				t.Errorf("the Service %s of the pods' names is not there", set.Spec.ServiceName)
			}
			volumes := map[string]bool{}
			for _, v := range pod.Spec.Volumes {
				volumes[v.Name] = true
			}
			for _, c := range set.Spec.VolumeClaimTemplates {
				volumes[c.Name] = true
			}
			for _, m := range pod.Spec.Containers[0].VolumeMounts {
				if !volumes[m.Name] {
					t.Errorf("there is no volume %s", m.Name)
				}
				delete(volumes, m.Name)
			}
			if len(volumes) > 0 {
				t.Errorf("nothing mounts %v", volumes)
			}
		})
	}
}

func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := securitypolicy.NewEvaluator(securitypolicy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
	for name, values := range sets(t) {
		pod := only[*apps.StatefulSet](t, decode(t, mustRender(t, values))).Spec.Template
		result := securitypolicy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
		want := ""
		if pod.Spec.HostNetwork { // the only thing that it gives up, and hostPort comes with it
			want = "host namespaces"
		}
		if got := result.ForbiddenReason(); !slices.Contains([]string{want, want + ", hostPort"}, got) {
			t.Errorf("%s: forbidden: %q: %s; want %q", name, got, result.ForbiddenDetail(), want)
		}
		c := pod.Spec.Containers[0]
		if s := c.SecurityContext; s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Errorf("%s: the root file system can be written", name)
		}
		if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
			t.Errorf("%s: a token of the API server is in the pod", name)
		}
		// Kubernetes would set MOTHER_OF_DRAGONS_PORT and the like, which the program reads as flags.
		if links := pod.Spec.EnableServiceLinks; links == nil || *links {
			t.Errorf("%s: Services are in the environment", name)
		}
	}
}

func TestOnePodReadsTheDragonsForPrometheus(t *testing.T) {
	objects := decode(t, mustRender(t, sets(t)["pair"]))
	if n := *only[*apps.StatefulSet](t, objects).Spec.Replicas; n != 2 {
		t.Errorf("%d replicas of a pair", n)
	}
	endpoints := only[*monitoring.ServiceMonitor](t, objects).Spec.Endpoints
	if len(endpoints) != 2 {
		t.Fatal(endpoints)
	}
	for i, want := range []struct {
		action string
		params map[string][]string
	}{{"keep", nil}, {"drop", map[string][]string{"collect[]": {"program"}}}} {
		e := endpoints[i]
		if e.RelabelConfigs[0].Action != want.action || e.RelabelConfigs[0].Regex != "dragons-1" || !maps.EqualFunc(e.Params, want.params, slices.Equal) {
			t.Errorf("%+v; want %+v", e, want)
		}
	}
	for name, values := range sets(t) {
		if n := *only[*apps.StatefulSet](t, decode(t, mustRender(t, values))).Spec.Replicas; n != 1 && name != "pair" {
			t.Errorf("%s: %d instances would heal, each by its own budgets", name, n)
		}
	}
}

func TestNetworkPolicyLetsDragonsBeReached(t *testing.T) {
	reached := func(set string) (lines []string) {
		for _, rule := range only[*networking.NetworkPolicy](t, decode(t, mustRender(t, sets(t)[set]))).Spec.Egress {
			to := "any"
			if len(rule.To) > 0 {
				to = rule.To[0].IPBlock.CIDR
			}
			for _, p := range rule.Ports {
				line := to + " " + p.Port.String()
				if p.EndPort != nil {
					line += "-" + strconv.Itoa(int(*p.EndPort))
				}
				lines = append(lines, line+" "+string(*p.Protocol))
			}
		}
		return lines
	}
	for set, want := range map[string][]string{
		"operator": {"any 53 UDP", "any 53 TCP", "192.0.2.0/25 8080 TCP", "198.51.100.7/32 80 TCP", "198.51.100.7/32 8101-8120 TCP", "192.0.2.1/32 443 TCP"},
		"pair":     {"any 53 UDP", "any 53 TCP", "192.0.2.0/24 80 TCP", "any 2379 TCP", "203.0.113.9/32 8125 UDP"},
	} {
		if diff := cmp.Diff(want, reached(set)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", set, diff)
		}
	}
}

// The configuration in the ConfigMap is one by the program's own schema.
func TestConfigurationsFollowTheSchema(t *testing.T) {
	schema, err := os.ReadFile(root + "/examples/mother-of-dragons.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range sets(t) {
		var text string
		for _, o := range decode(t, mustRender(t, values)) {
			if c, ok := o.(*core.ConfigMap); ok && c.Data["mother-of-dragons.yml"] != "" {
				text = c.Data["mother-of-dragons.yml"]
			}
		}
		config, err := chartutil.ReadValues([]byte(text))
		if err != nil || len(config) == 0 {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if err := chartutil.ValidateAgainstSingleSchema(config, schema); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

func TestRulesAndBoardsAreThoseShipped(t *testing.T) {
	objects := decode(t, mustRender(t, sets(t)["operator"]))
	rules, boards := map[string]any{}, map[string]string{}
	for _, o := range objects {
		switch o := o.(type) {
		case *monitoring.PrometheusRule:
			rules[strings.TrimPrefix(o.Name, "mother-mother-of-dragons-")+".yml"] = o.Spec.Groups
		case *core.ConfigMap:
			if o.Labels["grafana_dashboard"] == "1" && o.Namespace == "monitoring" {
				for key, text := range o.Data {
					boards[strings.TrimPrefix(key, "mother-")] = text
				}
			}
		}
	}
	for _, file := range glob(t, root+"/alerts/*.yml") {
		text := read(t, file)
		text = strings.ReplaceAll(text, "http://localhost:3000", "https://grafana.example.net")
		text = strings.Replace(text, `"threshold:hashrate_ratio", expr: vector(0.75)`, `"threshold:hashrate_ratio", expr: vector(0.8)`, 1)
		text = strings.Replace(text, `"threshold:temperature_high_celsius", expr: vector(90)`, `"threshold:temperature_high_celsius", expr: vector(85)`, 1)
		want := decode(t, map[string]string{"want": "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n  " +
			strings.ReplaceAll(text, "\n", "\n  ")})[0].(*monitoring.PrometheusRule).Spec.Groups
		if !reflect.DeepEqual(rules[filepath.Base(file)], want) {
			t.Errorf("%s: the PrometheusRule is another\n%s", file, cmp.Diff(want, rules[filepath.Base(file)]))
		}
	}
	for _, file := range glob(t, root+"/dashboards/*.json") {
		if boards[filepath.Base(file)] != read(t, file) {
			t.Errorf("%s: the ConfigMap has another", file)
		}
	}
	if r, b := len(glob(t, root+"/alerts/*.yml")), len(glob(t, root+"/dashboards/*.json")); len(rules) != r || len(boards) != b || b == 0 {
		t.Errorf("%d of %d files of rules, %d of %d boards", len(rules), r, len(boards), b)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal(pattern, err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
