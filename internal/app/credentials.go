package app

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

// logins knows the credentials to try at a host.
type logins struct {
	dragons   **fleet.Fleet
	given     *passwords.Store
	current   func() *config.Config
	neighbour func(netip.Addr) string // the MAC at an address; empty if unknown
}

// CredentialsFor returns a function that lists the credentials to try at a host. The fleet
// may be set later, but before the first login.
func CredentialsFor(dragons **fleet.Fleet, given *passwords.Store, current func() *config.Config) func(host string) []dragon.Credential {
	return newLogins(dragons, given, current).at
}

func newLogins(dragons **fleet.Fleet, given *passwords.Store, current func() *config.Config) *logins {
	return &logins{dragons, given, current, discovery.Neighbour}
}

// at lists the credentials of the dragon at a host.
func (l *logins) at(host string) []dragon.Credential { return l.of(host, l.livesAt(host)) }

func (l *logins) of(host string, who *fleet.Info) []dragon.Credential {
	return passwords.Login(l.given, host, who, l.current().Credentials.For(host, who))
}

// livesAt returns which dragon lives at a host; nil if that is unknown. The neighbour table is
// the first to know that dragons have exchanged their addresses. A MAC of no known dragon says
// nothing: a bridge answers for the dragons behind it.
func (l *logins) livesAt(host string) *fleet.Info {
	var known *fleet.Info
	if d := (*l.dragons).Lookup(host); d != nil {
		known = d.Info()
		if reason := d.Health().Reason; reason != "" && reason != "auth" {
			return known // nobody answers, and a dark hall is asked often
		}
	}
	if a, ok := addressOf(host); ok {
		if mac := l.neighbour(a); mac != "" {
			if d := (*l.dragons).Lookup(mac); d != nil {
				return d.Info()
			}
		}
	}
	return known
}

func addressOf(host string) (netip.Addr, bool) {
	if e, err := netip.ParseAddrPort(host); err == nil {
		return e.Addr(), true
	}
	a, err := netip.ParseAddr(host)
	return a, err == nil
}

// Of lost dragons, so many of those lost last, and so many of their credentials, are tried
// at a host.
const (
	mostLost      = 64
	mostLostTried = 8
)

// ofLost lists credentials to try at a host that has refused its own: those of dragons of its
// site that are down, as one of them may live there now. At a host where no dragon is known,
// only of those whose addresses others have taken.
func (l *logins) ofLost(host string) (list []dragon.Credential) {
	known := (*l.dragons).Lookup(host)
	refused := l.at(host)
	add := func(credentials []dragon.Credential) {
		for _, c := range credentials {
			if len(list) < mostLostTried && !slices.Contains(refused, c) && !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	for _, who := range l.lost(host, known) {
		add(l.of(host, who))
	}
	if known != nil {
		add(l.current().Credentials.For(host, nil))
	}
	return list
}

// lost returns the dragons that may live at a host, those that went down last first.
func (l *logins) lost(host string, known *fleet.Dragon) []*fleet.Info {
	type lostDragon struct {
		*fleet.Info
		since time.Time
	}
	site := l.current().Sites.Of(host)
	if known != nil {
		site = known.Info().Site
	}
	var list []lostDragon
	for _, d := range (*l.dragons).Dragons() {
		i := d.Info()
		if d == known || i.Site != site || known == nil && i.IP != "" || d.Last() != nil {
			continue
		}
		if h := d.Health(); !h.Up && h.Reason != "" {
			list = append(list, lostDragon{i, h.Since})
		}
	}
	slices.SortFunc(list, func(a, b lostDragon) int {
		return cmp.Or(b.since.Compare(a.since), cmp.Compare(a.MAC, b.MAC))
	})
	infos := make([]*fleet.Info, 0, mostLost)
	for _, d := range list[:min(len(list), mostLost)] {
		infos = append(infos, d.Info)
	}
	return infos
}
