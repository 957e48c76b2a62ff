package fleet

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

const (
	askAutoTune = "/api/getAutoTune"
	askDetail   = "/api/getErrorDetail"
	askMessage  = "/api/getErrorMessage"
	askVendor   = "/api/getLatestFirmwareVersion"
	askChips    = "/api/getDebugStats"
	askAll      = "/api/getAll"
)

// every asks for the facts in their own rhythms.
func every(facts ...Fact) Config {
	c := Config{Facts: map[Fact]time.Duration{}}
	for _, f := range facts {
		c.Facts[f] = 0
	}
	return c
}

// hurried is a jitter that has the vendor asked within the first hour.
func hurried(limit time.Duration) time.Duration { return limit / 100 }

// between fails unless n is from least to most.
func (h *hall) between(what string, n, least, most int) {
	h.Helper()
	if n < least || n > most {
		h.Errorf("%s: %d, want %d to %d", what, n, least, most)
	}
}

func TestFactsAreReadEachInItsRhythm(t *testing.T) {
	inHall(t, every(AutoTune, Errors, Firmware, Chips), func(h *hall) {
		const a = "10.1.0.8"
		d, sim := h.dragon(a, dragontest.Spec{Model: "t3+"})
		time.Sleep(time.Hour)
		if h.lan.asked(a, askAutoTune)+h.lan.asked(a, askDetail) > 0 || !d.Facts().AutoTune.At.IsZero() {
			h.Error("asked before it was ever read")
		}
		sim.SetError("32", "over temperature")
		r := h.read(d)
		if r.Facts == nil || !r.Facts.AutoTune.At.IsZero() {
			h.Error("a reading knows a fact that was never read")
		}
		began, requests := time.Now(), h.lan.total()
		time.Sleep(factSoon + time.Second)
		f := d.Facts()
		if f.AutoTune.Value.Mode != "factory" || f.AutoTune.Value.Level != dragon.Known(2) || f.AutoTune.At.Before(began) {
			h.Errorf("autotune: %+v", f.AutoTune)
		}
		if f.Errors.Value.Code != "32" || f.Errors.Value.Message != "over temperature" {
			h.Errorf("errors: %+v", f.Errors)
		}
		if len(f.Chips.Value) != 3 || len(f.Chips.Value[0].Details) != 114 {
			h.Errorf("chips of %d boards", len(f.Chips.Value))
		}
		if n := h.lan.total() - requests; n != 3 {
			h.Errorf("%d requests for three facts", n)
		}
		sim.SetError("0", "")
		time.Sleep(24 * time.Hour)
		h.between("autotune in a day", h.lan.asked(a, askAutoTune), 130, 146)
		h.between("errors in a day", h.lan.asked(a, askDetail), 435, 483)
		h.between("chips in a day", h.lan.asked(a, askChips), 260, 290)
		h.between("firmware in a day", h.lan.told(a, askVendor), 1, 1)
		if n := h.lan.asked(a, askMessage); n != 0 {
			h.Errorf("asked %d times for what it told in detail", n)
		}
		if code := d.Facts().Errors.Value.Code; code != "" {
			h.Errorf("error %q is gone", code)
		}
		if h.lan.mostAt(a) > 1 {
			h.Errorf("%d requests at once", h.lan.mostAt(a))
		}
		if n := h.lan.asked(a, "/api/auth"); n > 2+2+4 { // found, and one in six hours; the vendor's question has its own
			h.Errorf("%d logins", n)
		}
	})
}

