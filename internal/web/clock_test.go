package web

import (
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

func TestAPauseEndsByTheClockAsItIsNow(t *testing.T) {
	made := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := healer.Moment(time.Hour)
	p := healer.Pause{Wall: made, At: at, Until: at.Add(2 * time.Hour)}
	// Half an hour later the clock has been set a day ahead: the pause takes no notice.
	now := made.Add(24*time.Hour + 30*time.Minute)
	plan := &healer.Plan{Wall: now, At: at.Add(30 * time.Minute), Pauses: []healer.Pause{p}}
	a := healerAnswer(&agent.Status{Plan: plan})
	if want := now.Add(90 * time.Minute); len(a.Pauses) != 1 || a.Pauses[0].Ends == nil || !a.Pauses[0].Ends.Equal(want) {
		t.Errorf("%+v, want an end at %v", a.Pauses, want)
	}
}
