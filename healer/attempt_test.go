package healer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// A decision from before another write waits for a plan that knows of that write.
func TestAWriteAfterThePlanHoldsWhatItAllowed(t *testing.T) {
	t.Parallel()
	d := Decision{Who: Who{MAC: "a"}, Verb: Act, Kind: Restart}
	s, a := Standing{Memory: NewMemory(), Plan: &Plan{At: 5, Dragons: []Decision{d}}}, &Attempt{decision: d}
	s.Memory.Fleet.Ring = []FleetAction{{MAC: "b", At: 4}}
	if _, err := a.stillWanted(s); err != nil {
		t.Error(err)
	}
	s.Memory.Fleet.Ring = append(s.Memory.Fleet.Ring, FleetAction{MAC: "b", At: 6})
	if _, err := a.stillWanted(s); err == nil {
		t.Error("it goes out in spite of a write that its plan does not know of")
	}
}

func TestADragonThatHasChangedSinceTheDecisionIsSentNothing(t *testing.T) {
	t.Parallel()
	policy := DefaultPolicy()
	a := &Attempt{policy: &policy, decision: Decision{
		Who:     Who{MAC: "a", Model: "T1", HWVer: "g19", Firmware: "t1_20180515_060842"},
		Upgrade: &FirmwareStep{Release: aRelease()},
	}}
	for name, c := range map[string]struct {
		change func(*Reply)
		says   string
	}{
		"the same":        {func(*Reply) {}, ""},
		"another dragon":  {func(r *Reply) { r.Who.MAC = "b" }, "expected MAC a, found"},
		"upgraded":        {func(r *Reply) { r.Who.Firmware = newer }, "it runs " + newer + " by now"},
		"another model":   {func(r *Reply) { r.Who.Model = "T2" }, "T2"},
		"another board":   {func(r *Reply) { r.Who.HWVer = "soc" }, "soc"},
		"memory is short": {func(r *Reply) { r.MemoryFree = dragon.Known(80e6) }, "memory"},
		"memory unknown":  {func(r *Reply) { r.MemoryFree = dragon.Number{} }, "memory"},
	} {
		r := Reply{Who: a.decision.Who, MemoryFree: dragon.Known(150e6)}
		c.change(&r)
		err := a.recognize(r)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// writeOrder is the order of one write as the package's documentation tells it: the steps,
// and how many looks each caller gets.
func writeOrder(t *testing.T) (steps []StepKind, looks map[string]int) {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(doc), "carried out by an Attempt")
	looks = make(map[string]int)
	for line := range strings.Lines(list) {
		line, listed := strings.CutPrefix(line, "//\t")
		if !listed {
			if len(steps) > 0 {
				break
			}
			continue
		}
		words := strings.Fields(line)
		steps = append(steps, StepKind(words[0]))
		if _, counts, ok := strings.Cut(line, ": "); ok && words[0] == string(Look) {
			for count := range strings.SplitSeq(strings.TrimSpace(counts), ", ") {
				var who string
				var n int
				if _, err := fmt.Sscanf(count, "%s %d", &who, &n); err != nil {
					t.Fatalf("%q: %v", count, err)
				}
				looks[who] = n
			}
		}
	}
	return steps, looks
}

// attempted carries out the first decision to act, and returns the attempt and its steps.
// meddle is called before each Next.
func (f *farm) attempted(d *Decision, actor string, meddle func(StepKind)) (*Attempt, []StepKind) {
	f.t.Helper()
	u, host := f.unit(d.MAC), f.host
	has := u.has
	has.HasPools, has.HasMode = true, true
	a := NewAttempt(*d, actor, false, f.seen, f.mem, &f.policy)
	standing := func() Standing {
		return Standing{Now: f.now, Host: host, Memory: f.mem, Policy: &f.policy, View: f.seen, Plan: f.plan}
	}
	var steps []StepKind
	for {
		step := a.Next(standing())
		if step.Do == Finished {
			return a, steps
		}
		steps = append(steps, step.Do)
		facts := f.facts(u)
		r := Reply{Facts: &facts, Who: facts.Who, MemoryFree: facts.MemoryFree, Configured: &has}
		if step.Do == Send {
			r = Reply{Result: Accepted}
		}
		if err := a.Done(standing(), step, r); err != nil {
			f.t.Fatal(err)
		}
		if len(steps) > 20 {
			f.t.Fatalf("no end of it: %v", steps)
		}
		if meddle != nil {
			meddle(step.Do)
			host = f.host
		}
	}
}

// attempts are decisions of every kind that is carried out in its own way.
func attempts(t *testing.T) map[string]func() (f *farm, d *Decision, actor string) {
	first := func(f *farm, list func() []Decision) *Decision {
		f.sends = false
		for range 3 * 60 {
			f.tick()
			for _, d := range list() {
				if d.Verb == Act {
					return &d
				}
			}
		}
		t.Fatal("no dragon is acted on")
		return nil
	}
	return map[string]func() (*farm, *Decision, string){
		"ladder": func() (*farm, *Decision, string) {
			f := newFarm(t, 20).settle()
			killBoard(f.units[3], 1, 60)
			return f, first(f, func() []Decision { return f.plan.Dragons }), ""
		},
		"rollout": func() (*farm, *Decision, string) {
			f := configuredFarm(t, 20)
			f.desire("typo", poolTypo, "balanced")
			d := first(f, func() []Decision { return f.plan.Changes })
			return f, d, d.Actor()
		},
		"firmware": func() (*farm, *Decision, string) {
			f := newFarm(t, 20).settle()
			f.sends = false
			rollOut(f)
			d := first(f, func() []Decision { return f.plan.Upgrades })
			return f, d, d.Actor()
		},
		"request": func() (*farm, *Decision, string) {
			f := newFarm(t, 20).settle()
			d := Ask(f.now, f.seen, f.mem, &f.policy, Request{MAC: f.units[5].who.MAC, Kind: Reboot, Actor: "user:ann", Note: "a test"})
			if d.Verb != Act {
				t.Fatalf("blocked by %s", d.Blocked)
			}
			return f, &d, "user:ann"
		},
	}
}

// The package's documentation tells the order in which a write is carried out.
func TestAWriteGoesAsDocumented(t *testing.T) {
	t.Parallel()
	documented, looks := writeOrder(t)
	if len(documented) != 6 || len(looks) != 3 {
		t.Fatalf("documented: %v, looks %v", documented, looks)
	}
	looks["firmware"] = looks["rollout"]
	for name, decided := range attempts(t) {
		f, d, actor := decided()
		a, steps := f.attempted(d, actor, nil)
		want := append(slices.Repeat(documented[:1], looks[name]), documented[1:]...)
		if !slices.Equal(steps, want) || a.Err() != nil || a.Action().Result != Accepted {
			t.Errorf("%s: %v (%v), documented %v", name, steps, a.Err(), want)
		}
	}
}

// Whatever forbids a write between two of its steps is noticed before the next, and right
// before the send too. What was intended by then stays charged.
func TestAWriteStopsAtAnyStep(t *testing.T) {
	t.Parallel()
	for what, forbid := range map[string]func(f *farm){
		"STOP": func(f *farm) { f.host.Stop = true },
		"a pause": func(f *farm) {
			if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Paused, Scope: "fleet", Owner: "ann", Reason: "r"}); err != nil {
				f.t.Fatal(err)
			}
		},
		"a full disk": func(f *farm) { f.host.StateWritable = false },
	} {
		for name, decided := range attempts(t) {
			documented, looks := writeOrder(t)
			looks["firmware"] = looks["rollout"]
			last := looks[name] + slices.Index(documented, Send) - 1 // steps before the send
			for n := 1; n <= last; n++ {
				f, d, actor := decided()
				done := 0
				a, steps := f.attempted(d, actor, func(StepKind) {
					if done++; done == n {
						forbid(f)
					}
				})
				if slices.Contains(steps, Send) || a.Err() == nil {
					t.Errorf("%s after step %d of %s: %v (%v)", what, n, name, steps, a.Err())
				}
				if intended := slices.Contains(steps, Persist); intended && a.Action().Result != NotSent {
					t.Errorf("%s after step %d of %s: result %q, want not_sent", what, n, name, a.Action().Result)
				}
			}
		}
	}
}

