package healer

import (
	"fmt"
	"slices"
	"time"
)

// Gate is the name of something that must agree before a dragon is written to.
type Gate string

// The gates. The table below has a row for each, and with it all that there is to say about it.
const (
	GateStop        Gate = "stop"
	GateOwner       Gate = "owner"
	GateStore       Gate = "state"
	GateClock       Gate = "clock"
	GateRecovered   Gate = "recovered_state"
	GateSafeMode    Gate = "safe_mode"
	GatePause       Gate = "pause"
	GateStart       Gate = "start_observation"
	GateConflict    Gate = "conflict"
	GateMaintenance Gate = "maintenance"
	GateQuarantine  Gate = "quarantine"
	GateLost        Gate = "lost"
	GateFlapping    Gate = "flapping"
	GateNew         Gate = "new_device"
	GateFresh       Gate = "fresh"
	GateYoung       Gate = "young"
	GateTuning      Gate = "tuning"
	GateConfig      Gate = "after_config"
	GateCooling     Gate = "cooling"
	GateWindow      Gate = "window"
	GateUnfit       Gate = "unfit"
	GateUploads     Gate = "uploads"
	GateIsolation   Gate = "isolation"
	GateBoot        Gate = "fleet_boot"
	GatePool        Gate = "pool"
	GateDomain      Gate = "domain"
	GateSchema      Gate = "schema"
	GateForeign     Gate = "foreign"
	GateStorm       Gate = "storm"
	GateScope       Gate = "scope"
	GateEfficacy    Gate = "efficacy"
	GateHarm        Gate = "harm"
	GateInFlight    Gate = "device_in_flight"
	GateHold        Gate = "hold-down"
	GateInterval    Gate = "interval"
	GateGap         Gate = "device_gap"
	GateDevice      Gate = "device_budget"
	GateBenefit     Gate = "benefit"
	GateFlight      Gate = "in_flight"
	GateDomainSlots Gate = "domain_in_flight"
	GateRollouts    Gate = "rollout_share"
	GateSpacing     Gate = "spacing"
	GateHour        Gate = "hour"
	GateDay         Gate = "day"
	GateExternal    Gate = "external"
	GateRollout     Gate = "rollout"
	GateWave        Gate = "wave"
	GateCeiling     Gate = "ceiling"
)

// writes is a set of kinds of writes to dragons.
type writes uint8

const (
	ladderSteps    writes = 1 << iota // of the healer, to heal a dragon
	requests                          // of a human: a restart or a reboot
	configWrites                      // of a rollout: pools, autotune mode
	rollbackWrites                    // of a configuration
	firmwareWrites                    // of a rollout: an image
	firmwareBoots                     // of a rollout: one more boot of its canary

	allWrites = ladderSteps | requests | configWrites | rollbackWrites | firmwareWrites | firmwareBoots
	anyChange = configWrites | rollbackWrites | firmwareWrites // of what a dragon is set up for
)

// gateRequest is one write to one dragon that the gates are asked about.
type gateRequest struct {
	c      *cycle
	s      *subject
	kind   Kind
	reason Reason  // that the ladder acts on; empty for a human or a rollout
	step   *step   // of the ladder; nil for a human or a rollout
	change *change // of a rollout of a configuration; nil for all else

	upgrade *FirmwareStep // of a rollout of firmware; nil for all else

	closed bool // a gate that was asked before is closed
}

func (q *gateRequest) write() writes {
	switch {
	case q.step != nil:
		return ladderSteps
	case q.upgrade != nil && q.kind == Upgrade:
		return firmwareWrites
	case q.upgrade != nil:
		return firmwareBoots
	case q.change != nil && q.change.Restore:
		return rollbackWrites
	case q.kind.heals():
		return requests
	}
	return configWrites
}

// taken is the dragon that this cycle's action goes to already. What is only observed
// takes nothing away from what is enforced.
func (q *gateRequest) taken() *subject {
	if q.c.granted == nil && (q.step != nil && q.s.p.Mode != Enforce || q.change != nil && q.c.p.ModeFor(&q.change.ConfigStep, q.s.f.Profile) != Enforce) {
		return q.c.observed
	}
	return q.c.granted
}

// answer is what a gate says. A closed one that knows when it may open says so.
type answer struct {
	open   bool
	detail string
	wait   time.Duration // 0: not known
}

func yes(detail string) answer { return answer{open: true, detail: detail} }

