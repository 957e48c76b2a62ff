// Package app is the running program: discovery, fleet, collector, healer and web server, wired.
package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/gate"
	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// app holds the parts of the running program and the current configuration. A reload
// (reload.go) replaces the latter; parts that load it each time need nothing else.
type app struct {
	current atomic.Pointer[config.Config]
	load    func() (*config.Config, error)
	loads   *config.Metrics
	loading sync.Mutex // one reload at a time
	logins  *logins

	logger   log.Logger
	registry *prometheus.Registry
	ready    atomic.Bool // it listens and is not stopping

	client    dragon.Options
	fleet     *fleet.Fleet // set before the first login
	stock     *firmware.Stock
	statsd    *runner[collector.Statsd]
	notifier  *runner[notify.Notifier]
	healer    *agent.Healer // set before the first reading
	scanner   *runner[discovery.Scanner]
	buttons   *discovery.Listener // nil without --discovery.listen
	collector *collector.Collector
	recent    *web.Recent
}

// loginRetry is how long no login follows a refused one.
const loginRetry = 15 * time.Minute

// newApp makes all parts. None of them runs yet.
func newApp(ctx context.Context, c *config.Config, load func() (*config.Config, error), logger log.Logger) (*app, error) {
	a := &app{load: load, logger: logger, registry: prometheus.NewRegistry(), recent: web.NewRecent()}
	a.current.Store(c)
	a.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("mother"),
	)
	a.loads = config.NewMetrics(a.registry)
	given := passwords.Reader(c.DataDir)
	if err := given.Err(); err != nil {
		level.Error(logger).Log("msg", "cannot read passwords.yml", "err", err)
	}
	a.logins = newLogins(&a.fleet, given, a.current.Load)
	transport := NewTransport()
	transport.OnSurplus = collector.NewSurplusMetric(a.registry)
	a.client = dragon.Options{
		CredentialsFor: a.logins.at,
		Transport:      transport,
		Timeout:        c.Scrape.DragonTimeout,
		ReadTimeout:    func() time.Duration { return a.current.Load().Scrape.DragonTimeout },
		Observe:        collector.NewRequestMetrics(a.registry),
	}
	if c.SimulationSpeed > 1 { // its dragons boot, and forget their tokens, so much more often
		a.client.LoginRetry = time.Duration(float64(loginRetry) / c.SimulationSpeed)
	}
	var err error
	if a.fleet, err = a.openFleet(c); err != nil {
		return nil, err
	}
	a.stock = &firmware.Stock{Fleet: a.fleet, Library: firmware.New(firmware.Config{
		Dir:        c.Firmware.Path,
		Kept:       filepath.Join(c.DataDir, "firmware"),
		Allowed:    c.Firmware.AllowedHosts,
		Logger:     a.loggerOf("firmware"),
		Registerer: a.registry,
	})}
	a.statsd = newRunner(collector.NewStatsd(a.statsdConfig(c)))
	notifier, err := notify.New(notify.Config{Webhooks: c.Webhooks, Instance: instanceName(c), Logger: a.loggerOf("notify"), Registerer: a.registry})
	if err != nil {
		return nil, err
	}
	a.notifier = newRunner(notifier)
	if a.healer, err = a.newHealer(c); err != nil {
		return nil, err
	}
	a.scanner = newRunner(discovery.New(a.discoveryConfig(c)))
	if c.Discovery.Listen {
		if a.buttons, err = discovery.Listen(ctx, a.scanner.current.Load, a.loggerOf("discovery")); err != nil {
			return nil, fmt.Errorf("--discovery.listen: %w", err)
		}
	}
	a.collector = collector.New(collector.Config{
		Fleet:    a.fleet,
		Registry: a.registry,
		Limits:   limits(c),
		Switches: c.Collectors.Switches(),
		Created:  c.Scrape.Created,
		Power: func(model string, profile dragon.AutoTune) dragon.Number {
			return a.current.Load().PowerOf(model, profile)
		},
		Logger: a.loggerOf("collector"),
		Find: func(ctx context.Context, target string) (*fleet.Dragon, error) {
			return a.scanner.current.Load().Find(ctx, target)
		},
	})
	return a, nil
}

func (a *app) loggerOf(component string) log.Logger {
	return log.With(a.logger, "component", component)
}

