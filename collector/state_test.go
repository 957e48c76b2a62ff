package collector

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// factsFor has the facts read that a choice of switches needs, as the program does.
func factsFor(choice map[string]bool) map[fleet.Fact]time.Duration {
	facts := map[fleet.Fact]time.Duration{}
	for _, f := range Facts(choice) {
		facts[f] = 0
	}
	return facts
}

func TestACollectorThatIsOffHasNoSeries(t *testing.T) {
	endpoints := map[string][]string{
		"autotune": {"getAutoTune"},
		"errors":   {"getErrorDetail", "getErrorMessage"},
		"firmware": {"getLatestFirmwareVersion"},
		"chips":    {"getDebugStats"},
		"power":    {"getAll"},
	}
	everything := map[string]bool{}
	for _, s := range Switches() {
		everything[s.Name] = true
	}
	run := func(t *testing.T, choice map[string]bool) (names map[string]bool, asked map[string]int) {
		facts := factsFor(choice)
		if _, wanted := facts[fleet.Firmware]; wanted {
			facts[fleet.Firmware] = time.Hour // once a day would be a long day
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFarmWithFacts(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{Model: "t3+"} }},
				facts, func(c *Config) { c.Switches = choice })
			defer f.close()
			f.dragons.Dragon(0).SetError("24", "")
			f.scraped(t)
			time.Sleep(90 * time.Minute)
			names = map[string]bool{}
			for line := range strings.Lines(f.scraped(t)) {
				if name, found := strings.CutPrefix(line, "# HELP dragon_"); found {
					name, _, _ = strings.Cut(name, " ")
					names["dragon_"+name] = true
				}
			}
			page := get(t.Context(), f.Probe(), "/probe?debug=true&target="+f.worker(0)).Body.String()
			for _, p := range parts() {
				for _, family := range compile(p.tables) {
					if shown := strings.Contains(page, family.name+"{"); shown != p.isOn(choice) && family.name != "dragon_parse_errors_total" {
						t.Errorf("%s on the debug page: %v", family.name, shown)
					}
				}
			}
			asked = f.dragons.Dragon(0).Traffic().Requests
		})
		return names, asked
	}
	all, asked := run(t, everything)
	for name, paths := range endpoints {
		if asked[paths[0]] == 0 {
			t.Errorf("%s: never asked", name)
		}
	}
	for _, p := range parts() {
		if p.Name == "" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			choice := maps.Clone(everything)
			choice[p.Name] = false
			without, asked := run(t, choice)
			want := maps.Clone(all)
			there := 0
			for _, family := range compile(p.tables) {
				if all[family.name] {
					there++
				}
				delete(want, family.name)
			}
			if there == 0 {
				t.Error("nothing of it is ever there")
			}
			if diff := cmp.Diff(want, without); diff != "" {
				t.Error(diff)
			}
			for _, path := range endpoints[p.Name] {
				if asked[path] > 0 {
					t.Errorf("%s was asked %d times", path, asked[path])
				}
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		nothing := map[string]bool{}
		for _, s := range Switches() {
			nothing[s.Name] = false
		}
		names, asked := run(t, nothing)
		for _, name := range []string{"dragon_up", "dragon_info"} {
			if !names[name] {
				t.Errorf("%s is gone", name)
			}
		}
		if len(names) > 5 || asked["getAutoTune"] > 0 {
			t.Errorf("%v %v", names, asked)
		}
	})
}

func TestChipsAreOffUnlessAskedFor(t *testing.T) {
	var on []string
	for _, s := range Switches() {
		if s.On {
			on = append(on, s.Name)
		}
	}
	if diff := cmp.Diff([]string{"system", "boards", "pools", "restarts", "autotune", "errors", "firmware", "power", "facts"}, on); diff != "" {
		t.Error(diff)
	}
	if got := Facts(nil); slices.Contains(got, fleet.Chips) || len(got) != 4 {
		t.Errorf("%v", got)
	}
	if got := Facts(map[string]bool{"chips": true, "firmware": false}); !slices.Contains(got, fleet.Chips) || slices.Contains(got, fleet.Firmware) {
		t.Errorf("%v", got)
	}
}

func TestChipsOfEachModel(t *testing.T) {
	choice := map[string]bool{"chips": true, "boards": false, "pools": false}
	for _, m := range dragontest.Models() {
		t.Run(m.Key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarmWithFacts(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{Model: m.Key} }},
					factsFor(choice), func(c *Config) { c.Switches = choice })
				defer f.close()
				f.scraped(t)
				time.Sleep(10 * time.Minute)
				families := parse(t, f.scraped(t))
				for _, family := range compile([]grouped{chipTable()}) {
					if n, want := len(families[family.name].GetMetric()), m.Boards*m.Chips; n != want {
						t.Errorf("%s: %d series, want %d", family.name, n, want)
					}
				}
				for _, metric := range families["dragon_chip_temperature_celsius"].GetMetric() {
					if v := metric.GetGauge().GetValue(); v < 40 || v > 110 {
						t.Errorf("a chip has %v degrees", v)
					}
				}
			})
		})
	}
}

