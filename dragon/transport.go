package dragon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// ConnectTimeout is how long the transport of NewTransport waits for a connection:
// long enough for a second SYN after the first went while the address was resolved.
const ConnectTimeout = 2 * time.Second

const (
	// idleFor is how long a connection is kept between requests: less than the 120 s
	// after which the device closes it (recorded and vendor nginx.conf).
	idleFor = 100 * time.Second

	maxHeader = 16 << 10
)

// Transport reads many dragons: one connection to each is kept open between requests. It
// uses no proxy and speaks no TLS, and a Client follows no redirect. It is safe to share.
//
// net/http's own transport has two goroutines and two buffers waiting at every open
// connection, some 14 kB, and reads are all that is done to ten thousand dragons every
// minute. Here a connection that waits is a connection and nothing else. Messages are
// read and written by net/http all the same, and what is not a Client's read goes
// through the embedded transport altogether.
type Transport struct {
	*http.Transport

	open chan struct{} // one for each open connection; nil: there may be any number

	// OnSurplus, if set, is called when a host has sent more than an answer: what comes
	// unasked would be taken for the answer to the next question, so that the connection
	// is closed. It is set before the first request.
	OnSurplus func(host string)

	mu   sync.Mutex
	idle map[string]*connection // by host
}

// Limit sets how many connections may be open at once, before the first request. With
// all of them open, idle ones are closed for new ones, and requests wait for each
// other: a process without a free file descriptor could not serve its own clients.
func (t *Transport) Limit(connections int) { t.open = make(chan struct{}, connections) }

// NewTransport returns a Transport.
func NewTransport() *Transport {
	dialer := &net.Dialer{Timeout: ConnectTimeout, KeepAlive: 30 * time.Second, FallbackDelay: -1}
	return &Transport{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        idleFor,
			MaxResponseHeaderBytes: maxHeader,
		},
		idle: make(map[string]*connection),
	}
}

type connection struct {
	net.Conn
	expiry *time.Timer // while it is idle
	gone   func()      // once it is closed
}

// Close closes the connection; only its user may.
func (c *connection) Close() error {
	err := c.Conn.Close()
	c.gone()
	return err
}

// connect opens a connection, when there may be one more.
func (t *Transport) connect(ctx context.Context, host string) (*connection, error) {
	gone := func() {}
	if t.open != nil {
		select {
		case t.open <- struct{}{}:
		default:
			t.closeOneIdle()
			select {
			case t.open <- struct{}{}:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		gone = func() { <-t.open }
	}
	conn, err := t.DialContext(ctx, "tcp", host)
	if err != nil {
		gone()
		return nil, err
	}
	return &connection{Conn: conn, gone: gone}, nil
}

// RoundTrip sends a request that may be sent twice: where a kept connection turns out to
// have been closed by the device, a new one is made.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "http" {
		return t.Transport.RoundTrip(req)
	}
	host := req.URL.Host
	if req.URL.Port() == "" {
		host = net.JoinHostPort(req.URL.Hostname(), "80")
	}
	trace := httptrace.ContextClientTrace(req.Context())
	if c := t.take(host); c != nil {
		gotConnection(trace, httptrace.GotConnInfo{Conn: c, Reused: true})
		resp, err := t.exchange(c, host, req)
		if !errors.Is(err, errStale) || req.Context().Err() != nil {
			return resp, err
		}
		if req.GetBody != nil {
			again := *req
			if again.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
			req = &again
		}
	}
	c, err := t.connect(req.Context(), host)
	if err != nil {
		return nil, err
	}
	gotConnection(trace, httptrace.GotConnInfo{Conn: c})
	return t.exchange(c, host, req)
}

func gotConnection(trace *httptrace.ClientTrace, info httptrace.GotConnInfo) {
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(info)
	}
}

var errStale = errors.New("connection closed before the answer")

// staleError has the text of its cause.
type staleError struct{ error }

func (e staleError) Is(target error) bool { return target == errStale }
func (e staleError) Unwrap() error        { return e.error }

var (
	requests = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	readers  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }} // a summary is 3 to 8 KiB
)

