package healer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Curtailment is what a dragon is under, or was last: a Pause of that kind.
type Curtailment struct {
	Name  string        `json:"name"` // of the calendar, so that its rollout is the same every day, or the pause's ID
	Mode  string        `json:"mode"`
	Level dragon.Number `json:"level,omitzero"`
}

// curtailWrites is how often a dragon's mode is written in 24 hours to begin and to end
// curtailments: the third is tomorrow's, which may come a little earlier in the day. None is
// begun that could not be ended in time.
const curtailWrites = 3

// curtail wants the mode of a curtailment of the dragons in its scope, and the old mode again
// when it is over. A rollout brings both, like any desired state.
func (c *cycle) curtail(s *subject) {
	if s.conflict {
		return
	}
	if s.fresh { // else it is not known which pool it works for, for one
		c.beginOrEndCurtailment(s)
	}
	x := s.r.Curtailed
	if x == nil || x.Back == 0 {
		return
	}
	w := x.desiredState(nil)
	if c.bringsMode(s, s.f.Desired) {
		w = s.f.Desired
	}
	if c.restored(s, x, w) {
		s.r.Curtailed = nil
		c.m.touch(s.f.MAC)
	}
}

func (c *cycle) beginOrEndCurtailment(s *subject) {
	p, x := c.m.paused(Curtailed, s.f, c.now), s.r.Curtailed
	switch {
	case p == nil && (x == nil || x.Back != 0):
		return
	case p == nil:
		x = x.at(c.now)
	default:
		to := Curtailment{cmp.Or(p.Calendar, p.ID), p.Mode, p.Level}
		if x != nil && x.Back == 0 && *x.To == to {
			return
		}
		had := x
		if had == nil {
			had = s.r.Downshift // the mode that it had before the heat
		}
		if had == nil {
			had = c.tunedNow(s)
		}
		if had == nil { // not known yet, or it has no modes
			return
		}
		x = &Downshift{Since: c.now, Mode: had.Mode, Level: had.Level, To: &to}
	}
	s.r.Curtailed, s.turned = x, true
	c.m.touch(s.f.MAC)
}

// tunedNow is the mode that a dragon has; nil: it has not told it, or is given another one.
func (c *cycle) tunedNow(s *subject) *Downshift {
	have := s.f.Configured
	if !have.known(ItemAutotune) || s.configuring() != nil {
		return nil
	}
	if r := s.r.Config; r != nil && r.Old != nil && r.Old.Mode != "" && r.canRollBack(r.Rollout) {
		if ro := c.m.configRollout(r.Rollout); ro != nil && !ro.proven() && ro.failedOn(s.f.MAC) { // it is to have that again
			return &Downshift{Since: c.now, Mode: r.Old.Mode, Level: r.Old.Level}
		}
	}
	x := &Downshift{Since: c.now, Mode: have.Mode}
	if l, ok := have.Level.Get(); ok {
		x.Level = &l
	}
	return x
}

// configBudget is how often one dragon may be configured in a day. Curtailments have a budget of
// their own, or those of every day would leave nothing for corrections. Rollbacks are free.
func (q *gateRequest) configBudget() answer {
	most, name := q.s.p.Device.ConfigWrites24h, string(Configure)
	curtail := q.change != nil && q.change.Curtail
	if curtail {
		most, name = curtailWrites, "curtailment"
	}
	written := q.configured(curtail, q.c.now)
	detail := fmt.Sprintf("%s %d/%d in %s", name, len(written), most, ShortDuration(day))
	if len(written) >= most {
		return answer{detail: detail, wait: day - q.c.now.Since(written[0])}
	}
	if x := q.s.r.Curtailed; curtail && x != nil && x.Back == 0 {
		ends := q.c.now
		if p := q.c.m.paused(Curtailed, q.s.f, q.c.now); p != nil && !p.UntilResume {
			ends = p.Until
		}
		if len(q.configured(curtail, ends))+1 >= most { // it would stay in that mode when the curtailment is over
			return answer{detail: detail + ", and none for the way back"}
		}
	}
	return yes(detail)
}

// configured is when the dragon was configured in the day before a time, for curtailments or
// for all else.
func (q *gateRequest) configured(curtail bool, before Moment) (at []Moment) {
	for i := range q.s.r.Actions {
		a := &q.s.r.Actions[i]
		if a.Kind == Configure && before.Since(a.At) < day && (a.Change == nil || !a.Change.Restore && a.Change.Curtail == curtail) {
			at = append(at, a.At)
		}
	}
	return at
}

// endsCurtailment reports whether a write gives back the mode that a dragon had before a curtailment.
func (q *gateRequest) endsCurtailment() bool {
	return q.change != nil && q.change.Curtail && q.s.r.Curtailed != nil && q.s.r.Curtailed.Back != 0
}

// Curtails reports whether there is a curtailment. The modes of the dragons must be known then.
func (m *Memory) Curtails() bool {
	return slices.ContainsFunc(m.Fleet.Pauses, func(p Pause) bool { return p.Kind == Curtailed })
}
