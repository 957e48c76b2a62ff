package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// policy is the healer's policy as the flags have it.
func (c *Config) policy() healer.Policy {
	p := healer.DefaultPolicy()
	p.Default.Detect.MinPerBoard = c.Health.HashrateMin
	p.Default.Detect.Min.For = c.Health.HashrateDuration
	if c.Health.CheckInterval > 0 {
		// Evidence is so many samples: fewer of them would be days of it.
		p.Poll = min(c.Health.CheckInterval, longestPoll)
	}
	if c.Health.Reboot {
		p.Default.Mode = healer.Enforce
	}
	return p
}

const (
	longest     = 400 * 24 * time.Hour // a longer span is a slip of the keyboard
	longestPoll = time.Minute
)

// A rule says what is wrong with one key of a policy.
type rule func(key, format string, args ...any)

// within is for numbers that have a least and a greatest sensible value.
func within[T int | float64 | time.Duration | healer.Ratio](say rule, key string, v, least, most T) {
	if v >= least && v <= most {
		return
	}
	show := func(v T) string {
		switch v := any(v).(type) {
		case time.Duration:
			return Span(v)
		case healer.Ratio:
			return fmt.Sprintf("%g%%", float64(v)*100)
		}
		return fmt.Sprint(v)
	}
	say(key, "%s will not do: want %s to %s", show(v), show(least), show(most))
}

// checkPolicy says what no fleet can be healed by. Whether a policy is wise is the
// healer's own guard's to judge, which sees the dragons.
func checkPolicy(p *healer.Policy, say rule) {
	within(say, "poll", p.Poll, time.Second, longestPoll)
	within(say, "start_observe", p.StartObserve, 0, longest)
	within(say, "start_samples", p.StartSamples, 1, 1000)
	within(say, "new_device_observe", p.NewObserve, 0, longest)
	within(say, "new_device_samples", p.NewSamples, 1, 1000)
	within(say, "forget_after", p.ForgetAfter, time.Hour, longest)
	within(say, "slow_read", p.SlowRead, 0, longest)
	within(say, "jump_pause", p.JumpPause, 0, longest)

	f := &p.Fleet
	within(say, "fleet.in_flight_min", f.InFlightMin, 1, 1000)
	within(say, "fleet.in_flight_max", f.InFlightMax, 1, 1000)
	if f.InFlightMin > f.InFlightMax {
		say("fleet.in_flight_min", "%d is more than in_flight_max, %d", f.InFlightMin, f.InFlightMax)
	}
	within(say, "fleet.spacing", f.Spacing, 0, longest)
	within(say, "fleet.per_hour_min", f.PerHourMin, 1, 1e4)
	within(say, "fleet.per_day_min", f.PerDayMin, 1, 1e4)
	within(say, "fleet.per_domain", f.PerDomain, 1, 1000)
	within(say, "fleet.big_domain", f.BigDomain, 1, 1e6)

	b := &p.Breakers
	for key, v := range map[string]healer.Ratio{"storm": b.Storm, "storm_fresh": b.StormFresh, "unreachable": b.Unreachable, "scope": b.Scope} {
		// At nothing a breaker is always open, at everything never.
		within(say, "breakers."+key, v, 0.01, 0.99)
	}
	for key, v := range map[string]time.Duration{
		"storm_fresh_for": b.StormFreshFor, "cooldown": b.Cooldown, "reopen": b.Reopen, "slow_mode_after": b.SlowAfter,
		"slow_mode_every": b.SlowEvery, "foreign_hold": b.ForeignHold, "safe_mode_for": b.SafeFor, "recovered_state_observe": b.RecoveredObserve,
	} {
		within(say, "breakers."+key, v, time.Minute, longest)
	}
	for key, v := range map[string]int{
		"floor": b.Floor, "scope_floor": b.ScopeFloor, "efficacy_of": b.EfficacyOf, "harm_max": b.HarmMax,
		"foreign_devices": b.ForeignDevices, "foreign_on_one": b.ForeignOnOne, "safe_mode_starts": b.SafeStarts, "config_guard_floor": b.GuardFloor,
	} {
		within(say, "breakers."+key, v, 1, 1e4)
	}
	within(say, "breakers.efficacy_min", b.EfficacyMin, 1, 1e4)
	if b.EfficacyMin > b.EfficacyOf {
		say("breakers.efficacy_min", "%d is more than efficacy_of, %d", b.EfficacyMin, b.EfficacyOf)
	}

	c := &p.Causes
	for key, v := range map[string]healer.Ratio{
		"pool": c.Pool, "domain": c.Domain, "isolation": c.Isolation, "boot": c.BootFleet, "schema": c.Schema, "site_hot": c.SiteHot,
	} {
		within(say, "causes."+key, v, 0.01, 1)
	}
	for key, v := range map[string]time.Duration{
		"pool_idle": c.PoolIdle, "pool_hold": c.PoolHold, "pool_stuck": c.PoolStuck, "domain_hold": c.DomainHold,
		"boot_span": c.BootSpan, "boot_hold": c.BootHold,
	} {
		within(say, "causes."+key, v, time.Second, longest)
	}
	for key, v := range map[string]int{
		"pool_floor": c.PoolFloor, "neighbours": c.Neighbours, "domain_floor": c.DomainFloor, "boot_floor": c.BootFloor, "schema_floor": c.SchemaFloor,
	} {
		within(say, "causes."+key, v, 1, 1e4)
	}

	if c.Gateway != "" {
		if a, err := netip.ParseAddrPort(c.Gateway); err != nil || a.Port() == 0 { // no name: whom it is sent to is for the operator alone to say
			say("causes.gateway", "%s is no IP address with a port; want one like 192.0.2.1:80", shown(c.Gateway))
		}
	}
	x := &p.Rollout
	for key, v := range map[string]time.Duration{"start_observe": x.Start, "boot": x.Boot} {
		within(say, "rollout."+key, v, 0, longest)
	}
	for key, v := range map[string]time.Duration{"canary_wait": x.CanaryWait, "every": x.Every} {
		within(say, "rollout."+key, v, time.Minute, longest)
	}
	for key, v := range map[string]int{"samples": x.Samples, "wave_min": x.WaveMin, "conflict_after": x.ConflictAfter} {
		within(say, "rollout."+key, v, 1, 1000)
	}
	within(say, "rollout.wave", x.Wave, 0, 1)
	within(say, "rollout.failures", x.Failures, 0, 1)

	checkFirmware(&p.Firmware, say)
	checkGate(&p.External, say)
	for i := range p.Windows {
		if err := p.Windows[i].Validate(); err != nil { // which also makes it usable
			say(fmt.Sprintf("windows[%d]", i), "%s", strings.TrimPrefix(err.Error(), "window: "))
		}
	}
}

