package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

const (
	answerWithin = 800 * time.Millisecond // to a human, whether or not the request is on the disk by then
	closeWithin  = 3 * time.Second        // for the last writes of a process that ends
)

// Backend is where the healer's memory is kept. Any of its calls may hang, so that the owner
// of the memory makes none of them.
type Backend interface {
	// Commit writes what changed, all of it or nothing that matters. An error that
	// wraps store.ErrHeld says that this process does not own the state any more.
	Commit(store.Records) error
	// SetAside keeps the state for people, and begins again without records.
	SetAside() (where string, err error)
	// Generation is the number of the last commit.
	Generation() uint64
	// Lost is closed when this process does not own the state any more; nil: that cannot happen.
	Lost() <-chan struct{}
	// Remaining is how long the lease on the state still holds if it is not renewed.
	Remaining() time.Duration
	// Wait is how long nothing may be sent to a dragon yet, and why; 0: it may be. It never blocks.
	Wait() (d time.Duration, why string)
	// Confirm asks whether this process owns the state: the last word before a write to a dragon.
	Confirm(context.Context) error
	Close() error
}

// openLocal opens the state in a directory of this host.
func openLocal(dir string) func(context.Context, uint64) (Backend, store.State, error) {
	return func(_ context.Context, floor uint64) (Backend, store.State, error) {
		s, state, err := store.Open(dir, floor)
		if err != nil {
			return nil, state, err
		}
		return s, state, nil
	}
}

type opened struct {
	backend Backend
	memory  *healer.Memory // nil where there is an error: nothing can be read either
	lost    string         // why the memory is not the one that was written last
	epoch   int            // the newest one in the audit
	err     error
}

// acquire has the state opened, if this process does not own it, and waits a moment for it.
// Where that fails the healer goes on with what it has, sends nothing, and tries again in
// the next cycle: the other process may end, or the disk come back. It reports whether
// the state has just been opened.
func (h *Healer) acquire(ctx context.Context) bool {
	var done chan struct{}
	err := h.onLoop(ctx, "opening the state", func(life context.Context) error {
		if h.backend == nil && h.opening == nil && !time.Now().Before(h.rests) {
			h.opening = make(chan struct{})
			go h.open(life, h.opening)
		}
		done = h.opening
		return nil
	})
	if err != nil || done == nil {
		return false
	}
	opened := false
	select {
	case <-done:
		_ = h.onLoop(ctx, "opening the state", func(context.Context) error { opened = h.backend != nil; return nil })
	case <-ctx.Done():
	case <-time.After(store.SlowAfter):
		_ = h.onLoop(ctx, "opening the state", func(context.Context) error {
			if h.opening == done && h.storeErr == nil { // else it is known why
				h.refused(fmt.Errorf("opening the state: %w", store.ErrSlow))
			}
			return nil
		})
	}
	return opened
}

// open opens the state, and gives it to the owner. It may hang without limit.
func (h *Healer) open(ctx context.Context, done chan struct{}) {
	defer close(done)
	o := h.load(ctx)
	late := false // it is ending, and may not wait for the start to be written
	err := h.onLoop(context.WithoutCancel(ctx), "taking the state over", func(life context.Context) error {
		h.opening = nil
		if late = life.Err() != nil && o.backend != nil; !late {
			h.take(&o)
		}
		return nil
	})
	if (late || errors.Is(err, ErrEnded)) && o.backend != nil {
		_ = o.backend.Close()
	}
}

// awaitOpening waits until an attempt to open the state has ended, which would leave files behind
// a program that has stopped.
func (h *Healer) awaitOpening(ctx context.Context) {
	opening, patience := h.opening, time.After(closeWithin)
	for opening != nil {
		select {
		case call := <-h.calls:
			call(ctx)
		case <-opening:
			return
		case <-patience:
			return
		}
	}
}

