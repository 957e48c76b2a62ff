package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clinic is a healer with a fleet of three, and its API.
type clinic struct {
	recent    *Recent // nil: no charts
	t         testing.TB
	dir       string
	worker    string // of the first dragon
	fleet     *fleet.Fleet
	healer    *agent.Healer
	simulated *dragontest.Fleet
	labels    map[string]*fleet.Labels // by MAC

	discovery func() discovery.Status // may be nil
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	return newClinicOf(t, dragontest.FleetConfig{Count: 3})
}

// newClinicOf returns a clinic whose healer has had its first look at the whole fleet.
func newClinicOf(t testing.TB, config dragontest.FleetConfig, calendars ...healer.Calendar) *clinic {
	t.Helper()
	config.InMemory = true
	simulated, err := dragontest.NewFleet(config)
	if err != nil {
		t.Fatal(err)
	}
	transport := dragon.NewTransport()
	transport.DialContext = simulated.DialContext
	options := dragon.Options{Transport: transport}
	c := &clinic{t: t, dir: t.TempDir(), worker: dragon.WorkerName(simulated.Dragon(0).Spec().MAC), simulated: simulated}
	dragons, err := fleet.Open(fleet.Config{Client: options, Site: func(string) string { return "127.10.0.0/16" },
		Labels: func(mac string) *fleet.Labels { return c.labels[mac] }})
	if err != nil {
		t.Fatal(err)
	}
	var meeting errgroup.Group
	meeting.SetLimit(64)
	for i := range simulated.Len() {
		meeting.Go(func() error {
			client := dragon.New(simulated.Addr(i), options)
			identity, err := client.Identify(t.Context())
			if err == nil {
				dragons.Sighted(t.Context(), fleet.Sighting{Address: simulated.Addr(i), Client: client, Identity: identity})
			}
			return err
		})
	}
	if err := meeting.Wait(); err != nil {
		t.Fatal(err)
	}
	policy := healer.DefaultPolicy()
	policy.Rollout.Mode = healer.Observe
	policy.Desired = func(healer.Device) *healer.DesiredState {
		return &healer.DesiredState{Key: "k", Name: "house pools", Pools: []dragon.PoolConfig{{URL: "stratum+tcp://house.example.com:3333", User: "house", Password: "housesecret"}}, Mode: "efficient"}
	}
	c.fleet = dragons
	c.healer, err = agent.New(agent.Config{Fleet: dragons, Dir: c.dir, Policy: func() *healer.Policy { return &policy },
		Calendars: func() []healer.Calendar { return calendars }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = dragons.Run(ctx) })
	running.Go(func() { _ = c.healer.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		simulated.Close()
		transport.CloseIdleConnections()
	})
	eventually(t, "the healer looks at the fleet", func() bool { return c.healer.Status() != nil })
	return c
}

// eventually waits for something to become true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(time.Minute)
	for !is() {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatalf("it does not come about that %s", what)
		}
	}
}

// ask sends a request to the API and returns the status and the body.
func (c *clinic) ask(admin bool, method, path, body string, header ...string) (int, string) {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	API(APIConfig{Fleet: c.fleet, Healer: c.healer, Admin: admin, Socket: true}).ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if !json.Valid(answer) && w.Code != http.StatusMethodNotAllowed {
		c.t.Errorf("%s %s: no JSON: %s", method, path, answer)
	}
	return w.Code, string(answer)
}

func (c *clinic) pauses() []healer.Pause {
	p, err := c.healer.Plan()
	if err != nil {
		c.t.Fatal(err)
	}
	return p.Pauses
}

func TestAPlanSurvivesTheWire(t *testing.T) {
	c := newClinic(t)
	code, body := c.ask(false, "GET", "/api/v1/plan", "")
	got := PlanAnswer{Plan: &healer.Plan{}}
	if err := json.Unmarshal([]byte(body), &got); code != 200 || err != nil {
		t.Fatalf("%d %v %s", code, err, body)
	}
	want, err := c.healer.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Plan, cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(healer.News{})); diff != "" {
		t.Error(diff)
	}
	if got.Mode != "observe" || got.ExitCode != healer.ExitNothing {
		t.Errorf("mode %q, exit code %d", got.Mode, got.ExitCode)
	}
	var here, there strings.Builder
	_ = explain.Plan(&here, want, explain.Layout{All: true})
	_ = explain.Plan(&there, got.Plan, explain.Layout{All: true})
	if here.String() != there.String() {
		t.Errorf("the table is %s\nover the wire, %s here", there.String(), here.String())
	}
}

