package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := schemaFile()
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
	text, err := schemaFile()
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

// schemaFile is examples/mother-of-dragons.schema.json: the file's shape for editors, which
// then complete keys and say what they mean. What a value may be, given the others, only
// check-config knows.
func schemaFile() ([]byte, error) {
	root := schemaOf("", reflect.ValueOf(defaults()).Elem())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of mother-of-dragons"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("the schema: %w", err)
	}
	return b.Bytes(), nil
}

func schemaOf(path string, v reflect.Value) schema {
	s := schema{}
	switch {
	case isScalar(v.Type()):
		s = schemaOfScalar(path, v)
	case v.Kind() == reflect.Slice:
		items := schemaOf(path+"[]", reflect.New(v.Type().Elem()).Elem())
		s["type"], s["items"] = "array", items
		if isScalar(v.Type().Elem()) { // one may stand alone
			delete(items, "description")
			s = schema{"anyOf": []schema{items, s}}
		}
	case v.Kind() == reflect.Map:
		s["type"], s["additionalProperties"] = "object", schema{"type": []string{"string", "number", "boolean"}}
	default:
		properties := schema{}
		for i := range v.NumField() {
			if key := keyOf(v.Type().Field(i)); key != "" {
				properties[key] = schemaOf(join(path, key), v.Field(i))
			}
		}
		s["type"], s["properties"], s["additionalProperties"] = []string{"object", "null"}, properties, false
	}
	row := rowAt(path)
	if row == nil {
		return s
	}
	if row.doc != "" {
		s["description"] = row.doc
	}
	if isScalar(v.Type()) && !strings.Contains(path, "[]") {
		if s["default"] = show(path, v); s["default"] == "" {
			delete(s, "default")
		}
		switch t := v.Interface().(type) {
		case bool, int, uint16:
			s["default"] = t
		case float64:
			if row.as == nil {
				s["default"] = t
			}
		}
	}
	return s
}

// schemaOfScalar has the range where it is one of plain numbers.
func schemaOfScalar(path string, v reflect.Value) schema {
	s := maps.Clone(kindAt(path, v.Type()).schema)
	if row := rowAt(path); row != nil && row.from != "" && (v.Kind() == reflect.Int || v.Kind() == reflect.Float64) {
		k := kindAt(path, v.Type())
		s["minimum"] = bound(k, row.from)
		if row.to != "" {
			s["maximum"] = bound(k, row.to)
		}
	}
	return s
}
