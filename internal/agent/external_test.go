package agent

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
)

func TestExternalGate(t *testing.T) {
	type outside = func(context.Context, healer.External) (string, error)
	firing := func(context.Context, healer.External) (string, error) { return "2 series", nil }
	fine := func(context.Context, healer.External) (string, error) { return "", nil }
	gone := func(context.Context, healer.External) (string, error) { return "", errors.New("connection refused") }
	for name, c := range map[string]struct {
		onError string
		answer  outside
		heals   bool
		shown   string
	}{
		"nothing fires":       {"block", fine, true, "external gate: open\n"},
		"an alert fires":      {"block", firing, false, "external gate: CLOSED: 2 series\n"},
		"an alert, and allow": {"allow", firing, false, "external gate: CLOSED: 2 series\n"},
		"gone":                {"block", gone, false, "external gate: CLOSED: cannot be asked: connection refused\n"},
		"gone, and allow":     {"allow", gone, true, "external gate: open: cannot be asked: connection refused\n"},
		"nobody to ask":       {"block", nil, false, "external gate: CLOSED: cannot be asked: this program cannot ask it\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFixture(t, 3)
				w.policy.External = healer.External{Prometheus: "http://127.0.0.1:9090", Query: "ALERTS", OnError: c.onError}
				w.configs = append(w.configs, func(to *Config) { to.ExternalGate = c.answer })
				w.start()
				w.settle()
				w.killBoard(0)
				if c.heals {
					w.until("the dragon is restarted", 30*time.Minute, func() bool { return len(w.wrote(0)) > 0 })
				} else {
					w.until("the gate is in the way", 30*time.Minute, func() bool {
						d, err := w.healer.Why(w.worker(0))
						return err == nil && d.Blocked == healer.GateExternal
					})
					pass(10 * time.Minute)
					if w.wroteAnything() {
						t.Error("the gate was closed, and something was written")
					}
				}
				var b strings.Builder
				p, err := w.healer.Plan()
				if err == nil {
					err = explain.Plan(&b, p, explain.Layout{All: true})
				}
				if err != nil || !strings.Contains(b.String(), "\n"+c.shown) {
					t.Errorf("%v: want %q in\n%s", err, c.shown, b.String())
				}
				if errs := w.metric("mother_gate_errors_total"); (errs > 0) != strings.Contains(c.shown, "refused") {
					t.Errorf("%v errors counted", errs)
				}
				if n := strings.Count(w.log.String(), "external gate unreachable"); n > 1 {
					t.Errorf("it was said %d times", n)
				}
			})
		})
	}
}

// A gate that does not answer does not keep a human waiting, nor the dragons unseen.
func TestAMuteGateHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 1)
		asked := make(chan struct{}, 1000)
		w.policy.External = healer.External{Prometheus: "http://127.0.0.1:9090", Query: "ALERTS", OnError: "block"}
		w.configs = append(w.configs, func(c *Config) {
			c.ExternalGate = func(ctx context.Context, _ healer.External) (string, error) {
				asked <- struct{}{}
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Second):
				}
				return "", context.DeadlineExceeded
			}
		})
		w.start()
		<-asked
		before := time.Now()
		<-asked // in the second look; the first is over
		if took := time.Since(before); took > 75*time.Second {
			t.Errorf("a look took %s", took)
		}
		before = time.Now()
		if _, err := w.healer.Pause(t.Context(), healer.PauseRequest{Scope: "fleet", Owner: "test", Reason: "test"}); err != nil {
			t.Error(err)
		}
		if took := time.Since(before); took > 0 {
			t.Errorf("a pause took %s", took)
		}
	})
}

// What was asked for another policy says nothing about this one.
func TestANewGateIsAskedBeforeItIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 1)
		w.policy.External = healer.External{Prometheus: "http://127.0.0.1:9090", Query: "old", OnError: "block"}
		w.configs = append(w.configs, func(c *Config) {
			c.ExternalGate = func(_ context.Context, e healer.External) (string, error) {
				if e.Query == "new" {
					return "2 series", nil
				}
				return "", nil
			}
		})
		w.start()
		gate := func() healer.GateState {
			p, err := w.healer.Plan()
			if err != nil || p.External == nil {
				return healer.GateState{}
			}
			return *p.External
		}
		w.until("the old gate is open", 2*time.Minute, func() bool { return gate().Open })
		next := *w.policy
		next.External.Query = "new"
		w.enact(&next)
		w.until("the new gate is in force", 2*time.Minute, func() bool { return !gate().Open })
		if got := gate().Detail; got != "not asked yet" {
			t.Errorf("the first answer is %q", got)
		}
		w.until("the new gate is asked", 2*time.Minute, func() bool { return strings.Contains(gate().Detail, "2 series") })
	})
}

// S4: without its gateway the healer assumes that it is isolated. It asks no gateway that the
// operator has not named.
func TestAGatewayThatDoesNotAnswerHoldsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 3)
		var down atomic.Bool
		asked := make(chan string, 1000)
		w.configs = append(w.configs, func(c *Config) {
			c.ProbeGateway = func(_ context.Context, address string) error {
				asked <- address
				if down.Load() {
					return errors.New("no route to host")
				}
				return nil
			}
		})
		w.start()
		w.settle()
		if len(asked) > 0 {
			t.Errorf("asked %s, and no gate was configured", <-asked)
		}
		p := impatient()
		p.Causes.Gateway = "127.40.0.1:80"
		w.enact(p)
		pass(5 * time.Minute)
		if len(asked) == 0 || <-asked != "127.40.0.1:80" || w.metric("mother_healer_isolated") != 0 {
			t.Errorf("%d more asked; isolated %v", len(asked), w.metric("mother_healer_isolated"))
		}
		down.Store(true)
		pass(2 * time.Minute)
		w.killBoard(0)
		w.until("the isolation is in the way", 30*time.Minute, func() bool {
			d, err := w.healer.Why(w.worker(0))
			return err == nil && d.Blocked == healer.GateIsolation
		})
		pass(time.Hour)
		if w.wroteAnything() || w.metric("mother_healer_isolated") != 1 {
			t.Errorf("without its gateway: isolated %v\n%s", w.metric("mother_healer_isolated"), w.table())
		}
		if n := strings.Count(w.log.String(), "gateway unreachable, holding all actions"); n != 1 {
			t.Errorf("it was said %d times\n%s", n, w.log)
		}
		down.Store(false)
		w.until("it heals again", time.Hour, func() bool { return len(w.wrote(0)) > 0 })
		if w.metric("mother_healer_isolated") != 0 || !strings.Contains(w.log.String(), "gateway reachable again") {
			t.Errorf("isolated %v\n%s", w.metric("mother_healer_isolated"), w.log)
		}
	})
}
