package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func gcPercent() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestALargeFarmHasLessGarbage(t *testing.T) {
	for name, x := range map[string]struct {
		environment       string
		small, large, end uint64
	}{
		"by default":          {"", 100, largeFarmGC, 100},
		"GOGC overrules that": {"70", 80, 80, 80},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", x.environment)
			defer debug.SetGCPercent(debug.SetGCPercent(80))
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var dragons atomic.Int64
				go boundMemory(ctx, func() int { return int(dragons.Load()) })
				for _, step := range []struct {
					dragons int64
					want    uint64
				}{{0, x.small}, {largeFarm - 1, x.small}, {largeFarm, x.large}, {10 * largeFarm, x.large}, {10, x.end}} {
					dragons.Store(step.dragons)
					time.Sleep(memoryInterval + 1)
					synctest.Wait()
					if got := gcPercent(); got != step.want {
						t.Errorf("%d dragons: %d %%, want %d", step.dragons, got, step.want)
					}
				}
			})
		})
	}
}
