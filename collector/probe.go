package collector

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// maxProbes bounds the probes served at once: more than Prometheus has under way for ten
// thousand dragons of which many hang.
const maxProbes = 4096

// Probe serves the series of the one dragon that the parameter target names, as /metrics
// has them. A dragon that is down is dragon_up 0, not an error. With debug=true it shows
// requests, answers and their decoding as text.
func (c *Collector) Probe() http.Handler {
	return c.page(func() int { return maxProbes }, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		targets := query["target"]
		if len(targets) != 1 || targets[0] == "" {
			http.Error(w, "the parameter target must be given exactly once", http.StatusBadRequest)
			return
		}
		ctx, cancel := scrapeContext(r, c.limits.Load().Offset)
		defer cancel()
		d, err := c.Find(ctx, targets[0])
		if err != nil || d == nil {
			// The answer must not reveal which addresses exist.
			http.Error(w, "unknown target", http.StatusNotFound)
			return
		}

		var lines bytes.Buffer
		logger := log.With(c.tee(&lines), "worker", clean(d.Info().Worker), "address", clean(d.Info().Address))
		level.Debug(logger).Log("msg", "probing", "target", clean(targets[0]))
		explained := query.Get("debug") == "true"
		if explained {
			defer c.Fleet.KeepAnswers()()
		}
		s := c.read(ctx, d, c.labelCachesOf([]*fleet.Dragon{d})[0])
		if explained && s.err == nil && s.summary().Raw == nil { // the reading began before
			s = c.read(ctx, d, c.labelCachesOf([]*fleet.Dragon{d})[0])
		}
		if interrupted(w, r) {
			return
		}
		switch {
		case s.err != nil:
			level.Debug(logger).Log("msg", "probe failed", "took", s.took, "err", dragon.Secretless(s.err.Error()))
		default:
			level.Debug(logger).Log("msg", "probe answered", "took", s.took, "boards", len(s.boards), "pools", len(s.pools), "unreadable",
				strings.Join(s.summary().Unreadable, " "))
		}

		if !explained {
			c.write(w, r, c.families, []*sample{s}, nil)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		var overview dragon.Answer
		var raw []rawAnswer
		switch {
		case s.err != nil && s.busy == "":
			raw = rawAnswers(ctx, d)
		case s.err == nil:
			if overview, err = overviewOf(ctx, d); err != nil {
				level.Debug(logger).Log("msg", "overview not read again", "err", dragon.Secretless(err.Error()))
			}
		}
		limitWriting(w, r)
		c.explain(w, targets[0], s, overview, raw, lines.String())
	})
}

// overviewOf asks for the overview as the dragon sends it: a reading has it without its text.
// An upload of firmware may hold the dragon for minutes: the page does not wait for it.
func overviewOf(ctx context.Context, d *fleet.Dragon) (a dragon.Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, overviewTimeout)
	defer cancel()
	err = d.Do(ctx, func(ctx context.Context, c *dragon.Client) error {
		ov, err := c.Overview(ctx)
		if err == nil {
			a = ov.Answer
		}
		return err
	})
	return a, err
}

// rawAnswer is an undecoded answer, or why there is none.
type rawAnswer struct {
	name string
	*dragon.Fetched
	took time.Duration
	err  error
}

// rawAnswers asks a dragon that cannot be read what a reading asks. A reading does not ask one
// that is known to be down.
func rawAnswers(ctx context.Context, d *fleet.Dragon) (list []rawAnswer) {
	ctx, cancel := context.WithTimeout(ctx, overviewTimeout)
	defer cancel()
	for _, name := range []string{"summary", "overview"} {
		a, start := rawAnswer{name: "/api/" + name}, time.Now()
		a.err = d.Do(ctx, func(ctx context.Context, c *dragon.Client) (err error) {
			a.Fetched, err = c.Fetch(ctx, name)
			return err
		})
		a.took = time.Since(start)
		list = append(list, a)
	}
	return list
}

const overviewTimeout = 10 * time.Second

// tee logs to lines as well, whatever the level.
func (c *Collector) tee(lines io.Writer) log.Logger {
	to := log.NewLogfmtLogger(lines)
	return log.LoggerFunc(func(keyvals ...any) error {
		_ = to.Log(keyvals...)
		return c.Logger.Log(keyvals...)
	})
}
