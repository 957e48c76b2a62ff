package healer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// PauseKind tells a pause from maintenance.
type PauseKind string

// The kinds. The first two stop the healer; a dragon in maintenance is not counted as
// sick either, and its alerts are muted. A curtailment stops nothing: its dragons are to
// have another autotune mode while it lasts.
const (
	Paused     PauseKind = "pause"
	Maintained PauseKind = "maintenance"
	Curtailed  PauseKind = "curtailment"
)

const (
	pauseDefault = 4 * time.Hour
	pauseMax     = 7 * 24 * time.Hour
	retiredMax   = 100 * 365 * 24 * time.Hour // a moment has room for less than three centuries
)

// Pause pauses the healer for a part of the fleet. Several may overlap, and
// each ends by itself.
type Pause struct {
	ID          string    `json:"id"`
	Kind        PauseKind `json:"kind"`
	Scope       string    `json:"scope"` // fleet, or domain, pool, model, firmware, label (rack=a12) or mac
	Value       string    `json:"value,omitempty"`
	Owner       string    `json:"owner"`
	Reason      string    `json:"reason"`
	At          Moment    `json:"at"`
	Wall        time.Time `json:"wall"`
	Until       Moment    `json:"until,omitempty"`
	UntilResume bool      `json:"until_resume,omitempty"`
	Retired     bool      `json:"retired,omitempty"`  // maintenance of a retired dragon
	Calendar    string    `json:"calendar,omitempty"` // that has made it; empty: a person has

	Mode  string        `json:"mode,omitempty"` // of the autotuner, of a curtailment
	Level dragon.Number `json:"level,omitzero"`
}

// InWords is the kind, of a curtailment with its autotune mode.
func (p *Pause) InWords() string {
	if p.Kind == Curtailed {
		return "curtailment (" + ModeText(p.Mode, p.Level) + ")"
	}
	return string(p.Kind)
}

// PauseRequest asks for a pause. A zero For is four hours.
type PauseRequest struct {
	Kind         PauseKind
	Scope, Value string
	Owner        string
	Reason       string
	For          time.Duration
	UntilResume  bool
	Force        bool // also for a value that no dragon has
	Retired      bool // For may be of any length
	Calendar     string
	Mode         string // of a curtailment
	Level        dragon.Number
}

// Pause adds a pause.
func (m *Memory) Pause(now Instant, r PauseRequest) (Pause, error) {
	switch r.Scope {
	case "fleet":
		if r.Value != "" {
			return Pause{}, fmt.Errorf("pause: the fleet takes no value, got %q", r.Value)
		}
	case "domain", "pool", "model", "firmware", "label", "mac":
		if r.Value == "" {
			return Pause{}, fmt.Errorf("pause: scope %s without a value; an empty one does not mean all (say fleet)", r.Scope)
		}
		if name, value, _ := strings.Cut(r.Value, "="); r.Scope == "label" && (name == "" || value == "") {
			return Pause{}, fmt.Errorf("pause: label %q, expected a name and a value like rack=a12", r.Value)
		}
	default:
		return Pause{}, fmt.Errorf("pause: scope %q, expected fleet, site, pool, model, firmware, label or mac", r.Scope)
	}
	r.For = cmp.Or(r.For, pauseDefault)
	switch {
	case r.Kind != Paused && r.Kind != Maintained && r.Kind != Curtailed:
		return Pause{}, fmt.Errorf("pause: kind %q, expected pause, maintenance or curtailment", r.Kind)
	case (r.Kind == Curtailed) != (r.Mode != ""):
		return Pause{}, fmt.Errorf("pause: a %s with the autotune mode %q", r.Kind, r.Mode)
	case r.Owner == "" || r.Reason == "":
		return Pause{}, errors.New("pause: it needs an owner and a reason")
	case !r.UntilResume && (r.For < 0 || r.For > pauseMax && !r.Retired):
		return Pause{}, fmt.Errorf("pause: for %s, expected at most 7d, or until resumed", r.For)
	case r.For > retiredMax:
		return Pause{}, errors.New("retire: expected at most 100 years (876000h)")
	}
	t := m.Moment(now)
	m.Fleet.NextPause++
	p := Pause{
		ID: fmt.Sprintf("p%d", m.Fleet.NextPause), Kind: r.Kind, Scope: r.Scope, Value: r.Value,
		Owner: r.Owner, Reason: r.Reason, At: t, Wall: now.Wall, UntilResume: r.UntilResume, Retired: r.Retired, Calendar: r.Calendar,
		Mode: r.Mode, Level: r.Level,
	}
	if !r.UntilResume {
		p.Until = t.Add(r.For)
		m.run.time.countFromHere()
	}
	m.Fleet.Pauses = append(m.Fleet.Pauses, p)
	m.RememberCalendar(&p)
	m.TouchFleet()
	return p, nil
}

