package farmtest

import (
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// causes: I3. The oracle knows what the dragons suffer from.
func (o *Oracle) causes(d *Dragon, s *sent, what string) {
	w := o.w
	n := len(w.Dragons)
	for _, c := range w.Causes {
		// A second wave is part of the first, as long as that is held.
		if strings.HasSuffix(c.Kind, "mass") && o.many < c.From-2*poll {
			continue
		}
		hit := 0
		for i, m := range c.Members {
			if x := w.Dragons[i]; m && w.known(x) && (c.Kind != "pool" || x.web == "" && x.phase == running && w.forgets[i] == 0 && w.switches[x.Switch] == 0) {
				hit++
			}
		}
		var detect, after time.Duration
		everybody := false
		switch c.Kind {
		case "pool":
			detect, after = 7*time.Minute, 14*time.Minute
			if hit < max(2, (3*n+9)/10) {
				continue
			}
		case "switch":
			detect, after = 5*time.Minute, 23*time.Minute
			if hit < 3 {
				continue
			}
		case "isolation":
			detect, after, everybody = time.Minute, 14*time.Minute, true
		case "power":
			detect, after, everybody = 5*time.Minute, 44*time.Minute, true
			if hit < max(3, (n+4)/5) {
				continue
			}
		case "schema":
			detect, after = 5*time.Minute, 14*time.Minute
		case "domain-mass":
			detect = 13 * time.Minute
			sick := 0
			for _, x := range w.Dragons {
				if c.Members[x.N] && x.seenSick() {
					sick++
				}
			}
			if 10*sick < 3*hit {
				continue
			}
		case "mass":
			sick := 0
			for _, x := range w.Dragons {
				if x.seenSick() {
					sick++
				}
			}
			if c.Name != "dead" && c.Name != "missing" || sick < max(2, (n+4)/5) {
				continue
			}
			detect, everybody = 13*time.Minute, true
		}
		if c.Kind == "pool" && w.spared(d, c) || c.Kind == "pool" && s.Wish != nil && w.movedOff(s.Wish, c) {
			continue
		}
		// What is over before it can be seen is nothing; boots are seen afterwards, too.
		if c.Kind != "power" && c.To-c.From < detect || !everybody && !c.Members[d.N] {
			continue
		}
		if up := w.healer.Starts[len(w.healer.Starts)-1]; up > c.From { // it has not seen it begin
			continue
		}
		if s.At >= c.From+detect && (c.To == unending || s.At < c.To+after) {
			o.fail("I3 %s during %s %s, or shortly after", what, c.Kind, c.Name)
		}
	}
	o.strangers(s, what)
}

// movedOff reports whether a wish has another pool than the one that is down, or was.
func (w *World) movedOff(wish *healer.Wish, c *Cause) bool {
	return c.Name != "all" && slices.ContainsFunc(wish.Pools, func(p dragon.PoolConfig) bool { return p.URL != c.Name })
}

// spared reports whether a dragon works for another pool than the one that is down, or
// was.
func (w *World) spared(d *Dragon, c *Cause) bool {
	i := d.pool()
	if i < 0 || w.pools[i].idle > 0 {
		return false
	}
	return w.Now < c.To || c.Name != "all" && c.Name != w.pools[i].url
}

// strangers: I3 for restarts that the healer did not cause.
func (o *Oracle) strangers(s *sent, what string) {
	w := o.w
	if w.healer.Starts[len(w.healer.Starts)-1] > s.At-90*time.Minute {
		return
	}
	for _, c := range w.Causes {
		if c.Kind == "power" && c.To > s.At-2*time.Hour {
			return
		}
	}
	struck, newest := 0, time.Duration(0)
	for _, d := range w.Dragons {
		recent, last := 0, time.Duration(-1)
		for _, r := range d.Restarts {
			if r.Why != "itself" && r.Why != "stranger" || !r.shown {
				continue
			}
			if age := s.At - r.At; age < 55*time.Minute && age > 12*time.Minute && !o.writtenTo(d.N, r.At) {
				recent++
			}
			last = r.At
		}
		if recent > 0 && (!o.flaps(d, s.At) || o.together(last)) {
			struck++
			newest = max(newest, last)
		}
		if d.N == s.want && o.flaps(d, s.At) && s.At-last < 23*time.Hour {
			o.fail("I3 %s, which restarts by itself", what)
		}
	}
	// So many at once cannot be told from a power cut.
	if struck >= (len(w.Dragons)+4)/5 && s.At-newest >= 44*time.Minute {
		return
	}
	if struck >= max(3, (2*len(w.Dragons)+99)/100) && w.healer.acked < s.At-time.Hour {
		o.fail("I3 %s while somebody else restarts dragons (%d of them)", what, struck)
	}
}

func (o *Oracle) writtenTo(n int, at time.Duration) bool {
	return slices.ContainsFunc(o.sent, func(x sent) bool { return x.want == n && at-x.At < 20*time.Minute && x.At-at < 5*time.Minute })
}

// flaps reports whether a dragon has restarted three times in an hour by itself, or
// six times in a day, within the last 24 hours, each time seen by the healer.
func (o *Oracle) flaps(d *Dragon, now time.Duration) bool {
	var times []time.Duration
	for _, r := range d.Restarts {
		if (r.Why == "itself" || r.Why == "stranger") && r.shown && now-r.At < day && now-r.At > 12*time.Minute && !o.writtenTo(d.N, r.At) && !(r.System && o.together(r.At)) &&
			(len(times) == 0 || r.At-times[len(times)-1] > 8*time.Minute) {
			times = append(times, r.At)
		}
	}
	for i := range times {
		if i >= 5 || i >= 2 && times[i]-times[i-2] < 50*time.Minute {
			return true
		}
	}
	return false
}

// together reports whether so many restarted at a time that it cannot be told from a
// power cut.
func (o *Oracle) together(at time.Duration) bool {
	n := 0
	for _, d := range o.w.Dragons {
		if slices.ContainsFunc(d.Restarts, func(r Restart) bool { return (r.At - at).Abs() < 5*time.Minute }) {
			n++
		}
	}
	return n >= max(3, (len(o.w.Dragons)+4)/5)
}
