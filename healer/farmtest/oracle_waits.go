package farmtest

import (
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// explanation is why a sick dragon may be left untreated for longer than a day: an
// alert that fires and says what a human has to do.
type explanation struct {
	alert string
	// moves is set for what only puts dragons in a queue: it explains nothing unless the
	// healer has treated some dragon within the day.
	moves bool
}

// explainedBy are the gates that may be closed for a dragon for longer than a day.
// Every other gate has to open within one.
var explainedBy = map[healer.Gate]explanation{
	healer.GateStop:        {alert: "HealerStopped"},
	healer.GateOwner:       {alert: "HealerReadOnly"},
	healer.GateStore:       {alert: "HealerReadOnly"},
	healer.GateClock:       {alert: "ClockUntrusted"},
	healer.GateRecovered:   {alert: "StateCorrupt"},
	healer.GateSafeMode:    {alert: "HealerSafeMode"},
	healer.GatePause:       {alert: "HealerPaused"},
	healer.GateConflict:    {alert: "DuplicateMAC"},
	healer.GateMaintenance: {alert: "HealerPaused"},
	healer.GateQuarantine:  {alert: "DragonQuarantined"},
	healer.GateLost:        {alert: "LostAfterAction"},
	healer.GateFlapping:    {alert: "DragonFlapping"},
	healer.GateWindow:      {alert: "HealerWaiting"},
	healer.GateIsolation:   {alert: "HealerIsolated"},
	healer.GateBoot:        {alert: "FleetBoot"},
	healer.GateStorm:       {alert: "StormHold", moves: true},
	healer.GateScope:       {alert: "StormHold", moves: true},
	healer.GateEfficacy:    {alert: "EfficacyLatched"},
	healer.GateHarm:        {alert: "HarmLatched"},
	healer.GateFlight:      {alert: "HealerWaiting", moves: true},
	healer.GateDomainSlots: {alert: "HealerWaiting", moves: true},
	healer.GateHour:        {alert: "HealerWaiting", moves: true},
	healer.GateDay:         {alert: "HealerWaiting", moves: true},
	healer.GateExternal:    {alert: "GateFailing"},
}

// passing are the gates of causes that some dragons have in common. Their alerts explain a
// day of it, and within that they have to open, or to slow mode.
var passing = [...]healer.Gate{healer.GatePool, healer.GateDomain, healer.GateSchema, healer.GateForeign}

// passes reports whether one of those holds a dragon, for less than a day.
func (o *Oracle) passes(i int, x *healer.Decision) bool {
	young := false
	for j, name := range passing {
		if !slices.ContainsFunc(x.Gates, func(g healer.GateState) bool { return g.Name == name && !g.Open }) {
			o.held[i][j] = o.w.Now
		} else if o.w.Now-o.held[i][j] < day {
			young = true
		}
	}
	return young
}

// settled is how long after something in its way a dragon may be left alone again.
const settled = time.Hour

// everyWaitEnds: I25. Every dragon that is sick while its cause is its own is well, acted
// on, set aside or explained within a day. The day is counted while nothing else is in
// the way: no common cause, and a healer that runs.
func (o *Oracle) everyWaitEnds(h *Healer) {
	w := o.w
	var plan map[string]*healer.Decision
	running := o.current(h)
	for i, d := range w.Dragons {
		if len(d.treatable()) == 0 || o.acts(d) {
			o.loose[i] = 0
			continue
		}
		if o.excuses(d) {
			o.excused[i] = w.Now
		}
		if !running || w.Now-o.excused[i] < settled {
			continue
		}
		if plan == nil {
			plan = make(map[string]*healer.Decision, len(h.Plan.Dragons))
			for j := range h.Plan.Dragons {
				plan[h.Plan.Dragons[j].MAC] = &h.Plan.Dragons[j]
			}
		}
		switch x := plan[d.Shown]; {
		case x == nil || x.State == healer.StateMaintenance || x.State == healer.StateFlapping: // DragonFlapping
			o.excused[i] = w.Now
		case x.State == healer.StateQuarantined, x.State == healer.StateLost, x.State == healer.StateConflict:
			o.loose[i] = 0
		case o.passes(i, x), o.explained(x):
			o.excused[i] = w.Now
		default:
			if o.loose[i] += w.script.Cycle; o.loose[i] > day {
				o.fail("I25 d%d (%s) has %s, and for a day nothing is done: it is %s, closed: %v", i, x.Worker, d.treatable()[0].kind, x.State, closed(x.Gates))
				o.loose[i] = 0
			}
		}
	}
}

// acts reports whether the dragon was just written to by the healer, or was meant to be.
func (o *Oracle) acts(d *Dragon) bool {
	at, ok := o.w.healer.intended[d.MAC]
	return ok && o.w.Now-at <= o.w.script.Cycle
}

// explained reports whether something that a human is told of is in the way.
func (o *Oracle) explained(x *healer.Decision) bool {
	moves := slices.ContainsFunc(o.sent, func(s sent) bool { return o.w.Now-s.At < day && heals(s.Kind) })
	return slices.ContainsFunc(x.Gates, func(g healer.GateState) bool {
		e, ok := explainedBy[g.Name]
		switch since := o.w.Now - o.w.healer.recovered; { // StateCorrupt says that a lost store has charged them
		case g.Name == healer.GateDevice:
			e, ok = explanation{alert: "StateCorrupt"}, since < 7*day
		case g.Name == healer.GateDay && since < day:
			e, ok = explanation{alert: "StateCorrupt"}, true
		}
		return !g.Open && ok && (!e.moves || moves)
	})
}

// closed are the names of the gates that are closed.
func closed(gates []healer.GateState) (names []string) {
	for _, g := range healer.Closed(gates) {
		names = append(names, string(g.Name))
	}
	return names
}

// treatable lists what is wrong with the dragon that a healer is to do something about,
// or to tell a human of.
func (d *Dragon) treatable() []*defect {
	wrong := d.wrong()
	if !d.world.script.Learned { // a rate tells nothing before a baseline is known
		wrong = slices.DeleteFunc(wrong, func(f *defect) bool { return f.kind == "slow" })
	}
	if len(d.world.Dragons) < 5 {
		wrong = slices.DeleteFunc(wrong, (*defect).poolish)
	}
	return wrong
}

// poolish reports whether it takes two others with work to tell a defect from a pool's trouble.
func (f *defect) poolish() bool { return f.kind == "nopool" || f.kind == "freeze" }

// alone reports whether too few others have work for it to be seen that what a dragon
// suffers from is its own. What one tells that repeats itself shows no work.
func (o *Oracle) alone(d *Dragon) bool {
	if !slices.ContainsFunc(d.treatable(), (*defect).poolish) || slices.ContainsFunc(d.treatable(), func(f *defect) bool { return !f.poolish() }) {
		return false
	}
	others := howMany(o.w.Dragons, func(x *Dragon) bool {
		i := x.pool()
		return x != d && i >= 0 && o.w.pools[i].idle == 0 && x.phase == running && x.understood() && !x.repeats() &&
			!x.freeze && !x.stopped && o.w.known(x) && o.w.forgets[x.N] == 0
	})
	return others < 2
}

// excuses reports whether something other than the dragon's own defect is in the way of
// treating it, or of seeing what it has.
func (o *Oracle) excuses(d *Dragon) bool {
	w := o.w
	if d.phase == off || d.gone || d.hot() || d.web() != "" || w.forgets[d.N] > 0 || !w.known(d) || d.Known != d.Address || o.corrupt >= 0 && d.has("slow") {
		return true
	}
	if o.alone(d) {
		return true
	}
	// The alert PoolDown says that its pool looks idle.
	if w.Now-o.idle.last < 20*time.Minute && w.Now-max(o.idle.since, o.corrupt) < day &&
		!slices.ContainsFunc(d.treatable(), func(f *defect) bool { return !f.poolish() }) {
		return true
	}
	if w.gateway > 0 || w.uplink > 0 || w.switches[d.Switch] > 0 || w.healer.Policy.Default.Mode != healer.Enforce {
		return true
	}
	return slices.ContainsFunc(w.Causes, func(c *Cause) bool {
		return c.To > w.Now && c.Members[d.N] && !(c.Kind == "pool" && w.spared(d, c) && !d.nopool) && w.Now-o.began(c) < day
	})
}
