package dragon

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http logs there what a host says without being asked
	goleak.VerifyTestMain(m)
}

// refused is the path under which a device has what is asked at /api/overview without
// a login.
const refused = "/api/overview (not logged in)"

// device is a small device for one behaviour at a time: it answers each path with a
// text or a handler, and remembers what it was asked.
type device struct {
	answers map[string]any // string, []string for one after the other, or http.HandlerFunc

	mu    sync.Mutex
	asked []request
	conns map[string]bool
}

type request struct {
	path, authorization string
	form                url.Values
	header              http.Header
}

const (
	loginOK    = `{"success":true,"jwt":"h.eyJpc3MiOiJEcmFnb25NaW50In0.s"}` // iss DragonMint
	loginWrong = `{"success":false,"message":"invalid password"}`
	expired    = `{"success":false,"token":"expired"}`
	invalid    = `{"success":false,"message":"invalid request"}`
	ok         = `{"success":true}`
	typeT1     = `{"success":true,"type":"T1"}`
	titled     = `<!DOCTYPE html><html><head><meta charset="utf-8"><title>DragonMint</title></head><body></body></html>`
)

func newDevice(answers map[string]any) *device {
	all := map[string]any{"/api/auth": loginOK, "/api/type": typeT1, "/api/summary": summaryT1, "/api/overview": overviewT1}
	maps.Copy(all, answers)
	return &device{answers: all, conns: map[string]bool{}}
}

func (d *device) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	path := r.URL.Path
	if path == "/api/overview" && r.Header.Get("Authorization") == "" {
		path = refused
	}
	d.mu.Lock()
	d.asked = append(d.asked, request{path, r.Header.Get("Authorization"), form, r.Header})
	d.conns[r.RemoteAddr] = true
	answer := d.answers[path]
	if list, ok := answer.([]string); ok {
		answer = list[0]
		if len(list) > 1 {
			d.answers[path] = list[1:]
		}
	}
	d.mu.Unlock()
	switch answer := answer.(type) {
	case string:
		if strings.HasPrefix(answer, "{") {
			w.Header().Set("Content-Type", "application/json")
		}
		io.WriteString(w, answer)
	case func(http.ResponseWriter, *http.Request):
		answer(w, r)
	default:
		io.WriteString(w, invalid)
	}
}

// asks returns the paths that were asked.
func (d *device) asks() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var paths []string
	for _, r := range d.asked {
		paths = append(paths, r.path)
	}
	return paths
}

func (d *device) last(path string) request {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range slices.Backward(d.asked) {
		if r.path == path {
			return r
		}
	}
	return request{}
}

func (d *device) count(path string) (n int) {
	for _, p := range d.asks() {
		if p == path {
			n++
		}
	}
	return n
}

// client serves the device on loopback and returns a client of it.
func (d *device) client(t testing.TB, o Options) *Client {
	t.Helper()
	c := New(serve(t, d), o)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serve serves h on loopback and returns where.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// inMemory serves h to the returned transport through pipes, for tests in a bubble of
// synctest, where the clock is not the machine's.
func inMemory(t *testing.T, h http.Handler) *Transport {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	transport := NewTransport()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-done
	})
	return transport
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// rawServer answers every connection on loopback with handle.
func rawServer(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

func answerRaw(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
