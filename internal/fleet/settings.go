package fleet

import (
	"cmp"
	"time"
)

// Settings are what may change while a Fleet lives.
type Settings struct {
	Retention time.Duration // as in Config
	Timeout   time.Duration // of one reading, however many requests it takes; as dragon.Options.Timeout
}

func settled(s Settings) *Settings {
	return &Settings{cmp.Or(max(s.Retention, 0), defaultRetention), cmp.Or(max(s.Timeout, 0), defaultTimeout)}
}

func (f *Fleet) timeout() time.Duration { return f.set.Load().Timeout }

// Change applies new settings, and asks Config.Site and Config.Labels again for every dragon.
func (f *Fleet) Change(s Settings) {
	f.set.Store(settled(s))
	for _, d := range f.Dragons() {
		d.mu.Lock()
		d.change(func(i *Info) {
			d.findSite(i)
			d.findLabels(i)
		})
		d.mu.Unlock()
	}
}

// RefreshSite has Config.Site asked again for the dragon at an address.
func (f *Fleet) RefreshSite(address string) {
	f.mu.RLock()
	d := f.byAddress[normalAddress(address)]
	f.mu.RUnlock()
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.change(d.findSite)
}

// findSite sets the site of the dragon's address.
func (d *Dragon) findSite(i *Info) {
	if i.IP == "" { // it has no address now, so its site is unchanged
		return
	}
	i.Site = ""
	if d.fleet.config.Site != nil {
		i.Site = d.fleet.config.Site(i.Address)
	}
}

// RetryRefused has every dragon that accepted no credential asked again at once: there
// are others now.
func (f *Fleet) RetryRefused() {
	for _, d := range f.Dragons() {
		d.mu.Lock()
		if d.health.down && d.health.reason == "auth" && d.endpoint != nil {
			d.retryNow()
		}
		d.mu.Unlock()
	}
}