func (h *Healer) load(ctx context.Context) (o opened) {
	defer func() {
		if v := recover(); v != nil {
			o = opened{err: fmt.Errorf("panic while opening the state: %v", v)}
		}
	}()
	newest, err := newestAudit(h.config.Dir)
	if err != nil {
		return opened{err: err}
	}
	b, state, err := h.config.State(ctx, newest.Generation)
	if err != nil {
		o = opened{err: err}
		if h.config.Peek != nil {
			o.memory = h.config.Peek(ctx, err)
		}
		return o
	}
	o = opened{backend: b, lost: state.Lost, epoch: newest.Epoch}
	o.memory, err = healer.LoadMemory(state.Fleet, state.Dragons)
	switch {
	case errors.Is(err, healer.ErrNewerMemory): // it is never set aside
		return opened{err: errors.Join(fmt.Errorf("written by mother-of-dragons %s: %w", state.WrittenBy, err), b.Close())}
	case err != nil:
		where, aside := b.SetAside()
		if aside != nil {
			return opened{err: errors.Join(err, aside)}
		}
		o.memory, o.lost = healer.NewMemory(), fmt.Sprintf("the state made no sense (%v) and is set aside as %s", err, where)
	}
	o.memory.LoadCold(state.Cold)
	return o
}

// peekLocal reads the state in a directory that cannot be written, so that it can be seen
// what a human has decided and what is used up; nil: none.
func peekLocal(dir string) *healer.Memory {
	r, err := store.Peek(dir)
	if err != nil {
		return nil
	}
	return memoryOf(&r)
}

// memoryOf makes a memory of a state that another process owns; nil: it has none.
func memoryOf(r *store.State) *healer.Memory {
	mem, err := healer.LoadMemory(r.Fleet, r.Dragons)
	if err != nil || len(mem.Dragons) == 0 {
		return nil
	}
	mem.LoadCold(r.Cold)
	return mem
}

// take goes on with the state that was opened. Only the owner may call it.
func (h *Healer) take(o *opened) {
	now := h.clock.Now()
	h.held = errors.Is(o.err, store.ErrHeld)
	if o.err != nil {
		if h.config.Shared && errors.Is(o.err, healer.ErrNewerMemory) { // it led for as long as it read
			h.rests = time.Now().Add(newerRest)
		}
		h.refused(o.err)
		if h.held && h.config.Shared {
			h.forgetUnsaved()
		}
		// A standby goes on from the leader's memory, and so sees the fleet by the leader's
		// line of time from then on.
		switch {
		case o.memory == nil:
		case h.follows:
			o.memory.Follow(h.mem)
			h.mem = o.memory
			h.repeatUnsaved(now)
			h.shareInventory(now)
			h.republish()
		default:
			h.mem, h.follows = o.memory, true
			h.mem.Start(now, h.config.Policy())
			h.repeatUnsaved(now)
		}
		return
	}
	if h.storeErr != nil {
		level.Info(h.logger).Log("msg", "healer state opened", "dir", h.config.Dir)
	}
	if h.follows {
		o.memory.TakeOver(h.mem)
	}
	h.follows = false
	h.backend, h.mem, h.storeErr = o.backend, o.memory, nil
	h.writer = store.NewWriter(h.writing(o.backend), (*store.Records).Merge, h.wrote())
	h.policy, h.offered = nil, nil
	h.mem.Fleet.Epoch = max(h.mem.Fleet.Epoch, o.epoch) // action IDs are never used again
	if o.lost != "" {
		level.Error(h.logger).Log("msg", "healer state lost", "err", o.lost,
			"advice", "every budget counts as used up and it only observes: see the runbook StateCorrupt")
		h.mem.Recover(now, o.lost)
	}
	if h.led > 0 && h.led == h.mem.Fleet.Epoch {
		h.mem.Fleet.Running = false // the last leader was this process, which has not ended
	}
	unclean := len(h.mem.Fleet.Unclean)
	unknown := h.mem.Start(now, h.config.Policy())
	h.led = h.mem.Fleet.Epoch
	h.applyPolicy(now) // people may ask before the next look
	h.repeatUnsaved(now)
	if n := len(h.mem.Fleet.Unclean); n > unclean || h.mem.Fleet.SafeMode != nil {
		level.Warn(h.logger).Log("msg", "last stop was unclean", "in_30m", n, "safe_mode", h.mem.Fleet.SafeMode != nil)
	}
	h.metrics.uncleanStarts.Add(float64(len(h.mem.Fleet.Unclean)))
	h.persist()
	h.expectOpen(now)
	for i := range unknown {
		h.unknownAtStart(now, &unknown[i])
	}
	if lost := o.backend.Lost(); lost != nil {
		go h.watch(o.backend, lost)
	}
}

