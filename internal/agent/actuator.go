package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// device is all that the healer can do to a dragon: what is not named here cannot be
// asked for. What cannot be undone (power off, factory reset, another address or
// password) has no place in it, see TestTheHealerCannotAskForWhatCannotBeUndone.
type device interface {
	Overview(context.Context) (*dragon.Overview, error)
	RestartCgMiner(context.Context) error
	Reboot(context.Context) error
	Pools(context.Context) ([]dragon.PoolConfig, error)
	UpdatePools(context.Context, []dragon.PoolConfig) (*dragon.PoolsUpdate, error)
	AutoTune(context.Context) (*dragon.AutoTune, error)
	SetAutoTune(context.Context, dragon.AutoTune) error
	UpgradeUpload(ctx context.Context, name string, image io.Reader, size int64, progress func(sent int64)) error
	WatchUpgrade(context.Context, func(dragon.UpgradeProgress) bool) error
}

// writes are the kinds of write that can be carried out, and what each makes begin anew.
var writes = map[healer.Kind]struct {
	// prepare looks at the dragon before it says who it is; may be nil.
	prepare func(*job, context.Context, device) error
	// send does it. Before each request but the first it asks whether it may go on.
	send     func(j *job, ctx context.Context, dev device, goOn func() error) (told, error)
	restarts fleet.Restart
}{
	healer.Restart:   {nil, plain(device.RestartCgMiner), fleet.MinerRestart},
	healer.Reboot:    {nil, plain(device.Reboot), fleet.SystemRestart},
	healer.Configure: {(*job).look, (*job).configure, fleet.MinerRestart},
	healer.Upgrade:   {(*job).image, (*job).upload, fleet.SystemRestart},
}

// plain is a write of one request, that says nothing.
func plain(send func(device, context.Context) error) func(*job, context.Context, device, func() error) (told, error) {
	return func(_ *job, ctx context.Context, dev device, _ func() error) (told, error) {
		return nil, send(dev, ctx)
	}
}

const (
	looksBefore  = 2 // at a sick dragon, before it is acted on
	looksApart   = 10 * time.Second
	provenFor    = 10 * time.Second // from the proof of identity to the send
	lookPatience = 30 * time.Second // for one look, queueing included
	expectedFor  = 15 * time.Minute // in which a restart after a write is ours
)

// job is a write that was decided upon.
type job struct {
	decision healer.Decision
	view     *healer.View   // that it was decided on
	policy   *healer.Policy // by which
	actor    string         // empty: the ladder
	force    bool
	action   healer.Action      // once it is intended
	want     *healer.Wish       // what a dragon that is configured is to have
	have     *healer.Configured // and what it has
	had      *healer.Setting    // before the write
	told     []healer.Item      // of it, what it has said since the write

	healer  *Healer
	file    io.ReadCloser // the firmware that is sent
	sentOff chan struct{} // closed when it is

	done func(healer.Action, error) // may be nil
}

// own reports whether it is the healer's own: the ladder's, a wish's or a rollout's. A human has
// looked himself.
func (j *job) own() bool {
	return j.actor == "" || j.decision.Change != nil || j.decision.Upgrade != nil
}

// notSentError says why a decision was not carried out.
type notSentError struct{ why string }

func (e *notSentError) Error() string { return "not sent: " + e.why }

func notSent(format string, args ...any) error { return &notSentError{fmt.Sprintf(format, args...)} }