func (a *app) openFleet(c *config.Config) (*fleet.Fleet, error) {
	facts := make(map[fleet.Fact]time.Duration)
	for _, fact := range collector.Facts(c.Collectors.Switches()) {
		facts[fact] = 0 // at the interval of that fact
	}
	mayChange := c.File != ""
	if mayChange || c.Desired.Pools() { // a reload may add pools
		facts[fleet.Pools] = 0
	}
	if mayChange || c.Desired.Autotune() {
		facts[fleet.AutoTune] = 0
	}
	if c.AsksVendors() {
		facts[fleet.Firmware] = 0
	}
	return fleet.Open(fleet.Config{
		Dir:           c.DataDir,
		InventoryFile: c.Inventory.File,
		Retention:     c.Inventory.Retention,
		Most:          c.Inventory.Max,
		Client:        a.client,
		Site:          a.siteOf,
		Labels:        func(mac string) *fleet.Labels { return a.current.Load().LabelsOf(mac) },
		Boards:        a.operatorsBoards,
		Maintained:    func(mac string) bool { return a.healer != nil && a.healer.Maintained(mac) },
		Facts:         facts,
		OnReading: func(d *fleet.Dragon, r *fleet.Reading) {
			a.healer.OnReading(d, r)
			a.recent.Add(d.Info().MAC, r, time.Now())
		},
		Speed:      c.SimulationSpeed,
		Logger:     a.loggerOf("fleet"),
		Registerer: a.registry,
	})
}

// siteOf returns the site of the static dragon whose host name leads to an address, else
// that of the address.
func (a *app) siteOf(address string) string {
	if a.scanner != nil { // it is made after the fleet
		if site := a.scanner.current.Load().Site(address); site != "" {
			return site
		}
	}
	return a.current.Load().Sites.Of(address)
}

// operatorsBoards is how many boards the configuration says a dragon has; 0: nothing.
func (a *app) operatorsBoards(i *fleet.Info) int {
	healing := &a.current.Load().Healing
	_, profile := healing.Place(agent.DeviceOf(i))
	return healing.Policy().For(profile).Boards
}

func (a *app) newHealer(c *config.Config) (*agent.Healer, error) {
	clock, err := healerClock(c, a.fleet)
	if err != nil {
		return nil, err
	}
	settings := agent.Config{
		Fleet:        a.fleet,
		Dir:          c.DataDir,
		Policy:       func() *healer.Policy { return a.current.Load().Healing.Policy() },
		ExternalGate: gate.New().Ask,
		ProbeGateway: gate.Answers,
		Image:        a.stock.Open,
		OnAction: func(d *fleet.Info, done *healer.Action) {
			for _, name := range statsdNames(done) {
				a.statsd.current.Load().Action(d, name)
			}
		},
		OnAudit:    a.notify,
		Calendars:  func() []healer.Calendar { return a.current.Load().Calendars },
		Clock:      clock,
		Logger:     a.loggerOf("healer"),
		Registerer: a.registry,
	}
	if shares(c) {
		etcd, err := etcdConfig(c)
		if err != nil {
			return nil, err
		}
		if err := settings.ShareIn(etcd); err != nil {
			return nil, err
		}
	}
	return agent.New(settings)
}

func (a *app) statsdConfig(c *config.Config) collector.StatsdConfig {
	s := collector.StatsdConfig{
		Fleet:            a.fleet,
		Prefix:           c.Statsd.Prefix,
		Interval:         c.Statsd.Interval,
		OneLinePerPacket: c.Statsd.OneLinePerPacket,
		Logger:           a.loggerOf("statsd"),
		Registerer:       a.registry,
	}
	if c.Statsd.Host != "" {
		s.Address = net.JoinHostPort(c.Statsd.Host, strconv.Itoa(int(c.Statsd.Port)))
	}
	return s
}

// discoveryConfig is the scanner's part of a configuration.
func (a *app) discoveryConfig(c *config.Config) discovery.Config {
	return discovery.Config{
		Networks:        c.Searched(),
		Exclude:         c.Exclude,
		Targets:         c.Targets(),
		Port:            c.Discovery.Port,
		Interval:        c.Discovery.Interval,
		ConnectTimeout:  c.Discovery.ConnectTimeout,
		IdentifyTimeout: c.Discovery.Timeout,
		Client:          a.client,
		Others:          a.logins.ofLost,
		Fleet:           a.fleet,
		Logger:          a.loggerOf("discovery"),
		Registerer:      a.registry,
		OnLocked:        a.recordLocked,
		OnScan: func(r discovery.Result) {
			a.statsd.current.Load().Scanned(r.Duration, r.Known+len(r.Found)+r.Locked)
		},
	}
}

