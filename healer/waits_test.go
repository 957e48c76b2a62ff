package healer

import (
	"slices"
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
	if w.Dragons != 2 || w.Ends.Known || w.Human != "healer resume ID" || time.Duration(w.For) < 2*time.Hour || f.plan.Counts.Untreated != w.For {
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

// A gate that no time opens needs somebody who does.
func TestEveryWaitWithoutAnEndNamesWhoEndsIt(t *testing.T) {
	// These open when another write ends, a wave comes, or the day's windows do.
	byThemselves := []Gate{GateStart, GateNew, GateTuning, GateConfig, GateWindow, GateUploads, GateBoot, GateInFlight, GateHold, GateInterval,
		GateGap, GateDevice, GateFlight, GateDomainSlots, GateRollouts, GateSpacing, GateHour, GateDay, GateWave}
	for _, g := range Gates() {
		if _, ok := humanOpens[g]; ok == slices.Contains(byThemselves, g) {
			t.Errorf("gate %s: in humanOpens: %v; every gate opens by itself or by a human", g, ok)
		}
	}
}
