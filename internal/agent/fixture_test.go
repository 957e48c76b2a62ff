package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

// parallel is how many tests run at once, unless -parallel says so: those with a real etcd
// mostly wait.
const parallel = 10

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set(strconv.Itoa(parallel))
	}
	goleak.VerifyTestMain(m)
}

// bubbleClock is the clock of a testing/synctest bubble, as a host's.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() healer.Instant {
	return healer.Instant{Wall: time.Now(), Mono: 100*time.Hour + time.Since(c.start), BootID: "boot-1"}
}

func (bubbleClock) Synced() bool { return true }

// fixture is a fleet in memory that a fleet knows and a Healer looks after, in a bubble.
type fixture struct {
	t       *testing.T
	dragons *dragontest.Fleet
	client  dragon.Options
	noRoute atomic.Pointer[func(address string) bool] // nil: there is one to every dragon
	fleet   *fleet.Fleet
	clock   bubbleClock
	dir     string
	policy  *healer.Policy // until the start; then see enact
	place   func(healer.Device) (domain, profile string)
	enacted atomic.Pointer[healer.Policy] // read by the Healer
	current atomic.Pointer[Healer]        // that gets the readings
	log     *bytes.Buffer
	ctx     context.Context

	healer   *Healer
	registry *prometheus.Registry
	stopRun  func()
	actions  []healer.Kind
	configs  []func(*Config)
	setUps   []func(*Healer)
}

// impatient is a policy that needs little evidence that the healer and the dragons
// are not new, so that a test is about something else.
func impatient() *healer.Policy {
	p := healer.DefaultPolicy()
	p.StartObserve, p.StartSamples = 2*time.Minute, 2
	p.NewObserve, p.NewSamples = 3*time.Minute, 3
	p.Default.Mode = healer.Enforce
	return &p
}

// newFixture makes a fixture of n T1s. It is closed when the bubble's test ends.
func newFixture(t *testing.T, n int) *fixture {
	t.Helper()
	return newFixtureOf(t, n, nil, nil)
}

