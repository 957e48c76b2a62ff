package farmtest

import (
	"strings"
	"testing"
)

// crashes are scripts in which the healer dies after each of its commits in turn.
var crashes = []struct{ name, script string }{
	{"cures", `farm 6; switches 3; run 6h; baselines learned
at 20m board d3/1 dead reboot=1; at 40m board d4/0 dead restart=1; at 3h board d5/1 dead`},
	{"outages", `farm 9; switches 3; run 6h; baselines learned; tune 5m
at 30m pool slush down 20m; at 35m board d2/1 dead restart=1
at 2h30m power site off 3m; at 2h33m board d7/1 dead restart=1
at 5h stranger reboots d1-d3; at 5h switch sw1 down 10m`},
	{"the ladder", `farm 4; switches 4; run 16h; baselines learned
at 20m board d3/0 dead; at 20m board d3/1 dead; at 20m board d3/2 dead`},
	{"wishes", `farm 6; switches 3; pools slush backup; run 12h; baselines learned
at 20m wish all pools typo,slush mode efficient; at 90m wish all pools backup mode efficient
at 5h answer d4 lostreply; at 5h30m stranger configures d2; at 6h wish d0-d5 pools slush,backup mode balanced
at 8h board d3/1 dead restart=1`},
	{"losses", `farm 10; switches 5; run 6h; baselines learned
at 10m answer d3-d4 never; at 10m answer d5 lostreply; at 10m answer d6 refused
at 20m board d3/0 dead; at 20m board d5/0 dead restart=1; at 60m board d6/0 dead restart=1
at 80m ask d4 reboot; at 3h board d8/1 dead restart=1; at 2h pause mac d8 30m; at 5h ask d9 configure by rollout:pools`},
	{"firmware", `farm 6; switches 3; run 14h; baselines learned; tune 5m; policy soaks 2h
at 20m answer d1 lostreply; at 20m firmware start t1_20191101_120000 good`},
	{"a bad firmware", `farm 6; switches 3; run 8h; baselines learned; tune 5m
at 20m firmware start t1_20191101_120000 bricks-next-boot; at 21m firmware pause f1; at 25m firmware resume f1`},
}

// At every commit the store holds all of the memory (I23), and a healer that is killed
// there, and started again, keeps every invariant, whichever commit it was.
func TestCrashAtEveryCommit(t *testing.T) {
	for _, c := range crashes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := Parse(c.script)
			if err != nil {
				t.Fatal(err)
			}
			whole := Run(s, Options{CheckStore: true})
			for _, f := range whole.Oracle.Failures {
				t.Error(f)
			}
			stride := 1
			if !*soak {
				stride = max(1, whole.Healer.Commits/60)
			}
			died := 0
			for k := 1; k <= whole.Healer.Commits; k++ {
				// Every commit around a write, and of the others as many as there is time for.
				if k%stride != 0 && !strings.Contains(around(whole, k), "intent") {
					continue
				}
				r := Run(s, Options{KillAt: k, CheckStore: k%8 == 0})
				died++
				if len(r.Healer.Starts) < 2 && r.Healer.Alive() {
					t.Fatalf("killed after commit %d: it was not started again", k)
				}
				for _, f := range r.Oracle.Failures {
					t.Errorf("killed after commit %d (%s): %s", k, whole.Healer.Stages[k-1], f)
				}
			}
			t.Logf("%d of %d commits", died, whole.Healer.Commits)
		})
	}
}

// around lists the stages of the commits from just before one to just after it.
func around(r *Result, k int) string {
	return strings.Join(r.Healer.Stages[max(0, k-3):min(len(r.Healer.Stages), k+1)], " ")
}
