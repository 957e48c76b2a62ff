package dragontest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// FleetConfig describes a fleet. The zero value is one T1 on 127.10.0.1.
type FleetConfig struct {
	Count int // dragons; default 1
	// Specs describes dragon i; default a T1 of its own. Where it leaves Seed, and
	// the address in Network, empty, the fleet fills them in, and so gives each its MAC.
	Specs func(i int) Spec

	Strangers []StrangerKind // at the addresses after the dragons'

	Prefix netip.Prefix // of the addresses, within 127.0.0.0/8; default 127.10.0.0/16
	Port   uint16       // the same on all; default any that is free, 80 in memory

	// InMemory makes a network without sockets that only DialContext reaches. Made
	// inside a testing/synctest bubble, the fleet lives by the bubble's clock.
	InMemory bool
	// Silent makes addresses without a host not answer at all, as on a real network
	// without a neighbour, where they would refuse otherwise. In memory only.
	Silent bool
}

// Fleet is many dragons, each on its own address of loopback, all on one port.
type Fleet struct {
	config FleetConfig
	port   uint16
	server *hostServer
	memory *exchange // nil where there are sockets

	dragons   []*Dragon
	strangers []*Stranger

	mu     sync.Mutex
	byAddr map[netip.Addr]host
	doors  map[netip.Addr]*door
	addrs  []netip.Addr // of the dragons, then of the strangers
	dials  map[netip.Addr]int
}

// NewFleet makes a fleet. The caller closes it.
func NewFleet(c FleetConfig) (*Fleet, error) {
	if c.Count == 0 {
		c.Count = 1
	}
	if c.Prefix == (netip.Prefix{}) {
		c.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 10, 0, 0}), 16)
	}
	c.Prefix = c.Prefix.Masked()
	if err := loopback(c.Prefix.Addr()); err != nil {
		return nil, err
	}
	if c.Prefix.Bits() < 8 {
		return nil, fmt.Errorf("dragontest: %v is not within 127.0.0.0/8", c.Prefix)
	}
	hosts := c.Count + len(c.Strangers)
	if room := 1<<(32-c.Prefix.Bits()) - 2; hosts > room {
		return nil, fmt.Errorf("dragontest: %d hosts do not fit into %v", hosts, c.Prefix)
	}

	h := &Fleet{
		config: c,
		byAddr: make(map[netip.Addr]host, hosts), doors: make(map[netip.Addr]*door),
		dials: make(map[netip.Addr]int),
	}
	h.server = newHostServer(h.lives)
	addr := c.Prefix.Addr()
	for i := range c.Count {
		addr = addr.Next()
		var spec Spec
		if c.Specs != nil {
			spec = c.Specs(i)
		} else {
			// They were not all switched on at once: that would be a power cut.
			spec.Uptime = 73*time.Hour + 2*time.Minute + time.Duration(i%97)*41*time.Minute
		}
		if spec.Seed == 0 {
			spec.Seed = uint64(i) + 1
		}
		spec.Network.IPAddress = cmp.Or(spec.Network.IPAddress, addr.String())
		d := New(spec)
		h.dragons = append(h.dragons, d)
		h.addrs = append(h.addrs, addr)
		h.byAddr[addr] = d
	}
	for _, kind := range c.Strangers {
		addr = addr.Next()
		s := newStranger(kind)
		h.strangers = append(h.strangers, s)
		h.addrs = append(h.addrs, addr)
		h.byAddr[addr] = s
	}
	if c.InMemory {
		h.port = c.Port
		if h.port == 0 {
			h.port = 80
		}
		h.memory = &exchange{conns: make(chan net.Conn), closed: h.server.closed}
		h.server.serve(h.memory)
		return h, nil
	}
	if err := h.listen(); err != nil {
		return nil, err
	}
	return h, nil
}

