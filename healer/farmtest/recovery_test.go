package farmtest

import (
	"fmt"
	"testing"
	"time"
)

// A farm whose dragons need a reboot each gets it, nearly as soon as with no brakes at
// all, and no healthy dragon is touched.
func TestRecoveryTable(t *testing.T) {
	for _, size := range RecoverySizes {
		t.Run(size.name(), func(t *testing.T) {
			if size.Dragons*size.Sick > 10_000 && !*soak {
				t.Skip("with -soak")
			}
			t.Parallel()
			r, o, err := size.Healed()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("all well after %s, %.1f dragon-hours lost, %d reboots", r.All, r.Lost, r.Reboots)
			if r.Left > 0 {
				t.Errorf("%d dragons are still sick after %s", r.Left, patience)
			}
			if r.All > size.All || r.Lost > size.Lost {
				t.Errorf("all well after %s, %.1f dragon-hours lost; want at most %s and %.1f", r.All, r.Lost, size.All, size.Lost)
			}
			if r.Well > 0 {
				t.Errorf("%d writes to dragons that were well", r.Well)
			}
			for _, f := range o.Failures {
				t.Error(f)
			}
		})
	}
}

func (s RecoverySize) name() string { return fmt.Sprintf("dragons=%d/sick=%d", s.Dragons, s.Sick) }

// BenchmarkRecovery makes the recovery table of docs/healing.md: this healer, and the
// original's policy, once with an eye on dead boards only, once with its minimum at 80 %.
func BenchmarkRecovery(b *testing.B) {
	for _, size := range RecoverySizes {
		b.Run(size.name(), func(b *testing.B) {
			var ours, original, minimum Recovery
			for b.Loop() {
				var err error
				if ours, _, err = size.Healed(); err != nil {
					b.Fatal(err)
				}
				original, _ = size.Kept(&Original{Duration: 30 * time.Minute})
				minimum, _ = size.Kept(&Original{Minimum: 0.8 * nominal, Duration: 30 * time.Minute})
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ours.All.Minutes(), "minutes")
			b.ReportMetric(original.All.Minutes(), "minutes-original")
			b.ReportMetric(ours.Lost, "lost-dragon-hours")
			b.ReportMetric(original.Lost, "lost-dragon-hours-original")
			b.ReportMetric(float64(ours.Left), "sick-after-72h")
			b.ReportMetric(float64(ours.Well), "writes-to-the-well")
			b.ReportMetric(float64(minimum.Well), "writes-to-the-well-original-80%")
		})
	}
}
