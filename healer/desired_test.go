package healer

import (
	"bytes"
	"strings"
	"testing"
)

// A desired firmware is shown, and never written.
func TestFirmwareIsDesiredWhereItFits(t *testing.T) {
	w := &DesiredState{Name: "house", Firmware: "t1_20180803_143208"}
	for name, x := range map[string]struct {
		who          Who
		known, drift bool
	}{
		"in sync":       {Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180803_143208"}, true, false},
		"another":       {Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842"}, true, true},
		"not told":      {Who{Model: "T1", HWVer: "g19"}, false, false},
		"another model": {Who{Model: "B29", HWVer: "g19", Firmware: "b29_20180515_060842"}, false, false},
		"soc board":     {Who{Model: "T1", HWVer: "soc", Firmware: "t1_a_20180515_060842"}, false, false},
		"MAC in doubt":  {Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842", Conflict: true}, false, false},
	} {
		s := &subject{f: &Facts{Who: x.who, Desired: w}, r: &Record{}}
		got := s.syncStatus(NewMemory())
		if (got != nil) != x.known || got != nil && (len(got.Known) != 1 || (len(got.Drift) == 1) != x.drift) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	s := &subject{f: &Facts{Who: Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842"}, Desired: w}, r: &Record{}}
	var table strings.Builder
	want := "start it with: mother-of-dragons firmware rollout start t1_20180803_143208 --model T1 --reason WHY"
	plan := &Plan{Dragons: []Decision{{Who: s.f.Who, Desired: s.syncStatus(NewMemory())}}}
	if err := explainPlan(&table, plan, true, 0); err != nil || !strings.Contains(table.String(), want) {
		t.Errorf("the plan does not say %q (%v):\n%s", want, err, table.String())
	}
	if w.managesConfig() || len(w.items()) > 0 || len(w.Differences(&Configured{})) > 0 {
		t.Error("firmware would be written")
	}
}

// The plan says how far a dragon is on its way to its desired firmware.
func TestThePlanSaysHowFarTheFirmwareIs(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	for _, u := range f.units {
		u.desired = &DesiredState{Key: "k", Name: "house", Firmware: "t1_20191101_120000"}
	}
	f.sends = false
	is := func(i int) FirmwareIs { f.tick(); return f.of(i).Desired.Firmware }
	says := func(want string) {
		t.Helper()
		var table, why bytes.Buffer
		if err := explainPlan(&table, f.plan, true, 0); err != nil || !strings.Contains(table.String(), "  "+want+"  ") {
			t.Errorf("the plan does not say %q (%v):\n%s", want, err, table.String())
		}
		if !explainDragon(&why, f.plan, f.units[7].who.Worker) || !strings.Contains(why.String(), "desired   house: "+strings.ReplaceAll(want, "_", " ")+"\n") {
			t.Errorf("why does not say %q:\n%s", want, why.String())
		}
	}
	if got := is(7); got != FirmwareIs(PhaseDrifted) {
		t.Errorf("before a rollout: %s", got)
	}
	says("firmware drifted")
	rollOut(f)
	if got := is(7); got != PhaseWaiting {
		t.Errorf("while it waits for its turn: %s", got)
	}
	says("firmware waiting")
	r := f.record(7)
	r.Upgrade = &Upgrading{Rollout: "f1", Phase: UpgradeUploading, Action: "x", Since: f.plan.At}
	r.Actions = []Action{{ID: "x", Kind: Upgrade, Actor: "rollout:f1", At: f.plan.At, Result: Pending}}
	if got := is(7); got != FirmwareIs(UpgradeUploading) {
		t.Errorf("while it is sent it: %s", got)
	}
	r.Upgrade, r.Actions = nil, nil
	f.units[7].who.Firmware = "t1_20191101_120000"
	if got := is(7); got != FirmwareIs(PhaseInSync) {
		t.Errorf("with the version: %s", got)
	}
	if err := f.mem.PauseFirmware(f.now, "f1", "ann"); err != nil {
		t.Fatal(err)
	}
	if got := is(8); got != FirmwareIs(PhaseDrifted) {
		t.Errorf("of a rollout that is paused: %s", got)
	}
	f.record(8).Upgrade = &Upgrading{Rollout: "f1", Phase: UpgradeFailed}
	if got := is(8); got != FirmwareIs(UpgradeFailed) {
		t.Errorf("of one that it failed on: %s", got)
	}
}
