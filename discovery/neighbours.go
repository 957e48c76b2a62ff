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

// How long an address occupies its entry in Linux' neighbour table.
const (
	// An address that does not answer is asked three times, a second apart
	// (mcast_solicit and retrans_time_ms), and its entry cannot be dropped before. The
	// kernel's timers of that length may each be a sixteenth late.
	silentFor = 3300 * time.Millisecond
	// An entry that was updated in the last five seconds is not dropped either.
	answeredFor = 5 * time.Second
)

// neighbours keeps the scan of attached networks within the kernel's neighbour table, and
// leaves an eighth of it free.
type neighbours struct {
	routing *routing
	places  *semaphore.Weighted
	arps    map[string]*arp // by device; those that may and need to be asked
	hearing sync.WaitGroup
}

// newNeighbours prepares a scan of hosts. If they do not fit into the table, it uses ARP
// directly. The error says that the process may not do that.
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

// close stops using ARP. Then the table paces the addresses.
func (n *neighbours) close() {
	for _, l := range n.arps {
		_ = l.conn.Close() // nothing is lost with it
	}
	n.hearing.Wait()
	clear(n.arps)
}

// arp returns the link for ARP requests to a; nil if there is none.
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

// enter waits for a slot for a. It returns nil if the address needs none.
func (n *neighbours) enter(ctx context.Context, a netip.Addr) (*neighSlot, error) {
	if _, ok := n.routing.device(a); !ok {
		return nil, ctx.Err()
	}
	if err := n.places.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return &neighSlot{table: n.places}, nil
}

// neighSlot is the entry of one address in the neighbour table.
type neighSlot struct {
	table *semaphore.Weighted
	since time.Time
}

// tried notes that a connect begins: the kernel sends ARP requests, unless it already
// does.
func (s *neighSlot) tried() {
	if now := time.Now(); s != nil && now.Sub(s.since) >= silentFor {
		s.since = now
	}
}

// leave frees the slot when the kernel frees the entry.
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

// tableSize is the size of the kernel's neighbour table; the default if it cannot be read,
// as in a container.
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
