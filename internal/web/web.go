// Package web is what the program serves beside its metrics: pages for people, the same
// as JSON, and the life signs.
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

// Config names the pages.
type Config struct {
	TelemetryPath    string
	Metrics          http.Handler // at TelemetryPath
	Probe            http.Handler // at /probe
	ServiceDiscovery http.Handler // at /sd
	Ready            func() bool
	Profiling        bool                                                 // serve /debug/pprof/
	Reload           func(context.Context) (warnings []string, err error) // at /-/reload; nil: nobody may
	API              APIConfig                                            // of /api/ and of the pages
	Hosts            []string                                             // names under which it is reached, see ParseHosts
	Logins           *Logins                                              // nil: no login is checked
}

// own are the paths that metrics cannot have.
var own = []string{"/probe", "/sd", "/-", "/api", "/debug", "/fleet", "/herd", "/dragon", "/healer", "/rollouts", "/configuration", "/confirm", "/static"}

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
		if !c.Ready() {
			http.Error(w, "Not ready.", http.StatusServiceUnavailable)
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

// reload has the configuration read anew, and tells the one who asks what is wrong with it.
func reload(fn func(context.Context) ([]string, error)) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fn == nil {
			http.Error(w, "This needs --web.enable-lifecycle. SIGHUP does the same.", http.StatusForbidden)
			return
		}
		warnings, err := fn(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "The configuration was read anew and is in force.")
		for _, warning := range warnings {
			fmt.Fprintln(w, "warning:", warning)
		}
	}))
}
