// Package fleet holds the known dragons, each with the lane that all traffic to it
// goes through.
package fleet

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Config configures a Fleet.
type Config struct {
	Dir           string                      // of the inventory; empty keeps it in memory only
	InventoryFile string                      // also written in the original tool's form, if set
	Retention     time.Duration               // after which a vanished dragon is forgotten; default 30 days
	Most          int                         // new dragons of a first scan; twice as many in all; 0: no limit
	Client        dragon.Options              // for dragons that the inventory remembers
	Site          func(address string) string // the site that an address, as Info.Address has it, belongs to; may be nil
	Labels        func(mac string) *Labels    // the operator's name and labels of a dragon; may be nil
	Boards        func(*Info) int             // boards of a dragon as configured, 0: not configured; may be nil
	Maintained    func(mac string) bool       // a person works on the dragon; must not block; may be nil
	Logger        log.Logger
	Registerer    prometheus.Registerer   // one registry takes one Fleet; may be nil
	OnReading     func(*Dragon, *Reading) // offered every fresh reading; must not block; may be nil
	Speed         float64                 // how many times faster simulated dragons live; default 1

	// Facts are the facts to read with their intervals; zero is the fact's default.
	// A fact that is not listed is not read.
	Facts  map[Fact]time.Duration
	Jitter func(limit time.Duration) time.Duration // spreads the questions for facts; default: by chance
}

const (
	defaultRetention = 30 * 24 * time.Hour
	defaultTimeout   = 10 * time.Second // of dragon.Options
	forgetInterval   = time.Minute
)

// Fleet is the set of known dragons.
type Fleet struct {
	config       Config
	set          atomic.Pointer[Settings]
	logger       log.Logger
	metrics      *metrics
	firstRetries queue[*Dragon] // those that have just gone down, or may be back, by when they are asked again
	retries      queue[*Dragon] // the others that are down
	factQueue    queue[factOf]  // by when they are asked for
	began        time.Time      // from which the beats are counted
	pace         *pace
	pendingLog   pendingLog
	file         *inventoryFile
	outOfBand    dragon.Options // of the clients that Aside uses

	answersKept atomic.Int32 // by how many they are wanted

	mu        sync.RWMutex         // guards the maps; never held across I/O; taken before a Dragon's
	byMAC     map[string][]*Dragon // more than one: they are in conflict
	byHost    map[string][]*Dragon // who lives at its ports
	byAddress map[string]*Dragon   // the dragon that answers there now
	byWorker  map[string]*Dragon
	intake    intake
	byName    map[string][]*Dragon // by the worker name without @address: more than one have to be told apart

	sorted atomic.Pointer[[]*Dragon] // what Dragons returns; nil when it is out of date

	ctx    context.Context // ends every reading under way
	cancel context.CancelFunc
	ending sync.RWMutex
	ended  bool
	reads  sync.WaitGroup
}

// Open loads the inventory. A corrupt file is moved aside and logged; that is not an error.
func Open(c Config) (*Fleet, error) {
	if c.Speed <= 0 {
		c.Speed = 1
	}
	if c.Logger == nil {
		c.Logger = log.NewNopLogger()
	}
	if c.Client.Transport == nil {
		c.Client.Transport = dragon.NewTransport() // one for all
	}
	f := &Fleet{
		config:    c,
		began:     time.Now(),
		logger:    c.Logger,
		outOfBand: outOfBandOptions(c.Client),
		byMAC:     make(map[string][]*Dragon),
		byAddress: make(map[string]*Dragon),
		byHost:    make(map[string][]*Dragon),
		byWorker:  make(map[string]*Dragon),
		byName:    make(map[string][]*Dragon),
	}
	f.pace = newPace(c.Speed, f.began)
	f.set.Store(settled(Settings{c.Retention, c.Client.Timeout}))
	f.metrics = newMetrics(c.Registerer)
	f.firstRetries.init()
	f.firstRetries.newestFirst = true
	f.retries.init()
	f.factQueue.init()
	f.ctx, f.cancel = context.WithCancel(context.Background())
	var err error
	if f.file, err = openInventory(c.Dir, c.InventoryFile, c.Logger, f.metrics); err != nil {
		return nil, err
	}
	remembered, err := f.file.load()
	if err != nil {
		return nil, err
	}
	f.remember(remembered)
	f.intake = newIntake(c.Most, len(f.byWorker))
	f.registerWaiting(c.Registerer)
	if len(remembered) > 0 {
		level.Info(f.logger).Log("msg", "inventory loaded", "dragons", len(f.Dragons()))
	}
	return f, nil
}

