// Package discovery finds dragons: it scans networks for them, asks static targets
// who they are, and tells Prometheus where they live. What it finds goes to the fleet.
//
// # How a scan goes
//
// Step one is a TCP connect. A refused connection is a verdict at once. An address that
// stays silent is tried twice, and the second try waits until a second has passed (for
// a [Config.ConnectTimeout] of one): a host that does not answer its first ARP request
// is asked again by the kernel after one second, and only a connect that is under way
// then, or later, can meet the answer. The first try takes a quarter of the connect
// timeout and the second two fifths, so that a silent address costs 0.65 of it.
//
// # The arithmetic
//
// With [Config.Parallel] connects at once, and a timeout of one second:
//
//	/22   1,022 addresses   1 s + two rounds of 0.4 s        1.8 s
//	/20   4,094 addresses   4,094 × 0.65 s / 768             4 s
//	/16  65,534 addresses   65,534 × 0.65 s / 768           56 s
//
// 768 is three quarters of a file descriptor limit of 1,024; identification takes up to
// 128 more, and the rest is left for scrapes. A limit of 6,400 allows 1,600 connects, with
// which the /16 takes half a minute.
//
// Step two asks the hosts that took the connection who they are, 64 at once at first. As
// TCP does, it asks more at once while they answer, up to 128, and half as many at a
// time-out, down to 16: on a busy machine, or a slow network, it becomes slower and not
// blind. Each question may take [Config.IdentifyTimeout]. Who gave no answer is asked
// again when all others were, for as long as that makes some of them answer, and then a
// minute later; until then the scan is incomplete, and says so.
//
// On a network that this machine is attached to, each address also needs a place in
// the kernel's neighbour table (by default 1,024 for the whole machine), and one that
// does not answer holds it for three seconds whatever became of the connect. When the
// table is full the kernel drops connects without a word, and dragons are missed, by
// scrapes too. So where the networks do not fit into seven eighths of the table, the
// scan asks the link itself, twice for each address, and connects to those that
// answer: a /22 in 1.3 s, a /20 in 3 s, a /16 in 29 s. That needs CAP_NET_RAW. Without it,
// addresses are not taken up faster than the table forgets them, 896 in 3.3 s, which
// takes 5 s for a /22, 15 s for a /20 and 4 min for a /16; a higher gc_thresh3 makes it
// faster. Routed networks take one place for their router and are not held back.
package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Config says where to look and how. Networks, Targets and Fleet aside, the zero value is usable.
type Config struct {
	Networks []Network // to scan
	Exclude  []Range   // never asked, whichever network holds it; a target is asked all the same
	Targets  []Target  // known without a scan
	Port     uint16    // of the dragons, where a network or target names none; default 80

	// Interval is the time between the starts of two scans, and the longest that one may
	// last. Zero scans once and sets no limit.
	Interval time.Duration

	// ConnectTimeout is the pace of the first step; see the package's documentation. It
	// should be at least four times the longest round trip to a dragon. Default 1 s.
	ConnectTimeout  time.Duration
	IdentifyTimeout time.Duration // of each question of the second step; default 10 s

	Parallel int // connects at once; default: what the file descriptor limit allows, at most 1,600

	Client     dragon.Options                        // for identification, and afterwards the dragon's own client
	Others     func(host string) []dragon.Credential // of dragons that may live at a host that refused Client's now; may be nil
	Fleet      *fleet.Fleet
	Logger     log.Logger            // default: none
	Registerer prometheus.Registerer // default: none

	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // of the first step; default net.Dialer
	Resolve  func(ctx context.Context, host string) ([]netip.Addr, error)         // of targets' names; default net.DefaultResolver
	Progress func(done, total int)                                                // called after each address, never concurrently; may be nil
	OnLocked func(address, brand, reason string)                                  // called when a dragon begins to refuse the credentials; may be nil
	OnScan   func(Result)                                                         // called by Run after each scan; may be nil
}

// Scanner finds dragons. Its methods may be called from any goroutine.
type Scanner struct {
	cfg     Config
	fleet   *fleet.Fleet
	hosts   hosts
	targets []*target
	sites   *sites

	hasRoute func(netip.Addr) bool // this host has one; false where connects do not go through the kernel
	routing  func() *routing       // the machine's; empty where connects do not go through the kernel

	cursor  uint64 // where the next scan begins; owned by the scan that runs
	whole   bool   // the last scan tried all addresses; likewise
	outcome string // of the last scan that was said in the log; likewise

	*shared
}

// shared is what a Scanner and its successors have in common.
type shared struct {
	metrics    *metrics
	table      int                 // places in the kernel's neighbour table
	slow       atomic.Bool         // that the table sets the pace was said
	scanning   *semaphore.Weighted // of one scan
	asking     *claims             // addresses that are being identified
	nonDragons *verdicts
	refused    *verdicts           // known dragons whose address was tried with the credentials of others
	finding    *semaphore.Weighted // of identifications that Find may run at once
	status     *status
}

// Parallelism of what is not a connect of the scan.
const (
	finding = 16      // identifications of Find at once
	pending = 1 << 13 // addresses of a scan without a verdict yet, which bounds its memory
)

// New returns a Scanner. It sends nothing.
func New(c Config) *Scanner {
	return newScanner(c, &Scanner{shared: &shared{
		metrics:    newMetrics(c.Registerer),
		table:      tableSize(),
		scanning:   semaphore.NewWeighted(1),
		asking:     newClaims(),
		nonDragons: newVerdicts(),
		refused:    newVerdicts(),
		finding:    semaphore.NewWeighted(finding),
		status:     newStatus(),
	}})
}

