package dragon

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Bytes of an answer. The largest summary that is known, of eight boards, has 10 KiB;
// what tells of each chip, or of a whole day, has up to 150 KiB.
const (
	maxBody    = 128 << 10
	maxBigBody = 1 << 20
)

// limit is how many bytes of an answer are read.
func (e endpoint) limit() int { return cmp.Or(e.largest, maxBody) }

// bigAnswers are the endpoints whose answers may be longer than others.
var bigAnswers = []string{"getDebugStats", "getHashRates", "stats"}

// answer is a complete answer with its decoding.
type answer struct {
	Answer
	unreadable []string
	reply      reply
}

// exchange sends one request and reads the whole answer. understand judges it; the
// *Error that it returns is completed here.
func (c *Client) exchange(ctx context.Context, e endpoint, form url.Values, token Secret, understand func(*answer) error) (answer, error) {
	return c.exchangeRequest(ctx, e, c.request(e, form, token), func() []string { return c.secretsOf(form, token) }, understand)
}

func (c *Client) exchangeRequest(ctx context.Context, e endpoint, req *http.Request, secrets func() []string, understand func(*answer) error) (answer, error) {
	var a answer
	start := time.Now()
	resp, sent, err := c.send(ctx, e, req)
	if err == nil {
		buffer := bodies.Get().(*bytes.Buffer)
		defer giveBack(buffer)
		a.Raw, err = readBody(buffer, resp, e.limit())
		if err != nil {
			err = cutShort(e, err)
		}
		if !e.lean {
			a.Raw = slices.Clone(a.Raw)
		}
	} else {
		c.session.foreign = c.session.foreign || errors.Is(kindOf(err), ErrBadResponse) // not HTTP
		if sent {
			err = &Error{Kind: ErrUnknownOutcome, Err: err}
		}
	}
	a.At = time.Now()
	a.Took = a.At.Sub(start)
	if err == nil {
		c.session.foreign = c.session.foreign || e.foreign(resp.StatusCode, a.Raw)
		a.DeviceTime, _ = http.ParseTime(resp.Header.Get("Date"))
		if err = e.judgeStatus(resp.StatusCode); err == nil {
			err = understand(&a)
			if e.writes && len(bytes.TrimSpace(a.Raw)) == 0 {
				// A restart of the device may end the connection before its answer.
				err = &Error{Kind: ErrUnknownOutcome, Expected: "an answer"}
			}
		}
	}
	if err != nil {
		err = c.finish(ctx, e, err, a.Raw, secrets())
	}
	if e.lean {
		a.Raw = nil // the buffer is given back
	}
	c.observe(e, start, err)
	return a, err
}

func (c *Client) observe(e endpoint, start time.Time, err error) {
	if c.opts.Observe != nil {
		c.opts.Observe(Call{Endpoint: e.name, Outcome: Reason(err), Took: time.Since(start)})
	}
}

// failed is the error of a request that was not sent.
func (c *Client) failed(ctx context.Context, e endpoint, err error) error {
	return c.finish(ctx, e, err, nil, nil)
}

// finish makes an *Error of err, with endpoint, expectation and excerpt.
func (c *Client) finish(ctx context.Context, e endpoint, err error, got []byte, secrets []string) error {
	if err == nil {
		return nil
	}
	out := Error{Err: err}
	if known, ok := errors.AsType[*Error](err); ok {
		out = *known
	}
	out.Host, out.Endpoint = c.host, e.path
	if out.Kind == nil {
		out.Kind = kindOf(err)
	}
	// A failure because the context ended is reported as the context's end, whatever the
	// connection's error is.
	if end := ended(ctx); end != nil && brokeOff(out.Kind) {
		out.Err = end
		switch {
		case errors.Is(out.Kind, ErrUnknownOutcome):
		case errors.Is(end, context.Canceled):
			out.Kind = nil
		default:
			out.Kind = ErrTimeout
		}
	}
	out.Err = withoutSecrets(out.Err, secrets)
	if out.Got == "" {
		out.Got = excerpt(got, secrets)
	}
	return &out
}

// brokeOff reports whether a failure of this kind may be caused by a context's end.
func brokeOff(kind error) bool {
	return slices.ContainsFunc([]error{ErrTimeout, ErrRefused, ErrUnreachable, ErrBadResponse, ErrUnknownOutcome},
		func(k error) bool { return errors.Is(kind, k) })
}

