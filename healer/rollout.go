package healer

import (
	"errors"
	"fmt"
)

// RolloutState is how far a rollout has come.
type RolloutState string

// The states. Those of a configuration are ConfigStates, those of firmware FirmwareStates.
// An aborted rollout latches the breaker rollout. Acknowledging that starts a configuration
// from its canary; firmware needs a new rollout.
const (
	RolloutWaiting RolloutState = "waiting" // for a canary that can be written to
	RolloutCanary  RolloutState = "canary"  // one dragon has to show that the change works
	RolloutWaves   RolloutState = "waves"   // the canary works, and the others follow
	RolloutRunning RolloutState = "running" // firmware: from the canary's wave to the last
	RolloutPaused  RolloutState = "paused"  // firmware: no dragon begins, those that have begun go on
	RolloutDone    RolloutState = "done"    // a configuration: from now on drift and new dragons are corrected
	RolloutAborted RolloutState = "aborted"
)

// The states of each kind of rollout, in their order.
var (
	ConfigStates   = []RolloutState{RolloutWaiting, RolloutCanary, RolloutWaves, RolloutDone, RolloutAborted}
	FirmwareStates = []RolloutState{RolloutRunning, RolloutPaused, RolloutAborted, RolloutDone}
)

// RolloutHead is what every rollout has, whatever it brings.
type RolloutHead struct {
	ID    string       `json:"id"` // r1, r2 … for configurations, f1, f2 … for firmware
	State RolloutState `json:"state"`
	Since Moment       `json:"since"`         // of the state
	Why   string       `json:"why,omitempty"` // of the state
}

func (h *RolloutHead) head() *RolloutHead { return h }

// rollout is a change on its way to its dragons: to one of them first, the canary, and when
// that works to the others, in waves. It survives the process. Each payload is a type of its
// own: ConfigRollout and FirmwareRollout.
type rollout interface {
	head() *RolloutHead
	kind() Kind       // of its writes
	brings() string   // what it brings, for a breaker
	title() string    // which rollout it is, for the audit
	stops() Verb      // in the audit, where it is paused or aborted
	advance(c *cycle) // judges it by its dragons: another state, or the next wave
}

// advanceRollouts moves the rollouts on by what has become of their dragons.
func (c *cycle) advanceRollouts() {
	for _, ro := range c.m.Fleet.Firmware {
		ro.advance(c)
	}
	for _, ro := range c.m.Fleet.Rollouts {
		if ro.State == RolloutAborted && ro.Since == c.now {
			c.abortAlike(ro)
		}
	}
	for _, ro := range c.m.Fleet.Rollouts {
		ro.advance(c)
	}
	c.tidyRollouts()
}

// withID returns the rollout with an ID; nil: there is none.
func withID[R rollout](list []R, id string) (none R) {
	for _, ro := range list {
		if ro.head().ID == id {
			return ro
		}
	}
	return none
}

// rolloutActor is the actor of what a rollout decides.
func rolloutActor(id string) string { return "rollout:" + id }

// The errors of rollouts.
var (
	// ErrNoRollout says that there is no such rollout.
	ErrNoRollout = errors.New("no such rollout")
	// ErrRollout says that a rollout is not in a state in which that can be asked of it.
	ErrRollout = errors.New("the rollout cannot do that")
)

// setState brings a rollout to another state.
func (m *Memory) setState(ro rollout, state RolloutState, why string, at Moment) {
	h := ro.head()
	h.State, h.Since, h.Why = state, at, why
	m.TouchFleet()
}

// move brings a rollout to another state and records it. Two waves that fail at once abort it
// once, and an aborted rollout stays aborted until a human has looked into it.
func (c *cycle) move(ro rollout, state RolloutState, why string) {
	h := ro.head()
	if h.State == state || h.State == RolloutAborted {
		return
	}
	c.m.setState(ro, state, why, c.now)
	verb, note := Changed, string(state)
	if state == RolloutAborted || state == RolloutPaused {
		verb = ro.stops()
	}
	if why != "" {
		note += ": " + why
	}
	c.auditRollout(verb, ro, note)
	if state == RolloutAborted {
		c.latch("rollout", h.ID, ro.brings()+": "+why)
	}
}

// auditCanaries records each canary of a rollout of a configuration once.
func (c *cycle) auditCanaries() {
	for _, ro := range c.m.Fleet.Rollouts {
		if ro.State == RolloutCanary && ro.Canary != ro.Said {
			ro.Said = ro.Canary
			c.m.TouchFleet()
			c.auditRollout(Changed, ro, "canary: "+c.m.name(ro.Canary))
		}
	}
}

func (c *cycle) auditRollout(verb Verb, ro rollout, note string) {
	c.out.Audit = append(c.out.Audit, Audit{At: c.out.Wall, Epoch: c.m.Fleet.Epoch, Decision: verb, Action: ro.kind(),
		Actor: rolloutActor(ro.head().ID), Config: c.m.Fleet.ConfigHash, Note: ro.title() + " " + note})
}

// tooManyFailed reports whether failures end a rollout: any failure early on, later more than
// the allowed part of the dragons, and more than one.
func tooManyFailed(failed, of int, early bool, allowed Ratio) bool {
	return early && failed > 0 || failed > max(1, allowed.floorOf(of))
}

