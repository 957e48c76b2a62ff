package healer

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Verb is what a decision says.
type Verb string

// The verbs. WouldAct is Act in the mode observe.
const (
	Nothing    Verb = ""
	Act        Verb = "act"
	WouldAct   Verb = "would_act"
	Blocked    Verb = "blocked"
	Wait       Verb = "wait" // an action has no outcome yet
	Recovery   Verb = "recovered"
	Quarantine Verb = "quarantine"
	Release    Verb = "release"
	Hold       Verb = "hold"   // a breaker opened
	Resume     Verb = "resume" // a breaker closed
	Adopt      Verb = "adopt"  // a new policy is in force
	Refuse     Verb = "refuse" // it is not
	Changed    Verb = "state"  // in the audit: nothing but the state
	Manual     Verb = "manual" // in the audit: what a human did without the healer
	Sighted    Verb = "found"  // in the audit: dragons that were not known
	LockedOut  Verb = "locked" // in the audit: a dragon refuses the credentials
)

// AuditVerbs are all that a line of the audit can say: an action that did not help has its outcome.
var AuditVerbs = []Verb{
	Act, WouldAct, Blocked, Wait, Recovery, Quarantine, Release, Hold, Resume, Adopt, Refuse, Changed, Manual, Sighted, LockedOut,
	Verb(Relapsed), Verb(NoEffect), Verb(Worse), Verb(LostOutcome), Verb(NotExecuted), Verb(NotKnown),
}

// Plan is the outcome of a cycle: a decision for every dragon, and what they rest on.
// It is data: as JSON and back it is the same plan, but for its News.
type Plan struct {
	At     Moment    `json:"at"`
	Wall   time.Time `json:"wall"`
	Epoch  int       `json:"epoch"`
	Counts Counts    `json:"counts"`

	// Dragons holds every dragon once: first those to be acted on or blocked, by
	// severity, oldest evidence and MAC; then the others by MAC.
	Dragons []Decision `json:"dragons"`
	// Changes are the dragons to be configured, in the order in which that is done.
	Changes  []Decision      `json:"changes"`
	Rollouts []RolloutShown  `json:"rollouts"`
	Upgrades []Decision      `json:"upgrades"` // dragons whose turn it is in a rollout of firmware
	Firmware []FirmwareShown `json:"firmware"` // rollouts of firmware
	Breakers []Breaker       `json:"breakers"` // that are not closed
	Budgets  []BudgetUse     `json:"budgets"`
	Pauses   []Pause         `json:"pauses"`
	Waiting  []Waiting       `json:"waiting,omitempty"` // what sick dragons wait for, the longest wait first

	Pools    []CauseState `json:"pools"`
	Domains  []CauseState `json:"domains"`
	External *GateState   `json:"external,omitempty"` // nil: the policy has none

	ClockTrusted bool `json:"clock_trusted"`
	ClockJumps   int  `json:"clock_jumps"`
	SafeMode     bool `json:"safe_mode"`
	SiteHot      bool `json:"site_hot"`

	News `json:"-"`
}

// News is what happened in the cycle that made a plan. It is told once.
type News struct {
	Audit    []Audit     // a record per changed decision, or per hour
	Ended    []Ended     // actions whose outcome became known
	Restarts []Restarted // restarts that were seen
	Reverted []string    // workers whose configuration was found changed externally
}

// Time gives the time of day of a moment.
func (p *Plan) Time(m Moment) time.Time { return p.Wall.Add(time.Duration(m - p.At)) }

// Counts is the fleet in numbers.
type Counts struct {
	Fleet     int           `json:"fleet"` // known
	N         int           `json:"n"`     // that the limits are computed from
	States    map[State]int `json:"states"`
	Sick      int           `json:"sick"`      // as the storm breaker counts
	Storm     int           `json:"storm"`     // its limit
	Silent    int           `json:"silent"`    // unreachable, as the breakers count
	Slow      int           `json:"slow"`      // asked less often, since their answers take long
	Shifted   int           `json:"shifted"`   // that are to run in a cooler mode, until the heat is over
	Curtailed int           `json:"curtailed"` // that are to run in the mode of a curtailment, until it is over
	Blocked   map[Gate]int  `json:"blocked"`   // dragons that wait for a gate

	Untreated Span `json:"untreated_s"` // how long a sick dragon has been left alone, at most
}

