package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hbollon/go-edlib"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// BadFile has every error of a configuration file.
type BadFile struct {
	File     string
	Problems []Problem // by line
}

// Problem is one error.
type Problem struct {
	Line int    // from 1; 0: the whole file
	Path string // such as healing.fleet.spacing; may be empty
	Text string
}

func (b *BadFile) Error() string {
	lines := make([]string, len(b.Problems))
	for i, p := range b.Problems {
		where := b.File
		if p.Line > 0 {
			where += ":" + strconv.Itoa(p.Line)
		}
		if p.Path != "" {
			where += ": " + p.Path
		}
		lines[i] = where + ": " + p.Text
	}
	return strings.Join(lines, "\n")
}

// reader decodes YAML and remembers the line of each value. It goes on after an error, so that
// the operator sees all of them at once. Package yaml's own decoder stops at the first unknown
// key, and its messages quote values, which may be passwords.
type reader struct {
	problems []Problem
	lines    map[string]int        // of every path that the file has
	sections map[string]*yaml.Node // that are read again, by path
	leaves   []string              // the paths of values, in the order of the file
}

func newReader() *reader {
	return &reader{lines: map[string]int{}, sections: map[string]*yaml.Node{}}
}

func (r *reader) say(line int, path, format string, args ...any) {
	p := Problem{line, path, fmt.Sprintf(format, args...)}
	if !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

// at reports an error of a path, at its line or that of the section. A second error of the same
// path may follow from the first and is not reported.
func (r *reader) at(path, format string, args ...any) {
	if slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Path == path }) {
		return
	}
	line := 0
	for p := path; p != "" && line == 0; p = parent(p) {
		line = r.lines[p]
	}
	r.say(line, path, format, args...)
}

func (r *reader) has(path string) bool { return r.lines[path] > 0 }

// failed returns the problems as an error, nil if there are none.
func (r *reader) failed(file string) error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
	})
	return &BadFile{file, r.problems}
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Package yaml's messages begin like this. The rest is passed on only where it quotes nothing of
// the file.
var yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s*)?(?:line (\d+): )?`)

// inOtherWords has plain words for messages of package yaml. Their line is where it noticed.
var inOtherWords = map[string]string{
	"found character that cannot start any token": "unexpected tab, @, ` or %; indent with spaces, and quote a string that begins with one of these",
	"found unexpected end of stream":              "a quoted string that begins here or before does not end",
	"did not find expected key":                   "a key is expected here or in the next lines; are the keys of this section indented alike?",
	"control characters are not allowed":          "control characters; is it a text file?",
	"invalid trailing UTF-8 octet":                "not UTF-8; is it a text file?",
	"invalid leading UTF-8 octet":                 "not UTF-8; is it a text file?",
	"incomplete UTF-8 octet sequence":             "not UTF-8; is it a text file?",
}

// parse returns the root of a document; nil if it is empty or not YAML.
func (r *reader) parse(data []byte) *yaml.Node {
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		text := err.Error()
		line := 0
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = text[len(m[0]):]
		}
		if strings.Contains(text, "anchor") { // it is quoted, and may be a password
			text = "a word that begins with * or & is special in YAML; quote it"
		}
		if said := inOtherWords[text]; said != "" {
			text = said
		}
		r.say(line, "", "not YAML: %s", text)
		return nil
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		r.say(more.Line, "", "a second document begins here; a file has one")
		return nil
	}
	return doc.Content[0]
}

// take reads node into v, which has the value of the flags or the default.
func (r *reader) take(n *yaml.Node, path string, v reflect.Value) {
	r.lines[path] = n.Line
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.say(n.Line, path, "anchors and aliases are not supported; use a profile for common settings")
	case n.Style&yaml.TaggedStyle != 0:
		r.say(n.Line, path, "tags are not supported; quote a string that begins with !")
	case isScalar(v.Type()):
		r.leaves = append(r.leaves, path)
		r.scalar(n, path, v)
	case v.Kind() == reflect.Slice:
		r.list(n, path, v)
	case v.Kind() == reflect.Map:
		r.texts(n, path, v)
	default:
		r.section(n, path, v)
	}
}

