package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/notify"
)

const newerFirmware = "t1_20191101_120000"

// newFirmwareFixture makes a fixture of n dragons whose healer has an image.
func newFirmwareFixture(t *testing.T, n int, image dragontest.Image) (*fixture, healer.FirmwareRelease) {
	t.Helper()
	data := image.Bytes()
	r := healer.FirmwareRelease{Version: image.Version, Model: "T1", HWVer: "g19", SHA256: fmt.Sprintf("%x", sha256.Sum256(data)), Size: int64(len(data))}
	w := newFixtureOf(t, n, func(int) dragontest.Spec { return dragontest.Spec{TuneTime: -1} }, nil)
	f := &w.policy.Firmware
	f.VerifyFor, f.CanarySoak, f.SecondSoak, f.Soak, f.RebootAt = 20*time.Minute, time.Hour, 10*time.Minute, 10*time.Minute, 10*time.Minute
	w.configs = append(w.configs, func(c *Config) {
		c.Image = func(_ context.Context, digest string) (io.ReadCloser, int64, error) {
			if digest != r.SHA256 {
				return nil, 0, errors.New("no such image")
			}
			return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
		}
	})
	return w, r
}

func (w *fixture) rollOut(r healer.FirmwareRelease) {
	w.t.Helper()
	if _, err := w.healer.StartFirmware(w.ctx, healer.FirmwareRequest{Release: r, Owner: "ann", Reason: "a test"}); err != nil {
		w.t.Fatal(err)
	}
}

// rollout is the first rollout as it stands.
func (w *fixture) rollout() healer.FirmwareShown {
	w.t.Helper()
	p, err := w.healer.Plan()
	if err != nil || len(p.Firmware) == 0 {
		w.t.Fatalf("no rollout: %v", err)
	}
	return p.Firmware[0]
}

func TestFirmwareIsSentVerifiedAndToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newFirmwareFixture(t, 3, dragontest.Image{Version: newerFirmware, Size: 1 << 20})
		w.start()
		w.settle()
		pass(20 * time.Minute) // until what they do is known
		w.rollOut(r)
		w.until("an image is on its way", 10*time.Minute, func() bool { return len(w.healer.Uploads()) == 1 })
		pass(time.Minute)
		u := w.healer.Uploads()
		if len(u) != 1 || u[0].Sent != r.Size || u[0].Size != r.Size || !strings.HasSuffix(u[0].Updater, "%") {
			t.Errorf("a minute after the upload, while it is flashed: %+v", u)
		}
		if got := w.metric("mother_firmware_upload_ratio", "worker", u[0].Worker); got != 1 {
			t.Errorf("the page shows %g of it", got)
		}
		w.until("the rollout is done", 12*time.Hour, func() bool { return w.rollout().State == healer.RolloutDone })
		if u := w.healer.Uploads(); len(u) > 0 {
			t.Errorf("still on their way: %+v", u)
		}
		for i, d := range w.dragons.Dragons() {
			want := []string{"upgrade/upload"}
			if i == 0 {
				want = append(want, "reboot")
			}
			if got := w.wrote(i); !slices.Equal(got, want) || d.Truth().Firmware != newerFirmware || d.Traffic().MaxInFlight > 1 {
				t.Errorf("dragon %d: %v, firmware %s, %d requests in flight", i, got, d.Truth().Firmware, d.Traffic().MaxInFlight)
			}
			if r := w.fleet.Lookup(w.worker(i)).Health().Restarts; r.System.Unknown != 0 {
				t.Errorf("dragon %d: %+v restarts without a known cause", i, r.System)
			}
		}
		var phases []string
		for _, a := range w.audit() {
			if a.Worker == w.worker(0) && strings.HasPrefix(a.Note, "firmware f1") {
				phases = append(phases, strings.TrimPrefix(a.Note, "firmware f1 "+newerFirmware+": "))
			}
		}
		if got := strings.Join(phases, " "); got != "rebooting version hashing verifying soaking done" {
			t.Errorf("the audit tells of %s", got)
		}
		if got := w.metric("mother_rollout_devices", "rollout", "f1", "phase", "done"); got != 3 {
			t.Errorf("the page shows %g dragons done", got)
		}
	})
}

