package healer

import (
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// A gap is more than three polls of the dragon: one that is asked half as often has
// twice the time.
func TestAGapIsMeasuredInTheDragonsOwnPolls(t *testing.T) {
	for pace, want := range []int{1, 1, 10} {
		f := newFarm(t, 10).settle()
		u := f.units[3]
		u.pace = pace
		killBoard(u, 0, 60)
		f.run(8 * time.Minute)
		u.reach = Untried // not asked yet
		f.run(4 * time.Minute)
		u.reach = Reached
		f.run(time.Minute)
		if got := f.of(3).Evidence.Of; got != want {
			t.Errorf("pace %d: %d samples after five minutes without, want %d", pace, got, want)
		}
	}
}

// Samples that say nothing to a detector are a gap to it: in another mode of its autotuner a
// dragon's rate cannot be measured yet.
func TestSamplesThatCannotBeJudgedAreAGap(t *testing.T) {
	for pace, still := range []time.Duration{3 * time.Minute, 3 * time.Minute, 6 * time.Minute} {
		f := newFarm(t, 20).settle()
		f.sends = false
		u := f.units[3]
		u.pace = pace
		for i := range u.boards {
			u.boards[i].rate = tera
		}
		f.run(2 * time.Hour)
		fired := func() bool { return f.mem.run.dragons[u.who.MAC].evidence[rank(LowHashrate)].fired }
		u.who.Mode = "efficient"
		f.run(still)
		if !fired() {
			t.Errorf("pace %d: not sick any more after %s", pace, still)
		}
		f.run(time.Minute)
		if fired() || f.of(3).State != StateSuspect {
			t.Errorf("pace %d: %s by what was seen before", pace, f.of(3).State)
		}
	}
}

func TestEvidence(t *testing.T) {
	need := Evidence{10 * time.Minute, 8, 10}
	for name, x := range map[string]struct {
		samples string // x bad, . good, one a minute
		fired   bool
		suspect bool
	}{
		"nothing":                      {"..........", false, false},
		"one bad sample":               {".....x", false, true},
		"ten minutes bad":              {"xxxxxxxxxxx", true, true},
		"nine minutes bad":             {"xxxxxxxxxx", false, true},
		"two good among them":          {"xxxx.xx.xxx", true, true},
		"three good among them":        {"xx.x.xx.xxx", false, true},
		"enough, but not the last":     {"xxxxxxxx..x", false, true},
		"fired, two good":              {"xxxxxxxxxxx..", true, true},
		"fired, three good":            {"xxxxxxxxxxx...", false, true},
		"fired, five good":             {"xxxxxxxxxxx.....", false, false},
		"five good start again":        {"xxxxxxx.....xxxxxx", false, true},
		"a suspicion that comes again": {"x.....xxxxxxxxxxx", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var e evidence
			for i, c := range x.samples {
				e.push(c == 'x', Moment(time.Hour).Add(time.Duration(i)*time.Minute), need)
			}
			if e.fired != x.fired || (e.since != 0) != x.suspect {
				t.Errorf("fired %v, suspect %v, want %v, %v", e.fired, e.since != 0, x.fired, x.suspect)
			}
		})
	}
}

func TestEvidenceOfQuickSamplesStillTakesItsTime(t *testing.T) {
	var e evidence
	for i := range 40 {
		e.push(true, Moment(time.Hour).Add(time.Duration(i)*10*time.Second), Evidence{10 * time.Minute, 8, 10})
	}
	if e.fired {
		t.Error("fired after less than ten minutes")
	}
}

// samples builds the counters of one board.
func samples(minutes int, rate float64) (f []Facts) {
	for i := range minutes + 1 {
		s := float64(i * 60)
		f = append(f, Facts{HasSample: true, Elapsed: dragon.Known(3600 + s),
			Boards: []BoardFacts{{Slot: 0, Status: "Alive", Hashes: dragon.Known(1e15 + rate*s), Elapsed: dragon.Known(3600 + s)}}})
	}
	return f
}

