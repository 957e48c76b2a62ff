package healer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const newer = "t1_20191101_120000"

func aRelease() FirmwareRelease {
	return FirmwareRelease{Version: newer, Model: "T1", HWVer: "g19", SHA256: strings.Repeat("a", 64), Size: 40e6}
}

// rollOut begins a rollout to all dragons of the farm.
func rollOut(f *farm) {
	if _, err := f.mem.StartFirmware(f.now, FirmwareRequest{Release: aRelease(), Owner: "ann", Reason: "a test"}); err != nil {
		f.t.Fatal(err)
	}
}

func TestFirmwareOnlyGoesUpwardsAndToItsOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who    Who
		change func(*FirmwareRelease)
		fits   bool
	}{
		{Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842"}, nil, true},
		{Who{Model: "t1", HWVer: "G19", Firmware: "t1_20180515_060842"}, nil, true},
		{Who{Model: "T1", HWVer: "g9", Firmware: "t1_20180515_060842"}, nil, false},
		{Who{Model: "T2", HWVer: "g19", Firmware: "t2_20180515_060842"}, nil, false},
		{Who{Model: "T1", HWVer: "g19", Firmware: newer}, nil, false},
		{Who{Model: "T1", HWVer: "g19", Firmware: "t1_20200101_000000"}, nil, false},
		{Who{Model: "T1", HWVer: "g19", Firmware: "t1_20200101_000000"}, func(r *FirmwareRelease) { r.AllowDowngrade = true }, true},
		{Who{Model: "T1", HWVer: "g19", Firmware: newer}, func(r *FirmwareRelease) { r.AllowDowngrade = true }, false},
		{Who{Model: "T1", HWVer: "g19", Firmware: "unheard of"}, nil, false},
		{Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842"}, func(r *FirmwareRelease) { r.From = []string{"t1_20180101_000000"} }, false},
		{Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180101_000000"}, func(r *FirmwareRelease) { r.From = []string{"t1_20180101_000000"} }, true},
		{Who{Model: "T1", HWVer: "soc", Firmware: "t1_a_20180101_000000"}, func(r *FirmwareRelease) { r.HWVer = "" }, false},
	} {
		r := aRelease()
		if c.change != nil {
			c.change(&r)
		}
		if err := r.Fits(&c.who); (err == nil) != c.fits {
			t.Errorf("%+v: %v", c.who, err)
		}
	}
}

func TestRolloutsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*FirmwareRequest){
		"no owner":      func(q *FirmwareRequest) { q.Owner = "" },
		"no reason":     func(q *FirmwareRequest) { q.Reason = "" },
		"no digest":     func(q *FirmwareRequest) { q.Release.SHA256 = "" },
		"no size":       func(q *FirmwareRequest) { q.Release.Size = 0 },
		"too large":     func(q *FirmwareRequest) { q.Release.Size = 1 << 30 },
		"another model": func(q *FirmwareRequest) { q.Release.Model = "T2" },
		"no version":    func(q *FirmwareRequest) { q.Release.Version = "latest" },
	} {
		q := FirmwareRequest{Release: aRelease(), Owner: "ann", Reason: "a test"}
		change(&q)
		if ro, err := NewMemory().StartFirmware(Instant{}, q); err == nil {
			t.Errorf("%s: %+v", name, ro)
		}
	}
	f := newFarm(t, 4).settle()
	old := aRelease()
	old.Version = "t1_20170101_000000"
	if _, err := f.mem.StartFirmware(f.now, FirmwareRequest{Release: old, Owner: "ann", Reason: "back"}); !errors.Is(err, ErrRollout) {
		t.Errorf("to an older one: %v", err)
	}
	rollOut(f)
	if _, err := f.mem.StartFirmware(f.now, FirmwareRequest{Release: aRelease(), Owner: "ann", Reason: "again"}); !errors.Is(err, ErrRollout) {
		t.Errorf("a second one at the same time: %v", err)
	}
	for _, do := range []func() error{
		func() error { return f.mem.PauseFirmware(f.now, "f2", "x") },
		func() error { return f.mem.ResumeFirmware(f.now, "f1", "x") },
	} {
		if err := do(); err == nil {
			t.Error("taken")
		}
	}
}

