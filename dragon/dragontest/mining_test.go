package dragontest

import (
	"math"
	"testing"
	"time"
)

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Errorf("%s = %v, want %v ± %v %%", what, got, want, 100*tolerance)
	}
}

func TestAveragesClimbFromZero(t *testing.T) {
	onBench(t, Spec{TuneTime: -1}, func(b *bench) {
		b.RestartMiner()
		b.want("summary", noSuccess)
		time.Sleep(15*time.Second + 5*time.Minute)
		rate := b.Truth().Boards[0].Hashrate / 1e6
		s := b.summary()
		// After 300 s the average over 900 s shows 1 - exp(-300/900) of the rate.
		near(b.t, "MHS 15m", s.num(b.t, 0, "MHS 15m"), 0.283*rate, 0.02)
		near(b.t, "MHS 5m", s.num(b.t, 0, "MHS 5m"), 0.632*rate, 0.02)
		near(b.t, "MHS 1m", s.num(b.t, 0, "MHS 1m"), 0.993*rate, 0.02)
		near(b.t, "MHS 5s", s.num(b.t, 0, "MHS 5s"), rate, 0.05)
		if got := s.num(b.t, 0, "Device Elapsed"); got != 300 {
			b.t.Errorf("Device Elapsed = %v, want 300", got)
		}
		time.Sleep(2 * time.Hour)
		near(b.t, "MHS 15m in the end", b.summary().num(b.t, 0, "MHS 15m"), rate, 0.005)
	})
}

func TestDecayIsCgminers(t *testing.T) {
	// The closed form against cgminer's loop with a step of a second.
	for w, window := range windows {
		f, rate := 100.0, 700.0
		for range 90 {
			p := 1 - math.Exp(-1/window)
			f = (f + rate*p) / (1 + p)
		}
		closed := rate + (100-rate)*math.Exp(-90*decayPerSecond[w])
		near(t, "after 90 s", closed, f, 1e-9)
	}
}

func TestCountersFollowTheTrueRate(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		before, t0 := b.summary(), b.Truth()
		time.Sleep(time.Hour)
		after, t1 := b.summary(), b.Truth()
		for i := range after.Devs {
			grown := func(field string) float64 { return after.num(b.t, i, field) - before.num(b.t, i, field) }
			hashes := t1.Boards[i].Hashes - t0.Boards[i].Hashes
			near(b.t, "hashes", hashes, t0.Boards[i].Hashrate*3600, 1e-9)
			near(b.t, "Total MH", grown("Total MH")*1e6, hashes, 1e-6)
			near(b.t, "Diff1 Work", grown("Diff1 Work")*(1<<32), hashes, 1e-3)
			near(b.t, "Difficulty", (grown("Difficulty Accepted")+grown("Difficulty Rejected"))*(1<<32), hashes, 0.01)
			near(b.t, "Accepted", after.num(b.t, i, "Accepted"), float64(t1.Boards[i].Accepted), 0)
			if grown("Hardware Errors") <= 0 {
				b.t.Error("no hardware errors in an hour")
			}
			if since := after.num(b.t, i, "Last Share Time"); since < float64(time.Now().Add(-time.Minute).Unix()) || since > float64(time.Now().Unix()) {
				b.t.Errorf("Last Share Time = %v, now %v", since, time.Now().Unix())
			}
		}
		near(b.t, "all boards", t1.Hashes-t0.Hashes, t1.Hashrate*3600, 1e-9)
		if a := after.Pools[0]["Accepted"].(float64); a != float64(t1.Pools[0].Accepted) || a <= before.Pools[0]["Accepted"].(float64) {
			b.t.Errorf("pool 0 Accepted = %v, truth %d", a, t1.Pools[0].Accepted)
		}
	})
}

func TestAskingMoreOftenChangesNothing(t *testing.T) {
	end := func(step time.Duration) (hashes float64, accepted uint64) {
		onBench(t, Spec{TuneTime: time.Minute, Seed: 3}, func(b *bench) {
			b.RestartMiner()
			for range 2 * time.Hour / step {
				time.Sleep(step)
				b.Truth()
			}
			tr := b.Truth()
			hashes, accepted = tr.Boards[1].Hashes, tr.Pools[0].Accepted
		})
		return hashes, accepted
	}
	h1, a1 := end(2 * time.Hour)
	h2, a2 := end(7 * time.Second * 2)
	near(t, "hashes", h2, h1, 0.003) // 7200 s is not a multiple of 14
	if a2+6 < a1 || a2 > a1 {
		t.Errorf("accepted %d, want about %d", a2, a1)
	}
}

func TestTuningThenFiguresStartAnew(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		b.RestartMiner()
		time.Sleep(15*time.Second + 19*time.Minute)
		s := b.summary()
		if !s.Tuning || s.num(b.t, 0, "Device Elapsed") != 19*60 {
			b.t.Errorf("tuning %v, elapsed %v", s.Tuning, s.num(b.t, 0, "Device Elapsed"))
		}
		b.want("getAutoTuneStatus", `{"success":true,"isRunning":true,"isTuning":true,"mode":"balanced"}`)
		time.Sleep(2 * time.Minute)
		s = b.summary()
		if s.Tuning || s.num(b.t, 0, "Device Elapsed") != 60 {
			b.t.Errorf("after it: tuning %v, elapsed %v", s.Tuning, s.num(b.t, 0, "Device Elapsed"))
		}
		near(b.t, "MHS 5m", s.num(b.t, 0, "MHS 5m"), 0.18*b.Truth().Boards[0].Hashrate/1e6, 0.1)
	})
}

