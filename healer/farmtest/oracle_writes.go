package farmtest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// attempt is called with what the healer is about to do: what may not even be tried.
func (o *Oracle) attempt(h *Healer, d *healer.Decision) {
	w := o.w
	what := fmt.Sprintf("%s of %s", d.Kind, d.Worker)
	o.conflicts(h)
	if at, twins := o.twins[d.MAC]; strings.HasPrefix(d.MAC, "00:00:00") || twins && w.Now-at < day {
		o.fail("I8 %s, whose MAC is not its own", what)
	}
	if w.host.readonly > 0 {
		o.fail("I9 %s while nothing can be written down", what)
	}
	if w.host.foreign > 0 {
		o.fail("I19 %s while another process holds the store", what)
	}
	if w.host.stop > 0 {
		o.fail("I17 %s in spite of the STOP file", what)
	}
	i := o.dragon(d.MAC)
	if i < 0 {
		return
	}
	x := w.Dragons[i]
	if !o.forced[d.MAC] && d.Reason != healer.NotMining && !w.replaced(x) && (len(x.Answered) == 0 || w.Now-x.Answered[len(x.Answered)-1] > 3*poll) {
		o.fail("I6 %s on samples that are too old", what)
	}
	for j := range o.sent {
		x := &o.sent[j]
		if x.want == i && w.Now-x.At < x.least() && x.N == i && !x.refused {
			o.fail("I1 %s, whose last write has no outcome yet", what)
		}
	}
}

// wrote is called after a write.
func (o *Oracle) wrote(h *Healer, decision *healer.Decision, a *healer.Action) {
	w := o.w
	write := w.Writes[len(w.Writes)-1]
	s := sent{Write: write, reason: a.Reason, rung: a.Rung, want: o.dragon(write.MAC)}
	what := fmt.Sprintf("%s %s of %s for %s", a.ID, a.Kind, decision.Worker, a.Reason)
	forced := o.forced[write.MAC] && a.Actor != "healer"
	if s.want < 0 {
		o.fail("I8 %s: there is no such dragon", what)
		return
	}
	d := w.Dragons[s.want]
	if w.replaced(d) { // what follows would be said of the wrong dragon
		o.ids[a.ID] = true
		return
	}
	if write.N != s.want {
		o.fail("I8 %s reached d%d instead of d%d", what, write.N, s.want)
	}
	o.intended(h, a, what)
	o.ceilings(d, &s, what)
	o.firmware(h, d, &s, decision.Sends(), what)
	if !forced {
		o.budgets(d, &s, what)
		o.footing(h, d, &s, what)
		o.causes(d, &s, what)
		o.judgement(d, &s, what)
	}
	if a.Actor == "healer" {
		o.evidence(d, &s, what)
		o.useless(&s, what)
	}
	o.sent = append(o.sent, s)
	o.needs[s.want] = w.Now
}

// intended: I5, I19. The store held the intent, without a result, before the write.
func (o *Oracle) intended(h *Healer, a *healer.Action, what string) {
	if o.ids[a.ID] {
		o.fail("I5 %s was sent before", what)
	}
	o.ids[a.ID] = true
	var record healer.Record
	if err := json.Unmarshal(h.dragons[o.w.Writes[len(o.w.Writes)-1].MAC], &record); err != nil {
		o.fail("I5 %s: the store holds no such dragon: %v", what, err)
		return
	}
	i := slices.IndexFunc(record.Actions, func(x healer.Action) bool { return x.ID == a.ID })
	if i < 0 || record.Actions[i].Result != healer.Pending {
		o.fail("I5 %s was not written down before it was sent", what)
	}
	if record.Quarantine != nil && !o.forced[record.Who.MAC] {
		o.fail("I2 %s, which is quarantined", what)
	}
	epoch, _, _ := strings.Cut(a.ID, "-")
	if n, err := strconv.Atoi(epoch); err != nil || n < o.epoch {
		o.fail("I19 %s comes from an epoch that is over", what)
	} else {
		o.epoch = n
	}
}

// ceilings: the limits that hold for every actor.
func (o *Oracle) ceilings(d *Dragon, s *sent, what string) {
	reboots := 0
	for _, x := range o.sent {
		if x.want != d.N {
			continue
		}
		if s.At-x.At < 10*time.Minute {
			o.fail("I1 %s comes %s after the last write to it", what, s.At-x.At)
		}
		if x.Kind == healer.Reboot && s.At-x.At < day {
			reboots++
		}
	}
	if s.Kind == healer.Reboot && reboots >= 6 {
		o.fail("I2 %s is its %dth reboot in 24h", what, reboots+1)
	}
	n := len(o.w.Dragons)
	if flight, _ := o.inFlight(s); flight >= max(1, n/10) {
		o.fail("I1 %s: %d of %d in flight", what, flight, n)
	}
}

// least is the time in which a write cannot have been verified.
func (s *sent) least() time.Duration {
	if s.Desired != nil {
		return 20 * time.Second
	}
	if s.Kind == healer.Restart && (s.reason == healer.DeadBoard || s.reason == healer.Missing) {
		return 5 * time.Minute
	}
	if s.Kind == healer.Restart && s.reason == healer.NotMining {
		return 10 * time.Minute
	}
	if s.Kind == healer.Upgrade {
		return 10 * time.Minute // until all boards have worked for so long
	}
	return 15 * time.Minute
}