func TestRateIsWorkOverTheDevicesTime(t *testing.T) {
	w := newWatch()
	for i, f := range samples(13, 5e12) {
		w.measure(&f, Moment(i)*Moment(time.Minute))
	}
	if w.rate.IsKnown() {
		t.Errorf("rate %v after 13 minutes, want unknown", w.rate)
	}
	w = newWatch()
	for i, f := range samples(40, 5e12) {
		w.measure(&f, Moment(i)*Moment(time.Minute))
	}
	if v, _ := w.rate.Get(); v < 4.99e12 || v > 5.01e12 {
		t.Errorf("rate %v, want 5e12", w.rate)
	}
	if len(w.counts) > 17 {
		t.Errorf("%d samples kept", len(w.counts))
	}
}

func TestRateWithABoardThatCannotBeReadIsUnknown(t *testing.T) {
	w := newWatch()
	all := samples(20, 5e12)
	all[20].Boards[0].Hashes = dragon.Number{}
	for i := range all {
		w.measure(&all[i], Moment(i)*Moment(time.Minute))
	}
	if w.rate.IsKnown() {
		t.Errorf("rate %v, want unknown", w.rate)
	}
}

// A gap, a restart and a mute each restart the evidence.
func TestWhatStartsEvidenceAnew(t *testing.T) {
	for name, x := range map[string]func(*farm){
		"a gap": func(f *farm) {
			f.units[3].reach = Timeout
			f.run(4 * time.Minute)
			f.units[3].reach = Reached
		},
		"a restart": func(f *farm) { f.restart(f.units[3]) },
		"a reload":  func(f *farm) { f.reload() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 20).settle()
			f.sends = false
			killBoard(f.units[3], 0, 60)
			f.run(11 * time.Minute)
			if !f.mem.run.dragons[f.units[3].who.MAC].evidence[rank(DeadBoard)].fired {
				t.Fatal("not sick yet")
			}
			x(f)
			f.run(9 * time.Minute)
			if f.mem.run.dragons[f.units[3].who.MAC].evidence[rank(DeadBoard)].fired {
				t.Error("sick on evidence from before")
			}
		})
	}
	t.Run("a single missed poll does not", func(t *testing.T) {
		f := newFarm(t, 20).settle()
		f.sends = false
		killBoard(f.units[3], 0, 60)
		f.run(6 * time.Minute)
		f.units[3].reach = Timeout
		f.tick()
		f.units[3].reach = Reached
		f.run(5 * time.Minute)
		if s := f.of(3).State; s != StateSick {
			t.Errorf("state %s, want sick", s)
		}
	})
}

func TestOneReadingIsOneSample(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.sends = false
	killBoard(f.units[3], 0, 60)
	f.tick()
	for range 100 {
		f.decide()
	}
	if n := f.mem.run.dragons[f.units[3].who.MAC].evidence[rank(DeadBoard)].badIn(64); n != 1 {
		t.Errorf("%d bad samples of one reading", n)
	}
}

// I15: a recovery is reflected within three polls, also while everything is held.
func TestRecoveryIsSeenWhileHeld(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.host.Stop = true
	killBoard(f.units[3], 0, 60)
	f.run(30 * time.Minute)
	if s := f.of(3).State; s != StateHeld {
		t.Fatalf("state %s, want held", s)
	}
	revive(f.units[3], "")
	f.run(3 * time.Minute)
	if s := f.of(3).State; s == StateSick || s == StateHeld {
		t.Errorf("state %s after three good polls", s)
	}
	f.run(2 * time.Minute)
	if s := f.of(3).State; s != StateHealthy {
		t.Errorf("state %s after five good polls, want healthy", s)
	}
}

func TestBaselineFallsSlowly(t *testing.T) {
	var b Baseline
	now := Moment(time.Hour)
	for range slotsNeeded {
		b.learn("balanced", 15e12, now, 0.05)
		now = now.Add(slotLength)
	}
	if b.Value != 15e12 {
		t.Fatalf("learned %g", b.Value)
	}
	from := now
	for now.Since(from) < week {
		b.learn("balanced", 9e12, now, 0.05)
		now = now.Add(slotLength)
	}
	if b.Value < 15e12*0.945 || b.Value >= 15e12 {
		t.Errorf("%g after a week, want 5%% less than 15e12", b.Value)
	}
	b.learn("balanced", 30e12, now, 0.05)
	for range slotsKept {
		b.learn("balanced", 16e12, now, 0.05)
	}
	if b.Value != 16e12 {
		t.Errorf("%g, want it to rise to 16e12 at once", b.Value)
	}
	b.learn("efficient", 12e12, now, 0.05)
	if b.known("efficient").IsKnown() || b.known("balanced").IsKnown() {
		t.Error("a baseline survives a change of mode")
	}
}

