package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// lane is the way to one dragon: one request is under way at a time. A device has
// five PHP workers and 250 MB of memory for everybody.
type lane struct {
	// slot holds one token while somebody talks to the device. Senders that wait on a
	// channel are served in the order of their coming, which makes the queue fair.
	slot chan struct{}

	sharedRead *sharedRead // the reading that new readers join
	writes     []string    // actions of the writes that wait for the slot or, the first of them, hold it
}

func newLane() lane { return lane{slot: make(chan struct{}, 1)} }

// flight is one reading with everybody who waits for it.
type sharedRead struct {
	cancel   context.CancelFunc
	waiters  int
	hurried  bool      // somebody's time ended before it: it goes on without waiters
	endpoint *endpoint // where it asks; nil until it has the slot

	connected atomic.Bool // somebody took the connection

	done    chan struct{} // closed when reading and err are set
	reading *Reading
	err     error
}

// BusyError says that a write holds the lane.
type BusyError struct{ Action string }

func (e *BusyError) Error() string { return "busy: " + e.Action }

var errEnded = fmt.Errorf("the program is ending: %w", context.Canceled)

// Read returns a reading that is at most maxAge old: the last one, the one under
// way (joined), or a new one. A dragon that is known to be down answers at once with a
// *DownError, one whose lane is held by a write with a *BusyError, neither being
// contacted.
//
// A ctx that ends first makes a timeout (or a cancellation) for this caller alone. It
// says nothing about the dragon, which has its own timeout: the caller may be in a
// greater hurry. The request goes on until then without anybody waiting, and what comes
// of it is for those who ask next; otherwise a dragon that hangs would never be known to
// be down. It ends with the last waiter only where all of them were cancelled, or where
// it has not been sent yet.
func (d *Dragon) Read(ctx context.Context, maxAge time.Duration) (*Reading, error) {
	return d.read(ctx, maxAge, false)
}

func (d *Dragon) read(ctx context.Context, maxAge time.Duration, evenIfDown bool) (*Reading, error) {
	if err := ctx.Err(); err != nil {
		return nil, d.gaveUp(err)
	}
	f, r, err := d.join(ctx, maxAge, evenIfDown)
	if f == nil {
		return r, err
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		if !d.leave(f, ctx.Err()) {
			return nil, d.gaveUp(ctx.Err())
		}
	}
	return f.reading, f.err
}

// join returns the flight to wait for, or else the answer.
func (d *Dragon) join(ctx context.Context, maxAge time.Duration, evenIfDown bool) (*sharedRead, *Reading, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, l := &d.health, &d.lane
	switch {
	case d.endpoint == nil, h.down && !evenIfDown:
		return nil, nil, &DownError{Reason: h.reason, Since: h.since, Err: h.err}
	case l.sharedRead == nil && len(l.writes) > 0:
		return nil, nil, &BusyError{Action: l.writes[0]}
	case maxAge > 0 && h.last != nil && !h.stale && time.Since(h.last.At) <= maxAge:
		return nil, h.last, nil
	case l.sharedRead == nil:
		// The flight belongs to all its waiters, so it must not end with the first one's context.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f := &sharedRead{cancel: cancel, done: make(chan struct{})}
		if !d.fleet.spawn(func() { d.readShared(ctx, f) }) {
			cancel()
			return nil, nil, errEnded
		}
		l.sharedRead = f
	}
	l.sharedRead.waiters++
	return l.sharedRead, nil, nil
}

// leave takes a waiter whose context ended off a flight. It reports true if the
// result has come in the meantime.
func (d *Dragon) leave(f *sharedRead, why error) (landed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-f.done:
		return true
	default:
	}
	d.fleet.metrics.abandoned.WithLabelValues(useRead).Inc()
	if errors.Is(why, context.DeadlineExceeded) {
		d.health.count("timeout")
		f.hurried = true
	}
	f.waiters--
	if f.waiters > 0 || d.lane.sharedRead != f || f.hurried && f.endpoint != nil {
		return false
	}
	f.cancel()
	d.lane.sharedRead = nil // the next reader starts anew instead of inheriting the cancellation
	return false
}

// gaveUp is the error for a caller whose own context ended.
func (d *Dragon) gaveUp(why error) error {
	e := &dragon.Error{Host: d.Info().Address, Endpoint: "/api/summary", Err: why}
	if errors.Is(why, context.DeadlineExceeded) {
		e.Kind = dragon.ErrTimeout
	}
	return e
}

// fly makes a reading and gives it to those who wait for it.
func (d *Dragon) readShared(ctx context.Context, f *sharedRead) {
	defer f.cancel()
	if err := d.acquire(ctx, useRead); err != nil {
		d.publish(f, nil, err)
		return
	}
	defer d.release() // after landing: a write takes a flight that has not landed for one in its queue
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { f.connected.Store(true) }})
	r, err := d.readSelf(ctx, f)
	d.publish(f, r, err)
}

