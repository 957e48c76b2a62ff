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
	for _, c := range o.w.Causes {
		if o.holds(c, d, s) {
			o.fail("I3 %s during %s %s, or shortly after", what, c.Kind, c.Name)
		}
	}
	o.strangers(s, what)
}

// extent is how a common cause looks to the healer: how long it takes to be seen, how
// long it is held afterwards, and whether it holds the whole fleet or its members only.
type extent struct {
	detect, after time.Duration
	everybody     bool
}

// massHold is how long nothing is done about a mass of sick dragons: five minutes until the
// first of them is seen, whatever it has, and half an hour more.
const massHold = 35 * time.Minute

// holds reports whether a common cause forbids a write.
func (o *Oracle) holds(c *Cause, d *Dragon, s *sent) bool {
	w := o.w
	// A second wave is part of the first, as long as that is held.
	if strings.HasSuffix(c.Kind, "mass") && o.many < c.From-2*poll {
		return false
	}
	// A dragon whose miner process is dead has no pool, as far as anybody can see.
	x, big := o.extent(c, d, s)
	if !big || c.Kind == "pool" && (s.reason == "not_mining" || d.had("process") || w.spared(d, c) || s.Desired != nil && w.movedOff(s.Desired, c)) {
		return false
	}
	// What is over before it can be seen is nothing; boots are seen afterwards, too.
	if c.Kind != "power" && c.To-c.From < x.detect || !x.everybody && !c.Members[d.N] {
		return false
	}
	if up := w.healer.Starts[len(w.healer.Starts)-1]; up > c.From { // it has not seen it begin
		return false
	}
	if strings.HasSuffix(c.Kind, "mass") && s.At-c.From >= massHold { // slow mode: with no cause to be found, they may be broken
		return false
	}
	if !x.everybody && s.At-o.began(c) >= day { // slow mode, so that a cause without an end holds its members no longer
		return false
	}
	from := c.From
	if c.Kind == "pool" { // before, another pool had work for it
		from = max(from, o.served[d.N])
	}
	return s.At >= from+x.detect && (c.To == unending || s.At < c.To+x.after)
}

// began is when a cause began, or one of the same kind that it came upon, or that had been
// over for a few hours only.
func (o *Oracle) began(c *Cause) time.Duration {
	from := c.From
	for _, x := range slices.Backward(o.w.Causes) { // which are in their order of time
		if x.Kind == c.Kind && x.Name == c.Name && x.From < from && x.To >= from-6*time.Hour {
			from = x.From
		}
	}
	if d := o.drifting[c.Name]; c.Kind == "schema" && d != nil {
		from = min(from, d.since)
	}
	if d := o.dark[c.Name]; c.Kind == "switch" && d != nil {
		from = min(from, d.since)
	}
	if c.Kind == "pool" {
		from = min(from, o.idle.since)
	}
	return from
}

// extent also reports whether the cause is big enough for the healer to see it.
func (o *Oracle) extent(c *Cause, d *Dragon, s *sent) (x extent, big bool) {
	w := o.w
	n, hit, sick := len(w.Dragons), 0, 0
	for i, y := range w.Dragons {
		if c.Members[i] && w.known(y) && !y.contested() && (c.Kind != "power" || y.understood() && y.web() != "timeless" && y.showsCut(c.From)) &&
			(c.Kind != "pool" || y.web() == "" && y.phase == running && !y.stopped && w.forgets[i] == 0 && w.switches[y.Switch] == 0) {
			hit++
		}
		if y.seenSick() && !o.aside[i] {
			sick++
		}
	}
	switch c.Kind {
	case "pool":
		return extent{7 * time.Minute, 14 * time.Minute, false}, hit >= max(2, (3*n+9)/10)
	case "switch":
		if c.Members[d.N] && o.cut[w.domain(d)].lasted(c, s.At) {
			return extent{5 * time.Minute, 23 * time.Minute, false}, true
		}
		return extent{5 * time.Minute, 14 * time.Minute, true}, o.cutoff.lasted(c, s.At) // S4: the healer may be cut off
	case "isolation":
		return extent{time.Minute, 14 * time.Minute, true}, true
	case "power":
		return extent{5 * time.Minute, 44 * time.Minute, true}, hit >= max(3, (n+4)/5)
	case "schema":
		return extent{5 * time.Minute, 14 * time.Minute, false}, o.drifted(c.Name, s.At)
	case "domain-mass":
		sick, size := 0, 0
		for i, y := range w.Dragons {
			if w.domain(y) == w.domain(d) && !o.aside[i] {
				if size++; c.Members[i] && y.seenSick() {
					sick++
				}
			}
		}
		return extent{detect: 13 * time.Minute}, sick >= max(3, (3*size+9)/10)
	case "mass":
		return extent{13 * time.Minute, 0, true}, (c.Name == "dead" || c.Name == "missing") && sick >= max(2, (n+4)/5)
	}
	return extent{}, false
}

