package farmtest

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Shrink makes a script that fails smaller: it halves the farm as long as the rest still
// fails, since a small farm runs faster; then it leaves out lines, and makes durations
// shorter. It asks fails at most so many times, several at a time; fails must allow that.
// The same script becomes the same smaller one.
func Shrink(script string, most int, fails func(string) bool) string {
	s := &shrinker{fails: fails, left: most}
	lines := strings.Split(strings.TrimSpace(script), "\n")
	for next := halfFarm(lines); next != nil && s.any(next) == 0; next = halfFarm(lines) {
		lines = next
	}
	lines = s.without(lines)
	for i := range lines {
		lines[i] = s.shorter(lines, i)
	}
	return text(lines)
}

// shrinker counts what Shrink may still try.
type shrinker struct {
	fails func(string) bool
	left  int
}

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// without leaves out lines: half of them at a time, then less and less.
func (s *shrinker) without(lines []string) []string {
	for size := max(1, len(lines)/2); size > 0; {
		cut := false
		for i := 0; i+size <= len(lines) && s.left > 0; {
			var tries [][]string
			for at := i; at+size <= len(lines) && len(tries) < runtime.GOMAXPROCS(0); at += size {
				tries = append(tries, slices.Concat(lines[:at], lines[at+size:]))
			}
			if k := s.any(tries...); k >= 0 {
				lines, cut = tries[k], true
				i += k * size
			} else {
				i += len(tries) * size
			}
		}
		if !cut || size > len(lines) {
			size /= 2
		}
	}
	return lines
}

// any is the index of the first of some scripts that fails; -1: none does.
func (s *shrinker) any(tries ...[]string) int {
	tries = tries[:min(len(tries), s.left)]
	s.left -= len(tries)
	failed := make([]bool, len(tries))
	var all sync.WaitGroup
	for i, lines := range tries {
		all.Go(func() { failed[i] = s.fails(text(lines)) })
	}
	all.Wait()
	return slices.Index(failed, true)
}

var (
	sized = regexp.MustCompile(`^(farm|switches|pdus) (\d+)$`)
	spans = regexp.MustCompile(`^(.* )((?:\d+h)?(?:\d+m)?(?:\d+s)?)$`)
)

// halfFarm is the script for half as many dragons, without the lines about the others; nil:
// it has no size, or none that can be halved.
func halfFarm(lines []string) []string {
	n := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "farm ") })
	if n < 0 {
		return nil
	}
	var size int
	if _, err := fmt.Sscanf(lines[n], "farm %d", &size); err != nil || size < 2 {
		return nil
	}
	farm := fmt.Sprintf("farm %d", size/2)
	half := slices.Clone(lines)
	half[n] = farm
	for { // what cannot be read any more is about dragons that are gone
		_, err := Parse(text(half))
		if err == nil {
			return half
		}
		var bad int
		if _, e := fmt.Sscanf(err.Error(), "line %d:", &bad); e != nil || half[bad-1] == farm {
			return nil
		}
		half = slices.Delete(half, bad-1, bad)
	}
}

// shorter is a line of the script with its number, or the duration at its end, halved as
// long as the script still fails.
func (s *shrinker) shorter(lines []string, i int) string {
	for {
		var next string
		if m := sized.FindStringSubmatch(lines[i]); m != nil {
			var n int
			_, _ = fmt.Sscan(m[2], &n)
			next = fmt.Sprintf("%s %d", m[1], n/2)
		} else if m := spans.FindStringSubmatch(lines[i]); m != nil && strings.Count(lines[i], " ") > 1 {
			d, err := time.ParseDuration(m[2])
			if d /= 2; err != nil || d < time.Minute {
				return lines[i]
			}
			next = m[1] + d.Truncate(time.Minute).String()
		} else {
			return lines[i]
		}
		try := slices.Clone(lines)
		try[i] = next
		if next == lines[i] || s.any(try) != 0 {
			return lines[i]
		}
		lines = try
	}
}
