package agent

import (
	"context"
	"fmt"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
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
