package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Schema is examples/mother-of-dragons.schema.json: the file's shape for editors, which
// then complete keys and say what they mean. What a value may be, given the others, only
// check-config knows.
func Schema() ([]byte, error) {
	doc := documentOf(defaults())
	root := schemaOf("", reflect.ValueOf(&doc).Elem())
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

type schema = map[string]any

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
	default:
		properties := schema{}
		for i := range v.NumField() {
			if key := keyOf(v.Type().Field(i)); key != "" {
				properties[key] = schemaOf(join(path, key), v.Field(i))
			}
		}
		s["type"], s["properties"], s["additionalProperties"] = []string{"object", "null"}, properties, false
	}
	if meaning := meaningOf(path); meaning != "" {
		s["description"] = meaning
	}
	if text := standard(path, v); isScalar(v.Type()) && text != "" && !strings.Contains(path, "[]") {
		s["default"] = text
		if t := v.Interface(); reflect.TypeOf(t).Kind() == reflect.Bool || v.CanInt() && v.Type() != reflect.TypeFor[time.Duration]() || v.CanUint() || v.Type() == reflect.TypeFor[float64]() && !isRate(path) {
			s["default"] = t
		}
	}
	return s
}

// meaningOf is what the reference says of a key. A profile's are those of the default.
func meaningOf(path string) string {
	if key, ok := strings.CutPrefix(path, "profiles[].healing."); ok {
		path = "healing.default." + key
	}
	for _, m := range meanings {
		if m.path == path {
			return m.meaning
		}
	}
	return ""
}

func schemaOfScalar(path string, v reflect.Value) schema {
	text := func(pattern string) schema { return schema{"type": "string", "pattern": pattern} }
	either := func(kinds ...schema) schema { return schema{"anyOf": kinds} }
	switch v.Interface().(type) {
	case time.Duration:
		return either(schema{"type": "number", "minimum": 0}, text(`^([0-9.]+|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`))
	case netip.Prefix:
		return text(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+/[0-9]+$`)
	case discovery.Range:
		return text(`^[0-9.]+(/[0-9]+| ?- ?[0-9.]+)$`)
	case healer.Ratio:
		return either(schema{"type": "number", "minimum": 0, "maximum": 1}, text(`^[0-9.]+ ?%?$`))
	case healer.Mode:
		return schema{"enum": []healer.Mode{healer.Observe, healer.Enforce}}
	case healer.Kind:
		return schema{"enum": []string{"restart", "reboot"}}
	case bool:
		return schema{"type": "boolean"}
	case uint16:
		return schema{"type": "integer", "minimum": 1, "maximum": 65535}
	case int:
		return schema{"type": "integer"}
	case float64:
		if isRate(path) {
			return either(text(`^[0-9.]+ ?([kMGTP]?H|k?Sol)/s$`), schema{"const": 0})
		}
		return schema{"type": "number"}
	case dragon.Secret:
		return schema{"type": []string{"string", "number", "boolean"}}
	}
	// Whatever stands there is a text, also what YAML takes for a number.
	return schema{"type": []string{"string", "number", "boolean"}}
}
