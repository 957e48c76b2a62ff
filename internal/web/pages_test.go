package web

import (
	"errors"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// surface is everything that the program serves, as far as it is of this room.
func (c *clinic) surface(admin bool) http.Handler {
	c.t.Helper()
	h, err := Handler(Config{
		TelemetryPath: "/metrics", Metrics: page("metrics"), Probe: page("probe"), ServiceDiscovery: page("sd"), Ready: func() error { return nil },
		API: APIConfig{Fleet: c.fleet, Healer: c.healer, Discovery: c.discovery, Admin: admin, Recent: c.recent, Logger: log.NewLogfmtLogger(tester{c.t}),
			Configuration: func() ([]byte, error) { return []byte(inForce), nil }},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return fromHere(h)
}

// fromHere has a recorder's requests come from this machine, under its address.
func fromHere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RemoteAddr == "192.0.2.1:1234" { // as httptest has it
			r.RemoteAddr = "127.0.0.1:1234"
		}
		if r.Host == "example.com" {
			r.Host = "127.0.0.1:9977"
		}
		h.ServeHTTP(w, r)
	})
}

// inForce is a configuration, as far as this room is concerned.
const inForce = `networks: [192.0.2.0/24]
credentials:
  - user: admin
    password: <secret>
healing:
  default:
    mode: observe
    judge: 30m
`

func TestTheConfigurationInForceIsShown(t *testing.T) {
	c := newClinic(t)
	if page := c.look(false, "/configuration"); !strings.Contains(page, "networks: [192.0.2.0/24]\n") || !strings.Contains(page, "password: &lt;secret&gt;") || !strings.Contains(page, "every default") {
		t.Error(page)
	}
	if got := c.look(false, "/api/v1/config"); got != `{"configuration":{"credentials":[{"password":"\u003csecret\u003e","user":"admin"}],"healing":{"default":{"judge":"30m","mode":"observe"}},"networks":["192.0.2.0/24"]}}`+"\n" {
		t.Error(got)
	}
	if code, body := c.ask(false, "GET", "/api/v1/config", ""); code != 503 || !strings.Contains(body, "not shown here") { // the socket's
		t.Errorf("%d %s", code, body)
	}
}

// tester fails a test when a page could not be written.
type tester struct{ t testing.TB }

func (w tester) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "level=error") {
		w.t.Errorf("%s", p)
	}
	return len(p), nil
}

