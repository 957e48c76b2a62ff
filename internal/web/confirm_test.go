package web

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// send posts a form as a browser does.
func (c *clinic) send(admin bool, values url.Values, change func(*http.Request)) (int, string) {
	c.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9977/confirm", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://127.0.0.1:9977")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	c.surface(admin).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestWhatIsConfirmedIsDone(t *testing.T) {
	c := newClinic(t)
	state := func() healer.State {
		d, err := c.healer.Why(c.worker)
		if err != nil {
			t.Fatal(err)
		}
		return d.State
	}
	form := regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)
	// do follows a link to its form, fills it in, and sends it.
	do := func(query string, filled url.Values) {
		t.Helper()
		page := c.look(true, "/confirm?"+query)
		for _, m := range form.FindAllStringSubmatch(page, -1) {
			filled.Set(m[1], html.UnescapeString(m[2]))
		}
		if code, body := c.send(true, filled, nil); code != 200 || !strings.Contains(body, "Done") {
			t.Fatalf("%s: %d %s", query, code, body)
		}
	}
	do("do=pause&scope=fleet", url.Values{"owner": {"o"}, "reason": {"r"}, "for": {"12h"}})
	if p := c.pauses(); len(p) != 1 || p[0].Owner != "unverified:o" || p[0].Reason != "r" || p[0].Until.Since(p[0].At).Hours() != 12 {
		t.Fatalf("%+v", p)
	}
	do("do=maintenance&scope=mac&value="+c.worker, url.Values{"owner": {"o"}, "reason": {"r"}, "for": {""}})
	if p := c.pauses(); len(p) != 2 || !p[1].UntilResume || state() != healer.StateMaintenance {
		t.Fatalf("%+v, state %s", p, state())
	}
	do("do=resume&id=p1", url.Values{"owner": {"o"}})
	do("do=resume&id=p2", url.Values{"owner": {"o"}})
	if p := c.pauses(); len(p) != 0 {
		t.Errorf("%+v", p)
	}
	do("do=quarantine&dragon="+c.worker, url.Values{"owner": {"o"}, "reason": {"r"}})
	if state() != healer.StateQuarantined {
		t.Errorf("state %s", state())
	}
	do("do=release&dragon="+c.worker, url.Values{"owner": {"o"}})
	if state() == healer.StateQuarantined {
		t.Error("it is still in quarantine")
	}
	do("do=restart&dragon="+c.worker, url.Values{"owner": {"o"}, "reason": {"r"}, "force": {"yes"}})
	if n := c.simulated.Dragon(0).Truth().MinerStarts; n != 2 {
		t.Errorf("its miner process started %d times, want 2", n)
	}
	other := dragon.WorkerName(c.simulated.Dragon(1).Spec().MAC)
	code, body := c.send(true, url.Values{"do": {"reboot"}, "dragon": {other}, "reason": {"r"}, "owner": {"o"}}, nil)
	if code != http.StatusConflict || !strings.Contains(body, "Not done") || !strings.Contains(body, string(healer.GateNew)) || c.simulated.Dragon(1).Truth().Boots != 1 {
		t.Errorf("without force: %d %s", code, body)
	}
	eventually(t, "the audit has all eight", func() bool { // which is written beside
		audit, err := os.ReadFile(filepath.Join(c.dir, "audit.jsonl"))
		return err == nil && strings.Count(string(audit), `"actor":"unverified:o"`) >= 8
	})
	if page := c.look(false, "/dragon?worker="+c.worker); !strings.Contains(page, "miner process restart") || !strings.Contains(page, "in progress") {
		t.Error("its page does not show what was done to it")
	}
}

