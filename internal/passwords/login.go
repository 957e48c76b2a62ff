package passwords

import (
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
		given = store.For(discovery.Neighbour(host))
		if len(given) == 0 {
			given = store.ForAddress(host)
		}
	}
	return append(given, slices.DeleteFunc(configured, func(x dragon.Credential) bool { return slices.Contains(given, x) })...)
}