// look gets a page, which must be one that is there.
func (c *clinic) look(admin bool, path string) string {
	c.t.Helper()
	w := httptest.NewRecorder()
	c.surface(admin).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		c.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// hostile is a fleet of which one dragon says things that are meant for a browser.
func hostile(i int) dragontest.Spec {
	spec := dragontest.Mixed(i)
	if i == 1 {
		spec.Firmware = `<img src=x onerror="alert(1)">`
		spec.HWVersion = `"><script>alert(2)</script>`
		spec.Pools = []dragontest.Pool{
			{URL: "javascript:alert(3)", User: `<script>alert(4)</script>`, Password: "poolsecret"},
			{URL: "stratum+tcp://me:loginsecret@pool.example.com:3333", User: `' onmouseover='alert(5)`, Password: "x"},
		}
	}
	return spec
}

var (
	workers    = regexp.MustCompile(`<a class="name" href="dragon\?worker=([^"]+)">`)
	tags       = regexp.MustCompile(`<[a-zA-Z][^>]*>`)
	links      = regexp.MustCompile(` (?:href|src|action)="([^"]*)"`)
	references = regexp.MustCompile(` (?:href|src)="([^"]*)"`) // what a browser gets, and does not send
)

func listed(page string) []string {
	var list []string
	for _, m := range workers.FindAllStringSubmatch(page, -1) {
		list = append(list, m[1])
	}
	return list
}

func TestTheFleetIsSortedFilteredAndPaged(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 30, Specs: dragontest.Mixed})
	worker := func(i int) string { return dragon.WorkerName(c.simulated.Dragon(i).Spec().MAC) }
	if err := c.healer.Quarantine(t.Context(), worker(7), "o", "waits for a board"); err != nil {
		t.Fatal(err)
	}
	models := map[string]int{}
	for _, d := range c.fleet.Dragons() {
		models[d.Info().Model]++
	}
	first := func(n int, query string) []string {
		t.Helper()
		list := listed(c.look(false, "/fleet?"+query))
		if len(list) != n {
			t.Fatalf("%s: %d dragons, want %d", query, len(list), n)
		}
		return list
	}
	all := first(30, "")
	if all[0] != worker(7) {
		t.Errorf("first is %s, want the one in quarantine", all[0])
	}
	if list := first(30, "sort=worker"); list[0] != worker(0) || list[29] != worker(29) {
		t.Errorf("by worker: %v", list)
	}
	if list := first(30, "sort=-worker"); list[0] != worker(29) || list[29] != worker(0) {
		t.Errorf("by worker, the other way round: %v", list)
	}
	for _, name := range orderNames {
		first(30, "sort="+name)
		first(30, "sort=-"+name)
	}
	first(1, "state=quarantined")
	first(1, "state=trouble")
	first(0, "state=lost")
	first(models["T1"], "model=T1")
	first(1, "q="+strings.ToUpper(worker(3)))
	first(1, "q="+c.simulated.Host(4).String())
	first(1, "q="+url.QueryEscape(c.simulated.Dragon(5).Spec().MAC))
	first(30, "q=one.pool.example")
	first(0, "q=nothing+like+it")
	one, two := first(20, "sort=worker&per=20"), first(10, "sort=worker&per=20&page=2")
	if one[0] != worker(0) || two[0] != worker(20) {
		t.Errorf("pages begin with %s and %s", one[0], two[0])
	}
	first(10, "sort=worker&per=20&page=9") // the last one
	if page := c.look(false, "/fleet?per=20&q=pool&sort=-hashrate"); !strings.Contains(page, html.EscapeString("fleet?page=2&per=20&q=pool&sort=-hashrate")) {
		t.Error("there is no way to the second page")
	}
	for _, bad := range []string{"sort=luck", "state=married", "page=0", "page=x", "per=-1", "q=" + strings.Repeat("x", 300)} {
		w := httptest.NewRecorder()
		c.surface(false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/fleet?"+bad, nil))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%.20s: %d", bad, w.Code)
		}
		if code, _ := c.ask(false, "GET", "/api/v1/dragons?"+bad, ""); code != http.StatusBadRequest {
			t.Errorf("the API on %.20s: %d", bad, code)
		}
	}
}

func TestADragonsPageHasWhatIsKnown(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 3, Specs: func(i int) dragontest.Spec {
		return dragontest.Spec{Faults: [][]dragontest.Fault{{dragontest.DeadBoard}, {}, {dragontest.NotReady}}[i]}
	}})
	page := c.look(false, "/dragon?worker="+c.worker)
	for _, want := range []string{
		c.worker, "t1_20180515_060842", "127.10.0.1", "a0:b0:45:00:d1:a7", "stratum&#43;tcp://one.pool.example.com:3333", "farm." + c.worker,
		`href="http://127.10.0.1/"`, `title="board 2 Dead"`, "Dead</span>", "Alive</span>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not there", want)
		}
	}
	if strings.Contains(page, "confirm?") {
		t.Error("something can be changed without the admin API")
	}
	for _, name := range []string{"127.10.0.1", "a0:b0:45:00:d1:a7"} {
		if c.look(false, "/dragon?worker="+name) == "" {
			t.Errorf("%s leads nowhere", name)
		}
	}
	page = c.look(true, "/dragon?worker="+c.worker)
	for _, do := range []string{"quarantine", "maintenance", "restart", "reboot"} {
		if !strings.Contains(page, "do="+do) {
			t.Errorf("there is no way to %s it", do)
		}
	}
	silent := c.look(false, "/dragon?worker="+dragon.WorkerName(c.simulated.Dragon(2).Spec().MAC))
	if !strings.Contains(silent, "Offline: ") || !strings.Contains(silent, "Unknown while the dragon is offline.") || strings.Contains(silent, "0 H/s") {
		t.Error("a dragon that does not answer has figures, or no reason")
	}
	w := httptest.NewRecorder()
	c.surface(false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/dragon?worker=%3Cb%3E", nil))
	if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "<b>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheHealersPageHasWhatHoldsItBack(t *testing.T) {
	c := newClinic(t)
	if _, err := c.healer.Pause(t.Context(), healer.PauseRequest{Scope: "fleet", Owner: "o", Reason: "a visit"}); err != nil {
		t.Fatal(err)
	}
	if err := c.healer.Quarantine(t.Context(), c.worker, "o", "waits for a board"); err != nil {
		t.Fatal(err)
	}
	page := c.look(false, "/healer")
	for _, want := range []string{"observe", "In flight", "Per hour", "Per day", "Paused by o: a visit", "quarantined", "waits for a board", c.worker, "quarantine"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not there", want)
		}
	}
	if strings.Contains(page, "confirm?") || !strings.Contains(c.look(true, "/healer"), "confirm?do=resume&amp;id=p1") {
		t.Error("who may end the pause is not as the admin API is")
	}
}

