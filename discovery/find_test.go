package discovery

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Dragons at 127.10.0.1 to .7, of which only a part is named; a switch at .8.
		f := newFarm(t, dragontest.FleetConfig{Count: 7, Strangers: []dragontest.StrangerKind{dragontest.Switch}, Port: 8080}, Config{
			Port:     8080,
			Networks: networks(t, "127.10.0.0/30", "127.10.0.8/32"),
			Targets:  targets("127.10.0.7:8080"),
		})
		known := f.fleet.Lookup
		if d, err := f.Find(t.Context(), "127.10.0.1"); err != nil || d == nil || d.Info().IP != "127.10.0.1" {
			t.Fatalf("an address of the networks: %v", err)
		}
		info := known("127.10.0.1:8080").Info()
		dials := f.simulated.Dials()
		for _, target := range []string{"127.10.0.1:8080", info.Worker, info.MAC} {
			if d, err := f.Find(t.Context(), target); err != nil || d == nil || d.Info().IP != "127.10.0.1" {
				t.Errorf("Find(%q) of a known dragon: %v", target, err)
			}
		}
		for _, target := range []string{
			"127.10.0.5",             // a dragon, outside of the networks
			"127.10.0.3",             // the broadcast address
			"127.10.0.0",             // the network address
			"127.10.0.2:8080",        // a port in the query
			"127.10.0.2:22",          //
			"http://127.10.0.2",      // a scheme
			"admin:admin@127.10.0.2", // user information
			"127.10.0.2/api/reboot",  //
			"127.10.0.2%eth0",        //
			"::ffff:127.10.0.2",      // another spelling
			"127.10.2",               //
			"127.010.0.2",            //
			"0x7f.10.0.2",            //
			"2131361794",             //
			"localhost",              // a name
			"",
			"dragon-00000000",
		} {
			if d, err := f.Find(t.Context(), target); !isUnknown(err) || d != nil {
				t.Errorf("Find(%q) = %v, %v, want ErrUnknownTarget", target, d, err)
			}
		}
		if now := f.simulated.Dials(); len(now) != len(dials) {
			t.Errorf("a target that is not allowed was connected to: %v", now)
		}
		if _, err := f.Find(t.Context(), "127.10.0.8"); !isUnknown(err) {
			t.Errorf("a switch: %v, want the same error as for an unknown target", err)
		}
		if d, err := f.Find(t.Context(), "127.10.0.7:8080"); err != nil || d.Info().IP != "127.10.0.7" {
			t.Errorf("a static target: %v", err)
		}
	})
}

func TestAHostAloneFindsItsOnlyDragon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Port: 8080}, Config{Port: 8080, Networks: networks(t, "127.10.0.1/32")})
		f.scan()
		f.cfg.Port, f.hosts = 80, expand(nil, nil, 80) // now only what is known may be found
		dials := len(f.simulated.Dials())
		d, err := f.Find(t.Context(), "127.10.0.1")
		if err != nil || d.Info().Address != "127.10.0.1:8080" {
			t.Errorf("the only dragon of a host: %v", err)
		}
		if o := f.fleet.Lookup("127.10.0.1"); o != nil {
			t.Errorf("port 80, which is unused, is %s", o.Info().Address)
		}
		f.fleet.Sighted(t.Context(), fleet.Sighting{Address: "127.10.0.1:8081", Identity: &dragon.Identity{Overview: &dragon.Overview{MAC: "a0:b0:45:00:00:02"}}})
		if d, err := f.Find(t.Context(), "127.10.0.1"); !isUnknown(err) {
			t.Errorf("one of two was found: %v", d)
		}
		if len(f.simulated.Dials()) != dials {
			t.Error("a host outside of the networks was connected to")
		}
	})
}

func TestAStaticTargetIsNotTheDragonAtAnotherPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Port: 8080}, Config{Port: 8080, Networks: networks(t, "127.10.0.1/32"), Targets: targets("127.10.0.1:80")})
		f.scan()
		if f.visit(t.Context(), f.targets[0]) {
			t.Error("port 80 is up, which is unused")
		}
		if d, err := f.Find(t.Context(), "127.10.0.1:80"); !isUnknown(err) {
			t.Errorf("port 80 is %v", d)
		}
	})
}

func TestAPortIsNamedOnlyWhereTheNetworksHaveSeveral(t *testing.T) {
	s := New(Config{Port: 8080, Networks: networks(t, "127.10.0.1/32", "127.10.0.2/32:8080-8081")})
	for target, want := range map[string]string{
		"127.10.0.1":      "127.10.0.1:8080",
		"127.10.0.1:8080": "",
		"127.10.0.2":      "", // which of the two?
		"127.10.0.2:8080": "127.10.0.2:8080",
		"127.10.0.2:8081": "127.10.0.2:8081",
		"127.10.0.2:8082": "",
		"127.10.0.3:8080": "",
		"miner":           "",
	} {
		if got, ok := s.allowed(t.Context(), target); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", target, got, ok, want)
		}
	}
}

// isUnknown reports whether err says that the target is unknown, and nothing more.
func isUnknown(err error) bool {
	return errors.Is(err, ErrUnknownTarget) && err.Error() == ErrUnknownTarget.Error()
}

func TestFindersOfOneAddressAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/30")})
		f.simulated.Dragon(0).Inject(dragontest.Slow, dragontest.Delay(time.Second)) // long enough for all to meet
		var finders sync.WaitGroup
		for range 50 {
			finders.Go(func() {
				if d, err := f.Find(t.Context(), "127.10.0.1"); d == nil {
					t.Error(err)
				}
			})
		}
		finders.Wait()
		got := f.simulated.Dragon(0).Traffic()
		if got.Logins != 1 || got.MaxInFlight != 1 {
			t.Errorf("%d logins and up to %d requests at once", got.Logins, got.MaxInFlight)
		}
	})
}

func TestFindersBehindAHangingHostGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 100, Specs: func(int) dragontest.Spec {
			return dragontest.Spec{Faults: []dragontest.Fault{dragontest.Hang}}
		}}, Config{Networks: networks(t, "127.10.0.0/24")})
		var finders sync.WaitGroup
		for i := range 100 {
			finders.Go(func() {
				if _, err := f.Find(t.Context(), f.simulated.Host(i).String()); !errors.Is(err, ErrUnknownTarget) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := len(f.simulated.Dials()); n > finding {
			t.Errorf("%d hosts asked at once, want at most %d", n, finding)
		}
		finders.Wait()
	})
}

func TestANamedDragonThatAProbeMeetsFirstDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowdedFarm(t, 400, 700, Config{Networks: networks(t, "127.10.0.0/25"), Interval: 5 * time.Minute})
		f.scan()
		f.scan()
		f.Scanner = f.With(Config{Networks: networks(t, "127.10.0.0/23"), Targets: targets("127.10.2.1"), Fleet: f.fleet, Client: f.cfg.Client, Dial: f.dial})
		f.scan()
		_, err := f.Find(t.Context(), "127.10.2.1")
		if up := f.visit(t.Context(), f.targets[0]); err != nil || !up {
			t.Errorf("found %v, visited %t: %+v", err, up, f.targets[0].status())
		}
	})
}
