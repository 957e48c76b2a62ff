package healer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Kind is a kind of write to a dragon.
type Kind string

// The kinds. The healer's own ladder knows the first two; the others are here since
// every kind draws from the same budgets. Poweroff, factory reset and the like have
// no name, so that they cannot be requested.
const (
	Restart   Kind = "restartCgMiner"
	Reboot    Kind = "reboot"
	Configure Kind = "configure" // pools and autotune, as one transaction
	Upgrade   Kind = "firmware"
)

// Outcome is how a write ended.
type Outcome string

// The outcomes. Until there is one, the write occupies a slot.
const (
	Open        Outcome = ""
	Recovered   Outcome = "recovered"
	Relapsed    Outcome = "relapsed" // recovered, and sick again within the probation
	NoEffect    Outcome = "no_effect"
	Worse       Outcome = "worse" // fewer boards than before
	LostOutcome Outcome = "lost"  // it did not come back
	NotExecuted Outcome = "not_executed"
	NotKnown    Outcome = "unknown" // at the deadline its MAC was contested, its site was out of reach or the healer isolated
)

// Result is what the sender learned.
type Result string

// The results. An Unknown one is never repeated: the dragon's clock tells what happened.
const (
	Pending  Result = ""
	Accepted Result = "accepted"
	Refusal  Result = "refused"  // the dragon rejected it
	NotSent  Result = "not_sent" // it was not sent after all, or no host took it
	Unknown  Result = "unknown"
)

// NotExecuted reports whether the write was certainly not carried out.
func (r Result) NotExecuted() bool { return r == Refusal || r == NotSent }

// saysNothing reports whether an action does not show what helps: it never ran, or its end is
// not known.
func (a *Action) saysNothing() bool { return a.Outcome == NotExecuted || a.Outcome == NotKnown }

// Action is one write: its intent, what came of it, and the verdict.
type Action struct {
	ID     string `json:"id"` // epoch-sequence; never used twice
	Kind   Kind   `json:"kind"`
	Reason Reason `json:"reason,omitempty"`
	Rung   int    `json:"rung,omitempty"`
	Was    int    `json:"rung_before,omitempty"` // the dragon's rung before it
	Actor  string `json:"actor"`                 // healer, user:name, rollout:name …
	Slot   int    `json:"board"`                 // the board it was for; -1 for none in particular

	At     Moment        `json:"at"`
	Wall   time.Time     `json:"wall"`
	Result Result        `json:"result,omitempty"`
	Note   string        `json:"note,omitempty"`
	Change *ConfigChange `json:"change,omitempty"` // of a Configure

	Before Sample  `json:"before"`
	After  *Sample `json:"after,omitempty"`
	// Proof is when the dragon's own clock showed that the write took effect.
	Proof   Moment  `json:"proof,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`
	Ended   Moment  `json:"ended,omitempty"`
}

// heals reports whether the action is one that may cure a dragon.
func (a *Action) heals() bool { return a.Kind.heals() }

func (k Kind) heals() bool      { return k == Restart || k == Reboot }
func (k Kind) configures() bool { return k == Configure }

// Sample is the state of a dragon around an action.
type Sample struct {
	Uptime  float64 `json:"uptime_s"`       // -1: unknown
	Elapsed float64 `json:"miner_uptime_s"` // -1: unknown
	Rate    float64 `json:"rate"`           // hashes per second; -1: unknown
	Boards  int     `json:"boards"`         // alive
}

// RestartSeen is a restart that the dragon's clock showed.
type RestartSeen struct {
	At     Moment `json:"at"`               // when it started again
	System bool   `json:"system,omitempty"` // not only the miner process
	Cause  Cause  `json:"cause"`
}

// Cause is why a dragon restarted.
type Cause string

