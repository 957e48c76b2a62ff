package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Target is a dragon named by the operator.
type Target struct {
	Name string // host or host:port; a name is resolved at each try
	Site string // of the dragon, wherever its name leads; empty: the site of its address
}

// TargetStatus is the state of a static target. It is a copy.
type TargetStatus struct {
	Name    string
	Address string // that the name leads to; empty before it was resolved
	Up      bool   // a dragon answers there
	Reason  string // why not: a value of mother_target_down_info's reason; empty while up, or not asked yet
	Detail  string // the same in words
}

// The reasons for a target that is down, beside the LockedReasons.
const (
	downUnresolved  = "no_address" // the name has no address
	downRefused     = "refused"
	downUnreachable = "unreachable"
	downTimeout     = "timeout"
	downHTTPS       = "https"       // it wants HTTPS
	downOtherLogin  = "other_login" // the login of something else
	downStranger    = "not_a_dragon"
	downResponse    = "response" // an answer that cannot be read
)

func downReason(err error) string {
	switch {
	case errors.Is(err, dragon.ErrUnauthorized):
		return string(lockedReason(err))
	case errors.Is(err, dragon.ErrHTTPS):
		return downHTTPS
	case errors.Is(err, dragon.ErrOtherLogin):
		return downOtherLogin
	case errors.Is(err, dragon.ErrNotDragon):
		return downStranger
	}
	switch reason := dragon.Reason(err); reason {
	case downRefused, downUnreachable, downTimeout:
		return reason
	}
	return downResponse
}

type target struct {
	name     string // host[:port] as the operator wrote it
	asked    time.Time
	resolved string // the last address of the name; empty before there was one

	mu  sync.Mutex
	now TargetStatus
}

func (t *target) status() TargetStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// set stores the state of the target and returns the previous reason.
func (t *target) set(now TargetStatus) (before string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now.Name = t.name
	before, t.now = t.now.Reason, now
	return before
}

// look is the interval at which static targets are checked. A target that was never found
// is asked each time; a known one once per scan interval, and otherwise the fleet's
// readings tell its state.
const look = 30 * time.Second

