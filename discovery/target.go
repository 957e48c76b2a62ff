package discovery

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log/level"
)

// target is a static target: a dragon that the operator named.
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
	if d := s.fleet.Lookup(address); d != nil {
		h := d.Health()
		neverRead := !h.Up && h.Reason == ""
		if s.fleet.Answered(address, s.lately()) || time.Since(t.asked) < max(look, s.cfg.Interval) {
			return h.Up || neverRead
		}
	}
	t.asked = time.Now()
	_, v := s.ask(ctx, address)
	return v == isDragon || v == isKnown
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
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
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