// unrelatedCause names what may be why a dragon is not seen to work, and is not its own: what
// many suffer from, or people at work. Empty: nothing is known.
func (c *cycle) unrelatedCause(s *subject) string {
	if c.maintained(s, s.p.Ladder.LostAfter) { // it may take a while to be on again
		return "it is in maintenance"
	}
	if b := c.ofAll(); b != nil {
		return b.Name + ": " + b.Detail
	}
	if b := c.m.breaker("domain", s.f.Domain); b != nil {
		return "domain " + s.f.Domain + ": " + b.Detail
	}
	if s.poolHeld != "" {
		return poolIsDown
	}
	return ""
}

const poolIsDown = "its pool is down, or was just now"

// shownAtLeast is how many changes a plan has, if there are so many. To ask every gate about
// each of ten thousand dragons, of which one gets its turn, would take a while.
const shownAtLeast = 100

// chooseRollouts decides what the rollouts write next: at most one write, if the ladder has
// none. The first dragon whose gates are open gets it.
func (c *cycle) chooseRollouts() {
	for _, x := range c.firmwareSteps() {
		c.out.Upgrades = append(c.out.Upgrades, *c.propose(x))
	}
	var closed, observed bool // for every dragon; for those that would only be observed
	for i, x := range c.configSteps() {
		enforced := c.p.ModeFor(&x.change.ConfigStep, x.s.f.Profile) == Enforce
		if i >= shownAtLeast && (closed || observed && !enforced) {
			continue
		}
		d := c.propose(x)
		over := d.Verb == Act || d.Verb == WouldAct || !x.change.Restore && closedForAll(d)
		closed, observed = closed || over && enforced, observed || over
		c.out.Changes = append(c.out.Changes, *d)
	}
}

// rolloutStep is a write that a rollout wants for one dragon: change or upgrade, not both.
type rolloutStep struct {
	s       *subject
	kind    Kind
	reason  Reason
	note    string // of an upgrade
	change  *change
	upgrade *FirmwareStep
}

// propose asks the gates about a step of a rollout.
func (c *cycle) propose(x rolloutStep) *Decision {
	d := new(Decision)
	c.describe(x.s, d)
	d.Kind, d.Reason, d.Rung, d.Rungs, d.Slot, d.ActionID = x.kind, x.reason, 0, 0, -1, ""
	d.Note, d.Upgrade = x.note, x.upgrade
	mode := Enforce
	if x.change != nil {
		d.Note, d.Change = changeInWords(x.s, x.change), cloned(&x.change.ConfigStep)
		mode = c.p.ModeFor(d.Change, x.s.f.Profile)
	}
	q := &gateRequest{c: c, s: x.s, kind: x.kind, change: x.change, upgrade: x.upgrade}
	d.Gates = q.ask()
	c.tallyGates(d)
	switch {
	case d.Blocked != "" && x.change != nil && inLine(d):
		d.Verb = Wait
	case d.Blocked != "":
		d.Verb = Blocked
	case mode != Enforce:
		d.Verb, c.observed = WouldAct, x.s
	default:
		d.Verb, c.granted = Act, x.s
	}
	return d
}

// Actor returns who wants the decision carried out; empty: the ladder.
func (d *Decision) Actor() string {
	switch {
	case d.Upgrade != nil:
		return rolloutActor(d.Upgrade.Rollout)
	case d.Change != nil:
		return rolloutActor(d.Change.Rollout)
	}
	return ""
}

// auditSteps records which dragons are, or would be, written to by a rollout, and what is in
// the way of a configuration. A dragon that only waits for its turn, or for the end of what
// holds many, is not news.
func (c *cycle) auditSteps() {
	due := make(map[string]bool, len(c.out.Changes))
	for i := range c.out.Changes {
		d := &c.out.Changes[i]
		if d.Verb == Wait || d.Verb == Blocked && len(itself(d)) == 0 {
			continue
		}
		key := d.MAC + " configuration"
		due[key] = true
		c.auditStep(d, key, fmt.Sprintf("%s %s %s %v", d.Verb, d.Reason, d.Note, itself(d)))
	}
	for _, s := range c.all {
		if key := s.f.MAC + " configuration"; !due[key] && s.phase != PhaseDrifted && s.phase != PhaseWaiting {
			delete(c.m.run.lastAudited, key)
		}
	}
	for i := range c.out.Upgrades {
		if d := &c.out.Upgrades[i]; d.Verb == Act {
			c.auditStep(d, d.MAC+" firmware", d.what()+d.Actor())
		}
	}
}

// auditStep records a decision of a rollout unless the last record said the same. An upload
// that is to be sent is recorded again every hour.
func (c *cycle) auditStep(d *Decision, key, what string) {
	last, said := c.m.run.lastAudited[key]
	if said && last.what == what && (d.Upgrade == nil || c.now.Since(last.at) < auditAgain) {
		return
	}
	c.m.run.lastAudited[key] = saying{what, c.now}
	a := c.decided(c.byMAC[d.MAC], d, d.Verb)
	if d.Upgrade != nil {
		a.Actor = d.Actor()
	}
	c.out.Audit = append(c.out.Audit, a)
}

// Failure is a dragon that did not work after it was changed.
type Failure struct {
	MAC string `json:"mac"`
	At  Moment `json:"at"`
	Why string `json:"why"`
}

// name is the worker name of a remembered dragon.
func (m *Memory) name(mac string) string {
	if r := m.Dragons[mac]; r != nil {
		return r.Who.Worker
	}
	return mac
}
