package agent

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// summaries counts what the dragons were asked while time passes, and they are scraped
// where every is not zero, for the first time after phase.
func (w *fixture) summaries(span, phase, every time.Duration) (most, least int) {
	before := make([]int, w.dragons.Len())
	for i := range before {
		before[i] = w.dragons.Dragon(i).Traffic().Requests["summary"]
	}
	end := time.Now().Add(span)
	for pass(phase); time.Now().Before(end); pass(every) {
		for _, d := range w.fleet.Dragons() {
			if _, err := d.Read(context.Background(), time.Millisecond); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	least = 1 << 30
	for i := range before {
		n := w.dragons.Dragon(i).Traffic().Requests["summary"] - before[i]
		most, least = max(most, n), min(least, n)
	}
	return most, least
}

func TestAScrapeAtTheHealersPaceLeavesItNothingToAsk(t *testing.T) {
	unraced(t)
	t.Parallel()
	for _, phase := range []time.Duration{time.Second, 30 * time.Second, 50 * time.Second, 59 * time.Second} {
		t.Run(phase.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 3)
				w.start()
				pass(0)
				const scrapes = 180
				if most, least := w.summaries(phase+scrapes*time.Minute, phase, time.Minute); most != scrapes || least != scrapes {
					t.Errorf("%d to %d summaries a dragon in %d scrapes", least, most, scrapes)
				}
				p, err := w.healer.Plan()
				if err != nil || p.Counts.States[healer.StateHealthy] != 3 {
					t.Errorf("the readings of scrapes do not do: %v\n%s", err, w.table())
				}
			})
		})
	}
}

func TestADragonThatIsFoundBetweenTwoLooksIsReadSoonAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 1)
		w.start()
		pass(10 * time.Second)
		found, err := dragontest.NewFleet(dragontest.FleetConfig{InMemory: true, Prefix: netip.MustParsePrefix("127.11.0.0/16"), Specs: func(int) dragontest.Spec {
			return dragontest.Spec{Seed: 99}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer found.Close()
		transport := dragon.NewTransport()
		transport.DialContext = found.DialContext
		defer transport.CloseIdleConnections()
		client := dragon.New(found.Addr(0), dragon.Options{Transport: transport})
		identity, err := client.Identify(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.fleet.Sighted(w.ctx, fleet.Sighting{Address: found.Addr(0), Client: client, Identity: identity})
		asked := func() int { return found.Dragon(0).Traffic().Requests["summary"] }
		if pass(meetEvery); asked() != 1 {
			t.Errorf("it was read %d times %v after it was found", asked(), meetEvery)
		}
		if pass(time.Minute); asked() != 1 { // the next look makes do with that reading
			t.Errorf("it was read %d times until the next look", asked())
		}
		if pass(time.Minute); asked() != 2 {
			t.Errorf("it was read %d times until the look after that", asked())
		}
		w.stop()
	})
}

func TestADragonThatAnswersSlowlyIsAskedHalfAsOften(t *testing.T) {
	t.Parallel()
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		w.start()
		w.settle()
		w.dragons.Dragon(1).Inject(dragontest.Slow, dragontest.On("summary"), dragontest.Delay(6*time.Second))
		pass(10 * time.Minute)
		if n := w.metric("mother_healer_slow_dragons"); n != 1 {
			t.Errorf("%g slow dragons, want 1", n)
		}
		most, least := w.summaries(2*time.Hour, 2*time.Hour, time.Minute)
		if most < 105 || most > 121 || least < most/2-2 || least > most/2+6 { // a look waits for the slow one
			t.Errorf("%d summaries of the slow dragon and %d of the others in two hours, want 60 and 120, or somewhat less", least, most)
		}
		// Samples that come half as often are still evidence.
		w.killBoard(1)
		w.until("it is healed", time.Hour, func() bool { return len(w.wrote(1)) == 1 })
		w.dragons.Dragon(1).Clear(dragontest.Slow)
		pass(time.Hour)
		if most, least := w.summaries(time.Hour, time.Hour, time.Minute); least < 56 || most > 62 || w.metric("mother_healer_slow_dragons") != 0 {
			t.Errorf("%d to %d summaries in an hour after it has become fast, want 60", least, most)
		}
	})
}

func TestWithoutScrapesEachLookHasNewReadings(t *testing.T) {
	t.Parallel()
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		w.start()
		pass(0)
		if most, least := w.summaries(3*time.Hour, 3*time.Hour, time.Minute); least < 170 || most > 181 {
			t.Errorf("%d to %d summaries a dragon in three hours", least, most)
		}
	})
}

// The uptime of a dragon whose miner process does not answer is that of the answer, not that of
// the overview before it.
func TestTheUptimeOfAnIdleDragonGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 1)
		h := w.start()
		w.settle()
		now := time.Now()
		idle := &fleet.IdleError{Overview: &dragon.Overview{Uptime: dragon.Known(3600)}, At: now}
		idle.Overview.At = now.Add(-10 * time.Minute)
		f := h.idleFacts(w.fleet.Dragons()[0], healer.Who{}, idle)
		if up := f.Uptime.Or(-1); up != 4200 {
			t.Errorf("up for %g s, want 4200", up)
		}
		if idle.Overview.Uptime != dragon.Known(3600) {
			t.Error("the fleet's own overview was changed")
		}
	})
}
