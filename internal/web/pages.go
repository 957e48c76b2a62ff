package web

import (
	"bufio"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-kit/log/level"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/common/version"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

//go:embed templates static
var files embed.FS

// The intervals in seconds at which a visible page is refreshed. No dragon is read for a
// page, but a list of thousands is half a second of work for both sides.
const (
	refreshEvery = 15
	refreshLong  = 60
)

const (
	dragonsShown = 100 // a page, unless more are asked for
	planShown    = 100 // dragons in the healer's plan
)

// pages serves the HTML pages. Links are relative, so that a proxy may serve them under any path.
type pages struct {
	*api
	telemetry string
	profiling bool
	stamp     string // hash of static, so that browsers may cache it
	templates map[string]*template.Template
	past      *past
}

func newPages(a *api, telemetry string, profiling bool) (*pages, error) {
	p := &pages{api: a, telemetry: strings.TrimPrefix(telemetry, "/"), profiling: profiling, past: newPast(), templates: make(map[string]*template.Template)}
	sum := sha256.New()
	err := fs.WalkDir(files, "static", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		sum.Write(data)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.stamp = hex.EncodeToString(sum.Sum(nil))[:12]
	layout, err := template.New("layout.html").Funcs(words).ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/discovery.html")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"fleet", "dragon", "healer", "rollouts", "configuration", "confirm", "many", "setting", "message"} {
		t, err := layout.Clone()
		if err == nil {
			p.templates[name], err = t.ParseFS(files, "templates/"+name+".html")
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// register adds the pages to a mux. The fleet page is at / too, unless the metrics are.
func (p *pages) register(mux *http.ServeMux) {
	page := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, gzhttp.GzipHandler(h)) }
	page("GET /fleet", p.fleet)
	mux.HandleFunc("GET /herd", func(w http.ResponseWriter, r *http.Request) { // as it was called
		w.Header().Set("Location", (&url.URL{Path: "fleet", RawQuery: r.URL.RawQuery}).String()) // relative: a proxy may be in front
		w.WriteHeader(http.StatusMovedPermanently)
	})
	if p.telemetry != "" {
		page("GET /{$}", p.fleet)
	}
	page("GET /dragon", p.dragon)
	page("GET /healer", p.healer)
	page("GET /rollouts", p.rollouts)
	page("GET /configuration", p.config)
	page("GET /confirm", p.confirm)
	page("POST /confirm", p.confirmed)
	static := http.FileServerFS(files)
	mux.HandleFunc("GET /static/{file}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("v") == p.stamp {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		guard(w.Header())
		static.ServeHTTP(w, r)
	})
}

// guard sets the headers that forbid foreign scripts, resources, form targets and frames.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
}

// frame is the data of the layout around every page.
type frame struct {
	Title     string
	Here      string // the current page in the navigation
	Refresh   int    // seconds; 0: never
	Admin     bool
	User      string // logged in; empty without a login
	Metrics   string
	Profiling bool
	Stamp     string
	Version   string
	At        time.Time
	Mode      string // the healer's
	Config    bool   // whether there is a configuration page
	Alerts    []alert
	Page      any
}

// pauseKinds are the kinds of pauses on top of every page.
var pauseKinds = map[healer.PauseKind]struct{ tone, says string }{
	healer.Paused: {"warn", "Paused"}, healer.Maintained: {"warn", "Maintenance"}, healer.Curtailed: {"calm", "Curtailment"},
}

// alert is a message on top of every page.
type alert struct {
	Tone, Says string
	Link, Text string
}

func (p *pages) show(w http.ResponseWriter, r *http.Request, code int, name string, f frame) {
	f.Admin, f.Metrics, f.Profiling, f.Stamp, f.Version, f.At = p.mayChange(r) == nil, p.telemetry, p.profiling, p.stamp, version.Version, time.Now()
	f.Config = p.Configuration != nil
	f.User, _ = loginOf(r)
	if status := p.Healer.Status(); status != nil {
		f.Mode = status.Mode
		f.Alerts = append(f.Alerts, alerts(status)...)
	}
	page := &pageWriter{ResponseWriter: w, code: code}
	// A browser draws the beginning of a long page while the rest is made.
	b := bufio.NewWriterSize(page, pageBuffer)
	err := p.templates[name].Execute(b, f)
	switch {
	case page.err != nil: // the client is gone
		return
	case err == nil:
		_ = b.Flush()
		return
	}
	level.Error(p.Logger).Log("msg", "page failed; please report this", "page", name, "err", err)
	if page.begun {
		panic(http.ErrAbortHandler) // so that half of a page is not taken for the whole
	}
	http.Error(w, "The page cannot be rendered. The log has the error.", http.StatusInternalServerError)
}

