package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// farm is a fleet on a network in memory, with a scanner and a fleet.
type farm struct {
	*Scanner
	t         testing.TB
	simulated *dragontest.Fleet

	mu       sync.Mutex
	begun    time.Time
	tries    map[netip.Addr][]time.Duration // connects of scans, by when
	lastTry  time.Duration
	now, max int                                     // connects of scans at once
	labels   map[string]*fleet.Labels                // by MAC
	fail     func(a netip.Addr, try int) (err error) // makes a connect of a scan fail, if it returns an error
}

// errLost is the failure of a connect whose packets were lost.
var errLost = errors.New("lost")

func newFarm(t testing.TB, hc dragontest.FleetConfig, c Config) *farm {
	t.Helper()
	hc.InMemory = true
	simulated, err := dragontest.NewFleet(hc)
	if err != nil {
		t.Fatal(err)
	}
	transport := dragon.NewTransport()
	transport.DialContext = simulated.DialContext
	c.Client.Transport = transport
	farm := &farm{t: t, simulated: simulated, begun: time.Now(), tries: make(map[netip.Addr][]time.Duration)}
	f, err := fleet.Open(fleet.Config{Client: c.Client, Site: func(address string) string { return farm.Site(address) },
		Labels: func(mac string) *fleet.Labels { return farm.labels[mac] }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		simulated.Close()
	})
	c.Fleet, c.Dial = f, farm.dial
	farm.Scanner = New(c)
	return farm
}

func (f *farm) dial(ctx context.Context, network, address string) (net.Conn, error) {
	a := netip.MustParseAddrPort(address).Addr()
	f.mu.Lock()
	f.lastTry = time.Since(f.begun)
	f.tries[a] = append(f.tries[a], f.lastTry)
	f.now++
	f.max = max(f.max, f.now)
	var err error
	if f.fail != nil {
		err = f.fail(a, len(f.tries[a]))
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now--
	}()
	if errors.Is(err, errLost) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return f.simulated.DialContext(ctx, network, address)
}

func (f *farm) scan() Result {
	f.t.Helper()
	r, err := f.Scan(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func TestScanOfBlackHolesTakesLessThanTwoTimeouts(t *testing.T) {
	for _, test := range []struct {
		network  string
		parallel int
		limit    time.Duration
	}{
		{"127.10.0.0/22", 768, 2 * time.Second},
		{"127.10.0.0/22", 900, 2 * time.Second},
		{"127.10.0.0/20", 768, 6 * time.Second},
		{"127.10.0.0/16", 768, 60 * time.Second},
	} {
		t.Run(test.network, func(t *testing.T) {
			if testing.Short() && test.limit > 10*time.Second {
				t.Skip("takes seconds of computing")
			}
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{Count: 3, Silent: true}, Config{
					Networks: networks(t, test.network), ConnectTimeout: time.Second, Parallel: test.parallel,
				})
				r := f.scan()
				if r.Duration > test.limit {
					t.Errorf("took %v, want at most %v", r.Duration, test.limit)
				}
				if r.Scanned != r.Addresses || r.Open != 3 || len(r.Found) != 3 {
					t.Errorf("scanned %d of %d addresses, %d open, %d dragons", r.Scanned, r.Addresses, r.Open, len(r.Found))
				}
				if f.max > test.parallel {
					t.Errorf("%d connects at once, want at most %d", f.max, test.parallel)
				}
				for i := range f.hosts.total {
					if a := f.hosts.at(i).Addr(); len(f.tries[a]) != 2 && f.fleet.Lookup(a.String()) == nil {
						t.Fatalf("%v was tried %d times, want a second try before the verdict", a, len(f.tries[a]))
					}
				}
			})
		})
	}
}

func TestRefusedIsAVerdictAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/24")})
		if r := f.scan(); r.Scanned != 254 || r.Duration > 100*time.Millisecond {
			t.Errorf("scanned %d addresses in %v", r.Scanned, r.Duration)
		}
		for a, tries := range f.tries {
			if len(tries) != 1 {
				t.Errorf("%v was tried %d times", a, len(tries))
			}
		}
	})
}