func TestWhyIsAboutOneDragon(t *testing.T) {
	c := newClinic(t)
	for _, name := range []string{c.worker, c.simulated.Dragon(0).Spec().MAC} {
		code, body := c.ask(false, "GET", "/api/v1/plan?why="+name, "")
		if code != 200 || strings.Count(body, `"decision"`) > 1 || !strings.Contains(body, c.worker) || strings.Contains(body, dragon.WorkerName(c.simulated.Dragon(1).Spec().MAC)) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, body := c.ask(false, "GET", "/api/v1/plan?why=nobody", ""); code != 404 || !strings.Contains(body, `"try"`) {
		t.Errorf("%d %s, want 404 and what would do", code, body)
	}
}

func TestNothingIsChangedWithoutTheAdminAPI(t *testing.T) {
	c := newClinic(t)
	for _, x := range [][2]string{
		{"POST", "/api/v1/healer/pause"}, {"POST", "/api/v1/healer/maintenance"}, {"POST", "/api/v1/healer/curtailment"}, {"POST", "/api/v1/healer/pace"}, {"POST", "/api/v1/healer/resume"},
		{"POST", "/api/v1/healer/quarantine"}, {"POST", "/api/v1/healer/release"}, {"POST", "/api/v1/healer/ack"},
		{"POST", "/api/v1/healer/restart"}, {"POST", "/api/v1/healer/reboot"},
		{"DELETE", "/api/v1/healer/pause/p1"}, {"DELETE", "/api/v1/healer/maintenance/p1"}, {"DELETE", "/api/v1/healer/quarantine/" + c.worker},
	} {
		code, body := c.ask(false, x[0], x[1], `{"scope":"fleet","dragon":"`+c.worker+`","reason":"r","owner":"o"}`)
		if code != 403 || !strings.Contains(body, "--web.enable-admin-api") {
			t.Errorf("%s %s: %d %s, want 403 and what would do", x[0], x[1], code, body)
		}
	}
	if len(c.pauses()) != 0 {
		t.Error("something is paused")
	}
}

func TestRequestsAreCarriedOut(t *testing.T) {
	c := newClinic(t)
	state := func() healer.State {
		d, err := c.healer.Why(c.worker)
		if err != nil {
			t.Fatal(err)
		}
		return d.State
	}
	do := func(method, path, body string) {
		t.Helper()
		if code, answer := c.ask(true, method, path, body); code != 200 {
			t.Fatalf("%s %s: %d %s", method, path, code, answer)
		}
	}
	do("POST", "/api/v1/healer/pause", `{"scope":"fleet","reason":"r","owner":"o","for":"90m"}`)
	p := c.pauses()
	if len(p) != 1 || p[0].Scope != "fleet" || p[0].Owner != "o" || p[0].Reason != "r" || p[0].Until.Since(p[0].At) != 90*time.Minute || p[0].Kind != healer.Paused {
		t.Fatalf("%+v", p)
	}
	do("POST", "/api/v1/healer/maintenance", `{"scope":"mac","value":"`+c.worker+`","reason":"r","owner":"o","until_resume":true}`)
	if p = c.pauses(); len(p) != 2 || p[1].Kind != healer.Maintained || !p[1].UntilResume || state() != healer.StateMaintenance {
		t.Fatalf("%+v, state %s", p, state())
	}
	_, body := c.ask(true, "GET", "/api/v1/healer", "")
	var h HealerAnswer
	if err := json.Unmarshal([]byte(body), &h); err != nil || len(h.Pauses) != 2 || h.Pauses[0].Ends == nil || h.Pauses[1].Ends != nil || h.Mode != "observe" {
		t.Errorf("%v %s", err, body)
	}
	do("POST", "/api/v1/healer/resume", `{"id":"p1","owner":"o"}`)
	do("DELETE", "/api/v1/healer/maintenance/p2", `{"owner":"o"}`)
	if p = c.pauses(); len(p) != 0 {
		t.Errorf("%+v", p)
	}
	do("POST", "/api/v1/healer/curtailment", `{"scope":"model","value":"T1","autotune":"efficient:1","reason":"r","owner":"o"}`)
	if p = c.pauses(); len(p) != 1 || p[0].InWords() != "curtailment (efficient level 1)" {
		t.Errorf("%+v", p)
	}
	for _, autotune := range []string{"", "loud", "efficient:5", "efficient:"} {
		code, body := c.ask(true, "POST", "/api/v1/healer/curtailment", `{"scope":"fleet","autotune":"`+autotune+`","reason":"r","owner":"o"}`)
		if code != http.StatusBadRequest || !strings.Contains(body, "invalid autotune") {
			t.Errorf("%q: %d %s", autotune, code, body)
		}
	}
	do("POST", "/api/v1/healer/resume", `{"id":"p3","owner":"o"}`)
	do("POST", "/api/v1/healer/quarantine", `{"dragon":"`+c.worker+`","reason":"r","owner":"o"}`)
	if state() != healer.StateQuarantined {
		t.Errorf("state %s", state())
	}
	do("DELETE", "/api/v1/healer/quarantine/"+c.worker, `{"owner":"o"}`)
	if state() == healer.StateQuarantined {
		t.Error("it is still in quarantine")
	}
	eventually(t, "the audit has all eight", func() bool { // which is written beside
		audit, err := os.ReadFile(filepath.Join(c.dir, "audit.jsonl"))
		return err == nil && strings.Count(string(audit), `"actor":"user:o"`) == 8
	})
}

// As in every other request, a dragon is named by its worker, MAC or address.
func TestARecordTakesEveryNameOfADragon(t *testing.T) {
	c := newClinic(t)
	info := c.fleet.Lookup(c.worker).Info()
	for _, name := range []string{c.worker, info.MAC, info.Address} {
		code, body := c.ask(true, "POST", "/api/v1/healer/record", `{"dragon":"`+name+`","action":"fan","reason":"`+name+`","owner":"o"}`)
		if code != 200 {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	eventually(t, "the audit has all three", func() bool { // which is written beside
		records, err := c.healer.History(info.MAC, 10)
		manual := slices.DeleteFunc(records, func(a healer.Audit) bool { return a.Decision != healer.Manual })
		return err == nil && len(manual) == 3
	})
}

func TestAnActionIsRefusedWithItsGates(t *testing.T) {
	c := newClinic(t)
	code, body := c.ask(true, "POST", "/api/v1/healer/reboot", `{"dragon":"`+c.worker+`","reason":"r","owner":"o"}`)
	var e ErrorAnswer
	if err := json.Unmarshal([]byte(body), &e); err != nil || code != 409 || e.Decision == nil || e.Decision.Worker != c.worker || len(e.Decision.Gates) == 0 || e.Try == "" {
		t.Errorf("%d %v %s", code, err, body)
	}
	if n := c.simulated.Dragon(0).Truth().Boots; n != 1 {
		t.Errorf("it booted %d times", n)
	}
}

func TestAForcedActionIsCarriedOut(t *testing.T) {
	c := newClinic(t)
	code, body := c.ask(true, "POST", "/api/v1/healer/restart", `{"dragon":"`+c.worker+`","reason":"r","owner":"o","force":true}`)
	if code != 200 || !strings.Contains(body, `"result":"accepted"`) || !strings.Contains(body, `"actor":"user:o"`) {
		t.Errorf("%d %s", code, body)
	}
	if n := c.simulated.Dragon(0).Truth().MinerStarts; n != 2 {
		t.Errorf("its miner process started %d times, want 2", n)
	}
}

func TestABadRequestIsRefusedWithWhatWouldDo(t *testing.T) {
	c := newClinic(t)
	const pause = "/api/v1/healer/pause"
	good := `{"scope":"fleet","reason":"r","owner":"o"}`
	for _, x := range []struct {
		name, method, path, body string
		header                   []string
		code                     int
		says                     string
	}{
		{"a form", "POST", pause, good, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "application/json"},
		{"no content type", "POST", pause, good, []string{"Content-Type", ""}, 415, "application/json"},
		{"a page from elsewhere", "POST", pause, good, []string{"Sec-Fetch-Site", "cross-site"}, 403, "page of this address"},
		{"an origin from elsewhere", "POST", pause, good, []string{"Origin", "http://elsewhere.example.net"}, 403, "page of this address"},
		{"an origin from elsewhere that deletes", "DELETE", pause + "/p1", `{"owner":"o"}`, []string{"Origin", "http://elsewhere.example.net"}, 403, "page of this address"},
		{"no body", "POST", pause, "", nil, 400, "EOF"},
		{"no JSON", "POST", pause, "pause!", nil, 400, "invalid JSON"},
		{"an unknown key", "POST", pause, `{"scope":"fleet","reasons":"r","owner":"o"}`, nil, 400, `unknown field \"reasons\"`},
		{"more than one", "POST", pause, good + good, nil, 400, "unexpected data"},
		{"too much", "POST", pause, `{"reason":"` + strings.Repeat("x", 70000) + `"}`, nil, 413, "larger than 65536"},
		{"a long reason", "POST", pause, `{"scope":"fleet","reason":"` + strings.Repeat("x", 501) + `","owner":"o"}`, nil, 400, "reason: expected at most 500"},
		{"a torn line", "POST", pause, `{"scope":"fleet","reason":"a\nb","owner":"o"}`, nil, 400, "printable characters"},
		{"two ends", "POST", pause, `{"scope":"fleet","reason":"r","owner":"o","for":"1h","until_resume":true}`, nil, 400, "exclude each other"},
		{"half a label", "GET", "/api/v1/dragons?label=rack", "", nil, 400, "rack=a12"},
		{"a page behind the last", "GET", "/api/v1/dragons?per=2&page=3", "", nil, 400, "page 3 of 2"},
		{"a page behind the last, as a table", "GET", "/api/v1/dragons?per=2&page=3&format=csv", "", nil, 400, "page 3 of 2"},
		{"a blank owner", "POST", pause, `{"scope":"fleet","reason":"r","owner":"  "}`, nil, 400, "owner is missing"},
		{"a blank reason", "POST", pause, `{"scope":"fleet","reason":" ","owner":"o"}`, nil, 400, "needs an owner and a reason"},
		{"no owner", "POST", pause, `{"scope":"fleet","reason":"r"}`, nil, 400, "owner is missing"},
		{"no reason", "POST", pause, `{"scope":"fleet","owner":"o"}`, nil, 400, "reason"},
		{"no scope", "POST", pause, `{"reason":"r","owner":"o"}`, nil, 400, "expected fleet, site, pool, model, firmware, label or mac"},
		{"an empty scope", "POST", pause, `{"scope":"model","reason":"r","owner":"o"}`, nil, 400, "does not mean all"},
		{"invalid duration", "POST", pause, `{"scope":"fleet","reason":"r","owner":"o","for":"long"}`, nil, 400, "invalid duration"},
		{"too long", "POST", pause, `{"scope":"fleet","reason":"r","owner":"o","for":"200h"}`, nil, 400, "expected at most"},
		{"no such pause", "POST", "/api/v1/healer/resume", `{"id":"p9","owner":"o"}`, nil, 400, `no pause \"p9\"`},
		{"no such dragon", "POST", "/api/v1/healer/quarantine", `{"dragon":"nobody","reason":"r","owner":"o"}`, nil, 404, "no such dragon"},
		{"no dragon at all", "POST", "/api/v1/healer/reboot", `{"reason":"r","owner":"o"}`, nil, 404, "no such dragon"},
		{"no such breaker", "POST", "/api/v1/healer/ack", `{"breaker":"circuit","owner":"o"}`, nil, 400, "no breaker circuit is open"},
		{"no such thing", "POST", "/api/v1/healer/poweroff", good, nil, 404, "unknown request"},
		{"reading by writing", "POST", "/api/v1/plan", good, nil, 404, "unknown request"},
	} {
		t.Run(x.name, func(t *testing.T) {
			code, body := c.ask(true, x.method, x.path, x.body, x.header...)
			if code != x.code || !strings.Contains(body, x.says) {
				t.Errorf("%d %s\nwant %d and %q", code, body, x.code, x.says)
			}
		})
	}
	if len(c.pauses()) != 0 {
		t.Error("something is paused")
	}
}

func TestBeforeItsFirstLookTheHealerSaysSo(t *testing.T) {
	dragons, err := fleet.Open(fleet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	policy := healer.DefaultPolicy()
	h, err := agent.New(agent.Config{Fleet: dragons, Dir: t.TempDir(), Policy: func() *healer.Policy { return &policy }})
	if err != nil {
		t.Fatal(err)
	}
	c := &clinic{t: t, healer: h}
	for _, path := range []string{"/api/v1/plan", "/api/v1/healer"} {
		if code, body := c.ask(false, "GET", path, ""); code != 503 || !strings.Contains(body, agent.ErrNotYet.Error()) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestWhatIsInForceAndNotWrittenDownIsAWarning(t *testing.T) {
	a := &api{APIConfig: APIConfig{Admin: true, Socket: true}, origin: http.NewCrossOriginProtection()}
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"owner":"o"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	a.change(func(*api, context.Context, *Request) (any, error) { return "p1", errors.Join(agent.ErrUnwritten) }).ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"result":"p1"`) || !strings.Contains(w.Body.String(), `"warning"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheAPIHasWhatThePagesShow(t *testing.T) {
	c := newClinicOf(t, dragontest.FleetConfig{Count: 4, Specs: func(i int) dragontest.Spec {
		return dragontest.Spec{Faults: [][]dragontest.Fault{{dragontest.DeadBoard}, {}, {}, {dragontest.NotReady}}[i]}
	}})
	if _, err := c.healer.Write(t.Context(), agent.WriteRequest{Target: c.worker, Kind: healer.Restart, Owner: "o", Reason: "r", Force: true}); err != nil {
		t.Fatal(err)
	}
	var all FleetAnswer
	code, body := c.ask(false, "GET", "/api/v1/dragons?sort=worker", "")
	if err := json.Unmarshal([]byte(body), &all); err != nil || code != 200 || all.Known != 4 || all.Up != 3 || all.Matching != 4 || len(all.Dragons) != 4 {
		t.Fatalf("%d %v %s", code, err, body)
	}
	sick, well, silent := all.Dragons[0], all.Dragons[1], all.Dragons[3]
	if sick.Worker != c.worker || sick.BoardsAlive != dragon.Known(2) || sick.BoardsExpected != dragon.Known(3) || sick.LastAction == nil ||
		sick.LastAction.Kind != healer.Restart || sick.LastAction.Actor != "user:o" || sick.Hashrate.Or(0) >= well.Hashrate.Or(0) {
		t.Errorf("%+v", sick)
	}
	if rate := well.Hashrate.Or(0); rate < 14e12 || rate > 18e12 || well.Temperature.Or(0) < 50 || well.Age.Or(-1) < 0 || well.Uptime.Or(0) < 86400 || well.Pool != "stratum+tcp://one.pool.example.com:3333" {
		t.Errorf("%+v", well)
	}
	if silent.Up || silent.Down == "" || silent.ReadAt != nil || silent.Hashrate.IsKnown() || silent.Boards.IsKnown() || silent.Uptime.IsKnown() || !strings.Contains(body, `"hashrate":null`) {
		t.Errorf("%+v", silent)
	}
	var one OneDragonAnswer
	code, body = c.ask(false, "GET", "/api/v1/dragon/"+c.simulated.Dragon(0).Spec().MAC, "")
	if err := json.Unmarshal([]byte(body), &one); err != nil || code != 200 || len(one.BoardList) != 3 || one.BoardList[2].Status != "Dead" || one.BoardList[2].Hashrate != dragon.Known(0) ||
		len(one.PoolList) != 2 || one.System == nil || one.System.Gateway != "127.0.0.1" || len(one.Actions) != 1 || len(one.History) == 0 || one.Why == nil || one.Why.Worker != c.worker {
		t.Errorf("%d %v %s", code, err, body)
	}
	if strings.Contains(body, `"x"`) {
		t.Error("a pool's password is in it")
	}
	var history HistoryAnswer
	code, body = c.ask(false, "GET", "/api/v1/history?n=1&dragon="+c.worker, "")
	if err := json.Unmarshal([]byte(body), &history); err != nil || code != 200 || len(history.History) != 1 || history.History[0].Worker != c.worker {
		t.Errorf("%d %v %s", code, err, body)
	}
	for path, want := range map[string]int{"/api/v1/dragon/nobody": 404, "/api/v1/history?dragon=nobody": 404, "/api/v1/history?n=0": 400, "/api/v1/history?n=x": 400} {
		if code, body := c.ask(false, "GET", path, ""); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}
