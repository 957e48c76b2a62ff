package agent

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// T2 stands for the models whose table gives no board count: what counts is what the dragon
// has shown, also when it is read again right before the write.
func TestAMissingBoardOfAModelWithoutACountIsCured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixtureOf(t, 5, func(int) dragontest.Spec { return dragontest.Spec{Model: "T2"} }, nil)
		if dragon.ModelOf("T2").Boards != 0 {
			t.Fatal("the table gives T2 a board count")
		}
		w.start()
		w.settle()
		w.dragons.Dragon(2).Inject(dragontest.MissingBoard, dragontest.CuredBy(dragontest.CuredByRestart))
		w.until("the dragon is restarted", time.Hour, func() bool { return len(w.wrote(2)) > 0 })
	})
}

func TestDeadBoardIsCuredByOneRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 5)
		w.start()
		w.settle()
		w.killBoard(2)
		w.until("the dragon is restarted", 30*time.Minute, func() bool { return len(w.wrote(2)) > 0 })
		w.until("the restart counts as a success", 30*time.Minute, func() bool { return w.outcomes(healer.Restart, healer.DeadBoard, healer.Recovered) == 1 })
		if n := w.metric("mother_healer_outcomes_total", "action", "restartCgMiner", "reason", "dead_board", "outcome", "recovered"); n != 1 {
			t.Errorf("the page shows %g recoveries, want 1", n)
		}
		pass(2 * time.Hour)
		for i := range 5 {
			want := []string(nil)
			if i == 2 {
				want = []string{"restartCgMiner"}
			}
			if got := w.wrote(i); !slices.Equal(got, want) {
				t.Errorf("dragon %d was written %v, want %v", i, got, want)
			}
		}
		if !slices.Equal(w.actions, []healer.Kind{healer.Restart}) {
			t.Errorf("OnAction was told %v", w.actions)
		}
		d, err := w.healer.Why(w.worker(2))
		if err != nil || d.State != healer.StateHealthy {
			t.Errorf("state %q, %v, want healthy", d.State, err)
		}
		for name, want := range map[string]float64{
			"mother_healer_actions_total": 1, "mother_healer_time_to_recovery_seconds": 1, "mother_healer_lock_held": 1,
			"mother_state_writable": 1, "mother_state_write_errors_total": 0, "mother_healer_panics_total": 0,
		} {
			labels := []string{}
			if name == "mother_healer_actions_total" {
				labels = []string{"action", "restartCgMiner", "reason", "dead_board"}
			}
			if got := w.metric(name, labels...); got != want {
				t.Errorf("%s is %g, want %g", name, got, want)
			}
		}
		if at := w.metric("mother_healer_last_action_timestamp_seconds", "worker", w.worker(2), "action", "restartCgMiner", "outcome", "recovered"); at <= 0 {
			t.Errorf("the last action is shown as of %g", at)
		}
		if want := w.metric("dragon_hashrate_expected_hashes_per_second", "worker", w.worker(2)); want < 14e12 || want > 16e12 {
			t.Errorf("the dragon is measured by %g hashes per second, want what its peers make", want)
		}
		if lost := w.metric("mother_healer_hash_lost_to_actions_total"); lost <= 0 || lost > 16e12*600 {
			t.Errorf("the restart cost %g hashes, want some and less than ten minutes' worth", lost)
		}
		if gained := w.metric("mother_healer_hash_recovered_total"); gained <= 0 || gained > 6e12*3600 {
			t.Errorf("the restart brought %g hashes, want some and less than an hour of a board", gained)
		}
		if r := w.fleet.Lookup(w.worker(2)).Health().Restarts; r.Miner.Healer != 1 || r.Miner.Unknown != 0 || r.System.Healer+r.System.Unknown != 0 {
			t.Errorf("restarts by the fleet's count: %+v, want one of the miner process, by the healer", r)
		}

		var told []string
		for _, a := range w.audit() {
			if a.Worker != w.worker(2) {
				continue
			}
			switch {
			case a.Result != nil:
				told = append(told, "sent "+a.Note)
				if a.ActionID == "" || !a.Result.Success || a.HealerID != "test" {
					t.Errorf("record of the send: %+v", a)
				}
			case a.Verify != nil:
				told = append(told, "verdict "+string(a.Verify.Verdict))
			case a.Decision == healer.Act:
				told = append(told, "act")
				if len(a.Gates) == 0 || len(a.Budget) == 0 || a.Evidence == nil {
					t.Errorf("the decision to act explains nothing: %+v", a)
				}
			}
		}
		if want := []string{"act", "sent result accepted", "verdict recovered"}; !slices.Equal(told, want) {
			t.Errorf("the audit tells %q, want %q", told, want)
		}
		data, _ := os.ReadFile(filepath.Join(w.dir, auditName))
		mustNotContain(t, "the audit", string(data), "dragonadmin", w.dragons.Dragon(2).Token("admin")[:20])
		mustNotContain(t, "the log", w.log.String(), "dragonadmin", w.dragons.Dragon(2).Token("admin")[:20])
	})
}

func TestObserveDecidesAndSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 5)
		w.policy.Default.Mode = healer.Observe
		w.start()
		w.settle()
		w.killBoard(2)
		w.until("it would act", 30*time.Minute, func() bool {
			d, err := w.healer.Why(w.worker(2))
			return err == nil && d.Verb == healer.WouldAct && d.Kind == healer.Restart
		})
		pass(3 * time.Hour)
		if w.wroteAnything() {
			t.Error("something was written in the mode observe")
		}
		if n := w.metric("mother_healer_decisions_total", "action", "restartCgMiner", "reason", "dead_board", "decision", "would_act"); n < 1 {
			t.Errorf("%g would-be decisions counted", n)
		}
		if w.metric("mother_healer_mode", "mode", "observe") != 1 || w.metric("mother_healer_mode", "mode", "enforce") != 0 {
			t.Error("the mode is not observe")
		}
	})
}

// A human wins at any moment: nothing is sent after the pause has been acknowledged, or the
// file is there.
func TestNothingIsSentAfterAPause(t *testing.T) {
	t.Parallel()
	for name, forbid := range map[string]func(*fixture) error{
		"pause": func(w *fixture) error {
			_, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "race", For: 2 * time.Hour})
			return err
		},
		"maintenance": func(w *fixture) error {
			_, err := w.healer.Pause(w.ctx, healer.PauseRequest{Kind: healer.Maintained, Scope: "mac", Value: w.worker(1), Owner: "eva", Reason: "race"})
			return err
		},
		"quarantine": func(w *fixture) error { return w.healer.Quarantine(w.ctx, w.worker(1), "eva", "race") },
		"STOP":       func(w *fixture) error { return os.WriteFile(filepath.Join(w.dir, stopFile), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			for _, after := range []time.Duration{0, 5 * time.Second, 11 * time.Second, 13 * time.Second, 16 * time.Second} {
				synctest.Test(t, func(t *testing.T) {
					w := newFixture(t, 4)
					w.start()
					w.settle()
					// Each answer about identity takes long, so that there is something to fall between.
					w.dragons.Dragon(1).Inject(dragontest.Slow, dragontest.On("overview"), dragontest.Delay(4*time.Second))
					w.killBoard(1)
					w.until("it is about to act", time.Hour, w.acting)
					pass(after)
					if err := forbid(w); err != nil {
						t.Fatal(err)
					}
					forbidden := time.Now()
					pass(40 * time.Minute)
					for _, x := range w.dragons.Dragon(1).Writes() {
						sent++
						if x.At.After(forbidden) {
							t.Errorf("forbidden after %s: %s was sent %s later", after, x.Endpoint, x.At.Sub(forbidden))
						}
					}
				})
			}
			if sent == 5 {
				t.Error("every one was sent before it was forbidden: the test tests nothing")
			}
		})
	}
}

func TestAnUnansweredWriteIsNeverSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 5)
		w.start()
		w.settle()
		w.killBoard(2)
		w.dragons.Dragon(2).Inject(dragontest.Cut, dragontest.On("restartCgMiner"))
		w.until("the outcome is unknown", time.Hour, func() bool { return w.outcomes(healer.Restart, healer.DeadBoard, healer.Outcome(healer.Unknown)) == 1 })
		pass(4 * time.Hour)
		if got := w.wrote(2); len(got) != 1 {
			t.Errorf("written %v, want one restart", got)
		}
		if n := w.metric("mother_healer_outcomes_total", "action", "restartCgMiner", "reason", "dead_board", "outcome", "recovered"); n != 1 {
			t.Errorf("%g recoveries, want one: the dragon's clock tells that it restarted", n)
		}
	})
}

// The addresses of two dragons are exchanged while one of them is about to be
// restarted. Wherever that falls, the other is not touched.
func TestSwappedAddressesHarmNobody(t *testing.T) {
	t.Parallel()
	swapped := func(t *testing.T, w *fixture) {
		t.Helper()
		w.until("the write came to an end", 10*time.Minute, func() bool { return !w.acting() })
		if got := w.wrote(3); len(got) != 0 {
			t.Errorf("the wrong dragon was written %v\n%s", got, w.table())
		}
		pass(10 * time.Minute)
		if got := w.wrote(3); len(got) != 0 {
			t.Errorf("the wrong dragon was written %v later", got)
		}
	}
	for after := time.Duration(0); after < 16*time.Second; after += 3 * time.Second {
		t.Run("after "+after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 5)
				w.start()
				w.settle()
				w.dragons.Dragon(2).Inject(dragontest.Slow, dragontest.On("overview"), dragontest.Delay(2*time.Second))
				w.killBoard(2)
				w.until("it is about to act", time.Hour, w.acting)
				pass(after)
				if err := w.dragons.Swap(2, 3); err != nil {
					t.Fatal(err)
				}
				swapped(t, w)
			})
		})
	}
	t.Run("between the intent and the send", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newFixture(t, 5)
			k := &killer{}
			var intended atomic.Bool
			k.seen = func(r store.Records) {
				for _, data := range r.Dragons {
					if !intended.Load() && bytes.Contains(data, []byte(`"restartCgMiner"`)) {
						intended.Store(true)
						if err := w.dragons.Swap(2, 3); err != nil {
							t.Error(err)
						}
					}
				}
			}
			w.setUps = append(w.setUps, func(h *Healer) { h.commit = k.commit })
			w.start()
			w.settle()
			w.killBoard(2)
			w.until("the intent is written down", time.Hour, intended.Load)
			swapped(t, w)
			if n := w.metric("mother_healer_outcomes_total", "action", "restartCgMiner", "reason", "dead_board", "outcome", "not_executed"); n != 1 {
				t.Errorf("%g writes not executed, want 1: another dragon answers by now\n%s", n, w.table())
			}
		})
	})
	t.Run("noticed by the last question", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newFixture(t, 2)
			w.start()
			w.settle()
			d := w.fleet.Lookup(w.worker(0))
			other := healer.Decision{Who: who(w.fleet.Lookup(w.worker(1)), w.policy)}
			j := &job{attempt: healer.NewAttempt(other, "user:ann", false, &healer.View{}, healer.NewMemory(), w.policy)}
			var r healer.Reply
			err := d.Write(w.ctx, "test", func(ctx context.Context, c *dragon.Client) error {
				r = w.healer.identify(ctx, c, j, healer.Step{Do: healer.Identify})
				return r.Err
			})
			if err != nil || r.Who.MAC == other.MAC || w.metric("mother_identity_mismatch_total") != 1 {
				t.Errorf("another dragon's MAC was taken for its own: %v, %+v", err, r.Who)
			}
		})
	})
}

func TestAHumanMayRebootWithinLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.start()
		w.settle()
		if _, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		var blocked *BlockedError
		if _, err := w.healer.Reboot(w.ctx, w.worker(1), "eva", "it looks odd", false); !errors.As(err, &blocked) || blocked.Decision.Blocked != healer.GatePause {
			t.Errorf("a reboot while paused: %v, want it blocked by the pause", err)
		}
		a, err := w.healer.Reboot(w.ctx, w.worker(1), "eva", "it looks odd", true)
		if err != nil || a.Actor != "user:eva" || a.Kind != healer.Reboot {
			t.Errorf("%+v, %v", a, err)
		}
		if got := w.wrote(1); !slices.Equal(got, []string{"reboot"}) {
			t.Errorf("written %v", got)
		}
		if _, err := w.healer.Reboot(w.ctx, w.worker(1), "eva", "again", true); err == nil {
			t.Error("a second reboot on top of the first was sent")
		}
		if _, err := w.healer.Reboot(w.ctx, w.worker(2), "eva", "and this one", true); err == nil {
			t.Error("a second write was sent while one is in flight in a farm of four: the ceiling is one")
		}
		if _, err := w.healer.Reboot(w.ctx, "dragon-unheard", "eva", "who", true); !errors.Is(err, ErrUnknownDragon) {
			t.Errorf("an unknown dragon: %v", err)
		}
		if _, err := w.healer.Reboot(w.ctx, w.worker(2), "", "", true); err == nil {
			t.Error("a reboot needs no reason")
		}
		w.until("it is back and well", 2*time.Hour, func() bool { return w.outcomes(healer.Reboot, "", healer.Recovered) == 1 })
		if r := w.fleet.Lookup(w.worker(1)).Health().Restarts; r.System.Healer != 1 || r.System.Unknown+r.Miner.Unknown+r.Miner.Healer != 0 {
			t.Errorf("restarts by the fleet's count: %+v, want one of the system, by the healer", r)
		}
	})
}

func TestWhatWasAskedForIsShownAtOnceAndSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.start()
		w.settle()
		p, err := w.healer.Pause(w.ctx, healer.PauseRequest{Kind: healer.Maintained, Scope: "mac", Value: w.worker(1), Owner: "eva", Reason: "new fan"})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.healer.Quarantine(w.ctx, w.dragons.Dragon(2).Spec().MAC, "eva", "smells"); err != nil {
			t.Fatal(err)
		}
		shows := func() {
			t.Helper()
			plan, err := w.healer.Plan()
			if err != nil || plan.Counts.States[healer.StateMaintenance] != 1 || plan.Counts.States[healer.StateQuarantined] != 1 {
				t.Fatalf("%v, %v\n%s", plan.Counts.States, err, w.table())
			}
			if w.metric("dragon_maintenance", "worker", w.worker(1)) != 1 || w.metric("mother_pauses", "scope", "mac") != 1 ||
				w.metric("mother_healer_device_state", "worker", w.worker(2), "state", "quarantined") != 1 {
				t.Error("the metrics do not show it")
			}
		}
		shows()
		w.stop()
		w.start()
		pass(time.Minute)
		shows()
		if err := w.healer.Resume(w.ctx, p.ID, "eva"); err != nil {
			t.Error(err)
		}
		if err := w.healer.Release(w.ctx, w.worker(2), "eva"); err != nil {
			t.Error(err)
		}
		if plan, _ := w.healer.Plan(); plan.Counts.States[healer.StateMaintenance]+plan.Counts.States[healer.StateQuarantined] != 0 {
			t.Error("they are not free again")
		}
		var said []string
		for _, a := range w.audit() {
			if strings.HasPrefix(a.Actor, "user:") {
				said = append(said, string(a.Decision)+" "+a.Actor)
			}
		}
		if want := []string{"hold user:eva", "quarantine user:eva", "resume user:eva", "release user:eva"}; !slices.Equal(said, want) {
			t.Errorf("the audit says %q, want %q", said, want)
		}
	})
}

func TestAfterTheEndNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		h := w.start()
		if _, err := h.Plan(); !errors.Is(err, ErrNotYet) {
			t.Errorf("a plan before the first look: %v", err)
		}
		pass(2 * time.Minute)
		w.stop()
		if err := h.Resume(w.ctx, "p1", "eva"); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
		w.start()
		pass(2 * time.Minute)
		if n := w.metric("mother_unclean_starts_total"); n != 0 {
			t.Errorf("%g unclean starts after an orderly end", n)
		}
	})
}

func TestAPolicyThatCallsTheFarmSickIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 6)
		w.start()
		w.settle()
		pass(40 * time.Minute)
		before := w.healer.Status().Config
		p := impatient()
		p.Default.Detect.MinPerBoard = 50e12
		w.enact(p)
		pass(2 * time.Minute)
		s := w.healer.Status()
		if w.metric("mother_config_refused_total") != 1 || w.metric("mother_healer_policy_refused") != 1 || s.Config != before {
			t.Errorf("a typo was taken over: %s", w.log)
		}
		if want := "too many dragons sick: 6, at most 2"; !strings.Contains(s.Declined, want) || !strings.Contains(w.log.String(), want) {
			t.Errorf("neither status nor log says why: %q, %s", s.Declined, w.log)
		}
		p = impatient()
		p.Default.Detect.MinPerBoard = 1e12
		w.enact(p)
		pass(2 * time.Minute)
		if s := w.healer.Status(); s.Config == before || s.Declined != "" || w.metric("mother_healer_policy_refused") != 0 {
			t.Errorf("a good policy was not taken over: %+v\n%s", s, w.log)
		}
		var said []healer.Verb
		for _, a := range w.audit() {
			if a.Decision == healer.Adopt || a.Decision == healer.Refuse {
				said = append(said, a.Decision)
			}
		}
		if !slices.Equal(said, []healer.Verb{healer.Refuse, healer.Adopt}) {
			t.Errorf("the audit says %v", said)
		}
	})
}

// A policy is checked before it is offered: a refused one never comes into force.
func TestAPolicyIsJudgedBeforeItIsOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 6)
		w.start()
		w.settle()
		pass(40 * time.Minute)
		p := impatient()
		p.Place, p.Default.Detect.MinPerBoard = w.place, 50e12
		if x, err := w.healer.Compare(w.ctx, p); err != nil || x.Refused == "" || w.metric("mother_config_refused_total") != 0 {
			t.Errorf("%+v, %v: want a silent refusal", x, err)
		}
		x, err := w.healer.Judge(w.ctx, p)
		if err != nil || len(x.Newly) != 6 || w.metric("mother_config_refused_total") != 1 || w.metric("mother_healer_policy_refused") != 1 {
			t.Errorf("%+v, %v: want a refusal that is counted", x, err)
		}
		p = impatient()
		p.Place, p.Default.Detect.MinPerBoard = w.place, 1e12
		if x, err := w.healer.Judge(w.ctx, p); err != nil || x.Refused != "" {
			t.Errorf("%+v, %v: want no refusal", x, err)
		}
		w.enact(p)
		pass(2 * time.Minute)
		if w.metric("mother_config_refused_total") != 1 || w.metric("mother_healer_policy_refused") != 0 {
			t.Errorf("after a better one: %g refusals, refused %g", w.metric("mother_config_refused_total"), w.metric("mother_healer_policy_refused"))
		}
	})
}

