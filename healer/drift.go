package healer

import (
	"fmt"
	"slices"
	"time"
)

// Why a dragon is configured.
const (
	Drift    Reason = "drift"   // it is not in sync
	Rolling  Reason = "rollout" // the same, and no dragon has shown yet that the desired state works
	Rollback Reason = "undo"    // its rollout was aborted after it was changed
)

// ConfigRecord is what must be remembered of a dragon's configuration under one desired state.
type ConfigRecord struct {
	Rollout  string           `json:"rollout"`
	Old      *ConfigSnapshot  `json:"old,omitempty"`      // what it had before the first write
	Restored bool             `json:"restored,omitempty"` // the rollback was written, or is being written
	Right    []Item           `json:"right,omitempty"`    // in sync after a write of ours
	Stuck    []Stuck          `json:"stuck,omitempty"`
	Reverts  []ExternalRevert `json:"undone,omitempty"`   // of the last 24 hours
	Conflict []Item           `json:"conflict,omitempty"` // left alone, since someone else changes them back
}

// Stuck is an item that was tried once and cannot take effect.
type Stuck struct {
	Item Item   `json:"item"`
	Why  string `json:"why"`
	At   Moment `json:"at"`
}

// ExternalRevert is an item that someone else has changed after the healer had.
type ExternalRevert struct {
	Item Item   `json:"item"`
	At   Moment `json:"at"`
}

// Phase is where a dragon stands with its desired state.
type Phase string

// The phases. A drifted dragon is waiting instead while its rollout goes on.
const (
	PhaseNone     Phase = ""        // it has no desired state
	PhaseUnknown  Phase = "unknown" // it has not told its configuration
	PhaseInSync   Phase = "in_sync"
	PhaseDrifted  Phase = "drifted"  // something holds up its correction
	PhaseChanging Phase = "changing" // it was written to, and has not shown yet that it works
	PhaseStuck    Phase = "stuck"    // it was tried and cannot take effect
	PhaseConflict Phase = "conflict" // someone else changes it back
	PhaseFailed   Phase = "failed"   // it did not work after it was changed

	// PhaseWaiting is also the phase of a dragon whose turn in a rollout of firmware has not come.
	PhaseWaiting = "waiting"
)

// Phases are all phases of a dragon that has a desired state.
var Phases = []Phase{PhaseUnknown, PhaseInSync, PhaseWaiting, PhaseDrifted, PhaseChanging, PhaseStuck, PhaseConflict, PhaseFailed}

// SyncStatus is where a dragon stands with its desired state, for people.
type SyncStatus struct {
	Name     string       `json:"name"`
	Rollout  string       `json:"rollout,omitempty"` // none where only a firmware version is desired
	Phase    Phase        `json:"phase,omitempty"`   // of pools and autotune
	Firmware FirmwareIs   `json:"firmware,omitempty"`
	Known    []Item       `json:"known,omitempty"` // what it has told
	Drift    []Difference `json:"drift,omitempty"`
	Stuck    []Stuck      `json:"stuck,omitempty"`
	Conflict []Item       `json:"conflict,omitempty"`
}

// FirmwareIs is where a dragon stands with its desired firmware: PhaseInSync, PhaseDrifted, or
// its UpgradePhase in the rollout that brings the version. Empty: no version is desired, or the
// dragon has not told its own.
type FirmwareIs string

// Is says in words where the dragon stands with its whole desired state.
func (x *SyncStatus) Is() string {
	switch {
	case x.Firmware == "":
		return string(x.Phase)
	case x.Phase == PhaseNone:
		return "firmware " + string(x.Firmware)
	case x.Firmware == FirmwareIs(PhaseInSync):
		return string(x.Phase)
	}
	return string(x.Phase) + ", firmware " + string(x.Firmware)
}

// compare finds what of a dragon is not in sync with its desired state, and why.
func (c *cycle) compare(s *subject) {
	w := s.f.Desired
	if s.conflict || !w.managesConfig() {
		return
	}
	s.rollout = c.rolloutOf(w)
	if s.turned && w.Curtail && s.rollout.State == RolloutDone {
		c.move(s.rollout, RolloutWaves, "a curtailment has begun or ended")
	}
	s.drift = w.Differences(s.f.Configured)
	if s.configuring() == nil {
		c.turnRecord(s)
	}
	r := s.r.Config
	if r != nil && r.Rollout == s.rollout.ID {
		c.noteReverts(s, r)
		c.clearStuck(s, r)
	}
	s.phase = c.phase(s)
	if s.phase == PhaseFailed && !s.rollout.proven() && s.rollout.State != RolloutAborted && c.rollbackTarget(s) == nil {
		c.m.clearFailure(s.rollout, s.f.MAC)
		s.phase = c.phase(s)
	}
}

// inheritRecord is what is kept of a dragon's record when its desired state changes: the
// configuration that it worked with last, if the previous desired state never worked on it.
// Otherwise a rollback goes to what it has now.
func (c *cycle) inheritRecord(s *subject, r *ConfigRecord) *ConfigRecord {
	if ro := c.m.configRollout(r.Rollout); ro == nil || !r.rollbackPending(ro, s.f.MAC) {
		return nil
	}
	return &ConfigRecord{Rollout: s.rollout.ID, Old: r.Old}
}

