package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// addWarnings says which valid settings are probably not meant.
func (c *Config) addWarnings() {
	for i, n := range c.Networks {
		for _, o := range c.Networks[:i] {
			wide, narrow := o, n
			if wide.CIDR.Size() < narrow.CIDR.Size() {
				wide, narrow = n, o
			}
			if wide.CIDR.Overlaps(narrow.CIDR) && narrow.Site == wide.Site && slices.Equal(narrow.Ports, wide.Ports) {
				c.warn("networks[%d].cidr: %s and %s overlap at one site: the wider one is enough", i, wide.CIDR, narrow.CIDR)
			}
		}
	}
	// See the package discovery: 768 connects at the same time, each 0.65 of the connect timeout
	// at an address without a host.
	addresses := 0.0
	for _, n := range c.Networks {
		ports := 0
		for _, p := range n.Ports {
			ports += int(p.Last-p.First) + 1
		}
		addresses += float64(n.CIDR.Size()) * float64(max(1, ports))
	}
	if takes := time.Duration(addresses * 0.65 / 768 * float64(c.Discovery.ConnectTimeout)); takes > c.Discovery.Interval {
		c.warn("discovery.interval: a scan of %.0f addresses takes about %s, and is cut off after %s", addresses, Span(takes.Round(time.Second)),
			Span(c.Discovery.Interval))
	}
	if c.Scrape.DragonTimeout > time.Minute {
		c.warn("scrape.dragon_timeout: %s is longer than any scrape: one hanging dragon keeps its readers waiting", Span(c.Scrape.DragonTimeout))
	}
	if c.Scrape.TimeoutOffset >= 5*time.Second {
		c.warn("scrape.timeout_offset: %s of each scrape are lost", Span(c.Scrape.TimeoutOffset))
	}
	if c.Inventory.Retention < 24*time.Hour {
		c.warn("inventory.retention: a dragon that is off for %s is forgotten with its history", Span(c.Inventory.Retention))
	}
	if c.Statsd.Host != "" && c.Statsd.Interval < 10*time.Second {
		c.warn("statsd.interval: every dragon is read every %s", Span(c.Statsd.Interval))
	}
	if c.Firmware.AutoUpgrade && c.Firmware.Path == "" && len(c.Firmware.AllowedHosts) == 0 {
		c.warn("firmware.auto_upgrade: firmware has neither a directory nor an allowed host to come from")
	}
	c.warnOfCredentials()
	c.warnOfMatches()
	c.warnOfModels()
	c.warnOfPolicy()
}

func (c *Config) warnOfCredentials() {
	for i, cred := range c.Logins {
		if slices.Contains(dragon.DefaultCredentials(), dragon.Credential{Username: cred.Username, Password: cred.Password}) {
			c.warn("credentials[%d]: this is a factory password, which everyone knows", i)
		}
	}
}

// warnOfMatches finds networks that are not searched.
func (c *Config) warnOfMatches() {
	look := func(path string, m *match) {
		for _, n := range m.Network {
			inside := func(o Network) bool { return o.CIDR.Overlaps(discovery.RangeOf(n)) }
			named := func(t Target) bool { ip, err := addressOf(t.Address); return err != nil || n.Contains(ip) }
			if n.IsValid() && !slices.ContainsFunc(c.Networks, inside) && !slices.ContainsFunc(c.Dragons, named) {
				c.warn("%s.match.network: %s is not searched for dragons", path, n)
			}
		}
	}
	c.eachMatch(look)
}

// warnOfModels finds models that are neither in the table of models nor in the inventory.
func (c *Config) warnOfModels() {
	known := dragon.Models()
	look := func(path string, m *match) {
		for i, model := range m.Model {
			if dragon.ModelOf(model).Algorithm != "" {
				continue
			}
			infos, _ := fleet.Remembered(c.DataDir, nil) // without an inventory nothing is known
			for _, info := range infos {
				known = append(known, normalModel(info.Model))
			}
			if slices.Contains(known, normalModel(model)) {
				continue
			}
			hint := ""
			if best := Nearest(model, known); best != "" {
				hint = "; did you mean " + best + "?"
			}
			c.warn("%s.match.model[%d]: no dragon of the model %s is known%s", path, i, shown(model), hint)
		}
	}
	c.eachMatch(look)
}

// eachMatch calls visit for the match of each credential and each profile.
func (c *Config) eachMatch(visit func(path string, m *match)) {
	for i := range c.Logins {
		visit(fmt.Sprintf("credentials[%d]", i), &c.Logins[i].Match)
	}
	for i := range c.Profiles {
		visit(fmt.Sprintf("profiles[%d]", i), &c.Profiles[i].Match)
	}
}

// warnOfPolicy finds limits that are much wider than usual, and a healer that never acts.
func (c *Config) warnOfPolicy() {
	p := c.Healing.Policy()
	if len(p.Windows) > 0 && !p.Enforcing() {
		c.warn("healing.windows: nothing is healed at any time, because no mode is enforce")
	}
	if p.External.Prometheus != "" && p.External.OnError == "allow" {
		c.warn("healing.gate.on_error: the gate does not hold the healer back while that Prometheus is down")
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
			c.warn("healing.%s: %g%% of the fleet is a lot (usual: %g%%)", x.path, float64(x.v)*100, float64(x.usual)*100)
		}
	}
	if p.Enforcing() && p.StartObserve < time.Minute {
		c.warn("healing.start_observe: %s is too short to learn what is usual here", Span(p.StartObserve))
	}
}
