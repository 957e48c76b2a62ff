package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// How many new dragons are taken in without a human. One host can answer for a whole
// network as many dragons, and each of them costs memory, series and history.
const (
	leastNew   = 200 // in one scan; or
	newShare   = 0.2 // of the known
	waitsShown = 4096
)

// intake decides which new dragons are taken in. It belongs to Fleet.mu.
type intake struct {
	most     int                 // Config.Most; 0: no limit
	first    bool                // the inventory was empty, and no complete scan has found any since
	left     int                 // new dragons until the next scan
	accepted map[string]bool     // MACs, or addresses, that a human has confirmed
	waiting  map[string]*Waiting // by address
	more     int                 // that wait and are not listed
	scan     time.Time           // when the last one began
	said     bool
}

// Waiting is a new dragon that waits for a human: too many were found at once.
type Waiting struct {
	Address string
	MAC     string // as it says
	Model   string
	Since   time.Time

	seen time.Time
}

func newIntake(most, known int) intake {
	i := intake{most: most, first: known == 0, accepted: map[string]bool{}, waiting: map[string]*Waiting{}}
	i.refill(known)
	return i
}

func (i *intake) refill(known int) {
	i.left = max(leastNew, int(newShare*float64(known)))
	if i.first {
		i.left = max(0, i.most-known)
	}
}

// ScanBegins allows as many new dragons as one scan may bring. complete says that the one
// before tried all addresses.
func (f *Fleet) ScanBegins(complete bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := &f.intake
	if complete {
		i.first = i.first && len(f.byWorker) == 0 && len(i.waiting) == 0
		for address, w := range i.waiting {
			if w.seen.Before(i.scan) { // the last scan did not meet it again
				delete(i.waiting, address)
			}
		}
	}
	i.more = 0
	i.scan = time.Now()
	i.refill(len(f.byWorker))
	i.said = i.said && len(i.waiting) > 0
}

// admits reports whether a new dragon is taken in. The caller holds f.mu.
func (f *Fleet) admits(mac string, s Sighting) bool {
	i := &f.intake
	known := len(f.byWorker)
	id := identity(mac, s.Address)
	switch {
	case i.most == 0 || s.Named:
	case i.accepted[id]:
		delete(i.accepted, id)
	case i.left > 0 && known < 2*i.most:
		i.left--
	default:
		f.wait(mac, s)
		return false
	}
	delete(i.waiting, s.Address)
	return true
}

// identity is what a human confirms: the MAC, or the address of a dragon without one.
func identity(mac, address string) string {
	if dragon.UsableMAC(mac) {
		return mac
	}
	return address
}

// wait notes a new dragon that is not taken in. The caller holds f.mu.
func (f *Fleet) wait(mac string, s Sighting) {
	i := &f.intake
	now := time.Now()
	switch w := i.waiting[s.Address]; {
	case w != nil && w.MAC == mac:
		w.seen = now
	case w != nil || len(i.waiting) < waitsShown:
		i.waiting[s.Address] = &Waiting{s.Address, mac, s.Identity.Overview.Model, now, now}
	default:
		i.more++
	}
	if !i.said {
		i.said = true
		f.logLater(level.WarnValue(), "too many new dragons at once", "known", len(f.byWorker), "most_in_all", 2*i.most,
			"advice", "mother-of-dragons inventory lists them, mother-of-dragons inventory accept adds them")
	}
}

// Waiting returns the new dragons that wait for a human, sorted by address, and how many
// more there are.
func (f *Fleet) Waiting() (list []Waiting, more int) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, w := range f.intake.waiting {
		list = append(list, *w)
	}
	slices.SortFunc(list, func(a, b Waiting) int { return cmp.Compare(a.Address, b.Address) })
	return list, f.intake.more
}

// Accept confirms new dragons that wait, by address, MAC or worker; all of them where the name
// is empty. It returns their addresses: they are taken in when they are sighted next.
func (f *Fleet) Accept(name string) (addresses []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, mac := &f.intake, normalMAC(name)
	for address, w := range i.waiting {
		if name == "" || address == normalAddress(name) || mac != "" && w.MAC == mac || dragon.WorkerName(w.MAC) == name {
			i.accepted[identity(w.MAC, address)] = true
			addresses = append(addresses, address)
		}
	}
	switch {
	case name == "":
		i.left += i.more
	case addresses == nil:
		return nil, fmt.Errorf("%w: %s", ErrNotWaiting, name)
	}
	slices.Sort(addresses)
	return addresses, nil
}

// Confirmed returns the addresses of accepted dragons that were not sighted since.
func (f *Fleet) Confirmed() (addresses []string) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if len(f.intake.accepted) == 0 {
		return nil
	}
	for address, w := range f.intake.waiting {
		if f.intake.accepted[identity(w.MAC, address)] {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// ErrNotWaiting says that no new dragon that waits has a name.
var ErrNotWaiting = errors.New("no new dragon waits by that name")

// Forget makes a dragon unknown at once, by worker, MAC or address. One that is still there may
// be found again, as a new one.
func (f *Fleet) Forget(name string) error {
	d := f.Lookup(name)
	if d == nil {
		return fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	f.mu.Lock()
	if i := d.Info(); f.byWorker[i.Worker] == d { // else it is gone meanwhile
		f.logLater(level.InfoValue(), "dragon forgotten on request", "worker", i.Worker, "mac", i.MAC, "address", i.Address)
		f.drop(d)
	}
	f.mu.Unlock()
	f.file.atOnce()
	f.flushLog()
	return nil
}

// ErrUnknown says that no known dragon has a name.
var ErrUnknown = errors.New("no such dragon in the inventory")

// Retire keeps a dragon, by worker, MAC or address, in the inventory until a time, also if
// it is gone for longer than the retention time. A zero time ends that.
func (f *Fleet) Retire(name string, until time.Time) (*Info, error) {
	d := f.Lookup(name)
	if d == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	d.mu.Lock()
	d.retired = until.Round(0)
	d.mu.Unlock()
	f.file.atOnce()
	return d.Info(), nil
}

// RetiredUntil is until when the dragon is retired; zero: it is not.
func (d *Dragon) RetiredUntil() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.retired
}

func (d *Dragon) isRetired(now time.Time) bool {
	return now.Before(d.RetiredUntil())
}
