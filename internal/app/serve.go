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
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
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
	lifecycle     bool
}

// Register adds the flags to a command.
func (f *WebFlags) Register(cmd *kingpin.CmdClause, defaultAddress string) {
	f.Listen = kingpinflag.AddFlags(cmd, defaultAddress)
	config.Flag(cmd, "web.telemetry-path", "Path of the metrics.", &f.telemetryPath, web.ParseTelemetryPath).Default("/metrics")
	cmd.Flag("web.enable-pprof", "Serve profiles under /debug/pprof/.").BoolVar(&f.profiling)
	cmd.Flag("web.enable-lifecycle", "Enable reload via POST /-/reload, as SIGHUP does.").BoolVar(&f.lifecycle)
	cmd.Flag("web.enable-admin-api", "Allow pause, release, reboot and other actions over HTTP. Without authentication (--web.config.file) anyone may use them.").BoolVar(&f.admin)
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
	if flags.admin && !authenticates(*flags.Listen.WebConfigFile) {
		level.Warn(logger).Log("msg", "admin API without authentication",
			"advice", "name users in --web.config.file, or use the healer command on this host instead of --web.enable-admin-api")
	}
	level.Info(logger).Log("msg", "starting", "version", version.Info(), "build", version.BuildContext())
	a, err := newApp(ctx, c, load, logger)
	if err != nil {
		return err
	}
	handler, err := a.handler(flags)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	// The fleet stops after the scrapes: otherwise a scrape would show every dragon as down.
	fleetCtx, stopFleet := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFleet()
	// A stop cancels scrapes in flight, which then answer 503.
	requests, endRequests := context.WithCancelCause(context.WithoutCancel(ctx))
	server := a.server(requests, handler, listening)
	group.Go(func() error { return a.fleet.Run(fleetCtx) })
	a.start(ctx, group, pauses, reloads)
	group.Go(func() error { return listen(server, flags.Listen, logger) })
	group.Go(func() error {
		<-ctx.Done()
		a.ready.Store(false)
		endRequests(http.ErrServerClosed)
		stopFleet()
		level.Info(logger).Log("msg", "stopping")
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if server.Shutdown(grace) != nil {
			return server.Close()
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

// server returns the web server. Its requests end with the context requests.
func (a *app) server(requests context.Context, handler http.Handler, listening func(net.Addr)) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// Anyone on the network can cause these messages, so they are for debugging only.
		ErrorLog: debugLogger(a.logger, "web"),
		BaseContext: func(l net.Listener) context.Context {
			a.ready.Store(true)
			if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
				level.Warn(a.logger).Log("msg", "systemd readiness notification failed", "err", err)
			}
			if listening != nil {
				listening(l.Addr())
			}
			return requests
		},
	}
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

// authenticates reports whether a web configuration requires authentication. A file that
// cannot be read does not; listen reports the error.
func authenticates(path string) bool {
	var c toolkit.Config
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	return err == nil && yaml.Unmarshal(data, &c) == nil &&
		(len(c.Users) > 0 || c.TLSConfig.ClientAuth == "RequireAndVerifyClientCert")
}