func no(wait time.Duration, format string, args ...any) answer {
	return answer{detail: fmt.Sprintf(format, args...), wait: wait}
}

// closedIf is closed while a condition holds, and says why.
func closedIf(condition bool, why string) answer {
	if condition {
		return answer{detail: why}
	}
	return yes("")
}

// closedFor is closed while there is time left to wait.
func closedFor(wait time.Duration, format string, args ...any) answer {
	if wait > 0 {
		return no(wait, format, args...)
	}
	return yes("")
}

// breakerKind says whether a gate is the breaker of its name.
type breakerKind uint8

const (
	noBreaker     breakerKind = iota
	scopedBreaker             // one for each pool, site, rollout …
	fleetBreaker              // one for the fleet; foreign also has one for each dragon that is restarted
)

// gate is a row of the table below. Documentation, labels of metrics, waits and what a
// change waits for are made of the rows; TestEveryGateIsWhole names what a row lacks.
type gate struct {
	name   Gate
	closed string // when it is closed: "while …", "until …", for the documentation
	human  string // what a human does to open it: a command, or where to look. ID, WORKER and SCOPE stand for names
	event  string // what opens it otherwise, if the time is not known; with human: if there is no such event, the human

	holds  writes // the kinds of writes that it is about
	passes writes // those of them that it always lets through
	ask    func(*gateRequest) answer

	unforceable bool        // a human cannot skip it by force: it keeps two writes apart, or every write is to be recorded
	latched     bool        // no time opens it, only healer ack
	breaker     breakerKind // it is the breaker of its name
	hold        bool        // a human has put it there: it is asked again right before the send
	fleetWide   bool        // its answer is the same for every dragon
	turn        bool        // a change that only this gate holds waits for its turn
	own         bool        // a change that it holds waits for something of its own dragon
	alert       string
}

