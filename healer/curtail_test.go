package healer

import (
	"testing"
	"time"
)

// What a dragon does in its own mode is learned over days. Hours of expensive power do not
// make the healer forget it.
func TestACurtailmentKeepsTheBaseline(t *testing.T) {
	f := configuredFarm(t, 4)
	own := Baseline{Mode: "balanced", Slots: []float64{15e12, 15e12, 15e12, 15e12, 15e12, 15e12}, Value: 15e12}
	run := func(d time.Duration) {
		for range int(d / time.Minute) {
			for _, u := range f.units {
				u.who.Mode = u.has.Mode
			}
			f.tick()
		}
	}
	run(time.Minute)
	for i := range f.units {
		f.record(i).Baseline = own
	}
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Curtailed, Scope: "fleet", Mode: "efficient", Owner: "user:ann", Reason: "price", For: 10 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	run(10*time.Hour - 10*time.Minute)
	for i, u := range f.units {
		if b := f.record(i).Baseline; u.has.Mode != "efficient" || b.Mode != own.Mode || b.Value != own.Value {
			t.Errorf("unit %d in the mode %s: %+v", i, u.has.Mode, b)
		}
	}
	run(6 * time.Hour)
	for i, u := range f.units {
		if r := f.record(i); u.has.Mode != "balanced" || r.Curtailed != nil || len(r.Baseline.Slots) <= len(own.Slots) {
			t.Errorf("unit %d in the mode %s: %+v", i, u.has.Mode, r.Baseline)
		}
	}
}

// In a curtailment of more than two days the dragons are judged by what they do in it: on a small
// farm nothing else could tell that one does too little.
func TestALongCurtailmentIsLearned(t *testing.T) {
	f := configuredFarm(t, 4)
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Curtailed, Scope: "fleet", Mode: "efficient", Owner: "user:ann", Reason: "price", For: 5 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	for day := range 4 {
		for range 24 * 60 {
			for _, u := range f.units {
				u.who.Mode = u.has.Mode
			}
			f.tick()
		}
		for i := range f.units {
			b := f.record(i).Baseline
			if learned := b.known("efficient").IsKnown() && b.Mode == "efficient"; learned != (day >= 3) {
				t.Errorf("unit %d after %d days: %+v", i, day+1, b)
			}
		}
	}
}

// The hash rate that the operator says is that of the operator's mode: in another one the dragons
// are measured by what others do in it.
func TestTheOperatorsHashrateIsNotThatOfACurtailment(t *testing.T) {
	f := configuredFarm(t, 10)
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Curtailed, Scope: "fleet", Mode: "efficient", Owner: "user:ann", Reason: "price", For: 5 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	f.run(2 * time.Hour)
	f.policy.Default.Hashrate, f.policy.Default.Detect.LowRatio = 20*tera, 0.9 // they do 15
	f.run(2 * time.Hour)
	if n := f.plan.Counts.Sick; n != 0 {
		t.Errorf("%d are sick in the curtailment", n)
	}
	f.run(4 * time.Hour)
	if n := f.plan.Counts.Sick; n != 10 {
		t.Errorf("%d are sick after it, want all", n)
	}
}

// A curtailment needs a mode, and nothing else has one.
func TestACurtailmentNeedsAMode(t *testing.T) {
	f := configuredFarm(t, 4)
	for kind, mode := range map[PauseKind]string{Curtailed: "", Paused: "efficient", Maintained: "efficient"} {
		if _, err := f.mem.Pause(f.now, PauseRequest{Kind: kind, Scope: "fleet", Mode: mode, Owner: "user:ann", Reason: "r"}); err == nil {
			t.Errorf("a %s with the mode %q", kind, mode)
		}
	}
}

// Heat is stronger than a curtailment, and after both a dragon has its own mode.
func TestHeatInACurtailment(t *testing.T) {
	f := configuredFarm(t, 4)
	f.policy.Default.Mode, f.policy.Default.Heat.DownshiftEnabled = Enforce, true
	f.policy.Default.Heat.RestoreAfter = time.Hour
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Curtailed, Scope: "fleet", Mode: "factory", Owner: "user:ann", Reason: "price", For: 6 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	f.run(2 * time.Hour)
	u := f.units[2]
	if u.has.Mode != "factory" {
		t.Fatalf("in the mode %s", u.has.Mode)
	}
	u.warm(97)
	f.run(2 * time.Hour)
	if u.has.Mode != "efficient" {
		t.Errorf("too hot in the mode %s", u.has.Mode)
	}
	u.warm(60)
	f.run(26 * time.Hour) // its budget of writes is that of a day
	if r := f.record(2); u.has.Mode != "balanced" || r.Curtailed != nil || r.Downshift != nil {
		t.Errorf("after both in the mode %s: %+v %+v", u.has.Mode, r.Curtailed, r.Downshift)
	}
}
