package discovery

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
)

// How long an address keeps its place in Linux' neighbour table against newcomers.
const (
	// An address that does not answer is asked three times, a second apart
	// (mcast_solicit and retrans_time_ms), and its entry cannot be dropped before. The
	// kernel's timers of that length may each be a sixteenth late.
	silentFor = 3300 * time.Millisecond
	// An entry that was updated in the last five seconds is not dropped either.
	answeredFor = 5 * time.Second
)

// neighbours paces a scan of networks that this machine is attached to by the kernel's
// neighbour table, of which it leaves an eighth to everybody else.
type neighbours struct {
	attached []netip.Prefix
	places   *semaphore.Weighted
}

func newNeighbours(attached func() []netip.Prefix) *neighbours {
	n := &neighbours{}
	if attached != nil {
		n.attached = attached()
		n.places = semaphore.NewWeighted(int64(tableSize() / 8 * 7))
	}
	return n
}

// enter waits for a place for a. It returns nil for an address that needs none.
func (n *neighbours) enter(ctx context.Context, a netip.Addr) (*place, error) {
	for _, p := range n.attached {
		if p.Contains(a) {
			if err := n.places.Acquire(ctx, 1); err != nil {
				return nil, err
			}
			return &place{table: n.places}, nil
		}
	}
	return nil, ctx.Err()
}

// place is one address' place in the neighbour table.
type place struct {
	table *semaphore.Weighted
	since time.Time
}

// tried says that a connect begins: the kernel starts to ask for the address, unless it
// is still asking.
func (p *place) tried() {
	if now := time.Now(); p != nil && now.Sub(p.since) >= silentFor {
		p.since = now
	}
}

// leave gives the place back as soon as the kernel does.
func (p *place) leave(answered bool) {
	if p == nil {
		return
	}
	free := p.since.Add(silentFor)
	if answered {
		free = time.Now().Add(answeredFor)
	}
	time.AfterFunc(time.Until(free), func() { p.table.Release(1) })
}

// tableSize is how many neighbours the kernel keeps. In a container, where it cannot be
// read, it is taken for the default.
func tableSize() int {
	const usual = 1024
	b, err := os.ReadFile("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
	if err != nil {
		return usual
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 8 {
		return usual
	}
	return n
}

// attachedNetworks are the IPv4 networks of this machine's interfaces that find their
// hosts by asking all of them.
func attachedNetworks() []netip.Prefix {
	var attached []netip.Prefix
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagBroadcast == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface went away
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				attached = append(attached, p.Masked())
			}
		}
	}
	return attached
}