// inFlight counts the writes that cannot have been verified yet.
func (o *Oracle) inFlight(s *sent) (fleet, domain int) {
	for i := range o.sent {
		x := &o.sent[i]
		if s.At-x.At >= x.least() || x.want != x.N || x.refused {
			continue
		}
		fleet++
		if o.w.domain(o.w.Dragons[x.want]) == o.w.domain(o.w.Dragons[s.want]) {
			domain++
		}
	}
	return fleet, domain
}

// budgets: I1 and I2, policy's own limits.
func (o *Oracle) budgets(d *Dragon, s *sent, what string) {
	n := len(o.w.Dragons)
	p := &o.w.healer.Policy
	part := func(r float64) int { return int(math.Ceil(r*float64(n) - 1e-9)) }
	hour, restarts, reboots, week, nowork := 0, 0, 0, 0, 0
	treated := make(map[int]bool) // within a day
	last := sent{Write: Write{At: -day}}
	rollouts := 0
	for _, x := range o.sent {
		age := s.At - x.At
		if age < time.Hour && heals(x.Kind) {
			hour++
		}
		if age < day && heals(x.Kind) {
			treated[x.want] = true
		}
		if last.At < x.At {
			last = x
		}
		if strings.HasPrefix(x.Actor, "rollout") && age < x.least() && !x.refused {
			rollouts++
		}
		if x.want != d.N {
			continue
		}
		if age < p.Default.Device.MinGap && !s.Undo {
			o.fail("I1 %s comes %s after the last write to it", what, age)
		}
		switch {
		case x.Kind == healer.Restart && age < day:
			restarts++
		case x.Kind == healer.Reboot && age < day:
			reboots++
			week++
		case x.Kind == healer.Reboot && age < 7*day:
			week++
		}
		if x.reason == s.reason && age < 6*time.Hour {
			nowork++
		}
		hold := []time.Duration{0, 30 * time.Minute, 30 * time.Minute, 2 * time.Hour, 8 * time.Hour}[min(x.rung, 4)]
		if x.Actor == "healer" && s.Actor == "healer" && x.rung > 0 && x.At > d.released && age < hold {
			o.fail("I2 %s comes %s after step %d", what, age, x.rung)
		}
	}
	if flight, domain := o.inFlight(s); flight >= max(p.Fleet.InFlightMin, min(100, n/50)) {
		o.fail("I1 %s: %d in flight already", what, flight)
	} else if size := o.w.domainSize(d); domain >= p.Fleet.PerDomain && (size < 50 || domain >= 2*p.Fleet.PerDomain) {
		o.fail("I1 %s: %d in flight in %s", what, domain, o.w.domain(d))
	}
	inHour := max(2, part(0.03))
	if gap := s.At - last.At; gap < min(24*time.Second, time.Duration(0.8*float64(time.Hour)/float64(inHour))) {
		o.fail("I1 %s: %s after the last write", what, gap)
	}
	if hour >= inHour && heals(s.Kind) {
		o.fail("I1 %s is number %d within an hour", what, hour+1)
	}
	at, asked := o.asked[d.N]
	if today := len(treated); !treated[d.N] && (!asked || s.At-at >= day) && today >= max(4, part(0.15)) && heals(s.Kind) {
		o.fail("I1 %s is the treatment of dragon number %d within a day", what, today+1)
	}
	if s.Kind == healer.Restart && restarts >= 3 {
		o.fail("I2 %s is its restart number %d in 24h", what, restarts+1)
	}
	if s.Kind == healer.Reboot && (reboots >= 3 || week >= 6) {
		o.fail("I2 %s is its reboot number %d in 24h, %d in 7d", what, reboots+1, week+1)
	}
	switch s.reason {
	case healer.NoWorkLocal, healer.DeadHot, healer.BogusTemp, healer.TuningStuck:
		if s.Kind != healer.Restart {
			o.fail("I2 %s climbs", what)
		}
		if nowork > 0 {
			o.fail("I2 %s again within 6h", what)
		}
	}
	if strings.HasPrefix(s.Actor, "rollout") && rollouts >= max(1, max(p.Fleet.InFlightMin, n/50)/2) {
		o.fail("I1 %s: rollouts take more than half of the slots", what)
	}
}

// heals reports whether a write is one that may cure a dragon, and not a configuration.
func heals(k healer.Kind) bool { return k == healer.Restart || k == healer.Reboot }

// conflicts notes which MACs more than one dragon tells. Who has taken another's since the
// last poll cannot be known yet; the owner is at its address all the same, and says so
// before it is written to. And who tells the MAC of one that is not listed is that one,
// as far as anybody can know.
func (o *Oracle) conflicts(h *Healer) {
	if !o.current(h) || !slices.ContainsFunc(o.w.Dragons, func(d *Dragon) bool { return d.Shown != d.MAC }) {
		return
	}
	told := make(map[string]int)
	for _, d := range o.w.Dragons {
		if o.w.forgets[d.N] == 0 && len(d.Answered) > 0 && d.Answered[len(d.Answered)-1] >= d.shownAt {
			told[d.Shown]++
		}
	}
	for mac, n := range told {
		if n > 1 {
			o.twins[mac] = o.w.Now
		}
	}
}
