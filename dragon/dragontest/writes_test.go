package dragontest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUpdatePools(t *testing.T) {
	one := Pool{"stratum+tcp://a.example.com:3333", "u1", "x"}
	for _, c := range []struct {
		name, model string
		form        []string
		want        string
		pools       []Pool // nil: as before
	}{
		{"replaces all", "t1", []string{"Pool1", one.URL, "UserName1", "u1", "Password1", "x"}, `{"success":true}`, []Pool{one}},
		{"drops a slot without a password", "t1", []string{"Pool1", "stratum+tcp://b.example.com:1", "UserName1", "u", "Pool2", one.URL, "UserName2", "u1", "Password2", "x"}, `{"success":true}`, []Pool{one}},
		{"has three slots", "t1", []string{"Pool4", one.URL, "UserName4", "u1", "Password4", "x"}, `{"success":true}`, []Pool{}},
		{"wipes all without fields", "t1", nil, `{"success":true}`, []Pool{}},
		{"checks the URL on newer firmware", "t2t", []string{"Pool1", "stratum+ssl://a.example.com:3333", "UserName1", "u1", "Password1", "x"}, `{"success":false,"message":"url error"}`, nil},
		{"says that it is not locked", "t2t", []string{"Pool1", one.URL, "UserName1", "u1", "Password1", "x"}, `{"success":true,"message":"nolock"}`, []Pool{one}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, Spec{Model: c.model}, func(b *bench) {
				want := c.pools
				if want == nil {
					want = b.Truth().Configured
				}
				start := time.Now()
				b.want("updatePools", c.want, c.form...)
				if took := time.Since(start); c.pools != nil && took != time.Second {
					b.t.Errorf("took %v, want the restart's second", took)
				}
				if diff := cmp.Diff(want, b.Truth().Configured); diff != "" {
					b.t.Errorf("configured: %s", diff)
				}
				if w := b.Writes(); len(w) != 1 || w[0].Endpoint != "updatePools" || w[0].Form.Get("Password1") != form(c.form...).Get("Password1") {
					b.t.Errorf("Writes = %v", w)
				}
			})
		})
	}
}

func TestUpdatePoolsWithAJSONBodyWipesAll(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		a, err := b.try(b.t.Context(), http.MethodPost, "/api/updatePools", "application/json", strings.NewReader(`{"Pool1":"stratum+tcp://a.example.com:1","UserName1":"u","Password1":"x"}`))
		if err != nil || a.body != `{"success":true}` {
			b.t.Errorf("got %s, %v", a.body, err)
		}
		b.want("pools", `{"success":true,"pools":[]}`)
		time.Sleep(time.Hour)
		b.want("summary", noSuccess)
	})
}

func TestUpdatePoolsTakesEffectAfterTheRestart(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.post("updatePools", "Pool1", "stratum+tcp://new.example.com:3333", "UserName1", "u", "Password1", "x")
		b.want("summary", noSuccess)
		b.want("getAutoTuneStatus", `{"success":true,"isRunning":false,"isTuning":false,"mode":"balanced"}`)
		time.Sleep(15 * time.Second)
		s := b.summary()
		if len(s.Pools) != 1 || s.Pools[0]["Stratum URL"] != "new.example.com" || s.num(b.t, 0, "Total MH") > 1e9 {
			b.t.Errorf("POOLS = %v, Total MH %v", s.Pools, s.num(b.t, 0, "Total MH"))
		}
	})
}

func TestLockedDragonKeepsItsPools(t *testing.T) {
	onBench(t, Spec{Model: "t3+", Locked: true}, func(b *bench) {
		mined := b.Truth().Pools[0].URL
		b.want("updatePools", `{"success":true,"message":"lock"}`, "Pool1", "stratum+tcp://new.example.com:3333", "UserName1", "u", "Password1", "x")
		time.Sleep(time.Minute)
		if got := b.Truth(); got.Pools[0].URL != mined || got.Configured[0].URL == mined {
			b.t.Errorf("mines %s, configured %s", got.Pools[0].URL, got.Configured[0].URL)
		}
	})
}

