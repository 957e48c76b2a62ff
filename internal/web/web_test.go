package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func page(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) })
}

func config(tb testing.TB, telemetry string) Config {
	tb.Helper()
	dragons, err := fleet.Open(fleet.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	policy := healer.DefaultPolicy()
	doctor, err := agent.New(agent.Config{Fleet: dragons, Dir: tb.TempDir(), Policy: func() *healer.Policy { return &policy }})
	if err != nil {
		tb.Fatal(err)
	}
	return Config{
		API:           APIConfig{Fleet: dragons, Healer: doctor},
		TelemetryPath: telemetry, Metrics: page("metrics"), Probe: page("probe"), ServiceDiscovery: page("sd"),
		Ready: func() error { return errors.New("starting") },
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	fromHere(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestPages(t *testing.T) {
	for telemetry, root := range map[string]string{"/metrics": "Mother of Dragons", "/deep/er": "Mother of Dragons", "/": "metrics"} {
		h, err := Handler(config(t, telemetry))
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{telemetry: "metrics", "/": root, "/fleet": "Mother of Dragons", "/probe": "probe", "/sd": "sd", "/-/healthy": "Healthy"} {
			if status, body := get(t, h, path); status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("metrics at %s: %s gives %d %.80s, want %s", telemetry, path, status, body, want)
			}
		}
		if status, _ := get(t, h, "/-/ready"); status != http.StatusServiceUnavailable {
			t.Errorf("ready says %d before it is", status)
		}
		for _, path := range []string{"/favicon.ico", "/debug/pprof/", "/metrics/more"} {
			if status, body := get(t, h, path); status != http.StatusNotFound {
				t.Errorf("metrics at %s: %s gives %d %.80s, want 404", telemetry, path, status, body)
			}
		}
	}
}

func TestTheOldAddressOfTheFleetLeadsToIt(t *testing.T) {
	h, err := Handler(config(t, "/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	fromHere(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/herd?state=trouble&q=%2F", nil))
	if to := w.Header().Get("Location"); w.Code != http.StatusMovedPermanently || to != "fleet?state=trouble&q=%2F" {
		t.Errorf("%d to %q", w.Code, to)
	}
}

func TestProfilesAreThereWhenAskedFor(t *testing.T) {
	c := config(t, "/metrics")
	c.Profiling = true
	h, err := Handler(c)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, h, "/debug/pprof/"); status != http.StatusOK {
		t.Errorf("%d", status)
	}
}

func TestTelemetryPath(t *testing.T) {
	for _, ok := range []string{"/", "/metrics", "/dragons/metrics", "/probes"} {
		if got, err := ParseTelemetryPath(ok); err != nil || got != ok {
			t.Errorf("%q: %q, %v", ok, got, err)
		}
	}
	for _, bad := range []string{"", "metrics", "/metrics/", "//", "/{", "/{x}", "/a b", "/a/../b", "/?x", "/probe", "/sd", "/-/healthy", "/debug/pprof/", "/api/v1"} {
		if _, err := ParseTelemetryPath(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzTelemetryPath(f *testing.F) {
	f.Add("/metrics")
	f.Add("/{$}")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParseTelemetryPath(s); err == nil {
			if _, err := Handler(config(t, p)); err != nil { // and no panic
				t.Error(err)
			}
		}
	})
}
