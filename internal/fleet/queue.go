package fleet

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// queue holds what is to be done by when it is due.
type queue[T any] struct {
	mu          sync.Mutex
	heap        dueHeap[T]
	wake        chan struct{}
	newestFirst bool // of those that are due
}

type due[T any] struct {
	what T
	at   time.Time
}

func (q *queue[T]) init() { q.wake = make(chan struct{}, 1) }

func (q *queue[T]) add(what T, at time.Time) {
	q.mu.Lock()
	sooner := len(q.heap) == 0 || at.Before(q.heap[0].at) // than what is waited for
	heap.Push(&q.heap, due[T]{what, at})
	q.mu.Unlock()
	if !sooner {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for an entry to be due and takes it out.
func (q *queue[T]) next(ctx context.Context) (e due[T], ok bool) {
	for {
		var first <-chan time.Time
		q.mu.Lock()
		if len(q.heap) > 0 {
			now := time.Now()
			wait := q.heap[0].at.Sub(now)
			if wait <= 0 {
				e = heap.Remove(&q.heap, q.heap.next(now, q.newestFirst)).(due[T])
				q.mu.Unlock()
				return e, true
			}
			first = time.After(wait)
		}
		q.mu.Unlock()
		select {
		case <-first:
		case <-q.wake:
		case <-ctx.Done():
			return e, false
		}
	}
}

type dueHeap[T any] []due[T]

// next returns the index of the entry to take: the first that is due, or the one that became due last.
func (h dueHeap[T]) next(now time.Time, newest bool) (i int) {
	for j := 1; newest && j < len(h); j++ {
		if !h[j].at.After(now) && h[j].at.After(h[i].at) {
			i = j
		}
	}
	return i
}

func (h dueHeap[T]) Len() int           { return len(h) }
func (h dueHeap[T]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap[T]) Push(x any)        { *h = append(*h, x.(due[T])) }
func (h *dueHeap[T]) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = due[T]{}
	*h = (*h)[:last]
	return e
}
