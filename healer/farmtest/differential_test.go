package farmtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// row is how one script ends under one policy.
type row struct {
	script, policy    string
	restarts, reboots int
	lost              float64 // part of the hash
	sick, curable     int     // dragons at the end with something wrong, and those of them that could be cured
}

const week = "farm 100; switches 10; run 7d; tune 10m..30m\n"

var weeks = []struct{ name, script string }{
	{"pool outage of 2 h", "at 24h pool slush down 2h"},
	{"5 boards dead for good", "at 24h board d3/1 dead; at 24h board d14/1 dead; at 24h board d25/1 dead; at 24h board d36/1 dead; at 24h board d47/1 dead"},
	{"5 boards that a restart cures", "at 24h board d3/1 dead restart=1; at 24h board d14/1 dead restart=1; at 24h board d25/1 dead restart=1; at 24h board d36/1 dead restart=1; at 24h board d47/1 dead restart=1"},
	{"flaky boards on 5 dragons", "at 2h board d3/1 flaky 1; at 2h board d14/0 flaky 1; at 2h board d25/2 flaky 1; at 2h board d36/1 flaky 1; at 2h board d47/1 flaky 1"},
	{"site power off 3 min, daily", "at 20h power site off 3m; at 44h power site off 3m; at 68h power site off 3m; at 92h power site off 3m"},
	{"a hot day", "at 60h weather 21 8h"},
	{"nothing", ""},
}

// lookAfter runs a script under the three policies.
func lookAfter(t testing.TB, name, text string) (alone, original, ours row) {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	count := func(policy string, w *World) row {
		r := row{script: name, policy: policy, lost: w.Lost()}
		for _, x := range w.Writes {
			switch {
			case x.Kind == healer.Reboot:
				r.reboots++
			case x.Kind == healer.Restart:
				r.restarts++
			}
		}
		for _, d := range w.Dragons {
			if wrong := d.wrong(); len(wrong) > 0 {
				r.sick++
				if wrong[0].curable() {
					r.curable++
				}
			}
		}
		return r
	}
	alone = count("no healer", Leave(s, NoHealer{}))
	original = count("the original", Leave(s, &Original{Minimum: 0.8 * nominal, Duration: time.Hour}))
	r := Run(s, Options{})
	for _, f := range r.Oracle.Failures {
		t.Errorf("%s: %s", name, f)
	}
	return alone, original, count("this healer", r.World)
}

func table(size string, rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-30s %-14s %9s %9s %9s %6s %8s\n", size, "policy", "restarts", "reboots", "hash lost", "sick", "curable")
	last := ""
	for _, r := range rows {
		name := r.script
		if name == last {
			name = ""
		}
		last = r.script
		fmt.Fprintf(&b, "%-30s %-14s %9d %9d %8.2f%% %6d %8d\n", name, r.policy, r.restarts, r.reboots, 100*r.lost, r.sick, r.curable)
	}
	return b.String()
}

// compare runs all weeks, on one farm.
func compare(t testing.TB, farm string) (map[string][3]row, []row) {
	t.Helper()
	var rows []row
	by := map[string][3]row{}
	for _, w := range weeks {
		alone, original, ours := lookAfter(t, w.name, farm+w.script)
		rows = append(rows, alone, original, ours)
		by[w.name] = [3]row{alone, original, ours}
	}
	return by, rows
}

// The original's policy, no healer, and this one, over the same days: a smaller farm
// than BenchmarkDifferential's, for less time.
func TestDifferential(t *testing.T) {
	by, rows := compare(t, "farm 50; switches 10; run 4d; tune 10m..30m\n")
	t.Log("\n" + table("50 dragons, 4 days", rows))
	for name, r := range by {
		if r[2].lost > r[0].lost+0.005 {
			t.Errorf("%s: the healer costs %.2f%% of the hash", name, 100*(r[2].lost-r[0].lost))
		}
		if r[2].lost > r[1].lost+0.001 {
			t.Errorf("%s: %.2f%% of the hash lost, %.2f%% with the original policy", name, 100*r[2].lost, 100*r[1].lost)
		}
		if r[2].curable > 0 && !strings.HasPrefix(name, "flaky") {
			t.Errorf("%s: %d dragons that could be cured are sick at the end", name, r[2].curable)
		}
	}
	if r := by["pool outage of 2 h"]; r[2].reboots+r[2].restarts != 0 || r[1].reboots < 10_000 || r[1].lost < 0.3 {
		t.Errorf("pool outage: want a storm of reboots by the original, nothing by this one: %+v", r)
	}
	if r := by["5 boards dead for good"]; r[2].reboots != 5 || r[2].restarts < 1 || r[2].restarts > 5 || r[1].reboots < 1000 {
		t.Errorf("dead boards: want a reboot each, and a restart until it is known not to help: %+v", r)
	}
	if r := by["5 boards that a restart cures"]; r[2].reboots != 0 || r[2].restarts != 5 || r[2].lost >= r[0].lost {
		t.Errorf("curable boards: want five restarts, and less hash lost than without: %+v", r)
	}
	if r := by["flaky boards on 5 dragons"]; r[2].lost >= r[0].lost {
		t.Errorf("flaky boards: want less hash lost than without a healer: %+v", r)
	}
	for _, name := range []string{"nothing", "site power off 3 min, daily"} {
		if r := by[name]; r[2].reboots+r[2].restarts != 0 {
			t.Errorf("%s: %d writes, want none", name, r[2].reboots+r[2].restarts)
		}
	}
}

// BenchmarkDifferential prints the table, and reports what each policy costs: week by
// week, since a benchmark has ten lines to say something in.
func BenchmarkDifferential(b *testing.B) {
	for _, w := range weeks {
		b.Run(w.name, func(b *testing.B) {
			var alone, original, ours row
			for b.Loop() {
				alone, original, ours = lookAfter(b, w.name, week+w.script)
			}
			b.Log("\n" + table("100 dragons, 7 days", []row{alone, original, ours}))
			b.ReportMetric(100*alone.lost, "%lost-without")
			b.ReportMetric(100*original.lost, "%lost-original")
			b.ReportMetric(100*ours.lost, "%lost-healer")
			b.ReportMetric(float64(original.reboots), "reboots-original")
			b.ReportMetric(float64(ours.reboots), "reboots-healer")
		})
	}
}

// BenchmarkWeek is a hundred dragons for a week: 1,008,000 samples.
func BenchmarkWeek(b *testing.B) {
	s, err := Parse(week)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Run(s, Options{})
	}
}
