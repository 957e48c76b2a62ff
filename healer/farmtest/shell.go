package farmtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Keeper looks after the farm; it is called after every step.
type Keeper interface{ Tick(*World) }

// NoHealer leaves a farm alone.
type NoHealer struct{}

// Tick does nothing.
func (NoHealer) Tick(*World) {}

// Healer is a stand-in for the process around healer.Decide: it commits what must be
// remembered, and carries decisions out in the order intent, identity, send, result.
type Healer struct {
	Policy healer.Policy
	Plan   *healer.Plan
	Audit  []string
	// KillAt kills the process right after this commit of its store, KillBefore right before
	// it, so that it is lost; 0: never.
	KillAt, KillBefore int
	Commits            int
	Stages             []string // what each commit was for
	Stood              []string // and how far the rollouts were then
	Starts             []time.Duration
	// Trust leaves the identity unproved before a send, to show that someone notices.
	Trust bool
	// Watch is called with what the healer is about to do and has done.
	Watch *Oracle

	world   *World
	view    *healer.View // that the plan rests on
	mem     *healer.Memory
	fleet   []byte
	dragons map[string][]byte
	cold    map[string][]byte

	down    time.Duration // how long the next death lasts
	until   time.Duration // dead
	killAt  string        // the stage of the next death
	corrupt bool          // the store, when it is opened next
	older   bool          // the same: it was put back from a backup
	epoch   int           // the newest one, which the audit log keeps
	backup  *backup
	onSend  []func()
	asked   []injectedRequest
	pauses  []hold
	acked   time.Duration
	dirty   bool // what could not be committed must be, as soon as it can
	// When the store last started empty; never, unless it was corrupt.
	recovered time.Duration
	taken     map[int]bool // dragons that a human has quarantined
	intents   []time.Duration
	intended  map[string]time.Duration // the last one, by MAC
}

// injectedRequest is a write that a human or a rollout wants.
type injectedRequest struct {
	dragon  int
	request healer.Request
	again   bool // until it is sent
}

// hold is a pause, as the one who asked for it knows it.
type hold struct {
	request  healer.PauseRequest
	from, to time.Duration
}

// NewHealer installs a healer on the world's host.
func NewHealer(w *World, policy healer.Policy) *Healer {
	h := &Healer{
		Policy: policy, world: w, recovered: never, dragons: make(map[string][]byte), cold: make(map[string][]byte),
		taken: make(map[int]bool), intended: make(map[string]time.Duration),
	}
	w.healer = h
	if w.script.Learned {
		h.learn()
	}
	return h
}

// learn gives the store a farm that was watched for a week.
func (h *Healer) learn() {
	m := healer.NewMemory()
	for _, d := range h.world.Dragons {
		d.poll()
	}
	p := h.Policy
	p.Default.Mode = healer.Observe
	now := h.world.instant()
	m.Start(now, &p)
	healer.Decide(now, h.world.View(), m, &p)
	for _, d := range h.world.Dragons {
		r := m.Dragons[d.MAC]
		r.Samples = p.NewSamples
		r.Baseline = healer.Baseline{Mode: d.mode, Slots: slices.Repeat([]float64{d.Nominal()}, 42), Value: d.Nominal()}
		d.seen = -7 * 24 * time.Hour
		r.FirstSeen, r.Observe = -healer.Moment(7*24*time.Hour), -healer.Moment(7*24*time.Hour)
		d.Answered = nil
	}
	m.Stop(now)
	m.Everything()
	h.mem = m
	h.commit("learned")
	h.mem, h.Commits, h.Stages = nil, 0, nil
}

// Kill ends the process at once.
func (h *Healer) Kill() {
	h.mem, h.Plan, h.killAt = nil, nil, ""
	h.until = h.world.Now + h.down
	h.down = 0
	h.note("killed")
}

// Alive reports whether the process runs.
func (h *Healer) Alive() bool { return h.mem != nil }

func (h *Healer) note(format string, args ...any) {
	h.Audit = append(h.Audit, stamp(h.world.Now)+" * "+fmt.Sprintf(format, args...))
}

func (h *Healer) said(what string, err error) {
	if err != nil {
		what += ": " + err.Error()
	}
	h.note("%s", what)
}

