package healer

import (
	"fmt"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// ConfigChange is what an action of the kind Configure is about.
type ConfigChange struct {
	ConfigStep
	Told  []Stuck `json:"told,omitempty"`  // items that the dragon refused at once
	Shown []Item  `json:"shown,omitempty"` // items that it had as desired at some time since
}

// concludeChange judges a configuration by what the dragon says since: whether it took effect,
// and whether the dragon works.
func (c *cycle) concludeChange(s *subject, a *Action) {
	x := a.Change
	if x == nil {
		return // Conclude ends it
	}
	r, ro := s.r.Config, c.m.configRollout(x.Rollout)
	target := c.m.target(r, &x.ConfigStep, s.f.Desired)
	if target == nil || ro == nil || r == nil || r.Rollout != x.Rollout { // the desired state is another one by now
		if s.fresh {
			c.end(s, a, Recovered, "the desired state has changed meanwhile")
		}
		return
	}
	right, wrong, unread := c.effect(a, target, s.f.Configured)
	stuck, expected := x.Told, *target
	if isStuck(stuck, ItemPools) { // it goes on at the pools that it had
		expected.Pools = nil
	}
	worked := a.Proof != 0 && s.w.at > a.At && s.f.alive() >= a.Before.Boards && s.f.earns(&expected) // at the newest sample
	works := worked && s.fresh
	waited, patience := c.now.Since(a.At), c.p.Rollout.CanaryWait
	if s.w.misses > 0 { // a dragon that does not come back is lost, see lose
		patience += 2 * c.lostAfter(s, a.Kind)
	}
	late := min(waited, c.m.run.time.alive) >= patience // only time in which the healer ran counts
	excuse := c.unrelatedCause(s)
	if excuse == poolIsDown && !ro.proven() && !c.earned[s.poolHeld] { // it may not exist
		excuse = ""
	}
	switch {
	case len(stuck) > 0 && len(right)+len(wrong)+len(unread) == 0:
		r.addStuck(stuck, c.now)
		c.end(s, a, NoEffect, stuck[0].Why)
	case len(unread)+len(wrong) == 0 && works:
		r.addStuck(stuck, c.now)
		if !x.Restore {
			r.Right = append(slices.Clone(r.Right), right...) // intendChange has taken them out
		}
		note := ""
		if len(stuck) > 0 {
			note = fmt.Sprintf("but %s: %s", stuck[0].Item, stuck[0].Why)
		}
		c.end(s, a, Recovered, note)
		switch lacks := r.lacks(target.Differences(s.f.Configured)); {
		case x.Restore || ro.proven() || isStuck(stuck, ItemPools):
		case len(lacks) > 0: // of that it shows nothing
			ro.Canary = ""
			c.move(ro, RolloutWaiting, fmt.Sprintf("the canary %s works, and its %s is still to be written", s.f.Worker, lacks[0]))
		default:
			c.move(ro, RolloutWaves, "the canary "+s.f.Worker+" works")
		}
	case !late, excuse != "" && waited < excusedFor:
		c.noteShown(s, a, right)
	case excuse != "": // this says nothing of the desired state, and the place in flight is not kept for ever
		c.end(s, a, NoEffect, "no verdict: "+excuse)
	case a.Result == Unknown && len(unread) == 0 && len(right) == 0:
		r.Restored = r.Restored && !x.Restore // the rollback is still pending
		c.end(s, a, NotExecuted, "nothing has changed")
	default:
		c.failure(s, a, &shortfall{ro: ro, target: target, wrong: wrong, unread: unread, works: worked})
	}
}

// noteShown remembers that items took effect: if they differ later, someone else has changed them.
func (c *cycle) noteShown(s *subject, a *Action, right []Item) {
	for _, item := range right {
		if !slices.Contains(a.Change.Shown, item) {
			change := *a.Change
			change.Shown = append(slices.Clone(change.Shown), item)
			a.Change = &change
			c.m.touch(s.f.MAC)
		}
	}
}

// shortfall is how a configuration did not take effect, or did not work, in time.
type shortfall struct {
	ro     *ConfigRollout
	target *DesiredState
	wrong  []Difference
	unread []Item
	works  bool
}

// broken reports whether the dragon does not work with the pools that it was given, whatever
// is wrong beside them.
func (v *shortfall) broken(x *ConfigChange) bool {
	return !v.works && slices.Contains(x.Items, ItemPools) && !isStuck(x.Told, ItemPools) &&
		!differs(v.wrong, ItemPools)
}

// excusedFor is how long the verdict on a dragon waits for the end of a common cause.
const excusedFor = time.Hour

// failure ends an action that did not take effect, or did not work, in time. Silence is failure, too.
func (c *cycle) failure(s *subject, a *Action, v *shortfall) {
	wait := ShortDuration(c.p.Rollout.CanaryWait)
	outcome, why := NoEffect, "no accepted share within "+wait
	for _, d := range v.wrong {
		switch r := s.r.Config; {
		case slices.Contains(a.Change.Shown, d.Item): // a revert, see noteReverts
			if !a.Change.Restore {
				r.Right = append(slices.Clone(r.Right), d.Item)
			}
		case a.Result != Unknown: // else it may not have been written at all
			r.addStuck([]Stuck{{d.Item, "it was accepted, and is still " + d.Have, c.now}}, c.now)
		}
	}
	if a.Result == Unknown && a.Change.Restore && len(v.wrong) > 0 { // the rollback is still pending
		s.r.Config.Restored = false
	}
	broken := v.broken(a.Change)
	switch {
	case len(v.unread) > 0:
		why = fmt.Sprintf("it did not tell its %s within %s", v.unread[0], wait)
	case len(v.wrong) > 0 && !broken && slices.Contains(a.Change.Shown, v.wrong[0].Item):
		why = fmt.Sprintf("someone else has changed its %s: %s", v.wrong[0].Item, v.wrong[0].Have)
	case len(v.wrong) > 0 && !broken:
		why = fmt.Sprintf("%s is still %s", v.wrong[0].Item, v.wrong[0].Have)
	case s.w.at > a.At && s.f.alive() < a.Before.Boards:
		outcome, why = Worse, fmt.Sprintf("%d boards before, %d after", a.Before.Boards, s.f.alive())
	case len(v.target.Pools) > 0:
		why = fmt.Sprintf("no accepted share at %s within %s", Text(dragon.PoolWithoutLogin(v.target.Pools[0].URL)), wait)
	}
	c.end(s, a, outcome, why)
	if !a.Change.Restore && (len(v.wrong) == 0 || broken) {
		c.failed(v.ro, s.f.MAC, why)
	}
}

// effect sorts the items of an action that the dragon has not refused: right, wrong, and not
// read since.
func (c *cycle) effect(a *Action, target *DesiredState, have *Configured) (right []Item, wrong []Difference, unread []Item) {
	different := target.Differences(have)
	for _, item := range a.Change.Items {
		read := have.known(item)
		if read {
			at := have.PoolsAt
			if item == ItemAutotune {
				at = have.ModeAt
			}
			read = c.m.run.time.at(at) > a.At
		}
		i := slices.IndexFunc(different, func(d Difference) bool { return d.Item == item })
		switch {
		case !read:
			unread = append(unread, item)
		case isStuck(a.Change.Told, item):
		case i >= 0:
			wrong = append(wrong, different[i])
		default:
			right = append(right, item)
		}
	}
	return right, wrong, unread
}

// addStuck remembers items that were tried and cannot take effect.
func (r *ConfigRecord) addStuck(items []Stuck, at Moment) {
	for _, x := range items {
		if !isStuck(r.Stuck, x.Item) {
			x.At = at
			r.Stuck = append(slices.Clone(r.Stuck), x)
		}
	}
}

// intendChange records what is about to be written, and what the dragon has now.
func (m *Memory) intendChange(a *Action, d *Decision, had *ConfigSnapshot, now Moment) {
	x := d.Change
	if x == nil {
		return
	}
	a.Change = &ConfigChange{ConfigStep: *x}
	r := m.Dragons[d.MAC]
	if r.Config == nil || r.Config.Rollout != x.Rollout {
		r.Config = &ConfigRecord{Rollout: x.Rollout}
	}
	r.Config.Restored = r.Config.Restored || x.Restore
	if r.Config.Old == nil && had != nil {
		r.Config.Old = had
	}
	r.Config.Right = slices.DeleteFunc(slices.Clone(r.Config.Right), func(i Item) bool { return slices.Contains(x.Items, i) })
	if ro := m.configRollout(x.Rollout); ro != nil && ro.State == RolloutWaiting && !x.Restore {
		m.setState(ro, RolloutCanary, "", now)
		ro.Canary = d.MAC
	}
}

// Wrote records which items of a configuration were written, where that ended before all were:
// what is left is drift like any other. It comes before Sent.
func (m *Memory) Wrote(mac, id string, items []Item) error {
	a := m.Action(mac, id)
	if a == nil || a.Result != Pending || a.Outcome != Open || a.Change == nil {
		return fmt.Errorf("what was written to %s for %s: %w", mac, id, ErrNoAction)
	}
	all := a.Change.Items
	change := *a.Change
	change.Items = slices.DeleteFunc(slices.Clone(all), func(i Item) bool { return !slices.Contains(items, i) })
	a.Change = &change
	if r := m.Dragons[mac]; change.Restore && len(change.Items) < len(all) && r.Config != nil && r.Config.Rollout == change.Rollout {
		r.Config.Restored = false // the rest of the rollback is pending
	}
	m.touch(mac)
	return nil
}

// Told records the items that a dragon refused right after a write. It comes before Sent.
func (m *Memory) Told(mac, id string, told []Stuck) error {
	a := m.Action(mac, id)
	if a == nil || a.Result != Pending || a.Outcome != Open || a.Change == nil {
		return fmt.Errorf("what %s said about %s: %w", mac, id, ErrNoAction)
	}
	change := *a.Change
	change.Told = told
	a.Change = &change
	m.touch(mac)
	return nil
}

// refused remembers what a dragon refused, so that it is not tried again.
func (m *Memory) refused(mac string, a *Action) {
	r := m.Dragons[mac]
	if a.Change == nil || r.Config == nil || r.Config.Rollout != a.Change.Rollout {
		return
	}
	if a.Change.Restore && len(a.Change.Told) == 0 { // it was not sent after all: the rollback is still pending
		r.Config.Restored = false
	}
	r.Config.addStuck(a.Change.Told, a.Ended)
}

// unsentGap is how long other dragons come first after one could not be written to.
const unsentGap = 5 * time.Minute

// Unsent records that an attempt to write to a dragon ended before anything was sent, because
// of the dragon: the others come first for a while.
func (m *Memory) Unsent(now Instant, mac string) {
	if w := m.run.dragons[mac]; w != nil {
		w.unsent = m.Moment(now)
	}
}
