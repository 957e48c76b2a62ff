package farmtest

import (
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// recoveries: I15. A dragon that is well is not called sick.
func (o *Oracle) recoveries(h *Healer) {
	if !o.current(h) {
		return
	}
	for i := range h.Plan.Dragons {
		x := &h.Plan.Dragons[i]
		if x.State != healer.StateSick && x.State != healer.StateHeld {
			continue
		}
		n := o.dragon(x.MAC)
		if n < 0 {
			continue
		}
		d := o.w.Dragons[n]
		if o.w.replaced(d) {
			continue
		}
		patience := 5 * poll
		switch x.Reason {
		case healer.LowHashrate, healer.MinHashrate, healer.Flatline, "board_low":
			patience = 25 * time.Minute
			// Nothing is judged while its pool is in doubt.
			if x.Reason == healer.Flatline && slices.Contains(closed(x.Gates), string(healer.GatePool)) && o.well[n] >= 0 {
				o.well[n] = o.w.Now
			}
		case healer.BogusTemp:
			if o.w.Now-d.same <= patience { // nothing shows that the sensor is not frozen any more
				continue
			}
		}
		if d.phase != running || d.at-d.start < 20*time.Minute || o.w.Now-o.well[n] <= patience || o.well[n] < 0 || d.tuned != 0 {
			continue
		}
		if len(d.Answered) < 6 || o.w.Now-d.Answered[len(d.Answered)-6] > 6*poll || !d.sees(0) {
			continue
		}
		o.fail("I15 %s is called %s for %s %s after it was well", x.Worker, x.State, x.Reason, o.w.Now-o.well[n])
	}
}

// liveness: I22. Where nothing speaks against it, a dragon that can be cured is acted
// on within two hours.
func (o *Oracle) liveness(h *Healer) {
	w := o.w
	hard, n := o.hardTimes(h) || o.stormy(), len(w.Dragons)
	// What was meant to be sent is charged, too.
	hour, today := 0, 0
	for i := len(h.intents) - 1; i >= 0 && w.Now-h.intents[i] < day; i-- {
		if today++; w.Now-h.intents[i] < time.Hour {
			hour++
		}
	}
	if hour >= 2 || today >= max(4, (15*n+99)/100) {
		hard = true
	}
	// What is in flight is waited for, and that takes as long as tuning does.
	if i := len(o.sent) - 1; i >= 0 && w.Now-o.sent[i].At < 40*time.Minute+w.script.TuneMax {
		hard = true
	}
	for i, d := range w.Dragons {
		if hard || !o.actable(d) {
			o.needs[i] = w.Now
			continue
		}
		if w.Now-o.needs[i] > 2*time.Hour {
			o.fail("I22 d%d (%s) has %s, and nothing is done", i, worker(d.MAC), d.wrong()[0].kind)
			o.needs[i] = w.Now + day
		}
	}
}

// stormy reports whether so many are sick that a storm may be held.
func (o *Oracle) stormy() bool {
	n := len(o.w.Dragons)
	sick := howMany(o.w.Dragons, func(d *Dragon) bool { return d.unwell() || d.has("sensor") || d.has("tuning") || d.hot() })
	return 2*sick > max(2, (n+4)/5) || 2*sick > max(2, (n+9)/10)
}

// actable reports whether a dragon is one that should be acted on for the first time.
func (o *Oracle) actable(d *Dragon) bool {
	now := o.w.Now
	curable := slices.ContainsFunc(d.wrong(), func(f *defect) bool {
		// Of some it takes two others to tell that they are the dragon's own.
		return f.curable() && (!f.poolish() || len(o.w.Dragons) > 4)
	})
	if !curable || d.hot() || d.phase != running || d.web() != "" || d.Shown != d.MAC || d.answer != "" || d.Known != d.Address || d.drag > 0 {
		return false
	}
	if now-d.boot < 20*time.Minute || now-d.start < 20*time.Minute || d.tuned != 0 || d.seen == never || now-d.seen < time.Hour || d.has("late") {
		return false
	}
	if slices.ContainsFunc(d.defects, func(f *defect) bool { return f.hot }) || o.w.healer.taken[d.N] {
		return false
	}
	if x := d.decision(); x != nil && x.State == healer.StateQuarantined && d.written() { // it is at the end of its ladder
		return false
	}
	if now-d.shared < 25*time.Hour || slices.ContainsFunc(o.w.Dragons, func(x *Dragon) bool { return x != d && x.Shown == d.MAC }) || o.w.forgets[d.N] > 0 {
		return false
	}
	for i := len(d.Restarts) - 1; i >= 0 && now-d.Restarts[i].At < 25*time.Hour; i-- {
		if d.Restarts[i].Why != "power" {
			return false
		}
	}
	// What was only intended is charged, and climbs the ladder.
	at, acted := o.w.healer.intended[d.MAC]
	return !acted || now-at > 7*day
}

// hardTimes reports whether something speaks against acting at all.
func (o *Oracle) hardTimes(h *Healer) bool {
	w := o.w
	now := w.Now
	if !h.Alive() || now-h.Starts[len(h.Starts)-1] < 20*time.Minute || h.Policy.Default.Mode != healer.Enforce {
		return true
	}
	if w.host.readonly > 0 || w.host.foreign > 0 || w.host.stop > 0 || w.gateway > 0 || w.host.skew != 0 || !w.host.synced || w.uplink > 0 ||
		o.jump >= 0 && now-o.jump < 20*time.Minute || !w.host.external.Open || w.host.external.Err != "" || len(h.Policy.Windows) > 0 {
		return true
	}
	if o.corrupt >= 0 && now-o.corrupt < 25*time.Hour || len(o.unclean) > 3 || len(o.lost) > 0 || len(o.latched) > 0 {
		return true
	}
	for _, x := range h.pauses {
		if now < x.to+time.Hour {
			return true
		}
	}
	tune := howMany(w.Dragons, func(d *Dragon) bool { return d.tuned != 0 })
	for _, c := range w.Causes {
		if c.Kind == "power" && c.To > now-8*time.Hour && tune >= (len(w.Dragons)+4)/5 { // the hold lasts while they tune
			return true
		}
		if c.To > now-2*time.Hour {
			if c.Kind == "pool" && w.idleFor(c) {
				continue
			}
			return true
		}
	}
	struck := 0
	for _, d := range w.Dragons {
		for i := len(d.Restarts) - 1; i >= 0 && now-d.Restarts[i].At < 3*time.Hour; i-- {
			if y := d.Restarts[i].Why; y == "itself" || y == "stranger" {
				struck++
				break
			}
		}
		if d.phase == off || d.web() != "" || d.Shown != d.MAC || w.forgets[d.N] > 0 {
			struck++
		}
	}
	return struck >= 2
}

// idleFor reports whether a pool outage affects no dragon: all have another pool.
func (w *World) idleFor(c *Cause) bool {
	return c.To == unending && !slices.ContainsFunc(w.Dragons, func(d *Dragon) bool { return !w.spared(d, c) })
}

// fulfilment: I22 for desired states. Where nothing speaks against it, and others show that it
// works, a dragon is brought in sync within hours.
func (o *Oracle) fulfilment(h *Healer) {
	w := o.w
	if !slices.ContainsFunc(w.Dragons, func(d *Dragon) bool { return d.desired != nil }) {
		for i := range o.wants {
			o.wants[i] = w.Now
		}
		return
	}
	hard := o.hardTimes(h) || o.stormy()
	for _, d := range w.Dragons {
		if hard || d.right() {
			o.wants[d.N] = w.Now
			continue
		}
		works := slices.ContainsFunc(w.Dragons, func(y *Dragon) bool {
			return y.desired != nil && y.desired.Key == d.desired.Key && y.phase == running && y.right() && y.earns(d.desired)
		})
		changed := slices.ContainsFunc(w.Writes, func(x Write) bool { // its budget is used up, or it was changed externally
			return x.N == d.N && (x.Actor == "stranger" || w.Now-x.At < 25*time.Hour)
		})
		if !works || changed || d.answer != "" || d.phase != running || d.stopped || h.taken[d.N] ||
			o.aside[d.N] || w.forgets[d.N] > 0 || d.web() != "" || !w.known(d) || o.flaps(d, w.Now) || d.Known != d.Address {
			o.wants[d.N] = w.Now
			continue
		}
		if w.Now-o.wants[d.N] > 2*time.Hour+time.Duration(len(w.Dragons))*10*time.Minute {
			o.fail("I22 d%d is not in sync, and nothing is done", d.N)
			o.wants[d.N] = w.Now + day
		}
	}
}