func TestAFormFromElsewhereIsRefused(t *testing.T) {
	c := newClinic(t)
	good := url.Values{"do": {"pause"}, "scope": {"fleet"}, "reason": {"r"}, "owner": {"o"}, "for": {"1h"}}
	without := func(name string) url.Values {
		v := url.Values{}
		for k, x := range good {
			if k != name {
				v[k] = x
			}
		}
		return v
	}
	with := func(header ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
				if header[i+1] == "" {
					r.Header.Del(header[i])
				}
			}
		}
	}
	for _, x := range []struct {
		name   string
		values url.Values
		change func(*http.Request)
		code   int
		says   string
	}{
		{"another site", good, with("Sec-Fetch-Site", "cross-site", "Origin", "http://elsewhere.example.net"), 403, "cross-origin"},
		{"a neighbour", good, with("Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:80"), 403, "cross-origin"},
		{"another site, an older browser", good, with("Sec-Fetch-Site", "", "Origin", "http://elsewhere.example.net"), 403, "cross-origin"},
		{"a file, or a sandbox", good, with("Sec-Fetch-Site", "", "Origin", "null"), 403, "cross-origin"},
		{"a name that was pointed at us", good, func(r *http.Request) {
			r.Host = "rebound.example.net:9977"
			r.Header.Set("Origin", "http://rebound.example.net:9977")
		}, 403, "--web.allowed-hosts=rebound.example.net"},
		{"no name", without("owner"), nil, 400, "owner is missing"},
		{"no reason", without("reason"), nil, 400, "reason"},
		{"nothing to do", without("do"), nil, 400, "unknown change"},
		{"no scope", without("scope"), nil, 400, "expected fleet"},
		{"a torn line", url.Values{"do": {"pause"}, "scope": {"fleet"}, "owner": {"o"}, "reason": {"a\nb"}}, nil, 400, "printable characters"},
		{"JSON", good, with("Content-Type", "text/plain"), 400, "unknown change"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if code, body := c.send(true, x.values, x.change); code != x.code || !strings.Contains(html.UnescapeString(body), x.says) {
				t.Errorf("%d %s\nwant %d and %q", code, body, x.code, x.says)
			}
		})
	}
	if code, body := c.send(false, good, nil); code != 403 || !strings.Contains(body, "--web.enable-admin-api") {
		t.Errorf("without the admin API: %d %s", code, body)
	}
	w := httptest.NewRecorder()
	c.surface(true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/confirm?"+good.Encode(), nil))
	if w.Code != 200 || len(c.pauses()) != 0 {
		t.Errorf("asking did it: %d, %+v", w.Code, c.pauses())
	}
	for _, origin := range []string{"http://rebound.example.net:9977", "http://elsewhere.example.net"} {
		r := httptest.NewRequest("POST", "http://rebound.example.net:9977/api/v1/healer/pause", strings.NewReader(`{"scope":"fleet","reason":"r","owner":"o"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		c.surface(true).ServeHTTP(w, r)
		if w.Code != 403 {
			t.Errorf("the API on a page from %s: %d %s", origin, w.Code, w.Body)
		}
	}
	if p := c.pauses(); len(p) != 0 {
		t.Errorf("something is paused: %+v", p)
	}
	// A checked login is believed, whatever the form and the host say.
	code, body := c.send(true, good, func(r *http.Request) {
		r.Host = "dragons.example.com"
		r.Header.Set("Origin", "http://dragons.example.com")
		*r = *loggedIn(r, "operator")
	})
	if p := c.pauses(); code != 200 || len(p) != 1 || p[0].Owner != "operator" {
		t.Errorf("%d %s, %+v", code, body, p)
	}
}

func TestForceIsAdvisedWhereItHelps(t *testing.T) {
	for closed, want := range map[healer.Gate]string{healer.GateNew: "or use force", healer.GateStop: "force does not open stop"} {
		_, answer := refusal(&agent.BlockedError{Decision: healer.Decision{Blocked: healer.GateNew, Gates: []healer.GateState{{Name: healer.GateNew}, {Name: closed}}}})
		if !strings.Contains(answer.Try, want) {
			t.Errorf("%s: %q", closed, answer.Try)
		}
	}
}
