package agent

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// withCalendar gives the fixture a calendar for a dragon, which is open for an hour from an hour
// after now on.
func (w *fixture) withCalendar(i int) *atomic.Pointer[[]healer.Calendar] {
	from, to := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	var list atomic.Pointer[[]healer.Calendar]
	list.Store(&[]healer.Calendar{{Name: "filters", Kind: healer.Maintained, Scope: "mac", Value: w.dragons.Dragon(i).Spec().MAC, Reason: "filters are cleaned",
		Open: func(at time.Time) bool { return !at.Before(from) && at.Before(to) }}})
	w.configs = append(w.configs, func(c *Config) { c.Calendars = func() []healer.Calendar { return *list.Load() } })
	return &list
}

func (w *fixture) pauses() []healer.Pause { return w.healer.Status().Plan.Pauses }

func TestACalendarHoldsItsDragons(t *testing.T) {
	t.Parallel()
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.withCalendar(1)
		w.start()
		w.settle()
		worker := w.worker(1)
		shown := func(when string, want float64) {
			t.Helper()
			if open, muted := w.metric("mother_calendar_open", "calendar", "filters"), w.metric("dragon_maintenance", "worker", worker); open != want || muted != want {
				t.Errorf("%s: open %v, in maintenance %v, want %v", when, open, muted, want)
			}
			if n := w.metric("mother_pauses", "scope", "mac"); n != 0 {
				t.Errorf("%s: %v pauses of people", when, n)
			}
		}
		shown("before", 0)
		next := func() *time.Time { return w.healer.Status().Calendars[0].Next }
		if from := time.Now().Add(time.Hour).Truncate(time.Hour); next() == nil || next().Sub(from).Abs() > time.Hour ||
			w.metric("mother_calendar_next_timestamp_seconds", "calendar", "filters") != float64(next().Unix()) {
			t.Errorf("it begins at %v", next())
		}
		w.until("it is time", 2*time.Hour, func() bool { return len(w.pauses()) > 0 })
		shown("in it", 1)
		if x := w.healer.Status().Calendars[0]; !x.Open || x.Next != nil || x.Scope != "mac="+w.dragons.Dragon(1).Spec().MAC || x.Does != "maintenance" {
			t.Errorf("shown as %+v", x)
		}
		w.killBoard(1)
		pass(50 * time.Minute)
		if w.wroteAnything() || !w.healer.Maintained(w.dragons.Dragon(1).Spec().MAC) || w.healer.Maintained(w.dragons.Dragon(2).Spec().MAC) {
			t.Errorf("the maintenance does not hold:\n%s", w.table())
		}
		w.until("it is over", time.Hour, func() bool { return len(w.pauses()) == 0 })
		shown("after", 0)
		w.until("it is healed", 2*time.Hour, func() bool { return len(w.wrote(1)) > 0 })
		var said []string
		for _, a := range w.audit() {
			if a.Actor == calendarActor("filters") {
				said = append(said, string(a.Decision)+" "+a.Note)
			}
		}
		if len(said) != 2 || !strings.HasPrefix(said[0], "hold maintenance p1 of mac "+w.dragons.Dragon(1).Spec().MAC) || said[1] != "resume pause p1" {
			t.Errorf("%q", said)
		}
	})
}