// noteReverts records what someone else has changed back. What that happens to again and again
// is a conflict, and is left alone.
func (c *cycle) noteReverts(s *subject, r *ConfigRecord) {
	for _, d := range s.drift {
		i := slices.Index(r.Right, d.Item)
		if i < 0 || s.r.open() != nil {
			continue
		}
		r.Right = slices.Delete(slices.Clone(r.Right), i, i+1)
		r.Reverts = append(slices.DeleteFunc(slices.Clone(r.Reverts), func(u ExternalRevert) bool { return c.now.Since(u.At) >= day }), ExternalRevert{d.Item, c.now})
		c.m.touch(s.f.MAC)
		c.out.Reverted = append(c.out.Reverted, s.f.Worker)
		times := howMany(r.Reverts, func(u ExternalRevert) bool { return u.Item == d.Item })
		note := fmt.Sprintf("its %s changed without the healer: want %s, have %s", d.Item, d.Want, d.Have)
		if times >= c.p.Rollout.ConflictAfter && !slices.Contains(r.Conflict, d.Item) {
			r.Conflict = append(slices.Clone(r.Conflict), d.Item)
			note += fmt.Sprintf("; change %d in 24h: left as it is", times)
		}
		c.audit(s, Changed, note)
	}
}

// clearStuck forgets that an item was stuck once it is in sync. Pools that the dragon stores
// and does not follow stay stuck.
func (c *cycle) clearStuck(s *subject, r *ConfigRecord) {
	left := slices.DeleteFunc(slices.Clone(r.Stuck), func(x Stuck) bool {
		return x.Why != PinnedPools && s.f.Configured.known(x.Item) && !differs(s.drift, x.Item)
	})
	if len(left) != len(r.Stuck) {
		r.Stuck = left
		c.m.touch(s.f.MAC)
	}
}

// PinnedPools is why pools can be stuck without a difference to be seen.
const PinnedPools = "the dragon is pinned to its pools by its vendor"

func differs(list []Difference, item Item) bool {
	return slices.ContainsFunc(list, func(d Difference) bool { return d.Item == item })
}

// pending lists the items to be written: those that drifted and are neither stuck nor in conflict.
func (s *subject) pending() []Item { return s.r.Config.lacks(s.drift) }

// lacks lists the items of a drift that are neither stuck nor in conflict.
func (r *ConfigRecord) lacks(drift []Difference) []Item {
	var items []Item
	for _, d := range drift {
		if r != nil && (slices.Contains(r.Conflict, d.Item) || isStuck(r.Stuck, d.Item)) {
			continue
		}
		items = append(items, d.Item)
	}
	return items
}

func isStuck(list []Stuck, item Item) bool {
	return slices.ContainsFunc(list, func(x Stuck) bool { return x.Item == item })
}

func (c *cycle) phase(s *subject) Phase {
	r, a := s.r.Config, s.r.open()
	switch {
	case a != nil && a.Kind == Configure:
		return PhaseChanging
	case s.rollout.failedOn(s.f.MAC):
		return PhaseFailed
	case r != nil && len(r.Conflict) > 0:
		return PhaseConflict
	case r != nil && len(r.Stuck) > 0 && len(s.pending()) == 0:
		return PhaseStuck
	case len(s.drift) > 0 && c.rolling(s.rollout):
		return PhaseWaiting
	case len(s.drift) > 0:
		return PhaseDrifted
	case slices.ContainsFunc(s.f.Desired.items(), func(i Item) bool { return !s.f.Configured.known(i) }):
		return PhaseUnknown
	}
	return PhaseInSync
}

// rollingFor is how long after the last change an unfinished rollout counts as going on.
const rollingFor = time.Hour

// rolling reports whether a rollout goes on, and is not held up: something was configured of
// late, by this rollout or another.
func (c *cycle) rolling(ro *ConfigRollout) bool {
	if ro.State != RolloutCanary && ro.State != RolloutWaves {
		return false
	}
	n, _ := c.m.Fleet.begun(Kind.configures, rollingFor, c.now)
	return n > 0
}

// syncStatus shows where a dragon stands.
func (s *subject) syncStatus(m *Memory) *SyncStatus {
	firmware, known := s.f.Desired.firmware(&s.f.Who)
	if s.rollout == nil && !known {
		return nil
	}
	w := &SyncStatus{Phase: s.phase}
	if known {
		w.Known, w.Firmware = append(w.Known, ItemFirmware), FirmwareIs(PhaseInSync)
		if firmware.Want != firmware.Have {
			w.Drift, w.Firmware = append(w.Drift, firmware), m.upgradeTo(s, firmware.Want)
		}
	}
	if s.rollout == nil {
		w.Name = s.f.Desired.Name
		return w
	}
	w.Name, w.Rollout, w.Drift = s.rollout.Name, s.rollout.ID, append(w.Drift, s.drift...)
	if x := s.layered.pools; x != nil && s.layered.over && s.f.Configured.known(ItemPools) { // they wait, and are seen
		w.Known, w.Drift = append(w.Known, ItemPools), append(w.Drift, x.Differences(s.f.Configured)...)
	}
	for _, item := range s.f.Desired.items() {
		if s.f.Configured.known(item) {
			w.Known = append(w.Known, item)
		}
	}
	if r := s.r.Config; r != nil && r.Rollout == s.rollout.ID {
		w.Stuck, w.Conflict = slices.Clone(r.Stuck), slices.Clone(r.Conflict)
	}
	return w
}
