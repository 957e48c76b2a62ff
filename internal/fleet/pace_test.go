package fleet

import (
	"math"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// A dragon that lives sixty times faster restarts, tunes and tells the time like others.
func TestSimulatedDragonsAreComparedByTheirOwnPace(t *testing.T) {
	for _, speed := range []float64{1, 60, 600} {
		inHall(t, Config{Speed: speed}, func(h *hall) {
			clock := dragontest.SpedUp(speed)
			lives := func(d time.Duration) { time.Sleep(time.Duration(float64(d) / speed)) }
			lives(10 * time.Minute) // the dragons are older than the program
			d, sim := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1, Now: clock, Speed: speed})
			fast, _ := h.dragon("10.1.0.9", dragontest.Spec{Seed: 2, Now: clock, Speed: speed, ClockOffset: 7 * time.Hour})
			want := func(when string, miner, system uint64) {
				h.Helper()
				for range 3 {
					r := h.read(d)
					if offset := r.ClockOffset().Or(math.NaN()); !(math.Abs(offset) <= speed) {
						h.Errorf("speed %g, %s: the clock is off by %g s", speed, when, offset)
					}
					truth := sim.Truth()
					if up := truth.At.Sub(truth.BootedAt).Seconds(); math.Abs(r.Uptime().Or(-1)-up) > 61+speed {
						h.Errorf("speed %g, %s: up %g s, want %g", speed, when, r.Uptime().Or(-1), up)
					}
					lives(20 * time.Second)
				}
				if r := d.Health().Restarts; r.Miner.Unknown != miner || r.System.Unknown != system {
					h.Errorf("speed %g, %s: %+v, want %d of the miner and %d of the system", speed, when, r, miner, system)
				}
			}
			want("at first", 0, 0)
			if offset := h.read(fast).ClockOffset().Or(0); math.Abs(offset-7*3600) > speed {
				h.Errorf("speed %g: the fast clock is off by %g s", speed, offset)
			}
			lives(10 * time.Minute)
			sim.RestartMiner()
			lives(5 * time.Minute)
			want("after a restart of the miner", 1, 0)
			lives(30 * time.Minute)
			want("after tuning", 1, 0)
			sim.Reboot()
			lives(10 * time.Minute)
			want("after a reboot", 1, 1)
			lives(30 * time.Minute)
			want("after tuning", 1, 1)
		})
	}
}

// A simulation may count the dragons' lives faster and leave their time of day alone.
func TestSimulatedDragonsMayTellOurTimeOfDay(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	p := newPace(60, noon)
	for _, after := range []time.Duration{0, time.Minute, 24 * time.Hour} {
		at := noon.Add(after)
		if got := p.offset(at.Truncate(time.Second), at); got != 0 {
			t.Errorf("after %v: off by %g s", after, got)
		}
	}
}

func TestImpossibleAgesHaveNoStart(t *testing.T) {
	var p *pace
	for _, age := range []dragon.Number{{}, dragon.Known(-1), dragon.Known(math.NaN()), dragon.Known(math.Inf(1)), dragon.Known(1e12)} {
		if began, known := p.began(age, time.Now()); known {
			t.Errorf("%v: began at %v", age, began)
		}
	}
	if _, known := p.began(dragon.Known(1), time.Time{}); known {
		t.Error("a beginning that was told at no time")
	}
}
