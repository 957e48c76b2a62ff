package recording

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// The masks work on the text of an answer, not on its meaning: an answer that is no
// JSON, or cut short, must lose its secrets too, and what a decoder would stumble
// over is what a recording is made for.
var (
	secretField = regexp.MustCompile(`(?i)("[^"]*(?:pass|pwd|secret|token|jwt|dna)[^"]*"\s*:\s*")((?:\\.|[^"\\])*)`)
	userField   = regexp.MustCompile(`(?i)("[^"]*(?:user|worker)[^"]*"\s*:\s*")((?:\\.|[^"\\])*)`)
	jwt         = regexp.MustCompile(`eyJ[\w-]{5,}\.[\w-]+\.[\w-]*`)
	userinfo    = regexp.MustCompile(`(:(?:\\?/){2})[^/@\s"\\]+@`)
	mac         = regexp.MustCompile(`(?i)\b((?:[0-9a-f]{2}[:-] ?){3})((?:[0-9a-f]{2}[:-] ?){2}[0-9a-f]{2})\b`)
	ipv4        = regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}\b`)
)

// masker gives the same stand-in for the same original throughout a recording, so
// that what belonged together still does.
type masker struct {
	users, macs, addresses map[string]string
}

func newMasker() *masker {
	return &masker{users: map[string]string{}, macs: map[string]string{}, addresses: map[string]string{}}
}

func (m *masker) mask(s string) string {
	s = jwt.ReplaceAllString(s, "masked")
	s = secretField.ReplaceAllStringFunc(s, func(field string) string {
		parts := secretField.FindStringSubmatch(field)
		if parts[2] == "" || parts[2] == "expired" { // what the device says of a token is no secret
			return field
		}
		return parts[1] + "masked"
	})
	s = userField.ReplaceAllStringFunc(s, func(field string) string {
		parts := userField.FindStringSubmatch(field)
		if parts[2] == "" {
			return field
		}
		return parts[1] + standIn(m.users, parts[2], "user-%d")
	})
	s = userinfo.ReplaceAllString(s, "${1}masked@")
	s = mac.ReplaceAllStringFunc(s, func(whole string) string {
		parts := mac.FindStringSubmatch(whole)
		tail := strings.ToLower(parts[2])
		// The stand-in is written as the original is: blanks, case and separators are
		// among the surprises that a recording is to show.
		n := strings.Map(hexOnly, standIn(m.macs, strings.Map(hexOnly, tail), "%06x"))
		i := 0
		return parts[1] + strings.Map(func(r rune) rune {
			if hexOnly(r) < 0 {
				return r
			}
			i++
			return rune(n[i-1])
		}, parts[2])
	})
	return ipv4.ReplaceAllStringFunc(s, func(a string) string {
		addr, err := netip.ParseAddr(a)
		if err != nil || addr.IsLoopback() || addr.IsUnspecified() || addr.As4()[0] == 255 {
			return a // says nothing about where the dragon is
		}
		return standIn(m.addresses, a, "192.0.2.%d")
	})
}

func hexOnly(r rune) rune {
	switch {
	case r >= '0' && r <= '9', r >= 'a' && r <= 'f', r >= 'A' && r <= 'F':
		return r
	}
	return -1
}

// standIn returns what stands for original, numbered in order of appearance.
func standIn(seen map[string]string, original, format string) string {
	for _, known := range seen {
		if known == original {
			return original // masked already, by an earlier pass over the same text
		}
	}
	if _, ok := seen[original]; !ok {
		seen[original] = fmt.Sprintf(format, len(seen)+1)
	}
	return seen[original]
}
