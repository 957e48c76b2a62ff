package collector

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cactus/go-statsd-client/v5/statsd/statsdtest"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestManagerLines(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		s, server, stop := f.mirror(t)
		defer stop()
		s.Scanned(1234567890*time.Nanosecond, 3)
		s.Action(&fleet.Info{Model: "T1", Worker: "dragon-4500e3ab"}, "poolsChanged")
		time.Sleep(gathering)
		want := []string{
			"dragons.manager.scan_timed:1234.567890|ms", "dragons.manager.scan.count:3|g",
			"dragons.worker.T1.dragon-4500e3ab.action.poolsChanged:1|c",
		}
		if diff := cmp.Diff(want, server.take()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAStopSendsWhatIsGathered(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		s, server, stop := f.mirror(t)
		s.Action(&fleet.Info{Model: "T1", Worker: "dragon-1"}, "rebooted")
		synctest.Wait()
		stop()
		if got := server.take(); !slices.Contains(got, "dragons.worker.T1.dragon-1.action.rebooted:1|c") {
			t.Errorf("sent %q", got)
		}
	})
}

// others are the lines that are not gauges of a dragon.
func others(lines []string) []string {
	return slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "worker.") && !strings.Contains(l, ".action.") })
}

func TestDragonsComeAndGo(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		_, server, stop := f.mirror(t)
		defer stop()
		action := "dragons.worker.T1." + f.worker(0) + ".action.added:1|c"
		time.Sleep(3 * time.Minute)
		added := []string{action, "dragons.manager.dragons.count:1|g", "dragons.manager.dragons.added:1|c"}
		if diff := cmp.Diff(added, others(server.take())); diff != "" {
			t.Errorf("found: %s", diff)
		}
		f.dragons.Dragon(0).Inject(dragontest.Reset)
		time.Sleep(3 * time.Minute)
		lost := []string{"dragons.manager.dragons.exception:1|c", "dragons.manager.dragons.stats_exception:1|c", "dragons.manager.dragons.count:0|g", "dragons.manager.dragons.removed:1|c"}
		if diff := cmp.Diff(lost, others(server.take())); diff != "" {
			t.Errorf("lost: %s", diff)
		}
		f.dragons.Dragon(0).Clear()
		time.Sleep(3 * time.Minute)
		if diff := cmp.Diff(added, others(server.take())); diff != "" {
			t.Errorf("back: %s", diff)
		}
		// A write is not a reason to lose a dragon.
		err := f.Fleet.Dragons()[0].Write(t.Context(), "restart", func(context.Context, *dragon.Client) error {
			time.Sleep(3 * time.Minute)
			return nil
		})
		if lines := server.take(); err != nil || len(others(lines)) > 0 || len(lines) > 500 {
			t.Errorf("%v %q", err, lines)
		}
	})
}

func TestEachDragonHasItsTurnOnTime(t *testing.T) {
	t.Parallel()
	inFarm(t, 20, func(t *testing.T, f *farm) {
		for i := range f.dragons.Len() { // however long they take
			f.dragons.Dragon(i).Inject(dragontest.Slow, dragontest.Delay(time.Duration(i+1)*100*time.Millisecond))
		}
		start := time.Now()
		_, server, stop := f.mirror(t)
		defer stop()
		const rounds = 20
		time.Sleep(rounds*time.Minute + 30*time.Second)
		turns := map[int]bool{}
		for i := range f.dragons.Len() {
			info := f.Fleet.Lookup(f.dragons.Addr(i)).Info()
			at := server.arrivals("dragons." + workerName(info) + ".hardware.")
			if len(at) < rounds {
				t.Errorf("%s came %d times in %d minutes", info.Worker, len(at), rounds)
				continue
			}
			delay := time.Duration(i+1) * 100 * time.Millisecond
			for n, got := range at {
				want := start.Add(time.Duration(n)*time.Minute + time.Duration(statsdSlot(info.MAC, statsdSlots))*time.Second + 6*time.Second + delay)
				if !got.Equal(want) && !got.Equal(want.Add(delay)) { // a reading takes two requests now and then
					t.Errorf("%s came the time %d at %v, want %v", info.Worker, n, got.Sub(start), want.Sub(start))
					break
				}
			}
			turns[statsdSlot(info.MAC, statsdSlots)] = true
		}
		if len(turns) < 12 {
			t.Errorf("20 dragons have %d different turns", len(turns))
		}
	})
}

