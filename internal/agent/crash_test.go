package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

func crash(t *testing.T, k *killer, kills bool) (reached bool) {
	t.Helper()
	w := newFixture(t, 4)
	var committed sync.Map // MACs with an intent on the disk
	k.seen = func(r store.Records) {
		for mac, data := range r.Dragons {
			if bytes.Contains(data, []byte(`"restartCgMiner"`)) {
				committed.Store(mac, true)
			}
		}
	}
	ctx, cancel := context.WithCancel(w.ctx)
	k.kill = cancel
	whole := w.ctx
	w.ctx = ctx
	w.setUps = []func(*Healer){func(h *Healer) { h.commit = k.commit }}
	w.start()
	w.killBoard(1)
	died := false
	for range 60 * 12 { // an hour
		pass(5 * time.Second)
		if _, ok := committed.Load(w.dragons.Dragon(1).Spec().MAC); !ok && len(w.wrote(1)) > 0 {
			t.Fatalf("commit %d: a write without an intent on the disk", k.at)
		}
		if !k.dead() || died {
			continue
		}
		died = true
		w.stop()
		next := &killer{seen: k.seen}
		w.ctx, w.setUps = whole, []func(*Healer){func(h *Healer) { h.commit = next.commit }} //nolint:fatcontext // it is the outer one again
		old := w.healer.mem
		h := w.start()
		synctest.Wait()
		if kills && k.after {
			rebuilt(t, k, old, h)
		}
	}
	w.ctx = whole
	if !died && !k.fail && k.reached() {
		t.Fatalf("commit %d was reached and nothing died", k.at)
	}
	// Once, whatever happened; and the dragon is cured.
	if got := w.wrote(1); len(got) > 1 {
		t.Errorf("commit %d: written %v, want one restart at most", k.at, got)
	}
	if w.dragons.Dragon(1).Truth().Boards[1].Alive != (len(w.wrote(1)) == 1) {
		t.Errorf("commit %d: cured without a write, or written without a cure", k.at)
	}
	ids := map[string]bool{}
	for _, a := range w.healer.mem.Fleet.Ring {
		if ids[a.ID] {
			t.Errorf("commit %d: action %s twice", k.at, a.ID)
		}
		ids[a.ID] = true
	}
	for i := range 4 {
		if i != 1 && len(w.wrote(i)) > 0 {
			t.Errorf("commit %d: a healthy dragon was written %v", k.at, w.wrote(i))
		}
	}
	w.stop()
	return k.reached()
}

