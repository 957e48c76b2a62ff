package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

// errRunning says that somebody answers at the socket.
var errRunning = errors.New("another instance answers there")

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
	// The socket is made where nobody else can reach it, and comes to its place when its
	// mode is right.
	hidden, err := os.MkdirTemp(dir, ".control")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(hidden) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", filepath.Join(hidden, "s"))
	if err != nil {
		return nil, fmt.Errorf("%w (the path of a socket has at most about 100 letters)", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it goes by another name
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

// controlAgain is how often a socket is tried for that could not be had.
const controlAgain = 2 * time.Second

// serveControl answers at the socket in dir until ctx is done. That it cannot is said,
// and no reason to end: the program exports all the same, and tries again, since the
// instance that has the socket may end, and this one take over.
func serveControl(ctx context.Context, c *config.Config, s *firmware.Stock, h *healer.Healer, logger log.Logger) {
	dir := c.DataDir
	l, err := listenControl(ctx, dir)
	if err != nil {
		level.Error(logger).Log("msg", "the healer cannot be talked to by the healer command", "err", err)
		again := time.NewTicker(controlAgain)
		defer again.Stop()
		for err != nil {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			l, err = listenControl(ctx, dir)
		}
		level.Info(logger).Log("msg", "the healer can be talked to by the healer command")
	}
	server := &http.Server{
		Handler:           web.API(web.APIConfig{Fleet: s.Fleet, Healer: h, Admin: true, PolicyOf: c.PolicyOf, Firmware: s, Logger: logger}),
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
		level.Error(logger).Log("msg", "the healer can no longer be talked to by the healer command", "err", err)
	}
	<-done
}

// pauseOnSignal pauses everything for an hour at each signal, until ctx is done: a
// switch for whoever has a shell on this host and no time.
func pauseOnSignal(ctx context.Context, signals <-chan os.Signal, h *healer.Healer, logger log.Logger) {
	wanted := healer.PauseRequest{Scope: "fleet", Owner: "signal", Reason: "SIGUSR1", For: time.Hour}
	for {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		p, err := h.Pause(ctx, wanted)
		for errors.Is(err, healer.ErrNotYet) { // it acts on nothing before its first look
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			p, err = h.Pause(ctx, wanted)
		}
		switch {
		case err == nil:
			level.Info(logger).Log("msg", "a signal paused the healer", "pause", p.ID, "for", wanted.For)
		case errors.Is(err, healer.ErrUnwritten):
			level.Error(logger).Log("msg", "a signal paused the healer, until this process ends", "pause", p.ID, "for", wanted.For, "err", err)
		case ctx.Err() == nil:
			level.Error(logger).Log("msg", "a signal could not pause the healer", "err", err)
		}
	}
}

// healersClock is the host's, and that of a simulation if the configuration asks for one.
func healersClock(c *config.Config, dragons *fleet.Fleet) (healer.Clock, error) {
	if c.SimulationSpeed == 1 {
		return healer.NewHostClock(), nil
	}
	return newSimulatedClock(c.SimulationSpeed), onlyLoopback(c, dragons)
}

// simulatedClock runs faster than the host's. Each process is a boot of its own: its
// time has nothing to do with anybody else's.
type simulatedClock struct {
	host  *healer.HostClock
	start healer.Instant
	speed float64
}

func newSimulatedClock(speed float64) *simulatedClock {
	host := healer.NewHostClock()
	return &simulatedClock{host, host.Now(), speed}
}

func (c *simulatedClock) Now() healer.Instant {
	now := c.host.Now()
	passed := time.Duration(float64(now.Mono-c.start.Mono) * c.speed)
	return healer.Instant{
		Wall: c.start.Wall.Add(passed), Mono: c.start.Mono + passed,
		BootID: fmt.Sprintf("simulation-%d-%d", os.Getpid(), c.start.Wall.UnixNano()),
	}
}

// Synced reports true: nobody else knows what time it is.
func (c *simulatedClock) Synced() bool { return true }

// Speed is how many times faster it runs.
func (c *simulatedClock) Speed() float64 { return c.speed }

// ErrNotSimulated says that a simulation may reach a real dragon.
var ErrNotSimulated = errors.New("--simulation.speed is for simulated dragons: every network and every dragon must be in 127.0.0.0/8")

// onlyLoopback refuses a configuration that names, or remembers, anything else.
func onlyLoopback(c *config.Config, dragons *fleet.Fleet) error {
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for _, n := range c.Networks {
		if !loopback.Contains(n.Addr()) || n.Bits() < loopback.Bits() {
			return fmt.Errorf("%w, and %s is not", ErrNotSimulated, n)
		}
	}
	if g := c.Healing.Policy().Causes.Gateway; g != "" && !loopback.Contains(netip.MustParseAddrPort(g).Addr().Unmap()) {
		return fmt.Errorf("%w, and so must healing.causes.gateway: %s is not", ErrNotSimulated, g)
	}
	check := func(target string) error {
		host := target
		if h, _, err := net.SplitHostPort(target); err == nil {
			host = h
		}
		if a, err := netip.ParseAddr(host); err != nil || !loopback.Contains(a.Unmap()) {
			return fmt.Errorf("%w, and %s is not", ErrNotSimulated, target)
		}
		return nil
	}
	for _, t := range c.Targets {
		if err := check(t); err != nil {
			return err
		}
	}
	for _, d := range dragons.Dragons() {
		if err := check(d.Info().Address); err != nil {
			return fmt.Errorf("the inventory in %s: %w", c.DataDir, err)
		}
	}
	return nil
}
