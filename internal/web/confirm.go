package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// change is something that an operator may do on a page after a confirmation. The API has the same.
type change struct {
	title  string // %s is the target
	text   string // the consequence
	button string
	tone   string
	about  string                // the parameter that names the target
	asks   []string              // fields beside the owner: reason, for, force
	back   func(*Request) string // the next page
	do     doer
}

func toFleet(*Request) string { return "fleet" }

func toHealer(*Request) string { return "healer" }

func toRollouts(*Request) string { return "rollouts" }

func toDragon(q *Request) string { return "dragon?" + url.Values{"worker": {q.Dragon}}.Encode() }

// toScope is the page of the paused dragon, or the healer's.
func toScope(q *Request) string {
	if q.Scope == "mac" {
		return "dragon?" + url.Values{"worker": {q.Value}}.Encode()
	}
	return "healer"
}

var changes = map[string]change{
	"pause": {
		title: "Pause the healer for %s", text: "The healer keeps watching and sends nothing there until the pause ends. Actions in progress are still verified.",
		button: "Pause", tone: "warn", about: "scope", asks: []string{"reason", "for"}, back: toScope, do: hold(healer.Paused),
	},
	"maintenance": {
		title: "Maintenance of %s", text: "The healer does not act, does not count it as sick, and its alerts are muted until the maintenance ends.",
		button: "Start maintenance", tone: "warn", about: "scope", asks: []string{"reason", "for"}, back: toScope, do: hold(healer.Maintained),
	},
	"resume": {
		title: "End the pause %s", text: "The healer may act there again, unless another gate is closed.",
		button: "Resume", about: "id", back: toHealer, do: (*api).resume,
	},
	"quarantine": {
		title: "Quarantine %s", text: "The dragon keeps mining. The healer does not act on it until it is released.",
		button: "Quarantine", tone: "warn", about: "dragon", asks: []string{"reason"}, back: toDragon, do: (*api).quarantine,
	},
	"release": {
		title: "Release %s", text: "The healer acts on it again, from the first step of the ladder. Past actions still count against its budget.",
		button: "Release", about: "dragon", back: toDragon, do: (*api).release,
	},
	"forget": {
		title: "Forget %s", text: "It leaves the inventory, the series and the alerts at once, with its history. If it still answers, the next " +
			"scan finds it as a new dragon.",
		button: "Forget", tone: "bad", about: "dragon", back: toFleet, do: (*api).forget,
	},
	"retire": {
		title: "Retire %s", text: "It stays in the inventory with its history. The healer does not act on it, and its alerts are muted until then.",
		button: "Retire", tone: "warn", about: "dragon", asks: []string{"reason", "retire"}, back: toDragon, do: (*api).retire,
	},
	"unretire": {
		title: "Unretire %s", text: "The healer may act on it again, and its alerts fire.",
		button: "Unretire", about: "dragon", back: toDragon, do: (*api).unretire,
	},
	"accept": {
		title: "Take in the new dragons: %s", text: "They join the fleet within a minute.",
		button: "Take in", tone: "warn", about: "dragon", back: toFleet, do: (*api).accept,
	},
	"ack": {
		title: "Acknowledge the breaker %s", text: "The breaker closes, and its counters start from zero. Do this once you know the cause.",
		button: "Acknowledge", tone: "warn", about: "breaker", back: toHealer, do: (*api).ack,
	},
	"pace-fast": {
		title: "Go faster with the rollout %s", text: "After its canary, up to 10 % of the fleet are configured in ten minutes, and all actions in flight but one " +
			"are for rollouts. The gates and the limits that are compiled in stay.",
		button: "Go faster", tone: "warn", about: "id", back: toRollouts,
		do: func(a *api, ctx context.Context, q *Request) (any, error) { q.Pace = "fast"; return a.pace(ctx, q) },
	},
	"pace-normal": {
		title: "Set the rollout %s to the normal pace", text: "The waves of healing.rollout apply again.",
		button: "Normal pace", about: "id", back: toRollouts,
		do: func(a *api, ctx context.Context, q *Request) (any, error) { q.Pace = "normal"; return a.pace(ctx, q) },
	},
	"firmware-pause": {
		title: "Pause the rollout %s", text: "No more dragons start. Upgrades in progress continue.",
		button: "Pause the rollout", tone: "warn", about: "id", asks: []string{"reason"}, back: toRollouts, do: changeFirmware("pause"),
	},
	"firmware-resume": {
		title: "Resume the rollout %s", text: "The next dragons start in their wave.",
		button: "Resume", about: "id", asks: []string{"reason"}, back: toRollouts, do: changeFirmware("resume"),
	},
	"firmware-abort": {
		title: "Abort the rollout %s", text: "The rollout ends for good. Upgraded dragons keep their firmware. You can start another rollout.",
		button: "Abort the rollout", tone: "bad", about: "id", asks: []string{"reason"}, back: toRollouts, do: changeFirmware("abort"),
	},
	"restart": {
		title: "Restart the miner process of %s", text: "The miner process restarts. The dragon mines nothing for a minute and may tune for half an hour.",
		button: "Restart the miner process", tone: "warn", about: "dragon", asks: []string{"reason", "force"}, back: toDragon, do: write(healer.Restart),
	},
	"reboot": {
		title: "Reboot %s", text: "The whole dragon restarts. It is offline for a minute or two, and may not come back. Afterwards it tunes for up to half an hour.",
		button: "Reboot", tone: "bad", about: "dragon", asks: []string{"reason", "force"}, back: toDragon, do: write(healer.Reboot),
	},
}

