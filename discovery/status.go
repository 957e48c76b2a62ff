package discovery

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Status is how discovery stands. It is a copy.
type Status struct {
	Outcome    string    // of the last scan, as mother_discovery_scans_total has it; empty before the first
	At         time.Time // when that ended
	Duration   time.Duration
	Addresses  int      // of the networks
	Unanswered []string // addresses that took the connection in the last scan and have not answered since
}

// status is what Status is made of. A Scanner shares it with its successor.
type status struct {
	mu     sync.Mutex
	last   Status
	silent []netip.AddrPort
}

func newStatus() *status { return &status{} }

// Status returns how discovery stands.
func (s *Scanner) Status() Status {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	last := s.status.last
	for _, e := range s.status.silent {
		last.Unanswered = append(last.Unanswered, key(e))
	}
	return last
}

func (s *status) scanned(outcome string, r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = Status{Outcome: outcome, At: time.Now(), Duration: r.Duration, Addresses: r.Addresses}
}

func (s *status) setSilent(hosts []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = slices.Clone(hosts)
}

func (s *status) silentHosts() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.silent)
}
