package agent

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/installed/etcdtest"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

const (
	pairSpeed = 120 // an hour of the dragons takes 30 s
	pairLease = 3 * time.Second
	// takeoverWithin is the longest time from a failure to the first write of another leader.
	takeoverWithin = 60 * time.Second
)

// pair is two instances on one fleet that share their state in etcd. Each has a clock, and
// connections to etcd and to the dragons, of its own. It lives by the real clock.
type pair struct {
	t       *testing.T
	dragons *dragontest.Fleet
	history *etcdtest.History
	prefix  string
	direct  []string // endpoints of etcd
	policy  func() *healer.Policy
	all     [2]*instance
}

type instance struct {
	*pair
	id      string
	dir     string
	proxies []*etcdtest.Proxy
	clock   *shiftedClock
	line    *line
	open    sync.WaitGroup // backends

	healer   *Healer
	registry *prometheus.Registry
	log      lockedBuffer
	stop     func()
	sight    func(i int)  // as a scan does
	sent     atomic.Int64 // writes that it knows of
	lastSent atomic.Pointer[time.Time]
}

// closing says when a backend is closed: a write that hangs keeps it for up to ten seconds.
type closing struct {
	Backend
	closed func()
}

func (c *closing) Close() error {
	defer c.closed()
	return c.Backend.Close()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// shiftedClock is the clock of a host that runs faster, and whose wall clock may be wrong.
type shiftedClock struct {
	start time.Time
	boot  string
	shift atomic.Int64
}

func (c *shiftedClock) Now() healer.Instant {
	passed := time.Since(c.start) * pairSpeed
	return healer.Instant{Wall: c.start.Add(passed + time.Duration(c.shift.Load())).Round(0), Mono: 100*time.Hour + passed, BootID: c.boot}
}

func (c *shiftedClock) Synced() bool { return c.shift.Load() == 0 }

func (c *shiftedClock) Speed() float64 { return pairSpeed }

// line is an instance's network to the dragons, which can be cut.
type line struct {
	dragons *dragontest.Fleet

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func (l *line) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	}
	c, err := l.dragons.DialContext(ctx, network, address)
	if err == nil {
		l.mu.Lock()
		l.conns[c] = true
		l.mu.Unlock()
	}
	return c, err
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for c := range l.conns {
		_ = c.Close()
	}
	clear(l.conns)
}

