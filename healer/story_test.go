package healer

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestHealthyFarmIsLeftAlone(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.run(24 * time.Hour)
	if n := f.plan.Counts.States[StateHealthy]; n != 20 {
		t.Errorf("%d healthy, want 20: %v", n, f.plan.Counts.States)
	}
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	if b := f.record(0).Baseline.Value; b < 14.9*tera || b > 15.1*tera {
		t.Errorf("learned baseline %g, want 15e12", b)
	}
}

func TestDeadBoardThatARestartCures(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.cure = revive
	killBoard(f.units[3], 1, 60)
	f.run(2 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart}) {
		t.Fatalf("sent %v, want one restart", got)
	}
	if a := f.record(3).Actions[0]; a.Outcome != Recovered {
		t.Errorf("outcome %q, want recovered", a.Outcome)
	}
	if s := f.of(3).State; s != StateHealthy {
		t.Errorf("state %s, want healthy", s)
	}
}

// S14: a board that nothing brings back costs one restart and one reboot; then the
// dragon mines on with what works, and a human is told.
func TestPermanentlyDeadBoardIsQuarantinedAfterOneReboot(t *testing.T) {
	f := newFarm(t, 4).settle()
	killBoard(f.units[3], 1, 60)
	f.run(30 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart, Reboot}) {
		t.Fatalf("sent %v, want a restart and a reboot", got)
	}
	if s := f.of(3).State; s != StateQuarantined {
		t.Errorf("state %s, want quarantined", s)
	}
}

// S13: a dragon that does not mine at all gets the whole ladder, over at least 11 hours.
func TestWholeLadderTakesElevenHours(t *testing.T) {
	f := newFarm(t, 5).settle()
	for i := range 3 {
		killBoard(f.units[3], i, 60)
	}
	for f.of(3).State != StateQuarantined && f.age() < 72*time.Hour {
		f.tick()
	}
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart, Reboot, Reboot, Reboot}) {
		t.Fatalf("sent %v, want the whole ladder", got)
	}
	r := f.record(3)
	if took := r.Quarantine.At.Since(r.Actions[0].At); took < 11*time.Hour {
		t.Errorf("quarantined %s after the first step, want at least 11h", took)
	}
	for i, least := range []time.Duration{30 * time.Minute, 30 * time.Minute, 2 * time.Hour} {
		if gap := r.Actions[i+1].At.Since(r.Actions[i].At); gap < least {
			t.Errorf("step %d came %s after the one before, want at least %s", i+2, gap, least)
		}
	}
}

// S1: a pool outage is not the dragons' illness.
func TestPoolOutageHealsNobody(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units {
		u.pools[0].Status = "Dead"
	}
	f.run(2 * time.Hour)
	if !f.plan.Pools[0].Down {
		t.Error("the pool is not known to be down")
	}
	for _, u := range f.units {
		u.pools[0].Status = "Alive"
	}
	f.run(6 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	if len(f.plan.Breakers) != 0 {
		t.Errorf("breakers still open: %v", f.plan.Breakers)
	}
}

// S1: after the outage the one that does not come back is restarted, never rebooted.
func TestStuckAfterPoolOutageIsRestarted(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units {
		u.pools[0].Status = "Dead"
	}
	f.run(2 * time.Hour)
	for _, u := range f.units[1:] {
		u.pools[0].Status = "Alive"
	}
	back := f.now.Mono
	f.cure = func(u *unit, _ Kind) { u.pools[0].Status = "Alive" }
	f.run(3 * time.Hour)
	if got := f.sentTo(0); !slices.Equal(got, []Kind{Restart}) || len(f.sent) != 1 {
		t.Fatalf("sent %v, want one restart of the stuck one", f.sent)
	}
	if after := f.sent[0].Wall.Sub(f.now.Wall) + f.now.Mono - back; after < 20*time.Minute {
		t.Errorf("restarted %s after the pool came back, want at least 20m", after)
	}
}

// S2: its own dead pools get a dragon restarted, at most every six hours, and never rebooted.
func TestLocalPoolTroubleIsNeverRebooted(t *testing.T) {
	f := newFarm(t, 6).settle()
	f.units[5].pools[0].Status = "Dead"
	f.run(30 * time.Hour)
	got := f.sentTo(5)
	if len(got) < 3 || len(got) > 5 || slices.Contains(got, Reboot) {
		t.Fatalf("sent %v, want a few restarts", got)
	}
	r := f.record(5)
	for i := 1; i < len(r.Actions); i++ {
		if gap := r.Actions[i].At.Since(r.Actions[i-1].At); gap < 6*time.Hour {
			t.Errorf("restart after %s, want at least 6h", gap)
		}
	}
}

// S3: a switch takes a row with it.
func TestDomainOutageIsNobodysIllness(t *testing.T) {
	f := newFarm(t, 30)
	for i, u := range f.units {
		u.who.Domain = []string{"a", "b", "c"}[i%3]
	}
	f.settle()
	for i := range f.units {
		if i%3 == 0 {
			f.units[i].reach = Timeout
		}
	}
	killBoard(f.units[3], 0, 60) // in the dark row
	f.run(20 * time.Minute)
	if d := f.plan.Domains[0]; !d.Down {
		t.Errorf("domain %+v is not down", d)
	}
	if s := f.of(3).State; s != StateUnreachable {
		t.Errorf("state %s, want unreachable", s)
	}
	for _, u := range f.units {
		u.reach = Reached
	}
	f.run(24 * time.Minute)
	if len(f.sent) != 0 {
		t.Errorf("sent %v within the grace after the return", f.sent)
	}
	if !f.plan.Domains[0].Held || f.plan.Domains[0].Down {
		t.Errorf("domain %+v, want held and not down", f.plan.Domains[0])
	}
	f.cure = revive
	f.run(2 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart}) {
		t.Errorf("sent %v, want a restart once the hold was over", got)
	}
}

