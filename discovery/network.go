package discovery

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// widest is the shortest prefix that may be scanned: a million addresses. A wider one
// is more likely a slip of the keyboard than a farm, and no scan of it would end
// within a sensible interval.
const widest = 12

// ParseNetwork reads an IPv4 network in CIDR form. The error of a bad one says which
// it is, why, and what would do.
func ParseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			return netip.Prefix{}, fmt.Errorf("network %q has no prefix length; for this one address write %s/32", s, a)
		}
		if a, mask, ok := strings.Cut(s, "/"); ok && strings.Contains(mask, ".") {
			return netip.Prefix{}, fmt.Errorf("network %q has a netmask where a prefix length belongs; write for example %s/24", s, a)
		}
		return netip.Prefix{}, fmt.Errorf("network %q is not an IPv4 network; write for example 10.1.0.0/22", s)
	}
	switch {
	case !p.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("network %q is IPv6, which cannot be scanned address by address and which dragons do not speak; write an IPv4 network, for example 10.1.0.0/22", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("network %q has host bits set; did you mean %s, or the one address %s/32?", s, p.Masked(), p.Addr())
	case p.Bits() < widest:
		return netip.Prefix{}, fmt.Errorf("network %q is wider than /%d; name the networks that dragons live in, for example %s/22", s, widest, p.Addr())
	case p.Addr().IsMulticast() || p.Addr().As4()[0] == 0 || p.Addr().As4()[0] >= 240:
		return netip.Prefix{}, fmt.Errorf("network %q holds no hosts; write the network that the dragons live in, for example 10.1.0.0/22", s)
	}
	return p, nil
}

// span is a run of neighbouring addresses, both ends included. before counts the
// addresses of the spans in front of it.
type span struct {
	first, last uint32
	before      uint64
}

// hosts is the set of addresses that networks hold, each once, in an order that
// spreads neighbours in time. It takes memory for the networks, not for the addresses.
type hosts struct {
	spans  []span
	total  uint64
	stride uint64
}

// expand flattens networks. The network and the broadcast address of a network are
// left out, unless it is a /31 or /32, or another of the networks names them.
func expand(networks []netip.Prefix) hosts {
	var spans []span
	for _, p := range networks {
		first := number(p.Masked().Addr())
		last := first | uint32(1<<(32-p.Bits())-1)
		if p.Bits() < 31 {
			first, last = first+1, last-1
		}
		spans = append(spans, span{first: first, last: last})
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })

	var h hosts
	for _, s := range spans {
		if n := len(h.spans); n > 0 && uint64(s.first) <= uint64(h.spans[n-1].last)+1 {
			h.spans[n-1].last = max(h.spans[n-1].last, s.last)
			continue
		}
		h.spans = append(h.spans, s)
	}
	for i := range h.spans {
		s := &h.spans[i]
		s.before = h.total
		h.total += uint64(s.last-s.first) + 1
	}
	h.stride = stride(h.total)
	return h
}

// stride returns a step that visits all of n places once before it returns to the
// first: n divided by the golden ratio, which keeps successive places as far from each
// other as can be, so that the probes of one moment meet many switches and not one.
func stride(n uint64) uint64 {
	if n < 3 {
		return 1
	}
	s := uint64(float64(n) * 0.6180339887)
	for gcd(s, n) != 1 {
		s++
	}
	return s
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// at returns the address at place i of the scanning order; i may run on beyond the
// total, where the order begins again.
func (h *hosts) at(i uint64) netip.Addr {
	i = i % h.total * h.stride % h.total
	k, found := slices.BinarySearchFunc(h.spans, i, func(s span, i uint64) int { return cmp.Compare(s.before, i) })
	if !found {
		k--
	}
	s := h.spans[k]
	return address(s.first + uint32(i-s.before))
}

// contains reports whether a would be scanned.
func (h *hosts) contains(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	n := number(a)
	return slices.ContainsFunc(h.spans, func(s span) bool { return s.first <= n && n <= s.last })
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
