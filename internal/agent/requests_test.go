package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
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

// A dragon that the fleet does not know any more is still found by its MAC and its worker, or what
// a person did to it could never be taken back.
func TestADragonThatIsGoneIsReleasedByItsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		w.start()
		w.settle()
		for i, target := range []string{w.dragons.Dragon(0).Spec().MAC, w.worker(1)} {
			worker := w.worker(i)
			if err := w.healer.Quarantine(t.Context(), worker, "eva", "test"); err != nil {
				t.Fatal(err)
			}
			w.dragons.Dragon(i).Inject(dragontest.Unplugged)
			if err := w.fleet.Forget(worker); err != nil {
				t.Fatal(err)
			}
			if err := w.healer.Release(t.Context(), target, "eva"); err != nil {
				t.Errorf("%s: %v", target, err)
			}
		}
	})
}

// What is decided and then not begun is in the audit, with the reason.
func TestAnActionThatDoesNotBeginIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		h := w.start()
		w.settle()
		gone := healer.Who{MAC: "a0:b0:45:00:00:ff", Worker: "dragon-450000ff"}
		var j job
		_ = h.onLoop(t.Context(), "beginning an action", func(context.Context) error {
			j = h.job(healer.Decision{Who: gone, Verb: healer.Act, Kind: healer.Restart}, "", false)
			return nil
		})
		h.runJob(t.Context(), j)
		pass(2 * time.Minute)
		recorded := slices.ContainsFunc(w.audit(), func(a healer.Audit) bool {
			return a.Worker == gone.Worker && a.Decision == healer.Blocked && a.Note == "not sent: dragon-450000ff is not where it was"
		})
		if !recorded {
			t.Errorf("the audit has nothing of it: %+v", w.audit())
		}
	})
}

// What people want at once is limited like what they want one after the other.
func TestRequestsAtOnceAreLimited(t *testing.T) {
	for name, apart := range map[string]time.Duration{"one after the other": time.Second, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 40)
				w.start()
				w.settle()
				errs := make([]error, 5)
				var all sync.WaitGroup
				for i := range errs {
					w.dragons.Dragon(7*i).Inject(dragontest.Slow, dragontest.Delay(100*time.Millisecond)) // to say who it is
					all.Go(func() {
						pause := time.NewTimer(time.Duration(i) * apart)
						<-pause.C
						_, errs[i] = w.healer.Reboot(w.ctx, w.worker(7*i), "eva", "test", false)
					})
				}
				all.Wait()
				done, written := 0, 0
				for i, err := range errs {
					if err == nil {
						done++
					} else if blocked, ok := errors.AsType[*BlockedError](err); !ok || healer.Closed(blocked.Decision.Gates) == nil {
						t.Errorf("not an error that says which gates: %v", err)
					}
					written += len(w.wrote(7 * i))
				}
				if done != 1 || written != 1 {
					t.Errorf("%d done, %d written, want one: %v", done, written, errs)
				}
			})
		})
	}
}
