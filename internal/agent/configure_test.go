package agent

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// both are the two writes of a whole configuration.
var both = []string{"updatePools", "setAutoTune"}

// threeToConfigure makes a fixture of 3 dragons that are to have pools and a mode.
func threeToConfigure(t *testing.T) *fixture {
	t.Helper()
	return managedFixture(t, 3, "efficient", func(int) dragontest.Spec { return dragontest.Spec{Uptime: 20 * time.Hour} })
}

func (w *fixture) eachHas(f dragontest.Fault, options ...dragontest.FaultOption) {
	for i := range w.dragons.Len() {
		w.dragons.Dragon(i).Inject(f, options...)
	}
}

// loseRoutes has the connection of each dragon's second write fail, for a minute after the first.
func (w *fixture) loseRoutes() {
	var mu sync.Mutex
	var first [3]time.Time
	lost := func(address string) bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range first {
			if address != w.dragons.Addr(i) || !slices.Equal(w.wrote(i), both[:1]) {
				continue
			}
			if first[i].IsZero() {
				first[i] = time.Now()
			}
			return time.Since(first[i]) < time.Minute
		}
		return false
	}
	w.noRoute.Store(&lost)
}

// slowly has each dragon take 12 s to restart its miner process for new pools.
func (w *fixture) slowly() {
	w.eachHas(dragontest.Slow, dragontest.On("updatePools"), dragontest.Delay(12*time.Second))
}

// secondWrites are what may keep a mode from being written right after the pools.
var secondWrites = map[string]func(w *fixture){
	"slow":     (*fixture).slowly,
	"no route": (*fixture).loseRoutes,
	"hangs": func(w *fixture) {
		w.eachHas(dragontest.Hang, dragontest.On("setAutoTune"), dragontest.Lasting(13*time.Minute))
	},
	"no answer to the first": func(w *fixture) {
		w.eachHas(dragontest.Cut, dragontest.On("updatePools"), dragontest.Lasting(13*time.Minute))
	},
	"no answer": func(w *fixture) {
		w.eachHas(dragontest.Reset, dragontest.On("setAutoTune"), dragontest.Lasting(13*time.Minute))
	},
}

func (w *fixture) allRight(mode string) bool {
	for i := range w.dragons.Len() {
		if !w.right(i, mode) {
			return false
		}
	}
	return true
}

// mustNotBeStuck fails where a dragon was ever shown as one that cannot take a mode.
func (w *fixture) mustNotBeStuck() {
	w.t.Helper()
	for i := range w.dragons.Len() {
		if w.metric("mother_enforce_state", "worker", w.worker(i), "state", "stuck") == 1 {
			w.t.Errorf("dragon %d is stuck", i)
		}
	}
	if audit, err := os.ReadFile(w.dir + "/" + auditName); err != nil || strings.Contains(string(audit), "it was accepted") {
		w.t.Errorf("the audit says of a mode that it had no effect: %v", err)
	}
}

// What a restart for the pools takes its time for, or what fails after it, costs no dragon its
// mode.
func TestTheModeIsWrittenWhateverItsFirstTryCameTo(t *testing.T) {
	unraced(t)
	t.Parallel()
	for name, spoil := range secondWrites {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := threeToConfigure(t)
				spoil(w)
				w.start()
				w.until("the first has its pools", time.Hour, func() bool { return len(w.wrote(0))+len(w.wrote(1))+len(w.wrote(2)) > 0 })
				w.until("all are right", 6*time.Hour, func() bool { return w.allRight("efficient") })
				pass(time.Hour)
				w.mustNotBeStuck()
				for i := range 3 {
					if got := w.wrote(i); !slices.Equal(got, both) {
						t.Errorf("dragon %d was written to: %v", i, got)
					}
				}
				for _, a := range w.audit() {
					if a.Result != nil && strings.Contains(a.Note, string(healer.NotSent)) {
						t.Errorf("the audit says %q of a dragon that has its pools", a.Note)
					}
				}
				if state := w.rolloutState(); state != healer.RolloutDone {
					t.Errorf("the rollout is %s\n%s", state, w.table())
				}
			})
		})
	}
}

func (w *fixture) rolloutState() healer.RolloutState {
	p, err := w.healer.Plan()
	if err != nil || len(p.Rollouts) != 1 {
		w.t.Fatalf("the plan: %v", err)
	}
	return p.Rollouts[0].State
}