// checkFirmware is checkPolicy for rollouts of firmware.
func checkFirmware(f *healer.FirmwarePolicy, say rule) {
	for key, n := range map[string]int{"canaries": f.Canaries, "second_wave": f.Second, "uploads": f.Uploads, "lost": f.Lost} {
		within(say, "firmware."+key, n, 1, 100)
	}
	for i, w := range f.Waves {
		within(say, fmt.Sprintf("firmware.waves[%d]", i), w, 0.001, 1)
		if i > 0 && w <= f.Waves[i-1] {
			say(fmt.Sprintf("firmware.waves[%d]", i), "%g%% is not more than the wave before it, %g%%", float64(w)*100, float64(f.Waves[i-1])*100)
		}
	}
	if n := len(f.Waves); n == 0 || f.Waves[n-1] != 1 {
		say("firmware.waves", "the last one is not 100%%")
	}
	within(say, "firmware.memory", f.Memory, 1, 100)
	within(say, "firmware.hashrate", f.Ratio, 0.5, 1)
	within(say, "firmware.warmer", f.Warmer, 0.5, 50)
	within(say, "firmware.errors", f.Errors, 1, 1000)
	for key, v := range map[string]time.Duration{
		"uploading": f.Uploading, "rebooting": f.Rebooting, "version": f.Telling, "hashing": f.Hashing, "verify": f.Verify, "verify_for": f.VerifyFor,
		"canary_soak": f.CanarySoak, "second_soak": f.SecondSoak, "soak": f.Soak, "extra_reboot_after": f.RebootAt,
	} {
		within(say, "firmware."+key, v, time.Minute, longest)
	}
	if f.VerifyFor > f.Verify {
		say("firmware.verify_for", "%s is more than verify, %s", Span(f.VerifyFor), Span(f.Verify))
	}
	for i := range f.Windows {
		if err := f.Windows[i].Validate(); err != nil {
			say(fmt.Sprintf("firmware.windows[%d]", i), "%s", strings.TrimPrefix(err.Error(), "window: "))
		}
	}
}

// checkGate says what cannot be asked.
func checkGate(e *healer.External, say rule) {
	if _, err := Choice("block", "allow")(e.OnError); err != nil {
		say("gate.on_error", "%s", err)
	}
	if (e.Prometheus == "") != (e.Query == "") {
		say("gate", "it needs both, prometheus and query")
	}
	if e.Prometheus == "" {
		return
	}
	u, err := url.Parse(e.Prometheus)
	switch {
	case err == nil && u.User != nil: // not shown: it may be a password
		say("gate.prometheus", "has a user in it, and would be shown with it; have Prometheus let this host in without")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		say("gate.prometheus", "is no base URL; want one like http://127.0.0.1:9090")
	}
}

