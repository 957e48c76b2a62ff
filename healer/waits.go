package healer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Waiting is how long sick dragons wait for one gate, and what opens it.
type Waiting struct {
	Gate    Gate   `json:"gate"`
	Dragons int    `json:"dragons"`
	Worker  string `json:"worker"` // the dragon that waits longest
	For     Span   `json:"for_s"`  // since it is sick, or since its last action
	Ends    Until  `json:"ends"`   // of that dragon
	Detail  string `json:"detail,omitempty"`
	// Human is what a person does to open the gate; empty where time or an event opens it.
	Human string `json:"human,omitempty"`
	Event string `json:"event,omitempty"` // what opens it, where that is neither a known time nor a person
}

// GateObserve is not in the table of gates: the mode observe lets an action pass all of
// them and sends nothing.
const GateObserve Gate = "observe"

// humanOpens says what a person does about a closed gate that does not open by itself.
// ID, WORKER and SCOPE are replaced by the pause or rollout, the dragon and the breaker.
var humanOpens = map[Gate]string{
	GateObserve:     "set mode: enforce for its healing profile",
	GateStop:        "remove the file STOP from the data directory",
	GateOwner:       "stop the other process that uses the data directory",
	GateStore:       "make the data directory writable",
	GateClock:       "let NTP set the clock of this host",
	GateRecovered:   "mother-of-dragons healer ack recovered_state",
	GateSafeMode:    "mother-of-dragons healer ack safe_mode",
	GatePause:       "mother-of-dragons healer resume ID",
	GateConflict:    "give each dragon a MAC of its own",
	GateMaintenance: "mother-of-dragons healer resume ID",
	GateQuarantine:  "mother-of-dragons healer release WORKER",
	GateLost:        "look at the dragon: power, network, board",
	GateFlapping:    "find out why it restarts, then mother-of-dragons healer release WORKER",
	GateFresh:       "look why the dragon cannot be read: network, password, firmware",
	GateYoung:       "look why its uptime cannot be read",
	GateCooling:     "cool the dragon",
	GateIsolation:   "look at the network of this host",
	GatePool:        "look at the pool, or change it",
	GateDomain:      "look at the network and the power of the site",
	GateSchema:      "report the firmware: its answers cannot be read",
	GateForeign:     "find out who restarts dragons, then mother-of-dragons healer ack foreign SCOPE",
	GateStorm:       "look for a common cause, or mother-of-dragons healer ack storm",
	GateScope:       "look for a common cause, or mother-of-dragons healer ack scope SCOPE",
	GateEfficacy:    "mother-of-dragons healer ack efficacy SCOPE",
	GateHarm:        "look at the dragons that were lost, then mother-of-dragons healer ack harm",
	GateBenefit:     "nothing: after a day it is quarantined",
	GateExternal:    "look at the query of the external gate",
	GateUnfit:       "heal the dragon first",
	GateRollout:     "mother-of-dragons healer ack rollout ID",
}

// eventOpens says what opens the other gates, where the time is not known.
var eventOpens = map[Gate]string{
	GateStart:       "enough samples since the healer started",
	GateNew:         "enough samples of the new dragon",
	GateTuning:      "the end of its tuning",
	GateConfig:      "the end of the check of its new firmware",
	GateWindow:      "the next healing window",
	GateUploads:     "the end of another upload",
	GateBoot:        "the end of the boot of many dragons",
	GateEfficacy:    "the outcome of the step on another dragon",
	GateInFlight:    "the outcome of its last action",
	GateHold:        "the end of its hold-down",
	GateInterval:    "the next action for this reason",
	GateGap:         "the gap after its last write",
	GateDevice:      "its own budget",
	GateFlight:      "the outcome of an action on another dragon",
	GateDomainSlots: "the outcome of an action on another dragon of its site",
	GateRollouts:    "the outcome of another change",
	GateSpacing:     "the gap after the last write to any dragon",
	GateHour:        "the budget of the next hour",
	GateDay:         "the budget of the next day",
	GateWave:        "the next wave",
}

// EndedBy says what ends the wait: a time, a person or an event.
func (w *Waiting) EndedBy() string {
	switch {
	case w.Ends.Known:
		return "in " + ShortDuration(time.Duration(w.Ends.For))
	case w.Human != "":
		return w.Human
	}
	return cmp.Or(w.Event, "by itself")
}

// waits finds the longest wait at each gate, and the longest that a sick dragon is left alone.
func (c *cycle) waits() {
	longest := make(map[Gate]*Waiting)
	for _, s := range c.all {
		d := s.decision
		if d == nil || !s.sick() || d.State != StateSick && d.State != StateHeld {
			continue
		}
		waited := Span(c.untreated(s))
		c.out.Counts.Untreated = max(c.out.Counts.Untreated, waited)
		gates := d.Gates
		if d.Verb == WouldAct {
			gates = []GateState{{Name: GateObserve}}
		}
		for _, g := range gates {
			if g.Open {
				continue
			}
			w := longest[g.Name]
			if w == nil {
				w = &Waiting{Gate: g.Name}
				longest[g.Name] = w
			}
			w.Dragons++
			if w.Worker != "" && waited <= w.For {
				continue
			}
			w.Worker, w.For, w.Ends, w.Detail, w.Human, w.Event = d.Worker, waited, g.Wait, g.Detail, "", ""
			if !g.Wait.Known { // else time opens it
				w.Human, w.Event = c.humanStep(g.Name, s), eventOpens[g.Name]
			}
		}
	}
	for _, gate := range slices.Sorted(maps.Keys(longest)) {
		c.out.Waiting = append(c.out.Waiting, *longest[gate])
	}
	slices.SortStableFunc(c.out.Waiting, func(a, b Waiting) int { return cmp.Compare(b.For, a.For) })
}

// humanStep is what a person does about a gate that is closed for a dragon: a command
// with the names that it takes now.
func (c *cycle) humanStep(gate Gate, s *subject) string {
	text := humanOpens[gate]
	put := func(word, value string) { text = strings.TrimSuffix(strings.Replace(text, word, value, 1), " ") }
	switch gate {
	case GatePause, GateMaintenance:
		kind := map[Gate]PauseKind{GatePause: Paused, GateMaintenance: Maintained}[gate]
		if p := c.m.paused(kind, s.f, c.now); p != nil {
			put("ID", p.ID)
		}
	case GateFlapping, GateQuarantine:
		put("WORKER", s.f.Worker)
	case GateForeign, GateScope:
		for _, scope := range scopesFor(string(gate), s.f) {
			if b := c.m.breaker(string(gate), scope); b != nil && b.covers(s.f, s.r) {
				put("SCOPE", argument(scope))
				break
			}
		}
	case GateEfficacy:
		key := ladderKey(s.decision.Reason, s.f.Model)
		if c.m.breaker("efficacy", key) == nil { // a step is skipped; the ladder goes on
			return ""
		}
		put("SCOPE", argument(key))
	}
	return text
}

// argument is a name as a shell takes it.
func argument(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune("'\"\\$`*?()[]{}<>|&;#~!", r) }) {
		return fmt.Sprintf("'%s'", strings.ReplaceAll(s, "'", `'\''`))
	}
	return s
}

// untreated is how long a sick dragon has been sick, or left alone since its last action.
func (c *cycle) untreated(s *subject) time.Duration {
	since := s.r.SickSince
	if a := s.r.last((*Action).heals); a != nil {
		since = max(since, a.At)
	}
	return c.now.Since(since)
}
