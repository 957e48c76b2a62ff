package agent

import (
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// retiredLag is how far the ends of a retirement in the inventory and in the state may be apart.
const retiredLag = 10 * time.Minute

// shareInventory does to this host's inventory what a person has done at the instance that leads:
// dragons are forgotten and retired on every host. One that is found again stays.
func (h *Healer) shareInventory(now healer.Instant) {
	if !h.config.Shared || h.backend == nil && !h.follows {
		return
	}
	t := h.mem.Moment(now)
	retired := make(map[string]time.Time)
	for i := range h.mem.Fleet.Pauses {
		if p := &h.mem.Fleet.Pauses[i]; p.Retired && p.Scope == "mac" && p.Until > t {
			if until := time.Now().Add(h.pause(p.Until.Since(t))); until.After(retired[p.Value]) {
				retired[p.Value] = until
			}
		}
	}
	for _, d := range h.config.Fleet.Dragons() {
		info := d.Info()
		if at, ok := h.mem.Fleet.Forgotten[info.MAC]; ok && info.FirstSeen.Before(at) {
			h.changeInventory("forgetting", info, func() error { _, err := h.config.Fleet.Forget(info.Worker); return err })
			continue
		}
		if until := retired[info.MAC]; until.Sub(d.RetiredUntil()).Abs() > retiredLag && (!until.IsZero() || time.Now().Before(d.RetiredUntil())) {
			h.changeInventory("retiring", info, func() error { _, err := h.config.Fleet.Retire(info.Worker, until); return err })
		}
	}
}

func (h *Healer) changeInventory(doing string, of *fleet.Info, change func() error) {
	if err := change(); err != nil {
		level.Error(h.logger).Log("msg", "inventory does not follow", "doing", doing, "worker", of.Worker, "err", err)
	}
}
