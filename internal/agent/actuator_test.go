package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

func TestWhatASendLearned(t *testing.T) {
	for err, want := range map[error]healer.Result{
		nil:                    healer.Accepted,
		dragon.ErrRejected:     healer.Refusal,
		dragon.ErrUnauthorized: healer.Refusal,
		dragon.ErrRefused:      healer.NotSent,
		dragon.ErrUnreachable:  healer.NotSent,
		dragon.ErrTimeout:      healer.NotSent,
		context.Canceled:       healer.NotSent,
		fmt.Errorf("%w: %w", dragon.ErrUnknownOutcome, dragon.ErrTimeout): healer.Unknown,
		dragon.ErrBadResponse: healer.Unknown,
	} {
		if got := resultOf(err); got != want {
			t.Errorf("after %v: %s, want %s", err, got, want)
		}
	}
}

// doubtful is a backend that cannot say whether this process still owns the state.
type doubtful struct{ Backend }

func (doubtful) Confirm(context.Context) error {
	return errors.New("asking etcd whether this instance leads: deadline exceeded")
}

// The last word before a write that a person wants does not come: the person and the audit are told that
// nothing was sent, when and why.
func TestAPersonIsToldThatTheLastWordFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.configs = append(w.configs, func(c *Config) {
			open := openLocal(c.Dir)
			c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
				b, state, err := open(ctx, floor)
				return doubtful{b}, state, err
			}
		})
		w.start()
		w.settle()
		asked := time.Now()
		a, err := w.healer.Reboot(w.ctx, w.worker(1), "eva", "test", true)
		if unsent := (*healer.NotSentError)(nil); !errors.As(err, &unsent) || a.Result != healer.NotSent || w.wroteAnything() {
			t.Errorf("result %q, error %v", a.Result, err)
		}
		pass(time.Minute)
		recorded := slices.ContainsFunc(w.audit(), func(r healer.Audit) bool {
			return r.Result != nil && !r.Result.Success && !r.Result.SentAt.Before(asked) && strings.Contains(r.Result.Error, "deadline exceeded")
		})
		if !recorded {
			t.Errorf("the audit has nothing of it: %+v", w.audit())
		}
	})
}

// Most reboots take the connection down before the answer. A webhook is told of them all the same, and
// of nothing that was not sent.
func TestWebhooksAreToldOfAWriteWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		told := make(chan string, 10)
		w.configs = append(w.configs, func(c *Config) {
			c.OnAudit = func(a *healer.Audit) {
				if e, ok := notify.EventOf(a); ok && e.Kind == notify.Acted {
					told <- e.Worker + " " + e.Note
				}
			}
		})
		w.start()
		w.settle()
		w.dragons.Dragon(1).Inject(dragontest.RebootUnanswered)
		if _, err := w.healer.Reboot(w.ctx, w.worker(1), "eva", "test", false); err != nil {
			t.Error(err)
		}
		if _, err := w.healer.Reboot(w.ctx, w.worker(2), "eva", "test", false); err == nil {
			t.Error("a second reboot at once")
		}
		pass(time.Minute)
		var got []string
		for len(told) > 0 {
			got = append(got, <-told)
		}
		if want := []string{w.worker(1) + " result unknown"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// An hour of a large farm has more writes than looks.
func TestSeveralDragonsAreHealedBetweenTwoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixtureOf(t, 30, func(i int) dragontest.Spec { return dragontest.Spec{Uptime: time.Duration(i+20) * time.Hour} }, nil)
		w.policy.Fleet.PerHourMin, w.policy.Fleet.InFlightMin = 360, 3 // ten seconds apart
		w.policy.Breakers.StormFresh = 0.5
		w.policy.Default.Ladder.Steps = []healer.Kind{healer.Reboot}
		w.policy.Default.Ladder.Hold = w.policy.Default.Ladder.Hold[:1]
		w.start()
		w.settle()
		for i := range 3 {
			w.dragons.Dragon(i).Inject(dragontest.DeadBoard, dragontest.Board(1), dragontest.CuredBy(dragontest.CuredByReboot))
		}
		var at []time.Duration
		w.until("three are rebooted", time.Hour, func() bool {
			n := 0
			for i := range 3 {
				n += len(w.wrote(i))
			}
			for len(at) < n {
				at = append(at, time.Since(w.clock.start))
			}
			return n == 3
		})
		if span := at[2] - at[0]; span >= time.Minute {
			t.Errorf("three writes took %s, each as long as a look: %v", span, at)
		}
	})
}
