package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestADragonThatIsDownIsNotWaitedForAndComesBack(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		last := time.Now()
		sim.Inject(dragontest.Hang)
		if _, err := d.Read(h.Context(), 0); dragon.Reason(err) != "timeout" {
			h.Fatalf("reading a dragon that hangs: %v", err)
		}
		down := time.Now()
		if took := down.Sub(last); took != 10*time.Second {
			h.Errorf("the verdict took %v, want the dragon's own timeout", took)
		}
		g := d.Health()
		if g.Up || g.Reason != "timeout" || !g.Since.Equal(down) || !g.LastSuccess.Equal(last) || g.Failures[0] != 1 || d.Last() != nil {
			h.Errorf("a dragon that hangs: %+v", g)
		}

		before := h.lan.total()
		var de *DownError
		if _, err := d.Read(h.Context(), time.Hour); !errors.As(err, &de) || de.Reason != "timeout" || !de.Since.Equal(down) || dragon.Reason(err) != "timeout" {
			h.Errorf("reading a dragon that is down: %v", err)
		}
		if h.lan.total() != before || time.Now() != down {
			h.Error("a dragon that is down was asked or waited for")
		}
		time.Sleep(time.Minute)
		sim.Clear()
		time.Sleep(22 * time.Second)
		synctest.Wait()
		if g := d.Health(); !g.Up || g.Reason != "" || g.Err != nil || d.Last() == nil {
			h.Errorf("a dragon that is back: %+v", g)
		}
		h.read(d)
		if h.log.said("dragon is down") != 1 || h.log.said("dragon is up again") != 1 {
			h.Errorf("the log says %q", h.log.lines)
		}
	})
}

func TestRetriesSlowDown(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		h.lan.put("10.1.0.8", nil)
		_, err := d.Read(h.Context(), 0)
		if dragon.Reason(err) != "unreachable" {
			h.Fatal(err)
		}
		attempts := func(during time.Duration) uint64 {
			before := d.Health().Failures[2]
			time.Sleep(during)
			synctest.Wait()
			return d.Health().Failures[2] - before
		}
		if n := attempts(10 * time.Minute); n < 50 || n > 75 {
			h.Errorf("%d retries in the first ten minutes, want about 60", n)
		}
		if n := attempts(time.Hour); n < 60 || n > 120 {
			h.Errorf("%d retries in the hour after, want one in 30 to 60 s", n)
		}
	})
}

func TestTheTimeToTheNextRetryGrowsInSteps(t *testing.T) {
	f := &Fleet{pace: newPace(1, time.Now())}
	for _, c := range []struct {
		hangs       bool
		down, least time.Duration
	}{
		{false, 0, 8 * time.Second},
		{false, 10*time.Minute - 1, 8 * time.Second},
		{false, 10 * time.Minute, 30 * time.Second},
		{false, 24 * time.Hour, 30 * time.Second},
		{true, 0, time.Minute},
		{true, 10*time.Minute - 1, time.Minute},
		{true, 10 * time.Minute, 5 * time.Minute},
		{true, time.Hour - 1, 5 * time.Minute},
		{true, time.Hour, 15 * time.Minute},
	} {
		for range 20 {
			if got := f.retryDelay(c.hangs, c.down); got < c.least || got >= c.least*3/2 {
				t.Errorf("hangs %v, down for %v: retried after %v, want %v to half as long again", c.hangs, c.down, got, c.least)
			}
		}
	}
}

// One that takes connections and does not answer is asked ever more seldom; one of which
// nothing is heard is not, as it may have been switched off.
func TestADragonThatHangsIsAskedSeldom(t *testing.T) {
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, x := range map[string]struct {
		connects    bool
		most, least [3]int // in ten minutes, the rest of the hour, and five hours
	}{
		"it hangs":     {true, [3]int{9, 10, 20}, [3]int{5, 5, 12}},
		"it is silent": {false, [3]int{35, 75, 450}, [3]int{24, 40, 250}},
	} {
		t.Run(name, func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
				h.lan.connects = x.connects
				h.lan.put("10.1.0.8", hang)
				if _, err := d.Read(h.Context(), 0); dragon.Reason(err) != "timeout" {
					h.Fatal(err)
				}
				before := 0
				for i, span := range []time.Duration{10 * time.Minute, 50 * time.Minute, 5 * time.Hour} {
					time.Sleep(span)
					synctest.Wait()
					n := int(d.Health().Failures[slices.Index(Reasons, "timeout")])
					if n-before > x.most[i] || n-before < x.least[i] {
						h.Errorf("%d attempts in %s, want %d to %d", n-before, span, x.least[i], x.most[i])
					}
					before = n
				}
				h.lan.put("10.1.0.8", sim)
				time.Sleep(25 * time.Minute)
				if !d.Health().Up {
					h.Errorf("it answers, and is still down: %+v", d.Health())
				}
			})
		})
	}
}

