package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// APIConfig is what the API and the pages show, and who may use them. Neither reads a dragon.
type APIConfig struct {
	Fleet  *fleet.Fleet
	Healer *agent.Healer
	// Discovery returns how discovery stands. Nil: nothing is searched.
	Discovery func() discovery.Status
	// Look asks at once who lives at an address, and reports whether it is a dragon. Nil: it is not asked.
	Look  func(ctx context.Context, address string) bool
	Admin bool // accept changes
	// WithoutLogin accepts them from every machine if no users are configured.
	WithoutLogin bool
	Socket       bool // served on a socket, whose mode controls access
	// Configuration returns the active configuration as a file, without secrets. Nil: it is
	// not shown.
	Configuration func() ([]byte, error)
	// PolicyOf reads the healing policy of a configuration file, for a comparison with the
	// active one. Nil: there is no comparison. A file may contain passwords, so only the
	// socket has it.
	PolicyOf func(file []byte) (*healer.Policy, error)
	Firmware *firmware.Stock // nil: none
	Recent   *Recent         // of the charts; nil: none
	Grafana  func() string   // base URL of the Grafana that has the boards; empty, or nil: none
	// Prometheus returns the base URL of the Prometheus that the charts come from; empty, or nil: none.
	Prometheus func() string
	Logger     log.Logger
}

// PlanAnswer is the answer to GET /api/v1/plan.
type PlanAnswer struct {
	Mode     string `json:"mode"`
	ExitCode int    `json:"exit_code"` // of the plan command
	*healer.Plan
}

// HealerAnswer is the answer to GET /api/v1/healer.
type HealerAnswer struct {
	*agent.Status
	Counts       healer.Counts      `json:"counts"`
	Breakers     []healer.Breaker   `json:"breakers"` // that are not closed
	Budgets      []healer.BudgetUse `json:"budgets"`
	Pauses       []PauseAnswer      `json:"pauses"`
	Apart        []healer.Decision  `json:"apart"` // dragons in quarantine, flapping, lost or in conflict
	ClockTrusted bool               `json:"clock_trusted"`
}

// PauseAnswer is a pause, and its end by the wall clock unless it is open.
type PauseAnswer struct {
	healer.Pause
	Ends *time.Time `json:"ends,omitempty"`
}

// ErrorAnswer is the answer to every refused request.
type ErrorAnswer struct {
	Error string `json:"error"`
	Try   string `json:"try,omitempty"` // what to do instead
	// Decision has the gates, if a gate refused the request.
	Decision *healer.Decision `json:"decision,omitempty"`
}

// mostBody is the largest body of a request in bytes.
const mostBody = 64 << 10

// patience is how long a request may wait for the healer. A reboot is answered once the
// dragon has accepted or refused it.
const patience = 4 * time.Minute

type api struct {
	APIConfig
	origin   *http.CrossOriginProtection
	document func() object
}

// API serves /api/v1/ alone, as on the control socket. Changes need Admin.
func API(c APIConfig) http.Handler { return newAPI(c).handler() }

func newAPI(c APIConfig) *api {
	if c.Logger == nil {
		c.Logger = log.NewNopLogger()
	}
	return &api{APIConfig: c, origin: http.NewCrossOriginProtection(), document: sync.OnceValue(openAPI)}
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	for _, o := range operations() {
		mux.Handle(o.request, o.serve(a))
	}
	if a.PolicyOf != nil {
		mux.HandleFunc("POST /api/v1/plan/compare", a.compare)
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, ErrorAnswer{
			Error: fmt.Sprintf("unknown request %s %s", r.Method, r.URL.Path),
			Try:   "GET /api/v1/dragons, GET /api/v1/firmware, GET /api/v1/healer, GET /api/v1/plan; docs/api.md has the rest",
		})
	})
	return mux
}

// shows answers with what do shows of the healer's status.
func shows(do func(*api, *http.Request, *agent.Status) (any, error)) reader {
	return func(a *api, w http.ResponseWriter, r *http.Request) {
		if status := a.Healer.Status(); status == nil {
			a.refuse(w, agent.ErrNotYet)
		} else if x, err := do(a, r, status); err != nil {
			a.refuse(w, err)
		} else {
			answer(w, http.StatusOK, x)
		}
	}
}

