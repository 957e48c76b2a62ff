package healer

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkDecide is a cycle of a fleet: all well, or all ill at once.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		for _, ill := range []bool{false, true} {
			b.Run(fmt.Sprintf("dragons=%d/ill=%v", n, ill), func(b *testing.B) {
				f := newFarm(b, n)
				f.sends = false
				if ill {
					for _, u := range f.units {
						killBoard(u, 0, 60)
					}
				}
				for range 20 {
					f.tick()
				}
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					f.now.Mono += time.Minute
					f.now.Wall = f.now.Wall.Add(time.Minute)
					view := f.view()
					b.StartTimer()
					Decide(f.now, view, f.mem, &f.policy)
				}
			})
		}
	}
}
