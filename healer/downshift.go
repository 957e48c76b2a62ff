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

// downshift makes the coolest mode the desired state of a dragon that stays too hot, if the
// policy allows it, and the old mode again when the heat is over. A rollout brings it, like any
// desired state: one dragon tries it first, each write passes the gates, and the old mode is
// remembered.
//
// It comes before all that looks at a desired state.
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
	own := s.f.Desired
	w := x.desiredState(own)
	if x.Back != 0 && (own != nil && own.Mode != "" || s.r.open() == nil && s.f.Configured.known(ItemAutotune) &&
		c.m.run.time.at(s.f.Configured.ModeAt) > x.Back && w.Tuned(s.f.Configured)) {
		s.r.Downshift = nil // it has its mode again, or the operator wants another one
		c.m.touch(s.f.MAC)
		return
	}
	f := *s.f // the view's facts are not to be changed
	f.Desired = w
	s.f = &f
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

// desiredState is the operator's with another mode.
func (x *Downshift) desiredState(own *DesiredState) *DesiredState {
	w := &DesiredState{}
	if own != nil {
		*w = *own
	}
	if x.To != nil {
		x.curtail(w)
		return w
	}
	w.Heat, w.Curtail = true, false
	if x.Back == 0 {
		w.Key, w.Name, w.Mode, w.Level = w.Key+" heat", "less heat", coolest, dragon.Number{}
	} else {
		w.Key, w.Name, w.Mode, w.Level = w.Key+" after the heat "+x.words(), "as before the heat", x.Mode, x.level()
	}
	return w
}

// ModeFor says whether a step may be carried out: the operator's by the mode of rollouts,
// one against heat by that of healing.
func (p *Policy) ModeFor(x *ConfigStep, profile string) Mode {
	if x.Heat {
		return p.For(profile).Mode
	}
	return p.Rollout.Mode
}
