package healer

import (
	"testing"
	"time"
)

// A rollback whose result is unknown, and of which the dragon shows nothing, is sent again.
func TestARollbackThatWasLostIsSentAgain(t *testing.T) {
	f := configuredFarm(t, 5)
	f.desire("typo", poolTypo, "balanced")
	f.sends = true
	for len(f.sent) == 0 {
		f.tick()
	}
	f.sends = false
	lost := false
	for range 120 {
		f.tick()
		for i := range f.plan.Changes {
			d := &f.plan.Changes[i]
			if d.Verb != Act || !d.Change.Restore {
				continue
			}
			if _, err := f.mem.Intend(f.now, d, d.Actor(), nil); err != nil {
				t.Fatal(err)
			}
			lost = true
		}
		if lost {
			break
		}
	}
	if !lost {
		t.Fatal("no rollback is planned")
	}
	f.reload() // killed before it was sent
	f.sends = true
	f.run(2 * time.Hour)
	for _, u := range f.units {
		if got := u.has.Pools[0].URL; got != poolA {
			t.Errorf("%s has %s, want %s", u.who.Worker, got, poolA)
		}
	}
}

// In mode observe no action is sent, so a half-open breaker gets no trial. It closes all the same.
func TestAHalfOpenStormClosesWithoutATrial(t *testing.T) {
	f := configuredFarm(t, 10)
	killBoard(f.units[3], 1, 60)
	killBoard(f.units[4], 1, 60)
	f.run(2 * time.Hour)
	if f.mem.breaker("storm", "") == nil {
		t.Fatal("two of ten are sick, and there is no storm")
	}
	revive(f.units[4], "")
	f.run(2 * time.Hour)
	f.desire("b", poolB, "balanced")
	f.run(6 * time.Hour)
	if n := f.right(); n != 10 {
		t.Errorf("%d of 10 have their desired state; breakers %+v", n, f.mem.Fleet.Breakers)
	}
}

// That a step did not pay for one fault says nothing of the next.
func TestAFaultThatIsOverCostsNothing(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.record(3).Costly = f.mem.Moment(f.now).Add(-13 * 24 * time.Hour)
	f.run(10 * time.Minute)
	if f.record(3).Costly != 0 {
		t.Error("a dragon that is well is still too costly to treat")
	}
	f.record(4).Costly = 1
	f.mem.release(f.record(4), f.mem.Moment(f.now))
	if f.record(4).Costly != 0 {
		t.Error("a dragon that is released is still too costly to treat")
	}
}

// What was not sent leaves the ladder as it was, also where steps were passed over.
func TestAStepThatWasNotSentIsNoStep(t *testing.T) {
	f := newFarm(t, 10).settle()
	d := *f.of(3)
	d.Verb, d.Kind, d.Rung, d.Reason = Act, Reboot, 2, DeadBoard
	for range 3 {
		a, err := f.mem.Intend(f.now, &d, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.record(3).Rung != 2 {
			t.Errorf("rung %d with an intent for the second", f.record(3).Rung)
		}
		if err := f.mem.Sent(f.now, d.MAC, a.ID, NotSent, "no route"); err != nil {
			t.Fatal(err)
		}
	}
	now := f.mem.Moment(f.now)
	if r := f.record(3); r.Rung != 0 || rebooted(r, week, now) != 0 || count(r, Reboot, week, now) != 3 {
		t.Errorf("rung %d, %d carried out, %d charged", r.Rung, rebooted(r, week, now), count(r, Reboot, week, now))
	}
}

// What was not sent is charged, and keeps its gap. It needs neither the rest after a step nor the
// least time between two steps for its reason.
func TestAStepThatWasNotSentNeedsNoRest(t *testing.T) {
	for name, x := range map[string]struct {
		rung   int // of the last step that ran
		result Result
		want   time.Duration
	}{
		"the first step":            {0, NotSent, 30 * time.Minute},
		"the fourth step":           {3, NotSent, 30 * time.Minute},
		"the fourth that was taken": {3, Accepted, 8 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 10).settle()
			r, at := f.record(3), f.mem.Moment(f.now).Add(15*time.Minute)
			for rung := 1; rung <= x.rung; rung++ {
				r.Actions = append(r.Actions, Action{Kind: Restart, Rung: rung, Reason: LowHashrate, Actor: HealerActor,
					At: at.Add(time.Duration(rung-8) * 3 * time.Hour), Result: Accepted, Outcome: NoEffect})
			}
			r.Rung = x.rung
			if x.result == Accepted {
				r.Rung++
			}
			r.Actions = append(r.Actions, Action{Kind: Reboot, Rung: x.rung + 1, Was: x.rung, Reason: LowHashrate, Actor: HealerActor,
				At: at, Result: x.result, Outcome: NoEffect})
			killBoard(f.units[3], 1, 60)
			f.run(15 * time.Minute)
			var wait time.Duration
			for _, g := range f.of(3).Gates {
				wait = max(wait, time.Duration(g.Wait.For))
			}
			if wait != x.want {
				t.Errorf("it waits for %s, want %s; closed %v", wait, x.want, f.closed(3))
			}
		})
	}
}

