package farmtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Oracle judges a healer by what reached the dragons and by what was injected, with
// limits of its own: the numbers here are the specification's, written down a second
// time. Of the healer it sees what its store holds when something is sent, and, for
// recoveries and plans, what it says.
type Oracle struct {
	Failures   []string
	CheckStore bool // memory and store at every commit: I23
	CheckPlan  int  // the plan and what is done, in every so manieth cycle: I18; 0: never

	w       *World
	counts  map[string]int
	sent    []sent
	ids     map[string]bool
	epoch   int
	forced  map[string]bool
	well    []time.Duration // since when a dragon has shown nothing wrong; -1: it does
	wants   []time.Duration // since when a dragon could have been made as wished
	needs   []time.Duration // since when a dragon could have been acted on
	skew    time.Duration
	jump    time.Duration // of the wall clock, the last one; -1: none
	newest  time.Time     // the last wall time that a process of the healer has seen
	before  time.Time     // the same, of those before this one
	many    time.Duration // since when so many are sick that a storm is not over; longest: they are not
	starts  int
	unclean []time.Duration
	corrupt time.Duration // when the store was last begun anew; -1: never
	judged  map[string][]bool
	latched map[string]time.Duration
	lost    []time.Duration
	aborted map[string]time.Duration // rollouts of firmware, by actor
}

// sent is a write of the healer that reached a dragon, or was to.
type sent struct {
	Write
	reason healer.Reason
	rung   int
	want   int // the dragon that it was meant for
	judge  bool
	helped bool // it has looked well since
	gone   bool
}

const (
	poll = time.Minute
	day  = 24 * time.Hour
)

// NewOracle watches a healer.
func NewOracle(w *World, h *Healer) *Oracle {
	o := &Oracle{w: w, counts: make(map[string]int), ids: make(map[string]bool), forced: make(map[string]bool),
		well: make([]time.Duration, len(w.Dragons)), needs: make([]time.Duration, len(w.Dragons)), wants: make([]time.Duration, len(w.Dragons)),
		jump: -1, corrupt: -1, many: longest, judged: make(map[string][]bool), latched: make(map[string]time.Duration), aborted: make(map[string]time.Duration)}
	h.Watch = o
	return o
}

func (o *Oracle) planEvery() int {
	if o == nil {
		return 0
	}
	return o.CheckPlan
}

func (o *Oracle) fail(format string, args ...any) {
	if o == nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	invariant, _, _ := strings.Cut(text, " ")
	if o.counts[invariant]++; o.counts[invariant] <= 5 {
		o.Failures = append(o.Failures, stamp(o.w.Now)+" "+text)
	}
}

// Step looks at the farm after every step, and at what the healer says of it.
func (o *Oracle) Step(h *Healer) {
	w := o.w
	if d := (w.host.skew - o.skew).Abs(); d > 30*time.Second && h.Alive() && len(h.Starts) == o.starts {
		o.jump = w.Now
	}
	o.skew = w.host.skew
	if len(h.Starts) > o.starts {
		o.before, o.jump = o.newest, -1
		if o.starts > 0 {
			o.unclean = append(o.unclean, w.Now)
		}
		o.starts = len(h.Starts)
		if h.recovered > o.corrupt {
			o.corrupt, o.epoch = h.recovered, 0
			clear(o.judged) // what helped and what did not was lost with the store
			clear(o.latched)
			for _, d := range w.Dragons { // nor is it known any more what died of heat
				for _, f := range d.defects {
					f.told = false
				}
			}
		}
	}
	if wall := w.instant().Wall; h.Alive() {
		o.newest = wall
	}
	o.judge()
	sick := 0
	for _, d := range w.Dragons {
		if d.seenSick() {
			sick++
		}
	}
	switch {
	case 2*sick <= max(2, (len(w.Dragons)+4)/5):
		o.many = longest
	case o.many == longest:
		o.many = w.Now
	}
	for i, d := range w.Dragons {
		switch {
		case d.looksSick() || d.hot():
			o.well[i] = -1
		case o.well[i] < 0:
			o.well[i] = w.Now
		}
	}
	o.recoveries(h)
	o.silence(h)
	o.liveness(h)
	o.fulfilment(h)
}