// pageBuffer is how much of a page is made before its first byte is sent: an error up to
// there has a status of its own.
const pageBuffer = 64 << 10

// pageWriter sends a page, with its headers before the first byte.
type pageWriter struct {
	http.ResponseWriter
	code  int
	begun bool
	err   error
}

func (w *pageWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.begun = true
		h := w.Header()
		guard(h)
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(w.code)
	}
	n, err := w.ResponseWriter.Write(b)
	if err != nil {
		w.err = err
	}
	return n, err
}

// alerts are the reasons that block the healer as a whole.
func alerts(s *agent.Status) []alert {
	var list []alert
	add := func(tone, format string, args ...any) {
		list = append(list, alert{Tone: tone, Says: fmt.Sprintf(format, args...), Link: "healer", Text: "healer"})
	}
	switch {
	case s.Stop:
		add("bad", "STOP file in the data directory: the healer sends nothing.")
	case s.Mode == "safe":
		add("bad", "Safe mode: the healer only observes.")
	case s.Standby:
		add("warn", "Another process owns the healer's state. This one only observes.")
	case !s.Owner:
		add("bad", "The healer's state is not open here. This one only observes: %s", cut(200, s.Error))
	case !s.Writable:
		add("bad", "The healer's state cannot be written. Nothing is sent until it can.")
	}
	if s.Namesake {
		add("bad", "Another instance has the name of this one, %s. Give each its own ha.id.", cut(60, s.Healer))
	}
	for _, x := range s.Plan.Pauses {
		if x.Scope == "fleet" {
			add(pauseKinds[x.Kind].tone, pauseKinds[x.Kind].says+" by %s: %s", x.Owner, x.Reason)
		}
	}
	for _, b := range s.Plan.Breakers[:min(len(s.Plan.Breakers), 3)] {
		add("bad", "Breaker %s is %s: %s", strings.TrimSpace(b.Name+" "+cut(60, b.Scope)), b.State, cut(200, b.Detail))
	}
	if n := len(s.Plan.Breakers) - 3; n > 0 {
		add("bad", "%d more breakers are open.", n)
	}
	if s.Plan.SiteHot {
		add("warn", "Many dragons are hot at once. The cause is the site.")
	}
	return list
}

func (p *pages) sorry(w http.ResponseWriter, r *http.Request, code int, e ErrorAnswer) {
	p.show(w, r, code, "message", frame{Title: http.StatusText(code), Page: message{Tone: "bad", Title: http.StatusText(code), Error: &e}})
}

type message struct {
	Tone, Title string
	Text        string
	Error       *ErrorAnswer
	Back        string // a page
	BackText    string
}

var notYet = message{Tone: "calm", Title: "Starting", Text: "The healer has not examined the fleet yet. The first cycle takes up to a minute."}

type dragonPage struct {
	*OneDragonAnswer
	Audit      *historyPage
	Board      string // the board of the dragon in Grafana
	Closed     int    // gates
	AnyFailure bool
	Changes    []changeLink
	Charts     []chart
	Source     string // of the charts
	Warm, Hot  float64
}

type changeLink struct{ Link, Text, Tone string }

func (p *pages) dragon(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("worker")
	d := p.Fleet.Lookup(name)
	if d == nil {
		p.sorry(w, r, http.StatusNotFound, ErrorAnswer{
			Error: fmt.Sprintf("unknown dragon %q", cut(most, name)), Try: "the worker, MAC or address of a known dragon",
		})
		return
	}
	l := lookAt(p.Healer)
	one, err := l.everything(d, p.Healer, time.Now())
	page := dragonPage{OneDragonAnswer: &one}
	page.Warm, page.Hot = heat(l.status, one.Profile)
	page.Board = p.board(one.Worker)
	page.Charts, page.Source = p.chartsFor(r.Context(), &one.DragonAnswer, time.Now())
	for _, n := range one.Failures {
		page.AnyFailure = page.AnyFailure || n > 0
	}
	page.Audit = p.historyFor("dragon", one.Worker, r.URL.Query())
	if q := &page.Audit.Query; q.Kind == "" && q.Since == "" {
		page.Audit.Lines = one.History
	}
	if err != nil {
		page.Audit.Failed = err.Error()
	}
	if one.Why != nil {
		page.Closed = len(healer.Closed(one.Why.Gates))
	}
	if p.mayChange(r) == nil {
		page.Changes = changesOf(&one.DragonAnswer, l.retired(one.MAC))
	}
	p.show(w, r, http.StatusOK, "dragon", frame{Title: one.Worker, Refresh: refreshEvery, Page: &page})
}

// board is the URL of a dragon's board in Grafana; empty: there is no Grafana.
func (p *pages) board(worker string) string {
	if p.Grafana == nil || p.Grafana() == "" {
		return ""
	}
	return strings.TrimSuffix(p.Grafana(), "/") + "/d/mother-dragon?" + url.Values{"var-worker": {worker}}.Encode()
}

