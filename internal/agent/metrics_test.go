package agent

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

func TestMetricsLint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		w.start()
		w.settle()
		families, err := w.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		there := map[string]int{}
		for _, f := range families {
			there[f.GetName()] = len(f.GetMetric())
			if f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), ".") {
				t.Errorf("%s: help %q is not a sentence", f.GetName(), f.GetHelp())
			}
		}
		// An alert on a series that is not there stays silent.
		for name, least := range map[string]int{
			"mother_healer_mode": 3, "mother_healer_last_cycle_timestamp_seconds": 1, "mother_healer_cycle_duration_seconds": 1,
			"mother_healer_device_state": 3, "mother_healer_devices": len(healer.States), "mother_healer_decisions_total": 60,
			"mother_healer_blocked": len(healer.Gates()), "mother_healer_blocked_total": len(healer.Gates()), "mother_healer_actions_total": 24,
			"mother_healer_outcomes_total": 140, "mother_healer_in_flight": 1, "mother_healer_budget_limit": 3,
			"mother_healer_budget_used": 3, "mother_healer_breaker_state": 5, "mother_healer_breaker_trips_total": 10,
			"mother_healer_quarantined": 1, "mother_healer_time_to_recovery_seconds": 1, "mother_healer_hash_lost_to_actions_total": 1, "mother_healer_hash_recovered_total": 1,
			"mother_pauses": 5, "mother_state_writable": 1, "mother_state_write_errors_total": 1, "mother_clock_trusted": 1,
			"mother_clock_jumps_total": 1, "mother_gate_errors_total": 1, "mother_identity_mismatch_total": 1, "mother_identity_conflicts": 1,
			"mother_foreign_actions_total": 2, "mother_config_hash_info": 1, "mother_config_refused_total": 1, "mother_pool_state": 2,
			"mother_domain_state": 3, "mother_healer_isolated": 1, "mother_fleet_boot_events_total": 1, "mother_unclean_starts_total": 1,
			"mother_healer_lock_held": 1, "mother_state_recovered": 1, "mother_window_open": 1, "dragon_maintenance": 3,
			"dragon_sensor_faults": 3, "dragon_tune_duration_seconds": 1, "mother_healer_slow_dragons": 1, "mother_healer_policy_refused": 1,
		} {
			if there[name] < least {
				t.Errorf("%s has %d series, want at least %d", name, there[name], least)
			}
		}
	})
}

// A page is whole also where two remembered dragons go by one name, and where a
// device says something that is not a text.
func TestNothingThatADragonSaysBreaksThePage(t *testing.T) {
	h := &Healer{}
	h.published.Store(&Status{Plan: &healer.Plan{
		Dragons: []healer.Decision{{Who: healer.Who{Worker: "a"}}, {Who: healer.Who{Worker: "a"}}, {Who: healer.Who{Worker: "\xff"}}},
		Pools:   []healer.CauseState{{Name: "p\xff"}, {Name: "p\xff"}},
	}, LastCycle: time.Unix(1, 0)})
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(statusCollector{&h.published, &h.looked}); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsLearnedOfTuningIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		w.start()
		w.settle()
		if n := w.metric("dragon_tune_duration_seconds"); n != 0 {
			t.Errorf("%g seconds, and no dragon has tuned", n)
		}
		err := w.healer.onLoop(w.ctx, "test", func(context.Context) error {
			w.healer.mem.Fleet.Tunes["T1"] = append(slices.Repeat([]float64{1500}, 8), 1800, 2400)
			return nil
		})
		pass(2 * time.Minute)
		if n := w.metric("dragon_tune_duration_seconds", "model", "T1"); err != nil || n < 1800 || n > 2400 {
			t.Errorf("%g seconds, %v; want the longest of three", n, err)
		}
	})
}

// A dragon that waits for a gate is counted once for each wait.
func TestEveryWaitForAGateIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 5)
		w.start()
		w.settle()
		if _, err := w.healer.Pause(t.Context(), healer.PauseRequest{Scope: "fleet", For: time.Hour, Owner: "eva", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		w.killBoard(2)
		pass(50 * time.Minute)
		counted := map[healer.Gate]float64{}
		for _, g := range append(healer.Gates(), "") {
			if n := w.metric("mother_healer_blocked_total", "gate", string(g)); n > 0 {
				counted[g] = n
			}
		}
		if want := map[healer.Gate]float64{healer.GatePause: 1}; !maps.Equal(counted, want) {
			t.Errorf("counted %v, want %v", counted, want)
		}
	})
}

// What another instance owns is counted there: of two that are scraped, each event would count twice.
func TestAStandbyLeavesTheCountingToTheOwner(t *testing.T) {
	for name, held := range map[string]bool{"the owner": false, "a standby": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 5)
				var is atomic.Bool
				is.Store(held)
				w.refuseState(&is, store.ErrHeld)
				w.start()
				w.settle()
				w.killBoard(2)
				for range 2 { // of which the second opens the breaker of this dragon
					pass(20 * time.Minute)
					w.dragons.Dragon(0).Reboot()
				}
				pass(20 * time.Minute)
				for name, least := range map[string]float64{
					"mother_foreign_actions_total": 2, "mother_healer_breaker_trips_total": 1, "mother_healer_decisions_total": 1, "mother_healer_blocked_total": 0,
				} {
					if n := w.total(name); held && n != 0 || n < least && !held {
						t.Errorf("%s is %g", name, n)
					}
				}
				is.Store(false)
				pass(5 * time.Minute)
				if n := w.total("mother_healer_breaker_trips_total"); held && n != 0 {
					t.Errorf("%g breakers opened when it took over", n)
				}
			})
		})
	}
}