// What a firmware does not report is asked for once a day.
func TestPowerIsReadWhereItIsReported(t *testing.T) {
	for model, reports := range map[string]bool{"t3+": true, "t2t": false, "t1": false} { // t2t: getAll without a figure; t1: no getAll
		inHall(t, every(Power), func(h *hall) {
			const a = "10.1.0.8"
			d, sim := h.dragon(a, dragontest.Spec{Model: model})
			h.read(d)
			time.Sleep(time.Hour)
			power := d.Facts().Power
			if watts := power.Value.Or(0); reports != (watts > 1900 && watts < 2500) || reports == power.At.IsZero() {
				h.Errorf("%s: %+v", model, power)
			}
			if n := h.lan.asked(a, askAll); !reports && n > 2 {
				h.Errorf("%s: asked %d times in an hour for what it does not have", model, n)
			}
			if !reports {
				return
			}
			sim.Inject(dragontest.PoolDead) // it hashes no more
			time.Sleep(20 * time.Minute)
			if watts := d.Facts().Power.Value.Or(0); watts <= 0 || watts > 1000 {
				h.Errorf("%g W without a pool", watts)
			}
		})
	}
}

// To wake up for one question costs more than the question.
func TestFactsAreReadTogether(t *testing.T) {
	inHall(t, every(AutoTune, Errors), func(h *hall) {
		const n = 40
		for i := range n {
			d, _ := h.dragon(fmt.Sprintf("10.1.0.%d", i+1), dragontest.Spec{Model: "t3+", MAC: fmt.Sprintf("dc:07:c1:00:00:%02x", i+1)})
			h.read(d)
			time.Sleep(time.Second / 7) // so that no two of them begin together
		}
		time.Sleep(time.Hour)
		for _, d := range h.Dragons() {
			for _, fact := range []Fact{AutoTune, Errors} {
				if at := d.Facts().of(fact).at(); at.IsZero() || at.Sub(h.began)%factBeat != fact.turn() {
					h.Errorf("%s of %s was read %v after the start", fact, d.Info().Worker, at.Sub(h.began))
				}
			}
		}
		if n := h.lan.mostAt(""); n > factWorkers {
			h.Errorf("%d requests at once", n)
		}
	})
}

func TestOnlyWantedFactsAreAskedFor(t *testing.T) {
	inHall(t, every(Errors), func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{Model: "t2t"})
		h.read(d)
		time.Sleep(48 * time.Hour)
		for _, path := range []string{askAutoTune, askVendor, askChips} {
			if n := h.lan.asked("10.1.0.8", path); n > 0 {
				h.Errorf("%s: %d times", path, n)
			}
		}
		h.between("errors", h.lan.asked("10.1.0.8", askMessage), 800, 1000)
		if n := h.lan.asked("10.1.0.8", askDetail); n != 1 {
			h.Errorf("%d times for the detail that its firmware does not have", n)
		}
		f := d.Facts()
		if f.Errors.At.IsZero() || !f.AutoTune.At.IsZero() || !f.Firmware.At.IsZero() {
			h.Errorf("%+v", f)
		}
	})
}

func TestWhatAFirmwareDoesNotOfferIsAskedRarely(t *testing.T) {
	inHall(t, every(Errors), func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		time.Sleep(10 * 24 * time.Hour)
		h.between("errors in ten days", h.lan.told("10.1.0.8", askMessage), 9, 10)
		before := h.lan.asked("10.1.0.8", askMessage)
		for range 5 { // neither a return nor a restart is a reason
			sim.Inject(dragontest.Unplugged, dragontest.Lasting(time.Minute))
			if _, err := d.Read(h.Context(), 0); err == nil {
				h.Error("read")
			}
			time.Sleep(2 * time.Minute)
			sim.RestartMiner()
			time.Sleep(2 * time.Minute)
			h.read(d)
		}
		time.Sleep(10 * time.Minute)
		h.between("after that", h.lan.asked("10.1.0.8", askMessage)-before, 0, 1)
	})
}

