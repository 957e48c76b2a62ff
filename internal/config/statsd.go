package config

import (
	"fmt"
	"strings"
)

// parseStatsdPrefix refuses what would make of a line something else than a name, a
// value and a type.
func parseStatsdPrefix(s string) (string, error) {
	const longest = 100
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-+/", r)
	}
	if len(s) > longest || strings.ContainsFunc(s, odd) {
		return "", fmt.Errorf("%q will not do: want at most %d letters, digits and ._-+/", s, longest)
	}
	return s, nil
}