// slowly is an image that arrives at a crawl.
type slowly struct{ io.Reader }

func (r slowly) Read(b []byte) (int, error) {
	time.Sleep(5 * time.Second)
	return r.Reader.Read(b)
}

// An upload is shown until it is over, whatever the updater says.
func TestAnUploadIsShownUntilItIsSentThoughTheUpdaterLeaves(t *testing.T) {
	for name, x := range map[string]struct{ before, during func(*fixture) }{
		"it closes its socket": {func(*fixture) {}, func(w *fixture) {
			w.dragons.Dragon(0).Inject(dragontest.Reset, dragontest.On("upgrade/ws"))
		}},
		"it tells of an older failure": {func(w *fixture) {
			w.send(0, dragontest.Image{Version: newerFirmware, Outcome: dragontest.SignatureFail})
		}, func(*fixture) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				image := dragontest.Image{Version: newerFirmware, Size: 1 << 20}
				w, r := newFirmwareFixture(t, 1, image)
				w.configs = append(w.configs, func(c *Config) {
					c.Image = func(context.Context, string) (io.ReadCloser, int64, error) {
						return io.NopCloser(slowly{image.Open()}), r.Size, nil
					}
				})
				x.before(w)
				w.start()
				w.settle()
				pass(20 * time.Minute) // until what they do is known
				w.rollOut(r)
				w.until("the image is on its way", 10*time.Minute, func() bool { return len(w.healer.Uploads()) == 1 })
				x.during(w)
				pass(10 * time.Second)
				before := w.healer.Uploads()
				pass(20 * time.Second)
				u := w.healer.Uploads()
				if len(before) != 1 || len(u) != 1 || u[0].MAC == "" || u[0].Worker != w.worker(0) || u[0].Size != r.Size || u[0].Sent <= before[0].Sent {
					t.Errorf("while it is sent: %+v, then %+v", before, u)
				}
				w.until("the dragon is done", 12*time.Hour, func() bool { return w.rollout().State == healer.RolloutDone })
				if u := w.healer.Uploads(); len(u) > 0 {
					t.Errorf("still on their way: %+v", u)
				}
			})
		})
	}
}

// A process that ends while it sends leaves it unknown whether the image arrived. The
// next one asks for the version, and sends nothing again.
func TestAnUploadThatWasCutOffIsNotRepeated(t *testing.T) {
	for name, outcome := range map[string]struct {
		arrives bool
		phase   healer.UpgradePhase
	}{
		"it did not arrive": {false, healer.UpgradeInconclusive},
		"it had arrived":    {true, healer.UpgradeDone},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				image := dragontest.Image{Version: newerFirmware, Size: 1 << 20}
				w, r := newFirmwareFixture(t, 1, image)
				w.start()
				w.settle()
				pass(20 * time.Minute) // until what they do is known
				d := w.dragons.Dragon(0)
				d.Inject(dragontest.Hang, dragontest.On("upgrade/upload"))
				w.rollOut(r)
				w.until("it is being sent", 10*time.Minute, func() bool { return len(w.healer.Uploads()) == 1 })
				pass(10 * time.Second)
				w.stop()
				d.Clear(dragontest.Hang)
				uploads := 0
				if outcome.arrives {
					w.send(0, image)
					uploads = 1
				}
				w.start()
				w.until("the dragon has come to an end", 12*time.Hour, func() bool {
					p, err := w.healer.Plan()
					return err == nil && len(p.Firmware) == 1 && len(p.Firmware[0].Dragons) == 1 && p.Firmware[0].Dragons[0].Phase.Over()
				})
				pass(2 * time.Hour)
				ro := w.rollout()
				if ro.Dragons[0].Phase != outcome.phase || (outcome.phase == healer.UpgradeInconclusive) != (ro.State == healer.RolloutPaused) {
					t.Errorf("%s: %s, %q", ro.State, ro.Dragons[0].Phase, ro.Dragons[0].Why)
				}
				got := 0
				for _, x := range w.wrote(0) {
					if x == "upgrade/upload" {
						got++
					}
				}
				if got != uploads {
					t.Errorf("%d images arrived, want %d", got, uploads)
				}
			})
		})
	}
}

