package healer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
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
func (ro *FirmwareRollout) brings() string { return "firmware " + ro.Release.Version }
func (ro *FirmwareRollout) title() string  { return "firmware " + ro.ID + " " + ro.Release.Version }

// open reports whether the rollout goes on, now or after a pause.
func (ro *FirmwareRollout) open() bool {
	return ro.State == RolloutRunning || ro.State == RolloutPaused
}

const rolloutsKept = 50 // of firmware

// FirmwarePolicy says how firmware comes to dragons.
type FirmwarePolicy struct {
	Canaries   int           `yaml:"canaries"` // of the first wave
	Second     int           `yaml:"second_wave"`
	Waves      []Ratio       `yaml:"waves"` // of the dragons that it is for, those before included
	Uploads    int           `yaml:"uploads"`
	Memory     float64       `yaml:"memory"` // free, as a multiple of the image
	Uploading  time.Duration `yaml:"uploading"`
	Rebooting  time.Duration `yaml:"rebooting"`
	Telling    time.Duration `yaml:"version"` // until it tells the new version
	Hashing    time.Duration `yaml:"hashing"`
	Verify     time.Duration `yaml:"verify"`     // longest
	VerifyFor  time.Duration `yaml:"verify_for"` // that it must be as good as before
	Ratio      Ratio         `yaml:"hashrate"`   // of what it did before
	Warmer     float64       `yaml:"warmer"`     // °C, more than its neighbours
	Errors     float64       `yaml:"errors"`     // times those before
	CanarySoak time.Duration `yaml:"canary_soak"`
	SecondSoak time.Duration `yaml:"second_soak"`
	Soak       time.Duration `yaml:"soak"`
	Reboot     bool          `yaml:"extra_reboot"` // of a canary, in its soak
	RebootAt   time.Duration `yaml:"extra_reboot_after"`
	Failures   Ratio         `yaml:"failures"` // of a wave after the second; one is always allowed
	Lost       int           `yaml:"lost"`     // in all waves
	Windows    []Window      `yaml:"windows"`  // besides those of healing; none: always
}

func defaultFirmwarePolicy() FirmwarePolicy {
	return FirmwarePolicy{
		Canaries: 1, Second: 2, Waves: []Ratio{0.05, 0.20, 0.50, 1},
		Uploads: 2, Memory: 2,
		Uploading: 10 * time.Minute, Rebooting: 15 * time.Minute, Telling: 5 * time.Minute, Hashing: time.Hour,
		Verify: 6 * time.Hour, VerifyFor: 2 * time.Hour, Ratio: 0.95, Warmer: 5, Errors: 2,
		CanarySoak: 24 * time.Hour, SecondSoak: 6 * time.Hour, Soak: 2 * time.Hour,
		Reboot: true, RebootAt: time.Hour, Failures: 0.02, Lost: 2,
	}
}

// soak is how long a dragon of a wave must stay healthy before the next wave begins.
func (p *FirmwarePolicy) soak(wave int) time.Duration {
	switch wave {
	case 0:
		return p.CanarySoak
	case 1:
		return p.SecondSoak
	}
	return p.Soak
}

// lastWave is the index of the last wave.
func (p *FirmwarePolicy) lastWave() int { return 1 + len(p.Waves) }

// reach is how many of the members have begun once a wave is full, earlier waves included.
func (p *FirmwarePolicy) reach(wave, members int) int {
	switch {
	case wave == 0:
		return p.Canaries
	case wave == 1:
		return p.Canaries + p.Second
	case wave-2 < len(p.Waves):
		return int(math.Ceil(float64(p.Waves[wave-2])*float64(members) - 1e-9))
	}
	return members
}

