package healer

import "testing"

// Firmware that is wished is shown, and is nothing that the healer would write.
func TestFirmwareIsWishedOfWhomItFits(t *testing.T) {
	w := &Wish{Name: "house", Firmware: "t1_20180803_143208"}
	for name, x := range map[string]struct {
		who          Who
		known, drift bool
	}{
		"as wished":     {Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180803_143208"}, true, false},
		"another":       {Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842"}, true, true},
		"not told":      {Who{Model: "T1", HWVer: "g19"}, false, false},
		"another model": {Who{Model: "B29", HWVer: "g19", Firmware: "b29_20180515_060842"}, false, false},
		"soc board":     {Who{Model: "T1", HWVer: "soc", Firmware: "t1_a_20180515_060842"}, false, false},
		"MAC in doubt":  {Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842", Conflict: true}, false, false},
	} {
		s := &subject{f: &Facts{Who: x.who, Wish: w}, r: &Record{}}
		got := s.wishState()
		if (got != nil) != x.known || got != nil && (len(got.Known) != 1 || (len(got.Drift) == 1) != x.drift) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	s := &subject{f: &Facts{Who: Who{Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842"}, Wish: w}, r: &Record{}}
	if want, got := "firmware comes by: mother-of-dragons firmware rollout start t1_20180803_143208 --model T1 --reason WHY", s.wishState().trouble(); got != want {
		t.Errorf("the plan says %q, want %q", got, want)
	}
	if w.settles() || len(w.items()) > 0 || len(w.Differences(&Configured{})) > 0 {
		t.Error("firmware would be written")
	}
}
