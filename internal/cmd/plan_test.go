package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestPlanAtOpensTimedGates(t *testing.T) {
	wait := func(d time.Duration) healer.Until { return healer.Until{For: healer.Span(d), Known: true} }
	plan := func() *healer.Plan {
		blocked := func(worker string, gates ...healer.GateState) healer.Decision {
			return healer.Decision{Who: healer.Who{Worker: worker}, Verb: healer.Blocked, Blocked: gates[0].Name, Gates: gates}
		}
		return &healer.Plan{
			Pauses: []healer.Pause{{ID: "p1", Until: healer.Moment(time.Hour)}, {ID: "p2", Until: healer.Moment(3 * time.Hour)}, {ID: "p3", UntilResume: true}},
			Dragons: []healer.Decision{
				blocked("soon", healer.GateState{Name: healer.GateHold, Wait: wait(time.Hour)}, healer.GateState{Name: healer.GateSpacing, Wait: wait(time.Minute)}),
				blocked("later", healer.GateState{Name: healer.GateSpacing, Wait: wait(time.Minute)}, healer.GateState{Name: healer.GateHold, Wait: wait(5 * time.Hour)}),
				blocked("who knows", healer.GateState{Name: healer.GateStorm}),
			},
		}
	}
	p := plan()
	ahead(p, 2*time.Hour)
	for i, want := range []struct {
		verb    healer.Verb
		blocked healer.Gate
		in      healer.Until
	}{
		{healer.WouldAct, "", healer.Until{Known: true}},
		{healer.Blocked, healer.GateHold, wait(3 * time.Hour)},
		{healer.Blocked, healer.GateStorm, healer.Until{}},
	} {
		if d := p.Dragons[i]; d.Verb != want.verb || d.Blocked != want.blocked || d.In != want.in {
			t.Errorf("%s: %s by %q, %+v", d.Worker, d.Verb, d.Blocked, d.In)
		}
	}
	if len(p.Pauses) != 2 || p.Pauses[0].ID != "p2" || p.ExitCode() != healer.ExitAct {
		t.Errorf("%+v, exit code %d", p.Pauses, p.ExitCode())
	}
	q := plan()
	ahead(q, 0)
	if diff := cmp.Diff(plan().Dragons[2].Gates, q.Dragons[2].Gates, cmpopts.EquateEmpty()); diff != "" || q.ExitCode() != healer.ExitBlocked {
		t.Errorf("now: %s, exit code %d", diff, q.ExitCode())
	}
}

func TestPlanNeedsAnInstanceOrAnInventory(t *testing.T) {
	if _, _, err := invoke(t, "plan", "--data-dir="+t.TempDir()); err == nil || !strings.Contains(err.Error(), "no inventory of dragons") {
		t.Errorf("%v", err)
	}
}
