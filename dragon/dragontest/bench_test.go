package dragontest

import (
	"net/http"
	"runtime"
	"testing"
	"time"
)

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct {
	header http.Header
	n      int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(int)             {}
func (w *nowhere) Write(b []byte) (int, error) { w.n += len(b); return len(b), nil }

func BenchmarkSummary(b *testing.B) {
	now := time.Unix(1529186666, 0)
	d := New(Spec{Now: func() time.Time { now = now.Add(time.Second); return now }})
	r, _ := http.NewRequest(http.MethodPost, "/api/summary", nil)
	r.Body = http.NoBody
	r.SetBasicAuth("admin", "dragonadmin")
	w := &nowhere{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		d.ServeHTTP(w, r)
	}
	if w.n < 2000*b.N {
		b.Fatalf("%d bytes in %d answers", w.n, b.N)
	}
}

func BenchmarkSummaryWithToken(b *testing.B) {
	d := New(Spec{})
	r, _ := http.NewRequest(http.MethodPost, "/api/summary", nil)
	r.Body = http.NoBody
	r.Header.Set("Authorization", "Bearer "+d.Token("admin"))
	w := &nowhere{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		d.ServeHTTP(w, r)
	}
}

func BenchmarkFleetOverMemory(b *testing.B) {
	h := newFleet(b, FleetConfig{Count: 100, InMemory: true, Specs: Mixed})
	c := clientOf(b, h)
	auth := make([]string, h.Len())
	for i := range auth {
		auth[i] = "Bearer " + h.Dragon(i).Token("admin")
	}
	i := 0
	for b.Loop() {
		if _, err := macOf(b, c, h.Addr(i%h.Len()), auth[i%h.Len()]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkNewFleet reports what a dragon with its listener costs in memory.
func BenchmarkNewFleet(b *testing.B) {
	const count = 1000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		h, err := NewFleet(FleetConfig{Count: count})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		h.Close()
	}
	b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/count, "B/dragon")
}
