package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// users lets in operator with the password "correct horse", as bcrypt has it.
const users = "basic_auth_users:\n  operator: $2a$04$7FBSZS3HrB0.R.d1RCdxSeR3kkzMc4ZdJJHH0GXl3Lirhz7MAqd6q\n"

// loggedIn returns r as it is behind a login that was checked.
func loggedIn(r *http.Request, user string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), attemptKey{}, &attempt{user: user, passed: func() {}}))
}

func webFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhoMayChangeSomethingAndUnderWhichName(t *testing.T) {
	const pause = `{"scope":"fleet","reason":"r","owner":"o"}`
	for _, x := range []struct {
		name         string
		withoutLogin bool
		change       func(*http.Request) *http.Request
		code         int
		owner        string
	}{
		{name: "this machine", code: 200, owner: "unverified:o"},
		{name: "this machine, with a login that nothing checks", change: func(r *http.Request) *http.Request {
			r.SetBasicAuth("operator", "x")
			return r
		}, code: 200, owner: "unverified:o"},
		{name: "another machine", change: func(r *http.Request) *http.Request {
			r.RemoteAddr = "198.51.100.7:5000"
			return r
		}, code: 403},
		{name: "another machine, with a login that nothing checks", change: func(r *http.Request) *http.Request {
			r.RemoteAddr = "198.51.100.7:5000"
			r.SetBasicAuth("operator", "x")
			return r
		}, code: 403},
		{name: "another machine, by a proxy on this one", change: func(r *http.Request) *http.Request {
			r.Header.Set("X-Forwarded-For", "198.51.100.7")
			return r
		}, code: 403},
		{name: "this machine, at localhost", change: func(r *http.Request) *http.Request {
			r.Host = "localhost:9977"
			return r
		}, code: 200, owner: "unverified:o"},
		{name: "this machine, by IPv6", change: func(r *http.Request) *http.Request {
			r.RemoteAddr, r.Host = "[::1]:5000", "[::1]:9977"
			return r
		}, code: 200, owner: "unverified:o"},
		{name: "another machine, by a proxy on this one that adds nothing, as HAProxy", change: func(r *http.Request) *http.Request {
			r.Host = "192.0.2.1:9977"
			return r
		}, code: 403},
		{name: "another machine, by a proxy on this one that adds nothing, as nginx", change: func(r *http.Request) *http.Request {
			r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0
			return r
		}, code: 403},
		{name: "another machine, opened to all", withoutLogin: true, change: func(r *http.Request) *http.Request {
			r.RemoteAddr = "198.51.100.7:5000"
			return r
		}, code: 200, owner: "unverified:o"},
		{name: "a foreign name, with a login that nothing checks", withoutLogin: true, change: func(r *http.Request) *http.Request {
			r.Host = "rebound.example.net:9977"
			r.Header.Set("Origin", "http://rebound.example.net:9977")
			r.SetBasicAuth("operator", "x")
			return r
		}, code: 403},
		{name: "another machine, with a checked login", change: func(r *http.Request) *http.Request {
			r.RemoteAddr, r.Host = "198.51.100.7:5000", "miners.example.com"
			return loggedIn(r, "operator")
		}, code: 200, owner: "operator"},
		{name: "another machine, with a checked certificate", change: func(r *http.Request) *http.Request {
			r.RemoteAddr = "198.51.100.7:5000"
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: "ann"}}}}}
			return r
		}, code: 200, owner: "ann"},
		{name: "another machine, with a certificate that nothing checks", change: func(r *http.Request) *http.Request {
			r.RemoteAddr = "198.51.100.7:5000"
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "ann"}}}}
			return r
		}, code: 403},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newClinic(t)
			conf := config(t, "/metrics")
			conf.API = APIConfig{Fleet: c.fleet, Healer: c.healer, Admin: true, WithoutLogin: x.withoutLogin}
			h, err := Handler(conf)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9977/api/v1/healer/pause", strings.NewReader(pause))
			r.RemoteAddr = "127.0.0.1:5000"
			r.Header.Set("Content-Type", "application/json")
			if x.change != nil {
				r = x.change(r)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			p := c.pauses()
			if w.Code != x.code || len(p) > 0 != (x.owner != "") || len(p) > 0 && p[0].Owner != x.owner {
				t.Errorf("%d %s, %+v; want %d and the owner %q", w.Code, w.Body, p, x.code, x.owner)
			}
			if x.owner == "" {
				return
			}
			actor := map[bool]string{true: x.owner, false: "user:" + x.owner}[strings.HasPrefix(x.owner, "unverified:")]
			eventually(t, "the audit has the actor "+actor, func() bool {
				audit, err := os.ReadFile(filepath.Join(c.dir, "audit.jsonl"))
				return err == nil && strings.Contains(string(audit), `"actor":"`+actor+`"`)
			})

		})
	}
}

