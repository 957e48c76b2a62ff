package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// TestAHealerThatIsKilledInTheMiddleOfAHeal takes the program away while a dragon is
// about to answer a reboot, so that its outcome is unknown.
func TestAHealerThatIsKilledInTheMiddleOfAHeal(t *testing.T) {
	t.Parallel()
	const speed, patient, other = 200, 4, 20
	w := prepareFarm(t, 30, speed, shipped+`
  default: {ladder: {steps: [reboot, reboot], hold: [30m, 30m]}}
`, func(_ int, s *dragontest.Spec) {
		s.SleepTime = 2 * speed * time.Second // two seconds of ours, long enough to be killed in
		s.TuneTime = -1
	})
	w.start("--dragon-health-reboot")
	w.healthy()
	w.dragons.Dragon(patient).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByReboot))
	eventually(t, "the dragon sees the reboot", func() bool { return len(w.dragons.Dragon(patient).Writes()) == 1 })
	if err := w.p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.p.done
	if sent := w.sent(); len(sent) != 0 {
		t.Fatalf("the audit has a result: %v; it was killed too late", sent)
	}

	w.dragons.Dragon(other).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByReboot))
	w.start("--dragon-health-reboot")
	eventually(t, "the next one knows of the intent", func() bool {
		return w.value(`mother_healer_outcomes_total{action="reboot",outcome="unknown",reason="dead_board"}`) == 1
	})
	if n := w.value("mother_unclean_starts_total"); n != 1 {
		t.Errorf("%g unclean starts, want 1", n)
	}
	if out, _ := w.invoke("healer", "status"); !strings.Contains(out, "fleet in 1h: 1 of 2") || !strings.Contains(out, "fleet in flight: 1 of 1") {
		t.Errorf("the budgets are not remembered:\n%s", out)
	}
	eventually(t, "another sick dragon waits for the only slot", func() bool { return w.value(`mother_healer_blocked{gate="in_flight"}`) == 1 })
	if n := len(w.writes()); n != 1 {
		t.Fatalf("%d writes, want 1", n)
	}

	// The clock of a simulation stands still while the program is not there. If that was
	// long, it cannot take a boot for its own that came before its intent, as it seems.
	sent := w.sent()
	if len(sent) != 1 {
		t.Fatalf("the audit has %d actions, want 1", len(sent))
	}
	var verdict healer.Outcome
	eventually(t, "the reboot has an outcome", func() bool {
		for _, r := range w.audit() {
			if _, it := sent[r.ActionID]; it && r.Verify != nil {
				verdict = r.Verify.Verdict
			}
		}
		return verdict != ""
	})
	if verdict != healer.Recovered && verdict != healer.NotExecuted {
		t.Errorf("the outcome is %s", verdict)
	}
	eventually(t, "the other is rebooted", func() bool { return len(w.dragons.Dragon(other).Writes()) == 1 })
	if n, boots := len(w.dragons.Dragon(patient).Writes()), w.dragons.Dragon(patient).Truth().Boots; n != 1 || boots != 2 {
		t.Errorf("the first was sent %d writes and booted %d times, want 1 and 2", n, boots)
	}
	t.Logf("the verdict on the reboot: %s", verdict)
	w.p.stop(t)
}

// TestTwoProcessesOnOneDirectory has one that only observes own the state, and one
// that would act wait for it.
func TestTwoProcessesOnOneDirectory(t *testing.T) {
	t.Parallel()
	w := newFarm(t, 30, quick, shipped)
	first := w.p
	w.dragons.Dragon(11).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	eventually(t, "the first would act", func() bool { out, _ := w.plan(); return strings.Contains(out, "now") })

	second, base := mother(t, append(w.args, "--dragon-health-reboot")...)
	eventually(t, "the second reads all dragons", func() bool { return strings.Count(get(t, base+"/metrics"), "\ndragon_boards{") == 30 })
	eventually(t, "the second has decided", func() bool { return valueAt(t, base, "mother_healer_lock_held") == 0 })
	if valueAt(t, base, "mother_healer_standby") != 1 || w.value("mother_healer_standby") != 0 {
		t.Error("the second waits for the first, and mother_healer_standby does not say so")
	}
	w.live(time.Hour)
	w.wantNoWrites("an hour with two processes")
	for _, mode := range []string{"enforce", "safe"} {
		if valueAt(t, base, fmt.Sprintf("mother_healer_mode{mode=%q}", mode)) != 0 {
			t.Errorf("the second is in mode %s", mode)
		}
	}
	if v := w.value("mother_healer_lock_held"); v != 1 {
		t.Errorf("mother_healer_lock_held of the first is %g, want 1", v)
	}
	if n := strings.Count(second.logged(), "healer state owned by another process"); n != 1 {
		t.Errorf("the second said %d times that it is not the owner, want once", n)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "healer.db")); err != nil {
		t.Error(err)
	}

	first.stop(t)
	w.base, w.p = base, second
	eventually(t, "the second owns the state", func() bool { return w.value("mother_healer_lock_held") == 1 })
	eventually(t, "it can be talked to", func() bool {
		out, status := w.invoke("healer", "status")
		return status == 0 && strings.Contains(out, "enforce")
	})
	w.waitFor(11, healer.StateProbation)
	if n := len(w.writes()); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	second.stop(t)
}
