package dragon

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds every text of a device: they become labels and log lines.
const maxText = 256

// Printable returns s without characters that could deceive a reader: a device's text becomes
// a label, a log line or a cell of a table. Control characters, line separators, characters
// that change the direction of the text, characters without a width, and bytes that are not
// UTF-8 become U+FFFD each.
func Printable(s string) string {
	if isPlain(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isPrintable(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// PrintableLines is Printable for text of several lines: line feeds and tabs stay.
func PrintableLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || isPrintable(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// isPlain reports whether there is nothing but printable ASCII.
func isPlain[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isPrintable(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// clean makes Printable text of at most limit bytes. The words that all dragons say
// need no memory.
func clean(v []byte, limit int) string {
	switch string(v) {
	case "Alive":
		return "Alive"
	case "Dead":
		return "Dead"
	case "Y":
		return "Y"
	case "DT1":
		return "DT1"
	case "HLT":
		return "HLT"
	}
	v = cut(v, limit)
	if isPlain(v) {
		return string(v)
	}
	return string(cut([]byte(Printable(string(v))), limit))
}

// cut shortens v to at most limit bytes, at the end of a character.
func cut(v []byte, limit int) []byte {
	if len(v) <= limit {
		return v
	}
	for limit > 0 && !utf8.RuneStart(v[limit]) {
		limit--
	}
	return v[:limit]
}

// firstLine is for text answers, which are a line.
func firstLine(body []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	return clean(bytes.TrimSpace(line), maxText)
}
