package discovery

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// run runs the scanner until the function it returns is called.
func (f *farm) run() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			f.t.Error(err)
		}
	})
	return func() { cancel(); running.Wait() }
}

func (f *farm) up(target string) bool {
	synctest.Wait()
	return testutil.ToFloat64(f.metrics.targetUp.WithLabelValues(target)) == 1
}

func TestAStaticTargetIsFoundWithoutAScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Targets: targets("127.10.0.1", "127.10.0.2"), Interval: 300 * time.Second})
		defer f.run()()
		synctest.Wait()
		time.Sleep(time.Second)
		if f.fleet.Lookup("127.10.0.1") == nil || !f.up("127.10.0.1") {
			t.Error("the target is not known at once")
		}
		if f.up("127.10.0.2") {
			t.Error("a target without a dragon is up")
		}
	})
}

func TestAStaticTargetThatIsNotThereYetIsAskedOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Targets: targets("127.10.0.1:80"), Interval: time.Hour})
		d := f.simulated.Dragon(0)
		d.Inject(dragontest.Unplugged)
		defer f.run()()
		time.Sleep(70 * time.Second)
		if f.up("127.10.0.1:80") {
			t.Fatal("up while it is unplugged")
		}
		d.Clear()
		time.Sleep(25 * time.Second)
		if !f.up("127.10.0.1:80") || f.fleet.Lookup("127.10.0.1") == nil {
			t.Error("not found within 25 s of its return")
		}
		before := d.Traffic().Total()
		time.Sleep(50 * time.Minute)
		if n := d.Traffic().Total(); n != before {
			t.Errorf("%d requests to a known dragon within the interval", n-before)
		}
		if !f.up("127.10.0.1:80") {
			t.Error("down without a reason")
		}
		time.Sleep(20 * time.Minute)
		if n := d.Traffic().Total(); n == before {
			t.Error("an unread dragon was not asked again after the interval")
		}
	})
}

func TestAStaticTargetThatGoesDownIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Targets: targets("127.10.0.1"), Interval: 300 * time.Second})
		defer f.run()()
		time.Sleep(time.Second)
		d := f.fleet.Lookup("127.10.0.1")
		if _, err := d.Read(t.Context(), 0); err != nil || !f.up("127.10.0.1") {
			t.Fatalf("up is %v: %v", f.up("127.10.0.1"), err)
		}
		f.simulated.Dragon(0).Inject(dragontest.Status500)
		for range 3 {
			if _, err := d.Read(t.Context(), 0); err == nil {
				t.Fatal("read a broken dragon")
			}
		}
		time.Sleep(look)
		if f.up("127.10.0.1") {
			t.Error("up, and its last reading failed")
		}
	})
}

// resolver is a name server whose answers change.
type resolver struct {
	mu    sync.Mutex
	names map[string]string
}

func (r *resolver) set(name, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = map[string]string{name: address}
}

func (r *resolver) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.names[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestAHostNameThatResolvesLaterIsFoundThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names resolver
		f := newFarm(t, dragontest.FleetConfig{Count: 2}, Config{Targets: targets("miner.example"), Interval: time.Minute, Resolve: names.resolve})
		defer f.run()()
		time.Sleep(10 * time.Minute)
		if f.up("miner.example") || len(f.simulated.Dials()) > 0 {
			t.Fatal("up, and it has no address")
		}
		names.set("miner.example", "127.10.0.1")
		time.Sleep(look + time.Second)
		if !f.up("miner.example") || f.fleet.Lookup("127.10.0.1") == nil {
			t.Error("not found once its name had an address")
		}
		names.set("miner.example", "127.10.0.2")
		time.Sleep(look + time.Second)
		if !f.up("miner.example") || f.fleet.Lookup("127.10.0.2") == nil {
			t.Error("not found where its name leads now")
		}
	})
}

func (f *farm) locked(want string) {
	f.t.Helper()
	synctest.Wait()
	var got []string
	for _, l := range f.Status().Locked {
		got = append(got, l.Address)
	}
	if s := strings.Join(got, " "); s != want || testutil.ToFloat64(f.metrics.locked) != float64(len(got)) {
		f.t.Errorf("locked are %q, want %q; the metric says %v", s, want, testutil.ToFloat64(f.metrics.locked))
	}
}

func TestAStaticTargetThatIsGoneIsNotLocked(t *testing.T) {
	for name, c := range map[string]struct {
		fails error // of connects
		reset bool
		want  string
	}{
		"nothing listens there":         {fails: syscall.ECONNREFUSED},
		"no host":                       {fails: syscall.EHOSTUNREACH},
		"this machine has no route":     {fails: syscall.ENETUNREACH, want: "127.10.0.1"},
		"this machine has no free file": {fails: syscall.EMFILE, want: "127.10.0.1"},
		"it breaks its connections":     {reset: true, want: "127.10.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{}, Config{Targets: targets("127.10.0.1"), Interval: time.Minute})
				var fails atomic.Pointer[error]
				transport := dragon.NewTransport()
				transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					if err := fails.Load(); err != nil {
						return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", *err)}
					}
					return f.simulated.DialContext(ctx, network, address)
				}
				t.Cleanup(transport.CloseIdleConnections)
				f.cfg.Client.Transport = transport
				sim := f.simulated.Dragon(0)
				sim.Inject(dragontest.WrongPassword)
				defer f.run()()
				f.locked("127.10.0.1")
				if c.fails != nil {
					fails.Store(&c.fails)
				}
				if c.reset {
					sim.Inject(dragontest.Reset)
				}
				time.Sleep(time.Hour)
				f.locked(c.want)
			})
		})
	}
}

