package web

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// matrix is the answer of Prometheus to a range query of one series.
func matrix(values string) string {
	return `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[` + values + `]}]}}`
}

const noSeries = `{"status":"success","data":{"resultType":"matrix","result":[]}}`

// answers is a Prometheus without a network: one answer for every query.
type answers struct {
	status int
	body   func(query string) string
	asked  atomic.Int32
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader(a.body(r.FormValue("query")))), Request: r}, nil
}

func pastOf(rt http.RoundTripper) *past {
	p := newPast()
	p.client.Transport = rt
	return p
}

func TestTheChartsOfADayComeFromPrometheus(t *testing.T) {
	now := time.Unix(1e9, 0)
	at := func(steps int) string { return fmt.Sprint(now.Add(-time.Duration(steps) * recentStep).Unix()) }
	a := &answers{status: 200, body: func(query string) string {
		if !strings.Contains(query, `{worker="dragon-\"a\""`) {
			t.Errorf("asked %s", query)
		}
		switch {
		case strings.Contains(query, "hashrate"):
			return matrix(`[` + at(288) + `,"8e12"],[` + at(1) + `,"NaN"],[` + at(0) + `,"9e12"],[` + at(-1) + `,"1"],[` + at(900) + `,"1"],[` + at(7) + `,"+Inf"],[` + at(8) + `,"1e300"]`)
		case strings.Contains(query, "temperature"):
			return matrix(`[` + at(0) + `.4,"71.5"]`)
		}
		return noSeries
	}}
	p := pastOf(a)
	list, err := p.last(t.Context(), "http://127.0.0.1:9090/prefix/", `dragon-"a"`, now)
	if err != nil || len(list) != 289 {
		t.Fatalf("%d steps: %v", len(list), err)
	}
	for i, s := range list {
		switch {
		case i == 0 && s.hashrate == 8e12, i == 288 && s.hashrate == 9e12 && s.temperature == 71.5 && math.IsNaN(float64(s.shares)):
		case i == 0, i == 288, !math.IsNaN(float64(s.hashrate)), !math.IsNaN(float64(s.temperature)):
			t.Errorf("step %d: %+v", i, s)
		}
	}
	for range 3 {
		_, _ = p.last(t.Context(), "http://127.0.0.1:9090/prefix/", `dragon-"a"`, now.Add(askedAgain-1))
	}
	if n := a.asked.Load(); n != 3 {
		t.Errorf("%d queries for one page a minute", n)
	}
}

func TestAnAnswerThatIsNoneIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"no series":       {200, noSeries, "it has no series of this dragon"},
		"too old":         {200, matrix(`[5,"1"]`), "it has no series of this dragon"},
		"no end":          {200, strings.Repeat("x", mostAnswer+1), "an answer of more than 262144 bytes"},
		"a vector":        {200, `{"status":"success","data":{"resultType":"vector","result":[]}}`, "expected the series of a query"},
		"two series":      {200, `{"status":"success","data":{"resultType":"matrix","result":[{},{}]}}`, "expected the series of a query"},
		"a page":          {200, "<html>log in</html>", `expected the series of a query, got "<html>log in</html>"`},
		"null":            {200, "null", "expected the series of a query"},
		"empty":           {200, "", "expected the series of a query"},
		"a proxy":         {502, "<html>bad gateway</html>", "status 502, expected 200"},
		"an error":        {422, `{"status":"error","errorType":"execution","error":"too many samples"}`, "status 422: too many samples"},
		"a text for time": {200, matrix(`["1","1"]`), "expected a time and a value"},
		"a bare number":   {200, matrix(`[1,1]`), "expected a time and a value"},
		"a lone time":     {200, matrix(`[1]`), "expected a time and a value"},
		"three parts":     {200, matrix(`[1000000000,"1",[[[[]]]]]`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{status: c.status, body: func(string) string { return c.body }}
			p, now := pastOf(a), time.Unix(1e9, 0)
			_, err := p.last(t.Context(), "http://127.0.0.1:9090", "a", now)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			_, _ = p.last(t.Context(), "http://127.0.0.1:9090", "a", now.Add(askedLater-1))
			if n := a.asked.Load(); n != 3 {
				t.Errorf("it was asked again at once: %d queries", n)
			}
		})
	}
}

