package dragon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// anImage is size bytes that are made as they are read.
type anImage struct{ left int64 }

func (a *anImage) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), a.left))
	for i := range p[:n] {
		p[i] = byte('a' + i%26)
	}
	a.left -= int64(n)
	return n, nil
}

func TestFirmwareIsStreamedWithProgress(t *testing.T) {
	const size = 20 << 20
	var name string
	var received int64
	d := newDevice(nil)
	mux := http.NewServeMux()
	mux.Handle("/", d)
	mux.HandleFunc("/upgrade/upload", func(w http.ResponseWriter, r *http.Request) {
		form, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		part, err := form.NextPart()
		if err != nil || part.FormName() != "upfile" {
			t.Errorf("%v, %v", part, err)
			return
		}
		name = part.FileName()
		received, _ = io.Copy(io.Discard, part)
		if _, err := form.NextPart(); err != io.EOF {
			t.Errorf("after the image: %v", err)
		}
		fmt.Fprintf(w, "Ok, %s - %d bytes.\r\n", name, received)
	})
	c := New(serve(t, mux), Options{})
	defer c.CloseIdleConnections()
	var last int64
	steps := 0
	err := c.UpgradeUpload(t.Context(), "t1_20180601_010203.swu", &anImage{size}, size, func(sent int64) {
		if sent <= last {
			t.Errorf("%d after %d", sent, last)
		}
		last = sent
		steps++
	})
	if err != nil {
		t.Fatal(err)
	}
	if received != size || last != size || name != "t1_20180601_010203.swu" || steps < 100 {
		t.Errorf("%d received, %d said in %d steps, name %q", received, last, steps, name)
	}
}

func TestUploadsThatFail(t *testing.T) {
	drain := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		answer any
		name   string
		image  io.Reader
		size   int64
		kind   error
		sent   int
	}{
		"another upgrade runs":  {drain(500, "busy"), "a.swu", &anImage{100}, 100, ErrRejected, 1},
		"too large for it":      {drain(413, "<html>"), "a.swu", &anImage{100}, 100, ErrRejected, 1},
		"not permitted":         {drain(401, "<html>"), "a.swu", &anImage{100}, 100, ErrUnauthorized, 1},
		"gateway":               {drain(502, "<html>"), "a.swu", &anImage{100}, 100, ErrUnknownOutcome, 1},
		"not an upgrade at all": {drain(200, titled), "a.swu", &anImage{100}, 100, ErrBadResponse, 1},
		"no answer":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "a.swu", &anImage{100}, 100, ErrUnknownOutcome, 1},
		"too large":             {ok, "a.swu", &anImage{1}, MaxImage + 1, ErrRejected, 0},
		"empty":                 {ok, "a.swu", &anImage{0}, 0, ErrRejected, 0},
		"no name":               {ok, "", &anImage{1}, 1, ErrRejected, 0},
		"a name of two lines":   {ok, "a\nb.swu", &anImage{1}, 1, ErrRejected, 0},
		"a path for a name":     {ok, "../a.swu", &anImage{1}, 1, ErrRejected, 0},
		"a name that breaks":    {ok, "a\".swu\r\n", &anImage{1}, 1, ErrRejected, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{"/upgrade/upload": c.answer})
			err := d.client(t, Options{}).UpgradeUpload(t.Context(), c.name, c.image, c.size, nil)
			wantKind(t, err, c.kind)
			if d.count("/upgrade/upload") != c.sent {
				t.Errorf("asked %v", d.asks())
			}
		})
	}
}

