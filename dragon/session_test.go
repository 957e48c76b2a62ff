package dragon

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func wantKind(t *testing.T, err, kind error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	for _, k := range []error{ErrRefused, ErrUnreachable, ErrTimeout, ErrUnauthorized, ErrNotDragon, ErrBadResponse, ErrNotReady, ErrRejected, ErrUnknownOutcome} {
		if errors.Is(err, k) != (k == kind) {
			t.Fatalf("errors.Is(%q, %q) is %v", err, k, k != kind)
		}
	}
	return e
}

func TestOneLoginServesManyCalls(t *testing.T) {
	d := newDevice(nil)
	c := d.client(t, Options{})
	for range 3 {
		if _, err := c.Overview(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{refused, "/api/auth", "/api/overview", "/api/overview", "/api/overview"}, d.asks()); diff != "" {
		t.Error(diff)
	}
	if len(d.conns) != 1 {
		t.Errorf("%d connections, want 1", len(d.conns))
	}
	if got := d.last("/api/overview").authorization; got != "Bearer h.eyJpc3MiOiJEcmFnb25NaW50In0.s" {
		t.Errorf("Authorization %q", got)
	}
	if c.Logins() != 1 {
		t.Errorf("%d logins", c.Logins())
	}
}

func TestCredentialsAreTriedInOrderAndTheGoodOneFirstNextTime(t *testing.T) {
	var tried []string
	d := newDevice(map[string]any{"/api/overview": []string{overviewT1, expired, overviewT1}})
	d.answers["/api/auth"] = func(w http.ResponseWriter, _ *http.Request) {
		password := d.asked[len(d.asked)-1].form.Get("password")
		tried = append(tried, password)
		if password == "admin" {
			w.Write([]byte(loginOK))
			return
		}
		w.Write([]byte(loginWrong))
	}
	c := d.client(t, Options{})
	for range 2 {
		if _, err := c.Overview(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"dragonadmin", "admin", "admin"}, tried); diff != "" {
		t.Error(diff)
	}
	for _, r := range d.asked {
		if r.path == "/api/auth" && r.authorization != "" {
			t.Error("a login carries a token")
		}
	}
}

func TestExpiredTokenIsRenewedExactlyOnce(t *testing.T) {
	d := newDevice(map[string]any{"/api/overview": []string{overviewT1, expired, overviewT1}})
	c := d.client(t, Options{})
	for range 2 {
		if _, err := c.Overview(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d.count("/api/auth") != 2 || d.count("/api/overview") != 3 || c.Logins() != 2 {
		t.Errorf("asked %v", d.asks())
	}
}

func TestTokensThatExpireAtOnceMakeNoStorm(t *testing.T) {
	for name, answers := range map[string]any{
		"always":                     map[string]any{"/api/overview": expired, "/api/summary": expired},
		"but for the first question": map[string]any{"/api/overview": overviewT1, "/api/summary": expired},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDevice(answers.(map[string]any))
				c := New("dragon", Options{Transport: inMemory(t, d)})
				start := time.Now()
				var logins []int // in each minute
				for minute := range 46 {
					before := d.count("/api/auth")
					for range 6 { // what asks a dragon that is down asks every eight seconds
						_, _ = c.Overview(t.Context())
						_, err := c.Summary(t.Context())
						wantKind(t, err, ErrUnauthorized)
						time.Sleep(8 * time.Second)
					}
					logins = append(logins, d.count("/api/auth")-before)
					time.Sleep(time.Until(start.Add(time.Duration(minute+1)*time.Minute + time.Second)))
				}
				want := make([]int, 46)
				want[0], want[1], want[6], want[21], want[36] = 2, 1, 1, 1, 1
				if diff := cmp.Diff(want, logins); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestTokenThatLastedIsRenewedWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(map[string]any{"/api/overview": []string{overviewT1, overviewT1, expired, overviewT1, overviewT1, expired, overviewT1, overviewT1, expired, overviewT1}})
		c := New("dragon", Options{Transport: inMemory(t, d)})
		for range 7 {
			if _, err := c.Overview(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(c.shortLife())
		}
		if c.Logins() != 4 {
			t.Errorf("%d logins, want 4", c.Logins())
		}
	})
}

func TestARefusedLoginIsNotRetriedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(map[string]any{"/api/auth": loginWrong})
		c := New("dragon", Options{Transport: inMemory(t, d)})
		for range 10 {
			_, err := c.Summary(t.Context())
			wantKind(t, err, ErrUnauthorized)
			if Reason(err) != "auth" {
				t.Errorf("reason %q", Reason(err))
			}
		}
		if n := len(d.asks()); n != 3 || d.count("/api/auth") != 2 {
			t.Errorf("asked %v, want one login for each credential", d.asks())
		}
		time.Sleep(15*time.Minute + time.Second)
		d.mu.Lock()
		d.answers["/api/auth"] = loginOK
		d.mu.Unlock()
		if _, err := c.Summary(t.Context()); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

func TestLoginThatCouldNotBeAskedIsNotRemembered(t *testing.T) {
	d := newDevice(map[string]any{"/api/auth": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }})
	c := d.client(t, Options{})
	_, err := c.Summary(t.Context())
	wantKind(t, err, ErrBadResponse)
	d.mu.Lock()
	d.answers["/api/auth"] = loginOK
	d.mu.Unlock()
	if _, err := c.Summary(t.Context()); err != nil {
		t.Error(err)
	}
	if d.count("/api/auth") != 2 {
		t.Errorf("asked %v: the second credential must not follow an unreadable answer", d.asks())
	}
}

func TestOnlyDragonsGetCredentials(t *testing.T) {
	text := func(code int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	}
	for name, answer := range map[string]any{
		"a page for all":     titled,
		"an open API":        overviewT1,
		"a switch":           text(401, "401 Unauthorized\r\n"),
		"nothing of the API": text(404, ""),
		"a redirect":         func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/home", 302) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(map[string]any{refused: answer, "/home": titled})
			c := d.client(t, Options{})
			for range 3 {
				_, err := c.Summary(t.Context())
				wantKind(t, err, ErrNotDragon)
				if Reason(err) != "response" {
					t.Errorf("reason %q", Reason(err))
				}
			}
			if d.count(refused) != len(d.asks()) {
				t.Errorf("asked %v", d.asks())
			}
		})
	}
}

