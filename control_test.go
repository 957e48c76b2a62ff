package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// invoke runs a command as a user does.
func invoke(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, &out, &errs, nil)
	return out.String(), errs.String(), err
}

func TestControlSocketIsItsOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, err := listenControl(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := filepath.Join(dir, controlSocket)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("%v, %v; want a socket of mode 0600", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".control*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := listenControl(t.Context(), dir); !errors.Is(err, errRunning) {
		t.Errorf("a second instance: %v, want that another answers", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("after the second instance: %v", err)
	} else {
		c.Close()
	}
	l.Close()
	again, err := listenControl(t.Context(), dir) // the socket is still there, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestWithoutAnInstanceTheCommandsSaySo(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"healer", "status", "--data-dir=" + dir},
		{"healer", "pause", "--data-dir=" + dir, "--scope=fleet", "--reason=r"},
		{"healer", "resume", "--data-dir=" + dir, "all"},
		{"healer", "reboot", "--data-dir=" + dir, "--yes", "--reason=r", "a", "b"},
	} {
		_, _, err := invoke(t, args...)
		if !errors.Is(err, errNoInstance) || !strings.Contains(err.Error(), "--data-dir") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, _, err := invoke(t, "plan", "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "no inventory of dragons") {
		t.Errorf("plan: %v", err)
	}
}

func TestTheDataDirectoryIsTheFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mother.yml")
	// The other key is wrong, and a healer that runs must be reached all the same.
	if err := os.WriteFile(file, []byte("data_dir: "+dir+"/elsewhere\nunknown: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := invoke(t, "healer", "status", "--data-dir=here", "--config.file="+file)
	if err == nil || !strings.Contains(err.Error(), dir+"/elsewhere/control.sock") {
		t.Errorf("%v", err)
	}
}

func TestScopesAreSaidInFull(t *testing.T) {
	for _, bad := range []string{"", "fleet=x", "model", "model=", "everything", "=x"} {
		_, _, err := invoke(t, "healer", "pause", "--data-dir="+t.TempDir(), "--reason=r", "--scope="+bad)
		if err == nil || !strings.Contains(err.Error(), "want fleet, or domain=") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, err := invoke(t, "healer", "pause", "--reason=r"); err == nil || !strings.Contains(err.Error(), "scope") {
		t.Errorf("without a scope: %v", err)
	}
	for s, want := range map[string]wish{"fleet": {Scope: "fleet"}, "all": {Scope: "fleet"}, "model=T1": {Scope: "model", Value: "T1"}, "pool=a://b?c=d": {Scope: "pool", Value: "a://b?c=d"}} {
		var w wish
		if err := (scopeValue{&w}).Set(s); err != nil || w.Scope != want.Scope || w.Value != want.Value {
			t.Errorf("%s: %v %+v", s, err, w)
		}
	}
}

func TestARebootIsAskedForTwice(t *testing.T) {
	_, _, err := invoke(t, "healer", "reboot", "--data-dir="+t.TempDir(), "--reason=r", "dragon-00000000")
	if err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("%v", err)
	}
}

func TestAnAddressIsToldFromNonsense(t *testing.T) {
	for _, bad := range []string{"localhost:9977", "ftp://x", "http://", "http://user:hunter2@[", "%"} {
		_, _, err := invoke(t, "healer", "status", "--url="+bad)
		if err == nil || !strings.Contains(err.Error(), "want one like") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSomethingElseAtTheAddressIsNoInstance(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c)) // an answer before the question is another error
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			c.Close()
		}
	}()
	_, _, err = invoke(t, "healer", "status", "--url=http://"+l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "expected an instance of mother-of-dragons") {
		t.Errorf("%v", err)
	}
}

func TestASimulationReachesNoRealDragon(t *testing.T) {
	for _, args := range [][]string{
		{"--network=192.0.2.0/24"},
		{"--network=127.5.0.0/24", "--network=192.0.2.0/24"},
		{"--dragon=192.0.2.1"},
		{"--dragon=dragon.example.net:80"},
		{"--dragon=127.0.0.1:80", "--dragon=[2001:db8::1]:80"},
	} {
		args = append(args, "--simulation.speed=60", "--data-dir="+t.TempDir(), "--inventory-file=", "--web.listen-address=127.0.0.1:0")
		err := run(t.Context(), args, io.Discard, io.Discard, func(net.Addr) { t.Errorf("%v: it listens", args) })
		if !errors.Is(err, errNotSimulated) {
			t.Errorf("%v: %v", args, err)
		}
	}
	dir := t.TempDir()
	inventory := `{"version":1,"dragons":[{"mac":"a0:b0:45:00:00:01","address":"192.0.2.9","brand":"DragonMint","model":"T1","first_seen":"2026-11-01T00:00:00Z","last_seen":"2026-11-23T00:00:00Z"}]}`
	if err := os.WriteFile(filepath.Join(dir, inventoryName), []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"--network=127.5.0.0/24", "--simulation.speed=60", "--data-dir=" + dir, "--inventory-file=", "--web.listen-address=127.0.0.1:0"},
		io.Discard, io.Discard, func(net.Addr) { t.Error("it listens") })
	if !errors.Is(err, errNotSimulated) || !strings.Contains(err.Error(), "192.0.2.9") {
		t.Errorf("a remembered dragon: %v", err)
	}
}