// RememberCalendar notes that a calendar has made its pause, which a person may end before.
func (m *Memory) RememberCalendar(p *Pause) {
	if p.Calendar == "" || m.Fleet.Calendars[p.Calendar] == p.Until {
		return
	}
	if m.Fleet.Calendars == nil {
		m.Fleet.Calendars = make(map[string]Moment)
	}
	m.Fleet.Calendars[p.Calendar] = p.Until
	m.TouchFleet()
}

// ForgetCalendar lets a calendar pause again within its interval.
func (m *Memory) ForgetCalendar(name string) {
	if _, ok := m.Fleet.Calendars[name]; ok {
		delete(m.Fleet.Calendars, name)
		m.TouchFleet()
	}
}

// Resume ends one pause.
func (m *Memory) Resume(id string) error {
	i := slices.IndexFunc(m.Fleet.Pauses, func(p Pause) bool { return p.ID == id })
	if i < 0 {
		return fmt.Errorf("resume: no pause %q", id)
	}
	m.Fleet.Pauses = slices.Delete(slices.Clone(m.Fleet.Pauses), i, i+1)
	m.TouchFleet()
	return nil
}

// Retires reports whether the pause keeps the dragon with a MAC retired.
func (p *Pause) Retires(mac string) bool { return p.Retired && p.Scope == "mac" && p.Value == mac }

