package farmtest

import (
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var (
	soak     = flag.Bool("soak", false, "run for long: every commit, and random scripts until -soak.for is over")
	soakF    = flag.Duration("soak.for", 10*time.Minute, "how long -soak tries random scripts")
	soakDays = flag.Int("soak.days", 21, "how many days -soak leaves a thousand dragons alone")
	seed0    = flag.Uint64("seed", 1, "the first seed of the random scripts")
)

// broken lists what a script violates.
func broken(text string) []string {
	s, err := Parse(text)
	if err != nil {
		return []string{"parse: " + err.Error()}
	}
	r := Run(s, Options{CheckStore: true, CheckPlan: 7})
	failures := r.Oracle.Failures
	// Dragons that reboots kill, and people who ask for them, are beyond the healer.
	if !strings.Contains(text, "answer") && !strings.Contains(text, "ask ") && !strings.Contains(text, "wish ") {
		if err := r.Harm(Leave(s, NoHealer{})); err != nil {
			failures = append(failures, "end "+err.Error())
		}
	}
	return failures
}

// kind is the invariant that a failure is about.
func kind(failure string) string {
	_, rest, _ := strings.Cut(failure, " ")
	i, _, _ := strings.Cut(rest, " ")
	return i
}

func try(t *testing.T, seed uint64, text string) {
	t.Helper()
	failures := broken(text)
	if len(failures) == 0 {
		return
	}
	t.Logf("seed %d fails: %s", seed, failures[0])
	t.Errorf("seed %d: %s\n%s", seed, strings.Join(failures, "\n"), smaller(text, failures[0], broken))
}

// Whatever happens to a farm, the invariants hold.
func TestRandomScripts(t *testing.T) {
	for i := range uint64(28) {
		try(t, *seed0+i, Random(*seed0+i))
	}
}

// Whatever happens to a farm while firmware is rolled out, the same.
func TestRandomScriptsWithFirmware(t *testing.T) {
	for i := range uint64(20) {
		try(t, *seed0+i, RandomFirmware(*seed0+i))
	}
}

// And while the dragons are to be this and that. What they are to be may not be what earns
// most: a typo does not, nor a mode that is tuned for.
func TestRandomScriptsWithWishes(t *testing.T) {
	for i := range uint64(10) {
		try(t, *seed0+i, RandomWishes(*seed0+i))
	}
}

func TestSoakRandomScripts(t *testing.T) {
	if !*soak {
		t.Skip("with -soak")
	}
	end := time.Now().Add(*soakF)
	n := uint64(0)
	for ; time.Now().Before(end) && !t.Failed(); n++ {
		seed := *seed0 + 1000 + n
		try(t, seed, Random(seed))
		try(t, seed, RandomFirmware(seed))
		try(t, seed, RandomWishes(seed))
	}
	t.Logf("%d scripts from seed %d on", n, *seed0+1000)
}

// The same script gives the same bytes (I21).
func TestSameSeedSameAudit(t *testing.T) {
	for seed := range uint64(6) {
		s, err := Parse(Random(seed + 100))
		if err != nil {
			t.Fatal(err)
		}
		if a, b := Run(s, Options{}).Log(), Run(s, Options{CheckPlan: 1}).Log(); a != b {
			t.Errorf("I21 seed %d: the same script gives another log: %s", seed+100, firstDifference(a, b))
		}
	}
}

// A script of a thousand dragons and two hundred events, of which two matter, becomes a few
// lines for a few dragons within as many runs as there is a minute for.
func TestShrinkNeedsFewRuns(t *testing.T) {
	var b strings.Builder
	b.WriteString("farm 1000\nswitches 40\npools slush\nrun 168h\n")
	for i := range 200 {
		fmt.Fprintf(&b, "at %dh board d%d/1 dead\n", i%160, (i*37)%1000)
	}
	b.WriteString("at 90h web d3 401\nat 100h board d3/2 dead\nat 101h board d700/2 dead\n")
	const runs = 150
	var tries atomic.Int64
	got := Shrink(b.String(), runs, func(s string) bool {
		tries.Add(1)
		return strings.Contains(s, "web d3 401") && strings.Contains(s, "board d3/2 dead")
	})
	if n := tries.Load(); n > runs {
		t.Errorf("%d runs, want at most %d", n, runs)
	}
	if lines := strings.Count(got, "\n"); lines > 6 || !strings.Contains(got, "web d3 401") {
		t.Errorf("%d lines are left:\n%s", lines, got)
	}
}

func TestShrinkLeavesTheCulprit(t *testing.T) {
	text := "a\nb\nc\nd\ne\nf\n"
	got := Shrink(text, 100, func(s string) bool { return strings.Contains(s, "b") && strings.Contains(s, "e") })
	if got != "b\ne\n" {
		t.Errorf("got %q, want b and e", got)
	}
}