func TestAutoTune(t *testing.T) {
	for _, c := range []struct {
		name, model string
		spec        AutoTune
		form        []string
		want, get   string
		restarts    int
	}{
		{"mode", "t1", AutoTune{}, []string{"autotune", "efficient"}, `{"success":true}`, `"efficient"`, 1},
		{"the same mode restarts all the same", "t1", AutoTune{Mode: "efficient"}, []string{"autotune", "efficient"}, `{"success":true}`, `"efficient"`, 1},
		{"nothing", "t1", AutoTune{}, nil, `{"success":false,"message":"missing autotune value"}`, `"balanced"`, 0},
		{"unknown mode succeeds and does nothing", "t1", AutoTune{}, []string{"autotune", "turbo"}, `{"success":true}`, `"balanced"`, 0},
		{"balanced after another mode", "t1", AutoTune{Mode: "performance"}, []string{"autotune", "balanced"}, `{"success":true}`, `"balanced"`, 1},
		{"level", "t2t", AutoTune{}, []string{"autotune", "efficient", "level", "4"}, `{"success":true}`, `{"mode":"efficient","level":"4"}`, 1},
		{"level by default", "t2t", AutoTune{}, []string{"autotune", "performance"}, `{"success":true}`, `{"mode":"performance","level":"2"}`, 1},
		{"balanced on a fresh Innosilicon is a silent no-op", "t2t", AutoTune{}, []string{"autotune", "balanced", "level", "3"}, `{"success":true}`, `{"mode":"factory","level":"2"}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, Spec{Model: c.model, AutoTune: c.spec}, func(b *bench) {
				starts := b.Truth().MinerStarts
				b.want("setAutoTune", c.want, c.form...)
				b.want("getAutoTune", `{"success":true,"autoTuneMode":`+c.get+`}`)
				if got := b.Truth().MinerStarts - starts; got != c.restarts {
					b.t.Errorf("%d restarts, want %d", got, c.restarts)
				}
			})
		})
	}
}

func TestAutoTuneChangesTheRate(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		balanced := b.Truth().Hashrate
		b.post("setAutoTune", "autotune", "efficient")
		time.Sleep(time.Hour)
		near(b.t, "efficient", b.Truth().Hashrate, 0.91*balanced, 1e-9)
	})
}

func TestUpdateNetwork(t *testing.T) {
	static := []string{"dhcp", "static", "ipaddress", "127.10.0.9", "netmask", "255.0.0.0", "gateway", "127.0.0.1"}
	with := func(pairs ...string) []string { return append(append([]string{}, static...), pairs...) }
	fail := func(m string) string { return `{"success":false,"message":"` + m + `"}` }
	for _, c := range []struct {
		name string
		form []string
		want string
	}{
		{"no mode", nil, fail("invalid dhcp setting")},
		{"no address", []string{"dhcp", "static"}, fail("invalid ip address")},
		{"dns as a JSON string", with("dns", `["127.0.0.1","127.0.0.2"]`), fail("invalid dns 1 ")},
		{"dns once", with("dns[]", "127.0.0.1"), fail("invalid dns 2 ")},
		{"dhcp with dns ignored", []string{"dhcp", "dhcp", "dns", "null"}, `{"success":true}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBench(t, Spec{}, func(b *bench) { b.want("updateNetwork", c.want, c.form...) })
		})
	}
	t.Run("static is not answered", func(t *testing.T) {
		onBench(t, Spec{}, func(b *bench) {
			_, err := b.try(b.t.Context(), http.MethodPost, "/api/updateNetwork", "application/x-www-form-urlencoded",
				strings.NewReader(form(with("dns[]", "127.0.0.1", "dns[]", "127.0.0.2")...).Encode()))
			if !errors.Is(err, syscall.ECONNRESET) {
				b.t.Errorf("err = %v, want a reset", err)
			}
			if n := b.Truth().Network; n.DHCP != "static" || n.IPAddress != "127.10.0.9" || n.DNS[1] != "127.0.0.2" {
				b.t.Errorf("network = %+v", n)
			}
		})
	})
}

