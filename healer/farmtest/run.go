package farmtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Options change how a script is run.
type Options struct {
	KillAt     int  // kill the healer after this commit; 0: never
	KillBefore int  // the same, before it
	CheckStore bool // I23 at every commit
	CheckPlan  int  // I18 in every so manieth cycle; 0: never
	Policy     *healer.Policy
	Prepare    func(*World, *Healer) // before the first step
	Enough     func(*Oracle) bool    // ends the run early
}

// Result is a farm at the end of its script.
type Result struct {
	World  *World
	Healer *Healer
	Oracle *Oracle
}

// Run runs a script with a healer, under the eyes of the oracle.
func Run(s *Script, o Options) *Result {
	w := NewWorld(s)
	policy := s.Policy
	if o.Policy != nil {
		policy = *o.Policy
	}
	h := NewHealer(w, policy)
	h.KillAt, h.KillBefore = o.KillAt, o.KillBefore
	oracle := NewOracle(w, h)
	oracle.CheckStore, oracle.CheckPlan = o.CheckStore, o.CheckPlan
	if o.Prepare != nil {
		o.Prepare(w, h)
	}
	for w.Now < s.Run {
		w.Step()
		h.Tick(w)
		oracle.Step(h)
		if o.Enough != nil && o.Enough(oracle) {
			break
		}
	}
	return &Result{w, h, oracle}
}

// Leave runs a script with another caretaker of the farm, or none.
func Leave(s *Script, k Keeper) *World {
	w := NewWorld(s)
	w.healer = &Healer{Policy: s.Policy, world: w}
	for w.Now < s.Run {
		w.Step()
		k.Tick(w)
	}
	return w
}

// Harm checks that the farm did not do worse than without a healer (I4) by more than
// half a percent, or, where farm and time are small, than an hour and a half of each
// dragon that was written to: what a ladder costs that does not help. What the mode efficient costs
// is wanted. Where reboots break boards, no more than two dragons may have been broken.
func (r *Result) Harm(without *World) error {
	if n := r.World.broken; n > 0 {
		if n > 2 {
			return fmt.Errorf("I10 %d dragons were broken by reboots", n)
		}
		return nil
	}
	allowed := r.World.eased
	spoilt := 0
	for _, d := range r.World.Dragons {
		if d.spoilt() { // what a canary is for
			if spoilt++; spoilt > 1 {
				return fmt.Errorf("I12 %d dragons were spoilt by firmware", spoilt)
			}
			allowed += d.Nominal() * r.World.Now.Seconds()
			continue
		}
		if slices.ContainsFunc(r.Oracle.sent, func(x sent) bool { return x.want == d.N }) {
			allowed += d.Nominal() * (90 * time.Minute).Seconds()
		}
	}
	if with, alone := r.World.Earned(), without.Earned(); alone-with > max(0.005*alone, allowed) {
		return fmt.Errorf("I4 the farm hashed %.2f%% less than without a healer", 100*(1-with/alone))
	}
	return nil
}

// Log is the audit log, and what the dragons saw.
func (r *Result) Log() string {
	var b strings.Builder
	lines := r.Healer.Audit
	for i := 0; i < len(lines); {
		// What is said of many dragons at the same time is told once.
		n := 1
		for i+n < len(lines) && anonymous(lines[i+n]) == anonymous(lines[i]) {
			n++
		}
		if n > 3 {
			fmt.Fprintf(&b, "%s  [the first of %d]\n", lines[i], n)
			i += n
			continue
		}
		b.WriteString(lines[i])
		b.WriteByte('\n')
		i++
	}
	kinds := map[healer.Kind]int{}
	for _, x := range r.World.Writes {
		if x.ID != "" {
			kinds[x.Kind]++
		}
	}
	if n := kinds[healer.Upgrade]; n > 0 {
		fmt.Fprintf(&b, "= %d upgrades\n", n)
	}
	fmt.Fprintf(&b, "= %d restarts, %d reboots, %.2f%% of the hash lost\n", kinds[healer.Restart], kinds[healer.Reboot], 100*r.World.Lost())
	return b.String()
}

// anonymous is a line of the log without the dragon's name.
func anonymous(l string) string {
	i := strings.Index(l, " dragon-")
	if i < 0 {
		return l
	}
	return l[:i] + l[min(len(l), i+len(" dragon-45000000")):]
}
