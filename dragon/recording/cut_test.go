package recording_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/dragon/recording"
)

// An error shows the beginning of what came, which is masked as an answer is.
func TestErrorsOfCutAnswersKeepTheirSecrets(t *testing.T) {
	const whole = `{"pools":[{"user":"customer.dragon-45dead77","pass":"s3cr3t-pool"}],"mac":"a0:b0:45:de:ad:77","ip":"10.11.12.13"}`
	for n := 1; n < len(whole); n += 23 {
		dragons := dragontest.NewServer(secretive("t1"))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/pools" {
				dragons.Dragon.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Length", "5000")
			fmt.Fprint(w, whole[:n])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		r := take(t, server.Listener.Addr().(*net.TCPAddr).String())
		server.Close()
		dragons.Close()
		for _, a := range r.Answers {
			if a.Path != "/api/pools" {
				continue
			}
			if !strings.HasPrefix(a.Error, dragon.ErrBadResponse.Error()) || !strings.Contains(a.Error, `got "{`) {
				t.Errorf("cut at %d: %q does not tell what it was", n, a.Error)
			}
			for _, secret := range []string{"cust", "s3c", "dead", "de:", "10."} {
				if strings.Contains(a.Error, secret) {
					t.Errorf("cut at %d: %q holds %q", n, a.Error, secret)
				}
			}
		}
	}
}

// The error of a dragon that does not answer names neither its host nor its address.
func TestErrorsTellWhereAndWhatKindOnly(t *testing.T) {
	server := dragontest.NewServer(secretive("t1"))
	defer server.Close()
	server.Dragon.Inject(dragontest.Reset, dragontest.On("stats"))
	_, port, _ := net.SplitHostPort(server.Addr)
	for _, a := range take(t, net.JoinHostPort("localhost", port)).Answers {
		want := recording.Answer{Path: "/api/stats", Error: dragon.ErrUnreachable.Error()}
		if a.Path == "/api/stats" && (a.Error != want.Error || a.Status != 0) {
			t.Errorf("recorded as %+v, want %+v", a, want)
		}
		if strings.Contains(a.Error, "localhost") {
			t.Errorf("%q names the host", a.Error)
		}
	}
}
