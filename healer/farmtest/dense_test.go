package farmtest

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	soakFarms = flag.Int("soak.farms", 2000, "how many dense farms -soak runs")
	soakMost  = flag.Int("soak.most", 1000, "how many dragons they have at most")
	shrinkBy  = flag.Int("shrink", 120, "how many runs a script that fails is made smaller with")
)

// findings lists what a dense script violates.
func findings(text string) []string {
	s, err := Parse(text)
	if err != nil {
		return []string{"0d00:00:00 parse: " + err.Error()}
	}
	return Run(s, Options{}).Oracle.Failures
}

// firstOf runs a script until it violates an invariant.
func firstOf(text, invariant string) []string {
	s, err := Parse(text)
	if err != nil {
		return nil
	}
	return Run(s, Options{Enough: func(o *Oracle) bool { return o.counts[invariant] > 0 }}).Oracle.Failures
}

// Whatever lasts in a farm, and whatever comes on top of it, the invariants hold.
func TestDenseWeeks(t *testing.T) {
	farms, most := 12, 12
	switch {
	case *soak:
		farms, most = *soakFarms, *soakMost
	case testing.Short():
		farms = 8
	}
	dense(t, *seed0, farms, most)
}

// dense runs so many farms from a seed on, two at a time.
func dense(t *testing.T, first uint64, farms, most int) {
	t.Helper()
	seeds := make(chan uint64)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for seed := range seeds {
				text := Dense(seed, most)
				began := time.Now()
				failures := oneOfEach(findings(text))
				if *soak {
					size, _, _ := strings.Cut(text, "\n")
					fmt.Printf("seed %d: %s, %d findings in %s\n", seed, size, len(failures), time.Since(began).Round(time.Millisecond))
				}
				for _, f := range failures {
					only := func(text string) []string { return firstOf(text, kind(f)) }
					found := fmt.Sprintf("seed %d of at most %d dragons: %s\n%s", seed, most, f, smaller(text, f, only))
					if t.Error(found); *soak { // which may be ended before its end
						fmt.Println(found)
					}
				}
			}
		})
	}
	for i := range uint64(farms) {
		seeds <- first + i
		if *soak && i%100 == 99 {
			fmt.Printf("%d farms, seeds %d to %d\n", i+1, first, first+i)
		}
	}
	close(seeds)
	all.Wait()
	t.Logf("%d farms of up to %d dragons, seeds %d to %d", farms, most, first, first+uint64(farms)-1)
}

// oneOfEach keeps the first failure of every invariant.
func oneOfEach(failures []string) (out []string) {
	for _, f := range failures {
		if !slices.ContainsFunc(out, func(g string) bool { return kind(f) == kind(g) }) {
			out = append(out, f)
		}
	}
	return out
}

// smaller is a smaller script with the same failure, and what it says.
func smaller(text, failure string, findings func(string) []string) string {
	if *shrinkBy <= 0 {
		return ""
	}
	var last sync.Map
	fails := func(text string) bool {
		for _, f := range findings(text) {
			if kind(f) == kind(failure) && !strings.Contains(f, "parse: ") {
				last.Store(text, f)
				return true
			}
		}
		return false
	}
	// What comes after the failure has nothing to do with it.
	if at, ok := stamped(failure); ok {
		if short := until(text, at+2*time.Minute); fails(short) {
			text = short
		}
	}
	small := Shrink(text, *shrinkBy, fails)
	said, _ := last.Load(small)
	return fmt.Sprintf("a smaller one:\n%s%v", small, said)
}

// until is a script that ends at a time, without what happens later.
func until(text string, end time.Duration) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if at, err := time.ParseDuration(words[min(1, len(words)-1)]); words[0] == "at" && err == nil && at > end {
			continue
		}
		if words[0] == "run" {
			line = "run " + end.String() + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}