// A firmware that tells its errors in detail only is not taken for one that does not
// tell them, for an answer that was spoilt.
func TestAGarbledErrorDetailIsAskedAgain(t *testing.T) {
	for _, fault := range []dragontest.Fault{dragontest.Garbage, dragontest.HTML} {
		t.Run(string(fault), func(t *testing.T) {
			inHall(t, every(Errors), func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{Model: "t3+"})
				sim.SetError("32", "over temperature")
				h.lan.put("10.1.0.8", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == askMessage {
						http.NotFound(w, r)
						return
					}
					sim.ServeHTTP(w, r)
				}))
				sim.Inject(fault, dragontest.On("getErrorDetail"))
				h.read(d)
				time.Sleep(3 * time.Minute)
				if n := h.lan.told("10.1.0.8", askDetail); n == 0 || !d.Facts().Errors.At.IsZero() {
					h.Fatalf("asked %d times, told %+v", n, d.Facts().Errors)
				}
				sim.Clear()
				time.Sleep(time.Hour)
				if e := d.Facts().Errors.Value; e.Code != "32" {
					h.Errorf("an hour after one spoilt answer: %+v", e)
				}
			})
		})
	}
}

func TestAFactExpiresWhileTheLaneIsTaken(t *testing.T) {
	inHall(t, every(AutoTune), func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{Model: "t2t"})
		h.read(d)
		time.Sleep(factSoon + time.Second)
		if d.Facts().AutoTune.At.IsZero() {
			h.Fatal("never read")
		}
		var writing sync.WaitGroup
		writing.Go(func() {
			_ = d.Write(h.Context(), "upgrade", func(context.Context, *dragon.Client) error { time.Sleep(time.Hour); return nil })
		})
		time.Sleep(20 * time.Minute)
		if d.Facts().AutoTune.At.IsZero() {
			h.Error("forgotten early")
		}
		time.Sleep(15 * time.Minute)
		if !d.Facts().AutoTune.At.IsZero() {
			h.Error("shown for longer than three intervals")
		}
		writing.Wait()
	})
}

func TestNoIntervalHasTheVendorAskedMoreThanDaily(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 24 * time.Hour, time.Hour: 24 * time.Hour, 72 * time.Hour: 72 * time.Hour} {
		c := Config{Facts: map[Fact]time.Duration{Firmware: given}}
		if got := c.interval(Firmware); got != want {
			t.Errorf("%v became %v, want %v", given, got, want)
		}
	}
}

func TestDragonsThatAreDownAreNotAsked(t *testing.T) {
	inHall(t, every(AutoTune, Errors, Firmware, Chips), func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Model: "t2t"})
		h.read(d)
		time.Sleep(30 * time.Minute)
		h.lan.put("10.1.0.8", nil)
		_, _ = d.Read(h.Context(), 0)
		before := h.lan.asked("10.1.0.8", askAutoTune) + h.lan.asked("10.1.0.8", askMessage) + h.lan.asked("10.1.0.8", askChips)
		time.Sleep(48 * time.Hour)
		after := h.lan.asked("10.1.0.8", askAutoTune) + h.lan.asked("10.1.0.8", askMessage) + h.lan.asked("10.1.0.8", askChips)
		if after != before || h.lan.asked("10.1.0.8", askVendor) > 1 {
			h.Errorf("asked %d times while it was down", after-before)
		}
		stale := d.Facts().AutoTune.At
		h.lan.put("10.1.0.8", sim)
		time.Sleep(2 * time.Minute) // the retry reads it
		if h.Lookup("10.1.0.8").Health().Up != true || d.Facts().AutoTune.At.Equal(stale) {
			h.Error("back, and showing what it said two days ago")
		}
		time.Sleep(factSoon)
		if d.Facts().AutoTune.At.Before(time.Now().Add(-2*factSoon)) || d.Facts().Chips.At.IsZero() {
			h.Errorf("not asked again after its return: %v", d.Facts().AutoTune.At)
		}
	})
}

