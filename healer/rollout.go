package healer

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// RolloutState is how far a rollout has come.
type RolloutState string

// The states of a rollout. An aborted one is taken up again when a human acknowledges the
// breaker rollout that it has latched.
const (
	RolloutWaiting RolloutState = "waiting" // for a canary that may be written to
	RolloutCanary  RolloutState = "canary"  // one dragon has to show that it works
	RolloutWaves   RolloutState = "waves"   // it does, and the others follow
	RolloutDone    RolloutState = "done"    // those that could be reached are as wished; who drifts, or is new, is put right
	RolloutAborted RolloutState = "aborted"
)

// RolloutStates are all of them, in their order.
var RolloutStates = []RolloutState{RolloutWaiting, RolloutCanary, RolloutWaves, RolloutDone, RolloutAborted}

const (
	rolloutForgotten = 24 * time.Hour // after the last dragon that it was for
	canariesMost     = 3              // that cannot be changed, before a rollout is given up
	failuresKept     = 24 * time.Hour
)

// Rollout brings one wish to its dragons: to one of them first, and when that one works, to
// the others, a few at a time. It survives the process.
type Rollout struct {
	ID     string       `json:"id"`
	Kind   Kind         `json:"kind"`
	Key    string       `json:"key"` // of the wish
	Name   string       `json:"name"`
	State  RolloutState `json:"state"`
	Since  Moment       `json:"since"`
	Wanted Moment       `json:"wanted"`           // when a dragon was last seen that it is for; to the hour
	Canary string       `json:"canary,omitempty"` // MAC
	Tried  []string     `json:"tried,omitempty"`  // canaries that said nothing about the wish
	Failed []Failure    `json:"failed,omitempty"` // dragons that did not work afterwards, of the last 24 hours
}

// Failure is a dragon that did not work after it was changed.
type Failure struct {
	MAC string `json:"mac"`
	At  Moment `json:"at"`
	Why string `json:"why"`
}

// proven reports whether a dragon has shown that the wish works.
func (ro *Rollout) proven() bool { return ro.State == RolloutWaves || ro.State == RolloutDone }

func (ro *Rollout) clone() *Rollout {
	c := *ro
	c.Tried, c.Failed = slices.Clone(ro.Tried), slices.Clone(ro.Failed)
	return &c
}

// rollout returns the rollout of a name, or nil.
func (m *Memory) rollout(id string) *Rollout {
	for _, ro := range m.Fleet.Rollouts {
		if ro.ID == id {
			return ro
		}
	}
	return nil
}

// rolloutOf returns the rollout of a wish, a new one if nobody had that wish of late.
func (c *cycle) rolloutOf(kind Kind, key, name string) *Rollout {
	f := &c.m.Fleet
	i := slices.IndexFunc(f.Rollouts, func(ro *Rollout) bool { return ro.Kind == kind && ro.Key == key })
	if i < 0 {
		f.NextRollout++
		ro := &Rollout{ID: fmt.Sprintf("r%d", f.NextRollout), Kind: kind, Key: key, Name: name, State: RolloutWaiting, Since: c.now, Wanted: c.now}
		f.Rollouts = append(f.Rollouts, ro)
		c.m.TouchFleet()
		return ro
	}
	ro := f.Rollouts[i]
	if c.now.Since(ro.Wanted) >= seenGranularity {
		ro.Wanted = c.now
		c.m.TouchFleet()
	}
	if ro.Name != name {
		ro.Name = name
		c.m.TouchFleet()
	}
	return ro
}

// move brings a rollout to another state.
func (c *cycle) move(ro *Rollout, state RolloutState, why string) {
	if ro.State == state {
		return
	}
	ro.State, ro.Since = state, c.now
	c.m.TouchFleet()
	c.auditRollout(Changed, ro, why)
}

// abort stops a rollout until a human has looked into it. It may be asked for again.
func (c *cycle) abort(ro *Rollout, why string) {
	if ro.State == RolloutAborted {
		return
	}
	c.move(ro, RolloutAborted, why)
	c.latch("rollout", ro.ID, ro.Name+": "+why)
}

