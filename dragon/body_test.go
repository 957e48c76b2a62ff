package dragon

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"
)

// A browser reads both, and so did the Python tool.
func TestAByteOrderMarkAndGzipAreRead(t *testing.T) {
	marked := func(body string) any {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "\uFEFF"+body) }
	}
	zipped := func(body string) any {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, body)
			z.Close()
		}
	}
	for name, as := range map[string]func(string) any{"byte order mark": marked, "gzip": zipped} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{"/": as(titled), refused: as(invalid),
				"/api/auth": as(loginOK), "/api/overview": as(overviewT1), "/api/summary": as(summaryT1)})
			c := d.client(t, Options{})
			if id, err := c.Identify(t.Context()); err != nil || id.Overview.MAC != "a0:b0:45:11:22:33" {
				t.Fatal(id, err)
			}
			if s, err := c.Summary(t.Context()); err != nil || string(s.Raw) != summaryT1 {
				t.Error(s, err)
			}
			if n := len(d.conns); n != 2 { // that of the start page is not kept
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestGzipIsBoundedAndWhole(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 64<<20))
	z.Close()
	for name, body := range map[string][]byte{"a bomb": bomb.Bytes(), "half": bomb.Bytes()[:20], "none": []byte("hi")} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{"/api/summary": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(body)
			}})
			_, err := d.client(t, Options{}).Summary(t.Context())
			wantKind(t, err, ErrBadResponse)
		})
	}
}
