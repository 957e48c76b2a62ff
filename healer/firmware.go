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

// FirmwareRelease is a firmware that dragons are to be brought to: one file, by its digest.
type FirmwareRelease struct {
	Version        string   `json:"version"`
	Model          string   `json:"model"`           // of the dragons that it is for
	HWVer          string   `json:"hwver,omitempty"` // the same; empty: whatever its version's form fits
	From           []string `json:"from,omitempty"`  // versions that they may have; empty: every older one
	SHA256         string   `json:"sha256"`
	Size           int64    `json:"size"` // bytes
	AllowDowngrade bool     `json:"allow_downgrade,omitempty"`
}

// Fits says what is against the release on a dragon that is who says who it is.
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

// FirmwareState is how far a rollout of firmware has come.
type FirmwareState string

// The states. An aborted one stays aborted: who has found out why begins another.
const (
	FirmwareRunning FirmwareState = "running"
	FirmwarePaused  FirmwareState = "paused"
	FirmwareAborted FirmwareState = "aborted"
	FirmwareDone    FirmwareState = "done"
)

// FirmwareStates are all of them.
var FirmwareStates = []FirmwareState{FirmwareRunning, FirmwarePaused, FirmwareAborted, FirmwareDone}

// FirmwareRollout brings a release to its dragons, wave by wave. It survives the
// process, as what becomes of each dragon does: see Upgrade.
type FirmwareRollout struct {
	ID      string          `json:"id"`
	Release FirmwareRelease `json:"release"`
	State   FirmwareState   `json:"state"`
	Since   Moment          `json:"since"` // of the state
	Begun   Moment          `json:"begun"`
	Wall    time.Time       `json:"wall"` // the same, for people
	Owner   string          `json:"owner"`
	Reason  string          `json:"reason"`
	Wave    int             `json:"wave"` // from 0, the canary's
	Why     string          `json:"why,omitempty"`
	// Auto says that nobody has asked for it but the option that does so once and for all.
	// A dragon that the same firmware has failed on is left alone.
	Auto bool `json:"auto,omitempty"`
}

const rolloutsKept = 50 // of firmware, with what became of them

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

// soak is how long a dragon of a wave must go on well before the next wave begins.
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

// reach is how many of the members have begun when a wave is complete.
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

// wavesApart are the waves that take one dragon of a fault domain at most.
const wavesApart = 3

// FirmwareRequest is a wish for a rollout.
type FirmwareRequest struct {
	Release FirmwareRelease
	Owner   string
	Reason  string
	Auto    bool
}

// The errors of rollouts.
var (
	// ErrNoRollout says that there is no such rollout.
	ErrNoRollout = errors.New("no such rollout")
	// ErrRollout says that a rollout is not in a state in which that can be asked of it.
	ErrRollout = errors.New("the rollout cannot do that")
)

// StartFirmware begins a rollout. One at a time is under way for a kind of dragon.
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
	ro := &FirmwareRollout{ID: fmt.Sprintf("f%d", f.NextFirmware), Release: r, State: FirmwareRunning, Since: at, Begun: at, Wall: now.Wall, Owner: q.Owner, Reason: q.Reason, Auto: q.Auto}
	f.Firmware = append(f.Firmware, ro)
	m.forgetFirmware()
	// A dragon is in one rollout at a time. What became of it in another is in the audit.
	for mac, d := range m.Dragons {
		if u := d.Upgrade; u != nil && u.Phase.Over() && r.Fits(&d.Who) == nil && !(q.Auto && m.failedOn(u, r.Version)) {
			d.Upgrade = nil
			m.touch(mac)
		}
	}
	m.TouchFleet()
	return ro, nil
}

// forgetFirmware forgets the oldest rollouts of those that are over: neither one that goes
// on, nor one that a dragon is still being watched for.
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

