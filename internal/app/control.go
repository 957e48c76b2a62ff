package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

var errRunning = errors.New("another instance uses this data directory")

// listenControl listens at the socket in dir, which only its owner may open.
func listenControl(ctx context.Context, dir string) (net.Listener, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, config.ControlSocket)
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", path, errRunning)
	}
	// The socket is made in a private directory and moved into place once its mode is right.
	hidden, err := os.MkdirTemp(dir, ".control")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(hidden) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", filepath.Join(hidden, "s"))
	if err != nil {
		return nil, fmt.Errorf("%w (a socket path has at most about 100 characters)", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it is renamed below
	err = os.Chmod(filepath.Join(hidden, "s"), 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(hidden, "s"), path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// controlRetry is the interval at which listening is tried again.
const controlRetry = 2 * time.Second

// serveControl serves the API on the control socket until ctx is done. If it cannot listen,
// it logs that and tries again: the instance that owns the socket may stop, and metrics are
// served without it.
func serveControl(ctx context.Context, dir string, api web.APIConfig, logger log.Logger) {
	api.Admin, api.Socket, api.Logger = true, true, logger
	l, err := listenControl(ctx, dir)
	if err != nil {
		level.Error(logger).Log("msg", "control socket unavailable", "err", err)
		retry := time.Tick(controlRetry)
		for err != nil {
			select {
			case <-retry:
			case <-ctx.Done():
				return
			}
			l, err = listenControl(ctx, dir)
		}
		level.Info(logger).Log("msg", "control socket listening")
	}
	server := &http.Server{
		Handler:           web.API(api),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		_ = os.Remove(filepath.Join(dir, config.ControlSocket))
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		level.Error(logger).Log("msg", "control socket closed", "err", err)
	}
	<-done
}

// pauseOnSignal pauses the whole fleet for an hour at each signal, until ctx is done: the
// fastest way for someone with a shell on this host.
func pauseOnSignal(ctx context.Context, signals <-chan os.Signal, h *agent.Healer, logger log.Logger) {
	wanted := healer.PauseRequest{Scope: "fleet", Owner: "signal", Reason: "SIGUSR1", For: time.Hour}
	for {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		p, err := h.Pause(ctx, wanted)
		for errors.Is(err, agent.ErrNotYet) { // before its first look
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			p, err = h.Pause(ctx, wanted)
		}
		switch {
		case err == nil:
			level.Info(logger).Log("msg", "healer paused by signal", "pause", p.ID, "for", wanted.For)
		case errors.Is(err, agent.ErrUnwritten):
			level.Error(logger).Log("msg", "pause by signal not saved", "pause", p.ID, "for", wanted.For, "err", err)
		case ctx.Err() == nil:
			level.Error(logger).Log("msg", "pause by signal failed", "err", err)
		}
	}
}
