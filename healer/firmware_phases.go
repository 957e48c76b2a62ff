package healer

import (
	"fmt"
	"time"
)

// UpgradePhase is where a dragon stands in a rollout of firmware. Each phase has a deadline:
// silence is failure.
type UpgradePhase string

// The phases, and how they end.
const (
	UpgradeUploading    UpgradePhase = "uploading"
	UpgradeRebooting    UpgradePhase = "rebooting" // flashing included
	UpgradeTelling      UpgradePhase = "version"   // it is back and has to tell the new version
	UpgradeHashing      UpgradePhase = "hashing"   // all boards have to work again
	UpgradeVerifying    UpgradePhase = "verifying" // as well as before
	UpgradeSoaking      UpgradePhase = "soaking"
	UpgradeDone         UpgradePhase = "done"
	UpgradeFailed       UpgradePhase = "failed"
	UpgradeInconclusive UpgradePhase = "inconclusive" // its outcome is unknown, and a human has to look
)

// UpgradePhases are all phases, in order.
var UpgradePhases = []UpgradePhase{
	UpgradeUploading, UpgradeRebooting, UpgradeTelling, UpgradeHashing, UpgradeVerifying, UpgradeSoaking,
	UpgradeDone, UpgradeFailed, UpgradeInconclusive,
}

// Over reports whether the phase is the last one of a dragon.
func (p UpgradePhase) Over() bool {
	return p == UpgradeDone || p == UpgradeFailed || p == UpgradeInconclusive
}

// Upgrading is what must be remembered of a dragon in a rollout of firmware.
type Upgrading struct {
	Rollout string       `json:"rollout"`
	Wave    int          `json:"wave"`
	From    string       `json:"from"`
	Phase   UpgradePhase `json:"phase"`
	Since   Moment       `json:"since"`
	Action  string       `json:"action"`           // the upload's
	Reboot  string       `json:"reboot,omitempty"` // a canary's extra one
	Before  Condition    `json:"before"`
	Lost    bool         `json:"lost,omitempty"` // it did not come back
	Why     string       `json:"why,omitempty"`
}

// upgrade is one dragon on its way through a rollout of firmware, in one cycle.
type upgrade struct {
	*cycle
	*Upgrading
	s      *subject
	ro     *FirmwareRollout // nil: forgotten
	upload *Action          // nil: forgotten
}

func (c *cycle) upgradeOf(s *subject) *upgrade {
	u := s.r.Upgrade
	return &upgrade{c, u, s, c.m.FirmwareRollout(u.Rollout), c.m.Action(s.f.MAC, u.Action)}
}

// watchUpgrade follows a dragon that was sent firmware from phase to phase.
func (c *cycle) watchUpgrade(s *subject) {
	if u := s.r.Upgrade; s.conflict || u == nil || u.Phase.Over() {
		return
	}
	x := c.upgradeOf(s)
	switch {
	case x.ro == nil:
		s.r.Upgrade, c.peers = nil, nil
		c.m.touch(s.f.MAC)
	case x.upload == nil:
		x.enter(UpgradeInconclusive, "what was sent is not on record any more")
	case x.Phase == UpgradeUploading:
		x.uploading()
	case x.Phase == UpgradeVerifying:
		x.verify()
	case x.Phase == UpgradeSoaking:
		x.soak()
	default:
		x.boot()
	}
}

// late reports whether the phase has taken as long as it may.
func (x *upgrade) late(limit time.Duration) bool {
	return x.now.Since(x.Since) >= limit && x.m.run.time.alive >= startGrace
}

// enter brings the dragon to another phase and records it.
func (x *upgrade) enter(phase UpgradePhase, why string) {
	verb := Changed
	if phase == UpgradeFailed || phase == UpgradeInconclusive {
		verb = Hold
	} else {
		x.s.w.trial = trial{}
	}
	r := x.record(x.s, verb)
	r.Action, r.ActionID, r.Actor = Upgrade, x.Action, rolloutActor(x.ro.ID)
	r.Note = fmt.Sprintf("%s: %s", x.ro.title(), phase)
	if why != "" {
		r.Note += ": " + why
	}
	x.out.Audit = append(x.out.Audit, r)
	x.Phase, x.Since, x.Why, x.peers = phase, x.now, why, nil
	x.m.touch(x.s.f.MAC)
}

