package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"go.yaml.in/yaml/v3"
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

// stopWithin is how long a stop waits for requests that are being served.
const stopWithin = 1500 * time.Millisecond

// webFlags say how the program is reached.
type webFlags struct {
	listen        *toolkit.FlagConfig
	telemetryPath string
	profiling     bool
	admin         bool
	lifecycle     bool
}

func (f *webFlags) register(cmd *kingpin.CmdClause, defaultAddress string) {
	f.listen = kingpinflag.AddFlags(cmd, defaultAddress)
	config.Flag(cmd, "web.telemetry-path", "Path of the metrics.", &f.telemetryPath, web.ParseTelemetryPath).Default("/metrics")
	cmd.Flag("web.enable-pprof", "Serve profiles under /debug/pprof/.").BoolVar(&f.profiling)
	cmd.Flag("web.enable-lifecycle", "Read the configuration anew at a POST to /-/reload, as at SIGHUP.").BoolVar(&f.lifecycle)
	cmd.Flag("web.enable-admin-api", "Take requests to pause, release, reboot and the like over the network too; without authentication (--web.config.file), from anyone.").BoolVar(&f.admin)
}

func addServe(app *kingpin.Application, logs *logFlags, listening func(net.Addr)) (string, command) {
	cmd := app.Command("run", "Find dragons, read them on demand, serve what they say. This is what happens without a command.").Default()
	load := config.Register(cmd)
	var web webFlags
	web.register(cmd, ":9977")
	show := cmd.Flag("print-config", "Print the configuration that would be in force, every default included, passwords masked, and end.").NoEnvar().Bool()
	return cmd.FullCommand(), func(ctx context.Context, stdout, stderr io.Writer) error {
		c, err := load()
		if *show && (err == nil || errors.Is(err, config.ErrNoTarget)) {
			return printConfig(stdout, c)
		}
		if errors.Is(err, config.ErrNoTarget) {
			in := ""
			if file := c.File; file != "" {
				in = fmt.Sprintf(", or networks or dragons in %s", file)
			}
			return fmt.Errorf("%w: credentials are sent to what answers there, so none is assumed; "+
				"name one with --network or --dragon%s%s", err, in, suggestNetworks())
		} else if err != nil {
			return err
		}
		logger := logs.logger(stderr)
		warn(c, logger)
		return serve(ctx, c, load, web, logger, listening)
	}
}

