// Package notify tells people what the healer did: it sends events to webhooks. The events are
// made of audit records, so they say what audit.jsonl says.
package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Kind is what happened.
type Kind string

// The kinds of event.
const (
	Acted       Kind = "acted"       // something was sent to a dragon, or may have been: restart, reboot, configuration or firmware
	Healed      Kind = "healed"      // a restart or a reboot helped
	NotHealed   Kind = "not_healed"  // it did not, or made it worse
	Lost        Kind = "lost"        // a dragon did not come back after an action
	Quarantined Kind = "quarantined" // the healer no longer treats a dragon
	Released    Kind = "released"    // from the quarantine
	Held        Kind = "held"        // a breaker opened: the healer waits
	Latched     Kind = "latched"     // a breaker that waits for a person
	Resumed     Kind = "resumed"     // a breaker closed, or a pause ended
	Paused      Kind = "paused"      // a person paused the healer, or a maintenance began
	Rollout     Kind = "rollout"     // a rollout began, went on, ended or was aborted
	Found       Kind = "new"         // dragons were found
	Locked      Kind = "locked"      // a dragon refuses our credentials
	Policy      Kind = "policy"      // a new healing policy is in force, or was refused
)

// Kinds are all kinds.
func Kinds() []Kind {
	return []Kind{Acted, Healed, NotHealed, Lost, Quarantined, Released, Held, Latched, Resumed, Paused, Rollout, Found, Locked, Policy}
}

// DefaultKinds are those that a webhook is sent if nothing else is said.
func DefaultKinds() []Kind { return []Kind{Healed, Lost, Quarantined, Latched, Rollout, Found, Locked} }

// Event is what a webhook is told of one audit record. Its texts may come from a device.
type Event struct {
	Kind    Kind      `json:"event"`
	At      time.Time `json:"at"`
	Text    string    `json:"text"` // all of it in one line
	Worker  string    `json:"worker,omitempty"`
	MAC     string    `json:"mac,omitempty"`
	Address string    `json:"address,omitempty"`
	Model   string    `json:"model,omitempty"`
	Site    string    `json:"site,omitempty"`
	Place   string    `json:"place,omitempty"` // the name and labels that the operator gave it
	Reason  string    `json:"reason,omitempty"`
	Action  string    `json:"action,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	Actor   string    `json:"actor"`
	Note    string    `json:"note,omitempty"`
}

// EventOf is the event that an audit record tells; false if it tells none.
func EventOf(a *healer.Audit) (Event, bool) {
	kind := kindOf(a)
	if kind == "" {
		return Event{}, false
	}
	e := Event{
		Kind: kind, At: a.At.UTC(), Worker: a.Worker, MAC: a.MAC, Address: a.IP, Model: a.Model, Site: a.Domain,
		Reason: string(a.Reason), Action: string(a.Action), Actor: a.Actor, Note: a.Note,
	}
	if a.Verify != nil {
		e.Outcome = string(a.Verify.Verdict)
	}
	e.Text = e.text()
	return e, true
}

func kindOf(a *healer.Audit) Kind {
	switch {
	case a.Verify != nil:
		return verdict(a)
	case a.Result != nil && (a.Result.Success || a.Result.Result == healer.Unknown) && a.Decision == healer.Act:
		return Acted
	case a.Worker == "" && a.MAC == "" && (a.Action == healer.Configure || a.Action == healer.Upgrade): // of no dragon
		return Rollout
	}
	switch a.Decision {
	case healer.Sighted:
		return Found
	case healer.LockedOut:
		return Locked
	case healer.Quarantine:
		return Quarantined
	case healer.Release:
		return Released
	case healer.Adopt, healer.Refuse:
		return Policy
	case healer.Resume:
		return Resumed
	case healer.Hold:
		if breaker, ok := strings.CutPrefix(a.Note, "breaker "); ok {
			return heldOrLatched(breaker)
		}
		return Paused
	}
	return ""
}

func verdict(a *healer.Audit) Kind {
	switch heals := a.Action == healer.Restart || a.Action == healer.Reboot; {
	case a.Verify.Verdict == healer.LostOutcome:
		return Lost
	case heals && a.Verify.Verdict == healer.Recovered:
		return Healed
	case heals && slices.Contains([]healer.Outcome{healer.NoEffect, healer.Worse, healer.Relapsed}, a.Verify.Verdict):
		return NotHealed
	}
	return ""
}

// heldOrLatched tells breakers that close by themselves from those that wait for a person. An
// efficacy breaker of one step closes by itself, that of the whole ladder does not.
func heldOrLatched(breaker string) Kind {
	for _, latches := range []string{"harm", "rollout ", "efficacy ladder/"} {
		if strings.HasPrefix(breaker, latches) {
			return Latched
		}
	}
	return Held
}

func (e *Event) text() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	if e.Worker != "" {
		fmt.Fprintf(&b, ": %s", e.Worker)
		if about := strings.TrimSpace(e.Model + " " + e.Address); about != "" {
			fmt.Fprintf(&b, " (%s)", about)
		}
	}
	for _, part := range []struct{ before, text string }{{" by ", e.Action}, {", ", e.Reason}, {", ", e.Outcome}, {": ", e.Note}} {
		if part.text != "" {
			b.WriteString(part.before + part.text)
		}
	}
	return strings.Join(strings.Fields(healer.Text(b.String())), " ")
}
