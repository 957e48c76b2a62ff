package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func contextUntil(quit <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// reader is a Read under way.
type reader struct {
	cancel  context.CancelFunc
	reading *Reading
	err     error
	done    chan struct{}
}

func (h *hall) reader(d *Dragon, deadline time.Duration) *reader {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	r := &reader{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer cancel()
		r.reading, r.err = d.Read(ctx, 0)
	}()
	synctest.Wait()
	return r
}

func TestConcurrentReadersShareOneRequest(t *testing.T) {
	offered := 0
	inHall(t, Config{OnReading: func(*Dragon, *Reading) { offered++ }}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		sim.Inject(dragontest.Slow, dragontest.On("summary"))
		before, offeredBefore := h.lan.total(), offered
		var readers []*reader
		for range 5 {
			readers = append(readers, h.reader(d, time.Minute))
		}
		for _, r := range readers {
			<-r.done
			if r.err != nil || r.reading != readers[0].reading {
				h.Errorf("a reader got %p, %v; the first one %p", r.reading, r.err, readers[0].reading)
			}
		}
		if n := h.lan.total() - before; n != 1 {
			h.Errorf("5 readers made %d requests, want 1", n)
		}
		if n := offered - offeredBefore; n != 1 {
			h.Errorf("the reading was offered %d times, want once", n)
		}
	})
}

func TestTheLastWaiterOutEndsTheRequest(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		sim.Inject(dragontest.Hang, dragontest.On("summary"))
		first, second := h.reader(d, time.Minute), h.reader(d, time.Minute)
		first.cancel()
		<-first.done
		synctest.Wait()
		if n := h.lan.underWay("10.1.0.8"); n != 1 {
			h.Errorf("%d requests under way with one waiter left, want 1", n)
		}
		second.cancel()
		<-second.done
		synctest.Wait()
		if n := h.lan.underWay("10.1.0.8"); n != 0 {
			h.Errorf("%d requests under way without waiters", n)
		}
		for _, r := range []*reader{first, second} {
			if !errors.Is(r.err, context.Canceled) {
				h.Errorf("a reader that went away got %v", r.err)
			}
		}
		if g := d.Health(); !g.Up || slices.Max(g.Failures) != 0 {
			h.Errorf("readers that went away made %+v", g)
		}
	})
}

func TestAnAbandonedRequestThatDoesNotEndKeepsOthersWaiting(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		h.lan.deaf = true
		sim.Inject(dragontest.Slow, dragontest.On("summary"), dragontest.Delay(5*time.Second))
		first := h.reader(d, time.Minute)
		first.cancel()
		<-first.done
		late := h.reader(d, time.Second)
		next := h.reader(d, time.Minute)
		<-late.done
		if dragon.Reason(late.err) != "timeout" {
			h.Errorf("a reader whose time ended in the queue got %v", late.err)
		}
		<-next.done
		if next.err != nil {
			h.Errorf("the reader after the abandoned request: %v", next.err)
		}
		if n := h.lan.mostAt("10.1.0.8"); n != 1 {
			h.Errorf("%d requests at once", n)
		}
	})
}

func TestAWaitersDeadlineIsItsOwn(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		sim.Inject(dragontest.Slow, dragontest.On("summary"), dragontest.Delay(6*time.Second))
		hurried, patient := h.reader(d, 3*time.Second), h.reader(d, time.Minute)
		<-hurried.done
		<-patient.done
		if dragon.Reason(hurried.err) != "timeout" {
			h.Errorf("the hurried reader got %v, want a timeout", hurried.err)
		}
		if patient.err != nil {
			h.Errorf("the patient reader got %v", patient.err)
		}
		g := d.Health()
		if !g.Up || g.Failures[0] != 1 {
			h.Errorf("after a reader that was in too great a hurry: %+v", g)
		}
	})
}

func TestADragonThatHangsIsDownEvenIfReadersGiveUpEarlier(t *testing.T) {
	for _, deadline := range []time.Duration{600 * time.Microsecond, time.Second, 5 * time.Second, 9500 * time.Millisecond} {
		t.Run(deadline.String(), func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
				h.read(d)
				sim.Inject(dragontest.Hang, dragontest.On("summary"))
				start := time.Now()
				before := h.lan.asked("10.1.0.8", "/api/summary")
				for until := start.Add(9900 * time.Millisecond); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
					r := h.reader(d, min(deadline, time.Until(until)))
					<-r.done
					if dragon.Reason(r.err) != "timeout" {
						h.Errorf("got %v, want a timeout", r.err)
					}
					if g := d.Health(); !g.Up || g.Reason != "" {
						h.Fatalf("down after %v, which is not the dragon's own timeout: %+v", time.Since(start), g)
					}
				}
				time.Sleep(time.Until(start.Add(10 * time.Second)))
				synctest.Wait()
				if g := d.Health(); g.Up || g.Reason != "timeout" {
					h.Errorf("after its own timeout: %+v", g)
				}
				if n := h.lan.asked("10.1.0.8", "/api/summary") - before; n != 1 {
					h.Errorf("%d requests, want the one that everybody joined", n)
				}
			})
		})
	}
}