// Why nothing happens: each gate, the dragon, how long, and what ends the wait.
func TestTheHealersPageSaysWhatEndsEveryWait(t *testing.T) {
	p, err := newPages(&api{}, "/metrics", false)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := p.templates["healer"].ExecuteTemplate(&b, "waiting", []healer.Waiting{
		{Gate: healer.GatePause, Dragons: 2, Worker: "dragon-3", For: healer.Span(3 * time.Hour), Human: "mother-of-dragons healer resume p1", Detail: "p1 by <ann>"},
		{Gate: healer.GateHour, Dragons: 1, Worker: "dragon-4", For: healer.Span(time.Hour), Ends: healer.Until{For: healer.Span(20 * time.Minute), Known: true}},
		{Gate: healer.GateFlight, Dragons: 1, Worker: "dragon-5", For: healer.Span(time.Minute), Event: "the outcome of an action"},
	}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	at := 0
	for _, want := range []string{
		"pause", "dragon-3", "3 h", "a person:</b> mother-of-dragons healer resume p1", "p1 by &lt;ann&gt;",
		"hour", "dragon-4", "60 min", "in 20m", "in flight", "dragon-5", "60 s", "the outcome of an action",
	} {
		i := strings.Index(page[at:], want)
		if i < 0 {
			t.Fatalf("%q is not there, or out of order:\n%s", want, page)
		}
		at += i
	}
}

func TestTheRolloutsPageHasWhatIsBroughtToTheDragons(t *testing.T) {
	c := newClinic(t)
	eventually(t, "the healer knows how the dragons are configured", func() bool {
		p, err := c.healer.Plan()
		return err == nil && len(p.Rollouts) == 1
	})
	page := c.look(true, "/rollouts")
	for _, want := range []string{"house pools", "3 dragons", "waiting", "Installed firmware", "fleet?q=t1_20180515_060842"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not there:\n%s", want, page)
		}
	}
	if got := c.look(false, "/api/v1/rollouts"); !strings.Contains(got, `"name":"house pools"`) || !strings.Contains(got, `"members":3`) || !strings.Contains(got, `"for_s":`) {
		t.Error(got)
	}
	if page := c.look(false, "/dragon?worker="+c.worker); !strings.Contains(page, "house pools") {
		t.Error("the dragon's page does not say what it is to be")
	}
}

