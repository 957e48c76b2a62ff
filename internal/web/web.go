// Package web serves the pages, the JSON API and the life signs.
package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// Config is what Handler serves.
type Config struct {
	TelemetryPath    string
	Metrics          http.Handler                                         // at TelemetryPath
	Probe            http.Handler                                         // at /probe
	ServiceDiscovery http.Handler                                         // at /sd
	Ready            func() error                                         // why not
	Profiling        bool                                                 // serve /debug/pprof/
	Reload           func(context.Context) (warnings []string, err error) // at /-/reload; nil: disabled
	API              APIConfig                                            // of /api/ and of the pages
	Hosts            []string                                             // names under which it is reached, see ParseHosts
	Logins           *Logins                                              // nil: no login is checked
}

// own are the paths that the metrics cannot have.
var own = []string{"/probe", "/sd", "/-", "/api", "/debug", "/fleet", "/herd", "/dragon", "/healer", "/rollouts", "/configuration", "/confirm", "/static"}

// ParseTelemetryPath refuses a metrics path that is invalid or taken by a page.
func ParseTelemetryPath(s string) (string, error) {
	switch {
	case !strings.HasPrefix(s, "/"), strings.ContainsAny(s, "{}?# \t\n"), path.Clean(s) != s:
		return "", fmt.Errorf("invalid metrics path %q: want one like /metrics", s)
	}
	for _, o := range own {
		if s == o || strings.HasPrefix(s, o+"/") {
			return "", fmt.Errorf("metrics path %q is taken by a page", s)
		}
	}
	return s, nil
}

// Handler serves everything.
func Handler(c Config) (http.Handler, error) {
	mux := http.NewServeMux()
	telemetry := c.TelemetryPath
	if telemetry == "/" {
		telemetry = "/{$}" // exactly this path: every other one would be a scrape
	}
	mux.Handle("GET "+telemetry, c.Metrics)
	mux.Handle("GET /probe", c.Probe)
	mux.Handle("GET /sd", c.ServiceDiscovery)
	a := newAPI(c.API)
	mux.Handle("/api/", gzhttp.GzipHandler(a.handler()))
	p, err := newPages(a, strings.Trim(c.TelemetryPath, "/"), c.Profiling)
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	p.register(mux)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Healthy.")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := c.Ready(); err != nil {
			http.Error(w, "Not ready: "+err.Error()+".", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "Ready.")
	})
	mux.Handle("POST /-/reload", reload(c.Reload))
	if c.Profiling {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index) // without cmdline: --pools has passwords in it
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	hosts := &hostCheck{names: c.Hosts, logger: a.Logger, warned: make(map[string]bool)}
	return c.Logins.Behind(hosts.handler(mux)), nil
}

// reload reloads the configuration and answers with its errors and warnings.
func reload(fn func(context.Context) ([]string, error)) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fn == nil {
			http.Error(w, "Reload over HTTP is disabled. Start with --web.enable-lifecycle, or send SIGHUP.", http.StatusForbidden)
			return
		}
		warnings, err := fn(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "Configuration reloaded.")
		for _, warning := range warnings {
			fmt.Fprintln(w, "warning:", warning)
		}
	}))
}
