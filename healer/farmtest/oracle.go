package farmtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

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

	w        *World
	counts   map[string]int
	sent     []sent
	ids      map[string]bool
	epoch    int
	forced   map[string]bool
	asked    map[int]time.Duration // when a person forced something last, by dragon: it is charged, sent or not
	well     []time.Duration       // since when a dragon has shown nothing wrong; -1: it does
	wants    []time.Duration       // since when a dragon could have been brought in sync
	needs    []time.Duration       // since when a dragon could have been acted on
	skew     time.Duration
	jump     time.Duration // of the wall clock, the last one; -1: none
	newest   time.Time     // the last wall time that a process of the healer has seen
	before   time.Time     // the same, of those before this one
	many     time.Duration // since when so many are sick that a storm is not over; longest: they are not
	stormed  time.Duration // when they last were
	starts   int
	unclean  []time.Duration
	corrupt  time.Duration // when the store last started empty; -1: never
	judged   map[string][]bool
	latched  map[string]time.Duration
	lost     []time.Duration
	aborted  map[string]time.Duration      // rollouts, by actor
	twins    map[string]time.Duration      // when more than one dragon told a MAC last
	aside    []bool                        // dragons in quarantine
	served   []time.Duration               // when a pool last had work for each dragon
	loose    []time.Duration               // how long a sick dragon has been neither treated nor explained
	drifting map[string]*drift             // by firmware
	idle     drift                         // many dragons that take no work
	dark     map[string]*drift             // many dragons of a switch that are out of reach
	mute     []time.Duration               // since when nothing is heard of each dragon; longest: something is
	cut      map[string]*drift             // domains that have lost many dragons at a time
	cutoff   drift                         // most of the farm is out of reach
	unlisted time.Duration                 // when many dragons were last not listed
	proven   map[string]time.Duration      // desired states that have worked, by key
	excused  []time.Duration               // when something last spoke against treating it
	held     [][len(passing)]time.Duration // when those gates were last open for it
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
	o := &Oracle{w: w, counts: make(map[string]int), ids: make(map[string]bool), forced: make(map[string]bool), asked: make(map[int]time.Duration),
		well: make([]time.Duration, len(w.Dragons)), needs: make([]time.Duration, len(w.Dragons)), wants: make([]time.Duration, len(w.Dragons)),
		twins: make(map[string]time.Duration), aside: make([]bool, len(w.Dragons)), served: make([]time.Duration, len(w.Dragons)),
		held:  make([][len(passing)]time.Duration, len(w.Dragons)),
		loose: make([]time.Duration, len(w.Dragons)), excused: slices.Repeat([]time.Duration{never}, len(w.Dragons)),
		mute: slices.Repeat([]time.Duration{longest}, len(w.Dragons)), cut: make(map[string]*drift), cutoff: drift{last: never},
		drifting: make(map[string]*drift), dark: make(map[string]*drift), proven: make(map[string]time.Duration),
		idle: drift{last: never}, unlisted: never, stormed: never, jump: -1, corrupt: -1, many: longest, judged: make(map[string][]bool),
		latched: make(map[string]time.Duration), aborted: make(map[string]time.Duration)}
	h.Watch = o
	return o
}

func (o *Oracle) fail(format string, args ...any) {
	if o == nil { // another caretaker runs the script
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
			o.corrupt, o.epoch, o.before = h.recovered, 0, time.Time{}
			clear(o.judged) // what helped and what did not was lost with the store
			clear(o.latched)
			clear(o.twins)
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
	o.prove()
	o.drifts()
	o.darken()
	o.silences()
	o.serve()
	sick, gone := 0, 0
	o.conflicts(h)
	o.quarantined(h)
	for i, d := range w.Dragons {
		if w.forgets[i] > 0 {
			gone++
		}
		if d.looksSick() && d.visible() && !o.aside[i] { // whatever of: any sick dragon may begin a storm
			sick++
		}
	}
	if 10*gone >= 3*len(w.Dragons) {
		o.unlisted = w.Now
	}
	switch {
	case 2*sick > max(2, (len(w.Dragons)+4)/5):
		o.stormed = w.Now
		o.many = min(o.many, w.Now)
	case w.Now-o.stormed >= time.Hour: // a storm ends with a calm, and with trials
		o.many = longest
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
	o.everyWaitEnds(h)
}

// quarantined notes which dragons are in quarantine: they are not part of a mass.
func (o *Oracle) quarantined(h *Healer) {
	if !o.current(h) {
		return
	}
	clear(o.aside)
	for i := range h.Plan.Dragons {
		if x := &h.Plan.Dragons[i]; x.State == healer.StateQuarantined {
			if n := o.dragon(x.MAC); n >= 0 {
				o.aside[n] = true
			}
		}
	}
	for n := range h.taken { // every quarantine ends after a day of health
		if well := o.well[n]; !o.aside[n] && well >= 0 && o.w.Now-well >= day-time.Hour {
			delete(h.taken, n)
		}
	}
}

// current reports whether the healer has decided in this step.
func (o *Oracle) current(h *Healer) bool {
	return h.Plan != nil && h.Plan.Wall.Equal(o.w.instant().Wall)
}

// committed is called after every commit of the healer's store.
func (o *Oracle) committed(h *Healer, stage string) {
	// What is not stored stays so, and is found some cycles later as well.
	if o.CheckStore && (stage != "cycle" || h.Commits%3 == 0) {
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

// granted is called with a write that someone else wants and the plan allows.
func (o *Oracle) granted(r healer.Request) {
	if o.forced[r.MAC] = r.Force; r.Force {
		o.asked[o.dragon(r.MAC)] = o.w.Now
	}
}

// howMany is the number of those that fit.
func howMany[T any](list []T, fits func(T) bool) int {
	n := 0
	for _, x := range list {
		if fits(x) {
			n++
		}
	}
	return n
}

// dragon is the number of the dragon that a MAC belongs to; -1: none.
func (o *Oracle) dragon(mac string) int {
	if n, ok := o.w.byMAC[mac]; ok {
		return n
	}
	return -1
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