// failedOn reports whether a dragon did not work after it was changed.
func (ro *Rollout) failedOn(mac string) bool {
	return slices.ContainsFunc(ro.Failed, func(x Failure) bool { return x.MAC == mac })
}

// mayGiveBack reports whether it is remembered what a dragon had before a rollout, and it
// has not been given that back.
func (r *ConfigRecord) mayGiveBack(rollout string) bool {
	return r != nil && r.Rollout == rollout && r.Old != nil && !r.Restored
}

// failed takes down that a dragon did not work after it was changed, and judges the
// rollout by it. members is how many dragons it is for.
func (c *cycle) failed(ro *Rollout, mac, why string, members int) {
	ro.Failed = append(ro.Failed, Failure{mac, c.now, why})
	c.m.TouchFleet()
	switch {
	case !ro.proven():
		c.abort(ro, "the canary "+c.m.name(mac)+": "+why)
	case len(ro.Failed) > max(1, c.p.Rollout.Failures.floorOf(members)):
		c.abort(ro, fmt.Sprintf("%d of %d dragons failed, the last of them %s: %s", len(ro.Failed), members, c.m.name(mac), why))
	}
}

// name is the worker name of a remembered dragon.
func (m *Memory) name(mac string) string {
	if r := m.Dragons[mac]; r != nil {
		return r.Who.Worker
	}
	return mac
}

// tidyRollouts forgets what nobody wants any more, and failures that are old.
func (c *cycle) tidyRollouts() {
	f := &c.m.Fleet
	for _, ro := range slices.Clone(f.Rollouts) {
		if n := len(ro.Failed); n > 0 && ro.proven() && c.now.Since(ro.Failed[0].At) >= failuresKept {
			ro.Failed = slices.DeleteFunc(slices.Clone(ro.Failed), func(x Failure) bool { return c.now.Since(x.At) >= failuresKept })
			c.m.TouchFleet()
		}
		if c.now.Since(ro.Wanted) < rolloutForgotten {
			continue
		}
		f.Rollouts = slices.DeleteFunc(slices.Clone(f.Rollouts), func(x *Rollout) bool { return x == ro })
		c.drop("rollout", ro.ID)
		c.m.TouchFleet()
	}
}

// resumeRollout takes an aborted rollout up again, from its beginning. Who is still to be
// given back what it had is given that first.
func (m *Memory) resumeRollout(id string, now Moment) {
	ro := m.rollout(id)
	if ro == nil {
		return
	}
	ro.State, ro.Since, ro.Canary, ro.Tried = RolloutWaiting, now, "", nil
	ro.Failed = slices.DeleteFunc(slices.Clone(ro.Failed), func(x Failure) bool {
		return m.Dragons[x.MAC] == nil || !m.Dragons[x.MAC].Config.mayGiveBack(id)
	})
	for mac, r := range m.Dragons {
		if r.Config != nil && r.Config.Rollout == id && !ro.failedOn(mac) {
			m.clearFailure(ro, mac)
		}
	}
	m.TouchFleet()
}

// clearFailure lets a dragon begin anew with a rollout.
func (m *Memory) clearFailure(ro *Rollout, mac string) {
	m.Dragons[mac].Config = nil
	ro.Failed = slices.DeleteFunc(slices.Clone(ro.Failed), func(x Failure) bool { return x.MAC == mac })
	m.touch(mac)
	m.TouchFleet()
}

// wave is how many dragons may be changed within Rollout.Every.
func (p *RolloutPolicy) wave(n int) int { return max(p.WaveMin, p.Wave.floorOf(n)) }

// changed is the number of writes of a kind that began within a window.
func (f *FleetRecord) changed(kind Kind, window time.Duration, now Moment) int {
	n := 0
	for i := len(f.Ring) - 1; i >= 0 && now.Since(f.Ring[i].At) < window; i-- {
		if f.Ring[i].Kind == kind {
			n++
		}
	}
	return n
}

