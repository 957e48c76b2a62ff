package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// crowdedFarm is a farm whose fleet takes in so many new dragons at first.
func crowdedFarm(t *testing.T, most, count int, c Config) *farm {
	f := newFarm(t, dragontest.FleetConfig{Count: count}, c)
	transport := dragon.NewTransport()
	transport.DialContext = f.simulated.DialContext
	t.Cleanup(transport.CloseIdleConnections)
	c.Client.Transport = transport
	dragons, err := fleet.Open(fleet.Config{Client: c.Client, Most: most})
	if err != nil {
		t.Fatal(err)
	}
	c.Fleet, c.Dial = dragons, f.dial
	f.Scanner = New(c)
	return f
}

func TestAFloodOfNewDragonsWaitsForAHuman(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand dragons take the race detector a minute")
	}
	synctest.Test(t, func(t *testing.T) {
		f := crowdedFarm(t, 300, 1000, Config{Networks: networks(t, "127.10.0.0/22"), Interval: 5 * time.Minute})
		for i, want := range []int{300, 500, 600, 600} { // a first scan; 200 more; twice as many in all
			r := f.scan()
			list, more := f.fleet.Waiting()
			if n := len(f.fleet.Dragons()); n != want || len(list)+more != 1000-want || r.Waiting != 1000-want {
				t.Errorf("scan %d: %d dragons, %d wait by the fleet and %d by the scan; want %d and %d", i+1, n, len(list)+more, r.Waiting, want, 1000-want)
			}
			time.Sleep(6 * time.Minute)
		}
		list, _ := f.fleet.Waiting()
		if _, err := f.fleet.Accept("dragon-00000000"); err == nil {
			t.Error("a dragon that does not wait was accepted")
		}
		for _, name := range []string{list[0].Address, list[1].MAC, dragon.WorkerName(list[2].MAC)} {
			if got, err := f.fleet.Accept(name); err != nil || len(got) != 1 {
				t.Errorf("accepting %s: %v, %v", name, got, err)
			}
		}
		f.askAgain(t.Context())
		for _, w := range list[:3] {
			if f.fleet.Lookup(w.Address) == nil {
				t.Errorf("%s was accepted and is not known a minute later", w.Address)
			}
		}
		if len(f.fleet.Dragons()) != 603 {
			t.Errorf("%d dragons, want 603", len(f.fleet.Dragons()))
		}
		if all, err := f.fleet.Accept(""); err != nil || len(all) != 397 {
			t.Errorf("all that wait are %d: %v", len(all), err)
		}
		if r := f.scan(); len(f.fleet.Dragons()) != 1000 || r.Waiting != 0 {
			t.Errorf("%d dragons, %d wait", len(f.fleet.Dragons()), r.Waiting)
		}
	})
}

func TestAFarmThatGrowsAndNamedDragonsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowdedFarm(t, 400, 600, Config{Networks: networks(t, "127.10.0.0/25"), Targets: targets("127.10.2.1", "127.10.2.2"), Interval: 5 * time.Minute})
		f.scan()
		f.scan()
		if n := len(f.fleet.Dragons()); n != 126 {
			t.Fatalf("%d dragons", n)
		}
		f.Scanner = f.With(Config{Networks: networks(t, "127.10.0.0/24"), Targets: targets("127.10.2.1", "127.10.2.2"), Fleet: f.fleet, Client: f.cfg.Client, Dial: f.dial})
		if r := f.scan(); r.Waiting != 0 || len(f.fleet.Dragons()) != 254 {
			t.Errorf("a row of 128 more: %d wait, %d dragons", r.Waiting, len(f.fleet.Dragons()))
		}
		f.Scanner = f.With(Config{Networks: networks(t, "127.10.0.0/22"), Targets: targets("127.10.2.1", "127.10.2.2"), Fleet: f.fleet, Client: f.cfg.Client, Dial: f.dial})
		r := f.scan()
		list, _ := f.fleet.Waiting()
		if r.Waiting != 144 || len(list) != 144 {
			t.Errorf("344 more at once, and 2 that are named: %d wait", r.Waiting)
		}
		for _, target := range f.targets { // the scan has met them
			if f.fleet.Lookup(target.name) == nil {
				t.Errorf("%s is named, and waits", target.name)
			}
		}
	})
}

func TestAWaitingDragonThatIsGoneIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowdedFarm(t, 1, 3, Config{Networks: networks(t, "127.10.0.0/29"), Interval: 5 * time.Minute})
		for i := range 2 {
			if r := f.scan(); r.Waiting != 3-[]int{1, 2}[i] {
				t.Errorf("scan %d: %d wait", i+1, r.Waiting)
			}
			time.Sleep(6 * time.Minute)
		}
		list, _ := f.fleet.Waiting()
		for i := range 3 {
			if f.simulated.Host(i).String() == list[0].Address {
				f.simulated.Dragon(i).Inject(dragontest.Unplugged)
			}
		}
		f.scan()
		time.Sleep(6 * time.Minute)
		f.scan()
		if list, more := f.fleet.Waiting(); len(list)+more != 0 {
			t.Error(fmt.Sprint("it is gone, and still waits: ", list))
		}
	})
}

// The program may start before its network does.
func TestAScanThatReachedNothingIsNotTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowdedFarm(t, 20_000, 250, Config{Networks: networks(t, "127.10.0.0/24"), Interval: 5 * time.Minute})
		f.scanWithoutARoute()
		if r := f.scan(); len(f.fleet.Dragons()) != 250 || r.Waiting != 0 {
			t.Errorf("%d dragons, %d wait", len(f.fleet.Dragons()), r.Waiting)
		}
	})
}

func TestAScanThatTriedNothingForgetsNoneThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := crowdedFarm(t, 100, 250, Config{Networks: networks(t, "127.10.0.0/24"), Interval: 5 * time.Minute})
		f.scan()
		for i := range 3 {
			if list, _ := f.fleet.Waiting(); len(list) != 150 {
				t.Errorf("after %d scans without a route %d wait, want 150", i, len(list))
			}
			time.Sleep(6 * time.Minute)
			f.scanWithoutARoute()
		}
	})
}

// scanWithoutARoute scans while this machine has no route to the dragons.
func (f *farm) scanWithoutARoute() {
	f.t.Helper()
	f.fail = func(netip.Addr, int) error { return os.NewSyscallError("connect", syscall.ENETUNREACH) }
	defer func() { f.fail = nil }()
	if r, err := f.Scan(f.t.Context()); !errors.Is(err, syscall.ENETUNREACH) || r.Failed != r.Addresses {
		f.t.Errorf("%+v, %v", r, err)
	}
}
