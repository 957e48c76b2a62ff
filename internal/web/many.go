package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// mostSelected is how many dragons one confirmation may be about.
const mostSelected = 500

// manyPage is the data of a confirmation about several dragons, and of its result.
type manyPage struct {
	confirmPage
	Rows   []manyRow
	Budget string // what the budgets allow, in a sentence
	Done   bool   // this is the result
}

type manyRow struct {
	Worker string
	State  healer.State
	Tone   string
	Says   string
}

// selected are the dragons of a form, each once.
func selected(names []string) ([]string, error) {
	var list []string
	for _, name := range names {
		if name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	if len(list) > mostSelected {
		return nil, fmt.Errorf("%d dragons are selected, expected at most %d", len(list), mostSelected)
	}
	return list, nil
}

// actionOf is the action of a change; empty if it sends nothing.
func actionOf(do string) healer.Kind {
	switch do {
	case "restart":
		return healer.Restart
	case "reboot":
		return healer.Reboot
	}
	return ""
}

func (q *Request) of(c change, worker string) *Request {
	one := *q
	if c.about == "scope" {
		one.Scope, one.Value = "mac", worker
	} else {
		one.Dragon = worker
	}
	return &one
}

// confirmMany asks for a confirmation about several dragons, and shows what gates and
// budgets make of it.
func (p *pages) confirmMany(w http.ResponseWriter, r *http.Request, do string, c change, q *Request, workers []string) {
	page := manyPage{confirmPage: c.page(do, q, dragonsOf(len(workers)))}
	l := lookAt(p.Healer)
	for _, name := range workers {
		d := p.Fleet.Lookup(name)
		if d == nil {
			p.sorry(w, r, http.StatusNotFound, ErrorAnswer{Error: fmt.Sprintf("unknown dragon %q", cut(most, name))})
			return
		}
		a := l.describe(d, time.Now())
		page.Rows = append(page.Rows, manyRow{Worker: a.Worker, State: a.State(), Tone: "good", Says: "allowed"})
	}
	if kind := actionOf(do); kind != "" {
		if err := p.preview(r.Context(), &page, kind); err != nil {
			code, e := refusal(err)
			p.sorry(w, r, code, e)
			return
		}
	}
	p.show(w, r, http.StatusOK, "many", frame{Title: c.button, Page: &page})
}

// previewRows says for each dragon which gate is closed, and counts those for which none is.
func (p *pages) previewRows(ctx context.Context, rows []manyRow, kind healer.Kind, blocked string) (free int, err error) {
	var workers []string
	for i := range rows {
		workers = append(workers, rows[i].Worker)
	}
	decisions, err := p.Healer.Preview(ctx, kind, false, workers)
	for i := range decisions {
		if decisions[i].Verb == healer.Act {
			free++
		} else {
			rows[i].Tone, rows[i].Says = "warn", blocked+cmp.Or(firstClosed(&decisions[i]), "the healer")
		}
	}
	return free, err
}

// preview says which gates are closed, and what the budgets of the fleet have left.
func (p *pages) preview(ctx context.Context, page *manyPage, kind healer.Kind) error {
	allowed, err := p.previewRows(ctx, page.Rows, kind, "blocked by ")
	if err != nil {
		return err
	}
	page.Budget = fmt.Sprintf("%d of %d pass all gates now.", allowed, len(page.Rows))
	if status := p.Healer.Status(); status != nil {
		room, limit := roomOf(status.Plan.Budgets)
		page.Budget += fmt.Sprintf(" The fleet's budgets have room for %d (%s). Any more are refused.", room, limit)
	}
	return nil
}

// roomOf is how many actions the budgets of the fleet have left, and the tightest of them.
func roomOf(budgets []healer.BudgetUse) (room int, tightest string) {
	room = mostSelected
	for _, b := range budgets {
		if left := max(0, b.Limit-b.Used); b.Scope == "fleet" && left < room {
			room, tightest = left, fmt.Sprintf("%s: %d of %d used", window(b.Window), b.Used, b.Limit)
		}
	}
	return room, tightest
}

// confirmedMany executes a change on the selected dragons, one after another, and shows
// the result of each.
func (p *pages) confirmedMany(w http.ResponseWriter, r *http.Request, c change, q *Request, workers []string) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	page := manyPage{confirmPage: confirmPage{Title: fmt.Sprintf(c.title, dragonsOf(len(workers)))}, Done: true}
	done, unsaved := 0, 0
	for _, worker := range workers {
		row := manyRow{Worker: worker, Tone: "good", Says: "done"}
		_, err := c.do(p.api, ctx, q.of(c, worker))
		var blocked *agent.BlockedError
		switch {
		case err == nil:
			done++
		case errors.Is(err, agent.ErrUnwritten):
			done++
			unsaved++
			row.Tone, row.Says = "warn", "done, not saved: "+cut(most, err.Error())
		case errors.As(err, &blocked):
			row.Tone, row.Says = "warn", "not done: "+cmp.Or(firstClosed(&blocked.Decision), "refused")
		default:
			row.Tone, row.Says = "bad", "not done: "+cut(most, err.Error())
		}
		page.Rows = append(page.Rows, row)
	}
	page.Budget = fmt.Sprintf("%d of %d done.", done, len(workers))
	if unsaved > 0 {
		page.Budget = fmt.Sprintf("%d of %d done, %d of them not saved.", done, len(workers), unsaved)
	}
	p.show(w, r, http.StatusOK, "many", frame{Title: "Result", Page: &page})
}

func firstClosed(d *healer.Decision) string {
	if closed := healer.Closed(d.Gates); len(closed) > 0 {
		return fmt.Sprintf("%s: %s", spaced(closed[0].Name), cut(120, closed[0].Detail))
	}
	return ""
}