// showsCut reports whether the boot after a power cut has been seen of a dragon, and looked at.
func (d *Dragon) showsCut(since time.Duration) bool {
	return slices.ContainsFunc(d.Restarts, func(r Restart) bool {
		return r.Why == "power" && r.At >= since && r.shown && d.at-r.seen >= 2*poll
	})
}

// drift is how long something has been so for many.
type drift struct {
	since     time.Duration // with gaps of a few hours at most
	big, last time.Duration // without a gap
}

// goesOn notes that it is so now.
func (x *drift) goesOn(now time.Duration) {
	if now-x.last > 2*poll {
		x.big = now
	}
	x.last = now
}

// lasted reports whether it was so for some minutes before the end of a cause, or until now.
func (x *drift) lasted(c *Cause, now time.Duration) bool {
	end := min(now, c.To)
	return x != nil && x.last >= end-2*poll && end-x.big >= 5*time.Minute
}

// drifts notes for which firmware that is so now, whatever has brought it about: a write
// changes that, and so does the end of what was injected.
func (o *Oracle) drifts() {
	w := o.w
	if !w.webbed {
		return
	}
	bad, size := make(map[string]int), make(map[string]int)
	for _, y := range w.Dragons {
		if y.readable() {
			if size[y.told]++; y.reach() == healer.BadResponse || y.web() == "renamed" && y.phase == running && !y.stopped {
				bad[y.told]++
			}
		}
	}
	for version, n := range bad {
		if n < max(2, (size[version]+4)/5) {
			continue
		}
		d := o.drifting[version]
		if d == nil {
			d = &drift{since: w.Now, big: w.Now}
			o.drifting[version] = d
		}
		if w.Now-d.last > 6*time.Hour {
			d.since = w.Now
		}
		d.goesOn(w.Now)
	}
	for _, c := range w.Causes {
		for i := range c.Members {
			if c.Kind == "schema" { // another firmware may have come to it
				c.Members[i] = w.Dragons[i].told == c.Name
			}
		}
	}
}

// darken notes behind which switches many dragons are out of reach, whatever has brought it about.
func (o *Oracle) darken() {
	w := o.w
	if !w.webbed {
		return
	}
	away, size := make([]int, w.script.Switches), make([]int, w.script.Switches)
	for i, y := range w.Dragons {
		if w.known(y) && w.forgets[i] == 0 {
			if size[y.Switch]++; y.reach() != healer.Reached && !y.readable() {
				away[y.Switch]++
			}
		}
	}
	for i, n := range away {
		if n < max(3, (3*size[i]+9)/10) {
			continue
		}
		name := w.domainNames[i]
		if d := o.dark[name]; d == nil || w.Now-d.last > reopens {
			o.dark[name] = &drift{since: w.Now}
		}
		o.dark[name].last = w.Now
	}
}

// silences notes which domains have lost so many dragons at a time that it shows, and whether
// most of the farm is out of reach. A dragon that is not listed was lost when it no longer
// was; one whose MAC is contested counts for nothing.
func (o *Oracle) silences() {
	w := o.w
	lost, size, silent := make(map[string][]time.Duration), make(map[string]int), 0
	for i, d := range w.Dragons {
		name, r := w.domain(d), d.reach()
		size[name]++
		if d.contested() || w.forgets[i] == 0 && r != healer.Unreachable && r != healer.Timeout {
			o.mute[i] = longest
			continue
		}
		o.mute[i] = min(o.mute[i], w.Now)
		if w.Now-o.mute[i] < day-time.Hour && d.seen != never && o.mute[i] > o.corrupt {
			silent++
			lost[name] = append(lost[name], o.mute[i])
		}
	}
	if 2*silent > len(w.Dragons) {
		o.cutoff.goesOn(w.Now)
	}
	for name, since := range lost {
		limit := max(3, (3*size[name]+9)/10)
		slices.Sort(since)
		for i := limit - 1; i < len(since); i++ {
			if since[i]-since[i-limit+1] <= 2*poll {
				if o.cut[name] == nil {
					o.cut[name] = &drift{last: never}
				}
				o.cut[name].goesOn(w.Now)
				break
			}
		}
	}
}

// drifted reports whether a firmware made no sense for some minutes, a short time ago.
func (o *Oracle) drifted(version string, at time.Duration) bool {
	d := o.drifting[version]
	return d != nil && d.last-d.big >= 5*time.Minute && at-d.last < 14*time.Minute
}

