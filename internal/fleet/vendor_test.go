package fleet

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestAProgramKilledWhileTheVendorIsAskedDoesNotAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, l := t.TempDir(), newLAN()
		c := every(Firmware)
		c.Dir = dir
		h := openHall(t, c, l)
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{})
		sim.Inject(dragontest.Hang, dragontest.On("getLatestFirmwareVersion"))
		h.read(d)
		for l.asked("10.1.0.8", askVendor) == 0 {
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * time.Second)
		killed := t.TempDir() // the files as a kill leaves them
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		h.stop()
		if _, err := os.Stat(filepath.Join(dir, questionsName)); err == nil {
			t.Error("the questions are kept beside an inventory that has them")
		}
		c.Dir = killed
		h = openHall(t, c, l)
		h.read(h.Lookup("10.1.0.8"))
		time.Sleep(23 * time.Hour)
		if n := l.asked("10.1.0.8", askVendor); n != 1 {
			t.Errorf("asked %d times within a day", n)
		}
	})
}

func TestAKilledProgramRemembersWhatTheVendorSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, l := t.TempDir(), newLAN()
		c := every(Firmware)
		c.Dir = dir
		h := openHall(t, c, l)
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{})
		h.read(d)
		time.Sleep(2 * saveLeast) // the inventory is written before the question
		for d.Facts().Firmware.At.IsZero() {
			time.Sleep(time.Second)
		}
		said := d.Facts().Firmware.Value
		killed := t.TempDir()
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		h.stop()
		c.Dir = killed
		h = openHall(t, c, l)
		if got := h.Lookup("10.1.0.8").Facts().Firmware.Value; got.Version != said.Version || got.Version == "" || got.URL != said.URL || got.UpToDate != said.UpToDate {
			t.Errorf("%+v, want %+v", got, said)
		}
	})
}
