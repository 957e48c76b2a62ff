package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// leader is an instance that shares its state. It can lose its lease, and etcd can fail to answer.
type leader struct {
	*fixture
	other   atomic.Bool // another instance leads
	silent  atomic.Bool // commits end without an answer
	arrives bool        // and are carried out all the same
}

func newLeader(t *testing.T, arrives bool) *leader {
	l := &leader{fixture: newFixture(t, 4), arrives: arrives}
	l.refuseState(&l.other, fmt.Errorf("another leads: %w", store.ErrHeld))
	l.configs = append(l.configs, func(c *Config) { c.Shared = true })
	l.setUps = append(l.setUps, func(h *Healer) {
		h.commit = func(b Backend, r store.Records) error {
			if l.silent.Load() {
				if l.arrives {
					_ = b.Commit(r)
				}
				return errors.New("etcd: deadline exceeded")
			}
			return b.Commit(r)
		}
	})
	l.start()
	l.settle()
	return l
}

// unanswered makes a request whose commit gets no answer; the lease is lost, and taken again.
func (l *leader) unanswered(request func()) {
	l.silent.Store(true)
	request()
	l.lose()
	pass(time.Minute)
	l.silent.Store(false)
	pass(10 * time.Minute)
}

func (l *leader) lose() {
	_ = l.healer.onLoop(l.ctx, "test", func(context.Context) error {
		l.healer.giveUp(fmt.Errorf("the lease is lost: %w", store.ErrHeld))
		return nil
	})
}

func (l *leader) pause() {
	_, _ = l.healer.Pause(l.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "test", UntilResume: true})
}

// pauses are the IDs of the pauses that are in force.
func (l *leader) pauses() string {
	plan, err := l.healer.Plan()
	if err != nil {
		return err.Error()
	}
	var ids []string
	for _, p := range plan.Pauses {
		ids = append(ids, p.ID)
	}
	return strings.Join(ids, " ")
}

func TestARequestIsRepeatedUntilItIsWrittenAndNotAfterThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t, false)
		l.unanswered(l.pause)
		for range 3 {
			if got := l.pauses(); got != "p1" {
				t.Errorf("pauses %q", got)
			}
			l.lose()
			pass(10 * time.Minute)
		}
		l.other.Store(true)
		l.lose()
		pass(10 * time.Minute)
		if strings.Contains(l.log.String(), "request not in force any more") {
			t.Error("a request that is written is said to be lost")
		}
	})
}

func TestAPauseWhoseCommitOnlyLostItsAnswerIsThereOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t, true)
		l.unanswered(l.pause)
		if got := l.pauses(); got != "p1" {
			t.Errorf("pauses %q", got)
		}
		if err := l.healer.Resume(l.ctx, "p1", "eva"); err != nil || l.pauses() != "" {
			t.Errorf("after the resume: %q, %v", l.pauses(), err)
		}
	})
}

func TestAReleaseAtAnotherLeaderIsNotUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLeader(t, false)
		w.unanswered(func() { _ = w.healer.Quarantine(w.ctx, w.worker(2), "eva", "smells") })
		// It is written. The instance is cut off, rests, and another one leads meanwhile.
		mac := ""
		_ = w.healer.onLoop(w.ctx, "test", func(context.Context) error {
			mac, _ = w.healer.macOf(w.worker(2))
			w.healer.rests = time.Now().Add(unfitRest)
			w.healer.giveUp(fmt.Errorf("cut off: %w", store.ErrHeld))
			return nil
		})
		pass(30 * time.Second)
		b, state, err := openLocal(w.dir)(w.ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		mem, err := healer.LoadMemory(state.Fleet, state.Dragons)
		if err != nil {
			t.Fatal(err)
		}
		if err := mem.Release(w.healer.clock.Now(), mac, "ann"); err != nil {
			t.Fatal(err)
		}
		c, err := mem.Changes()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(store.Records(c)); err != nil {
			t.Fatal(err)
		}
		_ = b.Close()
		pass(20 * time.Minute)
		d, err := w.healer.Why(w.worker(2))
		if !w.owns() || err != nil || d.State == healer.StateQuarantined {
			t.Errorf("owns %t, %v: quarantined again, though ann has released it at the other leader: %s", w.owns(), err, d.State)
		}
	})
}

// restartReadOnly starts the healer again with a state that can be read and not opened while broken.
func (w *fixture) restartReadOnly() (broken *atomic.Bool) {
	broken = new(atomic.Bool)
	broken.Store(true)
	w.stop()
	w.refuseState(broken, errors.New("read-only file system"))
	w.configs = append(w.configs, func(c *Config) { c.Peek = func(context.Context, error) *healer.Memory { return peekLocal(w.dir) } })
	w.start()
	pass(5 * time.Minute)
	return broken
}

func TestAnUnsavedAbortStaysWhenAResumeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newFirmwareFixture(t, 3, dragontest.Image{Version: newerFirmware})
		w.start()
		w.settle()
		pass(20 * time.Minute)
		w.rollOut(r)
		pass(time.Minute)
		id := w.rollout().ID
		if err := w.healer.ChangeFirmware(w.ctx, "pause", id, "ann", "later"); err != nil {
			t.Fatal(err)
		}
		broken := w.restartReadOnly()
		_ = w.healer.ChangeFirmware(w.ctx, "abort", id, "eva", "bricks them")
		if err := w.healer.ChangeFirmware(w.ctx, "resume", id, "bob", "by mistake"); err == nil {
			t.Error("an aborted rollout was resumed")
		}
		broken.Store(false)
		pass(30 * time.Minute)
		if s := w.rollout().State; s != healer.RolloutAborted {
			t.Errorf("%s, though it was aborted and the resume was refused", s)
		}
	})
}

func TestAReleaseOfASavedQuarantineNeedsTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.start()
		w.settle()
		if err := w.healer.Quarantine(w.ctx, w.worker(2), "ann", "before"); err != nil {
			t.Fatal(err)
		}
		w.restartReadOnly()
		_ = w.healer.Quarantine(w.ctx, w.worker(2), "eva", "again")
		if err := w.healer.Release(w.ctx, w.worker(2), "eva"); !errors.Is(err, ErrNoState) {
			t.Errorf("released: %v", err)
		}
	})
}
