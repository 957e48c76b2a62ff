package fleet

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
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

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "mother_lane_wait_seconds",
			Help:                        "Time that a request waited until its dragon was free.",
			Buckets:                     []float64{.001, .01, .1, .5, 1, 2.5, 5, 10, 30, 120},
			NativeHistogramBucketFactor: 1.1,
		}, []string{"use"}),
		abandoned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mother_lane_abandoned_total",
			Help: "Waits for a dragon that were given up before it answered or was free.",
		}, []string{"use"}),
		unwritten: prometheus.NewCounterVec(prometheus.CounterOpts{
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
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.wait, m.abandoned, m.unwritten} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("fleet: registering metrics: %w", err)
		}
	}
	return m, nil
}