// It waits for its turn at the site, and may go down before that.
func TestADragonThatWentDownDoesNotAskItsVendor(t *testing.T) {
	inHall(t, Config{Facts: map[Fact]time.Duration{Firmware: 0}, Jitter: hurried}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		h.lan.put("10.1.0.8", nil)
		_, _ = d.Read(h.Context(), 0)
		d.askVendor(h.Context())
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.firmwareAsked.IsZero() || !d.factPoll(Firmware).next.IsZero() {
			h.Errorf("asked at %v, to be asked at %v: want neither", d.firmwareAsked, d.factPoll(Firmware).next)
		}
	})
}

func TestFactsAreAskedSoonAfterAWriteAndNotAllAtOnce(t *testing.T) {
	for name, c := range map[string]struct{ jitter, least time.Duration }{
		"the first": {0, time.Second},
		"the last":  {factAgain - 1, time.Second + factAgain - 1},
	} {
		t.Run(name, func(t *testing.T) {
			jitter := func(time.Duration) time.Duration { return c.jitter }
			inHall(t, Config{Facts: map[Fact]time.Duration{Pools: 0}, Jitter: jitter}, func(h *hall) {
				d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
				h.read(d)
				d.mu.Lock()
				defer d.mu.Unlock()
				d.refreshFactsSoon()
				if got := time.Until(d.factPoll(Pools).next); got < c.least || got > c.least+factBeat+Pools.turn() {
					h.Errorf("asked in %v, want %v or at the beat after", got, c.least)
				}
			})
		})
	}
}

func TestAFactThatFailsIsAskedLessAndThenForgotten(t *testing.T) {
	inHall(t, every(AutoTune, Errors), func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Model: "t2t"})
		h.read(d)
		time.Sleep(5 * time.Minute)
		sim.Inject(dragontest.Garbage, dragontest.On("getAutoTune"))
		before := h.lan.asked("10.1.0.8", askAutoTune)
		time.Sleep(20 * time.Minute)
		if d.Facts().AutoTune.At.IsZero() {
			h.Error("forgotten at once")
		}
		time.Sleep(10 * time.Hour)
		if !d.Facts().AutoTune.At.IsZero() {
			h.Error("shown for hours after it was last read")
		}
		h.between("questions that failed", h.lan.asked("10.1.0.8", askAutoTune)-before, 8, 14)
		if !d.Health().Up || d.Facts().Errors.At.Before(time.Now().Add(-5*time.Minute)) {
			h.Error("it cost more than the one fact")
		}
		if n := h.log.said("fact not read"); n != 1 {
			h.Errorf("said %d times", n)
		}
		sim.Clear()
		time.Sleep(70 * time.Minute)
		if d.Facts().AutoTune.At.IsZero() {
			h.Error("not asked again")
		}
	})
}

// A question for a fact that the device does not answer holds up one scrape for a
// quarter of a reading's time at most, and no other after it.
func TestAHangingFactHardlyDelaysAScrape(t *testing.T) {
	inHall(t, every(AutoTune, Errors), func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Model: "t2t"})
		h.read(d)
		sim.Inject(dragontest.Hang, dragontest.On("getAutoTune"))
		slow, scrapes := 0, 0
		for end := time.Now().Add(12 * time.Hour); time.Now().Before(end); time.Sleep(15 * time.Second) {
			start := time.Now()
			h.read(d)
			scrapes++
			if took := time.Since(start); took > defaultTimeout/4 {
				h.Errorf("a scrape waited %v", took)
			} else if took > 0 {
				slow++
			}
		}
		h.between("scrapes that waited", slow, 0, 14)
		if scrapes < 2500 {
			h.Errorf("%d scrapes", scrapes)
		}
	})
}

