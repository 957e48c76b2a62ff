package collector

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// respond is the page of samples as a client gets it that sends the headers.
func respond(c *Collector, samples []*sample, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.write(w, r, c.families, samples, nil)
	return w
}

func pageOf(t *testing.T, c *Collector, samples []*sample) string {
	t.Helper()
	return respond(c, samples).Body.String()
}

func parse(t *testing.T, page string) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("the page cannot be parsed: %v\n%s", err, page)
	}
	return families
}

// gatherer gives what the page shows, for those who check a registry.
func (c *Collector) gatherer(samples []*sample) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		var all []*dto.MetricFamily
		err := c.each(c.families, samples, nil, &pageBuffer{}, func(mf *dto.MetricFamily) error {
			all = append(all, proto.Clone(mf).(*dto.MetricFamily))
			return nil
		})
		return all, err
	})
}

func failed(n int, err error) *sample {
	info, health, _ := aDragon(n)
	health.Up, health.Reason, health.Err = false, "timeout", err
	health.Failures[0] = 7
	return newSample(info, health, newLabelCache(newSharedLabels()), nil, err, 1500*time.Millisecond)
}

func TestPageOfADragonThatSaysEverything(t *testing.T) {
	page := pageOf(t, aCollector(t), aFleet(1))
	golden(t, "testdata/everything.metrics", page)
	families := parse(t, page)
	for _, f := range compile(tables()) {
		if families[f.name] == nil && f.name != "dragon_busy" && f.name != "dragon_down_info" {
			t.Errorf("%s is not on the page of a dragon that says everything", f.name)
		}
	}
}

func TestPageOfADragonThatFailed(t *testing.T) {
	golden(t, "testdata/failed.metrics", pageOf(t, aCollector(t), []*sample{failed(1, dragon.ErrTimeout)}))
}

func TestPageOfABusyDragon(t *testing.T) {
	golden(t, "testdata/busy.metrics", pageOf(t, aCollector(t), []*sample{failed(1, &fleet.BusyError{Action: "restart"})}))
}

func TestPageLints(t *testing.T) {
	samples := append(aFleet(3), failed(7, &fleet.BusyError{Action: "restart"}))
	problems, err := testutil.GatherAndLint(aCollector(t).gatherer(samples))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestAPedanticRegistryFindsNoFault(t *testing.T) {
	c := aCollector(t)
	samples := append(aFleet(3), failed(7, dragon.ErrRefused))
	// Gatherers check what a registry checks.
	families, err := prometheus.Gatherers{c.Registry, c.gatherer(samples)}.Gather()
	if err != nil {
		t.Error(err)
	}
	if len(families) < len(c.families)-1 {
		t.Errorf("%d families", len(families))
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	c := aCollector(t)
	samples := aFleet(1) // the parser of OpenMetrics takes half a second of CPU for each dragon
	text := parse(t, pageOf(t, c, samples))
	for _, accept := range []string{ // each on the sheet that the one before has used
		"application/openmetrics-text;version=1.0.0",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
		"text/plain;version=0.0.4;escaping=allow-utf-8",
	} {
		w := respond(c, samples, "Accept", accept)
		contentType := w.Header().Get("Content-Type")
		if !strings.HasPrefix(contentType, accept[:strings.Index(accept, ";")]) {
			t.Errorf("asked for %s, got %s", accept, contentType)
		}
		dec := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header()))
		n := 0
		for {
			var mf dto.MetricFamily
			err := dec.Decode(&mf)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", accept, err)
			}
			n += len(mf.Metric)
			for _, m := range mf.Metric {
				if (m.Gauge != nil) == (m.Counter != nil) {
					t.Errorf("%s: %s is not one of gauge and counter", accept, mf.GetName())
				}
			}
			if want := text[mf.GetName()]; want != nil && len(want.Metric) != len(mf.Metric) {
				t.Errorf("%s: %s has %d series, want %d", accept, mf.GetName(), len(mf.Metric), len(want.Metric))
			}
		}
		if n < 150 {
			t.Errorf("%s: %d series", accept, n)
		}
	}
}

