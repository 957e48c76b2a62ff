package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// UploadShown is an image on its way to a dragon, and what the dragon's updater says of
// it. That is for people: what the updater says proves nothing.
type UploadShown struct {
	MAC     string `json:"mac"`
	Worker  string `json:"worker"`
	Sent    int64  `json:"sent"`
	Size    int64  `json:"size"`
	Updater string `json:"updater,omitempty"`
}

type uploads struct {
	mu  sync.Mutex
	all map[string]UploadShown // by MAC
}

func (u *uploads) begin(x UploadShown) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[string]UploadShown)
	}
	u.all[x.MAC] = x
}

// change does nothing to an upload that has ended.
func (u *uploads) change(mac string, change func(*UploadShown)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if x, ok := u.all[mac]; ok {
		change(&x)
		u.all[mac] = x
	}
}

func (u *uploads) end(mac string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.all, mac)
}

func (u *uploads) list() []UploadShown {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []UploadShown
	for _, mac := range slices.Sorted(maps.Keys(u.all)) {
		all = append(all, u.all[mac])
	}
	return all
}

// Uploads returns the images that are on their way, by MAC.
func (h *Healer) Uploads() []UploadShown { return h.uploads.list() }

// image opens what a dragon is about to be sent, right before it: the digest is that of
// the file as it is now.
func (j *job) image(ctx context.Context) error {
	if j.healer.config.Image == nil {
		return healer.NotSentf("this process has no firmware")
	}
	r := j.decision().Sends()
	if r == nil {
		return healer.NotSentf("no firmware was chosen")
	}
	f, size, err := j.healer.config.Image(ctx, r.SHA256)
	switch {
	case err == nil && size != r.Size:
		_ = f.Close()
		err = fmt.Errorf("the image of %s has %d bytes, expected %d", r.Version, size, r.Size)
	case err == nil:
		j.file = f
		return nil
	case ctx.Err() != nil:
		return healer.NotSentf("%v", err)
	}
	if j.healer.config.Shared { // what another host has fetched is not here
		err = fmt.Errorf("%w; on host %s, put %s.swu into its firmware.path and SHA256SUMS, then resume", err, j.healer.config.ID, r.Version)
	}
	// No other dragon would get it either: the image must be put back.
	_ = j.healer.onLoop(ctx, "pausing a rollout", func(context.Context) error {
		h := j.healer
		if h.mem.PauseFirmware(h.clock.Now(), j.decision().Upgrade.Rollout, err.Error()) == nil {
			h.auditFirmware(healer.Hold, j.attempt.Actor(), fmt.Sprintf("firmware %s paused: %v", j.decision().Upgrade.Rollout, err))
		}
		h.persist()
		return nil
	})
	return healer.NotSentf("%v", err)
}

// upload sends the image. That the dragon has received it is all that is known then: it
// checks it, flashes it and reboots by itself.
func (j *job) upload(ctx context.Context, dev device, _ healer.Step, _ func() error) (cannotApply, error) {
	r, h := j.decision().Sends(), j.healer
	mac := j.decision().MAC
	h.uploads.begin(UploadShown{MAC: mac, Worker: j.decision().Worker, Size: r.Size})
	leave := h.watchUpdater(j, dev)
	// How long it takes is the network's matter, which no simulation hurries.
	ctx, cancel := context.WithTimeout(ctx, j.attempt.Policy().Firmware.Uploading)
	defer cancel()
	err := dev.UpgradeUpload(ctx, r.Version+".swu", j.file, r.Size, func(sent int64) {
		h.uploads.change(mac, func(u *UploadShown) { u.Sent = sent })
	})
	if err != nil {
		leave()
	}
	return nil, err
}

