package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// device has all that the healer can do to a dragon: what is not here cannot be
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

// writes are the kinds of write that can be carried out, and what each of them restarts.
var writes = map[healer.Kind]struct {
	send     func(j *job, ctx context.Context, dev device, step healer.Step, goOn func() error) (cannotApply, error)
	restarts fleet.Restart
}{
	healer.Restart:   {plain(device.RestartCgMiner), fleet.MinerRestart},
	healer.Reboot:    {plain(device.Reboot), fleet.SystemRestart},
	healer.Configure: {(*job).configure, fleet.MinerRestart},
	healer.Upgrade:   {(*job).upload, fleet.SystemRestart},
}

// plain is a write of one request without an answer of interest.
func plain(send func(device, context.Context) error) func(*job, context.Context, device, healer.Step, func() error) (cannotApply, error) {
	return func(_ *job, ctx context.Context, dev device, _ healer.Step, _ func() error) (cannotApply, error) {
		return nil, send(dev, ctx)
	}
}

const (
	lookPatience = 30 * time.Second // for one look, queueing included
	expectedFor  = 15 * time.Minute // in which a restart after a write is ours
)

// job is a write that was decided upon.
type job struct {
	attempt *healer.Attempt
	have    *healer.Configured // what a dragon that is configured has
	told    []healer.Item      // of it, what it has said since the write
	sent    []healer.Item      // of it, what was written, or may have been
	left    error              // why the rest was not
	sending healer.Sending
	failed  error // of the send

	healer  *Healer
	file    io.ReadCloser // the firmware that is sent
	sentOff chan struct{} // closed when it is

	done func(healer.Action, error) // may be nil
}

func (j *job) decision() *healer.Decision { return j.attempt.Decision() }

func (h *Healer) runJob(ctx context.Context, j job) {
	doing := "acting on " + j.decision().Worker
	j.healer, j.sentOff = h, make(chan struct{})
	defer j.closeImage()
	err := h.offLoop(doing, func() error { return h.carryOut(ctx, doing, &j) })
	more := false
	// The owner is there as long as this goroutine is, also when ctx is done.
	_ = h.onLoop(context.WithoutCancel(ctx), "ending an action", func(context.Context) error {
		d := j.decision()
		switch {
		case d.Upgrade != nil:
			delete(h.upgrading, d.MAC)
		case d.Change != nil || j.attempt.Actor() == "":
			h.acting = false
		}
		if err == nil {
			err = j.attempt.Err()
		}
		action := j.attempt.Action()
		switch {
		case action.ID == "" && err != nil:
			if j.attempt.Err() == nil {
				j.attempt.Stop(h.standing(ctx), err)
			}
			h.notCarriedOut(&j, err)
		case action.ID != "" && action.Result == healer.Pending: // a panic took the result along
			j.sending = healer.Sending{SentAt: h.clock.Now().Wall, Error: fmt.Sprint(err)}
			h.finish(ctx, &j, healer.Step{Do: healer.Send}, healer.Reply{Result: healer.Unknown, Note: j.sending.Error})
		}
		more = action.ID != "" && (d.Change != nil || j.attempt.Actor() == "")
		h.republish()
		return nil
	})
	if err == nil {
		err = j.failed
	}
	if j.done != nil {
		j.done(j.attempt.Action(), err)
	}
	if more {
		h.scheduleNext(ctx)
	}
}

// carryOut does what the job's attempt says until it is finished: the looks first, the rest
// in the dragon's lane, where no other request runs.
func (h *Healer) carryOut(ctx context.Context, doing string, j *job) error {
	d := h.config.Fleet.Lookup(j.decision().MAC)
	if d == nil {
		return healer.NotSentf("%s is not where it was", j.decision().Worker)
	}
	step, err := h.advance(ctx, j, healer.Step{}, healer.Reply{})
	for ; err == nil && step.Do == healer.Look; step, err = h.advance(ctx, j, step, h.look(ctx, d, j, step)) {
	}
	if err != nil || step.Do == healer.Finished {
		return err
	}
	return d.Write(ctx, string(j.decision().Kind), func(ctx context.Context, c *dragon.Client) error {
		return h.offLoop(doing, func() error {
			for err == nil && step.Do != healer.Finished {
				var r healer.Reply
				switch step.Do {
				case healer.Identify:
					r = h.identify(ctx, c, j, step)
				case healer.Send:
					r = h.send(ctx, d, c, j, step)
				}
				step, err = h.advance(ctx, j, step, r)
			}
			if j.attempt.Action().ID != "" {
				w := h.said()
				_ = w.within(context.WithoutCancel(ctx), store.SlowAfter) // if it fails, it is not writable
			}
			if a := j.attempt.Action(); err == nil && a.ID != "" && !a.Result.NotExecuted() && h.config.OnAction != nil {
				h.config.OnAction(d.Info(), &a)
			}
			return err
		})
	})
}

