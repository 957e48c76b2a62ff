package fleet

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// normalMAC is dragon.ParseMAC; empty for an invalid MAC.
func normalMAC(s string) string {
	mac, _ := dragon.ParseMAC(s)
	return mac
}

// normalAddress brings host or host:port into the one form that is a key: lower
// case, no port where it is 80, IPv6 in brackets. It does not resolve names.
func normalAddress(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = withoutBrackets(s), ""
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	switch {
	case port != "" && port != "80":
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// hostOf returns the host of an address that normalAddress made.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return withoutBrackets(address)
}

// withoutBrackets removes brackets in pairs; a single bracket belongs to an invalid name.
func withoutBrackets(s string) string {
	for len(s) >= 2 && s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	return s
}

// isAddress reports whether something that normalAddress made can be connected to.
func isAddress(address string) bool {
	if _, port, err := net.SplitHostPort(address); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	host := hostOf(address)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && len(host) <= 253 && !strings.ContainsFunc(host, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
	})
}