func rebuilt(t *testing.T, k *killer, old *healer.Memory, h *Healer) {
	t.Helper()
	err := h.onLoop(t.Context(), "test", func(context.Context) error {
		if h.mem.Fleet.Epoch != old.Fleet.Epoch+1 {
			return fmt.Errorf("epoch %d after %d", h.mem.Fleet.Epoch, old.Fleet.Epoch)
		}
		for mac, r := range old.Dragons {
			n := h.mem.Dragons[mac]
			if n == nil || len(n.Actions) != len(r.Actions) || n.Rung != rungAfter(r, n) {
				return fmt.Errorf("%s: %d actions on rung %d are remembered as %+v", mac, len(r.Actions), r.Rung, n)
			}
			for i := range n.Actions {
				if a := n.Actions[i]; a.ID != r.Actions[i].ID || a.Result == healer.Pending {
					return fmt.Errorf("%s: action %+v became %+v", mac, r.Actions[i], a)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("commit %d: %v", k.at, err)
	}
}

// rungAfter is the rung that a dragon has after a kill: that nothing was sent, and the step is still
// the next one, may not have been written down.
func rungAfter(old, n *healer.Record) int {
	if i := len(n.Actions) - 1; i >= 0 && n.Actions[i].Result == healer.Unknown && old.Actions[i].Result == healer.NotSent {
		return n.Actions[i].Rung
	}
	return old.Rung
}

func TestAKillAtAnyCommitLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		commits := 0
		for at, more := 1, true; more; at++ {
			if testing.Short() && at%5 != 0 {
				continue
			}
			synctest.Test(t, func(t *testing.T) { more = crash(t, &killer{at: at, after: after}, true) })
			commits = at
		}
		if commits < 10 {
			t.Errorf("only %d commits", commits)
		}
	}
}

func TestADiskThatFailsAtAnyCommitNeverLosesAnIntent(t *testing.T) {
	t.Parallel()
	for at, more := 1, true; more; at++ {
		if testing.Short() && at%5 != 0 {
			continue
		}
		synctest.Test(t, func(t *testing.T) { more = crash(t, &killer{at: at, fail: true}, false) })
	}
}

func TestWithoutADiskNothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		var full atomic.Bool
		w.setUps = append(w.setUps, func(h *Healer) {
			h.commit = func(b Backend, r store.Records) error {
				if full.Load() {
					return errors.New("no space left on device")
				}
				return b.Commit(r)
			}
		})
		w.start()
		w.settle()
		full.Store(true)
		w.killBoard(1)
		pass(time.Hour)
		if w.wroteAnything() {
			t.Error("something was sent that could not be written down")
		}
		if w.metric("mother_state_writable") != 0 || w.metric("mother_state_write_errors_total") < 1 || w.metric("mother_healer_mode", "mode", "observe") != 1 {
			t.Error("the metrics do not say that the state cannot be written")
		}
		_, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "mac", Value: w.worker(1), Owner: "eva", Reason: "disk"})
		if !errors.Is(err, ErrUnwritten) {
			t.Errorf("pausing with a full disk: %v, want that it holds but is not written", err)
		}
		if p, _ := w.healer.Plan(); len(p.Pauses) != 1 {
			t.Error("the pause does not hold")
		}
		full.Store(false)
		if err := w.healer.Resume(w.ctx, "p1", "eva"); err != nil {
			t.Error(err)
		}
		w.until("the dragon is healed when the disk is back", time.Hour, func() bool { return len(w.wrote(1)) == 1 })
	})
}

func TestADirectoryThatCannotBeUsedMakesTheHealerObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.dir = filepath.Join(w.dir, "file", "data")
		if err := os.WriteFile(filepath.Dir(w.dir), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.killBoard(1)
		pass(time.Hour)
		if w.wroteAnything() {
			t.Error("something was sent")
		}
		if s := w.healer.Status(); s == nil || s.Owner || s.Writable || s.Error == "" || s.Mode != "observe" {
			t.Errorf("status %+v", s)
		}
		if d, err := w.healer.Why(w.worker(1)); err != nil || d.Blocked == "" {
			t.Errorf("the plan does not say why nothing is done: %+v, %v", d, err)
		}
		// The disk comes back.
		if err := os.Remove(filepath.Dir(w.dir)); err != nil {
			t.Fatal(err)
		}
		w.until("the dragon is healed", time.Hour, func() bool { return len(w.wrote(1)) == 1 })
	})
}

func TestOfTwoOnOneDirectoryOneObservesUntilTheOtherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		first := w.start()
		w.settle()
		stopFirst := w.stopRun
		second, run := w.make(w.dir)
		w.stopRun = run()
		defer stopFirst()
		w.healer = second
		w.current.Store(second)
		pass(10 * time.Minute)
		if s := second.Status(); s.Owner || s.Mode != "observe" {
			t.Errorf("the second one's status: %+v", s)
		}
		if !first.Status().Owner {
			t.Error("the first one has lost the state")
		}
		if err := second.Quarantine(w.ctx, w.worker(1), "eva", "test"); !errors.Is(err, ErrNotOwner) {
			t.Errorf("the second one took an order: %v", err)
		}
		stopFirst()
		pass(2 * time.Minute)
		if s := second.Status(); !s.Owner || s.Epoch != 2 {
			t.Errorf("the second one did not take over: %+v", s)
		}
		w.killBoard(1)
		w.until("the second one heals", time.Hour, func() bool { return len(w.wrote(1)) == 1 })
	})
}

