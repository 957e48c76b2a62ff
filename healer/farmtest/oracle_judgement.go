package farmtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// footing: I9, I17. What the healer stands on.
func (o *Oracle) footing(h *Healer, d *Dragon, s *sent, what string) {
	w := o.w
	e, p := &w.host.external, &h.Policy.External
	closed := !e.Open
	if e.Err != "" {
		closed = p.OnError != "allow" || s.Kind == healer.Upgrade // firmware can wait
	}
	if p.Query != "" && closed {
		o.fail("I9 %s against the external gate", what)
	}
	if !w.host.synced && w.instant().Wall.Before(o.before.Add(-30*time.Minute)) { // it is written down so often
		o.fail("I9 %s with a clock that has gone back", what)
	}
	if o.jump >= 0 && s.At-o.jump < 10*time.Minute {
		o.fail("I9 %s %s after the clock jumped", what, s.At-o.jump)
	}
	up, least := s.At-h.Starts[len(h.Starts)-1], 15*time.Minute
	if s.Desired != nil {
		least = 5 * time.Minute
	}
	if up < least {
		o.fail("I6 %s %s after the healer started", what, up)
	}
	if o.corrupt >= 0 && o.corrupt > h.acked && s.At-o.corrupt < h.Policy.Breakers.RecoveredObserve {
		o.fail("I9 %s %s after the memory was lost", what, s.At-o.corrupt)
	}
	var newest time.Duration
	for i, t := range o.unclean {
		if howMany(o.unclean[:i+1], func(u time.Duration) bool { return t-u < 30*time.Minute }) > 3 {
			newest = t
		}
	}
	if newest > h.acked && s.At-newest < 6*time.Hour {
		o.fail("I9 %s in a crash loop", what)
	}
	if len(h.Policy.Windows) > 0 && !slices.ContainsFunc(h.Policy.Windows, func(x healer.Window) bool { return x.Open(w.instant().Wall) }) {
		o.fail("I17 %s outside the windows", what)
	}
	for _, x := range h.pauses {
		if x.from >= s.At || s.At >= x.to || x.request.Scope == "domain" && w.script.Unnamed {
			continue
		}
		if r := x.request; r.Scope == "fleet" || r.Value == d.MAC || r.Value == w.domainNames[d.Switch] || r.Value == w.script.Model || r.Scope == "pool" {
			o.fail("I17 %s in spite of %s %s", what, r.Kind, r.Scope)
		}
	}
}

// judgement: I7. Which dragons may be judged at all.
func (o *Oracle) judgement(d *Dragon, s *sent, what string) {
	if s.Desired != nil { // a configuration is not a judgement
		if up := s.At - d.bootBefore; up < 4*time.Minute {
			o.fail("I7 %s, which is up for %s", what, up)
		}
		return
	}
	if up := s.At - d.bootBefore; up < 14*time.Minute {
		o.fail("I7 %s, which is up for %s", what, up)
	}
	if s.At-d.seen < time.Hour {
		o.fail("I7 %s, which was first seen %s ago", what, s.At-d.seen)
	}
	if began := d.tunesSince(s.At); began > 2*poll+time.Minute && began < 6*time.Hour &&
		s.reason != healer.DeadBoard && s.reason != healer.Missing && s.reason != healer.TuningStuck && s.reason != healer.NotMining {
		o.fail("I7 %s, which tunes", what)
	}
	if s.reason == healer.TuningStuck && !d.had("tuning") && d.tunesSince(s.At) < 6*time.Hour {
		o.fail("I7 %s, which is not stuck in tuning", what)
	}
	for _, x := range o.sent {
		if x.want == d.N && (x.Kind == healer.Configure || x.Kind == healer.Upgrade) && s.At-x.At < 30*time.Minute {
			o.fail("I7 %s %s after its configuration changed", what, s.At-x.At)
		}
	}
	if s.reason == healer.DeadHot {
		for _, f := range d.justBefore {
			if f.hot && s.At-f.since < 59*time.Minute {
				o.fail("I7 %s %s after it died of heat", what, s.At-f.since)
			}
		}
	}
	// Where no process runs, it is not the heat that is rebooted for.
	if s.Kind == healer.Reboot && s.Actor == "healer" && s.reason != healer.NotMining &&
		slices.ContainsFunc(d.justBefore, func(f *defect) bool { return f.told }) {
		o.fail("I7 %s, which suffers from heat", what)
	}
}

