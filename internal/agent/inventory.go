package agent

import (
	"maps"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// retiredLag is how far the ends of a retirement in the inventory and in the state may be apart.
const retiredLag = 10 * time.Minute

// shareInventory does to this host's inventory what a person has done at the instance that leads:
// dragons are forgotten and retired on every host.
func (h *Healer) shareInventory(now healer.Instant) {
	if !h.config.Shared || h.backend == nil && !h.follows {
		return
	}
	dragons := h.config.Fleet.Dragons()
	h.forget(dragons)
	t := h.mem.Moment(now)
	retired := make(map[string]time.Time)
	for i := range h.mem.Fleet.Pauses {
		if p := &h.mem.Fleet.Pauses[i]; p.Retires(p.Value) && p.Until > t {
			if until := time.Now().Add(h.pause(p.Until.Since(t))); until.After(retired[p.Value]) {
				retired[p.Value] = until
			}
		}
	}
	for _, d := range dragons {
		info := d.Info()
		if until := retired[info.MAC]; until.Sub(d.RetiredUntil()).Abs() > retiredLag && (!until.IsZero() || time.Now().Before(d.RetiredUntil())) {
			h.changeInventory("retiring", info, func() error { _, err := h.config.Fleet.Retire(info.Worker, until); return err })
		}
	}
}

// forget forgets what a person has forgotten at another instance, once: a dragon that is found again
// stays, whatever the clocks of the hosts say. At the start that is what was not seen since. Which of
// several dragons with one MAC is meant is not known.
func (h *Healer) forget(dragons []*fleet.Dragon) {
	followed, first := h.forgotten, h.forgotten == nil
	h.followForgotten()
	gone := make(map[string]time.Time)
	for mac, at := range h.forgotten {
		if done, ok := followed[mac]; !ok || !done.Equal(at) {
			gone[mac] = at
		}
	}
	if len(gone) == 0 {
		return
	}
	claimants := make(map[string]int)
	for _, d := range dragons {
		claimants[d.Info().MAC]++
	}
	for _, d := range dragons {
		info := d.Info()
		at, ok := gone[info.MAC]
		if !ok || info.Conflict || claimants[info.MAC] > 1 || first && !info.LastSeen.Before(at) {
			continue
		}
		h.changeInventory("forgetting", info, func() error { return h.config.Fleet.Forget(info.Worker) })
	}
}

// followForgotten notes that this host's inventory is as the shared state has it.
func (h *Healer) followForgotten() {
	h.forgotten = make(map[string]time.Time)
	maps.Copy(h.forgotten, h.mem.Fleet.Forgotten)
}

func (h *Healer) changeInventory(doing string, of *fleet.Info, change func() error) {
	if err := change(); err != nil {
		level.Error(h.logger).Log("msg", "inventory does not follow", "doing", doing, "worker", of.Worker, "err", err)
	}
}
