package dragon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// Logs writes the dragon's whole journal, many megabytes, to w as it comes from
// /api/getLogs, and returns how many bytes came. No other request runs meanwhile.
func (c *Client) Logs(ctx context.Context, w io.Writer) (int64, error) {
	e := read("getLogs")
	e.timeout = restarting
	ctx, cancel := context.WithTimeout(ctx, e.timeout(&c.opts))
	defer cancel()
	if err := c.take(ctx, e); err != nil {
		return 0, err
	}
	defer c.give()
	start := time.Now()
	stream, err := c.open(ctx, e)
	var n int64
	if err == nil {
		n, err = c.drain(ctx, e, stream, w)
		c.observe(e, start, err)
	}
	return n, err
}

// FollowLogs follows the dragon's journal, from /stream/logs, until ctx is done or the
// dragon ends it, which is not an error. The stream comes from a separate server on the
// device, so other requests may run beside it.
func (c *Client) FollowLogs(ctx context.Context, w io.Writer) error {
	e := endpoint{name: "stream_logs", path: "/stream/logs", method: http.MethodGet, timeout: ordinary}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The deadline is for the beginning only: a healthy dragon may log nothing for hours.
	slow := time.AfterFunc(e.timeout(&c.opts), func() { cancel(context.DeadlineExceeded) })
	defer slow.Stop()
	start := time.Now()
	stream, err := c.begin(ctx, e)
	if err != nil {
		return err
	}
	slow.Stop()
	_, err = c.drain(ctx, e, stream, w)
	c.observe(e, start, err)
	return err
}

func (c *Client) begin(ctx context.Context, e endpoint) (io.ReadCloser, error) {
	if err := c.take(ctx, e); err != nil {
		return nil, err
	}
	defer c.give()
	return c.open(ctx, e)
}

// open begins a stream of text. A refusal comes as JSON or as HTTP status 401.
func (c *Client) open(ctx context.Context, e endpoint) (stream io.ReadCloser, err error) {
	err = c.withToken(ctx, func(token Secret, isNew bool) error {
		start := time.Now()
		resp, _, err := c.send(ctx, e, c.request(e, nil, token))
		var got []byte
		if err == nil {
			stream, got, err = begun(e, resp, isNew)
		}
		if err != nil {
			err = c.finish(ctx, e, err, got, c.secretsOf(nil, token))
			c.observe(e, start, err)
		}
		return err
	})
	return stream, err
}

func begun(e endpoint, resp *http.Response, isNew bool) (io.ReadCloser, []byte, error) {
	body := bufio.NewReaderSize(resp.Body, 4<<10)
	err := e.judgeStatus(resp.StatusCode)
	if err == nil && !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return struct {
			io.Reader
			io.Closer
		}{body, resp.Body}, nil, nil
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(io.LimitReader(body, 4<<10))
	switch {
	case resp.StatusCode == http.StatusUnauthorized && !isNew:
		err = &Error{Kind: ErrUnauthorized, Expected: "HTTP status 200", Err: errExpired}
	case resp.StatusCode == http.StatusUnauthorized:
		err = &Error{Kind: ErrUnauthorized, Expected: "HTTP status 200", Err: ErrNotOffered}
	case err == nil:
		r, syntax := readAnswer(got, &noFields, new(nothing))
		if err = judge(e, r, nil, syntax); err == nil {
			err = &Error{Kind: ErrBadResponse, Expected: "text"}
		}
	}
	return nil, bytes.Clone(got), err
}

func (c *Client) drain(ctx context.Context, e endpoint, stream io.ReadCloser, w io.Writer) (int64, error) {
	defer stream.Close()
	sink := &sink{to: w}
	n, err := io.Copy(sink, stream)
	switch {
	case err == nil:
		return n, nil
	case sink.err != nil:
		return n, sink.err // the caller's own
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = &Error{Kind: ErrBadResponse, Expected: "a whole answer", Err: err}
	}
	return n, c.finish(ctx, e, err, nil, nil)
}

// sink separates write errors from read errors.
type sink struct {
	to  io.Writer
	err error
}

func (s *sink) Write(p []byte) (n int, err error) {
	n, err = s.to.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}