func TestHashRateFollowsElapsed(t *testing.T) {
	onBench(t, Spec{TuneTime: -1}, func(b *bench) {
		b.RestartMiner()
		time.Sleep(15 * time.Second)
		for _, c := range []struct {
			after time.Duration
			field string
		}{{299 * time.Second, "MHS 5s"}, {300 * time.Second, "MHS 1m"}, {899 * time.Second, "MHS 1m"}, {900 * time.Second, "MHS 5m"}, {3599 * time.Second, "MHS 5m"}, {3600 * time.Second, "MHS 15m"}} {
			time.Sleep(time.Until(b.Truth().MinerStarted.Add(c.after)))
			s := b.summary()
			if got, want := s.num(b.t, 1, "Hash Rate"), s.num(b.t, 1, c.field); got != want {
				b.t.Errorf("after %v: Hash Rate %v, want %s %v", c.after, got, c.field, want)
			}
		}
	})
}

func TestInnosiliconRatesForPeople(t *testing.T) {
	for _, c := range []struct {
		model, unit   string
		factor, least float64
	}{
		{"t1-innosilicon", "TH/s", 1e6, 4e12}, {"a8+", "KH/s", 1e3, 2e4}, {"a9", "KSol/s", 1, 1e4}, {"a10", "MH/s", 1, 1e8}, {"a11mx", "MH/s", 1, 4e8},
	} {
		t.Run(c.model, func(t *testing.T) {
			onBench(t, Spec{Model: c.model}, func(b *bench) {
				s := b.summary()
				h := s.num(b.t, 0, "Hash Rate H")
				if h < c.least || s.Devs[0]["Unit"] != c.unit || s.num(b.t, 0, "Hash Rate") >= 1000 {
					b.t.Errorf("Hash Rate H %v, Hash Rate %v %v", h, s.Devs[0]["Hash Rate"], s.Devs[0]["Unit"])
				}
				near(b.t, "Hash Rate H", h, b.Truth().Boards[0].Hashrate, 0.02)
				near(b.t, "MHS 1m", s.num(b.t, 0, "MHS 1m")*c.factor, h, 0.03)
			})
		})
	}
}

func TestFieldsOfModels(t *testing.T) {
	for _, c := range []struct {
		model, board, missing, pool string
		boards                      int
	}{
		{"t1", "Diff1 Work", "Unit", "Best Share", 3},
		{"b29", "MHS 1m", "MHS 15m", "Best Share", 3},
		{"a8+", "CHIP", "Last Share Time", "Best Share", 8},
		{"a9", "Hash Rate H", "Tune hash", "URL", 3},
		{"a11mx", "Tune hash", "Diff1 Work", "Best Share", 4},
	} {
		t.Run(c.model, func(t *testing.T) {
			onBench(t, Spec{Model: c.model}, func(b *bench) {
				s := b.summary()
				if len(s.Devs) != c.boards {
					b.t.Fatalf("%d boards, want %d", len(s.Devs), c.boards)
				}
				if _, ok := s.Devs[0][c.board]; !ok {
					b.t.Errorf("DEVS lacks %s", c.board)
				}
				if v, ok := s.Devs[0][c.missing]; ok {
					b.t.Errorf("DEVS has %s: %v", c.missing, v)
				}
				if _, ok := s.Pools[0][c.pool]; !ok {
					b.t.Errorf("POOLS lacks %s", c.pool)
				}
			})
		})
	}
}

func TestPoolsFailOver(t *testing.T) {
	onBench(t, Spec{}, func(b *bench) {
		active := func() (is []int) {
			for i, p := range b.summary().Pools {
				if p["Stratum Active"] == true {
					is = append(is, i)
				}
			}
			return is
		}
		b.Inject(PoolDead, PoolAt(0))
		time.Sleep(time.Hour)
		if got := active(); len(got) != 1 || got[0] != 1 {
			b.t.Errorf("active %v, want 1", got)
		}
		if got := b.Truth().Pools[1].Accepted; got < 400 {
			b.t.Errorf("pool 1 accepted %d", got)
		}
		b.Inject(PoolDead)
		before := b.Truth().Hashes
		time.Sleep(time.Hour)
		if got := active(); len(got) != 0 {
			b.t.Errorf("active %v with every pool dead", got)
		}
		if b.Truth().Hashes != before {
			b.t.Error("hashes without a pool")
		}
		b.Clear(PoolDead)
		if got := active(); len(got) != 1 || got[0] != 0 {
			b.t.Errorf("active %v, want 0 again", got)
		}
	})
}

func TestUptimeText(t *testing.T) {
	for _, c := range []struct {
		up   time.Duration
		want string
	}{
		{2 * time.Minute, "up 2 min, "}, {90 * time.Minute, "up  1:30, "}, {24*time.Hour + 5*time.Minute, "up 1 day, 5 min, "},
		{73*time.Hour + 2*time.Minute, "up 3 days,  1:02, "}, {11*24*time.Hour + 12*time.Hour, "up 11 days, 12:00, "},
	} {
		d := New(Spec{Uptime: c.up, Now: func() time.Time { return time.Unix(1529186666, 0) }})
		got := d.uptimeText(&request{now: d.Now(), deviceNow: d.Now().UTC(), state: &d.state})
		if want := "22:04:26 " + c.want + " load average: 0."; len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("%v: %q, want %q…", c.up, got, want)
		}
	}
}
