package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// setting is all that is known of one setting. Flags, defaults, range checks, the reference,
// the schema, the example, the printed configuration and what a reload refuses come from it;
// its field is the one of Settings with the same key.
type setting struct {
	key     string // of the file, as in discovery.interval; [] for each item of a list; empty: a flag alone
	flag    string // that sets the key; empty: none
	doc     string // one sentence or more, for --help, the reference, the schema and the example
	help    string // for --help, where a flag means something else than its key
	def     string // the default; of a list, its items with spaces between; keys of healing have healer.DefaultPolicy
	as      *kind  // how it is written; nil: as its type is
	from    string // the least and the greatest value; empty: any
	to      string
	restart bool                                 // another value takes a restart
	secret  bool                                 // a flag whose value is not shown
	toggle  bool                                 // a flag without a value, of a key that is not a boolean
	holder  string                               // of the flag in --help, where it has no default
	example string                               // for the example, in place of the default; of a list, its lines
	set     func(s *Settings, text string) error // what the flag does; nil: it sets the key
}

type section struct {
	path  string // of its keys
	about string // all of it, for the reference and the example
	rows  []setting
}

// table has every setting by its whole key, in the order of the file.
var table = sync.OnceValue(func() []setting {
	var rows []setting
	for _, s := range sections() {
		for _, row := range s.rows {
			row.key = wholeKey(s.path, row.key)
			rows = append(rows, row)
		}
	}
	return rows
})

func wholeKey(path, key string) string {
	return strings.TrimSuffix(strings.ReplaceAll(join(path, key), ".[]", "[]"), ".")
}

var byKey = sync.OnceValue(func() map[string]*setting {
	rows := table()
	index := make(map[string]*setting, len(rows))
	for i := range rows {
		if rows[i].key != "" {
			index[rows[i].key] = &rows[i]
		}
	}
	return index
})

var index = regexp.MustCompile(`\[\d+\]`)

// rowAt is the row of a path of the file, such as networks[3].cidr; nil: none. What a profile
// says of healing has the rows of the default.
func rowAt(path string) *setting {
	if strings.Contains(path, "[") {
		path = index.ReplaceAllString(path, "[]")
	}
	if key, ok := strings.CutPrefix(path, "profiles[].healing."); ok {
		path = "healing.default." + key
	}
	return byKey()[path]
}

// fieldAt is the field of Settings that a key sets, which has no [] in it.
func fieldAt(v reflect.Value, key string) reflect.Value {
	for name := range strings.SplitSeq(key, ".") {
		if v = fieldsOf(v)[name]; !v.IsValid() {
			return v
		}
	}
	return v
}

// typeAt is the type of what stands at a key; nil: nothing does.
func typeAt(key string) reflect.Type {
	t := reflect.TypeFor[Settings]()
	for name := range strings.SplitSeq(key, ".") {
		name, item := strings.CutSuffix(name, "[]")
		if t.Kind() != reflect.Struct {
			return nil
		}
		v := fieldsOf(reflect.New(t).Elem())[name]
		if !v.IsValid() {
			return nil
		}
		if t = v.Type(); item {
			t = t.Elem()
		}
	}
	return t
}

// each calls visit for every value at a key, with its path.
func each(v reflect.Value, at, key string, visit func(path string, v reflect.Value)) {
	name, rest, more := strings.Cut(key, ".")
	name, list := strings.CutSuffix(name, "[]")
	v, at = fieldsOf(v)[name], join(at, name)
	items, paths := []reflect.Value{v}, []string{at}
	if list {
		items, paths = nil, nil
		for i := range v.Len() {
			items, paths = append(items, v.Index(i)), append(paths, fmt.Sprintf("%s[%d]", at, i))
		}
	}
	for i, item := range items {
		if more {
			each(item, paths[i], rest, visit)
		} else {
			visit(paths[i], item)
		}
	}
}

func (s *setting) apply(to *Settings, text string) error {
	if s.set != nil {
		return s.set(to, text)
	}
	v := fieldAt(reflect.ValueOf(to).Elem(), s.key)
	one := v
	if v.Kind() == reflect.Slice {
		one = reflect.New(v.Type().Elem()).Elem()
	}
	if err := assign(text, s.key, one); err != nil {
		return err
	}
	if wrong := s.outOfRange(one); wrong != "" {
		return fmt.Errorf("%s", wrong)
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.Append(v, one))
	}
	return nil
}

// into is what a flag does that sets a field in another form than the file has.
func into[T any](field func(*Settings) *T, parse func(string) (T, error)) func(*Settings, string) error {
	return func(s *Settings, text string) (err error) {
		*field(s), err = parse(text)
		return err
	}
}

func (s *setting) isList() bool { return s.key != "" && typeAt(s.key).Kind() == reflect.Slice }

// isBool reports whether the flag takes no value.
func (s *setting) isBool() bool {
	return s.toggle || s.key != "" && typeAt(s.key) == reflect.TypeFor[bool]()
}

// register adds the flag of a row to a command.
func (s *setting) register(cmd flagger, to *Settings) *kingpin.FlagClause {
	help := plain(cmp.Or(s.help, s.doc))
	if s.isList() {
		help = strings.TrimSuffix(help, ".") + " (repeatable)."
	}
	clause := cmd.Flag(s.flag, help)
	clause.SetValue(&settingFlag{s, to})
	if s.holder != "" {
		clause.PlaceHolder(s.holder)
	}
	if s.def != "" {
		clause.Default(s.defaults()...)
	}
	return clause
}

func (s *setting) defaults() []string {
	if s.isList() {
		return strings.Fields(s.def)
	}
	return []string{s.def}
}

var link = regexp.MustCompile(`\[([^]]+)\]\([^)]+\)`)

// plain is a text of the reference for a terminal.
func plain(text string) string {
	return link.ReplaceAllString(strings.ReplaceAll(text, "`", ""), "docs/$1")
}

// settingFlag is a setting as kingpin's kind of value.
type settingFlag struct {
	*setting
	to *Settings
}

func (f *settingFlag) Set(text string) error {
	if f.isBool() {
		on, err := strconv.ParseBool(text) // an environment variable may say 1
		if err != nil {
			return err // package cli names the variable
		}
		text = strconv.FormatBool(on)
	}
	if err := f.apply(f.to, text); err != nil {
		return fmt.Errorf("--%s: %w", f.flag, err)
	}
	if f.key == "" && text != f.def {
		if f.secret {
			text = "<secret>"
		}
		f.to.beside = append(f.to.beside, "--"+f.flag+"="+text)
	}
	return nil
}

func (f *settingFlag) String() string     { return "" }
func (f *settingFlag) IsCumulative() bool { return f.isList() }
func (f *settingFlag) IsBoolFlag() bool   { return f.isBool() }

// defaults is what is in force where neither flags nor a file say anything.
func defaults() *Settings {
	s := &Settings{Policy: healer.DefaultPolicy()}
	for _, row := range table() {
		if row.def == "" {
			continue
		}
		for _, text := range row.defaults() {
			if err := row.apply(s, text); err != nil {
				panic(fmt.Sprintf("the default of %s: %v", cmp.Or(row.key, row.flag), err)) // a test reads every default
			}
		}
	}
	return s
}
