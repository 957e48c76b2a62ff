package healer

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestTimeAdvancesWithTheMonotonicClock(t *testing.T) {
	var l timeline
	now := Instant{noon, time.Hour, "a"}
	l.advance(Anchor{}, now, true)
	for range 10 {
		now.Mono += time.Minute
		now.Wall = now.Wall.Add(-time.Hour) // whatever it says
		l.advance(Anchor{}, now, true)
	}
	if l.moment != Moment(10*time.Minute) || l.jumps != 10 {
		t.Errorf("moment %s, %d jumps", time.Duration(l.moment), l.jumps)
	}
}

func TestTimeBetweenTwoProcessesOfOneBoot(t *testing.T) {
	var l timeline
	l.advance(Anchor{Moment(time.Hour), noon, time.Hour, "a", true, false}, Instant{noon.Add(20 * time.Minute), 80 * time.Minute, "a"}, true)
	if l.moment != Moment(80*time.Minute) || l.alive != 0 || l.jumps != 0 {
		t.Errorf("moment %s, alive %s, %d jumps", time.Duration(l.moment), l.alive, l.jumps)
	}
}

// What a clock says that NTP had not set, or that has jumped since, is not a beginning of a gap.
func TestNoTimeBetweenTwoBootsWithoutNTPBefore(t *testing.T) {
	for name, anchor := range map[string]Anchor{
		"not set":                 {Moment(time.Hour), noon, time.Hour, "a", false, false},
		"set, and has jumped":     {Moment(time.Hour), noon, time.Hour, "a", true, true},
		"jumped, and set by hand": {Moment(time.Hour), noon, time.Hour, "a", false, true},
	} {
		var l timeline
		l.advance(anchor, Instant{noon.Add(5 * time.Hour), 0, "b"}, true)
		if l.moment != Moment(time.Hour) || l.credited {
			t.Errorf("%s: moment %s", name, time.Duration(l.moment))
		}
	}
}

// A jump of a clock that NTP had set is remembered for the boot, also by the next process.
func TestAJumpIsRememberedForTheBoot(t *testing.T) {
	var l timeline
	l.advance(Anchor{}, Instant{noon, time.Hour, "a"}, true)
	l.advance(Anchor{}, Instant{noon.Add(-5 * time.Hour), time.Hour + time.Minute, "a"}, true)
	if !l.jumped {
		t.Error("the jump is not noticed")
	}
	var next timeline
	next.advance(Anchor{l.moment, l.last.Wall, l.last.Mono, "a", l.synced, l.jumped}, Instant{l.last.Wall.Add(time.Minute), l.last.Mono + time.Minute, "a"}, true)
	if !next.jumped {
		t.Error("the next process does not know of the jump")
	}
}

// The time that the host was off counts once NTP has set the clock, and no earlier.
func TestTimeBetweenTwoBoots(t *testing.T) {
	anchor := Anchor{Moment(time.Hour), noon, time.Hour, "a", true, false}
	for name, x := range map[string]struct {
		wall   time.Time
		synced time.Duration // alive when NTP comes; 0: never
		after  time.Duration // alive when looked at
		want   time.Duration // moment
	}{
		"synced at once":             {noon.Add(5 * time.Hour), 1, 0, 6 * time.Hour},
		"not trusted yet":            {noon.Add(5 * time.Hour), 0, 10 * time.Minute, time.Hour + 10*time.Minute},
		"trusted after a while":      {noon.Add(5 * time.Hour), 0, 20 * time.Minute, time.Hour + 20*time.Minute},
		"NTP after a while":          {noon.Add(5 * time.Hour), 14 * time.Minute, 20 * time.Minute, 6*time.Hour + 20*time.Minute},
		"NTP when it may have acted": {noon.Add(5 * time.Hour), 16 * time.Minute, 20 * time.Minute, time.Hour + 20*time.Minute},
		"a clock that went back":     {noon.Add(-100 * time.Hour), 0, 20 * time.Minute, time.Hour + 20*time.Minute},
		"back, and then set by NTP":  {noon.Add(-100 * time.Hour), 1, 0, time.Hour},
		"the same time as it stored": {noon, 0, 20 * time.Minute, time.Hour + 20*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			var l timeline
			now := Instant{x.wall, 0, "b"}
			l.advance(anchor, now, x.synced == 1)
			for l.alive < x.after {
				now.Mono += time.Minute
				now.Wall = now.Wall.Add(time.Minute)
				l.advance(anchor, now, x.synced > 0 && l.alive+time.Minute >= x.synced)
			}
			if l.moment != Moment(x.want) {
				t.Errorf("moment %s, want %s", time.Duration(l.moment), x.want)
			}
		})
	}
}

// How long the host was off does not age what was to last from the start on: not the charges of a
// restored backup, however early NTP comes, and not a pause.
func TestTheTimeBetweenTwoBootsAgesNothingNew(t *testing.T) {
	p := DefaultPolicy()
	for _, late := range []time.Duration{0, 5 * time.Minute, 20 * time.Hour} {
		for name, begin := range map[string]func(*Memory, Instant) (left func(Moment) time.Duration){
			"a restored backup": func(m *Memory, now Instant) func(Moment) time.Duration {
				m.Recover(now, "an older backup was put back")
				m.Start(now, &p)
				return func(at Moment) time.Duration { return day - at.Since(m.Fleet.Recovered.At) }
			},
			"a pause": func(m *Memory, now Instant) func(Moment) time.Duration {
				m.Start(now, &p)
				made, err := m.Pause(now, PauseRequest{Kind: Paused, Scope: "fleet", Owner: "ann", Reason: "r", For: day})
				if err != nil {
					t.Fatal(err)
				}
				return func(at Moment) time.Duration { return time.Duration(made.Until - at) }
			},
		} {
			m := NewMemory()
			m.Fleet.Anchor = Anchor{Moment(time.Hour), noon, time.Hour, "a", true, false}
			now := Instant{noon.Add(-day), 0, "b"} // as where nothing keeps the time without power
			left := begin(m, now)
			m.run.time.advance(m.Fleet.Anchor, now, false)
			now.Wall, now.Mono = noon.Add(10*day+late), late
			m.run.time.advance(m.Fleet.Anchor, now, true)
			if got := left(m.run.time.moment); got != day-late {
				t.Errorf("%s, NTP after %s: %s left, want %s", name, late, got, day-late)
			}
		}
	}
}

// A store that has just begun holds the clock to what it was begun with.
func TestAClockThatGoesBackBehindANewStore(t *testing.T) {
	for back, trusted := range map[time.Duration]bool{0: true, 10 * time.Minute: true, 14 * day: false} {
		var l timeline
		now := Instant{noon, time.Hour, "a"}
		l.advance(Anchor{}, now, false)
		for range 60 {
			now.Mono, now.Wall = now.Mono+time.Minute, now.Wall.Add(time.Minute)
			l.advance(Anchor{}, now, false)
		}
		now.Mono, now.Wall = now.Mono+time.Minute, now.Wall.Add(time.Minute-back)
		l.advance(Anchor{}, now, false)
		if l.trusted != trusted {
			t.Errorf("after %s back, within the process: trusted %t, want %t", back, l.trusted, trusted)
		}
	}
}

func TestRecordsFromTheFutureAreOfNow(t *testing.T) {
	if d := Moment(5).Since(Moment(9)); d != 0 {
		t.Errorf("age %s, want 0", d)
	}
}
