package discovery

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Status is the state of discovery. It is a copy.
type Status struct {
	Outcome    string    // of the last scan, as mother_discovery_scans_total has it; empty before the first
	At         time.Time // when that ended
	Duration   time.Duration
	Addresses  int      // of the networks
	Unanswered []string // addresses that took the connection in the last scan and have not answered since
	Locked     []Locked // by address
	LockedMore int      // that are not in the list
	Targets    []TargetStatus
}

// Locked is a dragon that was found and rejects all our credentials. It is not in the
// fleet: only a login tells its MAC.
type Locked struct {
	Address string // host, or host:port where it is not port 80
	Brand   dragon.Brand
	Reason  LockedReason
	Detail  string // the error of the last login
	Since   time.Time
}

// LockedReason is why a dragon is locked.
type LockedReason string

// The reasons.
const (
	LockedPassword LockedReason = "password" // it refuses every credential that we have
	LockedOut      LockedReason = "lockout"  // too many failed logins; it refuses all for a while
	LockedChange   LockedReason = "change"   // it wants its password changed first
)

func lockedReason(err error) LockedReason {
	switch {
	case errors.Is(err, dragon.ErrLockedOut):
		return LockedOut
	case errors.Is(err, dragon.ErrPasswordChange):
		return LockedChange
	}
	return LockedPassword
}

// lockedKept bounds the list of locked dragons; the others are counted.
const lockedKept = 4096

// status is the source of Status. A Scanner shares it with its successor.
type status struct {
	mu     sync.Mutex
	last   Status
	silent []netip.AddrPort
	locked map[string]*Locked // nil beyond lockedKept: only counted
}

func newStatus() *status { return &status{locked: map[string]*Locked{}} }

// Status returns the state of discovery.
func (s *Scanner) Status() Status {
	now := s.status.copied()
	for _, t := range s.targets {
		now.Targets = append(now.Targets, t.status())
	}
	return now
}

func (s *status) copied() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.last
	for _, e := range s.silent {
		now.Unanswered = append(now.Unanswered, key(e))
	}
	for _, l := range s.locked {
		if l == nil {
			now.LockedMore++
			continue
		}
		now.Locked = append(now.Locked, *l)
	}
	slices.SortFunc(now.Locked, func(a, b Locked) int { return CompareAddresses(a.Address, b.Address) })
	return now
}

// CompareAddresses orders addresses, host or host:port, by their number.
func CompareAddresses(a, b string) int {
	return cmp.Or(endpoint(a).Addr().Compare(endpoint(b).Addr()), cmp.Compare(a, b))
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

// setLocked notes a locked dragon, and reports whether it is new.
func (s *status) setLocked(address string, brand dragon.Brand, err error) (news bool, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, known := s.locked[address]
	switch {
	case l != nil:
		reason := lockedReason(err)
		news = l.Reason != reason
		l.Brand, l.Reason, l.Detail = brand, reason, err.Error()
	case known:
	case len(s.locked) < lockedKept:
		s.locked[address] = &Locked{Address: address, Brand: brand, Reason: lockedReason(err), Detail: err.Error(), Since: time.Now()}
		news = true
	default:
		s.locked[address] = nil
	}
	return news, len(s.locked)
}

// unlock removes a locked dragon and returns how many are left.
func (s *status) unlock(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locked, address)
	return len(s.locked)
}

// keep forgets the addresses that are no longer asked.
func (s *status) keep(asked func(address string) bool) (locked, silent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address := range s.locked {
		if !asked(address) {
			delete(s.locked, address)
		}
	}
	s.silent = slices.DeleteFunc(s.silent, func(e netip.AddrPort) bool { return !asked(key(e)) })
	return len(s.locked), len(s.silent)
}
