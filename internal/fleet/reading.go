package fleet

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Reading is one dragon read once. It is shared between its consumers: do not change it.
type Reading struct {
	Summary  *dragon.Summary
	Overview *dragon.Overview // without Raw; up to six minutes older than Summary, more where the dragon refuses a newer one
	Facts    *Facts           // as known then
	At       time.Time        // when the reading was complete
	Took     time.Duration

	pace *pace
}

// WithoutAnswer returns the reading without the summary's Raw: of ten thousand dragons
// these are forty megabytes, and seldom used.
func (r *Reading) WithoutAnswer() *Reading {
	if r.Summary == nil || r.Summary.Raw == nil {
		return r
	}
	lean, summary := *r, *r.Summary
	summary.Raw = nil
	lean.Summary = &summary
	return &lean
}

// KeepAnswers has all readings that begin before stop is called keep the summary's raw answer.
// By default they do not.
func (f *Fleet) KeepAnswers() (stop func()) {
	f.answersKept.Add(1)
	return func() { f.answersKept.Add(-1) }
}

const (
	overviewMaxAge = 5 * time.Minute // on average; see overviewAge
	overviewRetry  = time.Minute     // after one that was due failed, while the old one will do
)

// overviewDue is how long a dragon's overview will do.
func (f *Fleet) overviewDue(mac string) time.Duration {
	age := overviewAge(mac)
	if f.pace != nil {
		age = max(f.pace.ours(age), time.Second)
	}
	return age
}

// overviewAge is the age at which a dragon's overview is due: a fifth more or less
// than overviewMaxAge, and always the same for one MAC. Dragons that were found together
// would otherwise all be asked twice in the same scrapes.
func overviewAge(mac string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(mac))
	const least, spread = overviewMaxAge * 4 / 5, overviewMaxAge * 2 / 5
	return least + time.Duration(h.Sum32()%1000)*spread/1000
}

// session is what is known of the device that answers at an endpoint. After a login another
// device may answer there, since each device signs its tokens with its own key; earlier
// knowledge is then void.
type session struct {
	overview *dragon.Overview
	logins   uint64        // of the client when overview was read
	elapsed  dragon.Number // of the last summary
	due      time.Time     // when overview is to be read again
}

func (s *session) holds(p *endpoint) bool {
	return s.overview != nil && s.logins == p.client.Logins()
}

// withoutText returns the overview without its Raw: half a kilobyte of each dragon, which is not
// read again.
func withoutText(ov *dragon.Overview) *dragon.Overview {
	lean := *ov
	lean.Raw = nil
	return &lean
}

// strangerError is the error of a reading that another dragon answered.
type strangerError struct {
	address  string
	want     string
	overview *dragon.Overview
}

func (e *strangerError) Error() string {
	return fmt.Sprintf("dragon %s: /api/overview: another dragon lives there now (expected MAC %s, got %s)",
		e.address, e.want, normalMAC(e.overview.MAC))
}

// Unwrap makes the dragon unreachable: it is somewhere else, or off.
func (e *strangerError) Unwrap() error { return dragon.ErrUnreachable }

// readSelf reads the dragon, at its new address if it moves meanwhile. The caller has the
// lane.
func (d *Dragon) readSelf(ctx context.Context, f *sharedRead) (*Reading, error) {
	for range 3 {
		d.mu.Lock()
		p := d.endpoint
		f.endpoint = p
		d.mu.Unlock()
		if p == nil {
			return nil, d.Health().downError()
		}
		var r *Reading
		err := d.recoverPanic("reading", func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, d.fleet.timeout())
			defer cancel()
			defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // both end it: the waiters, and a dragon that moves away
			r, err = d.readAt(ctx, p)
			return err
		})
		if stranger := (*strangerError)(nil); errors.As(err, &stranger) {
			d.fleet.replaceAtAddress(d, p, stranger) //nolint:contextcheck // it goes on when the readers are gone
			return nil, err
		}
		if p.ctx.Err() == nil {
			return r, err
		}
		// The answer came from an address where the dragon is no longer.
		if d.fleet.ctx.Err() != nil {
			return nil, errEnded
		}
	}
	return nil, fmt.Errorf("dragon %s: it moves faster than it can be read: %w", d.Info().Address, context.Canceled)
}

