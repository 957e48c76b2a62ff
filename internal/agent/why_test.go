package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Explain has every gate in any state: also where no action is wanted.
func TestExplainHasGatesInAnyState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		w.start()
		w.settle()
		if err := w.healer.Quarantine(t.Context(), w.worker(1), "ann", "a new fan"); err != nil {
			t.Fatal(err)
		}
		for i, state := range []healer.State{healer.StateHealthy, healer.StateQuarantined} {
			d, err := w.healer.Explain(t.Context(), w.worker(i))
			if err != nil || d.State != state || d.Verb == healer.Act {
				t.Fatalf("%+v, %v; want the state %s", d, err, state)
			}
			if n := len(d.Gates); n < 20 {
				t.Errorf("%s: %d gates", state, n)
			}
			for _, g := range d.Gates {
				if g.Name == healer.GateQuarantine && g.Open == (state == healer.StateQuarantined) {
					t.Errorf("%s: %+v", state, g)
				}
			}
		}
		for i := range 2 {
			if got := w.wrote(i); len(got) > 0 {
				t.Errorf("dragon %d was written %v", i, got)
			}
		}
		if _, err := w.healer.Explain(t.Context(), "dragon-00000000"); err == nil {
			t.Error("an unknown dragon was explained")
		}
	})
}

func TestADragonFoundSinceTheLastLookIsNewAndNotUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		late := w.worker(1)
		if err := w.fleet.Forget(late); err != nil {
			t.Fatal(err)
		}
		h := w.start()
		pass(2 * time.Minute)
		if _, err := h.Why(late); !errors.Is(err, ErrUnknownDragon) {
			t.Errorf("before it is found: %v", err)
		}
		w.sight(1)
		if _, err := h.Why(late); !errors.Is(err, ErrNotYet) {
			t.Errorf("found, and not looked at: %v", err)
		}
		if _, err := h.Reboot(w.ctx, late, "eva", "why not", true); !errors.Is(err, ErrNotYet) {
			t.Errorf("a reboot: %v", err)
		}
		pass(2 * time.Minute)
		if _, err := h.Why(late); err != nil {
			t.Errorf("after the next look: %v", err)
		}
	})
}
