// Package fleet holds the known dragons, each with the lane that all traffic to it
// goes through.
package fleet

import (
	"context"
	"net/netip"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Config says where the inventory lives and how dragons are talked to.
type Config struct {
	Dir           string                  // of the inventory; empty keeps it in memory only
	InventoryFile string                  // also written in the original tool's form, if set
	Retention     time.Duration           // after which a vanished dragon is forgotten
	Client        dragon.Options          // for dragons that the inventory remembers
	Site          func(netip.Addr) string // the site that an address belongs to; may be nil
	Logger        log.Logger
	Registerer    prometheus.Registerer   // may be nil
	OnReading     func(*Dragon, *Reading) // offered every fresh reading; must not block; may be nil
}

// Fleet is the set of known dragons.
type Fleet struct{}

// Open loads the inventory. A corrupt file is set aside, said in the log, and is no error.
func Open(c Config) (*Fleet, error) { return nil, nil }

// Run retries dragons that are down, forgets those that have been gone for the
// retention time, and saves the inventory, until ctx is done. It saves once more
// before it returns.
func (f *Fleet) Run(ctx context.Context) error { return nil }

// Dragons returns the known dragons sorted by worker. The slice is shared: do not change it.
func (f *Fleet) Dragons() []*Dragon { return nil }

// Lookup finds a known dragon by worker, MAC (any spelling) or address (host or
// host:port); nil if there is none.
func (f *Fleet) Lookup(target string) *Dragon { return nil }

// Answered reports whether a known dragon at address was read since t.
func (f *Fleet) Answered(address string, t time.Time) bool { return false }

// Sighting is a dragon that was identified at an address.
type Sighting struct {
	Address  string // host, or host:port where it is not port 80
	Client   *dragon.Client
	Identity *dragon.Identity
}

// Change is what a sighting meant for the fleet.
type Change string

// The changes.
const (
	Unchanged Change = "unchanged"
	Added     Change = "added"
	Moved     Change = "moved"
	Conflict  Change = "conflict"
)

// Sighted takes in an identified dragon. Where its MAC is known at another address,
// that address is asked who it is now, so it may take a request's time.
func (f *Fleet) Sighted(ctx context.Context, s Sighting) Change { return Unchanged }

// Info is what is known of a dragon beside its readings.
type Info struct {
	Worker    string // dragon- + last 8 hex digits of the MAC; in a conflict also @address
	MAC       string // lower case with colons; empty or all zero in a conflict
	Address   string // host, or host:port where it is not port 80: where it was seen last
	IP        string // the host of Address
	Brand     dragon.Brand
	Model     string
	Firmware  string
	HWVersion string
	Site      string
	FirstSeen time.Time
	LastSeen  time.Time // last successful reading or identification
	Conflict  bool      // another dragon claims the same MAC, or there is none
}

// Reading is one dragon read once. It is shared between its consumers: do not change it.
type Reading struct {
	Summary  *dragon.Summary
	Overview *dragon.Overview // up to five minutes older than Summary
	At       time.Time        // when the reading was complete
	Took     time.Duration
}

// Reasons are the values of dragon_scrape_failures_total's reason, in order.
var Reasons = []string{"timeout", "refused", "unreachable", "auth", "response", "budget"}

// Health is how a dragon's readings went. It is a copy.
type Health struct {
	Up          bool      // the last attempt succeeded
	Reason      string    // why not: one of Reasons; empty while up or never tried
	Err         error     // of the last attempt
	Since       time.Time // the last change of Up
	LastSuccess time.Time // zero if never
	Failures    []uint64  // by index of Reasons
	ParseErrors map[string]uint64
	Busy        string // the action that holds the lane, empty if none
}

// Dragon is a known dragon. Its methods may be called from any goroutine.
type Dragon struct{}

// Info returns what is known of the dragon. The value is shared and never changes;
// a change makes a new one, so its pointer can key a cache of labels.
func (d *Dragon) Info() *Info { return nil }

// Health returns how its readings went.
func (d *Dragon) Health() Health { return Health{} }

// Read returns a reading that is at most maxAge old: the last one, the one under
// way (joined; its request ends when the last waiter leaves), or a new one. A dragon
// that is known to be down answers at once with a *DownError, one whose lane is held
// by a write with a *BusyError, neither being contacted.
func (d *Dragon) Read(ctx context.Context, maxAge time.Duration) (*Reading, error) { return nil, nil }

// Last returns the newest reading, nil if there is none or the last attempt failed.
func (d *Dragon) Last() *Reading { return nil }

// SkippedForBudget counts a reading that a scrape had no time left for.
func (d *Dragon) SkippedForBudget() {}

// Do runs fn when the lane is free: for reads other than the summary.
func (d *Dragon) Do(ctx context.Context, fn func(context.Context, *dragon.Client) error) error {
	return nil
}

// Write runs fn alone on the lane; until it returns, Read answers with a *BusyError
// that names action.
func (d *Dragon) Write(ctx context.Context, action string, fn func(context.Context, *dragon.Client) error) error {
	return nil
}

// DownError says that a dragon is known to be down and was not asked.
type DownError struct {
	Reason string
	Since  time.Time
	Err    error // of the last attempt
}

func (e *DownError) Error() string { return "" }
func (e *DownError) Unwrap() error { return e.Err }

// BusyError says that a write holds the lane.
type BusyError struct{ Action string }

func (e *BusyError) Error() string { return "" }
