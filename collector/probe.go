package collector

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Probe serves the series of the one dragon that the parameter target names, as
// /metrics has them. A dragon that is down is dragon_up 0, not an error. With
// debug=true it says, for people, what was asked, what came and how it was read.
func (c *Collector) Probe() http.Handler {
	return c.page(c.MaxProbes, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		targets := query["target"]
		if len(targets) != 1 || targets[0] == "" {
			http.Error(w, "the parameter target must be given exactly once", http.StatusBadRequest)
			return
		}
		ctx, cancel := scrapeContext(r, c.Offset)
		defer cancel()
		d, err := c.Find(ctx, targets[0])
		if err != nil || d == nil {
			// Why not is nobody's business: the answer must not tell what is where.
			http.Error(w, "unknown target", http.StatusNotFound)
			return
		}

		var lines bytes.Buffer
		logger := log.With(c.tee(&lines), "worker", clean(d.Info().Worker), "address", clean(d.Info().Address))
		level.Debug(logger).Log("msg", "probing", "target", clean(targets[0]))
		s := c.read(ctx, d, c.facesOf([]*fleet.Dragon{d})[0])
		switch {
		case s.err != nil:
			level.Debug(logger).Log("msg", "probe failed", "took", s.took, "err", secretless(s.err.Error()))
		default:
			level.Debug(logger).Log("msg", "probe answered", "took", s.took, "boards", len(s.boards), "pools", len(s.pools), "unreadable", strings.Join(s.summary().Unreadable, " "))
		}

		if query.Get("debug") != "true" {
			c.write(w, r, []*sample{s}, nil)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		c.explain(w, targets[0], s, lines.String())
	})
}

// tee logs to lines as well, whatever the level.
func (c *Collector) tee(lines io.Writer) log.Logger {
	to := log.NewLogfmtLogger(lines)
	return log.LoggerFunc(func(keyvals ...any) error {
		_ = to.Log(keyvals...)
		return c.Logger.Log(keyvals...)
	})
}

// explain writes a probe down for people: what a metric is missing for is to be seen
// here.
func (c *Collector) explain(w io.Writer, target string, s *sample, lines string) {
	i, h := s.info, s.health
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

	say("Probe of %s at %s", clean(target), time.Now().UTC().Format(time.RFC3339))
	say("\n== Who it is ==")
	for _, fact := range [][2]string{
		{"worker", i.Worker}, {"mac", i.MAC}, {"address", i.Address}, {"brand", string(i.Brand)}, {"model", i.Model},
		{"firmware", i.Firmware}, {"hw_version", i.HWVersion}, {"site", i.Site},
		{"known as", algorithm(i.Model)},
		{"first seen", moment(i.FirstSeen)}, {"last seen", moment(i.LastSeen)}, {"conflict over its MAC", strconv.FormatBool(i.Conflict)},
	} {
		say("%s: %s", fact[0], clean(fact[1]))
	}

	say("\n== How it fares ==")
	say("up: %t since %s", h.Up, moment(h.Since))
	say("last read: %s", moment(h.LastSuccess))
	say("busy with: %s", clean(s.busy))
	if h.Err != nil {
		say("last error: %s: %s", h.Reason, secretless(h.Err.Error()))
	}

	say("\n== What was asked, and what came ==")
	if s.err != nil {
		say("failed after %s: %s", s.took, secretless(s.err.Error()))
	} else {
		say("read in %s", s.took)
		body(w, "/api/summary", s.summary().Answer)
		if s.reading.Overview != nil {
			body(w, "/api/overview", s.overview().Answer)
		}
	}

	say("\n== How it was read ==")
	if s.reading != nil {
		say("no sense was made of: %s", clean(strings.Join(s.summary().Unreadable, " ")))
	}
	for _, f := range c.families {
		c.reading(w, f, s)
	}

	say("\n== Log of this probe ==\n%s", lines)
}

// reading writes what the rows of a family make of a sample.
func (c *Collector) reading(w io.Writer, f *family, s *sample) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(s.info.Worker, v)
			fmt.Fprintf(w, "%s: panic: %v\n", f.name, v)
		}
	}()
	f.visit(s, nil, func(source string, value dragon.Number, _ *timestamppb.Timestamp, labels []*dto.LabelPair) {
		var pairs []string
		for _, l := range labels[:len(labels)-1] { // the last is the worker
			pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
		shown := "unknown"
		if v, known := value.Get(); known {
			shown = strconv.FormatFloat(v, 'g', -1, 64)
		}
		fmt.Fprintf(w, "%s{%s} %s  (%s)\n", f.name, strings.Join(pairs, ","), shown, source)
	})
}

func body(w io.Writer, endpoint string, a dragon.Answer) {
	fmt.Fprintf(w, "\n-- %s: complete at %s, took %s, dragon's clock %s, %d bytes --\n", endpoint, moment(a.At), a.Took, moment(a.DeviceTime), len(a.Raw))
	const most = 64 << 10
	raw, rest := a.Raw, 0
	if len(raw) > most {
		raw, rest = raw[:most], len(raw)-most
	}
	fmt.Fprintln(w, secretless(strings.ToValidUTF8(string(raw), "\ufffd")))
	if rest > 0 {
		fmt.Fprintf(w, "… and %d bytes more\n", rest)
	}
}

// What a dragon sends has no secret in the endpoints read here, as far as is known. A
// firmware that is more talkative must not make us so.
var (
	secretField = regexp.MustCompile(`(?i)("[^"]*(?:pass|pwd|jwt|token|secret)[^"]*"\s*:\s*)(?:"(?:[^"\\]|\\.)*"?|[^\s",}\]]+)`)
	login       = regexp.MustCompile(`(:(?:\\?/){2})[^/@\s"\\]+@`)
)

func secretless(s string) string {
	return login.ReplaceAllString(secretField.ReplaceAllString(s, `${1}"<secret>"`), "${1}<secret>@")
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format(time.RFC3339)
}

func algorithm(model string) string {
	m := dragon.ModelOf(model)
	if m.Algorithm == "" {
		return "unknown model"
	}
	return fmt.Sprintf("%s, %s", m.Algorithm, m.Note)
}