func TestAbortIsIdempotentAndFinal(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 40).settle()
	f.sends = false
	rollOut(f)
	f.mem.Fleet.Firmware[0].Wave = 1
	// Two dragons of the second wave fail at once.
	for i, phase := range []UpgradePhase{UpgradeDone, UpgradeFailed, UpgradeFailed} {
		f.record(i).Upgrade = &Upgrading{Rollout: "f1", Wave: min(i, 1), Phase: phase, Why: "a test"}
	}
	holds := 0
	for range 3 {
		f.tick()
		for _, a := range f.plan.Audit {
			if a.Decision == Hold && strings.Contains(a.Note, "aborted") {
				holds++
			}
		}
	}
	ro := f.mem.Fleet.Firmware[0]
	if holds != 1 || ro.State != RolloutAborted || len(f.plan.Upgrades) != 0 {
		t.Errorf("said %d times, %s, %d more to upgrade", holds, ro.State, len(f.plan.Upgrades))
	}
	if err := f.mem.AbortFirmware(f.now, "f1", "once more"); err != nil || ro.Why == "once more" {
		t.Errorf("once more: %v, %q", err, ro.Why)
	}
	if err := f.mem.ResumeFirmware(f.now, "f1", "x"); err == nil {
		t.Error("it was resumed")
	}
	if n := len(f.plan.CurrentFirmware()); n != 1 {
		t.Errorf("%d rollouts are shown before anybody has looked", n)
	}
	if err := f.mem.Ack(f.now, "rollout", "f1", "ann"); err != nil {
		t.Fatal(err)
	}
	f.tick()
	if n := len(f.plan.CurrentFirmware()); n != 0 || ro.State != RolloutAborted {
		t.Errorf("afterwards %d are shown, and it is %s", n, ro.State)
	}
}

func TestOneFailureOfALaterWaveIsNoReasonToAbort(t *testing.T) {
	t.Parallel()
	for failed, state := range map[int]RolloutState{1: RolloutRunning, 2: RolloutAborted} {
		f := newFarm(t, 40).settle()
		f.sends = false
		rollOut(f)
		f.mem.Fleet.Firmware[0].Wave = 3
		for i := range 8 {
			u := &Upgrading{Rollout: "f1", Wave: 3, Phase: UpgradeDone}
			if i < failed {
				u.Phase = UpgradeFailed
			}
			f.record(i).Upgrade = u
		}
		f.tick()
		if got := f.mem.Fleet.Firmware[0].State; got != state {
			t.Errorf("%d failed: %s, want %s", failed, got, state)
		}
	}
}

func TestTwoLostDragonsAbortWhicheverWaveTheyAreOf(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 200).settle()
	f.sends = false
	rollOut(f)
	f.mem.Fleet.Firmware[0].Wave = 5
	for i := range 180 {
		u := &Upgrading{Rollout: "f1", Wave: 4 + i%2, Phase: UpgradeDone}
		if i < 2 {
			u.Phase, u.Lost = UpgradeFailed, true
		}
		f.record(i).Upgrade = u
	}
	f.tick()
	if ro := f.mem.Fleet.Firmware[0]; ro.State != RolloutAborted {
		t.Errorf("%s: %s", ro.State, ro.Why)
	}
}

