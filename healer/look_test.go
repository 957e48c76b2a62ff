package healer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// summaries counts what the dragons were asked while time passes, and they are scraped
// where every is not zero, for the first time after phase.
func (w *ward) summaries(span, phase, every time.Duration) (most, least int) {
	before := make([]int, w.herd.Len())
	for i := range before {
		before[i] = w.herd.Dragon(i).Traffic().Requests["summary"]
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
		n := w.herd.Dragon(i).Traffic().Requests["summary"] - before[i]
		most, least = max(most, n), min(least, n)
	}
	return most, least
}

func TestAScrapeAtTheHealersPaceLeavesItNothingToAsk(t *testing.T) {
	t.Parallel()
	for _, phase := range []time.Duration{time.Second, 30 * time.Second, 50 * time.Second, 59 * time.Second} {
		t.Run(phase.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWard(t, 3)
				w.start()
				pass(0)
				const scrapes = 180
				if most, least := w.summaries(phase+scrapes*time.Minute, phase, time.Minute); most != scrapes || least != scrapes {
					t.Errorf("%d to %d summaries a dragon in %d scrapes", least, most, scrapes)
				}
				p, err := w.healer.Plan()
				if err != nil || p.Counts.States[StateHealthy] != 3 {
					t.Errorf("the readings of scrapes do not do: %v\n%s", err, w.table())
				}
			})
		})
	}
}

func TestADragonThatAnswersSlowlyIsAskedHalfAsOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 3)
		w.start()
		w.settle()
		w.herd.Dragon(1).Inject(dragontest.Slow, dragontest.On("summary"), dragontest.Delay(6*time.Second))
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
		w.herd.Dragon(1).Clear(dragontest.Slow)
		pass(time.Hour)
		if most, least := w.summaries(time.Hour, time.Hour, time.Minute); least < 56 || most > 62 || w.metric("mother_healer_slow_dragons") != 0 {
			t.Errorf("%d to %d summaries in an hour after it has become fast, want 60", least, most)
		}
	})
}

func TestWithoutScrapesEachLookHasNewReadings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, 3)
		w.start()
		pass(0)
		if most, least := w.summaries(3*time.Hour, 3*time.Hour, time.Minute); least < 170 || most > 181 {
			t.Errorf("%d to %d summaries a dragon in three hours", least, most)
		}
	})
}
