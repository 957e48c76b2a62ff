package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

func TestPlanAtOpensTimedGates(t *testing.T) {
	wait := func(d time.Duration) healer.Until { return healer.Until{For: healer.Span(d), Known: true} }
	plan := func() *healer.Plan {
		blocked := func(worker string, gates ...healer.GateState) healer.Decision {
			return healer.Decision{Who: healer.Who{Worker: worker}, Verb: healer.Blocked, Blocked: gates[0].Name, Gates: gates}
		}
		return &healer.Plan{
			Pauses: []healer.Pause{{ID: "p1", Until: healer.Moment(time.Hour)}, {ID: "p2", Until: healer.Moment(3 * time.Hour)}, {ID: "p3", UntilResume: true}},
			Dragons: []healer.Decision{
				blocked("soon", healer.GateState{Name: healer.GateHold, Wait: wait(time.Hour)}, healer.GateState{Name: healer.GateSpacing, Wait: wait(time.Minute)}),
				blocked("later", healer.GateState{Name: healer.GateSpacing, Wait: wait(time.Minute)}, healer.GateState{Name: healer.GateHold, Wait: wait(5 * time.Hour)}),
				blocked("who knows", healer.GateState{Name: healer.GateStorm}),
			},
		}
	}
	p := plan()
	ahead(p, 2*time.Hour)
	for i, want := range []struct {
		verb    healer.Verb
		blocked healer.Gate
		in      healer.Until
	}{
		{healer.WouldAct, "", healer.Until{Known: true}},
		{healer.Blocked, healer.GateHold, wait(3 * time.Hour)},
		{healer.Blocked, healer.GateStorm, healer.Until{}},
	} {
		if d := p.Dragons[i]; d.Verb != want.verb || d.Blocked != want.blocked || d.In != want.in {
			t.Errorf("%s: %s by %q, %+v", d.Worker, d.Verb, d.Blocked, d.In)
		}
	}
	if len(p.Pauses) != 2 || p.Pauses[0].ID != "p2" || p.ExitCode() != healer.ExitAct {
		t.Errorf("%+v, exit code %d", p.Pauses, p.ExitCode())
	}
	q := plan()
	ahead(q, 0)
	if diff := cmp.Diff(plan().Dragons[2].Gates, q.Dragons[2].Gates, cmpopts.EquateEmpty()); diff != "" || q.ExitCode() != healer.ExitBlocked {
		t.Errorf("now: %s, exit code %d", diff, q.ExitCode())
	}
}

// A file that wants other pools changes something, though every dragon is as well as before.
func TestPlanComparesWhatAFileWants(t *testing.T) {
	l := cmdtest.NewFarm(t, dragontest.Spec{})
	file := filepath.Join(t.TempDir(), "other.yml")
	const text = "profiles: [{name: all, match: {all: true}, wish: {pools: [{url: \"stratum+tcp://pool.example.net:3333\", username: other, password: x}]}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address, _, _ := start(t, "--dragon="+l.Addr(0), "--dragon-health-check-interval=1", "--data-dir="+l.Dir)
	cmdtest.Eventually(t, "the plan says what the file changes", func() bool {
		out, _, err := invoke(t, "plan", "--data-dir="+l.Dir, "--config.file="+file)
		return strings.Contains(out, "1 dragons would have another desired state") && errors.Is(err, cli.Exit(healer.ExitAct))
	})
	for _, flag := range []string{"--why=" + l.Worker(0), "--at=+2h", "--url=http://" + address} {
		if out, _, err := invoke(t, "plan", "--data-dir="+l.Dir, "--config.file="+file, flag); err == nil || !strings.Contains(err.Error(), "--config.file") {
			t.Errorf("%s: %v, want it refused\n%s", flag, err, out)
		}
	}
}

func TestPlanNeedsAnInstanceOrAnInventory(t *testing.T) {
	if _, _, err := invoke(t, "plan", "--data-dir="+t.TempDir()); err == nil || !strings.Contains(err.Error(), "no inventory of dragons") {
		t.Errorf("%v", err)
	}
}

// A plan without dragons has nothing to do and the exit status 0.
func TestAPlanIsNotMadeOfADamagedInventory(t *testing.T) {
	dir := t.TempDir()
	inventory := filepath.Join(dir, fleet.InventoryName)
	if err := os.WriteFile(inventory, []byte(`{"version":1,"dragons":[{"mac":"a0:b0:`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := invoke(t, "plan", "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), inventory) {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
}

// No command waits for a writer that never comes.
func TestAPipeInTheDataDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{fleet.InventoryName, "audit.jsonl"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"plan", "inventory", "audit"} {
		if _, _, err := invoke(t, command, "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", command, err)
		}
	}
}