// gates in the order in which they are asked: all of them, so that an operator sees
// everything that is in the way. The cheap ones and those about the healer itself come first.
var gates = []gate{
	{name: GateStop, closed: "while the file `STOP` is in the data directory",
		human: "remove the file STOP from the data directory",
		holds: allWrites, unforceable: true, fleetWide: true, alert: "HealerStopped",
		ask: func(q *gateRequest) answer { return closedIf(q.c.host.Stop, "the STOP file is there") }},
	{name: GateOwner, closed: "while another process owns the state",
		human: "stop the other process that uses the data directory",
		holds: allWrites, unforceable: true, fleetWide: true, alert: "HealerReadOnly",
		ask: func(q *gateRequest) answer { return closedIf(!q.c.host.Owner, "another process holds the store") }},
	{name: GateStore, closed: "while the state cannot be written",
		human: "make the data directory writable",
		holds: allWrites, unforceable: true, fleetWide: true, alert: "HealerReadOnly",
		ask: func(q *gateRequest) answer { return closedIf(!q.c.host.StateWritable, "the state cannot be written") }},
	{name: GateClock, closed: "until the host's clock is trusted: kept by NTP, or 15 minutes without going back; and " +
		"for 10 minutes after a jump. Without NTP until then, the time that the host was off never counts",
		human: "let NTP set the clock of this host",
		holds: allWrites, fleetWide: true, alert: "ClockUntrusted",
		ask: (*gateRequest).clock},
	{name: GateRecovered, closed: "for a day after the state was lost or corrupt. " +
		"The budgets count as used up in any case: the day's for a day, the reboots of a week for a week",
		human: "mother-of-dragons healer ack recovered_state",
		holds: allWrites, fleetWide: true, alert: "StateCorrupt",
		ask: (*gateRequest).recovered},
	{name: GateSafeMode, closed: "for 6 hours after four unclean starts within 30 minutes",
		human: "mother-of-dragons healer ack safe_mode",
		holds: allWrites, fleetWide: true, alert: "HealerSafeMode",
		ask: (*gateRequest).safeMode},
	{name: GatePause, closed: "while a pause covers the dragon",
		human: "mother-of-dragons healer resume ID",
		holds: allWrites, hold: true, alert: "HealerPaused",
		ask: (*gateRequest).pause},
	{name: GateStart, closed: "for 15 minutes after the start of the healer, and until it has enough samples of the dragon",
		event: "enough samples since the healer started",
		holds: allWrites, turn: true,
		ask: (*gateRequest).startObservation},
	{name: GateConflict, closed: "while two dragons claim one MAC, and for a day after that. An action sent to one of them " +
		"before ends as `unknown` at its deadline, so that the others go on being healed; a rollout of firmware pauses",
		human: "give each dragon a MAC of its own",
		holds: allWrites, unforceable: true, own: true, alert: "DuplicateMAC",
		ask: func(q *gateRequest) answer { return closedIf(q.s.conflict, "its MAC is not its own") }},
	{name: GateMaintenance, closed: "while the dragon is in maintenance",
		human: "mother-of-dragons healer resume ID",
		holds: allWrites, hold: true, own: true, alert: "HealerPaused",
		ask: func(q *gateRequest) answer { return closedIf(q.s.maintenance, "in maintenance") }},
	{name: GateQuarantine, closed: "while the dragon is in quarantine",
		human: "mother-of-dragons healer release WORKER",
		holds: allWrites, hold: true, own: true, alert: "DragonQuarantined",
		ask: (*gateRequest).quarantine},
	{name: GateLost, closed: "after an action that the dragon did not come back from",
		human: "look at the dragon: power, network, board",
		holds: allWrites, alert: "LostAfterAction",
		ask: func(q *gateRequest) answer { return closedIf(q.s.r.Lost != 0, "lost after an action") }},
	{name: GateFlapping, closed: "while the dragon restarts by itself: three times in an hour, until a day without",
		human: "find out why it restarts, then mother-of-dragons healer release WORKER",
		holds: allWrites, own: true, alert: "DragonFlapping",
		ask: (*gateRequest).flapping},
	{name: GateNew, closed: "for one hour after the dragon was first seen, and until it has given enough samples",
		event: "enough samples of the new dragon",
		holds: allWrites, passes: configWrites | rollbackWrites,
		ask: (*gateRequest).newDevice},
	{name: GateFresh, closed: "while there is no fresh sample, or the last ones are not all bad",
		human: "look why the dragon cannot be read: network, password, firmware",
		holds: allWrites, alert: "DragonUnreadable",
		ask: (*gateRequest).fresh},
	{name: GateYoung, closed: "while the dragon has just booted, or its uptime is unknown",
		human: "look why its uptime cannot be read",
		holds: allWrites, own: true, alert: "DragonUntreated",
		ask: (*gateRequest).uptimeGate},
	{name: GateTuning, closed: "while the dragon tunes, unless its fault has nothing to do with tuning",
		event: "the end of its tuning",
		holds: allWrites,
		ask:   (*gateRequest).tuning},
	{name: GateConfig, closed: "for some time after its configuration or firmware was written",
		event: "the end of the check of its new firmware",
		holds: allWrites, passes: rollbackWrites,
		ask: (*gateRequest).afterConfig},
	{name: GateCooling, closed: "while the dragon overheats, or a board that died of heat has not cooled",
		human: "cool the dragon",
		holds: ladderSteps, alert: "TemperatureCritical",
		ask: (*gateRequest).cooling},
	{name: GateWindow, closed: "outside the configured hours",
		event: "the next healing window",
		holds: allWrites, fleetWide: true, alert: "HealerWaiting",
		ask: (*gateRequest).window},
	{name: GateUnfit, closed: "to [firmware](firmware.md), while the dragon is not well, hot, or short of memory",
		human: "heal the dragon first",
		holds: firmwareWrites | firmwareBoots, passes: firmwareBoots, alert: "DragonUntreated",
		ask: (*gateRequest).fitness},
	{name: GateUploads, closed: "to [firmware](firmware.md), while two other dragons are being sent theirs",
		event: "the end of another upload",
		holds: firmwareWrites | firmwareBoots, passes: firmwareBoots,
		ask: (*gateRequest).uploads},
	{name: GateIsolation, closed: "while the healer is cut off from most of the fleet, or from its gateway",
		human: "look at the network of this host",
		holds: allWrites, breaker: fleetBreaker, fleetWide: true, alert: "HealerIsolated",
		ask: closedBy("isolation")},
	{name: GateBoot, closed: "after many dragons booted together, as after a power cut",
		event: "the end of the boot of many dragons",
		holds: allWrites, breaker: fleetBreaker, fleetWide: true, alert: "FleetBoot",
		ask: closedBy("fleet_boot")},
	{name: GatePool, closed: "while a pool of the dragon is down for many",
		human: "look at the pool, or change it",
		holds: allWrites, breaker: scopedBreaker, alert: "PoolDown",
		ask: (*gateRequest).pool},
	{name: GateDomain, closed: "while many of its site are out of reach",
		human: "look at the network and the power of the site",
		holds: allWrites, breaker: scopedBreaker, alert: "SiteUnreachable",
		ask: closedBy("domain")},
	{name: GateSchema, closed: "while the answers of its firmware cannot be read",
		human: "report the firmware: its answers cannot be read",
		holds: allWrites, breaker: scopedBreaker, alert: "SchemaDrift",
		ask: closedBy("schema")},
	{name: GateForeign, closed: "while someone else restarts dragons, for those that were restarted",
		human: "find out who restarts dragons",
		holds: allWrites, breaker: fleetBreaker, alert: "ForeignActor",
		ask: closedBy("foreign")},
	{name: GateStorm, closed: "while too many of the fleet are sick at once",
		human: "look for a common cause, or mother-of-dragons healer quarantine WORKER",
		holds: allWrites, breaker: fleetBreaker, fleetWide: true, alert: "StormHold",
		ask: closedBy("storm")},
	{name: GateScope, closed: "while too many of one pool, site, model or firmware are sick at once",
		human: "look for a common cause, or mother-of-dragons healer quarantine WORKER",
		holds: allWrites, breaker: scopedBreaker, alert: "StormHold",
		ask: closedBy("scope")},
	{name: GateEfficacy, closed: "while another dragon tries the step first, or a step does not help that must not be followed by a stronger one; " +
		"when a whole ladder does not help, until `healer ack`",
		human: "mother-of-dragons healer ack efficacy SCOPE", event: "the outcome of the step on another dragon",
		holds: ladderSteps, breaker: scopedBreaker, latched: true, alert: "EfficacyLatched",
		ask: (*gateRequest).efficacy},
	{name: GateHarm, closed: "when actions did harm, until you have looked and `healer ack harm`",
		human: "look at the dragons that were lost, then mother-of-dragons healer ack harm",
		holds: allWrites, breaker: fleetBreaker, latched: true, fleetWide: true, alert: "HarmLatched",
		ask: closedBy("harm")},
	{name: GateInFlight, closed: "while an action on the dragon has no outcome",
		event: "the outcome of its last action",
		holds: allWrites, unforceable: true,
		ask: (*gateRequest).inFlight},
	{name: GateHold, closed: "for the hold-down of the ladder after the step before",
		event: "the end of its hold-down",
		holds: ladderSteps,
		ask:   (*gateRequest).holdDown},
	{name: GateInterval, closed: "for the least time between two actions for the same reason, if the reason has one",
		event: "the next action for this reason",
		holds: ladderSteps,
		ask:   (*gateRequest).interval},
	{name: GateGap, closed: "for the least time between two actions on one dragon, and five minutes after it could not be written to",
		event: "the gap after its last write",
		holds: allWrites, turn: true,
		ask: (*gateRequest).gap},
	{name: GateDevice, closed: "while the dragon's own budget of restarts, reboots or configurations is used up",
		event: "its own budget",
		holds: allWrites, passes: rollbackWrites | firmwareWrites, own: true,
		ask: (*gateRequest).deviceBudget},
	{name: GateBenefit, closed: "while a reboot costs more hashes than it may bring in a day",
		event: "quarantine after a day",
		holds: ladderSteps,
		ask:   (*gateRequest).benefit},
	{name: GateFlight, closed: "while as many actions have no outcome as may be at one time",
		event: "the outcome of an action on another dragon",
		holds: allWrites, fleetWide: true, turn: true, alert: "HealerWaiting",
		ask: (*gateRequest).flight},
	{name: GateDomainSlots, closed: "while as many actions at its site have no outcome as may be at one time",
		event: "the outcome of an action on another dragon of its site",
		holds: allWrites, turn: true, alert: "HealerWaiting",
		ask: (*gateRequest).domainFlight},
	{name: GateRollouts, closed: "while rollouts and requests use their half of the actions at one time",
		event: "the outcome of another change",
		holds: allWrites, passes: ladderSteps, fleetWide: true, turn: true,
		ask: (*gateRequest).rolloutShare},
	{name: GateSpacing, closed: "for the least time between two writes to any dragons",
		event: "the gap after the last write to any dragon",
		holds: allWrites, fleetWide: true, turn: true,
		ask: (*gateRequest).spacing},
	{name: GateHour, closed: "while the budget of restarts and reboots of the hour is used up",
		event: "the budget of the next hour",
		holds: allWrites, passes: anyChange, alert: "HealerWaiting",
		ask: (*gateRequest).hour},
	{name: GateDay, closed: "while the budget of dragons that are restarted or rebooted in a day is used up",
		event: "the budget of the next day",
		holds: allWrites, alert: "HealerWaiting",
		ask: (*gateRequest).day},
	{name: GateExternal, closed: "while the query of `healing.gate` returns anything, see below; with `holds: rollouts`, only to rollouts",
		human: "look at the query of the external gate",
		holds: allWrites, fleetWide: true, alert: "GateFailing",
		ask: (*gateRequest).external},
	{name: GateRollout, closed: "to a [rollout](desired-state.md), while another dragon tries it or its first pool, or when it was aborted",
		human: "mother-of-dragons healer ack rollout ID",
		holds: anyChange, passes: rollbackWrites | firmwareWrites, breaker: scopedBreaker, latched: true, turn: true, alert: "RolloutAborted",
		ask: (*gateRequest).rollout},
	{name: GateWave, closed: "to a [rollout](desired-state.md), while as many dragons were changed as may be at one time",
		event: "the next wave",
		holds: anyChange, passes: rollbackWrites | firmwareWrites, fleetWide: true, turn: true,
		ask: (*gateRequest).wave},
	{name: GateCeiling, closed: "while a limit that is compiled in is reached, whatever the policy says",
		event: "the end of the limit that is compiled in",
		holds: allWrites, unforceable: true, turn: true, alert: "HealerWaiting",
		ask: (*gateRequest).ceiling},
}