// mute is a Prometheus that does not answer.
type mute struct{}

func (mute) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestASlowPrometheusHoldsOnePageForASecondOrTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begin := pastOf(mute{}), time.Now()
		for _, worker := range []string{"a", "a", "b"} {
			if _, err := p.last(t.Context(), "http://127.0.0.1:9090", worker, time.Now()); err == nil || err.Error() != "no answer within 2s" {
				t.Errorf("%v", err)
			}
		}
		if took := time.Since(begin); took != askPatience {
			t.Errorf("three pages waited for %s", took)
		}
		// A page that was left says nothing of Prometheus.
		time.Sleep(askedLater)
		left, leave := context.WithCancel(t.Context())
		leave()
		_, _ = p.last(left, "http://127.0.0.1:9090", "c", time.Now())
		if _, ok := p.remembered("http://127.0.0.1:9090", "c", time.Now()); ok {
			t.Error("Prometheus counts as down because a page was left")
		}
		// More pages than slots wait no longer either.
		begin = time.Now()
		done := make(chan error)
		for i := range 3 * mostAtOnce {
			go func() {
				_, err := p.last(t.Context(), "http://127.0.0.1:9090", fmt.Sprint(i), begin)
				done <- err
			}()
		}
		for range 3 * mostAtOnce {
			if err := <-done; err == nil {
				t.Error("a mute Prometheus has answered")
			}
		}
		if took := time.Since(begin); took > askPatience {
			t.Errorf("a page waited for %s", took)
		}
	})
}

func TestFewChartsAreKept(t *testing.T) {
	p := pastOf(&answers{status: 200, body: func(string) string { return noSeries }})
	for i := range 3 * mostRemember {
		_, _ = p.last(t.Context(), "http://127.0.0.1:9090", fmt.Sprint(i), time.Unix(1e9, 0))
	}
	if len(p.kept) > mostRemember {
		t.Errorf("%d are kept", len(p.kept))
	}
}

func TestADragonsPageSaysWhereItsChartsAreFrom(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 2})
	status, server := http.StatusOK, ""
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if status == http.StatusOK && strings.Contains(r.FormValue("query"), "hashrate") {
			_, _ = io.WriteString(w, matrix(fmt.Sprintf(`[%s,"7e12"]`, r.FormValue("end"))))
		} else {
			_, _ = io.WriteString(w, noSeries)
		}
	}))
	defer prometheus.Close()
	d, recent := c.fleet.Lookup(c.worker), NewRecent()
	for i := range 12 {
		recent.Add(d.Info().MAC, d.Last(), time.Now().Add(time.Duration(i-11)*recentStep))
	}
	show := func() string {
		conf := config(t, "/metrics")
		conf.API = APIConfig{Fleet: c.fleet, Healer: c.healer, Recent: recent, Prometheus: func() string { return server }}
		h, err := Handler(conf)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		fromHere(h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/dragon?worker="+c.worker, nil))
		return w.Body.String()
	}
	host := strings.TrimPrefix(prometheus.URL, "http://")
	if page := show(); !strings.Contains(page, "From the memory of this program. A Prometheus in web.prometheus shows 24 hours.") || !strings.Contains(page, ">6 h ago<") {
		t.Error(page)
	}
	server = prometheus.URL
	if page := show(); !strings.Contains(page, "From Prometheus at "+host+".") || !strings.Contains(page, ">24 h ago<") || !strings.Contains(page, "Hash rate <b>7.00 TH/s") {
		t.Error(page)
	}
	status = http.StatusBadGateway
	if page := show(); !strings.Contains(page, "From the memory of this program. Prometheus at "+host+" is not used: status 502, expected 200.") || !strings.Contains(page, ">6 h ago<") {
		t.Error(page)
	}
}

func FuzzPointsOf(f *testing.F) {
	f.Add(200, []byte(matrix(`[1,"2"],[3,"NaN"]`)))
	f.Add(200, []byte(noSeries))
	f.Add(422, []byte(`{"status":"error","error":"no"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		points, err := pointsOf(status, body)
		for _, x := range points {
			if err != nil || math.IsNaN(x.value) || math.Abs(x.value) >= mostDrawn {
				t.Errorf("%v %v", x, err)
			}
		}
	})
}