// S4: the healer itself is cut off.
func TestIsolationHoldsEverything(t *testing.T) {
	for _, how := range []string{"most are gone", "gateway"} {
		t.Run(how, func(t *testing.T) {
			f := newFarm(t, 10).settle()
			killBoard(f.units[9], 0, 60)
			if how == "gateway" {
				f.host.GatewayDown = true
			} else {
				for i, u := range f.units[:6] {
					u.reach = Unreachable
					u.who.Domain = string(rune('a' + i))
				}
			}
			f.run(40 * time.Minute)
			if len(f.sent) != 0 {
				t.Errorf("sent %v", f.sent)
			}
			if !slices.Contains(f.closed(9), GateIsolation) {
				t.Errorf("closed gates %v, want isolation", f.closed(9))
			}
		})
	}
}

// S5: the power was off.
func TestPowerCutIsSatOut(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units {
		u.reach = Timeout
	}
	f.run(3 * time.Minute)
	for _, u := range f.units {
		u.reach, u.tuning = Reached, true
		f.reboot(u)
	}
	killBoard(f.units[4], 0, 60)
	f.run(40 * time.Minute)
	if b := f.mem.breaker("fleet_boot", ""); b == nil {
		t.Fatal("the boot was not noticed")
	}
	if b := f.mem.breaker("foreign", ""); b != nil {
		t.Error("the power cut is taken for a stranger")
	}
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	for _, u := range f.units {
		u.tuning = false
	}
	f.cure = revive
	f.run(4 * time.Hour)
	if got := f.sentTo(4); !slices.Equal(got, []Kind{Restart}) || len(f.sent) != 1 {
		t.Errorf("sent %v, want one restart of the dead board", f.sent)
	}
	for i := range f.units {
		if f.record(i).Flapping != 0 {
			t.Errorf("unit %d flaps", i)
		}
	}
	if len(f.plan.Breakers) != 0 {
		t.Errorf("breakers still open: %+v", f.plan.Breakers)
	}
}

// S10: a jump of the wall clock pauses, and changes nothing else.
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

