package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// The garbage collector lets the heap double by default. What is known of a large farm is
	// mostly there to stay, so that half of the memory would be garbage.
	garbageAtMost = 40 << 20
	leastPercent  = 25 // or the collector would run all the time

	memoryInterval = time.Second
)

// boundMemory has the garbage collector run at some 40 MB of garbage, or a quarter of what is
// live if that is more, until ctx is done. live is the heap's size in bytes after the last
// collection. GOGC in the environment overrules it.
func boundMemory(ctx context.Context, live func() uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.Tick(memoryInterval)
	for was := 0; ; {
		percent := int(max(leastPercent, min(100, 100*garbageAtMost/max(live(), 1))))
		if percent < was-was/8 || percent > was+was/8 { // each call stops the world
			debug.SetGCPercent(percent)
			was = percent
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// liveHeap is what the last collection has left.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