// wavesApart is the number of first waves that take at most one dragon of each fault domain.
const wavesApart = 3

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
		return nil, fmt.Errorf("%s is no firmware for a %s", r.Version, r.Model)
	case len(r.SHA256) != 64 || r.Size <= 0 || r.Size > dragon.MaxImage:
		return nil, fmt.Errorf("%s: a rollout needs the image's digest and its size, 1 to %d bytes", r.Version, int64(dragon.MaxImage))
	}
	for _, ro := range m.Fleet.Firmware {
		if ro.open() && strings.EqualFold(ro.Release.Model, r.Model) && (ro.Release.HWVer == "" || r.HWVer == "" || strings.EqualFold(ro.Release.HWVer, r.HWVer)) {
			return nil, fmt.Errorf("%w: %s, to %s, is %s; abort it first", ErrRollout, ro.ID, ro.Release.Version, ro.State)
		}
	}
	older := false
	for _, d := range m.Dragons {
		older = older || r.Fits(&d.Who) == nil
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
func (m *Memory) upgradeTo(r *Record, version string) FirmwareIs {
	for _, ro := range slices.Backward(m.Fleet.Firmware) {
		u := r.Upgrade
		switch {
		case ro.Release.Version != version:
		case u != nil && u.Rollout == ro.ID && u.Phase != UpgradeDone:
			return FirmwareIs(u.Phase)
		case ro.State == RolloutRunning && m.waits(u, ro) && ro.Release.Fits(&r.Who) == nil:
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
// verified if it runs the version; otherwise it waits for its turn again.
func (m *Memory) ResumeFirmware(now Instant, id, why string) error {
	ro, err := m.firmwareIn(id, RolloutPaused)
	if err != nil {
		return err
	}
	at := m.Moment(now)
	for mac, r := range m.Dragons {
		u := r.Upgrade
		if u == nil || u.Rollout != id || u.Phase != UpgradeInconclusive || r.State == StateConflict {
			continue
		}
		if r.Who.Firmware == ro.Release.Version {
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

// wave is what has become of the dragons of a rollout, by its present wave.
type wave struct {
	ro      *FirmwareRollout
	p       *FirmwarePolicy
	members int        // dragons that it is for, whatever has become of them
	before  int        // that began in earlier waves
	begun   []*subject // in this wave
	waiting []*subject // that have not begun, the healthiest first
	left    int        // of those waiting, that are in no state to wait for
	failed  int        // in this wave
	lost    int        // in all waves
	going   int        // in this wave, not over yet
	unclear *subject   // in this wave; nil: none
}

func (c *cycle) waveOf(ro *FirmwareRollout) *wave {
	w := &wave{ro: ro, p: &c.p.Firmware}
	// A dragon whose MAC another has taken has not shown that it works: its wave waits.
	for _, s := range slices.Concat(c.all, c.frozen) {
		u := s.r.Upgrade
		switch {
		case u != nil && u.Rollout == ro.ID:
			w.add(s, u)
		case s.conflict || !c.m.waits(u, ro) || ro.Release.Fits(&s.f.Who) != nil:
		default:
			w.members++
			w.waiting = append(w.waiting, s)
			switch s.r.State {
			case StateQuarantined, StateLost, StateUnreachable, StateFlapping, StateMaintenance:
				w.left++
			}
		}
	}
	risk := make(map[*subject]float64, len(w.waiting))
	for _, s := range w.waiting {
		risk[s] = c.riskOf(s, &ro.Release)
	}
	slices.SortStableFunc(w.waiting, func(a, b *subject) int {
		return cmp.Or(cmp.Compare(risk[a], risk[b]), cmp.Compare(a.f.MAC, b.f.MAC))
	})
	return w
}

// add counts a dragon that has begun.
func (w *wave) add(s *subject, u *Upgrading) {
	w.members++
	if u.Lost {
		w.lost++
	}
	if u.Wave < w.ro.Wave {
		w.before++
		return
	}
	w.begun = append(w.begun, s)
	switch {
	case u.Phase == UpgradeFailed:
		w.failed++
	case u.Phase == UpgradeInconclusive:
		w.unclear = cmp.Or(w.unclear, s)
	case !u.Phase.Over():
		w.going++
	}
}

// complete reports whether the wave has nothing more to show.
func (w *wave) complete() bool {
	switch {
	case w.going > 0:
		return false
	case len(w.waiting) == 0 || w.room() <= 0:
		return true
	case w.ro.Wave >= w.p.lastWave():
		return w.left == len(w.waiting) && w.before+len(w.begun) > 0
	}
	// In the first waves each fault domain gives one dragon, and there may be no more domains.
	return len(w.begun) > 0 && w.ro.Wave < wavesApart && !slices.ContainsFunc(w.waiting, w.apart)
}

// room is how many more dragons the wave takes.
func (w *wave) room() int { return w.p.reach(w.ro.Wave, w.members) - w.before - len(w.begun) }

// apart reports whether the wave has no other dragon of the fault domain, where that matters.
func (w *wave) apart(s *subject) bool {
	return w.ro.Wave >= wavesApart || !slices.ContainsFunc(w.begun, func(x *subject) bool { return x.f.Domain == s.f.Domain })
}

// failures says which dragons have failed, and why.
func (w *wave) failures() string {
	var names []string
	for _, s := range w.begun {
		if u := s.r.Upgrade; u.Phase == UpgradeFailed {
			names = append(names, s.f.Worker+": "+u.Why)
		}
	}
	return fmt.Sprintf("wave %d: %s", w.ro.Wave+1, strings.Join(names[:min(3, len(names))], "; "))
}

// waits reports whether a dragon waits for its turn in a rollout. u is its last upgrade; nil:
// it has none.
func (m *Memory) waits(u *Upgrading, ro *FirmwareRollout) bool {
	return u == nil || u.Rollout != ro.ID && u.Phase.Over() && !m.failedOn(u, ro.Release.Version)
}

// riskOf is lowest for the healthiest dragon: one that is fit for an upgrade, then with the
// fewest restarts and actions of a week, then with the least loss of rate.
func (c *cycle) riskOf(s *subject, r *FirmwareRelease) float64 {
	risk := 0.0
	if c.unfit(s, r) != "" {
		risk += 1e6
	}
	for i := range s.r.Restarts {
		if c.now.Since(s.r.Restarts[i].At) < week {
			risk += 10
		}
	}
	for i := range s.r.Actions {
		if c.now.Since(s.r.Actions[i].At) < week {
			risk += 10
		}
	}
	if before, ok := s.rateBefore().Get(); ok && before > 0 {
		risk += math.Round(100*math.Max(0, 1-s.w.rate.Or(0)/before)) / 100
	}
	return risk
}

// advance judges the rollout by its dragons: abort, pause, the next wave, done.
func (ro *FirmwareRollout) advance(c *cycle) {
	if !ro.open() {
		return
	}
	w, p := c.waveOf(ro), &c.p.Firmware
	switch {
	case w.lost >= p.Lost && p.Lost > 0:
		c.move(ro, RolloutAborted, fmt.Sprintf("%d dragons did not come back", w.lost))
	case tooManyFailed(w.failed, len(w.begun), ro.Wave < 2, p.Failures):
		c.move(ro, RolloutAborted, w.failures())
	case w.unclear != nil && ro.State == RolloutRunning:
		c.move(ro, RolloutPaused, w.unclear.f.Worker+": "+w.unclear.r.Upgrade.Why)
	}
	for ro.State == RolloutRunning && w.complete() {
		if ro.Wave >= p.lastWave() || len(w.waiting) == 0 {
			c.move(ro, RolloutDone, fmt.Sprintf("%d dragons, %d left as they are", w.before+len(w.begun), len(w.waiting)))
			return
		}
		ro.Wave++
		c.m.TouchFleet()
		w = c.waveOf(ro)
		c.auditRollout(Changed, ro, fmt.Sprintf("wave %d: up to %d of %d dragons", ro.Wave+1, min(w.members, p.reach(ro.Wave, w.members)), w.members))
	}
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
		for _, s := range w.waiting {
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
	return openUnless(q.c.unfit(q.s, &q.upgrade.Release))
}

// uploads limits how many dragons are sent an image at one time.
func (q *gateRequest) uploads() answer {
	n := 0
	for _, s := range slices.Concat(q.c.all, q.c.frozen) {
		if u := s.r.Upgrade; u != nil && u.Phase == UpgradeUploading {
			n++
		}
	}
	return answer{open: n < q.c.p.Firmware.Uploads, detail: fmt.Sprintf("%d/%d", n, q.c.p.Firmware.Uploads)}
}

// firmwareWindow is closed outside the windows for firmware.
func (q *gateRequest) firmwareWindow() answer {
	w := q.c.p.Firmware.Windows
	if q.upgrade == nil || len(w) == 0 || slices.ContainsFunc(w, func(x Window) bool { return x.Open(q.c.m.run.time.last.Wall) }) {
		return yes("")
	}
	return no(0, "outside the windows for firmware")
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
