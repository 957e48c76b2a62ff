package app

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// upgradeEvery is the interval at which newer firmware is looked for.
const upgradeEvery = 10 * time.Minute

// upgrader starts rollouts of the newest firmware: --dragon-auto-upgrade.
type upgrader struct {
	wanted func() bool // a reload may change it
	stock  *firmware.Stock
	healer *agent.Healer
	every  time.Duration
	logger log.Logger
	logged map[string]string // the last error by kind of dragon, so that it is logged once
}

// run looks for newer firmware until ctx is done.
func (u *upgrader) run(ctx context.Context) {
	u.logged = make(map[string]string)
	for {
		select {
		case <-time.After(u.every):
			u.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (u *upgrader) look(ctx context.Context) {
	if !u.wanted() {
		clear(u.logged) // if it is wanted again, errors are logged again
		return
	}
	status := u.healer.Status()
	if status == nil || !status.Owner {
		return
	}
	type kind struct{ model, hwver string }
	seen := make(map[kind]bool)
	for _, d := range u.stock.Fleet.Dragons() {
		i := d.Info()
		k := kind{i.Model, i.HWVersion}
		if seen[k] || k.model == "" {
			continue
		}
		seen[k] = true
		image, err := u.stock.Provide(ctx, firmware.Newest, k.model, k.hwver)
		if err == nil {
			err = u.begin(ctx, image, k.model, k.hwver)
		}
		u.logOnce(ctx, k.model+" "+k.hwver, err)
	}
}

func (u *upgrader) begin(ctx context.Context, image firmware.Image, model, hwver string) error {
	r := releaseOf(image, model, hwver)
	plan, err := u.healer.Plan()
	if err != nil || !plan.WantsFirmware(r) {
		return err
	}
	ro, err := u.healer.StartFirmware(ctx, healer.FirmwareRequest{Release: r, Owner: agent.AutoUpgrade, Reason: "a dragon has older firmware", Auto: true})
	if err == nil || errors.Is(err, agent.ErrUnwritten) {
		level.Info(u.logger).Log("msg", "firmware rollout started automatically", "rollout", ro.ID, "version", r.Version, "model", model, "hwver", hwver)
	}
	return err
}

// logOnce logs why no rollout starts for a kind of dragon, once.
func (u *upgrader) logOnce(ctx context.Context, kind string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == u.logged[kind] || ctx.Err() != nil {
		return
	}
	u.logged[kind] = text
	switch {
	case err == nil:
	case errors.Is(err, firmware.ErrNoImage):
		level.Info(u.logger).Log("msg", "no firmware image for these dragons", "kind", kind, "err", err)
	default:
		level.Warn(u.logger).Log("msg", "automatic firmware rollout not started", "kind", kind, "err", err)
	}
}

func releaseOf(i firmware.Image, model, hwver string) healer.FirmwareRelease {
	return healer.FirmwareRelease{Version: i.Version, Model: model, HWVer: cmp.Or(hwver, i.HWVer), SHA256: i.SHA256, Size: i.Size}
}
