package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

type fleetPage struct {
	*FleetAnswer
	Query        fleetQuery
	States       []stateCount
	Rates        []algorithmRate
	Discovery    *DiscoveryAnswer
	Unlooked     bool // before the first cycle of the healer
	Columns      []column
	ShowsSite    bool
	Warm, Hot    float64 // °C, as the healer's policy has it
	PrevL, NextL string
	CSV          string // link to all matching dragons
	GroupRows    []groupRow
	Selects      bool // dragons may be selected for a change
}

type groupRow struct {
	*GroupAnswer
	Link string
}

type stateCount struct {
	State healer.State
	Count int
	Link  string
	Here  bool
}

type algorithmRate struct {
	Algorithm string
	Rate      dragon.Number
}

type column struct {
	Name, Text, Link, Sorted string // Sorted: ascending, descending or empty
}

// heat returns the temperatures from which a dragon of a profile is warm, and hot.
func heat(s *agent.Status, profile string) (warm, hot float64) {
	policy := healer.DefaultPolicy().Default.Heat
	if s != nil {
		policy = s.Policy.For(profile).Heat
	}
	return policy.Warn, policy.Crit
}

// Heat is the color class of the temperature.
func (a *DragonAnswer) Heat(warm, hot float64) string {
	switch t := a.Temperature.Or(0); {
	case t >= hot:
		return "bad"
	case t >= warm:
		return "warn"
	}
	return ""
}

// Because explains the state of the dragon and the next step in one line.
func (a *DragonAnswer) Because() string {
	h := a.Healer
	if h == nil {
		return a.Down
	}
	because := strings.ReplaceAll(string(h.Reason), "_", " ")
	switch {
	case because == "" && a.needsALook():
		because = a.plainly()
	case h.Evidence != "":
		because += ": " + h.Evidence
	case because == "":
		because = h.Note
	}
	switch h.Decision {
	case healer.Blocked:
		because += fmt.Sprintf("; %s blocked: %s", actionWord(h.Action), strings.ReplaceAll(string(h.Blocked), "_", " "))
	case healer.WouldAct:
		because += "; would get a " + actionWord(h.Action)
	}
	return because
}

type bar struct{ Tone, Share string }

// Bar compares the hash rate with the expected one, or with the maker's value while that is
// not learned yet.
func (a *DragonAnswer) Bar() *bar {
	is, known := a.Hashrate.Get()
	well := a.Expected.Or(a.Nominal.Or(0))
	if !known || well <= 0 {
		return nil
	}
	b := bar{"good", share(is, well)}
	switch {
	case is < 0.6*well:
		b.Tone = "bad"
	case is < 0.85*well:
		b.Tone = "warn"
	}
	return &b
}

// Stale reports whether the last reading is old.
func (a *DragonAnswer) Stale() bool { return a.Age.Or(0) > stale }

const (
	longList = 200 // a table of more rows is laid out where it is in sight alone
	bodyRows = 50  // of a body of the table
)

// Long reports whether the table has many rows.
func (p *fleetPage) Long() bool { return len(p.Dragons) > longList }

// Breaks reports whether a body of the table begins with row i: a browser styles and lays
// out the bodies of a long table in sight alone.
func (p *fleetPage) Breaks(i int) bool { return i > 0 && i%bodyRows == 0 }

// stale is the age in seconds of an old reading. The healer reads every dragon once a minute.
const stale = 90

func (p *pages) fleet(w http.ResponseWriter, r *http.Request) {
	q, err := parseFleetQuery(r.URL.Query(), dragonsShown)
	if err != nil {
		p.sorry(w, r, http.StatusBadRequest, ErrorAnswer{Error: err.Error()})
		return
	}
	l := lookAt(p.Healer)
	h := describeFleet(p.Fleet, l, q, time.Now())
	page := fleetPage{
		FleetAnswer: h, Query: q, Unlooked: l.status == nil, ShowsSite: len(h.Sites) > 0, Selects: p.mayChange(r) == nil,
		Discovery: describeDiscovery(p.Discovery, p.Fleet),
	}
	page.Warm, page.Hot = heat(l.status, "")
	for algorithm, v := range h.hashrates {
		page.Rates = append(page.Rates, algorithmRate{algorithm, dragon.Known(v)})
	}
	slices.SortFunc(page.Rates, func(a, b algorithmRate) int { return strings.Compare(a.Algorithm, b.Algorithm) })
	page.link()
	refresh := refreshEvery
	if page.Long() {
		refresh = refreshLong
	}
	p.show(w, r, http.StatusOK, "fleet", frame{Title: "Fleet", Here: "fleet", Refresh: refresh, Page: &page})
}

// linkTo is the fleet page with a changed query, from its first page on.
func (p *fleetPage) linkTo(change func(*fleetQuery)) string {
	to := p.Query
	to.Page = 1
	change(&to)
	return "fleet?" + to.values(dragonsShown).Encode()
}

// link makes the links of the page to other views of itself.
func (p *fleetPage) link() {
	chip := func(state string, count int) {
		link := p.linkTo(func(q *fleetQuery) { q.State = state })
		p.States = append(p.States, stateCount{healer.State(state), count, link, p.Query.State == state})
	}
	chip("", p.Known)
	chip(troubled, p.Troubled)
	for _, s := range healer.States {
		if n := p.states[s]; n > 0 || string(s) == p.Query.State {
			chip(string(s), n)
		}
	}
	for _, c := range [][2]string{
		{"worker", "Dragon"}, {"state", "State"}, {"hashrate", "Hash rate"}, {"temperature", "Hottest"}, {"boards", "Boards"},
		{"model", "Model"}, {"site", "Site"}, {"action", "Last action"}, {"age", "Read"},
	} {
		if c[0] != "site" || p.ShowsSite {
			p.Columns = append(p.Columns, p.column(c[0], c[1]))
		}
	}
	if p.Page > 1 {
		p.PrevL = p.linkTo(func(q *fleetQuery) { q.Page = p.Page - 1 })
	}
	if p.Page < p.Pages {
		p.NextL = p.linkTo(func(q *fleetQuery) { q.Page = p.Page + 1 })
	}
	all := p.Query
	all.Page, all.Per = 1, 0
	p.CSV = "api/v1/dragons?" + all.values(0).Encode() + "&format=csv"
	for i := range p.Groups {
		g := &p.Groups[i]
		p.GroupRows = append(p.GroupRows, groupRow{g, p.groupLink(g.Name)})
	}
}

func (p *fleetPage) column(name, text string) column {
	c := column{Name: name, Text: text}
	to := name
	switch p.Query.Sort {
	case name:
		c.Sorted, to = "ascending", "-"+name
	case "-" + name:
		c.Sorted = "descending"
	default:
		if name == "temperature" || name == "age" { // the highest value is the interesting one
			to = "-" + name
		}
	}
	c.Link = p.linkTo(func(q *fleetQuery) { q.Sort = to })
	return c
}

// groupLink is the page of one group alone; empty where no filter selects it.
func (p *fleetPage) groupLink(name string) string {
	if name == "" {
		return ""
	}
	return p.linkTo(func(q *fleetQuery) {
		switch q.Group {
		case "site":
			q.Site = name
		case "model":
			q.Model = name
		case "state":
			q.State = name
		case "firmware", "profile", "pool":
			q.Text = cut(most, name)
		default:
			q.Label = q.Group + "=" + name
		}
		q.Group = ""
	})
}