// asExpfmt is the page of samples as the library's encoder makes it.
func asExpfmt(t *testing.T, c *Collector, samples []*sample, format expfmt.Format) []byte {
	t.Helper()
	families, err := c.gatherer(samples).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var options []expfmt.EncoderOption
	if c.Created {
		options = append(options, expfmt.WithCreatedLines())
	}
	var want bytes.Buffer
	enc := expfmt.NewEncoder(&want, format, options...)
	for _, mf := range families {
		if err := enc.Encode(mf); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.(expfmt.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	return want.Bytes()
}

var formats = []string{"text/plain", "application/openmetrics-text; version=1.0.0", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"}

func TestThePageIsWhatTheLibrarysEncoderMakes(t *testing.T) {
	t.Parallel()
	c := aCollector(t)
	samples := append(aFleet(70), failed(101, dragon.ErrTimeout), failed(102, &fleet.BusyError{Action: "restart"}))
	for _, c.Created = range []bool{false, true} {
		for _, accept := range formats {
			format := begin(httptest.NewRecorder(), &http.Request{Header: http.Header{"Accept": {accept}}})
			want, got := asExpfmt(t, c, samples, format), respond(c, samples, "Accept", accept).Body.Bytes()
			if !bytes.Equal(got, want) {
				t.Errorf("%s, created %v: %d bytes, want %d others", accept, c.Created, len(got), len(want))
			}
		}
	}
}

func FuzzPageLikeTheLibrary(f *testing.F) {
	f.Add("dragon-4500e3ab", "stratum+tcp://pool.example:3333", 70.5, 12.0)
	f.Add("a\"b\\c\nd", "\xff\x00é", math.Copysign(0, -1), -1.0)
	f.Add("", "", math.Inf(1), 1e300)
	f.Fuzz(func(t *testing.T, worker, url string, temperature, shares float64) {
		c := aCollector(t)
		c.Created = true
		info, health, reading := aDragon(1)
		info.Worker = worker
		reading.Summary.Pools[0].URL = url
		reading.Summary.Boards[0].Temperature, reading.Summary.Pools[0].Accepted = dragon.Known(temperature), dragon.Known(shares)
		samples := []*sample{newSample(info, health, newLabelCache(newSharedLabels()), reading, nil, time.Second)}
		for _, accept := range formats[:2] {
			format := begin(httptest.NewRecorder(), &http.Request{Header: http.Header{"Accept": {accept}}})
			if want, got := asExpfmt(t, c, samples, format), respond(c, samples, "Accept", accept).Body.Bytes(); !bytes.Equal(got, want) {
				t.Errorf("%s: %s\nwant\n%s", accept, got, want)
			}
		}
	})
}

func TestPagesAreCompressedForThoseWhoAsk(t *testing.T) {
	c := aCollector(t)
	h := c.page(one, func(w http.ResponseWriter, r *http.Request) { c.write(w, r, c.families, aFleet(20), nil) })
	plain := get(t.Context(), h, "/metrics")
	for accept, want := range map[string]string{"gzip": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "identity": "", "br": ""} {
		w := get(t.Context(), h, "/metrics", "Accept-Encoding", accept)
		if got := w.Header().Get("Content-Encoding"); got != want {
			t.Errorf("%s: %q, want %q", accept, got, want)
		}
		if w.Header().Get("Content-Type") != plain.Header().Get("Content-Type") {
			t.Errorf("%s: %s", accept, w.Header().Get("Content-Type"))
		}
		if got := decompress(t, want, w.Body); got != plain.Body.String() {
			t.Errorf("%s: another page", accept)
		}
	}
}

func decompress(t *testing.T, encoding string, body io.Reader) string {
	t.Helper()
	switch encoding {
	case "gzip":
		r, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = r
	case "zstd":
		r, err := zstd.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		body = r
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpenMetricsNamesUnitsAndOnRequestWhenCountersBegan(t *testing.T) {
	c := aCollector(t)
	const openMetrics = "application/openmetrics-text;version=1.0.0"
	plain := respond(c, aFleet(1), "Accept", openMetrics).Body.String()
	c.Created = true
	created := respond(c, aFleet(1), "Accept", openMetrics).Body.String()

	for _, line := range []string{"# UNIT dragon_board_temperature_celsius celsius\n", "# TYPE dragon_board_hashes counter\n", "# UNIT dragon_board_hashes hashes\n", "# EOF\n"} {
		if !strings.Contains(plain, line) {
			t.Errorf("no line %q", line)
		}
	}
	if strings.Contains(plain, "_created") {
		t.Error("_created unasked")
	}
	line := fmt.Sprintf("dragon_board_hashes_created{board=\"0\",worker=\"dragon-21000000\"} %d.0\n", noon.Unix()-2896)
	for l := range strings.Lines(created) {
		if strings.HasPrefix(l, `dragon_board_hashes_created{board="0"`) {
			got := strings.Fields(l)[1]
			var v float64
			if _, err := fmt.Sscan(got, &v); err != nil || v != float64(noon.Unix()-2896) {
				t.Errorf("got %s, want %s", l, line)
			}
			return
		}
	}
	t.Error("no _created line")
}

func TestOwnMetricsStandBetweenTheDragons(t *testing.T) {
	c := aCollector(t)
	for _, name := range []string{"aaa", "dragon_boarding", "dragon_up", "zzz"} {
		c.Registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "Of the program."}))
	}
	w := httptest.NewRecorder()
	c.write(w, httptest.NewRequest(http.MethodGet, "/metrics", nil), c.families, aFleet(1), c.gather())
	page := w.Body.String()
	parse(t, page)
	var names []string
	for line := range strings.Lines(page) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not sorted: %v", names)
	}
	for _, name := range []string{"aaa", "dragon_boarding", "mother_dragons", "mother_scrape_errors_total", "zzz"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing", name)
		}
	}
	if n := strings.Count(page, "# TYPE dragon_up "); n != 1 {
		t.Errorf("dragon_up stands there %d times", n)
	}
	if strings.Contains(page, "Of the program.\n# TYPE dragon_up ") {
		t.Error("the program's dragon_up hides the dragons'")
	}
}

