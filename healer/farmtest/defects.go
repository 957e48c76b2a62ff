package farmtest

import (
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// defect is something that is wrong with a dragon, and how likely it is to go away.
type defect struct {
	kind    string // dead, missing, slow, late, sensor, freeze, nopool, tuning, process
	slot    int
	since   time.Duration
	factor  float64       // slow
	late    time.Duration // late: after every start of the miner process
	sensor  string        // frozen, nan, 0, 150
	frozen  float64       // what a frozen sensor says
	hot     bool          // it died of heat
	looked  bool          // someone has seen it since
	told    bool          // and could tell that it was heat
	restart float64       // chance that a restart of the miner process cures it
	reboot  float64       // chance that a boot does
	tried   float64       // the chance that it would be gone by now
}

func (f *defect) curable() bool { return f.restart > 0 || f.reboot > 0 }

// sick reports whether it is something that a healer should notice and act on.
func (f *defect) sick() bool {
	switch f.kind {
	case "dead", "missing", "freeze", "nopool", "process":
		return true
	}
	return false
}

// low reports whether the dragon does clearly less than it could.
func (d *Dragon) low() bool {
	can, does := 0.0, 0.0
	for i := range d.boards {
		b := &d.boards[i]
		if can += b.rate; !b.dead && !b.missing {
			does += b.rate * b.factor
		}
	}
	return does < 0.5*can
}

// add gives the dragon a defect; the newest of a kind in a place counts.
func (d *Dragon) add(f *defect) {
	if d.boards[f.slot].none {
		return
	}
	d.remove(f.kind, f.slot)
	d.defects = append(d.defects, f)
	d.feel()
}

func (d *Dragon) remove(kind string, slot int) {
	d.defects = slices.DeleteFunc(d.defects, func(f *defect) bool { return f.kind == kind && f.slot == slot })
	d.feel()
}

func (d *Dragon) has(kind string) bool {
	return slices.ContainsFunc(d.defects, func(f *defect) bool { return f.kind == kind })
}

// feel makes the parts' state from the defects.
func (d *Dragon) feel() {
	d.nopool, d.freeze, d.stopped = d.has("nopool"), d.has("freeze"), d.has("process")
	for i := range d.boards {
		b := &d.boards[i]
		if b.sensor != nil && b.sensor.sensor == "frozen" {
			b.froze = b.sensor
		}
		b.dead, b.missing, b.factor, b.late, b.sensor = false, b.none, 1, 0, nil
	}
	for _, f := range d.defects {
		b := &d.boards[f.slot]
		switch f.kind {
		case "dead":
			b.dead = true
		case "missing":
			b.missing = true
		case "slow":
			b.factor = f.factor
		case "late":
			b.late = f.late
		case "sensor":
			b.sensor = f
		}
	}
	if d.has("tuning") && d.tuned == 0 && d.phase == running {
		d.retuned, d.tuned = d.at, d.at+time.Hour
	}
}

// mend gives every defect its chance.
func (d *Dragon) mend(boot bool) {
	d.defects = slices.DeleteFunc(d.defects, func(f *defect) bool {
		p := f.restart
		if boot {
			p = max(p, f.reboot)
		}
		if f.hot && d.boards[f.slot].temp > 90 {
			return false
		}
		// How long it holds out is drawn once, so that one attempt more never makes it
		// worse: else luck would be taken for harm.
		f.tried = 1 - (1-f.tried)*(1-p)
		return d.chance("mend"+f.kind, 10*int(f.since/time.Minute)+f.slot) < f.tried
	})
	d.feel()
}

// wrongSlot is where the first defect is.
func (d *Dragon) wrongSlot() int {
	if len(d.defects) == 0 {
		return 0
	}
	return d.defects[0].slot
}

// wrong lists what is wrong with the dragon that a healer should act on.
func (d *Dragon) wrong() []*defect {
	var out []*defect
	for _, f := range d.defects {
		if f.sick() || f.kind == "slow" && d.low() {
			out = append(out, f)
		}
	}
	return out
}

// looksSick reports whether the dragon shows, right now, anything that a detector
// with consequences is about, rates aside: they look back.
func (d *Dragon) looksSick() bool {
	return d.nopool || d.freeze || d.stopped || d.has("tuning") || slices.ContainsFunc(d.boards[:], func(b board) bool {
		return b.dead || d.hidden(&b) && !b.none || b.sensor != nil || b.factor < 1
	})
}

// cured reports whether what an action was for is over, whatever else is wrong with the dragon.
func (d *Dragon) cured(reason healer.Reason) bool {
	if reason == healer.DeadBoard || reason == healer.DeadHot {
		return !slices.ContainsFunc(d.boards[:], func(b board) bool { return b.dead })
	}
	return !d.looksSick()
}

func (d *Dragon) had(kind string) bool {
	return slices.ContainsFunc(d.justBefore, func(f *defect) bool { return f.kind == kind })
}

// unwell reports whether anything is wrong with the dragon that a healer should act on.
func (d *Dragon) unwell() bool {
	return slices.ContainsFunc(d.defects, func(f *defect) bool { return f.sick() || f.kind == "slow" && d.low() })
}

// seenSick reports whether something is wrong with the dragon, and can be seen.
func (d *Dragon) seenSick() bool {
	return d.unwell() && d.visible()
}

func (d *Dragon) visible() bool {
	return d.world.known(d) && d.web() == "" && d.world.forgets[d.N] == 0
}

// known reports whether a dragon's MAC is its own alone: the others are
// in conflict, and count for nothing.
func (w *World) known(d *Dragon) bool {
	return !w.masked || d.Shown == d.MAC && !slices.ContainsFunc(w.Dragons, func(x *Dragon) bool { return x != d && x.Shown == d.MAC })
}

// replaced reports whether a dragon is not listed, and another tells its MAC: that one is
// it, as far as anybody can know.
func (w *World) replaced(d *Dragon) bool {
	return w.masked && w.forgets[d.N] > 0 && slices.ContainsFunc(w.Dragons, func(x *Dragon) bool { return x != d && x.Shown == d.MAC && w.forgets[x.N] == 0 })
}

// hot reports whether heat is to be blamed for something.
func (d *Dragon) hot() bool {
	return slices.ContainsFunc(d.boards[:], func(b board) bool { return b.temp >= 85 }) || d.world.fan(d) >= 0.94
}

// ail gives the dragon's web server a fault for a while; ok ends all that it has.
func (d *Dragon) ail(how string, span time.Duration) {
	if how == "ok" {
		d.webs = nil
		return
	}
	d.webs, d.world.webbed = append(d.webs, how), true
	d.world.after(span, func(*World) {
		if i := slices.Index(d.webs, how); i >= 0 {
			d.webs = slices.Delete(d.webs, i, i+1)
		}
	})
}
