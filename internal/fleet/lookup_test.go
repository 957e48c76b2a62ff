package fleet

import (
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestAHostAloneFindsItsOnlyDragon(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		h.lan.put("10.1.0.8:8080", dragontest.New(dragontest.Spec{Seed: 1}))
		h.sight("10.1.0.8:8080")
		d := h.Lookup("10.1.0.8:8080")
		if d == nil || h.Lookup("10.1.0.8") != d {
			h.Errorf("by address %v, by host %v", d, h.Lookup("10.1.0.8"))
		}
		h.lan.put("10.1.0.8:8081", dragontest.New(dragontest.Spec{Seed: 2}))
		h.sight("10.1.0.8:8081")
		if o := h.Lookup("10.1.0.8"); o != nil {
			h.Errorf("one of two was found: %s", o.Info().Worker)
		}
	})
}