// The causes of a restart.
const (
	CauseUnknown   Cause = "unknown"   // not by us: see Flapping and the foreign breaker
	CauseHealer    Cause = "healer"    // a write of ours
	CauseFleet     Cause = "fleet"     // a power cut: many booted together
	CauseTuning    Cause = "tuning"    // the device's counters start again when tuning ends
	CauseReleased  Cause = "released"  // unexplained, and a human has seen it
	CauseAnnounced Cause = "announced" // it was in maintenance
)

// Mark is a state that someone put a dragon, or the healer, in.
type Mark struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     Moment    `json:"at"`
	Wall   time.Time `json:"wall"`
	Clean  Moment    `json:"clean_since,omitempty"` // of a quarantine: nothing wrong since; 0: something is
	Acked  bool      `json:"acked,omitempty"`       // of a lost memory: a human has ended the observation, not the charges
}

// Record is what must be remembered of one dragon.
type Record struct {
	Who       Who    `json:"who"` // as seen last
	FirstSeen Moment `json:"first_seen"`
	Observe   Moment `json:"observe"`   // when its observation began: first seen, or back from Lost
	LastSeen  Moment `json:"last_seen"` // to the hour
	Samples   int    `json:"samples"`   // until it is no longer new

	State     State  `json:"state"`
	Since     Moment `json:"since"`
	Reason    Reason `json:"reason,omitempty"`
	SickSince Moment `json:"sick_since,omitempty"` // for the duration of a fault, and to tell a new one
	CleanAt   Moment `json:"clean_at,omitempty"`   // when it became healthy; the ladder is forgotten some time after

	Rung     int           `json:"rung,omitempty"`    // of the last step taken; 0: none
	Refused  int           `json:"refused,omitempty"` // steps of the ladder in a row that the dragon rejected
	Actions  []Action      `json:"actions,omitempty"`
	Restarts []RestartSeen `json:"restarts,omitempty"`

	Quarantine *Mark      `json:"quarantine,omitempty"`
	Released   Moment     `json:"released,omitempty"`  // from the last quarantine
	Lost       Moment     `json:"lost,omitempty"`      // when it did not come back from an action
	Costly     Moment     `json:"costly,omitempty"`    // since when the next step costs more than it may bring; 0: it does not
	Unfit      Moment     `json:"unfit,omitempty"`     // since when it is not fit for the firmware that it waits for; 0: it is
	Flapping   Moment     `json:"flapping,omitempty"`  // the last unexplained restart of a flapping dragon
	DeadHot    []int      `json:"dead_hot,omitempty"`  // boards that died of heat and have not been alive since
	Downshift  *Downshift `json:"downshift,omitempty"` // never changed once made
	Curtailed  *Downshift `json:"curtailed,omitempty"` // the same for a curtailment
	Baseline   Baseline   `json:"baseline"`
	Boot       Moment     `json:"boot,omitempty"` // of its system, as the last sample has it

	Config  *ConfigRecord `json:"config,omitempty"`  // nil: nothing was written for its desired state
	Aside   *ConfigRecord `json:"aside,omitempty"`   // the same of the other, where there is an overlay
	Over    bool          `json:"over,omitempty"`    // Config is that of the overlay
	Upgrade *Upgrading    `json:"upgrade,omitempty"` // in the rollout of firmware that it was in last
}

// open returns the action that still occupies the dragon's slot, or nil.
func (r *Record) open() *Action {
	return r.last(func(a *Action) bool { return a.Outcome == Open })
}

// last returns the newest action that fits, or nil.
func (r *Record) last(fits func(*Action) bool) *Action {
	for i := len(r.Actions) - 1; i >= 0; i-- {
		if fits(&r.Actions[i]) {
			return &r.Actions[i]
		}
	}
	return nil
}

// FleetAction is an entry of the fleet's ring of writes of the last 24 hours.
type FleetAction struct {
	ID   string `json:"id"`
	MAC  string `json:"mac"`
	Kind Kind   `json:"kind"`
	At   Moment `json:"at"`
}

