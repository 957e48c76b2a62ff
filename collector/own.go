package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// own are the collector's own metrics.
type own struct {
	errors  *prometheus.CounterVec
	dragons *prometheus.GaugeVec
}

func newOwn(r prometheus.Registerer) own {
	o := own{
		errors: promauto.With(r).NewCounterVec(prometheus.CounterOpts{
			Name: "mother_scrape_errors_total",
			Help: "Scrapes refused or incomplete because of an internal error or limit, and panics while reading an answer.",
		}, []string{"cause"}),
		dragons: promauto.With(r).NewGaugeVec(prometheus.GaugeOpts{
			Name: "mother_dragons",
			Help: "Dragons by state: known (all of them), up, down, conflict (without a MAC of their own).",
		}, []string{"state"}),
	}
	for _, cause := range []string{"encoding", "gathering", "limit", "panic"} {
		o.errors.WithLabelValues(cause)
	}
	o.count(nil)
	return o
}

func (o own) count(dragons []*fleet.Dragon) {
	var up, conflict int
	for _, d := range dragons {
		if d.Health().Up {
			up++
		}
		if d.Info().Conflict {
			conflict++
		}
	}
	o.dragons.WithLabelValues("known").Set(float64(len(dragons)))
	o.dragons.WithLabelValues("up").Set(float64(up))
	o.dragons.WithLabelValues("down").Set(float64(len(dragons) - up))
	o.dragons.WithLabelValues("conflict").Set(float64(conflict))
}

// NewRequestMetrics registers the metrics of requests to dragons and returns the
// function that counts one, for dragon.Options.
func NewRequestMetrics(r prometheus.Registerer) func(dragon.Call) {
	requests := promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "mother_dragon_requests_total",
		Help: "Requests to dragons by outcome.",
	}, []string{"endpoint", "outcome"})
	durations := promauto.With(r).NewHistogramVec(prometheus.HistogramOpts{
		Name: "mother_dragon_request_duration_seconds",
		Help: "Time that dragons took to answer, or until the timeout.",
		// From a good answer on a LAN to the slowest call, which makes the dragon ask its vendor.
		Buckets:                         []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"endpoint"})
	return func(call dragon.Call) {
		requests.WithLabelValues(call.Endpoint, call.Outcome).Inc()
		durations.WithLabelValues(call.Endpoint).Observe(call.Took.Seconds())
	}
}

// NewSurplusMetric registers the counter of surplus answers and returns the function that
// counts one, for dragon.Transport.
func NewSurplusMetric(r prometheus.Registerer) func(host string) {
	surplus := promauto.With(r).NewCounter(prometheus.CounterOpts{
		Name: "mother_dragon_surplus_answers_total",
		Help: "Connections closed because a dragon sent more than the answer to its request.",
	})
	return func(string) { surplus.Inc() }
}
