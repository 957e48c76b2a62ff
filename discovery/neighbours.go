package discovery

import (
	"context"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
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

// neighbours keeps the scan of attached networks within the kernel's neighbour table,
// of which it leaves an eighth to everybody else.
type neighbours struct {
	routing *routing
	places  *semaphore.Weighted
	arps    map[string]*arp // by device; those that may and need to be asked
	hearing sync.WaitGroup
}

// newNeighbours prepares a scan of hosts. Where they do not fit into the table at once,
// their links are asked directly, if this process may. The error says that it may not.
func newNeighbours(r *routing, h *hosts, table int) (*neighbours, error) {
	n := &neighbours{routing: r, arps: make(map[string]*arp)}
	places := table / 8 * 7
	n.places = semaphore.NewWeighted(int64(places))
	if len(r.routes) == 0 {
		return n, nil
	}
	devices := make(map[string]bool)
	var crowd int
	for i := range h.total {
		if device, ok := r.device(h.at(i).Addr()); ok {
			devices[device] = true
			crowd++
		}
	}
	if crowd <= places {
		return n, nil
	}
	for device := range devices {
		l, err := listenARP(device)
		if err != nil {
			n.close()
			return n, err
		}
		n.arps[device] = l
		n.hearing.Go(l.listen)
	}
	return n, nil
}

// close ends the listening. Addresses are paced by the table from then on.
func (n *neighbours) close() {
	for _, l := range n.arps {
		_ = l.conn.Close() // nothing is lost with it
	}
	n.hearing.Wait()
	clear(n.arps)
}

// arp returns the link on which a can be asked for, nil if there is none.
func (n *neighbours) arp(a netip.Addr) *arp {
	if len(n.arps) == 0 {
		return nil
	}
	device, ok := n.routing.device(a)
	if !ok {
		return nil
	}
	return n.arps[device]
}

// enter waits for a place for a. It returns nil for an address that needs none.
func (n *neighbours) enter(ctx context.Context, a netip.Addr) (*neighSlot, error) {
	if _, ok := n.routing.device(a); !ok {
		return nil, ctx.Err()
	}
	if err := n.places.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return &neighSlot{table: n.places}, nil
}

// neighSlot is one address' place in the neighbour table.
type neighSlot struct {
	table *semaphore.Weighted
	since time.Time
}

// tried says that a connect begins: the kernel starts to ask for the address, unless it
// is still asking.
func (s *neighSlot) tried() {
	if now := time.Now(); s != nil && now.Sub(s.since) >= silentFor {
		s.since = now
	}
}

// leave gives the place back as soon as the kernel does.
func (s *neighSlot) leave(answered bool) {
	if s == nil {
		return
	}
	free := s.since.Add(silentFor)
	if answered {
		free = time.Now().Add(answeredFor)
	}
	time.AfterFunc(time.Until(free), func() { s.table.Release(1) })
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
