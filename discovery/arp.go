package discovery

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/time/rate"
)

// arp sends ARP requests itself, so that only hosts that answer occupy the kernel's
// neighbour table. It needs a packet socket, and so CAP_NET_RAW.
type arp struct {
	conn net.PacketConn
	mac  net.HardwareAddr
	ip   netip.Addr
	pace *rate.Limiter

	mu      sync.Mutex
	waiting map[netip.Addr][]chan struct{} // several where an address is scanned at several ports
}

const (
	etherTypeARP = 0x0806
	arpLength    = 28 // of an ARP message of IPv4 over Ethernet
)

// Every request goes to all hosts of the link, and dragons are small machines: some
// microseconds of each, so that a scan takes a few percent of them. Twice 65,534 requests
// at this rate take 28 s, in 2.2 Mbit/s.
const (
	requestsPerSecond = 4700
	requestsInARow    = 47
)

// listenARP opens the link of a device.
func listenARP(device string) (*arp, error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	conn, err := packet.Listen(i, packet.Datagram, etherTypeARP, nil)
	if err != nil {
		return nil, err
	}
	return newARP(conn, i.HardwareAddr, firstIPv4(i)), nil
}

func newARP(conn net.PacketConn, mac net.HardwareAddr, ip netip.Addr) *arp {
	return &arp{conn: conn, mac: mac, ip: ip, pace: rate.NewLimiter(requestsPerSecond, requestsInARow), waiting: make(map[netip.Addr][]chan struct{})}
}

func firstIPv4(i *net.Interface) netip.Addr {
	addrs, err := i.Addrs()
	if err != nil {
		return netip.IPv4Unspecified()
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr()
		}
	}
	// A request without a sender is a probe (RFC 5227), which is answered as well.
	return netip.IPv4Unspecified()
}

// listen receives answers until the connection is closed.
func (l *arp) listen() {
	buffer := make([]byte, 128)
	for {
		n, _, err := l.conn.ReadFrom(buffer)
		if errors.Is(err, syscall.ENETDOWN) {
			continue // it is said once, and the link may be up again
		}
		if err != nil {
			return
		}
		if a, ok := sender(buffer[:n]); ok {
			l.mu.Lock()
			for _, answered := range l.waiting[a] {
				close(answered)
			}
			delete(l.waiting, a)
			l.mu.Unlock()
		}
	}
}

// present asks for a twice and reports whether it answered. The first request is sent
// at once: its turn has been waited for.
func (l *arp) present(ctx context.Context, a netip.Addr, patience time.Duration) (bool, error) {
	answered := make(chan struct{})
	l.mu.Lock()
	l.waiting[a] = append(l.waiting[a], answered)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.waiting[a] = slices.DeleteFunc(l.waiting[a], func(c chan struct{}) bool { return c == answered })
		if len(l.waiting[a]) == 0 {
			delete(l.waiting, a)
		}
		l.mu.Unlock()
	}()
	for try := range 2 {
		if try > 0 {
			if err := l.turn(ctx); err != nil {
				return false, err
			}
		}
		if _, err := l.conn.WriteTo(l.request(a), &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}); err != nil {
			return false, err
		}
		select {
		case <-answered:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(patience):
		}
	}
	return false, nil
}

// turn waits until another request may be sent: the limiter's Wait, which fails early if
// the deadline comes first.
func (l *arp) turn(ctx context.Context) error { return sleep(ctx, l.pace.Reserve().Delay()) }

// request is the question who has a.
func (l *arp) request(a netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, their lengths, request
	b = append(b, l.mac...)
	b = append(b, l.ip.AsSlice()...)
	b = append(b, make([]byte, 6)...) // who has it is the question
	return append(b, a.AsSlice()...)
}

func sender(b []byte) (netip.Addr, bool) {
	if len(b) < arpLength || binary.BigEndian.Uint64(b)>>16 != 0x000108000604 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b[14:18])), true
}