// watchUpdater listens to what the dragon's updater says until its reboot ends that, or
// until that is late, or until it is told to leave. Nothing waits for it.
func (h *Healer) watchUpdater(j *job, dev device) (leave func()) {
	mac, p, sentOff := j.decision().MAC, j.attempt.Policy().Firmware, j.sentOff
	leave = func() {}
	_ = h.onLoop(context.Background(), "watching an updater", func(life context.Context) error {
		ctx, cancel := context.WithTimeout(life, p.Uploading+h.pause(p.Rebooting))
		leave = cancel
		h.spawn(func() {
			defer h.uploads.end(mac)
			defer cancel()
			_ = dev.WatchUpgrade(ctx, func(x dragon.UpgradeProgress) bool {
				if says := updaterInWords(x); says != "" {
					h.uploads.change(mac, func(u *UploadShown) { u.Updater = says })
				}
				return x.Status != "FAILURE"
			})
			if ctx.Err() == nil { // it cannot be listened to any more; the upload is shown all the same
				<-sentOff
			}
		})
		return nil
	})
	return leave
}

func updaterInWords(x dragon.UpgradeProgress) string {
	switch {
	case x.Status != "":
		return strings.ToLower(healer.Text(x.Status))
	case x.Type == "step":
		return strings.TrimSpace(fmt.Sprintf("%s %.0f%%", healer.Text(x.Name), 100*x.Share.Or(0)))
	}
	return ""
}

// closeImage ends what image began.
func (j *job) closeImage() {
	if j.file != nil {
		_ = j.file.Close()
	}
	if j.sentOff != nil {
		close(j.sentOff)
	}
}

// StartFirmware begins a rollout of firmware.
func (h *Healer) StartFirmware(ctx context.Context, q healer.FirmwareRequest) (ro healer.FirmwareRollout, err error) {
	err = h.change(ctx, "starting a rollout", func(now healer.Instant) error {
		if err := h.needsState(); err != nil {
			return err
		}
		begun, err := h.mem.StartFirmware(now, q)
		if err != nil {
			return err
		}
		ro = *begun
		r := &ro.Release
		h.auditFirmware(healer.Changed, userActor(q.Owner), fmt.Sprintf("firmware %s: to %s for %s %s, sha256 %s: %s", ro.ID, r.Version,
			r.Model, r.HWVer, r.SHA256, q.Reason))
		return nil
	})
	return ro, err
}

// ChangeFirmware pauses, resumes or aborts a rollout: see the methods of healer.Memory.
func (h *Healer) ChangeFirmware(ctx context.Context, verb, id, owner, reason string) error {
	if owner == "" || reason == "" {
		return errors.New("it needs an owner and a reason")
	}
	return h.change(ctx, verb+" of a rollout", func(now healer.Instant) error {
		do := map[string]func(*healer.Memory, healer.Instant, string, string) error{
			"pause": (*healer.Memory).PauseFirmware, "resume": (*healer.Memory).ResumeFirmware, "abort": (*healer.Memory).AbortFirmware,
		}[verb]
		if verb == "resume" && h.stateOfFirmware(id) == healer.RolloutPaused {
			if err := h.takeBack(firmwareHold(id)); err != nil {
				return err
			}
		}
		before := h.stateOfFirmware(id)
		if err := do(h.mem, now, id, owner+": "+reason); err != nil || h.stateOfFirmware(id) == before {
			return err
		}
		if verb != "resume" {
			h.keepFirmware(id, owner+": "+reason, do)
		}
		h.auditFirmware(healer.Changed, userActor(owner), fmt.Sprintf("firmware %s: %s: %s", id, verb, reason))
		return nil
	})
}

func (h *Healer) stateOfFirmware(id string) healer.RolloutState {
	for _, ro := range h.mem.Fleet.Firmware {
		if ro.ID == id {
			return ro.State
		}
	}
	return ""
}

// auditFirmware records a change to a rollout of firmware that the healer did not decide.
func (h *Healer) auditFirmware(verb healer.Verb, actor, note string) {
	a := h.record(h.clock.Now().Wall, verb, "", actor, note)
	a.Action = healer.Upgrade
	h.appendAudit(a)
}