func TestALostConnectDoesNotLoseADragon(t *testing.T) {
	for name, failure := range map[string]error{
		"no answer":        errLost,
		"no neighbour":     os.NewSyscallError("connect", syscall.EHOSTUNREACH),
		"no route yet":     os.NewSyscallError("connect", syscall.ENETUNREACH),
		"out of resources": os.NewSyscallError("socket", syscall.EMFILE),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{Count: 20}, Config{Networks: networks(t, "127.10.0.0/24")})
				f.fail = func(_ netip.Addr, try int) error {
					if try == 1 {
						return failure
					}
					return nil
				}
				if r := f.scan(); len(r.Found) != 20 || r.Failed != 0 {
					t.Errorf("%d of 20 dragons found, %d addresses failed", len(r.Found), r.Failed)
				}
				for a, tries := range f.tries {
					if len(tries) == 2 && tries[1]-tries[0] < time.Second {
						t.Errorf("%v was tried again after %v; a second ARP request goes out after a second", a, tries[1]-tries[0])
					}
				}
			})
		})
	}
}

func TestLocalFailuresOfAScanAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/24")})
		f.fail = func(netip.Addr, int) error { return os.NewSyscallError("socket", syscall.EMFILE) }
		r, err := f.Scan(t.Context())
		if !errors.Is(err, syscall.EMFILE) || r.Failed != 254 || r.Scanned != 254 {
			t.Errorf("scanned %d, failed %d: %v", r.Scanned, r.Failed, err)
		}
		if n := testutil.ToFloat64(f.metrics.scans.WithLabelValues(failed)); n != 1 {
			t.Errorf("%v failed scans counted", n)
		}
	})
}

// Without a route nothing is known of any address, so nothing is forgotten.
func TestAScanWithoutARouteForgetsNoLockedDragon(t *testing.T) {
	for _, failure := range []syscall.Errno{syscall.ENETUNREACH, syscall.ENETDOWN} {
		synctest.Test(t, func(t *testing.T) {
			f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/29")})
			f.simulated.Dragon(0).Inject(dragontest.WrongPassword)
			if r := f.scan(); r.Locked != 1 {
				t.Fatalf("%+v", r)
			}
			f.fail = func(netip.Addr, int) error { return os.NewSyscallError("connect", failure) }
			r, err := f.Scan(t.Context())
			if !errors.Is(err, failure) || r.Failed != 6 || f.Status().Outcome != failed {
				t.Errorf("%v: %+v, %v", failure, r, err)
			}
			if n := len(f.Status().Locked); n != 1 {
				t.Errorf("%v: %d dragons are locked, want the one from before", failure, n)
			}
		})
	}
}

func TestAScanIsCutAtItsIntervalAndTheNextOneGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 1700 * time.Millisecond
		f := newFarm(t, dragontest.FleetConfig{Silent: true}, Config{
			Networks: networks(t, "127.10.0.0/20"), Interval: interval, Parallel: 500,
		})
		for n := 1; len(f.tries) < int(f.hosts.total); n++ {
			r, err := f.Scan(t.Context())
			if !errors.Is(err, ErrCut) || r.Duration != interval {
				t.Fatalf("scan took %v, want it cut at %v: %v", r.Duration, interval, err)
			}
			if n > 20 {
				t.Fatalf("after %d scans only %d of %d addresses were tried", n, len(f.tries), f.hosts.total)
			}
		}
	})
}

func TestScansKeepTheIntervalAndDoNotOverlap(t *testing.T) {
	for _, test := range []struct {
		name                   string
		interval               time.Duration
		complete, cut, stopped float64
	}{
		{"time to spare", 10 * time.Second, 5, 0, 0},
		{"interval too short", time.Second, 0, 4, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{Silent: true}, Config{
					Networks: networks(t, "127.11.0.0/23"), Interval: test.interval, Parallel: 512,
				})
				ctx, cancel := context.WithTimeout(t.Context(), 4*test.interval+test.interval/2)
				defer cancel()
				if err := f.Run(ctx); err != nil {
					t.Error(err)
				}
				for outcome, want := range map[string]float64{complete: test.complete, cut: test.cut, stopped: test.stopped} {
					if n := testutil.ToFloat64(f.metrics.scans.WithLabelValues(outcome)); n != want {
						t.Errorf("%v scans in four and a half intervals were %s, want %v", n, outcome, want)
					}
				}
				if f.max > 512 {
					t.Errorf("%d connects at once: scans overlap", f.max)
				}
				if tries := f.tries[f.hosts.at(0).Addr()]; test.cut == 0 {
					for i, seconds := range []float64{0, 1, 10, 11, 20, 21, 30, 31, 40, 41} {
						if tries[i].Seconds() != seconds {
							t.Errorf("try %d of the first address at %v, want %vs", i, tries[i], seconds)
						}
					}
				}
			})
		})
	}
}

func TestTwoScansWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Silent: true}, Config{Networks: networks(t, "127.10.0.0/24")})
		var scans sync.WaitGroup
		for range 2 {
			scans.Go(func() { f.scan() })
		}
		scans.Wait()
		if f.max > 254 {
			t.Errorf("%d connects at once to 254 addresses", f.max)
		}
	})
}

func TestShutdownIsAtOnce(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"while connecting":          100 * time.Millisecond,
		"before the second try":     800 * time.Millisecond,
		"while asking who it is":    3 * time.Second,
		"while waiting for a queue": 12 * time.Second,
		"between scans":             200 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{Count: 300, Silent: true, Specs: func(int) dragontest.Spec {
					return dragontest.Spec{Faults: []dragontest.Fault{dragontest.Hang}}
				}}, Config{Networks: networks(t, "127.10.0.0/22"), Targets: targets("127.12.0.1"), Interval: 300 * time.Second})
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				begun := time.Now()
				if err := f.Run(ctx); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took != after {
					t.Errorf("ended %v after it was told to", took-after)
				}
			})
		})
	}
}

func TestHostsThatHangDoNotHoldUpTheConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 200, Silent: true, Specs: func(i int) dragontest.Spec {
			if i%2 == 0 {
				return dragontest.Spec{Faults: []dragontest.Fault{dragontest.Hang}}
			}
			return dragontest.Spec{}
		}}, Config{Networks: networks(t, "127.10.0.0/22"), IdentifyTimeout: 5 * time.Second})
		r := f.scan()
		if f.lastTry > 2*time.Second {
			t.Errorf("the last connect was at %v", f.lastTry)
		}
		if len(r.Found) != 100 || r.Unanswered != 100 {
			t.Errorf("%d dragons found and %d hosts without an answer, want 100 each", len(r.Found), r.Unanswered)
		}
	})
}

func TestDragonsThatAnsweredLatelyAreNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 5}, Config{Networks: networks(t, "127.10.0.0/28")})
		f.scan()
		time.Sleep(4 * time.Minute)
		if r := f.scan(); r.Known != 5 || r.Scanned != 14 || r.Open != 0 {
			t.Errorf("%+v", r)
		}
		time.Sleep(2 * time.Minute)
		r := f.scan()
		if r.Known != 0 || len(r.Found) != 5 {
			t.Errorf("dragons not read for six minutes: %+v", r)
		}
		for _, found := range r.Found {
			if found.Change != fleet.Unchanged {
				t.Errorf("%s is %s", found.Address, found.Change)
			}
		}
		if got := f.simulated.Dragon(0).Traffic(); got.MaxInFlight > 1 {
			t.Errorf("%d requests at once to one dragon", got.MaxInFlight)
		}
	})
}

func TestAScanTellsWhatItFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var progress []int
		f := newFarm(t, dragontest.FleetConfig{Count: 2, Port: 8080}, Config{
			Networks: networks(t, "127.10.0.0/29"), Port: 8080,
			Progress: func(done, total int) {
				if total != 6 {
					t.Errorf("total %d", total)
				}
				progress = append(progress, done)
			},
		})
		r := f.scan()
		if len(r.Found) != 2 {
			t.Fatalf("%+v", r)
		}
		for _, found := range r.Found {
			if found.Change != fleet.Added || found.Identity.Brand != dragon.DragonMint || found.Identity.Overview.Model != "T1" {
				t.Errorf("%+v", found)
			}
			if d := f.fleet.Lookup(found.Address); d == nil || d.Info().Address != found.Address {
				t.Errorf("the fleet does not know %s", found.Address)
			}
		}
		if len(progress) != 6 || progress[5] != 6 {
			t.Errorf("progress %v", progress)
		}
	})
}

