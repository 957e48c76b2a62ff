package healer

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
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

// wished makes a ward whose dragons are to have wantedPools and a mode.
func wished(t *testing.T, n int, mode string, specs func(int) dragontest.Spec) *ward {
	t.Helper()
	w := newWardOf(t, n, specs, map[fleet.Fact]time.Duration{fleet.Pools: 0, fleet.AutoTune: 0})
	w.wishes(func(i *fleet.Info) *Wish {
		return &Wish{Key: "key", Name: "house", Pools: wantedPools("acct", i.MAC), Mode: mode}
	})
	return w
}

func (w *ward) wishes(of func(*fleet.Info) *Wish) {
	w.policy.Wish = of
}

// pools is what dragon i is configured for.
func (w *ward) pools(i int) []dragon.PoolConfig {
	var pools []dragon.PoolConfig
	for _, p := range w.herd.Dragon(i).Truth().Configured {
		pools = append(pools, dragon.PoolConfig{URL: p.URL, User: p.User, Password: dragon.Secret(p.Password)})
	}
	return pools
}

// right reports whether dragon i has the pools that it is to have, and the mode.
func (w *ward) right(i int, mode string) bool {
	truth := w.herd.Dragon(i).Truth()
	return slices.Equal(w.pools(i), wantedPools("acct", w.herd.Dragon(i).Spec().MAC)) && (mode == "" || truth.AutoTune.Mode == mode)
}

func TestAHerdIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wished(t, 5, "efficient", func(i int) dragontest.Spec {
			s := dragontest.Spec{Uptime: time.Duration(i+20) * time.Hour}
			if i == 4 {
				s.MAC = "a0:b0:45:00:00:04"
				s.AutoTune.Mode = "efficient"
				for _, p := range wantedPools("acct", s.MAC) {
					s.Pools = append(s.Pools, dragontest.Pool{URL: p.URL, User: p.User, Password: string(p.Password)})
				}
			}
			return s
		})
		w.policy.Default.Mode = Observe // to configure is no healing
		w.start()
		w.until("all are as wished", 90*time.Minute, func() bool {
			for i := range 5 {
				if !w.right(i, "efficient") {
					return false
				}
			}
			return true
		})
		pass(2 * time.Hour)
		for i := range 4 {
			if got := w.wrote(i); !slices.Equal(got, []string{"updatePools", "setAutoTune"}) {
				t.Errorf("dragon %d was written to: %v", i, got)
			}
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
