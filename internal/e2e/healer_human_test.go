package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// TestAnObservingHealerShowsItsDecisions is also about the one who then allows it,
// with a file that says no.
func TestAnObservingHealerShowsItsDecisions(t *testing.T) {
	t.Parallel()
	w := newFarm(t, 30, quick, shipped)
	const first, second = 2, 9
	for _, i := range []int{first, second} {
		w.dragons.Dragon(i).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	}
	eventually(t, "the plan has two sick dragons, and something to do", func() bool {
		out, status := w.plan()
		return status == 2 && strings.Contains(out, "sick=2")
	})
	out, _ := w.plan()
	for _, i := range []int{first, second} {
		if !strings.Contains(out, w.worker(i)) {
			t.Errorf("the plan says nothing of %s:\n%s", w.worker(i), out)
		}
	}
	if why, _ := w.plan("--why", w.worker(first)); !strings.Contains(why, "restartCgMiner") {
		t.Errorf("the plan does not say what would be done to the first:\n%s", why)
	}
	w.live(30 * time.Minute)
	w.wantNoWrites("observing")
	if n := w.value(`mother_healer_decisions_total{action="restartCgMiner",decision="would_act",reason="dead_board"}`); n < 1 {
		t.Errorf("%g decisions that it would act, want some", n)
	}
	if w.value(`mother_healer_mode{mode="observe"}`) != 1 {
		t.Error("the mode is not observe")
	}
	w.p.stop(t)

	stop := filepath.Join(w.dir, "STOP")
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.start("--dragon-health-reboot")
	eventually(t, "the healer sees STOP", func() bool { return w.value("mother_healer_stop") == 1 })
	eventually(t, "STOP is all that holds them", func() bool {
		out, _ := w.plan("--why", w.worker(first))
		return w.value(`mother_healer_blocked{gate="stop"}`) == 2 && strings.Count(out, "CLOSED") == 1
	})
	w.live(20 * time.Minute)
	w.wantNoWrites("STOP")
	if err := os.Remove(stop); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first is restarted", func() bool { return len(w.dragons.Dragon(first).Writes()) == 1 })

	// The second could be as soon as there is a verdict on the first.
	if out, status := w.invoke("healer", "pause", "--scope=fleet", "--reason=a visit", "--for=12h"); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	before := len(w.writes()) // on a busy machine the verdict may be there first
	w.waitFor(first, healer.StateProbation)
	w.live(20 * time.Minute)
	if n := len(w.writes()); n != before {
		t.Errorf("%d writes under a pause, want the %d before it", n, before)
	}
	if out, status := w.invoke("healer", "resume", "p1"); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	eventually(t, "the second is restarted", func() bool { return len(w.dragons.Dragon(second).Writes()) == 1 })
	if n := len(w.writes()); n != 2 {
		t.Errorf("%d writes, want 2", n)
	}
	w.p.stop(t)
}

// TestAStopBetweenADecisionAndItsSend says STOP while the dragon takes its time to
// say who it is, which is the last question before a write.
func TestAStopBetweenADecisionAndItsSend(t *testing.T) {
	t.Parallel()
	const patient = 5
	w := newFarm(t, 30, unhurried, early, "--dragon-health-reboot")
	askedWhoItIs := w.detain(patient)
	eventually(t, "it is asked who it is, to be restarted", askedWhoItIs)
	stop := filepath.Join(w.dir, "STOP")
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is held", func() bool { return w.value(`mother_healer_blocked{gate="stop"}`) == 1 })
	w.live(5 * time.Minute)
	w.wantNoWrites("a STOP before the send")
	if err := os.Remove(stop); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is healed", func() bool { return w.dragons.Dragon(patient).Truth().Boards[2].Alive })
	w.p.stop(t)
}

// TestASwapOfAddressesReachesNoOtherDragon lets sick dragons exchange their addresses
// with one that a human works on, which is as sick: while the heal is due, and at the
// last moment.
func TestASwapOfAddressesReachesNoOtherDragon(t *testing.T) {
	t.Parallel()
	const first, second, off = 5, 6, 14
	w := newFarm(t, 30, unhurried, early, "--dragon-health-reboot")
	if out, status := w.invoke("healer", "maintenance", "--scope=mac="+w.worker(off), "--reason=a new fan", "--for=48h"); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	if out, status := w.invoke("healer", "pause", "--scope=fleet", "--reason=until it is due"); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	dead := []dragontest.FaultOption{dragontest.CuredBy(dragontest.CuredByRestart)}
	w.dragons.Dragon(off).Inject(dragontest.DeadBoard)
	w.dragons.Dragon(first).Inject(dragontest.DeadBoard, dead...)
	w.waitFor(first, healer.StateHeld)
	if err := w.dragons.Swap(first, off); err != nil {
		t.Fatal(err)
	}
	if out, status := w.invoke("healer", "resume", "p2"); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	eventually(t, "the first is healed where it lives now", func() bool { return w.dragons.Dragon(first).Truth().Boards[2].Alive })

	askedWhoItIs := w.detain(second)
	eventually(t, "the second is asked who it is, to be restarted", askedWhoItIs)
	if err := w.dragons.Swap(second, off); err != nil {
		t.Fatal(err)
	}
	// It said who it is, and is no longer where it said so. The dragon that is there now
	// does not know the token, or is asked who it is once more: nothing is sent to it.
	eventually(t, "the write to the second comes to nothing", func() bool {
		for _, r := range w.sent() {
			if r.Worker == w.worker(second) {
				return !r.Result.Success
			}
		}
		return w.value("mother_identity_mismatch_total") >= 1 || w.state(second, healer.StateUnreachable)
	})
	w.dragons.Dragon(second).Clear(dragontest.Slow)
	w.live(5 * time.Minute)
	for i, d := range w.dragons.Dragons() {
		if i == second { // it may be healed where it lives now
			continue
		}
		if n := len(d.Writes()); i != first && n > 0 {
			t.Errorf("%s was sent %d writes, want none", w.worker(i), n)
		}
	}
	if n := len(w.dragons.Dragon(first).Writes()); n != 1 {
		t.Errorf("the first was sent %d writes, want 1", n)
	}
	eventually(t, "all are known at their new addresses", func() bool {
		page := get(t, w.base+"/metrics")
		return strings.Count(page, "\ndragon_boards{") == 30 && w.state(off, healer.StateMaintenance)
	})
	w.p.stop(t)
}

// early is the shipped policy with less patience, for farms that live slower.
const (
	unhurried = 40
	early     = `
healing:
  start_observe: 1m
  start_samples: 2
  new_device_observe: 1m
  new_device_samples: 2
  default:
    detect:
      dead_board: {for: 2m, bad: 3, of: 3}
`
)

// detain makes a dragon sick that takes its time to say who it is: two seconds of ours,
// and little enough of its own for what is known of it not to grow stale. The healer
// knows who it is by then, and asks again only right before it acts: asked reports that.
func (w *instance) detain(i int) (asked func() bool) {
	d := w.dragons.Dragon(i)
	overviews := func() int { return d.Traffic().Requests["overview"] }
	before := overviews()
	d.Inject(dragontest.Slow, dragontest.On("overview"), dragontest.Delay(2*unhurried*time.Second))
	d.Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	return func() bool { return overviews() > before }
}