func TestADarkHallMakesNoStorm(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		var wg sync.WaitGroup
		for i := range 300 {
			a := fmt.Sprintf("10.1.%d.%d", i/200, i%200+1)
			mac := fmt.Sprintf("a0:b0:45:00:%02x:%02x", i>>8, i&255)
			h.Sighted(h.Context(), Sighting{Address: a, Identity: &dragon.Identity{Overview: &dragon.Overview{MAC: mac}}})
			h.lan.put(a, hang)
			wg.Go(func() { _, _ = h.Lookup(a).Read(context.Background(), 0) })
		}
		wg.Wait()
		synctest.Wait()
		h.lan.mu.Lock()
		clear(h.lan.most)
		h.lan.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if n := h.lan.mostAt(""); n != retryWorkers {
			h.Errorf("%d retries at once, want %d", n, retryWorkers)
		}
	})
}

// However many are down, and for however long, one that misses a single reading is soon back.
func TestADarkHallDoesNotKeepOthersDown(t *testing.T) {
	for _, c := range []struct {
		dark  int
		since time.Duration
	}{{0, time.Minute}, {2000, time.Minute}, {2000, 12 * time.Minute}} {
		t.Run(fmt.Sprintf("%d for %v", c.dark, c.since), func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
				h.read(d)
				silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(2 * time.Second):
						panic("no connection in time")
					case <-r.Context().Done():
					}
				})
				var wg sync.WaitGroup
				for i := range c.dark {
					a := fmt.Sprintf("10.2.%d.%d", i/200, i%200+1)
					mac := fmt.Sprintf("a0:b0:45:00:%02x:%02x", i>>8, i&255)
					h.Sighted(h.Context(), Sighting{Address: a, Identity: &dragon.Identity{Overview: &dragon.Overview{MAC: mac}}})
					h.lan.put(a, silent)
					wg.Go(func() { _, _ = h.Lookup(a).Read(context.Background(), 0) })
				}
				wg.Wait()
				time.Sleep(c.since)
				h.lan.put("10.1.0.8", nil)
				if _, err := d.Read(h.Context(), 0); err == nil {
					h.Fatal("it was read")
				}
				h.lan.put("10.1.0.8", sim)
				missed := time.Now()
				for !d.Health().Up && time.Since(missed) < 5*time.Minute {
					time.Sleep(time.Second)
				}
				if took := time.Since(missed); took > 30*time.Second {
					h.Errorf("it was down for %v", took)
				}
			})
		})
	}
}

func TestARetryDuringAWriteIsRepeated(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		sim.Inject(dragontest.NotReady)
		if _, err := d.Read(h.Context(), 0); !errors.Is(err, dragon.ErrNotReady) {
			h.Fatal(err)
		}
		sim.Clear()
		_ = d.Write(h.Context(), "reboot", func(context.Context, *dragon.Client) error { time.Sleep(time.Minute); return nil })
		if d.Health().Up {
			h.Error("a dragon was read during a write")
		}
		time.Sleep(13 * time.Second)
		synctest.Wait()
		if !d.Health().Up {
			h.Errorf("%+v", d.Health())
		}
	})
}

func TestADragonSightedElsewhereIsNotRetried(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.lan.put("10.1.0.8", nil)
		_, _ = d.Read(h.Context(), 0)
		h.lan.put("10.1.0.9", sim)
		h.sight("10.1.0.9")
		before := h.lan.total()
		time.Sleep(time.Hour)
		if n := h.lan.total() - before; n != 0 {
			h.Errorf("%d needless requests", n)
		}
	})
}

func TestBudgetIsCountedApart(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		d.SkippedForBudget()
		if g := d.Health(); g.Failures[slices.Index(Reasons, "budget")] != 1 || g.Reason != "" {
			h.Errorf("%+v", g)
		}
	})
}

func TestSimulatedDragonsAreRetriedAsMuchSoonerAsTheyLiveFaster(t *testing.T) {
	inHall(t, Config{Speed: 60}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		h.lan.put("10.1.0.8", nil)
		if _, err := d.Read(h.Context(), 0); dragon.Reason(err) != "unreachable" {
			h.Fatal(err)
		}
		before := d.Health().Failures[2]
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := d.Health().Failures[2] - before; n < 50 || n > 75 {
			h.Errorf("%d retries in ten minutes of the dragon's, want about 60", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := d.Health().Failures[2] - before; n < 50+60 || n > 75+120 {
			h.Errorf("%d retries with the hour after, want one more in 30 to 60 s", n)
		}
	})
}

// The other tests have a network of their own; this one has the program's own transport.
func TestAHangIsSeenOnARealConnection(t *testing.T) {
	sim := dragontest.New(dragontest.Spec{})
	server := httptest.NewServer(sim)
	defer server.Close()
	f, err := Open(Config{Client: dragon.Options{Transport: dragon.NewTransport(), Timeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	address := server.Listener.Addr().String()
	client := dragon.New(address, f.config.Client)
	id, err := client.Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.Sighted(t.Context(), Sighting{Address: address, Client: client, Identity: id})
	d := f.Lookup(address)
	if _, err := d.Read(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	sim.Inject(dragontest.Hang)
	for _, want := range []bool{false, true} { // at first on the kept connection, which says nothing
		if _, err := d.ReadNow(t.Context()); dragon.Reason(err) != "timeout" {
			t.Fatal(err)
		}
		d.mu.Lock()
		hangs := d.health.hangs
		d.mu.Unlock()
		if hangs != want {
			t.Errorf("hangs %v, want %v", hangs, want)
		}
	}
}
