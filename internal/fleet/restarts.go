package fleet

import (
	"maps"
	"time"

	"github.com/go-kit/log/level"
)

// Restart is the kind of a restart.
type Restart string

// The kinds of restart. One of the system takes the miner process with it, and
// counts as itself only.
const (
	MinerRestart  Restart = "miner"
	SystemRestart Restart = "system"
)

// Restarts counts the restarts that readings showed since the dragon is known, also
// over restarts of this program.
type Restarts struct {
	Miner  RestartCount `json:"miner,omitzero"`
	System RestartCount `json:"system,omitzero"`
}

// RestartCount counts restarts by their initiator.
type RestartCount struct {
	Healer  uint64 `json:"healer,omitempty"` // Dragon.Expect announced it
	Unknown uint64 `json:"unknown,omitempty"`
}

// A dragon gives its uptime in whole minutes and Device Elapsed in seconds, and its
// answer takes time. A restart moves a computed start by more than that.
const (
	bootTolerance  = 90 * time.Second
	minerTolerance = 15 * time.Second

	longestTuning = time.Hour // of half an hour that the vendor's pages speak of
)

// life is when the dragon's system and miner process started, as readings showed it. It tells
// a restart from continued work. The inventory keeps it, so that a restart while this program
// was away is seen, and none is counted twice.
type life struct {
	Booted   beginning         `json:"booted,omitzero"`
	Started  beginning         `json:"started,omitzero"` // of the miner process, or of its figures
	Tuning   bool              `json:"tuning,omitempty"`
	Restarts Restarts          `json:"restarts,omitzero"`
	Expected map[Restart]until `json:"expected,omitempty"`
}

// beginning is when something started, computed from its age, and the time of the answer that
// contained the age.
type beginning struct {
	At   time.Time `json:"at"`
	Said time.Time `json:"said"`
}

// until is a span of time in which the healer means to restart something.
type until struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// startedAfter reports whether b started after a was last seen running. A start that moved is
// not enough: the clock of this machine may have been set while the program was away, and the
// oldest of several boards may be gone.
//
// If the clock was set forward while the program was away, by more than the age of b, this
// reports a restart that did not happen. The device's answers cannot tell the two apart.
func (b beginning) startedAfter(a beginning, tolerance time.Duration) bool {
	return !a.At.IsZero() && b.At.Sub(a.At) > tolerance && b.At.Sub(a.Said) > -tolerance
}

// observe takes in a reading and returns the restart that it shows: what started, and when. At
// the end of tuning the miner process resets its figures, Device Elapsed among them, and
// keeps running; that is not a restart. After a restart it tunes again, so that the end of
// tuning is not taken for one.
func (l *life) observe(r *Reading) (kind Restart, at time.Time) {
	s, o := r.Summary, r.Overview
	if o != nil && !o.At.Equal(l.Booted.Said) {
		if began, known := r.pace.began(o.Uptime, o.At); known {
			b := beginning{began, o.At}
			if b.startedAfter(l.Booted, r.pace.tolerance(SystemRestart)) {
				kind, at = SystemRestart, b.At
				l.Started = beginning{} // what runs now is not what ran then
			}
			l.Booted = b
		}
	}
	tunes := l.Tuning
	if tuning, known := s.Tuning.Get(); known {
		tunes = tuning != 0
	}
	if began, known := r.Began(s.Elapsed()); known {
		b := beginning{began, s.At}
		tuned := l.Tuning && !tunes && b.At.Sub(l.Started.Said) < r.pace.ours(longestTuning)
		if b.startedAfter(l.Started, r.pace.tolerance(MinerRestart)) && !tuned {
			kind, at = MinerRestart, b.At
		}
		l.Started = b
	}
	l.Tuning = tunes
	return kind, at
}

func (l life) clone() life {
	l.Expected = maps.Clone(l.Expected)
	for _, b := range []*beginning{&l.Booted, &l.Started} {
		b.At, b.Said = b.At.UTC(), b.Said.UTC()
	}
	return l
}

// merge adds the past of another entry of the same MAC that was the same dragon.
func (l *life) merge(past life) {
	l.Restarts.Miner.add(past.Restarts.Miner)
	l.Restarts.System.add(past.Restarts.System)
	if l.Booted.At.IsZero() && l.Started.At.IsZero() { // it was never read
		l.Booted, l.Started, l.Tuning = past.Booted, past.Started, past.Tuning
	}
	for kind, e := range past.Expected {
		if _, own := l.Expected[kind]; !own {
			l.expect(kind, e.From, e.To)
		}
	}
}

func (c *RestartCount) add(o RestartCount) {
	c.Healer += o.Healer
	c.Unknown += o.Unknown
}

func (l *life) count(kind Restart, at time.Time, tolerance time.Duration) (initiator string) {
	count := &l.Restarts.Miner
	if kind == SystemRestart {
		count = &l.Restarts.System
	}
	if e, ok := l.Expected[kind]; ok && !at.Before(e.From.Add(-tolerance)) && !at.After(e.To.Add(tolerance)) {
		delete(l.Expected, kind)
		count.Healer++
		return "healer"
	}
	count.Unknown++
	return "unknown"
}

// expect notes that a restart until to is the healer's.
func (l *life) expect(kind Restart, from, to time.Time) {
	if l.Expected == nil {
		l.Expected = make(map[Restart]until)
	}
	l.Expected[kind] = until{from.UTC(), to.UTC()}
}

// expects reports whether a restart that was announced may be under way.
func (l *life) expects(now time.Time) bool {
	for _, e := range l.Expected {
		if !now.Before(e.From) && now.Before(e.To) {
			return true
		}
	}
	return false
}

// Expect announces that the healer restarts something of the dragon: the next restart of
// that kind which happens between from and until is counted as the healer's. It counts for
// one restart.
func (d *Dragon) Expect(kind Restart, from, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life.expect(kind, from, until)
	d.fleet.file.changed()
}

// Unexpect takes back what Expect announced: the write was certainly not carried out.
func (d *Dragon) Unexpect(kind Restart) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.life.Expected, kind)
	d.fleet.file.changed()
}

// sawRestart takes a restart out of a reading, if there is one in it. The caller holds d.mu.
func (d *Dragon) sawRestart(r *Reading) {
	kind, at := d.life.observe(r)
	if kind == "" {
		return
	}
	initiator := d.life.count(kind, at, r.pace.tolerance(kind))
	d.fleet.logLater(level.InfoValue(), "dragon restarted", "worker", d.Info().Worker, "address", d.Info().Address,
		"kind", kind, "initiator", initiator, "at", at.UTC().Round(time.Second))
	d.refreshFactsSoon() // a restart often follows a change
	d.fleet.file.changed()
}
