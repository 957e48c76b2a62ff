package web

import (
	"math"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

const (
	recentStep  = 5 * time.Minute
	recentSteps = 72 // six hours; about a kilobyte per dragon
)

// Recent keeps the last six hours of each dragon in memory, for the charts of its page.
type Recent struct {
	mu      sync.Mutex
	step    int64 // the current one, since the epoch
	dragons map[string]*recentRing
}

// recentRing is one dragon. A step without a reading has no values.
type recentRing struct {
	step     int64   // the newest one with a reading
	accepted float64 // shares at the last reading; NaN: unknown
	samples  [recentSteps]recentSample
}

// recentSample is one step; NaN: unknown.
type recentSample struct{ hashrate, temperature, shares float32 }

var unknownSample = recentSample{float32(math.NaN()), float32(math.NaN()), float32(math.NaN())}

// NewRecent returns an empty memory.
func NewRecent() *Recent { return &Recent{dragons: make(map[string]*recentRing)} }

// Add notes a reading of the dragon with a MAC.
func (m *Recent) Add(mac string, r *fleet.Reading, now time.Time) {
	if mac == "" || r == nil || r.Summary == nil {
		return
	}
	var a DragonAnswer
	a.readBoards(r.Summary)
	var accepted dragon.Number
	for i := range r.Summary.Pools {
		if n, known := r.Summary.Pools[i].Accepted.Get(); known {
			accepted = dragon.Known(accepted.Or(0) + n)
		}
	}
	step := now.Unix() / int64(recentStep/time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(step)
	ring := m.dragons[mac]
	if ring == nil {
		ring = &recentRing{step: step - recentSteps, accepted: math.NaN()}
		m.dragons[mac] = ring
	}
	ring.add(step, float32(a.Hashrate.Or(math.NaN())), float32(a.Temperature.Or(math.NaN())), accepted.Or(math.NaN()))
}

func (g *recentRing) add(step int64, hashrate, temperature float32, accepted float64) {
	if step < g.step {
		return
	}
	for s := max(g.step+1, step-recentSteps+1); s <= step; s++ {
		g.samples[s%recentSteps] = unknownSample
	}
	g.step = step
	x := &g.samples[step%recentSteps]
	x.hashrate, x.temperature = hashrate, temperature
	if more := accepted - g.accepted; more >= 0 { // else unknown, or the counter restarted
		if math.IsNaN(float64(x.shares)) {
			x.shares = 0
		}
		x.shares += float32(more)
	}
	g.accepted = accepted
}

// forget drops dragons without a reading for six hours, once a step, and everything if the
// clock was set back.
func (m *Recent) forget(step int64) {
	switch {
	case step < m.step-1:
		clear(m.dragons)
	case step <= m.step:
		return
	}
	m.step = step
	for mac, ring := range m.dragons {
		if ring.step <= step-recentSteps {
			delete(m.dragons, mac)
		}
	}
}

// last returns the steps of the last six hours, oldest first; nil if there are fewer than
// two readings.
func (m *Recent) last(mac string, now time.Time) []recentSample {
	if m == nil {
		return nil
	}
	step := now.Unix() / int64(recentStep/time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	ring := m.dragons[mac]
	if ring == nil {
		return nil
	}
	list := make([]recentSample, recentSteps)
	known := 0
	for i := range list {
		list[i] = unknownSample
		if s := step - recentSteps + 1 + int64(i); s > ring.step-recentSteps && s <= ring.step {
			list[i] = ring.samples[s%recentSteps]
		}
		if !math.IsNaN(float64(list[i].hashrate)) {
			known++
		}
	}
	if known < 2 {
		return nil
	}
	return list
}
