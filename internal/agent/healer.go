// Package agent runs the healer: it reads the dragons, calls package healer to decide,
// persists the memory, carries out the plan, and answers
// requests of people. All effects of healing are here.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// Clock is where a Healer has the time from.
type Clock interface {
	Now() healer.Instant
	// Synced reports whether something keeps the wall clock right.
	Synced() bool
}

// Config says which fleet a Healer looks after, and by which rules.
type Config struct {
	Fleet *fleet.Fleet
	Dir   string // of the state, the audit and the STOP file

	// Policy returns the rules that are wanted. It is asked in every cycle; a value that
	// it has returned must not change any more. Another one is taken over unless it would
	// call too many dragons sick at once (see Guard), and then the old one stays. It says
	// nothing of sending unless a DragonPolicy's Mode is Enforce.
	Policy func() *healer.Policy
	// Calendars are asked in every cycle. Nil: there are none.
	Calendars func() []healer.Calendar
	// ExternalGate asks the gate of Policy.External what keeps it closed; empty: nothing does.
	// It is called once a cycle, and must come to an end. Nil: it cannot be asked.
	ExternalGate func(context.Context, healer.External) (closed string, err error)
	// ProbeGateway reports whether anybody is at Policy.Causes.Gateway: nil if so, whatever is
	// said. It is called once a cycle, and must come to an end. Nil: it cannot be asked.
	ProbeGateway func(ctx context.Context, address string) error
	// Image opens the firmware image with a digest, after checking it. Nil: there is none.
	Image func(ctx context.Context, sha256 string) (io.ReadCloser, int64, error)
	// OnAction is told of every write that went out. It must not block.
	OnAction func(*fleet.Info, *healer.Action)

	// OnAudit is told of every audit record that this process writes. It must not block, nor keep
	// the record.
	OnAudit func(*healer.Audit)

	// State opens what the memory is kept in, and owns it; default: healer.db in Dir. floor is the
	// newest generation that is known of it. Another owner is store.ErrHeld.
	State func(ctx context.Context, floor uint64) (Backend, store.State, error)
	// ReadState reads the state without owning it, for PlanOffline; nil: the one in Dir.
	ReadState func(context.Context) (store.State, error)
	// Peek reads the memory that could not be opened, and why not; nil: that cannot be done.
	Peek func(ctx context.Context, why error) *healer.Memory
	// Shared says that instances on several hosts share the state, and one of them leads.
	Shared bool
	// Members tells the instances that share the state of each other; the Healer closes it. Nil:
	// the state is not shared.
	Members *store.Members

	Workers    int                   // dragons read at once; default 64
	Prefix     string                // of the shared state
	URL        string                // of its pages, for the instances that it shares its state with
	ID         string                // names this healer in the audit; default the host's name
	Clock      Clock                 // default HostClock
	Logger     log.Logger            // default none
	Registerer prometheus.Registerer // default none; one registry takes one Healer
}

// The errors that a Healer answers requests with.
var (
	// ErrNotYet says that the healer has not had its first look at the fleet, or at the dragon.
	ErrNotYet = errors.New("the healer has not looked yet")
	// ErrEnded says that the healer has ended.
	ErrEnded = errors.New("the healer has ended")
	// ErrNotOwner says that another process owns the state: it is the one to ask.
	ErrNotOwner = errors.New("another process owns the healer's state")
	// ErrUnwritten says that what was asked for is in force, but could not be
	// written down: it ends with the process.
	ErrUnwritten = errors.New("in force, but not written down")
	// ErrUnknownDragon says that no known dragon goes by such a name.
	ErrUnknownDragon = errors.New("no such dragon")
)

