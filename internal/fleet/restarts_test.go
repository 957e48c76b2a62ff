package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// A moment of a dragon's life as a reading tells it: minutes since noon, uptime and
// Elapsed in seconds (-1: unknown).
type moment struct {
	minute          float64
	uptime, elapsed float64
	tuning          bool
}

func (m moment) reading(noon time.Time) *Reading {
	at := noon.Add(time.Duration(m.minute * float64(time.Minute)))
	r := &Reading{Summary: &dragon.Summary{}, Overview: &dragon.Overview{}, At: at}
	r.Summary.At, r.Overview.At = at, at
	if m.uptime >= 0 {
		r.Overview.Uptime = dragon.Known(m.uptime - float64(int(m.uptime)%60)) // told in minutes
	}
	if m.elapsed >= 0 {
		r.Summary.Boards = []dragon.Board{{Elapsed: dragon.Known(m.elapsed)}}
	}
	r.Summary.Tuning = dragon.Known(0)
	if m.tuning {
		r.Summary.Tuning = dragon.Known(1)
	}
	return r
}

func TestRestartsAreToldFromWhatGoesOn(t *testing.T) {
	const miner, system = string(MinerRestart), string(SystemRestart)
	for name, c := range map[string]struct {
		life []moment
		want string // the kinds of all restarts
	}{
		"the first reading":                         {[]moment{{0, 90, 5, false}}, ""},
		"all goes on":                               {[]moment{{0, 359, 300, false}, {1, 419, 360, false}, {60, 3959, 3900, false}}, ""},
		"an answer that was long on its way":        {[]moment{{0, 600, 300, false}, {1, 660, 348, false}, {2, 720, 420, false}}, ""},
		"the miner restarts":                        {[]moment{{0, 7200, 7000, false}, {1, 7260, 20, true}, {2, 7320, 80, true}}, miner},
		"the miner restarts while it tunes":         {[]moment{{0, 7200, 700, true}, {1, 7260, 20, true}}, miner},
		"tuning ends":                               {[]moment{{0, 7200, 1200, true}, {1, 7260, 20, false}, {2, 7320, 80, false}}, ""},
		"tuning ended long before the next look":    {[]moment{{0, 7200, 60, true}, {600, 43200, 36000, false}}, ""},
		"a restart long after the tuning":           {[]moment{{0, 7200, 60, true}, {600, 43200, 300, false}}, miner},
		"tuned after an unobserved restart":         {[]moment{{0, 7200, 7000, false}, {60, 10800, 1500, false}}, miner},
		"the miner restarts twice":                  {[]moment{{0, 7200, 7000, false}, {1, 7260, 20, true}, {2, 7320, 5, true}}, miner + miner},
		"the system restarts":                       {[]moment{{0, 7200, 7000, false}, {4, 150, 20, true}, {5, 210, 80, true}}, system},
		"and is told late":                          {[]moment{{0, 7200, 7000, false}, {600, 30000, 28000, false}}, system},
		"and the miner answers later":               {[]moment{{0, 7200, 7000, false}, {4, 150, -1, false}, {5, 210, 10, true}}, system},
		"and the miner restarts after it":           {[]moment{{0, 7200, 7000, false}, {4, 150, 20, true}, {9, 450, 20, true}}, system + miner},
		"the system restarts soon after its start":  {[]moment{{0, 119, 20, true}, {3, 90, 10, true}}, system},
		"no uptime":                                 {[]moment{{0, -1, 7000, false}, {4, -1, 20, true}}, miner},
		"the oldest board is gone":                  {[]moment{{0, 7200, 7000, false}, {1, 7260, 6000, false}}, ""},
		"our clock is set ahead":                    {[]moment{{0, 86400, 80000, false}, {600, 86460, 80060, false}}, ""},
		"and by more than it ran, which looks like": {[]moment{{0, 7200, 7000, false}, {600, 7260, 7060, false}}, system},
		"our clock is set back":                     {[]moment{{600, 86400, 80000, false}, {0, 86460, 80060, false}, {1, 86520, 80120, false}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var l life
			noon, got := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), ""
			for _, m := range c.life {
				kind, at := l.observe(m.reading(noon))
				got += string(kind)
				if kind != "" && at.IsZero() {
					t.Error("a restart at no time")
				}
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestARestartIsCountedOnce(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1})
		want := func(when string, miner, system uint64) {
			h.Helper()
			for range 3 {
				h.read(d)
				time.Sleep(20 * time.Second)
			}
			r := d.Health().Restarts
			if r.Miner.Unknown != miner || r.System.Unknown != system || r.Miner.Healer+r.System.Healer != 0 {
				h.Errorf("%s: %+v, want %d of the miner and %d of the system", when, r, miner, system)
			}
		}
		want("at first", 0, 0)
		sim.RestartMiner()
		time.Sleep(time.Minute)
		want("after a restart of the miner", 1, 0)
		time.Sleep(30 * time.Minute)
		want("after tuning", 1, 0)
		sim.Reboot()
		time.Sleep(3 * time.Minute)
		want("after a reboot", 1, 1)
		time.Sleep(30 * time.Minute)
		want("after tuning", 1, 1)
		sim.Reboot()
		time.Sleep(5 * time.Hour)
		want("after a reboot that was seen late", 1, 2)
		if n := h.log.said("dragon restarted"); n != 3 {
			h.Errorf("%d lines in the log", n)
		}
	})
}

