package healer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const (
	poolB    = "stratum+tcp://b.example:3333"
	poolTypo = "stratum+tcp://typo.example:3333"
)

// configuredFarm is a farm that is in sync: all of it is configured for pool A.
func configuredFarm(t *testing.T, n int) *farm {
	f := newFarm(t, n)
	f.policy.Default.Mode = Observe
	f.desire("a", poolA, "balanced")
	for _, u := range f.units {
		u.take(u.desired, u.desired.items())
	}
	return f.settle()
}

// phase is where unit i stands.
func (f *farm) phase(i int) Phase { return f.of(i).Desired.Phase }

// rollout is that of a desired state.
func (f *farm) rollout(key string) *ConfigRollout {
	for _, ro := range f.mem.Fleet.Rollouts {
		if ro.Key == key {
			return ro
		}
	}
	f.t.Fatalf("no rollout of %s", key)
	return nil
}

func TestAChangedDesiredStateGoesToOneDragonFirst(t *testing.T) {
	f := configuredFarm(t, 20)
	f.desire("b", poolB, "balanced")
	f.cure = func(u *unit, _ Kind) { u.pools[0].Status = "Dead"; f.sends = false } // it takes its time
	f.run(10 * time.Minute)
	if n, ro := len(f.sent), f.rollout("b"); n != 1 || ro.State != RolloutCanary {
		t.Fatalf("%d written to, rollout %s, want one canary", n, ro.State)
	}
	canary := f.unit(f.rollout("b").Canary)
	f.cure, f.sends = nil, true
	f.tick()
	if len(f.sent) != 1 {
		t.Fatal("the others got it before the canary worked")
	}
	canary.pools[0].Status = "Alive"
	f.run(5 * time.Minute)
	if ro := f.rollout("b"); ro.State != RolloutWaves {
		t.Fatalf("the rollout is %s, want waves", ro.State)
	}
	// two in ten minutes, and none twice.
	f.run(3 * time.Hour)
	if n := f.right(); n != 20 || f.rollout("b").State != RolloutDone {
		t.Errorf("%d in sync, rollout %s", n, f.rollout("b").State)
	}
	for i := range f.sent[2:] {
		if gap := f.sent[i+2].At.Since(f.sent[i].At); gap < 10*time.Minute {
			t.Errorf("three within %s", gap)
		}
	}
	if len(f.sent) != 20 {
		t.Errorf("%d writes, want one a dragon", len(f.sent))
	}
}

// S31: a typo in a pool's URL costs one dragon a quarter of an hour.
func TestATypoCostsOneDragonAFewMinutes(t *testing.T) {
	f := configuredFarm(t, 20)
	f.desire("typo", poolTypo, "balanced")
	before := f.age()
	for f.stateOf("typo") != RolloutAborted && f.age() < before+time.Hour {
		f.tick()
	}
	if took := f.age() - before; took > 20*time.Minute {
		t.Errorf("aborted after %s", took)
	}
	f.run(2 * time.Hour)
	// The canary has its pools again, the others were not touched.
	if len(f.sent) != 2 || f.sent[1].Change == nil || !f.sent[1].Change.Restore {
		t.Fatalf("sent %v, want the canary and its rollback", f.sent)
	}
	for i, u := range f.units {
		if want := []dragon.PoolConfig{{URL: poolA, User: "acct." + u.who.Worker, Password: "hunter2"}}; !slices.Equal(u.has.Pools, want) {
			t.Errorf("unit %d has %v", i, u.has.Pools)
		}
	}
	b := f.mem.breaker("rollout", f.rollout("typo").ID)
	if b == nil || b.State != BreakerLatched || !strings.Contains(b.Detail, "no accepted share at "+poolTypo) {
		t.Fatalf("breaker %+v", b)
	}
	if got := f.sent[1].At.Since(f.sent[0].At); got > 17*time.Minute {
		t.Errorf("rolled back after %s", got)
	}

	// A correction is another desired state, with a canary of its own.
	f.desire("b", poolB, "balanced")
	f.run(5 * time.Hour)
	if n := f.right(); n != 20 {
		t.Errorf("%d of 20 as corrected: %+v", n, f.rollout("b"))
	}

	// What was right after all is taken up when a human says so.
	f.desire("typo", poolTypo, "balanced")
	f.run(time.Hour)
	writes := len(f.sent)
	if f.stateOf("typo") != RolloutAborted {
		t.Fatalf("the aborted rollout is %s", f.stateOf("typo"))
	}
	if err := f.mem.Ack(f.now, "rollout", f.rollout("typo").ID, "ann"); err != nil {
		t.Fatal(err)
	}
	f.cure = func(u *unit, _ Kind) { u.pools[0].Status = "Alive" }
	f.run(25 * time.Hour) // the canary has had its two changes of today
	if n := f.right(); n != 20 {
		t.Errorf("%d of 20 after the acknowledgement, %d writes: %+v", n, len(f.sent)-writes, f.rollout("typo"))
	}
}

