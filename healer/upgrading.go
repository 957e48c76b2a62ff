package healer

import (
	"fmt"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// UpgradePhase is where a dragon stands in a rollout of firmware. Each has a deadline, by
// which silence is failure.
type UpgradePhase string

// The phases, and how they end.
const (
	UpgradeUploading    UpgradePhase = "uploading"
	UpgradeRebooting    UpgradePhase = "rebooting" // flashing included
	UpgradeTelling      UpgradePhase = "version"   // it is back, and has to tell the new version
	UpgradeHashing      UpgradePhase = "hashing"   // all boards have to work again
	UpgradeVerifying    UpgradePhase = "verifying" // as well as before
	UpgradeSoaking      UpgradePhase = "soaking"
	UpgradeDone         UpgradePhase = "done"
	UpgradeFailed       UpgradePhase = "failed"
	UpgradeInconclusive UpgradePhase = "inconclusive" // nothing can be said, and a human has to look
)

// UpgradePhases are all of them, in order.
var UpgradePhases = []UpgradePhase{
	UpgradeUploading, UpgradeRebooting, UpgradeTelling, UpgradeHashing, UpgradeVerifying, UpgradeSoaking,
	UpgradeDone, UpgradeFailed, UpgradeInconclusive,
}

// Over reports whether nothing more is to come.
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

// Condition is how well a dragon was before it was sent anything.
type Condition struct {
	Rate    float64 `json:"rate"` // hashes per second
	Boards  int     `json:"boards"`
	Hottest float64 `json:"hottest"` // °C; 0: unknown
	Peers   float64 `json:"peers"`   // the same of the others, in the middle; 0: unknown
	Errors  float64 `json:"errors"`  // hardware errors per hash; -1: unknown
}

// upgradeGrace is how long a process that has just started looks before it calls anything late.
const upgradeGrace = 5 * time.Minute

// errorsAllowed are hardware errors that mean nothing, however few there were before.
const errorsAllowed = 20

// rateBefore is what the dragon did of late: the middle of its last healthy day, or, as
// long as that was not seen, what it does now.
func (s *subject) rateBefore() dragon.Number {
	b := &s.r.Baseline
	if n := len(b.Slots); n >= slotsNeeded && b.Mode == s.f.Mode {
		return dragon.Known(median(slices.Clone(b.Slots[n-slotsNeeded:])))
	}
	return s.w.rate
}

func (c *cycle) condition(s *subject) Condition {
	errors, hashes := s.f.errors()
	x := Condition{Rate: rounded(s.rateBefore().Or(0)), Boards: s.f.alive(), Hottest: s.f.hottest().Or(0), Peers: c.peersHottest(s), Errors: -1}
	if hashes > 0 && errors >= 0 {
		x.Errors = errors / hashes
	}
	return x
}

// peersHottest is the hottest board of the dragons that are not being changed, in the
// middle: it is the weather that they have in common. 0 where there are none.
func (c *cycle) peersHottest(of *subject) float64 {
	var all []float64
	for _, s := range c.all {
		if t, ok := s.f.hottest().Get(); ok && s != of && !s.conflict && (s.r.Upgrade == nil || s.r.Upgrade.Phase.Over()) {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return 0
	}
	return median(all)
}

// errors sums up hardware errors, -1 where they are unknown, and the hashes that they came with.
func (f *Facts) errors() (errors, hashes float64) {
	for i := range f.Boards {
		e, ok := f.Boards[i].Errors.Get()
		if !ok {
			return -1, 0
		}
		errors += e
		hashes += f.Boards[i].Hashes.Or(0)
	}
	return errors, hashes
}

// follow brings a dragon to its next phase when it shows that it is there, or to an end.
func (c *cycle) follow(s *subject, ro *FirmwareRollout, u *Upgrading) {
	p := &c.p.Firmware
	a := c.m.Action(s.f.MAC, u.Action)
	if a == nil {
		c.unclear(s, ro, u, "what was sent is not on record any more")
		return
	}
	late := func(limit time.Duration) bool {
		return c.now.Since(u.Since) >= limit && c.m.run.time.alive >= upgradeGrace
	}
	switch u.Phase {
	case UpgradeUploading:
		switch {
		case a.Result == Refusal:
			c.unclear(s, ro, u, "refused: "+a.Note)
		case a.Result == NotSent:
			c.unclear(s, ro, u, "not sent: "+a.Note)
		case a.Result != Pending:
			c.enterPhase(s, ro, u, UpgradeRebooting)
		case late(p.Uploading):
			c.end(s, a, NoEffect, "the upload did not come to an end")
			c.fail(s, ro, u, "the upload took more than "+ShortDuration(p.Uploading))
		}
	case UpgradeRebooting:
		switch {
		case a.Outcome == LostOutcome:
			c.gone(s, ro, u, "it did not come back")
		case a.Proof != 0:
			c.enterPhase(s, ro, u, UpgradeTelling)
		case late(p.Rebooting):
			c.notBack(s, ro, u, a)
		}
	case UpgradeTelling:
		switch {
		case a.Outcome == LostOutcome:
			c.gone(s, ro, u, "it did not come back")
		case s.fresh && s.f.Firmware == ro.Release.Version:
			c.enterPhase(s, ro, u, UpgradeHashing)
		case late(p.Telling) && c.unrelatedCause(s) != "":
			c.ended(s, ro, u, a, NoEffect, c.unrelatedCause(s))
		case late(p.Telling) && s.silent:
			c.lostAfterRollback(s, ro, u, a)
		case late(p.Telling):
			c.end(s, a, NoEffect, "another version than sent")
			c.fail(s, ro, u, fmt.Sprintf("it runs %s after the upgrade, expected %s", Text(s.f.Firmware), ro.Release.Version))
		}
	case UpgradeHashing:
		switch {
		case a.Outcome == LostOutcome:
			c.gone(s, ro, u, "it did not come back")
		case s.fresh && s.f.works(u.Before.Boards) && s.f.Elapsed.Or(0) >= s.p.Grace.MissingBoard.Seconds(): // boards come late, and go early
			c.end(s, a, Recovered, "it runs "+ro.Release.Version)
			c.enterPhase(s, ro, u, UpgradeVerifying)
		case late(p.Hashing) && c.unrelatedCause(s) != "":
			c.ended(s, ro, u, a, NoEffect, c.unrelatedCause(s))
		case late(p.Hashing) && s.silent:
			c.lostAfterRollback(s, ro, u, a)
		case late(p.Hashing) && s.fresh && s.f.alive() < u.Before.Boards:
			c.end(s, a, Worse, "fewer boards")
			c.fail(s, ro, u, fmt.Sprintf("%d boards before, %d after", u.Before.Boards, s.f.alive()))
		case late(p.Hashing):
			c.end(s, a, NoEffect, "it does not hash")
			c.fail(s, ro, u, "it does not hash "+ShortDuration(p.Hashing)+" after its reboot")
		}
	case UpgradeVerifying:
		c.verify(s, ro, u, late(p.Verify))
	case UpgradeSoaking:
		c.soak(s, ro, u)
	}
}

// notBack judges a dragon that has not rebooted in time, as far as one knows.
func (c *cycle) notBack(s *subject, ro *FirmwareRollout, u *Upgrading, a *Action) {
	switch why := c.unrelatedCause(s); {
	case why != "":
		c.ended(s, ro, u, a, NoEffect, why)
	case s.silent:
		c.end(s, a, LostOutcome, "")
		s.r.Lost = c.now
		c.gone(s, ro, u, "it did not come back within "+ShortDuration(c.p.Firmware.Rebooting))
	case a.Result == Unknown && s.fresh && s.f.Firmware == u.From:
		c.ended(s, ro, u, a, NotExecuted, "whether it was sent is not known, and it still runs "+u.From)
	default:
		c.end(s, a, NoEffect, "it has not rebooted")
		c.fail(s, ro, u, "it took the image, and has not rebooted within "+ShortDuration(c.p.Firmware.Rebooting))
	}
}

// lostAfterRollback ends the upgrade of a dragon that came back, and is gone.
func (c *cycle) lostAfterRollback(s *subject, ro *FirmwareRollout, u *Upgrading, a *Action) {
	c.end(s, a, LostOutcome, "")
	s.r.Lost = c.now
	c.gone(s, ro, u, "it came back, and is gone")
}

// unrelatedCause says what else may be why nothing is seen of a dragon; empty: nothing.
func (c *cycle) unrelatedCause(s *subject) string {
	for _, name := range []string{"isolation", "fleet_boot"} {
		if b := c.m.breaker(name, ""); b != nil && b.State == BreakerOpen {
			return name + ": " + b.Detail
		}
	}
	if b := c.m.breaker("domain", s.f.Domain); b != nil {
		return "domain " + s.f.Domain + ": " + b.Detail
	}
	if s.poolHeld != "" {
		return "its pool is down, or was just now"
	}
	return ""
}

// works reports whether all boards that there were do some work again.
func (f *Facts) works(boards int) bool {
	n := 0
	for i := range f.Boards {
		if b := &f.Boards[i]; !b.dead() && b.Hashes.Or(0) > 0 {
			n++
		}
	}
	return n >= boards && n > 0
}

// regressed says what is wrong with a dragon that is being watched after its upgrade; lost says
// that nothing is heard of it.
func (c *cycle) regressed(s *subject, ro *FirmwareRollout) (why string, lost bool) {
	switch {
	case s.r.Lost != 0, s.silent && c.now.Since(s.w.silent) >= c.p.Firmware.Rebooting:
		return "nothing is heard of it", true
	case s.fresh && s.f.Firmware != ro.Release.Version:
		return fmt.Sprintf("it runs %s again", Text(s.f.Firmware)), false
	case s.r.Flapping != 0:
		return "it restarts by itself", false
	case s.sick() && s.poolHeld == "":
		return "it is sick: " + string(detectors[s.fired].reason), false
	}
	return "", false
}

// verify measures, over as long as the policy says, whether a dragon is as good as before.
func (c *cycle) verify(s *subject, ro *FirmwareRollout, u *Upgrading, late bool) {
	if why, lost := c.regressed(s, ro); why != "" {
		c.failIll(s, ro, u, why, lost)
		return
	}
	t := &s.w.trial
	if s.fresh && (s.w.tuning || s.poolHeld != "" || !s.f.works(u.Before.Boards)) {
		*t = trial{}
	} else if s.fresh {
		t.add(s, c.peersHottest(s))
		if t.last.at.Since(t.first.at) >= c.p.Firmware.VerifyFor {
			why := t.judge(u, &c.p.Firmware)
			if why == "" {
				c.enterPhase(s, ro, u, UpgradeSoaking)
				return
			}
			*t = trial{said: why}
		}
	}
	switch why := c.unrelatedCause(s); {
	case !late:
	case why != "":
		c.unclear(s, ro, u, why)
	case t.said != "":
		c.fail(s, ro, u, t.said)
	default:
		c.fail(s, ro, u, "it could not be verified within "+ShortDuration(c.p.Firmware.Verify))
	}
}

// trial is a stretch of time in which a dragon is measured. It is running evidence, and
// begins anew with a restart or a gap.
type trial struct {
	first, last    reckoning
	hottest, peers float64 // sums
	samples        int
	said           string // what was against it the last time
}

// reckoning are the counters of a dragon at one time.
type reckoning struct {
	at      Moment
	elapsed float64
	hashes  float64
	errors  float64 // -1: unknown
}

func (t *trial) add(s *subject, peers float64) {
	r := reckoning{at: s.w.at, elapsed: s.f.Elapsed.Or(-1)}
	r.errors, _ = s.f.errors()
	for i := range s.f.Boards {
		r.hashes += s.f.Boards[i].Hashes.Or(0)
	}
	if r.elapsed < 0 {
		return
	}
	if t.samples == 0 || r.elapsed < t.last.elapsed || r.hashes < t.last.hashes {
		*t = trial{first: r, said: t.said}
	}
	t.last = r
	t.hottest += s.f.hottest().Or(0)
	t.peers += peers
	t.samples++
}

// judge says what is not as good as before; empty: nothing.
func (t *trial) judge(u *Upgrading, p *FirmwarePolicy) string {
	took := t.last.elapsed - t.first.elapsed
	if took <= 0 {
		return "its clock stands still"
	}
	done := t.last.hashes - t.first.hashes
	if rate := done / took; rate < float64(p.Ratio)*u.Before.Rate {
		return fmt.Sprintf("%.1f%% of the %s that it did before, expected %.0f%%", 100*rate/u.Before.Rate, Hashrate(u.Before.Rate), 100*p.Ratio)
	}
	hottest, peers := t.hottest/float64(t.samples), t.peers/float64(t.samples)
	weather := 0.0
	if u.Before.Peers > 0 && peers > 0 {
		weather = peers - u.Before.Peers
	}
	if warmer := hottest - u.Before.Hottest - weather; u.Before.Hottest > 0 && hottest > 0 && warmer > p.Warmer {
		return fmt.Sprintf("%.1f °C warmer than before, at most %.0f", warmer, p.Warmer)
	}
	if t.first.errors < 0 || t.last.errors < 0 || u.Before.Errors < 0 {
		return "" // its firmware does not count them
	}
	if errors := t.last.errors - t.first.errors; errors > p.Errors*u.Before.Errors*done+errorsAllowed {
		return fmt.Sprintf("%.0f hardware errors in %s, before it had %.0f", errors, ShortDuration(seconds(took)), u.Before.Errors*done)
	}
	return ""
}

// soak watches a dragon that is as good as before for some more time. A canary boots once
// more in it: there is firmware that does so only once.
func (c *cycle) soak(s *subject, ro *FirmwareRollout, u *Upgrading) {
	p := &c.p.Firmware
	reboot := c.m.Action(s.f.MAC, u.Reboot)
	if reboot != nil && reboot.Outcome == LostOutcome {
		c.gone(s, ro, u, "it did not come back from one more boot")
		return
	}
	rebooting := reboot != nil && reboot.Outcome == Open
	if why, lost := c.regressed(s, ro); why != "" && !rebooting {
		c.failIll(s, ro, u, why, lost)
		return
	}
	switch {
	case rebooting && s.silent && c.now.Since(max(reboot.At, s.w.silent)) >= p.Rebooting && c.m.run.time.alive >= upgradeGrace:
		// What may have another cause is not called lost, and yet nothing is heard of it.
		c.failIll(s, ro, u, "it did not come back from one more boot", true)
		return
	case rebooting:
		return // it ends by itself
	case reboot != nil && reboot.Outcome == NotExecuted:
		c.unclear(s, ro, u, "one more boot was asked for and did not happen")
		return
	case reboot != nil && reboot.Outcome != Recovered:
		c.fail(s, ro, u, "it was "+string(reboot.Outcome)+" after one more boot")
		return
	case reboot == nil && c.rebootsInSoak(u) && ro.State != FirmwareAborted:
		return // the gates are in the way
	}
	due := u.Since.Add(p.soak(u.Wave))
	if reboot != nil {
		due = max(due, reboot.Ended.Add(p.RebootAt))
	}
	if c.now < due {
		return
	}
	if s.fresh && s.r.State == StateHealthy && s.f.works(u.Before.Boards) {
		c.enterPhase(s, ro, u, UpgradeDone)
		return
	}
	if c.now.Since(due) >= p.Hashing && c.m.run.time.alive >= upgradeGrace {
		if why := c.unrelatedCause(s); why != "" {
			c.unclear(s, ro, u, why)
			return
		}
		c.fail(s, ro, u, "it is "+string(s.r.State)+" at the end of its soak")
	}
}

func (c *cycle) rebootsInSoak(u *Upgrading) bool { return c.p.Firmware.Reboot && u.Wave == 0 }

// rebootDue reports whether a canary is to boot once more now.
func (c *cycle) rebootDue(s *subject, ro *FirmwareRollout) bool {
	u := s.r.Upgrade
	return u != nil && u.Rollout == ro.ID && u.Phase == UpgradeSoaking && u.Reboot == "" && c.rebootsInSoak(u) &&
		s.f.Elapsed.Or(0) >= c.p.Firmware.RebootAt.Seconds()
}

func (c *cycle) enterPhase(s *subject, ro *FirmwareRollout, u *Upgrading, phase UpgradePhase) {
	c.auditUpgrade(s, ro, u, Changed, phase, "")
	u.Phase, u.Since, u.Why = phase, c.now, ""
	s.w.trial = trial{}
	c.m.touch(s.f.MAC)
}

// fail ends a dragon's upgrade as a failure, unclear as nothing that can be judged.
func (c *cycle) fail(s *subject, ro *FirmwareRollout, u *Upgrading, why string) {
	c.auditUpgrade(s, ro, u, Hold, UpgradeFailed, why)
	u.Phase, u.Since, u.Why = UpgradeFailed, c.now, why
	c.m.touch(s.f.MAC)
}

func (c *cycle) unclear(s *subject, ro *FirmwareRollout, u *Upgrading, why string) {
	c.auditUpgrade(s, ro, u, Hold, UpgradeInconclusive, why)
	u.Phase, u.Since, u.Why = UpgradeInconclusive, c.now, why
	c.m.touch(s.f.MAC)
}

func (c *cycle) gone(s *subject, ro *FirmwareRollout, u *Upgrading, why string) {
	u.Lost = true
	c.fail(s, ro, u, why)
}

func (c *cycle) failIll(s *subject, ro *FirmwareRollout, u *Upgrading, why string, lost bool) {
	switch excuse := c.unrelatedCause(s); {
	case lost && excuse != "":
		c.unclear(s, ro, u, excuse)
	case lost:
		c.gone(s, ro, u, why)
	default:
		c.fail(s, ro, u, why)
	}
}

// ended ends the upload's action and leaves the dragon's upgrade unclear.
func (c *cycle) ended(s *subject, ro *FirmwareRollout, u *Upgrading, a *Action, outcome Outcome, why string) {
	c.end(s, a, outcome, why)
	c.unclear(s, ro, u, why)
}

func (c *cycle) auditUpgrade(s *subject, ro *FirmwareRollout, u *Upgrading, verb Verb, phase UpgradePhase, why string) {
	r := c.record(s, verb)
	r.Action, r.ActionID, r.Actor = Upgrade, u.Action, firmwareActor(ro.ID)
	r.Note = fmt.Sprintf("firmware %s %s: %s", ro.ID, ro.Release.Version, phase)
	if why != "" {
		r.Note += ": " + why
	}
	c.out.Audit = append(c.out.Audit, r)
}
