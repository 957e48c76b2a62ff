package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Sighting is a dragon that was identified at an address.
type Sighting struct {
	Address  string // host, or host:port where it is not port 80
	Client   *dragon.Client
	Identity *dragon.Identity
	Named    bool // the operator has named it
}

// Change is what a sighting meant for the fleet.
type Change string

// The changes.
const (
	Unchanged Change = "unchanged"
	Added     Change = "added"
	Moved     Change = "moved"
	Conflict  Change = "conflict"
	Refused   Change = "refused" // too many claim that MAC already
	Waits     Change = "waits"   // too many new ones; it waits for a human
)

// mostClaims is how many addresses may claim one MAC. A host that answers for a whole
// network as the same dragon would otherwise fill the fleet, each of its claims being
// held against all the others. Dragons without a usable MAC are told apart by their
// address, so the operator may name as many of them as there are.
const mostClaims = 32

// crowded reports whether another claim of a MAC is one too many. The caller holds f.mu.
func (f *Fleet) crowded(mac string, s Sighting) bool {
	return len(f.byMAC[mac]) >= mostClaims && (dragon.UsableMAC(mac) || !s.Named)
}

// conflictEnds is how long one of two claimants of a MAC is silent, while the other
// answers, before they are taken for one dragon that moved. It is long because the
// end renames series: a claimant that restarts, or is switched off for a day's
// work, must not make them flap.
const conflictEnds = 24 * time.Hour

// Sighted takes in an identified dragon. Where its MAC is known at another address,
// that address is asked who it is now, so it may take a request's time.
//
// Only addresses that both answer with the same MAC make a conflict; a dragon that
// does not answer at its old address has moved. Each claimant is then a Dragon of its
// own, until one is identified as another dragon, or is silent for a day while another
// answers, or is forgotten. Dragons that report no MAC, or zeros, are told apart
// by their address and always in conflict, as are two whose MACs differ but end in
// the same eight digits.
func (f *Fleet) Sighted(ctx context.Context, s Sighting) Change {
	defer f.flushLog()
	change, strangers := f.sight(ctx, s)
	// At the old address of a dragon that moved another one may have answered, whose
	// own old address is taken by a third. Each round gives one its place, so it ends.
	for len(strangers) > 0 && ctx.Err() == nil {
		_, more := f.sight(ctx, strangers[0])
		strangers = append(strangers[1:], more...)
	}
	return change
}

// sight takes in one sighting, and returns the strangers met at the dragon's former addresses.
func (f *Fleet) sight(ctx context.Context, s Sighting) (Change, []Sighting) {
	if s.Identity == nil || s.Identity.Overview == nil {
		return Unchanged, nil
	}
	s.Address = normalAddress(s.Address)
	mac := normalMAC(s.Identity.Overview.MAC)
	f.mu.RLock()
	refused := f.byAddress[s.Address] == nil && f.crowded(mac, s)
	f.mu.RUnlock()
	if refused {
		return Refused, nil
	}
	var strangers []Sighting
	answered := make(map[*endpoint]bool) // by former address: whether the dragon still answers there
	for range 5 {                        // others may change the fleet while we ask
		f.mu.Lock()
		unasked := f.formerEndpoints(mac, s.Address, answered)
		if len(unasked) == 0 {
			change := f.takeIn(mac, s, answered)
			f.mu.Unlock()
			if change != Unchanged {
				f.file.changed()
			}
			return change, strangers
		}
		f.mu.Unlock()
		for p, d := range unasked {
			there, stranger := d.answersAt(ctx, p)
			answered[p] = there
			if stranger != nil {
				strangers = append(strangers, *stranger)
			}
		}
	}
	return Unchanged, strangers
}