// advance tells the attempt how a step went, and returns the next one that is the caller's.
func (h *Healer) advance(ctx context.Context, j *job, step healer.Step, r healer.Reply) (next healer.Step, err error) {
	for {
		var intent written
		err = h.onLoop(context.WithoutCancel(ctx), "carrying out a decision", func(life context.Context) error {
			next, intent = h.finish(life, j, step, r)
			return nil
		})
		if err != nil || next.Do != healer.Persist {
			return next, err
		}
		step, r = next, healer.Reply{Err: intent.within(context.WithoutCancel(ctx), store.SlowAfter)}
		if r.Err == nil {
			a := j.attempt.Action()
			h.metrics.actions.WithLabelValues(string(a.Kind), reasonLabel(a.Reason)).Inc()
		}
	}
}

// finish is advance for the owner. An intent must be written down before the attempt goes
// on; the owner does not wait for it.
func (h *Healer) finish(life context.Context, j *job, step healer.Step, r healer.Reply) (next healer.Step, intent written) {
	for {
		if err := j.attempt.Done(h.standing(life), step, r); err != nil {
			level.Error(h.logger).Log("msg", "write result without intent", "action", j.attempt.Action().ID, "err", err)
		}
		step = j.attempt.Next(h.standing(life))
		if step.Do != healer.Persist {
			return step, written{}
		}
		intent = h.persist()
		if step.Intent {
			return step, intent
		}
		r = healer.Reply{} // what cannot be written now is Unknown to the next process, which is true
		h.sent(j)
	}
}

// standing is what an attempt depends on now. Only the owner may call it.
func (h *Healer) standing(life context.Context) healer.Standing {
	s := healer.Standing{Now: h.clock.Now(), Host: h.host(), Memory: h.mem, Policy: h.policy, View: h.view, Plan: h.plan, Speed: h.speed()}
	switch {
	case life.Err() != nil:
		s.Halt = "the program is ending"
	case h.tripped != "":
		s.Halt = "after a panic nothing is sent"
	case h.backend != nil:
		_, s.Halt = h.backend.Wait()
	}
	return s
}

// nextWrite is how long until the writes are far enough apart. Only the owner may call it.
func (h *Healer) nextWrite() time.Duration {
	return h.mem.UntilNext(h.policy, len(h.mem.Dragons), h.mem.Moment(h.clock.Now()))
}

// scheduleNext lets the next dragon be healed or configured as soon as the spacing of the writes
// allows it: in a large farm an hour has more writes than looks. It is decided by what the
// last look saw, and the dragon is looked at again before the write.
func (h *Healer) scheduleNext(ctx context.Context) {
	var wait time.Duration
	err := h.onLoop(ctx, "waiting for the next change", func(context.Context) error {
		wait = h.nextWrite()
		return nil
	})
	if err != nil {
		return
	}
	if sleep(ctx, h.pause(wait)) != nil {
		return
	}
	_ = h.onLoop(ctx, "deciding about the next change", func(life context.Context) error {
		if h.acting || h.held || !h.writable() {
			return nil
		}
		h.view.Host = h.host()
		plan := h.decide(h.clock.Now(), h.view, h.mem.Clone(), h.enforced())
		if d := h.nextAct(plan.Dragons, plan.Changes); d != nil {
			h.plan = plan
			h.appendAudit(healer.AuditOf(plan, h.mem, h.policy, d, healer.Act))
			h.begin(life, *d)
		}
		return nil
	})
}

