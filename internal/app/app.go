// Package app is the running program: discovery, fleet, collector, healer and web server, wired.
package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"golang.org/x/sync/errgroup"

	"github.com/brndnmtthws/mother-of-dragons/collector"
	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/gate"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// app holds the rooms of the running program, and the configuration in force. That
// may be read anew (reload.go); whoever asks for current each time follows it.
type app struct {
	current atomic.Pointer[config.Config]
	load    func() (*config.Config, error)
	loads   *config.Metrics
	loading sync.Mutex // one reload at a time

	logger   log.Logger
	registry *prometheus.Registry
	ready    atomic.Bool // it listens, and does not stop yet

	client  dragon.Options
	dragons *fleet.Fleet // there before the first login
	stock   *firmware.Stock
	mirror  *relay[collector.Statsd]
	doctor  *healer.Healer // there before the first reading
	scanner *relay[discovery.Scanner]
	button  *discovery.Listener // nil: nobody listens to buttons
	metrics *collector.Collector
}

// newApp makes the rooms. Nothing runs in them yet.
func newApp(ctx context.Context, c *config.Config, load func() (*config.Config, error), logger log.Logger) (*app, error) {
	h := &app{load: load, logger: logger, registry: prometheus.NewRegistry()}
	h.current.Store(c)
	h.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("mother"),
	)
	h.loads = config.NewMetrics(h.registry)
	given := passwords.Reader(c.DataDir)
	if err := given.Err(); err != nil {
		level.Error(logger).Log("msg", "the passwords that dragons were given cannot be read; these dragons will let nobody in", "err", err)
	}
	h.client = dragon.Options{
		CredentialsFor: CredentialsFor(&h.dragons, given, h.current.Load),
		Transport:      NewTransport(),
		Timeout:        c.DragonTimeout,
		ReadTimeout:    func() time.Duration { return h.current.Load().DragonTimeout },
		Observe:        collector.NewRequestMetrics(h.registry),
	}
	var err error
	if h.dragons, err = h.openFleet(c); err != nil {
		return nil, err
	}
	h.stock = &firmware.Stock{Fleet: h.dragons, Library: firmware.New(firmware.Config{
		Dir:        c.Wish.FirmwaresPath,
		Kept:       filepath.Join(c.DataDir, "firmware"),
		Allowed:    c.Wish.FirmwareHosts,
		Logger:     h.loggerOf("firmware"),
		Registerer: h.registry,
	})}
	h.mirror = newRelay(collector.NewStatsd(h.statsd(c)))
	if h.doctor, err = h.newHealer(c); err != nil {
		return nil, err
	}
	h.scanner = newRelay(discovery.New(h.search(c)))
	if c.Listen {
		if h.button, err = discovery.Listen(ctx, h.scanner.current.Load, h.loggerOf("discovery")); err != nil {
			return nil, fmt.Errorf("--discovery.listen: %w", err)
		}
	}
	h.metrics = collector.New(collector.Config{
		Fleet:    h.dragons,
		Registry: h.registry,
		Limits:   limits(c),
		Switches: c.Collectors,
		Created:  c.Created,
		Logger:   h.loggerOf("collector"),
		Find: func(ctx context.Context, target string) (*fleet.Dragon, error) {
			return h.scanner.current.Load().Find(ctx, target)
		},
	})
	return h, nil
}

func (h *app) loggerOf(component string) log.Logger {
	return log.With(h.logger, "component", component)
}

func (h *app) openFleet(c *config.Config) (*fleet.Fleet, error) {
	facts := make(map[fleet.Fact]time.Duration)
	for _, fact := range collector.Facts(c.Collectors) {
		facts[fact] = 0 // its own rhythm
	}
	mayChange := c.File != ""
	if mayChange || c.Wishes.Pools() { // a file may come to wish for something
		facts[fleet.Pools] = 0
	}
	if mayChange || c.Wishes.Autotune() {
		facts[fleet.AutoTune] = 0
	}
	if c.AsksVendors() {
		facts[fleet.Firmware] = 0
	}
	return fleet.Open(fleet.Config{
		Dir:           c.DataDir,
		InventoryFile: c.InventoryFile,
		Retention:     c.InventoryRetention,
		Client:        h.client,
		Site:          func(a netip.Addr) string { return h.current.Load().Sites.Of(a) },
		Facts:         facts,
		OnReading:     func(d *fleet.Dragon, r *fleet.Reading) { h.doctor.OnReading(d, r) },
		Speed:         c.SimulationSpeed,
		Logger:        h.loggerOf("fleet"),
		Registerer:    h.registry,
	})
}

func (h *app) newHealer(c *config.Config) (*healer.Healer, error) {
	clock, err := healersClock(c, h.dragons)
	if err != nil {
		return nil, err
	}
	return healer.New(healer.Config{
		Fleet:   h.dragons,
		Dir:     c.DataDir,
		Policy:  func() *healer.Policy { return h.current.Load().Healing.Policy() },
		Outside: gate.New().Ask,
		Answers: gate.Answers,
		Image:   h.stock.Open,
		OnAction: func(d *fleet.Info, a *healer.Action) {
			for _, name := range statsdNames(a) {
				h.mirror.current.Load().Action(d, name)
			}
		},
		Clock:      clock,
		Logger:     h.loggerOf("healer"),
		Registerer: h.registry,
	})
}