// Retirements are the IDs of the pauses that keep a dragon retired.
func (m *Memory) Retirements(mac string) (ids []string) {
	for i := range m.Fleet.Pauses {
		if p := &m.Fleet.Pauses[i]; p.Retires(mac) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// retiredBy returns the MACs of the dragons that some pauses keep retired.
func retiredBy(pauses []Pause) map[string]bool {
	macs := make(map[string]bool)
	for i := range pauses {
		if p := &pauses[i]; p.Retires(p.Value) {
			macs[p.Value] = true
		}
	}
	return macs
}

// ErrActing says that the outcome of an action on a dragon is not known yet.
var ErrActing = errors.New("an action on the dragon is not judged yet; wait until it is")

// forgottenFor is how long other hosts have to forget a dragon.
const forgottenFor = 30 * 24 * time.Hour

// Forget drops all that is known of a dragon, and the pauses of it alone. It refuses while
// an action on it is not judged.
func (m *Memory) Forget(mac string, wall time.Time) error {
	r := m.Dragons[mac]
	if r != nil && r.open() != nil {
		return ErrActing
	}
	if dragon.UsableMAC(mac) { // others tell one dragon from the next by it
		maps.DeleteFunc(m.Fleet.Forgotten, func(_ string, at time.Time) bool { return wall.Sub(at).Abs() > forgottenFor })
		if m.Fleet.Forgotten == nil {
			m.Fleet.Forgotten = make(map[string]time.Time)
		}
		m.Fleet.Forgotten[mac] = wall.UTC()
		m.TouchFleet()
	}
	if r == nil {
		return nil
	}
	delete(m.Dragons, mac)
	delete(m.run.dragons, mac)
	delete(m.run.lastAudited, mac)
	m.touch(mac)
	if kept := slices.DeleteFunc(slices.Clone(m.Fleet.Pauses), func(p Pause) bool { return p.Scope == "mac" && p.Value == mac }); len(kept) < len(m.Fleet.Pauses) {
		m.Fleet.Pauses = kept
		m.TouchFleet()
	}
	return nil
}

// CheckHold says, just before a send, whether a human has forbidden it since the
// decision: a pause, maintenance or quarantine. It is cheap, and needs no cycle.
func (m *Memory) CheckHold(now Instant, mac string) error {
	t, f := m.Moment(now), m.facts(mac)
	for _, kind := range []PauseKind{Paused, Maintained} {
		if p := m.paused(kind, f, t); p != nil {
			return fmt.Errorf("%s %s by %s: %s", p.Kind, p.ID, p.Owner, p.Reason)
		}
	}
	if r := m.Dragons[mac]; r != nil && r.Quarantine != nil {
		return fmt.Errorf("quarantined by %s: %s", r.Quarantine.By, r.Quarantine.Reason)
	}
	return nil
}

// facts is what was known of a dragon in the last cycle; else only its identity.
func (m *Memory) facts(mac string) *Facts {
	if w := m.run.dragons[mac]; w != nil && w.facts != nil {
		return w.facts
	}
	if r := m.Dragons[mac]; r != nil {
		return &Facts{Who: r.Who}
	}
	return &Facts{Who: Who{MAC: mac}}
}

// paused returns a pause of the kind that covers the dragon, or nil.
func (m *Memory) paused(kind PauseKind, f *Facts, now Moment) *Pause {
	for i := range m.Fleet.Pauses {
		p := &m.Fleet.Pauses[i]
		if p.Kind != kind || !p.UntilResume && now >= p.Until {
			continue
		}
		covers := false
		switch p.Scope {
		case "fleet":
			covers = true
		case "domain":
			covers = f.Domain == p.Value
		case "model":
			covers = f.Model == p.Value
		case "firmware":
			covers = f.Firmware == p.Value
		case "label":
			covers = f.HasLabel(p.Value)
		case "mac":
			covers = f.MAC == p.Value
		case "pool":
			covers = m.mines(f, p.Value)
		}
		if covers {
			return p
		}
	}
	return nil
}

// mines reports whether a dragon has a pool; one that tells none at the moment, whether it had it last.
func (m *Memory) mines(f *Facts, url string) bool {
	if w := m.run.dragons[f.MAC]; len(f.Pools) == 0 && w != nil {
		return slices.ContainsFunc(w.pools, func(x poolWatch) bool { return x.url == url })
	}
	return slices.ContainsFunc(f.Pools, func(x PoolFacts) bool { return x.URL == url })
}

// Quarantine stops the healer from treating a dragon.
func (m *Memory) Quarantine(now Instant, mac, by, reason string) error {
	r := m.Dragons[mac]
	if r == nil {
		return fmt.Errorf("quarantine: %s is not a known dragon", mac)
	}
	if by == "" || reason == "" {
		return errors.New("quarantine: it needs an owner and a reason")
	}
	r.Quarantine = &Mark{By: by, Reason: reason, At: m.Moment(now), Wall: now.Wall}
	m.touch(mac)
	return nil
}

// Release puts a quarantined or flapping dragon back on the first step of the ladder.
// What was done to it stays charged.
func (m *Memory) Release(now Instant, mac, by string) error {
	r := m.Dragons[mac]
	if r == nil {
		return fmt.Errorf("release: %s is not a known dragon", mac)
	}
	if by == "" {
		return errors.New("release: it needs an owner")
	}
	if r.Quarantine == nil && r.Flapping == 0 {
		return fmt.Errorf("release: %s is neither quarantined nor flapping", r.Who.Worker)
	}
	m.release(r, m.Moment(now))
	for i := range r.Restarts { // or it would flap again at once
		if r.Restarts[i].Cause == CauseUnknown {
			r.Restarts[i].Cause = CauseReleased
		}
	}
	r.Flapping = 0
	return nil
}

func (m *Memory) release(r *Record, now Moment) {
	r.Quarantine, r.Rung, r.Refused, r.SickSince, r.CleanAt, r.Costly = nil, 0, 0, 0, 0, 0
	r.State, r.Since, r.Released = StateObserving, now, now
	m.touch(r.Who.MAC)
}

// Ack closes a breaker that a human has looked into. The names safe_mode and
// recovered_state stand for those, config for what is stuck or in conflict on the dragon
// whose MAC is the scope. A rollout of a configuration starts from its canary. The
// statistics of efficacy start again.
func (m *Memory) Ack(now Instant, name, scope, by string) error {
	if by == "" {
		return errors.New("ack: it needs an owner")
	}
	switch name {
	case "safe_mode":
		if m.Fleet.SafeMode == nil {
			return errors.New("ack: not in safe mode")
		}
		m.Fleet.SafeMode, m.Fleet.Unclean = nil, nil
		m.TouchFleet()
		return nil
	case "recovered_state":
		switch r := m.Fleet.Recovered; {
		case r == nil:
			return errors.New("ack: the state was not recovered")
		case r.Acked:
			return errors.New("ack: acknowledged already; the used-up budgets come back within a week")
		}
		m.Fleet.Recovered.Acked = true
		m.TouchFleet()
		return nil
	case "config":
		if r := m.Dragons[scope]; r == nil || !r.resumeConfig() {
			return fmt.Errorf("ack: the configuration of %q is neither stuck nor in conflict", scope)
		}
		m.touch(scope)
		return nil
	}
	b := m.breaker(name, scope)
	if b == nil {
		return fmt.Errorf("ack: no breaker %s is open", strings.TrimSpace(name+" "+scope))
	}
	switch name {
	case "efficacy":
		if o := m.Fleet.Outcomes[scope]; o != nil {
			o.Last, o.Skipped, o.GivenUp = nil, 0, nil
		}
	case "harm":
		m.Fleet.Harm = nil
	case "rollout":
		m.resumeRollout(scope, m.Moment(now))
	}
	m.Moment(now)
	m.closeBreaker(b)
	return nil
}
