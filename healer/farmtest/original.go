package farmtest

import (
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Original is the policy of the tool that this one replaces, to compare with. Every
// five minutes it looks at each dragon on its own: one that has a dead board, or a
// board whose decaying average of 15 minutes is below a minimum, and has been so for
// the duration, is rebooted at once. A reboot does not begin the duration again.
type Original struct {
	Minimum  float64 // hashes per second and board, of the 15 minutes' average
	Duration time.Duration
	Reboots  int

	next  time.Duration
	since map[int]time.Duration // since when a dragon has been unhealthy
}

// Tick looks, when it is time.
func (o *Original) Tick(w *World) {
	if w.Now < o.next {
		return
	}
	o.next = w.Now + 5*time.Minute
	if o.since == nil {
		o.since = make(map[int]time.Duration)
	}
	for _, d := range w.Dragons {
		if d.reach() != healer.Reached || d.phase != running {
			continue // no answer: nothing changes
		}
		if o.healthy(d) {
			delete(o.since, d.N)
			continue
		}
		began, known := o.since[d.N]
		if !known {
			o.since[d.N] = w.Now
			continue
		}
		if w.Now-began >= o.Duration {
			o.Reboots++
			w.Send(d.Address, &Write{Kind: healer.Reboot, Actor: "original", MAC: d.MAC})
		}
	}
}

func (o *Original) healthy(d *Dragon) bool {
	return !slices.ContainsFunc(d.boards[:], func(b board) bool { return !d.hidden(&b) && (b.dead || b.mhs15m < o.Minimum) })
}
