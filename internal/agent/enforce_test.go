package agent

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// wantedPools are two pools as a dragon is to have them.
func wantedPools(user, mac string) []dragon.PoolConfig {
	worker := user + "." + dragon.WorkerName(mac)
	return []dragon.PoolConfig{
		{URL: "stratum+tcp://first.example.net:3333", User: worker, Password: "hunter2"},
		{URL: "stratum+tcp://second.example.net:3333", User: worker, Password: "x"},
	}
}

// managedFixture makes a fixture whose dragons are to have wantedPools and a mode.
func managedFixture(t *testing.T, n int, mode string, specs func(int) dragontest.Spec) *fixture {
	t.Helper()
	w := newFixtureOf(t, n, specs, map[fleet.Fact]time.Duration{fleet.Pools: 0, fleet.AutoTune: 0})
	w.desire(func(i healer.Device) *healer.DesiredState {
		return &healer.DesiredState{Key: "key", Name: "house", Pools: wantedPools("acct", i.MAC), Mode: mode}
	})
	return w
}

func (w *fixture) desire(of func(healer.Device) *healer.DesiredState) {
	w.policy.Desired = of
}

// pools is what dragon i is configured for.
func (w *fixture) pools(i int) []dragon.PoolConfig {
	var pools []dragon.PoolConfig
	for _, p := range w.dragons.Dragon(i).Truth().Configured {
		pools = append(pools, dragon.PoolConfig{URL: p.URL, User: p.User, Password: dragon.Secret(p.Password)})
	}
	return pools
}

// right reports whether dragon i has the pools that it is to have, and the mode.
func (w *fixture) right(i int, mode string) bool {
	truth := w.dragons.Dragon(i).Truth()
	return slices.Equal(w.pools(i), wantedPools("acct", w.dragons.Dragon(i).Spec().MAC)) && (mode == "" || truth.AutoTune.Mode == mode)
}

func TestAFleetIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := managedFixture(t, 5, "efficient", func(i int) dragontest.Spec {
			s := dragontest.Spec{Uptime: time.Duration(i+20) * time.Hour}
			if i >= 3 {
				s.AutoTune.Mode = "efficient"
			}
			if i == 4 {
				s.MAC = "a0:b0:45:00:00:04"
				for _, p := range wantedPools("acct", s.MAC) {
					s.Pools = append(s.Pools, dragontest.Pool{URL: p.URL, User: p.User, Password: string(p.Password)})
				}
			}
			return s
		})
		w.policy.Default.Mode = healer.Observe // to configure is not healing
		w.start()
		w.until("all are in sync", 90*time.Minute, func() bool {
			for i := range 5 {
				if !w.right(i, "efficient") {
					return false
				}
			}
			return true
		})
		pass(2 * time.Hour)
		for i := range 4 {
			want := []string{"updatePools", "setAutoTune"}
			if i == 3 { // it has the mode already
				want = want[:1]
			}
			if got := w.wrote(i); !slices.Equal(got, want) {
				t.Errorf("dragon %d was written to: %v", i, got)
			}
		}
		if n := w.metric("mother_healer_time_to_recovery_seconds"); n != 0 {
			t.Errorf("%g configurations count as recoveries", n)
		}
		if got := w.wrote(4); len(got) > 0 {
			t.Errorf("the dragon that was right already was written to: %v", got)
		}
		if strings.Contains(w.log.String(), "hunter2") {
			t.Error("the log has the password")
		}
		audit, err := os.ReadFile(w.dir + "/audit.jsonl")
		if err != nil || strings.Contains(string(audit), "hunter2") {
			t.Errorf("the audit has the password, or is not there: %v", err)
		}
	})
}

func TestWebhooksAreToldOfARolloutOfAConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := managedFixture(t, 2, "", func(i int) dragontest.Spec { return dragontest.Spec{Uptime: time.Duration(i+20) * time.Hour} })
		rollouts, _ := w.tell()
		w.start()
		w.until("all are in sync", 3*time.Hour, func() bool { return w.right(0, "") && w.right(1, "") })
		pass(time.Hour)
		told := rollouts()
		var states []string
		for _, x := range told {
			state, _, _ := strings.Cut(strings.TrimPrefix(x, "rollout:r1 rollout r1 (house): "), ":")
			states = append(states, state)
		}
		if !slices.Equal(states, []string{"canary", "waves", "done"}) {
			t.Errorf("told %q", told)
		}
	})
}

// An Innosilicon that was never told a mode takes balanced for an answer and does nothing: it
// is told what it has by default first.
func TestBalancedIsHadOnAFreshInnosilicon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := managedFixture(t, 1, "balanced", func(int) dragontest.Spec {
			return dragontest.Spec{Model: "a9", Uptime: 20 * time.Hour}
		})
		w.start()
		w.until("it is in sync", time.Hour, func() bool { return w.right(0, "balanced") })
		pass(3 * time.Hour)
		if got := w.wrote(0); !slices.Equal(got, []string{"updatePools", "setAutoTune", "setAutoTune", "setAutoTune"}) {
			t.Errorf("it was written to: %v", got)
		}
	})
}

// A dragon that its vendor has pinned to its pools stores what it is told and mines on: it
// is told once, and that is shown.
func TestALockedDragonIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := managedFixture(t, 2, "", func(i int) dragontest.Spec {
			s := dragontest.Spec{Model: "t2t", Uptime: 20 * time.Hour}
			s.Locked = i == 0
			return s
		})
		w.start()
		pass(5 * time.Hour)
		for i := range 2 {
			if got := w.wrote(i); !slices.Equal(got, []string{"updatePools"}) {
				t.Errorf("dragon %d was written to: %v", i, got)
			}
		}
		if w.metric("mother_enforce_state", "worker", w.worker(0), "state", "stuck") != 1 || !w.right(1, "") {
			t.Errorf("the locked one is not shown, or the other is not right:\n%s", w.table())
		}
	})
}

