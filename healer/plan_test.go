package healer

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// A plan is data: as JSON and back it is the same, whatever is in it.
func TestAPlanSurvivesJSON(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*farm{"sick": sickFarm(t), "configured": configuredFarm(t, 20), "upgraded": newFarm(t, 20).settle()} {
		f.sends = name == "configured"
		switch name {
		case "configured":
			f.desire("typo", poolTypo, "balanced")
		case "upgraded":
			rollOut(f)
		}
		seen := make(map[string]bool)
		for range 60 {
			f.tick()
			data, err := json.Marshal(f.plan)
			if err != nil {
				t.Fatal(err)
			}
			read := &Plan{News: f.plan.News}
			if err := json.Unmarshal(data, read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f.plan, read, cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0), cmp.AllowUnexported(dragon.Number{})); diff != "" {
				t.Fatalf("%s: the plan at %s (-made +read):\n%s", name, f.age(), diff)
			}
			for _, d := range slices.Concat(read.Dragons, read.Changes, read.Upgrades) {
				seen[string(d.Verb)] = true
				seen["change"] = seen["change"] || d.Change != nil
				seen["upgrade"] = seen["upgrade"] || d.Upgrade != nil
			}
		}
		want := map[string][]string{"sick": {"act"}, "configured": {"act", "change"}, "upgraded": {"act", "upgrade"}}
		for _, what := range want[name] {
			if !seen[what] {
				t.Errorf("%s: no plan had %q in it", name, what)
			}
		}
	}
}
