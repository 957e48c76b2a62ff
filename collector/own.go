package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// ownMetrics registers the collector's own metrics and returns the counter of what went
// wrong on our side.
func ownMetrics(r prometheus.Registerer, known func() []*fleet.Dragon) *prometheus.CounterVec {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mother_scrape_errors_total",
		Help: "Scrapes refused or incomplete for a reason of our own, and panics over what a dragon said.",
	}, []string{"cause"})
	for _, cause := range []string{"encoding", "gathering", "limit", "panic"} {
		failures.WithLabelValues(cause)
	}
	dragons := prometheus.NewDesc("mother_dragons", "Dragons by state: known are all of them, each of them up or down; conflict are those without a MAC of their own.", []string{"state"}, nil)
	census := prometheus.CollectorFunc(func(ch chan<- prometheus.Metric) {
		var up, down, conflict int
		for _, d := range known() {
			if d.Health().Up {
				up++
			} else {
				down++
			}
			if d.Info().Conflict {
				conflict++
			}
		}
		for state, n := range map[string]int{"known": up + down, "up": up, "down": down, "conflict": conflict} {
			ch <- prometheus.MustNewConstMetric(dragons, prometheus.GaugeValue, float64(n), state)
		}
	})
	r.MustRegister(failures, census)
	return failures
}

// NewRequestMetrics registers the metrics of requests to dragons and returns the
// function that counts one, for dragon.Options.
func NewRequestMetrics(r prometheus.Registerer) func(dragon.Call) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mother_dragon_requests_total",
		Help: "Requests to dragons by what came of them.",
	}, []string{"endpoint", "outcome"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "mother_dragon_request_duration_seconds",
		Help: "Time that dragons took to answer, or that was waited in vain.",
		// From a good answer on a LAN to the slowest call, which makes the dragon ask its vendor.
		Buckets:                         []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"endpoint"})
	r.MustRegister(requests, durations)
	return func(call dragon.Call) {
		requests.WithLabelValues(call.Endpoint, call.Outcome).Inc()
		durations.WithLabelValues(call.Endpoint).Observe(call.Took.Seconds())
	}
}
