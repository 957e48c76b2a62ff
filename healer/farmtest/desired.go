package farmtest

import (
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// rereads is how often the fleet asks a dragon for its configuration.
const rereads = 5 * time.Minute

// configured is what the dragon is configured for now.
func (d *Dragon) configured() healer.Configured {
	c := healer.Configured{Mode: d.mode, HasPools: true, HasMode: true, PoolsAt: d.world.mono(), ModeAt: d.world.mono()}
	for _, l := range d.conf {
		c.Pools = append(c.Pools, dragon.PoolConfig{URL: l.url, User: l.user, Password: dragon.Secret(l.password)})
	}
	return c
}

// tell adds to the facts the desired state, and what the dragon has said of itself.
func (d *Dragon) tell(f *healer.Facts) {
	if h := d.world.healer; d.desired == nil && (h == nil || !h.Policy.Default.Heat.DownshiftEnabled && !h.curtails(d.MAC)) {
		return
	}
	if d.at-d.asked >= rereads {
		d.asked, d.said = d.at, d.configured()
	}
	said := d.said
	f.Desired, f.Configured = d.desired, &said
}

// curtails reports whether the configuration of a dragon without a desired state must be known.
func (h *Healer) curtails(mac string) bool {
	return h.mem != nil && (h.mem.Curtails() || h.mem.Dragons[mac] != nil && h.mem.Dragons[mac].Curtailed != nil)
}

// right reports whether the dragon is in sync.
func (d *Dragon) right() bool {
	w := d.desired
	if w == nil || w.Mode != "" && w.Mode != d.mode {
		return w == nil
	}
	return len(w.Pools) == 0 || slices.EqualFunc(w.Pools, d.conf, func(p dragon.PoolConfig, l lead) bool {
		return p.URL == l.url && p.User == l.user && string(p.Password) == l.password
	})
}

// earns reports whether the dragon has had work of the first pool of a desired state.
func (d *Dragon) earns(want *healer.DesiredState) bool {
	if len(want.Pools) == 0 {
		return slices.ContainsFunc(d.works[:], func(s float64) bool { return s > 0 })
	}
	i := d.world.poolAt(want.Pools[0].URL)
	return i >= 0 && d.works[i] > 0
}

// poolAt is the index of the pool at a URL; -1: none.
func (w *World) poolAt(url string) int {
	return slices.IndexFunc(w.pools, func(p pool) bool { return p.url == url || p.login == url })
}

// take makes the dragon what a write wants it to be, and returns what it says of it.
func (d *Dragon) take(want *healer.DesiredState, items []healer.Item, why string) (told []healer.Stuck) {
	if d.answer == "locked" {
		for _, item := range items {
			told = append(told, healer.Stuck{Item: item, Why: "locked"})
		}
		items = nil
	}
	tunes := false
	for _, item := range items {
		if item == healer.ItemAutotune {
			d.mode, d.toldMode, tunes = want.Mode, want.Mode, true // it is read back
			continue
		}
		d.conf = nil
		for _, p := range want.Pools {
			d.conf = append(d.conf, lead{d.world.poolAt(p.URL), p.URL, p.User, string(p.Password)})
		}
	}
	d.restart(why)
	if tunes {
		d.tuned = d.ready + d.tunes()
	}
	d.asked = never // it is read back
	return told
}

// desires reads: wish d3 pools slush,backup mode efficient. The pool typo is one that
// does not exist. Without pools and mode there is no desired state any more.
func (p *command) desires() func(*World) {
	who := p.dragons()
	var names []string
	mode := ""
	for p.err == nil && len(p.words) > 0 {
		if p.oneOf("pools", "mode") == "mode" {
			mode = p.oneOf(dragon.AutoTuneModes()...)
			continue
		}
		for name := range strings.SplitSeq(p.word(), ",") {
			if name != "typo" && !slices.Contains(p.script.Pools, name) {
				p.fail("a pool of %s, or typo, got %q", strings.Join(p.script.Pools, " "), name)
			}
			names = append(names, name)
		}
		if len(names) > dragon.MaxPools {
			p.fail("at most %d pools", dragon.MaxPools)
		}
	}
	key := strings.Join(append(slices.Clone(names), mode), "/")
	return each(who, func(w *World, d *Dragon) {
		d.desired, d.desiredAt = nil, append(d.desiredAt, w.Now)
		if key == "" {
			return
		}
		d.desired = &healer.DesiredState{Key: key, Name: key, Mode: mode}
		for _, name := range names {
			d.desired.Pools = append(d.desired.Pools, dragon.PoolConfig{
				URL: poolURL(name, slices.Index(w.script.Pools, name)), User: "acct." + worker(d.MAC), Password: secret,
			})
		}
	})
}

// robbed has a stranger configure the dragon to work for the stranger.
func (d *Dragon) robbed() {
	d.conf = []lead{{0, d.world.pools[0].url, "thief", "x"}}
	d.restart("stranger")
}
