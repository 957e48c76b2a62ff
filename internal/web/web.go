// Package web is what the program serves beside its metrics: the landing page and
// the life signs.
package web

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"

	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// Config names the pages.
type Config struct {
	TelemetryPath    string
	Metrics          http.Handler // at TelemetryPath
	Probe            http.Handler // at /probe
	ServiceDiscovery http.Handler // at /sd
	Ready            func() bool
	Profiling        bool         // serve /debug/pprof/
	API              http.Handler // at /api/; may be nil
}

// own are the paths that metrics cannot have.
var own = []string{"/probe", "/sd", "/-", "/api", "/debug"}

// ParseTelemetryPath refuses a path for the metrics that could not be served, or that
// another page has.
func ParseTelemetryPath(s string) (string, error) {
	switch {
	case !strings.HasPrefix(s, "/"), strings.ContainsAny(s, "{}?# \t\n"), path.Clean(s) != s:
		return "", fmt.Errorf("%q is no path for the metrics: want one like /metrics", s)
	}
	for _, o := range own {
		if s == o || strings.HasPrefix(s, o+"/") {
			return "", fmt.Errorf("%q is taken: another page is served there", s)
		}
	}
	return s, nil
}

// Handler serves all pages.
func Handler(c Config) (http.Handler, error) {
	mux := http.NewServeMux()
	telemetry := c.TelemetryPath
	if telemetry == "/" {
		telemetry = "/{$}" // and nothing else: every other path would be a scrape
	}
	mux.Handle("GET "+telemetry, c.Metrics)
	mux.Handle("GET /probe", c.Probe)
	mux.Handle("GET /sd", c.ServiceDiscovery)
	if c.API != nil {
		mux.Handle("/api/", c.API)
	}
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Healthy.")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !c.Ready() {
			http.Error(w, "Not ready.", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "Ready.")
	})
	profiling := "false"
	if c.Profiling {
		profiling = "true"
		mux.HandleFunc("GET /debug/pprof/", pprof.Index) // without cmdline: --pools has passwords in it
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	if c.TelemetryPath == "/" {
		return mux, nil
	}
	// The page is made with text/template: nothing that a dragon says may reach it.
	landing, err := toolkit.NewLandingPage(toolkit.LandingConfig{
		Name:        "Mother of Dragons",
		Description: "Prometheus exporter and healer for DragonMint and Innosilicon miners.",
		Version:     version.Info(),
		Profiling:   profiling,
		Links: []toolkit.LandingLinks{
			{Address: c.TelemetryPath, Text: "Metrics", Description: "of every known dragon, read now"},
			{Address: "/sd", Text: "Service discovery", Description: "the known dragons, for http_sd_configs"},
			{Address: "/api/v1/plan", Text: "Plan", Description: "what the healer would do now, to whom, and why"},
			{Address: "/api/v1/healer", Text: "Healer", Description: "its mode, breakers, budgets and pauses"},
			{Address: "/-/healthy", Text: "Healthy"},
			{Address: "/-/ready", Text: "Ready"},
		},
		Form: toolkit.LandingForm{
			Action: "/probe",
			Inputs: []toolkit.LandingFormInput{
				{Label: "Dragon", Type: "text", Name: "target", Placeholder: "worker, MAC or address"},
				{Label: "Debug", Type: "text", Name: "debug", Placeholder: "true shows what the dragon said"},
			},
			Width: 16,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("landing page: %w", err)
	}
	mux.Handle("GET /{$}", landing)
	return mux, nil
}