// newPair makes two instances on a fleet of n dragons, without starting them.
func newPair(t *testing.T, cluster *etcdtest.Cluster, n int) *pair {
	t.Helper()
	now := dragontest.SpedUp(pairSpeed)
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{Count: n, InMemory: true, Specs: func(i int) dragontest.Spec {
		return dragontest.Spec{Now: now, Speed: pairSpeed, Uptime: time.Duration(50+7*i) * time.Hour, TuneTime: -1}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dragons.Close)
	policy := impatient()
	policy.Place = func(d healer.Device) (string, string) { return "row-" + d.IP, "" }
	policy.Default.Detect.DeadBoard = healer.Evidence{For: 2 * time.Minute, Bad: 3, Of: 3}
	p := &pair{
		t: t, dragons: dragons, prefix: "/" + t.Name() + "/", direct: cluster.Endpoints(),
		policy: func() *healer.Policy { return policy },
	}
	p.history = cluster.Record(p.prefix)
	start := time.Now()
	for i := range p.all {
		x := &instance{pair: p, id: fmt.Sprint("host-", i), dir: t.TempDir(), line: &line{dragons: dragons, conns: make(map[net.Conn]bool)}}
		x.clock = &shiftedClock{start: start, boot: x.id}
		for _, e := range p.direct {
			x.proxies = append(x.proxies, etcdtest.NewProxy(t, e))
		}
		p.all[i] = x
	}
	return p
}

// start starts both instances, and waits until one leads and both know all dragons.
func (p *pair) start() *pair {
	p.t.Helper()
	for _, x := range p.all {
		x.start()
	}
	p.eventually("one leads", func() bool { return p.leader() != nil })
	for _, x := range p.all {
		p.eventually("both know all dragons", x.knowsAll)
	}
	return p
}

func (x *instance) knowsAll() bool {
	plan, err := x.healer.Plan()
	return err == nil && plan.Counts.States[healer.StateHealthy] == x.dragons.Len()
}

// start starts an instance, which ends with the test.
func (x *instance) start() {
	t := x.t
	t.Helper()
	var h *Healer
	transport := dragon.NewTransport()
	transport.DialContext = x.line.DialContext
	options := dragon.Options{Transport: transport}
	ready := make(chan struct{})
	f, err := fleet.Open(fleet.Config{Client: options, Speed: pairSpeed, OnReading: func(d *fleet.Dragon, r *fleet.Reading) {
		<-ready
		h.OnReading(d, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	x.registry = prometheus.NewRegistry()
	c := Config{
		Fleet: f, Dir: x.dir, Policy: x.policy, Clock: x.clock, Logger: log.NewLogfmtLogger(&x.log), Registerer: x.registry,
		OnAction: func(*fleet.Info, *healer.Action) {
			now := time.Now()
			x.sent.Add(1)
			x.lastSent.Store(&now)
		},
	}
	var endpoints []string
	for _, proxy := range x.proxies {
		endpoints = append(endpoints, proxy.Endpoint())
	}
	if err := c.ShareIn(store.EtcdConfig{Endpoints: endpoints, Prefix: x.prefix, Self: store.Instance{ID: x.id, URL: "http://" + x.id}, TTL: pairLease}); err != nil {
		t.Fatal(err)
	}
	open := c.State
	c.State = func(ctx context.Context, floor uint64) (Backend, store.State, error) {
		b, state, err := open(ctx, floor)
		if err != nil {
			return nil, state, err
		}
		x.open.Add(1)
		return &closing{Backend: b, closed: sync.OnceFunc(x.open.Done)}, state, nil
	}
	if h, err = New(c); err != nil {
		t.Fatal(err)
	}
	x.healer = h
	close(ready)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	x.sight = func(i int) {
		client := dragon.New(x.dragons.Addr(i), options)
		identity, err := client.Identify(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f.Sighted(ctx, fleet.Sighting{Address: x.dragons.Addr(i), Client: client, Identity: identity})
	}
	for i := range x.dragons.Len() {
		x.sight(i)
	}
	running.Go(func() { _ = h.Run(ctx) })
	x.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		transport.CloseIdleConnections()
		x.line.set(x.line.cut)
	})
	t.Cleanup(func() {
		x.stop()
		x.open.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", x.id, x.log.String())
		}
	})
}

// crash ends an instance without a last word to etcd or to a dragon.
func (x *instance) crash() {
	x.cutFromEtcd(true)
	x.line.set(true)
	x.stop()
	x.cutFromEtcd(false)
	x.line.set(false)
}

func (x *instance) cutFromEtcd(on bool) {
	for _, p := range x.proxies {
		p.Cut(on)
	}
}

func (x *instance) leads() bool {
	s := x.healer.published.Load()
	return s != nil && s.Owner
}

// leader is the instance that leads; nil: none or both.
func (p *pair) leader() *instance {
	a, b := p.all[0], p.all[1]
	switch {
	case a.leads() == b.leads():
		return nil
	case a.leads():
		return a
	}
	return b
}

func (x *instance) other() *instance {
	if x == x.all[0] {
		return x.all[1]
	}
	return x.all[0]
}

func (p *pair) sicken(i int) {
	p.dragons.Dragon(i).Inject(dragontest.DeadBoard, dragontest.Board(1), dragontest.CuredBy(dragontest.CuredByRestart))
}

func (p *pair) mac(i int) string {
	mac, _ := dragon.ParseMAC(p.dragons.Dragon(i).Spec().MAC)
	return mac
}

func (p *pair) written(i int) int { return len(p.dragons.Dragon(i).Writes()) }

// eventually waits until it is so.
func (p *pair) eventually(what string, is func() bool) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(4 * time.Minute); !is(); <-tick.C {
		if time.Now().After(end) {
			p.t.Fatalf("not within 4 min: %s", what)
		}
	}
}

// live lets the dragons live for a while, and wants nothing to become so.
func (p *pair) live(d time.Duration, never string, is func() bool) {
	p.t.Helper()
	for end := time.Now().Add(d / pairSpeed); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			p.t.Fatal(never)
		}
	}
}

// check holds what the dragons have received against what was committed.
func (p *pair) check() {
	p.t.Helper()
	var writes []etcdtest.Write
	for i, d := range p.dragons.Dragons() {
		for _, w := range d.Writes() {
			writes = append(writes, etcdtest.Write{MAC: p.mac(i), At: w.At})
		}
	}
	if len(writes) == 0 {
		p.t.Error("nothing was written: the test tests nothing")
	}
	p.history.Check(p.t, writes, p.policy().Fleet.PerHourMin)
}

// takeover fails if something took longer than a takeover may.
func (p *pair) takeover(since time.Time) {
	p.t.Helper()
	took := time.Since(since)
	p.t.Logf("the other one acted after %s", took.Round(100*time.Millisecond))
	if took > takeoverWithin {
		p.t.Errorf("it took %s, want at most %s", took, takeoverWithin)
	}
}
