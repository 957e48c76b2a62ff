package healer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const (
	rolloutForgotten = 24 * time.Hour // after the last dragon with its desired state was seen
	canariesMost     = 3              // that cannot be changed, before a rollout is aborted
	failuresKept     = 24 * time.Hour
)

// ConfigRollout brings one desired state, pools and autotune mode, to the dragons that have
// it. It stays for as long as they do, and corrects what drifts.
type ConfigRollout struct {
	RolloutHead
	Kind   Kind      `json:"kind"` // Configure
	Key    string    `json:"key"`  // of the desired state
	Name   string    `json:"name"`
	Wanted Moment    `json:"wanted"`           // when a dragon with the desired state was last seen; to the hour
	Canary string    `json:"canary,omitempty"` // MAC
	Said   string    `json:"said,omitempty"`   // the canary that the audit has told of
	Tried  []string  `json:"tried,omitempty"`  // canaries that could not be written to
	Failed []Failure `json:"failed,omitempty"` // of the last 24 hours
	Fast   bool      `json:"fast,omitempty"`   // see SetPace
}

func (ro *ConfigRollout) kind() Kind     { return Configure }
func (ro *ConfigRollout) stops() Verb    { return Changed } // its breaker says hold
func (ro *ConfigRollout) brings() string { return ro.Name }
func (ro *ConfigRollout) title() string  { return fmt.Sprintf("rollout %s (%s):", ro.ID, ro.Name) }

// proven reports whether a dragon has shown that the desired state works.
func (ro *ConfigRollout) proven() bool { return ro.State == RolloutWaves || ro.State == RolloutDone }

func (ro *ConfigRollout) clone() *ConfigRollout {
	c := *ro
	c.Tried, c.Failed = slices.Clone(ro.Tried), slices.Clone(ro.Failed)
	return &c
}

// configRollout returns the rollout of a configuration with an ID; nil: there is none.
func (m *Memory) configRollout(id string) *ConfigRollout { return withID(m.Fleet.Rollouts, id) }

// RolloutPolicy says how a changed desired state comes to its dragons, and how drift is corrected.
type RolloutPolicy struct {
	Mode          Mode          `yaml:"mode"`
	Start         time.Duration `yaml:"start_observe"`  // after the healer started
	Samples       int           `yaml:"samples"`        // fresh ones of a dragon
	Boot          time.Duration `yaml:"boot"`           // how old its system must be
	CanaryWait    time.Duration `yaml:"canary_wait"`    // for the effect
	Wave          Ratio         `yaml:"wave"`           // of the fleet
	WaveMin       int           `yaml:"wave_min"`       //
	Every         time.Duration `yaml:"every"`          // between two waves
	Failures      Ratio         `yaml:"failures"`       // of the dragons with the desired state; one is always allowed
	ConflictAfter int           `yaml:"conflict_after"` // external reverts in 24 hours
}

// wave is how many of n dragons may be configured within Every.
func (p *RolloutPolicy) wave(n int) int { return max(p.WaveMin, p.Wave.floorOf(n)) }

// rolloutOf returns the rollout of a desired state. It begins one if there is none.
func (c *cycle) rolloutOf(w *DesiredState) *ConfigRollout {
	f := &c.m.Fleet
	i := slices.IndexFunc(f.Rollouts, func(ro *ConfigRollout) bool { return ro.Key == w.Key })
	if i < 0 {
		f.NextRollout++
		i = len(f.Rollouts)
		f.Rollouts = append(f.Rollouts, &ConfigRollout{
			RolloutHead: RolloutHead{ID: fmt.Sprintf("r%d", f.NextRollout), State: RolloutWaiting, Since: c.now},
			Kind:        Configure, Key: w.Key, Name: w.Name, Wanted: c.now,
		})
		c.m.TouchFleet()
	}
	ro := f.Rollouts[i]
	if c.now.Since(ro.Wanted) >= seenGranularity {
		ro.Wanted = c.now
		c.m.TouchFleet()
	}
	if ro.Name != w.Name {
		ro.Name = w.Name
		c.m.TouchFleet()
	}
	return ro
}

// advance moves the rollout on by what its dragons show.
func (ro *ConfigRollout) advance(c *cycle) {
	pending, members, working := 0, 0, (*subject)(nil)
	for _, s := range c.all {
		if s.layered.above == ro {
			members++
			if working == nil && s.fresh && s.f.earns(&DesiredState{}) {
				working = s
			}
		}
		if s.rollout != ro {
			continue
		}
		members++
		if s.phase == PhaseDrifted || s.phase == PhaseWaiting || s.phase == PhaseChanging || s.phase == PhaseUnknown && !s.silent {
			pending++
		}
		if working == nil && s.phase == PhaseInSync && s.fresh && s.f.earns(s.f.Desired) {
			working = s
		}
	}
	switch {
	case ro.State == RolloutWaiting && working != nil:
		c.move(ro, RolloutWaves, working.f.Worker+" works so already")
	case ro.State == RolloutCanary:
		ro.watchCanary(c)
	case ro.State == RolloutWaves && pending == 0 && members > 0:
		c.move(ro, RolloutDone, fmt.Sprintf("%d dragons", members))
	}
}