// watch has the owner give the state up when it is lost.
func (h *Healer) watch(b Backend, lost <-chan struct{}) {
	select {
	case <-lost:
	case <-h.ended:
		return
	}
	_ = h.onLoop(context.Background(), "giving the state up", func(context.Context) error {
		if h.backend == b {
			h.metrics.lostLeases.Inc()
			h.giveUp(fmt.Errorf("the lease is lost: %w", store.ErrHeld))
		}
		return nil
	})
}

// giveUp leaves the state to another instance, and follows it. Only the owner may call it.
func (h *Healer) giveUp(why error) {
	h.held, h.follows = true, true
	h.refused(why)
	writer, b := h.writer, h.backend
	h.backend, h.writer = nil, nil
	go func() { _ = shut(writer, b) }()
}

// newerRest is how long an instance that cannot read the shared memory does not lead.
const newerRest = 15 * time.Minute

const (
	unfitRest     = 5 * time.Minute // for which an instance that is not fit to lead does not lead
	unauditedMost = 2 * time.Minute // for which the leader stays without an audit, and so sends nothing
)

// unfit gives the state up, if this instance has it, and does not take it again for a while.
func (h *Healer) unfit(why string) {
	h.rests = time.Now().Add(unfitRest)
	if h.backend != nil {
		h.giveUp(fmt.Errorf("%s: %w", why, store.ErrHeld))
	}
}

// accompanied reports whether another instance is there.
func (h *Healer) accompanied() bool {
	m := h.met.Load()
	return m != nil && slices.ContainsFunc(m.all, func(x store.Member) bool { return x.ID != h.config.ID })
}

// share keeps a shared state useful for the others: an instance that is isolated, or cannot write its
// audit, gives it up, and a STOP file becomes a pause for all. Only the owner may call it.
func (h *Healer) share(p *healer.Plan) {
	if !h.config.Shared {
		return
	}
	if m := h.met.Load(); m != nil && m.namesake && !h.namesake {
		h.namesake = true
		level.Error(h.logger).Log("msg", "another instance has this name", "id", h.config.ID, "advice", "give each instance its own ha.id and restart it")
	}
	if slices.ContainsFunc(p.Breakers, func(b healer.Breaker) bool { return b.Name == "isolation" && b.State >= healer.BreakerOpen }) {
		h.unfit("this instance is cut off from the dragons") // unwritten: the next leader would take itself for isolated
	}
	switch {
	case h.backend == nil || h.auditor.Err() == nil || !h.accompanied():
		h.unaudited = time.Time{}
	case h.unaudited.IsZero():
		h.unaudited = time.Now()
	case time.Since(h.unaudited) >= unauditedMost:
		h.mem.Stop(h.clock.Now()) // so that the next leader counts no unclean start
		h.persist()
		h.unfit("this instance cannot write its audit")
	}
	if h.backend == nil {
		return
	}
	// A STOP file stops the instances of other hosts, too: there it is a pause. With a namesake it
	// is not known whose file it was.
	owner := "stop-file:" + h.config.ID
	i := slices.IndexFunc(h.mem.Fleet.Pauses, func(x healer.Pause) bool { return x.Owner == owner })
	switch stop := h.stopped(); {
	case stop && i < 0:
		r := healer.PauseRequest{Scope: "fleet", Kind: healer.Paused, UntilResume: true, Owner: owner, Reason: "the STOP file of this host"}
		if _, err := h.mem.Pause(h.clock.Now(), r); err != nil {
			level.Error(h.logger).Log("msg", "STOP cannot be shared", "err", err)
		}
	case !stop && i >= 0 && !h.namesake:
		_ = h.mem.Resume(h.mem.Fleet.Pauses[i].ID)
	}
}