// land publishes what came of a flight, unless it was abandoned.
func (d *Dragon) publish(f *sharedRead, r *Reading, err error) {
	d.mu.Lock()
	if d.lane.sharedRead != f {
		d.mu.Unlock()
		return
	}
	d.lane.sharedRead = nil
	f.reading, f.err = r, err // those who wait see the whole answer
	if r != nil && !d.fleet.keepAnswers.Load() {
		r = r.WithoutAnswer()
	}
	switch {
	case err == nil:
		d.cameUp(r)
	case errors.Is(err, context.Canceled): // the fleet ends, or the dragon moves about
	default:
		reason := reasonOf(err)
		d.health.count(reason)
		if d.endpoint != nil && d.endpoint == f.endpoint {
			d.wentDown(reason, err, reason == "timeout" && f.connected.Load())
		}
	}
	d.mu.Unlock()
	d.fleet.flushLog()
	if offer := d.fleet.config.OnReading; err == nil && offer != nil {
		_ = d.recoverPanic("offering a reading", func() error { offer(d, r); return nil })
	}
	close(f.done)
}

func (d *Dragon) acquire(ctx context.Context, use string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start := time.Now()
	select {
	case d.lane.slot <- struct{}{}:
		d.fleet.metrics.wait.WithLabelValues(use).Observe(time.Since(start).Seconds())
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.fleet.ctx.Done():
		return errEnded
	}
}

func (d *Dragon) release() { <-d.lane.slot }

// guard turns a panic into an error of this one dragon.
func (d *Dragon) recoverPanic(doing string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			address := d.Info().Address
			level.Error(d.fleet.logger).Log("msg", "panic, please report it", "doing", doing,
				"worker", d.Info().Worker, "address", address, "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("dragon %s: %w: panic while %s: %v", address, dragon.ErrBadResponse, doing, v)
		}
	}()
	return fn()
}

// Do runs fn when the lane is free: for reads other than the summary. It does not
// look at the dragon's health; who asks many should.
func (d *Dragon) Do(ctx context.Context, fn func(context.Context, *dragon.Client) error) error {
	return d.alone(ctx, useOther, fn, func() {})
}

// Write runs fn alone on the lane. Until it returns, Read answers with a *BusyError
// that names action; what was read before is no longer fresh afterwards.
func (d *Dragon) Write(ctx context.Context, action string, fn func(context.Context, *dragon.Client) error) error {
	d.mu.Lock()
	d.lane.writes = append(d.lane.writes, action)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		i := slices.Index(d.lane.writes, action)
		d.lane.writes = slices.Delete(d.lane.writes, i, i+1)
		d.refreshFactsSoon()
		d.mu.Unlock()
	}()
	return d.alone(ctx, useWrite, fn, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.health.stale = true
		if f := d.lane.sharedRead; f != nil { // it came after the write, and would wait for all of it
			d.lane.sharedRead = nil
			f.err = &BusyError{Action: action}
			f.cancel()
			close(f.done)
		}
	})
}

// alone runs fn while nobody else talks to the dragon.
func (d *Dragon) alone(ctx context.Context, use string, fn func(context.Context, *dragon.Client) error, got func()) error {
	if err := d.acquire(ctx, use); err != nil {
		d.fleet.metrics.abandoned.WithLabelValues(use).Inc()
		return d.gaveUp(err)
	}
	defer d.release()
	got()
	p := d.currentEndpoint()
	if p == nil {
		return d.Health().downError()
	}
	return d.recoverPanic(use, func() error { return fn(ctx, p.client) })
}

// Aside runs fn beside the lane, with a session and connection of its own: for the
// one question that makes the device call its vendor and may take two minutes
// (getLatestFirmwareVersion). It is the only way to a dragon that does not wait its turn.
func (d *Dragon) OutOfBand(ctx context.Context, fn func(context.Context, *dragon.Client) error) error {
	p := d.currentEndpoint()
	if p == nil {
		return d.Health().downError()
	}
	p.outOfBandOnce.Do(func() { p.outOfBand = dragon.New(p.address, d.fleet.outOfBand) })
	return d.recoverPanic("asking aside", func() error { return fn(ctx, p.outOfBand) })
}

// asideOptions keeps what is asked aside from waiting for a connection that the
// lane uses: a transport may be limited to one per host.
func outOfBandOptions(o dragon.Options) dragon.Options {
	if t, ok := o.Transport.(*http.Transport); ok {
		o.Transport = t.Clone()
	}
	return o
}

// at returns where the dragon lives, nil where that is unknown.
func (d *Dragon) currentEndpoint() *endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.endpoint
}
