package healer

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPauseRequests(t *testing.T) {
	ok := PauseRequest{Kind: Paused, Scope: "mac", Value: "a0:b0:45:00:00:03", Owner: "ann", Reason: "r"}
	for name, x := range map[string]struct {
		change func(*PauseRequest)
		fails  bool
	}{
		"fine":                    {func(*PauseRequest) {}, false},
		"fleet":                   {func(r *PauseRequest) { r.Scope, r.Value = "fleet", "" }, false},
		"empty does not mean all": {func(r *PauseRequest) { r.Value = "" }, true},
		"no scope":                {func(r *PauseRequest) { r.Scope = "" }, true},
		"fleet with a value":      {func(r *PauseRequest) { r.Scope = "fleet" }, true},
		"a label":                 {func(r *PauseRequest) { r.Scope, r.Value = "label", "rack=a12" }, false},
		"a label without a value": {func(r *PauseRequest) { r.Scope, r.Value = "label", "rack" }, true},
		"no owner":                {func(r *PauseRequest) { r.Owner = "" }, true},
		"no reason":               {func(r *PauseRequest) { r.Reason = "" }, true},
		"too long":                {func(r *PauseRequest) { r.For = 8 * 24 * time.Hour }, true},
		"negative":                {func(r *PauseRequest) { r.For = -1 }, true},
		"until resumed":           {func(r *PauseRequest) { r.For, r.UntilResume = 0, true }, false},
		"retired":                 {func(r *PauseRequest) { r.Kind, r.Retired, r.For = Maintained, true, 876000*time.Hour }, false},
		"retired for ever":        {func(r *PauseRequest) { r.Kind, r.Retired, r.For = Maintained, true, 1<<63-1 }, true},
		"no kind":                 {func(r *PauseRequest) { r.Kind = "" }, true},
	} {
		r := ok
		x.change(&r)
		f := newFarm(t, 1)
		if _, err := f.mem.Pause(f.now, r); (err != nil) != x.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPauseOfALabelCoversItsDragons(t *testing.T) {
	f := newFarm(t, 1)
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Paused, Scope: "label", Value: "rack=a12", Owner: "ann", Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	for value, covered := range map[string]bool{"a12": true, "a1": false, "": false} {
		p := f.mem.paused(Paused, &Facts{Named: Named{Labels: map[string]string{"rack": value}}}, f.mem.Moment(f.now))
		if (p != nil) != covered {
			t.Errorf("rack %q: %+v", value, p)
		}
	}
}

func TestPausesOverlapAndEndEachByItself(t *testing.T) {
	f := newFarm(t, 20).settle()
	killBoard(f.units[3], 0, 60)
	f.cure = revive
	add := func(d time.Duration) Pause {
		p, err := f.mem.Pause(f.now, PauseRequest{Kind: Paused, Scope: "domain", Value: "row-0", Owner: "ann", Reason: "r", For: d})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first, second := add(time.Hour), add(3*time.Hour)
	f.run(30 * time.Minute)
	if err := f.mem.Resume(first.ID); err != nil {
		t.Fatal(err)
	}
	if f.mem.Resume(first.ID) == nil {
		t.Error("resumed twice")
	}
	f.run(2 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v while %s lasts", f.sent, second.ID)
	}
	facts := f.facts(f.units[3])
	if f.mem.CheckHold(f.now, facts.MAC) == nil {
		t.Error("nothing holds it while paused")
	}
	f.run(time.Hour)
	if len(f.sent) != 1 || len(f.mem.Fleet.Pauses) != 0 {
		t.Errorf("sent %v, pauses %v, want one write once the pause was over", f.sent, f.mem.Fleet.Pauses)
	}
	if err := f.mem.CheckHold(f.now, facts.MAC); err != nil {
		t.Error(err)
	}
}

// I17: a pause after the decision is seen before the send.
func TestHindranceBetweenDecisionAndSend(t *testing.T) {
	f := newFarm(t, 5).settle()
	facts := f.facts(f.units[3])
	for name, forbid := range map[string]func(*Memory) error{
		"pause": func(m *Memory) error {
			_, err := m.Pause(f.now, PauseRequest{Kind: Paused, Scope: "fleet", Owner: "ann", Reason: "r"})
			return err
		},
		"maintenance": func(m *Memory) error {
			_, err := m.Pause(f.now, PauseRequest{Kind: Maintained, Scope: "pool", Value: poolA, Owner: "ann", Reason: "r"})
			return err
		},
		"quarantine": func(m *Memory) error { return m.Quarantine(f.now, facts.MAC, "ann", "r") },
	} {
		m := f.mem.Clone()
		if err := m.CheckHold(f.now, facts.MAC); err != nil {
			t.Fatal(err)
		}
		if err := forbid(m); err != nil {
			t.Fatal(err)
		}
		if m.CheckHold(f.now, facts.MAC) == nil {
			t.Errorf("%s: nothing holds it", name)
		}
	}
}

func TestQuarantineAndReleaseByHand(t *testing.T) {
	f := newFarm(t, 10).settle()
	mac := f.units[3].who.MAC
	if f.mem.Quarantine(f.now, "unknown", "ann", "r") == nil || f.mem.Quarantine(f.now, mac, "", "r") == nil || f.mem.Release(f.now, mac, "ann") == nil {
		t.Error("nonsense is accepted")
	}
	if err := f.mem.Quarantine(f.now, mac, "user:ann", "noisy fan"); err != nil {
		t.Fatal(err)
	}
	killBoard(f.units[3], 0, 60)
	f.run(2 * time.Hour)
	if f.of(3).State != StateQuarantined || len(f.sent) != 0 {
		t.Fatalf("state %s, sent %v", f.of(3).State, f.sent)
	}
	if err := f.mem.Release(f.now, mac, "user:ann"); err != nil {
		t.Fatal(err)
	}
	f.cure = revive
	f.run(30 * time.Minute)
	if !slices.Equal(f.sentTo(3), []Kind{Restart}) {
		t.Errorf("sent %v after the release", f.sentTo(3))
	}
}

func TestAck(t *testing.T) {
	f := newFarm(t, 10).settle()
	for _, name := range []string{"harm", "safe_mode", "recovered_state", "nonsense"} {
		if f.mem.Ack(f.now, name, "", "ann") == nil {
			t.Errorf("%s is acknowledged where there is nothing", name)
		}
	}
	f.mem.Recover(f.now, "a backup was restored")
	if err := f.mem.Ack(f.now, "recovered_state", "", "ann"); err != nil {
		t.Error(err)
	}
	if err := f.mem.Ack(f.now, "recovered_state", "", "ann"); err == nil || !strings.Contains(err.Error(), "acknowledged already") {
		t.Errorf("a second time, while budgets are still used up: %v", err)
	}
	f.open("efficacy", "reboot/flatline/T1", BreakerLatched)
	f.mem.Fleet.Outcomes["reboot/flatline/T1"] = &Outcomes{Last: make([]bool, 10), Totals: map[Outcome]int{}}
	if f.mem.Ack(f.now, "efficacy", "reboot/flatline/T1", "") == nil {
		t.Error("acknowledged without an owner")
	}
	if err := f.mem.Ack(f.now, "efficacy", "reboot/flatline/T1", "ann"); err != nil {
		t.Fatal(err)
	}
	if len(f.mem.Fleet.Breakers) != 0 || len(f.mem.Fleet.Outcomes["reboot/flatline/T1"].Last) != 0 {
		t.Error("the breaker, or what it was judged by, is still there")
	}
}

func TestIntents(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.sends = false
	killBoard(f.units[3], 0, 60)
	f.run(15 * time.Minute)
	d := f.of(3)
	if d.Verb != Act {
		t.Fatalf("%s by %s", d.Verb, d.Blocked)
	}
	a, err := f.mem.Intend(f.now, d, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.mem.Intend(f.now, d, "", nil); err == nil {
		t.Error("two intents for one decision")
	}
	if err = f.mem.Sent(f.now, d.MAC, "9-9", Accepted, ""); err == nil {
		t.Error("a result for an unknown action")
	}
	if err = f.mem.Sent(f.now, d.MAC, a.ID, NotSent, "paused"); err != nil {
		t.Fatal(err)
	}
	if f.mem.Sent(f.now, d.MAC, a.ID, Accepted, "") == nil {
		t.Error("two results for one action")
	}
	if n, _ := f.mem.Fleet.begun(Kind.heals, day, f.plan.At.Add(time.Minute)); f.record(3).open() != nil || n != 1 {
		t.Error("what was not sent must free its slot and keep its charge")
	}
	blocked := *d
	blocked.Verb = WouldAct
	if _, err = f.mem.Intend(f.now, &blocked, "", nil); err == nil {
		t.Error("an intent in the mode observe")
	}
	ids := make(map[string]bool)
	for range 3 {
		f.reload()
		f.mem.Fleet.Seq++
		ids[f.record(3).Actions[0].ID] = true
	}
	if len(ids) != 1 || f.mem.Fleet.Epoch != 4 {
		t.Errorf("ids %v, epoch %d, want 4", ids, f.mem.Fleet.Epoch)
	}
}

// What a dragon says no to is told from what never reached it.
func TestRefusalsInARow(t *testing.T) {
	type answer struct {
		kind   Kind
		result Result
		actor  string
	}
	no := answer{Restart, Refusal, ""}
	for name, x := range map[string]struct {
		answers []answer
		want    int
	}{
		"the dragon says no":            {[]answer{no, no, {Reboot, Refusal, ""}}, 3},
		"what was not sent":             {[]answer{no, {Restart, NotSent, ""}, no, {Reboot, NotSent, ""}}, 2},
		"it does what it is told":       {[]answer{no, no, {Reboot, Accepted, ""}}, 0},
		"its answer is lost":            {[]answer{no, no, {Reboot, Unknown, ""}, no}, 1},
		"a human who is told no":        {[]answer{no, {Reboot, Refusal, "user:ann"}}, 1},
		"a configuration is not a step": {[]answer{no, {Configure, Refusal, "rollout:r1"}, {Configure, Accepted, "rollout:r1"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 2).settle()
			d := f.of(1)
			for _, a := range x.answers {
				step := *d
				step.Verb, step.Kind = Act, a.kind
				intent, err := f.mem.Intend(f.now, &step, a.actor, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := f.mem.Sent(f.now, d.MAC, intent.ID, a.result, "busy"); err != nil {
					t.Fatal(err)
				}
				f.record(1).Actions[len(f.record(1).Actions)-1].Outcome = NotExecuted
			}
			if got := f.record(1).Refused; got != x.want {
				t.Errorf("refused %d steps in a row, want %d", got, x.want)
			}
		})
	}
}

// A reboot that never ran has not failed to bring its board back; what was before a release says
// nothing of a board that may be another one.
func TestOnlyARebootThatRanIsHopeless(t *testing.T) {
	const hopeless = "the last reboot did not bring the board back, and the others mine on"
	for name, x := range map[string]struct {
		result   Result
		outcome  Outcome
		released bool
		want     string
	}{
		"not sent":            {NotSent, NotExecuted, false, ""},
		"refused":             {Refusal, NotExecuted, false, ""},
		"ignored":             {Accepted, NotExecuted, false, ""},
		"not known":           {Unknown, NotKnown, false, ""},
		"without effect":      {Accepted, NoEffect, false, hopeless},
		"relapsed":            {Accepted, Relapsed, false, hopeless},
		"released since then": {Accepted, NoEffect, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 20).settle()
			r := f.record(3)
			r.Rung = 2
			a := Action{ID: "1-1", Kind: Reboot, Reason: DeadBoard, Rung: 2, Actor: HealerActor, At: f.plan.At.Add(-time.Hour), Result: x.result, Outcome: x.outcome, Note: "busy"}
			r.Actions = append(r.Actions, a)
			r.answered(&a)
			if x.released {
				r.Released = f.plan.At
			}
			killBoard(f.units[3], 0, 60)
			f.run(15 * time.Minute)
			if got := f.quarantinedFor(3); got != x.want {
				t.Errorf("quarantined for %q, want %q", got, x.want)
			}
		})
	}
}

func TestConfigurationIsConcludedByItsOwner(t *testing.T) {
	f := newFarm(t, 20).settle()
	d := Ask(f.now, f.seen, f.mem, &f.policy, Request{MAC: f.units[3].who.MAC, Kind: Configure, Actor: "rollout:pools"})
	if d.Verb != Act {
		t.Fatalf("%s by %s", d.Verb, d.Blocked)
	}
	a, err := f.mem.Intend(f.now, &d, "rollout:pools", nil)
	if err != nil {
		t.Fatal(err)
	}
	f.restart(f.units[3])
	f.run(time.Hour)
	if s := f.of(3).State; s != StateSettling {
		t.Errorf("state %s, want settling until its owner concludes", s)
	}
	if x := f.record(3).Restarts; len(x) != 1 || x[0].Cause != CauseHealer {
		t.Errorf("restarts %+v, want one of ours", x)
	}
	if err = f.mem.Conclude(f.now, d.MAC, a.ID, Recovered, ""); err != nil {
		t.Fatal(err)
	}
	f.run(2 * time.Minute)
	if s := f.of(3).State; s != StateHealthy {
		t.Errorf("state %s, want healthy", s)
	}
}

func TestAskAboutAStranger(t *testing.T) {
	f := newFarm(t, 5).settle()
	for _, r := range []Request{
		{MAC: "a0:b0:45:ff:ff:ff", Kind: Reboot, Actor: "ann", Force: true},
		{MAC: "", Kind: Reboot, Actor: "ann", Force: true},
		{MAC: f.units[0].who.MAC, Kind: "poweroff", Actor: "ann", Force: true},
	} {
		if d := Ask(f.now, f.seen, f.mem, &f.policy, r); d.Verb != Blocked {
			t.Errorf("%+v: %s", r, d.Verb)
		}
	}
}

// The ladder's step zero: still bad, still the same dragon.
func TestConfirm(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*farm, *unit)
		fine   bool
	}{
		"still bad":       {func(*farm, *unit) {}, true},
		"well again":      {func(_ *farm, u *unit) { revive(u, "") }, false},
		"another MAC":     {func(_ *farm, u *unit) { u.who.MAC = "a0:b0:45:00:ff:ff" }, false},
		"gone":            {func(_ *farm, u *unit) { u.reach = Timeout }, false},
		"unreadable":      {func(_ *farm, u *unit) { u.garbage = true }, false},
		"restarted":       {func(f *farm, u *unit) { f.restart(u) }, false},
		"begins to tune":  {func(_ *farm, u *unit) { u.tuning = true }, false},
		"an old reading":  {func(f *farm, _ *unit) { f.now.Mono -= time.Minute }, false},
		"dead of heat":    {func(_ *farm, u *unit) { u.boards[0].temp = 40 }, true},
		"a worse illness": {func(_ *farm, u *unit) { killBoard(u, 1, 60) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, 20).settle()
			f.sends = false
			killBoard(f.units[3], 0, 60)
			f.run(15 * time.Minute)
			d := f.of(3)
			if d.Verb != Act {
				t.Fatalf("%s by %s", d.Verb, d.Blocked)
			}
			f.now.Mono += 10 * time.Second
			x.change(f, f.units[3])
			facts := f.facts(f.units[3])
			if err := Confirm(f.now, f.seen, f.mem, &f.policy, d, &facts); (err == nil) != x.fine {
				t.Errorf("confirmed: %v", err)
			}
		})
	}
}

