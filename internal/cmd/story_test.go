package cmd

import (
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestTheStoryIsToldInPlanarrate(t *testing.T) {
	after := &healer.Sample{Boards: 3}
	for _, x := range []struct {
		record healer.Audit
		want   string
	}{
		{healer.Audit{Worker: "w", Decision: healer.Act, Action: healer.Restart, Reason: healer.DeadBoard, Rung: 1, Result: &healer.Sending{}},
			"w: dead board. The healer restarts its miner process (step 1)."},
		{healer.Audit{Worker: "w", Decision: healer.Act, Action: healer.Restart}, ""}, // it is not sent yet
		{healer.Audit{Worker: "w", Decision: healer.Blocked, Reason: healer.LowHashrate,
			Gates: []healer.GateState{{Name: "new_device", Detail: "a"}, {Open: true, Detail: "b"}}}, "w is sick: low hashrate. The healer waits: new device: a."},
		{healer.Audit{Worker: "w", Decision: healer.Blocked, Action: healer.Restart, Actor: "user:ada",
			Gates: []healer.GateState{{Name: "maintenance", Detail: "a"}}}, "w: restartCgMiner, which user:ada asked for, is blocked: maintenance: a."},
		{healer.Audit{Worker: "w", Verify: &healer.Verified{Before: healer.Sample{Boards: 2}, After: after, Verdict: healer.Recovered}},
			`"recovered", 2 boards before, 3 after`},
		{healer.Audit{Decision: healer.Hold, Note: "breaker pool x"}, "the healer pauses: breaker pool x"},
		{healer.Audit{Decision: healer.Resume, Note: "breaker pool x"}, "the healer resumes: breaker pool x"},
		{healer.Audit{Worker: "w", Decision: healer.Quarantine, Note: "three reboots"}, "w is quarantined: three reboots"},
		{healer.Audit{Worker: "w", Decision: healer.Recovery}, "w is healthy again"},
	} {
		if got := narrate(&x.record); got != x.want && (x.want == "" || !strings.Contains(got, x.want)) {
			t.Errorf("%q, want %q", got, x.want)
		}
	}
}
