package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/go-kit/log/level"
	"golang.org/x/sync/semaphore"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Result is the result of a scan.
type Result struct {
	Addresses  int // of the networks
	Scanned    int // addresses with a verdict; the rest were cut off
	Known      int // of these, left alone because a known dragon was read there lately, is busy, or is down and asked by the fleet
	Open       int // of these, those where something accepted a connection
	Found      []Found
	Strangers  int // open, and not a dragon
	Locked     int // a dragon that accepts none of the credentials
	Waiting    int // new dragons that wait for a human, as too many were found at once
	Unanswered int // open, and no sensible answer in time, also when asked again
	Failed     int // addresses that this machine could not try, for example for want of file descriptors
	Duration   time.Duration
}

// Found is an identified dragon.
type Found struct {
	Address  string // host, or host:port where it is not port 80
	Identity *dragon.Identity
	Change   fleet.Change
}

type scan struct {
	*Scanner
	connects   *semaphore.Weighted
	pending    *semaphore.Weighted // addresses without a verdict
	neighbours *neighbours
	running    sync.WaitGroup
	progress   chan struct{} // one for each address done; nil without Config.Progress

	questions *questions
	pulse     pulse

	mu      sync.Mutex
	result  Result
	failure error // the first failure of our own
}

// Scan scans the networks once. It waits for a scan that is under way. Hosts that took
// the connection and did not answer are asked again before it ends; Result.Unanswered are
// those that still do not. The result holds also when there is an error: ErrCut, or the
// context's.
func (s *Scanner) Scan(ctx context.Context) (Result, error) {
	if err := s.scanning.Acquire(ctx, 1); err != nil {
		return Result{}, err
	}
	defer s.scanning.Release(1)
	if s.cfg.Interval > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.cfg.Interval, ErrCut)
		defer cancel()
	}
	sc := &scan{
		Scanner:  s,
		connects: semaphore.NewWeighted(int64(s.cfg.Parallel)),
		pending:  semaphore.NewWeighted(pending),
		result:   Result{Addresses: int(s.hosts.total)},
	}
	var err error
	if sc.neighbours, err = newNeighbours(s.routing(), &s.hosts, s.table); err != nil && !s.slow.Swap(true) {
		level.Info(s.cfg.Logger).Log("msg", "scan limited by the neighbour table",
			"advice", "CAP_NET_RAW, or a higher net.ipv4.neigh.default.gc_thresh3, makes it faster", "err", err)
	}
	defer sc.neighbours.close()
	sc.questions = s.newQuestions(sc.answered)
	s.fleet.ScanBegins(s.whole)
	beating, stop := context.WithCancel(ctx)
	var heart sync.WaitGroup
	heart.Go(func() { sc.pulse.run(beating) })
	defer heart.Wait()
	defer stop()
	told := sc.tellProgress()
	start := time.Now()
	started := sc.feed(ctx)
	sc.running.Wait()
	sc.questions.running.Wait()
	told()
	if uint64(sc.result.Scanned) == s.hosts.total {
		s.remain(sc.questions.again(ctx))
	}
	sc.result.Duration = time.Since(start)

	// A scan begins where the last one was cut off, so that every address has its turn.
	// Unfinished addresses are scanned again.
	if done := uint64(sc.result.Scanned); done < s.hosts.total {
		s.cursor = (s.cursor + min(started, done)) % s.hosts.total
	}
	return sc.result, s.account(ctx, sc)
}

// feed starts the work for every address and returns for how many it was started.
func (sc *scan) feed(ctx context.Context) uint64 {
	for i := range sc.hosts.total {
		e := sc.hosts.at(sc.cursor + i)
		if sc.leftAlone(key(e)) {
			sc.done(func(r *Result) { r.Known++ })
			continue
		}
		if err := sc.pending.Acquire(ctx, 1); err != nil {
			return i
		}
		work, err := sc.admit(ctx, e)
		if err != nil {
			return i
		}
		sc.running.Go(func() {
			defer sc.pending.Release(1)
			work()
		})
	}
	return sc.hosts.total
}