// Healer runs the decisions: it has the fleet looked at, decides, carries out what is
// allowed, and answers people. Its methods may be called from any goroutine; those that
// change something are answered by Run.
//
// The memory belongs to the one goroutine of Run. Others have it do what they need (see onLoop);
// nothing that talks to a dragon runs there, so that a human is heard at any time.
type Healer struct {
	config  Config
	logger  log.Logger
	clock   Clock
	metrics *metrics

	calls chan func(context.Context)
	ended chan struct{} // closed when Run is over

	arrivals  arrivals
	uploads   uploads
	published atomic.Pointer[Status]
	met       atomic.Pointer[meeting]   // with the instances that share the state
	looked    atomic.Pointer[time.Time] // when the last look ended, or Run began

	// What follows belongs to the goroutine of Run.
	forgotten      map[string]time.Time // of the shared state, that this host's inventory has followed
	mem            *healer.Memory
	backend        Backend                      // nil: this process does not own the state
	namesake       bool                         // another instance with the name of this one was there
	writer         *store.Writer[store.Records] // to backend
	opening        chan struct{}                // closed when the state has been opened, or not; nil: no attempt is under way
	held           bool                         // by another process
	unsaved        []unsaved                    // requests that are not written down yet
	saidHeld       bool                         // what was logged last
	storeErr       error                        // why there is no backend
	follows        bool                         // the memory is by the line of time of the instance that leads
	led            int                          // the epoch in which this process led last
	rests          time.Time                    // until when it does not lead
	unaudited      time.Time                    // since when it leads and cannot write its audit, beside another instance
	audit          *auditFile
	auditor        *store.Writer[auditLines] // to audit
	auditSeq       int
	policy         *healer.Policy  // in force
	offered        *healer.Policy  // that Policy returned last
	policyRefused  string          // why it is not in force
	plan           *healer.Plan    // of the last cycle
	view           *healer.View    // of the last cycle
	external       externalAnswers // as of the last cycle
	upgrading      map[string]bool // MACs that firmware is on its way to, and not written down yet
	acting         bool            // a write is on its way: of the ladder, or a configuration
	tripped        string          // a panic: nothing is sent any more
	spawned        int             // goroutines that carry something out, and the one that looks
	spawnEnded     chan struct{}
	counted        counted
	calendarBegins map[string]calendarBegin

	decide func(healer.Instant, *healer.View, *healer.Memory, *healer.Policy) *healer.Plan
	// commit writes to the store; tests put themselves in its place to kill the healer there.
	commit func(Backend, store.Records) error
}

// Status is where the healer stands. It never changes once made.
type Status struct {
	Mode      string `json:"mode"`              // observe, enforce, or safe after a panic or too many unclean starts
	Owner     bool   `json:"owner"`             // this process owns the state
	Standby   bool   `json:"standby,omitempty"` // another one owns it
	Writable  bool   `json:"writable"`          // and can write it
	Stop      bool   `json:"stop"`              // the STOP file is there
	Error     string `json:"error,omitempty"`   // why the state cannot be written, or what the panic said
	Recovered string `json:"recovered,omitempty"`
	Healer    string `json:"healer"`
	// Shared says that instances share the state. Leader is the one that leads, as far as
	// this one knows.
	Shared    bool            `json:"shared,omitempty"`
	Namesake  bool            `json:"namesake,omitempty"` // another instance has the name of this one
	Leader    *store.Instance `json:"leader,omitempty"`
	Epoch     int             `json:"epoch"`
	Config    string          `json:"config_hash"`
	Declined  string          `json:"config_refused,omitempty"` // why the newest policy is not the one in force
	LastCycle time.Time       `json:"last_cycle"`
	Calendars []CalendarShown `json:"calendars,omitempty"`
	Plan      *healer.Plan    `json:"-"`
	Policy    *healer.Policy  `json:"-"` // that the plan was made by

	// Actions are those that are remembered, by MAC, the oldest first. A dragon that
	// nothing was done to is not in it.
	Actions map[string][]healer.Action `json:"-"`

	met       *atomic.Pointer[meeting]
	prefix    string               // of the shared state
	remaining func() time.Duration // of the lease
	windows   []bool
	accounts  []string // that desired pools are for
	uploads   *uploads
	tunes     map[string]time.Duration // by model: Memory.TuneTime
}

// New makes a Healer. Nothing is read, written or sent before Run.
func New(c Config) (*Healer, error) {
	switch {
	case c.Fleet == nil:
		return nil, errors.New("healer: it needs a fleet")
	case c.Policy == nil:
		return nil, errors.New("healer: it needs a policy")
	case c.Dir == "":
		return nil, errors.New("healer: it needs a directory for its state")
	}
	if c.Workers <= 0 {
		c.Workers = 64
	}
	if c.ID == "" {
		c.ID, _ = os.Hostname()
	}
	if c.Clock == nil {
		c.Clock = NewHostClock()
	}
	if c.Logger == nil {
		c.Logger = log.NewNopLogger()
	}
	if c.State == nil {
		c.State, c.Peek = openLocal(c.Dir), func(_ context.Context, why error) *healer.Memory {
			if errors.Is(why, store.ErrHeld) {
				return nil
			}
			return peekLocal(c.Dir)
		}
	}
	h := &Healer{
		config: c, logger: c.Logger, clock: c.Clock,
		calls: make(chan func(context.Context)), ended: make(chan struct{}), spawnEnded: make(chan struct{}),
		mem: healer.NewMemory(), decide: healer.Decide, commit: Backend.Commit, upgrading: make(map[string]bool),
	}
	h.arrivals.init()
	h.audit = newAuditFile(c.Dir)
	h.metrics = newMetrics(c.Registerer)
	if c.Registerer != nil {
		c.Registerer.MustRegister(statusCollector{&h.published, &h.looked})
	}
	return h, nil
}