// newFixtureOf makes a fixture of n dragons that are asked for facts.
func newFixtureOf(t *testing.T, n int, specs func(int) dragontest.Spec, facts map[fleet.Fact]time.Duration) *fixture {
	t.Helper()
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: n, InMemory: true, Specs: specs})
	if err != nil {
		t.Fatal(err)
	}
	w := &fixture{t: t, dragons: dragons, clock: bubbleClock{time.Now()}, dir: t.TempDir(), policy: impatient(), log: &bytes.Buffer{}}
	w.place = func(i healer.Device) (string, string) { return "row-" + i.IP, "" }
	transport := dragon.NewTransport()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if no := w.noRoute.Load(); no != nil && (*no)(address) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EHOSTUNREACH}
		}
		return dragons.DialContext(ctx, network, address)
	}
	w.client = dragon.Options{Transport: transport}
	labels := &fleet.Labels{Name: "Bertha", Pairs: []fleet.Label{{Name: "rack", Value: "a12"}}}
	named := func(mac string) *fleet.Labels { // the first one
		if mac == dragons.Dragon(0).Spec().MAC {
			return labels
		}
		return nil
	}
	w.fleet, err = fleet.Open(fleet.Config{Client: w.client, Facts: facts, Labels: named, OnReading: func(d *fleet.Dragon, r *fleet.Reading) {
		if h := w.current.Load(); h != nil {
			h.OnReading(d, r)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.ctx = ctx
	var running sync.WaitGroup
	running.Go(func() { _ = w.fleet.Run(ctx) })
	for i := range n {
		w.sight(i)
	}
	t.Cleanup(func() {
		w.stop()
		cancel()
		running.Wait()
		dragons.Close()
		transport.CloseIdleConnections()
	})
	return w
}

// sight has the fleet find dragon i, as discovery would.
func (w *fixture) sight(i int) {
	w.t.Helper()
	client := dragon.New(w.dragons.Addr(i), w.client)
	identity, err := client.Identify(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	w.fleet.Sighted(w.ctx, fleet.Sighting{Address: w.dragons.Addr(i), Client: client, Identity: identity})
}

// start runs a Healer on the fixture.
func (w *fixture) start() *Healer {
	w.t.Helper()
	h, run := w.make(w.dir)
	w.healer = h
	w.current.Store(h)
	w.stopRun = run()
	return h
}

// enact makes a policy the one that the Healer is given.
func (w *fixture) enact(p *healer.Policy) {
	if p.Place == nil {
		p.Place = w.place
	}
	w.policy = p
	w.enacted.Store(p)
}

// pass lets time pass, and everybody finish what they do in it. The race detector
// knows that they have.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// make makes a Healer in dir, and a function that runs it and returns how to end it.
func (w *fixture) make(dir string) (*Healer, func() (stop func())) {
	w.t.Helper()
	w.registry = prometheus.NewRegistry()
	w.enact(w.policy)
	c := Config{
		Fleet: w.fleet, Dir: dir, Policy: w.enacted.Load, ID: "test", Clock: w.clock,
		OnAction: func(_ *fleet.Info, a *healer.Action) { w.actions = append(w.actions, a.Kind) },
		Logger:   log.NewLogfmtLogger(log.NewSyncWriter(w.log)), Registerer: w.registry,
	}
	for _, change := range w.configs {
		change(&c)
	}
	h, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	if !testing.Short() {
		h.decide = throughJSON
	}
	for _, change := range w.setUps {
		change(h)
	}
	return h, func() func() {
		ctx, cancel := context.WithCancel(w.ctx)
		var running sync.WaitGroup
		running.Go(func() {
			if err := h.Run(ctx); err != nil {
				w.t.Errorf("Run: %v", err)
			}
		})
		return sync.OnceFunc(func() {
			cancel()
			running.Wait()
		})
	}
}

// throughJSON decides, and returns what the plan is after it was written as JSON and read
// again: all that is carried out in these tests rests on nothing else.
func throughJSON(now healer.Instant, view *healer.View, mem *healer.Memory, policy *healer.Policy) *healer.Plan {
	made := healer.Decide(now, view, mem, policy)
	data, err := json.Marshal(made)
	if err != nil {
		panic(err)
	}
	read := &healer.Plan{News: made.News}
	if err := json.Unmarshal(data, read); err != nil {
		panic(err)
	}
	return read
}

// stop ends the Healer in order.
func (w *fixture) stop() {
	if w.stopRun != nil {
		w.stopRun()
		w.stopRun = nil
	}
}

// worker names dragon i.
func (w *fixture) worker(i int) string { return dragon.WorkerName(w.dragons.Dragon(i).Spec().MAC) }

// until lets time pass, a second at a time, until something is so.
func (w *fixture) until(what string, most time.Duration, is func() bool) {
	w.t.Helper()
	for range int(most / time.Second) {
		if is() {
			return
		}
		pass(time.Second)
	}
	if !is() {
		w.t.Fatalf("not within %s: %s\n%s", most, what, w.table())
	}
}

func (w *fixture) table() string {
	var b bytes.Buffer
	if p, err := w.healer.Plan(); err == nil {
		_ = explain.Plan(&b, p, explain.Layout{All: true})
	}
	b.Write(w.log.Bytes()[max(0, w.log.Len()-4000):])
	return b.String()
}

// wrote lists what was written to dragon i.
func (w *fixture) wrote(i int) []string {
	var endpoints []string
	for _, x := range w.dragons.Dragon(i).Writes() {
		endpoints = append(endpoints, x.Endpoint)
	}
	return endpoints
}

func (w *fixture) wroteAnything() bool {
	for i := range w.dragons.Len() {
		if len(w.wrote(i)) > 0 {
			return true
		}
	}
	return false
}

// killBoard breaks a board of dragon i in a way that a restart cures.
func (w *fixture) killBoard(i int) {
	w.dragons.Dragon(i).Inject(dragontest.DeadBoard, dragontest.Board(1), dragontest.CuredBy(dragontest.CuredByRestart))
}

// settle lets the healer get to know the dragons.
func (w *fixture) settle() {
	w.t.Helper()
	w.until("all dragons are healthy", 15*time.Minute, func() bool {
		p, err := w.healer.Plan()
		return err == nil && p.Counts.States[healer.StateHealthy] == w.dragons.Len()
	})
}

// acting reports whether a decision is being carried out.
func (w *fixture) acting() bool {
	is := false
	_ = w.healer.onLoop(w.ctx, "test", func(context.Context) error { is = w.healer.acting; return nil })
	return is
}

// refuseState has the state not opened, for a reason, while something is so.
func (w *fixture) refuseState(is *atomic.Bool, why error) {
	w.configs = append(w.configs, func(c *Config) {
		open := openLocal(c.Dir)
		c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
			if is.Load() {
				return nil, store.State{}, why
			}
			return open(ctx, floor)
		}
	})
}

// owns reports whether the healer has its state.
func (w *fixture) owns() bool {
	is := false
	_ = w.healer.onLoop(w.ctx, "test", func(context.Context) error { is = w.healer.backend != nil; return nil })
	return is
}

// audit returns the audit's records.
func (w *fixture) audit() []healer.Audit {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, auditName))
	if err != nil {
		w.t.Fatal(err)
	}
	records, err := ReadAudit(data)
	if err != nil {
		w.t.Fatal(err)
	}
	return records
}

// metric returns the value of a series, -1 if there is none. labels are pairs.
func (w *fixture) metric(name string, labels ...string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if !fits(m, labels) {
				continue
			}
			switch {
			case m.Counter != nil:
				return m.Counter.GetValue()
			case m.Gauge != nil:
				return m.Gauge.GetValue()
			case m.Histogram != nil:
				return float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return -1
}

// total is the sum of all series of a counter.
func (w *fixture) total(name string) (sum float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func fits(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] }) {
			return false
		}
	}
	return true
}

