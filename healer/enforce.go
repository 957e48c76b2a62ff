package healer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Why a dragon is configured.
const (
	Drift    Reason = "drift"   // it is not as wished
	Rolling  Reason = "rollout" // the same, and the wish is new
	Rollback Reason = "undo"    // what a rollout that was aborted has done to it
)

// ConfigRecord is what must be remembered of a dragon's configuration, under one wish.
type ConfigRecord struct {
	Rollout  string           `json:"rollout"`
	Old      *ConfigSnapshot  `json:"old,omitempty"`      // what it had before the first write
	Restored bool             `json:"restored,omitempty"` // or is being given it back
	Right    []Item           `json:"right,omitempty"`    // as wished after a write of ours
	Stuck    []Stuck          `json:"stuck,omitempty"`
	Reverts  []ExternalRevert `json:"undone,omitempty"`
	Conflict []Item           `json:"conflict,omitempty"` // left as somebody else wants them
}

// Stuck is an item that cannot take effect. It was tried, once.
type Stuck struct {
	Item Item   `json:"item"`
	Why  string `json:"why"`
	At   Moment `json:"at"`
}

// ExternalRevert is an item that somebody else has changed after we had.
type ExternalRevert struct {
	Item Item   `json:"item"`
	At   Moment `json:"at"`
}

// ConfigChange is what an action of the kind Configure is about.
type ConfigChange struct {
	Rollout string  `json:"rollout"`
	Items   []Item  `json:"items"`
	Restore bool    `json:"restore,omitempty"` // give it back what it had
	Told    []Stuck `json:"told,omitempty"`    // what the dragon said right away that cannot take effect
}

// Phase is where a dragon stands with its wish.
type Phase string

// The phases.
const (
	PhaseNone     Phase = ""          // there is no wish
	PhaseUnknown  Phase = "unknown"   // it has not said how it is
	PhaseInSync   Phase = "as_wished" //
	PhaseDrifted  Phase = "drifted"   // and waits, for whatever it is
	PhaseChanging Phase = "changing"  // it was written to, and has not shown yet that it works
	PhaseStuck    Phase = "stuck"     // it was tried and cannot take effect
	PhaseConflict Phase = "conflict"  // somebody else wants it otherwise
	PhaseFailed   Phase = "failed"    // it did not work after it was changed
)

// Phases are all phases of a dragon that has a wish. It is PhaseWaiting, and not drifted,
// as long as its rollout makes its way through the dragons.
var Phases = []Phase{PhaseUnknown, PhaseInSync, PhaseWaiting, PhaseDrifted, PhaseChanging, PhaseStuck, PhaseConflict, PhaseFailed}

// SyncStatus is where a dragon stands with its wish, for people.
type SyncStatus struct {
	Name     string       `json:"name"`
	Rollout  string       `json:"rollout,omitempty"` // none where the wish is about firmware only
	Phase    Phase        `json:"phase,omitempty"`   // of what is written: pools and autotune
	Firmware FirmwareIs   `json:"firmware,omitempty"`
	Known    []Item       `json:"known,omitempty"` // what it has told
	Drift    []Difference `json:"drift,omitempty"`
	Stuck    []Stuck      `json:"stuck,omitempty"`
	Conflict []Item       `json:"conflict,omitempty"`
}

// FirmwareIs is where a dragon stands with the version that it is to run: as_wished, drifted,
// or the phase that it is in of the rollout that brings it. Empty: it is to run no other, or
// has not told its own.
type FirmwareIs string

// Is says in words where the dragon stands with all that it is to be.
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

// unsentGap is how long the others come first when a dragon could not be written to.
const unsentGap = 10 * time.Minute

// Unsent takes down that nothing could be sent to a dragon that was to be configured.
func (m *Memory) Unsent(now Instant, mac string) {
	if w := m.run.dragons[mac]; w != nil {
		w.unsent = m.Moment(now)
	}
}

// change is what is to be written to a dragon, and what that comes from.
type change struct {
	ConfigStep
	ro   *Rollout
	want *DesiredState // what it is to be
}

// compareAll holds every dragon against its wish, and moves the rollouts on.
func (c *cycle) compareAll() {
	for _, s := range c.all {
		c.compare(s)
	}
	for _, ro := range c.m.Fleet.Rollouts {
		if ro.Kind == Configure {
			c.advance(ro)
		}
	}
	c.tidyRollouts()
}