func TestTurnsAreSpread(t *testing.T) {
	const dragons = 6000
	var n [statsdSlots]int
	for i := range dragons {
		n[statsdSlot(fmt.Sprintf("a0:b0:45:%02x:%02x:%02x", i>>16, i>>8&255, i&255), statsdSlots)]++
	}
	if least, most := slices.Min(n[:]), slices.Max(n[:]); least < 50 || most > 200 {
		t.Errorf("%d to %d of %d dragons at once", least, most, dragons)
	}
}

// Wherever in the interval the scrape is, and although it comes a little sooner or
// later each time, statsd asks no dragon anything.
func TestStatsdAddsNoRequestToScrapesAtTheSamePace(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{
		"at a dragon's turn": 0, "when it would be read without": 6 * time.Second, "in between": 3 * time.Second, "after": 30 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			inFarm(t, 10, func(t *testing.T, f *farm) {
				// No delay is as long as a scrape comes late: whether one that begins at the
				// moment another reading ends shares it is for the scheduler to say.
				for i := range f.dragons.Len() {
					f.dragons.Dragon(i).Inject(dragontest.Slow, dragontest.Delay(time.Duration(i+1)*50*time.Millisecond+7*time.Millisecond))
				}
				first := time.Duration(statsdSlot(f.Fleet.Lookup(f.dragons.Addr(0)).Info().MAC, statsdSlots))*time.Second + after
				start := time.Now()
				_, server, stop := f.mirror(t)
				defer stop()
				jitter := []int{0, 150, -90, 40, -150, 150, -150, 90} // milliseconds
				const settled, rounds = 8, 24
				before := 0
				for n := range rounds {
					late := time.Duration(jitter[n%len(jitter)]) * time.Millisecond
					due := start.Add(first + time.Duration(n+1)*time.Minute + late)
					if n == settled { // counted while nothing reads
						time.Sleep(time.Until(due.Add(-time.Second)))
						before = f.summaries()
						server.take()
					}
					time.Sleep(time.Until(due))
					f.scraped(t)
				}
				time.Sleep(time.Until(start.Add(first + (rounds+1)*time.Minute - time.Second)))
				if n, want := f.summaries()-before, (rounds-settled)*f.dragons.Len(); n != want {
					t.Errorf("%d requests, want the %d of the scrapes", n, want)
				}
				mirrorings := 0
				for _, line := range server.take() {
					if strings.Contains(line, "fan_duty") {
						mirrorings++
					}
				}
				if want := (rounds - settled) * f.dragons.Len(); mirrorings < want-f.dragons.Len() || mirrorings > want+f.dragons.Len() {
					t.Errorf("%d mirrorings, want about %d", mirrorings, want)
				}
			})
		})
	}
}

func TestSimultaneousReadersAreOneRequest(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		d := f.Fleet.Dragons()[0]
		f.dragons.Dragon(0).Inject(dragontest.Slow, dragontest.Delay(50*time.Millisecond))
		turn := time.Duration(statsdSlot(d.Info().MAC, statsdSlots)) * time.Second
		start := time.Now()
		_, server, stop := f.mirror(t)
		defer stop()
		// At the moment of its turn, and at the moment when it does not wait any longer.
		for n, moment := range []time.Duration{time.Minute + turn, 2*time.Minute + turn + 6*time.Second} {
			time.Sleep(time.Until(start.Add(moment - time.Second)))
			server.take()
			before := f.summaries()
			time.Sleep(time.Second)
			var reading sync.WaitGroup
			reading.Go(func() { f.scraped(t) })
			reading.Go(func() {
				if _, err := d.Read(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
			reading.Wait()
			time.Sleep(10 * time.Second)
			if n := f.summaries() - before; n != 1 {
				t.Errorf("%d requests, want one", n)
			}
			if lines := server.take(); len(lines) < 50 {
				t.Errorf("moment %d: %d lines came of it", n, len(lines))
			}
		}
	})
}

func TestAReadingIsMirroredOnce(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		_, server, stop := f.mirror(t)
		defer stop()
		for range 20 { // three scrapes in four minutes
			time.Sleep(80 * time.Second)
			f.scraped(t)
		}
		seen := map[string]int{}
		for _, line := range server.take() {
			if strings.Contains(line, "dev.0.Device-Elapsed") {
				seen[line]++
			}
		}
		for line, n := range seen {
			if n > 1 {
				t.Errorf("%d times: %s", n, line)
			}
		}
		if len(seen) < 25 {
			t.Errorf("%d mirrorings in 27 minutes", len(seen))
		}
	})
}