func (a *api) dragons(w http.ResponseWriter, r *http.Request) {
	q, err := parseFleetQuery(r.URL.Query(), 0)
	if err != nil {
		fail(w, http.StatusBadRequest, ErrorAnswer{Error: err.Error()})
		return
	}
	x := describeFleet(a.Fleet, lookAt(a.Healer), q, time.Now())
	if q.Page > x.Pages { // a client that turns pages until one is empty would not end
		fail(w, http.StatusBadRequest, ErrorAnswer{Error: fmt.Sprintf("page %d of %d", q.Page, x.Pages)})
		return
	}
	switch format := r.URL.Query().Get("format"); format {
	case "", "json":
		answer(w, http.StatusOK, x)
	case "csv":
		writeCSV(w, x.Dragons)
	default:
		fail(w, http.StatusBadRequest, ErrorAnswer{Error: fmt.Sprintf("format %.50q, expected json or csv", format)})
	}
}

func (a *api) dragon(w http.ResponseWriter, r *http.Request) {
	d := a.Fleet.Lookup(r.PathValue("worker"))
	if d == nil {
		a.refuse(w, fmt.Errorf("%w: %q", agent.ErrUnknownDragon, r.PathValue("worker")))
		return
	}
	one, err := lookAt(a.Healer).everything(d, a.Healer, time.Now())
	if err != nil {
		level.Warn(a.Logger).Log("msg", "audit history unreadable", "err", err)
	}
	answer(w, http.StatusOK, one)
}

// RolloutsAnswer is the answer to GET /api/v1/rollouts.
type RolloutsAnswer struct {
	Rollouts []RolloutAnswer  `json:"rollouts"` // of pools and autotune
	Firmware []FirmwareAnswer `json:"firmware"`
}

// RolloutAnswer is a rollout and the time in its state.
type RolloutAnswer struct {
	healer.RolloutShown
	For float64 `json:"for_s"`
}

// FirmwareAnswer is a firmware rollout and the time in its state.
type FirmwareAnswer struct {
	healer.FirmwareShown
	For float64 `json:"for_s"`
}

func (a *api) rollouts(_ *http.Request, status *agent.Status) (any, error) {
	return rolloutsAnswer(status.Plan), nil
}

func rolloutsAnswer(p *healer.Plan) RolloutsAnswer {
	answer := RolloutsAnswer{Rollouts: []RolloutAnswer{}, Firmware: []FirmwareAnswer{}}
	for _, x := range p.Rollouts {
		answer.Rollouts = append(answer.Rollouts, RolloutAnswer{x, p.At.Since(x.Since).Seconds()})
	}
	for _, x := range p.Firmware {
		answer.Firmware = append(answer.Firmware, FirmwareAnswer{x, p.At.Since(x.Since).Seconds()})
	}
	return answer
}

// ConfigAnswer is the answer to GET /api/v1/config.
type ConfigAnswer struct {
	Configuration any `json:"configuration"` // the keys of a configuration file, every default included
}

func (a *api) config(w http.ResponseWriter, _ *http.Request) {
	text, err := a.configuration()
	var c ConfigAnswer
	if err == nil {
		err = yaml.Unmarshal(text, &c.Configuration)
	}
	if err != nil {
		fail(w, http.StatusServiceUnavailable, ErrorAnswer{Error: err.Error()})
		return
	}
	answer(w, http.StatusOK, c)
}

// configuration returns the active configuration as a file.
func (a *api) configuration() ([]byte, error) {
	if a.Configuration == nil {
		return nil, errors.New("the configuration is not shown here")
	}
	return a.Configuration()
}

// HistoryAnswer is the answer to GET /api/v1/history.
type HistoryAnswer struct {
	History []healer.Audit `json:"history"` // the newest first
}

// mostHistory is the largest number of audit lines in one answer.
const mostHistory = 10000

func (a *api) history(w http.ResponseWriter, r *http.Request) {
	q, err := historyOf(r.URL.Query())
	if err != nil {
		fail(w, http.StatusBadRequest, ErrorAnswer{Error: err.Error()})
		return
	}
	history, err := q.read(a)
	if errors.Is(err, agent.ErrUnknownDragon) {
		a.refuse(w, err)
		return
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, ErrorAnswer{Error: err.Error()})
		return
	}
	answer(w, http.StatusOK, HistoryAnswer{append([]healer.Audit{}, history...)})
}

