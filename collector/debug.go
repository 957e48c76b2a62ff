package collector

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// explain writes a probe as text. It shows why a metric is missing.
func (c *Collector) explain(w io.Writer, target string, s *sample, overview dragon.Answer, raw []rawAnswer, lines string) {
	i, h := s.info, s.health
	say := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

	say("Probe of %s at %s", clean(target), time.Now().UTC().Format(time.RFC3339))
	say("\n== Identity ==")
	for _, fact := range [][2]string{
		{"worker", i.Worker}, {"mac", i.MAC}, {"address", i.Address}, {"brand", string(i.Brand)}, {"model", i.Model},
		{"firmware", i.Firmware}, {"hw_version", i.HWVersion}, {"site", i.Site},
		{"known as", algorithm(i.Model)},
		{"first seen", moment(i.FirstSeen)}, {"last seen", moment(i.LastSeen)}, {"conflict over its MAC", strconv.FormatBool(i.Conflict)},
	} {
		say("%s: %s", fact[0], clean(fact[1]))
	}

	say("\n== Health ==")
	say("up: %t since %s", h.Up, moment(h.Since))
	say("last read: %s", moment(h.LastSuccess))
	say("busy with: %s", clean(s.busy))
	if h.Err != nil {
		say("last error: %s: %s", h.Reason, dragon.Secretless(h.Err.Error()))
	}

	say("\n== Requests and answers ==")
	if s.err != nil {
		say("failed after %s: %s", s.took, dragon.Secretless(s.err.Error()))
		for _, a := range raw {
			if a.err != nil {
				say("\n-- %s: failed after %s: %s --", a.name, a.took, dragon.Secretless(a.err.Error()))
				continue
			}
			say("\n-- %s: HTTP status %d, %s, took %s, %d bytes --", a.Path, a.Status, clean(a.ContentType), a.took, len(a.Body))
			text(w, a.Body)
		}
	} else {
		say("read in %s", s.took)
		body(w, "/api/summary", s.summary().Answer)
		if overview.Raw != nil {
			body(w, "/api/overview", overview)
		}
	}

	say("\n== Series ==")
	if s.reading != nil {
		say("unreadable fields: %s", clean(strings.Join(s.summary().Unreadable, " ")))
	}
	for _, f := range c.families {
		c.reading(w, f, s)
	}

	say("\n== Log of this probe ==\n%s", lines)
}

func (c *Collector) reading(w io.Writer, f *family, s *sample) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(s.info.Worker, v)
			fmt.Fprintf(w, "%s: panic: %v\n", f.name, v)
		}
	}()
	f.visit(s, nil, func(source string, value dragon.Number, _ *timestamppb.Timestamp, labels []*labelPair) {
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
	text(w, a.Raw)
}

func text(w io.Writer, raw []byte) {
	const most = 32 << 10
	rest := 0
	if len(raw) > most {
		raw, rest = raw[:most], len(raw)-most
	}
	fmt.Fprintln(w, dragon.Secretless(dragon.PrintableLines(string(raw))))
	if rest > 0 {
		fmt.Fprintf(w, "… and %d bytes more\n", rest)
	}
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
