package collector

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A farm is a fleet, in memory, that a fleet knows and a collector reads. It lives by
// the clock of the testing/synctest bubble that it is made in.
type farm struct {
	*Collector
	dragons   *dragontest.Fleet
	transport *dragon.Transport
	log       *bytes.Buffer
	labels    map[string]*fleet.Labels // by MAC
	close     func()
}

// newFarm makes a farm whose dragons are asked for nothing between the scrapes.
func newFarm(t *testing.T, dragons dragontest.FleetConfig, change ...func(*Config)) *farm {
	t.Helper()
	return newFarmWithFacts(t, dragons, nil, change...)
}

func newFarmWithFacts(t *testing.T, dragons dragontest.FleetConfig, facts map[fleet.Fact]time.Duration, change ...func(*Config)) *farm {
	t.Helper()
	dragons.InMemory = true
	h, err := dragontest.NewFleet(dragons)
	if err != nil {
		t.Fatal(err)
	}
	transport := dragon.NewTransport()
	transport.DialContext = h.DialContext
	options := dragon.Options{Transport: transport}
	made := &farm{dragons: h, transport: transport, log: &bytes.Buffer{}}
	f, err := fleet.Open(fleet.Config{Client: options, Facts: facts, Jitter: steady(), Labels: func(mac string) *fleet.Labels { return made.labels[mac] }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	for i := range h.Len() {
		client := dragon.New(h.Addr(i), options)
		identity, err := client.Identify(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f.Sighted(ctx, fleet.Sighting{Address: h.Addr(i), Client: client, Identity: identity})
	}
	for i := range h.Len() {
		h.Dragon(i).ForgetTraffic()
	}
	c := Config{Fleet: f, Limits: Limits{Offset: 500 * time.Millisecond}, Registry: prometheus.NewRegistry(), Logger: log.NewLogfmtLogger(log.NewSyncWriter(made.log)), Find: func(_ context.Context, target string) (*fleet.Dragon, error) {
		if d := f.Lookup(target); d != nil {
			return d, nil
		}
		return nil, errors.New("not known: " + target)
	}}
	for _, change := range change {
		change(&c)
	}
	made.Collector = New(c)
	made.close = func() {
		cancel()
		running.Wait()
		h.Close()
		transport.CloseIdleConnections()
	}
	return made
}

// steady returns a jitter without chance, so that a dragon is asked at the same times in
// each run of a test: its figures depend a little on how often it is looked at.
func steady() func(time.Duration) time.Duration {
	var n atomic.Int64
	return func(limit time.Duration) time.Duration { return limit * time.Duration(n.Add(1)%17) / 17 }
}

// worker names dragon i.
func (f *farm) worker(i int) string { return f.Fleet.Lookup(f.dragons.Addr(i)).Info().Worker }

// get answers a GET, with headers.
func get(ctx context.Context, h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil).WithContext(ctx)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// scraped is a page of /metrics as Prometheus gets it that waits ten seconds.
func (f *farm) scraped(t *testing.T) string {
	t.Helper()
	w := get(t.Context(), f.Metrics(), "/metrics", timeoutHeader, "10")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func (f *farm) probed(t *testing.T, target string) string {
	t.Helper()
	w := get(t.Context(), f.Probe(), "/probe?target="+url.QueryEscape(target), timeoutHeader, "10")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// seriesOf returns the series of one worker: values by name and labels.
func seriesOf(page, worker string) map[string]string {
	series := map[string]string{}
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "dragon_") && strings.Contains(line, `worker="`+worker+`"}`) {
			i := strings.LastIndexByte(line, ' ')
			series[line[:i]] = line[i+1:]
		}
	}
	return series
}

func one() int { return 1 }