// upgradeTo is how far the rollout is with a dragon that brings it to a version.
func (m *Memory) upgradeTo(r *Record, version string) FirmwareIs {
	for _, ro := range slices.Backward(m.Fleet.Firmware) {
		u := r.Upgrade
		switch {
		case ro.Release.Version != version:
		case u != nil && u.Rollout == ro.ID && u.Phase != UpgradeDone:
			return FirmwareIs(u.Phase)
		case ro.State == FirmwareRunning && m.waits(u, ro) && ro.Release.Fits(&r.Who) == nil:
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

func (ro *FirmwareRollout) open() bool {
	return ro.State == FirmwareRunning || ro.State == FirmwarePaused
}

// FirmwareRollout returns a rollout of firmware by its ID, or nil.
// FirmwareRollout returns the firmware rollout with an ID; nil: there is none.
func (m *Memory) FirmwareRollout(id string) *FirmwareRollout {
	for _, ro := range m.Fleet.Firmware {
		if ro.ID == id {
			return ro
		}
	}
	return nil
}

// PauseFirmware lets no dragon begin until the rollout is resumed. Those that have begun
// are watched on.
func (m *Memory) PauseFirmware(now Instant, id, why string) error {
	ro := m.FirmwareRollout(id)
	switch {
	case ro == nil:
		return fmt.Errorf("%w: %q", ErrNoRollout, id)
	case ro.State != FirmwareRunning:
		return fmt.Errorf("%w: %s is %s", ErrRollout, id, ro.State)
	}
	m.setFirmware(ro, FirmwarePaused, why, m.Moment(now))
	return nil
}

// ResumeFirmware goes on with a paused rollout. Dragons that nothing could be said of are
// looked at anew: those that have the version are verified, the others may be sent it again.
func (m *Memory) ResumeFirmware(now Instant, id, why string) error {
	ro := m.FirmwareRollout(id)
	switch {
	case ro == nil:
		return fmt.Errorf("%w: %q", ErrNoRollout, id)
	case ro.State != FirmwarePaused:
		return fmt.Errorf("%w: %s is %s", ErrRollout, id, ro.State)
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
				u.Reboot = "" // it did not happen, or nobody knows, and may be asked for again
			}
		} else {
			r.Upgrade = nil
		}
		m.touch(mac)
	}
	m.setFirmware(ro, FirmwareRunning, why, at)
	return nil
}

// AbortFirmware ends a rollout for good. To abort one that is aborted is nothing new.
func (m *Memory) AbortFirmware(now Instant, id, why string) error {
	ro := m.FirmwareRollout(id)
	switch {
	case ro == nil:
		return fmt.Errorf("%w: %q", ErrNoRollout, id)
	case ro.State == FirmwareDone:
		return fmt.Errorf("%w: %s is %s", ErrRollout, id, ro.State)
	case ro.State != FirmwareAborted:
		m.setFirmware(ro, FirmwareAborted, why, m.Moment(now))
	}
	return nil
}

func (m *Memory) setFirmware(ro *FirmwareRollout, state FirmwareState, why string, at Moment) {
	ro.State, ro.Why, ro.Since = state, why, at
	m.TouchFleet()
}

// firmwareActor is who acts for a rollout.
func firmwareActor(id string) string { return "rollout:" + id }

// moveFirmware brings a rollout to another state, and says so.
func (c *cycle) moveFirmware(ro *FirmwareRollout, state FirmwareState, why string) {
	if ro.State == state || ro.State == FirmwareAborted {
		return // two waves that fail at once abort it once
	}
	c.m.setFirmware(ro, state, why, c.now)
	verb := Changed
	if state == FirmwareAborted || state == FirmwarePaused {
		verb = Hold
	}
	c.auditFirmware(verb, ro, string(state)+": "+why)
	if state == FirmwareAborted { // until a human has looked
		c.latch("rollout", ro.ID, "firmware "+ro.Release.Version+": "+why)
	}
}

func (c *cycle) auditFirmware(verb Verb, ro *FirmwareRollout, note string) {
	c.out.Audit = append(c.out.Audit, Audit{At: c.out.Wall, Epoch: c.m.Fleet.Epoch, Decision: verb, Action: Upgrade,
		Actor: firmwareActor(ro.ID), Config: c.m.Fleet.ConfigHash, Note: fmt.Sprintf("firmware %s %s %s", ro.ID, ro.Release.Version, note)})
}

// watchUpgrade follows a dragon that was sent firmware.
func (c *cycle) watchUpgrade(s *subject) {
	u := s.r.Upgrade
	if s.conflict || u == nil || u.Phase.Over() {
		return
	}
	ro := c.m.FirmwareRollout(u.Rollout)
	if ro == nil { // so long ago that it is forgotten
		s.r.Upgrade = nil
		c.m.touch(s.f.MAC)
		return
	}
	c.follow(s, ro, u)
}

// advanceRollouts moves the rollouts on by what has become of their dragons.
func (c *cycle) advanceRollouts() {
	for _, ro := range c.m.Fleet.Firmware {
		if ro.open() {
			c.advanceFirmware(ro)
		}
	}
}

// wave is what has become of the dragons of a rollout.
type wave struct {
	members int        // that it is for, whatever has become of them
	before  int        // begun in waves before this one
	begun   []*subject // in this one
	waiting []*subject // that have not begun, the best first
	left    int        // of those, how many cannot be waited for
	failed  int        // in this wave
	lost    int        // in all of them
	unclear *subject
	going   int // in this wave, not over yet
}

func (c *cycle) waveOf(ro *FirmwareRollout) wave {
	var w wave
	// One whose MAC somebody else has taken has not shown that it works: its wave waits.
	for _, s := range slices.Concat(c.all, c.frozen) {
		if u := s.r.Upgrade; u != nil && u.Rollout == ro.ID {
			w.members++
			if u.Lost {
				w.lost++
			}
			if u.Wave < ro.Wave {
				w.before++
				continue
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
			continue
		}
		if s.conflict || !c.m.waits(s.r.Upgrade, ro) || ro.Release.Fits(&s.f.Who) != nil {
			continue
		}
		w.members++
		w.waiting = append(w.waiting, s)
		switch s.r.State {
		case StateQuarantined, StateLost, StateUnreachable, StateFlapping, StateMaintenance:
			w.left++
		}
	}
	frail := make(map[*subject]float64, len(w.waiting))
	for _, s := range w.waiting {
		frail[s] = c.riskOf(s, &ro.Release)
	}
	slices.SortStableFunc(w.waiting, func(a, b *subject) int {
		return cmp.Or(cmp.Compare(frail[a], frail[b]), cmp.Compare(a.f.MAC, b.f.MAC))
	})
	return w
}

// waits reports whether a dragon that has been through an upgrade, or through none, may
// begin with a rollout.
func (m *Memory) waits(u *Upgrading, ro *FirmwareRollout) bool {
	return u == nil || u.Rollout != ro.ID && u.Phase.Over() && !m.failedOn(u, ro.Release.Version)
}

// riskOf sorts the healthiest first: those that may be sent something, then those that
// have been restarted or acted on least of late, then those that do best what they did before.
func (c *cycle) riskOf(s *subject, r *FirmwareRelease) float64 {
	worn := 0.0
	if c.unfit(s, r) != "" {
		worn += 1e6
	}
	for i := range s.r.Restarts {
		if c.now.Since(s.r.Restarts[i].At) < week {
			worn += 10
		}
	}
	for i := range s.r.Actions {
		if c.now.Since(s.r.Actions[i].At) < week {
			worn += 10
		}
	}
	if before, ok := s.rateBefore().Get(); ok && before > 0 {
		worn += math.Round(100*math.Max(0, 1-s.w.rate.Or(0)/before)) / 100
	}
	return worn
}

// advanceFirmware judges a rollout by its dragons: abort, pause, the next wave, done.
func (c *cycle) advanceFirmware(ro *FirmwareRollout) {
	w := c.waveOf(ro)
	p := &c.p.Firmware
	switch {
	case w.lost >= p.Lost && p.Lost > 0:
		c.moveFirmware(ro, FirmwareAborted, fmt.Sprintf("%d dragons did not come back", w.lost))
	case ro.Wave < 2 && w.failed > 0, w.failed > max(1, p.Failures.floorOf(len(w.begun))):
		c.moveFirmware(ro, FirmwareAborted, c.whatFailed(ro, &w))
	case w.unclear != nil && ro.State == FirmwareRunning:
		c.moveFirmware(ro, FirmwarePaused, w.unclear.f.Worker+": "+w.unclear.r.Upgrade.Why)
	}
	for ro.State == FirmwareRunning && w.going == 0 && c.waveComplete(ro, &w) {
		if ro.Wave >= p.lastWave() || len(w.waiting) == 0 {
			c.moveFirmware(ro, FirmwareDone, fmt.Sprintf("%d dragons, %d left as they are", w.before+len(w.begun), len(w.waiting)))
			return
		}
		ro.Wave++
		c.m.TouchFleet()
		w = c.waveOf(ro)
		c.auditFirmware(Changed, ro, fmt.Sprintf("wave %d: up to %d of %d dragons", ro.Wave+1, min(w.members, p.reach(ro.Wave, w.members)), w.members))
	}
}

// waveComplete reports whether nothing more is to be learned from the wave.
func (c *cycle) waveComplete(ro *FirmwareRollout, w *wave) bool {
	if len(w.waiting) == 0 || c.room(ro, w) <= 0 {
		return true
	}
	if ro.Wave >= c.p.Firmware.lastWave() {
		return w.left == len(w.waiting) && w.before+len(w.begun) > 0
	}
	// In the first waves a fault domain gives one dragon, and there may be no more domains.
	return len(w.begun) > 0 && ro.Wave < wavesApart && !slices.ContainsFunc(w.waiting, func(s *subject) bool { return c.apart(ro, w, s) })
}

// room is how many more dragons a wave takes.
func (c *cycle) room(ro *FirmwareRollout, w *wave) int {
	return c.p.Firmware.reach(ro.Wave, w.members) - w.before - len(w.begun)
}

// apart reports whether a dragon's fault domain has none in the wave yet.
func (c *cycle) apart(ro *FirmwareRollout, w *wave, s *subject) bool {
	return ro.Wave >= wavesApart || !slices.ContainsFunc(w.begun, func(x *subject) bool { return x.f.Domain == s.f.Domain })
}

func (c *cycle) whatFailed(ro *FirmwareRollout, w *wave) string {
	var names []string
	for _, s := range w.begun {
		if u := s.r.Upgrade; u.Phase == UpgradeFailed {
			names = append(names, s.f.Worker+": "+u.Why)
		}
	}
	return fmt.Sprintf("wave %d: %s", ro.Wave+1, strings.Join(names[:min(3, len(names))], "; "))
}

// chooseUpgrades decides who is sent firmware next: at most one in a cycle, after the
// ladder's own. A canary's extra reboot comes first.
func (c *cycle) chooseUpgrades() {
	for _, ro := range c.m.Fleet.Firmware {
		if ro.State != FirmwareRunning {
			continue
		}
		w := c.waveOf(ro)
		for _, s := range w.begun {
			if c.rebootDue(s, ro) {
				c.decideUpgrade(s, ro, Reboot)
			}
		}
		shown := 0
		for _, s := range w.waiting {
			if shown >= c.room(ro, &w) {
				break
			}
			if c.apart(ro, &w, s) {
				c.decideUpgrade(s, ro, Upgrade)
				shown++
			}
		}
	}
}

func (c *cycle) decideUpgrade(s *subject, ro *FirmwareRollout, kind Kind) {
	d := c.describe(s)
	d.Kind, d.Reason, d.Rung, d.Rungs, d.Slot, d.ActionID = kind, "", 0, 0, -1, ""
	x := &FirmwareStep{Rollout: ro.ID, Wave: ro.Wave, Release: ro.Release, Before: c.condition(s), Reboot: kind == Reboot}
	d.Upgrade = x
	d.Note = fmt.Sprintf("rollout %s, wave %d: %s to %s", ro.ID, ro.Wave+1, s.f.Firmware, ro.Release.Version)
	if x.Reboot {
		d.Note = fmt.Sprintf("rollout %s: one more boot for its canary", ro.ID)
	}
	q := &gateRequest{c: c, s: s, kind: kind, upgrade: x}
	d.Gates = q.ask()
	for _, g := range d.Gates {
		switch {
		case g.Open:
		case d.Blocked == "":
			d.Blocked, d.In = g.Name, g.Wait
		case g.Wait.For > d.In.For || !g.Wait.Known:
			d.In = Until{max(d.In.For, g.Wait.For), d.In.Known && g.Wait.Known}
		}
	}
	switch {
	case d.Blocked != "":
		d.Verb = Blocked
	default:
		d.In, d.Verb, c.granted = Until{Known: true}, Act, s
	}
	c.out.Upgrades = append(c.out.Upgrades, *d)
}

// unfit says why a dragon is not sent firmware now; empty: it may be.
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

// fitness keeps firmware from dragons that are not well.
func (q *gateRequest) fitness() answer {
	return openUnless(q.c.unfit(q.s, &q.upgrade.Release))
}

// uploads bounds how many dragons are sent an image at one time.
func (q *gateRequest) uploads() answer {
	n := 0
	for _, s := range slices.Concat(q.c.all, q.c.frozen) {
		if u := s.r.Upgrade; u != nil && u.Phase == UpgradeUploading {
			n++
		}
	}
	return answer{open: n < q.c.p.Firmware.Uploads, detail: fmt.Sprintf("%d/%d", n, q.c.p.Firmware.Uploads)}
}

// firmwareWindow is closed outside the times for firmware.
func (q *gateRequest) firmwareWindow() answer {
	w := q.c.p.Firmware.Windows
	if q.upgrade == nil || len(w) == 0 || slices.ContainsFunc(w, func(x Window) bool { return x.Open(q.c.m.run.time.last.Wall) }) {
		return yes("")
	}
	return no(0, "outside the windows for firmware")
}

// intendUpgrade is the last word before firmware is sent: only for a rollout that runs,
// and only upwards, whatever has decided so.
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
	case ro == nil || ro.State != FirmwareRunning:
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

// FirmwareShown is a rollout as people see it.
type FirmwareShown struct {
	FirmwareRollout
	Waves   int            `json:"waves"`
	Members int            `json:"members"`
	Phases  map[string]int `json:"phases"` // dragons in each; waiting: not begun
	Failed  int            `json:"failed"`
	Dragons []UpgradeShown `json:"dragons"`           // that have begun
	Waiting []string       `json:"waiting,omitempty"` // workers that have not
}

// UpgradeShown is a dragon in a rollout.
type UpgradeShown struct {
	MAC    string `json:"mac"`
	Worker string `json:"worker"`
	Upgrading
}

// PhaseWaiting is the phase of dragons that a rollout is for, and whose turn has not come.
const PhaseWaiting = "waiting"

func (c *cycle) showFirmware() {
	shown := make(map[string]*FirmwareShown, len(c.m.Fleet.Firmware))
	var open []*FirmwareShown
	all := make([]FirmwareShown, len(c.m.Fleet.Firmware))
	for i, ro := range c.m.Fleet.Firmware {
		x := &all[i]
		*x = FirmwareShown{FirmwareRollout: *ro, Waves: c.p.Firmware.lastWave() + 1, Phases: make(map[string]int)}
		shown[ro.ID] = x
		if ro.open() {
			open = append(open, x)
		}
	}
	if len(all) == 0 {
		return
	}
	for _, mac := range sortedKeys(c.m.Dragons) {
		r := c.m.Dragons[mac]
		u := r.Upgrade
		if u != nil && shown[u.Rollout] != nil {
			x := shown[u.Rollout]
			x.Members++
			x.Phases[string(u.Phase)]++
			if u.Phase == UpgradeFailed {
				x.Failed++
			}
			x.Dragons = append(x.Dragons, UpgradeShown{mac, r.Who.Worker, *u})
		}
		for _, x := range open {
			if c.m.waits(u, &x.FirmwareRollout) && x.Release.Fits(&r.Who) == nil {
				x.Members++
				x.Phases[PhaseWaiting]++
				x.Waiting = append(x.Waiting, r.Who.Worker)
			}
		}
	}
	c.out.Firmware = all
}

// Sends returns what the decision sends; nil: it sends no firmware.
func (d *Decision) Sends() *FirmwareRelease {
	if d.Upgrade == nil || d.Upgrade.Reboot {
		return nil
	}
	r := d.Upgrade.Release
	return &r
}

// Actor returns who wants the decision carried out; empty: the ladder.
func (d *Decision) Actor() string {
	switch {
	case d.Upgrade != nil:
		return firmwareActor(d.Upgrade.Rollout)
	case d.Change != nil:
		return rolloutActor(d.Change.Rollout)
	}
	return ""
}

// auditUpgrades says who is sent firmware.
func (c *cycle) auditUpgrades() {
	for i := range c.out.Upgrades {
		d := &c.out.Upgrades[i]
		if d.Verb != Act {
			continue
		}
		key, what := d.MAC+" firmware", d.what()+d.Actor()
		if last, said := c.m.run.lastAudited[key]; said && last.what == what && c.now.Since(last.at) < auditAgain {
			continue
		}
		c.m.run.lastAudited[key] = saying{what, c.now}
		a := c.decided(c.byMAC[d.MAC], d, d.Verb)
		a.Actor = d.Actor()
		c.out.Audit = append(c.out.Audit, a)
	}
}

// Rollout returns one rollout of firmware as it stands.
func (p *Plan) Rollout(id string) *FirmwareShown {
	i := slices.IndexFunc(p.Firmware, func(x FirmwareShown) bool { return x.ID == id })
	if i < 0 {
		return nil
	}
	return &p.Firmware[i]
}

// WantsFirmware reports whether a release is one that Auto may begin: some dragon has an
// older one, and it was not tried before in vain.
func (p *Plan) WantsFirmware(r FirmwareRelease) bool {
	for i := range p.Firmware {
		x := &p.Firmware[i]
		same := strings.EqualFold(x.Release.Model, r.Model) && strings.EqualFold(x.Release.HWVer, r.HWVer)
		if same && (x.open() || x.Release.Version == r.Version && x.State == FirmwareAborted) {
			return false
		}
	}
	failed := make(map[string]bool)
	for i := range p.Firmware {
		for _, u := range p.Firmware[i].Dragons {
			if p.Firmware[i].Release.Version == r.Version && u.Phase == UpgradeFailed {
				failed[u.MAC] = true
			}
		}
	}
	return slices.ContainsFunc(p.Dragons, func(d Decision) bool {
		return !d.Conflict && !failed[d.MAC] && r.Fits(&d.Who) == nil
	})
}

// CurrentFirmware are the rollouts that somebody may want to know of: under way, over for
// less than a week, or aborted and not looked into.
func (p *Plan) CurrentFirmware() []*FirmwareShown {
	var current []*FirmwareShown
	for i := range p.Firmware {
		x := &p.Firmware[i]
		latched := slices.ContainsFunc(p.Breakers, func(b Breaker) bool { return b.Name == "rollout" && b.Scope == x.ID })
		if x.open() || latched || x.State == FirmwareDone && p.At.Since(x.Since) < week {
			current = append(current, x)
		}
	}
	return current
}
