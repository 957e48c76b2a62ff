package fleet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"go.uber.org/goleak"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lan is a network in memory: simulated dragons at addresses that tests move about.
type lan struct {
	mu       sync.Mutex
	at       map[string]http.Handler
	requests map[string]int // by address and path
	expired  map[string]int // of these, those that were answered so
	inFlight map[string]int // by address
	most     map[string]int // the greatest inFlight; of all together under ""
	deaf     bool           // requests outlive their context
	panics   bool
	connects bool // a request tells its trace that it got a connection
}

func newLAN() *lan {
	return &lan{at: make(map[string]http.Handler), requests: make(map[string]int), expired: make(map[string]int), inFlight: make(map[string]int), most: make(map[string]int)}
}

// put makes h answer at address; nil: no host answers.
func (l *lan) put(address string, h http.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h == nil {
		delete(l.at, address)
		return
	}
	l.at[address] = h
}

// asked returns how many requests for path went to address.
func (l *lan) asked(address, path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests[address+path]
}

// told returns how many of them were more than a token that had expired.
func (l *lan) told(address, path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests[address+path] - l.expired[address+path]
}

// total returns how many requests went anywhere.
func (l *lan) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for v := range maps.Values(l.requests) {
		n += v
	}
	return n
}

func (l *lan) mostAt(address string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most[address]
}

func (l *lan) underWay(address string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight[address]
}

func (l *lan) RoundTrip(r *http.Request) (*http.Response, error) {
	address := r.URL.Host
	l.mu.Lock()
	h, deaf, panics := l.at[address], l.deaf, l.panics
	if trace := httptrace.ContextClientTrace(r.Context()); l.connects && h != nil && trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	l.requests[address+r.URL.Path]++
	for _, key := range []string{address, ""} {
		l.inFlight[key]++
		l.most[key] = max(l.most[key], l.inFlight[key])
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inFlight[address]--
		l.inFlight[""]--
	}()
	if panics {
		panic("a fault in a decoder")
	}
	if h == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	ctx := r.Context()
	if deaf {
		ctx = context.WithoutCancel(ctx)
	}
	in := r.Clone(ctx)
	in.Body, in.ContentLength, in.RemoteAddr, in.RequestURI = io.NopCloser(bytes.NewReader(body)), int64(len(body)), "127.0.0.1:1024", r.URL.RequestURI()
	w := httptest.NewRecorder()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
				return
			}
			done <- nil
		}()
		h.ServeHTTP(w, in)
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		if strings.Contains(w.Body.String(), `"token":"expired"`) {
			l.mu.Lock()
			l.expired[address+r.URL.Path]++
			l.mu.Unlock()
		}
		return w.Result(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// journal is a log to be looked at.
type journal struct {
	mu    sync.Mutex
	lines []string
	slow  time.Duration // to write a line
}

func (j *journal) Log(kv ...any) error {
	time.Sleep(j.slow)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintln(kv...))
	return nil
}

// said returns how many lines contain s.
func (j *journal) said(s string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Contains(line, s) {
			n++
		}
	}
	return n
}

var _ log.Logger = (*journal)(nil)

// hall is a fleet on a lan, inside a synctest bubble.
type hall struct {
	*testing.T
	*Fleet
	lan  *lan
	log  *journal
	stop func() // ends Run
}

// inHall runs a test in a bubble with a fleet whose Run runs.
func inHall(t *testing.T, c Config, test func(h *hall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(openHall(t, c, newLAN())) })
}

func openHall(t *testing.T, c Config, l *lan) *hall {
	t.Helper()
	h := &hall{T: t, lan: l, log: &journal{}}
	c.Client.Transport = l
	c.Logger = h.log
	var err error
	if h.Fleet, err = Open(c); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ctx, cancel := contextUntil(quit)
		defer cancel()
		if err := h.Fleet.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	h.stop = func() {
		once.Do(func() { close(quit) })
		<-ended
	}
	t.Cleanup(h.stop)
	return h
}

// dragon puts a simulated dragon on the lan and has it sighted.
func (h *hall) dragon(address string, spec dragontest.Spec) (*Dragon, *dragontest.Dragon) {
	h.Helper()
	sim := dragontest.New(spec)
	h.lan.put(address, sim)
	if c := h.sight(address); c == Unchanged {
		h.Fatalf("sighting a new dragon at %s: %s", address, c)
	}
	return h.Lookup(address), sim
}

// sight identifies the host at an address, as a scan does.
func (h *hall) sight(address string) Change {
	h.Helper()
	c := dragon.New(address, dragon.Options{Transport: h.lan})
	id, err := c.Identify(h.Context())
	if err != nil {
		h.Fatalf("identifying %s: %v", address, err)
	}
	change := h.Sighted(h.Context(), Sighting{Address: address, Client: c, Identity: id})
	h.check()
	return change
}

// read reads a dragon now.
func (h *hall) read(d *Dragon) *Reading {
	h.Helper()
	r, err := d.Read(h.Context(), 0)
	if err != nil {
		h.Fatal(err)
	}
	return r
}

// check looks at what must always be true of a fleet.
func (h *hall) check() {
	h.Helper()
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := 0
	for mac, claimants := range h.byMAC {
		homeless := 0
		for _, d := range claimants {
			n++
			i := d.Info()
			if d.mac != mac || i.MAC != mac {
				h.Errorf("%s filed under %s", d.mac, mac)
			}
			if h.byWorker[i.Worker] != d {
				h.Errorf("worker %s is not unique", i.Worker)
			}
			if !slices.Contains(h.byName[dragon.WorkerName(mac)], d) {
				h.Errorf("%s is not in its group", i.Worker)
			}
			if p := d.currentEndpoint(); p == nil {
				homeless++
			} else if h.byAddress[p.address] != d || i.Address != p.address {
				h.Errorf("%s lives at %s, where another dragon is filed", i.Worker, p.address)
			}
			if alone := len(h.byName[dragon.WorkerName(mac)]) == 1; i.Conflict == (alone && dragon.UsableMAC(mac)) {
				h.Errorf("%s: Conflict %v, alone %v", i.Worker, i.Conflict, alone)
			}
		}
		if homeless > 0 && len(claimants) > 1 {
			h.Errorf("%s: %d claimants, %d of them without a place", mac, len(claimants), homeless)
		}
	}
	if len(h.byWorker) != n {
		h.Errorf("%d workers for %d dragons", len(h.byWorker), n)
	}
	for a, d := range h.byAddress {
		if p := d.currentEndpoint(); p == nil || p.address != a {
			h.Errorf("a dragon is filed at %s and does not live there", a)
		}
	}
}
