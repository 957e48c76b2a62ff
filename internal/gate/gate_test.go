package gate

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
		"without a name":     {200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"x"},"value":[1,"0"]}]}}`, "1 series, such as {job=\"x\"}", ""},
		"a range":            {200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up"},"values":[]}]}}`, "1 series, such as up", ""},
		"no end":             {200, strings.Repeat("x", most+1), "an answer of more than 1048576 bytes", ""},
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
			closed, err := New().Ask(t.Context(), healer.External{Prometheus: server.URL + "/prefix/", Query: query})
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
	_, err := New().Ask(t.Context(), healer.External{Prometheus: address, Query: "up"})
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
		cancel() // as the end of the timeout does
		<-r.Context().Done()
		close(ended)
	}))
	defer server.Close()
	if _, err := New().Ask(ctx, healer.External{Prometheus: server.URL, Query: "up"}); err == nil {
		t.Error("half of an answer is taken for one")
	}
	<-ended
}

func FuzzRead(f *testing.F) {
	f.Add(200, []byte(nothingFires))
	f.Add(200, []byte(somethingFires))
	f.Add(422, []byte(`{"status":"error","error":"no"}`))
	f.Add(200, []byte(`{"status":"success","data":{"resultType":"vector","result":null}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		closed, err := read(status, body)
		if closed == "" && err == nil && !bytes.Contains(body, []byte("[")) {
			t.Errorf("%q opens the gate", body)
		}
	})
}

// mute is a Prometheus that never answers.
type mute struct{}

func (mute) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestPrometheusThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begin := New(), time.Now()
		p.client.Transport = mute{}
		_, err := p.Ask(t.Context(), healer.External{Prometheus: "http://127.0.0.1:9090", Query: "up"})
		if err == nil || err.Error() != "Prometheus at 127.0.0.1:9090: context deadline exceeded" {
			t.Errorf("%v", err)
		}
		if took := time.Since(begin); took != timeout {
			t.Errorf("it was waited for %s", took)
		}
	})
}