func TestAFactDoesNotQueueForTheLane(t *testing.T) {
	inHall(t, every(AutoTune), func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{Model: "t2t"})
		h.read(d)
		var writing sync.WaitGroup
		writing.Go(func() {
			_ = d.Write(h.Context(), "upgrade", func(context.Context, *dragon.Client) error { time.Sleep(15 * time.Minute); return nil })
		})
		time.Sleep(14 * time.Minute)
		if n := h.lan.asked("10.1.0.8", askAutoTune); n > 0 {
			h.Errorf("%d questions beside a write", n)
		}
		writing.Wait()
		ended := time.Now()
		time.Sleep(2*time.Second + factAgain + factBeat) // the second that it waits at least, the chance, and the beat
		if at := d.Facts().AutoTune.At; at.Before(ended) {
			h.Errorf("not asked after the write that may have changed it: %v", at)
		}
	})
}

func TestAFactIsOnlyLearntFromTheDragonItself(t *testing.T) {
	inHall(t, Config{Facts: map[Fact]time.Duration{AutoTune: 10 * time.Minute, Firmware: 0}, Jitter: hurried}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1})
		h.read(d)
		time.Sleep(2 * time.Hour)
		before := *d.Facts()
		if before.AutoTune.Value.Mode != "balanced" || before.Firmware.At.IsZero() {
			h.Fatalf("%+v", before)
		}
		h.lan.put("10.1.0.8", dragontest.New(dragontest.Spec{Seed: 2, AutoTune: dragontest.AutoTune{Mode: "performance"}, Latest: dragontest.Release{Version: "t1_20991231_000000"}}))
		time.Sleep(2 * time.Hour)
		f := d.Facts()
		if f.AutoTune.Value.Mode == "performance" || f.Firmware.Value.Version == "t1_20991231_000000" {
			h.Errorf("learnt from another dragon: %+v", f)
		}
		if h.Lookup("10.1.0.8") == d {
			h.Error("the other dragon was not met")
		}
	})
}

func TestTheVendorIsAskedAtMostDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, l := t.TempDir(), newLAN()
		c := every(Firmware)
		c.Dir = dir
		h := openHall(t, c, l)
		const dragons = 20
		for i := range dragons {
			d, _ := h.dragon(fmt.Sprintf("10.1.0.%d", i+1), dragontest.Spec{Seed: uint64(i + 1), Latest: dragontest.Release{Version: "t1_20191231_000000"}})
			h.read(d)
		}
		asked := func() (n, most int) {
			for i := range dragons {
				k := l.told(fmt.Sprintf("10.1.0.%d", i+1), askVendor)
				n, most = n+k, max(most, k)
			}
			return n, most
		}
		time.Sleep(29 * time.Minute)
		if n, _ := asked(); n > 0 {
			t.Errorf("%d questions within the first half hour", n)
		}
		time.Sleep(12 * time.Hour)
		n, _ := asked()
		if n < 3 || n > dragons-3 {
			t.Errorf("%d of %d first questions in half a day", n, dragons)
		}
		time.Sleep(12 * time.Hour)
		if n, most := asked(); n != dragons || most != 1 {
			t.Errorf("%d questions in the first day, %d to one dragon", n, most)
		}
		for restart := range 8 { // a program that starts again and again
			h.stop()
			h = openHall(t, c, l)
			for _, d := range h.Dragons() {
				if f := d.Facts(); f.Firmware.Value.Version != "t1_20191231_000000" || f.UpgradeAvailable("t1_20180515_060842") != dragon.Known(1) {
					t.Errorf("restart %d: the answer is forgotten: %+v", restart, f.Firmware)
				}
				h.read(d)
			}
			time.Sleep(30 * time.Minute)
		}
		days := 3
		time.Sleep(time.Duration(days)*24*time.Hour - 4*time.Hour)
		if _, most := asked(); most > days+1 {
			t.Errorf("one dragon was asked %d times in %d days", most, days+1)
		}
		if n, _ := asked(); n < dragons*days {
			t.Errorf("%d questions in %d days", n, days+1)
		}
	})
}