// Run looks after the dragons until ctx is done. It ends what it has begun, which is
// not to say that it waits for a dragon's answer: what was sent and not answered is
// Unknown, and the dragon's own clock will tell the next process.
//
// A panic ends nothing but the healing: it is said, counted, and from then on the
// healer only observes.
func (h *Healer) Run(ctx context.Context) error {
	defer close(h.ended)
	h.auditor = h.newAuditor()
	now := time.Now()
	h.looked.Store(&now)
	h.spawn(func() { h.pollLoop(ctx) })
	if h.config.Members != nil {
		h.spawn(func() { h.meetMembers(ctx) })
	}
	for done := ctx.Done(); ; {
		select {
		case call := <-h.calls:
			call(ctx)
			continue
		case <-h.spawnEnded:
			h.spawned--
		case <-done:
			done = nil
		}
		if done == nil && h.spawned == 0 {
			break
		}
	}
	h.awaitOpening(ctx)
	_ = h.recoverToSafeMode("ending", func() error { h.close(); return nil })
	return nil
}

// Idle is how long the last look at the fleet is over, or Run under way without one.
func (h *Healer) Idle() time.Duration {
	if looked := h.looked.Load(); looked != nil {
		return time.Since(*looked)
	}
	return 0
}

// Maintained reports whether a person works on a dragon, as of the newest plan.
func (h *Healer) Maintained(mac string) bool {
	s := h.published.Load()
	if s == nil || len(s.Plan.Pauses) == 0 {
		return false
	}
	return slices.ContainsFunc(s.Plan.Dragons, func(d healer.Decision) bool { return d.MAC == mac && d.State == healer.StateMaintenance })
}

// spawn runs fn beside the owner, who waits for it at the end.
func (h *Healer) spawn(fn func()) {
	h.spawned++
	go func() {
		defer func() { h.spawnEnded <- struct{}{} }()
		fn()
	}()
}

// onLoop runs fn where the memory may be touched, and waits for it.
func (h *Healer) onLoop(ctx context.Context, doing string, fn func(context.Context) error) error {
	reply := make(chan error, 1)
	call := func(life context.Context) {
		reply <- h.recoverToSafeMode(doing, func() error { return fn(life) })
	}
	select {
	case h.calls <- call:
		return <-reply
	case <-h.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recoverToSafeMode turns a panic into an error, after which nothing is sent any more: a
// healer that is wrong about one thing may be wrong about the rest. Only the owner
// may call it.
func (h *Healer) recoverToSafeMode(doing string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic while %s: %v", doing, v)
			h.metrics.panics.Inc()
			if h.tripped == "" {
				h.tripped = err.Error()
				level.Error(h.logger).Log("msg", "panic in the healer; please report", "err", err, "stack", string(debug.Stack()))
				if s := h.published.Load(); s != nil {
					shown := *s
					shown.Mode, shown.Error = "safe", h.tripped
					h.published.Store(&shown)
				}
			}
		}
	}()
	return fn()
}

// arrivals are the newest readings with the time of their coming, by the healer's
// own clock, which goes on while the host sleeps.
type arrivals struct {
	mu     sync.Mutex
	newest map[*fleet.Dragon]arrival
	slow   time.Duration // Policy.SlowRead
}

type arrival struct {
	reading *fleet.Reading
	at      time.Duration
	slow    uint32 // the newest readings, one bit each: it took long
}

// slowOf is the number of readings whose 95th percentile is looked at: it is too long
// if two of them were.
const slowOf = 20

// pace is in how many polls a dragon is asked once: polling must not keep a slow dragon
// from mining.
func (a *arrival) pace() int {
	if bits.OnesCount32(a.slow&(1<<slowOf-1)) > 1 {
		return 2
	}
	return 1
}

func (a *arrivals) init() { a.newest = make(map[*fleet.Dragon]arrival) }

// OnReading takes every reading of the fleet. It is for fleet.Config, and never blocks.
func (h *Healer) OnReading(d *fleet.Dragon, r *fleet.Reading) {
	at := h.clock.Now().Mono
	h.arrivals.mu.Lock()
	defer h.arrivals.mu.Unlock()
	last, ok := h.arrivals.newest[d]
	if ok && r.At.Before(last.reading.At) {
		return
	}
	slow := last.slow << 1
	if h.arrivals.slow > 0 && r.Took > h.arrivals.slow {
		slow |= 1
	}
	h.arrivals.newest[d] = arrival{r, at, slow}
}
