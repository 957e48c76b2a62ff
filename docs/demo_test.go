package docs_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/installed"
)

// statuses are the exit statuses beside 0 of commands that tell something by them: what
// waits, and that some of the demo's dragons do not answer.
var statuses = map[string][]int{" plan": {2, 3}, " scan": {3}, " summary --all": {1}}

// output collects what a program prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// What the demo prints and what README says to try works as it stands there, on the demo,
// in the directory of a fresh clone: with bin/ and the data directory in it.
func TestEveryCommandOfTheDemoWorksAsPrinted(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program and waits for the demo")
	}
	t.Parallel()
	installed.Tool(t, "curl", "curl")
	clone := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(clone, "bin", "mother-of-dragons"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var said output
	demo := exec.CommandContext(t.Context(), "bin/mother-of-dragons", "demo", "--web.listen-address=127.0.0.1:0")
	demo.Dir, demo.Stdout, demo.Stderr = clone, &said, &said
	demo.Cancel = func() error { return demo.Process.Signal(syscall.SIGTERM) }
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	explained := func() bool { // the demo has begun, and the healer has looked at the first sick dragon
		c := exec.CommandContext(t.Context(), "bin/mother-of-dragons", "plan", "--why=dragon-4500d1a8")
		c.Dir = clone
		return strings.Contains(said.String(), "loses a board") && c.Run() == nil
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(3 * time.Minute); !explained(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the demo does not begin:\n%s", said.String())
		}
	}
	picture := said.String()
	base := regexp.MustCompile(`http://([0-9.:]+)/`).FindStringSubmatch(picture)
	dragons := regexp.MustCompile(`127\.10\.0\.0/27:\d+`).FindString(picture)
	if base == nil || dragons == "" {
		t.Fatalf("the demo does not say where it is:\n%s", picture)
	}
	for _, m := range regexp.MustCompile(`http://[0-9.:]+/\S*`).FindAllString(picture, -1) {
		if out := run(t, clone, "curl -sf '"+m+"' | head -c 1000"); out == "" {
			t.Errorf("%s has no answer", m)
		}
	}
	_, port, _ := strings.Cut(dragons, ":")
	commands := regexp.MustCompile(`(?m)(?:bin/mother-of-dragons|curl) .*$`).FindAllString(picture, -1)
	if len(commands) < 6 {
		t.Errorf("the demo prints only %q", commands)
	}
	section, _, _ := strings.Cut(readDocument(t, "README.md")[strings.Index(readDocument(t, "README.md"), "## Try it"):], "\n## Run it")
	listed := regexp.MustCompile(`(?m)^(?:\$ )?((?:bin/mother-of-dragons|curl) .*)$`).FindAllStringSubmatch(section, -1)
	for i, m := range listed {
		command := strings.NewReplacer("localhost:9977", base[1], ":8101", ":"+port).Replace(m[1])
		command, _, _ = strings.Cut(command, "  #")
		command = strings.TrimSpace(command)
		if i > 0 {
			commands = append(commands, command)
		} else if out := run(t, clone, command); !strings.Contains(out, "dragon_up{") || !strings.Contains(out, "dragon_info{") {
			t.Errorf("%s\nhas neither dragon_up nor dragon_info, or one of them:\n%s", command, out)
		}
	}
	if len(listed) < 7 {
		t.Errorf("README says to try only %q", listed)
	}
	slices.Sort(commands)
	var running sync.WaitGroup
	for _, command := range slices.Compact(commands) { // some wait for the dragon that never answers
		running.Go(func() { run(t, clone, command) })
	}
	running.Wait()
	if err := demo.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("the demo ends with %v:\n%s", err, said.String())
	}
	if left, _ := os.ReadDir(clone); len(left) > 2 || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() == "data" }) {
		t.Errorf("the demo leaves %v", left)
	}
}

// run has a shell run a command in a directory. It returns what the command prints.
func run(t *testing.T, dir, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", command)
	var out, errs bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errs
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		for part, codes := range statuses {
			if strings.Contains(command, part) && slices.Contains(codes, exit.ExitCode()) {
				err = nil
			}
		}
	}
	if err != nil || out.Len() == 0 {
		t.Errorf("%s: %v\n%s%s", command, err, out.String(), errs.String())
	}
	return out.String()
}