func (r *reader) section(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return // everything below the key is a comment
	}
	if n.Kind != yaml.MappingNode {
		r.say(n.Line, path, "want a section of keys and values, not %s", nodeKind(n))
		return
	}
	if v.Type() == reflect.TypeFor[healer.DragonPolicy]() {
		r.sections[path] = n
	}
	fields := fieldsOf(v)
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.say(key.Line, path, "want a key, not %s", nodeKind(key))
			continue
		}
		if first := seen[key.Value]; first > 0 {
			r.say(key.Line, path, "duplicate key %s; the first is in line %d", shown(key.Value), first)
			continue
		}
		seen[key.Value] = key.Line
		field, known := fields[key.Value]
		if !known {
			r.say(key.Line, path, "unknown key %s; %s", shown(key.Value), suggest(key.Value, fields))
			continue
		}
		r.take(value, join(path, key.Value), field)
	}
}

// texts reads a section whose keys are names of the operator's own, and whose values are strings.
func (r *reader) texts(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		r.say(n.Line, path, "want a section of names and values, not %s", nodeKind(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], reflect.New(v.Type().Elem()).Elem()
		if v.MapIndex(reflect.ValueOf(name.Value)).IsValid() {
			r.say(name.Line, path, "duplicate name %s", shown(name.Value))
			continue
		}
		r.take(n.Content[i+1], join(path, name.Value), value)
		v.SetMapIndex(reflect.ValueOf(name.Value), value)
	}
}

func (r *reader) list(n *yaml.Node, path string, v reflect.Value) {
	items := n.Content
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		r.say(n.Line, path, "no value; leave the key out, or write [] for none")
		return
	case n.Kind == yaml.ScalarNode && isScalar(v.Type().Elem()):
		items = []*yaml.Node{n} // a list of one needs no brackets
	case n.Kind != yaml.SequenceNode:
		r.say(n.Line, path, "want a list, not %s", nodeKind(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	leaves := r.leaves
	for i, item := range items {
		r.take(item, fmt.Sprintf("%s[%d]", path, i), list.Index(i))
	}
	if isScalar(v.Type().Elem()) {
		r.leaves = append(leaves, path) // such a list is one value
	}
	v.Set(list)
}

func (r *reader) scalar(n *yaml.Node, path string, v reflect.Value) {
	k := kindAt(path, v.Type())
	switch {
	case n.Kind != yaml.ScalarNode:
		r.say(n.Line, path, "want %s, not %s", k.wants, nodeKind(n))
	case n.ShortTag() == "!!null":
		r.say(n.Line, path, "no value; want %s, or leave the key out", k.wants)
	default:
		// A quoted 5 is a number where a number belongs, and a plain one is a string.
		if err := assign(n.Value, path, v); err != nil {
			r.say(n.Line, path, "%s", err)
		}
	}
}

func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return "a single value"
}

func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		if key := keyOf(v.Type().Field(i)); key != "" {
			fields[key] = v.Field(i)
		}
	}
	return fields
}

// keyOf is the key of a field; empty: it has none.
func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if !f.IsExported() || key == "-" {
		return ""
	}
	return key
}

// shown quotes a value of the file, cut where it is long.
func shown(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

// suggest names the known key that is most similar to a wrong one, or all keys.
func suggest(wrong string, fields map[string]reflect.Value) string {
	var known []string
	for k := range fields {
		known = append(known, k)
	}
	slices.Sort(known)
	if best := Nearest(wrong, known); best != "" {
		return "did you mean " + best + "?"
	}
	return "the keys are " + strings.Join(known, ", ")
}

// Nearest returns the word that is most similar to wrong; empty: none is similar.
func Nearest(wrong string, words []string) string {
	best, least := "", max(1, len(wrong)/2)+1
	if len(wrong) > 60 {
		return ""
	}
	for _, w := range words {
		if d := edlib.OSADamerauLevenshteinDistance(strings.ToLower(wrong), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}