func TestWhatNothingCanBeSaidOfPausesARollout(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	rollOut(f)
	f.record(0).Upgrade = &Upgrading{Rollout: "f1", Phase: UpgradeInconclusive, Why: "its domain is down", From: f.units[0].who.Firmware}
	f.record(1).Upgrade = &Upgrading{Rollout: "f1", Phase: UpgradeInconclusive, Why: "the same"}
	f.units[1].who.Firmware = newer
	f.tick()
	ro := f.mem.Fleet.Firmware[0]
	if ro.State != RolloutPaused || !strings.Contains(ro.Why, "domain") || len(f.plan.Upgrades) > 0 {
		t.Errorf("%s: %q, %d to upgrade", ro.State, ro.Why, len(f.plan.Upgrades))
	}
	if err := f.mem.ResumeFirmware(f.now, "f1", "looked into it"); err != nil {
		t.Fatal(err)
	}
	if u := f.record(0).Upgrade; u != nil {
		t.Errorf("the old one may be sent it again: %+v", u)
	}
	if u := f.record(1).Upgrade; u == nil || u.Phase != UpgradeVerifying {
		t.Errorf("the new one is verified: %+v", u)
	}
}

// Nothing but a rollout that runs can have firmware sent, whatever was decided.
func TestTheIntentIsTheLastWordOnFirmware(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	rollOut(f)
	f.tick()
	d := f.plan.Upgrades[0]
	if d.Verb != Act || d.Sends() == nil || d.Actor() != "rollout:f1" {
		t.Fatalf("%s %v %s", d.Verb, d.Sends(), d.Actor())
	}
	for name, spoil := range map[string]func(*Memory, *Decision){
		"a human's":   func(_ *Memory, d *Decision) { d.Upgrade = nil },
		"paused":      func(m *Memory, _ *Decision) { _ = m.PauseFirmware(f.now, "f1", "x") },
		"it is newer": func(m *Memory, _ *Decision) { m.Dragons[d.MAC].Who.Firmware = "t1_20200101_000000" },
		"it has been begun": func(m *Memory, _ *Decision) {
			m.Dragons[d.MAC].Upgrade = &Upgrading{Rollout: "f1", Phase: UpgradeFailed}
		},
		"it is in another": func(m *Memory, _ *Decision) {
			m.Dragons[d.MAC].Upgrade = &Upgrading{Rollout: "f0", Phase: UpgradeHashing}
		},
	} {
		m, x := f.mem.Clone(), d
		spoil(m, &x)
		if a, err := m.Intend(f.now, &x, x.Actor(), nil); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if _, err := f.mem.Intend(f.now, &d, d.Actor(), nil); err != nil || f.record(0).Upgrade.Phase != UpgradeUploading {
		t.Errorf("%v, %+v", err, f.record(0).Upgrade)
	}
	if d := Ask(f.now, f.seen, f.mem, &f.policy, Request{MAC: f.units[5].who.MAC, Kind: Upgrade, Actor: "user:ann", Force: true}); d.Verb == Act {
		t.Error("a human may not ask for it without a rollout")
	}
}

func TestWavesAreOfTheSizesThatThePolicySays(t *testing.T) {
	t.Parallel()
	p := defaultFirmwarePolicy()
	for members, want := range map[int]string{
		1: "1 3 1 1 1 1", 10: "1 3 1 2 5 10", 100: "1 3 5 20 50 100", 1000: "1 3 50 200 500 1000",
	} {
		var got []string
		for i := range p.waves() {
			reach, _ := p.wave(i, members)
			got = append(got, fmt.Sprint(reach))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%d dragons: %s, want %s", members, s, want)
		}
	}
}

func TestATrialIsJudgedByWhatTheDragonDidBefore(t *testing.T) {
	t.Parallel()
	p := defaultFirmwarePolicy()
	before := Condition{Rate: 15 * tera, Boards: 3, Hottest: 75, Peers: 74, Errors: 1e-15}
	for name, c := range map[string]struct {
		rate, hottest, peers, errors float64
		says                         string
	}{
		"as before":             {15 * tera, 75, 74, 1e-15, ""},
		"at the limit":          {14.3 * tera, 79.9, 74, 1.9e-15, ""},
		"slow":                  {14.2 * tera, 75, 74, 1e-15, "94.7% of the 15 TH/s that it did before"},
		"hot":                   {15 * tera, 81, 74, 1e-15, "6.0 °C warmer"},
		"all are hot":           {15 * tera, 85, 84, 1e-15, ""},
		"it alone did not cool": {15 * tera, 75, 64, 1e-15, "10.0 °C warmer"},
		"errors":                {15 * tera, 75, 74, 3e-15, "hardware errors"},
	} {
		t.Run(name, func(t *testing.T) {
			hours := 2 * time.Hour
			x := trial{samples: 120, compared: 120, hottest: 120 * c.hottest, peers: 120 * c.peers}
			x.last = totals{at: Moment(hours), elapsed: hours.Seconds(), hashes: c.rate * hours.Seconds()}
			x.last.errors = c.errors * x.last.hashes
			got := x.judge(&Upgrading{Before: before}, &p)
			if c.says == "" && got != "" || !strings.Contains(got, c.says) {
				t.Errorf("%q, want %q", got, c.says)
			}
		})
	}
}

// A dragon is compared with the others, whatever their number and phases.
func TestPeersAreTheOthersThatAreNotUpgraded(t *testing.T) {
	at := func(temperature float64, phase UpgradePhase) *subject {
		s := &subject{f: &Facts{Boards: []BoardFacts{{Status: "Alive", Temperature: dragon.Known(temperature)}}}, r: &Record{}}
		if phase != "" {
			s.r.Upgrade = &Upgrading{Phase: phase}
		}
		return s
	}
	blind := &subject{f: &Facts{}, r: &Record{}}
	curtailed, shifted, workless, idle := at(20, ""), at(20, ""), at(20, ""), at(20, "")
	curtailed.r.Curtailed, shifted.r.Downshift, workless.noWork, idle.idle = &Downshift{}, &Downshift{}, true, true
	a, b, c, d, e := at(60, ""), at(70, UpgradeDone), at(70, ""), at(80, UpgradeVerifying), at(90, UpgradeFailed)
	for i, x := range []struct {
		all  []*subject
		of   *subject
		want float64
	}{
		{[]*subject{a}, a, 0},
		{[]*subject{blind, d}, d, 0},
		{[]*subject{a, b, c, e}, a, 70},
		{[]*subject{a, b, e}, a, 80},
		{[]*subject{e, b, a}, b, 75},
		{[]*subject{e, b, a}, e, 65},
		{[]*subject{e, c, b, a}, c, 70},
		{[]*subject{e, b, a, d, blind}, d, 70},
		{[]*subject{e, b, a, d, blind}, blind, 70},
		{[]*subject{e, c, b, a, d}, d, 70},
		{[]*subject{a, curtailed, shifted, workless, idle, b}, a, 70},
		{[]*subject{a, b, curtailed}, curtailed, 65},
	} {
		y := &cycle{all: x.all}
		for range 2 {
			if got := y.peersHottest(x.of); got != x.want {
				t.Errorf("%d: %g, want %g", i, got, x.want)
			}
		}
	}
}

func TestThePlanTellsOfRollouts(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	rollOut(f)
	f.record(3).Upgrade = &Upgrading{Rollout: "f1", From: "t1_20180515_060842", Phase: UpgradeFailed, Since: f.plan.At, Why: "it does not hash"}
	f.mem.Fleet.Firmware[0].Wave = 2
	f.units[0].memory = 1e6
	f.tick()
	var plan, why, next bytes.Buffer
	if err := explainPlan(&plan, f.plan, true, 0); err != nil {
		t.Fatal(err)
	}
	explainDragon(&why, f.plan, f.units[3].who.Worker)
	explainDragon(&next, f.plan, f.units[1].who.Worker)
	for text, want := range map[string]string{
		plan.String(): "firmware f1 to " + newer + ": running for 1m; wave 4 of 6, 20 dragons: 19 waiting 1 failed",
		why.String():  "firmware  f1 to " + newer + ", wave 1: failed for 1m: it does not hash",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	// A dragon that is short of memory comes last and holds up no other.
	if d := f.plan.Upgrades[0]; d.MAC != f.units[1].who.MAC || d.Verb != Act || !strings.Contains(next.String(), "firmware  rollout f1, wave 4") {
		t.Errorf("who is next: %s %s\n%s", d.Worker, d.Verb, next.String())
	}
}

// A canary's boot that did not happen is asked for again once a human has said to go on.
func TestABootThatDidNotHappenIsNotForEver(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 3).settle()
	rollOut(f)
	ro, r := f.mem.Fleet.Firmware[0], f.record(0)
	r.Who.Firmware = newer
	r.Actions = append(r.Actions, Action{ID: "x", Kind: Reboot, Outcome: NotExecuted})
	r.Upgrade = &Upgrading{Rollout: ro.ID, Phase: UpgradeInconclusive, Reboot: "x"}
	if err := f.mem.PauseFirmware(f.now, ro.ID, "a test"); err != nil {
		t.Fatal(err)
	}
	if err := f.mem.ResumeFirmware(f.now, ro.ID, "a test"); err != nil {
		t.Fatal(err)
	}
	if u := r.Upgrade; u == nil || u.Phase != UpgradeVerifying || u.Reboot != "" {
		t.Errorf("%+v", u)
	}
}

// A slow flash is silent for longer than a reboot may be, and is not lost before its own deadline.
func TestASlowFlashHasTheTimeThatThePolicyGivesIt(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	f.policy.Firmware.Rebooting = 40 * time.Minute
	rollOut(f)
	f.tick()
	d := f.plan.Upgrades[0]
	a, err := f.mem.Intend(f.now, &d, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.mem.Sent(f.now, d.MAC, a.ID, Accepted, ""); err != nil {
		t.Fatal(err)
	}
	f.unit(d.MAC).reach = Timeout
	f.run(30 * time.Minute)
	u, upload := f.mem.Dragons[d.MAC].Upgrade, f.mem.Action(d.MAC, a.ID)
	if u.Phase != UpgradeRebooting || upload.Outcome != Open || len(f.mem.Fleet.Harm) != 0 {
		t.Errorf("after half an hour it is %s, the upload %q: %s", u.Phase, upload.Outcome, u.Why)
	}
	f.run(15 * time.Minute)
	if u.Phase != UpgradeFailed || !u.Lost || upload.Outcome != LostOutcome {
		t.Errorf("after its deadline it is %s, the upload %q: %s", u.Phase, upload.Outcome, u.Why)
	}
}

// The verdict on an upload whose result is unknown does not hang on the tick that it falls
// into: one poll may just then be missed.
func TestAnUploadOfUnknownResultIsInconclusive(t *testing.T) {
	t.Parallel()
	for _, missed := range []bool{false, true} {
		f := newFarm(t, 20).settle()
		f.sends = false
		rollOut(f)
		for len(f.plan.Upgrades) == 0 || f.plan.Upgrades[0].Verb != Act {
			f.tick()
		}
		d := &f.plan.Upgrades[0]
		a, err := f.mem.Intend(f.now, d, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.mem.Sent(f.now, d.MAC, a.ID, Unknown, "cut"); err != nil {
			t.Fatal(err)
		}
		u := f.unit(d.MAC)
		r := f.mem.Dragons[d.MAC]
		f.tick()
		f.run(f.policy.Firmware.Rebooting - time.Minute)
		if missed {
			u.reach = Timeout
		}
		f.tick()
		if r.Upgrade.Phase != UpgradeInconclusive || !strings.Contains(r.Upgrade.Why, "still runs "+u.who.Firmware) {
			t.Errorf("a poll was missed %v: %s: %s", missed, r.Upgrade.Phase, r.Upgrade.Why)
		}
	}
}

// However many rollouts there are, what goes on is not forgotten, nor what a dragon is watched for.
func TestARolloutThatGoesOnIsNotForgotten(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 10).settle()
	f.sends = false
	rollOut(f)
	open := f.mem.Fleet.Firmware[0]
	f.mem.Fleet.Firmware = append(f.mem.Fleet.Firmware, &FirmwareRollout{RolloutHead: RolloutHead{ID: "watched", State: RolloutAborted}})
	f.record(3).Upgrade = &Upgrading{Rollout: "watched", Phase: UpgradeSoaking}
	for i := range 2 * rolloutsKept {
		f.mem.Fleet.Firmware = append(f.mem.Fleet.Firmware, &FirmwareRollout{RolloutHead: RolloutHead{ID: fmt.Sprint("over ", i), State: RolloutDone}})
		f.mem.forgetFirmware()
	}
	if n := len(f.mem.Fleet.Firmware); n != rolloutsKept {
		t.Errorf("%d rollouts are kept, want %d", n, rolloutsKept)
	}
	if f.mem.FirmwareRollout(open.ID) != open || f.mem.FirmwareRollout("watched") == nil {
		t.Error("what goes on was forgotten")
	}
	if newest := fmt.Sprint("over ", 2*rolloutsKept-1); f.mem.FirmwareRollout(newest) == nil || f.mem.FirmwareRollout("over 0") != nil {
		t.Error("not the oldest were forgotten")
	}
}

func TestFirmwareWaitsForItsWindowAndForAGateThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	rollOut(f)
	f.tick()
	if d := f.plan.Upgrades[0]; d.Verb != Act {
		t.Fatalf("%s by %s", d.Verb, d.Blocked)
	}
	f.policy.External = External{Query: "up", OnError: "allow"}
	f.host.External = ExternalAnswer{Asked: true, Err: "timeout"}
	f.tick()
	if d := f.plan.Upgrades[0]; d.Blocked != GateExternal {
		t.Errorf("the gate cannot be asked: %s by %s", d.Verb, d.Blocked)
	}
	f.policy.External = External{}
	at := f.now.Wall.UTC().Add(2 * time.Hour)
	window := Window{Start: at.Format("15:04"), Length: time.Hour}
	if err := window.Validate(); err != nil {
		t.Fatal(err)
	}
	f.policy.Firmware.Windows = []Window{window}
	f.tick()
	if d := f.plan.Upgrades[0]; d.Blocked != GateWindow {
		t.Errorf("outside the window: %s by %s", d.Verb, d.Blocked)
	}
	f.run(2*time.Hour + 5*time.Minute)
	if d := f.plan.Upgrades[0]; d.Verb != Act {
		t.Errorf("in the window: %s by %s", d.Verb, d.Blocked)
	}
}

// What a breaker tries again, and does slowly, is healing: an upload would show nothing of it.
func TestFirmwareIsNoTrialOfABreaker(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]Breaker{"half-open": {State: BreakerHalfOpen}, "slow mode": {State: BreakerOpen, Slow: true}} {
		f := newFarm(t, 20).settle()
		c := &cycle{p: &f.policy, m: f.mem, n: 20, now: f.plan.At}
		s := &subject{f: &Facts{Who: f.units[0].who}, r: f.record(0)}
		for q, open := range map[*gateRequest]bool{
			{c: c, s: s, kind: Restart}:                                      true,
			{c: c, s: s, kind: Upgrade, upgrade: &FirmwareStep{}}:            false,
			{c: c, s: s, kind: Reboot, upgrade: &FirmwareStep{Reboot: true}}: false,
		} {
			b := state
			if a := q.breaker(&b); a.open != open {
				t.Errorf("%s, %s of firmware %v: open %v: %s", name, q.kind, q.upgrade != nil, a.open, a.detail)
			}
		}
	}
}