// statsd is what the mirror gets of a configuration.
func (h *app) statsd(c *config.Config) collector.StatsdConfig {
	s := collector.StatsdConfig{
		Fleet:            h.dragons,
		Prefix:           c.Statsd.Prefix,
		Interval:         c.Statsd.Interval,
		OneLinePerPacket: c.Statsd.OneLinePerPacket,
		Logger:           h.loggerOf("statsd"),
		Registerer:       h.registry,
	}
	if c.Statsd.Host != "" {
		s.Address = net.JoinHostPort(c.Statsd.Host, strconv.Itoa(int(c.Statsd.Port)))
	}
	return s
}

// search is what the scanner gets of one.
func (h *app) search(c *config.Config) discovery.Config {
	return discovery.Config{
		Networks:        c.Networks,
		Targets:         c.Targets,
		Port:            c.Port,
		Interval:        c.ScanInterval,
		ConnectTimeout:  c.ConnectTimeout,
		IdentifyTimeout: c.ScanTimeout,
		Client:          h.client,
		Fleet:           h.dragons,
		Logger:          h.loggerOf("discovery"),
		Registerer:      h.registry,
		OnScan: func(r discovery.Result) {
			h.mirror.current.Load().Scanned(r.Duration, r.Known+len(r.Found)+r.Locked)
		},
	}
}

// limits are what the collector gets of one.
func limits(c *config.Config) collector.Limits {
	return collector.Limits{Workers: c.ScrapeWorkers, Offset: c.ScrapeOffset, MaxRequests: c.MaxRequests}
}

// pages is what the app shows to the network.
func (h *app) pages(flags WebFlags) (http.Handler, error) {
	var reload func(context.Context) ([]string, error)
	if flags.lifecycle {
		reload = h.reload
	}
	return web.Handler(web.Config{
		TelemetryPath:    flags.telemetryPath,
		Metrics:          h.metrics.Metrics(),
		Probe:            h.metrics.Probe(),
		ServiceDiscovery: discovery.SDHandler(h.dragons),
		Ready:            h.ready.Load,
		Profiling:        flags.profiling,
		Reload:           reload,
		API: web.APIConfig{
			Fleet: h.dragons, Healer: h.doctor, Admin: flags.admin, Firmware: h.stock, Logger: h.loggerOf("api"),
			Configuration: func() ([]byte, error) { return h.current.Load().Print() },
		},
	})
}

// live has what is in the rooms run until ctx is done, all but the fleet, and hears what
// signals ask for.
func (h *app) live(ctx context.Context, group *errgroup.Group, pauses, reloads <-chan os.Signal) {
	c := h.current.Load()
	group.Go(func() error { return h.scanner.run(ctx, (*discovery.Scanner).Run) })
	if h.button != nil {
		group.Go(func() error { return h.button.Run(ctx) })
	}
	group.Go(func() error { return h.mirror.run(ctx, (*collector.Statsd).Run) })
	group.Go(func() error {
		h.reloadOnSignal(ctx, reloads)
		return nil
	})
	group.Go(func() error {
		serveControl(ctx, c, h.stock, h.doctor, h.loggerOf("control"))
		return nil
	})
	group.Go(func() error {
		pauseOnSignal(ctx, pauses, h.doctor, h.loggerOf("healer"))
		return nil
	})
	group.Go(func() error { return h.doctor.Run(ctx) })
	group.Go(func() error {
		every := time.Duration(float64(upgradeEvery) / c.SimulationSpeed)
		wanted := func() bool { return h.current.Load().Wish.AutoUpgrade }
		(&upgrader{wanted: wanted, stock: h.stock, doctor: h.doctor, every: every, logger: h.loggerOf("firmware")}).run(ctx)
		return nil
	})
}

// NewTransport leaves the process files enough to answer with, however many dragons
// there are.
func NewTransport() *dragon.Transport {
	t := dragon.NewTransport()
	if n := discovery.Connections(); n > 0 {
		t.Limit(n)
	}
	return t
}

// CredentialsFor says what is tried at a login, by who is known to live there.
func CredentialsFor(dragons **fleet.Fleet, book *passwords.Book, current func() *config.Config) func(host string) []dragon.Credential {
	return func(host string) []dragon.Credential {
		var who *fleet.Info
		if d := (*dragons).Lookup(host); d != nil {
			who = d.Info()
		}
		return passwords.Login(book, host, who, current().Credentials.For(host, who))
	}
}

// statsdNames are the original's names for what an action did.
func statsdNames(a *healer.Action) (names []string) {
	if a.Kind == healer.Reboot { // the original had no restart of the mining process alone
		names = append(names, "rebooted")
	}
	if a.Kind == healer.Upgrade {
		names = append(names, "upgraded")
	}
	if a.Change == nil {
		return names
	}
	for _, item := range a.Change.Items {
		switch item {
		case healer.ItemPools:
			names = append(names, "poolsChanged")
		case healer.ItemAutotune:
			names = append(names, "autotuneChanged")
		}
	}
	return names
}