func TestAPanicInARowCostsOnlyItsDragon(t *testing.T) {
	boards := boardTable()
	boards.rows[0].get = func(b *dragon.Board) dragon.Number {
		if b.Temperature.Or(0) == 71 && b.Slot == 1 {
			panic("what is this?")
		}
		return dragon.Known(1)
	}
	c := aCollector(t)
	c.families = compile([]grouped{healthTable(), boards})
	families := parse(t, pageOf(t, c, aFleet(3)))
	if n := len(families["dragon_board_up"].Metric); n != 3+1+3 {
		t.Errorf("%d series, want all but those of one dragon from the panic on", n)
	}
	if n := len(families["dragon_up"].Metric); n != 3 {
		t.Errorf("%d dragon_up", n)
	}
	if n := testutil.ToFloat64(c.own.errors.WithLabelValues("panic")); n != 1 {
		t.Errorf("%v panics counted", n)
	}
}

func TestAClientThatLeavesIsNoError(t *testing.T) {
	c := aCollector(t)
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	c.write(&broken{}, r, c.families, aFleet(50), nil)
	if n := testutil.ToFloat64(c.own.errors.WithLabelValues("encoding")); n != 1 {
		t.Errorf("%v errors counted", n)
	}
	ctx, cancel := withCancel(r)
	cancel()
	c.write(&broken{}, ctx, c.families, aFleet(50), nil)
	if n := testutil.ToFloat64(c.own.errors.WithLabelValues("encoding")); n != 1 {
		t.Errorf("%v errors counted after a client left", n)
	}
}

type broken struct{ counted }

