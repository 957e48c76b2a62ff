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
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

var errNoFile = errors.New("the program runs without a --config.file: there is nothing to read anew")

// reload reads the configuration anew and takes it over, whole or not at all. With it
// comes what is legal and not wise.
func (h *app) reload(ctx context.Context) (warnings []string, err error) {
	h.loading.Lock()
	defer h.loading.Unlock()
	logger := h.loggerOf("config")
	was := h.current.Load()
	if was.File == "" {
		return nil, errNoFile
	}
	is, err := h.load()
	if err == nil {
		err = was.Unchangeable(is)
	}
	if err == nil {
		err = h.check(ctx, is)
	}
	h.loads.Loaded(err)
	if err != nil {
		err = fmt.Errorf("the configuration in force stays: %w", err)
		level.Error(logger).Log("msg", "the configuration could not be read anew", "err", err)
		return nil, err
	}
	h.current.Store(is)
	h.follow(was, is)
	Warn(is, logger)
	level.Info(logger).Log("msg", "another configuration is in force", "file", is.File)
	return is.Warnings, nil
}

// check refuses what the program would not run with, or the healer not act by.
func (h *app) check(ctx context.Context, next *config.Config) error {
	if next.SimulationSpeed != 1 {
		if err := onlyLoopback(next, h.dragons); err != nil {
			return err
		}
	}
	return acceptable(ctx, h.doctor, next.Healing.Policy())
}

// follow tells the rooms that do not ask. It cannot fail.
func (h *app) follow(was, is *config.Config) {
	h.dragons.Change(fleet.Settings{Retention: is.InventoryRetention, Timeout: is.DragonTimeout})
	h.metrics.Change(limits(is))
	h.stock.Library.Change(is.Wish.FirmwaresPath, is.Wish.FirmwareHosts)
	if was.Statsd != is.Statsd {
		h.mirror.set(h.mirror.current.Load().With(h.statsd(is)))
	}
	others := !was.Credentials.Equal(&is.Credentials)
	if others || !was.SearchesAs(is) {
		h.scanner.set(h.scanner.current.Load().With(h.search(is)))
	}
	if others {
		h.dragons.RetryRefused()
	}
}

// Warn says what is legal and not wise.
func Warn(c *config.Config, logger log.Logger) {
	for _, w := range c.Warnings {
		level.Warn(logger).Log("msg", "the configuration is legal and not wise", "warning", w)
	}
}

// reloadOnSignal reloads at each signal, until ctx is done.
func (h *app) reloadOnSignal(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-signals:
			if _, err := h.reload(ctx); errors.Is(err, errNoFile) {
				level.Warn(h.loggerOf("config")).Log("msg", "a signal to read the configuration anew came to nothing", "err", err)
			} // any other error has been said
		case <-ctx.Done():
			return
		}
	}
}

// acceptable asks the healer whether it would take over a policy. If it cannot say, its
// own guard has the last word later.
func acceptable(ctx context.Context, doctor *healer.Healer, p *healer.Policy) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	x, err := doctor.Judge(ctx, p)
	if err != nil || x.Refused == "" {
		return nil // as said above
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

// relay runs one thing after another: the next one when it is set, and the one before
// it has ended.
type relay[T any] struct {
	current atomic.Pointer[T]
	changed chan struct{}
}

func newRelay[T any](first *T) *relay[T] {
	r := &relay[T]{changed: make(chan struct{}, 1)}
	r.current.Store(first)
	return r
}

// set has the next one run.
func (r *relay[T]) set(next *T) {
	r.current.Store(next)
	select {
	case r.changed <- struct{}{}:
	default: // the one that runs is on its way out already
	}
}

// run runs the current one with run, until ctx is done or one fails.
func (r *relay[T]) run(ctx context.Context, run func(*T, context.Context) error) error {
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
			if err == nil { // it has nothing to do
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