// serve runs the whole program on a valid configuration, and on what load makes of it
// later, if that is set, until ctx is done.
func serve(ctx context.Context, c *config.Config, load func() (*config.Config, error), flags webFlags, logger log.Logger, listening func(net.Addr)) error {
	// net/http tells the standard logger when a host sends what nobody asked for, with
	// the first kilobytes of it. That is for who looks for it, and in our form.
	stdlog.SetOutput(slog.NewLogLogger(bridge(log.With(logger, "component", "net/http")).Handler(), slog.LevelDebug).Writer())
	pauses := make(chan os.Signal, 1) // before anything else: an unheard SIGUSR1 ends a program
	signal.Notify(pauses, syscall.SIGUSR1)
	defer signal.Stop(pauses)
	reloads := make(chan os.Signal, 1)
	if load != nil { // likewise; the demo ends with its terminal
		signal.Notify(reloads, syscall.SIGHUP)
		defer signal.Stop(reloads)
	}
	if flags.admin && !authenticates(*flags.listen.WebConfigFile) {
		level.Warn(logger).Log("msg", "the admin API takes requests from whoever reaches it: name users in the --web.config.file, or leave out --web.enable-admin-api and use the healer command on this machine")
	}
	level.Info(logger).Log("msg", "starting", "version", version.Info(), "build", version.BuildContext())
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("mother"),
	)
	conf := &settings{load: load, metrics: config.NewMetrics(registry), logger: log.With(logger, "component", "config")}
	conf.current.Store(c)
	var dragons *fleet.Fleet // there before the first login
	given := passwords.Reader(c.DataDir)
	if err := given.Err(); err != nil {
		level.Error(logger).Log("msg", "the passwords that dragons were given cannot be read; these dragons will let nobody in", "err", err)
	}
	client := dragon.Options{
		CredentialsFor: credentialsFor(&dragons, given, conf.current.Load),
		Transport:      dragonsTransport(),
		Timeout:        c.DragonTimeout,
		ReadTimeout:    func() time.Duration { return conf.current.Load().DragonTimeout },
		Observe:        collector.NewRequestMetrics(registry),
	}
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
	var doctor *healer.Healer // there before the first reading
	dragons, err := fleet.Open(fleet.Config{
		Dir:           c.DataDir,
		InventoryFile: c.InventoryFile,
		Retention:     c.InventoryRetention,
		Client:        client,
		Site:          func(a netip.Addr) string { return conf.current.Load().Sites.Of(a) },
		Facts:         facts,
		OnReading:     func(d *fleet.Dragon, r *fleet.Reading) { doctor.OnReading(d, r) },
		Speed:         c.SimulationSpeed,
		Logger:        log.With(logger, "component", "fleet"),
		Registerer:    registry,
	})
	if err != nil {
		return err
	}
	stock := &firmware.Stock{Fleet: dragons, Library: firmware.New(firmware.Config{
		Dir:        c.Wish.FirmwaresPath,
		Kept:       filepath.Join(c.DataDir, "firmware"),
		Allowed:    c.Wish.FirmwareHosts,
		Logger:     log.With(logger, "component", "firmware"),
		Registerer: registry,
	})}
	statsd := func(c *config.Config) collector.StatsdConfig {
		s := collector.StatsdConfig{
			Fleet:            dragons,
			Prefix:           c.Statsd.Prefix,
			Interval:         c.Statsd.Interval,
			OneLinePerPacket: c.Statsd.OneLinePerPacket,
			Logger:           log.With(logger, "component", "statsd"),
			Registerer:       registry,
		}
		if c.Statsd.Host != "" {
			s.Address = net.JoinHostPort(c.Statsd.Host, strconv.Itoa(int(c.Statsd.Port)))
		}
		return s
	}
	mirror := newRelay(collector.NewStatsd(statsd(c)))
	clock, err := healersClock(c, dragons)
	if err != nil {
		return err
	}
	doctor, err = healer.New(healer.Config{
		Fleet:   dragons,
		Dir:     c.DataDir,
		Policy:  func() *healer.Policy { return conf.current.Load().Healing.Policy() },
		Outside: gate.New().Ask,
		Answers: gate.Answers,
		Image:   stock.Open,
		OnAction: func(d *fleet.Info, a *healer.Action) {
			for _, name := range statsdNames(a) {
				mirror.current.Load().Action(d, name)
			}
		},
		Clock:      clock,
		Logger:     log.With(logger, "component", "healer"),
		Registerer: registry,
	})
	if err != nil {
		return err
	}
	search := func(c *config.Config) discovery.Config {
		return discovery.Config{
			Networks:        c.Networks,
			Targets:         c.Targets,
			Port:            c.Port,
			Interval:        c.ScanInterval,
			ConnectTimeout:  c.ConnectTimeout,
			IdentifyTimeout: c.ScanTimeout,
			Client:          client,
			Fleet:           dragons,
			Logger:          log.With(logger, "component", "discovery"),
			Registerer:      registry,
			OnScan: func(r discovery.Result) {
				mirror.current.Load().Scanned(r.Duration, r.Known+len(r.Found)+r.Locked)
			},
		}
	}
	scanner := newRelay(discovery.New(search(c)))
	var button *discovery.Listener
	if c.Listen {
		if button, err = discovery.Listen(ctx, scanner.current.Load, log.With(logger, "component", "discovery")); err != nil {
			return fmt.Errorf("--discovery.listen: %w", err)
		}
	}
	limits := func(c *config.Config) collector.Limits {
		return collector.Limits{Workers: c.ScrapeWorkers, Offset: c.ScrapeOffset, MaxRequests: c.MaxRequests}
	}
	metrics := collector.New(collector.Config{
		Fleet:    dragons,
		Registry: registry,
		Limits:   limits(c),
		Switches: c.Collectors,
		Created:  c.Created,
		Logger:   log.With(logger, "component", "collector"),
		Find: func(ctx context.Context, target string) (*fleet.Dragon, error) {
			return scanner.current.Load().Find(ctx, target)
		},
	})
	conf.check = func(ctx context.Context, next *config.Config) error {
		if next.SimulationSpeed != 1 {
			if err := onlyLoopback(next, dragons); err != nil {
				return err
			}
		}
		return acceptable(ctx, doctor, next.Healing.Policy())
	}
	conf.follow = func(was, is *config.Config) {
		dragons.Change(fleet.Settings{Retention: is.InventoryRetention, Timeout: is.DragonTimeout})
		metrics.Change(limits(is))
		stock.Library.Change(is.Wish.FirmwaresPath, is.Wish.FirmwareHosts)
		if was.Statsd != is.Statsd {
			mirror.set(mirror.current.Load().With(statsd(is)))
		}
		others := !was.Credentials.Equal(&is.Credentials)
		if others || !was.SearchesAs(is) {
			scanner.set(scanner.current.Load().With(search(is)))
		}
		if others {
			dragons.RetryRefused()
		}
	}
	var reload func(context.Context) ([]string, error)
	if flags.lifecycle {
		reload = conf.reload
	}
	var ready atomic.Bool
	pages, err := web.Handler(web.Config{
		TelemetryPath:    flags.telemetryPath,
		Metrics:          metrics.Metrics(),
		Probe:            metrics.Probe(),
		ServiceDiscovery: discovery.SDHandler(dragons),
		Ready:            ready.Load,
		Profiling:        flags.profiling,
		Reload:           reload,
		API: web.APIConfig{
			Fleet: dragons, Healer: doctor, Admin: flags.admin, Firmware: stock, Logger: log.With(logger, "component", "api"),
			Configuration: func() ([]byte, error) { return conf.current.Load().Print() },
		},
	})
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	requests, endRequests := context.WithCancelCause(context.WithoutCancel(ctx))
	// The fleet outlives the scrapes: one that saw its readings end, and not yet why, would
	// show every dragon as down.
	life, endLife := context.WithCancel(context.WithoutCancel(ctx))
	defer endLife()
	server := &http.Server{
		Handler:           pages,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// What net/http says of broken connections anyone on the network can make it
		// say: it is there for who looks for it.
		ErrorLog: slog.NewLogLogger(bridge(log.With(logger, "component", "web")).Handler(), slog.LevelDebug),
		// A stop ends the readings of scrapes that are under way, which answer 503.
		BaseContext: func(l net.Listener) context.Context {
			ready.Store(true)
			if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
				level.Warn(logger).Log("msg", "systemd was not told that the program is ready", "err", err)
			}
			if listening != nil {
				listening(l.Addr())
			}
			return requests
		},
	}
	group.Go(func() error { return dragons.Run(life) })
	group.Go(func() error { return scanner.run(ctx, (*discovery.Scanner).Run) })
	if button != nil {
		group.Go(func() error { return button.Run(ctx) })
	}
	group.Go(func() error { return mirror.run(ctx, (*collector.Statsd).Run) })
	group.Go(func() error {
		conf.onSignal(ctx, reloads)
		return nil
	})
	group.Go(func() error {
		serveControl(ctx, c, stock, doctor, log.With(logger, "component", "control"))
		return nil
	})
	group.Go(func() error {
		pauseOnSignal(ctx, pauses, doctor, log.With(logger, "component", "healer"))
		return nil
	})
	group.Go(func() error { return doctor.Run(ctx) })
	group.Go(func() error {
		every := time.Duration(float64(upgradeEvery) / c.SimulationSpeed)
		wanted := func() bool { return conf.current.Load().Wish.AutoUpgrade }
		(&upgrader{wanted: wanted, stock: stock, doctor: doctor, every: every, logger: log.With(logger, "component", "firmware")}).run(ctx)
		return nil
	})
	group.Go(func() error {
		err := toolkit.ListenAndServe(server, flags.listen, bridge(log.With(logger, "component", "web")))
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		if _, ok := errors.AsType[*net.OpError](err); ok {
			return fmt.Errorf("--web.listen-address: %w", err)
		} else if _, ok := errors.AsType[*fs.PathError](err); ok {
			return fmt.Errorf("--web.config.file: %w", err)
		}
		return err
	})
	group.Go(func() error {
		<-ctx.Done()
		ready.Store(false)
		endRequests(http.ErrServerClosed)
		endLife()
		level.Info(logger).Log("msg", "stopping")
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if server.Shutdown(grace) != nil {
			return server.Close() // whoever is still connected has had their time
		}
		return nil
	})
	err = group.Wait()
	if err == nil || errors.Is(err, context.Canceled) {
		level.Info(logger).Log("msg", "stopped")
		return nil
	}
	return err
}