// With returns a Scanner with another configuration that continues from s: it has its
// metrics and memory, except for rejected credentials. At most one of the two may Run at a
// time.
func (s *Scanner) With(c Config) *Scanner {
	s.nonDragons.forgetLocked()
	s.refused.forgetLocked()
	next := newScanner(c, s)
	next.trim()
	for _, t := range s.targets {
		if !slices.Contains(next.targets, t) {
			s.metrics.targetUp.DeleteLabelValues(t.name)
			s.metrics.targetDown.DeletePartialMatch(prometheus.Labels{"target": t.name})
		}
	}
	return next
}

// trim forgets the addresses that are no longer scanned.
func (s *Scanner) trim() {
	asked := map[string]bool{}
	for _, t := range s.targets {
		asked[t.status().Address] = true
	}
	locked, silent := s.status.keep(func(address string) bool {
		return asked[address] || s.hosts.contains(endpoint(address))
	})
	s.metrics.locked.Set(float64(locked))
	s.metrics.unanswered.Set(float64(silent))
}

// newScanner makes a Scanner that shares metrics and memory with another one.
func newScanner(c Config, with *Scanner) *Scanner {
	if c.Port == 0 {
		c.Port = 80
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = time.Second
	}
	if c.IdentifyTimeout <= 0 {
		c.IdentifyTimeout = 10 * time.Second
	}
	if c.Parallel <= 0 {
		c.Parallel = parallel(openFiles())
	}
	if c.Client.Transport == nil {
		c.Client.Transport = dragon.NewTransport() // one for all
	}
	c.Client.IdentifyTimeout = c.IdentifyTimeout
	if c.Logger == nil {
		c.Logger = log.NewNopLogger()
	}
	s := &Scanner{
		cfg:      c,
		fleet:    c.Fleet,
		hosts:    expand(c.Networks, c.Exclude, c.Port),
		routing:  func() *routing { return &routing{} },
		hasRoute: func(netip.Addr) bool { return false },
		sites:    newSites(c.Targets, with.sites),
		shared:   with.shared,
	}
	if c.Dial == nil {
		s.cfg.Dial = (&net.Dialer{KeepAlive: -1}).DialContext
		s.routing, s.hasRoute = func() *routing { return kernelRouting(c.Networks) }, hasRoute
	}
	if c.Resolve == nil {
		s.cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	for _, t := range c.Targets {
		if i := slices.IndexFunc(with.targets, func(o *target) bool { return o.name == t.Name }); i >= 0 {
			s.targets = append(s.targets, with.targets[i])
			continue
		}
		s.targets = append(s.targets, &target{name: t.Name, now: TargetStatus{Name: t.Name}})
		s.metrics.targetUp.WithLabelValues(t.Name).Set(0)
	}
	return s
}

// Run asks the static targets and scans at once, then scans every Interval, until ctx
// is done. No scan overlaps another. It returns nil.
func (s *Scanner) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for _, t := range s.targets {
		running.Go(func() { s.watch(ctx, t) })
	}
	if s.hosts.total == 0 {
		return nil
	}
	tick := time.Tick(s.cfg.Interval) // nil without an interval
	for {
		r, err := s.Scan(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			level.Debug(s.cfg.Logger).Log("msg", "scan ended early", "err", err)
		}
		if s.cfg.OnScan != nil {
			s.cfg.OnScan(r)
		}
		if !s.rest(ctx, tick) {
			return nil
		}
	}
}

// rest waits for the next scan and meanwhile asks the silent hosts of the last one. It
// reports false when ctx is done.
func (s *Scanner) rest(ctx context.Context, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-time.After(askAgainAfter):
			s.askAgain(ctx)
		}
	}
}

// lately is how long ago a known dragon must have been read for its address to be left
// alone: longer than any scrape interval, yet no longer than the time between scans.
func (s *Scanner) lately() time.Time {
	const longest = 5 * time.Minute
	if s.cfg.Interval > 0 {
		return time.Now().Add(-min(s.cfg.Interval, longest))
	}
	return time.Now().Add(-longest)
}

// key returns the fleet's name of an endpoint: with the port where it is not 80.
func key(e netip.AddrPort) string { return hostPort(e.Addr().String(), e.Port()) }

// endpoint is the reverse of key; invalid for a name.
func endpoint(address string) netip.AddrPort {
	if e, err := netip.ParseAddrPort(address); err == nil {
		return e
	}
	a, _ := netip.ParseAddr(address)
	return netip.AddrPortFrom(a, 80)
}

func hostPort(host string, port uint16) string {
	if port == 80 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// parallel returns how many connects fit into a limit of open files, 0 being none: three
// quarters of a small limit, a quarter of a large one.
func parallel(openFiles uint64) int {
	const small, most = 900, 1600
	if openFiles == 0 {
		return most
	}
	return int(max(1, min(openFiles/4*3, small), min(openFiles/4, most)))
}

// Connections is how many connections to dragons may be open beside a scan, so that
// files are left for the process itself; 0: any number.
func Connections() int {
	files := openFiles()
	if files == 0 || files > 1<<30 {
		return 0
	}
	return max(1, (int(files)-parallel(files))*3/4)
}

// ErrCut says that a scan was ended by its interval.
var ErrCut = errors.New("the scan was cut short by its interval: raise the interval, or name smaller networks")
