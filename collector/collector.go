// Package collector turns readings of dragons into Prometheus series: /metrics has all
// of them, /probe one. What the series are, one row says for each (dragons.go,
// boards.go, pools.go, state.go, chips.go); the rest of the package does not know them.
package collector

import (
	"compress/gzip"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Config says whom a Collector reads and within which bounds.
type Config struct {
	Fleet    *fleet.Fleet
	Registry *prometheus.Registry // the program's own metrics, served with every scrape; the collector adds its own

	Workers     int           // dragons that one scrape begins to read at once; default 256
	Offset      time.Duration // how much earlier than Prometheus gives up a scrape ends; default 0.5 s
	MaxRequests int           // scrapes of /metrics at once, more are answered 503; default 40
	MaxProbes   int           // likewise of /probe; default 4096
	MaxAge      time.Duration // of readings that a scrape may share; default 0: only those under way
	Created     bool          // also write _created lines in OpenMetrics 1.0, which Prometheus stores as series unless told otherwise

	// Switches turns parts of the series on or off, by the names of Switches. A part
	// that is not in it is as it is by default.
	Switches map[string]bool

	// Find returns the dragon that a probe's target names, or an error if it is none
	// that may be asked.
	Find   func(ctx context.Context, target string) (*fleet.Dragon, error)
	Logger log.Logger
}

// Collector serves the series of a fleet.
type Collector struct {
	Config
	families []*family
	own      own
	sheets   sync.Pool

	mu    sync.Mutex
	faces map[*fleet.Dragon]*face
}

// New returns a Collector. It registers its own metrics with the registry.
func New(c Config) *Collector {
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = log.NewNopLogger()
	}
	if c.Workers <= 0 {
		c.Workers = 256
	}
	if c.Offset <= 0 {
		c.Offset = 500 * time.Millisecond
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = 40
	}
	if c.MaxProbes <= 0 {
		c.MaxProbes = 4096
	}
	return &Collector{
		Config:   c,
		families: compile(chosen(c.Switches)),
		own:      newOwn(c.Registry),
		sheets:   sync.Pool{New: func() any { return &sheet{} }},
		faces:    map[*fleet.Dragon]*face{},
	}
}

// Metrics serves all known dragons, read then and there, and the program's own metrics.
func (c *Collector) Metrics() http.Handler {
	return c.page(c.MaxRequests, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := scrapeContext(r, c.Offset)
		defer cancel()
		samples := c.scrape(ctx)
		if r.Context().Err() != nil {
			return // nobody waits for it any more
		}
		c.write(w, r, samples, c.gather())
	})
}

// page wraps what /metrics and /probe have in common: GET only, a bound on how many are
// served at once, compression.
func (c *Collector) page(most int, serve http.HandlerFunc) http.Handler {
	compressed, err := gzhttp.NewWrapper(
		gzhttp.CompressionLevel(gzip.BestSpeed), // a page shrinks to a twentieth already with the least effort
		gzhttp.ContentTypeFilter(gzhttp.CompressAllContentTypeFilter),
	)
	if err != nil {
		panic(err) // the options above are wrong
	}
	serve = compressed(serve)
	slots := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			serve(w, r)
		default:
			c.own.errors.WithLabelValues("limit").Inc()
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many scrapes at once, try again later", http.StatusServiceUnavailable)
		}
	})
}
