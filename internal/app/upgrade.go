package app

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// upgradeEvery is how often the newest firmware is looked for.
const upgradeEvery = 10 * time.Minute

// upgrader begins rollouts of the newest firmware by itself: --dragon-auto-upgrade.
type upgrader struct {
	wanted func() bool // a reload may change it
	stock  *firmware.Stock
	doctor *healer.Healer
	every  time.Duration
	logger log.Logger
	said   map[string]string // by kind of dragon, so that it is said once
}

// run looks, until ctx is done, whether there is newer firmware than a dragon has.
func (u *upgrader) run(ctx context.Context) {
	u.said = make(map[string]string)
	for {
		timer := time.NewTimer(u.every)
		select {
		case <-timer.C:
			u.look(ctx)
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (u *upgrader) look(ctx context.Context) {
	if !u.wanted() {
		clear(u.said) // if it is wanted again, what is in the way is said again
		return
	}
	status := u.doctor.Status()
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
		u.say(ctx, k.model+" "+k.hwver, err)
	}
}

func (u *upgrader) begin(ctx context.Context, image firmware.Image, model, hwver string) error {
	r := releaseOf(image, model, hwver)
	plan, err := u.doctor.Plan()
	if err != nil || !plan.WantsFirmware(r) {
		return err
	}
	ro, err := u.doctor.StartFirmware(ctx, healer.FirmwareRequest{Release: r, Owner: "dragon-auto-upgrade", Reason: "a dragon has an older firmware", Auto: true})
	if err == nil || errors.Is(err, healer.ErrUnwritten) {
		level.Info(u.logger).Log("msg", "a rollout of firmware begins by itself", "rollout", ro.ID, "version", r.Version, "model", model, "hwver", hwver)
	}
	return err
}

// say says what is in the way, once.
func (u *upgrader) say(ctx context.Context, kind string, err error) {
	what := ""
	if err != nil {
		what = err.Error()
	}
	if what == u.said[kind] || ctx.Err() != nil {
		return
	}
	u.said[kind] = what
	switch {
	case err == nil:
	case errors.Is(err, firmware.ErrNoImage):
		level.Info(u.logger).Log("msg", "there is no firmware for a kind of dragon", "kind", kind, "err", err)
	default:
		level.Warn(u.logger).Log("msg", "no rollout of the newest firmware begins", "kind", kind, "err", err)
	}
}

// releaseOf is an image as it is rolled out to a kind of dragon.
func releaseOf(i firmware.Image, model, hwver string) healer.FirmwareRelease {
	return healer.FirmwareRelease{Version: i.Version, Model: model, HWVer: cmp.Or(hwver, i.HWVer), SHA256: i.SHA256, Size: i.Size}
}
