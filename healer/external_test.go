package healer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	nothingFires   = `{"status":"success","data":{"resultType":"vector","result":[]}}`
	somethingFires = `{"status":"success","data":{"resultType":"vector","result":[` +
		`{"metric":{"__name__":"ALERTS","alertname":"CoolingDown"},"value":[1700000000,"1"]},{"metric":{},"value":[1700000000,"1"]}]}}`
)

func TestPrometheusIsAsked(t *testing.T) {
	const query = `ALERTS{alertstate="firing"} == 1`
	for name, c := range map[string]struct {
		status int
		body   string
		closed string
		err    string
	}{
		"nothing fires":      {200, nothingFires, "", ""},
		"an empty matrix":    {200, strings.Replace(nothingFires, "vector", "matrix", 1), "", ""},
		"two series":         {200, somethingFires, "2 series, such as CoolingDown", ""},
		"without a name":     {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"x"},"value":[1,"0"]}]}}`, "1 series, such as map[job:x]", ""},
		"a range":            {200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up"},"values":[]}]}}`, "1 series, such as up", ""},
		"no end":             {200, strings.Repeat("x", outsideMost+1), "an answer of more than 1048576 bytes", ""},
		"a scalar":           {200, `{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}`, "", "expected a query that returns series, got a scalar"},
		"a partial answer":   {200, `{"status":"success","warnings":["a store is gone"],"data":{"resultType":"vector","result":[]}}`, "", "a warning: a store is gone"},
		"a query in error":   {400, `{"status":"error","errorType":"bad_data","error":"parse \u001b[31merror"}`, "", "status 400: parse [31merror"},
		"a proxy in its way": {502, "<html>bad gateway</html>", "", "status 502, expected 200"},
		"a page":             {200, "<html>log in</html>", "", `expected the answer to a query, got "<html>log in</html>"`},
		"cut short":          {200, nothingFires[:40], "", "expected the answer to a query"},
		"no body":            {200, "", "", "expected the answer to a query"},
		"no result":          {200, `{"status":"success","data":{"resultType":"vector"}}`, "", "expected the result of a query"},
		"result null":        {200, `{"status":"success","data":{"resultType":"vector","result":null}}`, "", "expected the result of a query"},
		"null":               {200, `null`, "", "expected the result of a query"},
		"series of numbers":  {200, `{"status":"success","data":{"resultType":"vector","result":[1]}}`, "", "expected series"},
		"another status":     {200, strings.Replace(nothingFires, "success", "fine", 1), "", "expected the result of a query"},
		"elsewhere":          {404, nothingFires, "", "status 404, expected 200"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/prefix/api/v1/query" || r.FormValue("query") != query {
					t.Errorf("asked %s", r.URL)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			closed, err := askPrometheus(t.Context(), newPrometheusClient(), &External{Prometheus: server.URL + "/prefix/", Query: query})
			if closed != c.closed || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("closed %q, error %v; want %q, %q", closed, err, c.closed, c.err)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q is not fit to be shown", err)
			}
		})
	}
}

func TestPrometheusThatIsNotThere(t *testing.T) {
	server := httptest.NewServer(nil)
	address := server.URL
	server.Close()
	_, err := askPrometheus(t.Context(), newPrometheusClient(), &External{Prometheus: address, Query: "up"})
	if err == nil || !strings.HasPrefix(err.Error(), "Prometheus at 127.0.0.1:") || strings.Contains(err.Error(), "query") {
		t.Errorf("%v", err)
	}
}

// An answer that begins and does not end is waited for like one that does not begin.
func TestPrometheusThatDoesNotFinish(t *testing.T) {
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, nothingFires[:40])
		w.(http.Flusher).Flush()
		cancel() // as the end of the patience does
		<-r.Context().Done()
		close(ended)
	}))
	defer server.Close()
	if _, err := askPrometheus(ctx, newPrometheusClient(), &External{Prometheus: server.URL, Query: "up"}); err == nil {
		t.Error("half of an answer is taken for one")
	}
	<-ended
}

