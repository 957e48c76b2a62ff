package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
)

// Sites has the site of each address.
type Sites struct {
	networks []Network // the narrowest first
	named    []namedSite
}

type namedSite struct {
	ip   netip.Addr
	port string // empty: the usual one
	site string
}

// Of returns the site of an address, host or host:port: that of the static dragon with this
// address, else that of the narrowest network with it, or the network's CIDR where it has no
// site. Empty: the address is in no network.
func (s *Sites) Of(address string) string {
	a, err := addressOf(address)
	if err != nil {
		return ""
	}
	if site := s.ofNamed(a, portOf(address)); site != "" {
		return site
	}
	around := slices.DeleteFunc(slices.Clone(s.networks), func(n Network) bool { return !n.CIDR.Contains(a) })
	if len(around) == 0 {
		return ""
	}
	// Networks behind one address may differ in their ports alone.
	port, _ := strconv.ParseUint(cmp.Or(portOf(address), "80"), 10, 16)
	i := slices.IndexFunc(around, func(n Network) bool { return len(n.Ports) == 0 || n.hasPort(uint16(port)) })
	n := around[max(i, 0)]
	return cmp.Or(n.Site, n.CIDR.String())
}

func (n *Network) hasPort(port uint16) bool {
	return slices.ContainsFunc(n.Ports, func(p discovery.PortRange) bool { return p.First <= port && port <= p.Last })
}

// ofNamed returns the site of the static dragon at an address; if none has this port, the one
// site of all static dragons there.
func (s *Sites) ofNamed(a netip.Addr, port string) string {
	var sites []string
	for _, n := range s.named {
		if n.ip == a && n.port == port {
			return n.site
		}
		if n.ip == a && !slices.Contains(sites, n.site) {
			sites = append(sites, n.site)
		}
	}
	if len(sites) == 1 {
		return sites[0]
	}
	return ""
}

// adoptSites checks networks and static dragons, and returns the names of the sites.
func (c *Config) adoptSites(r *reader) (names []string) {
	networks, dragons := c.Networks, c.Dragons
	c.Networks, c.Dragons, c.Sites = nil, nil, Sites{}
	named := func(path, site string) {
		if r.has(path+".site") && (site == "" || len(site) > 100 || strings.TrimSpace(site) != site || strings.ContainsFunc(site, unprintable)) {
			r.at(path+".site", "invalid name %s: want 1 to 100 letters", shown(site))
		}
		if site != "" && !slices.Contains(names, site) {
			names = append(names, site)
		}
	}
	for i, n := range networks {
		path := fmt.Sprintf("networks[%d]", i)
		if !n.CIDR.IsValid() {
			if !r.has(path + ".cidr") {
				r.at(path, "has no cidr")
			}
			continue
		}
		if slices.Contains(n.Ports, discovery.PortRange{}) {
			continue // was reported
		}
		if err := n.searched().Check(); err != nil {
			r.at(path, "%s", err)
			continue
		}
		if j := slices.IndexFunc(networks[:i], func(o Network) bool { return o.searched().Equal(n.searched()) }); j >= 0 && r.has(path) {
			r.at(path+".cidr", "%s is a duplicate of networks[%d]", n.CIDR, j)
			continue
		}
		named(path, n.Site)
		c.Networks = append(c.Networks, n)
		c.Sites.networks = append(c.Sites.networks, n)
	}
	slices.SortStableFunc(c.Sites.networks, func(a, b Network) int { return cmp.Compare(a.CIDR.Size(), b.CIDR.Size()) })
	for i, t := range dragons {
		path := fmt.Sprintf("dragons[%d]", i)
		if t.Address == "" && !r.has(path+".address") {
			if t.MAC == "" {
				r.at(path, "has neither an address nor a mac")
			} else if t.Site != "" {
				r.at(path+".site", "a site needs an address")
			}
			c.Dragons = append(c.Dragons, t)
			continue
		}
		if err := discovery.CheckTarget(t.Address); err != nil {
			r.at(path+".address", "%s", err)
			continue
		}
		if slices.ContainsFunc(c.Dragons, func(o Target) bool { return o.Address == t.Address }) && r.has(path) {
			r.at(path+".address", "%s is a duplicate", t.Address)
			continue
		}
		c.Dragons = append(c.Dragons, t)
		named(path, t.Site)
		if t.Site == "" {
			continue
		}
		ip, err := addressOf(t.Address)
		if err != nil {
			continue // of a host name the scanner knows the address
		}
		n := namedSite{ip, portOf(t.Address), t.Site}
		if i := slices.IndexFunc(c.Sites.named, func(o namedSite) bool { return o.ip == n.ip && o.port == n.port }); i >= 0 && c.Sites.named[i] != n {
			r.at(path+".site", "%s has the site %s already", ip, c.Sites.named[i].site)
			continue
		}
		c.Sites.named = append(c.Sites.named, n)
	}
	return names
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }

// portOf is the port of host:port; empty if there is none.
func portOf(target string) string {
	_, port, _ := net.SplitHostPort(target)
	return port
}

// addressOf is the IP address of host or host:port; an error if the host is a name.
func addressOf(target string) (netip.Addr, error) {
	if host, _, err := net.SplitHostPort(target); err == nil {
		target = host
	}
	a, err := netip.ParseAddr(target)
	return a.Unmap(), err
}
