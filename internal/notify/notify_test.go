package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a web server in a bubble: its connections are pipes.
type receiver struct {
	*Notifier
	bodies   []string
	headers  []http.Header
	answer   func(attempt int, w http.ResponseWriter)
	attempts []time.Time
}

// inBubble runs a test with a Notifier whose Run runs, and the receiver of its messages.
func inBubble(t *testing.T, hook Webhook, answer func(attempt int, w http.ResponseWriter), test func(t *testing.T, r *receiver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: answer}
		hook.Name, hook.URL, hook.ContentType = "ops", "http://receiver.test/hook?token=abc", "application/json"
		if hook.Timeout == 0 {
			hook.Timeout = 10 * time.Second
		}
		if hook.Kinds == nil {
			hook.Kinds = DefaultKinds()
		}
		n, err := New(Config{Webhooks: []Webhook{hook}, Instance: "host-a", Logger: log.NewNopLogger(), Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		n.client.Transport = r
		r.Notifier = n
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- n.Run(ctx) }()
		test(t, r)
		cancel()
		<-ended
	})
}

func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.attempts = append(r.attempts, time.Now())
	r.bodies, r.headers = append(r.bodies, string(body)), append(r.headers, request.Header)
	w := httptest.NewRecorder()
	if r.answer != nil {
		r.answer(len(r.attempts), w)
	}
	if w.Code == -1 {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	return w.Result(), nil
}

func (r *receiver) count(result string) float64 {
	return testutil.ToFloat64(r.total.WithLabelValues("ops", result))
}

// sleep returns when nothing is left to do until d is over.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func event(kind Kind) Event {
	return Event{Kind: kind, Worker: "dragon-4500e3ab", Text: string(kind), Actor: "healer"}
}

func TestEventsOfAFewSecondsAreOneMessage(t *testing.T) {
	inBubble(t, Webhook{Secret: "0123456789abcdef"}, nil, func(t *testing.T, r *receiver) {
		r.Add(event(Healed))
		r.Add(event(Acted)) // not wanted
		sleep(time.Second)
		r.Add(event(Lost))
		sleep(time.Minute)
		r.Add(event(Locked))
		sleep(time.Minute)
		if len(r.bodies) != 2 || r.count(resultSent) != 3 {
			t.Fatalf("%d messages, %v events sent: %q", len(r.bodies), r.count(resultSent), r.bodies)
		}
		var m Message
		if err := json.Unmarshal([]byte(r.bodies[0]), &m); err != nil || len(m.Events) != 2 || m.Events[1].Kind != Lost || m.Instance != "host-a" || m.Version != 1 {
			t.Errorf("%v: %+v", err, m)
		}
		// What a receiver does: an independent computation is in TestTheSignature.
		h := r.headers[0]
		if at, _ := strconv.ParseInt(h.Get(HeaderTimestamp), 10, 64); h.Get(HeaderID) != m.ID || at != r.attempts[0].Unix() || !strings.HasPrefix(h.Get(HeaderSignature), "v1,") {
			t.Errorf("%v", h)
		}
	})
}

// The vector is of the Standard Webhooks form, computed with openssl:
//
//	printf 'msg_1.1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef -binary | base64
func TestTheSignature(t *testing.T) {
	for _, secret := range []string{"0123456789abcdef", encodedSecret + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))} {
		h := http.Header{}
		sign(h, secret, "msg_1", time.Unix(1700000000, 0), []byte(`{"a":1}`))
		if got := h.Get(HeaderSignature); got != "v1,41C4mdfM4X7k7EqLRBhc2OjUAQFwQVsqMUoL0CbTfxc=" {
			t.Errorf("%s: %s", secret, got)
		}
	}
	h := http.Header{}
	if sign(h, "", "msg_1", time.Unix(1700000000, 0), nil); h.Get(HeaderSignature) != "" {
		t.Error("signed without a secret")
	}
	for secret, ok := range map[string]bool{"0123456789abcdef": true, "short": false, "whsec_%%%": false, "whsec_YWJj": false} {
		if err := CheckSecret(secret); (err == nil) != ok || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

func TestFailedAttemptsAreRepeated(t *testing.T) {
	status := func(codes ...int) func(int, http.ResponseWriter) {
		return func(attempt int, w http.ResponseWriter) {
			code := codes[min(attempt, len(codes))-1]
			if code == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "120")
			}
			if code == -1 {
				w.(*httptest.ResponseRecorder).Code = -1
				return
			}
			w.WriteHeader(code)
		}
	}
	for name, c := range map[string]struct {
		codes                 []int
		attempts              int
		sent, failed, retried float64
		last                  time.Duration // from the first attempt to the last one
	}{
		"at once":                {codes: []int{204}, attempts: 1, sent: 1},
		"a server that is ill":   {codes: []int{500, 502, -1, 200}, attempts: 4, sent: 1, retried: 3, last: 7 * time.Second},
		"a server that is busy":  {codes: []int{429, 200}, attempts: 2, sent: 1, retried: 1, last: 2 * time.Minute},
		"a message that is bad":  {codes: []int{400}, attempts: 1, failed: 1},
		"an address that is bad": {codes: []int{404}, attempts: 1, failed: 1},
		"a redirect":             {codes: []int{307}, attempts: 1, failed: 1},
		"given up":               {codes: []int{500}, attempts: 36, failed: 1, retried: 35, last: 30*time.Minute + 3*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Webhook{}, status(c.codes...), func(t *testing.T, r *receiver) {
				r.Add(event(Healed))
				sleep(2 * time.Hour)
				if len(r.attempts) != c.attempts || r.count(resultSent) != c.sent || r.count(resultFailed) != c.failed || r.count(resultRetried) != c.retried {
					t.Errorf("%d attempts, sent %v, failed %v, retried %v", len(r.attempts), r.count(resultSent), r.count(resultFailed), r.count(resultRetried))
				}
				if d := r.attempts[len(r.attempts)-1].Sub(r.attempts[0]); d != c.last {
					t.Errorf("the last attempt after %v, want %v", d, c.last)
				}
				for _, h := range r.headers {
					if h.Get(HeaderID) != r.headers[0].Get(HeaderID) {
						t.Error("another ID for the same message")
					}
				}
			})
		})
	}
}