func TestOnlyKnownNamesAreServed(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	names, err := ParseHosts([]string{"Miners.example.com, .farm.example.net", "prometheus"}, "https://proxy.example.com:8443/dragons/")
	if err != nil {
		t.Fatal(err)
	}
	c := config(t, "/metrics")
	c.Hosts = names
	c.Reload = func(context.Context) ([]string, error) { return nil, nil }
	h, err := Handler(c)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, host string) int {
		r := httptest.NewRequest(method, path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	requests := [][2]string{{"GET", "/metrics"}, {"GET", "/probe"}, {"GET", "/sd"}, {"GET", "/"}, {"GET", "/configuration"}, {"GET", "/api/v1/dragons"}, {"GET", "/static/live.js"}, {"POST", "/-/reload"}}
	for _, host := range []string{
		"127.0.0.1:9977", "10.1.2.3", "[::1]:9977", "::1", "localhost:9977", "a.localhost", "", own, own + ":9977",
		"miners.example.com", "MINERS.example.com.:80", "a.b.farm.example.net", "prometheus:9977", "proxy.example.com",
	} {
		for _, x := range requests {
			if code := ask(x[0], x[1], host); code == http.StatusForbidden {
				t.Errorf("%s %s under %q: %d", x[0], x[1], host, code)
			}
		}
	}
	for _, host := range []string{"rebound.example.org", "rebound.example.org:9977", "x.miners.example.com", "farm.example.net", "10.1.2.3.example.org", "localhost.example.org", "other", "a.test", "a.local", "127.0.0.1.", "[::1].example.org"} {
		for _, x := range requests {
			if code := ask(x[0], x[1], host); code != http.StatusForbidden && host != "127.0.0.1." {
				t.Errorf("%s %s under %q: %d, want 403", x[0], x[1], host, code)
			}
		}
		if code := ask("GET", "/-/healthy", host); code != http.StatusOK {
			t.Errorf("the life sign under %q: %d", host, code)
		}
	}
	for _, bad := range []string{"", "a:80", "http://a", "a/b", "a,,b", "a b"} {
		if names, err := ParseHosts([]string{bad}, ""); err == nil {
			t.Errorf("--web.allowed-hosts=%s is taken: %q", bad, names)
		}
	}
	for _, bad := range []string{"miners.example.com", "ftp://a", "http://", "/dragons"} {
		if names, err := ParseHosts(nil, bad); err == nil {
			t.Errorf("--web.external-url=%s is taken: %q", bad, names)
		}
	}
}

// guarded serves a page as the program does: Logins around exporter-toolkit's check.
func guarded(t *testing.T, l *Logins) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: l.Behind(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := loginOf(r)
		_, _ = io.WriteString(w, map[bool]string{true: "checked " + user, false: "unchecked"}[ok])
	}))}
	server.BaseContext = func(net.Listener) context.Context {
		server.Handler = l.InFront(server.Handler)
		return context.Background()
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		_ = toolkit.Serve(listener, server, &toolkit.FlagConfig{WebConfigFile: &l.file}, slog.New(slog.DiscardHandler))
	})
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return "http://" + listener.Addr().String()
}

func login(t *testing.T, url, user, password string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), resp.Header
}

func TestALoginCountsOnlyWhereItWasChecked(t *testing.T) {
	for text, want := range map[string]string{users: "checked operator", "": "unchecked", "http_server_config: {http2: false}\n": "unchecked"} {
		file := ""
		if text != "" {
			file = webFile(t, text)
		}
		if code, body, _ := login(t, guarded(t, NewLogins(file)), "operator", "correct horse"); code != 200 || body != want {
			t.Errorf("with %q: %d %s, want %s", text, code, body, want)
		}
	}
}