// outcomes counts what became of writes. It is cheaper than metric, for who waits for it.
func (w *fixture) outcomes(k healer.Kind, r healer.Reason, o healer.Outcome) float64 {
	return testutil.ToFloat64(w.healer.metrics.outcomes.WithLabelValues(string(k), reasonLabel(r), string(o)))
}

var errKilled = errors.New("killed")

// killer ends a Healer at a commit as a kill does: nothing is written or sent from
// then on.
type killer struct {
	at    int  // the commit, from 1; 0 for never
	after bool // it reaches the disk
	fail  bool // only that one commit fails, and the healer lives on
	kill  func()
	seen  func(store.Records) // every commit that reached the disk

	mu     sync.Mutex // the Healer's goroutine and the test's
	n      int
	killed bool
}

// dead reports whether the kill has come; reached, whether its commit has.
func (k *killer) dead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.killed
}

func (k *killer) reached() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.n >= k.at
}

func (k *killer) commit(b Backend, r store.Records) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.killed {
		return errKilled
	}
	k.n++
	if k.n == k.at && k.fail {
		return errors.New("no space left on device")
	}
	if k.n == k.at {
		k.killed = true
		k.kill()
		if !k.after {
			return errKilled
		}
	}
	if err := b.Commit(r); err != nil {
		return err
	}
	if k.seen != nil {
		k.seen(r)
	}
	return nil
}

// mustNotContain fails if a text holds a secret.
func mustNotContain(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s holds the secret %q", where, s)
		}
	}
}

// Reboot reboots a dragon because a human wants it: see Write.
func (h *Healer) Reboot(ctx context.Context, target, owner, reason string, force bool) (healer.Action, error) {
	return h.Write(ctx, WriteRequest{Target: target, Kind: healer.Reboot, Owner: owner, Reason: reason, Force: force})
}

// unraced leaves a long test of one goroutine at a time out of "make race"; "make unraced" runs it.
func unraced(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long, and nothing in it is new to the race detector")
	}
}