// An abort stops the rollouts that were there before it, wait for a canary, and begin with the same
// pool, if no dragon works there. A rollout whose canary is on trial is decided by that canary.
func TestATypoStopsTheOthersThatBeginWithIt(t *testing.T) {
	for name, x := range map[string]struct {
		prepare func(f *farm)
		want    RolloutState
	}{
		"the same pool":   {func(*farm) {}, RolloutAborted},
		"another URL":     {func(f *farm) { f.units[19].desired.Pools[0].URL = poolB }, RolloutDone},
		"another account": {func(f *farm) { f.units[19].desired.Pools[0].User = "bob." + f.units[19].who.Worker }, RolloutDone},
		"only a mode":     {func(f *farm) { f.units[19].desired.Pools = nil }, RolloutDone},
		"one earns there": {func(f *farm) { f.units[7].desired, f.units[7].pools[0].URL = nil, poolTypo }, RolloutDone},
		"on trial": {func(f *farm) {
			d := *f.plan.ChangeOf(f.units[19].who.MAC)
			d.Verb = Act
			f.tick()
			f.configure(&d)
		}, RolloutDone},
	} {
		t.Run(name, func(t *testing.T) {
			f := configuredFarm(t, 20)
			f.desire("typo", poolTypo, "balanced")
			for f.tick(); len(f.sent) == 0; f.tick() {
			}
			f.desire("other", poolTypo, "efficient", 19)
			f.tick()
			f.cure = func(u *unit, _ Kind) { // only the other one finds work
				if u == f.units[19] {
					u.pools[0].Status = "Alive"
				}
			}
			x.prepare(f)
			f.tick()
			if x.want == RolloutAborted {
				held := slices.ContainsFunc(f.plan.ChangeOf(f.units[19].who.MAC).Gates, func(g GateState) bool {
					return g.Name == GateRollout && !g.Open && strings.HasSuffix(g.Detail, " tries its first pool, for "+f.rollout("typo").ID)
				})
				if !held {
					t.Errorf("not held for the canary: %+v", f.plan.ChangeOf(f.units[19].who.MAC).Gates)
				}
			}
			f.run(time.Hour)
			if got := f.stateOf("other"); f.stateOf("typo") != RolloutAborted || got != x.want {
				t.Fatalf("the other is %s, want %s: %+v", got, x.want, f.rollout("other"))
			}
			if x.want != RolloutAborted {
				return
			}
			b := f.mem.breaker("rollout", f.rollout("other").ID)
			if len(f.sent) != 2 || b == nil || !strings.Contains(b.Detail, f.rollout("typo").ID+" has the same first pool and was aborted: the canary ") {
				t.Errorf("sent %v, breaker %+v", f.sent, b)
			}
			if err := f.mem.Ack(f.now, "rollout", f.rollout("other").ID, "ann"); err != nil {
				t.Fatal(err)
			}
			f.run(time.Hour)
			if got := f.stateOf("other"); got != RolloutDone || f.stateOf("typo") != RolloutAborted {
				t.Errorf("the other is %s after the acknowledgement", got)
			}
		})
	}
}

func (f *farm) stateOf(key string) RolloutState {
	for _, ro := range f.mem.Fleet.Rollouts {
		if ro.Key == key {
			return ro.State
		}
	}
	return ""
}

// A dragon with a desired state of its own is its own canary, and no other is touched.
func TestADragonOfItsOwnIsItsOwnCanary(t *testing.T) {
	f := configuredFarm(t, 20)
	f.desire("own", poolTypo, "", 7)
	f.run(3 * time.Hour)
	if len(f.sent) != 2 || f.phase(7) != PhaseFailed || f.sentTo(7)[0] != Configure {
		t.Errorf("sent %v, unit 7 is %s", f.sent, f.phase(7))
	}
	if n := f.right(); n != 19 {
		t.Errorf("%d in sync, want the 19 others", n)
	}
}

