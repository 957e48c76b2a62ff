package passwords

import (
	"net"
	"net/netip"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Login returns the credentials to try at the login of the dragon at host: first those
// that the program has given to it, then the configured ones. Of a dragon that is not
// identified yet (info is nil), the neighbour table may know the MAC, or the store the address.
func Login(store *Store, host string, info *fleet.Info, configured []dragon.Credential) []dragon.Credential {
	var given []dragon.Credential
	if info != nil {
		given = store.For(info.MAC)
	} else {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = host
		}
		if a, err := netip.ParseAddr(name); err == nil {
			given = store.For(discovery.Neighbour(a))
		}
		if len(given) == 0 {
			given = store.ForAddress(host)
		}
	}
	return append(given, slices.DeleteFunc(configured, func(x dragon.Credential) bool { return slices.Contains(given, x) })...)
}
