package fleet

import "testing"

func TestLabelsInWords(t *testing.T) {
	rack := []Label{{"rack", "a12"}, {"slot", "3"}}
	for want, l := range map[string]*Labels{
		"":                         nil,
		"Bertha":                   {Name: "Bertha"},
		"rack a12, slot 3":         {Pairs: rack},
		"Bertha, rack a12, slot 3": {Name: "Bertha", Pairs: rack},
	} {
		if got := l.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	l := &Labels{Pairs: rack}
	for _, o := range []*Labels{nil, {}, {Name: "x", Pairs: rack}, {Pairs: rack[:1]}} {
		if l.equal(o) || o.equal(l) {
			t.Errorf("%q is equal to %q", l, o)
		}
	}
	if !l.equal(&Labels{Pairs: []Label{{"rack", "a12"}, {"slot", "3"}}}) || !(*Labels)(nil).equal(nil) {
		t.Error("equal labels are not equal")
	}
	if m := l.Map(); len(m) != 2 || m["slot"] != "3" || (*Labels)(nil).Map() != nil || (&Labels{Name: "x"}).Map() != nil {
		t.Errorf("by name: %v", m)
	}
}
