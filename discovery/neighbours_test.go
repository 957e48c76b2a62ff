package discovery

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// onLink is a routing by which everything is a neighbour on a device that does not
// exist, and so cannot be asked past the kernel.
func onLink() *routing {
	return &routing{routes: []route{{netip.MustParsePrefix("127.0.0.0/8"), "no-such-device", true}}}
}

func TestAttachedNetworksDoNotOverfillTheNeighbourTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 100, Silent: true}, Config{Networks: networks(t, "127.10.0.0/22"), Parallel: 900})
		f.routing, f.table = onLink, 256
		if r := f.scan(); len(r.Found) != 100 || r.Scanned != 1022 {
			t.Errorf("%+v", r)
		}
		// At no time may more than seven eighths of the table be in use by addresses that
		// the kernel is still asking for, or that have just answered.
		type change struct {
			at time.Duration
			by int
		}
		var changes []change
		for a, tries := range f.tries {
			end := tries[0] + 3*time.Second
			if f.fleet.Lookup(a.String()) != nil {
				end = tries[0] + 5*time.Second
			}
			changes = append(changes, change{tries[0], 1}, change{end, -1})
		}
		slices.SortFunc(changes, func(a, b change) int { return int(a.at - b.at + time.Duration(a.by-b.by)) })
		used, most := 0, 0
		for _, c := range changes {
			used += c.by
			most = max(most, used)
		}
		if most > 224 {
			t.Errorf("%d places of the table used at once, want at most 224 of 256", most)
		}
	})
}

func TestRoutedNetworksAreNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Silent: true}, Config{Networks: networks(t, "127.10.0.0/22"), Parallel: 900})
		f.table = 256
		f.routing = func() *routing {
			r := onLink()
			r.routes = append(r.routes, route{netip.MustParsePrefix("127.10.0.0/16"), "no-such-device", false})
			return r
		}
		if r := f.scan(); r.Duration > 2*time.Second {
			t.Errorf("took %v", r.Duration)
		}
	})
}

func TestShutdownWhileWaitingForTheNeighbourTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Silent: true}, Config{Networks: networks(t, "127.10.0.0/22"), Interval: 2500 * time.Millisecond})
		f.routing, f.table = onLink, 64
		if r, err := f.Scan(t.Context()); !errors.Is(err, ErrCut) || r.Duration != 2500*time.Millisecond {
			t.Errorf("took %v: %v", r.Duration, err)
		}
	})
}

func TestOnlyAScannerOfTheRealNetworkReadsItsRoutes(t *testing.T) {
	if _, err := os.Stat("/proc/net/route"); err != nil {
		t.Skip(err)
	}
	us := netip.MustParseAddr("127.0.0.1")
	if !New(Config{}).routing().own[us] {
		t.Error("our own address is not known")
	}
	pretended := Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }}
	if New(pretended).routing().own[us] {
		t.Error("a network that is not this host's has this host's routes")
	}
}

