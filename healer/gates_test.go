package healer

import (
	"slices"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// past gives the unit an action that is over.
func (f *farm) past(i int, kind Kind, ago time.Duration, change func(*Action)) {
	a := Action{ID: "0-" + ago.String(), Kind: kind, Actor: "user:ann", Slot: -1, At: f.plan.At.Add(-ago), Result: Accepted, Outcome: NoEffect}
	if change != nil {
		change(&a)
	}
	r := f.record(i)
	r.Actions = append(r.Actions, a)
}

func (f *farm) open(name, scope string, state BreakerState) {
	f.mem.open(&Breaker{Name: name, Scope: scope, State: state, Since: f.plan.At, Until: f.plan.At.Add(time.Hour), Blind: f.plan.At, Detail: "test"})
}

// gateCase closes one gate, and no other, in front of a dragon that would be acted on.
type gateCase struct {
	before     func(*farm) // the dragon falls ill; default: unit 3 has a dead board
	close      func(*farm)
	ask        *Request // the question comes from a human or a rollout: unit 3's MAC is filled in
	stays      bool     // the gate is firm: force does not open it
	configures bool     // the question is whether unit 3 is configured
	rolls      bool     // the question comes from a rollout of firmware, about its canary
}

var byHand = &Request{Kind: Reboot, Actor: "user:ann"}

func gateCases() map[Gate]gateCase {
	healthy := func(*farm) {}
	desire := func(f *farm) { f.desire("house", "stratum+tcp://wanted.example:3333", "", 3) }
	breaker := func(name, scope string) func(*farm) {
		return func(f *farm) { f.open(name, scope, BreakerOpen) }
	}
	ring := func(ages ...time.Duration) func(*farm) {
		return func(f *farm) {
			for _, age := range ages {
				f.mem.Fleet.Ring = append(f.mem.Fleet.Ring, FleetAction{"0-0", "another " + age.String(), Restart, f.plan.At.Add(-age)})
			}
		}
	}
	flying := func(i int, actor string) func(*farm) {
		return func(f *farm) {
			f.past(i, Restart, 10*time.Minute, func(a *Action) {
				a.Outcome, a.Proof, a.Actor = Open, a.At, actor
			})
		}
	}
	return map[Gate]gateCase{
		GateStop:  {close: func(f *farm) { f.host.Stop = true }, stays: true},
		GateOwner: {close: func(f *farm) { f.host.Owner = false }, stays: true},
		GateStore: {close: func(f *farm) { f.host.StateWritable = false }, stays: true},
		GateClock: {close: func(f *farm) { f.now.Wall = f.now.Wall.Add(time.Hour) }},
		GateRecovered: {close: func(f *farm) {
			f.policy.Breakers.RecoveredObserve = 48 * time.Hour
			f.mem.Fleet.Recovered = &Mark{Reason: "test", At: f.plan.At.Add(-25 * time.Hour)}
		}},
		GateSafeMode: {close: func(f *farm) { f.mem.Fleet.SafeMode = &Mark{Reason: "test", At: f.plan.At} }},
		GatePause: {close: func(f *farm) {
			if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Paused, Scope: "model", Value: "T1", Owner: "ann", Reason: "test"}); err != nil {
				f.t.Fatal(err)
			}
		}},
		GateStart: {close: func(f *farm) { f.policy.StartSamples = 1000 }},
		GateConflict: {before: healthy, ask: byHand, stays: true, close: func(f *farm) {
			f.units[3].who.Conflict = true
		}},
		GateMaintenance: {before: healthy, ask: byHand, close: func(f *farm) {
			if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Maintained, Scope: "mac", Value: f.units[3].who.MAC, Owner: "ann", Reason: "test"}); err != nil {
				f.t.Fatal(err)
			}
		}},
		GateQuarantine: {before: healthy, ask: byHand, close: func(f *farm) {
			if err := f.mem.Quarantine(f.now, f.units[3].who.MAC, "ann", "test"); err != nil {
				f.t.Fatal(err)
			}
		}},
		GateLost: {before: healthy, ask: byHand, close: func(f *farm) {
			f.record(3).Lost = f.plan.At
			f.units[3].start = f.now.Mono + time.Minute // its clock stands still: no sample
			f.units[3].reach = Reached
			f.mem.run.dragons[f.units[3].who.MAC].at = f.plan.At.Add(time.Minute)
		}},
		GateFlapping: {before: healthy, ask: byHand, close: func(f *farm) { f.record(3).Flapping = f.plan.At }},
		GateNew:      {close: func(f *farm) { f.policy.NewSamples = 1000 }},
		GateFresh:    {close: func(f *farm) { revive(f.units[3], "") }}, // one good sample: not well yet
		GateYoung:    {before: healthy, ask: byHand, close: func(f *farm) { f.reboot(f.units[3]) }},
		GateTuning:   {before: healthy, ask: byHand, close: func(f *farm) { f.units[3].tuning = true }},
		GateConfig: {close: func(f *farm) {
			f.policy.Default.Device.MinGap = 0
			f.past(3, Configure, 20*time.Minute, nil)
		}},
		GateCooling: {before: func(f *farm) { killBoard(f.units[3], 0, 111) }, close: func(*farm) {}},
		GateWindow: {close: func(f *farm) {
			w := Window{Start: "02:00", Length: time.Hour}
			if err := w.Validate(); err != nil {
				f.t.Fatal(err)
			}
			f.policy.Windows = []Window{w}
		}},
		GateIsolation: {close: func(f *farm) { f.host.GatewayDown = true }},
		GateBoot:      {close: breaker("fleet_boot", "")},
		GatePool:      {close: breaker("pool", poolA)},
		GateDomain:    {close: breaker("domain", "row-0")},
		GateSchema:    {close: breaker("schema", "t1_20180515_060842")},
		GateForeign: {close: func(f *farm) {
			breaker("foreign", "")(f)
			r := f.record(3)
			r.Restarts = append(r.Restarts, RestartSeen{At: f.plan.At.Add(-50 * time.Minute), Cause: CauseUnknown})
		}},
		GateStorm:    {close: breaker("storm", "")},
		GateScope:    {close: breaker("scope", "model=T1")},
		GateEfficacy: {close: func(f *farm) { f.open("efficacy", "ladder/dead_board/T1", BreakerLatched) }},
		GateHarm:     {close: func(f *farm) { f.open("harm", "", BreakerLatched) }},
		GateInFlight: {before: healthy, ask: byHand, stays: true, close: func(f *farm) {
			f.policy.Fleet.InFlightMin, f.policy.Fleet.PerDomain, f.policy.Default.Device.MinGap = 5, 5, 0
			flying(3, HealerActor)(f)
		}},
		GateHold: {close: func(f *farm) {
			f.policy.Default.Device.MinGap = 0
			f.record(3).Rung = 1
			f.past(3, Restart, 20*time.Minute, func(a *Action) { a.Actor, a.Rung, a.Reason = HealerActor, 1, DeadBoard })
		}},
		GateInterval: {before: func(f *farm) { f.units[3].pools[0].Status = "Dead" }, close: func(f *farm) {
			f.past(3, Restart, time.Hour, func(a *Action) { a.Actor, a.Rung, a.Reason = HealerActor, 1, NoWorkLocal })
		}},
		GateGap: {close: func(f *farm) { f.past(3, Restart, 20*time.Minute, nil) }},
		GateDevice: {close: func(f *farm) {
			for _, ago := range []time.Duration{9 * time.Hour, 8 * time.Hour, 7 * time.Hour} {
				f.past(3, Restart, ago, nil)
			}
		}},
		GateBenefit: {close: func(f *farm) {
			f.record(3).Rung = 1
			f.past(3, Restart, 3*time.Hour, func(a *Action) { a.Actor, a.Rung, a.Reason = HealerActor, 1, DeadBoard })
			f.mem.Fleet.Tunes["T1"] = slices.Repeat([]float64{100_000}, 10)
		}},
		GateFlight: {close: func(f *farm) {
			f.units[15].who.Domain = "elsewhere"
			flying(15, HealerActor)(f)
		}},
		GateDomainSlots: {close: func(f *farm) {
			f.policy.Fleet.InFlightMin = 5
			flying(15, HealerActor)(f)
		}},
		GateRollouts: {before: healthy, ask: &Request{Kind: Configure, Actor: "rollout:pools"}, close: func(f *farm) {
			f.policy.Fleet.InFlightMin = 2
			f.units[15].who.Domain = "elsewhere"
			flying(15, "rollout:pools")(f)
		}},
		GateUnfit: {before: rollOut, rolls: true, close: func(f *farm) {
			for _, u := range f.units {
				u.memory = 70e6
			}
		}},
		GateUploads: {before: rollOut, rolls: true, close: func(f *farm) {
			f.mem.Fleet.Firmware = append(f.mem.Fleet.Firmware, &FirmwareRollout{RolloutHead: RolloutHead{ID: "f0", State: RolloutDone}})
			for _, i := range []int{8, 9} {
				f.past(i, Upgrade, 5*time.Minute, func(a *Action) { a.Result = Pending })
				f.record(i).Upgrade = &Upgrading{Rollout: "f0", Phase: UpgradeUploading, Since: f.plan.At, Action: f.record(i).Actions[0].ID}
			}
		}},
		GateSpacing:  {close: ring(-50 * time.Second)},
		GateHour:     {close: ring(40*time.Minute, 20*time.Minute)},
		GateDay:      {close: ring(5*time.Hour, 4*time.Hour, 3*time.Hour, 2*time.Hour)},
		GateExternal: {close: func(f *farm) { f.policy.External.Query = "up" }},
		GateRollout: {configures: true, before: desire, close: func(f *farm) {
			ro := f.mem.Fleet.Rollouts[0]
			ro.State, ro.Canary = RolloutCanary, f.units[15].who.MAC
			f.policy.Fleet.InFlightMin, f.units[15].who.Domain = 5, "elsewhere"
			f.record(15).Config = &ConfigRecord{Rollout: ro.ID}
			f.desire("house", "stratum+tcp://wanted.example:3333", "", 15)
			f.past(15, Configure, 5*time.Minute, func(a *Action) {
				a.Outcome, a.Change = Open, &ConfigChange{ConfigStep: ConfigStep{Rollout: ro.ID, Items: []Item{ItemPools}}}
			})
		}},
		GateWave: {configures: true, before: desire, close: func(f *farm) {
			for range 2 {
				f.mem.Fleet.Ring = append(f.mem.Fleet.Ring, FleetAction{"0-0", "x", Configure, f.plan.At.Add(-5 * time.Minute)})
			}
		}},
		GateCeiling: {stays: true, close: func(f *farm) { // the policy allows what Interlock does not
			f.policy.Default.Device.MinGap = 0
			f.past(3, Restart, 8*time.Minute, nil)
		}},
	}
}