// formerEndpoints returns the endpoints, other than address, of dragons with this MAC that
// have to be asked. One that is known to be down need not be: its retries ask it all the time.
func (f *Fleet) formerEndpoints(mac, address string, answered map[*endpoint]bool) map[*endpoint]*Dragon {
	if owner := f.byAddress[address]; !dragon.UsableMAC(mac) || owner != nil && owner.mac == mac {
		return nil
	}
	unasked := make(map[*endpoint]*Dragon)
	for _, d := range f.byMAC[mac] {
		d.mu.Lock()
		if _, asked := answered[d.endpoint]; d.endpoint != nil && !asked {
			if d.health.down {
				answered[d.endpoint] = false
			} else {
				unasked[d.endpoint] = d
			}
		}
		d.mu.Unlock()
	}
	return unasked
}

// answersAt asks which dragon answers at p.
func (d *Dragon) answersAt(ctx context.Context, p *endpoint) (there bool, stranger *Sighting) {
	ctx, cancel := context.WithTimeout(ctx, d.fleet.timeout())
	defer cancel()
	if d.acquire(ctx, useOther) != nil {
		return false, nil
	}
	defer d.release()
	_ = d.recoverPanic("asking who it is", func() error {
		ov, err := p.client.Overview(ctx)
		if err != nil {
			return err
		}
		if mac := normalMAC(ov.MAC); dragon.UsableMAC(mac) && mac != d.mac {
			stranger = sightingOf(ctx, p, ov)
			return nil
		}
		there = true
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sawItself(time.Now())
		return nil
	})
	return there, stranger
}

// sightingOf makes a sighting of the device that answered with ov at p; nil if it is not a
// dragon, which an overview alone does not show. Only the start page shows the brand; if that
// cannot be read, the brand stays unknown. It has no client: to that of p, whose token the swap
// ended, the next swap would be a login that failed.
func sightingOf(ctx context.Context, p *endpoint, ov *dragon.Overview) *Sighting {
	s := &Sighting{Address: p.address, Identity: &dragon.Identity{Overview: ov}}
	id, err := p.client.Identify(ctx)
	switch {
	case errors.Is(err, dragon.ErrNotDragon):
		return nil
	case err == nil && id != nil && id.Overview != nil:
		s.Identity = id
	}
	return s
}

// replaceAtAddress clears the address of d, where a reading met another dragon, and takes that
// one in.
func (f *Fleet) replaceAtAddress(d *Dragon, p *endpoint, e *strangerError) {
	f.mu.Lock()
	if d.currentEndpoint() == p {
		f.displace(d, e)
	}
	f.mu.Unlock()
	f.file.changed()
	f.spawn(func() {
		ctx, cancel := context.WithTimeout(f.ctx, 3*f.timeout())
		defer cancel()
		_ = d.recoverPanic("meeting a stranger", func() error {
			if s := sightingOf(ctx, p, e.overview); s != nil {
				f.Sighted(ctx, *s)
			}
			return nil
		})
	})
	f.flushLog()
}

// takeIn applies a sighting. The caller holds f.mu.
func (f *Fleet) takeIn(mac string, s Sighting, answered map[*endpoint]bool) Change {
	owner := f.byAddress[s.Address]
	if owner != nil && (owner.mac == mac || !dragon.UsableMAC(mac)) { // a MAC unreadable once is not another dragon
		f.seenAgain(owner, s)
		return Unchanged
	}
	if owner != nil {
		f.displace(owner, &strangerError{address: s.Address, want: owner.mac, overview: s.Identity.Overview})
	}
	var mover *Dragon
	if dragon.UsableMAC(mac) {
		for _, d := range f.byMAC[mac] {
			if p := d.currentEndpoint(); p == nil || !answered[p] {
				mover = d
				break
			}
		}
	}
	p := f.sightedEndpoint(s)
	if mover != nil {
		from := mover.Info().Address
		f.move(mover, p, s)
		f.logLater(level.InfoValue(), "dragon moved", "worker", mover.Info().Worker, "from", from, "to", s.Address)
		return Moved
	}
	if f.crowded(mac, s) { // others came in between
		return Refused
	}
	if !f.admits(mac, s) {
		p.leave()
		return Waits
	}
	now := time.Now()
	d := f.add(mac, Info{FirstSeen: now, LastSeen: now}, p, s)
	i := d.Info()
	if i.Conflict {
		f.logLater(level.WarnValue(), "MAC conflict, labels carry the address",
			"worker", i.Worker, "mac", mac, "address", s.Address)
		if f.crowded(mac, s) {
			f.logLater(level.ErrorValue(), "too many addresses with one MAC", "mac", mac, "addresses", mostClaims)
		}
		return Conflict
	}
	f.logLater(level.InfoValue(), "dragon found", "worker", i.Worker, "address", s.Address, "model", i.Model, "firmware", i.Firmware)
	return Added
}