// A reboot that was not carried out is charged for a week, too. Without a quarantine its budget would
// hold the dragon for days, though a person has to look at it.
func TestAWeeksBudgetThatIsChargedQuarantines(t *testing.T) {
	for name, x := range map[string]struct {
		last Result
		ago  time.Duration // of the newest of six
		want string
	}{
		"all were carried out":  {Accepted, 30 * time.Hour, "6 reboots in 7d"},
		"one was not sent":      {NotSent, 30 * time.Hour, "6 reboots in 7d, 1 of them not carried out"},
		"one was refused":       {Refusal, 30 * time.Hour, "6 reboots in 7d, 1 of them not carried out"},
		"the oldest is too old": {NotSent, 150 * time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 10).settle()
			r, now := f.record(3), f.mem.Moment(f.now)
			for i := range 6 {
				a := Action{ID: "1-" + string(rune('1'+i)), Kind: Reboot, Reason: LowHashrate, Actor: "user:ann", Result: Accepted, Outcome: NoEffect}
				if i == 5 {
					a.Result, a.Outcome = x.last, NotExecuted
				}
				a.At = now.Add(-x.ago - time.Duration(5-i)*5*time.Hour)
				r.Actions = append(r.Actions, a)
			}
			r.Rung = 1
			killBoard(f.units[3], 1, 60)
			f.run(20 * time.Minute)
			if got := f.quarantinedFor(3); got != x.want {
				t.Errorf("quarantined by %q, want %q; closed %v", got, x.want, f.closed(3))
			}
		})
	}
}

// The breaker of a dragon that someone else restarts ends in its maintenance, where restarts are
// announced, or while others claim its MAC, and at once where the dragon is forgotten.
func TestAForeignBreakerDoesNotOutliveItsDragon(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*farm, string)
		within time.Duration
	}{
		"maintenance": {func(f *farm, mac string) {
			r := PauseRequest{Kind: Maintained, Scope: "mac", Value: mac, Owner: "user:ann", Reason: "a fan"}
			if _, err := f.mem.Pause(f.now, r); err != nil {
				f.t.Fatal(err)
			}
		}, 2 * time.Hour},
		"conflict": {func(f *farm, _ string) { f.add(3) }, 2 * time.Hour},
		"forgotten": {func(f *farm, mac string) {
			f.units = f.units[:3]
			if err := f.mem.Forget(mac, f.now.Wall); err != nil {
				f.t.Fatal(err)
			}
		}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, 4).settle()
			mac := f.units[3].who.MAC
			for range 2 {
				f.restart(f.units[3])
				f.run(5 * time.Minute)
			}
			if f.mem.breaker("foreign", mac) == nil {
				t.Fatalf("no breaker: %+v", f.plan.Breakers)
			}
			c.change(f, mac)
			f.run(c.within)
			if len(f.plan.Breakers) != 0 {
				t.Errorf("after %s: %+v", c.within, f.plan.Breakers)
			}
		})
	}
}

// While the healer is off it reads no dragon. After its start it waits for the first answers: the
// canary has not been silent for hours.
func TestACanaryIsHeardAfterAStartBeforeItIsJudged(t *testing.T) {
	t.Parallel()
	f := configuredFarm(t, 20)
	f.desire("b", poolB, "balanced")
	for range 60 {
		if f.tick(); len(f.sent) > 0 {
			break
		}
	}
	canary := f.unit(f.rollout("b").Canary)
	f.now.Mono += 2 * time.Hour
	f.now.Wall = f.now.Wall.Add(2 * time.Hour)
	f.reload()
	canary.reach = Untried
	f.run(2 * time.Minute)
	canary.reach = Reached
	f.run(5 * time.Minute)
	if ro := f.rollout("b"); ro.State != RolloutWaves {
		t.Errorf("the rollout is %s: %s", ro.State, ro.Why)
	}
}

// A dragon whose deadline came while the healer was off is asked before it is called lost.
func TestADragonIsHeardAfterAStartBeforeItIsLost(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	killBoard(f.units[3], 1, 60)
	for range 60 {
		if f.tick(); len(f.sent) > 0 {
			break
		}
	}
	f.now.Mono += 12 * time.Hour
	f.now.Wall = f.now.Wall.Add(12 * time.Hour)
	f.reload()
	f.units[3].reach = Untried
	f.run(2 * time.Minute)
	f.units[3].reach = Reached
	f.run(5 * time.Minute)
	if a := f.record(3).Actions[0]; a.Outcome == LostOutcome || f.record(3).Lost != 0 || len(f.mem.Fleet.Harm) > 0 {
		t.Errorf("%+v, harm %v", a, f.mem.Fleet.Harm)
	}
}
