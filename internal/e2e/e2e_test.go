// Package e2e runs the real binary, as a process, against simulated dragons and, where
// it is installed, a real Prometheus.
package e2e

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// parallel is how many tests run at once, unless -parallel says so: they mostly wait.
const parallel = 5

// binary is the program as a user builds it, or where E2E_BINARY says.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		flag.Parse()
		if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
			_ = f.Value.Set(strconv.Itoa(parallel))
		}
		if binary = os.Getenv("E2E_BINARY"); binary != "" { // for a machine without Go
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "mother-of-dragons-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "mother-of-dragons")
		build := exec.Command("go", "build", "-o", binary, "../..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// process is a program that a test started.
type process struct {
	*exec.Cmd
	done chan struct{} // closed when it has ended; err is set then
	err  error

	mu  sync.Mutex
	log strings.Builder
}

// spawn starts a program and gives each line that it logs to seen, until the test ends.
func spawn(t *testing.T, seen func(line string), name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), name, args...), done: make(chan struct{})}
	out, in := io.Pipe()
	p.Stdout, p.Stderr = in, in
	p.Dir = t.TempDir()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.Wait()
		in.Close()
	}()
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			if seen != nil {
				seen(lines.Text())
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.logged())
		}
	})
	return p
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

var listeningOn = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// mother starts the program and returns it with its base URL.
func mother(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	return motherBy(t, nil, args...)
}

// motherBy has a command start the program, if there is one.
func motherBy(t *testing.T, command []string, args ...string) (*process, string) {
	t.Helper()
	address := make(chan string, 1)
	args = append([]string{"--web.listen-address=127.0.0.1:0", "--inventory-file="}, args...)
	args = append(append(slices.Clip(command), binary), args...)
	p := spawn(t, func(line string) {
		if m := listeningOn.FindStringSubmatch(line); m != nil {
			select {
			case address <- "http://" + m[1]:
			default:
			}
		}
	}, args[0], args[1:]...)
	select {
	case base := <-address:
		return p, base
	case <-p.done:
		t.Fatalf("the program ended before it listened: %v\n%s", p.err, p.logged())
	case <-time.After(30 * time.Second):
		t.Fatalf("the program does not listen\n%s", p.logged())
	}
	return nil, ""
}

// stop asks for an end as systemd does, and wants it in time and in order.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("exit after SIGTERM: %v, want 0", p.err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still there ten seconds after SIGTERM")
	}
}

func tryGet(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, resp.Status, b)
	}
	return string(b), err
}

func get(t *testing.T, url string) string {
	t.Helper()
	body, err := tryGet(url)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// eventually asks until it is so. How long that takes is the machine's business, so
// the limit is wide.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	within(t, 4*time.Minute, what, is)
}

// within is eventually with another deadline.
func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(limit)
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// fleetOf starts a fleet in this process and returns the flags that point the program at it.
func fleetOf(t *testing.T, config dragontest.FleetConfig) (*dragontest.Fleet, []string) {
	t.Helper()
	dragons, err := dragontest.NewFleet(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dragons.Close)
	flags := []string{"--dragon-port=" + strconv.Itoa(int(dragons.Port()))}
	for _, n := range dragons.Networks() {
		flags = append(flags, "--network="+n.String())
	}
	return dragons, flags
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
