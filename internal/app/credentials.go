package app

import (
	"cmp"
	"maps"
	"slices"
	"sync"
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
	neighbour func(host string) string // the MAC there; empty if unknown

	mu     sync.Mutex
	claims map[string]claim      // by host
	sites  map[string]lostOfSite // by site
}

// CredentialsFor returns a function that lists the credentials to try at a host. The fleet
// may be set later, but before the first login.
func CredentialsFor(dragons **fleet.Fleet, given *passwords.Store, current func() *config.Config) func(host string) []dragon.Credential {
	return newLogins(dragons, given, current).at
}

func newLogins(dragons **fleet.Fleet, given *passwords.Store, current func() *config.Config) *logins {
	return &logins{
		dragons: dragons, given: given, current: current, neighbour: discovery.Neighbour,
		claims: make(map[string]claim), sites: make(map[string]lostOfSite),
	}
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
			return known // nothing answers; a hall without power is asked often
		}
	}
	d := (*l.dragons).Lookup(l.neighbour(host))
	if d == nil || known != nil && d.Info().MAC != known.MAC && !l.mayBeAt(host, known, d) {
		return known
	}
	return d.Info()
}

// mayBeAt reports whether to believe that a dragon has come to the address of another one. Any host
// can claim any MAC, and would be told the password that goes with it: the dragon has to be away from
// its own address, of the same site, and the claim is another one at most as often as a login is tried.
func (l *logins) mayBeAt(host string, known *fleet.Info, d *fleet.Dragon) bool {
	i, h := d.Info(), d.Health()
	if i.Site != known.Site || i.IP != "" && (h.Up || h.Reason == "") {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	last, ok := l.claims[host]
	if ok && last.mac != i.MAC && now.Sub(last.at) < claimHolds {
		return false
	}
	if len(l.claims) >= claimsMost {
		clear(l.claims)
	}
	if !ok || last.mac != i.MAC {
		l.claims[host] = claim{i.MAC, now}
	}
	return true
}

// claim is the MAC that was believed at a host last, and since when.
type claim struct {
	mac string
	at  time.Time
}

const (
	claimHolds = 15 * time.Minute // as dragon.Options.LoginRetry
	claimsMost = 20_000
)

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
	site := l.current().Sites.Of(host)
	if known != nil {
		site = known.Info().Site
	}
	for _, d := range l.lost(site) {
		if i := d.Info(); d != known && (known != nil || i.IP == "") && len(list) < mostLostTried {
			add(l.of(host, i))
		}
	}
	if known != nil {
		add(l.current().Credentials.For(host, nil))
	}
	return list
}

// lostOfSite are the dragons of a site that are down, as they were a moment ago.
type lostOfSite struct {
	dragons []*fleet.Dragon
	at      time.Time
}

// lost returns the dragons of a site that are down, those that went down last first. The list is
// kept for a second: when a whole farm refuses its passwords, it is needed for every address.
func (l *logins) lost(site string) []*fleet.Dragon {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if known := l.sites[site]; !known.at.IsZero() && now.Sub(known.at) < time.Second {
		return known.dragons
	}
	since := make(map[*fleet.Dragon]time.Time)
	for _, d := range (*l.dragons).Dragons() {
		if h := d.Health(); d.Info().Site == site && d.Last() == nil && !h.Up && h.Reason != "" {
			since[d] = h.Since
		}
	}
	list := slices.SortedFunc(maps.Keys(since), func(a, b *fleet.Dragon) int {
		return cmp.Or(since[b].Compare(since[a]), cmp.Compare(a.Info().MAC, b.Info().MAC))
	})
	list = list[:min(len(list), mostLost)]
	l.sites[site] = lostOfSite{list, now}
	return list
}
