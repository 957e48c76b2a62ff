package healer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// shownRollout is a rollout in the plan.
func (f *farm) shownRollout(key string) *RolloutShown {
	id := f.rollout(key).ID
	i := slices.IndexFunc(f.plan.Rollouts, func(x RolloutShown) bool { return x.ID == id })
	if i < 0 {
		f.t.Fatalf("%s is not in the plan", id)
	}
	return &f.plan.Rollouts[i]
}

// Two dragons do not wait for the two hours of 58 others, if they have a priority.
func TestAPriorityGoesFirst(t *testing.T) {
	for _, priority := range []int{0, 5} {
		f := configuredFarm(t, 60)
		last := []int{58, 59} // by MAC
		f.desire("many", poolA, "efficient")
		f.desire("two", poolA, "performance", last...)
		for _, i := range last {
			f.units[i].desired.Priority = priority
		}
		f.run(45 * time.Minute)
		two, many := f.shownRollout("two"), f.shownRollout("many")
		if done := two.Phases[string(PhaseInSync)] == 2; done != (priority > 0) || two.Priority != priority {
			t.Errorf("priority %d: %v", priority, two)
		}
		if n := many.Phases[string(PhaseInSync)]; n == 0 || n > 30 {
			t.Errorf("priority %d: %d of the others are in sync", priority, n)
		}
	}
}

func TestTheTimeThatARolloutTakesIsEstimated(t *testing.T) {
	f := configuredFarm(t, 60)
	f.desire("b", poolB, "balanced")
	f.cure = func(u *unit, _ Kind) { u.pools[0].Status = "Dead"; f.sends = false }
	f.run(4 * time.Minute)
	x := f.shownRollout("b") // its canary is written to; three dragons follow every ten minutes
	if want := Span(f.policy.Rollout.CanaryWait + 59*f.policy.Rollout.Every/3); x.State != RolloutCanary || x.Left != want {
		t.Errorf("%s, about %s left, want %s", x.State, time.Duration(x.Left), time.Duration(want))
	} else if takes := f.policy.ConfigTime(60, 60); Span(takes) != want || f.policy.ConfigTime(60, 1) != f.policy.Rollout.CanaryWait {
		t.Errorf("all of it takes %s, want %s", takes, time.Duration(want))
	}
	if w := x.Waits; w == nil || w.Gate != GateRollout || w.Human != "" || w.EndedBy() != "the end of the canary's trial" || w.Dragons != 59 {
		t.Errorf("it waits for %+v", w)
	}
	f.cure, f.sends = nil, true
	f.unit(f.rollout("b").Canary).pools[0].Status = "Alive"
	f.run(20 * time.Minute)
	if x = f.shownRollout("b"); x.State != RolloutWaves || x.Left == 0 || x.Waits == nil || !x.Waits.Ends.Known || x.Waits.Gate != GateWave {
		t.Errorf("%s, about %s left, waits for %+v", x.State, time.Duration(x.Left), x.Waits)
	}
	// It is unknown when a person ends a pause.
	p, err := f.mem.Pause(f.now, PauseRequest{Kind: Paused, Scope: "fleet", Owner: "user:ann", Reason: "a visit", UntilResume: true})
	if err != nil {
		t.Fatal(err)
	}
	f.run(2 * time.Minute)
	if x = f.shownRollout("b"); x.Left != 0 || x.Waits == nil || x.Waits.Gate != GatePause || x.Waits.Human != "mother-of-dragons healer resume "+p.ID {
		t.Errorf("about %s left, waits for %+v", time.Duration(x.Left), x.Waits)
	}
	if err := f.mem.Resume(p.ID); err != nil {
		t.Fatal(err)
	}
	f.run(3 * time.Hour)
	if x = f.shownRollout("b"); x.State != RolloutDone || x.Left != 0 || x.Waits != nil {
		t.Errorf("%s, about %s left, waits for %+v", x.State, time.Duration(x.Left), x.Waits)
	}
}

