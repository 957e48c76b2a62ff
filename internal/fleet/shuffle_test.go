package fleet

import (
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// Each swap ends the tokens at both addresses, which is no fault of the logins.
func TestDragonsThatSwapAddressesAgainAndAgainAreFollowed(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, simA := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA, Seed: 1})
		b, simB := h.dragon("10.1.0.9", dragontest.Spec{MAC: macB, Seed: 2})
		for _, at := range [][2]string{{"10.1.0.9", "10.1.0.8"}, {"10.1.0.8", "10.1.0.9"}, {"10.1.0.9", "10.1.0.8"}, {"10.1.0.8", "10.1.0.9"}} {
			h.move(map[string]*dragontest.Dragon{at[0]: simA, at[1]: simB})
			for _, d := range []*Dragon{a, b} {
				_, _ = d.Read(h.Context(), 0) // the first meets the other one
			}
			time.Sleep(5 * time.Second)
			h.lives(a, macA, at[0])
			h.lives(b, macB, at[1])
		}
	})
}
