package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"golang.org/x/sync/errgroup"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/datadir"
	"github.com/brndnmtthws/mother-of-dragons/internal/logging"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// stopWithin is how long a stop waits for requests in flight.
const stopWithin = 1500 * time.Millisecond

// WebFlags are the flags of the web server.
type WebFlags struct {
	Listen        *toolkit.FlagConfig
	telemetryPath string
	profiling     bool
	admin         bool
	withoutLogin  bool
	lifecycle     bool
	allowedHosts  []string
	externalURL   string
}

// Register adds the flags to a command.
func (f *WebFlags) Register(cmd *kingpin.CmdClause, defaultAddress string) {
	f.Listen = kingpinflag.AddFlags(cmd, defaultAddress)
	config.Flag(cmd, "web.telemetry-path", "Path of the metrics.", &f.telemetryPath, web.ParseTelemetryPath).Default("/metrics")
	cmd.Flag("web.enable-pprof", "Serve profiles under /debug/pprof/.").BoolVar(&f.profiling)
	cmd.Flag("web.enable-lifecycle", "Enable reload via POST /-/reload, as SIGHUP does.").BoolVar(&f.lifecycle)
	cmd.Flag("web.enable-admin-api", "Accept requests to pause, release, reboot and the like from clients that have logged in (--web.config.file); "+
		"without users, from this machine only.").BoolVar(&f.admin)
	cmd.Flag("web.admin-api-without-login", "Without users, accept these requests from every machine that reaches the port. Dangerous.").BoolVar(&f.withoutLogin)
	cmd.Flag("web.allowed-hosts", "Names under which clients reach this program, in addition to IP addresses and localhost; .example.com for all that end "+
		"so.").PlaceHolder("NAME,...").StringsVar(&f.allowedHosts)
	cmd.Flag("web.external-url", "URL under which clients reach this program, such as that of a reverse proxy; its name is an allowed "+
		"one.").PlaceHolder("URL").StringVar(&f.externalURL)
}

// Serve runs the whole program until ctx is done. c is valid; load, unless nil, returns the
// configuration for a reload. listening, unless nil, gets every address that it listens on.
func Serve(ctx context.Context, c *config.Config, load func() (*config.Config, error), flags WebFlags, logger log.Logger, listening func(net.Addr)) error {
	pauses := make(chan os.Signal, 1) // first of all: SIGUSR1 without a handler ends the process
	signal.Notify(pauses, syscall.SIGUSR1)
	defer signal.Stop(pauses)
	reloads := make(chan os.Signal, 1)
	if load != nil { // the same; the demo, which has no file, ends with its terminal
		signal.Notify(reloads, syscall.SIGHUP)
		defer signal.Stop(reloads)
	}
	// net/http logs unsolicited responses, with their first kilobytes, to the standard logger.
	stdlog.SetOutput(debugLogger(logger, "net/http").Writer())
	logins := web.NewLogins(*flags.Listen.WebConfigFile)
	flags.warn(logins, logger)
	level.Info(logger).Log("msg", "starting", "version", version.Info(), "build", version.BuildContext())
	narrowed, err := datadir.Prepare(c.DataDir)
	if err != nil {
		return err
	}
	for _, path := range narrowed {
		level.Warn(logger).Log("msg", "removing other users' permissions", "path", path)
	}
	a, err := newApp(ctx, c, load, logger)
	if err != nil {
		return err
	}
	handler, err := a.handler(flags, logins)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	// The fleet stops after the scrapes: otherwise a scrape would show every dragon as down.
	fleetCtx, stopFleet := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFleet()
	// A stop cancels scrapes in flight, which then answer 503.
	requests, endRequests := context.WithCancelCause(context.WithoutCancel(ctx))
	var servers []*http.Server
	group.Go(func() error { return a.fleet.Run(fleetCtx) })
	a.start(ctx, group, pauses, reloads)
	if file := *flags.Listen.WebConfigFile; file != "" {
		group.Go(func() error {
			watchWebConfig(ctx, file, logger)
			return nil
		})
	}
	for _, flags := range eachAddress(flags.Listen) {
		server := a.server(requests, handler, logins, listening)
		servers = append(servers, server)
		group.Go(func() error { return listen(server, flags, logger) })
	}
	group.Go(func() error {
		<-ctx.Done()
		a.ready.Store(false)
		endRequests(http.ErrServerClosed)
		stopFleet()
		level.Info(logger).Log("msg", "stopping")
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		var stopped errgroup.Group
		for _, server := range servers {
			stopped.Go(func() error {
				if server.Shutdown(grace) != nil {
					return server.Close()
				}
				return nil
			})
		}
		return stopped.Wait()
	})
	err = group.Wait()
	if err == nil || errors.Is(err, context.Canceled) {
		level.Info(logger).Log("msg", "stopped")
		return nil
	}
	return err
}

