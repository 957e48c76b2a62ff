package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// ErrNoState says that what was asked for is not in force, because the state is not open: the memory that
// would be told is replaced when it is.
var ErrNoState = errors.New("the healer's state is not open")

// unsaved is a request of a person that holds the healer back and is not written down. When another memory
// takes over, the request is made again there. It is in the audit already.
type unsaved struct {
	name    string // of what it made: a pause's ID, a dragon's MAC, a rollout
	to      *healer.Memory
	again   func(healer.Instant) (name string, err error)
	written written
}

// keepUnsaved keeps what was just asked of the memory until it is written down.
func (h *Healer) keepUnsaved(name string, again func(healer.Instant) (string, error)) {
	h.unsaved = append(h.unsaved, unsaved{name: name, to: h.mem, again: again})
}

// keepPause keeps a pause with the time that it has left.
func (h *Healer) keepPause(r healer.PauseRequest, p *healer.Pause) {
	id, wall := p.ID, p.Wall
	end := h.clock.Now().Mono + p.Until.Since(p.At)
	h.keepUnsaved(p.ID, func(now healer.Instant) (string, error) {
		if r.For = end - now.Mono; r.For <= 0 && !r.UntilResume {
			return "", nil
		}
		if slices.ContainsFunc(h.mem.Fleet.Pauses, func(x healer.Pause) bool { return x.ID == id && x.Owner == r.Owner && x.Wall.Equal(wall) }) {
			return id, nil // the write whose answer was lost has come through
		}
		p, err := h.mem.Pause(now, r)
		return p.ID, err
	})
}

// keepFirmware keeps that a rollout was paused or aborted, for as long as it is that rollout.
func (h *Healer) keepFirmware(id, why string, hold func(*healer.Memory, healer.Instant, string, string) error) {
	begun := h.mem.FirmwareRollout(id).Begun
	h.keepUnsaved(firmwareHold(id), func(now healer.Instant) (string, error) {
		if ro := h.mem.FirmwareRollout(id); ro != nil && ro.Begun == begun {
			_ = hold(h.mem, now, id, why) // or it is over by now
		}
		return firmwareHold(id), nil
	})
}

func firmwareHold(id string) string { return "firmware " + id }

// needsState refuses what would be lost with the memory.
func (h *Healer) needsState() error {
	if h.backend == nil {
		return fmt.Errorf("not in force: %w; nothing is sent until it is, ask again then: %w", ErrNoState, h.unwritable())
	}
	return nil
}

// cutOff reports whether the state is shared and not open: another instance may lead without this one
// knowing. A request that is made here would not reach the others.
func (h *Healer) cutOff() bool { return h.config.Shared && h.backend == nil }

// stops are the requests in whose place a STOP file can be put.
var stops = []string{"pausing", "quarantining", "pause of a rollout", "abort of a rollout"}

// hears returns why a request cannot be taken here now; nil: it can.
func (h *Healer) hears(doing string) error {
	switch {
	case h.held:
		return h.notOwner()
	case h.view == nil:
		return ErrNotYet
	case h.cutOff():
		advice := ""
		if slices.Contains(stops, doing) {
			advice = ", or put a file STOP into the data directory of each host"
		}
		return fmt.Errorf("not in force: %w here; ask the instance that leads%s: %w", ErrNoState, advice, h.unwritable())
	}
	return nil
}

// forgetUnsaved drops the requests that are not written down: another instance leads now and does not
// have them.
func (h *Healer) forgetUnsaved() {
	for i := range h.unsaved {
		if x := &h.unsaved[i]; !x.written.done() {
			level.Error(h.logger).Log("msg", "request not in force any more", "what", x.name, "advice", "repeat it at the instance that leads")
		}
	}
	h.unsaved = nil
}

// takeBack forgets a request. What lets the healer go on otherwise needs the state.
func (h *Healer) takeBack(name string) error {
	said := len(h.unsaved)
	h.unsaved = slices.DeleteFunc(h.unsaved, func(x unsaved) bool { return x.name == name })
	if len(h.unsaved) < said {
		return nil
	}
	return h.needsState()
}

// repeatUnsaved asks a memory that has replaced another one for what the other one was asked and is not
// written down. A dragon that the memory does not know yet is waited for.
func (h *Healer) repeatUnsaved(now healer.Instant) {
	h.unsaved = slices.DeleteFunc(h.unsaved, func(x unsaved) bool { return x.written.done() })
	for i := range h.unsaved {
		x := &h.unsaved[i]
		if x.to == h.mem {
			continue
		}
		name, err := x.again(now)
		if err != nil {
			level.Debug(h.logger).Log("msg", "request not repeated yet", "what", x.name, "err", err)
			continue
		}
		level.Info(h.logger).Log("msg", "request repeated to another memory", "was", x.name, "is", name)
		x.name, x.to, x.written = name, h.mem, written{}
	}
}

// noteWrite notes the write that contains all that was asked of the memory so far.
func (h *Healer) noteWrite(w written) {
	for i := range h.unsaved {
		if x := &h.unsaved[i]; x.to == h.mem && x.written.wait == nil {
			x.written = w
		}
	}
}

// done reports whether the write has ended well, without waiting for it.
func (w *written) done() bool {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	return w.wait != nil && w.wait(over) == nil
}
