package agent

import (
	"context"
	"fmt"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// What was decided before somebody else's write waits for a plan that knows of it.
func TestAWriteAfterThePlanHoldsWhatItAllowed(t *testing.T) {
	t.Parallel()
	d := healer.Decision{Who: healer.Who{MAC: "a"}, Verb: healer.Act, Kind: healer.Restart}
	h, j := &Healer{mem: healer.NewMemory(), plan: &healer.Plan{At: 5, Dragons: []healer.Decision{d}}}, job{decision: d}
	h.mem.Fleet.Ring = []healer.FleetAction{{MAC: "b", At: 4}}
	if _, err := h.stillWanted(&j); err != nil {
		t.Error(err)
	}
	h.mem.Fleet.Ring = append(h.mem.Fleet.Ring, healer.FleetAction{MAC: "b", At: 6})
	if _, err := h.stillWanted(&j); err == nil {
		t.Error("it goes out in spite of a write that its plan does not know of")
	}
}

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
