package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// swift is a policy for firmware whose waves take minutes where they would take hours.
const swift = shipped + `
  firmware:
    waves: [50%, 100%]
    verify_for: 5m
    canary_soak: 10m
    second_soak: 2m
    soak: 2m
    extra_reboot_after: 2m
    uploading: 1h
  default:
    grace: {missing_board: 2m}
    ladder: {judge: 3m}
`

const newer = "t1_20191101_120000"

// firmwares makes a directory with an image that is pinned.
func firmwares(t *testing.T, image dragontest.Image) (dir, digest string) {
	t.Helper()
	dir = t.TempDir()
	data := image.Bytes()
	digest = fmt.Sprintf("%x", sha256.Sum256(data))
	for name, text := range map[string][]byte{image.Name(): data, "SHA256SUMS": []byte(digest + "  " + image.Name() + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, digest
}

// firmwareFarm is a farm of dragons without a tuner, in networks of their own, since a
// fault domain gives one dragon in the first waves. Half as quick as others: a dragon that
// boots new firmware has to be found again in time on a busy machine too.
func firmwareFarm(t *testing.T, outcome dragontest.Outcome) *instance {
	t.Helper()
	w := prepareFarm(t, 10, quick/2, swift, func(_ int, s *dragontest.Spec) { s.TuneTime = -1 })
	dir, _ := firmwares(t, dragontest.Image{Version: newer, Outcome: outcome, Size: 3 << 20})
	w.args = append(w.args, "--firmwares-path="+dir)
	w.start()
	w.healthy()
	return w
}

// upgraded counts the dragons that run the newer firmware, and those that are bricked.
func (w *instance) upgraded() (newly, bricked int) {
	for _, d := range w.dragons.Dragons() {
		truth := d.Truth()
		if truth.Firmware == newer {
			newly++
		}
		if truth.Bricked {
			bricked++
		}
	}
	return newly, bricked
}

func (w *instance) uploads() (n int) {
	for _, x := range w.writes() {
		if x.Endpoint == "upgrade/upload" {
			n++
		}
	}
	return n
}

func TestAGoodFirmwareComesToAllDragons(t *testing.T) {
	t.Parallel()
	w := firmwareFarm(t, dragontest.Good)
	if out, status := w.invoke("firmware", "list"); status != 0 || !regexp.MustCompile(`(?m)^T1 +g19 +t1_\S+ +10$`).MatchString(out) || !strings.Contains(out, newer) {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	if out, status := w.invoke("firmware", "rollout", "start", "latest", "--model=T1", "--reason=a test"); status == 0 {
		t.Fatalf("without being asked\n%s", out)
	}
	out, status := w.invoke("firmware", "rollout", "start", "latest", "--model=T1", "--reason=a test", "--yes")
	if status != 0 || !strings.Contains(out, "rollout f1") || !strings.Contains(out, newer) {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	if out, status := w.invoke("firmware", "rollout", "start", newer, "--model=T1", "--reason=again", "--yes"); status == 0 || !strings.Contains(out, "abort it first") {
		t.Errorf("a second one at the same time: exit status %d\n%s", status, out)
	}
	eventually(t, "the canary soaks", func() bool {
		return w.value(`mother_rollout_devices{phase="soaking",rollout="f1"}`) == 1
	})
	if n := w.uploads(); n != 1 {
		t.Errorf("%d dragons were sent the firmware before the canary had proved it", n)
	}
	if out, status := w.invoke("firmware", "rollout", "pause", "f1", "--reason=lunch"); status != 0 || !strings.Contains(out, "paused") {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	if err := w.p.Process.Kill(); err != nil { // it survives that
		t.Fatal(err)
	}
	<-w.p.done
	w.start()
	eventually(t, "the rollout is remembered", func() bool {
		return w.value(`mother_rollout_state{name="`+newer+`",rollout="f1",state="paused"}`) == 1
	})
	if out, status := w.invoke("firmware", "rollout", "resume", "f1", "--reason=back"); status != 0 || !strings.Contains(out, "running") {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	eventually(t, "all dragons run it", func() bool {
		return w.value(`mother_rollout_state{name="`+newer+`",rollout="f1",state="done"}`) == 1
	})
	if newly, bricked := w.upgraded(); newly != 10 || bricked != 0 || w.uploads() != 10 {
		t.Errorf("%d dragons run it, %d are bricked, %d uploads", newly, bricked, w.uploads())
	}
	out, status = w.invoke("firmware", "rollout", "status", "f1")
	if status != 0 || !strings.Contains(out, "done") || strings.Count(out, "a0:b0:45") != 10 {
		t.Errorf("exit status %d\n%s", status, out)
	}
	sent := 0
	for _, r := range w.audit() {
		if r.Result != nil && r.Action == "firmware" && strings.Contains(r.Note, newer) {
			sent++
		}
	}
	if sent != 10 {
		t.Errorf("the audit tells of %d dragons that were sent it", sent)
	}
	w.p.stop(t)
}

func TestAFirmwareThatBricksAtTheNextBootCostsOneDragon(t *testing.T) {
	t.Parallel()
	w := firmwareFarm(t, dragontest.BricksNext)
	if out, status := w.invoke("firmware", "rollout", "start", newer, "--model=t1", "--reason=a test", "--yes"); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	eventually(t, "the rollout is aborted", func() bool {
		return w.value(`mother_rollout_state{name="`+newer+`",rollout="f1",state="aborted"}`) == 1
	})
	w.live(30 * time.Minute)
	newly, bricked := w.upgraded()
	if newly != 1 || bricked != 1 || w.uploads() != 1 || w.value(`mother_rollout_failed_devices{rollout="f1"}`) != 1 {
		t.Errorf("%d dragons run it, %d are bricked, %d uploads", newly, bricked, w.uploads())
	}
	if out, _ := w.invoke("firmware", "rollout", "status", "f1"); !strings.Contains(out, "aborted") || !strings.Contains(out, "did not come back") {
		t.Errorf("it does not say why\n%s", out)
	}
	w.p.stop(t)
}

// What the vendors offer is fetched once from a host that is allowed, and what does harm
// is not tried again.
func TestAutoUpgradeStopsAtWhatDoesHarm(t *testing.T) {
	t.Parallel()
	image := dragontest.Image{Version: newer, Outcome: dragontest.BricksNow, Size: 3 << 20}
	var fetched atomic.Int32
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image.Bytes()))
	}))
	t.Cleanup(vendor.Close)
	w := prepareFarm(t, 10, quick, swift, func(_ int, s *dragontest.Spec) {
		s.TuneTime = -1
		s.Latest = dragontest.Release{Version: newer, URL: vendor.URL + "/files/t1/" + image.Name()}
	})
	w.start("--dragon-auto-upgrade", "--firmwares-path="+t.TempDir(), "--firmware.allowed-hosts="+strings.TrimPrefix(vendor.URL, "http://"))
	eventually(t, "the rollout is aborted", func() bool {
		return w.value(`mother_rollout_state{name="`+newer+`",rollout="f1",state="aborted"}`) == 1
	})
	w.live(30 * time.Minute) // it looks every ten
	newly, bricked := w.upgraded()
	if newly != 1 || bricked != 1 || w.uploads() != 1 || fetched.Load() != 1 || w.value(`mother_firmware_fetches_total{outcome="ok"}`) != 1 {
		t.Errorf("%d dragons run it, %d are bricked, %d uploads, fetched %d times", newly, bricked, w.uploads(), fetched.Load())
	}
	if w.value(`mother_rollout_state{name="`+newer+`",rollout="f2",state="running"}`) != -1 {
		t.Error("it is tried again")
	}
	w.p.stop(t)
}