func TestReadersInAHurryDoNotMakeADragonDown(t *testing.T) {
	for name, slow := range map[string]time.Duration{"healthy": 100 * time.Millisecond, "slow": 8 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLAN()
				// Two processes, as of an HA pair, each with readers of their own.
				var halls []*hall
				var dragons []*Dragon
				sim := dragontest.New(dragontest.Spec{})
				l.put("10.1.0.8", sim)
				for range 2 {
					h := openHall(t, Config{}, l)
					h.sight("10.1.0.8")
					halls, dragons = append(halls, h), append(dragons, h.Lookup("10.1.0.8"))
				}
				sim.Inject(dragontest.Slow, dragontest.On("summary"), dragontest.Delay(slow))
				var readers sync.WaitGroup
				for i := range 40 {
					readers.Go(func() {
						for n := range 20 {
							time.Sleep(time.Duration(37*i) * time.Millisecond)
							ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i*n)*600*time.Microsecond)
							_, _ = dragons[i%2].Read(ctx, 0)
							cancel()
						}
					})
				}
				readers.Wait()
				time.Sleep(10 * time.Second)
				for i, d := range dragons {
					if halls[i].log.said("dragon is down") > 0 || !d.Health().Up {
						t.Errorf("process %d says %q, %+v", i, halls[i].log.lines, d.Health())
					}
				}
			})
		})
	}
}

func TestWhatAHurriedReaderAskedForIsThereForTheNext(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		sim.Inject(dragontest.Slow, dragontest.On("summary"), dragontest.Delay(6*time.Second))
		start := time.Now()
		<-h.reader(d, time.Second).done
		if r := h.read(d); time.Since(start) != 6*time.Second || r.At != d.Last().At {
			h.Errorf("the next reader waited %v", time.Since(start))
		}
		cancelled := h.reader(d, time.Minute)
		<-h.reader(d, time.Second).done
		cancelled.cancel()
		<-cancelled.done
		time.Sleep(6 * time.Second)
		if r := d.Last(); !r.At.Equal(start.Add(12 * time.Second)) {
			h.Errorf("the last reading is of %v", r.At.Sub(start))
		}
	})
}

func TestAnswersAreKeptOnlyForThoseWhoWantThem(t *testing.T) {
	var offered *Reading
	inHall(t, Config{OnReading: func(_ *Dragon, r *Reading) { offered = r }}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		for _, keep := range []bool{false, true, false} {
			stop := func() {}
			if keep {
				stop = h.KeepAnswers()
			}
			for what, r := range map[string]*Reading{"the reading": h.read(d), "the last reading": d.Last(), "what is offered": offered} {
				if kept := r.Summary.Raw != nil; kept != keep || len(r.Summary.Boards) != 3 {
					h.Errorf("%s has an answer: %t, want %t; %d boards", what, kept, keep, len(r.Summary.Boards))
				}
			}
			stop()
		}
	})
}

func TestARecentReadingIsReadAgainOnlyWhenTooOld(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		r := h.read(d)
		time.Sleep(10 * time.Second)
		if again, _ := d.Read(h.Context(), 10*time.Second); again.At != r.At {
			h.Error("a reading of ten seconds was not good enough for maxAge ten seconds")
		}
		if again, _ := d.Read(h.Context(), 9*time.Second); again.At == r.At {
			h.Error("a reading of ten seconds was taken for maxAge nine seconds")
		}
		if err := d.Write(h.Context(), "restart", func(context.Context, *dragon.Client) error { return nil }); err != nil {
			h.Fatal(err)
		}
		last := d.Last()
		if again, _ := d.Read(h.Context(), time.Hour); again == last {
			h.Error("a reading from before a write was taken for fresh")
		}
	})
}

func TestReadsAnswerBusyWhileAWriteHoldsTheLane(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		sim.Inject(dragontest.Slow, dragontest.On("summary"))
		running := h.reader(d, time.Minute)

		held, release := make(chan struct{}), make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() {
			err := d.Write(context.Background(), "reboot", func(context.Context, *dragon.Client) error {
				close(held)
				<-release
				return nil
			})
			if err != nil {
				h.Error(err)
			}
		})
		<-held
		<-running.done
		if running.err != nil {
			h.Errorf("the write did not wait for the reading under way: %v", running.err)
		}
		before, start := h.lan.total(), time.Now()
		var busy *BusyError
		if _, err := d.Read(h.Context(), time.Hour); !errors.As(err, &busy) || busy.Action != "reboot" {
			h.Errorf("Read during a write: %v", err)
		}
		if time.Since(start) > 0 || h.lan.total() != before {
			h.Error("a busy dragon was waited for or asked")
		}
		if b := d.Health().Busy; b != "reboot" {
			h.Errorf("Busy %q", b)
		}
		close(release)
		writing.Wait()
		h.read(d)
		if b := d.Health().Busy; b != "" {
			h.Errorf("Busy %q after the write", b)
		}
	})
}