func TestWrongLoginsWait(t *testing.T) {
	l := NewLogins(webFile(t, users))
	url := guarded(t, l)
	for i := range freeLogins {
		if code, _, _ := login(t, url, "operator", "wrong"); code != http.StatusUnauthorized {
			t.Errorf("wrong login %d: %d", i, code)
		}
	}
	l.mu.Lock()
	l.wrong[addressKey("127.0.0.1:1")].until = time.Now().Add(time.Hour) // however slow this machine is
	l.mu.Unlock()
	for range 3 {
		if code, body, header := login(t, url, "operator", "battery staple"); code != http.StatusTooManyRequests || header.Get("Retry-After") == "" {
			t.Errorf("%d %s %v, want 429", code, body, header)
		}
	}
	if code, _, _ := login(t, url, "", ""); code != http.StatusUnauthorized {
		t.Errorf("without a login: %d, want 401: a browser then asks", code)
	}
	if n := len(l.checks); n != 0 {
		t.Errorf("%d places are not given back", n)
	}
}

func TestARightLoginNeedsNoPlaceAgain(t *testing.T) {
	l := NewLogins(webFile(t, users))
	url := guarded(t, l)
	if code, body, _ := login(t, url, "operator", "correct horse"); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	for range freeLogins + 1 { // now the address has to wait
		login(t, url, "operator", "wrong")
	}
	for range loginChecks { // and the places are taken
		l.checks <- struct{}{}
	}
	if code, body, _ := login(t, url, "operator", "correct horse"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
}

// stub stands for exporter-toolkit: a check that takes its time, and knows one password.
func stub(l *Logins, checking func()) http.Handler {
	behind := l.Behind(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return l.InFront(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checking()
		if _, password, _ := r.BasicAuth(); password == "right" {
			behind.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
	}))
}

func try(h http.Handler, remote, password string) int {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = remote
	r.SetBasicAuth("operator", password)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestAtMostTwoLoginsAreCheckedAtOnce(t *testing.T) {
	l := NewLogins(webFile(t, users))
	synctest.Test(t, func(t *testing.T) {
		l.checks = make(chan struct{}, loginChecks) // of this bubble
		var mu sync.Mutex
		now, most, refused := 0, 0, 0
		h := stub(l, func() {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-time.After(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
		})
		var trying sync.WaitGroup
		for i := range 40 {
			trying.Go(func() {
				if try(h, net.JoinHostPort(net.IPv4(198, 51, 100, byte(i)).String(), "1"), "wrong") == http.StatusServiceUnavailable {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		trying.Wait()
		if most != loginChecks || refused < 25 || refused > 32 {
			t.Errorf("%d at once, %d refused", most, refused)
		}
	})
}

func TestTheDelayGrowsEndsAndIsTheAddresssOwn(t *testing.T) {
	l := NewLogins(webFile(t, users))
	synctest.Test(t, func(t *testing.T) {
		l.checks = make(chan struct{}, loginChecks)
		h := stub(l, func() {})
		const one, other = "[2001:db8::1]:1", "[2001:db8:0:1::1]:1"
		expect := func(remote, password string, want int) {
			t.Helper()
			if code := try(h, remote, password); code != want {
				t.Errorf("%s with %s: %d, want %d", remote, password, code, want)
			}
		}
		for range freeLogins {
			expect(one, "wrong", 401)
		}
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			delay := time.Duration(seconds) * time.Second
			expect("[2001:db8::2]:9", "wrong", 429) // of the same network
			<-time.After(delay - time.Nanosecond)
			expect(one, "right", 429)
			<-time.After(time.Nanosecond)
			expect(one, "wrong", 401)
		}
		expect(other, "wrong", 401)
		<-time.After(time.Minute + loginMemory + time.Second)
		for range freeLogins {
			expect(one, "wrong", 401)
		}
		<-time.After(time.Second)
		expect(one, "right", 200)
		expect(one, "wrong", 401) // and all is as in the beginning
		expect(one, "wrong", 401)
	})
}

func TestWhatIsRememberedOfLoginsIsBounded(t *testing.T) {
	l := NewLogins("")
	for i := range 3 * mostLogins {
		address := addressKey(net.JoinHostPort(net.IPv4(10, 0, byte(i>>8), byte(i)).String(), "1"))
		l.failed(l.digest("operator", "x"), address)
		l.passed(l.digest("operator", string(rune(i))), addressKey("127.0.0.1:1"))
	}
	if len(l.wrong) > mostLogins || len(l.right) > mostLogins {
		t.Errorf("%d addresses, %d logins", len(l.wrong), len(l.right))
	}
}
