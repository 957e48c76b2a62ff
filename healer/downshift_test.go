package healer

import (
	"slices"
	"testing"
	"time"
)

// hotFarm is a farm of ten in the mode balanced, whose policy allows the downshift.
func hotFarm(t *testing.T) *farm {
	f := newFarm(t, 10)
	f.policy.Default.Heat.DownshiftEnabled = true
	for _, u := range f.units {
		u.has.Mode = "balanced"
	}
	return f.settle()
}

func (u *unit) warm(temp float64) {
	for i := range u.boards {
		u.boards[i].temp = temp
	}
}

// S24: a dragon that stays too hot may run in the mode that warms least, and gets back
// what it had after a cool day.
func TestHeatShiftsADragonDownAndADayOfCoolItBack(t *testing.T) {
	f := hotFarm(t)
	u := f.units[3]
	u.warm(96)
	f.run(10 * time.Minute)
	if len(f.sent) > 0 {
		t.Fatalf("sent %v after ten minutes", f.sent)
	}
	f.run(20 * time.Minute)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Configure}) || u.has.Mode != "efficient" || f.plan.Counts.Shifted != 1 {
		t.Fatalf("sent %v, mode %s, closed %v", got, u.has.Mode, f.plan.Changes)
	}
	u.warm(78)
	f.run(20 * time.Hour)
	u.warm(85) // the day is not over yet
	f.run(time.Hour)
	u.warm(78)
	f.run(23 * time.Hour)
	if u.has.Mode != "efficient" {
		t.Errorf("mode %s before it was cool for a day", u.has.Mode)
	}
	f.run(3 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Configure, Configure}) || u.has.Mode != "balanced" {
		t.Errorf("sent %v, mode %s, want it as before", got, u.has.Mode)
	}
	f.run(time.Hour)
	if f.record(3).Downshift != nil || f.plan.Counts.Shifted != 0 {
		t.Errorf("still remembered: %+v", f.record(3).Downshift)
	}
	if n := len(f.sent); n != 2 {
		t.Errorf("%d writes, want 2: %v", n, f.sent)
	}
}

func TestNoDownshiftWhere(t *testing.T) {
	for name, change := range map[string]func(*farm, *unit){
		"it is not allowed":           func(f *farm, _ *unit) { f.policy.Default.Heat.DownshiftEnabled = false },
		"healing only observes":       func(f *farm, _ *unit) { f.policy.Default.Mode = Observe },
		"it is not that hot":          func(_ *farm, u *unit) { u.warm(94) },
		"it is as cool as can be":     func(_ *farm, u *unit) { u.has.Mode = "efficient" },
		"its mode is not known":       func(_ *farm, u *unit) { u.mute = true },
		"only a dead board is so hot": func(_ *farm, u *unit) { u.warm(70); killBoard(u, 1, 97) },
	} {
		t.Run(name, func(t *testing.T) {
			f := hotFarm(t)
			u := f.units[3]
			u.warm(97)
			change(f, u)
			f.run(2 * time.Hour)
			for _, a := range f.sent {
				if a.Kind == Configure {
					t.Errorf("it was configured: %+v", a)
				}
			}
		})
	}
}

// The operator's desired mode waits until the heat is over, and what is desired of
// pools holds all the time.
func TestADownshiftGivesWayToTheOperatorsWish(t *testing.T) {
	f := hotFarm(t)
	f.desire("house", poolA, "performance")
	f.run(6 * time.Hour)
	if f.right() != 10 {
		t.Fatalf("%d in sync, want 10", f.right())
	}
	u := f.units[3]
	pools := u.has.Pools
	u.warm(97)
	f.run(time.Hour)
	if u.has.Mode != "efficient" {
		t.Fatalf("mode %s in the heat: %v", u.has.Mode, f.plan.Changes)
	}
	f.run(6 * time.Hour)
	u.warm(75)
	f.run(26 * time.Hour)
	if u.has.Mode != "performance" || !slices.Equal(u.has.Pools, pools) || f.record(3).Downshift != nil {
		t.Errorf("mode %s, pools %v after the heat", u.has.Mode, u.has.Pools)
	}
	if n := len(f.sentTo(3)); n != 3 {
		t.Errorf("%d writes, want the desired state, the downshift and its end", n)
	}
}

// Rollouts only observe, and less heat is enforced: a hundred dragons that would get other pools
// are not in the way of a hot one that comes after them.
func TestWhatIsOnlyObservedDoesNotKeepADragonHot(t *testing.T) {
	f := newFarm(t, 130)
	f.policy.Default.Heat.DownshiftEnabled, f.policy.Rollout.Mode = true, Observe
	for _, u := range f.units {
		u.has.Mode = "balanced"
	}
	f.settle()
	f.desire("house", poolA, "")
	u := f.units[129]
	u.warm(97)
	f.run(time.Hour)
	if u.has.Mode != "efficient" || len(f.sent) != 1 {
		t.Errorf("mode %s after an hour, sent %v", u.has.Mode, f.sent)
	}
}

// The policy is taken back while a dragon is shifted: it gets back what it had.
func TestADownshiftThatIsNoLongerAllowedEnds(t *testing.T) {
	f := hotFarm(t)
	u := f.units[3]
	u.warm(96)
	f.run(time.Hour)
	if u.has.Mode != "efficient" {
		t.Fatalf("mode %s", u.has.Mode)
	}
	f.policy.Default.Heat.DownshiftEnabled = false
	f.run(time.Hour)
	if u.has.Mode != "balanced" || f.record(3).Downshift != nil {
		t.Errorf("mode %s, %+v", u.has.Mode, f.record(3).Downshift)
	}
}