func (a *api) plan(r *http.Request, status *agent.Status) (any, error) {
	plan := status.Plan
	if target := r.URL.Query().Get("why"); target != "" {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		d, err := a.Healer.Explain(ctx, target)
		if err != nil {
			return nil, err
		}
		one := *plan
		one.Dragons = []healer.Decision{d}
		plan = &one
	}
	return PlanAnswer{status.Mode, plan.ExitCode(), plan}, nil
}

// CompareRequest is the body of POST /api/v1/plan/compare. The answer is a healer.Comparison.
type CompareRequest struct {
	File string `json:"file"` // the text of a configuration file
}

// mostFile is the largest configuration file in a request in bytes, as JSON.
const mostFile = 16 << 20

func (a *api) compare(w http.ResponseWriter, r *http.Request) {
	var q CompareRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostFile)).Decode(&q); err != nil {
		fail(w, http.StatusBadRequest, ErrorAnswer{Error: fmt.Sprintf("invalid JSON in the body: %s", err)})
		return
	}
	policy, err := a.PolicyOf([]byte(q.File))
	if err != nil {
		a.refuse(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	x, err := a.Healer.Compare(ctx, policy)
	if err != nil {
		a.refuse(w, err)
		return
	}
	answer(w, http.StatusOK, x)
}

func (a *api) healer(_ *http.Request, status *agent.Status) (any, error) {
	return healerAnswer(status), nil
}

func healerAnswer(status *agent.Status) *HealerAnswer {
	p := status.Plan
	h := &HealerAnswer{
		Status: status, Counts: p.Counts, Breakers: p.Breakers, Budgets: p.Budgets, Pauses: []PauseAnswer{}, Apart: []healer.Decision{},
		ClockTrusted: p.ClockTrusted,
	}
	for _, x := range p.Pauses {
		a := PauseAnswer{Pause: x}
		if !x.UntilResume { // by the current clock: it may have been set since
			ends := p.Time(x.Until).UTC()
			a.Ends = &ends
		}
		h.Pauses = append(h.Pauses, a)
	}
	for i := range p.Dragons {
		switch p.Dragons[i].State {
		case healer.StateQuarantined, healer.StateFlapping, healer.StateLost, healer.StateConflict:
			h.Apart = append(h.Apart, p.Dragons[i])
		}
	}
	return h
}

func withEnd(p healer.Pause) PauseAnswer {
	a := PauseAnswer{Pause: p}
	if !p.UntilResume {
		ends := p.Wall.Add(p.Until.Since(p.At)).UTC()
		a.Ends = &ends
	}
	return a
}

// Request is the body of every change.
type Request struct {
	Scope       string `json:"scope,omitempty"` // fleet, or site, pool, model, firmware, worker or mac with a value
	Value       string `json:"value,omitempty"`
	Dragon      string `json:"dragon,omitempty"` // worker, MAC or address
	ID          string `json:"id,omitempty"`     // of a pause or a rollout
	Pace        string `json:"pace,omitempty"`   // of a rollout: fast or normal
	Breaker     string `json:"breaker,omitempty"`
	Action      string `json:"action,omitempty"`   // done without the healer
	For         string `json:"for,omitempty"`      // such as 4h
	Autotune    string `json:"autotune,omitempty"` // of a curtailment: a mode, or one with its level as in balanced:2
	UntilResume bool   `json:"until_resume,omitempty"`
	Force       bool   `json:"force,omitempty"`
	Reason      string `json:"reason,omitempty"`

	Version        string   `json:"version,omitempty"` // of firmware, or latest
	Model          string   `json:"model,omitempty"`
	HWVer          string   `json:"hwver,omitempty"`
	From           []string `json:"from,omitempty"` // versions
	AllowDowngrade bool     `json:"allow_downgrade,omitempty"`

	Owner string `json:"owner,omitempty"`
}

// change wraps a change: it checks the client, the form of the request and its owner.
func (a *api) change(do doer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := a.mayChange(r); e != nil {
			fail(w, http.StatusForbidden, *e)
			return
		}
		// A form of another site cannot send this content type.
		if err := a.origin.Check(r); err != nil {
			fail(w, http.StatusForbidden, ErrorAnswer{Error: err.Error(), Try: "send it from a program, or from a page of this address"})
			return
		}
		q, code, err := read(w, r)
		if err != nil {
			fail(w, code, ErrorAnswer{Error: err.Error(), Try: `Content-Type: application/json and a body like {"scope": "fleet", "reason": "…", "owner": "…"}`})
			return
		}
		if err := a.sign(q, r); err != nil {
			fail(w, http.StatusBadRequest, ErrorAnswer{Error: err.Error(), Try: `"owner": "your name", or a login`})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		result, err := do(a, ctx, q)
		if errors.Is(err, agent.ErrUnwritten) { // it is in force, and was not saved
			answer(w, http.StatusOK, map[string]any{"result": result, "warning": err.Error()})
			return
		}
		if err != nil {
			a.refuse(w, err)
			return
		}
		answer(w, http.StatusOK, map[string]any{"result": result})
	})
}