func changesOf(a *DragonAnswer, retired bool) []changeLink {
	if a.Healer == nil || a.MAC == "" || a.Conflict {
		return nil
	}
	link := func(do, text, tone string) changeLink {
		return changeLink{"confirm?" + url.Values{"do": {do}, "dragon": {a.Worker}}.Encode(), text, tone}
	}
	var list []changeLink
	if a.Healer.Desired == healer.PhaseStuck || a.Healer.Desired == healer.PhaseConflict {
		list = append(list, changeLink{"confirm?" + url.Values{"do": {"ack"}, "breaker": {"config"}, "scope": {a.Worker}}.Encode(), "Retry configuration", ""})
	}
	switch a.Healer.State {
	case healer.StateQuarantined, healer.StateFlapping:
		list = append(list, link("release", "Release", ""))
	default:
		list = append(list, link("quarantine", "Quarantine", ""))
	}
	retire := link("retire", "Retire", "")
	if retired {
		retire = link("unretire", "Unretire", "")
	}
	return append(list,
		changeLink{"confirm?" + url.Values{"do": {"maintenance"}, "scope": {"mac"}, "value": {a.Worker}}.Encode(), "Maintenance", ""},
		link("restart", "Restart miner process", "warn"), link("reboot", "Reboot", "bad"),
		retire, link("forget", "Forget", "bad"))
}

type healerPage struct {
	*HealerAnswer
	Planned  []planned
	More     int // planned dragons that are not shown
	Blocked  []gateCount
	Pools    []healer.CauseState
	Domains  []healer.CauseState
	External *healer.GateState
	History  *historyPage
	Plan     *healer.Plan
	Age      time.Duration
	Budgets  []healer.BudgetUse
}

// Wide reports whether a table needs the width of the page.
func (p *healerPage) Wide() bool {
	return len(p.Pauses)+len(p.Calendars)+len(p.Breakers)+len(p.Pools)+len(p.Domains) > 0
}

// Since formats the time since m.
func (p *healerPage) Since(m healer.Moment) string { return short(p.Plan.At.Since(m)) }

// planned is a dragon in the plan, and when its action is due.
type planned struct {
	*healer.Decision
	When string
}

// InWords is the evidence for what is planned.
func (p planned) InWords() string { return explain.Evidence(p.Decision) }

type gateCount struct {
	Gate  healer.Gate
	Count int
}

func (p *pages) healer(w http.ResponseWriter, r *http.Request) {
	f := frame{Title: "Healer", Here: "healer", Refresh: refreshEvery}
	status := p.Healer.Status()
	if status == nil {
		f.Page = notYet
		p.show(w, r, http.StatusOK, "message", f)
		return
	}
	answer := healerAnswer(status)
	plan := status.Plan
	page := healerPage{HealerAnswer: answer, External: plan.External, Plan: plan, Age: max(0, time.Since(status.LastCycle))}
	for i := range plan.Dragons {
		d := &plan.Dragons[i]
		if d.Verb == healer.Nothing && !inTrouble(d.State) {
			continue
		}
		if len(page.Planned) == planShown {
			page.More++
			continue
		}
		x := planned{Decision: d}
		switch d.Verb {
		case healer.Act, healer.WouldAct:
			x.When = "now"
		case healer.Blocked:
			if d.In.Known {
				x.When = "in " + short(time.Duration(d.In.For))
			}
		}
		page.Planned = append(page.Planned, x)
	}
	for _, g := range healer.Gates() {
		if n := plan.Counts.Blocked[g]; n > 0 {
			page.Blocked = append(page.Blocked, gateCount{g, n})
		}
	}
	page.Pools, page.Domains = ill(plan.Pools), ill(plan.Domains)
	for _, b := range plan.Budgets {
		if b.Scope == "fleet" || b.Used > 0 {
			page.Budgets = append(page.Budgets, b)
		}
	}
	page.History = p.historyFor("healer", "", r.URL.Query())
	f.Page = &page
	p.show(w, r, http.StatusOK, "healer", f)
}

func (p *pages) config(w http.ResponseWriter, r *http.Request) {
	text, err := p.configuration()
	if err != nil {
		p.sorry(w, r, http.StatusServiceUnavailable, ErrorAnswer{Error: err.Error()})
		return
	}
	p.show(w, r, http.StatusOK, "configuration", frame{Title: "Configuration", Here: "configuration", Page: string(text)})
}

// ill are the common causes that block the healer.
func ill(all []healer.CauseState) []healer.CauseState {
	var list []healer.CauseState
	for _, c := range all {
		if c.Down || c.Held {
			list = append(list, c)
		}
	}
	return list[:min(len(list), planShown)]
}
