package dragon

import (
	"maps"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// jsonOf converts a value of package dragon for JSON: field names in snake_case, base units,
// unknown numbers as null, secrets as <secret>, without the raw answer.
func jsonOf(v any) any { return jsonValue(reflect.ValueOf(v)) }

func jsonValue(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch x := v.Interface().(type) {
	case dragon.Number:
		if f, known := x.Get(); known {
			return f
		}
		return nil
	case time.Time:
		return x
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return jsonValue(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Interface()
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = jsonValue(v.Index(i))
		}
		return list
	case reflect.Struct:
		object := map[string]any{}
		for i := range v.NumField() {
			switch f := v.Type().Field(i); {
			case f.Type == reflect.TypeFor[dragon.Answer](), !f.IsExported():
			case f.Anonymous:
				if embedded, ok := jsonValue(v.Field(i)).(map[string]any); ok {
					maps.Copy(object, embedded)
				}
			default:
				object[snakeCase(f.Name)] = jsonValue(v.Field(i))
			}
		}
		return object
	}
	return v.Interface() // a Secret masks itself
}

// snakeCase is the JSON name of a Go field: hw_version for HWVersion.
func snakeCase(name string) string {
	letters := []rune(name)
	var b strings.Builder
	for i, r := range letters {
		ends := i > 0 && !unicode.IsUpper(letters[i-1])                                 // a word ends before this letter
		begins := i > 0 && i+1 < len(letters) && unicode.IsLower(letters[i+1]) && !ends // a word begins after an abbreviation
		if (unicode.IsUpper(r) && (ends || begins)) || (unicode.IsDigit(r) && i > 0 && unicode.IsLetter(letters[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
