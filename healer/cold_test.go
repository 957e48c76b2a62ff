package healer

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a kill loses is the cold part since its last turn, never what safety needs.
func TestAKillLosesOnlyWhatIsCold(t *testing.T) {
	f := newFarm(t, 40)
	s := newShelf(t, f.mem)
	for range 24 * 60 {
		f.tick()
		s.take(t, f.mem)
	}
	s.compare(t, f.mem)
	m, err := LoadMemory(s.fleet, s.dragons)
	if err != nil {
		t.Fatal(err)
	}
	m.LoadCold(s.cold)
	for mac, r := range f.mem.Dragons {
		got := m.Dragons[mac]
		if late := time.Duration(r.LastSeen - got.LastSeen); late < 0 || late > coldPeriod+anchorEvery {
			t.Errorf("%s: last seen %s too early", mac, late)
		}
		if got.Samples != r.Samples || len(r.Baseline.Slots) == 0 || !slices.Equal(got.Baseline.Slots, r.Baseline.Slots[:len(got.Baseline.Slots)]) {
			t.Errorf("%s: %d samples, baseline %v, want %d, %v", mac, got.Samples, got.Baseline, r.Samples, r.Baseline)
		}
	}
}

func TestAnOrderlyStopLosesNothing(t *testing.T) {
	f := newFarm(t, 10)
	for range 10 * 60 {
		f.tick()
	}
	want, err := json.Marshal(f.mem.Dragons)
	if err != nil {
		t.Fatal(err)
	}
	s := newShelf(t, f.mem) // writes everything
	m, err := LoadMemory(s.fleet, s.dragons)
	if err != nil {
		t.Fatal(err)
	}
	m.LoadCold(s.cold)
	got, err := json.Marshal(m.Dragons)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// A state of program 0.1.0 has no cold records: they are written with the first hot ones,
// which no longer hold them.
func TestTheFirstHotRecordBringsItsColdOne(t *testing.T) {
	f := newFarm(t, 2)
	for range 5 * 60 {
		f.tick()
	}
	whole := make(map[string][]byte)
	for mac, r := range f.mem.Dragons {
		whole[mac], _ = json.Marshal(r)
	}
	f.mem.Everything()
	c, err := f.mem.Changes()
	if err != nil {
		t.Fatal(err)
	}
	m, err := LoadMemory(c.Fleet, whole)
	if err != nil {
		t.Fatal(err)
	}
	mac := f.units[0].who.MAC
	m.touch(mac)
	if c, err = m.Changes(); err != nil {
		t.Fatal(err)
	}
	again, err := LoadMemory(c.Fleet, c.Dragons)
	if err != nil {
		t.Fatal(err)
	}
	again.LoadCold(c.Cold)
	if diff := cmp.Diff(f.mem.Dragons[mac], again.Dragons[mac], cmp.AllowUnexported(Record{})); diff != "" {
		t.Error(diff)
	}
}

// Cold records of an observation that was begun again say nothing of its samples.
func TestColdSamplesBelongToTheirObservation(t *testing.T) {
	r := &Record{Observe: 5}
	(&coldRecord{Observe: 4, Samples: 30}).apply(r)
	if r.Samples != 0 {
		t.Errorf("%d samples", r.Samples)
	}
	(&coldRecord{Observe: 5, Samples: 30}).apply(r)
	if r.Samples != 30 {
		t.Errorf("%d samples", r.Samples)
	}
}