// journal is a log to be counted.
type journal [][]any

var journalMu sync.Mutex // of all journals: a scan logs from many goroutines

func (j *journal) Log(kv ...any) error {
	journalMu.Lock()
	defer journalMu.Unlock()
	*j = append(*j, kv)
	return nil
}

func TestALockedDragonIsNotStormedWithLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec {
			return dragontest.Spec{Password: "changed"}
		}}, Config{Networks: networks(t, "127.10.0.1/32"), Interval: 300 * time.Second})
		said := &journal{}
		f.cfg.Logger = level.NewFilter(said, level.AllowWarn())
		begun := time.Now()
		for time.Since(begun) < 14*time.Minute {
			if r := f.scan(); r.Locked != 1 || len(r.Found) != 0 {
				t.Fatalf("%+v", r)
			}
			time.Sleep(time.Minute)
		}
		if n := f.simulated.Dragon(0).Traffic().RefusedLogins; n != 2 {
			t.Errorf("%d logins in 14 minutes, want each of the two credentials tried once", n)
		}
		time.Sleep(2 * time.Minute)
		f.scan()
		if n := f.simulated.Dragon(0).Traffic().RefusedLogins; n != 4 {
			t.Errorf("%d logins after 16 minutes, want a second round", n)
		}
		for range 10 {
			time.Sleep(time.Hour)
			f.scan()
		}
		if len(*said) != 1 {
			t.Errorf("it was said %d times in ten hours", len(*said))
		}

		// It is opened for a day, and locked again.
		sim := f.simulated.Dragon(0)
		sim.SetPassword("admin", "admin")
		time.Sleep(time.Hour)
		if r := f.scan(); len(r.Found) != 1 {
			t.Fatalf("%+v", r)
		}
		sim.SetPassword("admin", "changed")
		time.Sleep(time.Hour)
		f.scan()
		if len(*said) != 2 {
			t.Errorf("that it was locked again was said %d times", len(*said)-1)
		}
	})
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	New(Config{Registerer: reg, Targets: targets("127.0.0.9")})
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	for name, want := range map[string]int{
		"mother_discovery_scan_duration_seconds":       1,
		"mother_discovery_addresses_scanned_total":     1,
		"mother_discovery_last_scan_timestamp_seconds": 1,
		"mother_discovery_scans_total":                 5,
		"mother_discovery_unanswered_hosts":            1,
		"mother_discovery_identifications_total":       5,
		"mother_target_up":                             1,
		"mother_discovery_locked_hosts":                1,
	} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != want {
			t.Errorf("%d series of %s, want %d: %v", n, name, want, err)
		}
	}
}

func TestParallelLeavesFilesForOthers(t *testing.T) {
	for files, want := range map[uint64]int{0: 1600, 1: 1, 256: 192, 1024: 768, 1200: 900, 4096: 1024, 6400: 1600, 1 << 20: 1600, 1<<64 - 1: 1600} {
		if got := parallel(files); got != want {
			t.Errorf("%d open files allow %d connects, want %d", files, got, want)
		}
	}
}

// BenchmarkScan scans a /22 of loopback on which half a hundred dragons live; loopback
// refuses where there is no host.
func BenchmarkScan(b *testing.B) {
	simulated, err := dragontest.NewFleet(dragontest.FleetConfig{Count: 50})
	if err != nil {
		b.Fatal(err)
	}
	defer simulated.Close()
	for b.Loop() {
		transport := dragon.NewTransport()
		f, err := fleet.Open(fleet.Config{Client: dragon.Options{Transport: transport}})
		if err != nil {
			b.Fatal(err)
		}
		s := New(Config{
			Networks: networks(b, "127.10.0.0/22"),
			Port:     simulated.Port(),
			Client:   dragon.Options{Transport: transport},
			Fleet:    f,
		})
		if r, err := s.Scan(b.Context()); err != nil || len(r.Found) != 50 {
			b.Fatalf("%+v %v", r, err)
		}
		transport.CloseIdleConnections()
	}
}
