package healer

import (
	"testing"
	"time"
)

// The trial of a breaker fails unless a stronger step is left: otherwise all that are sick would be
// restarted one after the other, to no effect.
func TestWhatLeavesAStrongerStep(t *testing.T) {
	for name, x := range map[string]struct {
		steps   []Kind
		action  Action
		charged bool // the store was lost: no reboots for a week
		want    bool
	}{
		"a reboot comes next":       {steps: []Kind{Restart, Reboot}, action: Action{Kind: Restart, Rung: 1, Outcome: NoEffect}, want: true},
		"a restart, then a reboot":  {steps: []Kind{Restart, Restart, Reboot}, action: Action{Kind: Restart, Rung: 1, Outcome: NoEffect}, want: true},
		"it was the last step":      {steps: []Kind{Restart}, action: Action{Kind: Restart, Rung: 1, Outcome: NoEffect}},
		"only restarts are left":    {steps: []Kind{Restart, Restart}, action: Action{Kind: Restart, Rung: 1, Outcome: NoEffect}},
		"reboots are not allowed":   {steps: []Kind{Restart, Reboot}, action: Action{Kind: Restart, Rung: 1, Outcome: NoEffect}, charged: true},
		"it made it worse":          {steps: []Kind{Restart, Reboot}, action: Action{Kind: Restart, Rung: 1, Outcome: Worse}},
		"it was a reboot":           {steps: []Kind{Reboot, Reboot}, action: Action{Kind: Reboot, Rung: 1, Outcome: NoEffect}},
		"the ladder is shorter now": {steps: []Kind{Restart}, action: Action{Kind: Restart, Rung: 3, Outcome: NoEffect}},
	} {
		c := &cycle{m: NewMemory(), now: Moment(30 * 24 * time.Hour)}
		if x.charged {
			c.m.Fleet.Recovered = &Mark{At: c.now}
		}
		var p DragonPolicy
		p.Ladder.Steps = x.steps
		x.action.Reason = DeadBoard
		if got := c.leavesStronger(&subject{p: &p}, &x.action); got != x.want {
			t.Errorf("%s: %t, want %t", name, got, x.want)
		}
	}
}