// Every gate is needed: where it alone is closed nothing is done, and with the gate
// switched off it would be.
func TestEveryGateAloneStopsAnAction(t *testing.T) {
	t.Parallel()
	cases := gateCases()
	for _, name := range Gates() {
		t.Run(string(name), func(t *testing.T) {
			x, ok := cases[name]
			if !ok {
				t.Fatal("no case: write one, a gate that no test needs does not exist")
			}
			f := newFarm(t, 20).settle()
			f.sends = false
			if x.before != nil {
				x.before(f)
			} else {
				killBoard(f.units[3], 0, 60)
			}
			f.run(25 * time.Minute)
			ask := func(force bool) Decision {
				if x.configures {
					return *f.plan.ChangeOf(f.units[3].who.MAC)
				}
				if x.rolls {
					return f.plan.Upgrades[0]
				}
				if x.ask == nil && !force {
					return *f.of(3)
				}
				r := Request{Kind: Restart, Actor: "user:ann"}
				if x.ask != nil {
					r = *x.ask
				}
				r.MAC, r.Force = f.units[3].who.MAC, force
				return Ask(f.now, f.seen, f.mem, &f.policy, r)
			}
			if d := ask(false); name != GateCooling && d.Verb != Act {
				t.Fatalf("before: %s by %s, want to act: %+v", d.Verb, d.Blocked, d.Gates)
			}
			x.close(f)
			before := f.mem.Clone()
			f.tick()
			d := ask(name == GateConflict)
			var closed []Gate
			for _, g := range d.Gates {
				if !g.Open {
					closed = append(closed, g.Name)
				}
			}
			if name == GateConflict { // of a dragon in conflict nothing else is known, either
				closed = []Gate{d.Blocked}
			}
			if d.Verb != Blocked && d.Verb != Wait || d.Blocked != name || !slices.Equal(closed, []Gate{name}) {
				t.Errorf("%s %s, closed %v, want blocked by %s alone", d.State, d.Verb, closed, name)
			}
			if forced := ask(true); gateOf(name).holds&requests != 0 && !x.configures && !x.rolls && (forced.Verb == Blocked) != x.stays {
				t.Errorf("forced: %s by %s, want firm %v", forced.Verb, forced.Blocked, x.stays)
			}
			f.mem, f.policy = before, WithoutGate(t, f.policy, name)
			f.decide()
			if d := ask(name == GateConflict); d.Verb != Act {
				t.Errorf("without the gate: %s by %s, want to act", d.Verb, d.Blocked)
			}
		})
	}
}