// fulfilment: I22 for wishes. Where nothing speaks against it, and others show that it
// works, a dragon is made as wished within hours.
func (o *Oracle) fulfilment(h *Healer) {
	w := o.w
	if !slices.ContainsFunc(w.Dragons, func(d *Dragon) bool { return d.wish != nil }) {
		return
	}
	hard := o.hardTimes(h)
	for _, d := range w.Dragons {
		works := d.wish != nil && slices.ContainsFunc(w.Dragons, func(y *Dragon) bool {
			return y.wish != nil && y.wish.Key == d.wish.Key && y.right() && y.earns(d.wish) && y.phase == running
		})
		changed := slices.ContainsFunc(w.Writes, func(x Write) bool { // it has had its budget, or somebody else wants it so
			return x.N == d.N && (x.Actor == "stranger" || w.Now-x.At < 25*time.Hour)
		})
		if hard || !works || changed || d.right() || d.answer != "" || d.phase != running || h.taken[d.N] || w.forgets[d.N] > 0 || d.web != "" || !w.known(d) || o.flaps(d, w.Now) || d.Known != d.Address {
			o.wants[d.N] = w.Now
			continue
		}
		if w.Now-o.wants[d.N] > 2*time.Hour+time.Duration(len(w.Dragons))*10*time.Minute {
			o.fail("I22 d%d is not as wished, and nothing is done", d.N)
			o.wants[d.N] = w.Now + day
		}
	}
}

// seenSick reports whether something is wrong with the dragon, and can be seen.
func (d *Dragon) seenSick() bool {
	return len(d.wrong()) > 0 && d.world.known(d) && d.web == "" && d.world.forgets[d.N] == 0
}

// known reports whether a dragon's MAC is its own, and nobody else's: the others are
// in conflict, and count for nothing.
func (w *World) known(d *Dragon) bool {
	return d.Shown == d.MAC && !slices.ContainsFunc(w.Dragons, func(x *Dragon) bool { return x != d && x.Shown == d.MAC })
}

// hot reports whether heat is to be blamed for something.
func (d *Dragon) hot() bool {
	return slices.ContainsFunc(d.boards[:], func(b board) bool { return b.temp >= 85 }) || d.world.fan(d) >= 0.94
}

// committed is called after every commit of the healer's store.
func (o *Oracle) committed(h *Healer, stage string) {
	if o.CheckStore {
		if lacks := h.remembered(); lacks != "" {
			o.fail("I23 after %s %d: %s", stage, h.Commits, lacks)
		}
		if bytes.Contains(h.fleet, []byte(secret)) {
			o.fail("I24 the store knows the secret: %s", h.fleet)
		}
	}
}

// tells: I24. The audit holds no secret.
func (o *Oracle) tells(a *healer.Audit) {
	if text, err := json.Marshal(a); err != nil || bytes.Contains(text, []byte(secret)) {
		o.fail("I24 the audit tells the secret, or cannot be written: %s %v", text, err)
	}
}

// granted is called with a write that somebody else wants and the plan allows.
func (o *Oracle) granted(d *Dragon, r healer.Request, _ *healer.Decision) { o.forced[d.MAC] = r.Force }

func (o *Oracle) dragon(mac string) int {
	return slices.IndexFunc(o.w.Dragons, func(d *Dragon) bool { return d.MAC == mac })
}