func TestAnAnnouncedRestartIsTheHealers(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1})
		h.read(d)
		time.Sleep(time.Minute)
		d.Expect(MinerRestart, time.Now(), time.Now().Add(5*time.Minute))
		sim.RestartMiner()
		time.Sleep(time.Minute)
		h.read(d)
		time.Sleep(time.Minute)
		sim.RestartMiner() // not announced
		time.Sleep(time.Minute)
		h.read(d)
		time.Sleep(time.Hour)
		h.read(d)
		d.Expect(SystemRestart, time.Now(), time.Now().Add(5*time.Minute))
		sim.Reboot()
		time.Sleep(time.Hour) // it is seen late, and was in time
		h.read(d)
		d.Expect(SystemRestart, time.Now(), time.Now().Add(5*time.Minute))
		time.Sleep(time.Hour)
		h.read(d)
		sim.Reboot() // too late for that
		time.Sleep(time.Hour)
		h.read(d)
		if want, got := (Restarts{RestartCount{1, 1}, RestartCount{1, 1}}), d.Health().Restarts; got != want {
			h.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestRestartsAreKnownOverOurOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, l := t.TempDir(), newLAN()
		open := func() (*hall, *Dragon) {
			h := openHall(t, Config{Dir: dir}, l)
			return h, h.Lookup("10.1.0.8")
		}
		h, _ := open()
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1})
		h.read(d)
		for i, step := range []struct {
			away func()
			want Restarts
		}{
			{func() { time.Sleep(time.Hour) }, Restarts{}},
			{func() { sim.RestartMiner(); time.Sleep(time.Hour) }, Restarts{Miner: RestartCount{Unknown: 1}}},
			{func() { time.Sleep(time.Hour) }, Restarts{Miner: RestartCount{Unknown: 1}}},
			{func() { sim.Reboot(); time.Sleep(10 * time.Hour) }, Restarts{Miner: RestartCount{Unknown: 1}, System: RestartCount{Unknown: 1}}},
			{func() { time.Sleep(time.Minute) }, Restarts{Miner: RestartCount{Unknown: 1}, System: RestartCount{Unknown: 1}}},
		} {
			h.stop()
			step.away()
			h, d = open()
			h.read(d)
			if got := d.Health().Restarts; got != step.want {
				t.Errorf("step %d: %+v, want %+v", i, got, step.want)
			}
		}
		d.Expect(SystemRestart, time.Now(), time.Now().Add(time.Minute))
		h.stop()
		sim.Reboot()
		time.Sleep(10 * time.Minute)
		h, d = open()
		h.read(d)
		if got := d.Health().Restarts.System.Healer; got != 1 {
			t.Error("what the healer announced before the program's end is not its own after it")
		}
	})
}

// Killed before it saved, the program sees the restart again, and counts it once again
// from what is on disk.
func TestAKilledProgramLosesNoRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, l := t.TempDir(), newLAN()
		file := filepath.Join(dir, inventoryName)
		h := openHall(t, Config{Dir: dir}, l)
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1})
		h.read(d)
		h.stop()
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sim.RestartMiner()
		time.Sleep(time.Minute)
		for range 2 {
			h = openHall(t, Config{Dir: dir}, l)
			d = h.Lookup("10.1.0.8")
			h.read(d)
			if got := d.Health().Restarts.Miner.Unknown; got != 1 {
				t.Errorf("%d restarts", got)
			}
			h.stop()
			if err := os.WriteFile(file, before, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestAnInventoryWithoutLivesIsReadAsEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, l := t.TempDir(), newLAN()
		l.put("10.1.0.8", dragontest.New(dragontest.Spec{}))
		old := `{"version":1,"dragons":[{"mac":"a0:b0:45:00:d1:a6","address":"10.1.0.8","brand":"DragonMint","model":"T1","first_seen":"1999-01-01T00:00:00Z","last_seen":"1999-12-31T00:00:00Z"}]}`
		if err := os.WriteFile(filepath.Join(dir, inventoryName), []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		h := openHall(t, Config{Dir: dir}, l)
		d := h.Lookup("10.1.0.8")
		if d == nil {
			t.Fatal("not known")
		}
		h.read(d)
		if got := d.Health().Restarts; got != (Restarts{}) {
			t.Errorf("%+v", got)
		}
		h.stop()
		now, err := os.ReadFile(filepath.Join(dir, inventoryName))
		if err != nil || !strings.Contains(string(now), `"version":1`) || !strings.Contains(string(now), `"booted"`) {
			t.Errorf("%v %s", err, now)
		}
	})
}
