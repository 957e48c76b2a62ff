package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// warnOfFoolish says what is legal, and yet hardly what anybody wants.
func (c *Config) warnOfFoolish(d *document) {
	for i, n := range d.Networks {
		for _, o := range d.Networks[:i] {
			wide, narrow := o, n
			if narrow.CIDR.IsValid() && wide.CIDR.IsValid() && wide.CIDR.Size() < narrow.CIDR.Size() {
				wide, narrow = n, o
			}
			if wide.CIDR.Overlaps(narrow.CIDR) && narrow.Site == wide.Site {
				c.warn("networks[%d].cidr: %s and %s overlap and are one site: the wider is enough", i, wide.CIDR, narrow.CIDR)
			}
		}
	}
	// The package discovery tells how long a scan takes: 768 connects at once, each 0.65
	// of the connect timeout at an address where nobody is.
	addresses := 0.0
	for _, n := range c.Networks {
		addresses += float64(n.Size())
	}
	if takes := time.Duration(addresses * 0.65 / 768 * float64(c.ConnectTimeout)); takes > c.ScanInterval {
		c.warn("discovery.interval: a scan of %.0f addresses takes about %s, and each is cut off after %s", addresses, Span(takes.Round(time.Second)), Span(c.ScanInterval))
	}
	if c.DragonTimeout > time.Minute {
		c.warn("scrape.dragon_timeout: %s is longer than any scrape: one dragon that hangs keeps its readers waiting", Span(c.DragonTimeout))
	}
	if c.ScrapeOffset >= 5*time.Second {
		c.warn("scrape.timeout_offset: %s of each scrape's time are given away", Span(c.ScrapeOffset))
	}
	if c.InventoryRetention < 24*time.Hour {
		c.warn("inventory.retention: a dragon that is off for %s is forgotten, with all that is known of it", Span(c.InventoryRetention))
	}
	if c.Statsd.Host != "" && c.Statsd.Interval < 10*time.Second {
		c.warn("statsd.interval: every dragon is asked every %s", Span(c.Statsd.Interval))
	}
	if c.Wish.AutoUpgrade && c.Wish.FirmwaresPath == "" && len(c.Wish.FirmwareHosts) == 0 {
		c.warn("firmware.auto_upgrade: there is neither a directory nor a host that firmware may come from")
	}
	c.warnOfCredentials(d)
	c.warnOfMatches(d)
	c.warnOfPolicy()
}

func (c *Config) warnOfCredentials(d *document) {
	for i, cred := range d.Credentials {
		if slices.Contains(dragon.DefaultCredentials(), dragon.Credential{Username: cred.Username, Password: cred.Password}) {
			c.warn("credentials[%d]: a dragon is delivered with this password, and everybody knows it", i)
		}
	}
}

// warnOfMatches finds networks where nobody looks for dragons.
func (c *Config) warnOfMatches(d *document) {
	look := func(path string, m *match) {
		for _, n := range m.Network {
			inside := func(o discovery.Network) bool { return o.Overlaps(discovery.RangeOf(n)) }
			named := func(t discovery.Target) bool { ip, err := addressOf(t.Name); return err != nil || n.Contains(ip) }
			if n.IsValid() && !slices.ContainsFunc(c.Networks, inside) && !slices.ContainsFunc(c.Targets, named) {
				c.warn("%s.match.network: no dragon is looked for in %s", path, n)
			}
		}
	}
	for i := range d.Credentials {
		look(fmt.Sprintf("credentials[%d]", i), &d.Credentials[i].Match)
	}
	for i := range d.Profiles {
		look(fmt.Sprintf("profiles[%d]", i), &d.Profiles[i].Match)
	}
}

// warnOfPolicy is about a healer that is let off its leash, or tied up with nobody knowing.
func (c *Config) warnOfPolicy() {
	p := c.Healing.Policy()
	if len(p.Windows) > 0 && !c.Healing.Enforcing() {
		c.warn("healing.windows: nothing is healed at any time, since no mode is enforce")
	}
	if p.External.Prometheus != "" && p.External.OnError == "allow" {
		c.warn("healing.gate.on_error: whoever is to hold the healer back cannot while that Prometheus is down")
	}
	def := healer.DefaultPolicy()
	for _, x := range []struct {
		path           string
		v, usual, most healer.Ratio
	}{
		{"fleet.in_flight", p.Fleet.InFlight, def.Fleet.InFlight, 0.1},
		{"fleet.per_day", p.Fleet.PerDay, def.Fleet.PerDay, 0.25},
		{"breakers.storm", p.Breakers.Storm, def.Breakers.Storm, 0.5},
		{"breakers.unreachable", p.Breakers.Unreachable, def.Breakers.Unreachable, 0.5},
		{"breakers.config_guard", p.Breakers.GuardShare, def.Breakers.GuardShare, 0.5},
	} {
		if x.v > x.most {
			c.warn("healing.%s: %g%% of the fleet is much (usual are %g%%)", x.path, float64(x.v)*100, float64(x.usual)*100)
		}
	}
	if c.Healing.Enforcing() && p.StartObserve < time.Minute {
		c.warn("healing.start_observe: after %s nobody can know what is usual here", Span(p.StartObserve))
	}
}