// heal carries out a job: it looks at the dragon again, takes its lane, and writes.
func (h *Healer) heal(ctx context.Context, j job) {
	doing := "acting on " + j.decision.Worker
	j.healer, j.sentOff = h, make(chan struct{})
	defer j.closeImage()
	err := h.beside(doing, func() (err error) {
		d := h.config.Fleet.Lookup(j.decision.MAC)
		if d == nil {
			return notSent("%s is not where it was", j.decision.Worker)
		}
		if err := h.confirm(ctx, d, &j); err != nil {
			return err
		}
		return d.Write(ctx, string(j.decision.Kind), func(ctx context.Context, c *dragon.Client) error {
			return h.beside(doing, func() error { return h.write(ctx, d, c, &j) })
		})
	})
	more := false
	// The owner is there as long as this goroutine is, also when ctx is done.
	_ = h.ask(context.WithoutCancel(ctx), "ending an action", func(context.Context) error {
		switch {
		case j.decision.Upgrade != nil:
			delete(h.upgrading, j.decision.MAC)
		case j.own():
			h.acting = false
		}
		if j.action.ID == "" && err != nil {
			h.notCarriedOut(&j, err)
			if j.decision.Change != nil {
				h.mem.Unsent(h.clock.Now(), j.decision.MAC)
			}
		}
		if j.action.ID != "" && j.action.Result == healer.Pending { // a panic took the result along
			j.action = h.sent(&j, healer.Unknown, healer.Sending{SentAt: h.clock.Now().Wall, Error: fmt.Sprint(err)})
		}
		more = j.action.ID != "" && j.decision.Change != nil
		h.show()
		return nil
	})
	if j.done != nil {
		j.done(j.action, err)
	}
	if more {
		h.goOn(ctx)
	}
}

// nextWrite is how long until the writes are far enough apart. Only the owner may call it.
func (h *Healer) nextWrite() time.Duration {
	ring := h.mem.Fleet.Ring
	if len(ring) == 0 {
		return 0
	}
	last := ring[len(ring)-1]
	return h.policy.Fleet.SpacingAfter(h.policy.Seed, last.ID) - h.mem.Moment(h.clock.Now()).Since(last.At)
}

// goOn lets the next dragon be configured as soon as the spacing of the writes allows it: in
// a large farm a wave has more dragons than there are looks. It is decided by what the last
// look saw, and whoever it is is looked at again before the write. Nothing else is begun here.
func (h *Healer) goOn(ctx context.Context) {
	var wait time.Duration
	err := h.ask(ctx, "waiting for the next change", func(context.Context) error {
		wait = h.nextWrite()
		return nil
	})
	if err != nil {
		return
	}
	timer := time.NewTimer(h.pause(wait))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return
	}
	_ = h.ask(ctx, "deciding about the next change", func(life context.Context) error {
		if h.acting || h.held || !h.writable() {
			return nil
		}
		h.view.Host = h.host()
		plan := h.decide(h.clock.Now(), h.view, h.mem.Clone(), h.enforced())
		for i := range plan.Changes {
			if d := plan.Changes[i]; d.Verb == healer.Act {
				h.plan = plan
				h.say(healer.AuditOf(plan, h.mem, h.policy, &d, healer.Act))
				h.beginChange(life, d)
				return nil
			}
		}
		return nil
	})
}

// beside runs fn, which is not the owner's, and has him hear of a panic.
func (h *Healer) beside(doing string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			stack := string(debug.Stack())
			_ = h.ask(context.Background(), doing, func(context.Context) error { panic(fmt.Sprintf("%v\n%s", v, stack)) })
			err = fmt.Errorf("panic while %s: %v", doing, v)
		}
	}()
	return fn()
}

