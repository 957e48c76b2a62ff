package healer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// FirmwareRelease is a firmware that a rollout brings: one file, by its digest.
type FirmwareRelease struct {
	Version        string   `json:"version"`
	Model          string   `json:"model"`           // of the dragons that it is for
	HWVer          string   `json:"hwver,omitempty"` // the same; empty: all that the form of its version fits
	From           []string `json:"from,omitempty"`  // versions that a dragon may run now; empty: every older one
	SHA256         string   `json:"sha256"`
	Size           int64    `json:"size"` // bytes
	AllowDowngrade bool     `json:"allow_downgrade,omitempty"`
}

// Fits says why a dragon cannot get the release; nil: it can.
func (r *FirmwareRelease) Fits(w *Who) error {
	to, err := dragon.ParseFirmware(r.Version)
	if err != nil {
		return err
	}
	if !strings.EqualFold(w.Model, r.Model) || r.HWVer != "" && !strings.EqualFold(w.HWVer, r.HWVer) {
		return fmt.Errorf("it is a %s on %s", w.Model, w.HWVer)
	}
	if err := to.Fits(w.Model, w.HWVer); err != nil {
		return err
	}
	if len(r.From) > 0 && !slices.Contains(r.From, w.Firmware) {
		return fmt.Errorf("it runs %s, which the rollout is not for", w.Firmware)
	}
	from, err := dragon.ParseFirmware(w.Firmware)
	if err != nil {
		return err
	}
	if err := to.Follows(from); err != nil && (!r.AllowDowngrade || r.Version == w.Firmware) {
		return err
	}
	return nil
}

// FirmwareRollout brings a release to its dragons, wave by wave. It survives the process, as
// what becomes of each dragon does: see Upgrading.
type FirmwareRollout struct {
	RolloutHead
	Release FirmwareRelease `json:"release"`
	Begun   Moment          `json:"begun"`
	Wall    time.Time       `json:"wall"` // the same, for people
	Owner   string          `json:"owner"`
	Reason  string          `json:"reason"`
	Wave    int             `json:"wave"` // from 0, the canary's
	// Auto marks a rollout that the option auto_upgrade began, and no human. It leaves dragons
	// alone that the same firmware has failed on.
	Auto bool `json:"auto,omitempty"`
}

func (ro *FirmwareRollout) kind() Kind     { return Upgrade }
func (ro *FirmwareRollout) stops() Verb    { return Hold }
func (ro *FirmwareRollout) brings() string { return "firmware " + ro.Release.Version }
func (ro *FirmwareRollout) title() string  { return "firmware " + ro.ID + " " + ro.Release.Version }

// open reports whether the rollout goes on, now or after a pause.
func (ro *FirmwareRollout) open() bool {
	return ro.State == RolloutRunning || ro.State == RolloutPaused
}

const rolloutsKept = 50 // of firmware

// FirmwareRequest asks for a rollout.
type FirmwareRequest struct {
	Release FirmwareRelease
	Owner   string
	Reason  string
	Auto    bool
}

// StartFirmware begins a rollout. For each model and hardware version only one is open at a time.
func (m *Memory) StartFirmware(now Instant, q FirmwareRequest) (*FirmwareRollout, error) {
	r := q.Release
	v, err := dragon.ParseFirmware(r.Version)
	switch {
	case err != nil:
		return nil, err
	case q.Owner == "" || q.Reason == "":
		return nil, errors.New("a rollout needs an owner and a reason")
	case !strings.EqualFold(v.Model, r.Model):
		return nil, fmt.Errorf("%s does not fit a %s", r.Version, r.Model)
	case len(r.SHA256) != 64 || r.Size <= 0 || r.Size > dragon.MaxImage:
		return nil, fmt.Errorf("%s: a rollout needs the image's digest and its size, 1 to %d bytes", r.Version, int64(dragon.MaxImage))
	}
	for _, ro := range m.Fleet.Firmware {
		if ro.open() && strings.EqualFold(ro.Release.Model, r.Model) && (ro.Release.HWVer == "" || r.HWVer == "" || strings.EqualFold(ro.Release.HWVer, r.HWVer)) {
			return nil, fmt.Errorf("%w: %s, to %s, is %s; abort it first", ErrRollout, ro.ID, ro.Release.Version, ro.State)
		}
	}
	older, retired := false, retiredBy(m.Fleet.Pauses)
	for mac, d := range m.Dragons {
		older = older || !retired[mac] && r.Fits(&d.Who) == nil
	}
	if !older {
		return nil, fmt.Errorf("%w: no known %s on %s has an older firmware that it may come from", ErrRollout, r.Model, cmp.Or(r.HWVer, "any hardware"))
	}
	f := &m.Fleet
	f.NextFirmware++
	at := m.Moment(now)
	ro := &FirmwareRollout{
		RolloutHead: RolloutHead{ID: fmt.Sprintf("f%d", f.NextFirmware), State: RolloutRunning, Since: at},
		Release:     r, Begun: at, Wall: now.Wall, Owner: q.Owner, Reason: q.Reason, Auto: q.Auto,
	}
	f.Firmware = append(f.Firmware, ro)
	m.forgetFirmware()
	// A dragon is in one rollout at a time. Its earlier upgrades are in the audit.
	for mac, d := range m.Dragons {
		if u := d.Upgrade; u != nil && u.Phase.Over() && r.Fits(&d.Who) == nil && !(q.Auto && m.failedOn(u, r.Version)) {
			d.Upgrade = nil
			m.touch(mac)
		}
	}
	m.TouchFleet()
	return ro, nil
}

