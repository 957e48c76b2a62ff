package healer

import (
	"slices"
	"testing"
	"time"
)

func TestClockJumpPausesAndRefillsNothing(t *testing.T) {
	for _, jump := range []time.Duration{-14 * 24 * time.Hour, -time.Hour, time.Hour, 14 * 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			f := newFarm(t, 20).settle()
			for i := range 3 {
				killBoard(f.units[3], i, 60)
			}
			f.run(20 * time.Minute) // one restart is out
			used, _ := f.mem.Fleet.begun(Kind.heals, day, f.plan.At)
			if used != 1 {
				t.Fatalf("%d writes, want 1", used)
			}
			killBoard(f.units[7], 0, 60)
			f.now.Wall = f.now.Wall.Add(jump)
			f.run(9 * time.Minute)
			if f.plan.ClockJumps != 1 {
				t.Errorf("%d jumps seen, want 1", f.plan.ClockJumps)
			}
			if n, _ := f.mem.Fleet.begun(Kind.heals, day, f.plan.At); n != used {
				t.Errorf("%d writes charged after the jump, want %d", n, used)
			}
			if n := len(f.sent); n != 1 {
				t.Errorf("%d writes, want none in the pause", n)
			}
			f.run(2 * time.Hour)
			if got := f.sentTo(7); len(got) == 0 {
				t.Error("nothing is done after the pause")
			}
		})
	}
}

// S6: after a power cut of a host without a clock.
func TestUntrustedClockOnlyObserves(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.run(10 * time.Minute)
	killBoard(f.units[3], 0, 60)
	f.host.ClockSynced = false
	f.now.BootID, f.now.Mono = "boot-2", 1*time.Minute
	f.now.Wall = f.now.Wall.Add(-100 * time.Hour)
	for _, u := range f.units { // they were up all the time
		u.boot, u.start = f.now.Mono-48*time.Hour, f.now.Mono-48*time.Hour
	}
	f.reload()
	f.run(90 * time.Minute)
	if f.plan.ClockTrusted || len(f.sent) != 0 {
		t.Errorf("trusted %v, sent %v", f.plan.ClockTrusted, f.sent)
	}
	if !slices.Contains(f.closed(3), GateClock) {
		t.Errorf("closed gates %v, want clock", f.closed(3))
	}
	f.host.ClockSynced = true
	f.now.Wall = f.now.Wall.Add(101 * time.Hour)
	f.run(60 * time.Minute)
	if len(f.sent) == 0 {
		t.Errorf("nothing is done once the clock is right; closed %v", f.closed(3))
	}
}

// S15, S35: an intent without a result is never sent again, and stays charged.
func TestKilledBetweenIntentAndResult(t *testing.T) {
	for _, happened := range []bool{true, false} {
		f := newFarm(t, 10).settle()
		f.sends = false
		killBoard(f.units[3], 0, 60)
		for f.of(3).Verb != Act {
			f.tick()
		}
		a, err := f.mem.Intend(f.now, f.of(3), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if happened {
			f.restart(f.units[3])
		}
		f.reload()
		if got := f.record(3).Actions[0]; got.Result != Unknown || got.ID != a.ID {
			t.Errorf("action %+v, want an unknown result", got)
		}
		f.sends = true
		f.run(14 * time.Minute)
		if len(f.sent) != 0 {
			t.Errorf("sent %v during the start-up observation", f.sent)
		}
		f.run(6 * time.Minute)
		want := NoEffect
		if !happened {
			want = NotExecuted
		}
		if got := f.record(3).Actions[0].Outcome; got != want {
			t.Errorf("happened %v: outcome %q, want %q", happened, got, want)
		}
		f.run(2 * time.Hour)
		if got := f.sentTo(3); len(got) == 0 || got[0] != Reboot {
			t.Errorf("happened %v: then sent %v, want the next rung", happened, got)
		}
	}
}

// S16: a healer that keeps dying stops acting.
func TestCrashLoopEndsInSafeMode(t *testing.T) {
	f := newFarm(t, 5).settle()
	for range 4 {
		f.reload()
		f.tick()
	}
	if f.mem.Fleet.SafeMode == nil {
		t.Fatal("no safe mode after four unclean starts")
	}
	killBoard(f.units[1], 0, 60)
	f.run(90 * time.Minute)
	if len(f.sent) != 0 || !slices.Contains(f.closed(1), GateSafeMode) {
		t.Errorf("sent %v, closed %v", f.sent, f.closed(1))
	}
	f.run(6 * time.Hour)
	if len(f.sent) == 0 {
		t.Error("safe mode does not end after six clean hours")
	}
}

func TestCleanStartsAreNoCrashLoop(t *testing.T) {
	f := newFarm(t, 5)
	for range 6 {
		f.tick()
		f.mem.Stop(f.now)
		f.reload()
	}
	if f.mem.Fleet.SafeMode != nil {
		t.Error("clean restarts led to safe mode")
	}
}

// S34: a memory that was lost counts as used up.
func TestRecoveredStateIsFullyCharged(t *testing.T) {
	f := newFarm(t, 5)
	f.mem.Recover(f.now, "healer.db: bad checksum")
	f.settle()
	killBoard(f.units[3], 0, 60)
	f.run(22 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	for _, b := range f.plan.Budgets { // the status shows what the gates ask
		if full := b.Used == b.Limit; full != (b.Window == Span(day)) {
			t.Errorf("a day's gate holds, and the budgets show %+v", f.plan.Budgets)
		}
	}
	f.run(3 * time.Hour)
	if len(f.sent) == 0 {
		t.Errorf("nothing is done after a day: %v", f.closed(3))
	}
}

// S36: a dragon that does not come back stops the ladder, and two stop the healer.
