package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"golang.org/x/time/rate"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// The ports that a dragon broadcasts to when its front button is pressed for a second or
// more: its address and MAC to the one, a greeting to the other (vendor source, dm-monitor).
const (
	ReportPort = 14235
	HelloPort  = 8001
)

const hello = "Hello, I'm a Miner."

// Limits for announcements. Every host on the network can send such packets with any
// address in them.
const (
	heardPerSecond = 5
	heardBurst     = 50
	heardAgain     = 10 * time.Second // until the same address is asked again
	heardMost      = 4096             // addresses that this is remembered of
)

// The outcome of an announcement: a verdict, or one of these.
const (
	malformed = "malformed"
	elsewhere = "elsewhere" // outside the networks, or of another address than the sender's
	repeated  = "repeated"  // the other packet of one press, or an impatient finger
	limited   = "limited"
)

// Listener receives the announcements of dragons whose button is pressed.
type Listener struct {
	scanner func() *Scanner // the present one
	logger  log.Logger
	conns   []net.PacketConn
	limit   *rate.Limiter
	asking  sync.WaitGroup

	mu    sync.Mutex
	heard map[netip.Addr]time.Time
	swept time.Time
}

// Listen listens for announcements at the addresses, by default those that dragons
// broadcast to, and passes them to the current scanner.
func Listen(ctx context.Context, scanner func() *Scanner, logger log.Logger, addresses ...netip.AddrPort) (*Listener, error) {
	if logger == nil {
		logger = log.NewNopLogger()
	}
	if len(addresses) == 0 {
		addresses = []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), ReportPort), netip.AddrPortFrom(netip.IPv4Unspecified(), HelloPort)}
	}
	l := &Listener{scanner: scanner, logger: logger, limit: rate.NewLimiter(heardPerSecond, heardBurst), heard: map[netip.Addr]time.Time{}}
	for _, a := range addresses {
		c, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp4", a.String())
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func (l *Listener) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// Run listens until ctx is done. It returns nil.
func (l *Listener) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	var reading sync.WaitGroup
	for _, c := range l.conns {
		reading.Go(func() { l.hear(ctx, c) })
	}
	reading.Wait()
	l.asking.Wait()
	return nil
}

func (l *Listener) hear(ctx context.Context, c net.PacketConn) {
	packet := make([]byte, 256) // a longer one is not a dragon's
	for {
		n, from, err := c.ReadFrom(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if ctx.Err() != nil || sleep(ctx, time.Second) != nil {
				return
			}
			continue // an error of one packet, or of a network that comes back
		}
		sender, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		l.announced(ctx, packet[:n], sender.AddrPort().Addr().Unmap())
	}
}

// announced handles one packet. Its content is not trusted: the host is identified as in a
// scan.
func (l *Listener) announced(ctx context.Context, packet []byte, sender netip.Addr) {
	s := l.scanner()
	count := func(outcome string) { s.metrics.announcements.WithLabelValues(outcome).Inc() }
	claimed, ok := parseAnnouncement(packet)
	switch {
	case !ok:
		count(malformed)
		return
	case claimed.IsValid() && claimed != sender, len(s.hosts.ports(sender)) == 0:
		count(elsewhere)
		return
	case !l.fresh(sender, time.Now()):
		count(repeated)
		return
	case !l.limit.Allow():
		count(limited)
		return
	}
	l.asking.Go(func() {
		a := s.heard(ctx, sender)
		if ctx.Err() != nil {
			return
		}
		count(string(a.verdict))
		if a.verdict == isDragon {
			level.Info(l.logger).Log("msg", "dragon announced itself", "address", a.found.Address, "mac", a.found.Identity.Overview.MAC, "change", a.found.Change)
		}
	})
}

// fresh reports whether an address was not announced lately, and notes the announcement.
func (l *Listener) fresh(a netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.heard[a]; ok && now.Sub(at) < heardAgain {
		return false
	}
	if len(l.heard) >= heardMost && now.Sub(l.swept) >= heardAgain {
		l.swept = now
		for x, at := range l.heard {
			if now.Sub(at) >= heardAgain {
				delete(l.heard, x)
			}
		}
	}
	if len(l.heard) >= heardMost {
		return false
	}
	l.heard[a] = now
	return true
}

// heard identifies the host at an announced address. It forgets an earlier verdict about
// that address, which may be outdated.
func (s *Scanner) heard(ctx context.Context, sender netip.Addr) (a answer) {
	if s.finding.Acquire(ctx, 1) != nil {
		return answer{verdict: isUnanswered}
	}
	defer s.finding.Release(1)
	for _, port := range s.hosts.ports(sender) {
		address := hostPort(sender.String(), port)
		s.nonDragons.forget(address)
		if a = s.ask(ctx, address, s.named(address)); a.verdict == isDragon {
			break
		}
	}
	return a
}

// parseAnnouncement reads a broadcast: ip,MAC, or a greeting without an address. The MAC
// is not used: a login tells it.
func parseAnnouncement(packet []byte) (claimed netip.Addr, ok bool) {
	text := strings.TrimRight(string(packet), "\x00\r\n ")
	if text == hello {
		return netip.Addr{}, true
	}
	ip, mac, ok := strings.Cut(text, ",")
	if !ok {
		return netip.Addr{}, false
	}
	if _, ok := dragon.ParseMAC(mac); !ok {
		return netip.Addr{}, false
	}
	claimed, err := netip.ParseAddr(strings.TrimSpace(ip))
	if err != nil || !claimed.Is4() {
		return netip.Addr{}, false
	}
	return claimed, true
}
