package discovery

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestNonDragonsAreLeftAlone(t *testing.T) {
	for _, kind := range dragontest.StrangerKinds() {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{Count: 3, Strangers: []dragontest.StrangerKind{kind, kind}},
					Config{Networks: networks(t, "127.10.0.0/28"), IdentifyTimeout: 5 * time.Second})
				r := f.scan()
				if len(r.Found) != 3 || r.Strangers+r.Unanswered != 2 || r.Scanned != 14 {
					t.Errorf("%+v", r)
				}
				if r.Duration > 11*time.Second { // a silent one is asked twice
					t.Errorf("took %v", r.Duration)
				}
				if len(f.fleet.Dragons()) != 3 {
					t.Errorf("the fleet has %d dragons", len(f.fleet.Dragons()))
				}
				first := f.simulated.Strangers()[0].Traffic()
				// Only its token tells a modified Antminer from a dragon.
				if first.Credentials > 0 && kind != dragontest.Antminer {
					t.Errorf("it was sent %d credentials", first.Credentials)
				}
				if r.Strangers == 0 {
					return
				}

				time.Sleep(50 * time.Minute)
				again := f.scan()
				if again.Strangers != 2 {
					t.Errorf("the next scan says %+v", again)
				}
				if now := f.simulated.Strangers()[0].Traffic(); now.Requests != first.Requests || now.Credentials != first.Credentials {
					t.Errorf("it was asked again within the hour: %+v after %+v", now, first)
				}
				time.Sleep(15 * time.Minute)
				f.scan()
				if now := f.simulated.Strangers()[0].Traffic(); now == first {
					t.Error("it was not asked again after an hour")
				}
			})
		})
	}
}

// A dragon that boots, or whose PHP is dead, answers with half an answer, or none.
func TestADragonThatAnsweredBadlyOnceIsFoundByTheNextScan(t *testing.T) {
	faults := []dragontest.Fault{
		dragontest.Hang, dragontest.Trickle, dragontest.Reset, dragontest.Slow, dragontest.Status500, dragontest.Status502,
		dragontest.Cut, dragontest.Truncated, dragontest.Empty,
	}
	for _, endpoint := range []string{"index", "overview", "auth"} {
		for _, fault := range faults {
			t.Run(string(fault)+" at "+endpoint, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.1/32"), IdentifyTimeout: 5 * time.Second})
					sim := f.simulated.Dragon(0)
					sim.Inject(fault, dragontest.On(endpoint))
					if r := f.scan(); r.Strangers > 0 || len(r.Found)+r.Unanswered != 1 {
						t.Errorf("%+v", r)
					}
					sim.Clear()
					time.Sleep(6 * time.Minute)
					if r := f.scan(); len(r.Found) != 1 {
						t.Errorf("well again, and not found: %+v", r)
					}
				})
			})
		}
	}
}

func TestANonDragonThatLeavesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/30")})
		f.nonDragons.remember("127.10.0.2", isStranger, time.Hour)
		f.scan() // no host there
		if _, ok := f.nonDragons.recall("127.10.0.2"); ok {
			t.Error("a dragon that gets the address would be taken for the stranger")
		}
	})
}

func TestTheMemoryOfNonDragonsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newVerdicts()
		for i := range 2 * remembered {
			s.remember(address(uint32(i)).String(), isStranger, time.Hour)
		}
		if len(s.m) != remembered {
			t.Errorf("%d remembered, want %d", len(s.m), remembered)
		}
		time.Sleep(time.Hour)
		s.remember("127.0.0.1", isStranger, time.Hour)
		if len(s.m) != 1 {
			t.Errorf("%d remembered after all but one are over", len(s.m))
		}
	})
}

func TestADragonThatMovesIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/29")})
		f.scan()
		worker := f.fleet.Lookup("127.10.0.1").Info().Worker
		if err := f.simulated.Move(0, f.simulated.Host(0).Next()); err != nil {
			t.Fatal(err)
		}
		r := f.scan()
		if len(r.Found) != 1 || r.Found[0].Address != "127.10.0.2" || r.Found[0].Change != "moved" {
			t.Errorf("%+v", r)
		}
		if d := f.fleet.Lookup(worker); d == nil || d.Info().Address != "127.10.0.2" {
			t.Error("the worker is not at its new address")
		}
	})
}

// tend runs the fleet, which asks for the dragons that are down, until the function it
// returns is called.
func (f *farm) tend() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.fleet.Run(ctx); err != nil {
			f.t.Error(err)
		}
	})
	return func() { cancel(); running.Wait() }
}

func (f *farm) known(i int) *fleet.Dragon {
	f.t.Helper()
	d := f.fleet.Lookup(f.simulated.Dragon(i).Spec().MAC)
	if d == nil {
		f.t.Fatalf("dragon %d is not known", i)
	}
	return d
}

func TestADragonThatIsDownIsLeftToTheFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{Password: "admin"} }},
			Config{Networks: networks(t, "127.10.0.1/32"), Targets: targets("127.10.0.1"), Interval: time.Minute})
		defer f.tend()()
		f.scan()
		d, sim := f.known(0), f.simulated.Dragon(0)
		sim.Inject(dragontest.Hang)
		if _, err := d.Read(t.Context(), 0); dragon.Reason(err) != "timeout" {
			t.Fatal(err)
		}
		sim.ForgetTraffic()
		tried := len(f.tries[f.hosts.at(0).Addr()])
		for range 20 {
			if r := f.scan(); r.Known != 1 || r.Duration > 0 {
				t.Fatalf("%+v", r)
			}
			if f.visit(t.Context(), f.targets[0]) {
				t.Fatal("a target that is down is up")
			}
			if o, err := f.Find(t.Context(), "127.10.0.1"); o != d {
				t.Fatal(err)
			}
			time.Sleep(7 * time.Second)
		}
		if n := len(f.tries[f.hosts.at(0).Addr()]); n != tried {
			t.Errorf("the scans connected to it %d times", n-tried)
		}
		sim.Inject(dragontest.WrongPassword)
		sim.Clear(dragontest.Hang)
		sim.SetPassword("admin", "changed")
		time.Sleep(14 * time.Minute)
		f.scan()
		if got := sim.Traffic(); got.MaxInFlight > 1 || got.RefusedLogins > 2 {
			t.Errorf("%d requests at once, %d refused logins", got.MaxInFlight, got.RefusedLogins)
		}
	})
}

func TestAScanDoesNotWaitForALongWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.1/32")})
		defer f.tend()()
		f.scan()
		d := f.known(0)
		var writing sync.WaitGroup
		writing.Go(func() {
			_ = d.Write(t.Context(), "upgrade", func(context.Context, *dragon.Client) error { time.Sleep(10 * time.Minute); return nil })
		})
		time.Sleep(6 * time.Minute) // it was not read lately
		if r := f.scan(); r.Known != 1 || r.Unanswered != 0 || r.Duration > 0 {
			t.Errorf("%+v", r)
		}
		began := time.Now()
		if a := f.ask(t.Context(), "127.10.0.1", false); a.verdict != isKnown || time.Since(began) > 0 {
			t.Errorf("%s after %v", a.verdict, time.Since(began))
		}
		writing.Wait()
	})
}

func TestAnUnreadDragonIsAskedUnderItsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.1/32")})
		defer f.tend()()
		f.scan()
		d, sim := f.known(0), f.simulated.Dragon(0)
		time.Sleep(10 * time.Minute)
		sim.ForgetTraffic()
		sim.Inject(dragontest.Slow, dragontest.Delay(time.Second))
		var reading sync.WaitGroup
		reading.Go(func() {
			if _, err := d.Read(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
		if r := f.scan(); len(r.Found) != 1 || r.Found[0].Change != fleet.Unchanged {
			t.Errorf("%+v", r)
		}
		reading.Wait()
		if got := sim.Traffic(); got.MaxInFlight != 1 || got.Logins != 0 {
			t.Errorf("%d requests at once, %d more logins", got.MaxInFlight, got.Logins)
		}
	})
}

// A scan leaves the address of a dragon that is down alone; the host that has it now is met
// by the fleet.
func TestANewDragonAtTheAddressOfOneThatIsDownIsFound(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault dragontest.Fault // of the new dragon at first
	}{
		{"in order", ""},
		{"its miner process is not ready", dragontest.NotReady},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{Count: 2}, Config{Networks: networks(t, "127.10.0.1/32"), Interval: time.Minute})
				defer f.tend()()
				f.scan()
				gone := f.known(0)
				if _, err := gone.Read(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				f.simulated.Dragon(0).Inject(dragontest.Unplugged)
				_, _ = gone.Read(t.Context(), 0)
				time.Sleep(time.Hour)
				at := f.simulated.Host(0)
				for i, to := range []string{"127.10.0.9", at.String()} {
					if err := f.simulated.Move(i, netip.MustParseAddr(to)); err != nil {
						t.Fatal(err)
					}
				}
				if tc.fault != "" {
					f.simulated.Dragon(1).Inject(tc.fault)
				}
				f.scan()
				time.Sleep(4 * time.Minute)
				if d := f.known(1); d.Info().Address != "127.10.0.1" {
					t.Errorf("%+v", d.Info())
				}
				if i := gone.Info(); i.IP != "" || f.fleet.Lookup("127.10.0.1") == gone {
					t.Errorf("the dragon that is gone still has the address: %+v", i)
				}
			})
		})
	}
}

func TestAScanThatMeetsOtherDragonsWhereKnownOnesWereFindsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2}, Config{Networks: networks(t, "127.10.0.0/29")})
		defer f.tend()()
		f.scan()
		time.Sleep(10 * time.Minute)
		if err := f.simulated.Swap(0, 1); err != nil {
			t.Fatal(err)
		}
		f.scan()
		for i := range 2 {
			if d := f.known(i); d.Info().Address != f.simulated.Host(i).String() {
				t.Errorf("dragon %d is at %s: %+v", i, f.simulated.Host(i), d.Info())
			}
		}
	})
}

// A router that sends every connection to the same dragon must not become a farm.
func TestAHostThatAnswersForAWholeNetworkIsFewDragons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		simulated, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 2, InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer simulated.Close()
		everywhere := func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != simulated.Addr(1) {
				address = simulated.Addr(0)
			}
			return simulated.DialContext(ctx, network, address)
		}
		transport := dragon.NewTransport()
		transport.DialContext = everywhere
		defer transport.CloseIdleConnections()
		options := dragon.Options{Transport: transport}
		f, err := fleet.Open(fleet.Config{Client: options})
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Networks: networks(t, "127.10.0.0/22"), Client: options, Fleet: f, Dial: everywhere})
		for range 2 {
			if _, err := s.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := len(f.Dragons()); n < 3 || n > 33 {
				t.Errorf("%d dragons", n)
			}
			if d := f.Lookup(simulated.Addr(1)); d == nil || d.Info().Conflict {
				t.Error("the dragon that is one is not there")
			}
		}
		if n := simulated.Dragon(0).Traffic().Total(); n > 20_000 {
			t.Errorf("%d requests for 1,022 addresses", n)
		}
	})
}
