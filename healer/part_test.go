package healer

import (
	"strings"
	"testing"
	"time"
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