// send sends an image to dragon i without the healer.
func (w *fixture) send(i int, image dragontest.Image) {
	w.t.Helper()
	transport := dragon.NewTransport()
	transport.DialContext = w.dragons.DialContext
	defer transport.CloseIdleConnections()
	c := dragon.New(w.dragons.Addr(i), dragon.Options{Transport: transport})
	if err := c.UpgradeUpload(w.ctx, image.Name(), image.Open(), int64(len(image.Bytes())), nil); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnImageThatIsNotThereAnyMorePausesItsRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newFirmwareFixture(t, 3, dragontest.Image{Version: newerFirmware})
		rollouts, pauses := w.tell()
		w.start()
		w.settle()
		pass(20 * time.Minute) // until what they do is known
		r.SHA256 = strings.Repeat("b", 64)
		w.rollOut(r)
		w.until("the rollout pauses", 10*time.Minute, func() bool { return w.rollout().State == healer.RolloutPaused })
		pass(time.Hour)
		if why := w.rollout().Why; w.wroteAnything() || why != "no such image" {
			t.Errorf("it was written to, or %q", why)
		}
		if told := rollouts(); len(told) != 2 || told[1] != "rollout:f1 firmware f1 paused: no such image" || len(pauses()) > 0 {
			t.Errorf("webhooks are told %q, and of the healer %q", told, pauses())
		}
	})
}

// After a failover the image that the other host had fetched is missing: the reason of the pause says where,
// and what to do.
func TestAMissingImageIsNamedWithItsHostWhereTheStateIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newFirmwareFixture(t, 3, dragontest.Image{Version: newerFirmware})
		w.configs = append(w.configs, func(c *Config) { c.Shared = true })
		w.start()
		w.settle()
		pass(20 * time.Minute) // until what they do is known
		r.SHA256 = strings.Repeat("b", 64)
		w.rollOut(r)
		w.until("the rollout pauses", 10*time.Minute, func() bool { return w.rollout().State == healer.RolloutPaused })
		want := "no such image; on host test, put " + newerFirmware + ".swu into its firmware.path and SHA256SUMS, then resume"
		if why := w.rollout().Why; why != want {
			t.Errorf("%q, want %q", why, want)
		}
	})
}

// tell makes the healer tell webhooks of what it does. It returns the notes and actors of the
// events of rollouts so far, and those that tell of a pause or a resumption of the healer.
func (w *fixture) tell() (rollouts, pauses func() []string) {
	var mu sync.Mutex
	var events []notify.Event
	w.configs = append(w.configs, func(c *Config) {
		c.OnAudit = func(a *healer.Audit) {
			if e, ok := notify.EventOf(a); ok {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			}
		}
	})
	of := func(kinds ...notify.Kind) func() []string {
		return func() (told []string) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range events {
				if slices.Contains(kinds, e.Kind) {
					told = append(told, e.Actor+" "+e.Note)
				}
			}
			return told
		}
	}
	return of(notify.Rollout), of(notify.Paused, notify.Resumed)
}

func TestWebhooksAreToldWhatAPersonDoesWithARolloutOfFirmware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newFirmwareFixture(t, 1, dragontest.Image{Version: newerFirmware})
		rollouts, pauses := w.tell()
		w.start()
		w.settle()
		w.rollOut(r)
		for _, verb := range []string{"pause", "resume", "abort"} {
			if err := w.healer.ChangeFirmware(w.ctx, verb, "f1", "ann", "a test"); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{
			"user:ann firmware f1: to " + newerFirmware + " for T1 g19, sha256 " + r.SHA256 + ": a test",
			"user:ann firmware f1: pause: a test", "user:ann firmware f1: resume: a test", "user:ann firmware f1: abort: a test",
		}
		if diff := cmp.Diff(want, rollouts()); diff != "" {
			t.Errorf("told of rollouts: %s", diff)
		}
		if got := pauses(); len(got) > 0 {
			t.Errorf("the healer itself never paused: %q", got)
		}
	})
}
