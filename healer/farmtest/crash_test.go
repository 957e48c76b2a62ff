package farmtest

import (
	"slices"
	"strings"
	"testing"
)

// crashes are scripts in which the healer dies after each of its commits in turn. Of the
// rollouts in them it must have died while they stood at each of the words.
var crashes = []struct{ name, script, stand string }{
	{"cures", `farm 6; switches 3; run 6h; baselines learned
at 20m board d3/1 dead reboot=1; at 40m board d4/0 dead restart=1; at 3h board d5/1 dead`, ""},
	{"outages", `farm 9; switches 3; run 6h; baselines learned; tune 5m
at 30m pool slush down 20m; at 35m board d2/1 dead restart=1
at 2h30m power site off 3m; at 2h33m board d7/1 dead restart=1
at 5h stranger reboots d1-d3; at 5h switch sw1 down 10m`, ""},
	{"the ladder", `farm 4; switches 4; run 16h; baselines learned
at 20m board d3/0 dead; at 20m board d3/1 dead; at 20m board d3/2 dead`, ""},
	{"wishes", `farm 6; switches 3; pools slush backup; run 12h; baselines learned
at 20m wish all pools typo,slush mode efficient; at 90m wish all pools backup mode efficient
at 5h answer d4 lostreply; at 5h30m stranger configures d2; at 6h wish d0-d5 pools slush,backup mode balanced
at 8h board d3/1 dead restart=1`, "wish:waiting wish:canary wish:waves wish:done wish:aborted undoing"},
	{"losses", `farm 10; switches 5; run 6h; baselines learned
at 10m answer d3-d4 never; at 10m answer d5 lostreply; at 10m answer d6 refused
at 20m board d3/0 dead; at 20m board d5/0 dead restart=1; at 60m board d6/0 dead restart=1
at 80m ask d4 reboot; at 3h board d8/1 dead restart=1; at 2h pause mac d8 30m; at 5h ask d9 configure by rollout:pools`, ""},
	{"firmware", `farm 6; switches 3; run 16h; baselines learned; tune 5m; policy soaks 2h
at 20m answer d1 lostreply; at 20m firmware start t1_20191101_120000 good`,
		"firmware:running firmware:done wave:1 wave:2 wave:6 uploading rebooting version hashing verifying soaking extra-boot done"},
	{"a bad firmware", `farm 6; switches 3; run 8h; baselines learned; tune 5m
at 20m firmware start t1_20191101_120000 bricks-next-boot; at 21m firmware pause f1; at 25m firmware resume f1`,
		"firmware:running firmware:paused firmware:aborted uploading rebooting version hashing verifying soaking extra-boot failed"},
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
			died, stood := 0, ""
			die := func(k int, when string, o Options) {
				r := Run(s, o)
				died++
				if len(r.Healer.Starts) < 2 && r.Healer.Alive() {
					t.Fatalf("killed %s commit %d: it was not started again", when, k)
				}
				for _, f := range r.Oracle.Failures {
					t.Errorf("killed %s commit %d (%s; %s): %s", when, k, whole.Healer.Stages[k-1], whole.Healer.Stood[k-1], f)
				}
				// Where it is not known whether an image was sent, a human has to look. That is
				// no failure of the firmware.
				if !r.Healer.Alive() { // it was the last commit of all
					return
				}
				if stands := r.Healer.stands(); !strings.Contains(c.script, "bricks") && strings.Contains(stands, "failed") {
					t.Errorf("killed %s commit %d (%s): the good firmware is said to have %s", when, k, whole.Healer.Stood[k-1], stands)
				}
			}
			for k := 1; k <= whole.Healer.Commits; k++ {
				// Every commit around a write, and where a rollout moves on, and of the others as
				// many as there is time for.
				moves := k > 1 && whole.Healer.Stood[k-1] != whole.Healer.Stood[k-2]
				if k%stride == 0 || moves || strings.Contains(around(whole, k), "intent") {
					stood += " " + whole.Healer.Stood[k-1]
					die(k, "after", Options{KillAt: k, CheckStore: k%8 == 0})
				}
				// It has sent something, and does not come to say what became of it.
				if whole.Healer.Stages[k-1] == "result" {
					die(k, "before", Options{KillBefore: k})
				}
			}
			for word := range strings.FieldsSeq(c.stand) {
				if !slices.Contains(strings.Fields(stood), word) {
					t.Errorf("it never died while a rollout stood at %s", word)
				}
			}
			t.Logf("%d deaths at %d commits", died, whole.Healer.Commits)
		})
	}
}

// around lists the stages of the commits from just before one to just after it.
func around(r *Result, k int) string {
	return strings.Join(r.Healer.Stages[max(0, k-3):min(len(r.Healer.Stages), k+1)], " ")
}
