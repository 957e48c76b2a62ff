package farmtest

import (
	"math"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// web is what the dragon's web server suffers from; empty: nothing.
func (d *Dragon) web() string {
	if len(d.webs) == 0 {
		return ""
	}
	return d.webs[len(d.webs)-1]
}

// readable reports whether there is an answer of the dragon, whatever it says.
func (d *Dragon) readable() bool {
	r := d.reach()
	return (r == healer.Reached || r == healer.BadResponse) && d.world.known(d) && d.world.forgets[d.N] == 0
}

// understood reports whether its answer makes sense.
func (d *Dragon) understood() bool { return d.reach() == healer.Reached && d.web() != "renamed" }

// reach is how an attempt to read the dragon ends.
func (d *Dragon) reach() healer.ReadStatus {
	w := d.world
	switch {
	case w.gateway > 0 || w.switches[d.Switch] > 0 || w.at(d.Known) != d:
		return healer.Unreachable
	case d.phase == off:
		return healer.Timeout
	case d.phase == booting:
		return healer.Unreachable
	}
	switch d.web() {
	case "slow": // every second answer comes too late
		if int(d.at/time.Minute)%2 == 0 {
			return healer.Timeout
		}
	case "hang":
		return healer.Timeout
	case "500", "garbage", "truncated":
		return healer.BadResponse
	case "401":
		return healer.AuthFailed
	}
	return healer.Reached
}

// poll reads the dragon as the fleet does, and makes facts of it.
func (d *Dragon) poll() {
	if d.web() == "sluggish" { // which the process asks half as often
		if int(d.at/time.Minute)%2 == 0 {
			return
		}
		defer func() { d.facts.Pace = 2 }()
	}
	repeats := d.repeats()
	d.facts = d.read()
	if d.facts.Desired == nil && d.desired != nil { // the desired state is known, and what it said before
		said := d.said
		d.facts.Desired, d.facts.Configured = d.desired, &said
	}
	if d.stopped && !repeats && d.facts.Status == healer.Reached && d.phase == running { // that is an answer, too
		d.answered()
	}
	if !d.facts.HasSample || repeats || d.web() == "renamed" {
		return
	}
	if d.seen == never {
		d.seen = d.at
	}
	listed := d.world.forgets[d.N] == 0
	for i := range d.boards {
		if b := &d.boards[i]; listed && b.sensor == nil && math.Round(b.temp) >= 100 {
			b.hotSeen = d.at
		}
		if b := &d.boards[i]; b.froze != nil && b.shownTemperature() == dragon.Known(math.Round(b.froze.frozen)) {
			d.same = d.at
		} else {
			b.froze = nil
		}
	}
	for _, f := range d.defects {
		if f.hot && !f.looked && listed {
			f.looked, f.told = true, d.at-d.boards[f.slot].hotSeen <= 10*time.Minute && d.world.watched(d.boards[f.slot].hotSeen) && !d.contested()
		}
	}
	if n := len(d.Restarts); n > 0 {
		// A healer that starts later knows of the last boot, and of no start of the process.
		last := &d.Restarts[n-1]
		if listed && !last.shown && (d.world.watched(last.At) || last.System && d.world.healer.Alive()) {
			last.shown, last.seen = true, d.at
			if h := d.world.healer; h.Alive() {
				err := h.mem.CheckHold(d.world.instant(), d.MAC)
				last.excused = err != nil && strings.HasPrefix(err.Error(), string(healer.Maintained)) || d.contested()
			}
		}
	}
	d.answered()
}

func (d *Dragon) answered() {
	d.Answered = append(d.Answered, d.at)
	if len(d.Answered) > 64 {
		d.Answered = append(d.Answered[:0], d.Answered[32:]...)
	}
}

// repeats reports whether the dragon tells what it told before.
func (d *Dragon) repeats() bool {
	return d.web() == "stale" && d.facts.HasSample && d.reach() == healer.Reached
}

func (d *Dragon) read() healer.Facts {
	w := d.world
	d.lastRead = d.at
	if d.repeats() {
		f := d.facts
		f.At = w.mono()
		return f
	}
	who := healer.Who{MAC: d.Shown, Worker: d.worker, Address: d.Known, Model: w.script.Model, Firmware: d.told, HWVer: "g19", Mode: d.toldMode}
	if !w.script.Unnamed {
		who.Domain = w.domainNames[d.Switch]
	}
	reach := d.reach()
	if reach != healer.Reached || d.phase != running || d.stopped {
		var overview *dragon.Overview
		if d.stopped {
			d.look(w.script.Begins.Add(d.at))
			overview = &d.overview
		}
		f := healer.FactsOf(who, reach, nil, overview, w.mono())
		f.Shown = d.most
		return f
	}
	s := &w.summary
	s.At = w.script.Begins.Add(d.at)
	s.DeviceTime = s.At.Add(d.offset).Truncate(time.Second)
	s.FanDuty = dragon.Known(w.fan(d))
	if d.fans >= 0 {
		s.FanDuty = dragon.Known(d.fans)
	}
	s.Tuning = dragon.Known(0)
	if d.tuned != 0 {
		s.Tuning = dragon.Known(1)
	}
	elapsed := (d.at - d.count).Seconds()
	s.Unreadable = nil
	s.Boards = s.Boards[:0]
	for i := range d.boards {
		b := &d.boards[i]
		if d.hidden(b) {
			continue
		}
		status := "Alive"
		if b.dead {
			status = "Dead"
		}
		shown := dragon.Board{
			Slot: i, ID: i, Status: status, Temperature: b.shownTemperature(), Hashrate15m: dragon.Known(b.mhs15m),
			Hashes: dragon.Known(math.Round(b.hashes)), Elapsed: dragon.Known(math.Floor(elapsed)), Accepted: dragon.Known(math.Floor(b.shares)),
			HardwareErrors: dragon.Known(math.Floor(b.errors)),
		}
		if d.web() == "renamed" {
			shown.Hashes = dragon.Number{}
			s.Unreadable = renamed
		}
		s.Boards = append(s.Boards, shown)
	}
	d.shownPools(s)
	if elapsed < d.elapsed {
		d.overview.At = time.Time{}
	}
	d.look(s.At)
	d.elapsed = elapsed
	f := healer.FactsOf(who, reach, s, &d.overview, w.mono())
	d.most = max(d.most, len(f.Boards))
	f.Shown = d.most
	d.tell(&f)
	return f
}

// shownPools writes what the dragon says of its pools.
func (d *Dragon) shownPools(s *dragon.Summary) {
	active := d.pool()
	s.Pools = s.Pools[:0]
	for i, l := range d.conf {
		p := dragon.Pool{Index: i, URL: l.url, User: l.user, Status: "Dead", Active: dragon.Known(0), Works: dragon.Known(0), Accepted: dragon.Known(0)}
		if l.pool >= 0 {
			p.Works, p.Accepted = dragon.Known(math.Floor(d.works[l.pool]/15)), dragon.Known(math.Floor(d.works[l.pool]/6))
		}
		if l.pool >= 0 && d.sees(l.pool) {
			p.Status = "Alive"
		}
		if l.pool >= 0 && l.pool == active || active < 0 && i == 0 {
			p.Active = dragon.Known(1)
		}
		s.Pools = append(s.Pools, p)
	}
}

// shownTemperature is what the board says of its own temperature.
func (b *board) shownTemperature() dragon.Number {
	if b.sensor == nil {
		return dragon.Known(math.Round(b.temp))
	}
	switch b.sensor.sensor {
	case "nan":
		return dragon.Number{}
	case "0":
		return dragon.Known(0)
	case "150":
		return dragon.Known(150)
	}
	return dragon.Known(math.Round(b.sensor.frozen))
}

func worker(mac string) string {
	return "dragon-" + mac[6:8] + mac[9:11] + mac[12:14] + mac[15:17]
}

// look reads the dragon's overview, when it is time to.
func (d *Dragon) look(now time.Time) {
	if d.reach() != healer.Reached || !d.overview.At.IsZero() && now.Sub(d.overview.At) < overviewAge {
		return
	}
	d.overview.At, d.overview.MemoryFree, d.told, d.toldMode = now, dragon.Known(d.memory), d.firmware, d.mode
	d.overview.Uptime = dragon.Known(math.Floor((d.at - d.boot).Minutes()) * 60)
	if d.web() == "timeless" {
		d.overview.Uptime = dragon.Number{}
	}
}

var renamed = []string{"DEVS.Total MH"}

// contested reports whether the dragon tells no MAC of its own, or its MAC was told by
// another recently: then nothing that is seen of it counts.
func (d *Dragon) contested() bool {
	o := d.world.healer.Watch
	if d.Shown != d.MAC || o == nil {
		return d.Shown != d.MAC
	}
	at, twins := o.twins[d.MAC]
	return twins && d.world.Now-at < 25*time.Hour
}

// watched reports whether the healer that there is, if there is one, has seen a time.
func (w *World) watched(at time.Duration) bool {
	h := w.healer
	return h.Alive() && len(h.Starts) > 0 && at >= h.Starts[len(h.Starts)-1]
}
