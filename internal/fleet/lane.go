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

// lane serialises the requests to one dragon. A device has five PHP workers and 250 MB of
// memory for all clients.
type lane struct {
	// slot holds one token while a request is in flight. A channel serves its waiting
	// senders in order, so the queue is fair.
	slot chan struct{}

	sharedRead *sharedRead // the reading that new readers join
	writes     []string    // actions of the writes that wait for the slot or, the first of them, hold it
}

func newLane() lane { return lane{slot: make(chan struct{}, 1)} }

// sharedRead is one reading and the readers that wait for it.
type sharedRead struct {
	cancel   context.CancelFunc
	waiters  int
	hurried  bool      // a reader timed out: the reading goes on without readers
	endpoint *endpoint // where it asks; nil until it has the slot

	connected atomic.Bool // the device accepted a new connection

	done    chan struct{} // closed when reading and err are set
	reading *Reading
	err     error
}

// BusyError is the error of a read while a write holds the lane.
type BusyError struct{ Action string }

func (e *BusyError) Error() string { return "busy: " + e.Action }

var errEnded = fmt.Errorf("the program is ending: %w", context.Canceled)

// Read returns a reading that is at most maxAge old: the last one, the one in progress, or a
// new one. A dragon that is known to be down returns a *DownError at once, one whose lane is
// held by a write a *BusyError; neither is contacted.
//
// If ctx ends first, only this caller gets a timeout or a cancellation. It does not make the
// dragon down: the caller may have less time than the dragon's own timeout. The request goes
// on, and its result serves the next readers; otherwise a dragon that hangs would never be
// known to be down. The request is cancelled with its last reader only if all of them were
// cancelled, or if it has not been sent.
func (d *Dragon) Read(ctx context.Context, maxAge time.Duration) (*Reading, error) {
	return d.read(ctx, maxAge, false)
}

// ReadNow returns a new reading, also of a dragon that is known to be down. Otherwise it is as
// Read.
func (d *Dragon) ReadNow(ctx context.Context) (*Reading, error) { return d.read(ctx, 0, true) }

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

// join returns the shared reading to wait for, or else the result.
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
		// All readers share it, so it must not end with the first reader's context.
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

// leave removes a reader whose context ended. It reports true if the result has come in the
// meantime.
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
	d.lane.sharedRead = nil // the next reader starts a new one instead of inheriting the cancellation
	return false
}

// gaveUp is the error of a caller whose own context ended.
func (d *Dragon) gaveUp(why error) error {
	e := &dragon.Error{Host: d.Info().Address, Endpoint: "/api/summary", Err: why}
	if errors.Is(why, context.DeadlineExceeded) {
		e.Kind = dragon.ErrTimeout
	}
	return e
}

// readShared makes a reading and gives it to all its readers.
func (d *Dragon) readShared(ctx context.Context, f *sharedRead) {
	defer f.cancel()
	if err := d.acquire(ctx, useRead); err != nil {
		d.publish(f, nil, err)
		return
	}
	defer d.release() // after publishing: a write cancels a reading that is not published
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if !c.Reused { // a kept one says nothing: the dragon may have lost its power since
			f.connected.Store(true)
		}
	}})
	r, err := d.readSelf(ctx, f)
	d.publish(f, r, err)
}

// publish gives the result of a reading to its readers, unless it was abandoned.
func (d *Dragon) publish(f *sharedRead, r *Reading, err error) {
	d.mu.Lock()
	if d.lane.sharedRead != f {
		d.mu.Unlock()
		return
	}
	d.lane.sharedRead = nil
	f.reading, f.err = r, err
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

// recoverPanic turns a panic into an error of this one dragon.
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

// Do runs fn when the lane is free: for reads other than the summary. It does not check the
// dragon's health.
func (d *Dragon) Do(ctx context.Context, fn func(context.Context, *dragon.Client) error) error {
	return d.alone(ctx, useOther, fn, func() {})
}

// Write runs fn alone on the lane. Until it returns, Read returns a *BusyError with action;
// earlier readings are stale afterwards.
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

// alone runs fn while it holds the lane.
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

// OutOfBand runs fn without the lane, with its own session and connection. It exists for one
// question: getLatestFirmwareVersion makes the device call its vendor and may take two
// minutes.
func (d *Dragon) OutOfBand(ctx context.Context, fn func(context.Context, *dragon.Client) error) error {
	p := d.currentEndpoint()
	if p == nil {
		return d.Health().downError()
	}
	p.outOfBandOnce.Do(func() { p.outOfBand = dragon.New(p.address, d.fleet.outOfBand) })
	return d.recoverPanic("asking aside", func() error { return fn(ctx, p.outOfBand) })
}

// outOfBandOptions avoids waiting for the connection of the lane: a transport may be limited
// to one per host.
func outOfBandOptions(o dragon.Options) dragon.Options {
	if t, ok := o.Transport.(*http.Transport); ok {
		o.Transport = t.Clone()
	}
	return o
}

// currentEndpoint returns where the dragon is reached; nil if unknown.
func (d *Dragon) currentEndpoint() *endpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.endpoint
}