// lose ends the upgrade of a dragon that did not come back.
func (x *upgrade) lose(why string) {
	x.Lost = true
	x.enter(UpgradeFailed, why)
}

// endUpload gives the upload its outcome, and the upgrade its end.
func (x *upgrade) endUpload(outcome Outcome, note string, phase UpgradePhase, why string) {
	x.end(x.s, x.upload, outcome, note)
	x.enter(phase, why)
}

func (x *upgrade) uploading() {
	switch a, limit := x.upload, x.p.Firmware.Uploading; {
	case a.Result == Refusal:
		x.enter(UpgradeInconclusive, "refused: "+a.Note)
	case a.Result == NotSent:
		x.enter(UpgradeInconclusive, "not sent: "+a.Note)
	case a.Result != Pending:
		x.enter(UpgradeRebooting, "")
	case x.late(limit):
		x.endUpload(NoEffect, "the upload did not come to an end", UpgradeFailed, "the upload took more than "+ShortDuration(limit))
	}
}

// boot follows the dragon from the upload until all its boards work again. So long the upload
// has no outcome.
func (x *upgrade) boot() {
	s, p := x.s, &x.p.Firmware
	var limit time.Duration
	var reached bool
	var next UpgradePhase
	gone := "it came back, and is gone"
	switch x.Phase {
	case UpgradeRebooting:
		// Where the uptime cannot be read, only the new version shows that it has booted.
		booted := s.fresh && !s.f.Uptime.IsKnown() && s.f.Firmware == x.ro.Release.Version && x.From != s.f.Firmware
		limit, reached, next = p.Rebooting, x.upload.Proof != 0 || booted, UpgradeTelling
		gone = "it did not come back within " + ShortDuration(limit)
	case UpgradeTelling:
		limit, reached, next = p.Telling, s.fresh && s.f.Firmware == x.ro.Release.Version, UpgradeHashing
	default: // boards come late, and go early
		settled := s.f.Elapsed.Or(0) >= s.p.Grace.MissingBoard.Seconds()
		limit, reached, next = p.Hashing, s.fresh && s.f.works(x.Before.Boards) && settled, UpgradeVerifying
	}
	excuse := x.unrelatedCause(s)
	switch {
	case x.upload.Outcome == LostOutcome:
		x.lose("it did not come back")
	case reached && next == UpgradeVerifying:
		x.endUpload(Recovered, "it runs "+x.ro.Release.Version, next, "")
	case reached:
		x.enter(next, "")
	case !x.late(limit):
	case excuse != "":
		x.endUpload(NoEffect, excuse, UpgradeInconclusive, excuse)
	case s.silent:
		x.end(s, x.upload, LostOutcome, "")
		s.r.Lost = x.now
		x.lose(gone)
	default:
		x.overdue()
	}
}

// overdue ends the upgrade of a dragon that answers and has not reached its next phase in time.
// What its last sample showed counts: the deadline may pass in a tick without a new one.
func (x *upgrade) overdue() {
	f, p := x.s.f, &x.p.Firmware
	switch {
	case x.Phase == UpgradeRebooting && x.upload.Result == Unknown && f.Firmware == x.From:
		why := "whether it was sent is not known, and it still runs " + x.From
		x.endUpload(NotExecuted, why, UpgradeInconclusive, why)
	case x.Phase == UpgradeRebooting:
		x.endUpload(NoEffect, "it has not rebooted", UpgradeFailed, "it took the image, and has not rebooted within "+ShortDuration(p.Rebooting))
	case x.Phase == UpgradeTelling:
		x.endUpload(NoEffect, "another version than sent", UpgradeFailed,
			fmt.Sprintf("it runs %s after the upgrade, expected %s", Text(f.Firmware), x.ro.Release.Version))
	case f.alive() < x.Before.Boards:
		x.endUpload(Worse, "fewer boards", UpgradeFailed, fmt.Sprintf("%d boards before, %d after", x.Before.Boards, f.alive()))
	default:
		x.endUpload(NoEffect, "it does not hash", UpgradeFailed, "it does not hash "+ShortDuration(p.Hashing)+" after its reboot")
	}
}