func TestDriftIsPutRight(t *testing.T) {
	f := configuredFarm(t, 20)
	stranger := []dragon.PoolConfig{{URL: "stratum+tcp://thief.example:3333", User: "thief", Password: "x"}}
	f.units[3].has.Pools = stranger
	f.units[3].pools = []PoolFacts{{URL: stranger[0].URL, User: "thief", Status: "Alive", Active: true}}
	f.tick()
	d := f.of(3)
	if len(d.Desired.Drift) != 1 || !strings.Contains(d.Desired.Drift[0].Have, "thief at stratum+tcp://thief.example:3333") {
		t.Fatalf("drift %+v", d.Desired.Drift)
	}
	if strings.Contains(fmt.Sprintf("%+v %+v", d.Desired, f.plan.Changes), "hunter2") {
		t.Error("the plan has the password")
	}
	f.run(10 * time.Minute)
	if n := f.right(); n != 20 || len(f.sent) != 1 {
		t.Errorf("%d in sync after %d writes", n, len(f.sent))
	}
}

// A password that differs is said to, and never shown.
func TestAPasswordOnlyDiffers(t *testing.T) {
	f := configuredFarm(t, 3)
	f.policy.Rollout.Mode = Observe
	f.units[1].has.Pools = slices.Clone(f.units[1].has.Pools)
	f.units[1].has.Pools[0].Password = "other secret"
	f.tick()
	d := f.of(1)
	if len(d.Desired.Drift) != 1 || !strings.Contains(d.Desired.Drift[0].Have, "a password differs") {
		t.Errorf("drift %+v", d.Desired.Drift)
	}
	text := fmt.Sprintf("%+v %#v", d.Desired, d.Desired)
	if strings.Contains(text, "hunter2") || strings.Contains(text, "other secret") {
		t.Errorf("a password is in %s", text)
	}
	if c := f.plan.ChangeOf(d.MAC); c == nil || c.Verb != WouldAct {
		t.Errorf("in observe it says %+v", c)
	}
	f.run(time.Hour)
	if len(f.sent) > 0 {
		t.Error("observe wrote")
	}
}

// S18: an item that is changed back twice in a day is left alone and reported.
func TestWhatIsRevertedTwiceIsLeft(t *testing.T) {
	f := configuredFarm(t, 10)
	revert := func() {
		f.units[3].has.Mode = "performance"
		f.run(90 * time.Minute)
	}
	revert() // no revert: the healer had not written it
	revert()
	if f.phase(3) != PhaseInSync || len(f.sent) != 2 {
		t.Fatalf("unit 3 is %s after %d writes", f.phase(3), len(f.sent))
	}
	revert()
	if f.phase(3) != PhaseConflict || len(f.sent) != 2 {
		t.Fatalf("unit 3 is %s after %d writes, want it left", f.phase(3), len(f.sent))
	}
	f.run(48 * time.Hour)
	if len(f.sent) != 2 {
		t.Errorf("%d writes: it is fought over", len(f.sent))
	}
	if err := f.mem.Ack(f.now, "config", f.units[3].who.MAC, "ann"); err != nil {
		t.Fatal(err)
	}
	f.run(90 * time.Minute)
	if f.phase(3) != PhaseInSync {
		t.Errorf("after the acknowledgement it is %s", f.phase(3))
	}
}

// What cannot take effect is tried once, and the others are not kept waiting by it.
func TestWhatCannotTakeEffectIsTriedOnce(t *testing.T) {
	f := configuredFarm(t, 6)
	for _, u := range f.units[:2] {
		u.refuses = []Item{ItemAutotune}
		u.told = []Stuck{{Item: ItemAutotune, Why: "it was accepted, and is balanced"}}
	}
	f.desire("b", poolB, "efficient")
	f.run(8 * time.Hour)
	for i := range f.units {
		if got := len(f.sentTo(i)); got != 1 {
			t.Errorf("unit %d was written to %d times", i, got)
		}
		want := PhaseInSync
		if i < 2 {
			want = PhaseStuck
		}
		if f.phase(i) != want {
			t.Errorf("unit %d is %s, want %s", i, f.phase(i), want)
		}
		if f.units[i].has.Pools[0].URL != poolB {
			t.Errorf("unit %d has the pools %v", i, f.units[i].has.Pools)
		}
	}
	if s := f.stateOf("b"); s != RolloutDone {
		t.Errorf("the rollout is %s", s)
	}
}

