package web

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// The size of a chart in its own units; the page stretches it.
const (
	chartWidth  = 360.0
	chartHeight = 80.0
)

// chart is a line over some hours, as the path of an SVG.
type chart struct {
	Title, Path, Line string // Line: a second, dashed line; empty: none
	Max, Min, Now     string // labels
	Span              string // of time
}

// chartOf draws values between 0 or their minimum and their maximum; NaN is a gap. level is a
// value to compare with; NaN: none.
func chartOf(title string, values []float64, level float64, fromZero bool, label func(float64) string) chart {
	low, high, now := math.Inf(1), math.Inf(-1), math.NaN()
	for _, v := range values {
		if !math.IsNaN(v) {
			low, high, now = min(low, v), max(high, v), v
		}
	}
	c := chart{Title: title}
	if math.IsNaN(now) {
		return c
	}
	if !math.IsNaN(level) {
		high = max(high, level)
	}
	if fromZero {
		low = 0
	}
	if high-low < 1e-9 {
		high++
	}
	y := func(v float64) float64 { return chartHeight * (high - v) / (high - low) }
	var path strings.Builder
	gap := true
	for i, v := range values {
		if math.IsNaN(v) {
			gap = true
			continue
		}
		x := chartWidth * float64(i) / float64(len(values)-1)
		if gap {
			fmt.Fprintf(&path, "M%.1f %.1fh0", x, y(v)) // h0: a lone value is a dot
		} else {
			fmt.Fprintf(&path, "L%.1f %.1f", x, y(v))
		}
		gap = false
	}
	c.Path, c.Max, c.Min, c.Now = path.String(), label(high), label(low), label(now)
	if !math.IsNaN(level) {
		c.Line = fmt.Sprintf("M0 %.1fH%.0f", y(level), chartWidth)
	}
	return c
}

// chartsOf are the charts of a dragon; none while there are fewer than two readings.
func chartsOf(samples []recentSample, a *DragonAnswer) []chart {
	if samples == nil {
		return nil
	}
	pick := func(of func(recentSample) float32) []float64 {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = float64(of(s))
		}
		return values
	}
	expected := a.Expected.Or(a.Nominal.Or(math.NaN()))
	list := []chart{
		chartOf("Hash rate", pick(func(s recentSample) float32 { return s.hashrate }), expected, true,
			func(v float64) string { return rate(dragon.Known(v), a.Algorithm) }),
		chartOf("Hottest board", pick(func(s recentSample) float32 { return s.temperature }), math.NaN(), false,
			func(v float64) string { return figure(dragon.Known(v), "%.0f °C", 1) }),
		chartOf("Accepted shares in 5 min", pick(func(s recentSample) float32 { return s.shares }), math.NaN(), true,
			func(v float64) string { return countOf(dragon.Known(v)) }),
	}
	for i := range list {
		list[i].Span = fmt.Sprintf("%.0f h", (time.Duration(len(samples)) * recentStep).Hours())
	}
	return list
}
