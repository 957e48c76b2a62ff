package farmtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// verbs are what may happen at a time. What they say:
//
//	pool slush down|idle [2h]          switch sw3 down [20m]
//	uplink down [1h]                   gateway down [5m]
//	power site|pdu1|healer off [3m]    weather +15 [6h]
//	board d3/1 dead|missing|slow 40%|late 12m|frozen|nan|0|150 [restart=1] [reboot=0.8]
//	board d3/1 ok                      board d3/1 flaky 4 [48h] (times a day)
//	dragon d3 freeze|nopool|tunes|stops [restart=1] [reboot=1]      dragon d3 ok
//	dragon d3 fans 100% [4h]
//	dragon d3 restarts|reboots|off|on  dragon d3 hot +32 [4h]
//	dragon d3 retunes 12h              dragon d3 boots 10m later
//	web d3 slow|sluggish|stale|hang|500|401|garbage|truncated|renamed|timeless [1h]      web d3 ok
//	answer d3 ignored|never|lostreply|refused|loses|locked|ok    answer 20% never 0.5
//	offset d3 +2h                      mac d3 d4|zero|own
//	dhcp swap d3 d4 [on send]          dhcp shuffle 20%
//	forget 60% [2h]                    stranger restarts|reboots|configures d3-d9 [every 10m] [1h]
//	wish d3 pools slush,backup|typo mode efficient
//	clock healer -14d                  ntp off|on
//	kill healer [at wal=intent|sent|result] [for 10m]
//	store readonly [1h]|corrupt|backup|restored               owner lost [1h]        stop file [1h]
//	gate closed|error|open [1h]        observe|enforce
//	pause|maintenance fleet|domain sw1|pool slush|model T1|mac d3|  [4h]      curtailment efficient fleet|…  [4h]
//	quarantine d3                      release d3             ack harm|foreign|…
//	ask d3 restart|reboot|configure|firmware [by rollout:x] [force] [until sent]
//	config low_ratio 0.99              firmware …: see rollout
//	expect d3 well|sick|quarantined|lost|conflict|untouched|treated|restored|upgraded
//
// A dragon may also be a range d3-d9, several d3,d5, a part 20%, or all. Without a duration it lasts.
var verbs = map[string]func(*command) func(*World){
	"pool": (*command).poolFault, "switch": (*command).switchDown, "uplink": (*command).uplinkDown, "gateway": (*command).gatewayDown,
	"power": (*command).power, "weather": (*command).weather, "board": (*command).boardFault, "dragon": (*command).dragonFault,
	"web": (*command).webFault, "answer": (*command).answer, "offset": (*command).offset, "mac": (*command).mac, "dhcp": (*command).dhcp,
	"forget": (*command).forget, "stranger": (*command).stranger, "ask": (*command).ask, "firmware": (*command).rollout,
	"wish": (*command).desires, "expect": (*command).expectation,

	"clock": (*command).clock, "ntp": (*command).ntp, "kill": (*command).kill, "store": (*command).store, "owner": (*command).owner,
	"stop": (*command).stop, "gate": (*command).gate, "observe": (*command).mode, "enforce": (*command).mode,
	"pause": (*command).pause, "maintenance": (*command).pause, "curtailment": (*command).pause, "quarantine": (*command).quarantine,
	"release": (*command).release, "ack": (*command).ack, "config": (*command).config,
}

// does reads what happens at a time.
func (p *command) does() func(*World) {
	p.verb = p.word()
	read := verbs[p.verb]
	if p.err == nil && read == nil {
		p.fail("something that can happen, got %q", p.verb)
	}
	if p.err != nil {
		return nil
	}
	return read(p)
}

func (p *command) switchDown() func(*World) {
	i := p.index(p.word(), "sw", p.script.Switches)
	p.oneOf("down")
	span := p.span()
	return func(w *World) {
		w.switches[i]++
		w.during(span, "switch", w.domainNames[i], func(d *Dragon) bool { return d.Switch == i }, func() { w.switches[i]-- })
	}
}

func (p *command) uplinkDown() func(*World) {
	return p.down("pool", "all", func(w *World) *int { return &w.uplink })
}

func (p *command) gatewayDown() func(*World) {
	return p.down("isolation", "gateway", func(w *World) *int { return &w.gateway })
}