func TestAStatsdServerThatIsDownIsLoggedOnceAndDelaysNothing(t *testing.T) {
	for name, fail := range map[string]func(*statsdServer, bool){
		"closed port":  func(s *statsdServer, b bool) { s.down = b },
		"no such name": func(s *statsdServer, b bool) { s.unresolved = b },
	} {
		t.Run(name, func(t *testing.T) {
			inFarm(t, 10, func(t *testing.T, f *farm) {
				s, server, stop := f.mirror(t)
				server.set(func() { fail(server, true) })
				time.Sleep(10 * time.Minute)
				errorsThen := testutil.ToFloat64(s.metrics.errors)
				if n := len(server.take()); n > 0 || errorsThen < 100 {
					t.Errorf("%d lines came, %v errors are counted", n, errorsThen)
				}
				if server.dials > 70 {
					t.Errorf("resolved %d times in ten minutes", server.dials)
				}
				if n := f.summaries(); n > 10*f.dragons.Len() {
					t.Errorf("%d requests", n)
				}
				server.set(func() { fail(server, false) })
				time.Sleep(5 * time.Minute)
				if lines := server.take(); len(lines) < 3000 {
					t.Errorf("%d lines came when it was back", len(lines))
				}
				if n := testutil.ToFloat64(s.metrics.errors); n > errorsThen+60 {
					t.Errorf("%v errors more when it was back", n-errorsThen)
				}
				stop()
				logged := f.log.String()
				if n := strings.Count(logged, "statsd unreachable, still sending"); n != 1 {
					t.Errorf("said %d times that it is down:\n%s", n, logged)
				}
				if n := strings.Count(logged, "statsd reachable again"); n != 1 {
					t.Errorf("said %d times that it is up:\n%s", n, logged)
				}
			})
		})
	}
}

func TestANameIsResolvedAgain(t *testing.T) {
	inFarm(t, 5, func(t *testing.T, f *farm) {
		_, server, stop := f.mirror(t)
		defer stop()
		time.Sleep(10 * time.Minute)
		if server.take(); server.dials < 8 || server.dials > 12 {
			t.Errorf("resolved %d times in ten minutes", server.dials)
		}
		server.set(func() { server.unresolved = true }) // and the old address will do
		time.Sleep(5 * time.Minute)
		if lines := server.take(); len(lines) < 1000 {
			t.Errorf("%d lines came while the name could not be resolved", len(lines))
		}
	})
}

// The farm's dragons answer as they should; this one's lines cannot be made.
func TestAnAnswerWithoutLinesIsCounted(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		s := NewStatsd(StatsdConfig{Fleet: f.Fleet})
		err := s.lines(s.message(), &fleet.Info{}, &fleet.Reading{}) // no Summary: a panic
		if err == nil {
			t.Error("a panic is not an error")
		}
		if err := s.lines(s.message(), &fleet.Info{}, &fleet.Reading{Summary: &dragon.Summary{Answer: dragon.Answer{Raw: []byte("{")}}}); err == nil {
			t.Error("half an object is not an error")
		}
	})
}

// A key that is not valid UTF-8 costs nothing: the metrics have the other values too.
func TestAnOddKeyCostsNoLines(t *testing.T) {
	for _, key := range []string{"a\\u0041\xff", `\ud800`, "\xff"} {
		m := newMessage("p", false)
		err := m.summary(&fleet.Info{Model: "T1", Worker: "w"}, []byte(`{"`+key+`":1,"HARDWARE":{"`+key+`":2,"Fan duty":60}}`))
		if err != nil || !strings.Contains(string(m.text), "fan_duty:60") {
			t.Errorf("%q: %v, lines %q", key, err, m.text)
		}
	}
}