// What a rollout may come to is shown, whatever it is.
func TestRolloutsThatFailedSaySo(t *testing.T) {
	p, err := newPages(newAPI(APIConfig{Admin: true}), "/metrics", false)
	if err != nil {
		t.Fatal(err)
	}
	hour := func(n int) healer.Moment { return healer.Moment(time.Duration(n) * time.Hour) }
	plan := &healer.Plan{
		At: hour(9), Dragons: []healer.Decision{{Who: healer.Who{MAC: "m", Worker: "dragon-1"}}},
		Rollouts: []healer.RolloutShown{{
			ID: "r3", Kind: healer.Configure, Name: "<b>house</b>", State: healer.RolloutAborted, Since: hour(6), Canary: "dragon-2", Members: 4,
			Failed: []healer.Failure{{MAC: "m", At: hour(4), Why: "no share was accepted"}}, Phases: map[string]int{"in_sync": 1, "failed": 1, "unknown": 2},
			Pending: []healer.PendingRollback{{Worker: "dragon-5", Waits: "harm: latched: <b>2 lost"}}, Priority: 3,
			Waits: &healer.Waiting{Gate: healer.GateRollout, Worker: "dragon-6", Detail: "latched: <b>1 failed", Human: "healer ack rollout r3"},
		}},
		Firmware: []healer.FirmwareShown{{
			FirmwareRollout: healer.FirmwareRollout{
				RolloutHead: healer.RolloutHead{ID: "f1", State: healer.RolloutAborted, Since: hour(8), Why: "a canary failed"},
				Release:     healer.FirmwareRelease{Version: "t1_20190101_000000", Model: "T1"}, Owner: "o", Reason: "r",
			},
			Waves: 5, Members: 10, Left: healer.Span(7 * time.Hour), Waits: &healer.Waiting{Gate: healer.GateWave, Event: "the end of their checks"},
			Phases:  map[string]int{"done": 1, "failed": 1, healer.PhaseWaiting: 8},
			Dragons: []healer.UpgradeShown{{Worker: "dragon-3", Upgrading: healer.Upgrading{Phase: healer.UpgradeFailed, Since: hour(7), Why: "two boards of three"}}},
		}},
	}
	shown := rolloutsOf(plan)
	shown.Firmware = append(shown.Firmware, firmwareShown{FirmwareAnswer: FirmwareAnswer{FirmwareShown: healer.FirmwareShown{FirmwareRollout: healer.FirmwareRollout{RolloutHead: healer.RolloutHead{ID: "f2", State: healer.RolloutRunning}}}}})
	shown.Uploads = []agent.UploadShown{{Worker: "dragon-4", Sent: 3 << 20, Size: 12 << 20, Updater: "flash <b>"}}
	var b strings.Builder
	if err := p.templates["rollouts"].Execute(&b, frame{Admin: true, Page: shown}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"&lt;b&gt;house", "aborted", "dragon-2", "no share was accepted", "dragon-1", "5 h ago", "in sync 1", "unknown 2", "breaker=rollout&amp;scope=r3",
		"T1 to t1_20190101_000000", "wave 1 of 5", "a canary failed", "two boards of three", "dragon-3", "done 1", "waiting 8", `x="20.0" width="80.0"`,
		"do=firmware-pause&amp;id=f2", "do=firmware-abort&amp;id=f2", "dragon-4", "25.0 %", "flash &lt;b&gt;",
		"dragon-5</a> still has the failed configuration", "harm: latched: &lt;b&gt;2 lost",
		"priority 3", `dragon-6</a>, waits for <span class="gate">rollout</span> latched: &lt;b&gt;1 failed.`, "<b>A person opens it:</b> healer ack rollout r3",
		"at least 7 h left", `It waits for <span class="gate">wave</span>.`, "It ends with the end of their checks.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not there:\n%s", want, b.String())
		}
	}
}

func TestAHealerThatHasNotLookedYetHasPages(t *testing.T) {
	h, err := Handler(config(t, "/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/": "No dragon found yet", "/healer": "has not examined the fleet yet", "/rollouts": "has not examined the fleet yet"} {
		if code, body := get(t, h, path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestNothingThatADragonSaysBreaksOut(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 3, Specs: hostile})
	worker := dragon.WorkerName(c.simulated.Dragon(1).Spec().MAC)
	for _, path := range []string{"/", "/fleet?q=%3Cscript%3E", "/fleet?q=%22%3E%3Cscript%3Ealert(9)", "/dragon?worker=" + worker, "/healer", "/rollouts", "/api/v1/rollouts", "/api/v1/plan", "/confirm?do=reboot&dragon=%3Cscript%3E&reason=%22onfocus="} {
		page := c.look(true, path)
		for _, secret := range []string{"poolsecret", "loginsecret", "housesecret"} {
			if strings.Contains(page, secret) {
				t.Errorf("%s shows %s", path, secret)
			}
		}
		for _, tag := range tags.FindAllString(page, -1) {
			name, _, _ := strings.Cut(strings.Trim(tag, "<>"), " ")
			switch {
			case name == "script" && !strings.HasPrefix(tag, `<script src="static/live.js?v=`), name == "img" && !strings.HasPrefix(tag, `<img src="static/icon.svg`), name == "style", name == "iframe", name == "object":
				t.Errorf("%s: %s", path, tag)
			}
			if regexp.MustCompile(` (on\w+|style)=`).MatchString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, `""`)) {
				t.Errorf("%s: %s has an attribute that the policy forbids", path, tag)
			}
		}
		for _, m := range links.FindAllStringSubmatch(page, -1) {
			if to := html.UnescapeString(m[1]); strings.Contains(strings.SplitN(to, "?", 2)[0], ":") && !regexp.MustCompile(`^http://127\.10\.0\.[123]/$`).MatchString(to) {
				t.Errorf("%s links to %s", path, to)
			}
		}
	}
	page := c.look(false, "/dragon?worker="+worker)
	for _, want := range []string{"&lt;script&gt;alert(4)&lt;/script&gt;", "&lt;img src=x", "javascript:alert(3)", "stratum&#43;tcp://pool.example.com:3333"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not shown as text", want)
		}
	}
}

