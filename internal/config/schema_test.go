package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if v == nil {
		v = map[string]any{}
	}
	return s.Validate(v)
}

func TestSchemaForEditorsIsAReferenceAsTheProgramIs(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../examples/mother-of-dragons.schema.json", string(text))
}

func TestSchemaTakesWhatTheProgramTakes(t *testing.T) {
	s := compiled(t)
	example, err := os.ReadFile("../../examples/mother-of-dragons.yml")
	if err != nil {
		t.Fatal(err)
	}
	all := commented.ReplaceAllString(string(example), "$1$2")
	for name, text := range map[string]string{"the example": string(example), "the example with every setting": all, "everything": whole, "credentials": locks} {
		if err := valid(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := mustParse(t, whole)
	if err := valid(t, s, printed(t, c)); err != nil {
		t.Errorf("what is printed: %v", err)
	}
}

// Editors are to see the slips of the keyboard; what only makes sense or not with the
// rest of the file is for check-config.
func TestSchemaRefusesWhatTheProgramRefuses(t *testing.T) {
	s := compiled(t)
	refused := 0
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if yaml.Unmarshal(text, &v) == nil && s.Validate(v) != nil {
			refused++
		}
	}
	if refused < 15 {
		t.Errorf("%d of %d bad files are refused", refused, len(files))
	}
	for _, text := range []string{
		"network: []\n", "scrape: {workers: many}\n", "networks: [{cidr: here}]\n", "healing: {default: {mode: on}}\n", "healing: {poll: soon}\n",
		"healing: {fleet: {per_day: 200%%}}\n", "profiles: [{healing: {grace: {rat: 1m}}}]\n", "healing: {default: {hashrate: 14}}\n",
	} {
		if valid(t, s, text) == nil {
			t.Errorf("%s is taken", strings.TrimSpace(text))
		}
	}
}
