package cli

import (
	"cmp"
	"encoding/json"
	"io"
	"strings"
	"unicode"
)

// Plain is s, cut, and without what could play tricks on a terminal.
func Plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func WriteJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func Dashed(s string) string { return cmp.Or(Plain(s, 64), "-") }

// Row makes a line of the table. What a dragon says must not play tricks on it.
func Row(cells ...string) string {
	for i, c := range cells {
		cells[i] = cmp.Or(Plain(c, 80), "-")
	}
	return strings.Join(cells, "\t")
}
