package web

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func reading(hashrate, temperature, accepted float64) *fleet.Reading {
	return &fleet.Reading{Summary: &dragon.Summary{
		Boards: []dragon.Board{
			{Status: "Alive", Hashrate5m: dragon.Known(hashrate / 2), Temperature: dragon.Known(temperature)},
			{Status: "Alive", Hashrate5m: dragon.Known(hashrate / 2), Temperature: dragon.Known(temperature - 5)},
			{Status: "Dead", Hashrate5m: dragon.Known(1e15)},
		},
		Pools: []dragon.Pool{{Accepted: dragon.Known(accepted)}, {}},
	}}
}

func TestTheLastSixHoursAreKept(t *testing.T) {
	m, start := NewRecent(), time.Unix(1e9, 0).Truncate(recentStep)
	for minute := range 8 * 60 { // more than is kept
		if minute >= 420 && minute < 450 {
			continue // it was offline
		}
		m.Add("a", reading(float64(minute)*1e12, 70, float64(10*minute)), start.Add(time.Duration(minute)*time.Minute))
	}
	now := start.Add((8*60 - 1) * time.Minute)
	list := m.last("a", now)
	if len(list) != recentSteps {
		t.Fatalf("%d steps", len(list))
	}
	for i, s := range list {
		minute := 8*60 - 5*(recentSteps-i) // at which the step begins
		gap := minute >= 420 && minute < 450
		if nan := math.IsNaN(float64(s.hashrate)); nan != gap {
			t.Errorf("minute %d: unknown %t, want %t", minute, nan, gap)
		}
		if !gap && (s.hashrate != float32(float64(minute+4)*1e12) || s.temperature != 70) {
			t.Errorf("minute %d: %+v", minute, s)
		}
		if want := map[bool]float32{true: 350, false: 50}[minute == 450]; !gap && s.shares != want { // those of the gap come with the first reading
			t.Errorf("minute %d: %g shares, want %g", minute, s.shares, want)
		}
	}
	if m.last("b", now) != nil || (*Recent)(nil).last("a", now) != nil {
		t.Error("there is something of a dragon that was never read")
	}
	// Counters that restart and readings that come a little late spoil nothing.
	m.Add("a", reading(1e12, 70, 3), now)
	m.Add("a", reading(5e12, 70, 3), now.Add(-recentStep))
	if s := m.last("a", now)[recentSteps-1]; s.shares != 50 || s.hashrate != 1e12 {
		t.Errorf("%+v", s)
	}
	m.Add("b", reading(1e12, 70, 3), now.Add(7*time.Hour))
	if m.last("a", now.Add(7*time.Hour)) != nil || len(m.dragons) != 1 {
		t.Errorf("a dragon that is gone for six hours is kept: %d", len(m.dragons))
	}
	m.Add("", reading(1, 1, 1), now)
	m.Add("c", &fleet.Reading{}, now)
	if len(m.dragons) != 1 {
		t.Errorf("%d dragons", len(m.dragons))
	}
	m.Add("a", reading(1e12, 70, 3), start) // the clock was set back
	m.Add("a", reading(1e12, 70, 3), start.Add(recentStep))
	if list := m.last("a", start.Add(recentStep)); len(list) != recentSteps || len(m.dragons) != 1 {
		t.Errorf("after the clock was set back: %d steps of %d dragons", len(list), len(m.dragons))
	}
}

func TestAChartHasItsLineAndGaps(t *testing.T) {
	nan := math.NaN()
	label := func(v float64) string { return fmt.Sprint(v) }
	for name, x := range map[string]struct {
		values []float64
		level  float64
		zero   bool
		want   chart
	}{
		"unknown":  {[]float64{nan, nan}, nan, true, chart{}},
		"a line":   {[]float64{0, 5, 10}, nan, true, chart{Path: "M0.0 80.0h0L180.0 40.0L360.0 0.0", Max: "10", Min: "0", Now: "10"}},
		"a gap":    {[]float64{10, nan, 10}, nan, true, chart{Path: "M0.0 0.0h0M360.0 0.0h0", Max: "10", Min: "0", Now: "10"}},
		"a level":  {[]float64{5, 5, nan}, 20, true, chart{Path: "M0.0 60.0h0L180.0 60.0", Line: "M0 0.0H360", Max: "20", Min: "0", Now: "5"}},
		"constant": {[]float64{70, 70, 70}, nan, false, chart{Path: "M0.0 80.0h0L180.0 80.0L360.0 80.0", Max: "71", Min: "70", Now: "70"}},
	} {
		if got := chartOf("", x.values, x.level, x.zero, label); got != x.want {
			t.Errorf("%s: %+v\nwant %+v", name, got, x.want)
		}
	}
}

func TestADragonsPageHasCharts(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 2})
	recent := NewRecent()
	d := c.fleet.Lookup(c.worker)
	show := func() string {
		conf := config(t, "/metrics")
		conf.API = APIConfig{Fleet: c.fleet, Healer: c.healer, Recent: recent}
		h, err := Handler(conf)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		fromHere(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/dragon?worker="+c.worker, nil))
		return w.Body.String()
	}
	if page := show(); strings.Contains(page, `class="charts"`) {
		t.Error("there are charts of nothing")
	}
	for i := range 12 {
		recent.Add(d.Info().MAC, d.Last(), time.Now().Add(time.Duration(i-11)*recentStep))
	}
	page := show()
	if strings.Count(page, "<figure") != 3 || strings.Count(page, `<path class="value" d="M`) != 3 || !strings.Contains(page, "Hash rate <b>1") || strings.Contains(page, "ZgotmplZ") {
		t.Error(page)
	}
	if after := testing.AllocsPerRun(100, func() { recent.Add(d.Info().MAC, d.Last(), time.Now()) }); after > 0 {
		t.Errorf("a reading costs %g allocations", after)
	}
}