// The inventory is written rarely, and a kill loses what the fleet was told. The healer's own state has
// what was sent.
func TestARestartIsOursAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.start()
		w.settle()
		w.killBoard(1)
		w.until("the dragon is restarted", time.Hour, func() bool { return len(w.wrote(1)) == 1 && !w.acting() })
		d := w.fleet.Lookup(w.worker(1))
		if d.Health().Restarts.Miner.Healer != 0 {
			t.Fatal("the restart was seen too soon for this test")
		}
		w.stop()
		d.Unexpect(fleet.MinerRestart)
		w.start()
		w.until("the restart is seen", time.Hour, func() bool { return d.Health().Restarts.Miner != (fleet.RestartCount{}) })
		if got := d.Health().Restarts.Miner; got != (fleet.RestartCount{Healer: 1}) {
			t.Errorf("%+v, want the healer's", got)
		}
	})
}

func TestALostMemoryChargesEveryBudget(t *testing.T) {
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		if err := os.WriteFile(filepath.Join(w.dir, "healer.db"), []byte("this is not a database"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.settle()
		w.killBoard(1)
		pass(3 * time.Hour)
		if w.wroteAnything() {
			t.Error("something was sent without a memory")
		}
		if s := w.healer.Status(); s.Recovered == "" || w.metric("mother_state_recovered") != 1 {
			t.Errorf("status %+v", s)
		}
		aside, _ := filepath.Glob(filepath.Join(w.dir, "healer.db.*"))
		if len(aside) != 1 {
			t.Errorf("set aside: %v", aside)
		}
		if err := w.healer.Ack(w.ctx, "recovered_state", "", "eva"); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Hour) // that ends the observation, and not the charges
		if w.wroteAnything() || w.healer.Status().Recovered == "" {
			t.Error("something was sent although every budget counts as used up")
		}
		w.until("it heals when the day is over", 24*time.Hour, func() bool { return len(w.wrote(1)) == 1 })
	})
}

func TestAPanicEndsTheHealingAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		place := w.place
		w.place = func(i healer.Device) (string, string) {
			if dragon.WorkerName(i.MAC) == w.worker(3) && w.enacted.Load().Seed == 13 {
				panic("a bug")
			}
			return place(i)
		}
		w.start()
		w.settle()
		p := impatient()
		p.Seed = 13
		w.enact(p)
		pass(3 * time.Minute)
		p = impatient()
		w.enact(p)
		w.killBoard(1)
		pass(time.Hour)
		if w.wroteAnything() {
			t.Error("something was sent after a panic")
		}
		if w.metric("mother_healer_panics_total") < 1 || w.metric("mother_healer_mode", "mode", "safe") != 1 {
			t.Error("the panic is not counted")
		}
		if d, err := w.healer.Why(w.worker(1)); err != nil || d.Verb != healer.WouldAct {
			t.Errorf("it does not go on deciding: %+v, %v", d, err)
		}
		if _, err := w.healer.Reboot(w.ctx, w.worker(1), "eva", "test", true); err == nil {
			t.Error("a reboot was sent after a panic")
		}
	})
}

func TestAPanicBesideTheOwnerIsHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		var buggy atomic.Bool
		w.configs = append(w.configs, func(c *Config) {
			c.Policy = func() *healer.Policy {
				if buggy.Load() {
					panic("a bug")
				}
				return w.enacted.Load()
			}
			c.OnAction = func(*fleet.Info, *healer.Action) { panic("another") }
		})
		w.start()
		w.settle()
		if _, err := w.healer.Reboot(w.ctx, w.worker(1), "eva", "test", false); err == nil || w.metric("mother_healer_panics_total") != 1 {
			t.Errorf("%v, %g panics", err, w.metric("mother_healer_panics_total"))
		}
		buggy.Store(true)
		pass(10 * time.Minute)
		if n := w.metric("mother_healer_panics_total"); n < 5 || w.metric("mother_healer_mode", "mode", "safe") != 1 {
			t.Errorf("%g panics", n)
		}
	})
}