// The matches of profiles belong to the policy: the guard judges by the new policy's
// profiles, and when that is refused every dragon stays under the old one's.
func TestAPolicyComesWithItsProfilesOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 6)
		handsOff := func(i healer.Device) (string, string) {
			if dragon.WorkerName(i.MAC) == w.worker(1) {
				return "", "hands-off"
			}
			return "", ""
		}
		w.policy.Place = handsOff
		w.policy.Override("hands-off", func(d *healer.DragonPolicy) { d.Mode = healer.Observe })
		w.start()
		w.settle()
		pass(20 * time.Minute)
		p := impatient()
		p.Override("strict", func(d *healer.DragonPolicy) { d.Detect.MinPerBoard = 50e12 })
		p.Place = func(healer.Device) (string, string) { return "", "strict" }
		w.enact(p)
		w.killBoard(1)
		w.until("it would be healed", time.Hour, func() bool {
			d, err := w.healer.Why(w.worker(1))
			return err == nil && d.Verb == healer.WouldAct
		})
		pass(time.Hour)
		if n := w.metric("mother_config_refused_total"); n != 1 || len(w.wrote(1)) > 0 {
			t.Errorf("refused %g times, want once; the dragon that is only observed was written %v", n, w.wrote(1))
		}
		p = impatient()
		p.Place = func(healer.Device) (string, string) { return "", "" }
		w.enact(p)
		w.until("it is healed under the next policy", time.Hour, func() bool { return len(w.wrote(1)) > 0 })
	})
}

func TestAPolicyThatOnlyObservesEndsTheHealing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.start()
		w.settle()
		w.killBoard(1)
		pass(8 * time.Minute)
		p := impatient()
		p.Default.Mode = healer.Observe
		w.enact(p)
		w.until("it would act", time.Hour, func() bool {
			d, err := w.healer.Why(w.worker(1))
			return err == nil && d.Verb == healer.WouldAct
		})
		pass(time.Hour)
		if w.wroteAnything() || w.metric("mother_healer_mode", "mode", "observe") != 1 {
			t.Errorf("something was sent under a policy that only observes\n%s", w.table())
		}
	})
}

func TestPlanOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		h := w.start()
		w.settle()
		if err := h.Quarantine(w.ctx, w.worker(2), "eva", "smells"); err != nil {
			t.Fatal(err)
		}
		config := h.config
		config.Registerer = nil
		if _, err := PlanOffline(w.ctx, config); !errors.Is(err, store.ErrHeld) {
			t.Errorf("offline beside a running healer: %v, want store.ErrHeld", err)
		}
		w.stop()
		stat := func() string {
			b, err := os.ReadFile(filepath.Join(w.dir, "healer.db"))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		before := stat()
		p, err := PlanOffline(w.ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		if p.Counts.Fleet != 4 || p.Counts.States[healer.StateQuarantined] != 1 {
			t.Errorf("%+v", p.Counts)
		}
		if stat() != before {
			t.Error("the state has changed")
		}
	})
}

// A dragon whose miner process is dead behind a living web server is restarted.
func TestADeadMiningProcessIsRestarted(t *testing.T) {
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		var looked atomic.Int64 // when it was asked last, before a write
		specs := func(i int) (spec dragontest.Spec) {
			if i == 1 {
				spec.OnRequest = func(endpoint string) {
					switch endpoint {
					case "summary":
						looked.Store(time.Now().UnixNano())
					case string(healer.Restart), string(healer.Reboot):
						if since := time.Since(time.Unix(0, looked.Load())); since > time.Second {
							t.Errorf("%s, and the last look was %s before", endpoint, since)
						}
					}
				}
			}
			return spec
		}
		w := newFixtureOf(t, 4, specs, nil)
		w.start()
		w.settle()
		w.dragons.Dragon(1).Inject(dragontest.NotReady, dragontest.CuredBy(dragontest.CuredByReboot))
		w.until("a restart does not help", 2*time.Hour, func() bool { return len(w.wrote(1)) == 1 })
		w.until("a reboot is next", 2*time.Hour, func() bool { return len(w.wrote(1)) == 2 })
		w.until("the verdict is in", time.Hour, func() bool {
			return slices.ContainsFunc(w.audit(), func(a healer.Audit) bool { return a.Verify != nil && a.Verify.Verdict == healer.Recovered })
		})
	})
}