// sightedEndpoint is an endpoint with the session that the sighting left there.
func (f *Fleet) sightedEndpoint(s Sighting) *endpoint {
	if s.Client == nil {
		s.Client = dragon.New(s.Address, f.config.Client)
	}
	p := f.newEndpoint(s.Address, s.Client)
	p.session = session{overview: withoutText(s.Identity.Overview), logins: s.Client.Logins(),
		due: time.Now().Add(f.overviewDue(normalMAC(s.Identity.Overview.MAC)))}
	return p
}

// seenAgain notes that a dragon was identified where it lives. If it was down, it is
// asked at once, by the session that has just worked: its own may have been refused.
func (f *Fleet) seenAgain(d *Dragon, s Sighting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sawItself(time.Now())
	if d.learn(s.Identity.Brand, s.Identity.Overview) {
		f.file.changed()
	}
	if d.health.down {
		d.endpoint.leave()
		d.endpoint = f.sightedEndpoint(s)
		d.retryNow()
	}
}

// add makes a new dragon that lives at p. The caller holds f.mu.
func (f *Fleet) add(mac string, i Info, p *endpoint, s Sighting) *Dragon {
	d := &Dragon{fleet: f, mac: mac, lane: newLane(), lastSeen: i.LastSeen}
	i.MAC = mac
	d.findLabels(&i)
	d.info.Store(&i)
	d.mu.Lock()
	d.moveTo(p)
	d.learn(s.Identity.Brand, s.Identity.Overview)
	d.mu.Unlock()
	f.enter(d)
	f.occupy(p.address, d)
	f.relabel(dragon.WorkerName(mac))
	return d
}

// occupy notes that d lives at an address. The caller holds f.mu, and no dragon's.
func (f *Fleet) occupy(address string, d *Dragon) {
	if f.byAddress[address] != nil {
		f.vacate(address)
	}
	f.byAddress[address] = d
	host := hostOf(address)
	f.byHost[host] = append(f.byHost[host], d)
	f.shareHost(host)
}

// vacate notes that an address is unused. The caller holds f.mu, and no dragon's.
func (f *Fleet) vacate(address string) {
	d, host := f.byAddress[address], hostOf(address)
	delete(f.byAddress, address)
	f.byHost[host] = slices.DeleteFunc(f.byHost[host], func(o *Dragon) bool { return o == d })
	if len(f.byHost[host]) == 0 {
		delete(f.byHost, host)
	}
	f.shareHost(host)
}

// shareHost says whether the dragons at a host share its IP.
func (f *Fleet) shareHost(host string) {
	list := f.byHost[host]
	for _, d := range list {
		d.mu.Lock()
		d.change(func(i *Info) { i.SharesIP = len(list) > 1 })
		d.mu.Unlock()
	}
}

// enter files d under its MAC and name. The caller holds f.mu and relabels.
func (f *Fleet) enter(d *Dragon) {
	name := dragon.WorkerName(d.mac)
	f.byMAC[d.mac] = append(f.byMAC[d.mac], d)
	f.byName[name] = append(f.byName[name], d)
}

// move gives a known dragon a new endpoint. The caller holds f.mu.
func (f *Fleet) move(d *Dragon, p *endpoint, s Sighting) {
	if old := d.currentEndpoint(); old != nil {
		f.vacate(old.address)
	}
	f.occupy(p.address, d)
	d.mu.Lock()
	d.moveTo(p)
	d.learn(s.Identity.Brand, s.Identity.Overview)
	d.sawItself(time.Now())
	d.publishLastSeen()
	d.mu.Unlock()
	f.relabel(dragon.WorkerName(d.mac))
}

