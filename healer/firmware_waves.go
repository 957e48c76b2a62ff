package healer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

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

// waves is the number of waves.
func (p *FirmwarePolicy) waves() int { return 2 + len(p.Waves) }

// wave is how many of the members have begun once a wave is full, earlier waves included, and
// how long its dragons must stay healthy before the next wave begins.
func (p *FirmwarePolicy) wave(i, members int) (reach int, soak time.Duration) {
	switch {
	case i == 0:
		return p.Canaries, p.CanarySoak
	case i == 1:
		return p.Canaries + p.Second, p.SecondSoak
	case i < p.waves():
		return p.Waves[i-2].ceilOf(members), p.Soak
	}
	return members, p.Soak
}

// wavesApart is the number of first waves that take at most one dragon of each fault domain.
const wavesApart = 3

// wave is what has become of the dragons of a rollout, by its present wave.
type wave struct {
	ro      *FirmwareRollout
	p       *FirmwarePolicy
	now     Moment
	members int        // dragons that it is for, whatever has become of those that have begun
	before  int        // that began in earlier waves
	begun   []*subject // in this wave
	waiting []*subject // that have not begun
	retired int        // that have not begun, and are no members
	failed  int        // in this wave
	lost    int        // in all waves
	going   int        // in this wave, not over yet
	unclear *subject   // in this wave; nil: none
}

func (c *cycle) waveOf(ro *FirmwareRollout) *wave {
	w := &wave{ro: ro, p: &c.p.Firmware, now: c.now}
	// A dragon whose MAC another has taken has not shown that it works: its wave waits.
	for _, s := range slices.Concat(c.all, c.frozen) {
		u := s.r.Upgrade
		switch {
		case u != nil && u.Rollout == ro.ID:
			w.add(s, u)
		case s.conflict || !c.m.waits(u, ro) || ro.Release.Fits(&s.f.Who) != nil:
		case s.retired:
			w.retired++
		default:
			w.members++
			w.waiting = append(w.waiting, s)
		}
	}
	return w
}

// awayFor is how long a wave waits for dragons that may come back by themselves.
const awayFor = 24 * time.Hour

// gone reports whether the wave does not wait for a dragon: it is away, or not fit, and that does
// not depend on an outage or on people at work that end within a day.
func (w *wave) gone(s *subject) bool {
	switch s.r.State {
	case StateUnreachable, StateMaintenance:
		return w.now.Since(s.r.Since) >= awayFor
	case StateQuarantined, StateLost, StateFlapping:
		return true
	}
	// Its mark may be from an earlier rollout, and it may have been fit since.
	return s.r.Unfit != 0 && w.now.Since(max(s.r.Unfit, w.ro.Begun)) >= awayFor
}

// markUnfit remembers since when the dragons that wait are not fit for the firmware. What many
// suffer from does not count.
func (c *cycle) markUnfit(w *wave) {
	for _, s := range w.waiting {
		unfit := c.unfit(s, &w.ro.Release) != "" && c.unrelatedCause(s) == ""
		switch {
		case unfit && s.r.Unfit == 0:
			s.r.Unfit = c.now
		case !unfit && s.r.Unfit != 0:
			s.r.Unfit = 0
		default:
			continue
		}
		c.m.touch(s.f.MAC)
	}
}

// byRisk are the dragons that have not begun, the healthiest first.
func (c *cycle) byRisk(w *wave) []*subject {
	risk := make(map[*subject]float64, len(w.waiting))
	for _, s := range w.waiting {
		risk[s] = c.riskOf(s, &w.ro.Release)
	}
	slices.SortStableFunc(w.waiting, func(a, b *subject) int {
		return cmp.Or(cmp.Compare(risk[a], risk[b]), cmp.Compare(a.f.MAC, b.f.MAC))
	})
	return w.waiting
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
	case w.before+len(w.begun) == 0: // nothing has shown that the firmware works
		return false
	}
	// In the first waves each fault domain gives one dragon, and there may be no more domains.
	return !slices.ContainsFunc(w.waiting, func(s *subject) bool { return w.apart(s) && !w.gone(s) })
}

// room is how many more dragons the wave takes.
func (w *wave) room() int { return w.reach() - w.before - len(w.begun) }

func (w *wave) reach() int {
	reach, _ := w.p.wave(w.ro.Wave, w.members)
	return min(w.members, reach)
}

func (w *wave) last() bool { return w.ro.Wave >= w.p.waves()-1 }

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
	c.markUnfit(w)
	switch {
	case w.lost >= p.Lost && p.Lost > 0:
		c.move(ro, RolloutAborted, fmt.Sprintf("%d dragons did not come back", w.lost))
	case tooManyFailed(w.failed, len(w.begun), ro.Wave < 2, p.Failures):
		c.move(ro, RolloutAborted, w.failures())
	case w.unclear != nil && ro.State == RolloutRunning:
		c.move(ro, RolloutPaused, w.unclear.f.Worker+": "+w.unclear.r.Upgrade.Why)
	}
	for ro.State == RolloutRunning && w.complete() {
		if w.last() || len(w.waiting) == 0 {
			c.move(ro, RolloutDone, fmt.Sprintf("%d dragons, %d left as they are", w.before+len(w.begun), len(w.waiting)+w.retired))
			return
		}
		ro.Wave++
		c.m.TouchFleet()
		w = c.waveOf(ro)
		c.auditRollout(Changed, ro, fmt.Sprintf("wave %d: up to %d of %d dragons", ro.Wave+1, w.reach(), w.members))
	}
}