// Ended is an action whose outcome became known.
type Ended struct {
	MAC    string
	Action Action
	Sick   time.Duration // how long the dragon was sick until it recovered
}

// Restarted is a restart of a dragon that its clock showed.
type Restarted struct {
	MAC, Worker string
	RestartSeen
}

// Decision says what is to be done with one dragon, and why. It is data for people
// and machines: the plan's table, its JSON, the audit and the metrics are made of it.
type Decision struct {
	Who
	Named
	State  State  `json:"state"`
	Since  Moment `json:"since"`
	Reason Reason `json:"reason,omitempty"`
	Verb   Verb   `json:"decision,omitempty"`
	Kind   Kind   `json:"action,omitempty"`
	Rung   int    `json:"rung,omitempty"`
	Rungs  int    `json:"rungs,omitempty"`
	// Step names the rung among those of its kind: reboot, reboot#2. Skipped are the steps
	// that are passed over, since they do not help the model, or not as well.
	Step    string   `json:"step,omitempty"`
	Skipped []string `json:"skipped,omitempty"`

	Slot int `json:"board"` // that it is about; -1: none in particular
	// Sensors is the number of boards whose temperature is missing, implausible or frozen.
	Sensors int `json:"sensor_faults,omitempty"`

	Evidence Shown       `json:"evidence"`
	Gates    []GateState `json:"gates,omitempty"` // from cheap to dear; only where an action is wanted
	Blocked  Gate        `json:"blocked_by,omitempty"`
	Note     string      `json:"note,omitempty"` // why nothing is done, in words
	Benefit  *Benefit    `json:"benefit,omitempty"`
	In       Until       `json:"in"` // how long until the closed gates may open, as far as that is known
	ActionID string      `json:"action_id,omitempty"`
	Last     *LastAction `json:"last_action,omitempty"`
	Desired  *SyncStatus `json:"wish,omitempty"` // nil: it has no desired state

	Change  *ConfigStep   `json:"change,omitempty"`  // of a Configure for a desired state
	Upgrade *FirmwareStep `json:"upgrade,omitempty"` // nil: it belongs to no rollout of firmware
}

// ConfigStep is what a decision writes to a dragon's configuration. The desired state
// itself holds passwords and is not in it: see Memory.Desired.
type ConfigStep struct {
	Rollout string `json:"rollout"` // its ID
	Items   []Item `json:"items"`
	Restore bool   `json:"restore,omitempty"` // a rollback: back to what the dragon had
	Heat    bool   `json:"heat,omitempty"`    // against heat, by the healer itself
	Curtail bool   `json:"curtail,omitempty"` // begins or ends a curtailment, and nothing else
}

// FirmwareStep is what a decision is to a rollout of firmware: an upload, or a canary's
// extra reboot.
type FirmwareStep struct {
	Rollout string          `json:"rollout"` // its ID
	Wave    int             `json:"wave"`
	Release FirmwareRelease `json:"release"`
	Before  Condition       `json:"before"`
	Reboot  bool            `json:"reboot,omitempty"`
}

// LastAction is the newest write to a dragon that is remembered, and what became of it.
type LastAction struct {
	Kind    Kind      `json:"action"`
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome,omitempty"` // empty until its verdict is in
}

// Span is a duration that is written in seconds where people and machines read it.
type Span time.Duration

// MarshalJSON writes seconds.
func (s Span) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).Seconds()) }

// UnmarshalJSON reads seconds.
func (s *Span) UnmarshalJSON(data []byte) error {
	var v float64
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*s = Span(seconds(v))
	return nil
}

// Until is a time to wait; Known is false where only an event can end it.
type Until struct {
	For   Span `json:"for_s"`
	Known bool `json:"known"`
}