// Where nothing at all takes effect, another canary is looked for, and after three the
// rollout is given up.
func TestARolloutThatNobodyTakesIsGivenUp(t *testing.T) {
	f := configuredFarm(t, 6)
	for _, u := range f.units {
		u.refuses = []Item{ItemPools, ItemAutotune}
		u.told = []Stuck{{Item: ItemPools, Why: PinnedPools}}
	}
	f.desire("b", poolB, "")
	f.run(8 * time.Hour)
	if len(f.sent) != 3 || f.stateOf("b") != RolloutAborted {
		t.Errorf("%d writes, the rollout is %s, want three canaries and an end", len(f.sent), f.stateOf("b"))
	}
}

// Silence is failure: a canary that is heard of no more stops the rollout.
func TestASilentCanaryStopsTheRollout(t *testing.T) {
	f := configuredFarm(t, 20)
	f.units[0].die = true
	f.desire("b", poolB, "")
	f.run(4 * time.Hour)
	if len(f.sent) != 1 || f.stateOf("b") != RolloutAborted {
		t.Errorf("%d writes, the rollout is %s", len(f.sent), f.stateOf("b"))
	}
	if a := f.record(0).Actions[0]; a.Outcome != LostOutcome {
		t.Errorf("the outcome is %s", a.Outcome)
	}
}

// Once it is on its way, more than one dragon that is worse afterwards stops a rollout too.
// That is harm, after which nothing at all is done until a human has looked.
func TestFailuresInTheWavesStopARollout(t *testing.T) {
	f := configuredFarm(t, 40)
	written := 0
	f.cure = func(u *unit, _ Kind) {
		if written++; written == 4 || written == 6 {
			u.boards[2].gone = true
		}
	}
	f.desire("b", poolB, "")
	f.run(12 * time.Hour)
	if s := f.stateOf("b"); s != RolloutAborted {
		t.Fatalf("the rollout is %s after %d writes", s, len(f.sent))
	}
	if len(f.sent) > 8 || f.mem.breaker("harm", "") == nil {
		t.Errorf("%d writes, breakers %v", len(f.sent), f.plan.Breakers)
	}
}

// A pool that is out for all that have moved to it holds the rollout, and does not keep
// the places in flight for ever.
func TestAPoolThatGoesOutHoldsTheRollout(t *testing.T) {
	f := configuredFarm(t, 40)
	f.desire("b", poolB, "")
	for len(f.sent) < 6 {
		f.tick()
	}
	if n := f.standing(PhaseWaiting); n != 40-5 { // the sixth was written to after this look
		t.Errorf("%d wait for their turn while the rollout goes on, want 35", n)
	}
	dead := func(status string) {
		for _, u := range f.units {
			if u.pools[0].URL == poolB {
				u.pools[0].Status = status
			}
		}
	}
	dead("Dead")
	f.run(3 * time.Hour)
	if len(f.sent) != 6 || f.stateOf("b") != RolloutWaves || f.plan.Budgets[0].Used != 0 {
		t.Fatalf("%d writes, the rollout is %s, in flight %d", len(f.sent), f.stateOf("b"), f.plan.Budgets[0].Used)
	}
	if n := f.standing(PhaseDrifted); n != 40-6 {
		t.Errorf("%d have drifted after hours in which nothing went on, want 34", n)
	}
	dead("Alive")
	f.run(8 * time.Hour)
	if n := f.right(); n != 40 || f.stateOf("b") != RolloutDone {
		t.Errorf("%d in sync, the rollout is %s", n, f.stateOf("b"))
	}
}

// A power cut, a pause, a storm: configuration waits like everything else. Here: nothing is
// written while a pool is out that the dragons are to have, but they may be moved off it.
func TestAPoolThatIsOutHoldsOnlyThoseWhoAreToHaveIt(t *testing.T) {
	f := configuredFarm(t, 20)
	for _, u := range f.units {
		u.pools[0].Status = "Dead"
	}
	f.run(30 * time.Minute)
	f.units[5].has.Mode = "performance"
	f.run(time.Hour)
	if len(f.sent) != 0 {
		t.Fatalf("written in an outage: %v", f.sent)
	}
	f.desire("b", poolB, "")
	f.run(8 * time.Hour)
	if n := f.right(); n != 20 {
		t.Errorf("%d of 20 were moved off the pool that is out: %+v\n%v", n, f.rollout("b"), f.plan.Breakers)
	}
}

