package fleet

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// kill opens the fleet again with its files as a kill leaves them.
func kill(t *testing.T, h *hall, c Config, l *lan) *hall {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(c.Dir)); err != nil {
		t.Fatal(err)
	}
	h.stop()
	c.Dir = left
	return openHall(t, c, l)
}

func TestAProgramKilledWhileTheVendorIsAskedDoesNotAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := every(Firmware), newLAN()
		c.Dir = t.TempDir()
		h := openHall(t, c, l)
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		sim.Inject(dragontest.Hang, dragontest.On("getLatestFirmwareVersion"))
		h.read(d)
		for l.asked("10.1.0.8", askVendor) == 0 {
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Second)
		h = kill(t, h, c, l)
		if _, err := os.Stat(filepath.Join(c.Dir, questionsName)); err == nil { // that one ended in order afterwards
			t.Error("the questions are kept beside an inventory that has them")
		}
		h.read(h.Lookup("10.1.0.8"))
		time.Sleep(23 * time.Hour)
		if n := l.asked("10.1.0.8", askVendor); n != 1 {
			t.Errorf("asked %d times within a day", n)
		}
	})
}

func TestAKilledProgramRemembersWhatTheVendorSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := every(Firmware), newLAN()
		c.Dir = t.TempDir()
		h := openHall(t, c, l)
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		time.Sleep(2 * saveLeast) // the inventory is written before the question
		for d.Facts().Firmware.At.IsZero() {
			time.Sleep(time.Second)
		}
		said := d.Facts().Firmware.Value
		h = kill(t, h, c, l)
		if got := h.Lookup("10.1.0.8").Facts().Firmware.Value; got.Version != said.Version || got.Version == "" || got.URL != said.URL || got.UpToDate != said.UpToDate {
			t.Errorf("%+v, want %+v", got, said)
		}
	})
}