// S12: a dragon that restarts by itself is not helped by more of it.
func TestFlappingDragonIsLeftAlone(t *testing.T) {
	f := newFarm(t, 5).settle()
	for range 4 {
		f.reboot(f.units[2])
		f.run(16 * time.Minute)
	}
	if s := f.of(2).State; s != StateFlapping {
		t.Fatalf("state %s, want flapping", s)
	}
	killBoard(f.units[2], 0, 60)
	f.run(23 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	f.run(3 * time.Hour)
	if len(f.sentTo(2)) == 0 {
		t.Errorf("not acted on after a stable day: %+v", f.of(2))
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

// S18: somebody else restarts dragons. Those are left alone, the others are not.
func TestForeignRestartsHoldWhatTheyStrike(t *testing.T) {
	f := newFarm(t, 40).settle()
	f.units[1].who.Domain = "elsewhere"
	killBoard(f.units[1], 0, 60)
	killBoard(f.units[20], 0, 60)
	for i := range 3 {
		f.restart(f.units[i])
		f.run(2 * time.Minute)
	}
	f.cure = revive
	f.run(50 * time.Minute)
	if len(f.sentTo(1)) != 0 || !slices.Contains(f.closed(1), GateForeign) || len(f.sentTo(20)) != 1 {
		t.Errorf("sent %v, closed %v", f.sent, f.closed(1))
	}
	f.run(3 * time.Hour)
	if len(f.sentTo(1)) != 1 {
		t.Errorf("sent %v, want one once the hold was over", f.sent)
	}
	if f.mem.breaker("foreign", "") != nil {
		t.Error("the breaker did not close after its trial")
	}
}

// S19: what is known of a dragon moves with its MAC.
func TestDHCPSwapKeepsEvidenceWithTheMAC(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.sends = false
	killBoard(f.units[3], 0, 60)
	f.run(5 * time.Minute)
	a, b := f.units[3], f.units[4]
	a.who.Address, b.who.Address = b.who.Address, a.who.Address
	f.run(20 * time.Minute)
	if d := f.of(3); d.Verb != Act || d.Address != a.who.Address {
		t.Errorf("decision %+v, want to act on the sick one at its new address", d)
	}
	if s := f.of(4).State; s != StateHealthy {
		t.Errorf("the other one is %s", s)
	}
	if f.record(3).Who.Address != a.who.Address {
		t.Error("the record has the old address")
	}
}

// S20: of two that claim one MAC neither is touched.
func TestMACConflictFreezesBoth(t *testing.T) {
	f := newFarm(t, 10).settle()
	killBoard(f.units[3], 0, 60)
	twin := *f.units[3]
	twin.who.Address = "127.9.9.9"
	f.units = append(f.units, &twin)
	zero := f.add(77)
	zero.who.MAC = "00:00:00:00:00:00"
	killBoard(zero, 0, 60)
	f.run(2 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	if n := f.plan.Counts.States[StateConflict]; n != 3 {
		t.Errorf("%d in conflict, want 3", n)
	}
	f.units = f.units[:10]
	f.run(20 * time.Hour)
	if len(f.sent) != 0 || f.plan.Counts.States[StateConflict] != 1 {
		t.Errorf("sent %v: the twin may only be silent", f.sent)
	}
	f.run(8 * time.Hour)
	if len(f.sentTo(3)) == 0 {
		t.Error("not healed after the conflict was over")
	}
}

// S24: a board that died hot is cooled, tried again and never rebooted.
func TestDeadOfHeatIsNeverRebooted(t *testing.T) {
	for name, temp := range map[string]float64{"sensor cools": 40, "sensor frozen": 111} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 5).settle()
			killBoard(f.units[3], 1, 111)
			f.run(2 * time.Minute)
			died := f.plan.At
			f.units[3].boards[1].temp = temp
			f.run(30 * time.Hour)
			got := f.sentTo(3)
			if len(got) < 2 || slices.Contains(got, Reboot) {
				t.Fatalf("sent %v, want restarts only", got)
			}
			r := f.record(3)
			if wait := r.Actions[0].At.Since(died); wait < 58*time.Minute {
				t.Errorf("tried again after %s, want an hour", wait)
			}
			for i := 1; i < len(r.Actions); i++ {
				if gap := r.Actions[i].At.Since(r.Actions[i-1].At); gap < 6*time.Hour {
					t.Errorf("tried again after %s, want 6h", gap)
				}
			}
		})
	}
}

// Its next boards would die of heat, and no restart keeps them from it.
func TestADragonThatOverheatsIsNotRestartedForItsDeadBoard(t *testing.T) {
	f := newFarm(t, 5).settle()
	u := f.units[3]
	killBoard(u, 1, 60)
	u.boards[0].temp, u.boards[2].temp = 103, 104
	f.run(3 * time.Hour)
	if got := f.sentTo(3); len(got) != 0 {
		t.Fatalf("sent %v while it overheats", got)
	}
	if d := f.of(3); d.Blocked != GateCooling {
		t.Errorf("blocked by %q, want %q", d.Blocked, GateCooling)
	}
	u.boards[0].temp, u.boards[2].temp = 92, 88 // warm, as on any summer's day
	f.run(30 * time.Minute)
	if got := f.sentTo(3); len(got) == 0 {
		t.Error("not healed when it was over")
	}
}

func TestDeadOfHeatIsRememberedAcrossARestart(t *testing.T) {
	f := newFarm(t, 5).settle()
	killBoard(f.units[3], 1, 111)
	f.run(2 * time.Minute)
	f.units[3].boards[1].temp = 40
	f.reload()
	f.run(30 * time.Hour)
	if got := f.sentTo(3); len(got) == 0 || slices.Contains(got, Reboot) {
		t.Errorf("sent %v, want restarts only", got)
	}
}