func (*broken) Header() http.Header       { return http.Header{} }
func (*broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// FuzzPage: whatever a dragon says, the page can be parsed, dragon_up is there, and no
// series twice; and the next dragon's series are complete.
func FuzzPage(f *testing.F) {
	f.Add("Alive", "stratum+tcp://pool.example.org:3333", "farm.dragon", "t1_2018", "DEVS.Temperature", 70.0, 2896.0, 0, 1, int64(0))
	f.Add("\"}\n# EOF\n", "\\", "a\nb{c=\"d\"} 1", "\xff\xfe", "\x00", math.NaN(), math.Inf(1), 7, 7, int64(-1<<62))
	f.Add(strings.Repeat("é", 4000), "tcp://u:p@h/", "worker", "\u202e", "", -math.MaxFloat64, -1.0, -5, math.MaxInt, int64(1<<62))
	f.Fuzz(func(t *testing.T, status, url, user, firmware, field string, v, elapsed float64, slot, slot2 int, at int64) {
		info, health, r := aDragon(0)
		info.Firmware, info.Site = firmware, user
		health.ParseErrors = map[string]uint64{field: 1, field + "\x00": 2, status: 3}
		health.LastSuccess = time.Unix(0, at)
		r.Summary.At, r.Summary.DeviceTime = time.Unix(0, at), time.Unix(at, 0)
		for i := range r.Summary.Boards {
			b := &r.Summary.Boards[i]
			b.Slot = []int{slot, slot2, slot}[i]
			b.Status, b.Temperature, b.Hashes, b.Elapsed = status, dragon.Known(v), dragon.Known(v), dragon.Known(elapsed)
		}
		for i := range r.Summary.Pools {
			p := &r.Summary.Pools[i]
			p.Index, p.URL, p.User, p.Accepted = []int{slot, slot2, slot}[i], url, user, dragon.Known(v)
		}
		r.Facts.Errors.Value = dragon.ErrorReport{Code: status, Message: url}
		r.Facts.AutoTune.Value = dragon.AutoTune{Mode: user, Level: dragon.Known(v)}
		r.Facts.Firmware.Value = dragon.LatestFirmware{Version: url, CurrentVersion: firmware, UpToDate: dragon.Known(v)}
		for i := range r.Facts.Chips.Value {
			r.Facts.Chips.Value[i].Slot, r.Facts.Chips.Value[i].Details[0].Temperature = slot, dragon.Known(v)
		}
		f := newLabelCache(newSharedLabels())
		bad := newSample(info, health, f, r, nil, time.Second)
		conflict := *info
		conflict.Worker = status
		other := newSample(&conflict, health, newLabelCache(newSharedLabels()), nil, dragon.ErrTimeout, time.Second)
		good := aFleet(2)[1]
		c := aCollector(t)

		families := parse(t, pageOf(t, c, unique([]*sample{bad, good, other})))
		up := 0
		seen := map[string]bool{}
		for name, mf := range families {
			for _, m := range mf.Metric {
				key := name
				for _, l := range m.Label {
					key += "\xff" + l.GetName() + "\xff" + l.GetValue()
					if len(l.GetValue()) > maxLabel {
						t.Errorf("label of %d bytes", len(l.GetValue()))
					}
				}
				if seen[key] {
					t.Errorf("twice: %q", key)
				}
				seen[key] = true
				if name == "dragon_up" && m.Label[len(m.Label)-1].GetValue() == info.Worker && m.GetGauge().GetValue() == 1 {
					up++
				}
			}
		}
		if up != 1 {
			t.Errorf("dragon_up of the dragon is there %d times", up)
		}
		var whole int
		want := pageOf(t, c, []*sample{good})
		for line := range strings.Lines(want) {
			if !strings.HasPrefix(line, "#") {
				name := line[:strings.IndexByte(line, '{')]
				for _, m := range families[name].GetMetric() {
					if m.Label[len(m.Label)-1].GetValue() == good.info.Worker {
						whole++
						break
					}
				}
			}
		}
		if lines := bytes.Count([]byte(want), []byte("\ndragon_")); whole < lines {
			t.Errorf("the good dragon has %d of %d series", whole, lines)
		}
		respond(c, []*sample{bad, good}, "Accept", "application/openmetrics-text;version=1.0.0")
	})
}
