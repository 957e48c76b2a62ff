package collector

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestScrapeTimeoutIsWhatTheHeaderSaysLessTheOffset(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"10": 9500 * time.Millisecond, "10.25": 9750 * time.Millisecond, "1e1": 9500 * time.Millisecond, "0.8": 400 * time.Millisecond, "0.000001": 500 * time.Nanosecond,
		"": 0, "0": 0, "-1": 0, "ten": 0, "10s": 0, "NaN": 0, "Inf": 0, "+Inf": 0, "-Inf": 0, "1e300": 0, "1e400": 0, "3601": 0, " 10": 0,
	} {
		got, ok := scrapeTimeout(header, 500*time.Millisecond)
		if got != want || ok != (want > 0) {
			t.Errorf("%q: %v, %v, want %v", header, got, ok, want)
		}
	}
}

// One scraper in a hurry must not hurry the others.
func TestScrapeTimeoutIsOfOneRequestOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		f.dragons.Dragon(0).Inject(dragontest.Slow, dragontest.Delay(3*time.Second))
		if page := get(t.Context(), f.Metrics(), "/metrics", timeoutHeader, "1").Body.String(); seriesOf(page, f.worker(0))[up(f.worker(0))] != "0" {
			t.Error("read within 0.5 s")
		}
		if page := f.scraped(t); seriesOf(page, f.worker(0))[up(f.worker(0))] != "1" {
			t.Error("not read within 9.5 s")
		}
	})
}

func up(worker string) string { return fmt.Sprintf("dragon_up{worker=%q}", worker) }

func TestModels(t *testing.T) {
	facts := map[fleet.Fact]time.Duration{fleet.AutoTune: 0, fleet.Errors: 0, fleet.Power: 0, fleet.Firmware: 30 * time.Minute}
	for _, m := range dragontest.Models() {
		t.Run(m.Key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarmWithFacts(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec {
					return dragontest.Spec{Model: m.Key, Latest: dragontest.Release{Version: strings.ToLower(m.Type) + "_20251231_000000"}}
				}}, facts)
				defer f.close()
				f.dragons.Dragon(0).SetError("24", "spi error on some boards")
				f.probed(t, f.worker(0))
				time.Sleep(time.Hour)
				page := f.probed(t, f.worker(0))
				parse(t, page)
				golden(t, "testdata/models/"+m.Key+".metrics", page)
			})
		})
	}
}

// A dragon is asked once a scrape, one question at a time, over the one connection that it has, and with
// one login for as long as that is good for: what it costs it to be looked after.
func TestADayCostsADragonLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFarmWithFacts(t, dragontest.FleetConfig{Count: 3, Specs: dragontest.Mixed}, map[fleet.Fact]time.Duration{fleet.AutoTune: 0, fleet.Errors: 0, fleet.Pools: 0})
		defer f.close()
		const day, tokens = 13 * 60, 13 / 6 // a token lasts six hours
		for range day {
			page := f.scraped(t)
			for i := range f.dragons.Len() {
				if seriesOf(page, f.worker(i))[up(f.worker(i))] != "1" {
					t.Fatalf("dragon %d is down", i)
				}
			}
			time.Sleep(time.Minute)
		}
		for i, d := range f.dragons.Dragons() {
			traffic := d.Traffic()
			// The first question with a token that has expired is in vain, whichever it is.
			if n := traffic.Requests["summary"]; n < day || n > day+tokens {
				t.Errorf("dragon %d: %d summaries in %d scrapes", i, n, day)
			}
			if n := traffic.Requests["overview"]; n > day/4+tokens {
				t.Errorf("dragon %d: %d overviews in a day", i, n)
			}
			if traffic.Logins > tokens || traffic.Connections > 0 || traffic.MaxInFlight > 1 {
				t.Errorf("dragon %d: %d logins, %d new connections, %d requests at once", i, traffic.Logins, traffic.Connections, traffic.MaxInFlight)
			}
		}
	})
}

func TestMetricsAndProbeGiveTheSameSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 3, Specs: dragontest.Mixed})
		defer f.close()
		f.scraped(t) // boards count when they were seen twice
		page := f.scraped(t)
		for i := range 3 {
			probed := f.probed(t, f.worker(i))
			if diff := cmp.Diff(seriesOf(page, f.worker(i)), seriesOf(probed, f.worker(i))); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(probed, "mother_") || strings.Contains(probed, f.worker((i+1)%3)) {
				t.Error("a probe gives more than its target")
			}
		}
		for _, series := range []string{`mother_dragons{state="known"} 3`, `mother_dragons{state="up"} 3`, `mother_dragons{state="down"} 0`, `mother_dragons{state="conflict"} 0`} {
			if !strings.Contains(page, series+"\n") {
				t.Errorf("no %s", series)
			}
		}
	})
}

// Whatever is wrong with one dragon, the others' series are complete and the scrape
// ends within its time.
func TestAFaultCostsOnlyItsDragon(t *testing.T) {
	t.Parallel()
	for _, fault := range dragontest.Faults() {
		t.Run(string(fault.Fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const dragons, bad = 5, 2
				f := newFarm(t, dragontest.FleetConfig{Count: dragons, Specs: dragontest.Mixed})
				defer f.close()
				f.scraped(t) // boards count when they were seen twice
				before := f.scraped(t)
				f.dragons.Dragon(bad).Inject(fault.Fault)
				for range 3 { // at first, and when it is known
					time.Sleep(time.Minute)
					start := time.Now()
					page := f.scraped(t)
					if took := time.Since(start); took > 9500*time.Millisecond {
						t.Errorf("the scrape took %v", took)
					}
					parse(t, page)
					for i := range dragons {
						series := seriesOf(page, f.worker(i))
						if series[up(f.worker(i))] == "" {
							t.Errorf("dragon %d has no dragon_up", i)
						}
						if i == bad {
							if series[up(f.worker(i))] == "0" && len(series) > 16 {
								t.Errorf("a dragon that was not read has data: %v", series)
							}
							continue
						}
						if diff := cmp.Diff(names(seriesOf(before, f.worker(i))), names(series)); diff != "" {
							t.Errorf("dragon %d: %s", i, diff)
						}
					}
				}
			})
		})
	}
}

func names(series map[string]string) []string { return slices.Sorted(maps.Keys(series)) }

func TestHangingDragonsDoNotUseUpTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dragons, hanging = 100, 5
		f := newFarm(t, dragontest.FleetConfig{Count: dragons}, func(c *Config) { c.Workers = 4 })
		defer f.close()
		for i := range hanging { // the first in the fleet's order, to take all workers
			f.dragons.Dragon(i).Inject(dragontest.Hang)
		}
		before := time.Now()
		page := f.scraped(t)
		if took := time.Since(before); took > 9500*time.Millisecond {
			t.Errorf("the scrape took %v", took)
		}
		for i := range dragons {
			if got := seriesOf(page, f.worker(i)); i < hanging != (got[up(f.worker(i))] == "0") {
				t.Errorf("dragon %d: %v", i, got)
			} else if i >= hanging && len(got) < 100 {
				t.Errorf("dragon %d has %d series", i, len(got))
			}
		}
		if strings.Contains(page, `reason="budget"} 1`) {
			t.Error("a dragon was not asked")
		}
	})
}

func TestDragonsAfterTheDeadlineAreDownWithReasonBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 10}, func(c *Config) { c.Workers = 1 })
		defer f.close()
		for _, d := range f.dragons.Dragons() {
			d.Inject(dragontest.Slow, dragontest.Delay(200*time.Millisecond))
		}
		start := time.Now()
		page := get(t.Context(), f.Metrics(), "/metrics", timeoutHeader, "1.5").Body.String()
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		var read, budget int
		for i := range 10 {
			series, w := seriesOf(page, f.worker(i)), f.worker(i)
			switch {
			case series[up(w)] == "1":
				read++
			case series[fmt.Sprintf(`dragon_scrape_failures_total{reason="budget",worker=%q}`, w)] == "1":
				budget++
				if len(f.dragons.Dragon(i).Traffic().Requests) != 0 {
					t.Error("asked although no time was left")
				}
			}
		}
		if read < 2 || read+budget < 9 { // one may be cut off in the middle
			t.Errorf("%d read, %d left out", read, budget)
		}
	})
}

func TestADragonKnownToBeDownCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2})
		defer f.close()
		f.scraped(t)
		f.dragons.Dragon(0).Inject(dragontest.Unplugged)
		f.transport.CloseIdleConnections()
		f.scraped(t)
		time.Sleep(time.Second) // the dragon has half a second longer than the scrape
		start := time.Now()
		page := f.scraped(t)
		if took := time.Since(start); took > 0 {
			t.Errorf("took %v", took)
		}
		golden(t, "testdata/down.metrics", strings.Join(sortedLines(seriesOf(page, f.worker(0))), "\n")+"\n")
		f.dragons.Dragon(0).Clear()
		time.Sleep(5 * time.Minute)
		if page := f.scraped(t); seriesOf(page, f.worker(0))[up(f.worker(0))] != "1" {
			t.Error("not in the scrape after its return")
		}
	})
}

func sortedLines(series map[string]string) []string {
	var lines []string
	for k, v := range series {
		lines = append(lines, k+" "+v)
	}
	slices.Sort(lines)
	return lines
}

func TestABusyDragonIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		d, done := f.Fleet.Lookup(f.worker(0)), make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() {
			_ = d.Write(t.Context(), "restart", func(context.Context, *dragon.Client) error { <-done; return nil })
		})
		synctest.Wait()
		series := seriesOf(f.scraped(t), f.worker(0))
		busy := fmt.Sprintf(`dragon_busy{action="restart",worker=%q}`, f.worker(0))
		if series[up(f.worker(0))] != "0" || series[busy] != "1" {
			t.Errorf("%v", series)
		}
		close(done)
		writing.Wait()
		series = seriesOf(f.scraped(t), f.worker(0))
		if _, still := series[busy]; still || series[up(f.worker(0))] != "1" {
			t.Errorf("%v", series)
		}
	})
}

func TestSimultaneousScrapesAreOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 3})
		defer f.close()
		f.scraped(t)
		for _, d := range f.dragons.Dragons() {
			d.ForgetTraffic()
			d.Inject(dragontest.Slow, dragontest.Delay(100*time.Millisecond))
		}
		var scrapes sync.WaitGroup
		for range 2 {
			scrapes.Go(func() { f.scraped(t) })
		}
		scrapes.Wait()
		for i, d := range f.dragons.Dragons() {
			if diff := cmp.Diff(map[string]int{"summary": 1}, d.Traffic().Requests); diff != "" {
				t.Errorf("dragon %d: %s", i, diff)
			}
		}
	})
}

func TestAClientThatLeavesEndsTheScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 3})
		defer f.close()
		f.dragons.Dragon(1).Inject(dragontest.Hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		w := get(ctx, f.Metrics(), "/metrics", timeoutHeader, "10")
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		if w.Body.Len() > 0 {
			t.Error("a page for a client that left")
		}
	})
}

// Who cannot tell half a page from a whole one must get none.
func TestAStopIsAnsweredAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 3})
		defer f.close()
		f.dragons.Dragon(1).Inject(dragontest.Hang)
		for path, h := range map[string]http.Handler{"/metrics": f.Metrics(), "/probe?target=" + f.worker(1): f.Probe()} {
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { stop(http.ErrServerClosed) })
			start := time.Now()
			w := get(ctx, h, path, timeoutHeader, "10", "Accept-Encoding", "gzip")
			if took := time.Since(start); took != time.Second {
				t.Errorf("%s took %v", path, took)
			}
			if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "dragon_") {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})
}

func TestALimitOfZeroIsUnlimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 60}, func(c *Config) { c.MaxRequests, c.Workers, c.Offset = 0, 0, 0 })
		defer f.close()
		for _, d := range f.dragons.Dragons() {
			d.Inject(dragontest.Slow, dragontest.Delay(9900*time.Millisecond))
		}
		metrics, start := f.Metrics(), time.Now()
		var scrapes sync.WaitGroup
		for range 60 {
			scrapes.Go(func() {
				w := get(t.Context(), metrics, "/metrics", timeoutHeader, "10")
				if n := strings.Count(w.Body.String(), "\ndragon_boards{"); w.Code != 200 || n != 60 {
					t.Errorf("%d with %d dragons", w.Code, n)
				}
			})
		}
		scrapes.Wait()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// Clients that ask and never read what comes must not keep the others out.
func TestClientsThatDoNotReadLeaveInTime(t *testing.T) {
	for header, want := range map[string]time.Duration{"10": 10 * time.Second, "": writingTime, "3600": writingTime} {
		synctest.Test(t, func(t *testing.T) {
			f := newFarm(t, dragontest.FleetConfig{Count: 5}, func(c *Config) { c.MaxRequests = 2 })
			defer f.close()
			listener := pipes{make(chan net.Conn), make(chan struct{})}
			server := &http.Server{Handler: f.Metrics(), WriteTimeout: 5 * time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
			var serving sync.WaitGroup
			serving.Go(func() { _ = server.Serve(listener) })
			defer serving.Wait()
			defer server.Close()
			for range 2 {
				client, conn := net.Pipe()
				defer client.Close()
				listener.conns <- conn
				fmt.Fprintf(client, "GET /metrics HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n", timeoutHeader, header)
			}
			synctest.Wait()
			if code := get(t.Context(), server.Handler, "/metrics").Code; code != 503 {
				t.Errorf("%q: %d while two pages are being written", header, code)
			}
			time.Sleep(want + time.Second)
			if code := get(t.Context(), server.Handler, "/metrics").Code; code != 200 {
				t.Errorf("%q: %d after %v", header, code, want)
			}
		})
	}
}

// deadlineWriter notes how long it has to write a page.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	left time.Duration
}

func (w *deadlineWriter) SetWriteDeadline(t time.Time) error {
	w.left = time.Until(t)
	return nil
}

func TestAScrapeWithNoTimeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2})
		defer f.close()
		for header, want := range map[string]time.Duration{"1e-9": leastWriting, "1e-300": leastWriting, "0.5": leastWriting, "10": 10 * time.Second, "0": writingTime, "120": writingTime, "soon": writingTime} {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set(timeoutHeader, header)
			w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
			f.Metrics().ServeHTTP(w, r)
			if w.Code != http.StatusOK || strings.Count(w.Body.String(), "\ndragon_up{") != 2 || w.left != want {
				t.Errorf("timeout %s: %d, %v to write, want %v:\n%.300s", header, w.Code, w.left, want, w.Body)
			}
		}
	})
}

func TestOtherLimitsHoldFromTheNextScrapeOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 2}, func(c *Config) { c.MaxRequests = 1 })
		defer f.close()
		page := f.Metrics()
		f.dragons.Dragon(0).Inject(dragontest.Hang)
		first := make(chan int, 1)
		go func() { first <- get(t.Context(), page, "/metrics").Code }()
		synctest.Wait()
		if code := get(t.Context(), page, "/metrics").Code; code != 503 {
			t.Errorf("%d beside the one scrape that may be", code)
		}
		f.Change(Limits{MaxRequests: 2})
		if code := get(t.Context(), page, "/metrics").Code; code != 200 {
			t.Errorf("%d where two may be", code)
		}
		if code := <-first; code != 200 {
			t.Errorf("the one under way answers %d", code)
		}
	})
}

// pipes is a listener in memory whose connections hold nothing that is not read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.closed)
	return nil
}

