package collector

import (
	"errors"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

func TestRequestsAreCounted(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	observe := NewRequestMetrics(r)
	observe(dragon.Call{Endpoint: "summary", Outcome: "ok", Took: 30 * time.Millisecond})
	observe(dragon.Call{Endpoint: "summary", Outcome: "ok", Took: 70 * time.Millisecond})
	observe(dragon.Call{Endpoint: "auth", Outcome: "timeout", Took: 10 * time.Second})
	err := testutil.GatherAndCompare(r, strings.NewReader(`
# HELP mother_dragon_requests_total Requests to dragons by outcome.
# TYPE mother_dragon_requests_total counter
mother_dragon_requests_total{endpoint="auth",outcome="timeout"} 1
mother_dragon_requests_total{endpoint="summary",outcome="ok"} 2
`), "mother_dragon_requests_total")
	if err != nil {
		t.Error(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, mf := range families {
		if mf.GetName() != "mother_dragon_request_duration_seconds" {
			continue
		}
		for _, m := range mf.Metric {
			if h := m.GetHistogram(); len(h.Bucket) == 0 || len(h.PositiveSpan) == 0 {
				t.Errorf("not both classic and native: %v", h)
			}
		}
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestMetricsThatCannotBeGatheredAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		desc := prometheus.NewDesc("mother_broken", "Never there.", nil, nil)
		f.Registry.MustRegister(prometheus.CollectorFunc(func(ch chan<- prometheus.Metric) {
			ch <- prometheus.NewInvalidMetric(desc, errors.New("broken"))
		}))
		for range 2 {
			page := f.scraped(t)
			if seriesOf(page, f.worker(0))[up(f.worker(0))] != "1" || !strings.Contains(page, "mother_dragons{") {
				t.Error("the rest is not there")
			}
		}
		if n := testutil.ToFloat64(f.own.errors.WithLabelValues("gathering")); n < 2 {
			t.Errorf("%v counted", n)
		}
	})
}

func TestPromtoolFindsNoFault(t *testing.T) {
	promtool := installed.Tool(t, "promtool", "prometheus")
	c := aCollector(t)
	NewRequestMetrics(c.Registry)(dragon.Call{Endpoint: "summary", Outcome: "ok", Took: time.Millisecond})
	w := httptest.NewRecorder()
	c.write(w, httptest.NewRequest("GET", "/metrics", nil), c.families, append(aFleet(2), failed(3, dragon.ErrTimeout)), c.gather())
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = w.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
