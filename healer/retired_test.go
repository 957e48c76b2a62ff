package healer

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// upgraded makes dragons ones that have had the firmware of rollout f1, in the wave before another.
func (f *farm) upgraded(wave int, units ...int) {
	f.mem.Fleet.Firmware[0].Wave = wave
	for _, i := range units {
		f.units[i].who.Firmware = newer
		f.record(i).Upgrade = &Upgrading{Rollout: "f1", Wave: wave - 1, From: "t1_20180515_060842", Phase: UpgradeDone, Since: f.plan.At}
	}
}

// retire retires dragons for two months.
func (f *farm) retire(units ...*unit) {
	for _, u := range units {
		r := PauseRequest{Kind: Maintained, Scope: "mac", Value: u.who.MAC, Owner: "user:ann", Reason: "sold", For: 60 * day, Retired: true}
		if _, err := f.mem.Pause(f.now, r); err != nil {
			f.t.Fatal(err)
		}
	}
}

func TestARolloutDoesNotWaitForDragonsThatLeftTheFleet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave func(*farm)
		why   string
	}{
		"forgotten": {func(f *farm) {
			for _, u := range f.units[3:] {
				if err := f.mem.Forget(u.who.MAC, f.now.Wall); err != nil {
					f.t.Fatal(err)
				}
			}
			f.units = f.units[:3]
		}, "3 dragons, 0 left as they are"},
		"retired": {func(f *farm) { f.retire(f.units[3:]...) }, "3 dragons, 17 left as they are"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFarm(t, 20).settle()
			f.sends = false
			rollOut(f)
			f.upgraded(3, 0, 1, 2)
			c.leave(f)
			f.run(day)
			if x := f.plan.Rollout("f1"); x.State != RolloutDone || x.Why != c.why || len(x.Waiting) != 0 {
				t.Errorf("%s (%s), wave %d: %+v, want done (%s)", x.State, x.Why, x.Wave+1, x.Phases, c.why)
			}
		})
	}
}

func TestARolloutGoesOnWithThoseThatAreNotRetired(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	rollOut(f)
	f.upgraded(3, 0, 1, 2)
	f.retire(f.units[4:]...)
	f.tick()
	var plan bytes.Buffer
	if err := explainPlan(&plan, f.plan, true, 0); err != nil {
		t.Fatal(err)
	}
	x, text := f.plan.Upgrades, plan.String()
	if len(x) != 1 || x[0].MAC != f.units[3].who.MAC || x[0].Verb != Act || !strings.Contains(text, "wave 6 of 6, 4 dragons: 1 waiting 3 done") {
		t.Errorf("want the last one next:\n%s", text)
	}
}

func TestNoRolloutBeginsForRetiredDragonsAlone(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 3).settle()
	f.retire(f.units[:2]...)
	if f.tick(); !f.plan.WantsFirmware(aRelease()) {
		t.Error("one is not retired, and no rollout is wanted")
	}
	f.retire(f.units[2])
	if f.tick(); f.plan.WantsFirmware(aRelease()) {
		t.Error("all are retired, and a rollout is wanted")
	}
	if _, err := f.mem.StartFirmware(f.now, FirmwareRequest{Release: aRelease(), Owner: "ann", Reason: "a test"}); !errors.Is(err, ErrRollout) {
		t.Errorf("all are retired, and a rollout begins: %v", err)
	}
}

func TestNoRolloutBeginsByItselfForQuarantinedDragonsAlone(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 3).settle()
	for _, u := range f.units {
		if f.tick(); !f.plan.WantsFirmware(aRelease()) {
			t.Error("one is healthy, and no rollout is wanted")
		}
		if err := f.mem.Quarantine(f.now, u.who.MAC, "user:ann", "a test"); err != nil {
			t.Fatal(err)
		}
	}
	if f.tick(); f.plan.WantsFirmware(aRelease()) {
		t.Error("all are in quarantine, and a rollout is wanted")
	}
}

// Whether the firmware works is not known of a canary that is retired in its soak: a human has to
// say to go on, and then another is the canary.
func TestACanaryThatIsRetiredPausesTheRollout(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	rollOut(f)
	f.upgraded(1, 0)
	f.mem.Fleet.Firmware[0].Wave = 0
	f.past(0, Upgrade, 5*time.Hour, nil)
	u := f.record(0).Upgrade
	u.Phase, u.Action = UpgradeSoaking, f.record(0).Actions[0].ID
	f.retire(f.units[0])
	f.run(10 * time.Minute)
	if x := f.plan.Rollout("f1"); x.State != RolloutPaused || !strings.Contains(x.Why, "it is retired") {
		t.Fatalf("%s (%s), %+v", x.State, x.Why, x.Phases)
	}
	if err := f.mem.ResumeFirmware(f.now, "f1", "it was sold"); err != nil {
		t.Fatal(err)
	}
	f.tick()
	if x := f.plan.Rollout("f1"); x.State != RolloutRunning || x.Wave != 0 || x.Members != 19 || len(f.plan.Upgrades) != 1 || f.plan.Upgrades[0].Verb != Act {
		t.Errorf("%s, wave %d of %d dragons: %+v", x.State, x.Wave+1, x.Members, f.plan.Upgrades)
	}
}