// forgetFirmware forgets the oldest of many rollouts, unless they are open or a dragon is still
// being watched for them.
func (m *Memory) forgetFirmware() {
	needed := make(map[string]bool)
	for _, r := range m.Dragons {
		if u := r.Upgrade; u != nil && !u.Phase.Over() {
			needed[u.Rollout] = true
		}
	}
	surplus := len(m.Fleet.Firmware) - rolloutsKept
	m.Fleet.Firmware = slices.DeleteFunc(slices.Clone(m.Fleet.Firmware), func(ro *FirmwareRollout) bool {
		forgotten := surplus > 0 && !ro.open() && !needed[ro.ID]
		if forgotten {
			surplus--
		}
		return forgotten
	})
}

// upgradeTo is how far a dragon is on its way to a version.
func (m *Memory) upgradeTo(s *subject, version string) FirmwareIs {
	for _, ro := range slices.Backward(m.Fleet.Firmware) {
		u := s.r.Upgrade
		switch {
		case ro.Release.Version != version:
		case u != nil && u.Rollout == ro.ID && u.Phase != UpgradeDone:
			return FirmwareIs(u.Phase)
		case ro.State == RolloutRunning && !s.retired && m.waits(u, ro) && ro.Release.Fits(&s.r.Who) == nil:
			return PhaseWaiting
		}
	}
	return FirmwareIs(PhaseDrifted)
}

// failedOn reports whether a dragon's last upgrade was to a version, and failed.
func (m *Memory) failedOn(u *Upgrading, version string) bool {
	ro := m.FirmwareRollout(u.Rollout)
	return u.Phase == UpgradeFailed && ro != nil && ro.Release.Version == version
}

// FirmwareRollout returns the firmware rollout with an ID; nil: there is none.
func (m *Memory) FirmwareRollout(id string) *FirmwareRollout { return withID(m.Fleet.Firmware, id) }

// firmwareIn returns the firmware rollout with an ID, if it is in one of the states.
func (m *Memory) firmwareIn(id string, states ...RolloutState) (*FirmwareRollout, error) {
	ro := m.FirmwareRollout(id)
	switch {
	case ro == nil:
		return nil, fmt.Errorf("%w: %q", ErrNoRollout, id)
	case !slices.Contains(states, ro.State):
		return nil, fmt.Errorf("%w: %s is %s", ErrRollout, id, ro.State)
	}
	return ro, nil
}

// PauseFirmware lets no dragon begin until the rollout is resumed. Dragons that have begun go on.
func (m *Memory) PauseFirmware(now Instant, id, why string) error {
	ro, err := m.firmwareIn(id, RolloutRunning)
	if err != nil {
		return err
	}
	m.setState(ro, RolloutPaused, why, m.Moment(now))
	return nil
}

// ResumeFirmware goes on with a paused rollout. A dragon whose upgrade was inconclusive is
// verified if it runs the version; otherwise it waits for its turn again. One that is retired
// leaves the rollout.
func (m *Memory) ResumeFirmware(now Instant, id, why string) error {
	ro, err := m.firmwareIn(id, RolloutPaused)
	if err != nil {
		return err
	}
	at, retired := m.Moment(now), retiredBy(m.Fleet.Pauses)
	for mac, r := range m.Dragons {
		u := r.Upgrade
		if u == nil || u.Rollout != id || u.Phase != UpgradeInconclusive || r.State == StateConflict {
			continue
		}
		if r.Who.Firmware == ro.Release.Version && !retired[mac] {
			u.Phase, u.Since, u.Why = UpgradeVerifying, at, ""
			if a := m.Action(mac, u.Reboot); a != nil && (a.Outcome == NotExecuted || a.Outcome == NotKnown) {
				u.Reboot = "" // it may be asked for again
			}
		} else {
			r.Upgrade = nil
		}
		m.touch(mac)
	}
	m.setState(ro, RolloutRunning, why, at)
	return nil
}

// AbortFirmware ends a rollout for good. Aborting an aborted rollout changes nothing.
func (m *Memory) AbortFirmware(now Instant, id, why string) error {
	ro, err := m.firmwareIn(id, RolloutRunning, RolloutPaused, RolloutAborted)
	if err == nil && ro.State != RolloutAborted {
		m.setState(ro, RolloutAborted, why, m.Moment(now))
	}
	return err
}