// watch checks a static target until ctx is done.
func (s *Scanner) watch(ctx context.Context, t *target) {
	tick := time.Tick(look)
	for {
		s.visit(ctx, t)
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// visit asks a static target, and logs once why no dragon answers there. It reports
// whether one does.
func (s *Scanner) visit(ctx context.Context, t *target) bool {
	now := s.askTarget(ctx, t)
	if ctx.Err() != nil {
		return now.Up
	}
	before := t.set(now)
	up := 0.0
	if now.Up {
		up = 1
	}
	s.metrics.targetUp.WithLabelValues(t.name).Set(up)
	if before == now.Reason {
		return now.Up
	}
	if before != "" {
		s.metrics.targetDown.DeleteLabelValues(t.name, before)
	}
	if now.Reason != "" {
		s.metrics.targetDown.WithLabelValues(t.name, now.Reason).Set(1)
		said := level.Warn(s.cfg.Logger)
		if d := s.fleet.Lookup(now.Address); d != nil && d.Health().Expected != "" {
			said = level.Info(s.cfg.Logger) // our own write restarts it, or a person works on it
		}
		_ = said.Log("msg", "static target unreadable", "target", t.name, "address", now.Address, "reason", now.Reason, "err", now.Detail)
	}
	return now.Up
}

// askTarget returns the current state of a static target.
func (s *Scanner) askTarget(ctx context.Context, t *target) TargetStatus {
	address, err := s.resolve(ctx, t.name)
	if err != nil {
		return TargetStatus{Reason: downUnresolved, Detail: err.Error()}
	}
	now := TargetStatus{Address: address}
	if old := t.resolved; old != address {
		t.resolved = address
		if !s.otherwiseAsked(t, old) {
			s.unlock(old)
		}
	}
	if s.sites.set(t.name, address) {
		s.fleet.RefreshSite(address)
	}
	if d := s.fleet.Lookup(address); d != nil {
		if s.fleet.Answered(address, s.lately()) || time.Since(t.asked) < max(look, s.cfg.Interval) {
			return now.of(d.Health())
		}
	}
	t.asked = time.Now()
	switch a := s.ask(ctx, address, true); {
	case a.verdict == isDragon || a.verdict == isKnown:
		now.Up = true
	case a.verdict == isDown:
		if d := s.fleet.Lookup(address); d != nil {
			return now.of(d.Health())
		}
		now.Reason = downTimeout
	case a.err != nil:
		now.Reason, now.Detail = downReason(a.err), a.err.Error()
	default: // it was asked lately, and the answer holds
		last := t.status()
		now.Reason, now.Detail = last.Reason, last.Detail
		if now.Reason == "" {
			now.Reason = string(LockedPassword)
			if a.verdict == isStranger {
				now.Reason = downStranger
			}
		}
	}
	return now
}

// otherwiseAsked reports whether an address is scanned, or that of another target than t.
func (s *Scanner) otherwiseAsked(t *target, address string) bool {
	return s.hosts.contains(endpoint(address)) ||
		slices.ContainsFunc(s.targets, func(o *target) bool { return o != t && o.status().Address == address })
}

// of is the status of a known dragon.
func (s TargetStatus) of(h fleet.Health) TargetStatus {
	if s.Up = h.Up || h.Reason == ""; s.Up { // or it was never read
		return s
	}
	s.Reason = h.Reason
	if h.Err != nil {
		s.Reason, s.Detail = downReason(h.Err), h.Err.Error()
	}
	return s
}

// CheckTarget returns why a static target is invalid; nil for a host or host:port. It does
// not resolve names.
func CheckTarget(name string) error {
	_, _, err := splitTarget(name, 80)
	return err
}

func splitTarget(name string, usual uint16) (host string, port uint16, err error) {
	if strings.Contains(name, "://") {
		return "", 0, fmt.Errorf("dragon %q is not a host but a URL; write host or host:port", name)
	}
	host, port = name, usual
	if h, p, err := net.SplitHostPort(name); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("dragon %q: %q is not a port; write host or host:port with a port from 1 to 65535", name, p)
		}
		host, port = h, uint16(n)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, port, nil
	}
	if host == "" || strings.ContainsFunc(host, notOfName) {
		return "", 0, fmt.Errorf("dragon %q is not a host; write a name or address, with :port if it is another than usual, and nothing else", name)
	}
	return host, port, nil
}

func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
}

// resolve returns the address of a target as the fleet writes it, so that a name and a
// scan find the same dragon.
func (s *Scanner) resolve(ctx context.Context, name string) (string, error) {
	host, port, err := splitTarget(name, s.cfg.Port)
	if err != nil {
		return "", err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return hostPort(a.Unmap().String(), port), nil
	}
	addresses, err := s.cfg.Resolve(ctx, host)
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if a.Unmap().Is4() {
			return hostPort(a.Unmap().String(), port), nil
		}
	}
	if len(addresses) == 0 {
		return "", fmt.Errorf("%q has no address", host)
	}
	return hostPort(addresses[0].String(), port), nil
}

// Site returns the site of the static target whose name leads to an address, as the fleet
// writes it; empty if there is none, or it has none.
func (s *Scanner) Site(address string) string { return s.sites.at(address) }

// sites are the sites of static targets, by the last resolved address.
type sites struct {
	named map[string]string // by name, as configured

	mu      sync.Mutex
	leads   map[string]string // address by name
	address map[string]string // site by address
}

func newSites(targets []Target, before *sites) *sites {
	s := &sites{named: map[string]string{}, leads: map[string]string{}, address: map[string]string{}}
	for _, t := range targets {
		if t.Site != "" {
			s.named[t.Name] = t.Site
		}
	}
	if before != nil {
		before.mu.Lock()
		defer before.mu.Unlock()
		for name, address := range before.leads {
			s.set(name, address)
		}
	}
	return s
}

// set notes the address of a name, and reports whether the site there changed.
func (s *sites) set(name, address string) bool {
	site := s.named[name]
	if site == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.leads[name]; old != address {
		delete(s.address, old)
	}
	s.leads[name] = address
	changed := s.address[address] != site
	s.address[address] = site
	return changed
}

func (s *sites) at(address string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address[address]
}