func TestNetworkIsGoneForAMoment(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.post("updateNetwork", "dhcp", "dhcp")
		start := time.Now()
		b.want("ping", `{"success":true}`)
		if took := time.Since(start); took != 4*time.Second {
			b.t.Errorf("the next answer came after %v, want 4s", took)
		}
	})
}

func TestReboot(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		start := time.Now()
		b.want("reboot", `{"success":true}`)
		if took := time.Since(start); took != 4*time.Second {
			b.t.Errorf("took %v, want the device's sleep of 4s", took)
		}
		if _, err := b.within(time.Second, "ping"); !errors.Is(err, syscall.ECONNRESET) {
			b.t.Errorf("old connection: %v, want a reset", err)
		}
		if _, err := b.within(time.Second, "ping"); !errors.Is(err, syscall.ECONNREFUSED) {
			b.t.Errorf("while booting: %v, want refused", err)
		}
		time.Sleep(90 * time.Second)
		b.want("ping", `{"success":true}`)
		b.want("summary", noSuccess)
		if !strings.Contains(b.post("overview"), " up 1 min, ") {
			b.t.Error("overview does not show the new uptime")
		}
		time.Sleep(15 * time.Second)
		if got := b.summary().num(b.t, 0, "Device Elapsed"); got > 15 {
			b.t.Errorf("Device Elapsed = %v", got)
		}
		if tr := b.Truth(); tr.Boots != 2 || tr.MinerStarts != 2 {
			b.t.Errorf("boots %d, starts %d", tr.Boots, tr.MinerStarts)
		}
	})
}

func TestPoweroffNeedsSomebodyToSwitchItOn(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.want("poweroff", `{"success":true}`)
		b.http.CloseIdleConnections()
		time.Sleep(time.Hour)
		if _, err := b.within(time.Second, "ping"); !errors.Is(err, context.DeadlineExceeded) {
			b.t.Errorf("without power: %v, want silence", err)
		}
		b.PowerOn()
		time.Sleep(90 * time.Second)
		b.want("ping", `{"success":true}`)
	})
}

func TestFactoryResetWorksForTheVendor(t *testing.T) {
	onBench(t, Spec{Password: "secret12", AutoTune: AutoTune{Mode: "efficient"}}, func(b *bench) {
		b.want("factoryReset", `{"success":true}`)
		b.http.CloseIdleConnections()
		time.Sleep(2 * time.Minute)
		tr := b.Truth()
		if diff := cmp.Diff(VendorPools(), tr.Configured); diff != "" || tr.Users["admin"] != "dragonadmin" || tr.AutoTune.Mode != "balanced" {
			b.t.Errorf("after it: %+v", tr)
		}
		if got := b.summary().Pools[0]["User"]; got != "vendor.worker1" {
			b.t.Errorf("mines for %v", got)
		}
	})
}

func TestRestartCgMinerAnswersAtOnce(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		start := time.Now()
		b.want("restartCgMiner", `{"success":true}`)
		if time.Since(start) != 0 {
			b.t.Errorf("took %v", time.Since(start))
		}
		b.want("summary", noSuccess)
		b.want("getHashRates", `{"success":false,"message":"No data to show"}`)
		time.Sleep(15 * time.Second)
		b.summary()
	})
}

func TestSetMonitor(t *testing.T) {
	onBench(t, Spec{Model: "t2t"}, func(b *bench) {
		b.want("SetMonitor", `{"success": "true"}`, "red_light", "on")
		if !b.Truth().RedLight {
			b.t.Error("the light is off")
		}
		b.want("SetMonitor", "")
	})
}
