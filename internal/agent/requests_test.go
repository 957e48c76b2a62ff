package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// A dragon whose MAC another one has gets no record of its own: a client that tries again for a
// new dragon would try for ever.
func TestADragonWithoutAMACOfItsOwnIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixtureOf(t, 3, func(i int) dragontest.Spec {
			if i < 2 {
				return dragontest.Spec{MAC: "a0:b0:45:00:00:01"}
			}
			return dragontest.Spec{}
		}, nil)
		w.start()
		pass(10 * time.Minute)
		for _, d := range w.fleet.Dragons() {
			err := w.healer.Quarantine(t.Context(), d.Info().Worker, "test", "test")
			if errors.Is(err, ErrUnknownDragon) != d.Info().Conflict || errors.Is(err, ErrNotYet) {
				t.Errorf("conflict %t: %v", d.Info().Conflict, err)
			}
		}
	})
}