// api is what the web and the control socket show.
func (a *app) api() web.APIConfig {
	return web.APIConfig{
		Fleet: a.fleet, Healer: a.healer, Firmware: a.stock,
		Discovery:     func() discovery.Status { return a.scanner.current.Load().Status() },
		Look:          func(ctx context.Context, address string) bool { return a.scanner.current.Load().Look(ctx, address) },
		Configuration: func() ([]byte, error) { return a.current.Load().Print() },
	}
}

// limits are the collector's part of a configuration.
func limits(c *config.Config) collector.Limits {
	return collector.Limits{Workers: c.Scrape.Workers, Offset: c.Scrape.TimeoutOffset, MaxRequests: c.Scrape.MaxRequests}
}

// handler serves the pages, the metrics and the API.
func (a *app) handler(flags WebFlags, logins *web.Logins) (http.Handler, error) {
	hosts, err := web.ParseHosts(flags.allowedHosts, flags.externalURL)
	if err != nil {
		return nil, err
	}
	for _, address := range *flags.Listen.WebListenAddresses {
		if host, _, err := net.SplitHostPort(address); err == nil {
			hosts = append(hosts, strings.ToLower(host))
		}
	}
	var reload func(context.Context) ([]string, error)
	if flags.lifecycle {
		reload = a.reload
	}
	api := a.api()
	api.Admin, api.WithoutLogin, api.Logger, api.Recent = flags.admin, flags.withoutLogin, a.loggerOf("api"), a.recent
	api.Grafana = func() string { return a.current.Load().Web.Grafana }
	api.Prometheus = func() string { return a.current.Load().Web.Prometheus }
	return web.Handler(web.Config{
		TelemetryPath:    flags.telemetryPath,
		Metrics:          a.collector.Metrics(),
		Probe:            a.collector.Probe(),
		ServiceDiscovery: discovery.SDHandler(a.fleet),
		Ready:            a.whyNotReady,
		Profiling:        flags.profiling,
		Reload:           reload,
		Hosts:            hosts,
		Logins:           logins,
		API:              api,
	})
}

// idleLongest is the time without a look of the healer after which the program is not ready.
const idleLongest = 5 * time.Minute

// whyNotReady says what keeps the program from its work; nil: nothing does.
func (a *app) whyNotReady() error {
	if !a.ready.Load() {
		return errors.New("starting or stopping")
	}
	longest := max(idleLongest, 3*a.current.Load().Healing.Policy().Poll)
	if idle := a.healer.Idle(); idle > longest {
		return fmt.Errorf("the healer has not looked at the fleet for %s", idle.Round(time.Second))
	}
	return nil
}

// start starts all parts but the fleet, and the signal handlers. They run until ctx is done.
func (a *app) start(ctx context.Context, group *errgroup.Group, pauses, reloads <-chan os.Signal) {
	c := a.current.Load()
	group.Go(func() error { return a.scanner.run(ctx, (*discovery.Scanner).Run) })
	if a.buttons != nil {
		group.Go(func() error { return a.buttons.Run(ctx) })
	}
	group.Go(func() error { return a.statsd.run(ctx, (*collector.Statsd).Run) })
	group.Go(func() error { return a.notifier.run(ctx, (*notify.Notifier).Run) })
	background := func(run func()) {
		group.Go(func() error {
			run()
			return nil
		})
	}
	background(func() { boundMemory(ctx, liveHeap) })
	background(func() { a.reloadOnSignal(ctx, reloads) })
	background(func() {
		api := a.api()
		api.PolicyOf = c.PolicyOf
		serveControl(ctx, c.DataDir, api, a.loggerOf("control"))
	})
	background(func() { pauseOnSignal(ctx, pauses, a.healer, a.loggerOf("healer")) })
	group.Go(func() error { return a.healer.Run(ctx) })
	if shares(c) && c.Coordinator.Private {
		group.Go(func() error { return a.sharePasswords(ctx, c) })
	}
	background(func() {
		every := time.Duration(float64(upgradeEvery) / c.SimulationSpeed)
		wanted := func() bool { return a.current.Load().Firmware.AutoUpgrade }
		(&upgrader{wanted: wanted, stock: a.stock, healer: a.healer, every: every, logger: a.loggerOf("firmware")}).run(ctx)
	})
}

// NewTransport returns a transport for dragons. It leaves file descriptors for the server,
// however many dragons there are.
func NewTransport() *dragon.Transport {
	t := dragon.NewTransport()
	if n := discovery.Connections(); n > 0 {
		t.Limit(n)
	}
	return t
}

// statsdNames are the original tool's names for an action.
func statsdNames(a *healer.Action) (names []string) {
	if a.Kind == healer.Reboot { // the original did not restart the miner process alone
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
