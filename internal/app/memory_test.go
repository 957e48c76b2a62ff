package app

import (
	"context"
	"runtime"
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

func TestALargeHeapHasLessGarbage(t *testing.T) {
	for name, x := range map[string]struct {
		environment string
		want        []uint64 // of 0, 30, 80, 82, 160 and 1,000 MB, and 30 again
	}{
		"by default":          {"", []uint64{100, 100, 50, 50, 25, 25, 100}},
		"GOGC overrules that": {"70", []uint64{80, 80, 80, 80, 80, 80, 80}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", x.environment)
			defer debug.SetGCPercent(debug.SetGCPercent(80))
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var live atomic.Uint64
				go boundMemory(ctx, live.Load)
				for i, megabytes := range []uint64{0, 30, 80, 82, 160, 1000, 30} {
					live.Store(megabytes << 20)
					time.Sleep(memoryInterval + 1)
					synctest.Wait()
					if got := gcPercent(); got != x.want[i] {
						t.Errorf("%d MB: %d %%, want %d", megabytes, got, x.want[i])
					}
				}
			})
		})
	}
}

func TestTheLiveHeapIsKnown(t *testing.T) {
	runtime.GC()
	if live := liveHeap(); live == 0 || live > 1<<30 {
		t.Errorf("%d bytes", live)
	}
}
