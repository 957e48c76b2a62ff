package discovery

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// route is a line of the kernel's routing table.
type route struct {
	to       netip.Prefix
	device   string
	attached bool // the hosts are on the device's link; there is no router in between
}

// routing tells which addresses are neighbours. The zero value knows none.
type routing struct {
	routes []route
	own    map[netip.Addr]bool // addresses of this machine
}

// device returns the device whose link has a; false if a is behind a router.
func (r *routing) device(a netip.Addr) (string, bool) {
	if r.own[a] {
		return "", false
	}
	best := route{}
	for _, t := range r.routes {
		if t.to.Contains(a) && (best.device == "" || t.to.Bits() > best.to.Bits()) {
			best = t
		}
	}
	return best.device, best.attached
}

// kernelRouting reads the routes of networks from the main routing table. If it cannot be
// read, as on other systems than Linux, no address counts as a neighbour.
func kernelRouting(networks []Network) *routing {
	r := &routing{own: make(map[netip.Addr]bool)}
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return r
	}
	asks := make(map[string]bool) // devices on which neighbours are asked for
	interfaces, err := net.Interfaces()
	if err != nil {
		return r
	}
	for _, i := range interfaces {
		asks[i.Name] = i.Flags&net.FlagBroadcast != 0
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface went away
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				r.own[p.Addr().Unmap()] = true
			}
		}
	}
	r.routes = slices.DeleteFunc(parseRoutes(table), func(t route) bool {
		return !slices.ContainsFunc(networks, func(n Network) bool { return n.Overlaps(RangeOf(t.to)) })
	})
	for i := range r.routes {
		r.routes[i].attached = r.routes[i].attached && asks[r.routes[i].device]
	}
	return r
}

// parseRoutes reads the form of /proc/net/route. Lines that it does not understand are
// left out.
func parseRoutes(table []byte) []route {
	const (
		up      = 0x1
		gateway = 0x2
		reject  = 0x200
	)
	var routes []route
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		// Iface Destination Gateway Flags RefCnt Use Metric Mask …
		f := strings.Fields(lines.Text())
		if len(f) < 8 {
			continue
		}
		to, err1 := strconv.ParseUint(f[1], 16, 32)
		flags, err2 := strconv.ParseUint(f[3], 16, 16)
		mask, err3 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil || err3 != nil || flags&up == 0 {
			continue
		}
		bits, size := net.IPMask(hostOrder(mask)).Size()
		if size == 0 {
			continue
		}
		routes = append(routes, route{
			to:       netip.PrefixFrom(netip.AddrFrom4([4]byte(hostOrder(to))), bits).Masked(),
			device:   f[0],
			attached: flags&(gateway|reject) == 0,
		})
	}
	return routes
}

// hostOrder returns the bytes of an address that the kernel printed as a number of the
// machine's own byte order.
func hostOrder(n uint64) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