// compare finds what of a dragon is not as wished, and who is to blame.
func (c *cycle) compare(s *subject) {
	w := s.f.Desired
	if s.conflict || !w.managesConfig() {
		return
	}
	s.rollout = c.rolloutOf(Configure, w.Key, w.Name)
	s.drift = w.Differences(s.f.Configured)
	r := s.r.Config
	if r != nil && r.Rollout != s.rollout.ID && s.r.open() == nil {
		r = c.inheritRecord(s, r)
		s.r.Config = r
		c.m.touch(s.f.MAC)
	}
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

// inheritRecord is what is kept of a dragon's record when its wish changes: what it had when it
// last worked, if the wish before never did on it. Else what it has by now is what it gets back.
func (c *cycle) inheritRecord(s *subject, r *ConfigRecord) *ConfigRecord {
	ro := c.m.rollout(r.Rollout)
	if r.Old == nil || r.Restored || ro == nil {
		return nil
	}
	if ro.proven() && !ro.failedOn(s.f.MAC) {
		return nil
	}
	return &ConfigRecord{Rollout: s.rollout.ID, Old: r.Old}
}

// noteReverts notices what somebody else has changed back.
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
		times := 0
		for _, u := range r.Reverts {
			if u.Item == d.Item {
				times++
			}
		}
		note := fmt.Sprintf("somebody has changed its %s: want %s, have %s", d.Item, d.Want, d.Have)
		if times >= c.p.Rollout.ConflictAfter && !slices.Contains(r.Conflict, d.Item) {
			r.Conflict = append(slices.Clone(r.Conflict), d.Item)
			note += fmt.Sprintf("; for the %d. time in 24h: it is left so", times)
		}
		c.audit(s, Changed, note)
	}
}

// freed forgets that an item was stuck once it is as wished all the same. One that the
// dragon stores and does not follow stays.
func (c *cycle) clearStuck(s *subject, r *ConfigRecord) {
	left := slices.DeleteFunc(slices.Clone(r.Stuck), func(x Stuck) bool {
		return x.Why != PinnedPools && s.f.Configured.known(x.Item) && !s.drifts(x.Item)
	})
	if len(left) != len(r.Stuck) {
		r.Stuck = left
		c.m.touch(s.f.MAC)
	}
}

// PinnedPools is what is stuck without a difference to be seen.
const PinnedPools = "the dragon is pinned to its pools by its vendor"

func (s *subject) drifts(item Item) bool {
	return slices.ContainsFunc(s.drift, func(d Difference) bool { return d.Item == item })
}

// pending lists what is to be put right: without what cannot be, and what somebody
// else wants otherwise.
func (s *subject) pending() []Item {
	var items []Item
	for _, d := range s.drift {
		if r := s.r.Config; r != nil && (slices.Contains(r.Conflict, d.Item) || r.stuck(d.Item)) {
			continue
		}
		items = append(items, d.Item)
	}
	return items
}

func (r *ConfigRecord) stuck(item Item) bool {
	return slices.ContainsFunc(r.Stuck, func(x Stuck) bool { return x.Item == item })
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

// rollingFor is how long after a change a rollout that is not through counts as on its way.
const rollingFor = time.Hour

// rolling reports whether a rollout is on its way: one that something holds up is not,
// and those that wait for it have drifted like any other. Where two go on at a time, a
// change of either will do.
func (c *cycle) rolling(ro *Rollout) bool {
	return (ro.State == RolloutCanary || ro.State == RolloutWaves) && c.m.Fleet.changed(Configure, rollingFor, c.now) > 0
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
			w.Drift, w.Firmware = append(w.Drift, firmware), m.upgradeTo(s.r, firmware.Want)
		}
	}
	if s.rollout == nil {
		w.Name = s.f.Desired.Name
		return w
	}
	w.Name, w.Rollout, w.Drift = s.rollout.Name, s.rollout.ID, append(w.Drift, s.drift...)
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

// advance moves a rollout on by what its dragons show.
func (c *cycle) advance(ro *Rollout) {
	pending, members, working := 0, 0, (*subject)(nil)
	for _, s := range c.all {
		if s.rollout != ro {
			continue
		}
		members++
		if s.phase == PhaseDrifted || s.phase == PhaseWaiting || s.phase == PhaseChanging || s.phase == PhaseUnknown && !s.silent {
			pending++
		}
		if working == nil && s.phase == PhaseInSync && s.fresh && c.works(s, s.f.Desired) {
			working = s
		}
	}
	switch ro.State {
	case RolloutWaiting:
		if working != nil {
			c.move(ro, RolloutWaves, working.f.Worker+" works so already")
		}
	case RolloutCanary:
		c.watchCanary(ro)
	case RolloutWaves:
		if pending == 0 && members > 0 {
			c.move(ro, RolloutDone, fmt.Sprintf("%d dragons", members))
		}
	}
}