// A typo costs one dragon a quarter of an hour, whatever came of the mode.
func TestATypoCostsOneDragonWhateverCameOfTheMode(t *testing.T) {
	unraced(t)
	t.Parallel()
	for name, spoil := range secondWrites {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := threeToConfigure(t)
				before := [][]dragon.PoolConfig{w.pools(0), w.pools(1), w.pools(2)}
				mode := w.dragons.Dragon(0).Truth().AutoTune.Mode
				w.eachHas(dragontest.PoolDead, dragontest.PoolAt(0)) // the first that is configured gives no work
				spoil(w)
				w.start()
				w.until("the rollout is aborted", 75*time.Minute, func() bool {
					p, err := w.healer.Plan()
					return err == nil && len(p.Rollouts) == 1 && p.Rollouts[0].State == healer.RolloutAborted
				})
				pass(2 * time.Hour)
				written := 0
				for i := range 3 {
					if len(w.wrote(i)) > 0 {
						written++
					}
					if !slices.Equal(w.pools(i), before[i]) || w.dragons.Dragon(i).Truth().AutoTune.Mode != mode {
						t.Errorf("dragon %d has %v, written %v", i, w.pools(i), w.wrote(i))
					}
				}
				if written != 1 {
					t.Errorf("%d dragons were written to, want the canary\n%s", written, w.table())
				}
			})
		})
	}
}

// A human's pause is heard between the two writes, and what it keeps from being written is
// written when it is over.
func TestAPauseBetweenTwoWritesIsHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := threeToConfigure(t)
		w.slowly()
		w.start()
		w.until("the pools are on their way", time.Hour, w.acting)
		pass(5 * time.Second)
		if _, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "a visit", For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		pass(50 * time.Minute)
		var got []string
		for i := range 3 {
			got = append(got, w.wrote(i)...)
		}
		if !slices.Equal(got, both[:1]) {
			t.Errorf("written %v, want the pools of one dragon\n%s", got, w.table())
		}
		w.mustNotBeStuck()
		w.until("all are right", 6*time.Hour, func() bool { return w.allRight("efficient") })
		w.mustNotBeStuck()
		first := 0
		for _, a := range w.audit() {
			if a.Result != nil && first == 0 {
				first++
				if !strings.Contains(a.Note, ": pools for rollout") || !strings.HasPrefix(a.Result.Error, "the rest was not sent: pause p1") {
					t.Errorf("the audit says %q, %+v, want that the mode was not written", a.Note, a.Result)
				}
			}
		}
	})
}

// The way to balanced on an Innosilicon is three restarts, none of which needs to be quick.
func TestBalancedIsHadOnASlowInnosilicon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := managedFixture(t, 1, "balanced", func(int) dragontest.Spec {
			return dragontest.Spec{Model: "a9", Uptime: 20 * time.Hour}
		})
		w.eachHas(dragontest.Slow, dragontest.On("updatePools", "setAutoTune"), dragontest.Delay(12*time.Second))
		w.start()
		w.until("it is in sync", time.Hour, func() bool { return w.right(0, "balanced") })
		pass(time.Hour)
		w.mustNotBeStuck()
	})
}

// Where a pause ends the way to balanced, the mode is drift and written later.
func TestAPauseOnTheWayToBalancedIsHeard(t *testing.T) {
	t.Parallel()
	for _, writes := range [][]string{ // that were made when the pause comes
		{"updatePools"},
		{"updatePools", "setAutoTune"},
		{"updatePools", "setAutoTune", "setAutoTune"},
	} {
		t.Run(strings.Join(writes, " "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := managedFixture(t, 1, "balanced", func(int) dragontest.Spec {
					return dragontest.Spec{Model: "a9", Uptime: 20 * time.Hour}
				})
				w.eachHas(dragontest.Slow, dragontest.On("setAutoTune"), dragontest.Delay(12*time.Second))
				w.start()
				w.until("it is on its way", time.Hour, func() bool { return slices.Equal(w.wrote(0), writes) })
				pass(5 * time.Second)
				if _, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "a visit", For: time.Hour}); err != nil {
					t.Fatal(err)
				}
				pass(50 * time.Minute)
				if n := len(w.wrote(0)); n > len(writes)+1 {
					t.Errorf("written %v during the pause", w.wrote(0))
				}
				w.until("it is in sync", 6*time.Hour, func() bool { return w.right(0, "balanced") })
				w.mustNotBeStuck()
			})
		})
	}
}

// levels records the levels that a dragon is sent: a simulated one does not tell which it was.
type levels struct {
	device
	mode string
	sent []dragon.AutoTune
}

func (d *levels) SetAutoTune(_ context.Context, a dragon.AutoTune) error {
	d.mode, d.sent = a.Mode, append(d.sent, a)
	return nil
}

func (d *levels) AutoTune(context.Context) (*dragon.AutoTune, error) {
	return &dragon.AutoTune{Mode: d.mode}, nil
}

func TestALevelIsSentToDragonsThatHaveOne(t *testing.T) {
	for name, x := range map[string]struct{ has, want dragon.Number }{
		"it has levels": {dragon.Known(1), dragon.Known(3)},
		"it has none":   {},
	} {
		t.Run(name, func(t *testing.T) {
			d := &levels{}
			j := &job{have: &healer.Configured{Level: x.has}}
			want := &healer.DesiredState{Mode: "efficient", Level: dragon.Known(3)}
			if _, err := j.tune(t.Context(), d, want, nil); err != nil {
				t.Fatal(err)
			}
			if want := []dragon.AutoTune{{Mode: "efficient", Level: x.want}}; !slices.Equal(d.sent, want) {
				t.Errorf("sent %v, want %v", d.sent, want)
			}
		})
	}
}
