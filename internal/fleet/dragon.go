package fleet

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Info is what is known of a dragon beside its readings.
type Info struct {
	Worker    string // dragon- + last 8 hex digits of the MAC; in a conflict also @address
	MAC       string // lower case with colons; empty or all zero in a conflict
	Address   string // host, or host:port where it is not port 80: where it was seen last
	IP        string // the host of Address; empty where another dragon lives there now
	SharesIP  bool   // dragons live at several ports of it
	Brand     dragon.Brand
	Model     string
	Firmware  string
	HWVersion string
	Site      string
	Labels    *Labels // nil: none
	FirstSeen time.Time
	LastSeen  time.Time // last successful reading or identification; up to ten minutes behind while the dragon is up
	Conflict  bool      // another dragon has the same MAC, or this one has none
}

// IPLabel is the IP, with the port where several dragons share the IP.
func (i *Info) IPLabel() string {
	if i.SharesIP && i.IP != "" {
		return i.Address
	}
	return i.IP
}

// lastSeenLag is how far Info.LastSeen may be behind, so that an Info, and what is
// cached by its pointer, outlives a reading.
const lastSeenLag = 10 * time.Minute

// Dragon is a known dragon. Its methods may be called from any goroutine.
type Dragon struct {
	fleet *Fleet
	mac   string // normalMAC of what it reports; one that does not identify is allowed
	info  atomic.Pointer[Info]
	lane  lane
	facts atomic.Pointer[Facts]

	mu       sync.Mutex      // guards what follows and the lane; never held across I/O
	endpoint *endpoint       // nil where another dragon lives at the last address
	overview json.RawMessage // as dragon.KnownOverview gives it
	lastSeen time.Time
	retired  time.Time    // it is not forgotten before
	ahead    [2]time.Time // FirstSeen and LastSeen of the inventory, where they were in the future
	health   health
	life     life
	boards   shownBoards

	factPolls     [len(facts)]factPoll
	firmwareAsked time.Time

	noDetail string // the firmware that has no getErrorDetail; guarded by the lane
}

// endpoint is an address where a dragon is reached, with its session. A dragon that moves gets
// a new one.
type endpoint struct {
	address string
	client  *dragon.Client
	ctx     context.Context // done when the dragon no longer lives there, or the fleet ends
	leave   context.CancelFunc

	outOfBandOnce sync.Once
	outOfBand     *dragon.Client

	session session // guarded by the lane
}

func (f *Fleet) newEndpoint(address string, c *dragon.Client) *endpoint {
	p := &endpoint{address: address, client: c}
	p.ctx, p.leave = context.WithCancel(f.ctx)
	return p
}

// Info returns what is known of the dragon. The value is shared and never changes;
// a change makes a new one, so its pointer can key a cache of labels.
func (d *Dragon) Info() *Info { return d.info.Load() }

// change makes a new Info, if fn changes anything. The caller holds d.mu.
func (d *Dragon) change(fn func(*Info)) (changed bool) {
	old := d.info.Load()
	i := *old
	fn(&i)
	if i == *old {
		return false
	}
	d.info.Store(&i)
	return true
}

// learn takes the identity from an overview. The caller holds d.mu.
func (d *Dragon) learn(brand dragon.Brand, ov *dragon.Overview) (changed bool) {
	if kept := dragon.KnownOverview(ov.Raw); kept != nil {
		d.overview = kept
	}
	return d.change(func(i *Info) {
		set(&i.Brand, brand)
		set(&i.Model, ov.Model)
		set(&i.Firmware, ov.Firmware)
		set(&i.HWVersion, ov.HWVersion)
	})
}

// set keeps the old value where the new one is empty: a field that could not be read
// once is not a change.
func set[T ~string](to *T, v T) {
	if v != "" {
		*to = v
	}
}

// sawItself notes that the dragon answered as itself. The caller holds d.mu.
func (d *Dragon) sawItself(at time.Time) {
	if at.Before(d.lastSeen) {
		return
	}
	d.lastSeen = at
	if at.Sub(d.Info().LastSeen) >= lastSeenLag {
		d.publishLastSeen()
	}
}

func (d *Dragon) publishLastSeen() {
	d.change(func(i *Info) { i.LastSeen = d.lastSeen })
}

// seen is the exact LastSeen.
func (d *Dragon) seen() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lastSeen
}

// silentSince returns how long a dragon that does not answer has not been seen; zero for one
// that answers or was not asked.
func (d *Dragon) silentSince(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.health.down {
		return 0
	}
	return now.Sub(d.lastSeen)
}

// moveTo makes p the dragon's endpoint. That it was down concerned another one. The caller
// holds d.mu.
func (d *Dragon) moveTo(p *endpoint) {
	if d.endpoint != nil {
		d.endpoint.leave()
	}
	d.endpoint = p
	d.health.reset()
	d.change(func(i *Info) {
		i.Address, i.IP = p.address, hostOf(p.address)
		d.findSite(i)
	})
}

// clearAddress takes the endpoint away: another dragon answers there. The dragon stays down
// until it is sighted elsewhere. The caller holds d.mu.
func (d *Dragon) clearAddress(why error) {
	if d.endpoint != nil {
		d.endpoint.leave()
		d.endpoint = nil
	}
	d.change(func(i *Info) { i.IP = "" })
	d.failed("unreachable", why, time.Now())
}