func TestBaselineSources(t *testing.T) {
	f := newFarm(t, 10).settle()
	c := decide(f.now, f.seen, f.mem, &f.policy)
	s := c.byMAC[f.units[3].who.MAC]
	if v := c.baseline(s).Or(0); v < 14.9e12 || v > 15.1e12 {
		t.Errorf("nothing learned: %g, want the model's present median", v)
	}
	s.r.Baseline = Baseline{Value: 12e12}
	if v := c.baseline(s).Or(0); v != 12e12 {
		t.Errorf("learned: %g, want 12e12", v)
	}
	s.p = &DragonPolicy{Hashrate: 16e12}
	if v := c.baseline(s).Or(0); v != 16e12 {
		t.Errorf("operator: %g, want 16e12", v)
	}
	lone := newFarm(t, 2).settle()
	c = decide(lone.now, lone.seen, lone.mem, &lone.policy)
	if c.baseline(c.all[0]).IsKnown() {
		t.Error("two dragons make a median of the model")
	}
}

// A baseline is for one mode of the autotuner; a mode that is not known is the one that was.
func TestABaselineIsOfOneMode(t *testing.T) {
	var b Baseline
	for range slotsNeeded {
		b.learn("", 15e12, 0, 0.05)
	}
	b.learn("balanced", 15e12, 0, 0.05)
	for mode, want := range map[string]float64{"": 15e12, "balanced": 15e12, "efficient": -1} {
		if got := b.known(mode).Or(-1); got != want {
			t.Errorf("%q: %g, want %g", mode, got, want)
		}
	}
	b.learn("efficient", 11e12, 0, 0.05)
	if got := b.known("efficient"); got.IsKnown() || len(b.Slots) != 1 {
		t.Errorf("%v after four hours in another mode, %d slots: what was learned in the old one does not count", got, len(b.Slots))
	}
	for range slotsNeeded {
		b.learn("", 11e12, 0, 0.05)
	}
	if got := b.known("efficient").Or(-1); got != 11e12 {
		t.Errorf("%g, want 11 TH/s", got)
	}
}

// After an action the evidence begins again. What was not measured yet is unknown, not zero.
func TestEvidenceThatBeginsAgainIsUnknown(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 10).settle()
	for i := range f.units[3].boards {
		f.units[3].boards[i].rate = 2 * tera
	}
	for len(f.sentTo(3)) == 0 && f.age() < 100*time.Hour {
		f.tick()
	}
	f.run(3 * time.Minute)
	d := f.of(3)
	if d.Reason != LowHashrate || d.Evidence.Of != 0 {
		t.Fatalf("reason %q with %d samples, want %s without any", d.Reason, d.Evidence.Of, LowHashrate)
	}
	if d.Evidence.Value != -1 || d.Evidence.Threshold != -1 {
		t.Errorf("value %g, threshold %g, want -1: unknown", d.Evidence.Value, d.Evidence.Threshold)
	}
	if got := d.Finding(); got != "" {
		t.Errorf("finding %q, want none", got)
	}
}

// No detector makes words of a value that it has not.
func TestNoWordsForAnUnknownValue(t *testing.T) {
	t.Parallel()
	unknown, zero := Shown{Value: -1, Threshold: -1, Baseline: 15 * tera}, Shown{Baseline: 15 * tera}
	for i := range detectors {
		reason := detectors[i].reason
		value := zero
		value.Value, value.Threshold = 7, 9
		if describe(reason, &zero, 0) == describe(reason, &value, 0) {
			continue // its words are about something else
		}
		if got := describe(reason, &unknown, 0); got != "" {
			t.Errorf("%s: %q, want nothing", reason, got)
		}
	}
}