// firmwareSteps lists the dragons that are sent firmware next, as many as their wave has room
// for. A canary's extra reboot comes first.
func (c *cycle) firmwareSteps() []rolloutStep {
	var steps []rolloutStep
	for _, ro := range c.m.Fleet.Firmware {
		if ro.State != RolloutRunning {
			continue
		}
		w := c.waveOf(ro)
		for _, s := range w.begun {
			if c.bootDue(s, ro) {
				steps = append(steps, c.firmwareStep(s, ro, Reboot, fmt.Sprintf("rollout %s: one more boot for its canary", ro.ID)))
			}
		}
		room := w.room()
		if room <= 0 {
			continue
		}
		for _, s := range c.byRisk(w) {
			if room <= 0 {
				break
			}
			if w.apart(s) {
				note := fmt.Sprintf("rollout %s, wave %d: %s to %s", ro.ID, ro.Wave+1, s.f.Firmware, ro.Release.Version)
				steps = append(steps, c.firmwareStep(s, ro, Upgrade, note))
				room--
			}
		}
	}
	return steps
}

func (c *cycle) firmwareStep(s *subject, ro *FirmwareRollout, kind Kind, note string) rolloutStep {
	x := &FirmwareStep{Rollout: ro.ID, Wave: ro.Wave, Release: ro.Release, Before: c.condition(s), Reboot: kind == Reboot}
	return rolloutStep{s: s, kind: kind, note: note, upgrade: x}
}

// unfit says why a dragon is not sent firmware now; empty: nothing is against it.
func (c *cycle) unfit(s *subject, r *FirmwareRelease) string {
	free, ok := s.f.MemoryFree.Get()
	switch {
	case s.r.State != StateHealthy:
		return "it is " + string(s.r.State)
	case s.noWork || s.idle: // what it does afterwards could not be compared
		return "it has no work"
	case heated(s.f, s.r, &s.p.Heat):
		return "it is hot"
	case s.f.alive() < c.expected(s):
		return fmt.Sprintf("%d of its %d boards are alive", s.f.alive(), c.expected(s))
	case !s.rateBefore().IsKnown():
		return "what it did before is not known"
	case !ok:
		return "its free memory is not known"
	case free <= c.p.Firmware.Memory*float64(r.Size):
		return fmt.Sprintf("%.0f MB of memory are free, and the image has %.0f MB", free/1e6, float64(r.Size)/1e6)
	}
	return ""
}

// fitness is closed for dragons that are not well.
func (q *gateRequest) fitness() answer {
	why := q.c.unfit(q.s, &q.upgrade.Release)
	return closedIf(why != "", why)
}

// uploads limits how many dragons are sent an image at one time.
func (q *gateRequest) uploads() answer {
	n := howMany(slices.Concat(q.c.all, q.c.frozen), func(s *subject) bool {
		return s.r.Upgrade != nil && s.r.Upgrade.Phase == UpgradeUploading
	})
	return answer{open: n < q.c.p.Firmware.Uploads, detail: fmt.Sprintf("%d/%d", n, q.c.p.Firmware.Uploads)}
}

// intendUpgrade is the last check before firmware is sent: only for a running rollout, and only
// upwards.
func (m *Memory) intendUpgrade(d *Decision, a *Action) error {
	x := d.Upgrade
	if x == nil {
		if d.Kind == Upgrade {
			return errors.New("firmware comes by a rollout only")
		}
		return nil
	}
	ro, r := m.FirmwareRollout(x.Rollout), m.Dragons[d.MAC]
	switch {
	case ro == nil || ro.State != RolloutRunning:
		return fmt.Errorf("rollout %s does not run", x.Rollout)
	case x.Reboot && (r.Upgrade == nil || r.Upgrade.Rollout != ro.ID || r.Upgrade.Reboot != ""):
		return fmt.Errorf("rollout %s has rebooted %s already", x.Rollout, d.Worker)
	case x.Reboot:
		r.Upgrade.Reboot = a.ID
		return nil
	case r.Upgrade != nil && (r.Upgrade.Rollout == ro.ID || !r.Upgrade.Phase.Over()):
		return fmt.Errorf("%s is in rollout %s already", d.Worker, r.Upgrade.Rollout)
	}
	if err := ro.Release.Fits(&r.Who); err != nil {
		return err
	}
	r.Upgrade = &Upgrading{Rollout: ro.ID, Wave: x.Wave, From: r.Who.Firmware, Phase: UpgradeUploading, Since: a.At, Action: a.ID, Before: x.Before}
	return nil
}

// Sends returns what the decision sends; nil: it sends no firmware.
func (d *Decision) Sends() *FirmwareRelease {
	if d.Upgrade == nil || d.Upgrade.Reboot {
		return nil
	}
	r := d.Upgrade.Release
	return &r
}
