package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// Schema is examples/mother-of-dragons.schema.json: the file's shape for editors, which
// then complete keys and say what they mean. What a value may be, given the others, only
// check-config knows.
func Schema() ([]byte, error) {
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
