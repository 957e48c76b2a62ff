package healer

import (
	"math"
	"slices"
	"testing"
	"time"
)

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

// A board that is far below sisters that are as hot is sick: heat would have slowed them all.
func TestALowBoardAmongHotSistersIsSick(t *testing.T) {
	for name, x := range map[string]struct {
		low, sisters float64 // °C
		want         int     // steps
	}{
		"as hot as its sisters":    {94, 94, 1},
		"hotter than they are":     {97, 94, 0},
		"all at a critical degree": {101, 101, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 10).settle()
			u := f.units[3]
			for i := range u.boards {
				u.boards[i].temp = x.sisters
			}
			u.boards[1].temp, u.boards[1].rate = x.low, 2*tera
			f.run(50 * time.Minute)
			if len(f.sent) != x.want || x.want > 0 && f.sent[0].Reason != BoardLow {
				t.Errorf("sent %v, want %d; %s %q", f.sent, x.want, f.of(3).Reason, f.of(3).Note)
			}
		})
	}
}

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
