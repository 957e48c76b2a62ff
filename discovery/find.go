package discovery

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// ErrUnknownTarget says that the target is unknown or not allowed. The two are not
// distinguished, so that the error reveals nothing.
var ErrUnknownTarget = errors.New("no known dragon, and no dragon at an address of the configured networks")

// Find returns the dragon that target names: a known one by worker, MAC or address,
// or by its host alone where it is the only one there, whatever its port; else one at an address of the networks, or at a static target spelled as configured,
// which is asked now. Where an address is scanned at several ports, one of them has to be
// named. Any other target is ErrUnknownTarget: no name, port, scheme or
// other form of address makes this program connect somewhere.
func (s *Scanner) Find(ctx context.Context, target string) (*fleet.Dragon, error) {
	if d := s.fleet.Lookup(target); d != nil {
		return d, nil
	}
	if d := s.alone(target); d != nil {
		return d, nil
	}
	address, ok := s.allowed(ctx, target)
	if !ok {
		return nil, ErrUnknownTarget
	}
	if err := s.finding.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.finding.Release(1)
	s.ask(ctx, address, s.named(address))
	if d := s.fleet.Lookup(address); d != nil {
		return d, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, ErrUnknownTarget
}

// Look identifies the host at an address of the networks or of a static target at once,
// also if it rejected our credentials lately. It reports whether it is a dragon.
func (s *Scanner) Look(ctx context.Context, address string) bool {
	e := endpoint(address)
	named := s.named(address)
	if !named && !s.hosts.contains(e) {
		return false
	}
	if e.Addr().IsValid() {
		address = key(e)
	}
	s.nonDragons.forget(address)
	s.refused.forget(address)
	v := s.ask(ctx, address, named).verdict
	return v == isDragon || v == isKnown
}

// named reports whether an address is that of a static target.
func (s *Scanner) named(address string) bool {
	return slices.ContainsFunc(s.targets, func(t *target) bool { return t.name == address || t.status().Address == address })
}

// alone returns the only known dragon at a host that is named without a port. This is for
// typed targets only: a resolved address includes its port.
func (s *Scanner) alone(host string) (found *fleet.Dragon) {
	if _, err := netip.ParseAddr(host); err != nil {
		return nil
	}
	for _, d := range s.fleet.Dragons() {
		if d.Info().IP != host {
			continue
		}
		if found != nil {
			return nil
		}
		found = d
	}
	return found
}

// allowed returns the address to ask for a target, and whether it may be asked.
func (s *Scanner) allowed(ctx context.Context, target string) (string, bool) {
	for _, t := range s.targets {
		if t.name == target {
			address, err := s.resolve(ctx, target)
			return address, err == nil
		}
	}
	if a, err := netip.ParseAddr(target); err == nil {
		if ports := s.hosts.ports(a); len(ports) == 1 {
			return hostPort(target, ports[0]), true
		}
		return "", false
	}
	// Only if the address alone is ambiguous.
	if e, err := netip.ParseAddrPort(target); err == nil && s.hosts.contains(e) && len(s.hosts.ports(e.Addr())) > 1 {
		return key(e), true
	}
	return "", false
}
