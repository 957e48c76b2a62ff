package healer

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); -update writes it:\n%s", name, diff)
	}
}

// sickFarm has something of everything, and nothing that stops the healer.
func sickFarm(t *testing.T) *farm {
	f := newFarm(t, 60)
	for i, u := range f.units {
		u.who.Domain = []string{"hall-1", "hall-2", "hall-3"}[i%3]
	}
	f.settle()
	f.sends = false
	slow := func(i int, rate float64) {
		for j := range f.units[i].boards {
			f.units[i].boards[j].rate = rate
		}
	}
	slow(1, 2*tera)
	slow(2, 2.6*tera)
	f.units[2].boards[1].temp, f.units[2].fan = 94, 1
	slow(3, 2.9*tera)
	f.units[3].tuning = true
	killBoard(f.units[4], 1, 60)
	killBoard(f.units[5], 0, 111)
	f.units[6].boards[2].gone = true
	f.units[7].reach = Timeout
	if err := f.mem.Quarantine(f.now, f.units[8].who.MAC, "user:ann", "waits for a new board"); err != nil {
		t.Fatal(err)
	}
	killBoard(f.units[8], 0, 60)
	if _, err := f.mem.Pause(f.now, PauseRequest{Kind: Maintained, Scope: "mac", Value: f.units[9].who.MAC, Owner: "user:ann", Reason: "new fans"}); err != nil {
		t.Fatal(err)
	}
	f.run(50 * time.Minute)
	return f
}

func TestPlanTable(t *testing.T) {
	f := sickFarm(t)
	var out bytes.Buffer
	if err := explainPlan(&out, f.plan, true, 0); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.golden", out.Bytes())
	if f.plan.ExitCode() != ExitAct {
		t.Errorf("exit code %d, want %d", f.plan.ExitCode(), ExitAct)
	}
}

// On a terminal the plan is as wide as that, and a rollout of many dragons is a few lines.
func TestPlanOnATerminal(t *testing.T) {
	t.Parallel()
	f := configuredFarm(t, 60)
	f.desire("house", poolA, "efficient")
	f.run(40 * time.Minute)
	var out bytes.Buffer
	if err := explainPlan(&out, f.plan, false, 100); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan-grouped.golden", out.Bytes())
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if f.plan.Rollouts[0].Left <= 0 {
		t.Errorf("no estimate: %+v", f.plan.Rollouts[0])
	}
}

// Exit status 0 means that nothing waits, whatever the gate.
func TestExitCodeSaysWhetherSomethingWaits(t *testing.T) {
	for _, c := range []struct {
		plan Plan
		want int
	}{
		{Plan{}, ExitNothing},
		{Plan{Dragons: []Decision{{Verb: Nothing}, {Verb: Quarantine}}}, ExitNothing},
		{Plan{Dragons: []Decision{{Verb: Blocked, Blocked: GateSpacing}}}, ExitBlocked},
		{Plan{Dragons: []Decision{{Verb: Blocked, Blocked: GateStorm}}}, ExitBlocked},
		{Plan{Upgrades: []Decision{{Verb: Blocked, Blocked: GateWindow}}}, ExitBlocked},
		{Plan{Changes: []Decision{{Verb: Wait}}}, ExitBlocked},
		{Plan{Dragons: []Decision{{Verb: Blocked}, {Verb: WouldAct}}}, ExitAct},
		{Plan{Dragons: []Decision{{Verb: Blocked}}, Changes: []Decision{{Verb: Act}}}, ExitAct},
	} {
		if got := c.plan.ExitCode(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.plan, got, c.want)
		}
	}
}

func TestWhy(t *testing.T) {
	f := sickFarm(t)
	var out bytes.Buffer
	for _, i := range []int{4, 1, 5, 8, 20} {
		if !explainDragon(&out, f.plan, f.units[i].who.Worker) {
			t.Errorf("no answer about unit %d", i)
		}
		out.WriteByte('\n')
	}
	golden(t, "why.golden", out.Bytes())
	if explainDragon(&out, f.plan, "dragon-00000000") {
		t.Error("an answer about a stranger")
	}
}

func TestPlanIsJSON(t *testing.T) {
	f := sickFarm(t)
	data, err := json.Marshal(f.plan)
	if err != nil {
		t.Fatal(err)
	}
	var back Plan
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := explainPlan(&a, f.plan, true, 0); err != nil {
		t.Fatal(err)
	}
	if err := explainPlan(&b, &back, true, 0); err != nil {
		t.Fatal(err)
	}
	if a.String() != b.String() {
		t.Errorf("the plan that went through JSON looks different:\n%s", cmp.Diff(a.String(), b.String()))
	}
}

func TestAuditOfAHealing(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.cure = revive
	killBoard(f.units[3], 1, 60)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	for range 180 {
		for _, a := range f.tick().Audit {
			if err := e.Encode(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	golden(t, "audit.golden", out.Bytes())
}

// The audit says what changes, and repeats it once an hour.
func TestAuditIsNoFlood(t *testing.T) {
	f := newFarm(t, 20).settle()
	f.host.Stop = true
	killBoard(f.units[3], 1, 60)
	n := 0
	for range 24 * 60 {
		n += len(f.tick().Audit)
	}
	if n < 20 || n > 40 {
		t.Errorf("%d records in a day of being held, want about one an hour", n)
	}
}

func TestExitCodes(t *testing.T) {
	f := newFarm(t, 20).settle()
	if c := f.plan.ExitCode(); c != ExitNothing {
		t.Errorf("all well: %d", c)
	}
	killBoard(f.units[3], 1, 60)
	f.host.GatewayDown = true
	f.run(20 * time.Minute)
	if c := f.plan.ExitCode(); c != ExitBlocked {
		t.Errorf("blocked by a breaker: %d", c)
	}
}

func TestHashrateWords(t *testing.T) {
	for v, want := range map[float64]string{14.7e12: "14.7 TH/s", 51274: "51.3 kH/s", 0: "0 H/s", -1: "unknown", 1e21: "1e+03 EH/s"} {
		if got := Hashrate(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
	if strings.Contains(Hashes(5e12), "/s") {
		t.Errorf("%q is a rate", Hashes(5e12))
	}
}

// All dragons of an aborted rollout may be in another one since.
func TestARolloutWithoutDragonsEndsItsSentence(t *testing.T) {
	t.Parallel()
	p := Plan{Firmware: []FirmwareShown{{FirmwareRollout: FirmwareRollout{RolloutHead: RolloutHead{ID: "f1", State: RolloutAborted}}, Waves: 6}}}
	var out bytes.Buffer
	if err := explainPlan(&out, &p, false, 0); err != nil || !strings.Contains(out.String(), "firmware f1 to : aborted; wave 1 of 6, 0 dragons\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
