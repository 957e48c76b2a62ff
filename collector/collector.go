// Package collector turns readings of dragons into Prometheus series: /metrics has all
// dragons, /probe one. Each metric is a row (dragons.go, boards.go, pools.go, state.go,
// chips.go); HELP, page, reference and tests follow from the rows.
package collector

import (
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Config configures a Collector. A limit of zero: none.
type Config struct {
	Fleet    *fleet.Fleet
	Registry *prometheus.Registry // the program's own metrics, served with every scrape; the collector adds its own

	Limits
	Created bool // also write _created lines in OpenMetrics 1.0, which Prometheus stores as series unless told otherwise

	// Switches turns parts of the series on or off, by the names of Switches. Missing
	// parts have their default.
	Switches map[string]bool

	// Power returns the watts that the operator configured for a model and its autotune
	// profile; unknown: none. It may be nil.
	Power func(model string, a dragon.AutoTune) dragon.Number

	// Find returns the dragon of a probe's target, or an error if the target is not
	// allowed.
	Find   func(ctx context.Context, target string) (*fleet.Dragon, error)
	Logger log.Logger
}

// Limits are the bounds of a scrape, which may change while a Collector serves.
type Limits struct {
	Workers     int           // dragons that one scrape begins to read at once
	Offset      time.Duration // how much earlier than Prometheus gives up a scrape ends
	MaxRequests int           // scrapes of /metrics at once, more are answered 503
}

// Collector serves the series of a fleet.
type Collector struct {
	Config
	limits      atomic.Pointer[Limits]
	families    []*family
	own         own
	pageBuffers sync.Pool

	sharedLabels *sharedLabels
	mu           sync.Mutex
	labelCaches  map[*fleet.Dragon]*labelCache
}

// New returns a Collector. It registers its own metrics with the registry.
func New(c Config) *Collector {
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = log.NewNopLogger()
	}
	made := &Collector{
		Config:       c,
		families:     compile(chosen(c.Switches)),
		own:          newOwn(c.Registry),
		pageBuffers:  sync.Pool{New: func() any { return newPageBuffer() }},
		sharedLabels: newSharedLabels(),
		labelCaches:  map[*fleet.Dragon]*labelCache{},
	}
	made.limits.Store(&c.Limits)
	return made
}

// Change sets other limits, from the next scrape on.
func (c *Collector) Change(l Limits) { c.limits.Store(&l) }

// Metrics reads all known dragons and serves their series and the program's own metrics,
// as the parameters collect[] and exclude[] select.
//
// A scrape that a stop of the program interrupts is answered 503, because a partial page
// would show the other dragons as down. The context's cause tells the stop
// (http.ErrServerClosed) from a client that left.
func (c *Collector) Metrics() http.Handler {
	most := func() int { return c.limits.Load().MaxRequests }
	return c.page(most, func(w http.ResponseWriter, r *http.Request) {
		wanted, err := c.selected(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var samples []*sample
		if wanted.dragons {
			ctx, cancel := scrapeContext(r, c.limits.Load().Offset)
			defer cancel()
			samples = c.scrape(ctx)
		}
		if interrupted(w, r) {
			return
		}
		var own []*dto.MetricFamily
		if wanted.program {
			own = c.gather()
		}
		c.write(w, r, wanted.families, samples, own)
	})
}

// interrupted reports whether the page is no longer wanted, and answers the client if it is
// still there.
func interrupted(w http.ResponseWriter, r *http.Request) bool {
	if errors.Is(context.Cause(r.Context()), http.ErrServerClosed) {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	}
	return r.Context().Err() != nil
}

// page wraps what /metrics and /probe have in common: a bound on how many are served at
// once, compression, and GET only: HEAD is answered without reading anything.
func (c *Collector) page(most func() int, serve http.HandlerFunc) http.Handler {
	compressed, err := gzhttp.NewWrapper(
		gzhttp.CompressionLevel(gzip.BestSpeed), // a page shrinks to a twentieth already with the least effort
		gzhttp.ContentTypeFilter(gzhttp.CompressAllContentTypeFilter),
	)
	if err != nil {
		panic(err) // the options above are wrong
	}
	serve = compressed(serve)
	var served atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
		case http.MethodHead:
			begin(w, r)
			return
		default:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET", http.StatusMethodNotAllowed)
			return
		}
		now, limit := served.Add(1), most()
		defer served.Add(-1)
		if limit > 0 && now > int64(limit) {
			c.own.errors.WithLabelValues("limit").Inc()
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many scrapes at once, try again later", http.StatusServiceUnavailable)
			return
		}
		serve(w, r)
	})
}