// down reads of something that all dragons hang on.
func (p *command) down(kind, name string, count func(*World) *int) func(*World) {
	p.oneOf("down")
	span := p.span()
	return func(w *World) {
		*count(w)++
		w.during(span, kind, name, everyone, func() { *count(w)-- })
	}
}

func (p *command) weather() func(*World) {
	by, span := p.float(), p.span()
	return func(w *World) {
		w.weather += by
		w.after(span, func(*World) { w.weather -= by })
	}
}

func (p *command) webFault() func(*World) {
	who, how := p.dragons(), p.oneOf("slow", "sluggish", "stale", "hang", "500", "401", "garbage", "truncated", "renamed", "timeless", "ok")
	span := p.span()
	return func(w *World) {
		for _, i := range who {
			w.Dragons[i].ail(how, span)
		}
		switch how {
		case "500", "garbage", "truncated", "renamed":
			w.drift(who, span)
		}
	}
}

func (p *command) answer() func(*World) {
	who, how := p.dragons(), p.oneOf("ignored", "never", "lostreply", "refused", "loses", "locked", "ok")
	chance := 0.0
	if how == "never" {
		if chance = 1; len(p.words) > 0 {
			chance = p.float()
		}
	}
	return each(who, func(_ *World, d *Dragon) { d.answer, d.dies = strings.TrimPrefix(how, "ok"), chance })
}

func (p *command) offset() func(*World) {
	who, by := p.dragons(), p.duration()
	return each(who, func(_ *World, d *Dragon) { d.offset = by })
}

func (p *command) forget() func(*World) {
	who, span := p.dragons(), p.span()
	return each(who, func(w *World, d *Dragon) {
		w.forgets[d.N]++
		w.after(span, func(*World) { w.forgets[d.N]-- })
	})
}

func everyone(*Dragon) bool { return true }

func each(who []int, do func(*World, *Dragon)) func(*World) {
	return func(w *World) {
		for _, i := range who {
			do(w, w.Dragons[i])
		}
	}
}

func (p *command) poolFault() func(*World) {
	name, how := p.pool(), p.oneOf("down", "idle")
	span := p.span()
	i := slices.Index(p.script.Pools, name)
	return func(w *World) {
		x := &w.pools[i].down
		if how == "idle" {
			x = &w.pools[i].idle
		}
		strikes := func(d *Dragon) bool { return d.pool() < 0 || d.pool() == i }
		w.during(span, "pool", w.pools[i].url, strikes, func() { *x-- })
		*x++
	}
}

func (p *command) power() func(*World) {
	what := p.word()
	p.oneOf("off")
	span := p.span()
	if what == "healer" {
		return func(w *World) {
			w.healer.Kill()
			w.host.off = true
			w.after(span, func(*World) {
				// Without a clock of its own it goes on from the time that was stored last.
				w.host.off, w.host.booted, w.host.synced = false, w.Now, false
				w.host.boots++
				w.host.bootID = fmt.Sprintf("boot-%d", w.host.boots)
				w.host.skew -= span
			})
		}
	}
	pdu := -1
	if what != "site" {
		pdu = p.index(what, "pdu", p.script.PDUs)
	}
	member := func(d *Dragon) bool { return pdu < 0 || d.PDU == pdu }
	return func(w *World) {
		for _, d := range w.Dragons {
			if member(d) {
				d.phase = off
			}
		}
		w.during(span, "power", what, member, func() {
			for _, d := range w.Dragons {
				if member(d) && !d.gone {
					d.boots++
					d.Restarts = append(d.Restarts, Restart{At: d.at, System: true, Why: "power"})
					d.begin()
				}
			}
		})
	}
}

// chances reads restart=0.5 and reboot=1.
func (p *command) chances(f *defect) {
	for p.err == nil && len(p.words) > 0 {
		name, value, ok := strings.Cut(p.words[0], "=")
		if !ok || name != "restart" && name != "reboot" {
			return
		}
		p.words[0] = value
		v := p.ratio()
		if name == "restart" {
			f.restart = v
		} else {
			f.reboot = v
		}
	}
}

