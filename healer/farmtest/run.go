package farmtest

import (
	"fmt"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// Options change how a script is run.
type Options struct {
	KillAt     int  // kill the healer after this commit; 0: never
	CheckStore bool // I23 at every commit
	CheckPlan  bool // I18 at every cycle
	Policy     *healer.Policy
	Prepare    func(*World, *Healer) // before the first step
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
	h.KillAt = o.KillAt
	oracle := NewOracle(w, h)
	oracle.CheckStore, oracle.CheckPlan = o.CheckStore, o.CheckPlan
	if o.Prepare != nil {
		o.Prepare(w, h)
	}
	for w.Now < s.Run {
		w.Step()
		h.Tick(w)
		oracle.Step(h)
	}
	return &Result{w, h, oracle}
}

// Leave runs a script with somebody else, or nobody, looking after the farm.
func Leave(s *Script, k Keeper) *World {
	w := NewWorld(s)
	w.healer = &Healer{Policy: s.Policy, world: w}
	for w.Now < s.Run {
		w.Step()
		k.Tick(w)
	}
	return w
}

// Harm checks that the farm did not do worse than without a healer (I4), by more than
// half a percent.
func (r *Result) Harm(without *World) error {
	if with, alone := r.World.Earned(), without.Earned(); with < alone*0.995 {
		return fmt.Errorf("I4 the farm hashed %.2f%% less than without a healer", 100*(1-with/alone))
	}
	return nil
}

// Log is the audit log, and what the dragons saw.
func (r *Result) Log() string {
	var b strings.Builder
	for _, l := range r.Healer.Audit {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	kinds := map[healer.Kind]int{}
	for _, x := range r.World.Writes {
		if x.ID != "" {
			kinds[x.Kind]++
		}
	}
	fmt.Fprintf(&b, "= %d restarts, %d reboots, %.2f%% of the hash lost\n", kinds[healer.Restart], kinds[healer.Reboot], 100*r.World.Lost())
	return b.String()
}