// A new dragon is configured within minutes, without the hour that healing waits.
func TestANewDragonIsConfiguredWithinMinutes(t *testing.T) {
	f := configuredFarm(t, 5)
	u := f.add(5)
	f.desire("a", poolA, "balanced", 5)
	u.start, u.boot = f.now.Mono, f.now.Mono
	u.who.Address = "127.9.9.9"
	began := f.age()
	for f.right() < 6 && f.age() < began+time.Hour {
		f.tick()
	}
	if took := f.age() - began; took > 7*time.Minute {
		t.Errorf("it took %s", took)
	}
}

// The store holds all that a rollout is about.
func TestARolloutSurvivesAKill(t *testing.T) {
	f := configuredFarm(t, 20)
	f.desire("typo", poolTypo, "efficient")
	for len(f.sent) == 0 {
		f.tick()
	}
	f.reload()
	f.run(2 * time.Hour)
	if len(f.sent) != 2 || !f.sent[1].Change.Restore || f.stateOf("typo") != RolloutAborted {
		t.Fatalf("sent %v", f.sent)
	}
	for i, u := range f.units {
		if u.has.Pools[0].URL != poolA || u.has.Pools[0].Password != "hunter2" || u.has.Mode != "balanced" {
			t.Errorf("unit %d has %v %s", i, u.has.Pools, u.has.Mode)
		}
	}
}

// A plan for ten thousand dragons asks the gates about those that may have their turn.
func TestAPlanForManyAsksAboutFew(t *testing.T) {
	f := configuredFarm(t, 400)
	f.desire("b", poolB, "")
	f.run(30 * time.Minute)
	if n := len(f.plan.Changes); n > shownAtLeast {
		t.Errorf("%d changes in a plan", n)
	}
	if len(f.sent) < 4 {
		t.Errorf("%d writes", len(f.sent))
	}
}

// A desired state that is corrected before it has worked leaves behind what it replaced.
func TestACorrectionThatFailsTooRollsBackToWhatWorked(t *testing.T) {
	f := configuredFarm(t, 1)
	f.desire("typo", poolTypo, "balanced")
	for len(f.sent) == 0 {
		f.tick()
	}
	f.desire("another typo", "stratum+tcp://typo2.example:3333", "balanced")
	f.run(3 * time.Hour)
	if len(f.sent) != 3 || !f.sent[2].Change.Restore {
		t.Fatalf("sent %+v, want two desired states and a rollback", f.sent)
	}
	if got := f.units[0].has.Pools[0].URL; got != poolA {
		t.Errorf("it was rolled back to %s, want %s", got, poolA)
	}
}

// A dragon that already has what a rollback would write is not written to again and again.
func TestNothingIsRolledBackWhereNothingDiffers(t *testing.T) {
	f := configuredFarm(t, 2)
	f.desire("typo", poolTypo, "balanced")
	for len(f.sent) == 0 {
		f.tick()
	}
	f.policy.Rollout.Mode = Observe
	for f.stateOf("typo") != RolloutAborted {
		f.tick()
	}
	u := f.unit(f.rollout("typo").Canary)
	u.has.Pools = []dragon.PoolConfig{{URL: poolA, User: "acct." + u.who.Worker, Password: "hunter2"}}
	f.policy.Rollout.Mode = Enforce
	f.run(time.Hour)
	if len(f.sent) != 1 {
		t.Errorf("sent %+v, want no rollback", f.sent)
	}
}

// What is measured after an upgrade is not given another mode meanwhile.
func TestWhatIsMeasuredIsNotConfigured(t *testing.T) {
	f := configuredFarm(t, 1)
	c := decide(f.now, f.seen, f.mem, &f.policy)
	s := c.all[0]
	q := &gateRequest{c: c, s: s, kind: Configure, change: &change{want: s.f.Desired}}
	for phase, open := range map[UpgradePhase]bool{UpgradeVerifying: false, UpgradeSoaking: true, UpgradeDone: true} {
		s.r.Upgrade = &Upgrading{Phase: phase}
		if got := q.afterConfig(); got.open != open {
			t.Errorf("%s: open %v: %s", phase, got.open, got.detail)
		}
	}
}