func (p *command) boardFault() func(*World) {
	who, slot := p.board()
	f := defect{slot: slot}
	switch how := p.oneOf("dead", "missing", "slow", "late", "frozen", "nan", "0", "150", "ok", "flaky"); how {
	case "ok":
		return each(who, func(_ *World, d *Dragon) {
			d.defects = slices.DeleteFunc(d.defects, func(f *defect) bool { return f.slot == slot })
			d.feel()
		})
	case "flaky":
		return p.flaky(who, slot)
	case "slow":
		f.kind, f.factor = how, p.ratio()
	case "late":
		f.kind, f.late = how, p.positive()
	case "frozen", "nan", "0", "150":
		f.kind, f.sensor = "sensor", how
	default:
		f.kind = how
	}
	p.chances(&f)
	return strike(who, f)
}

// strike gives dragons a defect. If it is many at once, that is a cause in itself.
func strike(who []int, f defect) func(*World) {
	return func(w *World) {
		for _, i := range who {
			d, x := w.Dragons[i], f
			x.since, x.frozen = w.Now, d.boards[f.slot].temp
			d.add(&x)
		}
		if f.sick() && len(who) >= max(2, (len(w.Dragons)+4)/5) {
			all := slices.Repeat([]bool{true}, len(w.Dragons))
			w.Causes = append(w.Causes, &Cause{Kind: "mass", Name: f.kind, From: w.Now, To: w.Now + 2*time.Hour, Members: all})
		}
		for i, name := range w.domainNames {
			n, hit := 0, 0
			members := make([]bool, len(w.Dragons))
			for _, d := range w.Dragons {
				if d.Switch == i {
					n++
					members[d.N] = true
					if slices.Contains(who, d.N) {
						hit++
					}
				}
			}
			if (f.kind == "dead" || f.kind == "missing") && hit >= max(3, (3*n+9)/10) {
				w.Causes = append(w.Causes, &Cause{Kind: "domain-mass", Name: name, From: w.Now, To: w.Now + 2*time.Hour, Members: members})
			}
		}
	}
}

// drift says that a part of a firmware's dragons cannot be read.
func (w *World) drift(who []int, span time.Duration) {
	members, struck := map[string]int{}, map[string]int{}
	for _, d := range w.Dragons {
		members[d.firmware]++
	}
	for _, i := range who {
		struck[w.Dragons[i].firmware]++
	}
	for _, version := range slices.Sorted(maps.Keys(struck)) {
		if struck[version] >= max(2, (members[version]+4)/5) {
			w.during(span, "schema", version, func(d *Dragon) bool { return d.firmware == version }, func() {})
		}
	}
}

// flaky lets a board die now and then, at times that do not depend on what is done.
func (p *command) flaky(who []int, slot int) func(*World) {
	perDay := p.float()
	if p.err == nil && (perDay <= 0 || perDay > 48) {
		p.fail("up to 48 times a day")
	}
	span := p.span()
	f := defect{kind: "dead", slot: slot, restart: 1, reboot: 1}
	p.chances(&f)
	at := p.at
	until := min(at+span, p.script.Run)
	return each(who, func(w *World, d *Dragon) {
		n := 0
		for t := at; perDay > 0; n++ {
			t += time.Duration(2 * d.chance("flaky", 100*slot+n) / perDay * 24 * float64(time.Hour))
			if t >= until {
				return
			}
			w.after(t-w.Now, func(w *World) {
				if b := &d.boards[slot]; !b.dead && !b.missing {
					x := f
					x.since = w.Now
					d.add(&x)
				}
			})
		}
	})
}

