package collector

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestLabelsAreCleaned(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"t1_20180515_060842":       "t1_20180515_060842",
		"Größe ✓":                  "Größe ✓",
		"a\x00b\nc\td\x7fe":        "a\ufffdb\ufffdc\ufffdd\ufffde",
		"\xffx\xfe":                "\ufffdx\ufffd",
		"right\u202eleft\u2028x":   "right\ufffdleft\ufffdx",
		strings.Repeat("x", 160):   strings.Repeat("x", 160),
		strings.Repeat("x", 161):   strings.Repeat("x", 157) + "…",
		strings.Repeat("é", 81):    strings.Repeat("é", 78) + "…",
		strings.Repeat("x\n", 100): strings.Repeat("x\ufffd", 39) + "x…",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("worker")
	f.Add("\xff\u202e\n" + strings.Repeat("é", 300))
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) || len(got) > maxLabel || strings.ContainsFunc(got, unicode.IsControl) || clean(got) != got {
			t.Errorf("%q: %q", s, got)
		}
	})
}

func TestTheLabelCacheMakesALabelOnce(t *testing.T) {
	f := newLabelCache(newSharedLabels())
	first, second := f.pair("pool", "0"), f.pair("pool", "0")
	if first != second {
		t.Error("made twice")
	}
	if f.pair("board", "0").GetName() != "board" || f.pair("board", "0").GetValue() != "0" {
		t.Error("mixed up")
	}
	for i := range 10 * maxPairs {
		f.pair("status", fmt.Sprint(i))
	}
	if len(f.pairs) > maxPairs {
		t.Errorf("%d labels of a dragon that invents them", len(f.pairs))
	}
}

// Scrapes come at any moment within a second, Device Elapsed is in whole ones and the
// answer takes its time: the start must stay where it is.
func TestTheStartOfCountersStandsStillUntilTheyRestart(t *testing.T) {
	f := newLabelCache(newSharedLabels())
	started := noon.Add(-time.Hour)
	start := func(slot int, at time.Time, elapsed dragon.Number) *timestamppb.Timestamp {
		return since(f, slot, &fleet.Reading{Summary: &dragon.Summary{Answer: dragon.Answer{At: at}}}, elapsed)
	}
	first := start(0, noon, dragon.Known(3600)).AsTime()
	if !first.Equal(started) {
		t.Errorf("began at %v, want %v", first, started)
	}
	for i := range 1000 {
		at := noon.Add(time.Duration(i)*15*time.Second + time.Duration(i%10)*173*time.Millisecond)
		elapsed := math.Floor(at.Sub(started).Seconds() - 0.4*float64(i%4))
		if got := start(0, at, dragon.Known(elapsed)).AsTime(); !got.Equal(first) {
			t.Fatalf("scrape %d: moved to %v", i, got)
		}
	}
	if got := start(0, noon.Add(time.Hour), dragon.Known(30)).AsTime(); !got.Equal(noon.Add(time.Hour - 30*time.Second)) {
		t.Errorf("after a restart: %v", got)
	}
	if got := start(1, noon, dragon.Known(10)).AsTime(); !got.Equal(noon.Add(-10 * time.Second)) {
		t.Errorf("another board: %v", got)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300} {
		if got := start(0, noon, dragon.Known(v)); got != nil {
			t.Errorf("elapsed %v: %v", v, got)
		}
	}
	if start(0, noon, dragon.Number{}) != nil {
		t.Error("a start out of nothing")
	}
	for i := range 10 * maxPairs {
		start(i, noon, dragon.Known(1))
	}
	if len(f.starts) > maxPairs {
		t.Errorf("%d starts", len(f.starts))
	}
}
