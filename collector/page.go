package collector

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/go-kit/log/level"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// write writes the page in the format that the client asks for, sorted by name. Each
// family is made, written and its memory used again for the next: of ten
// thousand the whole page would take some 300 MB.
func (c *Collector) write(w http.ResponseWriter, r *http.Request, families []*family, samples []*sample, own []*dto.MetricFamily) {
	format := begin(w, r)
	limitWriting(w, r)

	var options []expfmt.EncoderOption
	if c.Created {
		options = append(options, expfmt.WithCreatedLines())
	}
	sheet := c.pageBuffers.Get().(*pageBuffer)
	text := &continued{w: w}
	out := sheet.out
	out.Reset(text)
	defer func() {
		out.Reset(nil)
		c.pageBuffers.Put(sheet)
	}()
	// All our names are plain, so there is nothing to escape in them; without this
	// the encoder would look for it in every label of every series.
	enc := expfmt.NewEncoder(out, format.WithEscapingScheme(model.NoEscaping), options...)

	sheet.most = batch
	if format.FormatType() == expfmt.TypeProtoDelim {
		sheet.most = 0 // in protobuf a family is one message
	}
	err := c.each(families, samples, own, sheet, func(mf *dto.MetricFamily, goesOn bool) error {
		if goesOn {
			if err := out.Flush(); err != nil {
				return err
			}
			text.goOn()
		}
		return enc.Encode(mf)
	})
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

// leastWriting is what a client gets that says it waits for less: an answer.
const leastWriting = time.Second

// limitWriting ends the page of a client that does not read it when Prometheus would
// have given up: as long as it is being written it takes the place of another.
func limitWriting(w http.ResponseWriter, r *http.Request) {
	limit, ok := scrapeTimeout(r.Header.Get(timeoutHeader), 0)
	if !ok {
		limit = writingTime
	}
	limit = min(max(limit, leastWriting), writingTime)
	// A ResponseWriter that cannot do it is one of a test.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
}

// batch is how many series of a family are made before they are written. All those of a
// family of ten thousand dragons would take fifty megabytes.
const batch = 4096

// continued passes a page in text on. A family that is encoded in several pieces would
// have its header in each; goOn says that another piece of the same family begins.
type continued struct {
	w      io.Writer
	header bool // what comes is a header that was there already
	inLine bool // of which a line is not yet at its end
}

func (c *continued) goOn() { c.header = true }

func (c *continued) Write(b []byte) (int, error) {
	n := len(b)
	for c.header && len(b) > 0 {
		if !c.inLine && b[0] != '#' {
			c.header = false
			break
		}
		end := bytes.IndexByte(b, '\n')
		c.inLine = end < 0
		if c.inLine {
			return n, nil
		}
		b = b[end+1:]
	}
	if len(b) > 0 {
		if _, err := c.w.Write(b); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// each calls fn for each family that has a series: those of the samples, and the
// program's own between them. The families made of samples are fn's only until it
// returns; one that does not fit on the sheet comes in pieces, of which all but the
// first go on with it.
func (c *Collector) each(families []*family, samples []*sample, own []*dto.MetricFamily, sheet *pageBuffer, fn func(mf *dto.MetricFamily,
	goesOn bool) error) error {
	for _, f := range families {
		for len(own) > 0 && own[0].GetName() <= f.name {
			if own[0].GetName() < f.name { // else it is a dragon's name, which comes from the rows alone
				if err := fn(own[0], false); err != nil {
					return err
				}
			}
			own = own[1:]
		}
		goesOn := false
		for next := 0; next < len(samples); {
			for sheet.reset(); next < len(samples) && !sheet.full(); {
				next = c.fill(sheet, f, samples, next)
			}
			if len(sheet.used()) == 0 {
				continue
			}
			mf := &sheet.family
			mf.Name, mf.Help, mf.Type, mf.Unit, mf.Metric = &f.name, &f.help, &f.typ, nil, sheet.used()
			if f.unit != "" {
				mf.Unit = &f.unit
			}
			if err := fn(mf, goesOn); err != nil {
				return err
			}
			goesOn = true
		}
	}
	for _, mf := range own {
		if err := fn(mf, false); err != nil {
			return err
		}
	}
	return nil
}

// fill adds a family's series of the samples from the first on. It returns where to go
// on: the end, the sample that the sheet is full before, or after one that made a row panic.
func (c *Collector) fill(sheet *pageBuffer, f *family, samples []*sample, first int) (next int) {
	i := first
	defer func() {
		if v := recover(); v != nil {
			c.panicked(samples[i].info.Worker, v)
			next = i + 1
		}
	}()
	add := func(_ string, value dragon.Number, since *timestamppb.Timestamp, labels []*dto.LabelPair) {
		if v, known := value.Get(); known {
			sheet.add(f.typ, v, since, labels)
		}
	}
	for ; i < len(samples) && !sheet.full(); i++ {
		f.visit(samples[i], sheet.scratch[:0], add)
	}
	return i
}

// gather returns the program's own metrics. What cannot be gathered is missing and counted.
func (c *Collector) gather() []*dto.MetricFamily {
	c.own.count(c.Fleet.Dragons())
	own, err := c.Registry.Gather()
	if err != nil {
		c.own.errors.WithLabelValues("gathering").Inc()
		level.Error(c.Logger).Log("msg", "cannot gather all own metrics", "err", err)
	}
	return own
}

// pageBuffer is the memory of one family's series, in few pieces, and of what else a page
// needs. It is reused: a /probe has few series, and would allocate all of this.
type pageBuffer struct {
	out     *bufio.Writer
	family  dto.MetricFamily
	scratch [20]*dto.LabelPair

	chunks  []*[chunk]cell
	metrics []*dto.Metric // of all cells
	n       int
	most    int // with so many series, or more, it takes no further sample; 0: no limit
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

func (s *pageBuffer) reset() { s.n = 0 }

func (s *pageBuffer) full() bool { return s.most > 0 && s.n >= s.most }

func (s *pageBuffer) used() []*dto.Metric { return s.metrics[:s.n] }

func (s *pageBuffer) add(typ dto.MetricType, value float64, since *timestamppb.Timestamp, labels []*dto.LabelPair) {
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
	c.metric.Label = append(c.labels[:0], labels...)
	c.metric.Gauge, c.metric.Counter = nil, nil
	if typ == counter {
		c.counter.Value, c.counter.CreatedTimestamp = &c.value, since
		c.metric.Counter = &c.counter
	} else {
		c.gauge.Value = &c.value
		c.metric.Gauge = &c.gauge
	}
}