// A latched breaker harm holds rollbacks too, and the plan shows each that is pending.
func TestAPendingRollbackIsShown(t *testing.T) {
	t.Parallel()
	f := configuredFarm(t, 20)
	f.desire("typo", poolTypo, "balanced")
	f.run(10 * time.Minute)
	f.open("harm", "", BreakerLatched)
	f.run(time.Hour)
	canary := f.unit(f.rollout("typo").Canary).who.Worker
	var out bytes.Buffer
	if err := explainPlan(&out, f.plan, true, 0); err != nil {
		t.Fatal(err)
	}
	want := "\n  " + canary + " still has the failed configuration; its rollback waits for harm: latched"
	if f.stateOf("typo") != RolloutAborted || len(f.sent) != 1 || !strings.Contains(out.String(), want) {
		t.Fatalf("%s, sent %v, want the line %q in\n%s", f.stateOf("typo"), f.sent, want, out.String())
	}
	if err := f.mem.Ack(f.now, "harm", "", "ann"); err != nil {
		t.Fatal(err)
	}
	f.run(2 * time.Minute)
	if len(f.sent) != 2 || !f.sent[1].Change.Restore {
		t.Errorf("sent %v, want the rollback", f.sent)
	}
	f.run(5 * time.Minute)
	out.Reset()
	if err := explainPlan(&out, f.plan, true, 0); err != nil || strings.Contains(out.String(), "still has") {
		t.Errorf("afterwards (%v):\n%s", err, out.String())
	}
}

// What an earlier version of the program has stored is read, and written again as it was.
func TestRolloutsOnTheDiskKeepTheirForm(t *testing.T) {
	t.Parallel()
	const config = `{"id":"r7","state":"canary","since":5,"kind":"configure","key":"k","name":"house","wanted":6,"canary":"02:00:00:00:00:01",` +
		`"tried":["02:00:00:00:00:02"],"failed":[{"mac":"02:00:00:00:00:03","at":4,"why":"silence"}]}`
	const firmware = `{"id":"f3","state":"paused","since":9,"why":"a test","release":{"version":"t1_20190101_000000","model":"T1","sha256":"ab","size":1},` +
		`"begun":2,"wall":"2026-01-02T03:04:05Z","owner":"ann","reason":"r","wave":2,"auto":true}`
	m, err := LoadMemory([]byte(`{"version":1,"rollouts":[`+config+`],"next_rollout":7,"firmware":[`+firmware+`],"next_firmware":3}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	ro, fw := m.configRollout("r7"), m.FirmwareRollout("f3")
	if ro == nil || ro.State != RolloutCanary || ro.Since != 5 || ro.Canary == "" || len(ro.Failed) != 1 {
		t.Errorf("%+v", ro)
	}
	if fw == nil || fw.State != RolloutPaused || fw.Since != 9 || fw.Why != "a test" || fw.Wave != 2 {
		t.Errorf("%+v", fw)
	}
	for want, v := range map[string]any{config: ro, firmware: fw, strings.TrimSuffix(firmware, "}") + `,"waves":0,"members":0,"phases":null,"failed":0,"dragons":null}`: FirmwareShown{FirmwareRollout: *fw}} {
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%v\n got %s\nwant %s", err, got, want)
		}
	}
}

// Only a human takes up what was aborted: neither a late canary nor a second wave that fails.
func TestAnAbortedRolloutStaysAborted(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 3).settle()
	for _, ro := range []rollout{&ConfigRollout{RolloutHead: RolloutHead{ID: "r1"}}, &FirmwareRollout{RolloutHead: RolloutHead{ID: "f1"}}} {
		c := &cycle{m: f.mem, p: &f.policy, out: &Plan{}, now: f.plan.At}
		for _, state := range []RolloutState{RolloutAborted, RolloutWaves, RolloutPaused, RolloutAborted} {
			c.move(ro, state, "a test")
		}
		if h := ro.head(); h.State != RolloutAborted || len(c.out.Audit) != 2 || f.mem.breaker("rollout", h.ID) == nil {
			t.Errorf("%s is %s, and the audit says %+v", h.ID, h.State, c.out.Audit)
		}
	}
}
