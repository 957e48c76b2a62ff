package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestAReadingIsOneRequestInTheSteadyState(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		before := h.lan.total()
		for range 8 {
			time.Sleep(30 * time.Second)
			if r := h.read(d); r.Overview == nil || len(r.Summary.Boards) != 3 || !r.At.Equal(time.Now()) {
				h.Fatalf("reading %+v", r)
			}
		}
		if n := h.lan.total() - before; n != 8 || h.lan.asked("10.1.0.8", "/api/summary") != 9 {
			h.Errorf("8 readings made %d requests", n)
		}
	})
}

func TestTheOverviewIsReadWhenItMayHaveChanged(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(h *hall, sim *dragontest.Dragon)
		want   int
	}{
		{"nothing happened", func(*hall, *dragontest.Dragon) { time.Sleep(time.Minute) }, 0},
		{"it is six minutes old", func(*hall, *dragontest.Dragon) { time.Sleep(6 * time.Minute) }, 1},
		{"the miner process restarted", func(h *hall, _ *dragontest.Dragon) {
			h.post("10.1.0.8", "restartCgMiner")
			time.Sleep(40 * time.Second)
		}, 1},
		{"the dragon rebooted, which ends the login", func(h *hall, _ *dragontest.Dragon) {
			h.post("10.1.0.8", "reboot")
			time.Sleep(4 * time.Minute)
		}, 1},
		{"another dragon's login expired", func(_ *hall, sim *dragontest.Dragon) {
			sim.Inject(dragontest.AlwaysExpired, dragontest.Lasting(time.Second))
			time.Sleep(2 * time.Second)
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
				h.read(d)
				before := h.lan.asked("10.1.0.8", "/api/overview")
				tc.change(h, sim)
				r := h.read(d)
				if n := h.lan.asked("10.1.0.8", "/api/overview") - before; n != tc.want {
					h.Errorf("%d overviews, want %d", n, tc.want)
				}
				if tc.want > 0 && !r.Overview.At.Equal(time.Now()) {
					h.Errorf("the reading has an overview of %v", r.Overview.At)
				}
			})
		})
	}
}

func TestOverviewsOfAFleetAreNotDueTogether(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		const dragons = 50
		for i := range dragons {
			d, _ := h.dragon(fmt.Sprintf("10.1.0.%d", i+1), dragontest.Spec{Seed: uint64(i + 1)})
			h.read(d)
		}
		most := 0
		for scrape := 1; scrape <= 24; scrape++ {
			time.Sleep(15 * time.Second)
			before := h.lan.total()
			for _, d := range h.Dragons() {
				h.read(d)
			}
			twice := h.lan.total() - before - dragons
			if scrape < 16 && twice > 0 {
				h.Errorf("%d overviews before they are four minutes old", twice)
			}
			most = max(most, twice)
		}
		if most == 0 || most > dragons/2 {
			h.Errorf("at most %d of %d dragons were asked twice in a scrape", most, dragons)
		}
	})
}

// post makes a write to a simulated dragon by another hand than the fleet's.
func (h *hall) post(address, endpoint string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, "http://"+address+"/api/"+endpoint, http.NoBody)
	if err != nil {
		h.Fatal(err)
	}
	req.SetBasicAuth("admin", "dragonadmin")
	resp, err := h.lan.RoundTrip(req)
	if err != nil {
		h.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if !bytes.Contains(body, []byte(`"success":true`)) {
		h.Fatalf("%s: %s", endpoint, body)
	}
}

func TestAFailedOverviewDoesNotCostTheReading(t *testing.T) {
	for _, fault := range []dragontest.Fault{dragontest.Status500, dragontest.Garbage, dragontest.Hang} {
		t.Run(string(fault), func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
				old := h.read(d).Overview
				time.Sleep(overviewMaxAge * 6 / 5)
				sim.Inject(fault, dragontest.On("overview"))
				start, before := time.Now(), h.lan.asked("10.1.0.8", "/api/overview")
				r := h.read(d)
				if r.Overview != old || r.Summary == nil {
					h.Errorf("a reading with overview of %v", r.Overview.At)
				}
				if took := time.Since(start); took > 2500*time.Millisecond {
					h.Errorf("it took %v", took)
				}
				time.Sleep(10 * time.Second)
				h.read(d)
				if n := h.lan.asked("10.1.0.8", "/api/overview") - before; n != 1 {
					h.Errorf("%d overviews asked for within seconds of the failure, want 1", n)
				}
				sim.Clear()
				time.Sleep(time.Minute)
				if h.read(d).Overview == old {
					h.Error("the overview was not read again")
				}
			})
		})
	}
}

func TestANewSessionNeedsAnOverview(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		h.post("10.1.0.8", "reboot")
		time.Sleep(4 * time.Minute)
		sim.Inject(dragontest.Garbage, dragontest.On("overview"))
		if r, err := d.Read(h.Context(), 0); err == nil {
			h.Errorf("another dragon after a new login was taken for the dragon: %+v", r)
		}
	})
}

func TestAnIdleDragonIsKnownByItsNewOverview(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		h.post("10.1.0.8", "reboot")
		time.Sleep(4 * time.Minute) // the overview is not due
		sim.Inject(dragontest.NotReady)
		_, err := d.Read(h.Context(), 0)
		idle, ok := errors.AsType[*IdleError](err)
		if !ok || !idle.Overview.At.Equal(time.Now()) {
			h.Fatalf("%v with an overview from before the reboot", err)
		}
		other := dragontest.New(dragontest.Spec{Seed: 2})
		other.Inject(dragontest.NotReady)
		h.lan.put("10.1.0.8", other)
		if _, err := d.ReadNow(h.Context()); dragon.Reason(err) != "unreachable" {
			h.Errorf("another dragon that is idle: %v", err)
		}
	})
}

func TestUnreadableFieldsAreCounted(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		sim.Inject(dragontest.BogusTemperature)
		h.read(d)
		h.read(d)
		if n := d.Health().ParseErrors["DEVS.Temperature"]; n != 2 {
			h.Errorf("%v, want DEVS.Temperature 2", d.Health().ParseErrors)
		}
	})
	var h health
	for i := range 1000 {
		h.unreadable([]string{fmt.Sprint("field ", i)})
	}
	h.unreadable([]string{"field 1"})
	if len(h.parseErrors) != parseErrorFields+1 || h.parseErrors["other"] != 900 || h.parseErrors["field 1"] != 2 {
		t.Errorf("1000 fields of a device's invention became %d", len(h.parseErrors))
	}
}

func TestInfoStaysTheSameWhileNothingChanges(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		i := d.Info()
		for range 10 {
			time.Sleep(30 * time.Second)
			h.read(d)
			h.sight("10.1.0.8")
		}
		if d.Info() != i {
			h.Error("readings without news made a new Info")
		}
		time.Sleep(lastSeenLag)
		h.read(d)
		if !d.Info().LastSeen.Equal(time.Now()) {
			h.Errorf("LastSeen is %v behind", time.Since(d.Info().LastSeen))
		}
	})
}