func TestTheVendorIsAskedByOneDragonOfASiteAtATime(t *testing.T) {
	c := Config{
		Facts:  map[Fact]time.Duration{Firmware: 0},
		Jitter: hurried,
		Site: func(address string) string {
			return strings.Split(address, ".")[2]
		},
	}
	inHall(t, c, func(h *hall) {
		var sims [2][]*dragontest.Dragon
		for site := range sims {
			for i := range 15 {
				d, sim := h.dragon(fmt.Sprintf("10.1.%d.%d", site, i+1), dragontest.Spec{Seed: uint64(100*site + i + 1)})
				h.read(d)
				sims[site] = append(sims[site], sim)
				sim.Inject(dragontest.Hang, dragontest.On("getLatestFirmwareVersion"))
			}
		}
		most, together := [2]int{}, 0
		for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); time.Sleep(5 * time.Second) {
			both := 0
			for site := range sims {
				asking := 0
				for _, sim := range sims[site] {
					asking += sim.Traffic().InFlight
				}
				most[site] = max(most[site], asking)
				both += asking
			}
			together = max(together, both)
		}
		if most != [2]int{1, 1} {
			h.Errorf("at most %v dragons of a site asked at once, want 1", most)
		}
		if together != 2 {
			h.Error("the sites waited for each other")
		}
		asked := 0
		for site := range sims {
			for i := range sims[site] {
				asked += h.lan.asked(fmt.Sprintf("10.1.%d.%d", site, i+1), askVendor)
			}
		}
		h.between("questions", asked, 30, 30)
	})
}

func TestAVendorThatHangsDelaysNothing(t *testing.T) {
	inHall(t, Config{Facts: map[Fact]time.Duration{Firmware: 0, AutoTune: 10 * time.Minute}, Jitter: hurried}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		sim.Inject(dragontest.Hang, dragontest.On("getLatestFirmwareVersion"))
		time.Sleep(time.Second) // between two beats, at which other facts are asked for
		hung := 0
		for end := time.Now().Add(5 * time.Hour); time.Now().Before(end); time.Sleep(15 * time.Second) {
			start := time.Now()
			h.read(d)
			if took := time.Since(start); took > 0 {
				h.Errorf("a scrape waited %v", took)
			}
			if sim.Traffic().InFlight > 0 {
				hung++
			}
		}
		h.between("scrapes beside a hanging question", hung, 8, 9)
		if !d.Facts().Firmware.At.IsZero() || d.Facts().AutoTune.At.Before(time.Now().Add(-12*time.Minute)) {
			h.Errorf("%+v", d.Facts())
		}
		start := time.Now()
		h.stop()
		if took := time.Since(start); took > 0 {
			h.Errorf("the end waited %v", took)
		}
	})
}

func TestWhetherAnUpgradeIsThere(t *testing.T) {
	old, now, other := "t1_20180515_060842", "t1_20191231_000000", "t1_20180101_000000"
	said := func(latest, current string, upToDate dragon.Number) *Facts {
		return &Facts{Firmware: Dated[dragon.LatestFirmware]{dragon.LatestFirmware{Version: latest, CurrentVersion: current, UpToDate: upToDate}, time.Unix(1, 0)}}
	}
	for name, c := range map[string]struct {
		facts   *Facts
		running string
		want    dragon.Number
	}{
		"never asked":               {&Facts{}, old, dragon.Number{}},
		"there is":                  {said(now, old, dragon.Known(0)), old, dragon.Known(1)},
		"there is none":             {said(old, old, dragon.Known(1)), old, dragon.Known(0)},
		"only an older one":         {said(other, old, dragon.Known(1)), old, dragon.Known(0)},
		"upgraded since":            {said(now, old, dragon.Known(0)), now, dragon.Known(0)},
		"another one since":         {said(now, old, dragon.Known(0)), other, dragon.Number{}},
		"the dragon does not judge": {said(now, old, dragon.Number{}), old, dragon.Number{}},
		"what runs is not known":    {said(now, "", dragon.Known(0)), "", dragon.Number{}},
	} {
		if got := c.facts.UpgradeAvailable(c.running); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
