package dragontest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Traffic is what others did to a dragon. It is a copy.
type Traffic struct {
	Requests    map[string]int // by endpoint: summary, auth, …, upgrade/upload, index
	Connections int            // accepted by a server or fleet
	MaxInFlight int            // greatest number of requests at the same time; watching an upgrade does not count
	InFlight    int            // now

	Logins        int                       // that succeeded
	RefusedLogins int                       // wrong password, no such user
	Stale         int                       // requests answered "token expired"
	Credentials   map[dragon.Credential]int // every user with a password that was tried, by any means
	Forbidden     map[string]int            // calls of endpoints that must never be called, see Forbidden
}

// Total returns the number of requests.
func (t Traffic) Total() (n int) {
	for _, v := range t.Requests {
		n += v
	}
	return n
}

// Write is a request that was meant to change something, and allowed to.
type Write struct {
	At       time.Time // by the simulation's clock
	Endpoint string
	Form     url.Values // with the passwords in it
}

// Forbidden returns the endpoints that would lock a dragon's pools, change what it
// is or set its voltage. A simulated dragon only counts who calls them.
func Forbidden() []string {
	return []string{"setLock", "setPlatform", "setFreqVol"}
}

func newTraffic() Traffic {
	return Traffic{Requests: make(map[string]int), Credentials: make(map[dragon.Credential]int), Forbidden: make(map[string]int)}
}

// Traffic returns what others did to the dragon so far.
func (d *Dragon) Traffic() Traffic {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.traffic
	t.Requests, t.Credentials, t.Forbidden = maps.Clone(t.Requests), maps.Clone(t.Credentials), maps.Clone(t.Forbidden)
	return t
}

// ForgetTraffic sets everything that Traffic counts back to none, but for the
// requests that are in flight.
func (d *Dragon) ForgetTraffic() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.traffic.InFlight
	d.traffic = newTraffic()
	d.traffic.InFlight, d.traffic.MaxInFlight = now, now
}

// Writes returns the requests so far that were meant to change something, oldest first.
func (d *Dragon) Writes() []Write {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.writes)
}

func (d *Dragon) connected() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.traffic.Connections++
}

// enter counts a request and says what it is for. The caller holds d.mu.
func (d *Dragon) enter(r *http.Request) (endpoint string) {
	endpoint = endpointOf(r.URL.Path)
	t := &d.traffic
	t.Requests[endpoint]++
	if !aside(endpoint) {
		t.InFlight++
		t.MaxInFlight = max(t.MaxInFlight, t.InFlight)
	}
	if slices.Contains(Forbidden(), endpoint) {
		t.Forbidden[endpoint]++
	}
	return endpoint
}

// aside reports whether an endpoint is one that lasts, and is meant to be used beside
// another.
func aside(endpoint string) bool { return endpoint == "upgrade/ws" }
