package healer

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Audit is one line of audit.jsonl: a changed decision, an action's outcome, or a
// breaker. It has no secrets. The agent adds seq and healer_id.
type Audit struct {
	At       time.Time `json:"ts"`
	Seq      int       `json:"seq"`
	Epoch    int       `json:"epoch"`
	HealerID string    `json:"healer_id,omitempty"`
	// Generation is that of the state when the line was said: a state that is older later on
	// is a backup that was restored.
	Generation uint64      `json:"generation,omitempty"`
	Mode       Mode        `json:"mode,omitempty"`
	MAC        string      `json:"mac,omitempty"`
	Worker     string      `json:"worker,omitempty"`
	IP         string      `json:"ip,omitempty"`
	Model      string      `json:"model,omitempty"`
	Firmware   string      `json:"firmware,omitempty"`
	Domain     string      `json:"domain,omitempty"`
	Pool       string      `json:"pool,omitempty"`
	Decision   Verb        `json:"decision"`
	State      State       `json:"state,omitempty"`
	Action     Kind        `json:"action,omitempty"`
	Rung       int         `json:"rung,omitempty"`
	Reason     Reason      `json:"reason,omitempty"`
	Evidence   *Shown      `json:"evidence,omitempty"`
	Gates      []GateState `json:"gates,omitempty"` // those that are closed; all of them where the decision is to act
	Budget     []BudgetUse `json:"budget,omitempty"`
	Benefit    *Benefit    `json:"benefit,omitempty"`
	ActionID   string      `json:"action_id,omitempty"`
	Result     *Sending    `json:"result,omitempty"`
	Verify     *Verified   `json:"verify,omitempty"`
	Actor      string      `json:"actor"`
	Config     string      `json:"config_hash,omitempty"`
	Note       string      `json:"note,omitempty"`
}

// Sending is what the actuator adds to the record of an action.
type Sending struct {
	SentAt  time.Time `json:"sent_at"`
	Status  int       `json:"http_status,omitempty"`
	Success bool      `json:"success"`
	Result  Result    `json:"result,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// Verified is what an action did, by the dragon's own clock and counters.
type Verified struct {
	Before  Sample  `json:"before"`
	After   *Sample `json:"after,omitempty"`
	Verdict Outcome `json:"verdict"`
}

const auditAgain = time.Hour // an unchanged decision is written again after this

// saying is what the audit said last about a dragon.
type saying struct {
	what string
	at   Moment
}

// record is the part of an audit record that says which dragon it is about.
func (c *cycle) record(s *subject, verb Verb) Audit {
	a := Audit{
		At: c.out.Wall, Epoch: c.m.Fleet.Epoch, Mode: s.p.Mode, MAC: s.f.MAC, Worker: s.f.Worker, IP: s.f.Address,
		Model: s.f.Model, Firmware: s.f.Firmware, Domain: s.f.Domain, Decision: verb, State: s.r.State, Reason: s.r.Reason,
		Actor: HealerActor, Config: c.m.Fleet.ConfigHash,
	}
	if p := find(s.f.Pools, func(p *PoolFacts) bool { return p.Active }); p != nil {
		a.Pool = p.URL
	}
	return a
}

func (c *cycle) audit(s *subject, verb Verb, note string) {
	a := c.record(s, verb)
	a.Note = note
	c.out.Audit = append(c.out.Audit, a)
}

func (c *cycle) auditBreaker(verb Verb, name, scope, detail string) {
	note := strings.TrimSpace("breaker " + name + " " + scope)
	if detail != "" {
		note += ": " + detail
	}
	c.out.Audit = append(c.out.Audit, Audit{At: c.m.run.time.last.Wall, Epoch: c.m.Fleet.Epoch, Decision: verb,
		Actor: HealerActor, Config: c.m.Fleet.ConfigHash, Note: note})
}

func (c *cycle) auditOutcome(s *subject, a *Action) {
	verb := Recovery
	if a.Outcome != Recovered {
		verb = Verb(a.Outcome)
	}
	r := c.record(s, verb)
	r.Action, r.Rung, r.Reason, r.ActionID, r.Actor, r.Note = a.Kind, a.Rung, a.Reason, a.ID, a.Actor, a.Note
	r.Verify = &Verified{a.Before, a.After, a.Outcome}
	c.out.Audit = append(c.out.Audit, r)
}

// auditDecisions says what is new: the verb, the state, the reason or the gates in
// the way. Changed numbers alone are not written, nor a dragon that is well or only suspect.
func (c *cycle) auditDecisions() {
	for i := range c.out.Dragons {
		d := &c.out.Dragons[i]
		key := d.MAC
		if d.State == StateConflict {
			key = d.MAC + "@" + d.Address
		}
		if d.State == StateSuspect {
			continue
		}
		last, said := c.m.run.lastAudited[key]
		if d.Verb == Nothing && d.State.Quiet() {
			if said {
				delete(c.m.run.lastAudited, key)
				c.out.Audit = append(c.out.Audit, c.decided(c.order[i], d, Recovery))
			}
			continue
		}
		what := d.what()
		if said && what == last.what && (d.Verb == Nothing || c.now.Since(last.at) < auditAgain) {
			continue
		}
		c.m.run.lastAudited[key] = saying{what, c.now}
		verb := d.Verb
		if verb == Nothing {
			verb = Changed
		}
		c.out.Audit = append(c.out.Audit, c.decided(c.order[i], d, verb))
	}
}

// AuditOf is the audit record of a decision that a plan has made.
func AuditOf(plan *Plan, mem *Memory, policy *Policy, d *Decision, verb Verb) Audit {
	c := &cycle{p: policy, m: mem, out: plan}
	return c.decided(&subject{f: mem.facts(d.MAC)}, d, verb)
}

// decided is the audit record of a decision about a dragon.
func (c *cycle) decided(s *subject, d *Decision, verb Verb) Audit {
	a := c.record(&subject{f: s.f, r: &Record{}, p: c.p.For(d.Profile)}, verb)
	a.State, a.Reason, a.Action, a.Rung, a.Benefit, a.ActionID, a.Note = d.State, d.Reason, d.Kind, d.Rung, d.Benefit, d.ActionID, d.Note
	evidence := d.Evidence
	a.Evidence = &evidence
	if d.Verb == Act || d.Verb == WouldAct {
		a.Gates, a.Budget = slices.Clone(d.Gates), c.out.Budgets
	} else {
		a.Gates = Closed(d.Gates)
	}
	return a
}

// Quiet reports whether a dragon in the state needs no attention.
func (s State) Quiet() bool {
	return s == StateNew || s == StateObserving || s == StateHealthy
}

// what is the part of a decision whose change makes a new line.
func (d *Decision) what() string {
	return fmt.Sprintf("%s %s %s %s %d %s", d.Verb, d.State, d.Reason, d.Kind, d.Rung, d.ClosedGates())
}