func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func TestMoreScrapesThanAllowedAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, func(c *Config) { c.MaxRequests = 2 })
		defer f.close()
		f.dragons.Dragon(0).Inject(dragontest.Hang)
		metrics := f.Metrics()
		codes := make(chan int, 5)
		var scrapes sync.WaitGroup
		for range cap(codes) {
			scrapes.Go(func() { codes <- get(t.Context(), metrics, "/metrics", timeoutHeader, "2").Code })
		}
		synctest.Wait()
		if n := len(codes); n != 3 {
			t.Errorf("%d were answered at once, want 3", n)
		}
		scrapes.Wait()
		close(codes)
		count := map[int]int{}
		for code := range codes {
			count[code]++
		}
		if count[503] != 3 || count[200] != 2 {
			t.Errorf("%v", count)
		}
		if n := testutil.ToFloat64(f.own.errors.WithLabelValues("limit")); n != 3 {
			t.Errorf("%v refusals counted", n)
		}
	})
}

func TestDragonsInConflictAreBothThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 3, Specs: func(i int) dragontest.Spec {
			return dragontest.Spec{MAC: []string{"a0:b0:45:00:e3:ab", "A0: b0:45:00:e3:ab", "00:00:00:00:00:00"}[i]}
		}})
		defer f.close()
		page := f.scraped(t)
		parse(t, page)
		if n := strings.Count(page, "\ndragon_up{"); n != 3 {
			t.Errorf("%d dragons\n%s", n, page)
		}
		if !strings.Contains(page, fmt.Sprintf(`worker="dragon-4500e3ab@%s"`, f.dragons.Host(0))) || !strings.Contains(page, `mother_dragons{state="conflict"} 3`) {
			t.Error("conflict is not shown")
		}
	})
}

// In the recover of a worker nothing may be trusted, not even what was made before.
func TestAPanicInAWorkerIsItsDragonsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{})
		defer f.close()
		s := f.read(t.Context(), f.Fleet.Dragons()[0], nil)
		if s.reading != nil || s.err == nil || !strings.Contains(s.err.Error(), "panic") {
			t.Errorf("%+v", s)
		}
		if series := seriesOf(pageOf(t, f.Collector, []*sample{s}), f.worker(0)); series[up(f.worker(0))] != "0" {
			t.Errorf("%v", series)
		}
		if !strings.Contains(f.log.String(), "level=error") || !strings.Contains(f.log.String(), f.worker(0)) {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestLabelCachesOfForgottenDragonsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newFarm(t, dragontest.FleetConfig{Count: 4}), newFarm(t, dragontest.FleetConfig{Count: 4})
		defer a.close()
		defer b.close()
		first := a.labelCachesOf(a.Fleet.Dragons())
		a.labelCachesOf(b.Fleet.Dragons()) // which a's fleet does not know
		a.labelCachesOf(b.Fleet.Dragons()[:1])
		if n := len(a.labelCaches); n != 4 {
			t.Errorf("%d faces", n)
		}
		if second := a.labelCachesOf(a.Fleet.Dragons()); !slices.Equal(first, second) {
			t.Error("the faces of known dragons were lost")
		}
	})
}

func TestOnlyGETAndHEAD(t *testing.T) {
	c := aCollector(t)
	for _, method := range []string{"POST", "PUT", "OPTIONS"} {
		for path, h := range map[string]http.Handler{"/metrics": c.Metrics(), "/probe?target=x": c.Probe()} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
}

func TestHEADAsksNoDragon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, func(c *Config) { c.MaxRequests = 1 })
		defer f.close()
		for path, h := range map[string]http.Handler{"/metrics": f.Metrics(), "/probe?target=x": f.Probe()} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, path, nil))
			if w.Code != 200 || w.Body.Len() > 0 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
				t.Errorf("%s: %d %s %v", path, w.Code, w.Body, w.Header())
			}
		}
		if n := len(f.dragons.Dragon(0).Traffic().Requests); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}
