package dragon

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestReasonOf(t *testing.T) {
	for want, err := range map[string]error{
		"ok":          nil,
		"canceled":    &Error{Err: context.Canceled},
		"timeout":     &Error{Kind: ErrTimeout},
		"refused":     &Error{Kind: ErrRefused},
		"unreachable": &Error{Kind: ErrUnreachable},
		"auth":        &Error{Kind: ErrUnauthorized},
		"response":    &Error{Kind: ErrNotReady},
	} {
		if got := Reason(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := Reason(&Error{Kind: ErrUnknownOutcome, Err: io.EOF}); got != "unreachable" {
		t.Errorf("write without answer: %q", got)
	}
	if got := Reason(&Error{Kind: ErrUnknownOutcome, Err: context.DeadlineExceeded}); got != "timeout" {
		t.Errorf("write without answer in time: %q", got)
	}
}

func TestKindsOfNetworkErrors(t *testing.T) {
	dial := func(errno syscall.Errno) error { return &net.OpError{Op: "dial", Err: errno} }
	read := func(errno syscall.Errno) error { return &net.OpError{Op: "read", Err: errno} }
	for _, c := range []struct {
		err  error
		want error
	}{
		{dial(syscall.ECONNREFUSED), ErrRefused},
		{dial(syscall.EHOSTUNREACH), ErrUnreachable},
		{dial(syscall.EHOSTDOWN), ErrUnreachable},
		{dial(syscall.ENETUNREACH), ErrUnreachable},
		{dial(syscall.ETIMEDOUT), ErrUnreachable},
		{read(syscall.ETIMEDOUT), ErrTimeout},
		{read(syscall.ECONNRESET), ErrUnreachable},
		{io.EOF, ErrUnreachable},
		{&net.DNSError{Err: "no such host"}, ErrUnreachable},
		{context.DeadlineExceeded, ErrTimeout},
		{errors.New(`malformed HTTP response "SSH-2.0"`), ErrBadResponse},
	} {
		if got := kindOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// A host without power is unreachable. The dialer gives up before the kernel says so.
func TestNoConnectionInTimeIsUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := NewTransport()
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			limit := ConnectTimeout
			if end, ok := ctx.Deadline(); ok {
				limit = min(limit, time.Until(end))
			}
			time.Sleep(limit)
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}
		c := New("dragon", Options{Transport: transport})
		for name, ask := range map[string]func(context.Context) error{
			"read":  func(ctx context.Context) error { _, err := c.Summary(ctx); return err },
			"write": c.Reboot,
		} {
			if err := ask(t.Context()); Reason(err) != "unreachable" || !errors.Is(err, ErrUnreachable) {
				t.Errorf("%s: %v", name, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := ask(ctx); Reason(err) != "timeout" || !errors.Is(err, ErrTimeout) {
				t.Errorf("%s of a caller in a hurry: %v", name, err)
			}
		}
	})
}

func TestNothingListens(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	_, err = New(host, Options{}).Summary(t.Context())
	wantKind(t, err, ErrRefused)
	if !strings.Contains(err.Error(), host) || !strings.Contains(err.Error(), "/api/overview") {
		t.Errorf("%v names neither host nor endpoint", err)
	}
}

func TestUnreadableAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer any
		kind   error
	}{
		"html":              {"<html><body>no</body></html>", ErrBadResponse},
		"nothing":           {"", ErrBadResponse},
		"array":             {"[]", ErrBadResponse},
		"null":              {"null", ErrBadResponse},
		"cut":               {summaryT1[:900], ErrBadResponse},
		"success only":      {ok, ErrBadResponse},
		"empty object":      {"{}", ErrBadResponse},
		"not ready":         {`{"success":false}`, ErrNotReady},
		"not ready as text": {`{"success":"false"}`, ErrNotReady},
		"rejected":          {`{"success":false,"message":"missing configuration"}`, ErrRejected},
		"rejected by msg":   {`{"success":false,"msg":"missing configuration"}`, ErrRejected},
		"gateway timeout":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(504) }, ErrBadResponse},
		"not found":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, ErrBadResponse},
		"unauthorized":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, ErrUnauthorized},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, ErrBadResponse},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write([]byte(strings.Repeat(" ", 64<<10))); err != nil {
					return
				}
			}
		}, ErrBadResponse},
		"announced as huge": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10000000000")
			w.Write([]byte("{"))
		}, ErrBadResponse},
		"reset in the middle": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"success\":"))
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}, ErrBadResponse},
		"closed before": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrUnreachable},
		"other protocol": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Write([]byte("SSH-2.0-dropbear\r\n"))
			conn.Close()
		}, ErrBadResponse},
		"endless headers": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			defer conn.Close()
			conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
			for {
				if _, err := conn.Write([]byte("X-Filler: " + strings.Repeat("x", 1000) + "\r\n")); err != nil {
					return
				}
			}
		}, ErrBadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{"/api/summary": c.answer})
			_, err := d.client(t, Options{}).Summary(t.Context())
			e := wantKind(t, err, c.kind)
			if e.Endpoint != "/api/summary" || len(e.Got) > shownBytes {
				t.Errorf("%+v", e)
			}
			if d.count("/elsewhere") > 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func TestSilenceEndsWithTheDeadline(t *testing.T) {
	for name, silent := range map[string]func(http.ResponseWriter, *http.Request){
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"trickle": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(time.Second):
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := New("dragon", Options{Transport: inMemory(t, newDevice(map[string]any{"/api/summary": silent}))})
				start := time.Now()
				_, err := c.Summary(t.Context())
				wantKind(t, err, ErrTimeout)
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("took %v", took)
				}

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = c.Summary(ctx)
				wantKind(t, err, ErrTimeout)

				ctx, stop := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, stop)
				_, err = c.Summary(ctx)
				if !errors.Is(err, context.Canceled) || Reason(err) != "canceled" {
					t.Errorf("cancelled: %v", err)
				}
			})
		})
	}
}