// What holds the next dragon for a known time comes on top of the rest. That it is not its turn is
// in the pace already, and what a person or an event ends is not known.
func TestWhatHoldsTheNextDragonIsInTheEstimate(t *testing.T) {
	now, p := Moment(30*day), DefaultPolicy()
	hour := Until{For: Span(time.Hour), Known: true}
	const waiting, unknown = 6, time.Duration(-1)
	for name, x := range map[string]struct {
		waits *Waiting
		held  time.Duration
	}{
		"nothing":        {nil, 0},
		"a window":       {&Waiting{Gate: GateWindow, Ends: hour}, time.Hour},
		"its turn":       {&Waiting{Gate: GateWave, Ends: hour}, 0},
		"the mode":       {&Waiting{Gate: GateObserve}, unknown},
		"a person":       {&Waiting{Gate: GatePause}, unknown},
		"turns, unknown": {&Waiting{Gate: GateRollout}, 0},
	} {
		for written, rest := range map[int]time.Duration{0: waiting * p.configPace(20), 1: waiting * p.configPace(20), 3: waiting * 20 * time.Minute} {
			ro := &ConfigRollout{RolloutHead: RolloutHead{ID: "r1", State: RolloutWaves}}
			c := &cycle{p: &p, m: NewMemory(), now: now, n: 20}
			for i := range written {
				a := Action{Kind: Configure, At: now.Add(time.Duration(i-3) * 20 * time.Minute), Change: &ConfigChange{ConfigStep: ConfigStep{Rollout: ro.ID}}}
				c.all = append(c.all, &subject{f: &Facts{}, r: &Record{Actions: []Action{a}}, rollout: ro, phase: PhaseInSync})
			}
			want := x.held + rest
			if x.held == unknown {
				want = 0
			}
			if got := time.Duration(c.left(ro, waiting, 0, x.waits)); got != want {
				t.Errorf("%s, %d written: about %s left, want %s", name, written, got, want)
			}
		}
	}
}

func TestAnAbortedRolloutWaitsForAPerson(t *testing.T) {
	f := configuredFarm(t, 20)
	f.desire("typo", poolTypo, "balanced")
	f.cure = func(u *unit, _ Kind) { u.pools[0].Status = "Dead" }
	f.run(time.Hour)
	x := f.shownRollout("typo")
	if w := x.Waits; x.State != RolloutAborted || x.Left != 0 || w == nil || !strings.HasSuffix(w.Human, "healer ack rollout "+x.ID) {
		t.Errorf("%s, about %s left, waits for %+v", x.State, time.Duration(x.Left), x.Waits)
	}
}

func TestARolloutOfFirmwareSaysWhatItWaitsForAndHowLongItTakesAtLeast(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.sends = false
	rollOut(f)
	p := &f.policy.Firmware
	rest := func(soaks ...time.Duration) Span { // of the waves: 1, 3, of 5 % no more, 4, 10 and 20 dragons
		all := time.Duration(len(soaks)) * p.VerifyFor
		for _, soak := range soaks {
			all += soak
		}
		return Span(all)
	}
	check := func(left Span, gate Gate, ends string) {
		t.Helper()
		f.tick()
		x := f.plan.Firmware[0]
		if x.Left != left || (x.Waits == nil) != (gate == "") || x.Waits != nil && (x.Waits.Gate != gate || x.Waits.EndedBy() != ends) {
			t.Errorf("at least %s left, waits for %+v; want %s, %s, %s", time.Duration(x.Left), x.Waits, time.Duration(left), gate, ends)
		}
	}
	check(rest(p.CanarySoak, p.SecondSoak, p.Soak, p.Soak, p.Soak), "", "")
	canary := &f.plan.Upgrades[0]
	if _, err := f.mem.Intend(f.now, canary, canary.Actor(), nil); err != nil { // it is sent its image
		t.Fatal(err)
	}
	check(rest(p.CanarySoak, p.SecondSoak, p.Soak, p.Soak, p.Soak), GateWave, "the end of their checks")
	f.policy.External = External{Query: "up", OnError: "allow"}
	f.host.External = ExternalAnswer{Asked: true, Err: "timeout"}
	for _, r := range f.mem.Dragons {
		r.Upgrade, r.Actions = nil, nil
	}
	check(0, GateExternal, "look at the query of the external gate")
	f.policy.External = External{}
	if err := f.mem.PauseFirmware(f.now, "f1", "a holiday"); err != nil {
		t.Fatal(err)
	}
	check(0, GateRollout, "mother-of-dragons firmware rollout resume f1 --reason WHY")
	if err := f.mem.AbortFirmware(f.now, "f1", "enough"); err != nil {
		t.Fatal(err)
	}
	check(0, "", "")
}

