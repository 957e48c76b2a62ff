// Package cmdtest runs commands in tests, against simulated dragons.
package cmdtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// LogBuffer is a log that can be read while the program writes it.
type LogBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start runs the program with args and returns its address and how to stop it.
func Start(t *testing.T, program func(func(net.Addr)) *cli.Program, args ...string) (address string, logs *LogBuffer, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	listening, done := make(chan net.Addr, 1), make(chan error, 1)
	logs = &LogBuffer{}
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--data-dir=") }) {
		args = append(args, "--data-dir="+dataDir(t))
	}
	args = append([]string{"--web.listen-address=127.0.0.1:0", "--inventory-file="}, args...)
	go func() { done <- program(func(a net.Addr) { listening <- a }).Run(ctx, args, io.Discard, logs) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	select {
	case a := <-listening:
		return a.String(), logs, stop
	case err := <-done:
		done <- err // for stop
		t.Fatalf("the program ended before it listened: %v\n%s", err, logs)
		return "", nil, nil
	}
}

// dataDir returns a directory that is removed at the end of the test, when nothing writes to
// it any more: a program that stops early may still be opening its state.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mother-of-dragons-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		Eventually(t, "the data directory is removed", func() bool { return os.RemoveAll(dir) == nil })
	})
	return dir
}

// Get returns the answer to a GET.
func Get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// Eventually asks until it is so; how long that takes is the machine's business.
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(30 * time.Second)
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// Rewrite puts text into a file as an editor does.
func Rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// FleetOf returns n simulated dragons.
func FleetOf(t *testing.T, n int, specs func(i int) dragontest.Spec) *dragontest.Fleet {
	t.Helper()
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: n, Specs: specs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dragons.Close)
	return dragons
}

// OnText calls Do when Text is written for the first time.
type OnText struct {
	strings.Builder
	Text string
	Do   func()
}

func (w *OnText) Write(p []byte) (int, error) {
	_, _ = w.Builder.Write(p)
	if w.Do != nil && strings.Contains(w.String(), w.Text) {
		w.Do()
		w.Do = nil
	}
	return len(p), nil
}

// Farm is simulated dragons and a data directory whose inventory knows it.
type Farm struct {
	*dragontest.Fleet
	t   *testing.T
	Dir string
}

// NewFarm returns a farm with a dragon for each of specs.
func NewFarm(t *testing.T, specs ...dragontest.Spec) *Farm {
	t.Helper()
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{
		Count: len(specs), Prefix: netip.MustParsePrefix("127.78.0.0/16"),
		Specs: func(i int) dragontest.Spec { return specs[i] },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dragons.Close)
	l := &Farm{dragons, t, t.TempDir()}
	l.Remember()
	return l
}

// Remember writes the inventory as it is now.
func (l *Farm) Remember() {
	l.t.Helper()
	var dragons []map[string]any
	for i, d := range l.Dragons() {
		dragons = append(dragons, map[string]any{"mac": d.Spec().MAC, "address": l.Addr(i), "model": "T1", "first_seen": time.Now(), "last_seen": time.Now()})
	}
	data, err := json.Marshal(map[string]any{"version": 1, "dragons": dragons})
	if err == nil {
		err = os.WriteFile(filepath.Join(l.Dir, fleet.InventoryName), data, 0o600)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// Worker is the name of dragon i.
func (l *Farm) Worker(i int) string { return dragon.WorkerName(l.Dragon(i).Spec().MAC) }

// Invoke runs a command as a user does.
func Invoke(t *testing.T, program *cli.Program, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = program.Run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), err
}
