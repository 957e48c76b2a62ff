package healer

import (
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// An overlay is an autotune mode that the healer itself wants of a dragon for a while, against
// heat or in a curtailment, and the mode after it. It is a desired state of its own and brings
// nothing else: the pools are brought by the operator's desired state and its rollout, under
// the overlay too, and what that rollout was stopped at stays stopped.
//
// One of the two is in front: it is what the dragon is compared with. That is the overlay until
// the dragon has its mode, and then the operator's pools.

// layered is what a subject knows of an overlay above its desired state.
type layered struct {
	pools *DesiredState  // the operator's without the mode; nil: no pools are desired
	own   *ConfigRollout // of the operator's desired state; nil: none
	over  bool           // the overlay is in front
	above *ConfigRollout // of an overlay that is in place, and not in front
}

// overlaid reports whether the healer has given the dragon another mode for a while, or is about
// to, or to give it its own mode again.
func (s *subject) overlaid() bool { return s.r.Curtailed != nil || s.r.Downshift != nil }

// overlay puts the healer's own mode above the operator's desired state. Heat is stronger than
// a curtailment.
func (c *cycle) overlay(s *subject) {
	x := s.r.Curtailed
	if s.r.Downshift != nil {
		x = s.r.Downshift
	}
	if s.conflict || x == nil {
		return
	}
	own := s.f.Desired
	if own.managesConfig() {
		s.layered.own = c.rolloutOf(own) // which is remembered, with all that stopped it
	}
	f := *s.f // the view's facts are not to be changed
	s.f = &f
	if x.To != nil && x.Back != 0 && c.bringsMode(s, own) {
		w := *own
		w.Curtail = true
		f.Desired = &w
		return
	}
	if own != nil && len(own.Pools) > 0 {
		s.layered.pools = own.poolsOnly()
	}
	f.Desired, s.layered.over = x.desiredState(own), true
	ro := c.rolloutOf(f.Desired)
	switch a := s.configuring(); {
	case s.layered.own == nil:
	case a != nil && a.Change.Rollout == s.layered.own.ID && slices.Contains(a.Change.Items, ItemAutotune): // it is judged by what it was for
		f.Desired, s.layered.over = own, false
	case a != nil && a.Change.Rollout == s.layered.own.ID:
		f.Desired, s.layered.over = s.layered.pools, false
	case a == nil && c.poolsMayCome(s, own):
		inPlace := x.Back == 0 && s.f.Configured.known(ItemAutotune) && f.Desired.Tuned(s.f.Configured)
		if inPlace {
			s.layered.above = ro
		}
		if inPlace || c.gaveUp(s, ro, ItemAutotune) && !s.rollbackPending(ro) || c.onlyObserved(s) {
			f.Desired, s.layered.over = s.layered.pools, false
		}
	}
}

// configuring is the configuration that a dragon has been sent, without an outcome; nil: none.
func (s *subject) configuring() *Action {
	if a := s.r.open(); a != nil && a.Change != nil {
		return a
	}
	return nil
}

// poolsMayCome reports whether the operator's pools may come to a dragon without the operator's
// mode. Where both are still to be tried, that waits for the end of the overlay.
func (c *cycle) poolsMayCome(s *subject, own *DesiredState) bool {
	ro := s.layered.own
	untried := ro.State == RolloutWaiting || ro.State == RolloutCanary
	return s.layered.pools != nil && (own.Mode == "" || !untried || ro.failedOn(s.f.MAC))
}

// onlyObserved reports whether the overlay is not to be written, and would be in the way of pools
// that are.
func (c *cycle) onlyObserved(s *subject) bool {
	pools := s.r.configOf(s.layered.own.ID).lacks(s.layered.pools.Differences(s.f.Configured))
	return len(pools) > 0 && c.p.Rollout.Mode == Enforce && c.p.ModeFor(&ConfigStep{Heat: s.f.Desired.Heat}, s.f.Profile) != Enforce
}

// rollbackPending reports whether a rollout did not work on the dragon, and what it had is to come back.
func (s *subject) rollbackPending(ro *ConfigRollout) bool {
	r := s.r.configOf(ro.ID)
	return !ro.proven() && ro.failedOn(s.f.MAC) && r.canRollBack(ro.ID) && len(r.Old.desiredState(true).Differences(s.f.Configured)) > 0
}

// gaveUp reports whether a rollout does not bring an item to a dragon any more, until a human
// says so.
func (c *cycle) gaveUp(s *subject, ro *ConfigRollout, item Item) bool {
	r := s.r.configOf(ro.ID)
	return ro.State == RolloutAborted || ro.failedOn(s.f.MAC) || r != nil && (isStuck(r.Stuck, item) || slices.Contains(r.Conflict, item))
}

// bringsMode reports whether the operator's desired state brings a mode after an overlay.
// Otherwise the dragon gets the one that it had.
func (c *cycle) bringsMode(s *subject, own *DesiredState) bool {
	if own == nil || own.Mode == "" || c.p.Rollout.Mode != Enforce {
		return false
	}
	return !c.gaveUp(s, c.rolloutOf(own), ItemAutotune)
}

// desiredState is a mode alone, so that its rollout is one for all dragons.
func (x *Downshift) desiredState(own *DesiredState) *DesiredState {
	w := &DesiredState{Mode: x.Mode, Level: x.level(), Heat: x.To == nil, Curtail: x.To != nil}
	switch {
	case x.To == nil && x.Back == 0:
		w.Name, w.Mode, w.Level = "less heat", coolest, dragon.Number{}
	case x.To == nil:
		w.Name = "as before the heat"
	case x.Back == 0:
		w.Name, w.Mode, w.Level = "curtailment "+x.To.Name, x.To.Mode, x.To.Level
	default:
		w.Name = "as before the curtailment"
	}
	w.Key = w.Name + " " + ModeText(w.Mode, w.Level)
	if own != nil {
		w.Firmware, w.Priority = own.Firmware, own.Priority
	}
	return w
}

// turnRecord brings the record of what is in front to the front, and keeps the other for as long
// as there is an overlay.
func (c *cycle) turnRecord(s *subject) {
	r, front := s.r, &s.layered
	if r.Over != front.over {
		if own := r.Config; front.over && own != nil { // the mode is changed by the healer, not by someone else
			n := *own
			n.Right = slices.DeleteFunc(slices.Clone(own.Right), func(i Item) bool { return i == ItemAutotune })
			r.Config = &n
		}
		r.Config, r.Aside, r.Over = r.Aside, r.Config, front.over
		c.m.touch(s.f.MAC)
	}
	if r.Aside != nil && r.Curtailed == nil && r.Downshift == nil {
		r.Aside = nil
		c.m.touch(s.f.MAC)
	}
	if r.Config != nil && r.Config.Rollout != s.rollout.ID {
		r.Config = c.inheritRecord(s, r.Config)
		c.m.touch(s.f.MAC)
	}
}

// configOf is what is remembered of a dragon's configuration under a rollout; nil: nothing.
func (r *Record) configOf(rollout string) *ConfigRecord {
	for _, x := range []*ConfigRecord{r.Config, r.Aside} {
		if x != nil && x.Rollout == rollout {
			return x
		}
	}
	return nil
}

// resumeConfig forgets what of a dragon's configuration was stuck or in conflict; false: nothing.
func (r *Record) resumeConfig() (any bool) {
	for _, x := range []*ConfigRecord{r.Config, r.Aside} {
		if x != nil && (len(x.Stuck) > 0 || len(x.Conflict) > 0) {
			x.Stuck, x.Conflict, x.Reverts = nil, nil, nil
			any = true
		}
	}
	return any
}

// forgetConfig forgets what is remembered of a dragon's configuration under a rollout.
func (r *Record) forgetConfig(rollout string) {
	if r.Config != nil && r.Config.Rollout == rollout {
		r.Config = nil
	}
	if r.Aside != nil && r.Aside.Rollout == rollout {
		r.Aside = nil
	}
}
