package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// missing says what the rows lack. A newcomer's setting has every piece if it says nothing.
func missing(rows []setting) (lacks []string) {
	lack := func(row *setting, format string, args ...any) {
		name := row.key
		if name == "" {
			name = "--" + row.flag
		}
		lacks = append(lacks, name+": "+fmt.Sprintf(format, args...))
	}
	keys, flags := map[string]bool{}, map[string]bool{}
	for i := range rows {
		row := &rows[i]
		if row.key == "" && (row.flag == "" || row.set == nil) {
			lack(row, "a row without a key needs a flag and what it sets")
			continue
		}
		if row.key != "" && keys[row.key] || row.flag != "" && flags[row.flag] {
			lack(row, "it has two rows")
		}
		keys[row.key], flags[row.flag] = true, true
		var t reflect.Type
		if row.key != "" {
			if t = typeAt(row.key); t == nil {
				lack(row, "Settings has no field with this key")
				continue
			}
		}
		if row.doc == "" && !strings.HasSuffix(row.key, "[]") {
			lack(row, "it has no doc")
		} else if row.doc != "" && !strings.HasSuffix(row.doc, ".") && !strings.HasSuffix(row.doc, ".)") {
			lack(row, "its doc is not a sentence: %q", row.doc)
		}
		if row.def != "" {
			s := &Settings{Policy: healer.DefaultPolicy()}
			for _, text := range row.defaults() {
				if err := row.apply(s, text); err != nil {
					lack(row, "its default: %v", err)
				}
			}
		}
		if row.flag != "" && row.def == "" && row.holder == "" && !row.isBool() {
			lack(row, "its flag has neither a default nor a place holder")
		}
		if row.from != "" {
			k := kindAt(row.key, t)
			if row.as != nil {
				k = row.as
			}
			for _, text := range []string{row.from, row.to} {
				if _, err := k.parse(text); err != nil && text != "" {
					lack(row, "its range: %v", err)
				}
			}
		}
	}
	eachKey("", reflect.TypeFor[Settings](), func(key string) {
		if !keys[key] {
			lacks = append(lacks, key+": a field of Settings without a row in settings.go (healing.*: settings_healing.go)")
		}
	})
	return lacks
}

// eachKey calls visit for every key of the file, but not for those of a profile's healing.
func eachKey(key string, t reflect.Type, visit func(string)) {
	switch {
	case isScalar(t), t == reflect.TypeFor[healer.Evidence](), t.Kind() == reflect.Map, key == "profiles[].healing":
		visit(key)
	case t.Kind() == reflect.Slice:
		if visit(key); !isScalar(t.Elem()) {
			eachKey(key+"[]", t.Elem(), visit)
		}
	case t.Kind() == reflect.Struct:
		for f := range t.Fields() {
			if name := keyOf(f); name != "" {
				eachKey(join(key, name), f.Type, visit)
			}
		}
	default:
		visit(key + ": no kind of value for " + t.String())
	}
}

func TestEverySettingIsComplete(t *testing.T) {
	for _, lack := range missing(table()) {
		t.Error(lack)
	}
}