// read reads a request. code is the HTTP status of an error.
func read(w http.ResponseWriter, r *http.Request) (q *Request, code int, err error) {
	q = &Request{}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("content type %q, expected application/json", r.Header.Get("Content-Type"))
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil && (r.Method != http.MethodDelete || !errors.Is(err, io.EOF)) {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", mostBody)
		}
		return nil, http.StatusBadRequest, fmt.Errorf("invalid JSON in the body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, http.StatusBadRequest, errors.New("unexpected data after the JSON in the body")
	}
	if id := r.PathValue("id"); id != "" {
		q.ID = id
	}
	if dragon := r.PathValue("dragon"); dragon != "" {
		q.Dragon = dragon
	}
	q.Owner, q.Reason = strings.TrimSpace(q.Owner), strings.TrimSpace(q.Reason)
	if err := q.check(); err != nil {
		return nil, http.StatusBadRequest, err
	}
	return q, 0, nil
}

// check refuses long or unprintable values.
func (q *Request) check() error {
	for name, s := range map[string]string{
		"scope": q.Scope, "value": q.Value, "dragon": q.Dragon, "id": q.ID, "breaker": q.Breaker, "action": q.Action, "for": q.For,
		"pace": q.Pace, "autotune": q.Autotune,
		"reason": q.Reason, "owner": q.Owner, "version": q.Version, "model": q.Model, "hwver": q.HWVer, "from": strings.Join(q.From, " "),
	} {
		if len(s) > 500 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%s: expected at most 500 printable characters", name)
		}
	}
	return nil
}

// hold pauses the healer for a scope.
func hold(kind healer.PauseKind) doer {
	return func(a *api, ctx context.Context, q *Request) (any, error) {
		r := healer.PauseRequest{Kind: kind, Scope: q.Scope, Value: q.Value, Owner: q.Owner, Reason: q.Reason, UntilResume: q.UntilResume, Force: q.Force}
		if q.For != "" && q.UntilResume {
			return nil, errors.New("for and until_resume exclude each other: expected one of them")
		}
		if q.For != "" {
			var err error
			if r.For, err = time.ParseDuration(q.For); err != nil || r.For <= 0 {
				return nil, fmt.Errorf("invalid duration for=%q: expected one like 30m or 4h", q.For)
			}
		}
		if kind == healer.Curtailed {
			x, err := dragon.ParseAutoTune(q.Autotune)
			if err != nil {
				return nil, err
			}
			r.Mode, r.Level = x.Mode, x.Level
		}
		p, err := a.Healer.Pause(ctx, r)
		return withEnd(p), err
	}
}

func (a *api) resume(ctx context.Context, q *Request) (any, error) {
	return q.ID, a.Healer.Resume(ctx, q.ID, q.Owner)
}

func (a *api) quarantine(ctx context.Context, q *Request) (any, error) {
	return q.Dragon, a.Healer.Quarantine(ctx, q.Dragon, q.Owner, q.Reason)
}

func (a *api) release(ctx context.Context, q *Request) (any, error) {
	return q.Dragon, a.Healer.Release(ctx, q.Dragon, q.Owner)
}

func (a *api) ack(ctx context.Context, q *Request) (any, error) {
	return strings.TrimSpace(q.Breaker + " " + q.Scope), a.Healer.Ack(ctx, q.Breaker, q.Scope, q.Owner)
}

