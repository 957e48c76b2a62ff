package fleet

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// retryWorkers bounds the dragons that are asked at once whether they are back, so
// that a dark hall of 5,000 does not make 5,000 connections.
const retryWorkers = 64

// retryDelay is the time until a dragon that has been down for so long is asked
// again: it comes back from a restart within minutes, or stays away for long.
func retryDelay(down time.Duration) time.Duration {
	if down < 10*time.Minute {
		return 8*time.Second + rand.N(4*time.Second)
	}
	return 30*time.Second + rand.N(30*time.Second)
}

// retryQueue holds the dragons that are down by when they are asked again.
type retryQueue struct {
	mu   sync.Mutex
	heap retryHeap
	wake chan struct{}
}

type retryEntry struct {
	dragon *Dragon
	at     time.Time
}

func (q *retryQueue) init() { q.wake = make(chan struct{}, 1) }

func (q *retryQueue) add(d *Dragon, at time.Time) {
	q.mu.Lock()
	heap.Push(&q.heap, retryEntry{d, at})
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for the first entry to be due and takes it out.
func (q *retryQueue) next(ctx context.Context) (e retryEntry, ok bool) {
	for {
		var due <-chan time.Time
		q.mu.Lock()
		if len(q.heap) > 0 {
			wait := time.Until(q.heap[0].at)
			if wait <= 0 {
				e = heap.Pop(&q.heap).(retryEntry)
				q.mu.Unlock()
				return e, true
			}
			due = time.After(wait)
		}
		q.mu.Unlock()
		select {
		case <-due:
		case <-q.wake:
		case <-ctx.Done():
			return e, false
		}
	}
}

// retry asks the dragons that are down, each when it is due, until ctx is done.
func (f *Fleet) retry(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	workers := make(chan struct{}, retryWorkers)
	for {
		e, ok := f.retries.next(ctx)
		if !ok {
			return
		}
		if !e.dragon.awaits(e.at) {
			continue
		}
		select {
		case workers <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-workers }()
			_, err := e.dragon.read(ctx, 0, true)
			if err != nil {
				e.dragon.retryLater(e.at)
			}
		})
	}
}

// awaits reports whether the dragon is still down and this entry its latest.
func (d *Dragon) awaits(at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.health.down && d.place != nil && d.health.retryAt.Equal(at)
}

// retryLater puts a dragon back whose retry came to no verdict, as when a write held
// its lane. After a verdict there is a later entry already.
func (d *Dragon) retryLater(at time.Time) {
	if !d.awaits(at) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health.retryAt = time.Now().Add(retryDelay(time.Since(d.health.since)))
	d.fleet.retries.add(d, d.health.retryAt)
}

// retryNow has a dragon that is down asked at once. The caller holds d.mu.
func (d *Dragon) retryNow() {
	d.health.retryAt = time.Now()
	d.fleet.retries.add(d, d.health.retryAt)
}

// retryHeap is a container/heap.
type retryHeap []retryEntry

func (h retryHeap) Len() int           { return len(h) }
func (h retryHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h retryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *retryHeap) Push(x any)        { *h = append(*h, x.(retryEntry)) }
func (h *retryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = retryEntry{}
	*h = (*h)[:last]
	return e
}
