package app

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

func TestControlSocketIsItsOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, err := listenControl(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := filepath.Join(dir, config.ControlSocket)
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
	again, err := listenControl(t.Context(), dir) // the socket file is left, and no process answers
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestTheProgramRunsWithoutAControlSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	serveControl(ctx, file, web.APIConfig{}, log.NewLogfmtLogger(&b)) // returns once it need not try again
	if !strings.Contains(b.String(), "control socket unavailable") {
		t.Errorf("%s", b.String())
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
	var _ agent.Clock = c
	if clock, err := healerClock(&config.Config{Settings: config.Settings{SimulationSpeed: 1}}, nil); err != nil || clock == nil {
		t.Errorf("%v %v", clock, err)
	}
}
