package healer

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// Another policy is shown beside the one in force: who would become sick, who would no
// longer be, and whose decision changes. Nothing else comes of it.
func TestTwoPoliciesAreCompared(t *testing.T) {
	f := sickFarm(t)
	before := f.mem.Clone()
	other := f.policy
	other.Default.Mode = Observe
	other.Default.Detect.LowRatio = 0.18 // the T1s of the farm do 15 TH/s: two were bad at 60 %
	other.Default.Heat.DeadHot = 115
	other.Override("hall-3", func(p *DragonPolicy) { p.Detect.MinPerBoard = 100 * tera })
	view := f.view()
	then := *view
	then.Dragons = slices.Clone(view.Dragons)
	for i := range then.Dragons {
		if d := &then.Dragons[i]; d.Domain == "hall-3" {
			d.Profile = "hall-3"
		}
	}
	x := Compare(f.now, f.mem, PolicyView{&f.policy, view}, PolicyView{&other, &then})
	if x.InForce == x.Other || x.InForce != f.policy.Hash() {
		t.Errorf("%s in place of %s", x.Other, x.InForce)
	}
	x.InForce, x.Other = "2bb98e3047bd", "1f6f50852146" // they change with every new key
	var out bytes.Buffer
	if err := explainComparison(&out, x); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.golden", out.Bytes())
	if x.ExitCode() != ExitBlocked || x.Refused == "" {
		t.Errorf("exit code %d, refused %q: want a refusal", x.ExitCode(), x.Refused)
	}
	other.Profiles = nil
	x = Compare(f.now, f.mem, PolicyView{&f.policy, view}, PolicyView{&other, view})
	if x.ExitCode() != ExitAct || x.Refused != "" || len(x.Newly) != 0 {
		t.Errorf("exit code %d, refused %q, newly sick %v: want a change that is taken over", x.ExitCode(), x.Refused, x.Newly)
	}
	same := f.policy
	if x = Compare(f.now, f.mem, PolicyView{&f.policy, view}, PolicyView{&same, view}); !x.Empty() || x.ExitCode() != ExitNothing {
		t.Errorf("a policy differs from itself: %+v", x)
	}
	wanted := *view
	wanted.Dragons = slices.Clone(view.Dragons)
	wanted.Dragons[0].Desired = &DesiredState{Key: "k", Mode: "efficient"}
	wanted.Dragons[1].Desired = &DesiredState{Firmware: "t1_20191101_120000"}
	out.Reset()
	x = Compare(f.now, f.mem, PolicyView{&f.policy, view}, PolicyView{&same, &wanted})
	if err := explainComparison(&out, x); err != nil {
		t.Fatal(err)
	}
	if x.Desired != 2 || x.Empty() || x.ExitCode() != ExitAct || !strings.Contains(out.String(), "2 dragons would have another desired state") {
		t.Errorf("another mode for one dragon and another firmware for the next: %d, exit code %d\n%s", x.Desired, x.ExitCode(), out.String())
	}
	a, b := before, f.mem
	a.Everything()
	b.Everything()
	was, err1 := a.Changes()
	is, err2 := b.Changes()
	if err1 != nil || err2 != nil || !bytes.Equal(was.Fleet, is.Fleet) {
		t.Errorf("the memory has changed: %v %v\n%s\n%s", err1, err2, was.Fleet, is.Fleet)
	}
	for mac := range is.Dragons {
		if !bytes.Equal(was.Dragons[mac], is.Dragons[mac]) {
			t.Errorf("the memory of %s has changed", mac)
		}
	}
}
