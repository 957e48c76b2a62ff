package cmd

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// story is what happens in a demo that runs faster: one dragon falls sick and is
// healed, a new one joins and is configured, then every pool fails and nobody is touched. The healer is the real one,
// with the policy that it is shipped with.
type story struct {
	herd  *dragontest.Herd
	speed float64
	dir   string // of the healer's audit
	out   io.Writer

	mu    sync.Mutex // of out, and of what was read of the audit
	start time.Time
	read  int64
}

// The story by the dragons' clock. A healer that has just met its dragons watches
// them for an hour.
const (
	storySick      = 30 * time.Minute
	storyJoins     = 100 * time.Minute
	storyPoolsDown = 130 * time.Minute
	storyPoolsUp   = 150 * time.Minute
	storyEnd       = 170 * time.Minute
)

// begin lets the story begin. It returns how to end it.
func (s *story) begin() (end func()) {
	s.start = time.Now()
	var timers []*time.Timer
	at := func(t time.Duration, says string, do func()) {
		timers = append(timers, time.AfterFunc(time.Duration(float64(t)/s.speed), func() {
			do()
			s.say(t, "%s", says)
		}))
	}
	if s.herd.Len() > 1 {
		at(storySick, s.worker(1)+" loses a board. Its mining process has to be restarted, and nobody has told the healer.", func() {
			s.herd.Dragon(1).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
		})
	}
	if i := newcomer(s.herd.Len()); i > 0 {
		at(storyJoins, s.worker(i)+" comes from its factory and is switched on. It works for its vendor, and nobody has told the healer.", func() {
			s.herd.Dragon(i).PowerOn()
		})
	}
	at(storyPoolsDown, "every pool fails. No dragon has work, and none is sick.", func() {
		for _, d := range s.herd.Dragons() {
			d.Inject(dragontest.PoolDead)
		}
	})
	at(storyPoolsUp, "the pools are back.", func() {
		for _, d := range s.herd.Dragons() {
			d.Clear(dragontest.PoolDead)
		}
	})
	at(storyEnd, "that is the story. The dragons live on; Ctrl-C stops them.", func() {})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.follow()
			case <-stop:
				return
			}
		}
	}()
	return func() {
		for _, t := range timers {
			t.Stop()
		}
		close(stop)
		<-done
	}
}

func (s *story) worker(i int) string { return dragon.WorkerName(s.herd.Dragon(i).Spec().MAC) }

// tell says what is to come.
func (s *story) tell(w io.Writer, address net.Addr, herd *dragontest.Herd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(w, `
%d simulated dragons live on %v, and live %g times faster than you.
%s shows them and the healer's plan; in a terminal:
  mother-of-dragons plan --data-dir=%s
It watches dragons that it does not know for an hour. What happens, by their clock:

`, herd.Len(), herd.Networks(), s.speed, "http://"+address.String()+"/", s.dir)
}

func (s *story) say(at time.Duration, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(at, format, args...)
}

// line writes a line of the story. The caller holds s.mu.
func (s *story) line(at time.Duration, format string, args ...any) {
	minutes := int(at.Minutes())
	fmt.Fprintf(s.out, "  %d:%02d  %s\n", minutes/60, minutes%60, fmt.Sprintf(format, args...))
}

// follow tells what is new in the audit.
func (s *story) follow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	file, err := os.Open(filepath.Join(s.dir, "audit.jsonl"))
	if err != nil {
		return // nothing has happened yet
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, s.read, 16<<20))
	if err != nil {
		return
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1] // of a line that is being written, the rest comes later
	s.read += int64(len(data))
	records, _ := agent.ReadAudit(data)
	for i := range records {
		r := &records[i]
		if says := inWords(r); says != "" {
			s.line(r.At.Sub(s.start), "%s", says)
		}
	}
}

// inWords says in plain words what a line of the audit says; empty if it is not news.
func inWords(r *healer.Audit) string {
	action := map[healer.Kind]string{healer.Restart: "restarts its mining process", healer.Reboot: "reboots it"}[r.Action]
	why := strings.ReplaceAll(string(r.Reason), "_", " ")
	switch {
	case r.Action == healer.Configure && r.Verify != nil && r.Verify.Verdict == healer.Recovered:
		return fmt.Sprintf("%s is as wished, and a pool has accepted its work.", r.Worker)
	case r.Action == healer.Configure && r.Verify != nil:
		return fmt.Sprintf("%s was configured, to no effect: %s.", r.Worker, r.Note)
	case r.Action == healer.Configure && r.Decision == healer.Act && r.Result == nil:
		return fmt.Sprintf("the healer configures %s. %s.", r.Worker, r.Note)
	case r.Action == healer.Configure && r.Decision == healer.Blocked && r.Worker != "":
		return fmt.Sprintf("%s is not as wished. The healer waits: %s.", r.Worker, closedGate(r))
	case r.Action == healer.Configure:
		return ""
	case r.Verify != nil:
		return fmt.Sprintf("%s: the outcome is %q: %d boards before, %d after.", r.Worker, r.Verify.Verdict, r.Verify.Before.Boards, boardsAfter(r))
	case r.Decision == healer.Act && r.Result != nil:
		return fmt.Sprintf("the healer takes %s in hand for a %s, and %s (step %d).", r.Worker, why, action, r.Rung)
	case r.Decision == healer.Blocked:
		return fmt.Sprintf("%s is sick: %s. The healer waits: %s.", r.Worker, why, closedGate(r))
	case r.Decision == healer.Hold:
		return "the healer takes its hands off: " + r.Note + "."
	case r.Decision == healer.Resume:
		return "the healer may act again: " + r.Note + "."
	case r.Decision == healer.Quarantine:
		return fmt.Sprintf("the healer gives up on %s: %s.", r.Worker, r.Note)
	case r.Decision == healer.Recovery:
		return fmt.Sprintf("%s is well again.", r.Worker)
	}
	return ""
}

// closedGate says what is in the way.
func closedGate(r *healer.Audit) string {
	var closed []string
	for _, g := range r.Gates {
		if !g.Open {
			closed = append(closed, g.Detail)
		}
	}
	return strings.Join(closed, "; ")
}

func boardsAfter(r *healer.Audit) int {
	if r.Verify.After == nil {
		return -1
	}
	return r.Verify.After.Boards
}
