package chart

import (
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// What kubectl apply -k sends: all in one namespace, and the pod has the configuration of
// mother-of-dragons.yml, whose hash is in the name of the ConfigMap.
func TestKustomizationBuilds(t *testing.T) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), plainDir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, map[string]string{"kustomize build": string(text)})
	for _, o := range objects {
		if m := o.(meta.Object); m.GetNamespace() != "dragons" && m.GetName() != "dragons" {
			t.Errorf("%T %s is in the namespace %q", o, m.GetName(), m.GetNamespace())
		}
	}
	config := only[*core.ConfigMap](t, objects)
	if !strings.HasPrefix(config.Name, "mother-of-dragons-") || config.Data["mother-of-dragons.yml"] != read(t, plainDir+"/mother-of-dragons.yml") {
		t.Errorf("%s: %s", config.Name, config.Data)
	}
	pod := only[*apps.StatefulSet](t, objects).Spec.Template.Spec
	mounted := ""
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil {
			mounted = v.ConfigMap.Name
		}
	}
	if mounted != config.Name {
		t.Errorf("the pod mounts %q, the configuration is %s", mounted, config.Name)
	}
	version := strings.TrimSpace(read(t, root+"/VERSION"))
	if image := pod.Containers[0].Image; !strings.HasSuffix(image, ":"+version) {
		t.Errorf("the image is %s, the version %s", image, version)
	}
	if name := only[*core.Namespace](t, objects).Labels["pod-security.kubernetes.io/enforce"]; name != "restricted" {
		t.Errorf("the namespace enforces %q", name)
	}
}
