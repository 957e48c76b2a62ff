package dragon

import (
	"strconv"
	"strings"
)

// parseUptime reads the line that busybox's uptime prints, such as
//
//	22:04:26 up 3 days,  1:02,  load average: 0.07, 0.06, 0.07
//
// where the time since boot is also "10 min", "1:02", "1 day,  3 min", and where a
// count of users may stand before the load.
func parseUptime(line string) (seconds, load1 Number) {
	_, rest, ok := strings.Cut(line, "up ")
	if !ok {
		return
	}
	up, load, _ := strings.Cut(rest, "load average:")
	seconds = sinceBoot(up)
	first, _, _ := strings.Cut(load, ",")
	if v, err := strconv.ParseFloat(strings.TrimSpace(first), 64); err == nil && v >= 0 && v < 1e6 {
		load1 = Known(v)
	}
	return seconds, load1
}

func sinceBoot(up string) Number {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	var total float64
	found := false
	add := func(number string, unit float64) bool {
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 20)
		if err != nil {
			return false
		}
		total += float64(n) * unit
		found = true
		return true
	}
	for part := range strings.SplitSeq(up, ",") {
		part = strings.TrimSpace(part)
		number, unit, spaced := strings.Cut(part, " ")
		ok := true
		if hours, minutes, clock := strings.Cut(part, ":"); clock {
			ok = add(hours, hour) && add(minutes, minute)
		} else if spaced {
			switch strings.TrimSpace(unit) {
			case "user", "users":
			case "week", "weeks":
				ok = add(number, 7*day)
			case "day", "days":
				ok = add(number, day)
			case "hour", "hours":
				ok = add(number, hour)
			case "min", "mins", "minute", "minutes":
				ok = add(number, minute)
			case "sec", "secs", "second", "seconds":
				ok = add(number, 1)
			default:
				ok = false
			}
		}
		if !ok {
			return Number{}
		}
	}
	if !found {
		return Number{}
	}
	seconds, _ := age(total)
	return seconds
}