// watchCanary takes another canary where the one that was chosen could not be written
// to, and so said nothing of the wish.
func (c *cycle) watchCanary(ro *Rollout) {
	r := c.m.Dragons[ro.Canary]
	if r != nil {
		a := r.last(func(a *Action) bool { return a.Change != nil && a.Change.Rollout == ro.ID && !a.Change.Restore })
		if a != nil && a.Outcome == Open {
			return
		}
	}
	ro.Tried, ro.Canary = append(ro.Tried, ro.Canary), ""
	if len(ro.Tried) >= canariesMost {
		c.abort(ro, fmt.Sprintf("%d dragons could not be changed", len(ro.Tried)))
		return
	}
	c.move(ro, RolloutWaiting, "another canary has to be found")
}

// works reports whether a dragon has had a share accepted where it is to work. Its
// counters begin anew with each start of its mining process.
func (c *cycle) works(s *subject, w *DesiredState) bool {
	for i := range s.f.Pools {
		p := &s.f.Pools[i]
		if len(w.Pools) > 0 && (p.URL != Text(dragon.PoolWithoutLogin(w.Pools[0].URL)) || p.User != w.Pools[0].User) {
			continue
		}
		if p.alive() && p.Accepted.Or(0) > 0 {
			return true
		}
	}
	return false
}

// changes decides who is configured next: at most one, if nothing else is done. What
// somebody has to be given back comes first, then the healthiest.
func (c *cycle) changes() {
	var due []*subject
	for _, s := range c.all {
		if s.rollout == nil || s.r.open() != nil || s.r.Lost != 0 || c.unreadableReason(s) != "" {
			continue
		}
		if s.change = c.wanted(s); s.change != nil {
			due = append(due, s)
		}
	}
	slices.SortStableFunc(due, func(a, b *subject) int {
		return cmp.Or(cmp.Compare(urgency(a), urgency(b)), cmp.Compare(fitness(a), fitness(b)), cmp.Compare(a.f.MAC, b.f.MAC))
	})
	shut := false // whoever is asked about, it is nobody's turn
	for i, s := range due {
		if shut && i >= changesShown {
			return
		}
		d := c.decideChange(s)
		shut = shut || d.Verb == Act || d.Verb == WouldAct || !s.change.Restore && closedForAll(d)
		c.out.Changes = append(c.out.Changes, *d)
	}
}

// changesShown is how many changes a plan has at least, if there are so many. To ask every
// gate about each of ten thousand dragons, of which one gets its turn, would take a while.
const changesShown = 100

// urgency sorts what is to be given back first, and last who was the canary already and
// could not be written to.
func urgency(s *subject) int {
	switch {
	case s.change.Restore:
		return 0
	case slices.Contains(s.change.ro.Tried, s.f.MAC):
		return 2
	}
	return 1
}

// fitness sorts dragons by how much is to be learned from them: the well first.
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

// rollbackTarget is what a dragon that the wish has failed on is to be given back; nil for nothing. It
// is owed to it also when a human has taken the rollout up again before it had it.
func (c *cycle) rollbackTarget(s *subject) *DesiredState {
	r := s.r.Config
	if s.phase != PhaseFailed || s.rollout.proven() || !r.mayGiveBack(s.rollout.ID) {
		return nil
	}
	w := r.Old.desiredState()
	w.Heat = s.f.Desired.Heat
	unread := slices.ContainsFunc(w.items(), func(i Item) bool { return !s.f.Configured.known(i) })
	if !unread && len(w.Differences(s.f.Configured)) == 0 {
		return nil // it has it already, or had nothing
	}
	return w
}

// wanted is what is to be written to a dragon; nil for nothing.
func (c *cycle) wanted(s *subject) *change {
	if s.phase == PhaseFailed {
		// It is not fought over. If the wish is to blame, it gets back what it had.
		if w := c.rollbackTarget(s); w != nil {
			return &change{ConfigStep{s.rollout.ID, w.items(), true, w.Heat}, s.rollout, w}
		}
		return nil
	}
	if items := s.pending(); len(items) > 0 {
		return &change{ConfigStep{s.rollout.ID, items, false, s.f.Desired.Heat}, s.rollout, s.f.Desired}
	}
	return nil
}

