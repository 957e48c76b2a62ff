package dragon

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A device's JSON is read token by token and field by field: one unreadable field must
// not cost the others, the same field is an int, a float or a string from one poll to the
// next, and unknown fields are not kept.

// field says how one key of an object is read.
type field[T any] struct {
	key  string
	read func(*reader, *T) bool // false: the field was there and unreadable
	must string                 // the name of a requirement that this key meets
}

// always marks a field that every firmware sends: its absence is reported.
func (f field[T]) always() field[T] {
	f.must = f.key
	return f
}

// instead marks a field that stands for the required field key.
func (f field[T]) instead(key string) field[T] {
	f.must = key
	return f
}

// fields is the table of an object; other keys are skipped.
type fields[T any] struct {
	byKey map[string]int
	rows  []field[T]
	musts []string
	meets []uint64                // by row: the bits of musts that it meets
	alias func(key []byte) string // of a key that is not in the table; may be nil
}

func table[T any](rows ...field[T]) fields[T] {
	f := fields[T]{byKey: make(map[string]int, len(rows)), rows: rows, meets: make([]uint64, len(rows))}
	for i, row := range rows {
		f.byKey[row.key] = i
		if row.must == "" {
			continue
		}
		at := slices.Index(f.musts, row.must)
		if at < 0 {
			at = len(f.musts)
			f.musts = append(f.musts, row.must)
		}
		f.meets[i] = 1 << at
	}
	return f
}

func (f *fields[T]) keys() []string {
	keys := make([]string, len(f.rows))
	for i := range f.rows {
		keys[i] = f.rows[i].key
	}
	return keys
}

func (f *fields[T]) lookup(key []byte) (int, bool) {
	i, ok := f.byKey[string(key)]
	if !ok && f.alias != nil {
		i, ok = f.byKey[f.alias(key)]
	}
	return i, ok
}

// reader walks through the JSON of one answer.
type reader struct {
	dec        *jsontext.Decoder
	err        error  // of the syntax: it ends the walk
	path       string // of the object being read, e.g. "DEVS."
	unreadable []string
	reply      reply
	known      int // how many known fields were seen
}

// reply has the fields that every answer of the API may have beside its data.
type reply struct {
	success, said bool // said: success was there
	message       string
	token         string
}

func newReader(body []byte) *reader {
	return &reader{dec: jsontext.NewDecoder(bytes.NewBuffer(body),
		jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))}
}

var (
	errNoObject = errors.New("not a JSON object")
	errEmpty    = errors.New("empty body")
)

// maxDepth is how deep an answer may be nested; the deepest that is known has five levels.
// What is kept or shown of an answer may be indented.
const maxDepth = 32

