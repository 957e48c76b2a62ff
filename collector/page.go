package collector

import (
	"bufio"
	"net/http"
	"time"

	"github.com/go-kit/log/level"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// write writes the page in the format that the client asks for, sorted by name.
func (c *Collector) write(w http.ResponseWriter, r *http.Request, families []*family, samples []*sample, own []*dto.MetricFamily) {
	format := begin(w, r)
	limitWriting(w, r)

	var options []expfmt.EncoderOption
	if c.Created {
		options = append(options, expfmt.WithCreatedLines())
	}
	buffer := c.pageBuffers.Get().(*pageBuffer)
	out := buffer.out
	out.Reset(w)
	defer func() {
		out.Reset(nil)
		c.pageBuffers.Put(buffer)
	}()
	// All our names are plain. Without this the encoder would look for characters to
	// escape in every label.
	enc := expfmt.NewEncoder(out, format.WithEscapingScheme(model.NoEscaping), options...)
	encode := func(mf *dto.MetricFamily) error { return enc.Encode(mf) }

	var err error
	if kind := format.FormatType(); kind == expfmt.TypeProtoDelim {
		err = c.each(families, samples, own, buffer, encode)
	} else {
		text := textWriter{pageBuffer: buffer, openMetrics: kind == expfmt.TypeOpenMetrics, created: c.Created}
		err = merge(families, own, func(f *family) error { return c.writeText(&text, f, samples) }, encode)
	}
	if err == nil {
		err = enc.(expfmt.Closer).Close()
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil && r.Context().Err() == nil { // a client that left is not our error
		c.own.errors.WithLabelValues("encoding").Inc()
		level.Warn(c.Logger).Log("msg", "cannot write the page", "err", err)
	}
}

// begin writes the header of a page and returns the format that the client asks for.
func begin(w http.ResponseWriter, r *http.Request) expfmt.Format {
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	w.Header().Set("Content-Type", string(format))
	w.Header().Add("Vary", "Accept")
	return format
}

// writingTime is the longest time that a client may take to read its page.
const writingTime = 30 * time.Second

// leastWriting is the least time for writing, whatever timeout the client announces.
const leastWriting = time.Second

// limitWriting ends a page that the client does not read in time, because it occupies a
// slot.
func limitWriting(w http.ResponseWriter, r *http.Request) {
	limit, ok := scrapeTimeout(r.Header.Get(timeoutHeader), 0)
	if !ok {
		limit = writingTime
	}
	limit = min(max(limit, leastWriting), writingTime)
	// Only the ResponseWriter of a test cannot do this.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
}

// merge calls dragons for each family of theirs and program for each of the program's own, in
// the order of the names.
func merge(families []*family, own []*dto.MetricFamily, dragons func(*family) error, program func(*dto.MetricFamily) error) error {
	for _, f := range families {
		for len(own) > 0 && own[0].GetName() <= f.name {
			if own[0].GetName() < f.name { // else it is a dragon's name, which comes from the rows alone
				if err := program(own[0]); err != nil {
					return err
				}
			}
			own = own[1:]
		}
		if err := dragons(f); err != nil {
			return err
		}
	}
	for _, mf := range own {
		if err := program(mf); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn for each family that has a series: those of the samples, and the
// program's own between them. The families made of samples are fn's only until it
// returns: their memory is used again for the next.
func (c *Collector) each(families []*family, samples []*sample, own []*dto.MetricFamily, buffer *pageBuffer, fn func(*dto.MetricFamily) error) error {
	return merge(families, own, func(f *family) error {
		buffer.n = 0
		c.visit(f, samples, buffer.scratch[:0], func(_ string, value dragon.Number, since *timestamppb.Timestamp, labels []*labelPair) {
			if v, known := value.Get(); known {
				buffer.add(f.typ, v, since, labels)
			}
		})
		if buffer.n == 0 {
			return nil
		}
		mf := &buffer.family
		mf.Name, mf.Help, mf.Type, mf.Unit, mf.Metric = &f.name, &f.help, &f.typ, nil, buffer.metrics[:buffer.n]
		if f.unit != "" {
			mf.Unit = &f.unit
		}
		return fn(mf)
	}, fn)
}

// visit calls emit for each series of a family. A sample that makes a row panic costs its own
// series only.
func (c *Collector) visit(f *family, samples []*sample, scratch []*labelPair, emit emit) {
	one := func(s *sample) {
		defer func() {
			if v := recover(); v != nil {
				c.panicked(s.info.Worker, v)
			}
		}()
		f.visit(s, scratch, emit)
	}
	for _, s := range samples {
		one(s)
	}
}

// gather returns the program's own metrics. Metrics that cannot be gathered are left out
// and counted.
func (c *Collector) gather() []*dto.MetricFamily {
	c.own.count(c.Fleet.Dragons())
	own, err := c.Registry.Gather()
	if err != nil {
		c.own.errors.WithLabelValues("gathering").Inc()
		level.Error(c.Logger).Log("msg", "cannot gather all own metrics", "err", err)
	}
	return own
}

// pageBuffer is the memory that a page needs besides its own text. It is reused: a /probe has
// few series, and would allocate all of this.
type pageBuffer struct {
	out     *bufio.Writer
	line    []byte
	family  dto.MetricFamily
	scratch [20]*labelPair

	// The series of one family, for protobuf, where a family is one message.
	chunks  []*[chunk]cell
	metrics []*dto.Metric // of all cells
	n       int
}

const chunk = 256

// A cell is one series with all that it points to.
type cell struct {
	metric  dto.Metric
	gauge   dto.Gauge
	counter dto.Counter
	value   float64
	labels  [4]*dto.LabelPair // enough for all but dragon_info
}

func newPageBuffer() *pageBuffer { return &pageBuffer{out: bufio.NewWriterSize(nil, 1<<16)} }

func (s *pageBuffer) add(typ dto.MetricType, value float64, since *timestamppb.Timestamp, labels []*labelPair) {
	if s.n == len(s.metrics) {
		cells := new([chunk]cell)
		s.chunks = append(s.chunks, cells)
		for i := range cells {
			s.metrics = append(s.metrics, &cells[i].metric)
		}
	}
	c := &s.chunks[s.n/chunk][s.n%chunk]
	s.n++
	c.value = value
	c.metric.Label = c.labels[:0]
	for _, l := range labels {
		c.metric.Label = append(c.metric.Label, l.LabelPair)
	}
	c.metric.Gauge, c.metric.Counter = nil, nil
	if typ == counter {
		c.counter.Value, c.counter.CreatedTimestamp = &c.value, since
		c.metric.Counter = &c.counter
	} else {
		c.gauge.Value = &c.value
		c.metric.Gauge = &c.gauge
	}
}