func TestOnlyAnAddressBecomesALink(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{})
	info := *c.fleet.Dragons()[0].Info()
	for address, want := range map[string]string{
		"192.0.2.7": "http://192.0.2.7/", "192.0.2.7:8080": "http://192.0.2.7:8080/", "2001:db8::1": "http://[2001:db8::1]/", "[2001:db8::1]:81": "http://[2001:db8::1]:81/",
		"javascript:alert(1)": "", "miner.example.com": "", "miner.example.com:80": "", "fe80::1%eth0": "", "": "", "192.0.2.7/../x": "",
	} {
		info.Address, info.IP = address, "set"
		if got := linkTo(&info); got != want {
			t.Errorf("%q becomes %q, want %q", address, got, want)
		}
	}
	info.Address, info.IP = "192.0.2.7", "" // another dragon lives there now
	if got := linkTo(&info); got != "" {
		t.Errorf("the link leads to another dragon: %s", got)
	}
}

func TestEveryPageIsGuarded(t *testing.T) {
	c := newClinic(t)
	for _, path := range []string{"/", "/fleet", "/dragon?worker=" + c.worker, "/healer", "/rollouts", "/configuration", "/confirm?do=pause&scope=fleet", "/dragon?worker=nobody", "/fleet?page=x", "/static/live.js"} {
		w := httptest.NewRecorder()
		c.surface(true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		h := w.Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %q is not in the policy %q", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
		if strings.Contains(w.Body.String(), "http-equiv") && !strings.Contains(w.Body.String(), "<noscript><meta") {
			t.Errorf("%s reloads itself where a script runs", path)
		}
	}
}

func TestPagesLinkToEachOtherWhereverTheyAre(t *testing.T) {
	c := newClinic(t)
	outer := http.NewServeMux()
	outer.Handle("/dragons/", http.StripPrefix("/dragons", c.surface(true))) // as a proxy may do
	seen, todo := map[string]bool{}, []string{"/dragons/"}
	for len(todo) > 0 {
		path, _, _ := strings.Cut(todo[0], "#") // a browser does not send the fragment
		todo = todo[1:]
		if seen[path] || len(seen) > 200 {
			continue
		}
		seen[path] = true
		w := httptest.NewRecorder()
		outer.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
			continue
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		base, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range references.FindAllStringSubmatch(w.Body.String(), -1) {
			to, err := base.Parse(html.UnescapeString(m[1]))
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if to.Host != "" {
				continue // a dragon's own
			}
			if !strings.HasPrefix(to.Path, "/dragons/") {
				t.Errorf("%s links to %s", path, to)
				continue
			}
			todo = append(todo, to.String())
		}
	}
	for _, page := range []string{"/dragons/fleet", "/dragons/healer", "/dragons/dragon?worker=" + c.worker, "/dragons/confirm?do=reboot&dragon=" + c.worker, "/dragons/api/v1/dragons"} {
		if !seen[page] {
			t.Errorf("nothing links to %s", page)
		}
	}
}

func TestNoPageAsksADragon(t *testing.T) {
	c := newClinic(t)
	asked := func() (n int) {
		for _, d := range c.simulated.Dragons() {
			n += d.Traffic().Total()
		}
		return n
	}
	before := asked()
	for range 3 {
		for _, path := range []string{"/", "/dragon?worker=" + c.worker, "/healer", "/api/v1/dragons", "/api/v1/dragon/" + c.worker, "/api/v1/healer", "/api/v1/history", "/confirm?do=reboot&dragon=" + c.worker} {
			c.look(true, path)
		}
	}
	if after := asked(); after != before {
		t.Errorf("%d requests went to dragons", after-before)
	}
}

// BenchmarkPages serves the pages of five thousand dragons.
func BenchmarkPages(b *testing.B) {
	c := newClinicOf(b, dragontest.FleetConfig{Count: 5000, Specs: dragontest.Mixed})
	h := c.surface(true)
	for _, path := range []string{"/fleet", "/fleet?q=pool&sort=-temperature&page=7", "/fleet?per=5000", "/dragon?worker=" + c.worker, "/healer", "/api/v1/dragons"} {
		b.Run(strings.ReplaceAll(strings.SplitN(path, "=dragon", 2)[0], "/", "_"), func(b *testing.B) {
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				if w.Code != http.StatusOK {
					b.Fatal(fmt.Sprint(w.Code))
				}
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes/page")
		})
	}
}

// The healer takes an hour to get to know a dragon. What is plainly wrong is said at once.
func TestADragonThatIsPlainlyIllNeedsALookBeforeTheHealerKnowsIt(t *testing.T) {
	known := func(n float64) dragon.Number { return dragon.Known(n) }
	well := DragonAnswer{Up: true, Boards: known(3), BoardsAlive: known(3), BoardsExpected: known(3)}
	for says, change := range map[string]func(*DragonAnswer){
		"":                    func(*DragonAnswer) {},
		"down: timeout":       func(a *DragonAnswer) { a.Up, a.Down = false, "timeout" },
		"2 of 3 boards alive": func(a *DragonAnswer) { a.BoardsAlive = known(2) },
	} {
		for _, state := range []healer.State{healer.StateObserving, healer.StateNew, healer.StateMaintenance} {
			a := well
			a.Healer = &HealingAnswer{State: state}
			change(&a)
			if want := says != "" && state != healer.StateMaintenance; a.needsALook() != want || want && a.Because() != says {
				t.Errorf("%s, %q: needs a look: %t because %q", state, says, a.needsALook(), a.Because())
			}
		}
	}
}

// What the healer itself does to a dragon needs no attention, and names the healer.
func TestARestartOfOursNeedsNoAttention(t *testing.T) {
	down := DragonAnswer{Down: "timeout"}
	for state, want := range map[healer.State]string{healer.StateActing: "restarting (ours)", healer.StateSettling: "restarted (ours)"} {
		a := down
		a.Healer = &HealingAnswer{State: state}
		if a.needsALook() || tone(state) != "calm" || explain.State(state) != want {
			t.Errorf("%s: needs a look: %t, %s, %q", state, a.needsALook(), tone(state), explain.State(state))
		}
	}
	a := down
	a.Restarting, a.Healer = ours, &HealingAnswer{State: healer.StateObserving}
	if a.needsALook() {
		t.Error("a young dragon that we restart needs a look")
	}
	for _, state := range []healer.State{healer.StateLost, healer.StateUnreachable, healer.StateSick} {
		a := down
		a.Healer = &HealingAnswer{State: state}
		if !a.needsALook() {
			t.Errorf("%s needs no look", state)
		}
	}
}

// A page that cannot be made is an error. One that fails half-way breaks off, so that it is not
// taken for the whole.
func TestAPageThatFails(t *testing.T) {
	a := config(t, "/metrics").API
	a.Logger = log.NewNopLogger()
	p, err := newPages(&api{APIConfig: a}, "/metrics", false)
	if err != nil {
		t.Fatal(err)
	}
	fails := template.FuncMap{"fails": func() (string, error) { return "", errors.New("no such figure") }}
	for text, begun := range map[string]bool{
		"{{fails}}": false,
		strings.Repeat("x", pageBuffer-1) + "{{fails}}": false,
		strings.Repeat("x", pageBuffer+1) + "{{fails}}": true,
	} {
		p.templates["test"] = template.Must(template.New("test").Funcs(fails).Parse(text))
		w := httptest.NewRecorder()
		broke := func() (v any) {
			defer func() { v = recover() }()
			p.show(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusOK, "test", frame{})
			return nil
		}()
		if begun != (broke == http.ErrAbortHandler) || !begun && w.Code != http.StatusInternalServerError {
			t.Errorf("%d bytes: status %d, then %v", len(text), w.Code, broke)
		}
	}
}
