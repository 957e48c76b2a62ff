package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// hanging is a disk on which every commit takes so long.
type hanging struct{ takes atomic.Int64 }

func (d *hanging) commit(b Backend, r store.Records) error {
	time.Sleep(time.Duration(d.takes.Load()))
	return b.Commit(r)
}

// A human is heard within a second while each commit hangs for ten, nothing is sent that is
// not written down, and when the disk is well again all is as if nothing had been.
func TestAHangingDiskDoesNotKeepHumansWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		var disk hanging
		w.setUps = append(w.setUps, func(h *Healer) { h.commit = disk.commit })
		w.start()
		w.settle()
		disk.takes.Store(int64(10 * time.Second))
		w.killBoard(1)
		heard := func(what string, say func() error) {
			t.Helper()
			start := time.Now()
			if err := say(); err != nil && !errors.Is(err, ErrUnwritten) {
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s: answered after %s", what, took)
			}
		}
		for range 30 {
			pass(2 * time.Minute)
			var id string
			heard("pause", func() error {
				p, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "mac", Value: w.worker(2), Owner: "eva", Reason: "disk"})
				id = p.ID
				return err
			})
			plan, err := w.healer.Plan()
			if err != nil || !slices.ContainsFunc(plan.Pauses, func(p healer.Pause) bool { return p.ID == id }) {
				t.Fatalf("pause %q is not in force: %v", id, err)
			}
			heard("resume", func() error { return w.healer.Resume(w.ctx, id, "eva") })
			heard("quarantine", func() error { return w.healer.Quarantine(w.ctx, w.worker(3), "eva", "test") })
			heard("release", func() error { return w.healer.Release(w.ctx, w.worker(3), "eva") })
		}
		if w.wroteAnything() {
			t.Error("something was sent whose intent took ten seconds to write")
		}
		disk.takes.Store(0)
		w.until("the dragon is healed", 2*time.Hour, func() bool { return len(w.wrote(1)) == 1 })
		w.stop()
		if mem := peekLocal(w.dir); mem == nil || mem.Fleet.Running || len(mem.Fleet.Pauses) != 0 {
			t.Error("the state does not have what was said")
		}
	})
}

// While an intent is being written for ten seconds, STOP is put there: nothing is sent.
func TestStopIsHeardWhileACommitHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		var disk hanging
		w.setUps = append(w.setUps, func(h *Healer) { h.commit = disk.commit })
		w.start()
		w.settle()
		w.killBoard(1)
		w.until("it is about to act", time.Hour, w.acting)
		disk.takes.Store(int64(time.Second)) // short enough for the intent to count
		if err := os.WriteFile(filepath.Join(w.dir, stopFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if w.wroteAnything() {
			t.Error("something was sent after STOP")
		}
	})
}

func TestAProcessEndsAlthoughItsDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		var disk hanging
		w.setUps = append(w.setUps, func(h *Healer) { h.commit = disk.commit })
		w.start()
		w.settle()
		disk.takes.Store(int64(10 * time.Minute))
		_, _ = w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "mac", Value: w.worker(1), Owner: "eva", Reason: "disk"})
		start := time.Now()
		w.stop()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it ended after %s", took)
		}
		time.Sleep(time.Hour) // the write that hung comes to its end
	})
}

// A state that cannot even be opened hangs nothing but the healing, and is said.
func TestAStateThatHangsWhenOpenedIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		w.configs = append(w.configs, func(c *Config) {
			open := openLocal(w.dir)
			c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
				time.Sleep(20 * time.Minute)
				return open(ctx, floor)
			}
		})
		w.start()
		pass(10 * time.Minute)
		s := w.healer.Status()
		if s == nil || s.Owner || s.Writable || !strings.Contains(s.Error, "takes too long") {
			t.Fatalf("status %+v", s)
		}
		if w.healer.Idle() > 2*time.Minute {
			t.Errorf("it has not looked for %s", w.healer.Idle())
		}
		w.until("the state is open", 30*time.Minute, func() bool { return w.healer.Status().Owner })
	})
}

