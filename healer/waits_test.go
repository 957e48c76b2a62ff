package healer

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What is in the way of a sick dragon is said with how long, and what ends it.
func TestWaitsSayWhatEndsThem(t *testing.T) {
	f := newFarm(t, 20).settle()
	killBoard(f.units[3], 0, 60)
	killBoard(f.units[9], 0, 60)
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Paused, Scope: "fleet", Owner: "user:ann", Reason: "a visit", UntilResume: true}); err != nil {
		t.Fatal(err)
	}
	f.run(3 * time.Hour)
	i := slices.IndexFunc(f.plan.Waiting, func(w Waiting) bool { return w.Gate == GatePause })
	if i < 0 {
		t.Fatalf("waiting %+v, want the pause", f.plan.Waiting)
	}
	w := f.plan.Waiting[i]
	if w.Dragons != 2 || w.Ends.Known || w.EndedBy() != "mother-of-dragons healer resume p1" || time.Duration(w.For) < 2*time.Hour || f.plan.Counts.Untreated != w.For {
		t.Errorf("%+v, untreated %s", w, time.Duration(f.plan.Counts.Untreated))
	}
	if err := f.mem.Resume("p1"); err != nil {
		t.Fatal(err)
	}
	f.cure = revive
	f.run(4 * time.Hour)
	if len(f.plan.Waiting) != 0 || f.plan.Counts.Untreated != 0 {
		t.Errorf("waiting %+v, untreated %s, and all are well", f.plan.Waiting, time.Duration(f.plan.Counts.Untreated))
	}
}

// In the mode observe nothing is sent, and no gate says so.
func TestWaitsNameTheModeObserve(t *testing.T) {
	f := newFarm(t, 20)
	f.policy.Default.Mode = Observe
	f.settle()
	killBoard(f.units[3], 0, 60)
	f.run(3 * time.Hour)
	if len(f.plan.Waiting) != 1 || f.plan.Waiting[0].Gate != GateObserve || !strings.Contains(f.plan.Waiting[0].EndedBy(), "enforce") {
		t.Errorf("waiting %+v, want the mode observe", f.plan.Waiting)
	}
}

// Several dragons may wait for one gate: what ends the wait is that of the longest one.
func TestTheLongestWaitSaysWhatEndsIt(t *testing.T) {
	f := newFarm(t, 20).settle()
	for i, r := range []PauseRequest{
		{Kind: Paused, Scope: "mac", Value: f.units[3].who.MAC, UntilResume: true},
		{Kind: Paused, Scope: "mac", Value: f.units[9].who.MAC, For: 9 * time.Hour},
	} {
		r.Owner, r.Reason = "user:ann", "a visit"
		if _, err := f.mem.Pause(f.now, r); err != nil {
			t.Fatal(i, err)
		}
	}
	killBoard(f.units[3], 0, 60)
	f.run(time.Hour)
	killBoard(f.units[9], 0, 60)
	f.run(time.Hour)
	i := slices.IndexFunc(f.plan.Waiting, func(w Waiting) bool { return w.Gate == GatePause })
	if i < 0 {
		t.Fatalf("waiting %+v, want the pause", f.plan.Waiting)
	}
	if w := f.plan.Waiting[i]; w.Dragons != 2 || w.Worker != f.units[3].who.Worker || w.EndedBy() != "mother-of-dragons healer resume p1" {
		t.Errorf("%+v: ended by %s", w, w.EndedBy())
	}
}

// A command that names a scope can be pasted into a shell.
func TestArgumentsAreQuoted(t *testing.T) {
	for in, want := range map[string]string{"model=T1": "model=T1", "site=Hall 2": "'site=Hall 2'", "it's": `'it'\''s'`} {
		if got := argument(in); got != want {
			t.Errorf("argument(%q) = %s, want %s", in, got, want)
		}
	}
}
