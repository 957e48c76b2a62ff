package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

var errNoFile = errors.New("there is no --config.file to reload")

// reload re-reads the file and applies it if it is valid. It returns the warnings.
func (a *app) reload(ctx context.Context) (warnings []string, err error) {
	a.loading.Lock()
	defer a.loading.Unlock()
	logger := a.loggerOf("config")
	before := a.current.Load()
	if before.File == "" && before.Inventory.LabelsFile == "" {
		return nil, errNoFile
	}
	next, err := a.load()
	if err == nil {
		err = before.Unchangeable(next)
	}
	if err == nil {
		err = a.check(ctx, next)
	}
	a.loads.Loaded(err)
	if err != nil {
		err = fmt.Errorf("the current configuration stays: %w", err)
		level.Error(logger).Log("msg", "configuration reload failed", "err", err)
		return nil, err
	}
	a.current.Store(next)
	a.applyConfig(before, next)
	Warn(next, logger)
	level.Info(logger).Log("msg", "configuration reloaded", "file", next.File)
	return next.Warnings, nil
}

// check refuses a configuration that the program cannot run on or the healer would not act on.
func (a *app) check(ctx context.Context, next *config.Config) error {
	if next.SimulationSpeed != 1 {
		if err := onlyLoopback(next, a.fleet); err != nil {
			return err
		}
	}
	return validatePolicy(ctx, a.healer, next.Healing.Policy())
}

// applyConfig applies a configuration to the parts that do not load the current one
// themselves. It cannot fail.
func (a *app) applyConfig(before, next *config.Config) {
	a.collector.Change(limits(next))
	a.stock.Library.Change(next.Firmware.Path, next.Firmware.AllowedHosts)
	if before.Statsd != next.Statsd {
		a.statsd.set(a.statsd.current.Load().With(a.statsdConfig(next)))
	}
	if n := a.notifier.current.Load(); !n.SendsTo(next.Webhooks) {
		a.notifier.set(n.With(next.Webhooks))
	}
	newCredentials := !before.Credentials.Equal(&next.Credentials)
	if newCredentials || !before.SearchesAs(next) {
		a.scanner.set(a.scanner.current.Load().With(a.discoveryConfig(next)))
	}
	a.fleet.Change(fleet.Settings{Retention: next.Inventory.Retention, Timeout: next.Scrape.DragonTimeout}) // asks the scanner for sites
	if newCredentials {
		a.fleet.RetryRefused()
	}
}

// Warn logs settings that are valid but dangerous.
func Warn(c *config.Config, logger log.Logger) {
	for _, w := range c.Warnings {
		level.Warn(logger).Log("msg", "configuration warning", "warning", w)
	}
}

func (a *app) reloadOnSignal(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-signals:
			if _, err := a.reload(ctx); errors.Is(err, errNoFile) {
				level.Warn(a.loggerOf("config")).Log("msg", "SIGHUP ignored: no --config.file")
			} // reload has logged any other error
		case <-ctx.Done():
			return
		}
	}
}

// validatePolicy asks the healer whether it would apply a policy. If the healer cannot
// tell yet, it checks the policy itself when it takes it over.
func validatePolicy(ctx context.Context, h *agent.Healer, p *healer.Policy) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	x, err := h.Judge(ctx, p)
	if err != nil || x.Refused == "" {
		return nil
	}
	err = fmt.Errorf("healing: %s", x.Refused)
	for i, f := range x.Newly {
		if i == 10 {
			return fmt.Errorf("%w\n  and %d more", err, len(x.Newly)-i)
		}
		err = fmt.Errorf("%w\n  %s: %s (%s)", err, f.Worker, f.Reason, f.Evidence)
	}
	return err
}

// runner runs one T at a time. Setting another one stops the current one first.
type runner[T any] struct {
	current atomic.Pointer[T]
	changed chan struct{}
}

func newRunner[T any](first *T) *runner[T] {
	r := &runner[T]{changed: make(chan struct{}, 1)}
	r.current.Store(first)
	return r
}

func (r *runner[T]) set(next *T) {
	r.current.Store(next)
	select {
	case r.changed <- struct{}{}:
	default: // the current one is already being stopped
	}
}

// run calls run for the current one, until ctx is done or run fails.
func (r *runner[T]) run(ctx context.Context, run func(*T, context.Context) error) error {
	for ctx.Err() == nil {
		select {
		case <-r.changed:
		default:
		}
		leg, end := context.WithCancel(ctx)
		ended := make(chan error, 1)
		current := r.current.Load()
		go func() { ended <- run(current, leg) }()
		var err error
		select {
		case <-r.changed:
			end()
			err = <-ended
		case err = <-ended:
			if err == nil { // it had nothing to do
				select {
				case <-r.changed:
				case <-ctx.Done():
				}
			}
		}
		end()
		if err != nil {
			return err
		}
	}
	return nil
}
