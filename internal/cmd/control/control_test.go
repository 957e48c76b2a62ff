package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

func TestWithoutAnInstanceTheCommandsSaySo(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"healer", "status", "--data-dir=" + dir},
		{"healer", "pause", "--data-dir=" + dir, "--scope=fleet", "--reason=r"},
		{"healer", "resume", "--data-dir=" + dir, "all"},
		{"healer", "reboot", "--data-dir=" + dir, "--yes", "--reason=r", "a", "b"},
	} {
		_, _, err := invoke(t, args...)
		if !errors.Is(err, cli.ErrNoInstance) || !strings.Contains(err.Error(), "--data-dir") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
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
	for _, bad := range []string{"", "fleet=x", "model", "model=", "everything", "=x", "label"} {
		_, _, err := invoke(t, "healer", "pause", "--data-dir="+t.TempDir(), "--reason=r", "--scope="+bad)
		if err == nil || !strings.Contains(err.Error(), "want fleet, or site=") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, err := invoke(t, "healer", "pause", "--reason=r"); err == nil || !strings.Contains(err.Error(), "scope") {
		t.Errorf("without a scope: %v", err)
	}
	for s, want := range map[string][2]string{"fleet": {"fleet", ""}, "all": {"fleet", ""}, "model=T1": {"model", "T1"},
		"label=rack=a12": {"label", "rack=a12"}, "label:rack=a12": {"label", "rack=a12"}, "pool=a://b?c=d": {"pool", "a://b?c=d"}} {
		if kind, value, err := parseScope(s); err != nil || kind != want[0] || value != want[1] {
			t.Errorf("%s: %v %s %s", s, err, kind, value)
		}
	}
}

func TestAPauseHasOneEnd(t *testing.T) {
	_, _, err := invoke(t, "healer", "pause", "--data-dir="+t.TempDir(), "--scope=fleet", "--reason=r", "--for=1h", "--until-resume")
	if err == nil || !strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("%v", err)
	}
}

// A command has no JSON to change and no request to send.
func TestTheAdviceOfARefusalIsInCommands(t *testing.T) {
	for try, want := range map[string]string{
		`"force": true for a scope that is not there yet`:          "(try: --force for a scope",
		"wait, or use force; STOP always applies":                  "use --force;",
		`"owner": "your name", or a login`:                         "--owner=NAME",
		"a worker, MAC or address from GET /api/v1/plan":           "from mother-of-dragons plan)",
		"an entry of GET /api/v1/discovery or GET /api/v1/dragons": "entry of mother-of-dragons inventory)",
		"an entry of GET /api/v1/firmware":                         "mother-of-dragons firmware list)",
		"an entry of GET /api/v1/rollouts":                         "mother-of-dragons plan)",
	} {
		instance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(web.ErrorAnswer{Error: "no", Try: try})
		}))
		_, _, err := invoke(t, "healer", "status", "--url="+instance.URL)
		instance.Close()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
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

func TestStatusShowsWhatHoldsTheHealerBack(t *testing.T) {
	s := &web.HealerAnswer{
		Status: &agent.Status{Mode: "enforce", Owner: true, Writable: false, Stop: true, Error: "no space left on device"},
		Counts: healer.Counts{States: map[healer.State]int{healer.StateHealthy: 8, healer.StateSick: 1, healer.StateSettling: 1}},
		Budgets: []healer.BudgetUse{
			{Scope: "fleet", Used: 1, Limit: 2}, {Scope: "fleet", Window: healer.Span(time.Hour), Used: 1, Limit: 3},
		},
		Breakers: []healer.Breaker{{Name: "storm", State: healer.BreakerOpen, Detail: "5 of 10\x1b[2J"}},
		Apart:    []healer.Decision{{Who: healer.Who{Worker: "dragon-00000001", MAC: "a0:b0:45:00:00:01"}, State: healer.StateQuarantined, Note: "three reboots"}},
	}
	f := &family{program: cli.New(nil)}
	var b bytes.Buffer
	if err := f.showStatus(&b, &cli.Output{}, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"enforce", "STOP file", "cannot be written", "no space left", "not trusted", "8 healthy, 1 sick, 1 restarted (ours)",
		"fleet in flight: 1 of 2", "fleet in 1h: 1 of 3", "storm: open: 5 of 10�[2J", "quarantined", "three reboots"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for _, standby := range []bool{true, false} {
		b.Reset()
		s.Status = &agent.Status{Mode: "observe", Shared: true, Standby: standby, Error: "etcd: deadline exceeded"}
		if err := f.showStatus(&b, &cli.Output{}, s); err != nil {
			t.Fatal(err)
		}
		if another := strings.Contains(b.String(), "another process owns the state"); another != standby || !strings.Contains(b.String(), "only observes") {
			t.Errorf("standby %t:\n%s", standby, b.String())
		}
	}
	if err := f.showStatus(io.Discard, &cli.Output{}, &web.HealerAnswer{}); err == nil {
		t.Error("an empty answer was shown as a status")
	}
}