// confirm looks at the dragon anew: it must still be as it was when it was decided.
func (h *Healer) confirm(ctx context.Context, d *fleet.Dragon, j *job) error {
	if !j.own() {
		return nil
	}
	looks := looksBefore
	if j.decision.Change != nil || j.decision.Upgrade != nil { // it is not sick: what it is configured for is read right before the write
		looks = 1
	}
	for i := range looks {
		if i > 0 {
			timer := time.NewTimer(h.pause(looksApart))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			}
		}
		look, cancel := context.WithTimeout(ctx, lookPatience)
		r, err := d.Read(look, 0)
		cancel()
		if err != nil {
			return notSent("looking again: %v", err)
		}
		f := h.factsOf(d, who(d, j.policy), r)
		err = h.ask(ctx, "confirming", func(context.Context) error {
			if err := healer.Confirm(h.clock.Now(), j.view, h.mem, j.policy, &j.decision, &f); err != nil {
				return notSent("%v", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write does the write. The lane is its own: nobody else talks to the dragon.
func (h *Healer) write(ctx context.Context, d *fleet.Dragon, dev device, j *job) error {
	row, ok := writes[j.decision.Kind]
	if !ok {
		return notSent("%s is nothing that can be carried out", j.decision.Kind)
	}
	if row.prepare != nil {
		if err := row.prepare(j, ctx, dev); err != nil {
			return err
		}
	}
	if err := h.identify(ctx, dev, j); err != nil {
		return err
	}
	proven := h.clock.Now().Mono
	if err := h.ask(ctx, "intending", func(life context.Context) error { return h.intend(life, j) }); err != nil {
		return err
	}
	// Writing it down may have taken a while, in which a human may have spoken.
	err := h.ask(ctx, "having the last word", func(life context.Context) error {
		// Who has an address is the network's matter, which no simulation hurries.
		if age := h.pause(h.clock.Now().Mono - proven); age >= provenFor {
			return notSent("its identity was proven %s ago", healer.ShortDuration(age))
		}
		return h.lastWord(life, j)
	})
	result, says := healer.NotSent, told(nil)
	sending := healer.Sending{SentAt: h.clock.Now().Wall}
	if err == nil {
		expected := expectedFor
		if j.decision.Kind == healer.Upgrade {
			expected = uploadExpected(&j.policy.Firmware)
		}
		d.Expect(row.restarts, time.Now().Add(h.pause(expected)))
		// The token is the one of the dragon that has just said who it is. Whoever
		// else might answer at its address by now does not know it.
		says, err = row.send(j, dragon.WithoutLogin(ctx), dev, func() error {
			return h.ask(ctx, "having the last word", func(life context.Context) error { return h.lastWord(life, j) })
		})
		result = resultOf(err)
		j.learn(d)
	}
	sending.Success = result == healer.Accepted
	if err != nil {
		sending.Error = err.Error()
	}
	_ = h.ask(context.WithoutCancel(ctx), "writing down a result", func(context.Context) error {
		if len(says) > 0 {
			_ = h.mem.Told(j.decision.MAC, j.action.ID, says)
			sending.Error = says.String()
		}
		j.action = h.sent(j, result, sending)
		return nil
	})
	if !result.NotExecuted() && h.config.OnAction != nil {
		h.config.OnAction(d.Info(), &j.action)
	}
	if result == healer.Unknown {
		return nil // it is the usual end of a reboot, and no failure
	}
	return err
}

// identify has the dragon say who it is.
func (h *Healer) identify(ctx context.Context, dev device, j *job) error {
	ov, err := dev.Overview(ctx)
	if err != nil {
		return notSent("asking who it is: %v", err)
	}
	if mac, _ := dragon.ParseMAC(ov.MAC); mac != j.decision.MAC {
		h.metrics.mismatches.Inc()
		return notSent("expected MAC %s, found %q", j.decision.MAC, ov.MAC)
	}
	return j.suits(ov)
}

// intend writes down that the job is about to be done. Only the owner may call it.
func (h *Healer) intend(life context.Context, j *job) error {
	if err := h.lastWord(life, j); err != nil {
		return err
	}
	if j.own() {
		d, err := h.stillWanted(j)
		if err != nil {
			return err
		}
		if d.Change != nil && j.decision.Change != nil { // as it was found right now
			d.Change = j.decision.Change
		}
		j.decision = d
	}
	now := h.clock.Now()
	if err := h.mem.Interlock(now, j.decision.MAC, j.decision.Kind, ""); err != nil {
		return notSent("%v", err)
	}
	before := h.mem.Clone()
	action, err := h.mem.Intend(now, &j.decision, j.actor, j.had)
	if err != nil {
		return notSent("%v", err)
	}
	if err := h.keep(); err != nil {
		// Nothing was done, so nothing is remembered, but for the number: an
		// intent of that name may have reached the disk.
		before.Fleet.Seq = h.mem.Fleet.Seq
		h.mem = before
		return notSent("the intent could not be written down: %v", err)
	}
	j.action = action
	h.metrics.actions.WithLabelValues(string(action.Kind), reasonLabel(action.Reason)).Inc()
	return nil
}

// stillWanted returns the newest decision about the job's dragon: facts may have
// come in while it was looked at again.
func (h *Healer) stillWanted(j *job) (healer.Decision, error) {
	// The newest plan knows nothing of a write that came after it.
	if ring := h.mem.Fleet.Ring; len(ring) > 0 && ring[len(ring)-1].At >= h.plan.At {
		return healer.Decision{}, notSent("%s has been written to in the meantime", ring[len(ring)-1].MAC)
	}
	decisions := h.plan.Dragons
	switch {
	case j.decision.Change != nil:
		decisions = h.plan.Changes
	case j.decision.Upgrade != nil:
		decisions = h.plan.Upgrades
	}
	for i := range decisions {
		if d := &decisions[i]; d.MAC == j.decision.MAC {
			if x, y := d.Upgrade, j.decision.Upgrade; x != nil && x.Rollout != y.Rollout {
				break
			}
			if x, y := d.Change, j.decision.Change; x != nil && (x.Rollout != y.Rollout || x.Restore != y.Restore) {
				break
			}
			if d.Verb == healer.Act && d.Kind == j.decision.Kind && d.Reason == j.decision.Reason {
				return *d, nil
			}
			return healer.Decision{}, notSent("it is no longer to be acted on")
		}
	}
	return healer.Decision{}, notSent("it is no longer known")
}

// lastWord asks, right before a send, everything that may have changed since the
// decision and forbids it. Only the owner may call it.
func (h *Healer) lastWord(life context.Context, j *job) error {
	switch {
	case life.Err() != nil:
		return notSent("the program is ending")
	case h.stopped():
		return notSent("the STOP file is there")
	case h.tripped != "":
		return notSent("after a panic nothing is sent")
	case !h.writable():
		return notSent("the state cannot be written")
	case h.mem.Dragons[j.decision.MAC] == nil:
		return notSent("it is no longer known")
	case j.force:
		return nil
	case j.decision.Change != nil:
		if h.policy.ModeFor(j.decision.Change, j.decision.Profile) != healer.Enforce {
			return notSent("the mode is observe")
		}
	case j.decision.Upgrade != nil:
		if ro := h.mem.FirmwareRollout(j.decision.Upgrade.Rollout); ro == nil || ro.State != healer.FirmwareRunning {
			return notSent("rollout %s does not run any more", j.decision.Upgrade.Rollout)
		}
	case j.actor == "" && h.policy.For(j.decision.Profile).Mode != healer.Enforce:
		return notSent("the mode is observe")
	}
	if err := h.mem.CheckHold(h.clock.Now(), j.decision.MAC); err != nil {
		return notSent("%v", err)
	}
	return nil
}

// sent writes down what came of a send. Only the owner may call it.
func (h *Healer) sent(j *job, result healer.Result, s healer.Sending) healer.Action {
	now, action := h.clock.Now(), j.action
	if err := h.mem.Sent(now, j.decision.MAC, action.ID, result, s.Error); err != nil {
		level.Error(h.logger).Log("msg", "a result has no intent", "action", action.ID, "err", err)
	}
	_ = h.keep() // what cannot be written now is Unknown to the next process, which is true
	if a := h.mem.Action(j.decision.MAC, action.ID); a != nil {
		action = *a
	}
	switch result {
	case healer.Unknown:
		h.metrics.outcomes.WithLabelValues(string(action.Kind), reasonLabel(action.Reason), string(healer.Unknown)).Inc()
	case healer.Refusal, healer.NotSent:
		h.metrics.outcomes.WithLabelValues(string(action.Kind), reasonLabel(action.Reason), string(healer.NotExecuted)).Inc()
	}
	r := h.recordOf(&j.decision, healer.Act)
	r.Action, r.Rung, r.Reason, r.ActionID, r.Actor = action.Kind, action.Rung, action.Reason, action.ID, action.Actor
	r.Result, r.Note = &s, "result "+string(result)
	if x := action.Change; x != nil {
		r.Note += ": " + changedInWords(x) + " for rollout " + x.Rollout
	}
	if x := j.decision.Sends(); x != nil {
		r.Note += ": firmware " + x.Version + ", sha256 " + x.SHA256
	}
	h.say(r)
	return action
}

// notCarriedOut says why a decision came to nothing.
func (h *Healer) notCarriedOut(j *job, err error) {
	r := h.recordOf(&j.decision, healer.Blocked)
	r.Note = err.Error()
	if j.actor != "" {
		r.Actor = j.actor
	}
	h.say(r)
}

// unknownAtStart says that the last process did not live to see what came of a write.
func (h *Healer) unknownAtStart(now healer.Instant, a *healer.Action) {
	h.metrics.outcomes.WithLabelValues(string(a.Kind), reasonLabel(a.Reason), string(healer.Unknown)).Inc()
	for mac, r := range h.mem.Dragons {
		if h.mem.Action(mac, a.ID) == nil {
			continue
		}
		w := r.Who
		h.say(healer.Audit{
			At: now.Wall, Epoch: h.mem.Fleet.Epoch, MAC: w.MAC, Worker: w.Worker, IP: w.Address, Model: w.Model,
			Firmware: w.Firmware, Domain: w.Domain, Decision: healer.Act, State: r.State, Action: a.Kind, Rung: a.Rung,
			Reason: a.Reason, ActionID: a.ID, Actor: a.Actor, Config: h.mem.Fleet.ConfigHash,
			Result: &healer.Sending{SentAt: a.Wall, Error: a.Note}, Note: "result " + string(healer.Unknown),
		})
		return
	}
}

// recordOf is the part of an audit record that says what a decision was.
func (h *Healer) recordOf(d *healer.Decision, verb healer.Verb) healer.Audit {
	return healer.Audit{
		At: h.clock.Now().Wall, Epoch: h.mem.Fleet.Epoch, Mode: h.policy.For(d.Profile).Mode, MAC: d.MAC, Worker: d.Worker,
		IP: d.Address, Model: d.Model, Firmware: d.Firmware, Domain: d.Domain, Decision: verb, State: d.State,
		Action: d.Kind, Rung: d.Rung, Reason: d.Reason, Actor: healer.HealerActor, Config: h.mem.Fleet.ConfigHash,
	}
}

// resultOf says what is known after a send. Only what was certainly not carried out
// is a Refusal, or NotSent.
func resultOf(err error) healer.Result {
	switch {
	case err == nil:
		return healer.Accepted
	case errors.Is(err, dragon.ErrUnknownOutcome):
		return healer.Unknown
	// A login that was good a moment ago and is not good for this is a no, too.
	case errors.Is(err, dragon.ErrRejected), errors.Is(err, dragon.ErrUnauthorized):
		return healer.Refusal
	// Nothing was sent: the client tells a request that may have arrived by
	// ErrUnknownOutcome.
	case errors.Is(err, dragon.ErrRefused), errors.Is(err, dragon.ErrUnreachable), errors.Is(err, dragon.ErrTimeout),
		errors.Is(err, context.Canceled):
		return healer.NotSent
	}
	return healer.Unknown
}