// Outcomes counts how actions of a kind for a reason on a model ended.
type Outcomes struct {
	Last   []bool          `json:"last"` // success, oldest first
	Totals map[Outcome]int `json:"totals"`
	// Of a step that is skipped: how often, since it was tried last, and when that was.
	Skipped int    `json:"skipped,omitempty"`
	Tried   Moment `json:"tried,omitempty"`
	// Of a whole ladder: the MACs of the dragons quarantined in a row.
	GivenUp []string `json:"given_up,omitempty"`
}

// FleetRecord is what must be remembered beside the dragons.
type FleetRecord struct {
	Version int    `json:"version"`
	Anchor  Anchor `json:"anchor"`
	Epoch   int    `json:"epoch"` // counts the healer's starts
	Seq     int    `json:"seq"`   // of actions, over all epochs

	Running   bool     `json:"running"`             // no Stop since the last Start
	Unclean   []Moment `json:"unclean,omitempty"`   // starts
	SafeMode  *Mark    `json:"safe_mode,omitempty"` //
	Recovered *Mark    `json:"recovered,omitempty"` // the store was lost or corrupt: all budgets are charged

	Ring       []FleetAction        `json:"ring,omitempty"`
	Harm       []Moment             `json:"harm,omitempty"` // Lost or Worse after an action
	Outcomes   map[string]*Outcomes `json:"outcomes,omitempty"`
	Breakers   []*Breaker           `json:"breakers,omitempty"` // those that are not closed, by name and scope
	Pauses     []Pause              `json:"pauses,omitempty"`
	NextPause  int                  `json:"next_pause,omitempty"`
	Forgotten  map[string]time.Time `json:"forgotten,omitempty"` // MACs that a person made unknown in the last 30 days, for the inventories of other hosts
	Calendars  map[string]Moment    `json:"calendars,omitempty"` // when the newest pause of each is over, also where a person has ended it before
	Tunes      map[string][]float64 `json:"tunes,omitempty"`     // seconds that autotuning took, by model
	Boots      map[string][]float64 `json:"boots,omitempty"`     // seconds from a reboot to the first answer, by model
	PastHolds  []PastHold           `json:"past_holds,omitempty"`
	Conflicts  map[string]Moment    `json:"conflicts,omitempty"` // MACs that several claimed, and the last sign of it, to the hour
	ConfigHash string               `json:"config_hash,omitempty"`

	Rollouts     []*ConfigRollout   `json:"rollouts,omitempty"` // in the order of their beginning
	NextRollout  int                `json:"next_rollout,omitempty"`
	Firmware     []*FirmwareRollout `json:"firmware,omitempty"` // rollouts, in the order of their beginning
	NextFirmware int                `json:"next_firmware,omitempty"`
}

// Memory is all that Decide remembers. Fleet and Dragons must survive a kill: they
// are what the store holds, and Changes says which of it is new. The running
// evidence is unexported and must not survive: a healer that starts collects it again.
//
// Decide changes the Memory that it is given. To plan without consequences,
// give it a Clone.
type Memory struct {
	Fleet   FleetRecord
	Dragons map[string]*Record // by MAC

	run     running
	changed map[string]bool // MACs
	cold    map[string]bool // MACs whose cold record changed, see cold.go
	bare    map[string]bool // MACs whose cold record was never written
	fleet   bool            // Fleet changed
}

// running is what one process knows and the next one must find out for itself.
type running struct {
	time        timeline
	slice       int  // of the cold records, that was written last
	allCold     bool // all cold records are to be written
	dragons     map[string]*watch
	lastAudited map[string]saying // what the audit said last, by MAC or breaker
	clearSince  map[string]Moment // since when a breaker's condition has been clear
}

// NewMemory returns an empty memory.
func NewMemory() *Memory {
	m := &Memory{Fleet: FleetRecord{Version: 1}, Dragons: make(map[string]*Record)}
	m.init()
	return m
}

// ErrNewerMemory says that a newer version of the program wrote the memory.
var ErrNewerMemory = errors.New("written by a newer version")

