// Package dragontest has simulated dragons, in the manner of net/http/httptest:
// for tests, for benchmarks and for demonstrations.
//
// A [Dragon] is an http.Handler that answers as a device does: its API, its two
// kinds of login, its clock, its boot, its averages that climb from zero, its
// counters, its firmware upload. [NewServer] puts one on a port of 127.0.0.1,
// [NewFleet] puts many on addresses of 127.0.0.0/8 or on a network in memory that
// also works inside a testing/synctest bubble. A [Fault] is something that goes wrong
// on request; a [Stranger] is a host that is not a dragon.
//
// A dragon has no goroutine and no timer of its own: its state is computed from the
// time when someone asks. What it knows about itself, and what others did to it,
// is in [Dragon.Truth] and [Dragon.Traffic].
//
// Nothing here ever listens on or dials an address outside 127.0.0.0/8.
package dragontest

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"
)

// Dragon is one simulated dragon. Its methods may be called from any goroutine.
type Dragon struct {
	spec  Spec  // with the defaults filled in; never changes
	model Model // never changes

	mu      sync.Mutex
	state   state // as of state.at
	frozen  *state
	faults  []fault
	users   map[string]string
	keys    uint64 // how often SetPassword made a new key for tokens
	latest  Release
	traffic Traffic
	writes  []Write

	workers chan struct{} // places in php-fpm; made when first needed
	closed  chan struct{} // ends whatever hangs
	once    sync.Once     // closes it
	changed chan struct{} // closed and replaced when a fault is cleared
}

// New returns the dragon that spec describes. It listens nowhere yet: see
// [Dragon.Start], or use it as a handler.
func New(spec Spec) *Dragon {
	spec, model := spec.withDefaults()
	d := &Dragon{
		spec:    spec,
		model:   model,
		users:   maps.Clone(spec.Users),
		latest:  spec.Latest,
		traffic: newTraffic(),
		closed:  make(chan struct{}),
		changed: make(chan struct{}),
	}
	d.state = d.firstState()
	for _, f := range spec.Faults {
		d.Inject(f)
	}
	return d
}

// Spec returns what the dragon was made from, with the defaults filled in.
func (d *Dragon) Spec() Spec { return d.spec }

// Model returns the kind of dragon it is.
func (d *Dragon) Model() Model { return d.model }

// Now returns the time by the simulation's clock, not the device's.
func (d *Dragon) Now() time.Time { return d.spec.Now() }

// Close ends the requests that hang in the dragon. A server or fleet does it when it closes.
func (d *Dragon) Close() { d.once.Do(func() { close(d.closed) }) }

// wait lets a time of the device pass. It reports whether it passed: not when the
// client left or the dragon was closed.
func (d *Dragon) wait(ctx context.Context, t time.Duration) bool {
	if t <= 0 {
		return true
	}
	if s := d.spec.Speed; s > 0 {
		t = time.Duration(math.Ceil(float64(t) / s))
	}
	select {
	case <-time.After(t):
		return true
	case <-ctx.Done():
		return false
	case <-d.closed:
		return false
	}
}

// SpedUp returns a clock that starts at the present time and runs speed times as
// fast, for Spec.Now together with Spec.Speed. Dragons of one fleet should share one.
func SpedUp(speed float64) func() time.Time {
	start := time.Now()
	return func() time.Time {
		return start.Add(time.Duration(float64(time.Since(start)) * speed))
	}
}
