package agent

import (
	"errors"
	"fmt"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// open loads the memory. Where that fails the healer goes on with what it has, sends
// nothing, and tries again in the next cycle: the other process may end, or the disk
// come back. Only the owner may call it.
func (h *Healer) open() {
	now := h.clock.Now()
	s, state, err := store.Open(h.config.Dir, 0)
	h.held = errors.Is(err, store.ErrHeld)
	if err != nil {
		h.refused(err)
		h.peek(now)
		return
	}
	reason := state.Lost
	mem, err := healer.LoadMemory(state.Fleet, state.Dragons)
	if errors.Is(err, healer.ErrNewerMemory) { // it is never set aside
		h.refused(errors.Join(fmt.Errorf("the healer's state was written by mother-of-dragons %s: %w", state.WrittenBy, err), s.Close()))
		return
	}
	if err != nil {
		aside, err := s.SetAside()
		if err != nil {
			h.refused(err)
			return
		}
		reason, mem = "the state made no sense and is set aside as "+aside, healer.NewMemory()
	}
	if h.storeErr != nil {
		level.Info(h.logger).Log("msg", "the healer's state is in hand", "dir", h.config.Dir)
	}
	h.store, h.mem, h.storeErr, h.unwritten = s, mem, nil, false
	h.policy, h.offered = nil, nil
	h.mem.LoadCold(state.Cold)
	if reason != "" {
		level.Error(h.logger).Log("msg", "the healer has lost its memory: every budget counts as used up, and it only observes", "err", reason)
		h.mem.Recover(now, reason)
	}
	unclean := len(h.mem.Fleet.Unclean)
	unknown := h.mem.Start(now, h.config.Policy())
	if n := len(h.mem.Fleet.Unclean); n > unclean || h.mem.Fleet.SafeMode != nil {
		level.Warn(h.logger).Log("msg", "the healer was not stopped in order the last time", "in_30m", n, "safe_mode", h.mem.Fleet.SafeMode != nil)
	}
	h.metrics.uncleanStarts.Add(float64(len(h.mem.Fleet.Unclean)))
	_ = h.keep()
	for i := range unknown {
		h.unknownAtStart(now, &unknown[i])
	}
}

// peek takes what can be read of a state that cannot be written, so that it can be
// seen what a human has decided and what is used up.
func (h *Healer) peek(now healer.Instant) {
	if h.held || len(h.mem.Dragons) > 0 {
		return
	}
	r, err := store.Peek(h.config.Dir)
	if err != nil {
		return
	}
	if mem, err := healer.LoadMemory(r.Fleet, r.Dragons); err == nil && len(mem.Dragons) > 0 {
		h.mem = mem
		h.mem.LoadCold(r.Cold)
		h.mem.Start(now, h.config.Policy())
	}
}

// refused notes that there is no state to write to.
func (h *Healer) refused(err error) {
	if h.storeErr == nil || h.storeErr.Error() != err.Error() {
		msg := "the healer's state cannot be opened; it only observes"
		if h.held {
			msg = "another process owns the healer's state; this one only observes"
		}
		level.Error(h.logger).Log("msg", msg, "dir", h.config.Dir, "err", err)
	}
	if !h.held {
		h.metrics.writeErrors.Inc()
	}
	h.storeErr = err
}

// writable reports whether what is done can be written down, in the state and for people.
func (h *Healer) writable() bool {
	return h.store != nil && !h.unwritten && h.audit.err == nil
}

// keep writes down what has changed in the memory. What could not be written is
// written as a whole as soon as that is possible again.
func (h *Healer) keep() error {
	if h.store == nil {
		return h.storeErr
	}
	all := h.unwritten
	if all {
		h.mem.Everything()
	}
	c, err := h.mem.Changes()
	if err == nil && c.Fleet == nil && len(c.Dragons) == 0 && len(c.Cold) == 0 {
		return nil
	}
	if err == nil {
		err = h.commit(h.store, store.Records(c), all)
	}
	switch {
	case err != nil:
		h.metrics.writeErrors.Inc()
		if !h.unwritten {
			level.Error(h.logger).Log("msg", "the healer's state cannot be written; nothing is sent until it can", "err", err)
		}
		h.storeErr = err
	case h.unwritten:
		level.Info(h.logger).Log("msg", "the healer's state is written again")
		h.storeErr = nil
	}
	h.unwritten = err != nil
	return err
}

func commit(s *store.Store, r store.Records, all bool) error {
	if all {
		return s.Replace(r)
	}
	return s.Commit(r)
}

// close ends the healer in order.
func (h *Healer) close() {
	if h.store != nil {
		h.mem.Stop(h.clock.Now())
		_ = h.keep()
		if err := h.store.Close(); err != nil {
			level.Error(h.logger).Log("msg", "closing the healer's state", "err", err)
		}
		h.store = nil
	}
	h.audit.close()
}
