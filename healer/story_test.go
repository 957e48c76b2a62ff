package healer

import (
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

// S41: an announced reboot of many counts as no foreign restart.
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
	for i := range 9 {
		f.mem.Fleet.outcomes(key).GivenUp = append(f.mem.Fleet.outcomes(key).GivenUp, f.units[20+i].who.MAC)
	}
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
	if len(f.sentTo(9)) == 0 || len(f.mem.Fleet.outcomes(key).GivenUp) != 0 {
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
