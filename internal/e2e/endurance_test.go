package e2e

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// TestEndurance lets the program live on a farm where faults come and go, for the time
// that E2E_ENDURE says: with 20 minutes some ten days of 200 dragons, or, as E2E_DRAGONS
// may ask, three days of 1,000. Its memory must not grow, and no dragon that is well may
// be missing from any page.
func TestEndurance(t *testing.T) {
	lasting, err := time.ParseDuration(os.Getenv("E2E_ENDURE"))
	if err != nil {
		t.Skip("E2E_ENDURE=20m has it run that long; make soak does")
	}
	count := 200
	if n, err := strconv.Atoi(os.Getenv("E2E_DRAGONS")); err == nil {
		count = n
	}
	speed := min(720, 220_000/count) // more readings a second than this take most of two cores
	day, ill := 24*time.Hour/time.Duration(speed), 6*time.Hour/time.Duration(speed)
	w := newFarm(t, count, float64(speed), shipped, "--dragon-health-reboot", "--dragon-timeout=2")
	faults := []struct {
		fault   dragontest.Fault
		options []dragontest.FaultOption
	}{
		{dragontest.Hang, nil}, {dragontest.Reset, nil}, {dragontest.Garbage, nil}, {dragontest.Status502, nil},
		{dragontest.HostileLabels, nil}, {dragontest.NumbersAsStrings, nil}, {dragontest.NotReady, nil}, {dragontest.Huge, nil},
		{dragontest.DeadBoard, []dragontest.FaultOption{dragontest.CuredBy(dragontest.CuredByRestart)}},
		{dragontest.MissingBoard, []dragontest.FaultOption{dragontest.CuredBy(dragontest.CuredByReboot)}},
		{dragontest.LowHashrate, []dragontest.FaultOption{dragontest.CuredBy(dragontest.CuredByReboot)}},
		{dragontest.WrongPassword, nil}, {dragontest.Overheat, nil}, {dragontest.BogusTemperature, nil},
	}
	random := rand.New(rand.NewPCG(3, 4))
	// By when a dragon must be back: a password that was refused is tried again in time of
	// the wall. What the healer did since is in its busy dragons.
	const passwordTriedAgain = 15 * time.Minute
	backBy := make([]time.Time, count)
	sick := map[int]time.Time{}
	var memory, goroutines []float64
	begun := time.Now()
	for tick := time.NewTicker(time.Second); time.Since(begun) < lasting; <-tick.C {
		for i, until := range sick {
			if time.Now().After(until) {
				w.dragons.Dragon(i).Clear()
				delete(sick, i)
			}
		}
		if i := random.IntN(count); len(sick) < count/20 {
			if _, already := sick[i]; !already {
				f := faults[random.IntN(len(faults))]
				w.dragons.Dragon(i).Inject(f.fault, f.options...)
				sick[i] = time.Now().Add(ill)
				back := sick[i].Add(ill)
				if f.fault == dragontest.WrongPassword {
					back = back.Add(passwordTriedAgain)
				}
				if back.After(backBy[i]) {
					backBy[i] = back
				}
			}
		}
		page := get(t, w.base+"/metrics")
		for i, d := range w.dragons.Dragons() {
			_, isSick := sick[i]
			healed := d.Writes()
			if isSick || time.Now().Before(backBy[i]) || len(healed) > 0 && d.Now().Sub(healed[len(healed)-1].At) < time.Hour {
				continue // or it is restarting
			}
			if worker := w.worker(i); !strings.Contains(page, "\ndragon_boards{worker=\""+worker+"\"} ") {
				t.Errorf("after %v %s is well and missing", time.Since(begun).Round(time.Second), worker)
			}
		}
		memory = append(memory, valueIn(t, page, "process_resident_memory_bytes")/1e6)
		goroutines = append(goroutines, valueIn(t, page, "go_goroutines"))
	}
	days := float64(time.Since(begun)) / float64(day)
	for i, d := range w.dragons.Dragons() {
		for e := range d.Traffic().Forbidden {
			t.Errorf("%s was asked for %s", w.worker(i), e)
		}
		if n := len(d.Writes()); float64(n) > 6*(days+1) {
			t.Errorf("%s: %d writes in %.1f days", w.worker(i), n, days)
		}
	}
	if n := len(w.writes()); float64(n) > 0.15*float64(count)*(days+1) {
		t.Errorf("%d writes in %.1f days", n, days)
	}
	for what, v := range map[string][]float64{"MB resident": memory, "goroutines": goroutines} {
		quarter := len(v) / 4
		first, last := median(v[quarter:2*quarter]), median(v[3*quarter:])
		t.Logf("%s: %.0f in the second quarter, %.0f in the last", what, first, last)
		if last > 1.25*first+20 {
			t.Errorf("%s grow: %.0f, then %.0f", what, first, last)
		}
	}
	t.Logf("%.1f days, %d pages, %d writes", days, len(memory), len(w.writes()))
	w.p.stop(t)
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
