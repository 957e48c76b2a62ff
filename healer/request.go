package healer

import (
	"fmt"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Request is a write that someone other than the ladder wants.
type Request struct {
	MAC   string
	Kind  Kind
	Actor string // user:name, rollout:name, enforce
	Note  string
	Force bool // skip policy, never identity, ceilings, or what keeps two writes apart
}

// Ask says whether such a write may go out now. Nothing is folded into mem.
func Ask(now Instant, view *View, mem *Memory, policy *Policy, r Request) Decision {
	c := decide(now, view, mem.Clone(), policy)
	s := c.byMAC[r.MAC]
	if s == nil {
		f := &Facts{Who: Who{MAC: r.MAC}}
		s = &subject{f: f, r: &Record{Who: f.Who}, w: newWatch(), p: &c.p.Default, conflict: true, fired: -1, suspect: -1}
	}
	var d Decision
	c.describe(s, &d)
	d.Kind, d.Reason, d.Note, d.Slot = r.Kind, "", r.Note, -1
	q := &gateRequest{c: c, s: s, kind: r.Kind}
	d.Gates = q.ask()
	if !dragon.UsableMAC(r.MAC) || !slices.Contains([]Kind{Restart, Reboot, Configure}, r.Kind) {
		d.Blocked = GateConflict
	}
	for i, g := range d.Gates {
		if g.Open || r.Force && !gateOf(g.Name).unforceable {
			continue
		}
		if d.Blocked == "" {
			d.Blocked, d.In = g.Name, d.Gates[i].Wait
		}
	}
	d.Verb = Act
	if d.Blocked != "" {
		d.Verb = Blocked
	}
	return d
}

// Unforceable is the first closed gate that force does not open; empty: force opens all of them.
func (d *Decision) Unforceable() Gate {
	for _, g := range append([]GateState{{Name: d.Blocked}}, d.Gates...) {
		if !g.Open && g.Name != "" && gateOf(g.Name).unforceable {
			return g.Name
		}
	}
	return ""
}

// Confirm looks at a dragon once more, just before it is acted on: the ladder's step
// zero. f is a reading that was made for this, after the decision; view is what the
// decision rests on. Nothing is folded into mem.
func Confirm(now Instant, view *View, mem *Memory, policy *Policy, d *Decision, f *Facts) error {
	c := survey(now, view, mem.Clone(), policy)
	s := c.byMAC[d.MAC]
	if s == nil || f.MAC != d.MAC {
		return fmt.Errorf("%s: expected MAC %s, found %q", d.Worker, d.MAC, f.MAC)
	}
	i := rank(d.Reason)
	idle := i < len(detectors) && detectors[i].bare && !f.HasSample // without a sample: that is what is wrong with it
	if !idle && !f.valid() || f.Status != Reached {
		return fmt.Errorf("%s: no valid reading (%s)", d.Worker, word(f.Status))
	}
	if f.At < s.f.At {
		return fmt.Errorf("%s: the reading is older than the decision", d.Worker)
	}
	if e, ok := f.Elapsed.Get(); ok && e < s.f.Elapsed.Or(e) {
		return fmt.Errorf("%s: it has restarted since the decision", d.Worker)
	}
	if d.Reason == "" || d.Change != nil {
		return nil
	}
	if i == len(detectors) {
		return fmt.Errorf("%s: no detector finds %q", d.Worker, d.Reason)
	}
	fresh := &subject{f: f, r: s.r, w: s.w.clone(), p: s.p, noWork: noWork(f), idle: s.idle, poolHeld: s.poolHeld, fine: s.fine}
	at := c.m.run.time.moment.Add(f.At - c.m.run.time.last.Mono)
	fresh.w.at = at
	fresh.w.measure(f, at)
	if v, ok := f.Tuning.Get(); ok && v != 0 && !s.w.tuning {
		return fmt.Errorf("%s: it has begun to tune", d.Worker)
	}
	e := c.detectorInput(fresh)
	found := detectors[i].judge(e)
	if found.verdict != bad || !e.old(&detectors[i]) {
		return fmt.Errorf("%s: no longer %s", d.Worker, d.Reason)
	}
	if muted := e.muted & detectors[i].mutes &^ found.despite; muted != 0 {
		return fmt.Errorf("%s: %s", d.Worker, muted)
	}
	return nil
}
