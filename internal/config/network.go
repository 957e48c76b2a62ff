package config

import (
	"fmt"
	"net/netip"
)

// widestNetwork is the shortest prefix that may be scanned: a /12 is a million
// addresses, more is a typing error.
const widestNetwork = 12

// parseNetwork reads an IPv4 network in CIDR notation.
func parseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			return netip.Prefix{}, fmt.Errorf("%q has no prefix length: for one dragon want %s/32", s, s)
		}
		return netip.Prefix{}, fmt.Errorf("%q is no network: want CIDR notation like 192.0.2.0/24", s)
	}
	switch {
	case !p.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("%q is not IPv4: dragons have IPv4 only", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has host bits set: did you mean %s?", s, p.Masked())
	case p.Bits() < widestNetwork:
		return netip.Prefix{}, fmt.Errorf("%q is too wide to scan: want /%d or narrower, several --network are fine", s, widestNetwork)
	case p.Addr().IsMulticast():
		return netip.Prefix{}, fmt.Errorf("%q is multicast: no dragon lives there", s)
	}
	return p, nil
}
