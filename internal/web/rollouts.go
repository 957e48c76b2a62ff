package web

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

type rolloutsPage struct {
	Rollouts []rolloutShown
	Firmware []firmwareShown // the newest first
	Uploads  []agent.UploadShown
	Running  []RunningAnswer
}

type rolloutShown struct {
	RolloutAnswer
	Phases []phaseCount
	Failed []failure
}

// LeftText says how long the rollout takes.
func (x *rolloutShown) LeftText() string { return explain.Left(&x.RolloutShown) }

type firmwareShown struct {
	FirmwareAnswer
	Phases []phaseCount
	Failed []failure
}

// phaseCount is the number of a rollout's dragons in one phase.
type phaseCount struct {
	Phase, Tone string
	Count       int
	From, Of    string // percent, for the bar
}

// failure is a dragon on which the rollout failed.
type failure struct{ Worker, Why, Ago string }

func (p *pages) rollouts(w http.ResponseWriter, r *http.Request) {
	f := frame{Title: "Rollouts", Here: "rollouts", Refresh: refreshEvery}
	status := p.Healer.Status()
	if status == nil {
		f.Page = notYet
		p.show(w, r, http.StatusOK, "message", f)
		return
	}
	page := rolloutsOf(status.Plan)
	page.Uploads, page.Running = p.Healer.Uploads(), p.running()
	page.Running = page.Running[:min(len(page.Running), planShown)]
	f.Page = page
	p.show(w, r, http.StatusOK, "rollouts", f)
}

func rolloutsOf(plan *healer.Plan) *rolloutsPage {
	workers := make(map[string]string, len(plan.Dragons))
	for i := range plan.Dragons {
		workers[plan.Dragons[i].MAC] = plan.Dragons[i].Worker
	}
	answer := rolloutsAnswer(plan)
	page := &rolloutsPage{}
	for _, x := range answer.Rollouts {
		shown := rolloutShown{RolloutAnswer: x, Phases: phasesOf(x.Phases, x.Members)}
		for _, y := range x.Failed {
			shown.Failed = append(shown.Failed, failure{cmp.Or(workers[y.MAC], y.MAC), y.Why, short(plan.At.Since(y.At))})
		}
		page.Rollouts = append(page.Rollouts, shown)
	}
	for _, x := range slices.Backward(answer.Firmware) {
		shown := firmwareShown{FirmwareAnswer: x, Phases: phasesOf(x.Phases, x.Members)}
		for _, d := range x.Dragons {
			if d.Phase == healer.UpgradeFailed || d.Phase == healer.UpgradeInconclusive {
				shown.Failed = append(shown.Failed, failure{d.Worker, cmp.Or(d.Why, string(d.Phase)), short(plan.At.Since(d.Since))})
			}
		}
		page.Firmware = append(page.Firmware, shown)
	}
	return page
}

// phaseOrder is every phase of both kinds of rollouts, from done to not started.
var phaseOrder = func() []string {
	order := []string{string(healer.UpgradeDone), string(healer.PhaseInSync), string(healer.PhaseChanging)}
	for _, p := range slices.Backward(healer.UpgradePhases) {
		order = append(order, string(p))
	}
	for _, p := range healer.Phases {
		order = append(order, string(p))
	}
	var once []string
	for _, p := range order {
		if !slices.Contains(once, p) {
			once = append(once, p)
		}
	}
	return once
}()

func phasesOf(counts map[string]int, members int) []phaseCount {
	var list []phaseCount
	before := 0
	for _, phase := range phaseOrder {
		if n := counts[phase]; n > 0 {
			list = append(list, phaseCount{phase, phaseTone(phase), n, share(before, members), share(n, members)})
			before += n
		}
	}
	return list
}

func phaseTone(phase string) string {
	switch phase {
	case string(healer.PhaseInSync), string(healer.UpgradeDone):
		return "good"
	case string(healer.PhaseStuck), string(healer.PhaseConflict), string(healer.PhaseFailed), string(healer.UpgradeInconclusive):
		return "bad"
	case string(healer.PhaseUnknown), healer.PhaseWaiting:
		return "calm"
	}
	return "warn"
}