// offLoop runs fn outside the owner's goroutine, and tells the owner of a panic.
func (h *Healer) offLoop(doing string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			stack := string(debug.Stack())
			_ = h.onLoop(context.Background(), doing, func(context.Context) error { panic(fmt.Sprintf("%v\n%s", v, stack)) })
			err = fmt.Errorf("panic while %s: %v", doing, v)
		}
	}()
	return fn()
}

// look reads the dragon once more.
func (h *Healer) look(ctx context.Context, d *fleet.Dragon, j *job, step healer.Step) healer.Reply {
	if err := sleep(ctx, h.pause(step.After)); err != nil {
		return healer.Reply{Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	r, err := d.ReadNow(ctx) // one whose miner process does not answer is known to be down
	if idle := (*fleet.IdleError)(nil); errors.As(err, &idle) {
		f := h.idleFacts(d, who(d, j.attempt.Policy()), idle)
		return healer.Reply{Facts: &f}
	}
	if err != nil {
		return healer.Reply{Err: fmt.Errorf("looking again: %w", err)}
	}
	f := h.factsOf(d, who(d, j.attempt.Policy()), r)
	return healer.Reply{Facts: &f}
}

// identify has the dragon say who it is. What it is to be sent, or configured for, is looked
// at right before.
func (h *Healer) identify(ctx context.Context, dev device, j *job, step healer.Step) healer.Reply {
	if j.decision().Sends() != nil && j.file == nil {
		if err := j.image(ctx); err != nil {
			return healer.Reply{Err: err}
		}
	}
	if step.Want != nil {
		if err := j.read(ctx, dev, step.Want); err != nil {
			return healer.Reply{Err: err}
		}
	}
	r := h.askWho(ctx, dev, j)
	r.Configured = j.have
	return r
}

// askWho has the dragon say who it is.
func (h *Healer) askWho(ctx context.Context, dev device, j *job) healer.Reply {
	ov, err := dev.Overview(ctx)
	if err != nil {
		return healer.Reply{Err: healer.NotSentf("asking who it is: %v", err)}
	}
	mac, _ := dragon.ParseMAC(ov.MAC)
	if mac != j.decision().MAC {
		h.metrics.mismatches.Inc()
	}
	return healer.Reply{
		Who:        healer.Who{MAC: mac, Model: ov.Model, Firmware: ov.Firmware, HWVer: ov.HWVersion},
		MemoryFree: ov.MemoryFree,
	}
}

// confirm asks whether this process still owns the state.
func (h *Healer) confirm(ctx context.Context) error {
	var b Backend
	err := h.onLoop(ctx, "confirming", func(context.Context) error {
		if b = h.backend; b == nil {
			return h.notOwner()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.Confirm(ctx)
}

func (h *Healer) send(ctx context.Context, d *fleet.Dragon, dev device, j *job, step healer.Step) healer.Reply {
	if err := h.confirm(ctx); err != nil { // as late as can be
		j.sending = healer.Sending{SentAt: h.clock.Now().Wall, Error: err.Error()}
		j.failed = healer.NotSentf("%v", err)
		return healer.Reply{Result: healer.NotSent, Note: err.Error()}
	}
	kind := j.decision().Kind
	row := writes[kind]
	d.Expect(row.restarts, time.Now(), time.Now().Add(h.pause(restartsWithin(kind, j.attempt.Policy()))))
	j.sending.SentAt = h.clock.Now().Wall
	// The token is of the dragon that has just been identified. Another host that might
	// answer at its address by now does not know it.
	says, err := row.send(j, dragon.WithoutLogin(ctx), dev, step, func() error {
		who := h.askWho(ctx, dev, j)
		return h.onLoop(ctx, "carrying out a decision", func(life context.Context) error { return j.attempt.GoOn(h.standing(life), who) })
	})
	j.learn(d)
	r := healer.Reply{Result: resultOf(err), Sent: j.sent, Told: says}
	j.sending.Success = r.Result == healer.Accepted
	if r.Result.NotExecuted() {
		d.Unexpect(row.restarts)
	}
	if err != nil {
		j.sending.Error = err.Error()
	}
	if len(says) > 0 {
		j.sending.Error = says.String()
	}
	if j.left != nil {
		j.sending.Error = strings.TrimPrefix(j.sending.Error+"; the rest was "+j.left.Error(), "; ")
	}
	if r.Note = j.sending.Error; r.Result != healer.Unknown { // that is the usual end of a reboot, and no failure
		j.failed = err
	}
	return r
}

// sent says what came of a write. Only the owner may call it.
func (h *Healer) sent(j *job) {
	action, d := j.attempt.Action(), j.decision()
	if err := j.attempt.Err(); err != nil {
		j.sending = healer.Sending{SentAt: h.clock.Now().Wall, Error: err.Error()}
	}
	j.sending.Result = action.Result
	switch action.Result {
	case healer.Unknown:
		h.metrics.outcomes.WithLabelValues(string(action.Kind), reasonLabel(action.Reason), string(healer.Unknown)).Inc()
	case healer.Refusal, healer.NotSent:
		h.metrics.outcomes.WithLabelValues(string(action.Kind), reasonLabel(action.Reason), string(healer.NotExecuted)).Inc()
	}
	r := h.recordOf(d, healer.Act)
	r.Action, r.Rung, r.Reason, r.ActionID, r.Actor = action.Kind, action.Rung, action.Reason, action.ID, action.Actor
	r.Result, r.Note = &j.sending, "result "+string(action.Result)
	if x := action.Change; x != nil {
		r.Note += ": " + changedInWords(x) + " for rollout " + x.Rollout
	}
	if x := d.Sends(); x != nil {
		r.Note += ": firmware " + x.Version + ", sha256 " + x.SHA256
	}
	h.appendAudit(r)
}

func (h *Healer) notCarriedOut(j *job, err error) {
	r := h.recordOf(j.decision(), healer.Blocked)
	r.Note = err.Error()
	if j.attempt.Actor() != "" {
		r.Actor = j.attempt.Actor()
	}
	h.appendAudit(r)
	level.Info(h.logger).Log("msg", "nothing was sent", "worker", r.Worker, "action", r.Action, "actor", r.Actor, "err", err)
}

// expectOpen announces the restarts by what was sent before this process led: the last
// inventory may be older.
func (h *Healer) expectOpen(now healer.Instant) {
	policy := h.config.Policy()
	for mac, r := range h.mem.Dragons {
		for i := range r.Actions {
			a := &r.Actions[i]
			if a.Outcome != healer.Open || a.Proof != 0 {
				continue
			}
			if d := h.config.Fleet.Lookup(mac); d != nil {
				from := time.Now().Add(-h.pause(max(0, now.Wall.Sub(a.Wall))))
				d.Expect(writes[a.Kind].restarts, from, from.Add(h.pause(restartsWithin(a.Kind, policy))))
			}
		}
	}
}

// restartsWithin is how long after a write a restart is ours.
func restartsWithin(kind healer.Kind, p *healer.Policy) time.Duration {
	if kind == healer.Upgrade {
		return p.Firmware.Uploading + p.Firmware.Rebooting
	}
	return expectedFor
}

// unknownAtStart records that the last process ended before the result of a write was known.
func (h *Healer) unknownAtStart(now healer.Instant, a *healer.Action) {
	h.metrics.outcomes.WithLabelValues(string(a.Kind), reasonLabel(a.Reason), string(healer.Unknown)).Inc()
	for mac := range h.mem.Dragons {
		if h.mem.Action(mac, a.ID) == nil {
			continue
		}
		r := h.record(now.Wall, healer.Act, mac, a.Actor, "result "+string(healer.Unknown))
		r.Action, r.Rung, r.Reason, r.ActionID = a.Kind, a.Rung, a.Reason, a.ID
		r.Result = &healer.Sending{SentAt: a.Wall, Result: a.Result, Error: a.Note}
		h.appendAudit(r)
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
	unsent := (*healer.NotSentError)(nil)
	switch {
	case err == nil:
		return healer.Accepted
	case errors.Is(err, dragon.ErrUnknownOutcome):
		return healer.Unknown
	case errors.As(err, &unsent):
		return healer.NotSent
	// A login that was accepted a moment ago and is not accepted for this is a refusal, too.
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
