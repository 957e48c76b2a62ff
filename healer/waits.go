package healer

import (
	"cmp"
	"maps"
	"slices"
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
	// Human is what a person does to open the gate; empty where time or the dragon opens it.
	Human string `json:"human,omitempty"`
}

// humanOpens says what a person does about a closed gate that does not open by itself.
var humanOpens = map[Gate]string{
	GateStop:        "remove the file STOP from the data directory",
	GateOwner:       "stop the other process that uses the data directory",
	GateStore:       "make the data directory writable",
	GateClock:       "let NTP set the clock of this host",
	GateRecovered:   "healer ack recovered_state",
	GateSafeMode:    "healer ack safe_mode",
	GatePause:       "healer resume ID",
	GateConflict:    "give each dragon a MAC of its own",
	GateMaintenance: "healer resume ID",
	GateQuarantine:  "healer release WORKER",
	GateLost:        "look at the dragon: power, network, board",
	GateFlapping:    "find out why it restarts, then healer release WORKER",
	GateFresh:       "look why the dragon cannot be read: network, password, firmware",
	GateYoung:       "look why its uptime cannot be read",
	GateCooling:     "cool the dragon",
	GateIsolation:   "look at the network of this host",
	GatePool:        "look at the pool, or change it",
	GateDomain:      "look at the network and the power of the site",
	GateSchema:      "report the firmware: its answers cannot be read",
	GateForeign:     "find out who restarts dragons, then healer ack foreign",
	GateStorm:       "look for a common cause, or healer ack storm",
	GateScope:       "look for a common cause, or healer ack scope SCOPE",
	GateEfficacy:    "healer ack efficacy SCOPE",
	GateHarm:        "look at the dragons that were lost, then healer ack harm",
	GateBenefit:     "nothing: after a day it is quarantined",
	GateExternal:    "look at the external gate's query",
	GateUnfit:       "heal the dragon first",
	GateRollout:     "healer ack rollout ID",
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
		for _, g := range d.Gates {
			if g.Open {
				continue
			}
			w := longest[g.Name]
			if w == nil {
				w = &Waiting{Gate: g.Name, Human: humanOpens[g.Name]}
				longest[g.Name] = w
			}
			w.Dragons++
			if w.Worker == "" || waited > w.For {
				w.Worker, w.For, w.Ends, w.Detail = d.Worker, waited, g.Wait, g.Detail
			}
			if g.Wait.Known { // time opens it
				w.Human = ""
			}
		}
	}
	for _, gate := range slices.Sorted(maps.Keys(longest)) {
		c.out.Waiting = append(c.out.Waiting, *longest[gate])
	}
	slices.SortStableFunc(c.out.Waiting, func(a, b Waiting) int { return cmp.Compare(b.For, a.For) })
}

// untreated is how long a sick dragon has been sick, or left alone since its last action.
func (c *cycle) untreated(s *subject) time.Duration {
	since := s.r.SickSince
	if a := s.r.last((*Action).heals); a != nil {
		since = max(since, a.At)
	}
	return c.now.Since(since)
}
