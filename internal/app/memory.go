package app

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

const (
	// The garbage collector lets the heap double by default. What is known of a large farm is
	// mostly there to stay, so that half of the memory would be garbage.
	largeFarm   = 5000
	largeFarmGC = 40 // percent

	memoryInterval = 5 * time.Second
)

// boundMemory has the garbage collector run earlier while there are many dragons, until ctx
// is done. GOGC in the environment overrules it.
func boundMemory(ctx context.Context, dragons func() int) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for was := 0; ; {
		percent := 100
		if dragons() >= largeFarm {
			percent = largeFarmGC
		}
		if percent != was { // each call stops the world
			debug.SetGCPercent(percent)
			was = percent
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