// A receiver that hangs delays no other, and dropped events are counted and reported.
func TestTheQueueIsBounded(t *testing.T) {
	var well atomic.Bool
	inBubble(t, Webhook{}, func(_ int, w http.ResponseWriter) {
		if !well.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, func(t *testing.T, r *receiver) {
		r.Add(event(Healed))
		sleep(time.Minute)
		began := time.Now()
		for range queued + 7 {
			r.Add(event(Healed))
		}
		if time.Since(began) != 0 || r.count(resultDropped) != 7 {
			t.Errorf("%v, %v dropped", time.Since(began), r.count(resultDropped))
		}
		well.Store(true)
		sleep(time.Hour)
		var told uint64
		for _, body := range r.bodies {
			var m Message
			if err := json.Unmarshal([]byte(body), &m); err != nil || len(m.Events) > most {
				t.Fatalf("%v: %d events", err, len(m.Events))
			}
			told += m.Dropped
		}
		if told != 7 || r.count(resultSent) != queued+1 {
			t.Errorf("%d told, %v sent", told, r.count(resultSent))
		}
	})
}

// What waits for a webhook that stays survives a reload.
func TestAReloadKeepsWhatWaits(t *testing.T) {
	inBubble(t, Webhook{}, func(_ int, w http.ResponseWriter) { w.WriteHeader(500) }, func(t *testing.T, r *receiver) {
		r.Add(event(Healed))
		r.Add(event(Lost))
		other := r.config.Webhooks[0]
		other.Name = "other"
		next := r.With([]Webhook{r.config.Webhooks[0], other})
		if next.SendsTo(r.config.Webhooks) || !next.SendsTo([]Webhook{r.config.Webhooks[0], other}) {
			t.Error("it does not know its webhooks")
		}
		if next.hooks[0] != r.hooks[0] || next.hooks[1].events == r.hooks[0].events {
			t.Error("not the same queue")
		}
		if gone := next.With([]Webhook{other}); testutil.CollectAndCount(gone.total) != 4 {
			t.Errorf("%d series", testutil.CollectAndCount(gone.total))
		}
	})
}

// A redirect of a real server is not followed, and neither the URL nor its token is in an error.
func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reached++; r.URL.Path == "/hook" {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	n, err := New(Config{Logger: log.NewNopLogger()})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{server.URL + "/hook?token=abc", "http://127.0.0.1:1/hook?token=abc", "http://127.0.0.1:1/%zz?token=abc"} {
		h := &hook{Webhook: Webhook{URL: address, Timeout: time.Second}, message: &Message{ID: "1"}}
		if _, err := n.post(t.Context(), h, nil); err == nil || strings.Contains(err.Error(), "token") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if reached != 1 {
		t.Errorf("%d requests, want 1", reached)
	}
}

func TestTemplates(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		wrong string // in the error
		json  bool
	}{
		"chat":                   {text: `{"text": {{ json (index .Events 0).Text }}}`, json: true},
		"all of them":            {text: `{"text": {{ json (lines .) }}}`, json: true},
		"lines":                  {text: "{{ range .Events }}{{ .Kind | upper }} {{ .Worker }}\n{{ end }}"},
		"a text that breaks out": {text: `{"text": "{{ (index .Events 0).Note }}"}`},
		"does not parse":         {text: "{{ range }}", wrong: "range"},
		"no such field":          {text: "{{ .Nothing }}", wrong: "Nothing"},
		"no such function":       {text: "{{ env }}", wrong: "env"},
		"nothing":                {text: " {{ if false }}x{{ end }}\n", wrong: "writes nothing"},
		"without an end":         {text: `{{ define "a" }}{{ range .Events }}{{ . }}{{ end }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, wrong: "larger than"},
	} {
		tmpl, err := ParseTemplate(c.text)
		if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (tmpl.MakesJSON() == nil) != c.json {
			t.Errorf("%s: JSON: %v", name, tmpl.MakesJSON())
		}
	}
}

func TestATemplateMakesTheBody(t *testing.T) {
	tmpl, err := ParseTemplate(`{"text": {{ json (index .Events 0).Text }}}`)
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, Webhook{Template: tmpl}, nil, func(t *testing.T, r *receiver) {
		r.Add(Event{Kind: Lost, Text: "a \"quoted\"\ntext"})
		sleep(time.Minute)
		if want := []string{`{"text": "a \"quoted\"\ntext"}`}; !slices.Equal(r.bodies, want) {
			t.Errorf("%q", r.bodies)
		}
	})
}

func TestEventsOfTheAudit(t *testing.T) {
	verified := func(o healer.Outcome) *healer.Verified { return &healer.Verified{Verdict: o} }
	for want, records := range map[Kind][]healer.Audit{
		Acted: {{Decision: healer.Act, Action: healer.Reboot, Result: &healer.Sending{Success: true, Result: healer.Accepted}},
			{Decision: healer.Act, Action: healer.Reboot, Result: &healer.Sending{Result: healer.Unknown, Error: "EOF"}}},
		Healed:      {{Decision: healer.Recovery, Action: healer.Reboot, Verify: verified(healer.Recovered)}},
		NotHealed:   {{Decision: "no_effect", Action: healer.Restart, Verify: verified(healer.NoEffect)}, {Decision: "worse", Action: healer.Reboot, Verify: verified(healer.Worse)}},
		Lost:        {{Decision: "lost", Action: healer.Configure, Verify: verified(healer.LostOutcome)}},
		Quarantined: {{Decision: healer.Quarantine, Worker: "a"}},
		Released:    {{Decision: healer.Release, Worker: "a"}},
		Held:        {{Decision: healer.Hold, Note: "breaker storm: 3 sick"}, {Decision: healer.Hold, Note: "breaker efficacy reboot/dead_board/T1: 1 of the last 10 helped"}},
		Latched:     {{Decision: healer.Hold, Note: "breaker harm: 2 lost"}, {Decision: healer.Hold, Note: "breaker efficacy ladder/dead_board/T1: 10"}, {Decision: healer.Hold, Note: "breaker rollout r1: aborted"}},
		Resumed:     {{Decision: healer.Resume, Note: "breaker storm"}},
		Paused:      {{Decision: healer.Hold, Note: "maintenance p1 of fleet: fans", Actor: "user:ada"}},
		Rollout: {{Decision: healer.Changed, Action: healer.Configure, Actor: "rollout:r1", Note: "pools canary"}, {Decision: healer.Hold, Action: healer.Upgrade, Actor: "rollout:f1"},
			{Decision: healer.Changed, Action: healer.Upgrade, Actor: "user:ada", Note: "firmware f1: abort: fans"}},
		Found:  {{Decision: healer.Sighted, Worker: "a"}},
		Locked: {{Decision: healer.LockedOut, IP: "192.0.2.7"}},
		Policy: {{Decision: healer.Adopt}, {Decision: healer.Refuse}},
		"": {{Decision: healer.Blocked, Worker: "a"}, {Decision: healer.Changed, Worker: "a"}, {Decision: healer.Recovery, Worker: "a"},
			{Decision: healer.Recovery, Action: healer.Configure, Verify: verified(healer.Recovered)},
			{Decision: healer.Manual, Action: healer.Upgrade, MAC: "a0:b0:45:00:e3:ab", Actor: "user:ada"},
			{Decision: healer.Act, Action: healer.Reboot}, {Decision: healer.Act, Action: healer.Reboot, Result: &healer.Sending{Result: healer.NotSent}}},
	} {
		for i := range records {
			if got, ok := EventOf(&records[i]); got.Kind != want || ok != (want != "") {
				t.Errorf("%+v: %q, want %q", records[i], got.Kind, want)
			}
		}
	}
	e, _ := EventOf(&healer.Audit{Decision: healer.Quarantine, Worker: "dragon-1", Model: "T1", IP: "192.0.2.7", Reason: "dead_board", Note: "the ladder\nis over"})
	if want := "quarantined: dragon-1 (T1 192.0.2.7), dead_board: the ladder is over"; e.Text != want {
		t.Errorf("%q, want %q", e.Text, want)
	}
	for _, k := range Kinds() {
		if k == "" || fmt.Sprint(k) != strings.ToLower(string(k)) {
			t.Errorf("kind %q", k)
		}
	}
}