func TestRoutes(t *testing.T) {
	// The kernel prints addresses in the machine's own order; these are little-endian.
	if hostOrder(1)[0] != 1 {
		t.Skip("the table is that of a little-endian machine")
	}
	const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100010A	0003	0	0	0	00000000	0	0	0
eth0	0000010A	00000000	0001	0	0	0	0000FCFF	0	0	0
tun0	0001010A	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	0002010A	0900010A	0003	0	0	0	00FFFFFF	0	0	0
eth0	0003010A	00000000	0000	0	0	0	00FFFFFF	0	0	0
*	0000630A	00000000	0201	0	0	0	0000FFFF	0	0	0
broken	line
`
	r := &routing{routes: parseRoutes([]byte(table)), own: map[netip.Addr]bool{netip.MustParseAddr("10.1.0.5"): true}}
	for a, want := range map[string]struct {
		device   string
		attached bool
	}{
		"10.1.0.9":   {"eth0", true},
		"10.1.0.5":   {"", false}, // our own
		"10.1.1.9":   {"tun0", true},
		"10.1.2.9":   {"eth0", false}, // more particular, and by a router
		"10.1.3.9":   {"eth0", true},  // the more particular route is down
		"10.99.0.1":  {"*", false},
		"10.200.0.1": {"eth0", false},
	} {
		device, attached := r.device(netip.MustParseAddr(a))
		if device != want.device || attached != want.attached {
			t.Errorf("%s is on %q, attached %v; want %q, %v", a, device, attached, want.device, want.attached)
		}
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add([]byte("eth0	0000010A	00000000	0001	0	0	0	0000FCFF	0	0	0\n"))
	f.Add([]byte("a 1 2 3 4 5 6 7 8\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range parseRoutes(b) {
			if !r.to.IsValid() || r.to != r.to.Masked() {
				t.Errorf("route to %v", r.to)
			}
		}
	})
}

// wire is a link on which some hosts answer.
type wire struct {
	hosts   map[netip.Addr]int // the requests that each leaves unanswered
	replies chan []byte
	downs   chan error // told once to who listens
	done    chan struct{}

	mu   sync.Mutex
	down error // while it is
	sent [][]byte
}

func newWire() *wire {
	return &wire{hosts: make(map[netip.Addr]int), replies: make(chan []byte, 10), downs: make(chan error, 1), done: make(chan struct{})}
}

func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return 0, w.down
	}
	w.sent = append(w.sent, slices.Clone(b))
	asked := netip.AddrFrom4([4]byte(b[24:28]))
	if skip, ok := w.hosts[asked]; ok {
		if skip > 0 {
			w.hosts[asked]--
			return len(b), nil
		}
		w.replies <- slices.Concat(b[:7], []byte{2}, []byte{2, 0, 0, 0, 0, 9}, b[24:28], b[8:18])
	}
	return len(b), nil
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case r := <-w.replies:
		return copy(b, r), nil, nil
	case err := <-w.downs:
		return 0, nil, err
	case <-w.done:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire) Close() error                     { close(w.done); return nil }
func (w *wire) LocalAddr() net.Addr              { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func TestALinkIsAskedForItsHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		here, shy, gone := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")
		w.hosts[here], w.hosts[shy] = 0, 1
		l := newARP(w, net.HardwareAddr{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("127.0.0.8"))
		var hearing sync.WaitGroup
		hearing.Go(l.listen)
		defer hearing.Wait()
		defer close(w.done)

		w.replies <- []byte("not an ARP message, and too short")[:20]
		for _, test := range []struct {
			a        netip.Addr
			want     bool
			requests int
			took     time.Duration
		}{
			{here, true, 1, 0},
			{shy, true, 2, time.Second},
			{gone, false, 2, 2 * time.Second},
		} {
			begun, before := time.Now(), len(w.sent)
			got, err := l.present(t.Context(), test.a, time.Second)
			if got != test.want || err != nil || time.Since(begun) != test.took || len(w.sent)-before != test.requests {
				t.Errorf("%v is here: %v after %v and %d requests; want %v after %v and %d: %v", test.a, got, time.Since(begun), len(w.sent)-before, test.want, test.took, test.requests, err)
			}
		}
		want := "0001080006040001" + "020000000001" + "7f000008" + "000000000000" + "7f000001"
		if d := cmp.Diff(want, hex.EncodeToString(w.sent[0])); d != "" {
			t.Error(d)
		}
	})
}

// goDown takes the link down, as the kernel tells it.
func (w *wire) goDown() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = &net.OpError{Op: "write", Net: "packet", Err: os.NewSyscallError("sendto", syscall.ENETDOWN)}
	w.downs <- &net.OpError{Op: "read", Net: "packet", Err: os.NewSyscallError("recvfrom", syscall.ENETDOWN)}
}

func (w *wire) comeUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = nil
}

// What is asked while the link is down was not tried, and says nothing of the address.
func TestALinkThatWasDownIsHeardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		here := netip.MustParseAddr("127.0.0.1")
		w.hosts[here] = 0
		l := newARP(w, net.HardwareAddr{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("127.0.0.8"))
		var hearing sync.WaitGroup
		hearing.Go(l.listen)
		defer hearing.Wait()
		defer close(w.done)

		w.goDown()
		_, err := l.present(t.Context(), here, time.Second)
		if !errors.Is(err, syscall.ENETDOWN) {
			t.Errorf("asked while the link is down: %v", err)
		}
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.1/32")})
		sc := &scan{Scanner: f.Scanner}
		if sc.closed(t.Context(), f.hosts.at(0), err); sc.result.Failed != 1 {
			t.Errorf("%+v, want an address that could not be tried", sc.result)
		}
		w.comeUp()
		if got, err := l.present(t.Context(), here, time.Second); !got || err != nil {
			t.Errorf("the link is up again: %v, %v", got, err)
		}
	})
}

func FuzzSender(f *testing.F) {
	f.Add([]byte{0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 9, 127, 0, 0, 1, 2, 0, 0, 0, 0, 1, 127, 0, 0, 8})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := sender(b); ok && (len(b) < 28 || a != netip.AddrFrom4([4]byte(b[14:18]))) {
			t.Errorf("%x was sent by %v", b, a)
		}
	})
}
