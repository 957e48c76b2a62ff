package config

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tell whether the last reload succeeded.
type Metrics struct{ successful, at prometheus.Gauge }

// NewMetrics registers the metrics, with a first successful load.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		successful: promauto.With(r).NewGauge(prometheus.GaugeOpts{
			Name: "mother_config_last_reload_successful",
			Help: "Whether the configuration could be taken over when it was last read; if not, the one before it is in force.",
		}),
		at: promauto.With(r).NewGauge(prometheus.GaugeOpts{
			Name: "mother_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration in force was taken over.",
		}),
	}
	m.Loaded(nil)
	return m
}

// Loaded records the result of a load.
func (m *Metrics) Loaded(err error) {
	if err != nil {
		m.successful.Set(0)
		return
	}
	m.successful.Set(1)
	m.at.SetToCurrentTime()
}