// A human's STOP between two writes is heard: the rest is not written.
func TestNothingIsWrittenBesideAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := managedFixture(t, 3, "efficient", nil)
		if err := os.WriteFile(w.dir+"/STOP", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		pass(2 * time.Hour)
		if w.wroteAnything() {
			t.Error("written in spite of STOP")
		}
		if w.metric("dragon_config_drift", "worker", w.worker(0), "item", "pools") != 1 {
			t.Error("what differs is not shown")
		}
	})
}

// What a dragon had is in the store, where only its owner can read it, and in nothing else.
func TestTheCanaryGetsItsPasswordsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixtureOf(t, 3, nil, map[fleet.Fact]time.Duration{fleet.Pools: 0})
		w.desire(func(healer.Device) *healer.DesiredState {
			return &healer.DesiredState{Key: "k", Name: "typo", Pools: []dragon.PoolConfig{{URL: "stratum+tcp://typo.example.net:3333", User: "a.b", Password: "hunter2"}}}
		})
		before := w.pools(0)
		for i := range 3 {
			w.dragons.Dragon(i).Inject(dragontest.PoolDead, dragontest.PoolAt(0)) // the first that is configured gives no work
		}
		w.start()
		w.until("the rollout is aborted and undone", time.Hour, func() bool {
			return len(w.wrote(0)) == 2 && w.metric("mother_rollout_state", "rollout", "r1", "name", "typo", "state", "aborted") == 1
		})
		pass(2 * time.Hour)
		if !slices.Equal(w.pools(0), before) || len(w.wrote(1))+len(w.wrote(2)) > 0 {
			t.Errorf("the canary has %v, others were written to: %v %v", w.pools(0), w.wrote(1), w.wrote(2))
		}
		info, err := os.Stat(w.dir + "/healer.db")
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the state: %v %v", info, err)
		}
	})
}

// In a large farm a wave has more dragons than there are looks in it: they follow one another
// as closely as writes may, within the places in flight.
func TestAWaveIsAsFastAsItMayBe(t *testing.T) {
	unraced(t)
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		w := managedFixture(t, n, "", func(int) dragontest.Spec { return dragontest.Spec{Uptime: 20 * time.Hour} })
		w.policy.Default.Mode = healer.Observe
		w.policy.Fleet.InFlight, w.policy.Fleet.PerDomain = 0.05, 10 // as many as 500 dragons have
		w.policy.Rollout.Wave = 0.10                                 // and 400
		w.start()
		w.until("the canary works", time.Hour, func() bool {
			return w.metric("mother_rollout_state", "rollout", "r1", "name", "house", "state", "waves") == 1
		})
		pass(10 * time.Minute)
		var at []time.Time
		for _, actions := range w.healer.Status().Actions {
			for _, a := range actions {
				at = append(at, a.Wall)
			}
		}
		slices.SortFunc(at, time.Time.Compare)
		for i := range at {
			if i > 0 && at[i].Sub(at[i-1]) < 24*time.Second {
				t.Errorf("two writes within %s", at[i].Sub(at[i-1]))
			}
			if i >= 20 && at[i].Sub(at[i-20]) < 10*time.Minute {
				t.Errorf("more than 20 within %s", at[i].Sub(at[i-20]))
			}
		}
		if len(at) < 17 || len(at) > 22 {
			t.Errorf("%d of %d dragons were configured in ten minutes, want one every 30 s or so", len(at), n)
		}
		audit, err := os.ReadFile(w.dir + "/audit.jsonl")
		if said := strings.Count(string(audit), `"decision":"act"`); err != nil || said < 2*len(at) || said > 2*len(at)+1 {
			t.Errorf("%d decisions and results are in the audit (%v), want two for each of %d", said, err, len(at))
		}
		if most := w.metric("mother_healer_in_flight", "scope", "fleet"); most > 5 {
			t.Errorf("%v in flight", most)
		}
	})
}

func TestARealDragonIsShiftedDownAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixtureOf(t, 3, nil, map[fleet.Fact]time.Duration{fleet.AutoTune: 0})
		w.policy.Default.Heat.DownshiftEnabled = true
		w.policy.Default.Heat.RestoreAfter = 2 * time.Hour
		w.start()
		w.settle()
		d := w.dragons.Dragon(1)
		before := d.Truth().AutoTune.Mode
		d.Inject(dragontest.Overheat)
		w.until("it runs cooler", time.Hour, func() bool { return d.Truth().AutoTune.Mode == "efficient" })
		pass(10 * time.Minute)
		if n := w.metric("mother_healer_downshifted"); n != 1 {
			t.Errorf("%g dragons shifted down by the page", n)
		}
		w.stop() // it is remembered what it had
		w.start()
		d.Clear(dragontest.Overheat)
		w.until("it has again what it had", 4*time.Hour, func() bool { return d.Truth().AutoTune.Mode == before })
		if got := w.wrote(1); !slices.Equal(got, []string{"setAutoTune", "setAutoTune"}) || len(w.wrote(0))+len(w.wrote(2)) > 0 {
			t.Errorf("written %v", got)
		}
		var told []string
		for _, a := range w.audit() {
			if strings.Contains(a.Note, "autotune mode") {
				told = append(told, a.Note)
			}
		}
		if len(told) != 2 || !strings.Contains(told[0], "efficient in place of "+before) || !strings.Contains(told[1], before+" again") {
			t.Errorf("the audit says %q", told)
		}
	})
}