// Dragons are read between the takeover of the state and the first look of its new owner, and people ask meanwhile.
func TestAQuestionRightAfterATakeoverIsAnswered(t *testing.T) {
	for name, ask := range map[string]func(w *fixture) error{
		"explain": func(w *fixture) error { _, err := w.healer.Explain(w.ctx, w.worker(1)); return err },
		"preview": func(w *fixture) error {
			_, err := w.healer.Preview(w.ctx, healer.Reboot, false, []string{w.worker(1)})
			return err
		},
		"pause": func(w *fixture) error {
			_, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "test"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 4)
				var held atomic.Bool
				held.Store(true)
				w.refuseState(&held, store.ErrHeld)
				w.start()
				pass(5 * time.Minute)
				held.Store(false)
				for !w.owns() {
					pass(100 * time.Millisecond)
				}
				if err := ask(w); err != nil && !errors.Is(err, ErrNotYet) {
					t.Error(err)
				}
				pass(10 * time.Minute)
				if s := w.healer.Status(); s.Mode != string(healer.Enforce) {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// What people say while the state cannot be opened is in force, and still is when another memory takes
// the place of the one that was told: at each look, and when the state is opened.
func TestWhatHoldsTheHealerBackOutlivesTheMemoryThatWasTold(t *testing.T) {
	for name, peeks := range map[string]bool{"the state can be read": true, "nothing can be read": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 4)
				w.start()
				w.settle()
				if _, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "mac", Value: w.worker(3), Owner: "bob", Reason: "before", UntilResume: true}); err != nil {
					t.Fatal(err)
				}
				w.stop()
				var broken atomic.Bool
				broken.Store(true)
				w.refuseState(&broken, errors.New("read-only file system"))
				if peeks {
					w.configs = append(w.configs, func(c *Config) { c.Peek = func(context.Context, error) *healer.Memory { return peekLocal(w.dir) } })
				}
				w.start()
				pass(5 * time.Minute)
				say := func(what string, err, want error) {
					t.Helper()
					if !errors.Is(err, want) {
						t.Errorf("%s: %v, want %v", what, err, want)
					}
				}
				pause := func(reason string, d time.Duration) string {
					p, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: reason, For: d, UntilResume: d == 0})
					say("pause", err, ErrUnwritten)
					return p.ID
				}
				pause("new SD card", 0)
				pause("short", time.Minute)
				pause("long", 10*time.Hour)
				say("quarantine", w.healer.Quarantine(w.ctx, w.worker(2), "eva", "smells"), ErrUnwritten)
				say("quarantine", w.healer.Quarantine(w.ctx, w.worker(3), "eva", "a mistake"), ErrUnwritten)
				say("release", w.healer.Release(w.ctx, w.worker(3), "eva"), ErrUnwritten)
				say("resume", w.healer.Resume(w.ctx, pause("a mistake", 0), "eva"), ErrUnwritten)
				say("acknowledge", w.healer.Ack(w.ctx, "safe_mode", "", "eva"), ErrNoState)
				if plan, _ := w.healer.Plan(); peeks {
					i := slices.IndexFunc(plan.Pauses, func(p healer.Pause) bool { return p.Owner == "bob" })
					say("resume of one that was there before", w.healer.Resume(w.ctx, plan.Pauses[i].ID, "eva"), ErrNoState)
				}
				said := func() []string {
					var reasons []string
					plan, err := w.healer.Plan()
					if err != nil {
						t.Fatal(err)
					}
					for _, p := range plan.Pauses {
						if p.Owner == "eva" {
							reasons = append(reasons, p.Reason)
						}
					}
					for _, d := range plan.Dragons {
						if d.State == healer.StateQuarantined {
							reasons = append(reasons, d.Worker)
						}
					}
					return reasons
				}
				want := []string{"new SD card", "long", w.worker(2)}
				pass(5 * time.Minute)
				if got := said(); !slices.Equal(got, want) {
					t.Errorf("while the state cannot be opened: %v, want %v", got, want)
				}
				w.killBoard(1)
				broken.Store(false)
				pass(2 * time.Hour)
				if got := said(); !slices.Equal(got, want) || w.wroteAnything() {
					t.Errorf("after it was opened: %v, want %v; written to the sick dragon: %v", got, want, w.wrote(1))
				}
				w.stop()
				holds := 0
				for _, a := range w.audit() {
					if a.Decision == healer.Hold && strings.Contains(a.Note, "new SD card") {
						holds++
					}
				}
				if mem := peekLocal(w.dir); mem == nil || len(mem.Fleet.Pauses) != 3 || holds != 1 {
					t.Errorf("%d records of the pause, in the state %+v", holds, mem)
				}
			})
		})
	}
}

