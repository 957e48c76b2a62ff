package fleet

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// retryWorkers bounds the dragons that are asked at once whether they are back, so
// that a dark hall of 5,000 does not make 5,000 connections. Those that have just gone down
// have a queue of their own: most of them are back at once, and the rounds of a dark hall
// take minutes. Neither queue gets more than its share, so that none holds up the other.
const (
	retryWorkers = 64
	retryShare   = retryWorkers * 3 / 4
)

// retryDelay is the time until the next attempt at a dragon that has been down for so long:
// after a restart it is back within minutes, otherwise it may stay away for long. A dragon
// that hangs accepts connections without answering, and may still mine; each attempt occupies
// one of its five processes, so the attempts become rare. Minutes and seconds are the
// dragon's.
func (f *Fleet) retryDelay(hangs bool, down time.Duration) time.Duration {
	down = f.pace.theirs(down)
	var least time.Duration
	switch {
	case hangs && down >= time.Hour:
		least = 15 * time.Minute
	case hangs && down >= 10*time.Minute:
		least = 5 * time.Minute
	case hangs:
		least = time.Minute
	case down >= 10*time.Minute:
		least = 30 * time.Second
	default:
		least = 8 * time.Second
	}
	return f.pace.ours(least + rand.N(least/2))
}

// retry asks the dragons that are down, each when it is due, until ctx is done.
func (f *Fleet) retry(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	workers := semaphore.NewWeighted(retryWorkers)
	for _, q := range []*queue[*Dragon]{&f.firstRetries, &f.retries} {
		wg.Go(func() { retryFrom(ctx, q, workers) })
	}
}

func retryFrom(ctx context.Context, q *queue[*Dragon], workers *semaphore.Weighted) {
	var wg sync.WaitGroup
	defer wg.Wait()
	share := semaphore.NewWeighted(retryShare)
	for {
		e, ok := q.next(ctx)
		if !ok {
			return
		}
		if !e.what.awaitsRetry(e.at) {
			continue
		}
		if share.Acquire(ctx, 1) != nil || workers.Acquire(ctx, 1) != nil {
			return
		}
		wg.Go(func() {
			defer share.Release(1)
			defer workers.Release(1)
			_, err := e.what.ReadNow(ctx)
			if err != nil {
				e.what.retryLater(q, e.at)
			}
		})
	}
}

// awaitsRetry reports whether the dragon is still down and this entry its latest.
func (d *Dragon) awaitsRetry(at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.health.down && d.endpoint != nil && d.health.retryAt.Equal(at)
}

// retryLater plans another attempt after one without result, for example while a write held
// the lane. After a result there is a later entry already.
func (d *Dragon) retryLater(q *queue[*Dragon], at time.Time) {
	if !d.awaitsRetry(at) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retryIn(q, d.fleet.retryDelay(d.health.hangs, time.Since(d.health.since)))
}

// retryNow has a dragon that is down asked at once. The caller holds d.mu.
func (d *Dragon) retryNow() { d.retryIn(&d.fleet.firstRetries, 0) }

// retryIn has the dragon asked after a time. The caller holds d.mu.
func (d *Dragon) retryIn(q *queue[*Dragon], wait time.Duration) {
	d.health.retryAt = time.Now().Add(wait)
	q.add(d, d.health.retryAt)
}
