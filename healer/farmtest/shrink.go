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

// Shrink makes a script that fails smaller: it leaves out lines as long as the rest
// still fails, then makes the farm smaller and what lasts shorter. It tries several at a
// time; fails must allow that. The same script becomes the same smaller one.
func Shrink(script string, fails func(string) bool) string {
	lines := strings.Split(strings.TrimSpace(script), "\n")
	for size := max(1, len(lines)/2); size > 0; {
		cut := false
		for i := 0; i+size <= len(lines); {
			var tries [][]string
			for at := i; at+size <= len(lines) && len(tries) < runtime.GOMAXPROCS(0); at += size {
				tries = append(tries, slices.Concat(lines[:at], lines[at+size:]))
			}
			if k := firstToFail(tries, fails); k >= 0 {
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
	for i := range lines {
		lines[i] = shorter(lines, i, fails)
	}
	return strings.Join(lines, "\n") + "\n"
}

// firstToFail is the index of the first of some scripts that fails; -1: none does.
func firstToFail(tries [][]string, fails func(string) bool) int {
	failed := make([]bool, len(tries))
	var all sync.WaitGroup
	for i, lines := range tries {
		all.Go(func() { failed[i] = fails(strings.Join(lines, "\n") + "\n") })
	}
	all.Wait()
	return slices.Index(failed, true)
}

var (
	sized = regexp.MustCompile(`^(farm|switches|pdus) (\d+)$`)
	spans = regexp.MustCompile(`^(.* )((?:\d+h)?(?:\d+m)?(?:\d+s)?)$`)
)

// shorter is a line of the script with its number, or the duration at its end, halved as
// long as the script still fails.
func shorter(lines []string, i int, fails func(string) bool) string {
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
		if next == lines[i] || !fails(strings.Join(try, "\n")+"\n") {
			return lines[i]
		}
		lines = try
	}
}