// checkDragon is checkPolicy for what may differ from dragon to dragon.
func checkDragon(p *healer.DragonPolicy, say rule) {
	g := &p.Grace
	for key, v := range map[string]time.Duration{
		"system_boot": g.SystemBoot, "dead_hot": g.DeadHot, "dead_board": g.DeadBoard, "bogus_temp": g.BogusTemp,
		"missing_board": g.MissingBoard, "no_work": g.NoWork, "rate": g.Rate, "tuning_max": g.TuningMax, "after_config": g.AfterConfig,
	} {
		within(say, "grace."+key, v, 0, longest)
	}

	d := &p.Detect
	if d.LowRatio > d.WarnRatio {
		say("detect.low_ratio", "%g%% is more than warn_ratio, %g%%", float64(d.LowRatio)*100, float64(d.WarnRatio)*100)
	}
	for key, e := range map[string]healer.Evidence{
		"low": d.Low, "dead_board": d.DeadBoard, "dead_hot": d.DeadHot, "missing_board": d.Missing, "flatline": d.Flatline,
		"bogus_temp": d.BogusTemp, "no_work": d.NoWork, "tuning_stuck": d.TuningStuck, "min_hashrate": d.Min,
	} {
		within(say, "detect."+key+".for", e.For, 0, longest)
		within(say, "detect."+key+".of", e.Of, 3, 64)
		within(say, "detect."+key+".bad", e.Bad, 3, 64)
		if e.Bad > e.Of {
			say("detect."+key+".bad", "%d is more than of, %d", e.Bad, e.Of)
		}
	}

	h := &p.Heat
	for key, v := range map[string]float64{
		"warn": h.Warn, "crit": h.Crit, "dead_hot": h.DeadHot, "cool_below": h.CoolBelow, "downshift": h.Downshift, "restore_below": h.RestoreBelow,
	} {
		within(say, "heat."+key, v, 20, 125)
	}
	within(say, "heat.frozen_swing", h.FrozenSwing, 1, 100)
	if h.Warn > h.Crit {
		say("heat.warn", "%g is more than crit, %g", h.Warn, h.Crit)
	}
	if h.RestoreBelow >= h.Downshift {
		say("heat.restore_below", "%g is not below downshift, %g", h.RestoreBelow, h.Downshift)
	}
	if h.CoolBelow >= h.DeadHot {
		say("heat.cool_below", "%g is not below dead_hot, %g", h.CoolBelow, h.DeadHot)
	}
	for key, v := range map[string]time.Duration{"cool_for": h.CoolFor, "warn_for": h.WarnFor, "crit_for": h.CritFor, "frozen_for": h.FrozenFor, "downshift_for": h.DownshiftFor, "restore_after": h.RestoreAfter} {
		within(say, "heat."+key, v, 0, longest)
	}

	l := &p.Ladder
	within(say, "ladder.steps", len(l.Steps), 1, 10)
	if len(l.Hold) != len(l.Steps) {
		say("ladder.hold", "%d spans for %d steps: want one after each", len(l.Hold), len(l.Steps))
	}
	for i, v := range l.Hold {
		within(say, fmt.Sprintf("ladder.hold[%d]", i), v, time.Minute, longest)
	}
	if i := slices.Index(l.Steps, healer.Restart); i > 0 && slices.Contains(l.Steps[:i], healer.Reboot) {
		say(fmt.Sprintf("ladder.steps[%d]", i), "a restart does nothing that the reboot before it did not do")
	}
	for key, v := range map[string]time.Duration{
		"judge": l.Judge, "judge_board": l.JudgeBoards, "probation": l.Probation, "forget_after": l.ForgetAfter,
		"lost_after": l.LostAfter, "release_after": l.ReleaseAt, "boot": l.Boot, "tune": l.Tune,
	} {
		within(say, "ladder."+key, v, time.Minute, longest)
	}

	v := &p.Device
	for key, n := range map[string]int{
		"restarts_24h": v.Restarts24h, "reboots_24h": v.Reboots24h, "reboots_7d": v.Reboots7d, "config_writes_24h": v.ConfigWrites24h,
	} {
		within(say, "device."+key, n, 0, 100)
	}
	for key, n := range map[string]int{"flapping_1h": v.Flapping1h, "flapping_24h": v.Flapping24h} {
		within(say, "device."+key, n, 1, 1000)
	}
	for key, n := range map[string]time.Duration{
		"min_gap": v.MinGap, "no_work_gap": v.NoWorkGap, "dead_hot_gap": v.DeadHotGap, "bogus_temp_gap": v.BogusTempGap,
		"tuning_stuck_gap": v.TuningStuckGap, "flapping_stable": v.FlappingStable,
	} {
		within(say, "device."+key, n, 0, longest)
	}
	within(say, "boards", p.Boards, 0, 64)
}

// Span writes a time span the way that the file and people write it.
func Span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
