package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// setting is something that the pages do not set, because of its secrets or because the
// configuration file decides it. They say how to set it for the selected dragons.
type setting struct {
	title string // %s is the number of dragons
	why   string
	wish  string // of the profile; empty: it is set by a command
}

var settings = map[string]setting{
	"pools": {
		title: "Set the pools of %s",
		why: "The configuration file decides the pools. So their passwords pass no browser, one dragon tries them before the others, and " +
			"what differs later is corrected. Where a profile has pools, others are reverted.",
		wish: "pools:\n        - {url: \"stratum+tcp://POOL:3333\", username: ACCOUNT, password_file: pool.password}",
	},
	"autotune": {
		title: "Set the autotune mode of %s",
		why: "The configuration file decides the mode. So one dragon tries it before the others, and what differs later is corrected. " +
			"Where a profile has a mode, another one is reverted.",
		wish: "autotune: {mode: efficient}  # efficient, balanced, factory or performance",
	},
	"password": {
		title: "Change the password of %s",
		why: "A password passes no browser. The command makes a random one for each dragon, saves it before it is sent, and keeps the old one " +
			"until a login with the new one works. The running instance uses it at once.",
	},
}

type settingPage struct {
	Title, Why string
	Profile    string // for the configuration file; empty: none
	Command    string
	Budget     string
	Rows       []manyRow
}

// setting says how to set something for the selected dragons, and what gates and waves make of it.
func (p *pages) setting(w http.ResponseWriter, r *http.Request, x setting, workers []string) {
	if len(workers) == 0 {
		p.sorry(w, r, http.StatusBadRequest, ErrorAnswer{Error: "no dragon is selected"})
		return
	}
	page := settingPage{Title: fmt.Sprintf(x.title, dragonsOf(len(workers))), Why: x.why}
	l := lookAt(p.Healer)
	var macs, names []string
	for _, name := range workers {
		d := p.Fleet.Lookup(name)
		if d == nil {
			p.sorry(w, r, http.StatusNotFound, ErrorAnswer{Error: fmt.Sprintf("unknown dragon %q", cut(most, name))})
			return
		}
		a := l.describe(d, time.Now())
		if a.MAC != "" {
			macs = append(macs, fmt.Sprintf("%q", a.MAC))
		}
		names = append(names, a.Worker)
		page.Rows = append(page.Rows, manyRow{Worker: a.Worker, State: a.State(), Tone: "good", Says: "can be written to"})
	}
	if x.wish == "" {
		page.Command = "mother-of-dragons dragon password " + strings.Join(names, " ")
		page.Budget = "It interrupts no mining, so the budgets do not hold it. The command asks before it begins, and talks to 16 dragons at a time."
		for i := range page.Rows {
			page.Rows[i].Says = ""
		}
	} else {
		page.Profile = fmt.Sprintf("profiles:\n  - name: selected\n    match:\n      mac: [%s]\n    wish:\n      %s\n", strings.Join(macs, ", "), x.wish)
		page.Command = "mother-of-dragons check-config FILE && systemctl reload mother-of-dragons"
		if err := p.settingGates(r, &page, l); err != nil {
			code, e := refusal(err)
			p.sorry(w, r, code, e)
			return
		}
	}
	p.show(w, r, http.StatusOK, "setting", frame{Title: page.Title, Page: &page})
}

// settingGates says which dragons a rollout would have to wait for, and how long it takes.
func (p *pages) settingGates(r *http.Request, page *settingPage, l look) error {
	free, err := p.previewRows(r.Context(), page.Rows, healer.Configure, "waits for ")
	if err != nil {
		return err
	}
	page.Budget = fmt.Sprintf("%d of %d can be written to now.", free, len(page.Rows))
	switch policy := l.status.Policy; {
	case policy.Rollout.Mode != healer.Enforce:
		page.Budget += " healing.rollout.mode is " + string(policy.Rollout.Mode) + ": nothing is written."
	default:
		takes := policy.ConfigTime(l.status.Plan.Counts.N, len(page.Rows))
		page.Budget += fmt.Sprintf(" One dragon tries it first, the others follow in waves: about %s for all, if no other rollout runs.", short(takes))
	}
	return nil
}

func dragonsOf(n int) string {
	if n == 1 {
		return "1 dragon"
	}
	return fmt.Sprintf("%d dragons", n)
}