func TestLowRateOfAHotDragonIsPutDownToHeat(t *testing.T) {
	for name, warm := range map[string]func(*unit){
		"temperature": func(u *unit) { u.boards[2].temp = 94 },
		"fans":        func(u *unit) { u.fan, u.boards[2].temp = 1, 82 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 10).settle()
			u := f.units[3]
			for i := range u.boards {
				u.boards[i].rate = 2 * tera
			}
			warm(u)
			f.run(6 * time.Hour)
			if len(f.sent) != 0 {
				t.Errorf("sent %v", f.sent)
			}
			if d := f.of(3); d.Reason != LowHashrate || d.Note != "attributed to heat" {
				t.Errorf("%s %s %q, want low_hashrate attributed to heat", d.State, d.Reason, d.Note)
			}
		})
	}
}

// S22: a tuning dragon is slow, and left to it; S23: how long it takes is learned.
func TestTuningDragonIsNotSlow(t *testing.T) {
	f := newFarm(t, 10).settle()
	u := f.units[3]
	u.tuning = true
	for i := range u.boards {
		u.boards[i].rate = 1 * tera
	}
	f.run(2 * time.Hour)
	if len(f.sent) != 0 || f.of(3).Note != "tuning" {
		t.Errorf("sent %v, note %q", f.sent, f.of(3).Note)
	}
	u.tuning = false
	f.restart(u) // as it does when tuning ends
	for i := range u.boards {
		u.boards[i].rate = 5 * tera
	}
	f.run(time.Hour)
	if x := f.record(3).Restarts; len(x) != 1 || x[0].Cause != CauseTuning {
		t.Errorf("restarts %+v, want one by tuning", x)
	}
	if got := f.mem.Fleet.Tunes["T1"]; len(got) != 1 || got[0] < 7100 || got[0] > 7300 {
		t.Errorf("learned %v, want about two hours", got)
	}
}

func TestTuningThatNeverEndsIsRestartedOnceADay(t *testing.T) {
	f := newFarm(t, 5).settle()
	f.units[3].tuning = true
	f.run(20 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart}) {
		t.Errorf("sent %v, want one restart", got)
	}
}

// S25: a broken sensor is no fever.
func TestBogusTemperatureIsRestartedOnceADay(t *testing.T) {
	for name, temp := range map[string]float64{"zero": 0, "too hot to be true": 180, "none": -1} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 4).settle()
			f.units[3].boards[1].temp = temp
			f.run(47 * time.Hour)
			if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart, Restart}) {
				t.Errorf("sent %v, want a restart a day", got)
			}
		})
	}
}

// S25: a sensor that says the same whatever the air does is as broken.
func TestFrozenTemperatureIsASensorFault(t *testing.T) {
	wave := func(_ *farm, u *unit, slots ...int) func(int) {
		return func(minute int) {
			for _, i := range slots {
				u.boards[i].temp = 70 + math.Round(4*math.Sin(float64(minute)/20)) // 66 to 74 and back in two hours
			}
		}
	}
	for name, x := range map[string]struct {
		moving []int // boards, of 0 to 2
		change func(*farm, *unit)
		faults int
	}{
		"the other boards move":     {moving: []int{0, 2}, faults: 1},
		"all boards move":           {moving: []int{0, 1, 2}},
		"no board moves":            {},
		"one of the others moves":   {moving: []int{0}},
		"a dead board is frozen":    {moving: []int{0, 2}, change: func(_ *farm, u *unit) { u.boards[1].status = "Dead" }},
		"a board that does nothing": {moving: []int{0, 2}, change: func(_ *farm, u *unit) { u.boards[1].rate = 0 }},
		"it is not looked for":      {moving: []int{0, 2}, change: func(f *farm, _ *unit) { f.policy.Default.Heat.FrozenFor = 0 }},
		"the air hardly moves":      {moving: []int{0, 2}, change: func(f *farm, _ *unit) { f.policy.Default.Heat.FrozenSwing = 12 }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 4).settle()
			u := f.units[3]
			if x.change != nil {
				x.change(f, u)
			}
			move, faults := wave(f, u, x.moving...), 0
			for minute := range 20 * 60 {
				move(minute)
				f.run(time.Minute)
				faults = max(faults, f.of(3).Sensors)
			}
			var restarts int
			for _, a := range f.record(3).Actions {
				if a.Reason == BogusTemp {
					restarts++
				}
			}
			if faults != x.faults || restarts != x.faults {
				t.Errorf("%d sensor faults, %d restarts for it, want %d", faults, restarts, x.faults)
			}
		})
	}
}