// attempt is called with what the healer is about to do: what may not even be tried.
func (o *Oracle) attempt(_ *Healer, d *healer.Decision, _ string) {
	w := o.w
	what := fmt.Sprintf("%s of %s", d.Kind, d.Worker)
	for _, x := range w.Dragons {
		same := 0
		for _, y := range w.Dragons {
			// Who has taken another's MAC since the last poll cannot be known yet. The
			// owner is at its address all the same, and says so before it is written to.
			if y.Shown == x.Shown && (y.shownAt == 0 || len(y.Answered) > 0 && y.Answered[len(y.Answered)-1] >= y.shownAt) {
				same++
			}
		}
		if x.Shown == d.MAC && (same > 1 || strings.HasPrefix(x.Shown, "00:00:00")) {
			o.fail("I8 %s, whose MAC is not its own", what)
		}
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
	if x := w.Dragons[i]; !o.forced[d.MAC] && (len(x.Answered) == 0 || w.Now-x.Answered[len(x.Answered)-1] > 3*poll) {
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

// wishes: I12 for what is brought to the dragons by wish, before it is sent. The first that
// gets a wish has to show that it works before anybody else does; few get it at a time;
// who is as wished is left alone; and nobody is written to again and again.
func (o *Oracle) wishes(d *Dragon, x *Write) {
	w := o.w
	what := fmt.Sprintf("%s of %s as %s", x.ID, worker(d.MAC), x.Wish.Name)
	have := d.configured()
	if differs := x.Wish.Differences(&have); len(differs) != len(x.Items) {
		o.fail("I12 %s: %d items differ, %d are written", what, len(differs), len(x.Items))
	}
	pace, today, undone := 0, 0, 0
	tried, works := false, false
	for i := range o.sent {
		s := &o.sent[i]
		if s.Wish == nil {
			continue
		}
		age := w.Now - s.At
		if age < 10*time.Minute && !s.Undo {
			pace++
		}
		if s.want == d.N && age < day {
			if today++; s.Undo {
				undone++
			}
		}
		tried = tried || !s.Undo && s.Wish.Key == x.Wish.Key && s.want != d.N && s.N == s.want
	}
	for _, y := range w.Dragons {
		has := y.configured()
		works = works || y.wish != nil && y.wish.Key == x.Wish.Key && y.right() && y.earns(x.Wish) ||
			len(x.Wish.Pools) == 0 && len(x.Wish.Differences(&has)) == 0 && y.earns(x.Wish) // the healer's own, against heat
	}
	switch {
	case today >= 4 || !x.Undo && today-undone >= 2:
		o.fail("I12 %s is its configuration number %d within a day", what, today+1)
	case x.Undo:
	case pace >= max(2, len(w.Dragons)/20):
		o.fail("I12 %s is number %d within ten minutes", what, pace+1)
	case tried && !works && !o.retried(x):
		o.fail("I12 %s, though nobody works so yet", what)
	}
}

// retried reports whether the canaries so far could not be changed at all, or a human
// has said to go on.
func (o *Oracle) retried(x *Write) bool {
	if o.w.healer.acked > 0 {
		return true
	}
	for i := range o.sent {
		if s := &o.sent[i]; s.Wish != nil && s.Wish.Key == x.Wish.Key && !s.Undo && o.w.Dragons[s.want].answer == "" {
			return false
		}
	}
	return true
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

// ceilings: what holds whoever asks.
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
	if s.Wish != nil {
		return 20 * time.Second
	}
	if s.Kind == healer.Restart && (s.reason == healer.DeadBoard || s.reason == healer.Missing) {
		return 5 * time.Minute
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
		if o.w.Dragons[x.want].Switch == o.w.Dragons[s.want].Switch {
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
	hour, today, restarts, reboots, week, nowork := 0, 0, 0, 0, 0, 0
	last := sent{Write: Write{At: -day}}
	rollouts := 0
	for _, x := range o.sent {
		age := s.At - x.At
		if age < time.Hour && heals(x.Kind) {
			hour++
		}
		if age < day && heals(x.Kind) {
			today++
		}
		if last.At < x.At {
			last = x
		}
		if strings.HasPrefix(x.Actor, "rollout") && age < x.least() {
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
		if x.Actor == "healer" && s.Actor == "healer" && x.rung > 0 && age < []time.Duration{0, 30 * time.Minute, 30 * time.Minute, 2 * time.Hour, 8 * time.Hour}[min(x.rung, 4)] {
			o.fail("I2 %s comes %s after step %d", what, age, x.rung)
		}
	}
	if flight, domain := o.inFlight(s); flight >= max(p.Fleet.InFlightMin, min(10, n/50)) {
		o.fail("I1 %s: %d in flight already", what, flight)
	} else if size := (n + len(o.w.switches) - 1) / len(o.w.switches); domain >= p.Fleet.PerDomain && (size < 50 || domain >= 2*p.Fleet.PerDomain) {
		o.fail("I1 %s: %d in flight in %s", what, domain, o.w.domainNames[d.Switch])
	}
	if gap := s.At - last.At; gap < 24*time.Second {
		o.fail("I1 %s: %s after the last write", what, gap)
	}
	if hour >= max(2, part(0.03)) && heals(s.Kind) {
		o.fail("I1 %s is number %d within an hour", what, hour+1)
	}
	if today >= max(4, part(0.15)) && heals(s.Kind) {
		o.fail("I1 %s is number %d within a day", what, today+1)
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

// heals reports whether a write is one that may cure a dragon, and not one of a wish.
func heals(k healer.Kind) bool { return k == healer.Restart || k == healer.Reboot }

// footing: I9, I17. What the healer stands on.
func (o *Oracle) footing(h *Healer, d *Dragon, s *sent, what string) {
	w := o.w
	if h.Policy.External.Query != "" && (!w.host.external.Open || w.host.external.Err != "") {
		o.fail("I9 %s against the external gate", what)
	}
	if !w.host.synced && w.instant().Wall.Before(o.before) {
		o.fail("I9 %s with a clock that has gone back", what)
	}
	if o.jump >= 0 && s.At-o.jump < 10*time.Minute {
		o.fail("I9 %s %s after the clock jumped", what, s.At-o.jump)
	}
	up, least := s.At-h.Starts[len(h.Starts)-1], 15*time.Minute
	if s.Wish != nil {
		least = 5 * time.Minute
	}
	if up < least {
		o.fail("I6 %s %s after the healer started", what, up)
	}
	if o.corrupt >= 0 && o.corrupt > h.acked && s.At-o.corrupt < h.Policy.Breakers.RecoveredObserve {
		o.fail("I9 %s %s after the memory was lost", what, s.At-o.corrupt)
	}
	var recent int
	var newest time.Duration
	for i, t := range o.unclean {
		recent = 0
		for _, u := range o.unclean[:i+1] {
			if t-u < 30*time.Minute {
				recent++
			}
		}
		if recent > 3 {
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

// judgement: I7. Whom it may judge at all.
func (o *Oracle) judgement(d *Dragon, s *sent, what string) {
	if s.Wish != nil { // which judges nobody
		if up := s.At - d.bootBefore; up < 4*time.Minute {
			o.fail("I7 %s, which is up for %s", what, up)
		}
		return
	}
	if up := before(d, s.At); up < 14*time.Minute {
		o.fail("I7 %s, which is up for %s", what, up)
	}
	if s.At-d.seen < time.Hour {
		o.fail("I7 %s, which was first seen %s ago", what, s.At-d.seen)
	}
	if began := d.tunesSince(s.At); began > 2*poll+time.Minute && s.reason != healer.DeadBoard && s.reason != healer.Missing && s.reason != healer.TuningStuck {
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
	if s.Kind == healer.Reboot && s.Actor == "healer" && slices.ContainsFunc(d.justBefore, func(f *defect) bool { return f.told }) {
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
	run := 0
	last := s.At
	for i := len(d.Answered) - 1; i >= 0 && last-d.Answered[i] <= 3*poll; i-- {
		last = d.Answered[i]
		run++
	}
	if run < need {
		o.fail("I6 %s rests on %d samples in a row", what, run)
	}
	if d.lastRead != s.At {
		o.fail("I14 %s without another look", what)
	}
}

// useless: I10. What has not helped is not done for ever.
func (o *Oracle) useless(s *sent, what string) {
	key := fmt.Sprintf("%s/%s", s.Kind, s.reason)
	if at, ok := o.latched[key]; ok && at > o.w.healer.acked && s.At-at > 12*time.Hour {
		o.fail("I10 %s, which has not helped ten times", what)
	}
	recent := 0
	for _, at := range o.lost {
		if s.At-at < day-10*time.Minute && s.At > at+3*poll && at > o.w.healer.acked {
			recent++
		}
	}
	if recent >= 2 {
		o.fail("I10 %s after %d dragons were lost to actions", what, recent)
	}
}

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
		// What strikes it later, of whatever kind, is no fault of the action.
		s.helped = s.helped || d.phase == running && d.start > s.At && !d.looksSick()
		// What cannot be seen is judged when it can.
		due := s.At + 45*time.Minute + o.w.script.TuneMax
		if unseen := len(d.Answered) == 0 || d.Answered[len(d.Answered)-1] < due; o.w.Now < due || unseen && !d.gone {
			continue
		}
		s.judge = true
		key := fmt.Sprintf("%s/%s", s.Kind, s.reason)
		j := append(o.judged[key], s.helped)
		j = j[max(0, len(j)-10):]
		o.judged[key] = j
		good := 0
		for _, ok := range j {
			if ok {
				good++
			}
		}
		if _, done := o.latched[key]; len(j) == 10 && good < 2 && !done {
			o.latched[key] = o.w.Now
		}
	}
}

// recoveries: I15. A dragon that is well is not called sick.
func (o *Oracle) recoveries(h *Healer) {
	if h.Plan == nil || h.Plan.Wall != o.w.instant().Wall {
		return
	}
	for i := range h.Plan.Dragons {
		x := &h.Plan.Dragons[i]
		if x.State != healer.StateSick && x.State != healer.StateHeld {
			continue
		}
		n := o.dragon(x.MAC)
		if n < 0 {
			continue
		}
		d := o.w.Dragons[n]
		patience := 5 * poll
		switch x.Reason {
		case healer.LowHashrate, healer.MinHashrate, healer.Flatline:
			patience = 25 * time.Minute
		}
		if d.phase != running || d.at-d.start < 20*time.Minute || o.w.Now-o.well[n] <= patience || o.well[n] < 0 || d.tuned != 0 {
			continue
		}
		if len(d.Answered) < 6 || o.w.Now-d.Answered[len(d.Answered)-6] > 6*poll || !d.sees(0) {
			continue
		}
		o.fail("I15 %s is called %s for %s %s after it was well", x.Worker, x.State, x.Reason, o.w.Now-o.well[n])
	}
}

// liveness: I22. Where nothing speaks against it, a dragon that can be cured is acted
// on within two hours.
func (o *Oracle) liveness(h *Healer) {
	w := o.w
	sick, hard := 0, o.hardTimes(h)
	for _, d := range w.Dragons {
		if len(d.wrong()) > 0 || d.has("sensor") || d.has("tuning") || d.hot() {
			sick++
		}
	}
	n := len(w.Dragons)
	if 2*sick > max(2, (n+4)/5) || 2*sick > max(2, (n+9)/10) {
		hard = true
	}
	// What was meant to be sent is charged, too.
	hour, today := 0, 0
	for i := len(h.intents) - 1; i >= 0 && w.Now-h.intents[i] < day; i-- {
		if today++; w.Now-h.intents[i] < time.Hour {
			hour++
		}
	}
	if hour >= 2 || today >= max(4, (15*n+99)/100) {
		hard = true
	}
	// What is in flight is waited for, and that takes as long as tuning does.
	if i := len(o.sent) - 1; i >= 0 && w.Now-o.sent[i].At < 40*time.Minute+w.script.TuneMax {
		hard = true
	}
	for i, d := range w.Dragons {
		if hard || !o.actable(d) {
			o.needs[i] = w.Now
			continue
		}
		if w.Now-o.needs[i] > 2*time.Hour {
			o.fail("I22 d%d (%s) has %s, and nothing is done", i, worker(d.MAC), d.wrong()[0].kind)
			o.needs[i] = w.Now + day
		}
	}
}

// actable reports whether a dragon is one that should be acted on for the first time.
func (o *Oracle) actable(d *Dragon) bool {
	now := o.w.Now
	curable := slices.ContainsFunc(d.wrong(), func(f *defect) bool {
		// Of some it takes two others to tell that they are the dragon's own.
		return f.curable() && (f.kind != "nopool" && f.kind != "freeze" || len(o.w.Dragons) > 4)
	})
	if !curable || d.hot() || d.phase != running || d.web != "" || d.Shown != d.MAC || d.answer != "" || d.Known != d.Address || d.drag > 0 {
		return false
	}
	if now-d.boot < 20*time.Minute || now-d.start < 20*time.Minute || d.tuned != 0 || d.seen == never || now-d.seen < time.Hour || d.has("late") {
		return false
	}
	if slices.ContainsFunc(d.defects, func(f *defect) bool { return f.hot }) || o.w.healer.taken[d.N] {
		return false
	}
	if slices.ContainsFunc(o.w.Dragons, func(x *Dragon) bool { return x != d && x.Shown == d.MAC }) || o.w.forgets[d.N] > 0 {
		return false
	}
	for i := len(d.Restarts) - 1; i >= 0 && now-d.Restarts[i].At < 25*time.Hour; i-- {
		if d.Restarts[i].Why != "power" {
			return false
		}
	}
	// What was only intended is charged, and climbs the ladder.
	at, acted := o.w.healer.intended[d.MAC]
	return !acted || now-at > 7*day
}

// hardTimes reports whether something speaks against acting at all.
func (o *Oracle) hardTimes(h *Healer) bool {
	w := o.w
	now := w.Now
	if !h.Alive() || now-h.Starts[len(h.Starts)-1] < 20*time.Minute || h.Policy.Default.Mode != healer.Enforce {
		return true
	}
	if w.host.readonly > 0 || w.host.foreign > 0 || w.host.stop > 0 || w.gateway > 0 || w.host.skew != 0 || !w.host.synced || w.uplink > 0 ||
		o.jump >= 0 && now-o.jump < 20*time.Minute || !w.host.external.Open || w.host.external.Err != "" || len(h.Policy.Windows) > 0 {
		return true
	}
	if o.corrupt >= 0 && now-o.corrupt < 25*time.Hour || len(o.unclean) > 3 || len(o.lost) > 0 || len(o.latched) > 0 {
		return true
	}
	for _, x := range h.pauses {
		if now < x.to+time.Hour {
			return true
		}
	}
	for _, c := range w.Causes {
		if c.To > now-2*time.Hour {
			if c.Kind == "pool" && w.idleFor(c) {
				continue
			}
			return true
		}
	}
	struck := 0
	for _, d := range w.Dragons {
		for i := len(d.Restarts) - 1; i >= 0 && now-d.Restarts[i].At < 3*time.Hour; i-- {
			if y := d.Restarts[i].Why; y == "itself" || y == "stranger" {
				struck++
				break
			}
		}
		if d.phase == off || d.web != "" || d.Shown != d.MAC || w.forgets[d.N] > 0 {
			struck++
		}
	}
	return struck >= 2
}

// idleFor reports whether a pool outage strikes nobody: all have another pool.
func (w *World) idleFor(c *Cause) bool {
	return c.To == unending && !slices.ContainsFunc(w.Dragons, func(d *Dragon) bool { return !w.spared(d, c) })
}

// compare: I18. What the plan says is what is done, but for the sending.
func (o *Oracle) compare(planned, done *healer.Plan) {
	if len(planned.Dragons) != len(done.Dragons) {
		o.fail("I18 the plan has %d dragons, %d are decided about", len(planned.Dragons), len(done.Dragons))
		return
	}
	for i := range planned.Dragons {
		p, d := &planned.Dragons[i], &done.Dragons[i]
		verb := d.Verb
		if verb == healer.Act {
			verb = healer.WouldAct
		}
		if p.MAC != d.MAC || p.State != d.State || p.Verb != verb || p.Kind != d.Kind || p.Rung != d.Rung || p.Blocked != d.Blocked {
			o.fail("I18 planned %s %s %s/%d for %s, done %s %s %s/%d for %s", p.State, p.Verb, p.Kind, p.Rung, p.Worker, d.State, d.Verb, d.Kind, d.Rung, d.Worker)
		}
	}
}
