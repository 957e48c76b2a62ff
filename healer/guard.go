package healer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PolicyView is the fleet as a policy sees it: with its own fault domains and profiles.
type PolicyView struct {
	By   *Policy
	View *View
}

// Found is what a policy finds wrong with a dragon by its newest sample.
type Found struct {
	Worker   string `json:"worker"`
	Reason   Reason `json:"reason"`
	Evidence string `json:"evidence"` // in words
}

// Guarded is what the config guard found, by worker.
type Guarded struct {
	Newly []Found `json:"newly"` // what the new policy calls bad and the old one does not
	Over  []Found `json:"over"`  // the other way round
	Limit int     `json:"limit"` // of Newly
}

// ErrGuard says that a new policy makes too many dragons sick at once.
var ErrGuard = errors.New("the new policy would call too many dragons sick")

// Guard dry-runs a new policy on what is seen now. Nothing is folded into mem. Every
// detector's newest sample is judged by both policies, without waiting for durations:
// a typing error spoils thresholds.
func Guard(now Instant, mem *Memory, before, after PolicyView) (Guarded, error) {
	was, is := judged(now, mem, before), judged(now, mem, after)
	lacks := func(from, in map[string]Found) (out []Found) {
		for _, mac := range sortedKeys(from) {
			if _, ok := in[mac]; !ok {
				out = append(out, from[mac])
			}
		}
		return out
	}
	b := &after.By.Breakers
	g := Guarded{Newly: lacks(is, was), Over: lacks(was, is), Limit: atLeast(b.GuardShare, len(after.View.Dragons), b.GuardFloor)}
	if len(g.Newly) > g.Limit {
		return g, fmt.Errorf("%w: %d, at most %d", ErrGuard, len(g.Newly), g.Limit)
	}
	return g, nil
}

// judged is what a policy finds wrong, by MAC.
func judged(now Instant, mem *Memory, seen PolicyView) map[string]Found {
	c := survey(now, seen.View, mem.Clone(), seen.By)
	out := make(map[string]Found)
	for _, s := range c.all {
		if s.conflict || !s.w.seen || !s.f.HasSample {
			continue
		}
		e := c.detectorInput(s)
		for i := range detectors {
			d := &detectors[i]
			if d.maxRung == 0 || e.muted&d.mutes != 0 || !e.old(d) {
				continue
			}
			if f := d.judge(e); f.verdict == bad {
				shown := c.shown(s)
				shown.Value, shown.Threshold = f.value, f.threshold
				out[s.f.MAC] = Found{s.f.Worker, d.reason, describe(d.reason, &shown, f.slot)}
				break
			}
		}
	}
	return out
}

// WorkersOf lists the workers that something was found about, at most ten.
func WorkersOf(list []Found) string {
	const most = 10
	var b strings.Builder
	for i := range list[:min(len(list), most)] {
		b.WriteString(" " + list[i].Worker)
	}
	if n := len(list) - most; n > 0 {
		fmt.Fprintf(&b, " and %d more", n)
	}
	return strings.TrimPrefix(b.String(), " ")
}

// Comparison is what another policy would make of the fleet as it is seen now.
type Comparison struct {
	InForce string `json:"in_force"` // the policies' names in the audit
	Other   string `json:"other"`
	Judged  int    `json:"judged"`            // dragons that could be: with a reading
	Refused string `json:"refused,omitempty"` // why it would not be taken over
	Guarded
	Changes []Change `json:"changes"` // decisions that would differ, by MAC
	Desired int      `json:"wishes"`  // dragons whose desired pools, autotune mode or firmware would differ
}

// Change is a decision as it is and as it would be. It rests on the evidence that has
// been gathered by the policy in force: what the other one finds wrong for the first
// time is in Guarded, and becomes a decision when there is enough of it.
type Change struct {
	Before Decision `json:"before"`
	After  Decision `json:"after"`
}

// Compare dry-runs another policy beside the one in force. Nothing is folded into mem.
func Compare(now Instant, mem *Memory, before, after PolicyView) *Comparison {
	x := &Comparison{InForce: before.By.Hash(), Other: after.By.Hash()}
	var err error
	if x.Guarded, err = Guard(now, mem, before, after); err != nil {
		x.Refused = err.Error()
	}
	was, is := Decide(now, before.View, mem.Clone(), before.By), Decide(now, after.View, mem.Clone(), after.By)
	type key struct{ mac, address string } // of two in conflict each has its own address
	then := make(map[key]*Decision, len(is.Dragons))
	for i := range is.Dragons {
		then[key{is.Dragons[i].MAC, is.Dragons[i].Address}] = &is.Dragons[i]
	}
	for i := range was.Dragons {
		a := &was.Dragons[i]
		if a.Evidence.Boards > 0 {
			x.Judged++
		}
		if b := then[key{a.MAC, a.Address}]; b != nil && b.Brief() != a.Brief() {
			x.Changes = append(x.Changes, Change{*a, *b})
		}
	}
	x.Desired = desiredStatesThatDiffer(before.View, after.View)
	slices.SortStableFunc(x.Changes, func(a, b Change) int { return strings.Compare(a.Before.MAC, b.Before.MAC) })
	return x
}

func desiredStatesThatDiffer(before, after *View) (n int) {
	type desired struct{ key, firmware string }
	of := func(f *Facts) (w desired) {
		if f.Desired != nil {
			w = desired{f.Desired.Key, f.Desired.Firmware}
		}
		return w
	}
	was := make(map[string]desired, len(before.Dragons))
	for i := range before.Dragons {
		was[before.Dragons[i].MAC] = of(&before.Dragons[i])
	}
	for i := range after.Dragons {
		if w, known := was[after.Dragons[i].MAC]; known && w != of(&after.Dragons[i]) {
			n++
		}
	}
	return n
}

// differences is how many dragons the other policy would change anything for.
func (x *Comparison) differences() int {
	return len(x.Newly) + len(x.Over) + len(x.Changes) + x.Desired
}

// Brief is a decision in words that change only when it does.
func (d *Decision) Brief() string {
	s := strings.TrimSpace(string(d.State) + " " + string(d.Reason))
	switch d.Verb {
	case Act, WouldAct:
		return fmt.Sprintf("%s: %s %s", s, strings.ReplaceAll(string(d.Verb), "_", " "), d.Kind)
	case Blocked:
		return fmt.Sprintf("%s: %s blocked by %s", s, d.Kind, d.BlockedBy())
	}
	return s
}

// Empty reports whether the two policies differ in nothing that can be seen.
func (x *Comparison) Empty() bool {
	return x.InForce == x.Other && x.differences() == 0
}

// ExitCode is that of the plan command: for a policy that would be refused
// ExitBlocked, for one that changes anything ExitAct.
func (x *Comparison) ExitCode() int {
	switch {
	case x.Refused != "":
		return ExitBlocked
	case x.differences() > 0:
		return ExitAct
	}
	return ExitNothing
}
