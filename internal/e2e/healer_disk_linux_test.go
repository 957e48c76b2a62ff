package e2e

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// TestAFullDisk lets the program's files grow no further, as on a disk that is full,
// while a dragon is sick.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	w := newFarm(t, 30, quick, shipped, "--dragon-health-reboot")
	if n := w.value("mother_state_writable"); n != 1 {
		t.Fatalf("mother_state_writable is %g, want 1", n)
	}
	limit := func(bytes uint64) {
		t.Helper()
		if err := unix.Prlimit(w.p.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(1)
	w.dragons.Dragon(7).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	eventually(t, "the state cannot be written", func() bool { return w.value("mother_state_writable") == 0 })
	w.waitFor(7, healer.StateHeld)
	w.live(30 * time.Minute)
	w.wantNoWrites("a full disk")
	if w.value(`mother_healer_mode{mode="observe"}`) != 1 || w.value(`mother_healer_mode{mode="enforce"}`) != 0 {
		t.Error("the mode is not observe")
	}
	if w.value("mother_state_write_errors_total")+w.value("mother_audit_write_errors_total") < 1 {
		t.Error("no error was counted")
	}
	if n := strings.Count(get(t, w.base+"/metrics"), "\ndragon_boards{"); n != 30 {
		t.Errorf("%d dragons exported, want 30", n)
	}
	eventually(t, "the plan says what holds the sick dragon", func() bool {
		out, status := w.plan()
		return status == 3 && strings.Contains(out, "state")
	})
	limit(unix.RLIM_INFINITY)
	w.waitFor(7, healer.StateProbation)
	if n := len(w.writes()); n != 1 || w.value("mother_state_writable") != 1 {
		t.Errorf("with room again: %d writes, want 1, and the state writable", n)
	}
	w.p.stop(t)
}