func TestAnIncompleteSettingIsReported(t *testing.T) {
	whole := func() []setting { return append([]setting{}, table()...) }
	change := func(key string, fn func(*setting)) []setting {
		rows := whole()
		for i := range rows {
			if rows[i].key == key {
				fn(&rows[i])
			}
		}
		return rows
	}
	without := func(key string) (rows []setting) {
		for _, row := range table() {
			if row.key != key {
				rows = append(rows, row)
			}
		}
		return rows
	}
	for _, x := range []struct {
		rows []setting
		want string
	}{
		{append(whole(), setting{key: "scrape.colour", doc: "The colour."}), "scrape.colour: Settings has no field with this key"},
		{append(whole(), setting{flag: "colour", doc: "The colour.", def: "red"}), "--colour: a row without a key needs a flag and what it sets"},
		{without("discovery.port"), "discovery.port: a field of Settings without a row in settings.go (healing.*: settings_healing.go)"},
		{without("healing.default.heat.warn"), "healing.default.heat.warn: a field of Settings without a row in settings.go (healing.*: settings_healing.go)"},
		{change("scrape.workers", func(s *setting) { s.doc = "" }), "scrape.workers: it has no doc"},
		{change("scrape.workers", func(s *setting) { s.doc = "and workers," }), `scrape.workers: its doc is not a sentence: "and workers,"`},
		{change("scrape.workers", func(s *setting) { s.def = "many" }), `scrape.workers: its default: "many" is not an integer`},
		{change("scrape.workers", func(s *setting) { s.def = "0" }), "scrape.workers: its default: invalid value 0: want 1 to 100000"},
		{change("scrape.workers", func(s *setting) { s.def = "" }), "scrape.workers: its flag has neither a default nor a place holder"},
		{change("scrape.workers", func(s *setting) { s.from, s.to = "any", "" }), `scrape.workers: its range: "any" is not an integer`},
		{change("scrape.workers", func(s *setting) { s.flag = "network" }), "scrape.workers: it has two rows"},
	} {
		if diff := cmp.Diff([]string{x.want}, missing(x.rows)); diff != "" {
			t.Error(diff)
		}
	}
}

// Flags, and what there is for people and editors, come from the rows alone.
func TestEverySettingIsShown(t *testing.T) {
	app := kingpin.New("test", "").Terminate(nil).UsageWriter(io.Discard)
	Register(app)
	schema, err := schemaFile()
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("--network=127.5.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	reference, example, inForce := referenceFile(), exampleFile(), printed(t, c)
	for _, row := range table() {
		if row.flag != "" && app.GetFlag(row.flag) == nil {
			t.Errorf("there is no flag --%s", row.flag)
		}
		if row.key == "" || row.doc == "" {
			continue
		}
		if row.flag != "" && !strings.Contains(reference, "`--"+row.flag+"` |") {
			t.Errorf("the reference does not have --%s", row.flag)
		}
		name := row.key[strings.LastIndexByte(row.key, '.')+1:]
		if !strings.Contains(reference, "\n| `"+row.key+"` |") {
			t.Errorf("the reference does not have %s", row.key)
		}
		if !strings.Contains(string(schema), `"`+name+`": {`) {
			t.Errorf("the schema does not have %s", row.key)
		}
		if !strings.Contains(row.key, "[]") && !strings.Contains(example, name+":") {
			t.Errorf("the example does not have %s", row.key)
		}
		if v := reflect.ValueOf(&c.Settings).Elem(); !strings.Contains(row.key, "[]") && isScalar(typeAt(row.key)) && !strings.Contains(inForce, name+": "+printedScalar(t, row.key, fieldAt(v, row.key))) {
			t.Errorf("--print-config does not have %s", row.key)
		}
	}
}

func printedScalar(t *testing.T, key string, v reflect.Value) string {
	t.Helper()
	n := (&printer{read: newReader()}).scalar(key, v)
	if n.Value == "" {
		return `""`
	}
	return n.Value
}

// A reload compares the settings that need a restart, and no others.
func TestAReloadComparesTheRestartSettings(t *testing.T) {
	c, err := parse("--network=127.5.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table() {
		if row.key == "" || strings.Contains(row.key, "[]") || !isScalar(typeAt(row.key)) {
			continue
		}
		other := *c
		v := fieldAt(reflect.ValueOf(&other.Settings).Elem(), row.key)
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1e9)
		case reflect.Uint16:
			v.SetUint(v.Uint() + 1)
		default:
			v.SetFloat(v.Float() / 2)
		}
		err := c.Unchangeable(&other)
		if row.restart != (err != nil) || err != nil && !strings.Contains(err.Error(), row.key) {
			t.Errorf("%s: %v", row.key, err)
		}
	}
}
