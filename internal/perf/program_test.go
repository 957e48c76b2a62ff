package perf

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// program is the program under measurement, as a process.
type program struct {
	b    *testing.B
	pid  int
	base string
	stop func()
}

var listeningOn = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// launch starts a program, which ends with the benchmark at the latest.
func launch(b *testing.B, cmd *exec.Cmd) *program {
	b.Helper()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &program{b: b, pid: cmd.Process.Pid, stop: func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}}
	b.Cleanup(p.stop)
	return p
}

// start runs the program on a fleet and waits until it has read every dragon of it.
func start(b *testing.B, h *dragons, args ...string) *program {
	b.Helper()
	args = append([]string{"--web.listen-address=127.0.0.1:0", "--inventory-file=", "--data-dir=" + b.TempDir(), "--scan-interval=24h"}, args...)
	cmd := exec.Command(binary, append(args, h.flags...)...)
	out, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	p := launch(b, cmd)
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for p.base == "" && lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if m := listeningOn.FindStringSubmatch(lines.Text()); m != nil {
			p.base = "http://" + m[1]
		}
	}
	if p.base == "" {
		b.Fatalf("the program does not listen:\n%s", said.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	deadline := time.After(5 * time.Minute)
	for again := time.NewTicker(time.Duration(1+h.size/2000) * time.Second); ; {
		page, err := p.get("/metrics", "identity")
		if n := bytes.Count(page, []byte("\ndragon_boards{")); err == nil && n == h.size {
			again.Stop()
			return p
		} else if err == nil {
			b.Logf("%d of %d dragons", n, h.size)
		}
		select {
		case <-again.C:
		case <-deadline:
			b.Fatalf("the program has not read all %d dragons within five minutes", h.size)
		}
	}
}

func (p *program) get(path, encoding string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, p.base+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", encoding)
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "30")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return b, err
}

func (p *program) scrape() {
	p.b.Helper()
	if _, err := p.get("/metrics", "gzip"); err != nil {
		p.b.Fatal(err)
	}
}

// cpu is the processor time that the program has used so far.
func (p *program) cpu() time.Duration {
	p.b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		p.b.Fatal(err)
	}
	// The name, in brackets, may hold anything; what follows are numbers from the third
	// field on. utime and stime are the 14th and 15th, in ticks of a hundredth second.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			p.b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// peak is the most memory that the program has had resident so far, in MB.
func (p *program) peak() float64 {
	p.b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		p.b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kB float64
	if _, err := fmt.Sscan(after, &kB); err != nil {
		p.b.Fatal(err)
	}
	return kB * 1024 / 1e6
}
