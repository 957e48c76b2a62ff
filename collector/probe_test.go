package collector

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestAProbeReachesOnlyWhatFindGives(t *testing.T) {
	var asked []string
	c := aCollector(t)
	c.Find = func(_ context.Context, target string) (*fleet.Dragon, error) {
		asked = append(asked, target)
		switch target {
		case "nil":
			return nil, nil
		case "forbidden":
			return nil, errors.New("10.0.0.1 is outside the configured networks")
		}
		return nil, errors.New("no answer")
	}
	probe := c.Probe()
	var bodies []string
	for _, query := range []string{"target=unknown", "target=forbidden", "target=nil", "target=http://127.0.0.1/&debug=true", "target=%00%ff"} {
		w := get(t.Context(), probe, "/probe?"+query)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", query, w.Code)
		}
		bodies = append(bodies, w.Body.String())
	}
	for _, b := range bodies {
		if b != bodies[0] {
			t.Errorf("%q tells more than %q", b, bodies[0])
		}
	}
	if len(asked) != 5 {
		t.Errorf("asked for %q", asked)
	}
	for _, query := range []string{"", "target=", "target=a&target=b", "target=a&target=a", "TARGET=a"} {
		if w := get(t.Context(), probe, "/probe?"+query); w.Code != http.StatusBadRequest {
			t.Errorf("%q: %d", query, w.Code)
		}
	}
	if len(asked) != 5 {
		t.Errorf("asked for %q", asked)
	}
}

func TestAProbeOfADragonThatIsDownIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		f.dragons.Dragon(0).Inject(dragontest.Reset)
		for range 2 {
			w := get(t.Context(), f.Probe(), "/probe?target="+f.worker(0), timeoutHeader, "5")
			if series := seriesOf(w.Body.String(), f.worker(0)); w.Code != 200 || series[up(f.worker(0))] != "0" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		w := get(t.Context(), f.Probe(), "/probe?debug=true&target="+f.worker(0), timeoutHeader, "5")
		if w.Code != 200 || !strings.Contains(w.Body.String(), "failed after") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestDebugShowsTheAnswersOfADragonThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		f.probed(t, f.worker(0))
		debug := func() string {
			return get(t.Context(), f.Probe(), "/probe?debug=true&target="+f.worker(0), timeoutHeader, "5").Body.String()
		}
		f.dragons.Dragon(0).Inject(dragontest.HTML, dragontest.On("summary"))
		f.probed(t, f.worker(0))
		page := debug()
		for _, want := range []string{"failed after", "-- /api/summary: HTTP status 200, ", "<title>", "-- /api/overview: HTTP status 200, ", f.dragons.Dragon(0).Spec().MAC} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q in %s", want, page)
			}
		}
		f.dragons.Dragon(0).Inject(dragontest.Unplugged)
		if page := debug(); !strings.Contains(page, "-- /api/summary: failed after ") {
			t.Error(page)
		}
	})
}

// A scrape keeps no text. A page that is asked for during one reads the dragon again.
func TestDebugShowsTheAnswerAlsoDuringAScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		f.dragons.Dragon(0).Inject(dragontest.Slow, dragontest.Delay(time.Second), dragontest.On("summary"))
		var scraped sync.WaitGroup
		scraped.Go(func() { get(t.Context(), f.Probe(), "/probe?target="+f.worker(0), timeoutHeader, "5") })
		synctest.Wait()
		page := get(t.Context(), f.Probe(), "/probe?debug=true&target="+f.worker(0), timeoutHeader, "5").Body.String()
		scraped.Wait()
		if !strings.Contains(page, `"DEVS"`) || f.dragons.Dragon(0).Traffic().Requests["summary"] != 2 {
			t.Errorf("%d requests: %s", f.dragons.Dragon(0).Traffic().Requests["summary"], page)
		}
	})
}

// The page says why a part of it is missing.
func TestDebugWithoutASecondOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		f.probed(t, f.worker(0)) // a later reading needs no overview of its own
		f.dragons.Dragon(0).Inject(dragontest.Hang, dragontest.On("overview"))
		page := get(t.Context(), f.Probe(), "/probe?debug=true&target="+f.worker(0)).Body.String()
		if strings.Contains(page, "-- /api/overview") || !strings.Contains(page, "-- /api/summary: complete") || !strings.Contains(page, `msg="overview not read again"`) {
			t.Error(page)
		}
	})
}

func TestDebugTellsHowADragonWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec {
			return dragontest.Spec{Pools: []dragontest.Pool{{URL: "stratum+tcp://me:swordfish@pool.example.org:3333", User: "<script>", Password: "x"}}}
		}})
		defer f.close()
		f.dragons.Dragon(0).Inject(dragontest.BogusTemperature)
		w := get(t.Context(), f.Probe(), "/probe?debug=true&target="+f.dragons.Addr(0))
		page := w.Body.String()
		for _, want := range []string{
			"worker: " + f.worker(0) + "\n",
			"-- /api/summary: complete at ",
			"-- /api/overview: complete at ",
			`"Device Elapsed"`,
			`dragon_board_temperature_celsius{board="2"} unknown  (summary.DEVS.Temperature)`,
			`dragon_board_up{board="2"} 1  (summary.DEVS.Status)`,
			"unreadable fields: ", "DEVS.Temperature",
			"level=debug", "msg=probing", `msg="probe answered"`,
		} {
			if !strings.Contains(page, want) {
				t.Errorf("no %q", want)
			}
		}
		if strings.Contains(page, "swordfish") {
			t.Error("a password is shown")
		}
		if strings.Contains(f.probed(t, f.worker(0)), "swordfish") {
			t.Error("a password is in a label")
		}
		if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("a browser may take it for %s", got)
		}
		if w.Code != 200 || !strings.Contains(f.log.String(), `msg="probe answered"`) {
			t.Errorf("%d, log %s", w.Code, f.log)
		}
		if t.Failed() {
			t.Log(page)
		}
	})
}

func TestSecretsAreCutOutOfWhatADragonSaid(t *testing.T) {
	for in, want := range map[string]string{
		`{"success":true,"jwt":"eyJ0eXAi.eyJpc3Mi.abc"}`:      `{"success":true,"jwt":"<secret>"}`,
		`{"pools":[{"user":"u","pass":"x\"y","url":"a:\/\/b"`: `{"pools":[{"user":"u","pass":"<secret>","url":"a:\/\/b"`,
		`{"newPassword" : "hunter2", "Token":12, "a":1}`:      `{"newPassword" : "<secret>", "Token":"<secret>", "a":1}`,
		`{"pass":"cut sho`:                        `{"pass":"<secret>"`,
		`{"url":"stratum+tcp:\/\/u:p@pool:3333`:   `{"url":"stratum+tcp:\/\/<secret>@pool:3333`,
		`{"url":"stratum+tcp://u:p@pool:3333/x"`:  `{"url":"stratum+tcp://<secret>@pool:3333/x"`,
		`{"Stratum URL":"u:p/w@pool.example.org"`: `{"Stratum URL":"<secret>@pool.example.org"`,
		`Post "http://u:p@127.0.0.1/": refused`:   `Post "http://<secret>@127.0.0.1/": refused`,
		`got eyJ0eXAi.eyJpc3Mi.ab-c_d and more`:   `got <secret> and more`,
		`{"Accepted":12,"User":"farm.1@home"}`:    `{"Accepted":12,"User":"farm.1@home"}`,
	} {
		if got := dragon.Secretless(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func FuzzSecretless(f *testing.F) {
	f.Add("hunter2", `{"a":1,"x`)
	f.Fuzz(func(t *testing.T, secret, before string) {
		quoted, err := json.Marshal("§" + secret + "§")
		if err != nil || strings.Contains(before, "§") {
			t.Skip()
		}
		// Behind whole JSON, nothing of a value is left.
		if b, err := json.Marshal(before); err == nil {
			got := dragon.Secretless(`{"b":` + string(b) + `,"password":` + string(quoted) + `}`)
			if strings.Contains(got, "§") {
				t.Errorf("%s", got)
			}
		}
		dragon.Secretless(before)
	})
}

func TestLoginsAreCutOutOfPoolURLs(t *testing.T) {
	for in, want := range map[string]string{
		"stratum+tcp://pool.example.org:3333":       "stratum+tcp://pool.example.org:3333",
		"stratum+tcp://u:p@pool.example.org:3333/x": "stratum+tcp://pool.example.org:3333/x",
		"stratum+tcp://u:p/w@pool.example.org":      "stratum+tcp://pool.example.org",
		"u:p@pool.example.org:3333":                 "pool.example.org:3333",
		"stratum+tcp://a@b@c":                       "stratum+tcp://c",
		"":                                          "",
	} {
		if got := dragon.PoolWithoutLogin(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