// nextChange is how long until a write of a kind leaves the window.
func (f *FleetRecord) nextChange(kind Kind, window time.Duration, now Moment) time.Duration {
	for i := range f.Ring {
		if age := now.Since(f.Ring[i].At); f.Ring[i].Kind == kind && age < window {
			return window - age
		}
	}
	return 0
}

func (c *cycle) auditRollout(verb Verb, ro *Rollout, why string) {
	note := fmt.Sprintf("rollout %s (%s): %s", ro.ID, ro.Name, ro.State)
	if why != "" {
		note += ": " + why
	}
	c.out.Audit = append(c.out.Audit, Audit{At: c.out.Wall, Epoch: c.m.Fleet.Epoch, Decision: verb, Action: ro.Kind,
		Actor: rolloutActor(ro.ID), Config: c.m.Fleet.ConfigHash, Note: note})
}

func rolloutActor(id string) string { return "rollout:" + id }

// RolloutShown is a rollout as people see it.
type RolloutShown struct {
	ID      string            `json:"id"`
	Kind    Kind              `json:"kind"`
	Name    string            `json:"name"`
	State   RolloutState      `json:"state"`
	Since   Moment            `json:"since"`
	Canary  string            `json:"canary,omitempty"` // worker
	Failed  []Failure         `json:"failed,omitempty"`
	Phases  map[string]int    `json:"dragons"` // by what has become of them
	Members int               `json:"members"`
	Pending []PendingRollback `json:"owed,omitempty"`   // dragons that have what does not work, still
	Left    Span              `json:"left_s,omitempty"` // about how long until no dragon waits, by the pace so far; 0: not known
}

// PendingRollback is a dragon that is still to be given back what it had, and what that waits for.
type PendingRollback struct {
	Worker string `json:"worker"`
	Waits  string `json:"waits_for"`
}

// waitsFor says what keeps a dragon from being given back what it had.
func (c *cycle) waitsFor(s *subject) string {
	switch d := c.out.ChangeOf(s.f.MAC); {
	case d == nil:
		return "it is " + string(s.r.State)
	case d.Blocked == "":
		return "its turn, which is now"
	default:
		return d.WhatBlocks()
	}
}

// left estimates how long a rollout takes for the dragons that wait for it, by the pace of
// its writes so far; 0 before the second write.
func (c *cycle) left(ro *Rollout, waiting int) Span {
	first, written := c.now, 0
	for _, s := range c.all {
		if s.rollout != ro {
			continue
		}
		for i := range s.r.Actions {
			if a := &s.r.Actions[i]; a.Change != nil && a.Change.Rollout == ro.ID && !a.Change.Restore {
				first = min(first, a.At)
				written++
			}
		}
	}
	if written < 2 {
		return 0
	}
	return Span(c.now.Since(first) / time.Duration(written) * time.Duration(waiting))
}

// showRollouts puts the rollouts that dragons are in, or that are latched, into the plan.
func (c *cycle) showRollouts() {
	for _, ro := range c.m.Fleet.Rollouts {
		x := RolloutShown{ID: ro.ID, Kind: ro.Kind, Name: ro.Name, State: ro.State, Since: ro.Since, Failed: slices.Clone(ro.Failed), Phases: make(map[string]int)}
		if ro.Canary != "" {
			x.Canary = c.m.name(ro.Canary)
		}
		for _, s := range c.all {
			if s.rollout == ro {
				x.Members++
				x.Phases[string(s.phase)]++
				if c.rollbackTarget(s) != nil {
					x.Pending = append(x.Pending, PendingRollback{s.f.Worker, c.waitsFor(s)})
				}
			}
		}
		for _, s := range c.frozen {
			if ro.failedOn(s.f.MAC) && s.r.Config.mayGiveBack(ro.ID) {
				x.Pending = append(x.Pending, PendingRollback{s.f.Worker, contested})
			}
		}
		x.Left = c.left(ro, x.Phases[string(PhaseWaiting)]+x.Phases[string(PhaseDrifted)])
		if x.Members > 0 || ro.State == RolloutAborted {
			c.out.Rollouts = append(c.out.Rollouts, x)
		}
	}
	slices.SortFunc(c.out.Rollouts, func(a, b RolloutShown) int { return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) })
}
