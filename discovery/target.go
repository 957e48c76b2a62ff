package discovery

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log/level"
)

// Target is a dragon that the operator names.
type Target struct {
	Name string // host or host:port; a name is resolved at each try
	Site string // of the dragon, wherever its name leads; empty: the site of its address
}

// target is a Target, and how it is.
type target struct {
	name   string // host[:port] as the operator wrote it
	asked  time.Time
	broken bool // it could not be resolved, which was said
}

// look is how often static targets are looked after. One that was never found is asked
// as often; one that is known is asked once in a scan interval, and otherwise the
// fleet's own readings tell how it is.
const look = 30 * time.Second

// watch looks after a static target until ctx is done.
func (s *Scanner) watch(ctx context.Context, t *target) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		up := 0.0
		if s.visit(ctx, t) {
			up = 1
		}
		s.metrics.targetUp.WithLabelValues(t.name).Set(up)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// visit reports whether a dragon answers at a static target.
func (s *Scanner) visit(ctx context.Context, t *target) bool {
	address, err := s.resolve(ctx, t.name)
	if err != nil {
		if !t.broken && ctx.Err() == nil {
			level.Warn(s.cfg.Logger).Log("msg", "static target has no address", "target", t.name, "err", err)
			t.broken = true
		}
		return false
	}
	t.broken = false
	if s.sites.set(t.name, address) {
		s.fleet.RefreshSite(address)
	}
	if d := s.fleet.Lookup(address); d != nil {
		h := d.Health()
		neverRead := !h.Up && h.Reason == ""
		if s.fleet.Answered(address, s.lately()) || time.Since(t.asked) < max(look, s.cfg.Interval) {
			return h.Up || neverRead
		}
	}
	t.asked = time.Now()
	a := s.ask(ctx, address)
	return a.verdict == isDragon || a.verdict == isKnown
}

// CheckTarget reports what is wrong with a static target, nil if it is a host or
// host:port. It does not resolve names.
func CheckTarget(name string) error {
	_, _, err := splitTarget(name, 80)
	return err
}

// splitTarget takes a static target apart.
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

// resolve returns the fleet's name for a target. Names become addresses here, so that a
// dragon that is found by name and by a scan is one and the same.
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

// sites are those of static targets, by the address that each name led to last.
type sites struct {
	named map[string]string // by name, as configured

	mu      sync.Mutex
	leads   map[string]string // address by name
	address map[string]string // site by address
}

// newSites are those of targets, whose names lead where they led before.
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

// set notes where a name leads, and reports whether the site there is another now.
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
