package healer

import (
	"math"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// State is where a dragon stands.
type State string

// The states. Held is Sick with a closed gate; everything else is remembered.
const (
	StateNew         State = "new"
	StateObserving   State = "observing" // healthy so far, and not watched long enough to be touched
	StateHealthy     State = "healthy"
	StateSuspect     State = "suspect"
	StateSick        State = "sick"
	StateHeld        State = "held"
	StateActing      State = "acting"    // a write is out, the dragon's clock does not show it yet
	StateSettling    State = "settling"  // the write took effect, the verdict is out
	StateProbation   State = "probation" // recovered, for now
	StateMaintenance State = "maintenance"
	StateFlapping    State = "flapping"
	StateUnreachable State = "unreachable"
	StateLost        State = "lost"
	StateQuarantined State = "quarantined"
	StateConflict    State = "conflict"
)

// States are all states, in the order in which they are shown.
var States = []State{
	StateNew, StateObserving, StateHealthy, StateSuspect, StateSick, StateHeld, StateActing, StateSettling, StateProbation,
	StateMaintenance, StateFlapping, StateUnreachable, StateLost, StateQuarantined, StateConflict,
}

const (
	bootTolerance   = 3 * time.Minute  // an uptime is told in minutes, and carried forward
	bootDrift       = 90 * time.Second // followed without being taken for a reboot
	sendSlack       = time.Minute      // of a start against the intent, for the same reason
	restartsKept    = 7 * 24 * time.Hour
	restartsMost    = 64 // of them; more change nothing
	actionsKept     = 30 * 24 * time.Hour
	seenGranularity = time.Hour
	tunesKept       = 50
)

// ingest takes what the view says of a dragon into its record and its running evidence.
func (c *cycle) ingest(s *subject) {
	if s.conflict {
		return
	}
	w, f := s.w, s.f
	again := w.facts != nil && w.foldedAt == c.now // a question about what has been folded in
	w.facts, w.foldedAt = f, c.now
	switch {
	case f.Status.silent() && again:
	case f.Status.silent():
		if w.misses++; w.misses == 1 {
			w.silent = c.now
		}
		w.heard = 0
	case f.Status == Reached || f.Status == AuthFailed || f.Status == BadResponse:
		w.misses, w.silent, w.ok = 0, 0, c.now
		if w.heard == 0 {
			w.heard = c.now
		}
		if s.r.LastSeen == 0 || c.now.Since(s.r.LastSeen) >= seenGranularity {
			s.r.LastSeen = c.now
			c.m.chill(f.MAC)
		}
	}
	s.silent = w.misses >= 2
	if f.Status != Absent && f.Who != s.r.Who {
		s.r.Who = f.Who
		c.m.touch(f.MAC)
	}
	c.sample(s)
}

// every is the time between two samples of a dragon.
func (c *cycle) every(s *subject) time.Duration { return c.p.Poll * time.Duration(max(1, s.f.Pace)) }

// gap is the time without a sample after which evidence starts again: more than three of
// its polls. One that is asked half as often needs as many samples as any other, and
// twice the time to give them.
func (c *cycle) gap(s *subject) time.Duration { return gapPolls * c.every(s) }

// sample folds in a reading, if it is a new one and can be evidence.
func (c *cycle) sample(s *subject) {
	w, f := s.w, s.f
	if !f.HasSample {
		if f.Status == Reached || f.Status == BadResponse {
			w.stale++
			w.invalid = f.Status == BadResponse
		}
		c.bare(s)
		return
	}
	at := c.m.run.time.at(f.At)
	if w.seen && at < w.at.Add(c.p.Poll/2) || c.now.Since(at) > c.gap(s) {
		return
	}
	if w.invalid = !f.valid(); w.invalid {
		w.stale++
		return
	}
	// If the clock of the miner process stands still, it repeats an old answer.
	if e, ok := f.Elapsed.Get(); ok && w.seen && w.elapsed == dragon.Known(e) {
		w.stale++
		return
	}
	if w.seen && at.Since(w.at) > c.gap(s) {
		w.forgetEvidence(s.untreated())
	}
	c.restarted(s, at)
	c.tuning(s, at)
	w.seen, w.at, w.elapsed, w.stale = true, at, f.Elapsed, 0
	w.samples++
	s.fresh = true
	c.watched(s)
	w.trackTemperature(f, at, &s.p.Heat)
	w.work(f, at)
	w.measure(f, at)
	c.deadHot(s, at)
}

// bare folds in an answer of a dragon whose miner process does not answer. It says
// that, and how long the system is up.
func (c *cycle) bare(s *subject) {
	w, f := s.w, s.f
	if f.Status != Reached {
		return
	}
	at := c.m.run.time.at(f.At)
	if w.bare != 0 && at < w.bare.Add(c.p.Poll/2) || c.now.Since(at) > c.gap(s) {
		return
	}
	if last := max(w.at, w.bare); w.seen && at.Since(last) > c.gap(s) {
		w.forgetEvidence(s.untreated())
	}
	c.restarted(s, at)
	w.bare = at
	w.rate, w.rates = dragon.Known(0), nil
	w.samples++
	c.watched(s)
	s.answered = true
}

// watched counts an answer of a dragon that is new.
func (c *cycle) watched(s *subject) {
	if s.r.Samples < c.p.NewSamples {
		s.r.Samples++
		c.m.chill(s.f.MAC)
	}
}

// untreated reports whether a dragon is sick, and no action on it is open.
func (s *subject) untreated() bool { return s.r.SickSince != 0 && s.r.open() == nil }

// restarted looks whether the dragon, or its miner process, has started again.
func (c *cycle) restarted(s *subject, at Moment) {
	w, f := s.w, s.f
	var seen *RestartSeen
	if up, ok := f.Uptime.Get(); ok {
		boot := at.Add(-seconds(up))
		moved := time.Duration(boot - s.r.Boot)
		switch {
		case s.r.Boot != 0 && moved > bootTolerance:
			seen = &RestartSeen{At: boot, System: true}
			fallthrough
		case s.r.Boot == 0 || moved.Abs() > bootDrift:
			s.r.Boot = boot
			c.m.touch(f.MAC)
		}
	}
	now, ok := f.Elapsed.Get()
	before, knew := w.elapsed.Get()
	minerAnew := w.seen && ok && knew && now < before-1
	if seen == nil && minerAnew {
		seen = &RestartSeen{At: at.Add(-seconds(now))}
	}
	if seen == nil {
		return
	}
	w.forgetEvidence(s.untreated())
	seen.Cause = c.causeOf(s, seen)
	if seen.Cause != CauseTuning {
		w.tuning, w.tuned = false, 0 // if it tunes, it has begun again
	}
	s.r.Restarts = append(s.r.Restarts, *seen)
	old := max(0, len(s.r.Restarts)-restartsMost)
	for old < len(s.r.Restarts)-1 && c.now.Since(s.r.Restarts[old].At) > restartsKept {
		old++
	}
	s.r.Restarts = slices.Delete(s.r.Restarts, 0, old)
	c.m.touch(f.MAC)
	c.out.Restarts = append(c.out.Restarts, Restarted{f.MAC, f.Worker, *seen})
}

// causeOf tells our own restarts, and the one at the end of tuning, from those that
// have no known cause.
func (c *cycle) causeOf(s *subject, seen *RestartSeen) Cause {
	for i := len(s.r.Actions) - 1; i >= 0; i-- {
		a := &s.r.Actions[i]
		within := s.p.Ladder.LostAfter
		if a.Kind == Upgrade {
			within = c.p.Firmware.Uploading + c.p.Firmware.Rebooting
		}
		if !a.Result.NotExecuted() && seen.At >= a.At.Add(-sendSlack) && seen.At <= a.At.Add(within) {
			return CauseHealer
		}
	}
	if !seen.System && s.w.tuning && s.f.Tuning == dragon.Known(0) {
		return CauseTuning
	}
	if s.maintenance {
		return CauseAnnounced
	}
	// Who reboots a dragon does not leave it off before.
	if seen.System && s.w.seen && seen.At.Since(s.w.at) > c.p.Causes.BootSpan && c.m.breaker("domain", s.f.Domain) != nil {
		return CauseFleet
	}
	return CauseUnknown
}

// tuning follows the autotuner, and learns how long it takes where it saw it begin.
func (c *cycle) tuning(s *subject, at Moment) {
	w := s.w
	v, ok := s.f.Tuning.Get()
	if !ok {
		return
	}
	switch on := v != 0; {
	case on && !w.tuning:
		w.tuning, w.tuned, w.tuneKnew = true, at, w.seen
	case !on && w.tuning:
		// A tuning that got stuck, and was ended by a restart at last, is not a measure.
		if w.tuneKnew && at.Since(w.tuned) <= s.p.Grace.TuningMax {
			t := append(c.m.Fleet.Tunes[s.f.Model], math.Round(at.Since(w.tuned).Seconds()))
			c.m.Fleet.Tunes[s.f.Model] = t[max(0, len(t)-tunesKept):]
			c.m.TouchFleet()
		}
		w.tuning, w.tuned = false, 0
	}
}

// deadHot remembers the boards that died of heat until they are alive again.
func (c *cycle) deadHot(s *subject, at Moment) {
	for i := range s.f.Boards {
		b := &s.f.Boards[i]
		known := slices.Contains(s.r.DeadHot, b.Slot)
		bw := s.w.board(b.Slot, at)
		switch {
		case b.dead() && !known && bw.hot != 0 && at.Since(bw.hot) <= heatMemory:
			s.r.DeadHot = append(s.r.DeadHot, b.Slot)
			c.m.touch(s.f.MAC)
		case known && b.Status == "Alive":
			s.r.DeadHot = slices.DeleteFunc(s.r.DeadHot, func(slot int) bool { return slot == b.Slot })
			c.m.touch(s.f.MAC)
		}
	}
}

// flapping counts the restarts that nothing explains.
func (c *cycle) flapping(s *subject) {
	hour, day := 0, 0
	var newest Moment
	for _, x := range s.r.Restarts {
		if x.Cause != CauseUnknown {
			continue
		}
		newest = max(newest, x.At)
		if c.now.Since(x.At) < 24*time.Hour {
			day++
		}
		if c.now.Since(x.At) < time.Hour {
			hour++
		}
	}
	d := &s.p.Device
	flapping := s.r.Flapping
	if hour >= d.Flapping1h || day >= d.Flapping24h || flapping != 0 && newest > flapping {
		flapping = newest
	}
	if flapping != 0 && c.now.Since(flapping) >= d.FlappingStable {
		flapping = 0
	}
	if flapping != s.r.Flapping {
		s.r.Flapping = flapping
		c.m.touch(s.f.MAC)
	}
}

// transition finds the state of a dragon. The first that fits holds.
func (c *cycle) transition(s *subject) {
	r, w := s.r, s.w
	if s.conflict {
		r.State = StateConflict
		return
	}
	if r.Lost != 0 && s.fresh {
		c.m.unharmed(r.Lost)
		if a := r.last(func(a *Action) bool { return a.Outcome == LostOutcome }); a != nil && a.Ended == r.Lost {
			c.learnBoot(s, a)
		}
		r.Lost, r.Observe, r.Samples = 0, c.now, 0
		c.m.touch(r.Who.MAC)
		c.m.chill(r.Who.MAC)
	}
	c.flapping(s)
	c.quarantined(s)
	sick, clean := s.sick(), s.fresh && !w.doubtful()
	state := StateHealthy
	switch open := r.open(); {
	case s.maintenance:
		state = StateMaintenance
	case r.Quarantine != nil:
		state = StateQuarantined
	case r.Lost != 0:
		state = StateLost
	case open != nil && open.Proof == 0:
		state = StateActing
	case open != nil:
		state = StateSettling
	case c.unreadableReason(s) != "":
		state = StateUnreachable
	case r.Flapping != 0:
		state = StateFlapping
	case sick:
		state = StateSick
	case r.State == StateProbation && (!clean || c.now.Since(r.Since) < s.p.Ladder.Probation):
		state = StateProbation
	case s.suspect >= 0:
		state = StateSuspect
	case c.young(s):
		state = StateObserving
		if r.State == StateNew && !s.fresh {
			state = StateNew
		}
	}
	c.enter(s, state)
}

// enter moves a dragon to a state, and keeps what depends on the change.
func (c *cycle) enter(s *subject, state State) {
	r := s.r
	from := r.State
	reason := c.reason(s, state)
	if state == StateSick || state == StateHeld {
		if r.SickSince == 0 {
			r.SickSince = c.now
			c.m.touch(r.Who.MAC)
		}
		a := r.last(func(a *Action) bool { return a.Outcome != Open })
		if from == StateProbation && a != nil && a.Outcome == Recovered && a.heals() && !s.otherFault(a) {
			c.relapse(s, a)
		}
		if r.Rung != 0 && s.sick() && c.climbedLongAgo(s) {
			r.Rung, r.Refused = 0, 0
			c.m.touch(r.Who.MAC)
		}
		r.CleanAt = 0
	}
	if state == StateHealthy && r.Costly != 0 { // the next fault is another one
		r.Costly = 0
		c.m.touch(r.Who.MAC)
	}
	if state == StateHealthy || state == StateObserving {
		if r.SickSince != 0 {
			r.SickSince = 0
			c.m.touch(r.Who.MAC)
		}
		if r.CleanAt == 0 {
			r.CleanAt = c.now
			c.m.touch(r.Who.MAC)
		}
		if r.Rung != 0 && c.now.Since(r.CleanAt) >= s.p.Ladder.ForgetAfter {
			r.Rung, r.Refused = 0, 0
			c.m.touch(r.Who.MAC)
		}
	}
	if from == state && r.Reason == reason {
		return
	}
	if from != state {
		r.Since = c.now
	}
	r.State, r.Reason = state, reason
	c.m.touch(r.Who.MAC)
}

// climbedLongAgo reports whether the last step of a ladder that a sick dragon has climbed helped, as long ago
// as a well dragon keeps its place. A fault that must not climb may last for months, and keeps no place.
func (c *cycle) climbedLongAgo(s *subject) bool {
	last := s.r.last(func(a *Action) bool {
		d := detectorOf(a.Reason)
		return a.Actor == HealerActor && a.Rung > 0 && d != nil && d.maxRung > 1
	})
	return last != nil && last.Outcome == Recovered && c.now.Since(last.Ended) >= s.p.Ladder.ForgetAfter && detectors[s.fired].maxRung > 1
}

// reason is what a state is about.
func (c *cycle) reason(s *subject, state State) Reason {
	if a := s.r.open(); a != nil && (state == StateActing || state == StateSettling) {
		return a.Reason
	}
	switch {
	case state == StateUnreachable:
		return c.unreadableReason(s)
	case state == StateQuarantined, state == StateLost, state == StateMaintenance, state == StateFlapping, state == StateSick:
		if s.fired >= 0 {
			return detectors[s.fired].reason
		}
		return ""
	case s.suspect >= 0 && state != StateObserving:
		return detectors[s.suspect].reason
	case s.fired >= 0: // heat, which only alerts
		return detectors[s.fired].reason
	}
	return ""
}

// unreadableReason says why nothing is known of a dragon; empty: something is. One failed
// attempt does not make it unreadable.
func (c *cycle) unreadableReason(s *subject) Reason {
	switch {
	case s.silent:
		return NotReachable
	case s.f.Status == AuthFailed:
		return NoLogin
	case s.w.stale >= gapPolls && s.w.invalid:
		return Schema
	case s.w.stale >= gapPolls && !(s.fired >= 0 && detectors[s.fired].bare):
		return NotMining
	}
	return ""
}

// young reports whether the dragon has not been watched long enough to be touched.
func (c *cycle) young(s *subject) bool {
	return c.now.Since(s.r.Observe) < c.p.NewObserve || s.r.Samples < c.p.NewSamples || c.starting(s, c.p.StartObserve, c.p.StartSamples)
}

// starting reports whether the healer has not been up for long enough, or has too few samples of
// the dragon since.
func (c *cycle) starting(s *subject, least time.Duration, samples int) bool {
	return c.m.run.time.alive < least || s.w.samples < samples
}

// quarantined releases a dragon that has been well for long enough by itself.
func (c *cycle) quarantined(s *subject) {
	q := s.r.Quarantine
	if q == nil {
		return
	}
	switch {
	case s.w.doubtful() || c.unreadableReason(s) != "" || s.r.Flapping != 0:
		if q.Clean != 0 {
			q.Clean = 0
			c.m.touch(s.f.MAC)
		}
	case !s.fresh:
	case q.Clean == 0:
		q.Clean = c.now
		c.m.touch(s.f.MAC)
	case c.now.Since(q.Clean) >= s.p.Ladder.ReleaseAt && c.firmlyHealthy(s):
		c.m.release(s.r, c.now)
		c.audit(s, Release, "well by itself for "+ShortDuration(s.p.Ladder.ReleaseAt))
	}
}

// firmlyHealthy reports whether the detectors have judged the dragon, and found
// nothing: without evidence a quarantine does not end.
func (c *cycle) firmlyHealthy(s *subject) bool {
	return slices.ContainsFunc(s.w.evidence, func(e evidence) bool { return e.goodRun() >= goodInARow })
}

func (c *cycle) quarantine(s *subject, by, reason string) {
	s.r.Quarantine = &Mark{By: by, Reason: reason, At: c.now, Wall: c.m.run.time.wall(c.now)}
	c.enter(s, StateQuarantined)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
