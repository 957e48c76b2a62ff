package collector

import (
	"bytes"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// textWriter writes the series of dragons in one of the two text formats, byte for byte as
// expfmt does. That takes a third of expfmt's time: the text of a label is made once for
// many scrapes, and a series is appended without a message in between.
type textWriter struct {
	*pageBuffer
	openMetrics bool
	created     bool // OpenMetrics: a line for when a counter began
}

const counterSuffix = "_total"

// writeText writes a family; nothing if it has no series.
func (c *Collector) writeText(t *textWriter, f *family, samples []*sample) error {
	header := false
	base := f.name
	if t.openMetrics && f.typ == counter {
		base = strings.TrimSuffix(f.name, counterSuffix)
	}
	c.visit(f, samples, t.scratch[:0], func(_ string, value dragon.Number, since *timestamppb.Timestamp, labels []*labelPair) {
		v, known := value.Get()
		if !known {
			return
		}
		if !header {
			header = true
			t.header(f, base)
		}
		t.series(f.name, "", labels, v)
		if t.openMetrics && t.created && f.typ == counter && since != nil {
			t.series(base, "_created", labels, float64(since.AsTime().UnixNano())/1e9)
		}
	})
	_, err := t.out.Write(nil) // what went wrong before
	return err
}

var inHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)

func (t *textWriter) header(f *family, base string) {
	help, typ := inHelp.Replace(f.help), "gauge"
	if t.openMetrics {
		help = inQuotes.Replace(f.help)
	}
	switch {
	case f.typ == counter && t.openMetrics && base == f.name:
		typ = "unknown" // a counter of OpenMetrics has the suffix
	case f.typ == counter:
		typ = "counter"
	}
	for _, s := range []string{"# HELP ", base, " ", help, "\n# TYPE ", base, " ", typ, "\n"} {
		_, _ = t.out.WriteString(s)
	}
	if t.openMetrics && f.unit != "" {
		for _, s := range []string{"# UNIT ", base, " ", f.unit, "\n"} {
			_, _ = t.out.WriteString(s)
		}
	}
}

func (t *textWriter) series(name, suffix string, labels []*labelPair, value float64) {
	line := append(append(t.line[:0], name...), suffix...)
	separator := byte('{')
	for _, l := range labels {
		line = append(append(line, separator), l.text...)
		separator = ','
	}
	line = append(line, "} "...)
	number := len(line)
	if value == 0 {
		value = 0 // never -0, which both formats write as 0
	}
	line = strconv.AppendFloat(line, value, 'g', -1, 64) // finite: see validOrUnknown
	if t.openMetrics && !bytes.ContainsAny(line[number:], "e.") {
		line = append(line, ".0"...)
	}
	line = append(line, '\n')
	_, _ = t.out.Write(line)
	t.line = line
}
