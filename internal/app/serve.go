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

// stopWithin is how long a stop waits for requests that are being served.
const stopWithin = 1500 * time.Millisecond

// WebFlags say how the program is reached.
type WebFlags struct {
	Listen        *toolkit.FlagConfig
	telemetryPath string
	profiling     bool
	admin         bool
	lifecycle     bool
}

func (f *WebFlags) Register(cmd *kingpin.CmdClause, defaultAddress string) {
	f.Listen = kingpinflag.AddFlags(cmd, defaultAddress)
	config.Flag(cmd, "web.telemetry-path", "Path of the metrics.", &f.telemetryPath, web.ParseTelemetryPath).Default("/metrics")
	cmd.Flag("web.enable-pprof", "Serve profiles under /debug/pprof/.").BoolVar(&f.profiling)
	cmd.Flag("web.enable-lifecycle", "Read the configuration anew at a POST to /-/reload, as at SIGHUP.").BoolVar(&f.lifecycle)
	cmd.Flag("web.enable-admin-api", "Take requests to pause, release, reboot and the like over the network too; without authentication (--web.config.file), from anyone.").BoolVar(&f.admin)
}

// Serve runs the whole program on a valid configuration, and on what load makes of it
// later, if that is set, until ctx is done.
func Serve(ctx context.Context, c *config.Config, load func() (*config.Config, error), flags WebFlags, logger log.Logger, listening func(net.Addr)) error {
	pauses := make(chan os.Signal, 1) // before anything else: an unheard SIGUSR1 ends a program
	signal.Notify(pauses, syscall.SIGUSR1)
	defer signal.Stop(pauses)
	reloads := make(chan os.Signal, 1)
	if load != nil { // likewise; the demo ends with its terminal
		signal.Notify(reloads, syscall.SIGHUP)
		defer signal.Stop(reloads)
	}
	// net/http tells the standard logger when a host sends what nobody asked for, with
	// the first kilobytes of it. That is for who looks for it, and in our form.
	stdlog.SetOutput(quietly(logger, "net/http").Writer())
	if flags.admin && !authenticates(*flags.Listen.WebConfigFile) {
		level.Warn(logger).Log("msg", "the admin API takes requests from whoever reaches it: name users in the --web.config.file, or leave out --web.enable-admin-api and use the healer command on this machine")
	}
	level.Info(logger).Log("msg", "starting", "version", version.Info(), "build", version.BuildContext())
	h, err := newApp(ctx, c, load, logger)
	if err != nil {
		return err
	}
	pages, err := h.pages(flags)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	// The fleet outlives the scrapes: one that saw its readings end, and not yet why, would
	// show every dragon as down.
	life, endLife := context.WithCancel(context.WithoutCancel(ctx))
	defer endLife()
	// A stop ends the readings of scrapes that are under way, which answer 503.
	requests, endRequests := context.WithCancelCause(context.WithoutCancel(ctx))
	server := h.server(requests, pages, listening)
	group.Go(func() error { return h.dragons.Run(life) })
	h.live(ctx, group, pauses, reloads)
	group.Go(func() error { return listen(server, flags.Listen, logger) })
	group.Go(func() error {
		<-ctx.Done()
		h.ready.Store(false)
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

// server serves pages; it is ready as soon as it listens. What is asked of it ends with
// requests.
func (h *app) server(requests context.Context, pages http.Handler, listening func(net.Addr)) *http.Server {
	return &http.Server{
		Handler:           pages,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// What net/http says of broken connections anyone on the network can make it
		// say: it is there for who looks for it.
		ErrorLog: quietly(h.logger, "web"),
		BaseContext: func(l net.Listener) context.Context {
			h.ready.Store(true)
			if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
				level.Warn(h.logger).Log("msg", "systemd was not told that the program is ready", "err", err)
			}
			if listening != nil {
				listening(l.Addr())
			}
			return requests
		},
	}
}

// quietly is the standard library's way into the log, as something to debug with.
func quietly(logger log.Logger, component string) *stdlog.Logger {
	return slog.NewLogLogger(logging.Bridge(log.With(logger, "component", component)).Handler(), slog.LevelDebug)
}

// listen serves until the server is shut down. What keeps it from that is said by the
// name of the flag that is to blame.
func listen(server *http.Server, flags *toolkit.FlagConfig, logger log.Logger) error {
	err := toolkit.ListenAndServe(server, flags, logging.Bridge(log.With(logger, "component", "web")))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return fmt.Errorf("--web.listen-address: %w; want one like 127.0.0.1:9977, or :9977 for all of this machine's", err)
	} else if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("--web.listen-address: %w", err)
	} else if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("--web.config.file: %w", err)
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
