package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

const prometheus3Config = `
global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s, external_labels: {farm: %s}}
rule_files: [%q]
scrape_configs:
  - job_name: dragons
    static_configs: [{targets: [%q]}]%s
remote_write:
  - url: %s/api/v1/write
    protobuf_message: io.prometheus.write.v2.Request
    send_native_histograms: true
`

const natively = `
    scrape_native_histograms: true
    always_scrape_classic_histograms: true`

// TestPrometheus3TakesEverything has two Prometheus 3 scrape the program, one with its defaults and one
// with its newer features, and write to a third.
func TestPrometheus3TakesEverything(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), installed.Tool(t, "prometheus", "prometheus"), "--version").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	} else if !strings.HasPrefix(string(out), "prometheus, version 3.") {
		t.Skip("this Prometheus is older than 3: make prometheus3 builds one")
	}
	_, flags := fleetOf(t, dragontest.FleetConfig{Count: 12, Specs: dragontest.Mixed})
	_, base := mother(t, append(flags, "--data-dir="+t.TempDir())...)
	remote := runPrometheus(t, "global: {}\n", "--web.enable-remote-write-receiver", "--enable-feature=st-storage,use-start-timestamps,promql-experimental-functions")
	writes := recordTraffic(t, remote.base)
	text, proto := recordTraffic(t, base), recordTraffic(t, base)
	farms := map[string]prometheus{
		"default": runPrometheus(t, fmt.Sprintf(prometheus3Config, "default", hastyRules(t), text.host(), "", writes.URL)),
		"newest": runPrometheus(t, fmt.Sprintf(prometheus3Config, "newest", hastyRules(t), proto.host(), natively, writes.URL),
			"--enable-feature=st-storage,use-start-timestamps,promql-experimental-functions"),
	}
	for farm, p := range farms {
		eventually(t, farm+": all dragons are up", func() bool { return p.query(t, "count(dragon_up == 1)")[""] == 12 })
		up := time.Now()
		eventually(t, farm+": every rule is evaluated", func() bool { return p.rulesEvaluated(t, up) })
		for _, series := range []string{"dragon_up", "dragon_board_hashes_total", "worker:dragon_state:info", "mother_dragon_request_duration_seconds_bucket"} {
			eventually(t, farm+": what is written arrives: "+series, func() bool {
				n := p.query(t, "count("+series+")")[""]
				return n > 0 && remote.query(t, fmt.Sprintf("count(%s{farm=%q})", series, farm))[""] == n
			})
		}
		for _, name := range p.metricNames(t) {
			if strings.Contains(name, "U__") || !model.LegacyValidation.IsValidMetricName(name) {
				t.Errorf("%s: the name %s is escaped, or not plain", farm, name)
			}
		}
	}

	newest := farms["newest"]
	eventually(t, "a native histogram is scraped and written", func() bool {
		const expr = `sum(histogram_count(mother_dragon_request_duration_seconds))`
		return newest.query(t, expr)[""] > 0 && remote.query(t, expr)[""] > 0
	})
	for name, p := range map[string]prometheus{"scraped": newest, "written": remote} {
		eventually(t, "it is "+name+" since when a counter counts", func() bool {
			ages := p.query(t, `max by (worker) (timestamp(dragon_board_hashes_total{farm=~"newest|"}) - start_timestamp(dragon_board_hashes_total{farm=~"newest|"}))`)
			uptimes := p.query(t, `max by (worker) (dragon_miner_uptime_seconds{farm=~"newest|"})`)
			for worker, age := range ages {
				if math.Abs(age-uptimes[worker]) > 5 {
					return false
				}
			}
			return len(ages) > 5
		})
	}
	text.check(t, http.MethodGet, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8")
	proto.check(t, http.MethodGet, "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores")
	writes.check(t, http.MethodPost, "application/x-protobuf;proto=io.prometheus.write.v2.Request")
}

// rulesEvaluated reports whether all rules have been evaluated since a moment. None may fail.
func (p prometheus) rulesEvaluated(t *testing.T, since time.Time) bool {
	t.Helper()
	body, err := tryGet(p.base + "/api/v1/rules")
	if err != nil {
		return false
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, LastError string
					LastEvaluation  time.Time
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.LastError != "" {
				t.Fatalf("%s: %s", r.Name, r.LastError)
			}
			if r.LastEvaluation.Before(since) {
				return false
			}
			n++
		}
	}
	return n > 200
}

func (p prometheus) metricNames(t *testing.T) []string {
	t.Helper()
	var answer struct{ Data []string }
	if err := json.Unmarshal([]byte(get(t, p.base+"/api/v1/label/__name__/values")), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Data
}

// traffic is a proxy that notes the method and the media type of what passes, and what is refused.
type traffic struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]bool
}

func recordTraffic(t *testing.T, base string) *traffic {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	x := &traffic{seen: make(map[string]bool)}
	x.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			kind := r.Header.Get("Content-Type")
			if r.Request.Method == http.MethodPost {
				kind = r.Request.Header.Get("Content-Type")
			}
			if r.StatusCode >= 300 {
				kind = r.Status
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.seen[r.Request.Method+" "+kind] = true
			return nil
		},
	})
	t.Cleanup(x.Close)
	return x
}

func (x *traffic) host() string { return strings.TrimPrefix(x.URL, "http://") }

func (x *traffic) check(t *testing.T, method, kind string) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if got, want := slices.Collect(maps.Keys(x.seen)), []string{method + " " + kind}; !slices.Equal(got, want) {
		t.Errorf("passed: %q, want only %q", got, want)
	}
}