// While etcd does not answer, an instance does not know who leads. It is as silent as one that follows, and
// takes no request that the one that leads would not hear of.
func TestAnInstanceThatCannotReachTheSharedStateIsSilent(t *testing.T) {
	for name, before := range map[string]error{"it followed": store.ErrHeld, "it starts": errors.New("etcd: deadline exceeded")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 10)
				var why atomic.Pointer[error]
				why.Store(&before)
				var told atomic.Int64
				w.configs = append(w.configs, func(c *Config) {
					c.Shared = true
					c.State = func(context.Context, uint64) (Backend, store.State, error) { return nil, store.State{}, *why.Load() }
					c.OnAudit = func(*healer.Audit) { told.Add(1) }
				})
				w.start()
				w.settle()
				down := errors.New("etcd: deadline exceeded")
				why.Store(&down)
				pass(2 * time.Minute)
				for i := range 5 {
					w.killBoard(i)
				}
				pass(time.Hour)
				_, paused := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "test"})
				_, rebooted := w.healer.Reboot(w.ctx, w.worker(7), "eva", "test", true)
				recorded := w.healer.Record(w.ctx, ManualAction{MAC: w.dragons.Dragon(1).Spec().MAC, Action: "reboot", Owner: "eva"})
				acknowledged, released := w.healer.Ack(w.ctx, "storm", "", "eva"), w.healer.Release(w.ctx, w.worker(7), "eva")
				for what, err := range map[string]error{"pause": paused, "reboot": rebooted, "record": recorded, "ack": acknowledged, "release": released} {
					if !errors.Is(err, ErrNoState) || (what == "pause") != strings.Contains(err.Error(), "a file STOP") {
						t.Errorf("%s: %v", what, err)
					}
				}
				plan, err := w.healer.Plan()
				if err != nil || len(plan.Pauses) > 0 {
					t.Errorf("it shows the pause that it refused: %v", err)
				}
				if _, err := os.Stat(filepath.Join(w.dir, auditName)); told.Load() > 0 || !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%d records told, the audit: %v", told.Load(), err)
				}
				if n := plan.Counts.States[healer.StateSick] + plan.Counts.States[healer.StateHeld]; n != 5 {
					t.Errorf("it shows %d sick dragons: %v", n, plan.Counts.States)
				}
			})
		})
	}
}

// A pause that etcd did not take in time is said again where this instance leads again, and not long after
// another one has led.
func TestAPauseThatTheSharedStateDidNotTake(t *testing.T) {
	for _, other := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newFixture(t, 4)
			var refuses atomic.Bool
			w.refuseState(&refuses, fmt.Errorf("another leads: %w", store.ErrHeld))
			w.configs = append(w.configs, func(c *Config) { c.Shared = true })
			var writing atomic.Pointer[error]
			w.setUps = append(w.setUps, func(h *Healer) {
				h.commit = func(b Backend, r store.Records) error {
					if err := writing.Load(); err != nil {
						return *err
					}
					return b.Commit(r)
				}
			})
			w.start()
			w.settle()
			down := errors.New("etcd: deadline exceeded")
			writing.Store(&down)
			_, err := w.healer.Pause(w.ctx, healer.PauseRequest{Scope: "fleet", Owner: "eva", Reason: "test", UntilResume: true})
			if !errors.Is(err, ErrUnwritten) || !strings.Contains(err.Error(), "a file STOP") {
				t.Errorf("the answer: %v", err)
			}
			if err := w.healer.Quarantine(w.ctx, w.worker(0), "eva", "test"); !strings.Contains(err.Error(), "a file STOP") {
				t.Errorf("the answer: %v", err)
			}
			if err := w.healer.Release(w.ctx, w.worker(0), "eva"); !errors.Is(err, ErrUnwritten) || strings.Contains(err.Error(), "STOP") {
				t.Errorf("the answer: %v", err)
			}
			refuses.Store(other)
			_ = w.healer.onLoop(w.ctx, "test", func(context.Context) error {
				w.healer.giveUp(fmt.Errorf("the lease is lost: %w", store.ErrHeld))
				return nil
			})
			pass(time.Minute)
			writing.Store(nil)
			refuses.Store(false)
			pass(time.Minute)
			plan, err := w.healer.Plan()
			if err != nil || (len(plan.Pauses) == 1) == other || !w.owns() {
				t.Errorf("another one led: %t; pauses %v, %v", other, plan.Pauses, err)
			}
			if said := strings.Contains(w.log.String(), "request not in force any more"); said != other {
				t.Errorf("another one led: %t; that it is lost is logged: %t", other, said)
			}
		})
	}
}

// An older program cannot read a newer memory, and gives the lead up again. No instance heals
// meanwhile, so it tries seldom.
func TestAnOlderInstanceTriesToLeadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		var tries atomic.Int64
		w.configs = append(w.configs, func(c *Config) {
			open := openLocal(w.dir)
			c.Shared = true
			c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
				tries.Add(1)
				b, state, err := open(ctx, floor)
				state.Fleet, state.WrittenBy = []byte(`{"version":2}`), "9.9.9"
				return b, state, err
			}
		})
		w.start()
		pass(newerRest - time.Minute)
		if s := w.healer.Status(); tries.Load() != 1 || s.Owner || !strings.Contains(s.Error, "written by mother-of-dragons 9.9.9") {
			t.Errorf("%d tries, status %+v", tries.Load(), s)
		}
		pass(newerRest)
		if n := tries.Load(); n != 2 {
			t.Errorf("%d tries in %s, want 2", n, 2*newerRest)
		}
	})
}