func TestHostThatSaysNothingClosesItsGates(t *testing.T) {
	f := newFarm(t, 20).settle()
	killBoard(f.units[3], 0, 60)
	f.host = Host{}
	f.run(2 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
}

func TestExternalGateFailsClosed(t *testing.T) {
	for name, x := range map[string]struct {
		answer  ExternalAnswer
		onError string
		open    bool
	}{
		"not asked":          {ExternalAnswer{}, "block", false},
		"closed":             {ExternalAnswer{Asked: true, Detail: "an alert fires"}, "block", false},
		"open":               {ExternalAnswer{Asked: true, Open: true}, "block", true},
		"error":              {ExternalAnswer{Asked: true, Err: "timeout"}, "block", false},
		"error, said fine":   {ExternalAnswer{Asked: true, Err: "timeout"}, "allow", true},
		"error, said rubish": {ExternalAnswer{Asked: true, Open: true, Err: "timeout"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			q := &gateRequest{c: &cycle{p: &Policy{External: External{Query: "q", OnError: x.onError}}, host: Host{External: x.answer}}}
			if got := q.external().open; got != x.open {
				t.Errorf("open %v, want %v", got, x.open)
			}
		})
	}
}

func TestAnExternalGateOfRolloutsHoldsNoHealing(t *testing.T) {
	t.Parallel()
	for holds, heals := range map[string]bool{HoldsAll: false, HoldsRollouts: true} {
		f := newFarm(t, 20).settle()
		f.sends = false
		f.policy.External.Query, f.policy.External.Holds = "up", holds
		rollOut(f)
		killBoard(f.units[3], 0, 60)
		f.run(30 * time.Minute)
		if got := f.of(3).Verb == Act; got != heals {
			t.Errorf("%s: the sick dragon is %s by %s", holds, f.of(3).Verb, f.of(3).Blocked)
		}
		if len(f.plan.Upgrades) == 0 {
			t.Fatal("no rollout")
		}
		for _, d := range f.plan.Upgrades {
			if !slices.ContainsFunc(d.Gates, func(g GateState) bool { return g.Name == GateExternal && !g.Open }) {
				t.Errorf("%s: the gate is open to firmware", holds)
			}
		}
	}
}

// It has room again when the oldest write that counts is out of the window.
func TestTheBudgetOfADragonSaysWhenItHasRoomAgain(t *testing.T) {
	now := Moment(30 * day)
	for name, x := range map[string]struct {
		kind Kind
		ages []time.Duration // of the writes of that kind
		want answer
	}{
		"restarts":             {Restart, []time.Duration{20 * time.Hour, 8 * time.Hour, time.Hour}, answer{wait: 4 * time.Hour, detail: "restartCgMiner 3/3 in 24h"}},
		"one is of yesterday":  {Restart, []time.Duration{25 * time.Hour, 8 * time.Hour, time.Hour}, answer{open: true, detail: "restartCgMiner 2/3 in 24h"}},
		"reboots of the day":   {Reboot, []time.Duration{23 * time.Hour, 8 * time.Hour, time.Hour}, answer{wait: time.Hour, detail: "reboot 3/3 in 24h"}},
		"reboots of the week":  {Reboot, []time.Duration{6 * day, 5 * day, 4 * day, 3 * day, 2 * day, time.Hour}, answer{wait: day, detail: "reboot 6/6 in 7d"}},
		"none in all the time": {Restart, nil, answer{open: true, detail: "restartCgMiner 0/3 in 24h"}},
	} {
		p := DefaultPolicy()
		r := &Record{}
		for _, age := range x.ages {
			r.Actions = append(r.Actions, Action{Kind: Configure, At: now.Add(-age - time.Minute)}, Action{Kind: x.kind, At: now.Add(-age)})
		}
		q := &gateRequest{c: &cycle{p: &p, m: NewMemory(), now: now}, s: &subject{r: r, p: &p.Default}, kind: x.kind}
		if got := q.deviceBudget(); got != x.want {
			t.Errorf("%s: %+v, want %+v", name, got, x.want)
		}
	}
}

// A dragon that has just booted is configured as soon as its system, or its miner process, is old enough.
func TestAChangeWaitsForTheRestOfTheBoot(t *testing.T) {
	for name, x := range map[string]struct {
		up, elapsed dragon.Number
		want        answer
	}{
		"just booted":          {dragon.Known(60), dragon.Number{}, answer{wait: 4 * time.Minute, detail: "up for 1m"}},
		"nearly there":         {dragon.Known(299), dragon.Known(10), answer{wait: time.Second, detail: "up for 4m"}},
		"old enough":           {dragon.Known(300), dragon.Known(10), yes("")},
		"its process is older": {dragon.Known(60), dragon.Known(300), yes("")},
	} {
		p := DefaultPolicy()
		q := &gateRequest{c: &cycle{p: &p}, s: &subject{f: &Facts{Uptime: x.up, Elapsed: x.elapsed}, p: &p.Default}, kind: Configure, change: &change{}}
		if got := q.uptimeGate(); got != x.want {
			t.Errorf("%s: %+v, want %+v", name, got, x.want)
		}
	}
}

// Where others claim the MAC of a dragon by now, the write that it was sent keeps its place until it is given up.
func TestAWriteToADragonInConflictKeepsItsPlaceInFlight(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.past(3, Restart, 10*time.Minute, func(a *Action) { a.Outcome, a.Proof = Open, a.At })
	twin := *f.units[3]
	twin.who.Address = "127.9.9.9"
	f.units = append(f.units, &twin)
	check := func(flight int, blocked Gate) {
		t.Helper()
		for _, b := range f.plan.Budgets {
			if b.Window == 0 && b.Used != flight {
				t.Errorf("%s: %d in flight, want %d", b.Scope, b.Used, flight)
			}
		}
		d := Ask(f.now, f.seen, f.mem, &f.policy, Request{MAC: f.units[5].who.MAC, Kind: Restart, Actor: "user:ann"})
		if d.Blocked != blocked {
			t.Errorf("another dragon is held by %q, want %q", d.Blocked, blocked)
		}
	}
	f.tick()
	check(1, GateFlight)
	f.run(3 * time.Hour)
	check(0, "")
}

func TestObservingTakesNothingFromEnforcing(t *testing.T) {
	f := newFarm(t, 40).settle()
	f.policy.Override("watched", func(d *DragonPolicy) { d.Mode = Observe })
	f.units[2].who.Profile = "watched"
	killBoard(f.units[2], 0, 60)
	f.run(10 * time.Minute)
	killBoard(f.units[3], 0, 60)
	f.cure = revive
	f.run(30 * time.Minute)
	if len(f.sentTo(2)) != 0 || len(f.sentTo(3)) != 1 {
		t.Errorf("sent %v, want one to the enforced one", f.sent)
	}
	if v := f.of(2).Verb; v != WouldAct && v != Blocked {
		t.Errorf("the observed one: %s", v)
	}
}

// I18: the plan is the enforcement without the send.
func TestObserveDecidesAsEnforceDoes(t *testing.T) {
	f := newFarm(t, 40).settle()
	f.sends = false
	killBoard(f.units[3], 0, 60)
	killBoard(f.units[9], 0, 60)
	f.run(30 * time.Minute)
	view, mem := f.view(), f.mem.Clone()
	observe := f.policy
	observe.Default.Mode = Observe
	a, b := Decide(f.now, view, f.mem.Clone(), &f.policy), Decide(f.now, view, mem, &observe)
	for i := range a.Dragons {
		x, y := a.Dragons[i], b.Dragons[i]
		if y.Verb == WouldAct {
			y.Verb = Act
		}
		if x.MAC != y.MAC || x.Verb != y.Verb || x.Blocked != y.Blocked || x.Kind != y.Kind {
			t.Errorf("%s: enforce %s %s by %q, observe %s %s by %q", x.Worker, x.Verb, x.Kind, x.Blocked, y.Verb, y.Kind, y.Blocked)
		}
	}
	if a.ExitCode() != ExitAct || b.ExitCode() != ExitAct {
		t.Errorf("exit codes %d and %d, want %d", a.ExitCode(), b.ExitCode(), ExitAct)
	}
}