// What is checked already is counted.
func TestTheRestOfAWave(t *testing.T) {
	p := defaultFirmwarePolicy()
	soaking := func(phase UpgradePhase, since time.Duration) *subject {
		return &subject{r: &Record{Upgrade: &Upgrading{Phase: phase, Since: Moment(since)}}}
	}
	for name, x := range map[string]struct {
		wave, members int
		begun         []*subject
		want          time.Duration
	}{
		"soaking":      {5, 2, []*subject{soaking(UpgradeSoaking, 90*time.Minute), soaking(UpgradeDone, 0)}, 90 * time.Minute},
		"verifying":    {5, 2, []*subject{soaking(UpgradeVerifying, 90*time.Minute), soaking(UpgradeFailed, 0)}, 3*time.Hour + 30*time.Minute},
		"too long":     {5, 1, []*subject{soaking(UpgradeSoaking, -9*time.Hour)}, 0},
		"a wave more":  {0, 3, []*subject{soaking(UpgradeSoaking, time.Hour)}, 23*time.Hour + 8*time.Hour},
		"nothing left": {5, 0, nil, 0},
	} {
		w := &wave{ro: &FirmwareRollout{Wave: x.wave}, p: &p, members: x.members, begun: x.begun}
		if got := w.rest(Moment(2 * time.Hour)); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

// Faster is the pace of the ceilings, 10 % in ten minutes, and never before the canary works.
func TestAFastRollout(t *testing.T) {
	synced := make(map[bool]int)
	for _, fast := range []bool{false, true} {
		f := configuredFarm(t, 60)
		f.desire("b", poolB, "balanced")
		f.cure = func(u *unit, _ Kind) { u.pools[0].Status = "Dead"; f.sends = false }
		f.tick()
		if fast {
			if err := f.mem.SetPace(f.rollout("b").ID, true); err != nil {
				t.Fatal(err)
			}
		}
		f.run(5 * time.Minute)
		if x := f.shownRollout("b"); x.State != RolloutCanary || len(f.sent) != 1 || x.Fast != fast {
			t.Errorf("fast %v: %v after %d writes", fast, x, len(f.sent))
		}
		f.cure, f.sends = nil, true
		f.unit(f.rollout("b").Canary).pools[0].Status = "Alive"
		f.run(40 * time.Minute)
		ring := f.mem.Fleet.Ring
		for i := range ring {
			if i >= 6 && ring[i].At.Since(ring[i-6].At) < 10*time.Minute {
				t.Errorf("fast %v: seven writes in %s", fast, ring[i].At.Since(ring[i-6].At))
			}
		}
		synced[fast] = f.shownRollout("b").Phases[string(PhaseInSync)]
		if err := f.mem.SetPace(f.rollout("b").ID, fast); err == nil {
			t.Errorf("fast %v: it is set twice", fast)
		}
	}
	if synced[false] > 14 || synced[true] < 20 {
		t.Errorf("in sync are %v, by the pace", synced)
	}
	if err := NewMemory().SetPace("r9", true); !errors.Is(err, ErrNoRollout) {
		t.Errorf("an unknown rollout: %v", err)
	}
}

// In a large fleet the gap between two writes is what a rollout waits for.
func TestTheGapAfterAFastWrite(t *testing.T) {
	f := configuredFarm(t, 60)
	f.desire("b", poolB, "balanced")
	f.run(10 * time.Minute)
	ro, ring := f.rollout("b"), f.mem.Fleet.Ring
	now := ring[len(ring)-1].At
	normal := f.mem.UntilNext(&f.policy, 1000, now)
	if err := f.mem.SetPace(ro.ID, true); err != nil {
		t.Fatal(err)
	}
	if fast := f.mem.UntilNext(&f.policy, 1000, now); normal < 24*time.Second || fast != 6*time.Second {
		t.Errorf("%s after a write, %s after a fast one", normal, fast)
	}
}