// webConfigEvery is how often the web configuration is checked.
const webConfigEvery = time.Minute

// watchWebConfig logs that the web configuration cannot be used any more, and that it can again. It and its
// certificates are read anew for each connection, and only clients are told what is wrong with them.
func watchWebConfig(ctx context.Context, file string, logger log.Logger) {
	tick, unusable := time.Tick(webConfigEvery), false
	for {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
		err := toolkit.Validate(file)
		if err != nil && !unusable {
			level.Error(logger).Log("msg", "web configuration cannot be used", "file", file, "err", err, "advice", "clients are refused until it can")
		} else if err == nil && unusable {
			level.Info(logger).Log("msg", "web configuration usable again", "file", file)
		}
		unusable = err != nil
	}
}

// warn says how far the admin API is open without a login.
func (f *WebFlags) warn(logins *web.Logins, logger log.Logger) {
	switch {
	case !f.admin || logins.Authenticates():
	case f.withoutLogin:
		level.Warn(logger).Log("msg", "admin API open without login", "flag", "--web.admin-api-without-login", "try", "name users in the --web.config.file")
	default:
		level.Info(logger).Log("msg", "admin API answers this machine only", "try", "name users in the --web.config.file")
	}
}

// eachAddress splits the flags by address. exporter-toolkit changes the server that it
// serves with, so that each address needs its own.
func eachAddress(f *toolkit.FlagConfig) []*toolkit.FlagConfig {
	if *f.WebSystemdSocket || len(*f.WebListenAddresses) == 0 {
		return []*toolkit.FlagConfig{f}
	}
	var each []*toolkit.FlagConfig
	for _, address := range *f.WebListenAddresses {
		one := *f
		one.WebListenAddresses = &[]string{address}
		each = append(each, &one)
	}
	return each
}

// server returns the web server of an address. Its requests end with the context requests.
func (a *app) server(requests context.Context, handler http.Handler, logins *web.Logins, listening func(net.Addr)) *http.Server {
	var once sync.Once
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// Anyone on the network can cause these messages, so they are for debugging only.
		ErrorLog: debugLogger(a.logger, "web"),
	}
	server.BaseContext = func(l net.Listener) context.Context {
		// exporter-toolkit has put its login check around the handler by now, and no connection is taken yet.
		once.Do(func() { server.Handler = logins.InFront(server.Handler) })
		a.ready.Store(true)
		if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
			level.Warn(a.logger).Log("msg", "systemd readiness notification failed", "err", err)
		}
		if listening != nil {
			listening(l.Addr())
		}
		return requests
	}
	return server
}

// debugLogger is a standard logger whose lines are logged at level debug.
func debugLogger(logger log.Logger, component string) *stdlog.Logger {
	return slog.NewLogLogger(logging.Bridge(log.With(logger, "component", component)).Handler(), slog.LevelDebug)
}

// listen serves until the server is shut down. Its errors name the flag to change.
func listen(server *http.Server, flags *toolkit.FlagConfig, logger log.Logger) error {
	err := toolkit.ListenAndServe(server, flags, logging.Bridge(log.With(logger, "component", "web")))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return fmt.Errorf("--web.listen-address: %w; want one like 127.0.0.1:9977, or :9977 for all addresses of this host", err)
	} else if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("--web.listen-address: %w", err)
	} else if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("--web.config.file: %w", err)
	}
	return err
}
