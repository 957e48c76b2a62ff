package dragontest

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// php writes JSON as PHP's json_encode does: no blanks, whole floats as integers,
// slashes and everything outside ASCII escaped.
type php struct {
	b []byte

	plainSlashes bool // JSON_UNESCAPED_SLASHES
	asStrings    bool // the fault NumbersAsStrings
	arrays       bool // the fault PHPArrays

	holes []int // the next key of each open list that is written as an object
}

func (p *php) comma() {
	if n := len(p.b); n > 0 && p.b[n-1] != '{' && p.b[n-1] != '[' && p.b[n-1] != ':' {
		p.b = append(p.b, ',')
	}
}

// key begins a member of an object. The key is one of ours and needs no escaping.
func (p *php) key(k string) {
	p.comma()
	p.b = append(p.b, '"')
	p.b = append(p.b, k...)
	p.b = append(p.b, '"', ':')
}

func (p *php) open()  { p.b = append(p.b, '{') }
func (p *php) close() { p.b = append(p.b, '}') }

// list opens a list of n elements. PHP writes a list that lost an element as an
// object, which is what the fault PHPArrays does to every list that is not empty.
func (p *php) list(n int) {
	if p.arrays && n > 0 {
		p.b = append(p.b, '{')
		p.holes = append(p.holes, 1)
		return
	}
	p.b = append(p.b, '[')
	p.holes = append(p.holes, 0)
}

// item begins an element of the innermost list.
func (p *php) item() {
	p.comma()
	next := &p.holes[len(p.holes)-1]
	if *next == 0 {
		return
	}
	p.b = append(p.b, '"')
	p.b = strconv.AppendInt(p.b, int64(*next), 10)
	p.b = append(p.b, '"', ':')
	*next++
}

func (p *php) endList() {
	last := len(p.holes) - 1
	if p.holes[last] == 0 {
		p.b = append(p.b, ']')
	} else {
		p.b = append(p.b, '}')
	}
	p.holes = p.holes[:last]
}

func (p *php) quoteNumber() {
	if p.asStrings {
		p.b = append(p.b, '"')
	}
}

func (p *php) int(v int64) {
	p.quoteNumber()
	p.b = strconv.AppendInt(p.b, v, 10)
	p.quoteNumber()
}

// float writes v rounded to so many decimals, which is what cgminer printed before
// PHP read it and wrote it again.
func (p *php) float(v float64, decimals int) {
	p.quoteNumber()
	p.b = appendPHPFloat(p.b, roundTo(v, decimals))
	p.quoteNumber()
}

// str writes s. Bytes that are not UTF-8 pass as they are: json_encode would refuse
// them, the fault InvalidUTF8 wants them.
func (p *php) str(s string) { p.b = appendPHPString(p.b, s, p.plainSlashes) }

// decimal is a float with so many decimals.
type decimal struct {
	v        float64
	decimals int
}

// These are values: an object of names and values in turn, a list, and one that no fault
// makes an object.
type (
	object []any
	list   []any
	array  []any
)

func (p *php) value(v any) {
	switch v := v.(type) {
	case int:
		p.int(int64(v))
	case int64:
		p.int(v)
	case decimal:
		p.float(v.v, v.decimals)
	case bool:
		p.b = strconv.AppendBool(p.b, v)
	case string:
		p.str(v)
	case object:
		p.object(v...)
	case list:
		p.list(len(v))
		for _, item := range v {
			p.item()
			p.value(item)
		}
		p.endList()
	case array:
		p.raw("[")
		for _, item := range v {
			p.comma()
			p.value(item)
		}
		p.raw("]")
	}
}

// members writes members of an object: names and values in turn.
func (p *php) members(pairs ...any) {
	for ; len(pairs) >= 2; pairs = pairs[2:] {
		p.key(pairs[0].(string))
		p.value(pairs[1])
	}
}

func (p *php) object(pairs ...any) { p.open(); p.members(pairs...); p.close() }

// success is an answer that begins with success.
func (p *php) success(pairs ...any) { p.object(append(object{"success", true}, pairs...)...) }

func (p *php) failure(message string) { p.object("success", false, "message", message) }

func (p *php) raw(s string) { p.b = append(p.b, s...) }

func roundTo(v float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	if r := math.Round(v*scale) / scale; !math.IsInf(r, 0) && !math.IsNaN(r) {
		return r
	}
	return v
}

// appendPHPFloat prints the shortest decimal that reads back as v
// (serialize_precision -1), with an exponent only where PHP has one.
func appendPHPFloat(b []byte, v float64) []byte {
	if v == 0 {
		return append(b, '0')
	}
	if a := math.Abs(v); a >= 1e-4 && a < 1e17 {
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	// PHP writes 1.0e+25 where Go writes 1e+25.
	text := strconv.FormatFloat(v, 'e', -1, 64)
	if !strings.Contains(text, ".") {
		text = strings.Replace(text, "e", ".0e", 1)
	}
	return append(b, text...)
}

func appendPHPString(b []byte, s string, plainSlashes bool) []byte {
	const hex = "0123456789abcdef"
	unicode := func(r rune) {
		b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
	}
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '/' && !plainSlashes:
				b = append(b, '\\', '/')
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c == '\t':
				b = append(b, '\\', 't')
			case c < 0x20:
				unicode(rune(c))
			default:
				b = append(b, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, c)
		case r > 0xffff:
			r -= 0x10000
			unicode(0xd800 + r>>10)
			unicode(0xdc00 + r&0x3ff)
		default:
			unicode(r)
		}
		i += n
	}
	return append(b, '"')
}