// start opens the store and begins.
func (h *Healer) start() bool {
	w := h.world
	if w.host.off || w.Now < h.until {
		return false
	}
	mem, err := healer.LoadMemory(h.fleet, h.dragons)
	if h.older && !h.corrupt && err == nil { // the store knows by its generation, and the audit log beside it
		mem.Recover(w.instant(), "an older backup was put back")
		h.older, h.recovered = false, w.Now
		h.note("the store is an older one: every budget counts as used up")
	}
	if h.corrupt || err != nil {
		mem = healer.NewMemory()
		h.fleet, h.dragons, h.cold = nil, make(map[string][]byte), make(map[string][]byte)
		mem.Recover(w.instant(), "the state was corrupt")
		h.recovered = w.Now
		h.note("the store is corrupt: started empty")
	}
	mem.LoadCold(h.cold)
	mem.Fleet.Epoch = max(mem.Fleet.Epoch, h.epoch) // a clock that went back gives an epoch that was used
	unknown := mem.Start(w.instant(), &h.Policy)
	h.epoch = mem.Fleet.Epoch
	h.mem = mem
	h.Starts = append(h.Starts, w.Now)
	if len(h.Starts) > 1 {
		h.note("started, %d unknown", len(unknown))
	}
	h.unconcluded()
	return h.commit("start")
}

// commit writes what changed. It reports false where the process is dead afterwards.
func (h *Healer) commit(stage string) bool {
	if h.mem == nil {
		return false
	}
	if h.world.host.readonly > 0 {
		h.dirty = true
		return true
	}
	if h.dirty {
		h.mem.Everything()
		h.dirty = false
	}
	c, err := h.mem.Changes()
	if err != nil {
		h.Watch.fail("changes: %v", err)
		return false
	}
	if c.Fleet == nil && len(c.Dragons) == 0 && len(c.Cold) == 0 {
		return h.survives(stage)
	}
	if h.Commits+1 == h.KillBefore {
		h.KillBefore = 0
		h.Kill()
		return false
	}
	if c.Fleet != nil {
		h.fleet, h.corrupt = c.Fleet, false // until then what is set aside is all that tells of it
	}
	for mac, data := range c.Dragons {
		if data == nil {
			delete(h.dragons, mac)
		} else {
			h.dragons[mac] = data
		}
	}
	maps.Copy(h.cold, c.Cold)
	h.Commits++
	h.Stages, h.Stood = append(h.Stages, stage), append(h.Stood, h.stands())
	if h.Watch != nil { // else it is the store as it begins
		h.Watch.committed(h, stage)
	}
	if h.Commits == h.KillAt {
		h.Kill()
		return false
	}
	return h.survives(stage)
}

