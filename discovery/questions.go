package discovery

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// questions identifies hosts, as many at once as the window allows. Its queue is
// unbounded, so that hosts that hang do not delay the connects.
type questions struct {
	*Scanner
	window  *window
	running sync.WaitGroup
	told    func(e netip.AddrPort, a answer) // called for each answer, never concurrently

	mu     sync.Mutex
	queue  []netip.AddrPort
	silent []netip.AddrPort // gave no sensible answer

	repeating bool // those are asked again
}

func (s *Scanner) newQuestions(told func(netip.AddrPort, answer)) *questions {
	return &questions{Scanner: s, window: newWindow(), told: told}
}

// add queues hosts.
func (q *questions) add(ctx context.Context, hosts ...netip.AddrPort) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, hosts...)
	q.dispatch(ctx)
}

// dispatch starts as many questions as may be asked. The caller holds q.mu.
func (q *questions) dispatch(ctx context.Context) {
	for len(q.queue) > 0 && ctx.Err() == nil && q.window.take() {
		e := q.queue[0]
		q.queue = q.queue[1:]
		q.running.Go(func() { q.one(ctx, e) })
	}
}

func (q *questions) one(ctx context.Context, e netip.AddrPort) {
	began := time.Now()
	a := q.ask(ctx, key(e), q.named(key(e)))
	ended := ctx.Err() != nil
	timedOut := dragon.Reason(a.err) == "timeout" || isTimeout(a.err)
	q.window.give(began, timedOut && !ended)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !ended || a.verdict == isDragon:
		q.told(e, a)
		if a.silent() {
			q.silent = append(q.silent, e)
		}
	case q.repeating: // it was silent before
		q.silent = append(q.silent, e)
	}
	q.dispatch(ctx)
}

// again asks the silent hosts once more, and repeats that while some of them answer. It
// returns those that stay silent.
func (q *questions) again(ctx context.Context) []netip.AddrPort {
	q.repeating = true
	for {
		was := len(q.silent)
		if was == 0 || ctx.Err() != nil {
			return q.silent
		}
		hosts := q.silent
		q.silent = nil
		q.add(ctx, hosts...)
		q.running.Wait()
		if ctx.Err() != nil {
			q.silent = append(q.silent, q.queue...) // not asked again
			q.queue = nil
		}
		if len(q.silent) == was {
			return q.silent
		}
	}
}

// askAgainAfter is the pause before silent hosts are asked again.
const askAgainAfter = time.Minute

// askAgain asks the hosts that did not answer the last scan, and new dragons that a human
// has confirmed, within a minute.
func (s *Scanner) askAgain(ctx context.Context) {
	if s.scanning.Acquire(ctx, 1) != nil {
		return
	}
	defer s.scanning.Release(1)
	was := append(s.status.silentHosts(), s.confirmed()...)
	if len(was) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askAgainAfter)
	defer cancel()
	left := map[netip.AddrPort]bool{}
	for _, e := range was {
		left[e] = false // not asked yet
	}
	q := s.newQuestions(func(e netip.AddrPort, a answer) {
		if left[e] = true; !a.silent() {
			delete(left, e)
		}
	})
	q.add(ctx, was...)
	q.running.Wait()
	var first, last []netip.AddrPort // those that were not asked are the first the next time
	for _, e := range was {
		switch asked, ok := left[e]; {
		case ok && asked:
			last = append(last, e)
		case ok:
			first = append(first, e)
		}
	}
	s.remain(append(first, last...))
	if len(left) == 0 && len(s.status.silentHosts()) == 0 {
		level.Info(s.cfg.Logger).Log("msg", "all hosts of the scan answered", "hosts", len(was))
	}
}

// confirmed are the addresses of new dragons that a human has confirmed, and that were not
// taken in yet.
func (s *Scanner) confirmed() (hosts []netip.AddrPort) {
	for _, address := range s.fleet.Confirmed() {
		if e := endpoint(address); e.Addr().IsValid() && s.hosts.contains(e) {
			hosts = append(hosts, e)
		}
	}
	return hosts
}

func (s *Scanner) remain(silent []netip.AddrPort) {
	s.status.setSilent(silent)
	s.metrics.unanswered.Set(float64(len(silent)))
}