// tooDeep reports whether JSON is nested deeper than maxDepth.
func tooDeep(body []byte) bool {
	if bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) <= maxDepth {
		return false // as nearly every answer; to count is much faster than to walk
	}
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// readAnswer reads a whole answer into t. The error is one of syntax.
func readAnswer[T any](body []byte, f *fields[T], t *T) (*reader, error) {
	r := newReader(body)
	if tooDeep(body) {
		return r, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	if r.dec.PeekKind() != '{' {
		if len(bytes.TrimSpace(body)) == 0 {
			return r, errEmpty
		}
		return r, errNoObject
	}
	readObject(r, "", f, t)
	return r, r.err
}

var nanOrString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?\b(?i:nan|inf|infinity)\b`)

// quoteNaN makes strings of NaN and infinities, which C and Python write as numbers and JSON
// does not know: they are unreadable then, and cost no other field.
func quoteNaN(body []byte) []byte {
	return nanOrString.ReplaceAllFunc(body, func(word []byte) []byte {
		if word[0] == '"' {
			return word
		}
		return slices.Concat([]byte{'"'}, word, []byte{'"'})
	})
}

// readObject reads an object by its table. PHP writes an empty object as [].
func readObject[T any](r *reader, name string, f *fields[T], t *T) bool {
	switch r.dec.PeekKind() {
	case '{':
	case '[':
		empty := r.skip()
		if name != "" && empty {
			r.missing(r.path+name+".", f.musts, 0)
		}
		return empty
	default:
		r.skip()
		return false
	}
	outer := r.path
	top := name == "" && outer == ""
	if !top {
		r.path = pathOf(outer, name)
	}
	r.token()
	var met uint64
	for r.err == nil && r.dec.PeekKind() != '}' {
		key := r.key()
		if r.err != nil {
			break
		}
		if i, ok := f.lookup(key); ok {
			r.known++
			met |= f.meets[i]
			if !f.rows[i].read(r, t) && r.err == nil {
				r.unreadableField(f.rows[i].key)
			}
		} else if !top || !r.replyField(key) {
			r.skip()
		}
	}
	r.token()
	if r.err == nil && (!top || r.reply.success || !r.reply.said) {
		r.missing(r.path, f.musts, met)
	}
	r.path = outer
	return true
}

// pathOf avoids concatenation on hot paths.
func pathOf(outer, name string) string {
	if outer == "" {
		switch name {
		case "DEVS":
			return "DEVS."
		case "POOLS":
			return "POOLS."
		}
	}
	return outer + name + "."
}

func (r *reader) replyField(key []byte) bool {
	switch string(key) {
	case "success":
		v, ok := r.flag()
		r.reply.said, r.reply.success = ok, ok && v
	case "message", "msg":
		r.reply.message, _ = r.text(maxText)
	case "token":
		r.reply.token, _ = r.text(maxText)
	default:
		return false
	}
	return true
}

// elements calls each for the elements of a list: an array, or the object that PHP
// makes of a list with a hole, whose keys it passes. At most limit are read; more,
// or something else than a list, is unreadable.
func (r *reader) elements(limit int, each func(i int, key string)) bool {
	var closing jsontext.Kind
	switch r.dec.PeekKind() {
	case '[':
		closing = ']'
	case '{':
		closing = '}'
	case 'n':
		r.skip()
		return true
	default:
		r.skip()
		return false
	}
	r.token()
	i := 0
	for ; r.err == nil && r.dec.PeekKind() != closing; i++ {
		key := ""
		if closing == '}' {
			key = string(cut(r.key(), maxText))
		}
		if r.err != nil {
			break
		}
		if i < limit {
			each(i, key)
		} else {
			r.skip()
		}
	}
	r.token()
	return i <= limit
}

// unreadableField notes a field of the object being read. A name is noted once.
func (r *reader) unreadableField(key string) { r.note(r.path + key) }

func (r *reader) note(name string) { r.unreadable = note(r.unreadable, name) }

func (r *reader) missing(path string, musts []string, met uint64) {
	if met == 1<<len(musts)-1 {
		return
	}
	for i, must := range musts {
		if met&(1<<i) == 0 {
			r.note(path + must)
		}
	}
}

func (r *reader) token() {
	if r.err == nil {
		_, r.err = r.dec.ReadToken()
	}
}

// key reads a key. It is valid until the next read.
func (r *reader) key() []byte {
	v, err := r.dec.ReadValue()
	if err != nil {
		r.err = err
		return nil
	}
	return unquote(v)
}

// scalar reads a value; of an object or array only the kind.
func (r *reader) scalar() (jsontext.Kind, []byte) {
	kind := r.dec.PeekKind()
	if kind == '{' || kind == '[' {
		r.skip()
		return kind, nil
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		r.err = err
		return 0, nil
	}
	if kind == '"' {
		return kind, unquote(v)
	}
	return kind, v
}

// skip skips a value and reports whether it was an empty array.
func (r *reader) skip() (emptyArray bool) {
	if r.err != nil {
		return false
	}
	if r.dec.PeekKind() != '[' {
		r.err = r.dec.SkipValue()
		return false
	}
	r.token()
	emptyArray = r.dec.PeekKind() == ']'
	for r.err == nil && r.dec.PeekKind() != ']' {
		r.err = r.dec.SkipValue()
	}
	r.token()
	return emptyArray && r.err == nil
}

// unquote returns the content of a JSON string, without a copy where nothing is escaped.
func unquote(v []byte) []byte {
	if len(v) >= 2 && bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	out, err := jsontext.AppendUnquote(nil, v)
	if err != nil && len(out) == 0 {
		return nil // invalid UTF-8 is an error here too, but leaves the text
	}
	return out
}

// text reads a text of at most limit bytes; a number counts as its digits, null as none.
func (r *reader) text(limit int) (string, bool) {
	kind, v := r.scalar()
	switch kind {
	case '"', '0':
		return clean(v, limit), true
	case 'n':
		return "", true
	}
	return "", false
}

// flag reads a boolean: true, "true", "on", 1 or their opposites.
func (r *reader) flag() (value, ok bool) {
	kind, v := r.scalar()
	switch kind {
	case 't':
		return true, true
	case 'f':
		return false, true
	case '"', '0':
		switch strings.ToLower(string(v)) {
		case "true", "1", "y", "yes", "on":
			return true, true
		case "false", "0", "n", "no", "off", "":
			return false, true
		}
	}
	return false, false
}

// number reads a number, also from a string. Null is unknown and makes sense.
func (r *reader) number(n *Number, is meaning) bool {
	kind, v := r.scalar()
	*n = Number{}
	switch kind {
	case 'n':
		return true
	case '0':
	case '"':
		v = bytes.TrimSpace(v)
		for _, c := range v { // ParseFloat also takes hex, inf and nan
			if !('0' <= c && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E') {
				return false
			}
		}
	default:
		return false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.Abs(f) > largest {
		return false
	}
	var ok bool
	*n, ok = is(f)
	return ok
}

// largest is more than any device can count, and small enough that a change of unit stays
// finite.
const largest = 1e30

// meaning converts a plain number to its base unit; false if the value is impossible.
type meaning func(float64) (Number, bool)

// amount is a count or a measure that cannot be negative.
func amount(v float64) (Number, bool) {
	if v < 0 {
		return Number{}, false
	}
	return Known(v), true
}

// age is a time in seconds since something began. None has run for a century, and a device that
// says so has no clock.
func age(v float64) (Number, bool) {
	if v > 100*365*24*3600 {
		return Number{}, false
	}
	return amount(v)
}

// whole is an index, a code or a level.
func whole(v float64) (Number, bool) {
	if v < 0 || v != math.Trunc(v) {
		return Number{}, false
	}
	return Known(v), true
}

// celsius is a temperature. The T1's driver gives 9999 until its first valid
// reading, and broken sensors of the B29 and B52 give absurd or negative ones.
func celsius(v float64) (Number, bool) {
	if v < -40 || v > 200 {
		return Number{}, false
	}
	return Known(v), true
}

// percent is a share of hundred, as a ratio.
func percent(v float64) (Number, bool) {
	if v < 0 || v > 100 {
		return Number{}, false
	}
	return Known(v / 100), true
}

// moment is a time in Unix seconds; 0 means never.
func moment(v float64) (Number, bool) {
	if v == 0 {
		return Number{}, true
	}
	return amount(v)
}

// kilobytes are kB, in bytes.
func kilobytes(v float64) (Number, bool) { return amount(v * 1024) }

// The rows of a table: the device's key, what its value means, where it goes.

func number[T any](key string, is meaning, at func(*T) *Number) field[T] {
	return own(key, func(r *reader, t *T) bool { return r.number(at(t), is) })
}

func text[T any](key string, at func(*T) *string) field[T] {
	return own(key, func(r *reader, t *T) (ok bool) {
		*at(t), ok = r.text(maxText)
		return ok
	})
}

// flag is a boolean as 1 or 0.
func flag[T any](key string, at func(*T) *Number) field[T] {
	return own(key, func(r *reader, t *T) bool {
		v, ok := r.flag()
		*at(t) = Number{}
		if ok {
			*at(t) = Bool(v)
		}
		return ok
	})
}

func object[T, U any](key string, f *fields[U], at func(*T) *U) field[T] {
	return own(key, func(r *reader, t *T) bool { return readObject(r, key, f, at(t)) })
}

// list is a list of at most limit objects. One that is no object is left out.
func list[T, U any](key string, limit int, f *fields[U], at func(*T) *[]U) field[T] {
	return own(key, func(r *reader, t *T) bool {
		items := at(t)
		*items = (*items)[:0] // should the key come twice
		return r.elements(limit, func(int, string) {
			*items = append(*items, *new(U))
			last := len(*items) - 1
			if !readObject(r, key, f, &(*items)[last]) {
				*items = (*items)[:last]
				r.unreadableField(key)
			}
		})
	})
}

func own[T any](key string, read func(*reader, *T) bool) field[T] {
	return field[T]{key: key, read: read}
}
