package fleet

import (
	"math"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// pace is the speed of the dragons' clocks relative to ours. It differs from ours only for
// simulated dragons that live faster. Every comparison of a dragon's time with ours uses it.
// The nil pace is real time.
type pace struct {
	speed float64   // dragons' seconds in one of ours; more than 1
	start time.Time // of the fleet, by our clock

	mu    sync.Mutex
	ahead float64 // seconds that the dragons' common clock was ahead of ours at start
	known bool
}

// newPace returns the pace of dragons that live so many times faster.
func newPace(speed float64, start time.Time) *pace {
	if speed <= 1 {
		return nil
	}
	return &pace{speed: speed, start: start}
}

// ours is a stretch of the dragons' time by our clock.
func (p *pace) ours(d time.Duration) time.Duration {
	if p == nil {
		return d
	}
	return time.Duration(float64(d) / p.speed)
}

// theirs is a stretch of our time by the dragons' clock.
func (p *pace) theirs(d time.Duration) time.Duration {
	if p == nil {
		return d
	}
	return time.Duration(float64(d) * p.speed)
}

// offset returns by how many seconds a dragon's clock is ahead, given that it showed device at
// our time at.
//
// The start of a simulation is unknown here, so clocks are compared with the one among them
// that is nearest to ours. A simulation may also keep the time of day at our pace: the smaller
// offset counts.
func (p *pace) offset(device, at time.Time) float64 {
	plain := device.Sub(at).Seconds()
	if p == nil {
		return plain
	}
	ahead := device.Sub(p.start).Seconds() - at.Sub(p.start).Seconds()*p.speed
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known || math.Abs(ahead) < math.Abs(p.ahead) {
		p.ahead, p.known = ahead, true
	}
	if math.Abs(ahead-p.ahead) < math.Abs(plain) {
		return ahead - p.ahead
	}
	return plain
}

// Uptime is the age of the dragon's system in seconds at the time of the summary: the
// overview, which contains it, may be some minutes older.
func (r *Reading) Uptime() dragon.Number {
	if r.Summary == nil || r.Overview == nil {
		return dragon.Number{}
	}
	up, known := r.Overview.Uptime.Get()
	if !known {
		return dragon.Number{}
	}
	since := r.pace.theirs(max(0, r.Summary.At.Sub(r.Overview.At)))
	return dragon.Known(up + since.Truncate(time.Second).Seconds())
}

// ClockOffset is how many seconds the dragon's clock is ahead of ours. The device gives whole
// seconds.
func (r *Reading) ClockOffset() dragon.Number {
	if r.Summary == nil || r.Summary.DeviceTime.IsZero() || r.Summary.At.IsZero() {
		return dragon.Number{}
	}
	return dragon.Known(r.pace.offset(r.Summary.DeviceTime, r.Summary.At))
}

// Began returns when something started, by our clock, from its age in seconds in the summary;
// false where the age is unknown or impossible.
func (r *Reading) Began(age dragon.Number) (time.Time, bool) {
	return r.pace.began(age, r.Summary.At)
}

// began returns the start of something that was age seconds old at our time at.
func (p *pace) began(age dragon.Number, at time.Time) (time.Time, bool) {
	seconds, known := age.Get()
	if !known || at.IsZero() || !(seconds >= 0 && seconds < oldest.Seconds()) {
		return time.Time{}, false
	}
	return at.Add(-p.ours(time.Duration(seconds * float64(time.Second)))), true
}

// oldest is more than any age that a dragon reports.
const oldest = 10 * 365 * 24 * time.Hour

// tolerance is how far a computed start may move, by our clock, without a restart: answers
// take time, and the figures are coarse.
func (p *pace) tolerance(kind Restart) time.Duration {
	t := minerTolerance
	if kind == SystemRestart {
		t = bootTolerance
	}
	if p == nil {
		return t
	}
	return max(p.ours(t), time.Second) // an answer takes its time, however fast the dragon lives
}
