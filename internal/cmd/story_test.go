package cmd

import (
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestTheStoryIsToldInPlainWords(t *testing.T) {
	after := &healer.Sample{Boards: 3}
	for _, x := range []struct {
		record healer.Audit
		want   string
	}{
		{healer.Audit{Worker: "w", Decision: healer.Act, Action: healer.Restart, Reason: healer.DeadBoard, Rung: 1, Result: &healer.Sending{}}, "takes w in hand for a dead board, and restarts its mining process (step 1)"},
		{healer.Audit{Worker: "w", Decision: healer.Act, Action: healer.Restart}, ""}, // it is not sent yet
		{healer.Audit{Worker: "w", Decision: healer.Blocked, Reason: healer.LowHashrate, Gates: []healer.GateState{{Detail: "a"}, {Open: true, Detail: "b"}}}, "w is sick: low hashrate. The healer waits: a."},
		{healer.Audit{Worker: "w", Verify: &healer.Verified{Before: healer.Sample{Boards: 2}, After: after, Verdict: healer.Recovered}}, `"recovered": 2 boards before, 3 after`},
		{healer.Audit{Decision: healer.Hold, Note: "breaker pool x"}, "takes its hands off: breaker pool x"},
		{healer.Audit{Decision: healer.Resume, Note: "breaker pool x"}, "may act again: breaker pool x"},
		{healer.Audit{Worker: "w", Decision: healer.Quarantine, Note: "three reboots"}, "gives up on w: three reboots"},
		{healer.Audit{Worker: "w", Decision: healer.Recovery}, "w is well again"},
	} {
		if got := inWords(&x.record); got != x.want && (x.want == "" || !strings.Contains(got, x.want)) {
			t.Errorf("%q, want %q", got, x.want)
		}
	}
}