// displace clears the address of d, since another dragon answers there. A dragon with a MAC of
// its own stays known; one that only had its address is dropped, and of two with one MAC the
// other one stays. The caller holds f.mu.
func (f *Fleet) displace(d *Dragon, why error) {
	if p := d.currentEndpoint(); p != nil && f.byAddress[p.address] == d {
		f.vacate(p.address)
	}
	d.mu.Lock()
	d.clearAddress(why)
	d.mu.Unlock()
	if !dragon.UsableMAC(d.mac) || len(f.byMAC[d.mac]) > 1 {
		f.drop(d)
		return
	}
	f.relabel(dragon.WorkerName(d.mac))
}

var errForgotten = errors.New("forgotten")

// drop makes d unknown. The caller holds f.mu.
func (f *Fleet) drop(d *Dragon) {
	name := dragon.WorkerName(d.mac)
	isD := func(o *Dragon) bool { return o == d }
	if f.byMAC[d.mac] = slices.DeleteFunc(f.byMAC[d.mac], isD); len(f.byMAC[d.mac]) == 0 {
		delete(f.byMAC, d.mac)
	}
	if f.byName[name] = slices.DeleteFunc(f.byName[name], isD); len(f.byName[name]) == 0 {
		delete(f.byName, name)
	}
	if p := d.currentEndpoint(); p != nil && f.byAddress[p.address] == d {
		f.vacate(p.address)
	}
	i := d.Info()
	delete(f.byWorker, i.Worker)
	d.mu.Lock()
	d.clearAddress(fmt.Errorf("dragon %s: %w", i.Address, errForgotten))
	past, boards, asked, latest := d.life.clone(), d.boards.most, d.firmwareAsked, d.Facts().Firmware
	d.mu.Unlock()
	alone := dragon.UsableMAC(d.mac) && len(f.byMAC[d.mac]) == 1 // of several, it is unknown which one it was
	for _, other := range f.byMAC[d.mac] {                       // the same dragon, as it turned out
		other.mu.Lock()
		other.change(func(o *Info) {
			if dragon.UsableMAC(d.mac) && i.FirstSeen.Before(o.FirstSeen) {
				o.FirstSeen = i.FirstSeen
			}
		})
		if alone {
			other.life.merge(past)
			other.boards.most = max(other.boards.most, boards)
			other.inheritFirmware(asked, latest)
		}
		other.mu.Unlock()
	}
	f.relabel(name)
	f.file.changed()
}

// othersAnswer reports whether another claimant of d's MAC was seen lately.
func (f *Fleet) othersAnswer(d *Dragon, now time.Time) bool {
	return dragon.UsableMAC(d.mac) && slices.ContainsFunc(f.byMAC[d.mac], func(o *Dragon) bool {
		return o != d && now.Sub(o.seen()) < time.Hour
	})
}

// relabel gives the dragons of one worker name labels that differ: where there is
// more than one, or no MAC, each carries its address; one whose address is another's
// now, its whole MAC. The caller holds f.mu.
func (f *Fleet) relabel(name string) {
	f.sorted.Store(nil)
	group := f.byName[name]
	for _, d := range group {
		if w := d.Info().Worker; f.byWorker[w] == d {
			delete(f.byWorker, w)
		}
	}
	for _, d := range group {
		conflict := len(group) > 1 || !dragon.UsableMAC(d.mac)
		d.mu.Lock()
		d.change(func(i *Info) {
			i.Worker, i.Conflict = name, conflict
			switch {
			case conflict && d.endpoint != nil:
				i.Worker += "@" + d.endpoint.address
			case conflict:
				i.Worker += "@" + strings.ReplaceAll(d.mac, ":", "")
			}
		})
		d.mu.Unlock()
		f.byWorker[d.Info().Worker] = d
	}
}