func FuzzReadPrometheus(f *testing.F) {
	f.Add(200, []byte(nothingFires))
	f.Add(200, []byte(somethingFires))
	f.Add(422, []byte(`{"status":"error","error":"no"}`))
	f.Add(200, []byte(`{"status":"success","data":{"resultType":"vector","result":null}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		closed, err := readPrometheus(status, body)
		if closed == "" && err == nil && !bytes.Contains(body, []byte("[")) {
			t.Errorf("%q opens the gate", body)
		}
	})
}

// answers is a Prometheus that needs no network.
type answers func(*http.Request) (string, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := a(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestExternalGate(t *testing.T) {
	firing := func(*http.Request) (string, error) { return somethingFires, nil }
	fine := func(*http.Request) (string, error) { return nothingFires, nil }
	gone := func(*http.Request) (string, error) { return "", fmt.Errorf("connection refused") }
	mute := func(r *http.Request) (string, error) {
		<-r.Context().Done()
		return "", r.Context().Err()
	}
	for name, c := range map[string]struct {
		onError string
		answer  answers
		heals   bool
		shown   string
	}{
		"nothing fires":       {"block", fine, true, "external gate: open\n"},
		"an alert fires":      {"block", firing, false, "external gate: CLOSED: 2 series, such as CoolingDown\n"},
		"an alert, and allow": {"allow", firing, false, "external gate: CLOSED: 2 series, such as CoolingDown\n"},
		"gone":                {"block", gone, false, "external gate: CLOSED: cannot be asked: Prometheus at 127.0.0.1:9090: connection refused\n"},
		"gone, and allow":     {"allow", gone, true, "external gate: open: cannot be asked: Prometheus at 127.0.0.1:9090: connection refused\n"},
		"mute":                {"block", mute, false, "external gate: CLOSED: cannot be asked: Prometheus at 127.0.0.1:9090: context deadline exceeded\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWard(t, 3)
				w.policy.External = External{Prometheus: "http://127.0.0.1:9090", Query: "ALERTS", OnError: c.onError}
				w.setUps = append(w.setUps, func(h *Healer) { h.prometheus.Transport = c.answer })
				w.start()
				w.settle()
				w.killBoard(0)
				if c.heals {
					w.until("the dragon is restarted", 30*time.Minute, func() bool { return len(w.wrote(0)) > 0 })
				} else {
					w.until("the gate is in the way", 30*time.Minute, func() bool {
						d, err := w.healer.Why(w.worker(0))
						return err == nil && d.Blocked == GateExternal
					})
					pass(10 * time.Minute)
					if w.wroteAnything() {
						t.Error("the gate was closed, and something was written")
					}
				}
				var b strings.Builder
				p, err := w.healer.Plan()
				if err == nil {
					err = p.Render(&b)
				}
				if err != nil || !strings.Contains(b.String(), "\n"+c.shown) {
					t.Errorf("%v: want %q in\n%s", err, c.shown, b.String())
				}
				if errs := w.metric("mother_gate_errors_total"); (errs > 0) != strings.Contains(c.shown, "cannot be asked") {
					t.Errorf("%v errors counted", errs)
				}
				if n := strings.Count(w.log.String(), "the external gate cannot be asked"); n > 1 {
					t.Errorf("it was said %d times", n)
				}
			})
		})
	}
}

// A mute Prometheus does not keep a human waiting, nor the dragons unseen.
func TestAMutePrometheusHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 1)
		asked := make(chan struct{}, 1000)
		w.policy.External = External{Prometheus: "http://127.0.0.1:9090", Query: "ALERTS", OnError: "block"}
		w.setUps = append(w.setUps, func(h *Healer) {
			h.prometheus.Transport = answers(func(r *http.Request) (string, error) {
				asked <- struct{}{}
				<-r.Context().Done()
				return "", r.Context().Err()
			})
		})
		w.start()
		<-asked
		before := time.Now()
		<-asked // in the second look; the first is over
		if took := time.Since(before); took > 75*time.Second {
			t.Errorf("a look took %s", took)
		}
		before = time.Now()
		if _, err := w.healer.Pause(t.Context(), PauseRequest{Scope: "fleet", Owner: "test", Reason: "test"}); err != nil {
			t.Error(err)
		}
		if took := time.Since(before); took > 0 {
			t.Errorf("a pause took %s", took)
		}
	})
}

// What was asked for another policy says nothing about this one.
func TestANewGateIsAskedBeforeItIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 1)
		w.policy.External = External{Prometheus: "http://127.0.0.1:9090", Query: "old", OnError: "block"}
		w.setUps = append(w.setUps, func(h *Healer) {
			h.prometheus.Transport = answers(func(r *http.Request) (string, error) {
				if r.FormValue("query") == "new" {
					return somethingFires, nil
				}
				return nothingFires, nil
			})
		})
		w.start()
		gate := func() GateState {
			p, err := w.healer.Plan()
			if err != nil || p.External == nil {
				return GateState{}
			}
			return *p.External
		}
		w.until("the old gate is open", 2*time.Minute, func() bool { return gate().Open })
		next := *w.policy
		next.External.Query = "new"
		w.enact(&next)
		w.until("the new gate is in force", 2*time.Minute, func() bool { return !gate().Open })
		if got := gate().Detail; got != "not asked yet" {
			t.Errorf("the first answer is %q", got)
		}
		w.until("the new gate is asked", 2*time.Minute, func() bool { return strings.Contains(gate().Detail, "2 series") })
	})
}
