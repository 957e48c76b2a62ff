package healer

import (
	"errors"
	"fmt"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// StepKind is what the caller has to do next for a write.
type StepKind string

// The steps. Persist comes twice: for the intent, and for the result.
const (
	Look     StepKind = "look"     // read the dragon once more
	Identify StepKind = "identify" // have it say who it is, on the connection that the write goes out on
	Persist  StepKind = "persist"  // write down what has changed in the memory
	Send     StepKind = "send"     // write to the dragon, once
	Finished StepKind = "finished"
)

// Step is one step of a write.
type Step struct {
	Do     StepKind
	After  time.Duration // of a Look: how long to wait before it
	Intent bool          // of a Persist: it writes the intent; else the result

	// Want is the desired state of a dragon that is to be configured; nil: it is not about
	// that. With an Identify, what it has of it is to be read. With a Send, Items of it are to
	// be written.
	Want  *DesiredState
	Items []Item
}

// Reply says how a step went.
type Reply struct {
	Err error // it could not be done; not of a Send

	Facts      *Facts        // of a Look
	Who        Who           // of an Identify: MAC, model, firmware and hardware, as the dragon says
	MemoryFree dragon.Number // of an Identify, in bytes
	Configured *Configured   // of an Identify with Want: what the dragon has

	Result Result  // of a Send
	Sent   []Item  // of a Send with Items: those that were written, or may have been; nil: all
	Told   []Stuck // of a Send: what the dragon said right after it that cannot take effect
	Note   string  // of a Send: what was said of it
}

// Standing is what an attempt depends on at one moment.
type Standing struct {
	Now    Instant
	Host   Host
	Memory *Memory
	Policy *Policy // in force
	View   *View   // the newest
	Plan   *Plan   // made of it
	Halt   string  // why the shell sends nothing at all; empty: it may
	Speed  float64 // of Now against the host's clock; 0 counts as 1
}

const (
	looksBefore = 2 // at a sick dragon, before it is acted on
	looksApart  = 10 * time.Second
	provenFor   = 10 * time.Second // from the proof of identity to the send
)

// NotSentError says why a decision was not carried out.
type NotSentError struct {
	Why      string
	Decision *Decision // of the gates that stopped what a person asked for; nil: something else did
}

func (e *NotSentError) Error() string { return "not sent: " + e.Why }

// NotSentf makes a NotSentError.
func NotSentf(format string, args ...any) error {
	return &NotSentError{Why: fmt.Sprintf(format, args...)}
}

// Attempt is the order of one write: the steps between a decision and its result.
// The agent and the simulated farm run it alike: Next says what to do next,
// the caller does it, and Done takes the result. See the package's documentation for the
// order.
//
// Whatever may have changed since the decision is asked again in every Next until the send.
type Attempt struct {
	decision Decision
	actor    string // empty: the ladder
	force    bool   // skips policy; never identity, ceilings, the state or STOP
	view     *View  // that the decision rests on
	policy   *Policy
	want     *DesiredState

	next   StepKind
	looks  int             // still to be made
	looked bool            // one was made
	proven time.Duration   // when the dragon said who it is
	had    *ConfigSnapshot // what a dragon that is configured had
	action Action          // once it is intended
	err    error           // why nothing was sent
}

// NewAttempt begins to carry out a decision that was made on a view, by a policy. actor is
// who wants it; empty: the ladder. With force, policy is skipped.
func NewAttempt(d Decision, actor string, force bool, view *View, mem *Memory, policy *Policy) *Attempt {
	a := &Attempt{decision: d, actor: actor, force: force, view: view, policy: policy, next: Look}
	switch {
	case !a.own(): // a human has looked at the dragon
		a.next = Identify
	case d.Change != nil || d.Upgrade != nil: // it is not sick
		a.looks = 1
	default:
		a.looks = looksBefore
	}
	if d.Change != nil {
		var own *DesiredState
		if f := view.Of(d.MAC); f != nil {
			own = f.Desired
		}
		a.want = mem.Desired(&d, own)
	}
	return a
}

// own reports whether it is the healer's own: the ladder's, or a rollout's.
func (a *Attempt) own() bool {
	return a.actor == "" || a.decision.Change != nil || a.decision.Upgrade != nil
}

// Decision is what is carried out, as it is by now.
func (a *Attempt) Decision() *Decision { return &a.decision }

// Policy is the one that the decision was made by.
func (a *Attempt) Policy() *Policy { return a.policy }

// Actor is who wants it; empty: the ladder.
func (a *Attempt) Actor() string { return a.actor }

// Action is the write as it is remembered; without an ID while there is no intent.
func (a *Attempt) Action() Action { return a.action }

// Err says why nothing was sent; nil: something was, or may be yet.
func (a *Attempt) Err() error { return a.err }

// Next returns the next step.
func (a *Attempt) Next(s Standing) Step {
	if a.next != Finished && a.action.Result == Pending {
		if err := a.Allowed(s); err != nil {
			a.Stop(s, err)
		}
	}
	step := Step{Do: a.next}
	switch a.next {
	case Look:
		if a.looked {
			step.After = looksApart
		}
	case Identify:
		if a.action.ID == "" {
			step.Want = a.want
		}
	case Persist:
		step.Intent = a.action.Result == Pending
	case Send:
		if a.decision.Change != nil {
			step.Want, step.Items = a.want, a.decision.Change.Items
		}
	}
	return step
}

// Done takes the result of a step. An error says that the memory does not know the write whose
// result it was to take.
func (a *Attempt) Done(s Standing, step Step, r Reply) (err error) {
	switch step.Do {
	case Look:
		a.confirm(s, r)
	case Identify:
		a.identified(s, r)
	case Persist:
		switch {
		case !step.Intent: // what cannot be written now is Unknown to the next process, which is true
			a.next = Finished
		case r.Err != nil:
			a.Stop(s, NotSentf("the intent could not be written down: %v", r.Err))
		default:
			a.next = Identify
		}
	case Send:
		err = a.sent(s, r)
	}
	return err
}

// confirm compares a dragon that was read again with the decision.
func (a *Attempt) confirm(s Standing, r Reply) {
	err := r.Err
	if err == nil {
		err = Confirm(s.Now, a.view, s.Memory, a.policy, &a.decision, r.Facts)
	}
	if err != nil {
		s.Memory.Unsent(s.Now, a.decision.MAC)
		a.Stop(s, NotSentf("%v", err))
		return
	}
	a.looked = true
	if a.looks--; a.looks == 0 {
		a.next = Identify
	}
}

// identified takes who the dragon says that it is: before the intent, and before the send.
func (a *Attempt) identified(s Standing, r Reply) {
	if err := a.recognize(r); err != nil {
		s.Memory.Unsent(s.Now, a.decision.MAC)
		a.Stop(s, err)
		return
	}
	a.proven = s.Now.Mono
	if a.action.ID != "" {
		a.next = Send
		return
	}
	err := a.found(r)
	if err == nil {
		err = a.Allowed(s)
	}
	if err == nil {
		err = a.intend(s)
	}
	if err != nil {
		a.Stop(s, err)
		return
	}
	a.next = Persist
}

// recognize compares the identity that the dragon gives with the decision.
func (a *Attempt) recognize(r Reply) error {
	d := &a.decision
	switch {
	case r.Err != nil:
		return r.Err
	case r.Who.MAC != d.MAC:
		return NotSentf("expected MAC %s, found %q", d.MAC, r.Who.MAC)
	}
	image := d.Sends()
	if image == nil {
		return nil
	}
	is := d.Who
	is.Firmware, is.Model, is.HWVer = r.Who.Firmware, r.Who.Model, r.Who.HWVer
	if is.Firmware != d.Firmware {
		return NotSentf("it runs %s by now, not %s", Text(is.Firmware), d.Firmware)
	}
	if err := image.Fits(&is); err != nil {
		return NotSentf("%v", err)
	}
	if free, ok := r.MemoryFree.Get(); !ok || free <= a.policy.Firmware.Memory*float64(image.Size) {
		return NotSentf("it has not enough free memory by now")
	}
	return nil
}

// found takes what the dragon has right before it is configured: it may be in sync already, and
// a rollback needs what it had.
func (a *Attempt) found(r Reply) error {
	x := a.decision.Change
	switch {
	case x == nil:
		return nil
	case a.want == nil:
		return NotSentf("its desired state is not known")
	}
	step := *x
	step.Items, a.had = x.Found(a.want, r.Configured)
	a.decision.Change = &step
	if len(step.Items) == 0 {
		return NotSentf("it is in sync already")
	}
	return nil
}

// intend writes into the memory that the dragon is about to be written to.
func (a *Attempt) intend(s Standing) error {
	if a.own() {
		d, err := a.stillWanted(s)
		if err != nil {
			return err
		}
		d.Change = a.decision.Change // as it was found right now
		a.decision = d
	} else if err := a.stillFree(s); err != nil {
		return err
	}
	if err := s.Memory.Interlock(s.Now, a.decision.MAC, a.decision.Kind, ""); err != nil {
		return NotSentf("%v", err)
	}
	action, err := s.Memory.Intend(s.Now, &a.decision, a.actor, a.had)
	if err != nil {
		return NotSentf("%v", err)
	}
	a.action = action
	return nil
}

// stillWanted returns the newest decision about the dragon: facts may have come in while it
// was looked at again.
func (a *Attempt) stillWanted(s Standing) (Decision, error) {
	// The newest plan knows nothing of a write that came after it.
	if ring := s.Memory.Fleet.Ring; len(ring) > 0 && ring[len(ring)-1].At >= s.Plan.At {
		return Decision{}, NotSentf("%s has been written to in the meantime", ring[len(ring)-1].MAC)
	}
	was := &a.decision
	decisions := s.Plan.Dragons
	switch {
	case was.Change != nil:
		decisions = s.Plan.Changes
	case was.Upgrade != nil:
		decisions = s.Plan.Upgrades
	}
	d := find(decisions, func(d *Decision) bool { return d.MAC == was.MAC })
	switch {
	case d == nil,
		was.Upgrade != nil && (d.Upgrade == nil || d.Upgrade.Rollout != was.Upgrade.Rollout),
		was.Change != nil && (d.Change == nil || d.Change.Rollout != was.Change.Rollout || d.Change.Restore != was.Change.Restore):
		return Decision{}, NotSentf("it is no longer known")
	case d.Verb == Act && d.Kind == was.Kind && d.Reason == was.Reason:
		return *d, nil
	}
	return Decision{}, NotSentf("it is no longer to be acted on")
}

// stillFree asks the gates again about what a person wants: others may have been written to in the
// meantime, at the wish of others or of the same person.
func (a *Attempt) stillFree(s Standing) error {
	if a.force {
		return nil
	}
	view := *s.View
	view.Host = s.Host
	d := Ask(s.Now, &view, s.Memory, s.Policy, Request{MAC: a.decision.MAC, Kind: a.decision.Kind, Actor: a.actor})
	if d.Verb == Act {
		return nil
	}
	detail := ""
	if g := find(d.Gates, func(g *GateState) bool { return g.Name == d.Blocked }); g != nil && g.Detail != "" {
		detail = ": " + g.Detail
	}
	return &NotSentError{fmt.Sprintf("blocked by %s meanwhile%s", d.Blocked, detail), &d}
}

// GoOn asks, between two requests of one Send, whether the next may go out: a request may have
// taken a minute, so the dragon has said once more who it is.
func (a *Attempt) GoOn(s Standing, r Reply) error {
	if err := a.recognize(r); err != nil {
		return err
	}
	a.proven = s.Now.Mono
	return a.Allowed(s)
}

// Allowed asks everything that may have changed since the decision and forbids the write.
func (a *Attempt) Allowed(s Standing) error {
	d := &a.decision
	switch {
	case s.Halt != "":
		return NotSentf("%s", s.Halt)
	case s.Host.Stop:
		return NotSentf("the STOP file is there")
	case !s.Host.StateWritable:
		return NotSentf("the state cannot be written")
	case s.Memory.Dragons[d.MAC] == nil:
		return NotSentf("it is no longer known")
	}
	if a.next == Send && a.action.ID != "" {
		if err := s.Memory.Interlock(s.Now, d.MAC, d.Kind, a.action.ID); err != nil {
			return NotSentf("%v", err)
		}
		// Addresses change at the network's pace, also in a fast simulation.
		age := s.Now.Mono - a.proven
		if s.Speed > 0 {
			age = time.Duration(float64(age) / s.Speed)
		}
		if age >= provenFor {
			return NotSentf("its identity was proven %s ago", ShortDuration(age))
		}
	}
	switch {
	case a.force:
		return nil
	case d.Change != nil:
		if s.Policy.ModeFor(d.Change, d.Profile) != Enforce {
			return NotSentf("the mode is observe")
		}
	case d.Upgrade != nil:
		if ro := s.Memory.FirmwareRollout(d.Upgrade.Rollout); ro == nil || ro.State != RolloutRunning {
			return NotSentf("rollout %s does not run any more", d.Upgrade.Rollout)
		}
	case a.actor == "" && s.Policy.For(d.Profile).Mode != Enforce:
		return NotSentf("the mode is observe")
	}
	if g := gateOf(s.Policy.without); g != nil && g.hold { // a test tries it without the gate
		return nil
	}
	if err := s.Memory.CheckHold(s.Now, d.MAC); err != nil {
		return NotSentf("%v", err)
	}
	return nil
}

// Stop ends the attempt before the send: the shell cannot go on. An intent stays charged.
func (a *Attempt) Stop(s Standing, err error) {
	a.err = err
	if a.action.ID == "" {
		if a.decision.Change != nil {
			s.Memory.Unsent(s.Now, a.decision.MAC)
		}
		a.next = Finished
		return
	}
	note := err.Error()
	if e := (*NotSentError)(nil); errors.As(err, &e) {
		note = e.Why
	}
	_ = a.sent(s, Reply{Result: NotSent, Note: note}) // the intent was made by this attempt
}

// sent writes into the memory what came of the send.
func (a *Attempt) sent(s Standing, r Reply) error {
	mac, id := a.decision.MAC, a.action.ID
	if r.Sent != nil && !r.Result.NotExecuted() {
		_ = s.Memory.Wrote(mac, id, r.Sent)
	}
	if len(r.Told) > 0 {
		_ = s.Memory.Told(mac, id, r.Told)
	}
	err := s.Memory.Sent(s.Now, mac, id, r.Result, r.Note)
	if x := s.Memory.Action(mac, id); x != nil {
		a.action = *x
	}
	a.action.Result = r.Result // also where the memory has lost the action
	a.next = Persist
	return err
}