// LoadMemory makes a memory from what the store holds: the fleet's record and the
// dragons' records by MAC, as Changes gave them.
func LoadMemory(fleet []byte, dragons map[string][]byte) (*Memory, error) {
	m := NewMemory()
	if fleet != nil {
		if err := json.Unmarshal(fleet, &m.Fleet); err != nil {
			return nil, fmt.Errorf("healer's fleet record: %w", err)
		}
		if m.Fleet.Version > 1 {
			return nil, fmt.Errorf("healer's fleet record: version %d, expected 1: %w", m.Fleet.Version, ErrNewerMemory)
		}
		if m.Fleet.Version != 1 {
			return nil, fmt.Errorf("healer's fleet record: version %d, expected 1", m.Fleet.Version)
		}
	}
	for mac, data := range dragons {
		r := new(Record)
		if err := json.Unmarshal(data, r); err != nil {
			return nil, fmt.Errorf("healer's record of dragon %s: %w", mac, err)
		}
		if r.Who.MAC != mac || !dragon.UsableMAC(mac) {
			return nil, fmt.Errorf("healer's record of dragon %s is about %q", mac, r.Who.MAC)
		}
		m.Dragons[mac] = r
	}
	m.init()
	for mac := range m.Dragons {
		m.bare[mac] = true
	}
	return m, nil
}

func (m *Memory) init() {
	if m.Fleet.Outcomes == nil {
		m.Fleet.Outcomes = make(map[string]*Outcomes)
	}
	if m.Fleet.Tunes == nil {
		m.Fleet.Tunes = make(map[string][]float64)
	}
	if m.Fleet.Boots == nil {
		m.Fleet.Boots = make(map[string][]float64)
	}
	m.Fleet.Breakers = slices.DeleteFunc(m.Fleet.Breakers, func(b *Breaker) bool { return b == nil || b.State < 0 || b.State > BreakerLatched })
	m.Fleet.Firmware = slices.DeleteFunc(m.Fleet.Firmware, func(ro *FirmwareRollout) bool { return ro == nil })
	slices.SortFunc(m.Fleet.Breakers, func(a, b *Breaker) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Scope, b.Scope))
	})
	m.Fleet.Rollouts = slices.DeleteFunc(m.Fleet.Rollouts, func(ro *ConfigRollout) bool { return ro == nil })
	m.run = running{
		dragons:     make(map[string]*watch),
		lastAudited: make(map[string]saying),
		clearSince:  make(map[string]Moment),
	}
	m.changed, m.cold, m.bare = make(map[string]bool), make(map[string]bool), make(map[string]bool)
}

// Changes is what the store has to write for the memory to survive.
type Changes struct {
	Fleet   []byte            // nil: unchanged
	Dragons map[string][]byte // a nil value: forgotten
	Cold    map[string][]byte // the same; see LoadCold
}

// Changes returns what changed since the last call, encoded. A caller that cannot write it
// must say so in Host.StateWritable, and write Everything as soon as it can.
func (m *Memory) Changes() (Changes, error) {
	var c Changes
	if m.fleet {
		data, err := json.Marshal(&m.Fleet)
		if err != nil {
			return c, fmt.Errorf("healer's fleet record: %w", err)
		}
		c.Fleet = data
	}
	if len(m.changed) > 0 {
		c.Dragons, c.Cold = make(map[string][]byte, len(m.changed)), make(map[string][]byte)
	}
	for mac := range m.changed {
		r, ok := m.Dragons[mac]
		if !ok {
			c.Dragons[mac], c.Cold[mac] = nil, nil
			delete(m.cold, mac)
			delete(m.bare, mac)
			continue
		}
		data, err := hotRecord(r)
		if err != nil {
			return c, fmt.Errorf("healer's record of dragon %s: %w", mac, err)
		}
		c.Dragons[mac] = data
	}
	if err := m.coldChanges(&c); err != nil {
		return c, err
	}
	m.fleet = false
	clear(m.changed)
	return c, nil
}