// Boards that were cold get warm while another one, which never was, stands still.
func TestBoardsThatGetWarmDoNotMakeAnotherOneFrozen(t *testing.T) {
	for name, restarts := range map[string]bool{"after a restart": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 4).settle()
			u := f.units[3]
			for _, i := range []int{0, 2} {
				killBoard(u, i, 24)
			}
			f.run(time.Hour)
			if restarts {
				f.restart(u)
			}
			for minute := range 3 * 60 {
				for _, i := range []int{0, 2} {
					u.boards[i].status, u.boards[i].temp = "Alive", min(70, 24+2*float64(minute))
				}
				f.run(time.Minute)
				if n := f.of(3).Sensors; n != 0 {
					t.Fatalf("after %d minutes %d sensors are called broken", minute, n)
				}
			}
		})
	}
}

func TestDragonWithoutSensorsIsNotBroken(t *testing.T) {
	f := newFarm(t, 10)
	for i := range f.units[3].boards {
		f.units[3].boards[i].temp = 0
	}
	f.settle().run(6 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
}

// S26: it says that it hashes, and nothing moves.
func TestFlatlineIsHealed(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.units[3].frozen = true
	f.cure = func(u *unit, _ Kind) { u.frozen = false }
	f.run(3 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart}) {
		t.Errorf("sent %v, want a restart", got)
	}
	if f.record(3).Actions[0].Reason != Flatline {
		t.Errorf("reason %s, want flatline", f.record(3).Actions[0].Reason)
	}
}

// S27, S28: nothing can be done about a dragon that does not talk.
func TestSilentDragonIsNotActedOn(t *testing.T) {
	for _, reach := range []ReadStatus{Timeout, Refused, Unreachable, AuthFailed, BadResponse, Busy, Untried} {
		t.Run(string(reach), func(t *testing.T) {
			f := newFarm(t, 10).settle()
			killBoard(f.units[3], 0, 60)
			f.run(5 * time.Minute)
			f.units[3].reach = reach
			f.run(2 * time.Hour)
			if len(f.sent) != 0 {
				t.Errorf("sent %v", f.sent)
			}
		})
	}
}

// S29: what cannot be read is not zero, and a firmware that cannot be read is held.
func TestSchemaDriftHoldsAFirmware(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units[:10] {
		u.who.Firmware = "t1_20990101_000000"
	}
	killBoard(f.units[5], 0, 60)
	killBoard(f.units[15], 0, 60)
	for _, u := range f.units[:2] {
		u.garbage = true
	}
	f.cure = revive
	f.run(2 * time.Hour)
	if s := f.of(0); s.State != StateUnreachable || s.Reason != Schema {
		t.Errorf("state %s reason %s, want unreachable for its schema", s.State, s.Reason)
	}
	if len(f.sentTo(5)) != 0 || !slices.Contains(f.closed(5), GateSchema) {
		t.Errorf("sent %v, closed %v: the firmware is not held", f.sentTo(5), f.closed(5))
	}
	if len(f.sentTo(15)) != 1 {
		t.Errorf("the other firmware is held, too: %v", f.closed(15))
	}
}

// S30: a threshold with a typo is refused before it is used.
func TestConfigGuard(t *testing.T) {
	f := newFarm(t, 20).settle()
	typo := DefaultPolicy()
	typo.Default.Hashrate = 150 * tera
	g, err := Guard(f.now, f.mem, PolicyView{&f.policy, f.view()}, PolicyView{&typo, f.view()})
	if err == nil || len(g.Newly) != 20 {
		t.Errorf("%v, %d newly sick, want a refusal of 20", err, len(g.Newly))
	}
	fine := DefaultPolicy()
	fine.Default.Hashrate = 16 * tera
	if g, err = Guard(f.now, f.mem, PolicyView{&f.policy, f.view()}, PolicyView{&fine, f.view()}); err != nil || len(g.Newly) != 0 {
		t.Errorf("%v, %v newly sick, want none", err, g.Newly)
	}
}

