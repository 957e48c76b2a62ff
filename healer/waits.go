package healer

import (
	"cmp"
	"fmt"
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
			w := entry(longest, g.Name)
			w.Gate = g.Name
			w.Dragons++
			if w.Worker != "" && waited <= w.For {
				continue
			}
			w.Worker, w.For, w.Ends, w.Detail, w.Human, w.Event = d.Worker, waited, g.Wait, g.Detail, "", ""
			if !g.Wait.Known { // else time opens it
				w.Human, w.Event = c.opens(g.Name, s)
			}
		}
	}
	for _, gate := range sortedKeys(longest) {
		c.out.Waiting = append(c.out.Waiting, *longest[gate])
	}
	slices.SortStableFunc(c.out.Waiting, func(a, b Waiting) int { return cmp.Compare(b.For, a.For) })
}

// opens is what opens a gate that is closed for a dragon: what a person does, a command with
// the names that it takes now, or an event.
func (c *cycle) opens(gate Gate, s *subject) (human, event string) {
	g := gateOf(gate)
	if g == nil { // GateObserve
		return "set mode: enforce for its healing profile", ""
	}
	text := g.human
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
			return "", g.event
		}
		put("SCOPE", argument(key))
	}
	return text, g.event
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