// gateOf is the row of a gate; nil: it has none.
func gateOf(name Gate) *gate {
	return find(gates, func(g *gate) bool { return g.name == name })
}

// Gates returns the names of all gates in order.
func Gates() []Gate {
	names := make([]Gate, len(gates))
	for i := range gates {
		names[i] = gates[i].name
	}
	return names
}

// BreakerNames returns the names of all breakers, each of which has a gate of its name, and of
// those that exist for the fleet, without a scope.
func BreakerNames() (all, ofFleet []string) {
	for i := range gates {
		g := &gates[i]
		if g.breaker != noBreaker {
			all = append(all, string(g.name))
		}
		if g.breaker == fleetBreaker {
			ofFleet = append(ofFleet, string(g.name))
		}
	}
	return all, ofFleet
}

// WithoutGate returns the policy with one gate always open. It wants a test, since it
// exists to prove that each gate is needed.
func WithoutGate(t interface{ Helper() }, p Policy, name Gate) Policy {
	t.Helper()
	p.without = name
	return p
}

// ask asks every gate that is about the write.
func (q *gateRequest) ask() []GateState {
	out := make([]GateState, 0, len(gates))
	write := q.write()
	for i := range gates {
		g := &gates[i]
		if g.holds&write == 0 {
			continue
		}
		var a answer
		switch {
		case g.name == q.c.p.without:
			a = yes("switched off by a test")
		case g.passes&write != 0:
			a = yes("")
		default:
			a = g.ask(q)
		}
		q.closed = q.closed || !a.open
		out = append(out, GateState{g.name, a.open, a.detail, Until{Span(a.wait), a.open || a.wait > 0}})
	}
	return out
}

// closedRows are the rows of the gates that are closed.
func (d *Decision) closedRows() (rows []*gate) {
	for _, s := range d.Gates {
		if g := gateOf(s.Name); !s.Open && g != nil {
			rows = append(rows, g)
		}
	}
	return rows
}

// closedForAll reports whether a gate is closed that is the same for every dragon.
func closedForAll(d *Decision) bool {
	return slices.ContainsFunc(d.closedRows(), func(g *gate) bool { return g.fleetWide })
}

// inLine reports whether a change waits for nothing but its turn.
func inLine(d *Decision) bool {
	return !slices.ContainsFunc(d.closedRows(), func(g *gate) bool { return !g.turn })
}

// itself lists what a change waits for that is its own dragon's.
func itself(d *Decision) (own []string) {
	for _, g := range d.closedRows() {
		if g.own {
			own = append(own, string(g.name))
		}
	}
	return own
}