type confirmPage struct {
	Do, Title, Text, Button, Tone string
	Request                       *Request
	Asks                          map[string]bool
	Spans                         [][2]string
	Back                          string
}

var spans = [][2]string{{"1h", "one hour"}, {"4h", "four hours"}, {"12h", "twelve hours"}, {"24h", "a day"}, {"72h", "three days"}, {"", "until ended by hand"}}

// page asks for a confirmation of a change to a target.
func (c change) page(do string, q *Request, target string) confirmPage {
	page := confirmPage{
		Do: do, Title: fmt.Sprintf(c.title, target), Text: c.text, Button: c.button, Tone: c.tone, Request: q,
		Asks: make(map[string]bool), Spans: spans, Back: c.back(q),
	}
	for _, field := range c.asks {
		page.Asks[field] = true
	}
	return page
}

// form reads the request of a form, or of the link to one.
func form(v url.Values) (string, change, *Request, error) {
	q := &Request{
		Scope: v.Get("scope"), Value: v.Get("value"), Dragon: v.Get("dragon"), ID: v.Get("id"), Breaker: v.Get("breaker"),
		For: v.Get("for"), UntilResume: v.Has("for") && v.Get("for") == "", Force: v.Get("force") != "",
		Reason: strings.TrimSpace(v.Get("reason")), Owner: strings.TrimSpace(v.Get("owner")),
	}
	name := v.Get("do")
	c, ok := changes[name]
	if !ok {
		return "", change{}, nil, fmt.Errorf("unknown change %q", cut(most, name))
	}
	return name, c, q, q.check()
}

func (q *Request) about(c change) string {
	switch c.about {
	case "id":
		return q.ID
	case "dragon":
		return q.Dragon
	case "breaker":
		return strings.TrimSpace(q.Breaker + " " + q.Scope)
	}
	if q.Scope == "fleet" {
		return "the whole fleet"
	}
	return strings.TrimSpace(strings.TrimPrefix(q.Scope+" ", "mac ") + q.Value)
}

// may writes an error page unless the client may change something.
func (p *pages) may(w http.ResponseWriter, r *http.Request) bool {
	e := p.mayChange(r)
	if e != nil {
		p.sorry(w, r, http.StatusForbidden, *e)
	}
	return e == nil
}

func (p *pages) confirm(w http.ResponseWriter, r *http.Request) {
	if !p.may(w, r) {
		return
	}
	if x, ok := settings[r.URL.Query().Get("do")]; ok {
		workers, err := selected(r.URL.Query()["dragon"])
		if err != nil {
			p.sorry(w, r, http.StatusBadRequest, ErrorAnswer{Error: err.Error()})
			return
		}
		p.setting(w, r, x, workers)
		return
	}
	name, c, q, err := form(r.URL.Query())
	var workers []string
	if err == nil {
		workers, err = selected(r.URL.Query()["dragon"])
	}
	if err != nil {
		p.sorry(w, r, http.StatusBadRequest, ErrorAnswer{Error: err.Error()})
		return
	}
	if c.about == "dragon" && len(workers) == 0 || c.about == "scope" && q.Scope == "" && len(workers) == 0 {
		p.sorry(w, r, http.StatusBadRequest, ErrorAnswer{Error: "no dragon is selected"})
		return
	}
	if len(workers) > 1 || len(workers) == 1 && c.about == "scope" {
		p.confirmMany(w, r, name, c, q, workers)
		return
	}
	p.show(w, r, http.StatusOK, "confirm", frame{Title: c.button, Page: c.page(name, q, q.about(c))})
}

// confirmed executes a confirmed change and shows the result.
func (p *pages) confirmed(w http.ResponseWriter, r *http.Request) {
	if !p.may(w, r) {
		return
	}
	if err := p.origin.Check(r); err != nil {
		p.sorry(w, r, http.StatusForbidden, ErrorAnswer{Error: err.Error(), Try: "send the form from a page of this address"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	if err := r.ParseForm(); err != nil {
		p.sorry(w, r, http.StatusBadRequest, ErrorAnswer{Error: "the form cannot be read"})
		return
	}
	_, c, q, err := form(r.PostForm) // never from the URL: that was not confirmed
	var workers []string
	if err == nil {
		workers, err = selected(r.PostForm["dragon"])
	}
	if err == nil {
		err = p.sign(q, r)
	}
	if err != nil {
		p.sorry(w, r, http.StatusBadRequest, ErrorAnswer{Error: err.Error(), Try: "your name in the form"})
		return
	}
	if len(workers) > 1 || len(workers) == 1 && c.about == "scope" {
		p.confirmedMany(w, r, c, q, workers)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	m := message{Tone: "good", Title: "Done", Text: fmt.Sprintf(c.title, q.about(c)), Back: c.back(q), BackText: "Continue"}
	code := http.StatusOK
	_, err = c.do(p.api, ctx, q)
	switch {
	case errors.Is(err, agent.ErrUnwritten):
		m.Tone, m.Title, m.Text = "warn", "Done, not saved", m.Text+": "+err.Error()
	case err != nil:
		var e ErrorAnswer
		code, e = refusal(err)
		level.Debug(p.Logger).Log("msg", "page request refused", "status", code, "err", err)
		m.Tone, m.Title, m.Error = "bad", "Not done", &e
	}
	p.show(w, r, code, "message", frame{Title: m.Title, Page: m})
}