func TestTheSimulatedClockRunsFaster(t *testing.T) {
	c := newSimulatedClock(60)
	before, after := c.host.Now(), healer.Instant{}
	first := c.Now()
	for after.Mono-before.Mono < 20*time.Millisecond { // a moment has to pass, however long it is
		after = c.host.Now()
	}
	second := c.Now()
	passed := second.Mono - first.Mono
	if passed < 60*(after.Mono-before.Mono)/2 || second.Wall.Sub(first.Wall) != passed || first.BootID != second.BootID || first.BootID == before.BootID {
		t.Errorf("%v passed of %v; %+v, %+v", passed, after.Mono-before.Mono, first, second)
	}
	var _ healer.Clock = c
	if clock, err := healersClock(&config.Config{SimulationSpeed: 1}, nil); err != nil || clock == nil {
		t.Errorf("%v %v", clock, err)
	}
}

func TestAheadOpensWhatTimeOpens(t *testing.T) {
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

func TestStatusShowsWhatHoldsTheHealerBack(t *testing.T) {
	s := &web.HealerAnswer{
		Status: &healer.Status{Mode: "enforce", Owner: true, Writable: false, Stop: true, Error: "no space left on device"},
		Counts: healer.Counts{States: map[healer.State]int{healer.StateHealthy: 8, healer.StateSick: 1}},
		Budgets: []healer.BudgetUse{
			{Scope: "fleet", Used: 1, Limit: 2}, {Scope: "fleet", Window: healer.Span(time.Hour), Used: 1, Limit: 3},
		},
		Breakers: []healer.Breaker{{Name: "storm", State: healer.BreakerOpen, Detail: "5 of 10\x1b[2J"}},
		Apart:    []healer.Decision{{Who: healer.Who{Worker: "dragon-00000001", MAC: "a0:b0:45:00:00:01"}, State: healer.StateQuarantined, Note: "three reboots"}},
	}
	var b bytes.Buffer
	if err := showStatus(&b, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"enforce", "STOP file", "cannot be written", "no space left", "not trusted", "8 healthy, 1 sick", "fleet under way: 1 of 2", "fleet in 1h: 1 of 3", "storm: open: 5 of 10?[2J", "quarantined", "three reboots"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err := showStatus(io.Discard, &web.HealerAnswer{}); err == nil {
		t.Error("an empty answer was shown as a status")
	}
}

func TestAControlSocketThatCannotBeIsNoReasonToEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	serveControl(ctx, &config.Config{DataDir: file}, &firmware.Stock{}, nil, log.NewLogfmtLogger(&b)) // returns once it need not try again
	if !strings.Contains(b.String(), "cannot be talked to") {
		t.Errorf("%s", b.String())
	}
}

func TestTheStoryIsToldInPlainWords(t *testing.T) {
	after := &healer.Sample{Boards: 3}
	for _, x := range []struct {
		record healer.Audit
		want   string
	}{
		{healer.Audit{Worker: "w", Decision: healer.Act, Action: healer.Restart, Reason: healer.DeadBoard, Rung: 1, Result: &healer.Sending{}}, "takes w in hand for a dead board, and restarts its mining process (step 1)"},
		{healer.Audit{Worker: "w", Decision: healer.Act, Action: healer.Restart}, ""}, // it is not sent yet
		{healer.Audit{Worker: "w", Decision: healer.Blocked, Reason: healer.LowHashrate, Gates: []healer.GateState{{Detail: "a"}, {Open: true, Detail: "b"}}}, "w is sick: low hashrate. The healer waits: a."},
		{healer.Audit{Worker: "w", Verify: &healer.Verified{Before: healer.Sample{Boards: 2}, After: after, Verdict: healer.Recovered}}, `"recovered": 2 boards before, 3 after`},
		{healer.Audit{Decision: healer.Hold, Note: "breaker pool x"}, "takes its hands off: breaker pool x"},
		{healer.Audit{Decision: healer.Resume, Note: "breaker pool x"}, "may act again: breaker pool x"},
		{healer.Audit{Worker: "w", Decision: healer.Quarantine, Note: "three reboots"}, "gives up on w: three reboots"},
		{healer.Audit{Worker: "w", Decision: healer.Recovery}, "w is well again"},
	} {
		if got := inWords(&x.record); got != x.want && (x.want == "" || !strings.Contains(got, x.want)) {
			t.Errorf("%q, want %q", got, x.want)
		}
	}
}

func TestASignalPausesTheHealerForAnHour(t *testing.T) {
	herd, err := dragontest.NewHerd(dragontest.HerdConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer herd.Close()
	address, logs, _ := start(t, "--dragon="+herd.Addr(0), "--dragon-health-reboot")
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil { // also before the healer's first look
		t.Fatal(err)
	}
	eventually(t, "the healer is paused", func() bool {
		_, page := get(t, "http://"+address+"/metrics")
		return strings.Contains(page, "\nmother_pauses{scope=\"fleet\"} 1\n")
	})
	_, plan := get(t, "http://"+address+"/api/v1/plan")
	var p web.PlanAnswer
	if err := json.Unmarshal([]byte(plan), &p); err != nil {
		t.Fatal(err)
	}
	if x := p.Pauses; len(x) != 1 || x[0].Owner != "signal" || x[0].Kind != healer.Paused || x[0].Until.Since(x[0].At) != time.Hour {
		t.Errorf("%+v", x)
	}
	eventually(t, "it is said", func() bool { return strings.Contains(logs.String(), "a signal paused the healer") })
}