// A person's word counts within the interval, a changed calendar replaces its pause, and one that
// is gone from the configuration ends it.
func TestACalendarGivesWay(t *testing.T) {
	t.Parallel()
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		list := w.withCalendar(1)
		w.start()
		w.settle()
		w.until("it is time", 2*time.Hour, func() bool { return len(w.pauses()) > 0 })
		other := slices.Clone(*list.Load())
		other[0].Scope, other[0].Value = "fleet", ""
		list.Store(&other)
		pass(3 * time.Minute)
		if p := w.pauses(); len(p) != 1 || p[0].Scope != "fleet" || p[0].Calendar != "filters" {
			t.Errorf("after a change: %+v", p)
		}
		if _, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "mine"}); err != nil {
			t.Fatal(err)
		}
		w.stop()
		w.start()
		pass(3 * time.Minute)
		h := w.healer // an older version did not write this down
		if err := h.onLoop(w.ctx, "forgetting", func(context.Context) error { h.mem.Fleet.Calendars = nil; return nil }); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Minute)
		if err := w.healer.Resume(w.ctx, w.pauses()[0].ID, "eva"); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		if p := w.pauses(); len(p) != 1 || p[0].Owner != "eva" {
			t.Errorf("after a person's word: %+v", p)
		}
		w.stop()
		w.start()
		pass(10 * time.Minute)
		if p := w.pauses(); len(p) != 1 || p[0].Owner != "eva" {
			t.Errorf("after a person's word and a restart: %+v", p)
		}
		again := slices.Clone(other)
		again[0].Name = "again"
		list.Store(&again)
		pass(3 * time.Minute)
		if p := w.pauses(); len(p) != 2 || p[1].Calendar != "again" {
			t.Errorf("another name: %+v", p)
		}
		list.Store(new([]healer.Calendar))
		pass(3 * time.Minute)
		if p := w.pauses(); len(p) != 1 || p[0].Owner != "eva" {
			t.Errorf("without a calendar: %+v", p)
		}
	})
}

// Price hours by a calendar: one dragon tries the mode first, then the others have it, then all
// have what they had before.
func TestACalendarCurtailsItsDragons(t *testing.T) {
	t.Parallel()
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		w := newFixtureOf(t, 3, nil, map[fleet.Fact]time.Duration{fleet.AutoTune: 0})
		list := w.withCalendar(1)
		c := (*list.Load())[0]
		c.Kind, c.Scope, c.Value, c.Mode = healer.Curtailed, "fleet", "", "efficient"
		list.Store(&[]healer.Calendar{c})
		w.start()
		w.settle()
		before := w.dragons.Dragon(0).Truth().AutoTune.Mode
		have := func(mode string) func() bool {
			return func() bool {
				for _, d := range w.dragons.Dragons() {
					if d.Truth().AutoTune.Mode != mode {
						return false
					}
				}
				return true
			}
		}
		w.until("all run in it", 2*time.Hour, have("efficient"))
		if n := w.metric("mother_healer_curtailed"); n != 3 || w.metric("mother_calendar_open", "calendar", "filters") != 1 {
			t.Errorf("%g dragons are curtailed", n)
		}
		w.stop() // it is remembered what they had
		w.start()
		w.until("all have again what they had", 3*time.Hour, have(before))
		w.until("it is over", time.Hour, func() bool { return w.metric("mother_healer_curtailed") == 0 })
		for i := range w.dragons.Len() {
			if got := w.wrote(i); !slices.Equal(got, []string{"setAutoTune", "setAutoTune"}) {
				t.Errorf("%s was written %v", w.worker(i), got)
			}
		}
	})
}

// A pause lasts seven days at most. The next one of a calendar that is still open follows without a gap.
func TestACalendarOfManyDaysHasNoGap(t *testing.T) {
	unraced(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 1)
		list := w.withCalendar(0)
		always := slices.Clone(*list.Load())
		always[0].Open = func(time.Time) bool { return true }
		list.Store(&always)
		w.start()
		pass(5 * time.Minute)
		w.until("the pause", time.Hour, func() bool { return len(w.pauses()) > 0 })
		pass(7*24*time.Hour - 10*time.Minute)
		gap := false
		for range 30 {
			pass(time.Minute)
			p := w.pauses()
			gap = gap || len(p) == 0
		}
		if gap {
			t.Error("for a while there was no pause")
		}
		if p := w.pauses(); len(p) != 1 || p[0].ID == "p1" {
			t.Errorf("after the first week: %+v", p)
		}
	})
}
