package dragon

import "strings"

// ParseMAC returns a MAC address in the form a0:b0:45:00:ad:e5. It takes what devices and
// people write: either case, any separators or none, and spaces (a T2 writes "a0:
// b0:45:21:5b: f0"). The all-zero address is valid here; UsableMAC rejects it.
func ParseMAC(s string) (mac string, ok bool) {
	out := make([]byte, 0, 17)
	digits := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'F':
			c += 'a' - 'A'
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
		case c == ':' || c == '-' || c == '.' || c == '_' || c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		default:
			return "", false
		}
		if digits == 12 {
			return "", false
		}
		if digits > 0 && digits%2 == 0 {
			out = append(out, ':')
		}
		out = append(out, c)
		digits++
	}
	if digits != 12 {
		return "", false
	}
	return string(out), true
}

// UsableMAC reports whether mac, as ParseMAC returns it, identifies a dragon: it is not
// empty, all zero, the broadcast address or the default of the board's maker.
func UsableMAC(mac string) bool {
	switch mac {
	case "", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "00:0a:35:00:00:00":
		return false
	}
	return true
}

// WorkerName returns the name of a dragon at its pool: dragon- and the last eight hex
// digits of its MAC address. Without an address it is dragon-unknown.
func WorkerName(mac string) string {
	normal, ok := ParseMAC(mac)
	if !ok {
		return "dragon-unknown"
	}
	hex := strings.ReplaceAll(normal, ":", "")
	return "dragon-" + hex[len(hex)-8:]
}
