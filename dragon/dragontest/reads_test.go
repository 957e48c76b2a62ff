package dragontest

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

func TestTransport(t *testing.T) {
	onBench(t, Spec{ClockOffset: -7 * time.Hour}, func(b *bench) {
		a, err := b.within(time.Second, "summary")
		if err != nil {
			b.t.Fatal(err)
		}
		if a.length != -1 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Server") != "nginx/1.12.2" {
			b.t.Errorf("length %d, header %v", a.length, a.header)
		}
		if want := time.Now().Add(-7 * time.Hour).UTC().Format(http.TimeFormat); a.header.Get("Date") != want {
			b.t.Errorf("Date = %s, want %s", a.header.Get("Date"), want)
		}
		get, err := b.try(b.t.Context(), http.MethodGet, "/api/type", "", nil)
		if err != nil || get.body != `{"success":true,"type":"T1"}` {
			b.t.Errorf("GET: %s, %v: the method is never checked", get.body, err)
		}
	})
}

func TestStartPage(t *testing.T) {
	for _, c := range []struct {
		model       string
		brand       dragon.Brand
		path, title string
	}{
		{"t1", "", "/", "DragonMint"}, {"t1", "", "/pools", "DragonMint"}, {"t1", "", "/API/summary", "DragonMint"},
		{"t2t", "", "/", "AsicMiner"}, {"t1", dragon.InnoMiner, "/", "InnoMiner"}, {"s9", AntMiner, "/", "DragonMint"},
	} {
		t.Run(c.model+string(c.brand)+c.path, func(t *testing.T) {
			onBench(t, Spec{Model: c.model, Brand: c.brand}, func(b *bench) {
				b.auth = "none"
				a, err := b.try(b.t.Context(), http.MethodGet, c.path, "", nil)
				if err != nil || a.status != 200 || !strings.Contains(a.body, "<title>"+c.title+"</title>") {
					b.t.Errorf("%d %v: %s", a.status, err, a.body)
				}
			})
		})
	}
}

func TestLogo(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		a, err := b.try(b.t.Context(), http.MethodHead, logo, "", nil)
		if err != nil || a.status != 200 || a.length != 11506 || a.header.Get("Content-Type") != "image/png" {
			b.t.Errorf("%+v, %v", a, err)
		}
	})
}

// TestEveryReadIsJSON goes through the endpoints of every model in every form.
func TestEveryReadIsJSON(t *testing.T) {
	endpoints := []string{"summary", "overview", "pools", "network", "type", "ping", "stats", "getHashRates", "getDebugStats",
		"getAutoTune", "getAutoTuneStatus", "getLatestFirmwareVersion", "unit", "getErrorMessage", "getFreqVol", "getLockState",
		"getDNA", "getRuntimePools", "getAll", "getErrorDetail"}
	for _, m := range Models() {
		for _, f := range []Fault{"", PHPArrays, NumbersAsStrings, HostileLabels, DuplicateBoards, MissingBoard, PoolDead} {
			t.Run(m.Key+"/"+string(f), func(t *testing.T) {
				onBench(t, Spec{Model: m.Key}, func(b *bench) {
					if f != "" {
						b.Inject(f)
					}
					for _, e := range endpoints {
						to, ok := routes[e]
						if !ok {
							b.t.Fatalf("no endpoint %s", e)
						}
						ok = m.api >= to.since
						body := b.post(e)
						if !json.Valid([]byte(body)) {
							b.t.Errorf("%s is not JSON: %s", e, body)
						}
						if ok == (body == invalidRequest) {
							b.t.Errorf("%s of %s = %.80s", e, m.Key, body)
						}
					}
				})
			})
		}
	}
}

func TestDebugStatsHaveChips(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		var got struct {
			Boards []struct {
				Board map[string]any
				Chips []map[string]any
			}
		}
		if err := json.Unmarshal([]byte(b.post("getDebugStats")), &got); err != nil {
			b.t.Fatal(err)
		}
		if len(got.Boards) != 3 || len(got.Boards[0].Chips) != 63 || got.Boards[0].Board["Num active chips"] != 63.0 {
			b.t.Errorf("%d boards, %v", len(got.Boards), got.Boards)
		}
	})
}