// Shown is the evidence in numbers. Unknown numbers are -1.
type Shown struct {
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
	Bad       int     `json:"samples_bad"`
	Of        int     `json:"samples_total"`
	For       Span    `json:"window_s"` // since the first bad sample
	Uptime    float64 `json:"uptime_s"`
	Elapsed   float64 `json:"miner_uptime_s"`
	Tuning    bool    `json:"tuning"`
	TuningFor Span    `json:"tuning_s,omitempty"`
	Rate      float64 `json:"rate"`
	Baseline  float64 `json:"baseline"`
	Hottest   float64 `json:"hottest"`
	FanDuty   float64 `json:"fan_duty"`
	Boards    int     `json:"boards"`
	Alive     int     `json:"boards_alive"`
	Expected  int     `json:"boards_expected"`
}

// GateState is the answer of one gate.
type GateState struct {
	Name   Gate   `json:"name"`
	Open   bool   `json:"open"`
	Detail string `json:"detail,omitempty"`
	Wait   Until  `json:"wait"`
}

// BudgetUse is how much of a limit is used.
type BudgetUse struct {
	Scope  string `json:"scope"`
	Window Span   `json:"window_s"` // 0: in flight
	Used   int    `json:"used"`
	Limit  int    `json:"limit"`
}

// Benefit is what a reboot is expected to bring and to cost, in hashes.
type Benefit struct {
	Chance float64 `json:"p"`
	Gain   float64 `json:"gain"`
	Cost   float64 `json:"cost"`
	Known  bool    `json:"known"` // false: there was nothing to compute it from
}

// CauseState is a pool or a fault domain as the fleet sees it.
type CauseState struct {
	Name    string `json:"name"`
	Members int    `json:"members"`
	Bad     int    `json:"bad"`
	Limit   int    `json:"limit"`
	Down    bool   `json:"down"`
	Held    bool   `json:"held"` // down, or so short a time ago that its members are left alone
}

// BreakerState returns the state of the first breaker of a name.
func (p *Plan) BreakerState(name string) BreakerState {
	if b := find(p.Breakers, func(b *Breaker) bool { return b.Name == name }); b != nil {
		return b.State
	}
	return BreakerClosed
}

// Find is the decision about a dragon, by worker, MAC or address; nil: there is none.
func (p *Plan) Find(target string) *Decision {
	mac, _ := dragon.ParseMAC(target)
	return find(p.Dragons, func(d *Decision) bool { return d.Worker == target || d.Address == target || mac != "" && d.MAC == mac })
}

// ChangeOf is the decision to configure a dragon; nil if there is none.
func (p *Plan) ChangeOf(mac string) *Decision {
	return find(p.Changes, func(d *Decision) bool { return d.MAC == mac })
}

// Exit codes of the plan command.
const (
	ExitNothing = 0
	ExitError   = 1
	ExitAct     = 2 // something is done now, or would be
	ExitBlocked = 3 // something waits for a gate
)

// ExitCode is ExitAct if the plan acts now, ExitBlocked if something only waits, else
// ExitNothing.
func (p *Plan) ExitCode() int {
	code := ExitNothing
	for _, list := range [][]Decision{p.Dragons, p.Upgrades, p.Changes} {
		for i := range list {
			switch list[i].Verb {
			case Act, WouldAct:
				return ExitAct
			case Blocked, Wait:
				code = ExitBlocked
			}
		}
	}
	return code
}

// BlockedBy lists the gates that are closed; where none is, it is why nothing is done.
func (d *Decision) BlockedBy() string {
	if d.Blocked == "" {
		return d.Note
	}
	return d.ClosedGates()
}

// ClosedGates lists the gates that are closed.
func (d *Decision) ClosedGates() string {
	var closed []string
	for _, g := range Closed(d.Gates) {
		closed = append(closed, string(g.Name))
	}
	return strings.Join(closed, ", ")
}

// Closed are the gates that are closed.
func Closed(gates []GateState) (closed []GateState) {
	for _, g := range gates {
		if !g.Open {
			closed = append(closed, g)
		}
	}
	return closed
}

// Finding is what the detector of the decision's reason has found, in a few words.
func (d *Decision) Finding() string { return describe(d.Reason, &d.Evidence, d.Slot) }

// WhatBlocks says which gate is in the way first, and why.
func (d *Decision) WhatBlocks() string {
	for _, g := range d.Gates {
		if g.Name == d.Blocked && g.Detail != "" {
			return string(g.Name) + ": " + g.Detail
		}
	}
	return string(d.Blocked)
}