// What a person wants is asked about again when its intent is made, unless it is forced: several people
// may want something at once.
func TestARequestWaitsForOneThatCameFirst(t *testing.T) {
	t.Parallel()
	for force, want := range map[bool]string{false: "not sent: blocked by in_flight meanwhile: 1/1", true: "<nil>"} {
		f := newFarm(t, 40).settle()
		var both []*Attempt
		standing := Standing{Now: f.now, Host: f.host, Memory: f.mem, Policy: &f.policy, View: f.seen, Plan: f.plan}
		for _, i := range []int{5, 25} {
			d := Ask(f.now, f.seen, f.mem, &f.policy, Request{MAC: f.units[i].who.MAC, Kind: Reboot, Actor: "user:ann", Force: force})
			if d.Verb != Act {
				t.Fatalf("blocked by %s", d.Blocked)
			}
			both = append(both, NewAttempt(d, "user:ann", force, f.seen, f.mem, &f.policy))
		}
		for _, a := range both {
			if err := a.Done(standing, a.Next(standing), Reply{Who: a.Decision().Who}); err != nil {
				t.Fatal(err)
			}
		}
		if err := fmt.Sprint(both[1].Err()); both[0].Err() != nil || err != want {
			t.Errorf("force %t: the first: %v; the second: %s, want %s", force, both[0].Err(), err, want)
		}
	}
}

// A dragon that cannot be looked at again does not keep the next one from its turn.
func TestADragonThatCannotBeWrittenToLetsOthersGoFirst(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 20).settle()
	f.sends = false
	killBoard(f.units[3], 0, 60)
	killBoard(f.units[7], 0, 60)
	for f.of(3).Verb != Act {
		f.tick()
	}
	a := NewAttempt(*f.of(3), "", false, f.seen, f.mem, &f.policy)
	s := Standing{Now: f.now, Host: f.host, Memory: f.mem, Policy: &f.policy, View: f.seen, Plan: f.plan}
	if err := a.Done(s, a.Next(s), Reply{Err: errors.New("no answer")}); err != nil || a.Err() == nil {
		t.Fatalf("%v, %v", err, a.Err())
	}
	f.tick()
	if d, next := f.of(3), f.of(7); d.Blocked != GateGap || next.Verb != Act {
		t.Errorf("it is %s by %q, the next one %s", d.Verb, d.Blocked, next.Verb)
	}
	f.run(unsentGap)
	if d := f.of(3); d.Verb != Act {
		t.Errorf("%s later it is %s by %q", unsentGap, d.Verb, d.Blocked)
	}
}