func (p *command) dragonFault() func(*World) {
	who := p.dragons()
	switch how := p.oneOf("freeze", "nopool", "tunes", "ok", "restarts", "reboots", "off", "on", "hot", "retunes", "boots", "fans", "stops"); how {
	case "ok":
		return each(who, func(_ *World, d *Dragon) { d.defects = nil; d.feel() })
	case "restarts", "reboots":
		return each(who, func(_ *World, d *Dragon) {
			if how == "reboots" {
				d.reboot("itself")
			} else {
				d.restart("itself")
			}
		})
	case "off":
		return each(who, func(_ *World, d *Dragon) { d.phase = off })
	case "on":
		return each(who, func(_ *World, d *Dragon) {
			if d.phase == off && !d.gone {
				d.boots++
				d.begin()
			}
		})
	case "hot":
		by, span := p.float(), p.span()
		return each(who, func(w *World, d *Dragon) {
			d.soak += by
			d.heated = max(d.heated, w.Now+span)
			w.after(span, func(*World) { d.soak -= by })
		})
	case "fans":
		at, span := p.ratio(), p.span()
		return each(who, func(w *World, d *Dragon) {
			d.fans = at
			w.after(span, func(*World) { d.fans = -1 })
		})
	case "retunes":
		takes := p.positive()
		return each(who, func(_ *World, d *Dragon) { d.retunes = takes })
	case "boots":
		takes := p.positive()
		p.oneOf("later")
		return each(who, func(_ *World, d *Dragon) { d.drag = takes })
	default:
		f := defect{kind: strings.NewReplacer("tunes", "tuning", "stops", "process").Replace(how)}
		p.chances(&f)
		return strike(who, f)
	}
}

func (p *command) mac() func(*World) {
	who, what := p.dragons(), p.word()
	if what != "zero" && what != "own" {
		other := p.index(what, "d", p.script.Dragons)
		return each(who, func(w *World, d *Dragon) {
			d.show(w.Dragons[other].MAC)
			d.shownAt, w.masked = w.Now, true
		})
	}
	return each(who, func(w *World, d *Dragon) {
		w.masked = true
		if d.show(d.MAC); what == "zero" {
			d.show("00:00:00:00:00:00")
		}
	})
}

func (p *command) dhcp() func(*World) {
	if p.oneOf("swap", "shuffle") == "shuffle" {
		who := p.dragons()
		return func(w *World) { w.lease(who) }
	}
	a, b := p.dragon(), p.dragon()
	swap := func(w *World) { w.lease([]int{a, b}) }
	if p.next("on") {
		p.oneOf("send")
		return func(w *World) { w.healer.onSend = append(w.healer.onSend, func() { swap(w) }) }
	}
	return swap
}

// lease rotates addresses among dragons. The fleet finds them at its next scan.
func (w *World) lease(who []int) {
	if len(who) < 2 {
		return
	}
	first := w.Dragons[who[0]].Address
	for i, n := range who {
		d := w.Dragons[n]
		if d.Address = first; i+1 < len(who) {
			d.Address = w.Dragons[who[i+1]].Address
		}
		w.lent[d.Address] = d
	}
	w.after(rescan, func(w *World) {
		for _, n := range who {
			w.Dragons[n].Known = w.Dragons[n].Address
		}
	})
}

func (p *command) stranger() func(*World) {
	how := p.oneOf("restarts", "reboots", "configures")
	who := p.dragons()
	every := time.Duration(0)
	if p.next("every") {
		every = p.positive()
	}
	span := time.Duration(0)
	if every > 0 {
		if every < time.Minute {
			p.fail("at most once a minute")
		}
		span = p.span()
	}
	var again func(w *World, left time.Duration)
	again = func(w *World, left time.Duration) {
		for _, i := range who {
			d := w.Dragons[i]
			w.Writes = append(w.Writes, Write{At: w.Now, N: i, Actor: "stranger", MAC: d.MAC})
			switch how {
			case "reboots":
				d.reboot("stranger")
			case "configures":
				d.robbed()
			default:
				d.restart("stranger")
			}
		}
		if left -= every; every > 0 && left > 0 && w.Now+every <= w.script.Run {
			w.after(every, func(w *World) { again(w, left) })
		}
	}
	return func(w *World) { again(w, span) }
}

func (p *command) ask() func(*World) {
	i := p.dragon()
	kinds := map[string]healer.Kind{"restart": healer.Restart, "reboot": healer.Reboot, "configure": healer.Configure, "firmware": healer.Upgrade}
	kind := kinds[p.oneOf("restart", "reboot", "configure", "firmware")]
	r := healer.Request{Kind: kind, Actor: "user:ann", Note: "asked for"}
	if p.next("by") {
		if r.Actor = p.word(); p.err == nil && r.Actor == "healer" {
			p.fail("an actor other than the healer")
		}
	}
	r.Force = p.next("force")
	again := false
	if p.next("until") {
		p.oneOf("sent")
		again = true
	}
	return func(w *World) { w.healer.asked = append(w.healer.asked, injectedRequest{i, r, again}) }
}