// S32: dragons that are no longer in the view are unreachable, not healthy, and not forgotten.
func TestShrunkenInventoryIsIsolation(t *testing.T) {
	f := newFarm(t, 10).settle()
	killBoard(f.units[0], 0, 60)
	f.units = f.units[:2]
	f.run(30 * time.Minute)
	if f.mem.breaker("isolation", "") == nil || len(f.sent) != 0 {
		t.Errorf("sent %v, breakers %v", f.sent, f.plan.Breakers)
	}
	if n := f.plan.Counts.Fleet; n != 10 {
		t.Errorf("%d dragons known, want 10", n)
	}
	f.now.Mono, f.now.Wall = f.now.Mono+31*day, f.now.Wall.Add(31*day)
	f.tick()
	if n := f.plan.Counts.Fleet; n != 2 {
		t.Errorf("%d dragons known after a month, want 2", n)
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
	f.run(3 * time.Hour)
	if len(f.sent) == 0 {
		t.Errorf("nothing is done after a day: %v", f.closed(3))
	}
}

// S36: a dragon that does not come back stops the ladder, and two stop the healer.
func TestLostAfterActionLatches(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, i := range []int{1, 2} {
		f.units[i].die = true
		killBoard(f.units[i], 0, 60)
		f.run(40 * time.Minute)
		if s := f.of(i).State; s != StateLost {
			t.Errorf("unit %d is %s, want lost", i, s)
		}
	}
	killBoard(f.units[3], 0, 60)
	f.run(20 * time.Hour)
	if len(f.sentTo(3)) != 0 || !slices.Contains(f.closed(3), GateHarm) {
		t.Errorf("sent %v, closed %v", f.sentTo(3), f.closed(3))
	}
	if err := f.mem.Ack(f.now, "harm", "", "user:ann"); err != nil {
		t.Fatal(err)
	}
	f.run(10 * time.Minute)
	if len(f.sentTo(3)) != 1 {
		t.Errorf("nothing is done after the ack: %v", f.closed(3))
	}
}

func TestLostDragonThatReturnsIsWatchedAnew(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.units[1].die = true
	killBoard(f.units[1], 0, 60)
	f.run(40 * time.Minute)
	f.units[1].die, f.units[1].reach = false, Reached
	f.reboot(f.units[1])
	f.run(50 * time.Minute)
	if len(f.sent) != 1 || !slices.Contains(f.closed(1), GateNew) {
		t.Errorf("sent %v, closed %v", f.sent, f.closed(1))
	}
	f.run(60 * time.Minute)
	if len(f.sent) != 2 {
		t.Errorf("sent %v, want the next step after an hour", f.sent)
	}
}

// S37: fewer boards than before is worse.
func TestFewerBoardsIsWorse(t *testing.T) {
	f := newFarm(t, 20).settle()
	killBoard(f.units[1], 0, 60)
	f.cure = func(u *unit, _ Kind) { killBoard(u, 1, 60) }
	f.run(70 * time.Minute)
	if a := f.record(1).Actions[0]; a.Outcome != Worse {
		t.Errorf("outcome %q, want worse", a.Outcome)
	}
	if len(f.mem.Fleet.Harm) == 0 {
		t.Error("the harm breaker does not count it")
	}
}

// S39: cripples are quarantined, and the healer keeps working for the others.
func TestCripplesLeaveTheStormBreaker(t *testing.T) {
	f := newFarm(t, 10).settle()
	for i := range 3 {
		if err := f.mem.Quarantine(f.now, f.units[i].who.MAC, "user:ann", "old"); err != nil {
			t.Fatal(err)
		}
		killBoard(f.units[i], 0, 60)
	}
	killBoard(f.units[7], 0, 60)
	f.cure = revive
	f.run(3 * time.Hour)
	if len(f.sentTo(7)) != 1 || len(f.sent) != 1 {
		t.Errorf("sent %v, want one to the one that can be cured", f.sent)
	}
}

// S41: an announced reboot of many is nobody's doing.
func TestMaintenanceExplainsRestarts(t *testing.T) {
	f := newFarm(t, 30).settle()
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Maintained, Scope: "fleet", Owner: "user:ann", Reason: "new fans"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for i := range 4 {
			f.reboot(f.units[i])
		}
		f.run(10 * time.Minute)
	}
	if err := f.mem.Resume("p1"); err != nil {
		t.Fatal(err)
	}
	f.run(10 * time.Minute)
	if f.mem.breaker("foreign", "") != nil || len(f.sent) != 0 {
		t.Errorf("breakers %+v, sent %v", f.plan.Breakers, f.sent)
	}
}

// S42: samples that come slowly are evidence, if they come often enough.
func TestSlowPollingStillHeals(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.policy.Poll = 2 * time.Minute
	f.cure = revive
	killBoard(f.units[3], 0, 60)
	f.run(2 * time.Hour)
	if len(f.sentTo(3)) != 1 {
		t.Errorf("sent %v, want one restart", f.sent)
	}
}

// Storms: many sick at once are left alone, until it is clear that nothing explains it.
func TestStormAndSlowMode(t *testing.T) {
	f := newFarm(t, 3).settle()
	f.cure = revive
	killBoard(f.units[0], 0, 60)
	killBoard(f.units[1], 0, 60)
	f.run(35 * time.Minute)
	if len(f.sent) != 0 || !slices.Contains(f.closed(0), GateStorm) {
		t.Fatalf("sent %v, closed %v", f.sent, f.closed(0))
	}
	f.run(3 * time.Hour)
	if len(f.sentTo(0)) != 1 || len(f.sentTo(1)) != 1 {
		t.Errorf("sent %v, want both healed slowly", f.sent)
	}
	if first := f.mem.Action(f.macOf(f.sent[0].ID), f.sent[0].ID); f.sent[1].At < first.Ended {
		t.Error("the second was sent before the first had its outcome")
	}
	f.run(2 * time.Hour)
	if len(f.plan.Breakers) != 0 {
		t.Errorf("still open: %+v", f.plan.Breakers)
	}
}