// TestKeptConnectionThatTheDeviceClosed: nginx closes what has been idle for two
// minutes, and may do so while the next request is on its way.
func TestKeptConnectionThatTheDeviceClosed(t *testing.T) {
	var answered atomic.Int32
	host := rawServer(t, func(conn net.Conn) {
		// One answer a connection; the next request is read and the connection closed.
		in := bufio.NewReader(conn)
		for i := range 2 {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			if i == 1 {
				return
			}
			answered.Add(1)
			body := overviewT1
			switch {
			case req.URL.Path == "/api/auth":
				body = loginOK
			case req.Header.Get("Authorization") == "":
				body = invalid
			}
			io.WriteString(conn, answerRaw(body))
		}
	})
	c := New(host, Options{})
	defer c.CloseIdleConnections()
	for range 3 {
		if _, err := c.Overview(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if answered.Load() != 5 {
		t.Errorf("%d answers", answered.Load())
	}
	// A write must not go the way of a connection that may have died.
	for range 2 {
		if err := c.RestartCgMiner(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestWriteIsNeverSentTwice: whatever becomes of the connection.
func TestWriteIsNeverSentTwice(t *testing.T) {
	for name, end := range map[string]func(net.Conn){
		"closed": func(net.Conn) {},
		"reset":  func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) },
		"cut":    func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{") },
		"502":    func(c net.Conn) { io.WriteString(c, "HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n") },
		"empty":  func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			var reboots atomic.Int32
			host := rawServer(t, func(conn net.Conn) {
				in := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if req.URL.Path == "/api/reboot" {
						reboots.Add(1)
						end(conn)
						return
					}
					if req.URL.Path == "/api/auth" {
						io.WriteString(conn, answerRaw(loginOK))
					} else {
						io.WriteString(conn, answerRaw(invalid))
					}
				}
			})
			c := New(host, Options{})
			defer c.CloseIdleConnections()
			err := c.Reboot(t.Context())
			wantKind(t, err, ErrUnknownOutcome)
			if reboots.Load() != 1 {
				t.Errorf("sent %d times", reboots.Load())
			}
		})
	}
}

func TestWriteThatWasNotSentIsNotInDoubt(t *testing.T) {
	d := newDevice(nil)
	c := d.client(t, Options{})
	if _, err := c.Overview(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	c.host = gone.Addr().String()
	wantKind(t, c.Reboot(t.Context()), ErrRefused)
}

func TestWriteWithoutAnswerInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(map[string]any{"/api/reboot": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
		c := New("dragon", Options{Transport: inMemory(t, d)})
		start := time.Now()
		err := c.Reboot(t.Context())
		wantKind(t, err, ErrUnknownOutcome)
		if took := time.Since(start); took != 120*time.Second || Reason(err) != "timeout" {
			t.Errorf("%v after %v", err, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err = c.Reboot(ctx)
		wantKind(t, err, ErrUnknownOutcome)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is not the context's end", err)
		}
		if d.count("/api/reboot") != 2 {
			t.Errorf("asked %v", d.asks())
		}
	})
}

// A host at a dragon's address may point to any place of the network, or of
// this machine.
func TestNoRedirectIsFollowed(t *testing.T) {
	visited := 0
	elsewhere := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited++ }))
	c := New(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
	})), Options{})
	for name, ask := range map[string]func() error{
		"identify": func() error { _, err := c.Identify(t.Context()); return err },
		"summary":  func() error { _, err := c.Summary(t.Context()); return err },
		"reboot":   func() error { return c.Reboot(t.Context()) },
		"logs":     func() error { _, err := c.Logs(t.Context(), io.Discard); return err },
	} {
		if err := ask(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if visited > 0 {
		t.Errorf("%d requests went where the redirect points to", visited)
	}
}