// ended returns how a context ended: context.Canceled, context.DeadlineExceeded, or
// nil if it did not. A dialer may keep a deadline a moment before the context does.
func ended(ctx context.Context) error {
	deadline, limited := ctx.Deadline()
	switch {
	case ctx.Err() == nil && limited && !time.Now().Before(deadline):
		return context.DeadlineExceeded
	case ctx.Err() == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// request makes the request of an endpoint. An empty token sends no Authorization.
func (c *Client) request(e endpoint, form url.Values, token Secret) *http.Request {
	req := &http.Request{
		Method: e.method,
		URL:    &url.URL{Scheme: "http", Host: c.host, Path: e.path},
		Host:   c.host,
		Header: make(http.Header, 4),
		Body:   http.NoBody,
	}
	if len(form) > 0 {
		body := form.Encode()
		req.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	if token != "" {
		req.Header["Authorization"] = []string{"Bearer " + string(token)}
	}
	req.Header["User-Agent"] = []string{"mother-of-dragons"}
	if !e.writes {
		// Present but empty it is not sent. It tells net/http that the request may be
		// repeated where a kept connection turns out to have been closed by the device.
		req.Header["Idempotency-Key"] = nil
	}
	return req
}

// send sends a request and returns the answer's beginning. sent says of a failed
// write that the device may have received it.
func (c *Client) send(ctx context.Context, e endpoint, req *http.Request) (resp *http.Response, sent bool, err error) {
	if !e.writes {
		resp, err = c.opts.Transport.RoundTrip(req.WithContext(ctx))
		return unzipped(resp), false, err
	}
	var connected, broke atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			// The device ignores half a request: nginx waits for its end.
			broke.Store(info.Err != nil)
		},
	})
	c.writing.Do(func() { c.writeWith = fresh(c.opts.Transport) })
	resp, err = c.writeWith.RoundTrip(req.WithContext(ctx))
	if err == nil {
		return unzipped(resp), true, nil
	}
	_, traced := c.writeWith.(*http.Transport)
	return nil, !broke.Load() && (connected.Load() || !traced && !neverConnected(err)), err
}

// unzipped has the body of an answer unpacked that is gzipped, though nobody asked for it.
func unzipped(resp *http.Response) *http.Response {
	if resp != nil && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		resp.Body, resp.ContentLength = &gzipBody{ReadCloser: resp.Body}, -1
	}
	return resp
}

type gzipBody struct {
	io.ReadCloser
	plain *gzip.Reader
}

func (b *gzipBody) Read(p []byte) (n int, err error) {
	if b.plain == nil {
		if b.plain, err = gzip.NewReader(b.ReadCloser); err != nil {
			return 0, err
		}
	}
	return b.plain.Read(p)
}

func neverConnected(err error) bool {
	var dial *net.OpError
	var dns *net.DNSError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, &dns)
}

var errTooLarge = errors.New("body too large")

// bodies are the buffers for answers.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func giveBack(buffer *bytes.Buffer) {
	if buffer.Cap() <= 64<<10 { // a dragon that talks without end leaves no trace
		buffer.Reset()
		bodies.Put(buffer)
	}
}

// readBody reads a body of at most limit bytes into the buffer and closes it. The result is
// valid until the buffer is given back.
func readBody(buffer *bytes.Buffer, resp *http.Response, limit int) ([]byte, error) {
	defer resp.Body.Close()
	if resp.ContentLength > int64(limit) {
		return nil, errTooLarge
	}
	_, err := buffer.ReadFrom(io.LimitReader(resp.Body, int64(limit)+1))
	body := bytes.TrimPrefix(buffer.Bytes(), []byte("\uFEFF")) // of PHP whose source begins with one
	if len(body) > limit {
		return body[:limit], errTooLarge
	}
	return body, err
}

func cutShort(e endpoint, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return &Error{Kind: ErrBadResponse, Expected: fmt.Sprintf("at most %d bytes", e.limit()), Err: err}
	case e.writes:
		return &Error{Kind: ErrUnknownOutcome, Expected: "a whole answer", Err: err}
	case errors.Is(kindOf(err), ErrTimeout):
		return err
	}
	return &Error{Kind: ErrBadResponse, Expected: "a whole answer", Err: err}
}

// judgeStatus judges the HTTP status. The API answers 200 even when it refuses; a gateway
// error is nginx's, when PHP is dead or slow.
func (e endpoint) judgeStatus(status int) error {
	said := fmt.Errorf("HTTP status %d", status)
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return &Error{Kind: ErrUnauthorized, Expected: "HTTP status 200", Err: said}
	case e.refuses != nil && e.refuses(status):
		return &Error{Kind: ErrRejected, Expected: "HTTP status 200", Err: said}
	case status >= 500 && e.writes:
		return &Error{Kind: ErrUnknownOutcome, Expected: "HTTP status 200", Err: said}
	}
	return &Error{Kind: ErrBadResponse, Expected: "HTTP status 200", Err: said}
}

// foreign reports whether an answer is not the API's: a page or another text where it
// speaks JSON, or a status that it never gives. What is cut short, or garbled, may be.
func (e endpoint) foreign(status int, body []byte) bool {
	switch {
	case !strings.HasPrefix(e.path, "/api/"):
		return false
	case status != http.StatusOK:
		return status < 500
	}
	body = bytes.TrimSpace(body[:min(len(body), 512)])
	return len(body) > 0 && body[0] != '{' && body[0] != '[' && strings.HasPrefix(http.DetectContentType(body), "text/")
}