// decideChange asks the gates about one dragon.
func (c *cycle) decideChange(s *subject) *Decision {
	x := s.change
	d := c.describe(s)
	d.Kind, d.Reason, d.Rung, d.Rungs, d.Slot, d.ActionID = Configure, Drift, 0, 0, -1, ""
	d.Note, d.Change = changeInWords(s, x), cloned(&x.ConfigStep)
	switch {
	case x.Restore:
		d.Reason = Rollback
	case !x.ro.proven():
		d.Reason = Rolling
	}
	q := &gateRequest{c: c, s: s, kind: Configure, change: x}
	d.Gates = q.ask()
	c.tallyGates(d)
	switch {
	case d.Blocked != "":
		d.Verb = Blocked
		if inLine(d) {
			d.Verb = Wait
		}
	case c.p.ModeFor(&x.ConfigStep, s.f.Profile) != Enforce:
		d.Verb, c.observed = WouldAct, s
	default:
		d.Verb, c.granted = Act, s
	}
	return d
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

// concludeChange reads off the dragon whether what was written to it took effect, and
// whether it works.
func (c *cycle) concludeChange(s *subject, a *Action) {
	x := a.Change
	if x == nil {
		return // whoever wrote it concludes it: see Conclude
	}
	var target *DesiredState
	r := s.r.Config
	ro := c.m.rollout(x.Rollout)
	switch {
	case r == nil || r.Rollout != x.Rollout || ro == nil:
	case x.Restore && r.Old != nil:
		target = r.Old.desiredState()
	case !x.Restore && s.f.Desired != nil && s.f.Desired.Key == ro.Key:
		target = s.f.Desired
	}
	if target == nil && !s.fresh { // nothing is known of it that would free its place
		return
	}
	if target == nil { // it is another wish's turn
		c.end(s, a, Recovered, "the wish has changed meanwhile")
		return
	}
	right, wrong, unread := c.effect(a, target, s.f.Configured)
	stuck, mines := slices.Clone(x.Told), *target
	hopeless := func(item Item) bool {
		return slices.ContainsFunc(stuck, func(x Stuck) bool { return x.Item == item })
	}
	right = slices.DeleteFunc(right, hopeless)
	wrong = slices.DeleteFunc(wrong, func(d Difference) bool { return hopeless(d.Item) })
	if hopeless(ItemPools) { // it works where it did
		mines.Pools = nil
	}
	works := a.Proof != 0 && s.fresh && s.w.at > a.At && s.f.alive() >= a.Before.Boards && c.works(s, &mines)
	waited := c.now.Since(a.At)
	late := waited >= c.p.Rollout.CanaryWait
	if s.w.misses > 0 { // if it does not come back, it is lost
		late = waited >= c.p.Rollout.CanaryWait+2*s.p.Ladder.LostAfter
	}
	switch {
	case len(stuck) > 0 && len(right)+len(wrong)+len(unread) == 0: // all that was tried came to nothing
		c.stuck(s, r, stuck)
		c.end(s, a, NoEffect, stuck[0].Why)
	case len(unread)+len(wrong) == 0 && works:
		c.stuck(s, r, stuck)
		if !x.Restore {
			r.Right = union(r.Right, right)
		}
		note := ""
		if len(stuck) > 0 {
			note = fmt.Sprintf("but %s: %s", stuck[0].Item, stuck[0].Why)
		}
		c.end(s, a, Recovered, note)
		if !x.Restore && !ro.proven() && ro.State != RolloutAborted && !hopeless(ItemPools) {
			c.move(ro, RolloutWaves, "the canary "+s.f.Worker+" works")
		}
	case !late:
	case c.unrelatedCause(s) != "":
		// It says nothing about the wish, and the place in flight is not kept for ever.
		if waited >= excusedFor {
			c.end(s, a, NoEffect, "no verdict: "+c.unrelatedCause(s))
		}
	case a.Result == Unknown && len(unread) == 0 && len(right) == 0:
		c.end(s, a, NotExecuted, "nothing has changed")
	default:
		c.failure(s, a, ro, r, target, wrong, unread)
	}
}

// excusedFor is how long the verdict on a dragon waits for the end of what many suffer from.
const excusedFor = time.Hour

// failure ends an action that did not do what it was to do in time. Silence is failure, too.
func (c *cycle) failure(s *subject, a *Action, ro *Rollout, r *ConfigRecord, target *DesiredState, wrong []Difference, unread []Item) {
	outcome, why := NoEffect, "no accepted share within "+ShortDuration(c.p.Rollout.CanaryWait)
	switch {
	case len(unread) > 0:
		why = fmt.Sprintf("it did not tell its %s within %s", unread[0], ShortDuration(c.p.Rollout.CanaryWait))
	case len(wrong) > 0:
		why = fmt.Sprintf("%s is still %s", wrong[0].Item, wrong[0].Have)
		var stuck []Stuck
		for _, d := range wrong {
			stuck = append(stuck, Stuck{d.Item, "it was accepted, and is still " + d.Have, c.now})
		}
		c.stuck(s, r, stuck)
	case s.fresh && s.f.alive() < a.Before.Boards:
		outcome, why = Worse, fmt.Sprintf("%d boards before, %d after", a.Before.Boards, s.f.alive())
	case len(target.Pools) > 0:
		why = fmt.Sprintf("no accepted share at %s within %s", Text(dragon.PoolWithoutLogin(target.Pools[0].URL)), ShortDuration(c.p.Rollout.CanaryWait))
	}
	c.end(s, a, outcome, why)
	if !a.Change.Restore && (len(wrong) == 0 || outcome == Worse) {
		c.failed(ro, s.f.MAC, why, c.members(ro))
	}
}

// members is how many dragons have the wish of a rollout now.
func (c *cycle) members(ro *Rollout) int {
	n := 0
	for _, s := range c.all {
		if s.f.Desired != nil && s.f.Desired.Key == ro.Key {
			n++
		}
	}
	return n
}

// effect tells the items of an action apart: as they should be, otherwise, and not read
// since.
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
		case i >= 0:
			wrong = append(wrong, different[i])
		default:
			right = append(right, item)
		}
	}
	return right, wrong, unread
}