// stands says how far the rollouts are: their states, and the phases of their dragons.
func (h *Healer) stands() string {
	words := make(map[string]bool)
	for _, ro := range h.mem.Fleet.Firmware {
		words[fmt.Sprintf("firmware:%s", ro.State)], words[fmt.Sprintf("wave:%d", ro.Wave+1)] = true, true
	}
	for _, ro := range h.mem.Fleet.Rollouts {
		words["wish:"+string(ro.State)] = true
	}
	for _, r := range h.mem.Dragons {
		if u := r.Upgrade; u != nil {
			words[string(u.Phase)] = true
		}
		for i := range r.Actions {
			switch a := &r.Actions[i]; {
			case a.Outcome != healer.Open:
			case a.Change != nil && a.Change.Restore:
				words["undoing"] = true
			case r.Upgrade != nil && r.Upgrade.Reboot == a.ID:
				words["extra-boot"] = true
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(words)), " ")
}

func (h *Healer) survives(stage string) bool {
	if h.killAt == stage && stage != "" {
		h.Kill()
		return false
	}
	return true
}

// Tick is one cycle of the process.
func (h *Healer) Tick(w *World) {
	if h.mem == nil && !h.start() {
		return
	}
	now := w.instant()
	var planned *healer.Plan
	if every := h.Watch.CheckPlan; every > 0 && int(w.Now/w.script.Cycle)%every == 0 {
		p := h.Policy
		p.Default.Mode, p.Rollout.Mode = healer.Observe, healer.Observe
		planned = healer.Decide(now, w.View(), h.mem.Clone(), &p)
	}
	h.view = w.View()
	h.Plan = healer.Decide(now, h.view, h.mem, &h.Policy)
	if planned != nil {
		h.Watch.compare(planned, h.Plan)
	}
	for i := range h.Plan.Audit {
		h.Audit = append(h.Audit, line(w.Now, &h.Plan.Audit[i]))
		if h.Watch.CheckStore {
			h.Watch.tells(&h.Plan.Audit[i])
		}
	}
	plan := h.Plan
	asked := h.answer()
	if !h.commit("cycle") {
		return
	}
	for _, list := range [][]healer.Decision{plan.Dragons, plan.Upgrades, plan.Changes} {
		for i := range list {
			if d := &list[i]; d.Verb == healer.Act && !h.carryOut(d, d.Actor(), false) {
				return
			}
		}
	}
	for _, a := range asked {
		if !h.carryOut(&a.decision, a.actor, a.force) {
			return
		}
	}
}

type grant struct {
	decision healer.Decision
	actor    string
	force    bool
}

// answer asks the plan about what others want.
func (h *Healer) answer() []grant {
	var out []grant
	var left []injectedRequest
	for _, a := range h.asked {
		d := h.world.Dragons[a.dragon]
		a.request.MAC = d.Shown
		if len(out) > 0 { // the plan knows nothing of a write that came after it
			left = append(left, a)
			continue
		}
		decision := healer.Ask(h.world.instant(), h.view, h.mem, &h.Policy, a.request)
		if decision.Verb == healer.Act {
			h.Watch.granted(a.request)
			out = append(out, grant{decision, a.request.Actor, a.request.Force})
		} else if a.again {
			left = append(left, a)
		} else {
			h.note("asked for %s of %s by %s: blocked by %s", a.request.Kind, worker(d.MAC), a.request.Actor, decision.Blocked)
		}
	}
	h.asked = left
	return out
}

// carryOut does what an attempt at a decision says. It reports false where the process died.
func (h *Healer) carryOut(decided *healer.Decision, actor string, force bool) bool {
	w, d := h.world, h.throughJSON(decided)
	h.Watch.attempt(h, d)
	if w.at(d.Address) == nil {
		return true
	}
	a := healer.NewAttempt(*d, actor, force, h.view, h.mem, &h.Policy)
	for step := a.Next(h.standing()); step.Do != healer.Finished; step = a.Next(h.standing()) {
		var r healer.Reply
		switch step.Do {
		case healer.Look:
			f := h.look(d)
			r.Facts = &f
		case healer.Identify:
			r = h.identify(d, step, a.Action().ID != "")
		case healer.Persist:
			if !h.persist(a, step) {
				return false
			}
			if w.host.readonly > 0 {
				r.Err = errors.New("the disk is full")
			}
		case healer.Send:
			r = h.send(a, step)
			if !h.survives("sent") {
				return false
			}
		}
		if err := a.Done(h.standing(), step, r); err != nil {
			h.Watch.fail("%v", err)
		}
	}
	switch id := a.Action().ID; {
	case id == "":
		h.note("%v", a.Err())
	case a.Err() != nil:
		h.note("%s %v", id, a.Err())
	case d.Kind == healer.Configure && d.Change == nil:
		h.conclude(d.MAC, id)
	}
	return true
}

// standing is what an attempt is judged by now.
func (h *Healer) standing() healer.Standing {
	return healer.Standing{Now: h.world.instant(), Host: h.world.hostState(), Memory: h.mem, Policy: &h.Policy, View: h.view, Plan: h.Plan}
}

// look reads the host at the address.
func (h *Healer) look(d *healer.Decision) healer.Facts {
	f := h.world.at(d.Address).read()
	if h.Trust {
		f.MAC = d.MAC
	}
	return f
}

// identify asks the host at the address who it is. last is the one right before the send.
func (h *Healer) identify(d *healer.Decision, step healer.Step, last bool) healer.Reply {
	if last {
		for _, f := range h.onSend {
			f()
		}
		h.onSend = nil
	}
	target := h.world.at(d.Address)
	if target == nil || target.reach() != healer.Reached && !h.Trust {
		return healer.Reply{Err: healer.NotSentf("its MAC could not be proved")}
	}
	f := h.look(d)
	r := healer.Reply{Who: f.Who, MemoryFree: f.MemoryFree}
	if step.Want != nil {
		c := target.configured()
		r.Configured = &c
	}
	return r
}

// persist commits what an attempt has changed in the memory.
func (h *Healer) persist(a *healer.Attempt, step healer.Step) bool {
	if !step.Intent {
		return h.commit("result")
	}
	d := a.Decision()
	if heals(d.Kind) {
		h.intents = append(h.intents, h.world.Now)
	}
	h.intended[d.MAC] = h.world.Now
	return h.commit("intent")
}

// send writes to the host at the address.
func (h *Healer) send(a *healer.Attempt, step healer.Step) healer.Reply {
	w, d, action := h.world, a.Decision(), a.Action()
	write := &Write{
		ID: action.ID, Actor: action.Actor, Kind: d.Kind, MAC: d.MAC, Undo: d.Reason == healer.Rollback, Desired: step.Want, Items: step.Items,
	}
	if r := d.Sends(); r != nil {
		write.Image = r.Version
	}
	if write.Desired != nil {
		h.Watch.configurations(w.at(d.Address), write)
	}
	result, why := w.Send(d.Address, write)
	h.note("%s %s %s to %s: %s %s", action.ID, action.Actor, d.Kind, d.Worker, result, why)
	h.Watch.wrote(h, d, &action)
	return healer.Reply{Result: result, Told: write.told, Note: why}
}

// throughJSON is a decision as it is after it was written as JSON and read again: what is
// carried out rests on nothing else.
func (h *Healer) throughJSON(decided *healer.Decision) *healer.Decision {
	d := new(healer.Decision)
	data, err := json.Marshal(decided)
	if err == nil {
		err = json.Unmarshal(data, d)
	}
	if err != nil {
		h.Watch.fail("a decision as JSON: %v", err)
	}
	return d
}

// conclude looks, some time after a configuration was written, what became of it:
// healer.Decide leaves that to the sender.
func (h *Healer) conclude(mac, id string) {
	mem := h.mem
	h.world.after(20*time.Minute, func(w *World) {
		if h.mem == mem && mem != nil && mem.Conclude(w.instant(), mac, id, healer.Recovered, "") == nil {
			h.commit("concluded")
		}
	})
}

// unconcluded takes up what the process before this one had not finished.
func (h *Healer) unconcluded() {
	for _, mac := range slices.Sorted(maps.Keys(h.mem.Dragons)) {
		for _, a := range h.mem.Dragons[mac].Actions {
			if a.Outcome == healer.Open && a.Change == nil && a.Kind == healer.Configure {
				h.conclude(mac, a.ID)
			}
		}
	}
}

// reconfigure asks the guard about another policy, and follows it if it may.
func (h *Healer) reconfigure(next *healer.Policy) {
	if h.mem == nil {
		return
	}
	view := h.world.View()
	g, err := healer.Guard(h.world.instant(), h.mem, healer.PolicyView{By: &h.Policy, View: view}, healer.PolicyView{By: next, View: view})
	if err != nil {
		h.note("config refused: %v", err)
		return
	}
	h.note("config accepted: %d newly sick of at most %d", len(g.Newly), g.Limit)
	mode := h.Policy.Default.Mode
	h.Policy = *next
	h.Policy.Default.Mode = mode
}

// remembered reports what the store lacks of the memory: nothing, if all is well.
func (h *Healer) remembered() string {
	m := h.mem.Clone()
	m.Everything()
	c, err := m.Changes()
	if err != nil {
		return err.Error()
	}
	if !bytes.Equal(c.Fleet, h.fleet) {
		return fmt.Sprintf("the fleet's record is %s, the store has %s", c.Fleet, h.fleet)
	}
	for _, mac := range slices.Sorted(maps.Keys(c.Dragons)) {
		if !bytes.Equal(c.Dragons[mac], h.dragons[mac]) {
			return fmt.Sprintf("the record of %s is %s, the store has %s", mac, c.Dragons[mac], h.dragons[mac])
		}
	}
	if len(c.Dragons) != len(h.dragons) {
		return fmt.Sprintf("%d dragons, the store has %d", len(c.Dragons), len(h.dragons))
	}
	return ""
}

// stamp writes a time of the farm: 2d03:04:05.
func stamp(t time.Duration) string {
	t = t.Truncate(time.Second)
	return fmt.Sprintf("%dd%02d:%02d:%02d", t/(24*time.Hour), t/time.Hour%24, t/time.Minute%60, t/time.Second%60)
}

// line writes an audit record as one line for people; every decision is in it, and
// the numbers that it rests on.
func line(now time.Duration, a *healer.Audit) string {
	var b strings.Builder
	b.WriteString(stamp(now))
	add := func(format string, args ...any) {
		b.WriteByte(' ')
		fmt.Fprintf(&b, format, args...)
	}
	add("%s", a.Decision)
	for _, word := range []string{a.Worker, string(a.State), string(a.Reason)} {
		if word != "" {
			add("%s", word)
		}
	}
	if a.Action != "" {
		add("%s/%d", a.Action, a.Rung)
	}
	if a.ActionID != "" {
		add("#%s", a.ActionID)
	}
	if e := a.Evidence; e != nil && e.Of > 0 {
		add("%d/%d", e.Bad, e.Of)
	}
	if v := a.Verify; v != nil {
		add("verdict=%s", v.Verdict)
	}
	if gates := closed(a.Gates); len(gates) > 0 {
		add("closed=%s", strings.Join(gates, ","))
	}
	if a.Note != "" {
		add("(%s)", a.Note)
	}
	return b.String()
}
