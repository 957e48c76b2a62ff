package fleet

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Uses of a lane: the values of the label use.
const (
	useRead  = "read"  // Read
	useOther = "other" // Do
	useWrite = "write" // Write
)

type metrics struct {
	wait      *prometheus.HistogramVec
	abandoned *prometheus.CounterVec
	unwritten *prometheus.CounterVec
}

// registerWaiting shows how many new dragons wait for a human.
func (f *Fleet) registerWaiting(r prometheus.Registerer) {
	promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mother_inventory_waiting_dragons",
		Help: "New dragons that wait for mother-of-dragons inventory accept, because too many were found at once.",
	}, func() float64 {
		f.mu.RLock()
		defer f.mu.RUnlock()
		return float64(len(f.intake.waiting) + f.intake.more)
	})
}

func newMetrics(r prometheus.Registerer) *metrics {
	with := promauto.With(r)
	m := &metrics{
		wait: with.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "mother_lane_wait_seconds",
			Help:                        "Time that a request waited until its dragon was free.",
			Buckets:                     []float64{.001, .01, .1, .5, 1, 2.5, 5, 10, 30, 120},
			NativeHistogramBucketFactor: 1.1,
		}, []string{"use"}),
		abandoned: with.NewCounterVec(prometheus.CounterOpts{
			Name: "mother_lane_abandoned_total",
			Help: "Requests that gave up before the dragon was free or answered.",
		}, []string{"use"}),
		unwritten: with.NewCounterVec(prometheus.CounterOpts{
			Name: "mother_inventory_write_failures_total",
			Help: "Failed writes of the inventory (own) and of its copy in the original tool's form (copy).",
		}, []string{"file"}),
	}
	for _, use := range []string{useRead, useOther, useWrite} {
		m.wait.WithLabelValues(use)
		m.abandoned.WithLabelValues(use)
	}
	for _, file := range []string{fileOwn, fileCopy} {
		m.unwritten.WithLabelValues(file)
	}
	return m
}
