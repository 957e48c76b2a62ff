package discovery

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestTheWindowFollowsTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow()
		for range firstWindow {
			if !w.take() {
				t.Fatal("not open at first")
			}
		}
		if w.take() {
			t.Error("more at once than the window has")
		}
		asked := time.Now()
		time.Sleep(time.Second)
		w.give(asked, true)
		w.give(asked, true) // one storm halves it once
		if int(w.size) != firstWindow/2 || w.take() {
			t.Errorf("%v after a storm of time-outs, %d used", w.size, w.used)
		}
		for w.used > 0 {
			w.give(asked, false)
		}
		if w.size < firstWindow/2+1 || w.size > firstWindow/2+3 {
			t.Errorf("%v after some %d answers, want about one more for each window of them", w.size, firstWindow)
		}
		for range 100 {
			time.Sleep(time.Second)
			w.take()
			now := time.Now()
			time.Sleep(time.Second)
			w.give(now, true)
		}
		if w.size != leastWindow {
			t.Errorf("%v after time-outs only, want %d", w.size, leastWindow)
		}
		for range 100000 {
			w.take()
			w.give(time.Now(), false)
		}
		if w.size != mostWindow {
			t.Errorf("%v after answers only, want %d", w.size, mostWindow)
		}
	})
}

func TestASlowDragonIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 100}, Config{Networks: networks(t, "127.10.0.0/24")})
		for i := range 100 {
			f.simulated.Dragon(i).Inject(dragontest.Slow, dragontest.Delay(time.Duration(i+1)*90*time.Millisecond)) // up to 9 s for each answer
		}
		if r := f.scan(); len(r.Found) != 100 || r.Unanswered != 0 {
			t.Errorf("%d of 100 dragons found, %d without an answer", len(r.Found), r.Unanswered)
		}
	})
}

func TestAHostThatDidNotAnswerIsAskedAgainInTheSameScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{Count: 50}, Config{Networks: networks(t, "127.10.0.0/24")})
		for i := range 20 {
			d := f.simulated.Dragon(i)
			d.Inject(dragontest.Hang)
			time.AfterFunc(time.Duration(11+i)*time.Second, func() { d.Clear() }) // the last ones while they are asked again
		}
		r := f.scan()
		if len(r.Found) != 50 || r.Unanswered != 0 || r.Scanned != 254 {
			t.Errorf("%d of 50 dragons found, %d without an answer, %d scanned", len(r.Found), r.Unanswered, r.Scanned)
		}
		if n := testutil.ToFloat64(f.metrics.scans.WithLabelValues(complete)); n != 1 {
			t.Errorf("%v complete scans counted", n)
		}
	})
}

func TestAnIncompleteScanSaysSoAndAsksAgainWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		f := newFarm(t, dragontest.FleetConfig{Count: 5, Strangers: []dragontest.StrangerKind{dragontest.Mute}},
			Config{Networks: networks(t, "127.10.0.0/28"), Interval: 10 * time.Minute, Logger: log.NewLogfmtLogger(log.NewSyncWriter(&said))})
		late := f.simulated.Dragon(3)
		late.Inject(dragontest.Hang)
		stop := f.run()
		time.Sleep(45 * time.Second)
		s := f.Status()
		if s.Outcome != incomplete || len(s.Unanswered) != 2 || testutil.ToFloat64(f.metrics.unanswered) != 2 ||
			testutil.ToFloat64(f.metrics.scans.WithLabelValues(incomplete)) != 1 || testutil.ToFloat64(f.metrics.last) == 0 {
			t.Errorf("%+v", s)
		}
		late.Clear()
		time.Sleep(time.Minute)
		if f.fleet.Lookup(f.simulated.Host(3).String()) == nil {
			t.Error("a host that answers by now was not asked at the next minute")
		}
		if s := f.Status(); len(s.Unanswered) != 1 || s.Unanswered[0] != "127.10.0.6" || testutil.ToFloat64(f.metrics.unanswered) != 1 {
			t.Errorf("%+v", s)
		}
		before := f.simulated.Strangers()[0].Traffic().Connections
		time.Sleep(5 * time.Minute)
		if n := f.simulated.Strangers()[0].Traffic().Connections - before; n < 3 || n > 6 {
			t.Errorf("the silent host was asked %d times in 5 minutes", n)
		}
		time.Sleep(20 * time.Minute)
		stop()
		if n := strings.Count(said.String(), "scan incomplete"); n != 1 || !strings.Contains(said.String(), "unanswered=2") {
			t.Errorf("said %d times:\n%s", n, &said)
		}
	})
}

func TestAHostThatLeftIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.0/30"), Interval: 10 * time.Minute})
		f.simulated.Dragon(0).Inject(dragontest.Hang)
		defer f.run()()
		time.Sleep(45 * time.Second)
		if len(f.Status().Unanswered) != 1 {
			t.Fatalf("%+v", f.Status())
		}
		if err := f.simulated.Move(0, netip.MustParseAddr("127.10.9.9")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := f.Status(); len(s.Unanswered) != 0 {
			t.Errorf("nothing listens there, and it is waited for: %+v", s)
		}
	})
}

func TestAConnectThatThisProcessSleptThroughIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.FleetConfig{}, Config{Networks: networks(t, "127.10.0.1/32")})
		sc := &scan{Scanner: f.Scanner}
		f.fail = func(netip.Addr, int) error { return errLost }
		sc.pulse.note(time.Now()) // and then never again: the process does not run
		if err := sc.connect(t.Context(), f.hosts.at(0), 250*time.Millisecond); !errors.Is(err, errOverslept) || !ours(err) {
			t.Errorf("it slept all the time: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go sc.pulse.run(ctx)
		time.Sleep(time.Second)
		if err := sc.connect(t.Context(), f.hosts.at(0), 250*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it was awake: %v", err)
		}
	})
}

func TestGapsOfThePulse(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, int64(ms)*int64(time.Millisecond)) }
	var p pulse
	for _, ms := range []int{1000, 1010, 1020, 1320, 1330, 1340} {
		p.note(at(ms))
	}
	for _, c := range []struct{ from, to, want int }{
		{1000, 1345, 300}, // a gap within
		{1200, 1345, 120}, // the rest of it
		{1330, 1345, 5},   // after it
		{1330, 1500, 160}, // one that is not over
	} {
		if got := p.missed(at(c.from), at(c.to)); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("from %d to %d: %v, want %d ms", c.from, c.to, got, c.want)
		}
	}
}
