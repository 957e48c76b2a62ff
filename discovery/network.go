package discovery

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Network is a set of addresses to scan, with the ports of each.
type Network struct {
	Range
	Ports []PortRange // empty: Config.Port
}

// String is the form that ParseNetwork reads.
func (n Network) String() string {
	if len(n.Ports) == 0 {
		return n.Range.String()
	}
	var ports []string
	for _, p := range n.Ports {
		ports = append(ports, p.String())
	}
	return n.Range.String() + ":" + strings.Join(ports, ",")
}

// Equal reports whether two networks are written alike.
func (n Network) Equal(o Network) bool { return n.Range == o.Range && slices.Equal(n.Ports, o.Ports) }

// Check returns why a network cannot be scanned; nil if it can.
func (n Network) Check() error {
	if err := n.check(); err != nil {
		return err
	}
	ports := uint64(0)
	for _, p := range n.Ports {
		if p.First == 0 || p.Last < p.First {
			return fmt.Errorf("network %s: %s is not a port; write for example 80 or 8101-8120", n.Range, p)
		}
		ports += uint64(p.Last-p.First) + 1
	}
	if n.Size()*max(1, ports) > most {
		return fmt.Errorf("network %s: %d addresses with %d ports each are more than a scan can ask; name fewer", n.Range, n.Size(), ports)
	}
	return nil
}

// ParseNetwork reads a network as the command line has it: a CIDR or first-last, with
// the ports after a colon where they are not the usual one: 192.0.2.7/32:80,8101-8120.
// The error says what is wrong, and how to write it.
func ParseNetwork(s string) (Network, error) {
	hosts, list, hasPorts := strings.Cut(s, ":")
	if strings.Count(s, ":") > 1 { // IPv6
		hosts, hasPorts = s, false
	}
	r, err := ParseRange(hosts)
	if err != nil {
		return Network{}, err
	}
	if !strings.ContainsAny(hosts, "/-") {
		return Network{}, fmt.Errorf("network %q has no prefix length; for this one address write %s/32", s, r.First)
	}
	n := Network{Range: r}
	if hasPorts {
		for text := range strings.SplitSeq(list, ",") {
			p, err := ParsePorts(text)
			if err != nil {
				return Network{}, fmt.Errorf("network %q: %w", s, err)
			}
			n.Ports = append(n.Ports, p)
		}
	}
	return n, n.Check()
}

// Range is a run of IPv4 addresses. The zero value is none.
type Range struct {
	First, Last netip.Addr // both included
	IsCIDR      bool       // a scan leaves out the network and the broadcast address
}

// RangeOf returns the addresses of a prefix.
func RangeOf(p netip.Prefix) Range {
	first := number(p.Masked().Addr())
	return Range{address(first), address(first | uint32(1<<(32-p.Bits())-1)), true}
}

// ParseRange reads a CIDR, first-last, or one address.
func ParseRange(s string) (Range, error) {
	if first, last, ok := strings.Cut(s, "-"); ok {
		from, err1 := netip.ParseAddr(strings.TrimSpace(first))
		to, err2 := netip.ParseAddr(strings.TrimSpace(last))
		if err1 != nil || err2 != nil || !from.Is4() || !to.Is4() {
			return Range{}, fmt.Errorf("range %q is not of two IPv4 addresses; write for example 192.0.2.10-192.0.2.99", s)
		}
		if to.Less(from) {
			return Range{}, fmt.Errorf("range %q ends before it begins; did you mean %s-%s?", s, to, from)
		}
		r := Range{from, to, false}
		return r, r.check()
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		r := Range{a, a, false}
		return r, r.check()
	}
	p, err := ParseCIDR(s)
	if err != nil {
		return Range{}, err
	}
	return RangeOf(p), nil
}

// most is the largest size of a network: a million addresses. A larger one is probably a
// typo, and its scan would take too long.
const (
	widest = 12 // the shortest prefix
	most   = 1 << (32 - widest)
)

// ParseCIDR reads an IPv4 network in CIDR form. The error of a bad one says which
// it is, why, and what to write.
func ParseCIDR(s string) (netip.Prefix, error) {
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
		return netip.Prefix{}, fmt.Errorf("network %q is IPv6, which cannot be scanned address by address and which dragons do not speak; "+
			"write an IPv4 network, for example 10.1.0.0/22", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("network %q has host bits set; did you mean %s, or the one address %s/32?", s, p.Masked(), p.Addr())
	case p.Bits() < widest:
		return netip.Prefix{}, fmt.Errorf("network %q is wider than /%d; name the networks that dragons live in, for example %s/22", s, widest, p.Addr())
	case !isHost(p.Addr()):
		return netip.Prefix{}, fmt.Errorf("network %q holds no hosts; write the network that the dragons live in, for example 10.1.0.0/22", s)
	}
	return p, nil
}

// isHost reports whether an IPv4 address can belong to a host.
func isHost(a netip.Addr) bool {
	return !a.IsMulticast() && a.As4()[0] != 0 && a.As4()[0] < 240
}

func (r Range) check() error {
	switch {
	case !r.IsValid():
		return fmt.Errorf("range %s is not of IPv4 addresses; write for example 192.0.2.10-192.0.2.99", r)
	case r.Size() > most:
		return fmt.Errorf("range %s has %d addresses, more than the %d of a /%d; name the networks that dragons live in", r, r.Size(), most, widest)
	case !isHost(r.First) || !isHost(r.Last):
		return fmt.Errorf("range %s holds no hosts; write the network that the dragons live in, for example 10.1.0.0/22", r)
	}
	return nil
}

