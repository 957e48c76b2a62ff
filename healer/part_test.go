package healer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// A typo in a pool costs one dragon, also where the dragon does not take the mode that came
// with it.
func TestATypoCostsOneDragonThoughItsModeIsWrong(t *testing.T) {
	f := configuredFarm(t, 20)
	for _, u := range f.units {
		u.refuses = []Item{ItemAutotune}
	}
	f.desire("typo", poolTypo, "efficient")
	f.run(3 * time.Hour)
	if len(f.sent) != 2 || !f.sent[1].Change.Restore || f.sent[0].Change.Restore {
		t.Fatalf("sent %v, want the canary and its rollback", f.sent)
	}
	if b := f.mem.breaker("rollout", f.rollout("typo").ID); b == nil || !strings.Contains(b.Detail, "no accepted share at "+poolTypo) {
		t.Errorf("breaker %+v", b)
	}
	for i, u := range f.units {
		if u.has.Pools[0].URL != poolA {
			t.Errorf("unit %d has %v", i, u.has.Pools)
		}
	}
}

// A canary that has fewer boards with its new pools is worse, whatever became of its mode.
func TestACanaryThatIsWorseIsHarmThoughItsModeIsWrong(t *testing.T) {
	f := configuredFarm(t, 20)
	for _, u := range f.units {
		u.refuses = []Item{ItemAutotune}
	}
	f.cure = func(u *unit, _ Kind) { u.boards[2].gone = true }
	f.desire("b", poolB, "efficient")
	f.run(time.Hour)
	if f.stateOf("b") != RolloutAborted || len(f.mem.Fleet.Harm) != 1 {
		t.Errorf("the rollout is %s, harm %v", f.stateOf("b"), f.mem.Fleet.Harm)
	}
}

// A mode that is not taken, on a dragon that works, says nothing against the pools.
func TestAModeThatIsNotTakenIsNoFailure(t *testing.T) {
	f := configuredFarm(t, 20)
	f.units[0].refuses = []Item{ItemAutotune}
	f.desire("b", poolB, "efficient")
	f.run(8 * time.Hour)
	if n := len(f.sentTo(0)); n != 1 || f.phase(0) != PhaseStuck {
		t.Errorf("unit 0 is %s after %d writes", f.phase(0), n)
	}
	if ro := f.rollout("b"); len(ro.Failed) > 0 || !ro.proven() {
		t.Errorf("the rollout is %s, failed %v", ro.State, ro.Failed)
	}
}

// A canary that was written only a part proves only that part: the waves wait for one that has
// all, and it counts as none that could not be changed.
func TestACanaryOfAPartProvesNoMore(t *testing.T) {
	f := configuredFarm(t, 20)
	for _, u := range f.units {
		u.only = []Item{ItemPools}
	}
	f.cure = func(*unit, Kind) {
		for _, u := range f.units {
			u.only = nil
		}
	}
	f.desire("b", poolB, "efficient")
	for range 120 {
		if f.tick(); f.rollout("b").proven() {
			break
		}
	}
	if len(f.sent) != 2 || !f.rollout("b").proven() || len(f.rollout("b").Tried) > 0 {
		t.Fatalf("%d writes until the rollout is %s, tried %v", len(f.sent), f.stateOf("b"), f.rollout("b").Tried)
	}
	if got := f.sent[0].Change.Items; !slices.Equal(got, []Item{ItemPools}) || f.sent[1].Reason != Rolling {
		t.Errorf("the first write is of %v, the second for %s", got, f.sent[1].Reason)
	}
	f.run(8 * time.Hour)
	if n := f.right(); n != 20 || f.stateOf("b") != RolloutDone {
		t.Errorf("%d in sync, the rollout is %s", n, f.stateOf("b"))
	}
	for i := range f.units {
		if len(f.record(i).Config.Reverts) > 0 {
			t.Errorf("the rest of unit %d counts as changed by others", i)
		}
	}
}

// The rest of a rollback that was half written is still to be written.
func TestAHalfRollbackIsPending(t *testing.T) {
	f := configuredFarm(t, 20)
	f.cure = func(*unit, Kind) {
		for _, u := range f.units {
			u.only = []Item{ItemPools} // of the rollback, which comes next
			if len(f.sent) > 1 {
				u.only = nil
			}
		}
	}
	f.desire("typo", poolTypo, "efficient")
	f.run(30 * time.Hour) // the canary has had its two changes of a day
	if len(f.sent) != 3 || !f.sent[2].Change.Restore || !slices.Equal(f.sent[2].Change.Items, []Item{ItemAutotune}) {
		t.Errorf("%d writes, want the canary and its rollback in two parts", len(f.sent))
	}
	for i, u := range f.units {
		if u.has.Pools[0].URL != poolA || u.has.Mode != "balanced" {
			t.Errorf("unit %d has %v %s", i, u.has.Pools, u.has.Mode)
		}
	}
}