// A fault of one dragon costs the lines of no other.
func TestStatsdFaultsCostOnlyTheirDragon(t *testing.T) {
	t.Parallel()
	for _, fault := range dragontest.Faults() {
		t.Run(string(fault.Fault), func(t *testing.T) {
			inFarm(t, 3, func(t *testing.T, f *farm) {
				f.dragons.Dragon(1).Inject(fault.Fault)
				_, server, stop := f.mirror(t)
				defer stop()
				time.Sleep(5*time.Minute + 30*time.Second)
				lines := server.take()
				for i := range 3 {
					n := 0
					for _, line := range lines {
						if strings.Contains(line, workerName(f.Fleet.Dragons()[i].Info())+".hardware.") {
							n++
						}
					}
					if f.Fleet.Dragons()[i] != f.Fleet.Lookup(f.dragons.Addr(1)) && n < 5 {
						t.Errorf("%d mirrorings of a well dragon in 5.5 minutes", n)
					}
				}
				wellFormed(t, lines)
			})
		})
	}
}

var lineForm = regexp.MustCompile(`^[A-Za-z0-9_+./-]+:-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?\|(g|c|ms)$`)

func wellFormed(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		if !lineForm.MatchString(line) {
			t.Errorf("malformed: %q", line)
		}
		if stats := statsdtest.ParseStats([]byte(line)); len(stats) != 1 || !stats[0].Parsed {
			t.Errorf("the library cannot parse %q", line)
		}
	}
}

func FuzzStatsdLines(f *testing.F) {
	f.Add("T1", "dragon-4500e3ab", []byte(`{"HARDWARE":{"Fan duty":60},"DEVS":[{"ID":0,"Status":"Alive","Temperature":70.0,"Last Share Pool":-1}],"POOLS":[{"POOL":0,"Works":1e16}]}`))
	f.Add("A8+:1|g\n", "dragon-1@10.1.0.9:80", []byte(`{"DEVS":{"1":{"ID":"0:1|c\n#a=b","Accepted":"1|g\nx:2"}},"POOLS":[{"POOL":"`+strings.Repeat("é.", 500)+`","Works":-1e-300}]}`))
	f.Add("", "", []byte(`{"HARDWARE":[],"DEVS":[],"POOLS":{}}`))
	f.Fuzz(func(t *testing.T, model, worker string, body []byte) {
		for _, oneLine := range []bool{false, true} {
			m := newMessage(strings.Repeat("p", 100), oneLine)
			if m.summary(&fleet.Info{Model: model, Worker: worker}, body) != nil && len(m.text) > 0 {
				t.Error("an answer that is not JSON has lines")
			}
			for _, p := range packetsOf(m) {
				if len(p) > maxPacket {
					t.Errorf("a packet of %d bytes", len(p))
				}
				lines := strings.Split(p, "\n")
				wellFormed(t, lines)
				for _, line := range lines {
					name, _, _ := strings.Cut(line, ":")
					if n, want := strings.Count(name, "."), map[bool]int{true: 5, false: 6}[strings.HasSuffix(name, ".hardware.fan_duty")]; n != want {
						t.Errorf("%d dots, want %d: %s", n, want, name)
					}
				}
			}
		}
	})
}

func TestStatsdOverUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.81.25.1:0") // an address of its own: no other process takes the port
	if err != nil {
		t.Fatal(err)
	}
	s := NewStatsd(StatsdConfig{Fleet: emptyFleet(t), Address: server.LocalAddr().String(), Prefix: "dragons"})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	s.Scanned(1500*time.Millisecond, 7)
	buffer := make([]byte, 2000)
	if err := server.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := server.ReadFrom(buffer)
	if got, want := string(buffer[:n]), "dragons.manager.scan_timed:1500.000000|ms\ndragons.manager.scan.count:7|g"; err != nil || got != want {
		t.Errorf("%v: %q, want %q", err, got, want)
	}

	// The kernel reports the closed port, and the next listener misses nothing.
	address := server.LocalAddr().String()
	server.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); testutil.ToFloat64(s.metrics.errors) == 0; {
		select {
		case <-tick.C:
			s.Scanned(time.Second, 7)
		case <-deadline:
			t.Fatal("a closed port, and no error is counted")
		}
	}
	if server, err = net.ListenPacket("udp", address); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	s.Action(&fleet.Info{Model: "T1", Worker: "dragon-1"}, "rebooted")
	for want := "dragons.worker.T1.dragon-1.action.rebooted:1|c"; ; {
		n, _, err := server.ReadFrom(buffer)
		if err != nil {
			t.Fatal("the first line after it was back is lost: ", err)
		}
		if strings.Contains(string(buffer[:n]), want) {
			return
		}
	}
}

func emptyFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Open(fleet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}