// Run retries dragons that are down, refreshes facts, forgets dragons that have been
// gone for the retention time, and saves the inventory, until ctx is done. It ends the readings
// still under way and saves once more before it returns; from then on every Read fails.
func (f *Fleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { f.retry(ctx) })
	wg.Go(func() { f.refresh(ctx) })
	wg.Go(func() { f.save(ctx) })
	for tick := time.Tick(forgetInterval); ; {
		select {
		case <-tick:
			f.forget(time.Now())
			f.flushLog()
			continue
		case <-ctx.Done():
		}
		break
	}
	f.ending.Lock()
	f.ended = true
	f.ending.Unlock()
	f.cancel()
	wg.Wait()
	f.reads.Wait()
	for _, rt := range []http.RoundTripper{f.config.Client.Transport, f.outOfBand.Transport} {
		if t, ok := rt.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
	f.saveNow()
	return nil
}

// spawn runs fn in a goroutine that Run waits for. It reports false, without running
// fn, once Run has ended.
func (f *Fleet) spawn(fn func()) bool {
	f.ending.RLock()
	defer f.ending.RUnlock()
	if f.ended {
		return false
	}
	f.reads.Go(fn)
	return true
}

// Dragons returns the known dragons sorted by worker. The slice is shared: do not change it.
func (f *Fleet) Dragons() []*Dragon {
	if s := f.sorted.Load(); s != nil {
		return *s
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*Dragon, 0, len(f.byWorker))
	for _, d := range f.byWorker {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *Dragon) int { return cmp.Compare(a.Info().Worker, b.Info().Worker) })
	f.sorted.Store(&all)
	return all
}

// Lookup finds a known dragon by worker, MAC (any spelling) or address; nil if there is none.
// A host without port is its port 80. A MAC that several dragons have finds none.
func (f *Fleet) Lookup(target string) *Dragon {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if d := f.byWorker[target]; d != nil {
		return d
	}
	if d := f.byAddress[normalAddress(target)]; d != nil {
		return d
	}
	if mac := normalMAC(target); mac != "" && len(f.byMAC[mac]) == 1 {
		return f.byMAC[mac][0]
	}
	return nil
}

// Answered reports whether a known dragon at address was read, or identified, since t.
func (f *Fleet) Answered(address string, t time.Time) bool {
	f.mu.RLock()
	d := f.byAddress[normalAddress(address)]
	f.mu.RUnlock()
	return d != nil && !d.seen().Before(t)
}

// forgetAfter is how long a program runs before it forgets a dragon: the clock of a host
// may be a year ahead at its start, until NTP sets it.
const forgetAfter = time.Hour

// forget drops the dragons that have not been seen for the retention time, and the
// claimants of a MAC that have been silent for so long that the conflict is over.
// Only a dragon that was asked and did not answer is dropped: one that the
// inventory remembers gets its chance first.
func (f *Fleet) forget(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, claimants := range f.byMAC {
		for _, d := range slices.Clone(claimants) {
			switch silent := d.silentSince(now); {
			case d.isRetired(now):
			case silent > f.set.Load().Retention && now.Sub(f.began) > forgetAfter:
				f.logLater(level.InfoValue(), "dragon forgotten after the retention time",
					"worker", d.Info().Worker, "address", d.Info().Address, "last_seen", d.seen().UTC())
				f.drop(d)
			case silent > conflictEnds && f.othersAnswer(d, now):
				f.logLater(level.InfoValue(), "MAC conflict over, address dropped",
					"worker", d.Info().Worker, "mac", d.mac, "address", d.Info().Address, "last_seen", d.seen().UTC())
				f.drop(d)
			}
		}
	}
}
