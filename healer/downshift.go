package healer

import (
	"fmt"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Downshift is what must be remembered of a dragon that was too hot, or is curtailed: the
// autotune mode that it had, and gets again once it has been cool for long enough, or when the
// curtailment is over.
type Downshift struct {
	Since Moment   `json:"since"`
	Mode  string   `json:"mode"`
	Level *float64 `json:"level,omitempty"`
	Back  Moment   `json:"back,omitempty"` // since when the mode is to be restored; 0: not yet

	To *Curtailment `json:"to,omitempty"` // nil: against heat
}

const (
	coolest    = "efficient"        // of the autotuner's modes
	coolUnseen = time.Hour          // without a sample, how long it has been cool is not known
	scorchedOf = 15                 // samples, of which
	scorched   = scorchedOf * 4 / 5 // must have been too hot
)

// downshift wants the coolest mode of a dragon that stays too hot, if the policy allows it, and
// the old mode again when the heat is over. A rollout brings it, like any desired state: one
// dragon tries it first, each write passes the gates, and the old mode is remembered.
func (c *cycle) downshift(s *subject) {
	if s.conflict {
		return
	}
	h := &s.p.Heat
	c.trackHeat(s)
	if s.r.Downshift == nil && h.DownshiftEnabled && s.w.heatEvidence.fired {
		c.beginDownshift(s)
	}
	x := s.r.Downshift
	if x == nil {
		return
	}
	cool := s.w.cool != 0 && c.now.Since(s.w.cool) >= h.RestoreAfter
	switch {
	case x.Back == 0 && (cool || !h.DownshiftEnabled):
		x = x.at(c.now)
		c.audit(s, Changed, fmt.Sprintf("it is to have its autotune mode %s again", x.words()))
	case x.Back != 0 && h.DownshiftEnabled && s.w.heatEvidence.fired:
		x = x.at(0)
		c.audit(s, Changed, "too hot again: its autotune mode stays "+coolest)
	}
	if x != s.r.Downshift {
		s.r.Downshift = x
		c.m.touch(s.f.MAC)
	}
	if x.Back != 0 && (s.r.Curtailed != nil || c.bringsMode(s, s.f.Desired) || c.restored(s, x, x.desiredState(nil))) {
		s.r.Downshift = nil // it has its mode again, or another one is wanted
		c.m.touch(s.f.MAC)
	}
}

// restored reports whether a dragon has the mode that it is to have after an overlay.
func (c *cycle) restored(s *subject, x *Downshift, w *DesiredState) bool {
	return x.Back != 0 && s.r.open() == nil && s.f.Configured.known(ItemAutotune) &&
		c.m.run.time.at(s.f.Configured.ModeAt) > x.Back && w.Tuned(s.f.Configured)
}

// trackHeat follows how long it has been too hot, and how long cool.
func (c *cycle) trackHeat(s *subject) {
	t, ok := s.f.hottest().Get()
	if !s.fresh || !ok {
		return
	}
	w, h := s.w, &s.p.Heat
	w.heatEvidence.push(t >= h.Downshift, w.at, Evidence{h.DownshiftFor, scorched, scorchedOf})
	if t >= h.RestoreBelow || w.at.Since(w.tracked) > coolUnseen {
		w.cool = 0
	}
	if w.tracked = w.at; w.cool == 0 && t < h.RestoreBelow {
		w.cool = w.at
	}
}

// beginDownshift remembers the dragon's autotune mode, so that it can be restored.
func (c *cycle) beginDownshift(s *subject) {
	x := c.tunedNow(s)
	if x == nil || x.Mode == coolest {
		return
	}
	s.r.Downshift = x
	c.m.touch(s.f.MAC)
	t := s.f.hottest().Or(0)
	c.audit(s, Changed, fmt.Sprintf("%.0fC, too hot for %s: its autotune mode is to be %s in place of %s, until it has been below %.0fC for %s",
		t, ShortDuration(s.p.Heat.DownshiftFor), coolest, x.words(), s.p.Heat.RestoreBelow, ShortDuration(s.p.Heat.RestoreAfter)))
}

// at returns the same with another time from which the mode is to be restored.
func (x *Downshift) at(back Moment) *Downshift {
	y := *x
	y.Back = back
	return &y
}

func (x *Downshift) level() dragon.Number {
	if x.Level == nil {
		return dragon.Number{}
	}
	return dragon.Known(*x.Level)
}

func (x *Downshift) words() string { return ModeText(x.Mode, x.level()) }

// ModeFor says whether a step may be carried out: the operator's by the mode of rollouts,
// one against heat by that of healing.
func (p *Policy) ModeFor(x *ConfigStep, profile string) Mode {
	if x.Heat {
		return p.For(profile).Mode
	}
	return p.Rollout.Mode
}