// notOwner is ErrNotOwner, with the instance that owns the state where that is known.
func (h *Healer) notOwner() error {
	leader := (*store.HeldError)(nil)
	if errors.As(h.storeErr, &leader) {
		return fmt.Errorf("%w: %w", ErrNotOwner, leader)
	}
	return ErrNotOwner
}

func (h *Healer) writing(b Backend) func(*store.Records) error {
	return func(r *store.Records) error {
		start := time.Now()
		defer func() { h.metrics.commits.Observe(time.Since(start).Seconds()) }()
		return h.commit(b, *r)
	}
}

// wrote returns the callback for the end of each write.
func (h *Healer) wrote() func(error) {
	failing := false
	return func(err error) {
		switch {
		case err != nil:
			h.metrics.writeErrors.Inc()
			if !failing {
				level.Error(h.logger).Log("msg", "healer state not writable", "err", err, "advice", "nothing is sent until it can")
			}
		case failing:
			level.Info(h.logger).Log("msg", "healer state writable again")
		}
		failing = err != nil
	}
}

// refused notes that there is no state to write to.
func (h *Healer) refused(err error) {
	// Why it fails is often another reason at each attempt; that is not news.
	if h.storeErr == nil || errors.Is(h.storeErr, store.ErrSlow) || h.held != h.saidHeld || h.held && h.storeErr.Error() != err.Error() {
		h.saidHeld = h.held
		msg := "healer state cannot be opened"
		if h.held {
			msg = "healer state owned by another process"
		}
		level.Error(h.logger).Log("msg", msg, "dir", h.config.Dir, "err", err, "advice", "this one only observes")
	}
	if !h.held {
		h.metrics.writeErrors.Inc()
	}
	h.storeErr = err
}

// unwritable says why what is done cannot be written down, in the state and for people; nil: it can.
func (h *Healer) unwritable() error {
	switch {
	case h.storeErr != nil:
		return h.storeErr
	case h.writer == nil:
		return errors.New("the healer's state is not open yet")
	case h.writer.Err() != nil:
		return h.writer.Err()
	}
	return h.auditor.Err()
}

func (h *Healer) writable() bool { return h.unwritable() == nil }

// written is something that is being written down.
type written struct {
	err  error // it cannot be
	wait func(context.Context) error
}

// within waits for the write, outside the owner's goroutine.
func (w *written) within(ctx context.Context, d time.Duration) error {
	if w.err != nil || w.wait == nil {
		return w.err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return w.wait(ctx)
}

// persist writes what has changed in the memory, without waiting for it. What
// cannot be written now is written as soon as that is possible again.
func (h *Healer) persist() written {
	if h.writer == nil {
		return written{err: h.unwritable()}
	}
	c, err := h.mem.Changes()
	if err != nil {
		level.Error(h.logger).Log("msg", "healer memory cannot be encoded", "err", err)
		return written{err: err}
	}
	w := h.writer
	ticket := w.Last()
	if c.Fleet != nil || len(c.Dragons) > 0 || len(c.Cold) > 0 {
		ticket = w.Add(store.Records(c))
	}
	all := written{wait: func(ctx context.Context) error { return w.Wait(ctx, ticket) }}
	h.noteWrite(all)
	return all
}

// generation is the number of the last commit.
func (h *Healer) generation() uint64 {
	if h.backend == nil {
		return 0
	}
	return h.backend.Generation()
}

// close ends the healer in order, as far as the disk allows.
func (h *Healer) close() {
	if h.writer != nil {
		h.mem.Stop(h.clock.Now())
		h.persist()
		if err := shut(h.writer, h.backend); err != nil {
			level.Error(h.logger).Log("msg", "closing the healer state failed", "err", err)
		}
		h.backend, h.writer = nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if h.auditor.Close(ctx) == nil {
		h.audit.close()
	}
}

// shut writes what is left to write, and closes a backend.
func shut(w *store.Writer[store.Records], b Backend) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := w.Close(ctx); errors.Is(err, store.ErrSlow) {
		go func() { // the backend may not be closed while it writes
			_ = w.Close(context.Background())
			_ = b.Close()
		}()
		return err
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return store.ErrSlow
	}
}