func TestConfirmOfALowRate(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.sends = false
	for i := range f.units[3].boards {
		f.units[3].boards[i].rate = 2 * tera
	}
	f.run(60 * time.Minute)
	d := f.of(3)
	facts := f.facts(f.units[3])
	if err := Confirm(f.now, f.seen, f.mem, &f.policy, d, &facts); d.Reason != LowHashrate || err != nil {
		t.Errorf("%s: %v", d.Reason, err)
	}
	f.units[3].fan, f.units[3].boards[0].temp = 1, 84
	facts = f.facts(f.units[3])
	if Confirm(f.now, f.seen, f.mem, &f.policy, d, &facts) == nil {
		t.Error("confirmed although it is put down to heat")
	}
}

func TestAPauseSaysWhatItIsOf(t *testing.T) {
	for want, p := range map[string]Pause{
		"fleet":         {Scope: "fleet"},
		"site hall-a":   {Scope: "domain", Value: "hall-a"},
		"label rack=a3": {Scope: "label", Value: "rack=a3"},
	} {
		if got := p.Of(); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
}

// A reboot that a person asks for is no step of the ladder, and is not shown as one.
func TestARebootThatIsAskedForIsShownAsNoStep(t *testing.T) {
	t.Parallel()
	f := newFarm(t, 6).settle()
	d := Ask(f.now, f.view(), f.mem, &f.policy, Request{MAC: f.units[3].who.MAC, Kind: Reboot, Actor: "user:ann", Note: "a test"})
	a, err := f.mem.Intend(f.now, &d, "user:ann", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.mem.Sent(f.now, d.MAC, a.ID, Accepted, ""); err != nil {
		t.Fatal(err)
	}
	f.tick()
	var out bytes.Buffer
	if err := explainPlan(&out, f.plan, false, 0); err != nil || !strings.Contains(out.String(), "  reboot  ") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