// listen opens all listeners on one port. A port that is free on the first address may
// be taken on another, so that a few are tried.
func (h *Fleet) listen() error {
	var err error
	for range 5 {
		if err = h.listenOn(h.config.Port); err == nil {
			for _, o := range h.doors {
				h.server.serve(o)
			}
			return nil
		}
		for _, o := range h.doors {
			_ = o.Close()
		}
		clear(h.doors)
		if h.config.Port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	h.server.close()
	return err
}

func (h *Fleet) listenOn(port uint16) error {
	for _, addr := range h.addrs {
		o, err := h.server.openDoor(h.byAddr[addr], netip.AddrPortFrom(addr, port))
		if err != nil {
			return err
		}
		h.doors[addr] = o
		port = netip.MustParseAddrPort(o.addr).Port()
	}
	h.port = port
	return nil
}

// Close ends the fleet with all its connections and waits for its goroutines.
func (h *Fleet) Close() {
	for _, d := range h.dragons {
		d.Close()
	}
	for _, s := range h.strangers {
		s.Close()
	}
	h.server.close()
}

// Len returns the number of dragons.
func (h *Fleet) Len() int { return len(h.dragons) }

// Dragon returns dragon i.
func (h *Fleet) Dragon(i int) *Dragon { return h.dragons[i] }

// Dragons returns all dragons in order.
func (h *Fleet) Dragons() []*Dragon { return slices.Clone(h.dragons) }

// Strangers returns the hosts that are not dragons, in order.
func (h *Fleet) Strangers() []*Stranger { return slices.Clone(h.strangers) }

// Port returns the port of all hosts.
func (h *Fleet) Port() uint16 { return h.port }

// Addr returns the host:port of dragon i.
func (h *Fleet) Addr(i int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return netip.AddrPortFrom(h.addrs[i], h.port).String()
}

// Host returns the address of dragon i.
func (h *Fleet) Host(i int) netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addrs[i]
}

// StrangerAddr returns the host:port of stranger i.
func (h *Fleet) StrangerAddr(i int) string { return h.Addr(len(h.dragons) + i) }

// Networks returns the smallest network that holds all hosts at an address that a
// scan looks at, neither its first nor its last.
func (h *Fleet) Networks() []netip.Prefix {
	h.mu.Lock()
	defer h.mu.Unlock()
	bits := 30
	for ; bits > h.config.Prefix.Bits(); bits-- {
		p, err := h.config.Prefix.Addr().Prefix(bits)
		if err == nil && !slices.ContainsFunc(h.addrs, func(a netip.Addr) bool { return !p.Contains(a) || !p.Contains(a.Next()) }) {
			break
		}
	}
	return []netip.Prefix{netip.PrefixFrom(h.config.Prefix.Addr(), bits)}
}

// Move gives dragon i another address, as a new lease does. The address must be
// free or that of a dragon whose address is then free; see Swap for an exchange.
func (h *Fleet) Move(i int, to netip.Addr) error {
	if err := loopback(to); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byAddr[to] != nil {
		return fmt.Errorf("dragontest: %v is taken", to)
	}
	if h.memory == nil {
		o, err := h.openFreed(h.dragons[i], netip.AddrPortFrom(to, h.port))
		if err != nil {
			return err
		}
		_ = h.doors[h.addrs[i]].Close()
		delete(h.doors, h.addrs[i])
		h.doors[to] = o
		h.server.serve(o)
	}
	delete(h.byAddr, h.addrs[i])
	h.byAddr[to] = h.dragons[i]
	h.addrs[i] = to
	h.dragons[i].moved(to)
	return nil
}

// openFreed listens at an address that another host may just have left: the kernel frees it
// when the last Accept there has returned, a little after Close.
func (h *Fleet) openFreed(at host, addr netip.AddrPort) (o *door, err error) {
	for range 400 {
		if o, err = h.server.openDoor(at, addr); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	return o, err
}

// Swap exchanges the addresses of two dragons.
func (h *Fleet) Swap(i, j int) error {
	free := h.config.Prefix.Addr()
	a, b := h.Host(i), h.Host(j)
	return errors.Join(h.Move(i, free), h.Move(j, a), h.Move(i, b))
}

// lives reports whether a host is still at an address. The connections that it had
// at an old one die with the next request.
func (h *Fleet) lives(at host, addr netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byAddr[addr] == at
}

// moved makes the dragon report its new address.
func (d *Dragon) moved(to netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.advance()
	d.state.network.IPAddress = to.String()
}

// DialContext connects to a host of the fleet, for http.Transport.DialContext and
// for code that dials itself. It never leaves loopback: an address that is not
// within 127.0.0.0/8 is an error.
func (h *Fleet) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return nil, err
	}
	if err := loopback(addr); err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	to := netip.AddrPortFrom(addr, uint16(number))

	h.mu.Lock()
	h.dials[addr]++
	at := h.byAddr[addr]
	h.mu.Unlock()
	if h.memory == nil {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, address)
	}
	switch {
	case at != nil && to.Port() == h.port:
		return h.memory.dial(ctx, h.server, at, to)
	case at == nil && h.config.Silent:
		return silence(ctx, to)
	}
	return nil, dialError(to, os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

// Dials returns how often DialContext was asked for each address, also for those
// without a host.
func (h *Fleet) Dials() map[netip.Addr]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.dials)
}

// Mixed describes dragon i of a fleet in which all models take turns.
func Mixed(i int) Spec {
	all := Models()
	return Spec{Model: all[i%len(all)].Key, Seed: uint64(i) + 1}
}