// leftAlone reports whether the fleet asks an address already, or a write goes on there.
func (s *Scanner) leftAlone(address string) bool {
	if s.fleet.Answered(address, s.lately()) {
		return true
	}
	d := s.fleet.Lookup(address)
	return d != nil && (isBusy(d) || s.leftToFleet(address, d))
}

// admit waits for the turn of an address and returns the work to do.
func (sc *scan) admit(ctx context.Context, e netip.AddrPort) (work func(), err error) {
	if l := sc.neighbours.arp(e.Addr()); l != nil {
		if err := l.turn(ctx); err != nil {
			return nil, err
		}
		return func() {
			here, err := l.present(ctx, e.Addr(), sc.cfg.ConnectTimeout/2)
			if err == nil && here {
				var slot *neighSlot
				if slot, err = sc.turn(ctx, e.Addr()); err == nil {
					sc.address(ctx, e, slot)
					return
				}
			}
			sc.closed(ctx, e, err)
		}, nil
	}
	slot, err := sc.turn(ctx, e.Addr())
	if err != nil {
		return nil, err
	}
	return func() { sc.address(ctx, e, slot) }, nil
}

// turn waits until an address may be connected to: for a neighbour slot and for a connect.
func (sc *scan) turn(ctx context.Context, a netip.Addr) (*neighSlot, error) {
	slot, err := sc.neighbours.enter(ctx, a)
	if err != nil {
		return nil, err
	}
	return slot, sc.connects.Acquire(ctx, 1)
}

// address scans one address: it ends with a verdict, or passes the address to
// identification.
func (sc *scan) address(ctx context.Context, e netip.AddrPort, slot *neighSlot) {
	begun := time.Now()
	slot.tried()
	err := sc.connect(ctx, e, sc.cfg.ConnectTimeout/4)
	sc.connects.Release(1)
	if err != nil && !errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil {
		err = sc.again(ctx, e, slot, begun.Add(sc.cfg.ConnectTimeout), sc.cfg.ConnectTimeout*2/5)
	}
	for more := sc.cfg.ConnectTimeout; errors.Is(err, errOverslept) && more <= 4*sc.cfg.ConnectTimeout; more *= 2 {
		err = sc.again(ctx, e, slot, time.Now(), more)
	}
	slot.leave(err == nil || errors.Is(err, syscall.ECONNREFUSED))
	if err == nil {
		sc.opened(ctx, e)
	} else {
		sc.closed(ctx, e, err)
	}
}

// closed is the verdict that nothing listens at an address.
func (sc *scan) closed(ctx context.Context, e netip.AddrPort, err error) {
	if ctx.Err() != nil {
		return // no verdict
	}
	if ours(err) || sc.routeless(e.Addr(), err) {
		sc.done(func(r *Result) {
			r.Failed++
			if sc.failure == nil {
				sc.failure = err
			}
		})
		return
	}
	// The host is gone; the next one here is another.
	sc.nonDragons.forget(key(e))
	sc.unlock(key(e))
	sc.done(func(*Result) {})
}

