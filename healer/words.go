package healer

import (
	"fmt"
	"strings"
	"time"
)

// ShortDuration writes a duration as people say it: 41m, 5h, 2d.
func ShortDuration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// Hashrate writes a rate with its prefix: 14.7 TH/s.
func Hashrate(v float64) string {
	if v < 0 {
		return "unknown"
	}
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	i := 0
	for v >= 1000 && i < len(prefixes)-1 {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.3g %sH/s", v, prefixes[i])
}

// Hashes writes an amount of hashes.
func Hashes(v float64) string { return strings.TrimSuffix(Hashrate(v), "/s") }

// Text makes valid UTF-8 of what a device says.
func Text(s string) string { return strings.ToValidUTF8(s, "�") }