func TestImageThatCannotBeReadWhole(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		image io.Reader
		says  string
	}{
		"too short": {&anImage{40 << 10}, "the image has 40960 bytes, not 102400"},
		"broken":    {io.MultiReader(&anImage{40 << 10}, brokenReader{broken}), "disk on fire"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{"/upgrade/upload": "Ok"})
			err := d.client(t, Options{}).UpgradeUpload(t.Context(), "a.swu", c.image, 100<<10, nil)
			wantKind(t, err, ErrRejected)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestUploadMakesSureOfItsTokenFirst(t *testing.T) {
	d := newDevice(map[string]any{"/upgrade/upload": "Ok, a.swu - 100 bytes.", "/api/type": []string{expired, typeT1}})
	if err := d.client(t, Options{}).UpgradeUpload(t.Context(), "a.swu", &anImage{100}, 100, nil); err == nil {
		t.Fatal("a token that is born expired was believed")
	}
	d = newDevice(map[string]any{"/upgrade/upload": "Ok, a.swu - 100 bytes.", "/api/type": []string{expired, typeT1}})
	c := d.client(t, Options{})
	if _, err := c.Overview(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.UpgradeUpload(t.Context(), "a.swu", &anImage{100}, 100, nil); err != nil {
		t.Fatal(err)
	}
	if c.Logins() != 2 || d.count("/upgrade/upload") != 1 {
		t.Errorf("asked %v", d.asks())
	}
}

func TestUpgradeDownload(t *testing.T) {
	d := newDevice(map[string]any{"/upgrade/download": "Ok"})
	c := d.client(t, Options{})
	if err := c.UpgradeDownload(t.Context(), "http://firmware.example.org/t1.swu"); err != nil {
		t.Fatal(err)
	}
	if got := d.last("/upgrade/download").form.Get("url"); got != "http://firmware.example.org/t1.swu" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", "ftp://a/b", "/etc/passwd", "http:///x"} {
		wantKind(t, c.UpgradeDownload(t.Context(), bad), ErrRejected)
	}
	if d.count("/upgrade/download") != 1 {
		t.Errorf("asked %v", d.asks())
	}
}

func TestLogsLargerThanAnyAnswer(t *testing.T) {
	const size = 3 * maxBody
	d := newDevice(map[string]any{"/api/getLogs": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.Copy(w, &anImage{size})
	}})
	var got bytes.Buffer
	n, err := d.client(t, Options{}).Logs(t.Context(), &got)
	if err != nil || n != size || got.Len() != size {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestLogsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		answer any
		kind   error
	}{
		"guest":  {invalid, ErrUnauthorized},
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, ErrUnauthorized},
		"broken": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, ErrBadResponse},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "half a line")
		}, ErrBadResponse},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newDevice(map[string]any{"/api/getLogs": c.answer}).client(t, Options{}).Logs(t.Context(), io.Discard)
			wantKind(t, err, c.kind)
		})
	}
	full := errors.New("disk full")
	_, err := newDevice(map[string]any{"/api/getLogs": "a line"}).client(t, Options{}).Logs(t.Context(), brokenWriter{full})
	if !errors.Is(err, full) || errors.As(err, new(*Error)) {
		t.Errorf("the writer's error became %v", err)
	}
}

type brokenWriter struct{ err error }

func (b brokenWriter) Write([]byte) (int, error) { return 0, b.err }

// TestFollowedLogs: the stream outlasts every deadline, holds up no other call, and
// ends with its context.
func TestFollowedLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(map[string]any{"/stream/logs": func(w http.ResponseWriter, r *http.Request) {
			for {
				io.WriteString(w, "a line\n")
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(time.Hour):
				}
			}
		}})
		c := New("dragon", Options{Transport: inMemory(t, d)})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Minute)
		defer cancel()
		var got bytes.Buffer
		done := make(chan error, 1)
		go func() { done <- c.FollowLogs(ctx, &got) }()
		synctest.Wait()
		if _, err := c.Overview(t.Context()); err != nil {
			t.Errorf("beside the stream: %v", err)
		}
		err := <-done
		if Reason(err) != "timeout" || got.String() != "a line\na line\na line\n" {
			t.Errorf("%v after %q", err, got.String())
		}
	})
}

func TestFollowedLogsThatDoNotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(map[string]any{"/stream/logs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
		start := time.Now()
		err := New("dragon", Options{Transport: inMemory(t, d)}).FollowLogs(t.Context(), io.Discard)
		wantKind(t, err, ErrTimeout)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestFollowedLogsWithAnOldToken(t *testing.T) {
	first := true
	d := newDevice(map[string]any{"/stream/logs": func(w http.ResponseWriter, _ *http.Request) {
		if first {
			first = false
			w.WriteHeader(401)
			return
		}
		io.WriteString(w, "a line")
	}})
	c := d.client(t, Options{})
	if _, err := c.Overview(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := c.FollowLogs(t.Context(), &got); err != nil || got.String() != "a line" || c.Logins() != 2 {
		t.Errorf("%q, %v, %d logins", got.String(), err, c.Logins())
	}
}