// readAt makes one reading: one request, and a second one when the overview is due.
func (d *Dragon) readAt(ctx context.Context, p *endpoint) (*Reading, error) {
	start := time.Now()
	s := &p.session
	if !s.holds(p) { // first, as the client needs the model to read a summary
		if err := d.readOverview(ctx, p); err != nil {
			return nil, err
		}
	}
	ask := p.client.LeanSummary
	if d.fleet.answersKept.Load() > 0 {
		ask = p.client.Summary
	}
	summary, err := ask(ctx)
	if errors.Is(err, dragon.ErrNotReady) {
		return nil, d.idle(ctx, p, err)
	}
	if err != nil {
		return nil, err
	}
	elapsed, known := summary.Elapsed().Get()
	restarted := known && elapsed < s.elapsed.Or(elapsed)
	switch {
	case !s.holds(p):
		if err := d.readOverview(ctx, p); err != nil {
			return nil, err
		}
	case restarted || !time.Now().Before(s.due):
		// The old overview will do, so it must not cost the reading, nor all its time.
		ctx, cancel := context.WithTimeout(ctx, d.fleet.timeout()/4)
		err := d.readOverview(ctx, p)
		cancel()
		if stranger := (*strangerError)(nil); errors.As(err, &stranger) || !s.holds(p) {
			return nil, err
		}
	}
	s.elapsed = summary.Elapsed()
	d.mu.Lock()
	d.health.unreadable(summary.Unreadable)
	d.mu.Unlock()
	now := time.Now()
	return &Reading{Summary: summary, Overview: s.overview, Facts: d.Facts(), At: now, Took: now.Sub(start), pace: d.fleet.pace}, nil
}

// IdleError says that a dragon answers and its miner process does not. The overview
// still tells how long its system is up; it may be minutes older than At.
type IdleError struct {
	Overview *dragon.Overview
	At       time.Time // of the answer
	Err      error     // wraps dragon.ErrNotReady
}

func (e *IdleError) Error() string { return e.Err.Error() }

// Unwrap returns what the dragon answered.
func (e *IdleError) Unwrap() error { return e.Err }

// idle makes the error of a dragon whose miner process does not answer. The overview is
// read again when it is due, and after a new login: a reboot, and another dragon, are seen in
// nothing else.
func (d *Dragon) idle(ctx context.Context, p *endpoint, err error) error {
	s := &p.session
	if !s.holds(p) || !time.Now().Before(s.due) {
		ctx, cancel := context.WithTimeout(ctx, d.fleet.timeout()/4)
		defer cancel()
		err := d.readOverview(ctx, p)
		if stranger := (*strangerError)(nil); errors.As(err, &stranger) || err != nil && !s.holds(p) {
			return err
		}
	}
	return &IdleError{s.overview, time.Now(), err}
}

// readOverview reads the overview and holds it against the dragon's identity.
func (d *Dragon) readOverview(ctx context.Context, p *endpoint) error {
	s := &p.session
	s.due = time.Now().Add(d.fleet.pace.ours(overviewRetry))
	ov, err := p.client.Overview(ctx)
	if err != nil {
		return err
	}
	if mac := normalMAC(ov.MAC); dragon.UsableMAC(mac) && mac != d.mac {
		return &strangerError{address: p.address, want: d.mac, overview: ov}
	}
	s.overview, s.logins, s.due = withoutText(ov), p.client.Logins(), time.Now().Add(d.fleet.overviewDue(d.mac))
	d.mu.Lock()
	d.health.unreadable(ov.Unreadable)
	changed := p.ctx.Err() == nil && d.learn("", ov)
	d.mu.Unlock()
	if changed {
		d.fleet.file.changed()
	}
	return nil
}