func TestStormWithACauseNeverGoesSlow(t *testing.T) {
	f := newFarm(t, 10).settle()
	for i, u := range f.units {
		if i < 4 {
			killBoard(u, 0, 60)
		} else if i < 8 {
			u.pools[0].Status = "Dead"
		}
	}
	f.run(6 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
}

// The original's rule, in its own unit and for the models that it was made for.
func TestMinimumHashratePerBoard(t *testing.T) {
	f := newFarm(t, 10)
	f.policy.Default.Detect.MinPerBoard = 4 * tera
	f.settle()
	f.units[3].boards[2].rate = 3.5 * tera // 90 % of the whole: not low
	f.run(2 * time.Hour)
	if got := f.record(3).Actions; len(got) == 0 || got[0].Reason != MinHashrate || got[0].Slot != 2 {
		t.Errorf("actions %+v, want one for the minimum of board 2", got)
	}
	f = newFarm(t, 10)
	f.policy.Default.Detect.MinPerBoard = 4 * tera
	for _, u := range f.units {
		u.who.Model = "A9"
		for i := range u.boards {
			u.boards[i].rate = 17000
		}
	}
	f.settle().run(3 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v to Equihash dragons for a SHA-256 minimum", f.sent)
	}
}

func TestLowHashrateIsHealed(t *testing.T) {
	f := newFarm(t, 10).settle()
	for i := range f.units[3].boards {
		f.units[3].boards[i].rate = 2.5 * tera
	}
	f.cure = revive
	f.run(3 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart}) {
		t.Errorf("sent %v, want a restart", got)
	}
}

func TestMissingBoardIsHealed(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.units[3].boards[2].gone = true
	f.cure = revive
	f.run(2 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart}) {
		t.Errorf("sent %v, want a restart", got)
	}
}

// A relapse within the probation climbs the ladder; a day of health forgets it.
func TestRelapseClimbsAndADayForgets(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.cure = revive
	killBoard(f.units[3], 0, 60)
	for f.of(3).State != StateProbation && f.age() < 10*time.Hour {
		f.tick()
	}
	killBoard(f.units[3], 0, 60)
	f.run(2 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart, Reboot}) {
		t.Fatalf("sent %v, want a restart and a reboot", got)
	}
	if o := f.record(3).Actions[0].Outcome; o != Relapsed {
		t.Errorf("first outcome %q, want relapsed", o)
	}
	f.run(26 * time.Hour)
	killBoard(f.units[3], 0, 60)
	f.run(2 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart, Reboot, Reboot}) {
		t.Errorf("sent %v, want the ladder from the step that helped best", got)
	}
}

func TestQuarantineEndsByItselfAfterACleanDay(t *testing.T) {
	f := newFarm(t, 5).settle()
	killBoard(f.units[3], 0, 60)
	f.run(10 * time.Hour)
	if f.of(3).State != StateQuarantined {
		t.Fatalf("state %s", f.of(3).State)
	}
	n := len(f.sent)
	f.run(24 * time.Hour)
	revive(f.units[3], "")
	f.run(23 * time.Hour)
	if f.of(3).State != StateQuarantined {
		t.Errorf("released after less than a day")
	}
	f.run(2 * time.Hour)
	if f.of(3).State != StateHealthy || len(f.sent) != n {
		t.Errorf("state %s, sent %v", f.of(3).State, f.sent[n:])
	}
}

