package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestWhatAHumanChangesIsWrittenAtOnce(t *testing.T) {
	dir := t.TempDir()
	inHall(t, Config{Dir: dir}, func(h *hall) {
		for i := range 200 {
			h.dragon(fmt.Sprintf("10.1.1.%d", i), dragontest.Spec{Seed: uint64(i) + 1})
		}
		for range 240 { // in twenty minutes of turmoil
			h.read(h.Dragons()[0])
			h.file.changed()
			time.Sleep(5 * time.Second)
		}
		// The next write is furthest away just after one.
		file := filepath.Join(dir, inventoryName)
		for was, _ := os.Stat(file); ; time.Sleep(time.Second) {
			h.read(h.Dragons()[0])
			h.file.changed()
			if now, _ := os.Stat(file); !os.SameFile(was, now) {
				break
			}
		}
		written := func() map[string]record {
			time.Sleep(3 * time.Second)
			b, err := os.ReadFile(file)
			if err != nil {
				h.Fatal(err)
			}
			all := make(map[string]record)
			records, _, _ := decodeInventory(b)
			for _, r := range records {
				all[r.Address] = r
			}
			return all
		}
		if _, err := h.Retire("10.1.1.3", time.Now().Add(time.Hour)); err != nil {
			h.Fatal(err)
		}
		if written()["10.1.1.3"].Retired.IsZero() {
			h.Error("the retirement is not written")
		}
		if err := h.Forget("10.1.1.4"); err != nil {
			h.Fatal(err)
		}
		if _, there := written()["10.1.1.4"]; there {
			h.Error("the forgotten dragon is in the inventory")
		}

		// Many such writes do not hold up the others for long.
		for i := range 50 {
			if _, err := h.Retire("10.1.1.3", time.Now().Add(time.Duration(i+2)*time.Hour)); err != nil {
				h.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		was, err := os.Stat(file)
		if err != nil {
			h.Fatal(err)
		}
		h.read(h.Dragons()[0])
		h.file.changed()
		time.Sleep(time.Duration(2*was.Size()/saveRate) * time.Second)
		if now, _ := os.Stat(file); os.SameFile(was, now) {
			h.Error("an ordinary change waits for longer than twice what a write costs")
		}
	})
}

func TestAForgottenDragonIsNotDown(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.1.3", dragontest.Spec{})
		h.read(d)
		if err := h.Forget("10.1.1.3"); err != nil {
			h.Fatal(err)
		}
		if h.log.said("dragon forgotten on request") != 1 || h.log.said("dragon is down") != 0 {
			h.Errorf("the log says %q", h.log.lines)
		}
	})
}