func TestHashRatesHaveTheirTimes(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		var got struct {
			Stats [][]float64
			Times []float64
		}
		if err := json.Unmarshal([]byte(b.post("getHashRates")), &got); err != nil {
			b.t.Fatal(err)
		}
		if len(got.Stats) != 3 || len(got.Stats[2]) != 150 || len(got.Times) != 150 || got.Times[1]-got.Times[0] != 120 {
			b.t.Errorf("%d series of %d, %d times", len(got.Stats), len(got.Stats[0]), len(got.Times))
		}
	})
}

func TestGetErrorMessage(t *testing.T) {
	onBench(t, Spec{Model: "t3+"}, func(b *bench) {
		b.want("getErrorMessage", `{"success":true,"code":"0","errmsg":""}`)
		b.SetError("31", "chips damaged")
		b.want("getErrorMessage", `{"success":true,"code":"31","errmsg":"chips damaged"}`)
		b.want("getErrorDetail", `{"success":true,"code":"31","detail":{"msg":"chips damaged","description":"chips damaged","analysis":""}}`)
		b.SetError("", "")
		b.want("getErrorMessage", "")
	})
}

func TestGetAll(t *testing.T) {
	onBench(t, Spec{Model: "t2t"}, func(b *bench) {
		pools := func() []any {
			var got struct{ All struct{ Pools []any } }
			if err := json.Unmarshal([]byte(b.post("getAll")), &got); err != nil {
				b.t.Fatal(err)
			}
			return got.All.Pools
		}
		b.Inject(PoolDead, PoolAt(0))
		if got := pools(); len(got) != 2 || !strings.HasPrefix(got[0].(map[string]any)["url"].(string), "stratum+tcp://two.") {
			b.t.Errorf("the active pool is not first: %v", got)
		}
		b.Inject(PoolDead)
		if got := pools(); len(got) != 3 || len(got[0].([]any)) != 0 {
			b.t.Errorf("no empty element in place of the active pool: %v", got)
		}
		b.Inject(NotReady)
		if got := pools(); len(got) != 0 {
			b.t.Errorf("pools without the miner process: %v", got)
		}
	})
}

func TestLatestFirmware(t *testing.T) {
	for _, c := range []struct {
		latest Release
		want   string
	}{
		{Release{}, `"version":"t1_20180515_060842","versionDate":"15th of May 2018 06:08 AM"`},
		{Release{}, `"isUpdated":true`},
		{Release{Version: "t1_20181101_130000"}, `"isUpdated":false`},
		{Release{Version: "t1_20181101_130000"}, `"versionDate":"1st of November 2018 01:00 PM"`},
		{Release{Version: "t1_20180401_000000"}, `"isUpdated":true`},
		{Release{Fails: true}, `{"success":false,"message":"can't fetch firmware versions"}`},
	} {
		onBench(t, Spec{Latest: c.latest}, func(b *bench) {
			if got := b.post("getLatestFirmwareVersion"); !strings.Contains(got, c.want) {
				b.t.Errorf("%+v: %s, want %s", c.latest, got, c.want)
			}
		})
	}
}

func TestLogs(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		a, err := b.within(time.Second, "getLogs")
		if err != nil || a.header.Get("Content-Type") != "text/plain" || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") || strings.Count(a.body, "\n") != 200 {
			b.t.Errorf("%v %v, %d bytes", err, a.header, len(a.body))
		}
	})
}

func TestLogStreamNeverEnds(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.auth = "none"
		if a, err := b.try(b.t.Context(), http.MethodGet, "/stream/logs", "", nil); err != nil || a.status != 401 {
			b.t.Errorf("without a login: %d, %v", a.status, err)
		}
		ctx, cancel := context.WithCancel(b.t.Context())
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.dragons.Addr(0)+"/stream/logs", nil)
		r.SetBasicAuth("admin", "dragonadmin")
		res, err := b.http.Do(r)
		if err != nil {
			b.t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		start, lines := time.Now(), bufio.NewScanner(res.Body)
		for range 100 {
			if !lines.Scan() {
				b.t.Fatal("it ended")
			}
		}
		if took := time.Since(start); took < 7*time.Minute {
			b.t.Errorf("100 lines took %v", took)
		}
	})
}
