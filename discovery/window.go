package discovery

import (
	"sync"
	"time"
)

// Sizes of a window: identifications at once.
const (
	firstWindow = 64
	leastWindow = 16
	mostWindow  = 128
)

// window is how many hosts are asked at once. It grows by one for each window of answers
// and halves at a time-out, as TCP's congestion window does: many time-outs mean that this
// host or the network is overloaded. A time-out of a request from before the last halving
// is ignored.
type window struct {
	mu     sync.Mutex
	size   float64
	used   int
	halved time.Time
}

func newWindow() *window { return &window{size: firstWindow} }

func (w *window) take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used >= int(w.size) {
		return false
	}
	w.used++
	return true
}

// give returns a slot that was taken at a time.
func (w *window) give(taken time.Time, timedOut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used--
	switch {
	case !timedOut:
		w.size = min(mostWindow, w.size+1/w.size)
	case taken.After(w.halved):
		w.size = max(leastWindow, w.size/2)
		w.halved = time.Now()
	}
}
