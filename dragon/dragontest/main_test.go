package dragontest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is one dragon on a network in memory, inside a bubble, with a caller.
type bench struct {
	*Dragon
	t       *testing.T
	dragons *Fleet
	http    *http.Client
	auth    string // Authorization; basic admin by default
}

// onBench runs f inside a bubble with the dragon of spec.
func onBench(t *testing.T, spec Spec, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newFleet(t, FleetConfig{InMemory: true, Specs: func(int) Spec { return spec }})
		f(&bench{Dragon: h.Dragon(0), t: t, dragons: h, http: clientOf(t, h)})
	})
}

func newFleet(t testing.TB, c FleetConfig) *Fleet {
	t.Helper()
	h, err := NewFleet(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func clientOf(t testing.TB, h *Fleet) *http.Client {
	// A dragon closes a connection after two minutes: a client that keeps it for as long may lose a request to that.
	tr := &http.Transport{DialContext: h.DialContext, IdleConnTimeout: 100 * time.Second}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type answer struct {
	status int
	header http.Header
	length int64
	body   string
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func basic(user, password string) string {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// try makes a request and returns what came of it.
func (b *bench) try(ctx context.Context, method, path, contentType string, body io.Reader) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+b.dragons.Addr(0)+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	switch b.auth {
	case "none":
	case "":
		r.Header.Set("Authorization", basic("admin", b.Truth().Users["admin"]))
	default:
		r.Header.Set("Authorization", b.auth)
	}
	res, err := b.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, res.ContentLength, string(text)}, err
}

// post calls an endpoint of the API with a form and returns the body of the 200.
func (b *bench) post(endpoint string, pairs ...string) string {
	b.t.Helper()
	a, err := b.try(b.t.Context(), http.MethodPost, "/api/"+endpoint, "application/x-www-form-urlencoded", strings.NewReader(form(pairs...).Encode()))
	if err != nil {
		b.t.Fatalf("%s: %v", endpoint, err)
	}
	if a.status != http.StatusOK {
		b.t.Fatalf("%s: status %d, want 200: %s", endpoint, a.status, a.body)
	}
	return a.body
}

// within calls an endpoint and gives up after a time.
func (b *bench) within(d time.Duration, endpoint string) (answer, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	defer cancel()
	return b.try(ctx, http.MethodPost, "/api/"+endpoint, "", nil)
}

func (b *bench) want(endpoint, body string, pairs ...string) {
	b.t.Helper()
	if got := b.post(endpoint, pairs...); got != body {
		b.t.Errorf("%s %v = %s, want %s", endpoint, pairs, got, body)
	}
}

type summaryJSON struct {
	Success  bool
	Devs     []map[string]any `json:"DEVS"`
	Pools    []map[string]any `json:"POOLS"`
	Tuning   bool             `json:"tuning"`
	Hardware map[string]any   `json:"HARDWARE"`
}

func (b *bench) summary() summaryJSON {
	b.t.Helper()
	var s summaryJSON
	body := b.post("summary")
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		b.t.Fatalf("summary: %v in %s", err, body)
	}
	return s
}

func (s summaryJSON) num(t testing.TB, board int, field string) float64 {
	t.Helper()
	v, ok := s.Devs[board][field].(float64)
	if !ok {
		t.Fatalf("DEVS[%d].%s = %v, want a number", board, field, s.Devs[board][field])
	}
	return v
}
