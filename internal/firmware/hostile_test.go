package firmware

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// A vendor's host may be taken over. Whatever it sends costs a bounded time, a bounded
// number of requests and at most the room of one image, and nothing of it is kept.
func TestAHostileVendorCostsLittle(t *testing.T) {
	image := anImage(200_000)
	flush := func(w http.ResponseWriter, data []byte) {
		_, _ = w.Write(data)
		w.(http.Flusher).Flush()
	}
	abort := func() { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		handle func(n int, w http.ResponseWriter, r *http.Request) bool
		says   string
		asked  int
	}{
		"a stream without end": {func(_ int, w http.ResponseWriter, r *http.Request) bool {
			for chunk := anImage(1 << 20); r.Context().Err() == nil; {
				flush(w, chunk)
			}
			return true
		}, "more than 104857600 bytes", 1},
		"less than it says": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "300000")
			flush(w, image)
			abort()
			return true
		}, "unexpected EOF", fetchAttempts},
		"a byte at each attempt": {func(n int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", "200000")
			if n > 1 {
				w.Header().Set("Content-Length", fmt.Sprint(200_000-(n-1)))
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-199999/200000", n-1))
				w.WriteHeader(http.StatusPartialContent)
			}
			flush(w, image[:1])
			abort()
			return true
		}, "unexpected EOF", fetchAttempts},
		"another part than the one asked for": {func(n int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("ETag", `"1"`)
			if n%2 == 0 {
				w.Header().Set("Content-Range", "bytes 0-99/200000")
				w.WriteHeader(http.StatusPartialContent)
				return true
			}
			w.Header().Set("Content-Length", "200000")
			flush(w, image[:1000])
			abort()
			return true
		}, "", fetchAttempts},
		"a range that is none": {func(n int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("ETag", `"1"`)
			if n > 1 {
				w.Header().Set("Content-Range", "bytes 99999999999999999999-/"+strings.Repeat("9", 500))
				w.WriteHeader(http.StatusPartialContent)
				return true
			}
			w.Header().Set("Content-Length", "200000")
			flush(w, image[:1000])
			abort()
			return true
		}, "HTTP status 206", 3},
		"an unrequested part": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 100-199999/200000")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, "HTTP status 206", 1},
		"a header without end": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			for i := range 100 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 10_000))
			}
			return true
		}, "", fetchAttempts},
		"a validator that is a header": {func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.Header.Get("If-Range"), "evil") {
				w.WriteHeader(http.StatusTeapot)
				return true
			}
			w.Header().Set("ETag", "\"1\"\r\nX: evil")
			w.Header().Set("Content-Length", "300000")
			flush(w, image)
			abort()
			return true
		}, "HTTP status 418", 2},
		"nothing at all": {func(int, http.ResponseWriter, *http.Request) bool { return true }, "not a firmware image", 1},
		"no HTTP": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n")
				conn.Close()
			}
			return true
		}, "malformed HTTP", fetchAttempts},
		"a bomb": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
			return true
		}, "not a firmware image", 1},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t, image)
			v.handle = c.handle
			kept := t.TempDir()
			i, err := v.library(t, kept).Fetch(t.Context(), v.offer())
			if err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 1000 {
				t.Errorf("%v, %.2000v", i, err)
			}
			if len(v.asked) != c.asked {
				t.Errorf("asked %d times, want %d: %q", len(v.asked), c.asked, v.asked)
			}
			var room int64
			files, _ := os.ReadDir(kept)
			for _, f := range files {
				if info, err := f.Info(); err == nil {
					room += info.Size()
				}
				if !strings.Contains(f.Name(), ".part") {
					t.Errorf("%s is kept", f.Name())
				}
			}
			if room > dragon.MaxImage {
				t.Errorf("it takes %d bytes", room)
			}
		})
	}
}

// A vendor that sends a byte now and then is left at fetchTime, one that sends none after
// fetchStall, each time.
func TestASlowVendorIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		every time.Duration
		took  time.Duration
	}{
		"a byte every fifty seconds": {50 * time.Second, fetchTime},
		"no byte":                    {time.Hour, fetchAttempts*fetchStall + (2+4+8+16)*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Config{Kept: t.TempDir(), Allowed: []Host{{Name: "vendor.example.com"}}})
				var serving sync.WaitGroup
				defer serving.Wait()
				l.fetches.dial = func(context.Context, string, string) (net.Conn, error) {
					client, server := net.Pipe()
					serving.Go(func() {
						defer server.Close()
						if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
							return
						}
						_, err := io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
						for ; err == nil; _, err = server.Write([]byte{'x'}) {
							_ = server.SetReadDeadline(time.Now().Add(c.every))
							if _, err := server.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
								return
							}
						}
					})
					return client, nil
				}
				start := time.Now()
				_, err := l.Fetch(t.Context(), Offer{Version: t1New, URL: "http://vendor.example.com/x.swu", Model: "T1", HWVer: "g19"})
				if took := time.Since(start); err == nil || took < c.took || took > c.took+time.Second {
					t.Errorf("left after %v, want %v: %v", took, c.took, err)
				}
			})
		})
	}
}