// authenticates reports whether a web configuration has clients prove who they are.
// What else is wrong with the file is for its reader to say.
func authenticates(path string) bool {
	var c toolkit.Config
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	return err == nil && yaml.Unmarshal(data, &c) == nil &&
		(len(c.Users) > 0 || c.TLSConfig.ClientAuth == "RequireAndVerifyClientCert")
}

// dragonsTransport leaves the process files enough to answer with, however many dragons
// there are.
func dragonsTransport() *dragon.Transport {
	t := dragon.NewTransport()
	if n := discovery.Connections(); n > 0 {
		t.Limit(n)
	}
	return t
}

// credentialsFor says what is tried at a login, by who is known to live there.
func credentialsFor(dragons **fleet.Fleet, book *passwords.Book, current func() *config.Config) func(host string) []dragon.Credential {
	return func(host string) []dragon.Credential {
		var who *fleet.Info
		if d := (*dragons).Lookup(host); d != nil {
			who = d.Info()
		}
		return withPasswords(book, current(), host, who)
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

// suggestNetworks says which networks this machine is in, for the user to choose from.
func suggestNetworks() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var found []string
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && p.Addr().IsPrivate() {
			found = append(found, "--network="+p.Masked().String())
		}
	}
	if len(found) == 0 {
		return ""
	}
	return " (this machine is in " + strings.Join(found, ", ") + ")"
}
