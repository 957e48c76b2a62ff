package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
)

// narrator tells the story of a fast demo: one dragon gets a fault and is healed, a new one
// joins and is configured, then every pool fails and the healer waits. The healer is the
// real one with its default policy.
type narrator struct {
	dragons *dragontest.Fleet
	speed   float64
	dir     string // of the audit log
	out     io.Writer
	start   time.Time
	read    int64 // bytes of the audit log
}

// chapter is an event of the story, by the dragons' clock.
type chapter struct {
	at   time.Duration
	text string
	do   func()
}

func (n *narrator) chapters() []chapter {
	all := func(do func(*dragontest.Dragon)) func() {
		return func() {
			for _, d := range n.dragons.Dragons() {
				do(d)
			}
		}
	}
	worker := func(i int) string { return dragon.WorkerName(n.dragons.Dragon(i).Spec().MAC) }
	story := []chapter{
		{100 * time.Minute, "every pool fails. No dragon has work, but none has a fault.", all(func(d *dragontest.Dragon) { d.Inject(dragontest.PoolDead) })},
		{120 * time.Minute, "the pools are back.", all(func(d *dragontest.Dragon) { d.Clear(dragontest.PoolDead) })},
		{140 * time.Minute, "end of the story. The dragons keep running; Ctrl-C stops them.", func() {}},
	}
	if i := newcomer(n.dragons.Len()); i > 0 {
		text := worker(i) + " is new from the factory and is switched on. It mines for its vendor."
		story = append([]chapter{{70 * time.Minute, text, n.dragons.Dragon(i).PowerOn}}, story...)
	}
	if n.dragons.Len() > 1 {
		text := worker(1) + " loses a board. Restarting its miner process would help; the healer does not know that yet."
		story = append([]chapter{{n.sickAt(), text, func() {
			n.dragons.Dragon(1).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
			injectFaults(n.dragons, 1)
		}}}, story...)
	}
	return story
}

// sickAt is when the first dragons fall sick: after all of them were found.
func (n *narrator) sickAt() time.Duration {
	return max(3*time.Minute, time.Duration(float64(2*time.Second)*n.speed))
}

// tell tells the story until ctx is done.
func (n *narrator) tell(ctx context.Context) {
	fmt.Fprint(n.out, "What happens, by the dragons' clock:\n\n")
	story := n.chapters()
	tick := time.Tick(250 * time.Millisecond)
	for ctx.Err() == nil {
		passed := time.Duration(float64(time.Since(n.start)) * n.speed)
		for len(story) > 0 && story[0].at <= passed {
			story[0].do()
			n.line(story[0].at, story[0].text)
			story = story[1:]
		}
		n.follow()
		select {
		case <-tick:
		case <-ctx.Done():
		}
	}
}

func (n *narrator) line(at time.Duration, text string) {
	minutes := int(at.Minutes())
	fmt.Fprintf(n.out, "  %d:%02d  %s\n", minutes/60, minutes%60, text)
}

// follow tells what is new in the audit log.
func (n *narrator) follow() {
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
		if text := narrate(&records[i]); text != "" {
			n.line(records[i].At.Sub(n.start), cli.Plain(text, 200))
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
	case r.Decision == healer.Blocked && why == "":
		return fmt.Sprintf("%s: %s, which %s asked for, is blocked: %s.", r.Worker, r.Action, r.Actor, closedGate(r))
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

// closedGate is the closed gates with their details.
func closedGate(r *healer.Audit) string {
	var closed []string
	for _, g := range healer.Closed(r.Gates) {
		closed = append(closed, strings.ReplaceAll(string(g.Name), "_", " ")+": "+g.Detail)
	}
	return strings.Join(closed, "; ")
}

func boardsAfter(r *healer.Audit) int {
	if r.Verify.After == nil {
		return -1
	}
	return r.Verify.After.Boards
}