func (a *api) pace(ctx context.Context, q *Request) (any, error) {
	if q.Pace != "fast" && q.Pace != "normal" {
		return nil, fmt.Errorf("pace %q: expected fast or normal", q.Pace)
	}
	return q.ID, a.Healer.SetPace(ctx, q.ID, q.Pace == "fast", q.Owner)
}

func (a *api) record(ctx context.Context, q *Request) (any, error) {
	mac := q.Dragon // perhaps of a dragon that is not known
	if d := a.Fleet.Lookup(q.Dragon); d != nil {
		mac = d.Info().MAC
	}
	return q.Dragon, a.Healer.Record(ctx, agent.ManualAction{MAC: mac, Action: q.Action, Owner: q.Owner, Note: q.Reason})
}

// write sends a restart or a reboot.
func write(kind healer.Kind) doer {
	return func(a *api, ctx context.Context, q *Request) (any, error) {
		action, err := a.Healer.Write(ctx, agent.WriteRequest{Target: q.Dragon, Kind: kind, Owner: q.Owner, Reason: q.Reason, Force: q.Force})
		if err != nil {
			err = fmt.Errorf("%w: %w", errNotDone, err)
		}
		return action, err
	}
}

// errNotDone marks a valid request that was not executed.
var errNotDone = errors.New("not done")

// refuse answers with the error of the healer.
func (a *api) refuse(w http.ResponseWriter, err error) {
	code, e := refusal(err)
	level.Debug(a.Logger).Log("msg", "API request refused", "status", code, "err", err)
	fail(w, code, e)
}

// refusal maps an error of the healer to an HTTP status and an answer.
func refusal(err error) (code int, e ErrorAnswer) {
	e.Error, code = err.Error(), http.StatusBadRequest
	switch {
	case errors.Is(err, agent.ErrNotYet):
		code, e.Try = http.StatusServiceUnavailable, "try again in a minute"
	case errors.Is(err, agent.ErrNotOwner):
		code, e.Try = http.StatusServiceUnavailable, "the process that owns the state: the leader, or the owner of the data directory"
	case errors.Is(err, agent.ErrNoState):
		code, e.Try = http.StatusServiceUnavailable, "the same again when GET /api/v1/healer says that the state is writable"
	case errors.Is(err, agent.ErrEnded):
		code = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		code, e.Try = http.StatusGatewayTimeout, "GET /api/v1/plan shows the result; do not simply repeat the request"
	case errors.Is(err, agent.ErrUnknownDragon):
		code, e.Try = http.StatusNotFound, "a worker, MAC or address from GET /api/v1/plan"
	case errors.Is(err, fleet.ErrNotWaiting), errors.Is(err, fleet.ErrUnknown):
		code, e.Try = http.StatusNotFound, "an entry of GET /api/v1/discovery or GET /api/v1/dragons"
	case errors.Is(err, agent.ErrUnknownScope):
		code, e.Try = http.StatusNotFound, `"force": true for a scope that is not there yet`
	case errors.Is(err, healer.ErrNoRollout):
		code, e.Try = http.StatusNotFound, "an entry of GET /api/v1/rollouts"
	case errors.Is(err, firmware.ErrNoImage), errors.Is(err, errNoSuchKind):
		code, e.Try = http.StatusNotFound, "an entry of GET /api/v1/firmware"
	case errors.Is(err, firmware.ErrNotAllowed), errors.Is(err, firmware.ErrDigest), errors.Is(err, healer.ErrRollout),
		errors.Is(err, healer.ErrActing), errors.Is(err, agent.ErrNotRetired), errors.Is(err, errNotDone):
		code = http.StatusConflict
	}
	if blocked, ok := errors.AsType[*agent.BlockedError](err); ok {
		code, e.Decision = http.StatusConflict, &blocked.Decision
		e.Try = "wait, or use force; identity, the limits per dragon and STOP always apply"
		if gate := blocked.Decision.Unforceable(); gate != "" {
			e.Try = fmt.Sprintf("wait; force does not open %s", gate)
		}
	}
	return code, e
}

func fail(w http.ResponseWriter, code int, e ErrorAnswer) { answer(w, code, e) }

func answer(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		code, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n'))
}
