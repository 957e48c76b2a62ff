package config

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/alecthomas/kingpin/v2"
)

// flagger is a kingpin application or command.
type flagger interface {
	Flag(name, help string) *kingpin.FlagClause
}

// Flag adds a flag with a parser. An error of it begins with the flag, unlike those of kingpin's
// own kinds of flags.
func Flag[T any](cmd flagger, name, help string, to *T, parse func(string) (T, error)) *kingpin.FlagClause {
	clause := cmd.Flag(name, help)
	clause.SetValue(&value[T]{name: "--" + name, parse: parse, take: func(v T) { *to = v }})
	return clause
}

// Text parses a string. No name and no path has control characters; a template or a query has lines.
func Text(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r) }) {
		return "", fmt.Errorf("invalid value %s: want a string without control characters", shown(s))
	}
	return s, nil
}

type value[T any] struct {
	name  string
	many  bool
	parse func(string) (T, error)
	take  func(T)
}

func (v *value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	v.take(parsed)
	return nil
}

func (v *value[T]) String() string     { return "" }
func (v *value[T]) IsCumulative() bool { return v.many }