// exchange sends a request and reads the answer up to its body, whose end gives the
// connection back.
func (t *Transport) exchange(c *connection, host string, req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	interrupted := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	failed := func(err error) (*http.Response, error) {
		interrupted()
		_ = c.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}

	words := requests.Get().(*bytes.Buffer)
	defer func() {
		words.Reset()
		requests.Put(words)
	}()
	if err := req.Write(words); err != nil {
		return failed(err)
	}
	if _, err := c.Write(words.Bytes()); err != nil {
		return failed(staleError{err})
	}

	limited := &io.LimitedReader{R: c, N: maxHeader}
	r := readers.Get().(*bufio.Reader)
	r.Reset(limited)
	if _, err := r.Peek(1); err != nil {
		return failed(staleError{err})
	}
	resp, err := http.ReadResponse(r, req)
	for ; err == nil && resp.StatusCode/100 == 1; resp, err = http.ReadResponse(r, req) {
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return failed(errors.New("HTTP status 101 without being asked"))
		}
	}
	if err != nil {
		if limited.N <= 0 {
			err = errors.New("the header of the answer is too long")
		}
		return failed(err)
	}
	limited.N = math.MaxInt64
	resp.Body = &answerBody{body: resp.Body, ctx: ctx, end: func(whole bool) {
		if whole && r.Buffered() > 0 {
			t.surplus(host)
			whole = false
		}
		if whole = whole && !resp.Close && !req.Close; whole {
			r.Reset(nil)
			readers.Put(r)
		}
		if !interrupted() || !whole {
			_ = c.Close()
			return
		}
		t.keep(host, c)
	}}
	return resp, nil
}

type answerBody struct {
	body io.Reader
	ctx  context.Context //nolint:containedctx // a body is read under its request's context, by net/http's contract
	end  func(whole bool)
	err  error // that every further Read gives
}

func (b *answerBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.body.Read(p)
	if err != nil {
		whole := errors.Is(err, io.EOF)
		if !whole && b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
		b.err = err
		b.end(whole)
	}
	return n, err
}

// Close closes the connection, unless the body was read to its end: the rest may be
// endless.
func (b *answerBody) Close() error {
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
		b.end(b.body == http.NoBody)
	}
	return nil
}

// take returns the idle connection to a host; nil if there is none, or it was closed, or it
// has unread bytes.
func (t *Transport) take(host string) *connection {
	t.mu.Lock()
	c := t.idle[host]
	if c == nil || !c.expiry.Stop() {
		t.mu.Unlock()
		return nil // or it is being closed
	}
	delete(t.idle, host)
	t.mu.Unlock()
	switch unread(c.Conn) {
	case nothingUnread:
		return c
	case bytesUnread:
		t.surplus(host)
	}
	_ = c.Close()
	return nil
}

func (t *Transport) surplus(host string) {
	if t.OnSurplus != nil {
		t.OnSurplus(host)
	}
}

// What waits to be read from a connection.
type waiting int

const (
	nothingUnread waiting = iota
	bytesUnread
	endUnread
)

// keep makes a connection idle. There is one to each host: a second is closed.
func (t *Transport) keep(host string, c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle[host] != nil || t.open != nil && len(t.open) == cap(t.open) {
		_ = c.Close() // there is one, or a request waits for a free place
		return
	}
	t.idle[host] = c
	if c.expiry != nil {
		c.expiry.Reset(idleFor)
		return
	}
	c.expiry = time.AfterFunc(idleFor, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.idle[host] == c {
			delete(t.idle, host)
		}
		_ = c.Close()
	})
}

// closeOneIdle makes room for another connection, if one is idle.
func (t *Transport) closeOneIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for host, c := range t.idle {
		if c.expiry.Stop() {
			delete(t.idle, host)
			_ = c.Close()
			return
		}
	}
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	for host, c := range t.idle {
		if c.expiry.Stop() {
			_ = c.Close()
		}
		delete(t.idle, host)
	}
	t.mu.Unlock()
	t.Transport.CloseIdleConnections()
}

// fresh returns a transport that opens a connection for each request. Writes go this
// way: a kept connection that has died in the meantime would leave it unknown whether
// a reboot was sent.
func fresh(rt http.RoundTripper) http.RoundTripper {
	var t *http.Transport
	switch rt := rt.(type) {
	case *Transport:
		t = rt.Transport.Clone()
	case *http.Transport:
		t = rt.Clone()
	default:
		return rt
	}
	t.DisableKeepAlives = true
	return t
}
