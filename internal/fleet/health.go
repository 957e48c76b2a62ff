package fleet

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Reasons are the values of dragon_scrape_failures_total's reason, in order.
var Reasons = []string{"timeout", "refused", "unreachable", "auth", "response", "budget"}

// Health is how a dragon's readings went. It is a copy.
type Health struct {
	Up          bool      // the last attempt succeeded
	Reason      string    // why not: one of Reasons; empty while up or never tried
	Err         error     // of the last attempt
	Since       time.Time // the last change of Up
	LastSuccess time.Time // zero if never
	Failures    []uint64  // by index of Reasons: failed attempts, and readers whose own time ran out first
	ParseErrors map[string]uint64
	Restarts    Restarts
	Boards      dragon.BoardCount // that it should have
	Busy        string            // the action that holds the lane, or waits for it; empty if none
	Expected    string            // while down: what explains it, HealerRestart or InMaintenance; empty if nothing
}

func (h Health) downError() error { return &DownError{Reason: h.Reason, Since: h.Since, Err: h.Err} }

// DownError is the error of a dragon that is known to be down and was not asked.
type DownError struct {
	Reason string
	Since  time.Time
	Err    error // of the last attempt
}

func (e *DownError) Error() string {
	s := "down"
	if !e.Since.IsZero() {
		s += " since " + e.Since.UTC().Format(time.RFC3339)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *DownError) Unwrap() error { return e.Err }

// parseErrorFields bounds the values of dragon_parse_errors_total's field, which a
// device could otherwise make as many as it likes.
const parseErrorFields = 100

// health is a dragon's state: up, down, or neither where it was not tried.
type health struct {
	up, down    bool
	reason      string
	err         error
	since       time.Time
	lastSuccess time.Time
	retryAt     time.Time // while down: the entry of the retry queues that counts
	hangs       bool      // while down: it takes connections, and does not answer
	expected    string    // while down: what explains it
	last        *Reading  // nil unless up
	stale       bool      // a write came after last
	failures    [6]uint64 // by index of Reasons
	parseErrors map[string]uint64
}

func (h *health) count(reason string) {
	if i := slices.Index(Reasons, reason); i >= 0 {
		h.failures[i]++
	}
}

func (h *health) unreadable(fields []string) {
	for _, field := range fields {
		if h.parseErrors == nil {
			h.parseErrors = make(map[string]uint64)
		}
		if _, known := h.parseErrors[field]; !known && len(h.parseErrors) >= parseErrorFields {
			field = "other"
		}
		h.parseErrors[field]++
	}
}

// reset forgets that the dragon is down: it was sighted at another address.
func (h *health) reset() {
	h.down, h.reason, h.err, h.expected = false, "", nil, ""
}

// reasonOf is the value of Reasons for a failed attempt.
func reasonOf(err error) string {
	if r := dragon.Reason(err); slices.Contains(Reasons, r) {
		return r
	}
	return "response"
}

// Health returns how its readings went.
func (d *Dragon) Health() Health {
	boards := d.ExpectedBoards()
	d.mu.Lock()
	defer d.mu.Unlock()
	h := &d.health
	health := Health{
		Up:          h.up,
		Reason:      h.reason,
		Err:         h.err,
		Since:       h.since,
		LastSuccess: h.lastSuccess,
		Failures:    slices.Clone(h.failures[:]),
		ParseErrors: maps.Clone(h.parseErrors),
		Restarts:    d.life.Restarts,
		Boards:      boards,
		Expected:    h.expected,
	}
	if len(d.lane.writes) > 0 {
		health.Busy = d.lane.writes[0]
	}
	return health
}

// Last returns the newest reading; nil if there is none or the last attempt failed.
// KeepAnswers decides whether it has the raw answer.
func (d *Dragon) Last() *Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.health.last
}

// SkippedForBudget counts a reading that a scrape had no time left for.
func (d *Dragon) SkippedForBudget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health.count("budget")
}

// cameUp notes a reading. The caller holds d.mu.
func (d *Dragon) cameUp(r *Reading) {
	h := &d.health
	if h.down {
		d.fleet.logLater(level.InfoValue(), "dragon is up again", "worker", d.Info().Worker,
			"address", d.Info().Address, "down_for", r.At.Sub(h.since).Round(time.Second))
	}
	cameUp := !h.up
	if cameUp {
		h.since = r.At
	}
	h.up, h.down, h.reason, h.err, h.expected = true, false, "", nil, ""
	h.last, h.stale, h.lastSuccess = r, false, r.At
	d.sawItself(r.At)
	if cameUp {
		d.planFacts(r.At)
	}
	d.sawRestart(r)
	if d.boards.see(len(r.Summary.Boards)) {
		d.fleet.file.changed()
	}
}

// wentDown notes a failed attempt and asks again later. The caller holds d.mu.
func (d *Dragon) wentDown(reason string, err error, hangs bool) {
	now := time.Now()
	q := &d.fleet.retries
	if !d.health.down {
		q = &d.fleet.firstRetries
	}
	d.failed(reason, err, now)
	d.health.hangs = hangs
	d.retryIn(q, d.fleet.retryDelay(hangs, now.Sub(d.health.since)))
}

// What explains that a dragon is down.
const (
	HealerRestart = "healer"      // a write of the healer restarts it: Dragon.Expect
	InMaintenance = "maintenance" // a person works on it
)

// expected says what explains that the dragon does not answer now; empty if nothing does. The
// caller holds d.mu.
func (d *Dragon) expected(now time.Time) string {
	switch maintained := d.fleet.config.Maintained; {
	case d.life.expects(now):
		return HealerRestart
	case maintained != nil && maintained(d.Info().MAC):
		return InMaintenance
	}
	return ""
}

// failed notes a failed attempt. Only a dragon that is down for no known reason is a warning.
// The caller holds d.mu.
func (d *Dragon) failed(reason string, err error, now time.Time) {
	h := &d.health
	expected, overdue := d.expected(now), false
	if h.down {
		overdue = h.expected != "" && expected == ""
	} else {
		h.since = now
		d.publishLastSeen()
	}
	about := []any{"worker", d.Info().Worker, "address", d.Info().Address, "reason", reason, "err", err}
	switch {
	case errors.Is(err, errForgotten): // which has a line of its own
	case overdue:
		d.fleet.logLater(level.WarnValue(), "dragon did not come back", about...)
	case !h.down && expected != "":
		d.fleet.logLater(level.InfoValue(), "dragon is down", append(about, "expected", expected)...)
	case !h.down:
		d.fleet.logLater(level.WarnValue(), "dragon is down", about...)
	}
	h.up, h.down, h.reason, h.err, h.last, h.expected = false, true, reason, err, nil, expected
}
