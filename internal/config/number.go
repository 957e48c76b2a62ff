package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// ParseDuration reads a duration: bare seconds, as the Python tool takes them, or a Go
// duration, as in 300, 2.5, 5m, 1h30m, or days and weeks: 8d, 1w. A negative one is an error.
func ParseDuration(s string) (time.Duration, error) {
	var d time.Duration
	seconds, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		if d, err = time.ParseDuration(s); err != nil { // it has no days and weeks
			var long model.Duration
			long, err = model.ParseDuration(s)
			d = time.Duration(long)
		}
	// NaN and more than a century are typing errors, and cannot be converted.
	case seconds > -3e9 && seconds < 3e9:
		d = time.Duration(seconds * float64(time.Second))
	default:
		err = strconv.ErrRange
	}
	if err == nil && d < 0 {
		return 0, fmt.Errorf("invalid duration %q: it is negative", s)
	}
	if err != nil {
		return 0, fmt.Errorf("invalid duration %q: want seconds (300) or a duration (5m)", s)
	}
	return d, nil
}

// ParseInterval is ParseDuration for a duration that must not be zero.
func ParseInterval(s string) (time.Duration, error) {
	d, err := ParseDuration(s)
	if err == nil && d == 0 {
		err = fmt.Errorf("invalid duration %q: it must be more than zero", s)
	}
	return d, err
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("invalid port %q: want 1 to 65535", s)
	}
	return uint16(n), nil
}

// Whole parses an integer from least to most.
func Whole(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("invalid value %q: want an integer from %d to %d", s, least, most)
		}
		return n, nil
	}
}

// parseGigahashes returns hashes per second.
func parseGigahashes(s string) (float64, error) {
	g, err := strconv.ParseFloat(s, 64)
	if err != nil || !(g >= 0 && g < 1e9) {
		return 0, fmt.Errorf("invalid hash rate %q: want GH/s, 0 or more", s)
	}
	return g * 1e9, nil
}

// units of hash rates, the longest first where one ends in another.
var units = []struct {
	name string
	size float64
}{{"kH/s", 1e3}, {"MH/s", 1e6}, {"GH/s", 1e9}, {"TH/s", 1e12}, {"PH/s", 1e15}, {"H/s", 1}, {"kSol/s", 1e3}, {"Sol/s", 1}}

// ParseHashrate reads a hash rate with its unit, such as 14.7 TH/s, and returns hashes
// per second. A bare number is refused, because devices, pools and people each mean another unit.
func ParseHashrate(s string) (float64, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil && v >= 0 && v*u.size < 1e21 {
			return v * u.size, nil
		}
		break
	}
	if s == "0" {
		return 0, nil
	}
	return 0, fmt.Errorf("invalid hash rate %s: want a number with its unit, like 14.7 TH/s or 900 GH/s", shown(s))
}

// ParseSpeed reads how many times faster a simulation runs.
func ParseSpeed(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 1 && v <= 1000) {
		return 0, fmt.Errorf("invalid speed %q: want 1 to 1000", s)
	}
	return v, nil
}

// Span writes a duration as the file and people write it.
func Span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