// A scrape costs a dragon one request, and one overview more every five minutes;
// facts are asked for beside it, as often as their intervals say and no more.
func TestAScrapeCostsOneRequestWhateverIsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		choice := map[string]bool{"chips": true}
		f := newFarmWithFacts(t, dragontest.FleetConfig{Count: 3, Specs: func(i int) dragontest.Spec { return dragontest.Spec{Model: []string{"t3+", "t2t", "t1"}[i]} }},
			factsFor(choice), func(c *Config) { c.Switches = choice })
		defer f.close()
		f.scraped(t)
		time.Sleep(5 * time.Minute)
		for i := range 3 {
			f.dragons.Dragon(i).ForgetTraffic()
		}
		const minutes, scrapes = 60, 2 * 60
		for range scrapes {
			time.Sleep(time.Minute / 2)
			f.scraped(t)
		}
		atMost := map[string]int{"auth": 1, "overview": minutes/5 + 3, "getAutoTune": minutes / 10, "getErrorDetail": minutes/3 + 1, "getErrorMessage": minutes/3 + 1, "getDebugStats": minutes / 5, "getAll": minutes / 5, "getLatestFirmwareVersion": 1}
		for i := range 3 {
			got := f.dragons.Dragon(i).Traffic()
			if n := got.Requests["summary"]; n != scrapes {
				t.Errorf("dragon %d: %d summaries in %d scrapes", i, n, scrapes)
			}
			for endpoint, n := range got.Requests {
				if most, known := atMost[endpoint]; endpoint != "summary" && (!known || n > most) {
					t.Errorf("dragon %d: %s %d times, at most %d", i, endpoint, n, most)
				}
			}
			for _, endpoint := range []string{"getAutoTune", "getDebugStats"} {
				if n := got.Requests[endpoint]; n < atMost[endpoint]*7/10 {
					t.Errorf("dragon %d: %s only %d times", i, endpoint, n)
				}
			}
			if got.MaxInFlight > 1 {
				t.Errorf("dragon %d: %d requests at once", i, got.MaxInFlight)
			}
		}
	})
}

func TestErrorsAreDecodedWhereTheCodeIsKnown(t *testing.T) {
	for _, c := range []struct{ code, says, want string }{
		{"24", "anything", `code="24",message="SPI blocked on some boards"`},
		{"32", "", `code="32",message="too hot"`},
		{"77", "new \"kind\"\nof error", `code="77",message="new \"kind\"�of error"`},
		{"77", strings.Repeat("é", 4000), `code="77",message="` + strings.Repeat("é", 78) + `…"`},
		{"", "", ""},
	} {
		info, health, r := aDragon(0)
		r.Facts.Errors.Value = dragon.ErrorReport{Code: c.code, Message: c.says}
		page := pageOf(t, aCollector(t), []*sample{newSample(info, health, newLabelCache(newSharedLabels()), r, nil, 0)})
		if got := strings.Contains(page, "\ndragon_error_info{"); got != (c.want != "") {
			t.Errorf("code %q: an error is shown: %v", c.code, got)
		}
		if !strings.Contains(page, c.want) {
			t.Errorf("code %q: no %s in\n%s", c.code, c.want, page)
		}
	}
}

func TestADragonThatWasNotReadShowsNoFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarmWithFacts(t, dragontest.FleetConfig{}, factsFor(nil))
		defer f.close()
		f.scraped(t)
		time.Sleep(5 * time.Minute)
		if page := f.scraped(t); !strings.Contains(page, "\ndragon_autotune_info{") {
			t.Error("no autotune profile")
		}
		f.dragons.Dragon(0).Inject(dragontest.Unplugged)
		f.transport.CloseIdleConnections()
		series := seriesOf(f.scraped(t), f.worker(0))
		for name := range series {
			if strings.HasPrefix(name, "dragon_autotune") || strings.HasPrefix(name, "dragon_facts") {
				t.Errorf("%s of a dragon that is down", name)
			}
		}
		if len(series) == 0 {
			t.Error("nothing at all")
		}
	})
}

func TestRestartsAreOnThePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		want := func(miner, system string) {
			t.Helper()
			series, w := seriesOf(f.scraped(t), f.worker(0)), f.worker(0)
			for labels, n := range map[string]string{
				`initiator="unknown",kind="miner"`: miner, `initiator="unknown",kind="system"`: system,
				`initiator="healer",kind="miner"`: "0", `initiator="healer",kind="system"`: "0",
			} {
				if got := series[`dragon_restarts_observed_total{`+labels+`,worker="`+w+`"}`]; got != n {
					t.Errorf("%s: %q, want %s", labels, got, n)
				}
			}
		}
		want("0", "0")
		time.Sleep(time.Minute)
		f.dragons.Dragon(0).RestartMiner()
		time.Sleep(time.Minute)
		want("1", "0")
		f.dragons.Dragon(0).Reboot()
		want("1", "0") // it does not answer, and is known all the same
		time.Sleep(10 * time.Minute)
		want("1", "1")
	})
}