// watchCanary looks for another canary if this one could not be written to: that says nothing
// of the desired state.
func (ro *ConfigRollout) watchCanary(c *cycle) {
	if r := c.m.Dragons[ro.Canary]; r != nil {
		a := r.last(func(a *Action) bool { return a.Change != nil && a.Change.Rollout == ro.ID && !a.Change.Restore })
		if a != nil && a.Outcome == Open {
			return
		}
	}
	ro.Tried, ro.Canary = append(ro.Tried, ro.Canary), ""
	if len(ro.Tried) >= canariesMost {
		c.move(ro, RolloutAborted, fmt.Sprintf("%d dragons could not be changed", len(ro.Tried)))
		return
	}
	c.move(ro, RolloutWaiting, "another canary has to be found")
}

// earns reports whether a dragon has had a share accepted at its desired first pool since its
// miner process started; at any pool where none is desired.
func (f *Facts) earns(w *DesiredState) bool {
	return slices.ContainsFunc(f.Pools, func(p PoolFacts) bool {
		desired := len(w.Pools) == 0 || p.URL == Text(dragon.PoolWithoutLogin(w.Pools[0].URL)) && p.User == w.Pools[0].User
		return desired && p.alive() && p.Accepted.Or(0) > 0
	})
}

// members is how many dragons have the desired state of a rollout now.
func (c *cycle) members(ro *ConfigRollout) int {
	return howMany(c.all, func(s *subject) bool { return s.f.Desired != nil && s.f.Desired.Key == ro.Key || s.layered.above == ro })
}

// change is a configuration to be written to a dragon, and the rollout that wants it.
type change struct {
	ConfigStep
	ro   *ConfigRollout
	want *DesiredState
}

// configSteps lists the dragons that a configuration is to be written to: rollbacks first,
// then those of the highest priority, then the healthiest.
func (c *cycle) configSteps() []rolloutStep {
	var steps []rolloutStep
	for _, s := range c.all {
		if s.rollout == nil || s.r.open() != nil || s.r.Lost != 0 || c.unreadableReason(s) != "" {
			continue
		}
		x := c.wanted(s)
		if x == nil {
			continue
		}
		step := rolloutStep{s: s, kind: Configure, reason: Drift, change: x}
		switch {
		case x.Restore:
			step.reason = Rollback
		case !x.ro.proven():
			step.reason = Rolling
		}
		steps = append(steps, step)
	}
	slices.SortStableFunc(steps, func(a, b rolloutStep) int {
		return cmp.Or(cmp.Compare(priority(&b), priority(&a)), cmp.Compare(urgency(&a), urgency(&b)),
			cmp.Compare(fitness(a.s), fitness(b.s)), cmp.Compare(a.s.f.MAC, b.s.f.MAC))
	})
	return steps
}

// urgency sorts rollbacks first, and last the dragons that could not be written to as canaries.
func urgency(x *rolloutStep) int {
	switch {
	case x.change.Restore:
		return 0
	case slices.Contains(x.change.ro.Tried, x.s.f.MAC):
		return 2
	}
	return 1
}

// priority is that of the desired state. Rollbacks come first.
func priority(x *rolloutStep) int {
	if x.change.Restore {
		return math.MaxInt
	}
	return x.change.want.Priority
}

// fitness sorts healthy dragons first: they show best whether a change works.
func fitness(s *subject) int {
	switch s.r.State {
	case StateHealthy:
		return 0
	case StateObserving, StateProbation:
		return 1
	case StateNew:
		return 2
	case StateSuspect:
		return 3
	}
	return 4
}

// wanted is what is to be written to a dragon; nil: nothing. A dragon that failed is not
// written to again, except for a rollback.
func (c *cycle) wanted(s *subject) *change {
	if s.phase == PhaseFailed {
		if w := c.rollbackTarget(s); w != nil {
			return &change{ConfigStep{Rollout: s.rollout.ID, Items: w.items(), Restore: true, Heat: w.Heat}, s.rollout, w}
		}
		return nil
	}
	if items := s.pending(); len(items) > 0 {
		w := s.f.Desired
		step := ConfigStep{Rollout: s.rollout.ID, Items: items, Heat: w.Heat, Curtail: w.Curtail && slices.Equal(items, []Item{ItemAutotune})}
		return &change{step, s.rollout, w}
	}
	return nil
}