// IsValid reports whether the range has addresses.
func (r Range) IsValid() bool { return r.First.Is4() && r.Last.Is4() && !r.Last.Less(r.First) }

// Contains reports whether an address is in the range.
func (r Range) Contains(a netip.Addr) bool {
	return r.IsValid() && a.Is4() && !a.Less(r.First) && !r.Last.Less(a)
}

// Overlaps reports whether two ranges have an address in common.
func (r Range) Overlaps(o Range) bool {
	return r.IsValid() && o.IsValid() && !r.Last.Less(o.First) && !o.Last.Less(r.First)
}

// Size is the number of addresses of a valid range.
func (r Range) Size() uint64 { return uint64(number(r.Last)-number(r.First)) + 1 }

// String is the form that ParseRange reads.
func (r Range) String() string {
	switch {
	case !r.IsValid():
		return "invalid range"
	case r.IsCIDR:
		bits := 32
		for size := r.Size(); size > 1; size /= 2 {
			bits--
		}
		return netip.PrefixFrom(r.First, bits).String()
	case r.First == r.Last:
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// scanned returns the addresses that a scan asks. The network and the broadcast address
// of a CIDR are left out, unless it is a /31 or /32.
func (r Range) scanned() (first, last uint32) {
	first, last = number(r.First), number(r.Last)
	if r.IsCIDR && last-first > 1 {
		return first + 1, last - 1
	}
	return first, last
}

// PortRange is a run of TCP ports, both ends included.
type PortRange struct{ First, Last uint16 }

// ParsePorts reads one port, or first-last.
func ParsePorts(s string) (PortRange, error) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	to, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err1 != nil || err2 != nil || from == 0 || to < from {
		return PortRange{}, fmt.Errorf("%q is not a port; write for example 80 or 8101-8120", s)
	}
	return PortRange{uint16(from), uint16(to)}, nil
}

// String is the form that ParsePorts reads.
func (p PortRange) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// span is a run of neighbouring addresses, both ends included, that are asked at the
// same ports. before counts the endpoints of the spans in front of it.
type span struct {
	first, last uint32
	ports       []uint16 // ascending
	before      uint64
}

// hosts is the set of endpoints that networks hold, each once, in an order that
// spreads neighbours in time. It takes memory for the networks, not for the addresses.
type hosts struct {
	spans  []span
	total  uint64
	stride uint64
}

// expand flattens networks and removes the excluded addresses. An address in several
// networks has the ports of each.
func expand(networks []Network, exclude []Range, usual uint16) hosts {
	var cuts []uint64 // where an answer to the question "which networks hold this address" may change
	for _, n := range networks {
		first, last := n.scanned()
		cuts = append(cuts, uint64(first), uint64(last)+1)
	}
	for _, r := range exclude {
		cuts = append(cuts, uint64(number(r.First)), uint64(number(r.Last))+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)

	var h hosts
	for i := range len(cuts) - 1 {
		s := span{first: uint32(cuts[i]), last: uint32(cuts[i+1] - 1), before: h.total}
		if slices.ContainsFunc(exclude, func(r Range) bool { return r.Contains(address(s.first)) }) {
			continue
		}
		for _, n := range networks {
			if first, last := n.scanned(); first <= s.first && s.last <= last {
				s.ports = append(s.ports, n.ports(usual)...)
			}
		}
		slices.Sort(s.ports)
		s.ports = slices.Compact(s.ports)
		if len(s.ports) == 0 {
			continue
		}
		h.total += s.size()
		h.spans = append(h.spans, s)
	}
	h.stride = stride(h.total)
	return h
}

func (n Network) ports(usual uint16) (ports []uint16) {
	if len(n.Ports) == 0 {
		return []uint16{usual}
	}
	for _, r := range n.Ports {
		for p := int(r.First); p <= int(r.Last); p++ {
			ports = append(ports, uint16(p))
		}
	}
	return ports
}

func (s *span) size() uint64 { return (uint64(s.last-s.first) + 1) * uint64(len(s.ports)) }

// stride returns a step that visits all of n places once before it returns to the first.
// It is n divided by the golden ratio, so that successive places are far apart and
// simultaneous connects meet many switches.
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

// at returns the endpoint at place i of the scanning order; i may run on beyond the
// total, where the order begins again.
func (h *hosts) at(i uint64) netip.AddrPort {
	i = i % h.total * h.stride % h.total
	k, found := slices.BinarySearchFunc(h.spans, i, func(s span, i uint64) int { return cmp.Compare(s.before, i) })
	if !found {
		k--
	}
	s := &h.spans[k]
	i -= s.before
	// The ports of one address are far apart too: one small router forwards them all.
	addresses := uint64(s.last-s.first) + 1
	return netip.AddrPortFrom(address(s.first+uint32(i%addresses)), s.ports[i/addresses])
}

func (h *hosts) ports(a netip.Addr) []uint16 {
	if !a.Is4() {
		return nil
	}
	n := number(a)
	i := slices.IndexFunc(h.spans, func(s span) bool { return s.first <= n && n <= s.last })
	if i < 0 {
		return nil
	}
	return h.spans[i].ports
}

func (h *hosts) contains(e netip.AddrPort) bool { return slices.Contains(h.ports(e.Addr()), e.Port()) }

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