// stuck remembers what was tried and cannot be.
func (c *cycle) stuck(s *subject, r *ConfigRecord, items []Stuck) {
	for _, x := range items {
		if !r.stuck(x.Item) {
			x.At = c.now
			r.Stuck = append(slices.Clone(r.Stuck), x)
			c.m.touch(s.f.MAC)
		}
	}
}

func union(a, b []Item) []Item {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// intendChange writes down what is about to be written, and what the dragon has now.
func (m *Memory) intendChange(a *Action, d *Decision, had *ConfigSnapshot, now Moment) {
	x := d.Change
	if x == nil {
		return
	}
	a.Change = &ConfigChange{Rollout: x.Rollout, Items: slices.Clone(x.Items), Restore: x.Restore}
	r := m.Dragons[d.MAC]
	if r.Config == nil || r.Config.Rollout != x.Rollout {
		r.Config = &ConfigRecord{Rollout: x.Rollout}
	}
	r.Config.Restored = r.Config.Restored || x.Restore
	if r.Config.Old == nil && had != nil {
		r.Config.Old = had
	}
	for _, item := range x.Items {
		if i := slices.Index(r.Config.Right, item); i >= 0 {
			r.Config.Right = slices.Delete(slices.Clone(r.Config.Right), i, i+1)
		}
	}
	if ro := m.rollout(x.Rollout); ro != nil && ro.State == RolloutWaiting && !x.Restore {
		ro.State, ro.Since, ro.Canary = RolloutCanary, now, d.MAC
	}
}

// Told writes down what a dragon said right after a write that cannot take effect. It
// comes before Sent.
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

// refused remembers what a dragon refused to be, so that it is not asked for again.
func (m *Memory) refused(mac string, a *Action) {
	r := m.Dragons[mac]
	if a.Change == nil || r.Config == nil || r.Config.Rollout != a.Change.Rollout {
		return
	}
	if a.Change.Restore && len(a.Change.Told) == 0 { // it was not sent after all, and is owed as before
		r.Config.Restored = false
	}
	for _, x := range a.Change.Told {
		if !r.Config.stuck(x.Item) {
			x.At = a.Ended
			r.Config.Stuck = append(slices.Clone(r.Config.Stuck), x)
		}
	}
}

// rollbacks is how many of a dragon's configurations in a window gave back what it had.
func rollbacks(r *Record, window time.Duration, now Moment) int {
	n := 0
	for i := range r.Actions {
		if a := &r.Actions[i]; a.Change != nil && a.Change.Restore && now.Since(a.At) < window {
			n++
		}
	}
	return n
}

// RolloutPolicy says how a changed wish comes to its dragons, and how it is held to.
type RolloutPolicy struct {
	Mode          Mode          `yaml:"mode"`
	Start         time.Duration `yaml:"start_observe"`  // after the healer started
	Samples       int           `yaml:"samples"`        // fresh ones of a dragon
	Boot          time.Duration `yaml:"boot"`           // how old its system must be
	CanaryWait    time.Duration `yaml:"canary_wait"`    // for the effect
	Wave          Ratio         `yaml:"wave"`           // of the fleet
	WaveMin       int           `yaml:"wave_min"`       //
	Every         time.Duration `yaml:"every"`          // between two waves
	Failures      Ratio         `yaml:"failures"`       // of those that have the wish; one is always allowed
	ConflictAfter int           `yaml:"conflict_after"` // that somebody else has undone it, in 24 hours
}