// rollbackTarget is what a dragon had before a desired state that did not work on it; nil: no
// rollback is pending. It stays pending when a human resumes the rollout.
func (c *cycle) rollbackTarget(s *subject) *DesiredState {
	r := s.r.Config
	if s.phase != PhaseFailed || s.rollout.proven() || !r.canRollBack(s.rollout.ID) {
		return nil
	}
	w := r.Old.desiredState(s.f.Desired.Heat)
	if s.layered.pools != nil && !s.layered.over { // its mode is that of an overlay
		w = w.poolsOnly()
	}
	unread := slices.ContainsFunc(w.items(), func(i Item) bool { return !s.f.Configured.known(i) })
	if !unread && len(w.Differences(s.f.Configured)) == 0 {
		return nil // nothing differs
	}
	return w
}

// canRollBack reports whether what a dragon had before a rollout is remembered, and was not
// written back yet.
func (r *ConfigRecord) canRollBack(rollout string) bool {
	return r != nil && r.Rollout == rollout && r.Old != nil && !r.Restored
}

// rollbackPending reports whether a dragon has not got back what it had before a rollout that never
// worked on it.
func (r *ConfigRecord) rollbackPending(ro *ConfigRollout, mac string) bool {
	return r.canRollBack(ro.ID) && (!ro.proven() || ro.failedOn(mac))
}

// changeInWords says what is to be written to a dragon.
func changeInWords(s *subject, x *change) string {
	if x.Restore {
		return "back to " + s.r.Config.Old.String()
	}
	var words []string
	for _, d := range s.drift {
		if slices.Contains(x.Items, d.Item) {
			words = append(words, fmt.Sprintf("%s: want %s, have %s", d.Item, d.Want, d.Have))
		}
	}
	return strings.Join(words, "; ")
}

// failedOn reports whether a dragon did not work after it was changed.
func (ro *ConfigRollout) failedOn(mac string) bool {
	return slices.ContainsFunc(ro.Failed, func(x Failure) bool { return x.MAC == mac })
}

// failed records that a dragon did not work after it was changed, and judges the rollout by it.
func (c *cycle) failed(ro *ConfigRollout, mac, why string) {
	ro.Failed = append(ro.Failed, Failure{mac, c.now, why})
	c.m.TouchFleet()
	members := c.members(ro)
	switch {
	case !tooManyFailed(len(ro.Failed), members, !ro.proven(), c.p.Rollout.Failures):
	case !ro.proven():
		c.move(ro, RolloutAborted, "the canary "+c.m.name(mac)+": "+why)
	default:
		c.move(ro, RolloutAborted, fmt.Sprintf("%d of %d dragons failed, the last of them %s: %s", len(ro.Failed), members, c.m.name(mac), why))
	}
}

// resumeRollout starts an aborted rollout of a configuration from its canary. A dragon whose
// rollback is pending gets that first.
func (m *Memory) resumeRollout(id string, now Moment) {
	ro := m.configRollout(id)
	if ro == nil {
		return
	}
	m.setState(ro, RolloutWaiting, "", now)
	ro.Canary, ro.Tried = "", nil
	ro.Failed = slices.DeleteFunc(slices.Clone(ro.Failed), func(x Failure) bool {
		return m.Dragons[x.MAC] == nil || !m.Dragons[x.MAC].configOf(id).canRollBack(id)
	})
	for mac, r := range m.Dragons {
		if r.configOf(id) != nil && !ro.failedOn(mac) {
			m.clearFailure(ro, mac)
		}
	}
}

// clearFailure forgets what a rollout has done to a dragon.
func (m *Memory) clearFailure(ro *ConfigRollout, mac string) {
	m.Dragons[mac].forgetConfig(ro.ID)
	ro.Failed = slices.DeleteFunc(slices.Clone(ro.Failed), func(x Failure) bool { return x.MAC == mac })
	m.touch(mac)
	m.TouchFleet()
}

// tidyRollouts forgets rollouts of configurations that no dragon has any more, and failures
// that are old.
func (c *cycle) tidyRollouts() {
	f := &c.m.Fleet
	for _, ro := range slices.Clone(f.Rollouts) {
		if n := len(ro.Failed); n > 0 && ro.proven() && c.now.Since(ro.Failed[0].At) >= failuresKept {
			ro.Failed = slices.DeleteFunc(slices.Clone(ro.Failed), func(x Failure) bool { return c.now.Since(x.At) >= failuresKept })
			c.m.TouchFleet()
		}
		if c.now.Since(ro.Wanted) >= rolloutForgotten && !c.rollbackHidden(ro) {
			f.Rollouts = slices.DeleteFunc(slices.Clone(f.Rollouts), func(x *ConfigRollout) bool { return x == ro })
			c.drop("rollout", ro.ID)
			c.m.TouchFleet()
		}
	}
}

// rollbackHidden reports whether a dragon that is out of sight must get back what it had before a rollout.
// Those in sight have their rollback, or their next rollout has taken it over.
func (c *cycle) rollbackHidden(ro *ConfigRollout) bool {
	for mac, r := range c.m.Dragons {
		if s := c.byMAC[mac]; (s == nil || s.f.Status == Absent) && r.configOf(ro.ID).rollbackPending(ro, mac) {
			return true
		}
	}
	return false
}
