package discovery

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// How a scan can end.
const (
	complete   = "complete"
	incomplete = "incomplete" // some hosts took the connection and did not answer
	cut        = "cut"        // by its interval
	stopped    = "stopped"    // by a shutdown, or by the caller
	failed     = "failed"     // some addresses could not be tried for want of something on this machine
)

type metrics struct {
	duration   prometheus.Histogram
	addresses  prometheus.Counter
	last       prometheus.Gauge
	scans      *prometheus.CounterVec
	unanswered prometheus.Gauge
	locked     prometheus.Gauge
	identified *prometheus.CounterVec
	targetUp   *prometheus.GaugeVec
	targetDown *prometheus.GaugeVec

	announcements *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	with := promauto.With(r)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return with.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return with.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		duration: with.NewHistogram(prometheus.HistogramOpts{
			Name: "mother_discovery_scan_duration_seconds", Help: "Time that a scan of the networks took.",
			Buckets: []float64{0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}, NativeHistogramBucketFactor: 1.1,
		}),
		addresses: counter("mother_discovery_addresses_scanned_total", "Addresses that scans have finished.").WithLabelValues(),
		last: gauge("mother_discovery_last_scan_timestamp_seconds",
			"When the last scan of all addresses ended; 0 before the first.").WithLabelValues(),
		scans: counter("mother_discovery_scans_total", "Scans by outcome: complete, incomplete (hosts accepted the connection but did not answer), cut (by the "+
			"interval), stopped, failed (addresses that could not be tried).", "outcome"),
		unanswered: gauge("mother_discovery_unanswered_hosts",
			"Hosts that accepted the connection in the last scan but did not answer, and have not answered since.").WithLabelValues(),
		locked: gauge("mother_discovery_locked_hosts",
			"Dragons that were found but reject all our credentials, so they are not in the fleet.").WithLabelValues(),
		identified: counter("mother_discovery_identifications_total", "Identified hosts by result: dragon, stranger, locked (a dragon that accepts no "+
			"credential), waiting (a new dragon, when too many were found at once), unanswered.", "outcome"),
		targetUp: gauge("mother_target_up", "Whether a dragon answers at a static target.", "target"),
		targetDown: gauge("mother_target_down_info", "1 for the reason that a static target is down: no_address, refused, unreachable, timeout, https (it "+
			"wants HTTPS), other_login, not_a_dragon, response, or of a dragon: password, lockout, change (of the password).", "target", "reason"),
		announcements: counter("mother_discovery_announcements_total", "Announcements of dragons whose button was pressed, by outcome: the results of "+
			"identifications; known or down (nothing new); repeated within seconds; elsewhere (outside the networks, or not of the sender's address), limited (too "+
			"many), malformed.", "outcome"),
	}
	for _, outcome := range []string{
		string(isDragon), string(isKnown), string(isDown), string(isStranger), string(isLocked), string(isWaiting), string(isUnanswered), repeated, elsewhere, limited, malformed,
	} {
		m.announcements.WithLabelValues(outcome)
	}
	for _, outcome := range []string{complete, incomplete, cut, stopped, failed} {
		m.scans.WithLabelValues(outcome)
	}
	for _, v := range []verdict{isDragon, isStranger, isLocked, isWaiting, isUnanswered} {
		m.identified.WithLabelValues(string(v))
	}
	return m
}