// Everything marks all of the memory as changed.
func (m *Memory) Everything() {
	m.fleet = true
	for mac := range m.Dragons {
		m.changed[mac], m.cold[mac] = true, true
	}
	m.run.allCold = true
}

func (m *Memory) touch(mac string) { m.changed[mac] = true }

// TouchFleet marks the fleet's record as changed and brings its anchor up to date.
func (m *Memory) TouchFleet() {
	m.fleet = true
	if t := &m.run.time; t.started {
		m.Fleet.Anchor = Anchor{t.moment, t.last.Wall, t.last.Mono, t.last.BootID, t.synced, t.jumped}
	}
}

// Clone returns a copy that shares nothing that Decide changes.
func (m *Memory) Clone() *Memory {
	c := &Memory{Fleet: m.Fleet, fleet: m.fleet, changed: maps.Clone(m.changed), cold: maps.Clone(m.cold), bare: maps.Clone(m.bare)}
	f := &c.Fleet
	f.Unclean, f.Ring, f.Harm = slices.Clone(f.Unclean), slices.Clone(f.Ring), slices.Clone(f.Harm)
	f.Pauses = slices.Clone(f.Pauses)
	f.SafeMode, f.Recovered = cloned(f.SafeMode), cloned(f.Recovered)
	f.Outcomes = make(map[string]*Outcomes, len(m.Fleet.Outcomes))
	for k, o := range m.Fleet.Outcomes {
		x := *o
		x.Last, x.Totals, x.GivenUp = slices.Clone(o.Last), maps.Clone(o.Totals), slices.Clone(o.GivenUp)
		f.Outcomes[k] = &x
	}
	f.Breakers = make([]*Breaker, len(m.Fleet.Breakers))
	for i, b := range m.Fleet.Breakers {
		f.Breakers[i] = cloned(b)
	}
	f.Conflicts, f.Calendars, f.Forgotten = maps.Clone(m.Fleet.Conflicts), maps.Clone(m.Fleet.Calendars), maps.Clone(m.Fleet.Forgotten)
	f.Tunes, f.Boots = clonedLists(m.Fleet.Tunes), clonedLists(m.Fleet.Boots)
	f.Rollouts = make([]*ConfigRollout, len(m.Fleet.Rollouts))
	for i, ro := range m.Fleet.Rollouts {
		f.Rollouts[i] = ro.clone()
	}
	f.Firmware = make([]*FirmwareRollout, len(m.Fleet.Firmware))
	for i, ro := range m.Fleet.Firmware {
		f.Firmware[i] = cloned(ro)
	}
	c.Dragons = make(map[string]*Record, len(m.Dragons))
	for mac, r := range m.Dragons {
		n := cloned(r)
		n.Actions = slices.Clone(r.Actions)
		for i := range n.Actions {
			n.Actions[i].After = cloned(n.Actions[i].After)
		}
		n.Restarts, n.DeadHot = slices.Clone(r.Restarts), slices.Clone(r.DeadHot)
		n.Quarantine, n.Config = cloned(r.Quarantine), cloned(r.Config)
		n.Aside = cloned(r.Aside)
		n.Upgrade = cloned(r.Upgrade)
		n.Baseline.Slots = slices.Clone(r.Baseline.Slots)
		c.Dragons[mac] = n
	}
	c.run = running{
		time:        m.run.time,
		slice:       m.run.slice,
		allCold:     m.run.allCold,
		dragons:     make(map[string]*watch, len(m.run.dragons)),
		lastAudited: maps.Clone(m.run.lastAudited),
		clearSince:  maps.Clone(m.run.clearSince),
	}
	for mac, w := range m.run.dragons {
		c.run.dragons[mac] = w.clone()
	}
	return c
}

func clonedLists(m map[string][]float64) map[string][]float64 {
	c := make(map[string][]float64, len(m))
	for k, v := range m {
		c[k] = slices.Clone(v)
	}
	return c
}

func cloned[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