// regressed ends the upgrade of a dragon that is worse than before, and reports whether it did.
func (x *upgrade) regressed() bool {
	s := x.s
	var why string
	switch {
	case s.r.Lost != 0, s.silent && x.now.Since(s.w.silent) >= x.p.Firmware.Rebooting:
		x.silent("nothing is heard of it")
		return true
	case s.fresh && s.f.Firmware != x.ro.Release.Version:
		why = fmt.Sprintf("it runs %s again", Text(s.f.Firmware))
	case s.r.Flapping != 0:
		why = "it restarts by itself"
	case s.sick() && s.poolHeld == "" && !x.maintained(s, x.p.Firmware.Hashing):
		why = "it is sick: " + string(detectors[s.fired].reason)
	default:
		return false
	}
	x.enter(UpgradeFailed, why)
	return true
}

// silent ends the upgrade of a dragon that nothing is heard of. With a common cause it is not
// called lost.
func (x *upgrade) silent(why string) {
	if excuse := x.unrelatedCause(x.s); excuse != "" {
		x.enter(UpgradeInconclusive, excuse)
		return
	}
	x.lose(why)
}

// soak watches a dragon that is as good as before for some more time. A canary boots once
// more in it: some firmware boots only once.
func (x *upgrade) soak() {
	s, p := x.s, &x.p.Firmware
	boot := x.m.Action(s.f.MAC, x.Reboot)
	if boot != nil && boot.Outcome == LostOutcome {
		x.lose("it did not come back from one more boot")
		return
	}
	booting := boot != nil && boot.Outcome == Open
	if !booting && x.regressed() {
		return
	}
	switch {
	case booting && s.silent && x.now.Since(max(boot.At, s.w.silent)) >= p.Rebooting && x.m.run.time.alive >= startGrace:
		x.silent("it did not come back from one more boot")
		return
	case booting:
		return // it ends by itself
	case boot != nil && boot.Outcome == NotExecuted:
		x.enter(UpgradeInconclusive, "one more boot was asked for and did not happen")
		return
	case boot != nil && boot.Outcome != Recovered:
		x.enter(UpgradeFailed, "it was "+string(boot.Outcome)+" after one more boot")
		return
	case s.retired: // it will not come back
		x.enter(UpgradeInconclusive, "it is retired")
		return
	case boot == nil && x.bootsInSoak(x.Upgrading) && x.ro.State != RolloutAborted:
		return // the gates are in the way
	}
	_, soak := p.wave(x.Wave, 0)
	due := x.Since.Add(soak)
	if boot != nil {
		due = max(due, boot.Ended.Add(max(p.RebootAt, s.p.Ladder.Probation)))
	}
	switch excuse := x.unrelatedCause(s); {
	case x.now < due || s.maintenance:
	case s.fresh && s.r.State == StateHealthy && s.f.works(x.Before.Boards):
		x.enter(UpgradeDone, "")
	case x.now.Since(max(due, s.w.maintained)) < p.Hashing || x.m.run.time.alive < x.p.StartObserve+startGrace: // until then none is called healthy
	case excuse != "":
		x.enter(UpgradeInconclusive, excuse)
	default:
		x.enter(UpgradeFailed, "it is "+string(s.r.State)+" at the end of its soak")
	}
}

// bootsInSoak reports whether the dragon is a canary that boots once more.
func (c *cycle) bootsInSoak(u *Upgrading) bool { return c.p.Firmware.Reboot && u.Wave == 0 }

// bootDue reports whether a canary is to boot once more now.
func (c *cycle) bootDue(s *subject, ro *FirmwareRollout) bool {
	u := s.r.Upgrade
	return u != nil && u.Rollout == ro.ID && u.Phase == UpgradeSoaking && u.Reboot == "" && c.bootsInSoak(u) &&
		s.f.Elapsed.Or(0) >= c.p.Firmware.RebootAt.Seconds()
}

// giveUpUpgrade ends the upgrade of a dragon whose MAC others claim, if it has waited long
// enough. ended is the action that has just ended without a verdict; nil: there was none.
func (c *cycle) giveUpUpgrade(s *subject, ended *Action) {
	x, p := c.upgradeOf(s), &c.p.Firmware
	over := ended != nil && (ended.Kind == Upgrade || ended.ID == x.Reboot)
	switch age := c.now.Since(x.Since); x.Phase {
	case UpgradeVerifying:
		over = over || age >= p.Verify
	case UpgradeSoaking:
		_, soak := p.wave(x.Wave, 0)
		over = over || age >= soak+p.Hashing
	default: // it waited for the action
		over = true
	}
	if over && x.ro != nil {
		x.enter(UpgradeInconclusive, contested)
	}
}