func TestAProcessThatEndsWhileItStartsLeavesNothingBehind(t *testing.T) {
	for _, x := range []struct{ takes, least, most time.Duration }{
		{time.Second, time.Second, closeWithin}, {time.Hour, closeWithin, 2 * closeWithin},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFixture(t, 2)
			var opened atomic.Bool
			w.configs = append(w.configs, func(c *Config) {
				open := openLocal(w.dir)
				c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
					time.Sleep(x.takes)
					defer opened.Store(true)
					return open(ctx, floor)
				}
			})
			w.start()
			synctest.Wait()
			start := time.Now()
			w.stop()
			if took := time.Since(start); took < x.least || took > x.most || opened.Load() != (x.takes < closeWithin) {
				t.Errorf("it ended after %s, the state was opened: %t", took, opened.Load())
			}
			time.Sleep(2 * time.Hour)
		})
	}
}

// A backup that was restored, or a state that is gone, is found by the audit: every budget
// counts as used up, and no ID of an action is used again.
func TestTheStateKnowsItsAge(t *testing.T) {
	for name, spoil := range map[string]func(w *fixture, backup []byte) error{
		"restored": func(w *fixture, backup []byte) error {
			return os.WriteFile(filepath.Join(w.dir, "healer.db"), backup, 0o600)
		},
		"gone": func(w *fixture, _ []byte) error { return os.Remove(filepath.Join(w.dir, "healer.db")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 4)
				w.start()
				w.settle()
				w.stop()
				backup, err := os.ReadFile(filepath.Join(w.dir, "healer.db"))
				if err != nil {
					t.Fatal(err)
				}
				w.start()
				w.killBoard(1)
				w.until("an action", time.Hour, func() bool { return len(w.wrote(1)) == 1 })
				pass(time.Minute)
				w.stop()
				used := 0 // the newest epoch
				for _, a := range w.audit() {
					if epoch, _, ok := strings.Cut(a.ActionID, "-"); ok {
						n, _ := strconv.Atoi(epoch)
						used = max(used, n)
					}
				}
				if err := spoil(w, backup); err != nil {
					t.Fatal(err)
				}
				w.start()
				pass(time.Minute)
				s := w.healer.Status()
				if s == nil || s.Recovered == "" || w.metric("mother_state_recovered") != 1 {
					t.Fatalf("it is not noticed: %+v", s)
				}
				w.killBoard(2)
				pass(2 * time.Hour)
				if n := len(w.wrote(2)); n != 0 {
					t.Errorf("%d writes without knowing the earlier ones", n)
				}
				w.stop()
				mem := peekLocal(w.dir)
				if mem == nil {
					t.Fatal("no state")
				}
				if used == 0 || mem.Fleet.Epoch <= used {
					t.Errorf("epoch %d, and actions of %d are in the audit", mem.Fleet.Epoch, used)
				}
			})
		})
	}
}

// A process that ends in order and starts again has lost nothing.
func TestAnOrderlyStartIsNoRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		for range 4 {
			w.start()
			w.settle()
			w.stop()
		}
		w.start()
		pass(time.Minute)
		if s := w.healer.Status(); s.Recovered != "" || s.Mode != string(healer.Enforce) {
			t.Errorf("%+v", s)
		}
	})
}

// What asks whether the program is ready learns that its healer does not look.
func TestAHealerThatDoesNotLookIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 2)
		stuck := make(chan struct{})
		w.setUps = append(w.setUps, func(h *Healer) {
			decide := h.decide
			h.decide = func(now healer.Instant, v *healer.View, m *healer.Memory, p *healer.Policy) *healer.Plan {
				select {
				case <-stuck:
				default:
					if h.published.Load() != nil {
						<-stuck
					}
				}
				return decide(now, v, m, p)
			}
		})
		w.start()
		pass(10 * time.Minute)
		if idle := w.healer.Idle(); idle < 7*time.Minute {
			t.Errorf("idle for %s", idle)
		}
		close(stuck)
		pass(2 * time.Minute)
		if idle := w.healer.Idle(); idle > 2*time.Minute {
			t.Errorf("idle for %s after it looked", idle)
		}
	})
}

// Why the state cannot be opened is in the log also where that takes longer than it is waited for.
func TestALateReasonIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 1)
		w.configs = append(w.configs, func(c *Config) {
			c.State = func(context.Context, uint64) (Backend, store.State, error) {
				time.Sleep(store.SlowAfter + time.Second)
				return nil, store.State{}, errors.New("connection refused")
			}
		})
		w.start()
		pass(10 * time.Minute)
		if n := strings.Count(w.log.String(), "connection refused"); n != 1 {
			t.Errorf("said %d times:\n%s", n, w.log.String())
		}
		if _, err := w.healer.Plan(); err != nil {
			t.Fatal(err)
		}
		if s := w.healer.published.Load(); !strings.Contains(s.Error, "connection refused") {
			t.Errorf("the status says %q", s.Error)
		}
	})
}