// again is another try, at a time.
func (sc *scan) again(ctx context.Context, e netip.AddrPort, slot *neighSlot, at time.Time, timeout time.Duration) error {
	if err := sleep(ctx, time.Until(at)); err != nil {
		return err
	}
	if err := sc.connects.Acquire(ctx, 1); err != nil {
		return err
	}
	defer sc.connects.Release(1)
	slot.tried()
	return sc.connect(ctx, e, timeout)
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errOverslept says that a connect timed out while this process did not run, which says
// nothing about the address.
var errOverslept = errors.New("this machine is too busy to connect in time")

func (sc *scan) connect(ctx context.Context, e netip.AddrPort, timeout time.Duration) error {
	begun := time.Now()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := sc.cfg.Dial(limited, "tcp", e.String())
	if err != nil {
		if now := time.Now(); isTimeout(err) && ctx.Err() == nil && sc.pulse.missed(begun, now) >= timeout/8 {
			return errOverslept
		}
		return err
	}
	conn.Close() // nothing was sent, so nothing can be lost
	return nil
}

// isTimeout reports whether a connect timed out. The dialer has its own error for that,
// which may come before the context's.
func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// ours reports whether a connect failed because of this host, for example without file
// descriptors or without a route.
func ours(err error) bool {
	for _, e := range []error{
		errOverslept, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EPERM, syscall.EACCES,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// routeless reports whether a connect failed because this host has no route to the address. A router
// that has none says so in the same words.
func (s *Scanner) routeless(a netip.Addr, err error) bool {
	return errors.Is(err, syscall.ENETDOWN) || errors.Is(err, syscall.ENETUNREACH) && !s.hasRoute(a)
}

// hasRoute reports whether this host has a route to an address. It sends nothing.
func hasRoute(a netip.Addr) bool {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
	if err == nil {
		_ = conn.Close()
	}
	return !errors.Is(err, syscall.ENETUNREACH)
}

// opened passes an address to the second step, which has its own parallelism.
func (sc *scan) opened(ctx context.Context, e netip.AddrPort) {
	sc.mu.Lock()
	sc.result.Open++
	sc.mu.Unlock()
	sc.questions.add(ctx, e)
}

// answered records an identification, the first one and repeated ones.
func (sc *scan) answered(_ netip.AddrPort, a answer) {
	count := func(r *Result) {
		switch a.verdict {
		case isDragon:
			r.Found = append(r.Found, a.found)
		case isStranger:
			r.Strangers++
		case isLocked:
			r.Locked++
		case isKnown, isDown:
			r.Known++
		case isWaiting:
			r.Waiting++
		case isUnanswered:
			if a.silent() {
				r.Unanswered++
			}
		}
	}
	if !sc.questions.repeating {
		sc.done(count)
		return
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.result.Unanswered--
	count(&sc.result)
}

func (sc *scan) done(count func(*Result)) {
	sc.mu.Lock()
	count(&sc.result)
	sc.result.Scanned++
	sc.mu.Unlock()
	sc.metrics.addresses.Inc()
	if sc.progress != nil {
		sc.progress <- struct{}{}
	}
}

// tellProgress calls Config.Progress from one goroutine, until the returned function is
// called.
func (sc *scan) tellProgress() (stop func()) {
	if sc.cfg.Progress == nil {
		return func() {}
	}
	sc.progress = make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() {
		done := 0
		for range sc.progress {
			done++
			sc.cfg.Progress(done, sc.result.Addresses)
		}
	})
	return func() { close(sc.progress); teller.Wait() }
}

// account turns the end of a scan into metrics, log and error.
func (s *Scanner) account(ctx context.Context, sc *scan) error {
	r, outcome, err := &sc.result, complete, error(nil)
	switch {
	case r.Scanned < r.Addresses:
		outcome, err = stopped, context.Cause(ctx)
		if errors.Is(err, ErrCut) {
			outcome = cut
		}
	case r.Failed > 0:
		outcome = failed
		err = fmt.Errorf("%d of %d addresses could not be tried, the first for: %w", r.Failed, r.Addresses, sc.failure)
	case r.Unanswered > 0:
		outcome = incomplete
	}
	s.metrics.scans.WithLabelValues(outcome).Inc()
	s.metrics.duration.Observe(r.Duration.Seconds())
	if outcome == complete || outcome == failed || outcome == incomplete {
		s.metrics.last.SetToCurrentTime()
	}

	s.status.scanned(outcome, *r)
	s.whole = r.Scanned == r.Addresses && r.Failed == 0

	about := []any{"outcome", outcome, "addresses", r.Addresses, "scanned", r.Scanned, "open", r.Open, "unanswered", r.Unanswered,
		"dragons", len(r.Found), "duration", r.Duration}
	if err != nil {
		about = append(about, "err", err)
	}
	repeats := s.cfg.Interval > 0 // the caller of a single scan has the result
	switch bad := repeats && (outcome == cut || outcome == failed || outcome == incomplete); {
	case bad && outcome != s.outcome:
		level.Warn(s.cfg.Logger).Log(append([]any{"msg", "scan incomplete"}, about...)...)
		s.outcome = outcome
	case outcome == complete && s.outcome != "" && s.outcome != complete:
		level.Info(s.cfg.Logger).Log(append([]any{"msg", "scan complete again"}, about...)...)
		s.outcome = outcome
	default:
		level.Debug(s.cfg.Logger).Log(append([]any{"msg", "scan ended"}, about...)...)
	}
	return err
}