// movedOff reports whether a desired state has another pool than the one that is down, or was.
func (w *World) movedOff(want *healer.DesiredState, c *Cause) bool {
	return c.Name != "all" && slices.ContainsFunc(want.Pools, func(p dragon.PoolConfig) bool { return p.URL != c.Name })
}

// spared reports whether a dragon works for another pool than the one that is down, or
// was.
func (w *World) spared(d *Dragon, c *Cause) bool {
	i := w.serving(d)
	return i >= 0 && (w.Now < c.To || c.Name != "all" && c.Name != w.pools[i].url)
}

// serving is the pool that has work for a dragon, if only the dragon takes it; -1: none.
func (w *World) serving(d *Dragon) int {
	lost := d.nopool
	d.nopool = false // that one is its own
	i := d.pool()
	d.nopool = lost
	if i >= 0 && w.pools[i].idle > 0 {
		return -1
	}
	return i
}

// serve notes which dragons a pool has work for, and since when so many are seen to take none
// that their pool looks idle: those with a fault of their own are among them.
func (o *Oracle) serve() {
	idle, n := 0, 0
	for i, d := range o.w.Dragons {
		works := o.w.serving(d) >= 0
		if works {
			o.served[i] = o.w.Now
		}
		if d.readable() && d.understood() && !d.stopped && !d.contested() {
			if n++; !works || d.freeze || d.nopool {
				idle++
			}
		}
	}
	if idle < max(2, (3*n+9)/10) {
		return
	}
	if o.w.Now-o.idle.last > reopens {
		o.idle.since = o.w.Now
	}
	o.idle.last = o.w.Now
}

// reopens is how soon a cause that comes again is the same one: six hours after its hold, which
// lasts for the boots and 25 minutes more.
const reopens = 6*time.Hour + 40*time.Minute

// strangers: I3 for restarts that the healer did not cause. They hold those that were
// restarted. Those of dragons that share a MAC cannot be told, and those in maintenance are announced.
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
	struck, newest, itself := 0, time.Duration(0), false
	for _, d := range w.Dragons {
		recent, last := 0, time.Duration(-1)
		for _, r := range d.Restarts {
			if r.Why != "itself" && r.Why != "stranger" || !r.shown || r.excused || d.contested() || r.At < o.corrupt {
				continue
			}
			if age := s.At - r.At; age < 55*time.Minute && age > 12*time.Minute && !o.writtenTo(d.N, r.At) {
				recent++
			}
			last = r.At
		}
		if recent > 0 && (!o.flaps(d, s.At) || o.together(last)) {
			struck++
			newest, itself = max(newest, last), itself || d.N == s.want
		}
		if d.N == s.want && o.flaps(d, s.At) && s.At-last < 23*time.Hour {
			o.fail("I3 %s, which restarts by itself", what)
		}
	}
	// So many at once cannot be told from a power cut.
	if struck >= (len(w.Dragons)+4)/5 && s.At-newest >= 44*time.Minute {
		return
	}
	if itself && struck >= max(3, (2*len(w.Dragons)+99)/100) && w.healer.acked < s.At-time.Hour {
		o.fail("I3 %s while a stranger restarts dragons (%d of them)", what, struck)
	}
}

func (o *Oracle) writtenTo(n int, at time.Duration) bool {
	return slices.ContainsFunc(o.sent, func(x sent) bool { return x.want == n && at-x.At < 20*time.Minute && x.At-at < 5*time.Minute })
}

// flaps reports whether a dragon has restarted three times in an hour by itself, or
// six times in a day, within the last 24 hours, each time seen by the healer. What was
// before the store was lost, or before a human released it, does not count.
func (o *Oracle) flaps(d *Dragon, now time.Duration) bool {
	var times, seen []time.Duration
	for _, r := range d.Restarts {
		if (r.Why == "itself" || r.Why == "stranger") && r.shown && r.At > max(o.corrupt, d.released) &&
			now-r.At < day && now-r.At > 12*time.Minute && !o.writtenTo(d.N, r.At) && !(r.System && o.together(r.At)) && !r.tuning && !r.excused &&
			(len(times) == 0 || r.At-times[len(times)-1] > 8*time.Minute) {
			times, seen = append(times, r.At), append(seen, r.seen)
		}
	}
	for i := range times {
		if i >= 5 || i >= 2 && seen[i]-times[i-2] < 50*time.Minute {
			return true
		}
	}
	return false
}

// together reports whether so many restarted at a time that it cannot be told from a
// power cut.
func (o *Oracle) together(at time.Duration) bool {
	n := howMany(o.w.Dragons, func(d *Dragon) bool {
		return slices.ContainsFunc(d.Restarts, func(r Restart) bool { return (r.At - at).Abs() < 5*time.Minute })
	})
	return n >= max(3, (len(o.w.Dragons)+4)/5)
}
