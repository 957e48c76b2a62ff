package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// SlowAfter is the time after which a write that has not ended counts as failed.
const SlowAfter = 2 * time.Second

// retryAfter is the time after which a failed write is tried again, if nothing new comes before.
const retryAfter = 5 * time.Second

var (
	// ErrSlow says that a write takes too long. It continues and may still succeed.
	ErrSlow = errors.New("the write takes too long")
	// ErrEnded says that the Writer was closed.
	ErrEnded = errors.New("the writer has ended")
)

// Writer writes in the background, so that its callers do not wait for a disk or a server
// that hangs. Values added during a write are merged and written next; a failed write is
// repeated before anything newer. Its methods may be called from any goroutine.
type Writer[T any] struct {
	write func(*T) error
	merge func(into *T, newer T)
	ended func(error) // called after every write, in the background

	poke chan struct{}
	done chan struct{} // closed when the goroutine has ended

	mu        sync.Mutex
	pending   T
	dirty     bool
	added     uint64 // tickets
	attempted uint64 // the newest ticket of the last write that ended
	written   uint64
	began     time.Time // of the write under way; zero: there is none
	err       error     // of the last write
	waiting   []waiter
	closing   bool
}

type waiter struct {
	ticket uint64
	reply  chan error
}

// NewWriter starts a Writer. write gets the added value and leaves in it what could not be
// written; merge adds a newer value to an older one. ended may be nil.
func NewWriter[T any](write func(*T) error, merge func(into *T, newer T), ended func(error)) *Writer[T] {
	if ended == nil {
		ended = func(error) {}
	}
	w := &Writer[T]{write: write, merge: merge, ended: ended, poke: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Add queues x and returns the ticket to wait with. It never blocks.
func (w *Writer[T]) Add(x T) (ticket uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.merge(&w.pending, x)
	w.dirty = true
	w.added++
	w.prod()
	return w.added
}

// Last is the newest ticket.
func (w *Writer[T]) Last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.added
}

// prod wakes the goroutine. The caller holds w.mu.
func (w *Writer[T]) prod() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

func (w *Writer[T]) run() {
	defer close(w.done)
	for {
		w.mu.Lock()
		switch {
		case w.dirty && (w.err == nil || !w.closing || w.attempted < w.added):
			x, ticket := w.pending, w.added
			w.pending, w.dirty, w.began = *new(T), false, time.Now()
			w.mu.Unlock()
			w.finish(x, ticket, w.guarded(&x))
			continue
		case w.closing:
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		<-w.poke
	}
}

func (w *Writer[T]) guarded(x *T) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic while writing: %v", v)
		}
	}()
	return w.write(x)
}

func (w *Writer[T]) finish(x T, ticket uint64, err error) {
	w.ended(err)
	w.mu.Lock()
	w.began, w.err, w.attempted = time.Time{}, err, ticket
	if err == nil {
		w.written = ticket
	} else {
		w.merge(&x, w.pending)
		w.pending, w.dirty = x, true
	}
	still := w.waiting[:0]
	for _, a := range w.waiting {
		if a.ticket <= ticket {
			a.reply <- err
		} else {
			still = append(still, a)
		}
	}
	w.waiting = still
	retry := err != nil && w.added == ticket && !w.closing
	w.mu.Unlock()
	if retry {
		select {
		case <-time.After(retryAfter):
		case <-w.poke: // more has come, or it is to end
		}
	}
}

// Wait waits until the write of a ticket ends. If ctx ends first, the error is ErrSlow.
func (w *Writer[T]) Wait(ctx context.Context, ticket uint64) error {
	w.mu.Lock()
	switch {
	case w.written >= ticket:
		w.mu.Unlock()
		return nil
	case w.attempted >= ticket:
		defer w.mu.Unlock()
		return w.err
	}
	reply := make(chan error, 1)
	w.waiting = append(w.waiting, waiter{ticket, reply})
	w.mu.Unlock()
	select {
	case err := <-reply:
		return err
	case <-w.done:
		return ErrEnded
	case <-ctx.Done():
		return ErrSlow
	}
}

// Err says why the newest values may not be written: the last write failed, or one takes
// longer than SlowAfter. Nil: neither.
func (w *Writer[T]) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began.IsZero() && time.Since(w.began) >= SlowAfter {
		return fmt.Errorf("%w: %s so far", ErrSlow, time.Since(w.began).Round(time.Second))
	}
	return w.err
}

// Close writes what is left, retries once if that fails, and ends the Writer. It abandons
// a write that outlasts ctx: the error is ErrSlow.
func (w *Writer[T]) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closing = true
	w.prod()
	w.mu.Unlock()
	select {
	case <-w.done:
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.err
	case <-ctx.Done():
		return ErrSlow
	}
}
