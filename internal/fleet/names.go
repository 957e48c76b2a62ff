package fleet

import (
	"net"
	"net/netip"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// normalMAC is dragon.ParseMAC, with nothing for what is no MAC.
func normalMAC(s string) string {
	mac, _ := dragon.ParseMAC(s)
	return mac
}

// normalAddress brings host or host:port into the one form that is a key: lower
// case, no port where it is 80. It does not resolve names.
func normalAddress(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), ""
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	if port == "" || port == "80" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// hostOf returns the host of an address that normalAddress made.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