func TestAPageInsteadOfALoginIsNotRetriedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(map[string]any{"/api/auth": titled})
		c := New("dragon", Options{Transport: inMemory(t, d)})
		for range 50 {
			_, err := c.Summary(t.Context())
			wantKind(t, err, ErrNotDragon)
			time.Sleep(10 * time.Second)
		}
		if n := d.count("/api/auth"); n != 1 {
			t.Errorf("%d credentials sent in eight minutes, want one", n)
		}
		time.Sleep(10 * time.Minute)
		d.mu.Lock()
		d.answers["/api/auth"] = loginOK
		d.mu.Unlock()
		if _, err := c.Summary(t.Context()); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

func TestATokenIsNotSentToAnotherDragonAtTheAddress(t *testing.T) {
	d := newDevice(map[string]any{"/api/summary": []string{summaryT1, titled, summaryT1}})
	c := d.client(t, Options{})
	if _, err := c.Summary(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Summary(t.Context())
	wantKind(t, err, ErrBadResponse)
	d.mu.Lock()
	d.answers[refused] = titled
	d.mu.Unlock()
	before := len(d.asks())
	for range 3 {
		_, err = c.Summary(t.Context())
		wantKind(t, err, ErrNotDragon)
	}
	if asks := d.asks()[before:]; d.count(refused) != 1+len(asks) {
		t.Errorf("asked %v", asks)
	}
	d.mu.Lock()
	d.answers[refused] = invalid
	d.mu.Unlock()
	for range 2 { // it was the dragon all the time
		if _, err := c.Summary(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := d.count(refused); c.Logins() != 1 || n != 5 {
		t.Errorf("%d logins, and the API was put to the proof %d times", c.Logins(), n)
	}
}

func TestInvalidRequestIsNoReasonToLogInAgain(t *testing.T) {
	d := newDevice(map[string]any{"/api/getAll": invalid})
	c := d.client(t, Options{})
	for range 3 {
		_, err := c.All(t.Context())
		wantKind(t, err, ErrUnauthorized)
		if !errors.Is(err, ErrNotOffered) {
			t.Errorf("%v does not say that the endpoint is not offered", err)
		}
	}
	if _, err := c.Overview(t.Context()); err != nil {
		t.Errorf("another endpoint: %v", err)
	}
	if d.count("/api/auth") != 1 {
		t.Errorf("%d logins", d.count("/api/auth"))
	}
}

func TestLoginAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		kind   error
	}{
		"no jwt":              {ok, ErrBadResponse},
		"empty jwt":           {`{"success":true,"jwt":""}`, ErrBadResponse},
		"jwt with newline":    {`{"success":true,"jwt":"a\nX: y"}`, ErrBadResponse},
		"jwt as object":       {`{"success":true,"jwt":{}}`, ErrBadResponse},
		"html":                {titled, ErrNotDragon},
		"text":                {"It works!\n", ErrNotDragon},
		"garbled":             {"\x00\xff\x13\x02", ErrBadResponse},
		"nothing":             {"", ErrBadResponse},
		"user not found":      {`{"success":false,"message":"user not found"}`, ErrUnauthorized},
		"msg for message":     {`{"success":false,"msg":"wrong"}`, ErrUnauthorized},
		"expired":             {expired, ErrUnauthorized},
		"false as text":       {`{"success":"false"}`, ErrUnauthorized},
		"success as text":     {`{"success":"true","jwt":"a.b.c"}`, nil},
		"token with no parts": {`{"success":true,"jwt":"abc"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newDevice(map[string]any{"/api/auth": c.answer}).client(t, Options{})
			_, err := cl.Overview(t.Context())
			if c.kind == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantKind(t, err, c.kind)
		})
	}
}

func TestCallsWaitForEachOtherAndForTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newDevice(nil)
		d.answers["/api/overview"] = func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
				w.Write([]byte(overviewT1))
			case <-r.Context().Done():
			}
		}
		c := New("dragon", Options{Transport: inMemory(t, d)})
		first := make(chan error, 1)
		go func() {
			_, err := c.Overview(t.Context())
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() {
			_, err := c.Summary(ctx)
			second <- err
		}()
		synctest.Wait()
		if d.count("/api/summary") != 0 {
			t.Error("two requests at once")
		}
		cancel()
		err := <-second
		if !errors.Is(err, context.Canceled) || Reason(err) != "canceled" {
			t.Errorf("cancelled wait: %v", err)
		}
		close(release)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestOutcomesAreObservedPerRequest(t *testing.T) {
	var calls []string
	d := newDevice(map[string]any{"/api/overview": []string{overviewT1, expired, "<html>"}})
	c := d.client(t, Options{Observe: func(c Call) { calls = append(calls, c.Endpoint+" "+c.Outcome) }})
	c.Overview(t.Context())
	c.Overview(t.Context())
	if diff := cmp.Diff([]string{"overview ok", "auth ok", "overview ok", "overview auth", "auth ok", "overview response"}, calls); diff != "" {
		t.Error(diff)
	}
}

func TestIssuerOfToken(t *testing.T) {
	for token, want := range map[Secret]string{
		"h.eyJpc3MiOiJBbnRNaW5lciJ9.s": "AntMiner",
		"h.eyJpc3MiOjV9.s":             "5",
		"h.!!!.s":                      "",
		"":                             "",
		"a.b":                          "",
	} {
		if got := issuer(token); got != want {
			t.Errorf("%s: %q, want %q", string(token), got, want)
		}
	}
}

func TestNoSecretIsShown(t *testing.T) {
	const password, jwt = "hunter2-öß", "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJEcmFnb25NaW50In0.sig_nature"
	creds := []Credential{{"admin", password}}
	echo := `{"success":false,"message":"no ` + password + ` and ` + jwt + `"}`
	for name, answers := range map[string]map[string]any{
		"login refused":    {"/api/auth": echo},
		"login unreadable": {"/api/auth": password + jwt},
		"rejected":         {"/api/pools": echo},
		"html":             {"/api/pools": "<html>" + jwt + password},
		"cut pools":        {"/api/pools": `{"success":true,"pools":[{"url":"u","user":"v","pass":"p00lsecret`},
		"not a list":       {"/api/pools": `{"success":true,"pools":"pass: p00lsecret"}`},
		"header quoted": {"/api/pools": func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Write([]byte("HTTP/1.1 200 OK\r\n" + r.Header.Get("Authorization") + "\r\n\r\n"))
			conn.Close()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			all := map[string]any{"/api/auth": `{"success":true,"jwt":"` + jwt + `"}`}
			maps.Copy(all, answers)
			c := newDevice(all).client(t, Options{Credentials: creds})
			_, err := c.Pools(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			for _, secret := range []string{password, jwt, "sig_nature", "p00lsecret"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows %q", err, secret)
				}
			}
		})
	}
}

func TestOtherCredentialsAreTriedAtOnce(t *testing.T) {
	d := newDevice(nil)
	d.answers["/api/auth"] = func(w http.ResponseWriter, _ *http.Request) {
		if d.asked[len(d.asked)-1].form.Get("password") == "new" {
			w.Write([]byte(loginOK))
			return
		}
		w.Write([]byte(`{"success":false}`))
	}
	known := []Credential{{"admin", "old"}}
	c := d.client(t, Options{CredentialsFor: func(host string) []Credential {
		if host == "" {
			t.Error("it is not said whose credentials are wanted")
		}
		return known
	}})
	for range 2 { // the second one is not sent
		if _, err := c.Overview(t.Context()); err == nil {
			t.Fatal("the old password was accepted")
		}
	}
	known = []Credential{{"admin", "old"}, {"admin", "new"}}
	if _, err := c.Overview(t.Context()); err != nil {
		t.Fatal(err)
	}
	var logins int
	for _, path := range d.asks() {
		if path == "/api/auth" {
			logins++
		}
	}
	if logins != 3 {
		t.Errorf("%d logins, want one in vain, and two once there was another password", logins)
	}
}

func TestAReadTimeoutMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(nil)
		d.answers["/api/overview"] = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		timeout := time.Second
		c := New("dragon", Options{Transport: inMemory(t, d), ReadTimeout: func() time.Duration { return timeout }})
		for _, timeout = range []time.Duration{time.Second, 7 * time.Second} {
			start := time.Now()
			if _, err := c.Overview(t.Context()); !errors.Is(err, ErrTimeout) || time.Since(start) != timeout {
				t.Errorf("%v after %v, want a timeout after %v", err, time.Since(start), timeout)
			}
		}
	})
}

func TestNoOtherPasswordIsTriedOnADragonThatIsLockedOut(t *testing.T) {
	for _, x := range []struct {
		answer string
		want   error
		tries  int
	}{
		{`{"success":false,"message":"user locked, try again in 30 minutes"}`, ErrLockedOut, 1},
		{`{"success":false,"msg":"Too many failed logins"}`, ErrLockedOut, 1},
		{`{"success":true,"needChange":true,"message":"please change the password"}`, ErrPasswordChange, 1},
		{`{"success":false,"message":"invalid password"}`, nil, 2},
		{`{"success":true,"needChange":false}`, nil, 1},
	} {
		d := newDevice(map[string]any{"/api/auth": x.answer})
		c := d.client(t, Options{})
		_, err := c.Overview(t.Context())
		if x.want != nil {
			if _, again := c.Overview(t.Context()); !errors.Is(again, x.want) {
				t.Errorf("%s: asked again it says %v", x.answer, again)
			}
		}
		tries := 0
		for _, asked := range d.asks() {
			if asked == "/api/auth" {
				tries++
			}
		}
		if tries != x.tries || errors.Is(err, ErrLockedOut) != (x.want == ErrLockedOut) || errors.Is(err, ErrPasswordChange) != (x.want == ErrPasswordChange) {
			t.Errorf("%s: %d logins, %v", x.answer, tries, err)
		}
		if x.want != nil && Reason(err) != "auth" {
			t.Errorf("%s: reason %s", x.answer, Reason(err))
		}
	}
}