func TestAHostNameThatLeadsElsewhereIsNotLockedWhereItLed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names resolver
		names.set("miner.example", "127.10.0.1")
		f := newFarm(t, dragontest.FleetConfig{Count: 3}, Config{
			Networks: networks(t, "127.10.0.2/32"), Targets: targets("miner.example", "127.10.0.3"), Interval: time.Minute, Resolve: names.resolve})
		for i := range 3 {
			f.simulated.Dragon(i).Inject(dragontest.WrongPassword)
		}
		defer f.run()()
		time.Sleep(time.Second)
		f.locked("127.10.0.1 127.10.0.2 127.10.0.3")
		names.set("other.example", "127.10.0.1")
		time.Sleep(2 * look)
		f.locked("127.10.0.1 127.10.0.2 127.10.0.3") // for a while it led nowhere
		for _, address := range []string{"127.10.0.2", "127.10.0.3", "127.10.0.2"} {
			names.set("miner.example", address)
			time.Sleep(2 * look)
			f.locked("127.10.0.2 127.10.0.3") // the one is scanned, the other a target
		}
	})
}

func TestAHostNameHasASite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names resolver
		names.set("miner.example", "127.10.0.1")
		f := newFarm(t, dragontest.FleetConfig{Count: 2}, Config{
			Targets: []Target{{Name: "miner.example", Site: "hall-a"}, {Name: "127.10.0.2"}}, Interval: time.Minute, Resolve: names.resolve})
		stop := f.run()
		time.Sleep(time.Second)
		site := func(address, want string) {
			t.Helper()
			if got := f.Site(address); got != want {
				t.Errorf("%s: site %q, want %q", address, got, want)
			}
			if d := f.fleet.Lookup(address); d != nil && d.Info().Site != want {
				t.Errorf("%s: the fleet has the site %q, want %q", address, d.Info().Site, want)
			}
		}
		site("127.10.0.1", "hall-a")
		site("127.10.0.2", "")
		stop()
		f.Scanner = f.With(Config{Targets: []Target{{Name: "miner.example", Site: "hall-b"}}, Interval: time.Minute, Resolve: names.resolve, Fleet: f.fleet, Client: f.cfg.Client, Dial: f.dial})
		f.fleet.RefreshSite("127.10.0.1")
		site("127.10.0.1", "hall-b")
		names.set("miner.example", "127.10.0.2")
		defer f.run()()
		time.Sleep(look)
		f.fleet.RefreshSite("127.10.0.1")
		site("127.10.0.2", "hall-b")
		site("127.10.0.1", "")
	})
}

func TestInvalidTargetsAreReported(t *testing.T) {
	for target, want := range map[string]string{
		"":                    "not a host",
		"http://127.0.0.1":    "port",
		"http://127.0.0.1:80": "not a host",
		"127.0.0.1:0":         "port",
		"127.0.0.1:http":      "port",
		"127.0.0.1:65536":     "port",
		"admin@127.0.0.1":     "not a host",
		"127.0.0.1/24":        "not a host",
		"a b":                 "not a host",
		"miner`":              "not a host",
		"miner{":              "not a host",
		"miner@":              "not a host",
		"miner[":              "not a host",
		"miner/":              "not a host",
		"miner;":              "not a host",
	} {
		if err := CheckTarget(target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckTarget(%q) = %v, want an error about %s", target, err, want)
		}
	}
	for _, target := range []string{"127.0.0.1", "127.0.0.1:8080", "miner-1.example", "miner_1:81", "azAZ09._-:65535", "::1", "[::1]:80"} {
		if err := CheckTarget(target); err != nil {
			t.Errorf("CheckTarget(%q) = %v", target, err)
		}
	}
}

func TestNamesBecomeAddresses(t *testing.T) {
	s := New(Config{Port: 8080})
	for name, want := range map[string]string{
		"localhost":        "127.0.0.1:8080",
		"localhost:80":     "127.0.0.1",
		"127.0.0.1":        "127.0.0.1:8080",
		"127.0.0.1:80":     "127.0.0.1",
		"::ffff:127.0.0.1": "127.0.0.1:8080",
		"[::1]:81":         "[::1]:81",
	} {
		if got, err := s.resolve(t.Context(), name); got != want {
			t.Errorf("%s is %s, want %s: %v", name, got, want, err)
		}
	}
}

func FuzzCheckTarget(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "miner:80", "http://x", "[::1]:80", "a@b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckTarget(s) == nil && strings.ContainsAny(s, "/@?# \n\"") {
			t.Errorf("%q is taken for a host", s)
		}
	})
}