func TestAReadingQueuedBeforeAWriteIsNotHeldUpByIt(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		// Whatever the order in which a reading and a write come to the lane, the
		// reading is made before it or answers busy at once.
		for range 20 {
			release := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = d.Do(context.Background(), func(context.Context, *dragon.Client) error { <-release; return nil })
			})
			synctest.Wait()
			var err error
			var took time.Duration
			start := time.Now()
			wg.Go(func() {
				_ = d.Write(context.Background(), "reboot", func(context.Context, *dragon.Client) error {
					time.Sleep(time.Minute)
					return nil
				})
			})
			wg.Go(func() {
				_, err = d.Read(context.Background(), 0)
				took = time.Since(start)
			})
			synctest.Wait()
			close(release)
			wg.Wait()
			var busy *BusyError
			if took > 0 || err != nil && !errors.As(err, &busy) {
				h.Fatalf("after %v: %v", took, err)
			}
		}
	})
}

func TestTheLaneIsFair(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		var order []int
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if err := d.Do(context.Background(), func(context.Context, *dragon.Client) error {
					time.Sleep(time.Second)
					order = append(order, i)
					return nil
				}); err != nil {
					h.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if !slices.IsSorted(order) {
			h.Errorf("served in the order %v", order)
		}
	})
}

func TestWaitsAreMeasuredAndAbandonedOnesCounted(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	inHall(t, Config{Registerer: reg}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = d.Do(context.Background(), func(context.Context, *dragon.Client) error { <-release; return nil })
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		defer cancel()
		err := d.Do(ctx, func(context.Context, *dragon.Client) error { h.Error("ran while the lane was held"); return nil })
		if dragon.Reason(err) != "timeout" {
			h.Errorf("got %v", err)
		}
		r := h.reader(d, time.Second)
		<-r.done
		if !d.Health().Since.IsZero() {
			h.Errorf("a dragon that was not asked is judged: %+v", d.Health())
		}
		close(release)
		wg.Wait()
		m := h.metrics
		for use, want := range map[string]float64{useOther: 1, useRead: 1, useWrite: 0} {
			if n := testutil.ToFloat64(m.abandoned.WithLabelValues(use)); n != want {
				h.Errorf("abandoned %s %v, want %v", use, n, want)
			}
		}
	})
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if n, _ := testutil.GatherAndCount(reg); n != 9 {
		t.Errorf("%d series, want every use and file from the start: 9", n)
	}
}

func TestAQuestionAsideDoesNotHoldTheLane(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			err := d.OutOfBand(context.Background(), func(_ context.Context, c *dragon.Client) error {
				if c == d.currentEndpoint().client {
					h.Error("Aside uses the lane's session")
				}
				<-release
				return nil
			})
			if err != nil {
				h.Error(err)
			}
		})
		synctest.Wait()
		h.read(d)
		close(release)
		wg.Wait()
	})
}

func TestAPanicCostsOneReading(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		other, _ := h.dragon("10.1.0.9", dragontest.Spec{Seed: 2})
		h.lan.panics = true
		_, err := d.Read(h.Context(), 0)
		if reasonOf(err) != "response" || d.Health().Up {
			h.Errorf("after a panic: %v, %+v", err, d.Health())
		}
		for name, call := range map[string]func(context.Context, func(context.Context, *dragon.Client) error) error{
			"Do": d.Do, "Aside": d.OutOfBand,
			"Write": func(ctx context.Context, fn func(context.Context, *dragon.Client) error) error {
				return d.Write(ctx, "x", fn)
			},
		} {
			if err := call(h.Context(), func(context.Context, *dragon.Client) error { panic("x") }); err == nil {
				h.Errorf("%s returned no error for a panic", name)
			}
		}
		h.lan.panics = false
		h.read(other)
		time.Sleep(20 * time.Second)
		h.read(d)
	})
}

func TestNothingIsReadAfterTheEnd(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		sim.Inject(dragontest.Hang, dragontest.On("summary"))
		r := h.reader(d, time.Hour)
		start := time.Now()
		h.stop()
		<-r.done
		if !errors.Is(r.err, context.Canceled) || time.Since(start) > 0 {
			h.Errorf("the reading under way ended after %v with %v", time.Since(start), r.err)
		}
		if _, err := d.Read(h.Context(), 0); !errors.Is(err, context.Canceled) {
			h.Errorf("Read after the end: %v", err)
		}
		if g := d.Health(); g.Reason != "" || slices.Max(g.Failures) != 0 {
			h.Errorf("the end made %+v", g)
		}
	})
}

func TestStopWaitsForRequestsOnly(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		other, _ := h.dragon("10.1.0.9", dragontest.Spec{Seed: 2})
		h.lan.deaf = true
		sim.Inject(dragontest.Slow, dragontest.On("summary"), dragontest.Delay(3*time.Second))
		h.reader(d, time.Hour)
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = other.Do(context.Background(), func(context.Context, *dragon.Client) error { <-release; return nil })
		})
		synctest.Wait()
		queued := h.reader(other, time.Hour)
		start := time.Now()
		h.stop()
		if took := time.Since(start); took != 3*time.Second || h.lan.underWay("10.1.0.8") != 0 {
			h.Errorf("ended after %v, want after the one request under way", took)
		}
		<-queued.done
		close(release)
		wg.Wait()
	})
}