// Before the next request of a write the dragon has to identify itself again.
func TestTheNextRequestNeedsAFreshProof(t *testing.T) {
	f := configuredFarm(t, 2)
	policy := f.policy
	a := &Attempt{decision: Decision{Who: f.units[0].who, Kind: Restart}, actor: "user:eva", policy: &policy, next: Send, action: Action{ID: "1-1"}}
	f.mem.Dragons[a.decision.MAC].Actions = []Action{{ID: "1-1", Kind: Restart}}
	s := Standing{Now: f.now, Host: f.host, Memory: f.mem, Policy: &f.policy, Plan: f.plan}
	s.Now.Mono += time.Minute
	if err := a.Allowed(s); err == nil {
		t.Fatal("a proof of a minute ago is enough")
	}
	if err := a.GoOn(s, Reply{Who: f.units[1].who}); err == nil || !strings.Contains(err.Error(), "expected MAC") {
		t.Errorf("another dragon: %v", err)
	}
	if err := a.GoOn(s, Reply{Err: NotSentf("no answer")}); err == nil {
		t.Error("a dragon that does not say who it is")
	}
	if err := a.Allowed(s); err == nil {
		t.Error("what failed counts as a proof")
	}
	if err := a.GoOn(s, Reply{Who: f.units[0].who}); err != nil {
		t.Error(err)
	}
	s.Host.Stop = true
	if err := a.GoOn(s, Reply{Who: f.units[0].who}); err == nil {
		t.Error("STOP is not heard")
	}
}

// Pools that someone else changes during a trial have had their effect: that is a revert, and no
// write in vain. It is corrected, and what is changed back again is left alone.
func TestPoolsThatAreChangedDuringTheTrialAreNotStuck(t *testing.T) {
	t.Parallel()
	thief := []dragon.PoolConfig{{URL: poolA, User: "thief", Password: "x"}}
	for after, want := range map[time.Duration]Phase{0: PhaseStuck, 5 * time.Minute: PhaseConflict} {
		f := configuredFarm(t, 20)
		var canary *unit
		f.cure = func(u *unit, _ Kind) { // it has no share in its trial
			u.pools[0].Status = "Dead"
			canary = u
		}
		f.desire("b", poolB, "balanced", 0)
		for range 2 {
			if canary = nil; after == 0 {
				f.units[0].refuses = []Item{ItemPools}
			}
			for range 60 {
				if f.tick(); canary != nil {
					break
				}
			}
			if canary == nil {
				t.Fatalf("after %s: not written to, %+v", after, f.record(0).Config)
			}
			f.run(after)
			if after > 0 {
				canary.has.Pools = thief
			}
			f.run(20 * time.Minute)
			if f.phase(0) == want {
				break
			}
			if r := f.record(0).Config; len(r.Stuck) > 0 || len(r.Reverts) != 1 {
				t.Errorf("after %s: %+v", after, r)
			}
		}
		if got := f.phase(0); got != want || f.rollout("b").State == RolloutAborted {
			t.Errorf("after %s it is %s, want %s: %+v", after, got, want, f.record(0).Config)
		}
	}
}

// Every write counts among those that harm is a share of, also that of a configuration.
func TestHarmIsAShareOfAllWrites(t *testing.T) {
	t.Parallel()
	for writes, latched := range map[int]bool{15: true, 400: true, 401: false} {
		f := newFarm(t, 20).settle()
		now := f.mem.Moment(f.now)
		for i := range writes {
			kind := []Kind{Configure, Upgrade}[i%2]
			f.mem.Fleet.Ring = append(f.mem.Fleet.Ring, FleetAction{fmt.Sprint("r", i), fmt.Sprint("another ", i), kind, now.Add(-time.Hour)})
		}
		f.mem.Fleet.Harm = []Moment{now, now}
		f.tick()
		b := f.mem.breaker("harm", "")
		if latched != (b != nil) || b != nil && b.Detail != fmt.Sprintf("2 dragons lost or worse after %d actions in 24h", writes) {
			t.Errorf("2 harmed by %d writes: %+v", writes, b)
		}
	}
}