// evidence: I6, I14. What an action of the ladder rests on.
func (o *Oracle) evidence(d *Dragon, s *sent, what string) {
	need := 3
	switch s.reason {
	case healer.DeadBoard, healer.Missing, healer.BogusTemp:
		need = 8
	case healer.LowHashrate, healer.MinHashrate:
		need = 24
	case healer.NoWorkLocal:
		need = 12
	}
	gap := 3 * poll
	if d.web() == "sluggish" { // it is asked half as often
		gap *= 2
	}
	run := 0
	last := s.At
	for i := len(d.Answered) - 1; i >= 0 && last-d.Answered[i] <= gap; i-- {
		last = d.Answered[i]
		run++
	}
	if run < need && s.reason != healer.NotMining { // which is about answers without a sample
		o.fail("I6 %s rests on %d samples in a row", what, run)
	}
	if d.lastRead != s.At {
		o.fail("I14 %s without another look", what)
	}
}

// useless: I10. A step of the ladder that has not helped is skipped, but for a probe in
// twenty or a week; and actions that lose dragons are not gone on with.
func (o *Oracle) useless(s *sent, what string) {
	if at, ok := o.latched[s.step()]; ok && at > o.w.healer.acked && s.At-at > 12*time.Hour {
		probes, others := 0, 0
		for i := range o.sent {
			switch x := &o.sent[i]; {
			case x.At <= at+12*time.Hour || x.Actor != "healer" || x.reason != s.reason:
			case x.step() == s.step():
				probes++
			default:
				others++
			}
		}
		tried := at - time.Hour - 45*time.Minute - o.w.script.TuneMax // at the latest: see judge
		if probes >= int((s.At-tried)/(7*day))+others/19 {
			o.fail("I10 %s, a step that has not helped ten times", what)
		}
	}
	o.harm(s, what)
}

// harm: I10. Two dragons lost to actions within a day, and a tenth of the last twenty
// writes, are too many.
func (o *Oracle) harm(s *sent, what string) {
	recent := howMany(o.lost, func(at time.Duration) bool {
		return s.At-at < day-10*time.Minute && s.At > at+3*poll && at > o.w.healer.acked
	})
	today := howMany(o.sent, func(x sent) bool { return s.At-x.At < day })
	last := o.sent[max(0, len(o.sent)-20):]
	gone := howMany(last, func(x sent) bool { return x.gone })
	if recent >= max(2, (today+199)/200) && 10*gone >= len(last) {
		o.fail("I10 %s after %d dragons were lost to actions", what, recent)
	}
}

// step names a step of the ladder: its rung, and what it is meant to cure.
func (s *sent) step() string { return fmt.Sprintf("%s/%d/%s", s.Kind, s.rung, s.reason) }

// judge follows what became of the writes.
func (o *Oracle) judge() {
	for i := range o.sent {
		s := &o.sent[i]
		d := o.w.Dragons[s.want]
		age := o.w.Now - s.At
		if !s.gone && d.gone && d.goneAt == s.At && s.N == s.want && age >= 16*time.Minute {
			s.gone = true
			o.lost = append(o.lost, o.w.Now)
		}
		if s.judge || s.refused || s.Actor != "healer" {
			continue
		}
		// What strikes it later, of whatever kind, is not a fault of the action.
		s.helped = s.helped || d.phase == running && d.start > s.At && d.cured(s.reason)
		// An outcome that cannot be seen is judged when it can be. A failure seen over an hour late does not count.
		due := s.At + 45*time.Minute + o.w.script.TuneMax
		unseen := !s.gone && !s.helped && (len(d.Answered) == 0 || d.Answered[len(d.Answered)-1] < due)
		if o.w.Now < due || unseen && o.w.Now < due+time.Hour {
			continue
		}
		s.judge = true
		if unseen {
			continue
		}
		key := s.step()
		j := append(o.judged[key], s.helped)
		j = j[max(0, len(j)-10):]
		o.judged[key] = j
		good := howMany(j, func(ok bool) bool { return ok })
		switch _, done := o.latched[key]; {
		case good >= 2:
			delete(o.latched, key)
		case len(j) == 10 && !done:
			o.latched[key] = o.w.Now
		}
	}
}
