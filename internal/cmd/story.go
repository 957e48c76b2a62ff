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

// narrator tells the story of a fast demo: one dragon gets a fault and is healed, a new one
// joins and is configured, then every pool fails and the healer waits. The healer is the
// real one with its default policy.
type narrator struct {
	herd  *dragontest.Herd
	speed float64
	dir   string // of the audit log
	out   io.Writer

	mu    sync.Mutex // guards out and read
	start time.Time
	read  int64 // bytes of the audit log
}

// The story by the dragons' clock. The healer only observes new dragons for an hour.
const (
	storySick      = 30 * time.Minute
	storyJoins     = 100 * time.Minute
	storyPoolsDown = 130 * time.Minute
	storyPoolsUp   = 150 * time.Minute
	storyEnd       = 170 * time.Minute
)

// run starts the story. It returns how to end it.
func (n *narrator) run() (end func()) {
	n.start = time.Now()
	var timers []*time.Timer
	at := func(t time.Duration, text string, do func()) {
		timers = append(timers, time.AfterFunc(time.Duration(float64(t)/n.speed), func() {
			do()
			n.say(t, "%s", text)
		}))
	}
	if n.herd.Len() > 1 {
		at(storySick, n.worker(1)+" loses a board. Restarting its miner process would help; the healer does not know that yet.", func() {
			n.herd.Dragon(1).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
		})
	}
	if i := newcomer(n.herd.Len()); i > 0 {
		at(storyJoins, n.worker(i)+" is new from the factory and is switched on. It mines for its vendor.", func() {
			n.herd.Dragon(i).PowerOn()
		})
	}
	at(storyPoolsDown, "every pool fails. No dragon has work, but none has a fault.", func() {
		for _, d := range n.herd.Dragons() {
			d.Inject(dragontest.PoolDead)
		}
	})
	at(storyPoolsUp, "the pools are back.", func() {
		for _, d := range n.herd.Dragons() {
			d.Clear(dragontest.PoolDead)
		}
	})
	at(storyEnd, "end of the story. The dragons keep running; Ctrl-C stops them.", func() {})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				n.follow()
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

func (n *narrator) worker(i int) string { return dragon.WorkerName(n.herd.Dragon(i).Spec().MAC) }

// introduce says what will happen.
func (n *narrator) introduce(w io.Writer, address net.Addr, herd *dragontest.Herd) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(w, `
%d simulated dragons run on %v, %g times faster than real ones.
%s shows them and the healer's plan; in a terminal:
  mother-of-dragons plan --data-dir=%s
The healer only observes new dragons for an hour. What happens, by the dragons' clock:

`, herd.Len(), herd.Networks(), n.speed, "http://"+address.String()+"/", n.dir)
}

func (n *narrator) say(at time.Duration, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.line(at, format, args...)
}

// line writes a line. The caller holds n.mu.
func (n *narrator) line(at time.Duration, format string, args ...any) {
	minutes := int(at.Minutes())
	fmt.Fprintf(n.out, "  %d:%02d  %s\n", minutes/60, minutes%60, fmt.Sprintf(format, args...))
}

// follow tells what is new in the audit log.
func (n *narrator) follow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	file, err := os.Open(filepath.Join(n.dir, "audit.jsonl"))
	if err != nil {
		return // the log does not exist yet
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, n.read, 16<<20))
	if err != nil {
		return
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1] // without a line that is still being written
	n.read += int64(len(data))
	records, _ := agent.ReadAudit(data)
	for i := range records {
		r := &records[i]
		if text := narrate(r); text != "" {
			n.line(r.At.Sub(n.start), "%s", text)
		}
	}
}

// narrate is a record of the audit log in plain words; empty if it is not worth telling.
func narrate(r *healer.Audit) string {
	action := map[healer.Kind]string{healer.Restart: "restarts its miner process", healer.Reboot: "reboots it"}[r.Action]
	why := strings.ReplaceAll(string(r.Reason), "_", " ")
	switch {
	case r.Action == healer.Configure && r.Verify != nil && r.Verify.Verdict == healer.Recovered:
		return fmt.Sprintf("%s is in sync, and a pool has accepted its work.", r.Worker)
	case r.Action == healer.Configure && r.Verify != nil:
		return fmt.Sprintf("%s was configured without effect: %s.", r.Worker, r.Note)
	case r.Action == healer.Configure && r.Decision == healer.Act && r.Result == nil:
		return fmt.Sprintf("the healer configures %s. %s.", r.Worker, r.Note)
	case r.Action == healer.Configure && r.Decision == healer.Blocked && r.Worker != "":
		return fmt.Sprintf("%s has drifted from its desired state. The healer waits: %s.", r.Worker, closedGate(r))
	case r.Action == healer.Configure:
		return ""
	case r.Verify != nil:
		return fmt.Sprintf("%s: outcome %q, %d boards before, %d after.", r.Worker, r.Verify.Verdict, r.Verify.Before.Boards, boardsAfter(r))
	case r.Decision == healer.Act && r.Result != nil:
		return fmt.Sprintf("%s: %s. The healer %s (step %d).", r.Worker, why, action, r.Rung)
	case r.Decision == healer.Blocked:
		return fmt.Sprintf("%s is sick: %s. The healer waits: %s.", r.Worker, why, closedGate(r))
	case r.Decision == healer.Hold:
		return "the healer pauses: " + r.Note + "."
	case r.Decision == healer.Resume:
		return "the healer resumes: " + r.Note + "."
	case r.Decision == healer.Quarantine:
		return fmt.Sprintf("%s is quarantined: %s.", r.Worker, r.Note)
	case r.Decision == healer.Recovery:
		return fmt.Sprintf("%s is healthy again.", r.Worker)
	}
	return ""
}

// closedGate is the details of the closed gates.
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