// A step that does not help is skipped, and holds up no step above it; now and then it is
// tried again.
func TestAStepThatDoesNotHelpIsSkipped(t *testing.T) {
	for name, x := range map[string]struct {
		skipped int
		first   Kind
	}{
		"skipped":         {3, Reboot},
		"one in twenty":   {19, Restart},
		"one in a week":   {-1, Restart},
		"not the last of": {18, Reboot},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 40).settle()
			key := efficacyKey("restartCgMiner", LowHashrate, "T1")
			o := f.mem.Fleet.outcomes(key)
			o.Last, o.Skipped, o.Tried = append(make([]bool, 9), true), x.skipped, f.plan.At
			if x.skipped < 0 {
				o.Tried -= Moment(week)
			}
			for i := range f.units[3].boards {
				f.units[3].boards[i].rate = 2 * tera
			}
			f.cure = func(u *unit, kind Kind) {
				if kind == Reboot {
					revive(u, kind)
				}
			}
			f.run(50 * time.Minute)
			if got := f.sentTo(3); len(got) == 0 || got[0] != x.first {
				t.Fatalf("sent %v, want %s first", got, x.first)
			}
			if x.first == Reboot && o.Skipped != x.skipped+1 || x.first == Restart && o.Skipped != 0 {
				t.Errorf("%d skipped", o.Skipped)
			}
			f.run(90 * time.Minute)
			if b := f.mem.breaker("efficacy", key); x.first == Restart && (b == nil || b.State != BreakerOpen) {
				t.Errorf("breaker %+v, want it open: the step is skipped", b)
			}
			if got := f.sentTo(3); got[len(got)-1] != Reboot {
				t.Errorf("sent %v, want a reboot in the end", got)
			}
		})
	}
}

// Ten dragons that no step has helped latch the ladder, not the one that helped some.
func TestALadderThatHelpsNoneIsLatched(t *testing.T) {
	f := newFarm(t, 60).settle()
	key := ladderKey(DeadBoard, "T1")
	f.mem.Fleet.outcomes(key).Quarantined = 9
	killBoard(f.units[3], 0, 60)
	f.run(8 * time.Hour)
	b := f.mem.breaker("efficacy", key)
	if f.of(3).State != StateQuarantined || b == nil || b.State != BreakerLatched {
		t.Fatalf("state %s, breaker %+v", f.of(3).State, b)
	}
	killBoard(f.units[9], 0, 60)
	n := len(f.sent)
	f.run(3 * time.Hour)
	if d := f.of(9); d.Blocked != GateEfficacy || len(f.sent) != n {
		t.Errorf("blocked by %q, sent %v", d.Blocked, f.sent[n:])
	}
	if err := f.mem.Ack(f.now, "efficacy", key, "user:ann"); err != nil {
		t.Fatal(err)
	}
	f.cure = revive
	f.run(time.Hour)
	if len(f.sentTo(9)) == 0 || f.mem.Fleet.outcomes(key).Quarantined != 0 {
		t.Errorf("sent %v, want it healed once a human has looked", f.sent[n:])
	}
}

func TestBelowBaselineIsShownAndLeftAlone(t *testing.T) {
	f := newFarm(t, 10).settle()
	for i := range f.units[3].boards {
		f.units[3].boards[i].rate = 3.6 * tera
	}
	f.run(3 * time.Hour)
	if d := f.of(3); d.State != StateHealthy || d.Reason != BelowBaseline || len(f.sent) != 0 {
		t.Errorf("state %s, reason %q, sent %v, want healthy and below its baseline", d.State, d.Reason, f.sent)
	}
}

func TestHotSiteIsAnAlertOnly(t *testing.T) {
	f := newFarm(t, 10).settle()
	for _, u := range f.units[:3] {
		u.boards[0].temp = 96
	}
	f.run(3 * time.Hour)
	if !f.plan.SiteHot || f.of(0).Reason != Hot || len(f.sent) != 0 {
		t.Errorf("site hot %v, reason %q, sent %v", f.plan.SiteHot, f.of(0).Reason, f.sent)
	}
}

// Five of a hundred with a dead board: a restart each until it is known not to help, one
// reboot each, and then they mine on with what they have.
func TestFiveDeadBoardsOfAHundred(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 100)
	f.settle()
	for i := range 5 {
		killBoard(f.units[i*20], 1, 60)
	}
	f.run(24 * time.Hour)
	restarts, reboots := 0, 0
	for _, a := range f.sent {
		if a.Kind == Reboot {
			reboots++
		} else {
			restarts++
		}
	}
	if restarts < 1 || restarts > 3 || reboots != 5 || f.plan.Counts.States[StateQuarantined] != 5 {
		t.Errorf("%d restarts, %d reboots, states %v, want few, 5 and 5 quarantined", restarts, reboots, f.plan.Counts.States)
	}
}

// I22: a curable sick dragon is acted on within two hours, on farms of every small size.
func TestSmallFarmsAreHealed(t *testing.T) {
	for n := 1; n <= 10; n++ {
		f := newFarm(t, n).settle()
		f.cure = revive
		killBoard(f.units[n-1], 0, 60)
		f.run(2 * time.Hour)
		if len(f.sent) != 1 || f.of(n-1).State != StateHealthy {
			t.Errorf("N=%d: sent %v, state %s", n, f.sent, f.of(n-1).State)
		}
	}
}
