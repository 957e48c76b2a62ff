package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/firmware"
)

// FirmwaresAnswer is the answer to GET /api/v1/firmware.
type FirmwaresAnswer struct {
	At       healer.Moment          `json:"at"`
	Images   []firmware.Image       `json:"images"` // available, by model, newest first
	Offers   []firmware.Offer       `json:"offers"` // by vendors, on allowed hosts
	Wrong    []string               `json:"wrong"`  // unusable files, with the reason
	Running  []RunningAnswer        `json:"running"`
	Rollouts []healer.FirmwareShown `json:"rollouts"`
	Upgrades []healer.Decision      `json:"upgrades"` // due dragons
	Uploads  []agent.UploadShown    `json:"uploads"`  // in progress
}

// RunningAnswer is the number of dragons of a model and hardware that run a firmware.
type RunningAnswer struct {
	Model   string `json:"model"`
	HWVer   string `json:"hwver"`
	Version string `json:"version"`
	Dragons int    `json:"dragons"`
}

func (a *api) firmware(_ *http.Request, status *agent.Status) (any, error) {
	x := FirmwaresAnswer{At: status.Plan.At, Rollouts: status.Plan.Firmware, Upgrades: status.Plan.Upgrades, Uploads: a.Healer.Uploads(), Running: a.running()}
	if a.Firmware != nil {
		var wrong []error
		x.Images, wrong = a.Firmware.Images()
		for _, err := range wrong {
			x.Wrong = append(x.Wrong, err.Error())
		}
		x.Offers = a.Firmware.Offers()
	}
	return x, nil
}

// running counts the dragons by firmware.
func (a *api) running() []RunningAnswer {
	if a.Fleet == nil {
		return nil
	}
	count := make(map[RunningAnswer]int)
	for _, d := range a.Fleet.Dragons() {
		i := d.Info()
		count[RunningAnswer{Model: i.Model, HWVer: i.HWVersion, Version: i.Firmware}]++
	}
	all := make([]RunningAnswer, 0, len(count))
	for x, n := range count {
		x.Dragons = n
		all = append(all, x)
	}
	slices.SortFunc(all, func(x, y RunningAnswer) int {
		return cmp.Or(cmp.Compare(x.Model, y.Model), cmp.Compare(x.HWVer, y.HWVer), cmp.Compare(y.Version, x.Version))
	})
	return all
}

// rollOut starts a rollout. A missing image is fetched first; if that outlasts the request,
// the next request continues it.
func (a *api) rollOut(ctx context.Context, q *Request) (any, error) {
	if a.Firmware == nil {
		return nil, firmware.ErrNoImage
	}
	model, hwver, err := a.kindOf(q.Model, q.HWVer)
	if err != nil {
		return nil, err
	}
	image, err := a.Firmware.Provide(ctx, cmp.Or(q.Version, firmware.Newest), model, hwver)
	if err != nil {
		return nil, err
	}
	return a.Healer.StartFirmware(ctx, healer.FirmwareRequest{Owner: q.Owner, Reason: q.Reason, Release: healer.FirmwareRelease{
		Version: image.Version, Model: model, HWVer: hwver, From: q.From, SHA256: image.SHA256, Size: image.Size, AllowDowngrade: q.AllowDowngrade,
	}})
}

var (
	errWhichHardware = errors.New("dragons of that model have different hardware: name one from the firmware list")
	errNoSuchKind    = errors.New("no known dragon has that model and hardware")
)

// kindOf finds the model and its hardware, which may be omitted if there is only one.
func (a *api) kindOf(model, hwver string) (string, string, error) {
	var found []RunningAnswer
	for _, x := range a.running() {
		if strings.EqualFold(x.Model, model) && (hwver == "" || strings.EqualFold(x.HWVer, hwver)) &&
			!slices.ContainsFunc(found, func(y RunningAnswer) bool { return y.HWVer == x.HWVer }) {
			found = append(found, x)
		}
	}
	switch len(found) {
	case 0:
		return "", "", errNoSuchKind
	case 1:
		return found[0].Model, found[0].HWVer, nil
	}
	return "", "", errWhichHardware
}

// changeFirmware pauses, resumes or aborts a rollout, and returns its state.
func changeFirmware(verb string) doer {
	return func(a *api, ctx context.Context, q *Request) (any, error) {
		err := a.Healer.ChangeFirmware(ctx, verb, q.ID, q.Owner, q.Reason)
		if plan, planErr := a.Healer.Plan(); planErr == nil {
			return plan.Rollout(q.ID), err
		}
		return nil, err
	}
}
