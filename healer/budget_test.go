package healer

import (
	"fmt"
	"testing"
	"time"
)

func TestLimitsByFleetSize(t *testing.T) {
	p := DefaultPolicy()
	type limits struct{ flight, hour, day, storm, fresh, scope int }
	for n, want := range map[int]limits{
		1:     {1, 2, 4, 2, 2, 3},
		2:     {1, 2, 4, 2, 2, 3},
		3:     {1, 2, 4, 2, 2, 3},
		4:     {1, 2, 4, 2, 2, 3},
		5:     {1, 2, 4, 2, 2, 3},
		6:     {1, 2, 4, 2, 2, 3},
		7:     {1, 2, 4, 2, 2, 3},
		8:     {1, 2, 4, 2, 2, 3},
		9:     {1, 2, 4, 2, 2, 3},
		10:    {1, 2, 4, 2, 2, 3},
		11:    {1, 2, 4, 3, 2, 4},
		50:    {1, 2, 8, 10, 5, 15},
		100:   {2, 3, 15, 20, 10, 30},
		1000:  {20, 30, 150, 200, 100, 300},
		10000: {100, 300, 1500, 2000, 1000, 3000},
	} {
		b := &p.Breakers
		got := limits{
			p.Fleet.flightLimit(n), p.Fleet.hourLimit(n), p.Fleet.dayLimit(n),
			atLeast(b.Storm, n, b.Floor), atLeast(b.StormFresh, n, b.Floor), atLeast(b.Scope, n, b.ScopeFloor),
		}
		if got != want {
			t.Errorf("N=%d: %+v, want %+v", n, got, want)
		}
	}
}

func TestDomainLimit(t *testing.T) {
	p := DefaultPolicy().Fleet
	for members, want := range map[int]int{1: 1, 49: 1, 50: 2, 1000: 2} {
		if got := p.domainLimit(members); got != want {
			t.Errorf("%d members: %d, want %d", members, got, want)
		}
	}
}

func TestSpacingLetsTheHoursBudgetBeUsed(t *testing.T) {
	p := DefaultPolicy().Fleet
	p.SpacingJitter = 0
	for n, want := range map[int]time.Duration{1: 30 * time.Second, 1000: 30 * time.Second, 10000: 12 * time.Second} {
		if got := p.SpacingAfter(7, "a", n); got != want {
			t.Errorf("N=%d: %s between two writes, want %s", n, got, want)
		}
	}
}

func TestSpacingIsJitteredAndRepeatable(t *testing.T) {
	p := DefaultPolicy().Fleet
	seen := make(map[time.Duration]bool)
	for i := range 200 {
		id := fmt.Sprint(i)
		d := p.SpacingAfter(7, id, 100)
		if d < 24*time.Second || d > 36*time.Second {
			t.Fatalf("spacing %s, want 30s ± 20%%", d)
		}
		if d != p.SpacingAfter(7, id, 100) {
			t.Fatal("the same seed and write give different spacings")
		}
		seen[d] = true
	}
	if len(seen) < 100 {
		t.Errorf("only %d different spacings of 200", len(seen))
	}
}

func TestRatioText(t *testing.T) {
	for text, want := range map[string]Ratio{"20%": 0.2, "0.2": 0.2, " 2 % ": 0.02, "0": 0, "100%": 1} {
		var r Ratio
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q: %v, %v, want %v", text, r, err, want)
		}
	}
	for _, text := range []string{"", "20", "-1%", "101%", "NaN", "inf", "x%"} {
		var r Ratio
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, r)
		}
	}
}

// interlocked makes a memory with n dragons in one domain.
func interlocked(n int) (*Memory, Instant, func(i int) string) {
	now := Instant{Wall: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), Mono: 1000 * time.Hour, BootID: "b"}
	m := NewMemory()
	m.run.time.advance(Anchor{Moment: Moment(1000 * time.Hour), Wall: now.Wall, Mono: now.Mono, BootID: "b"}, now, true)
	mac := func(i int) string { return fmt.Sprintf("a0:b0:45:00:%02x:%02x", i/256, i%256) }
	for i := range n {
		m.Dragons[mac(i)] = &Record{Who: Who{MAC: mac(i), Worker: fmt.Sprint("w", i), Domain: "d"}}
	}
	return m, now, mac
}

func TestInterlockCeilings(t *testing.T) {
	act := func(m *Memory, mac string, kind Kind, ago time.Duration, outcome Outcome) {
		at := m.run.time.moment.Add(-ago)
		m.Dragons[mac].Actions = append(m.Dragons[mac].Actions, Action{ID: fmt.Sprint(len(m.Fleet.Ring)), Kind: kind, At: at, Outcome: outcome})
		m.Fleet.Ring = append(m.Fleet.Ring, FleetAction{fmt.Sprint(len(m.Fleet.Ring)), mac, kind, at})
	}
	t.Run("nothing happened", func(t *testing.T) {
		m, now, mac := interlocked(1)
		if err := m.Interlock(now, mac(0), Reboot, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("unknown dragon", func(t *testing.T) {
		m, now, _ := interlocked(1)
		if m.Interlock(now, "a0:b0:45:ff:ff:ff", Reboot, "") == nil {
			t.Error("allowed")
		}
	})
	t.Run("ten minutes between two writes", func(t *testing.T) {
		for ago, ok := range map[time.Duration]bool{9 * time.Minute: false, 10 * time.Minute: true} {
			m, now, mac := interlocked(40)
			act(m, mac(0), Configure, ago, Recovered)
			if err := m.Interlock(now, mac(0), Restart, ""); (err == nil) != ok {
				t.Errorf("%s after: %v", ago, err)
			}
			if err := m.Interlock(now, mac(0), Restart, "0"); err != nil {
				t.Errorf("the intended action counts against itself: %v", err)
			}
		}
	})
	t.Run("six reboots a day", func(t *testing.T) {
		m, now, mac := interlocked(100)
		for i := range 6 {
			if err := m.Interlock(now, mac(0), Reboot, ""); err != nil {
				t.Fatalf("reboot %d: %v", i+1, err)
			}
			act(m, mac(0), Reboot, time.Duration(i+1)*time.Hour, NoEffect)
		}
		if m.Interlock(now, mac(0), Reboot, "") == nil {
			t.Error("a seventh is allowed")
		}
		if err := m.Interlock(now, mac(0), Restart, ""); err != nil {
			t.Errorf("a restart is not: %v", err)
		}
	})
	t.Run("tenth of the fleet, quarter of the domain in flight", func(t *testing.T) {
		for n, want := range map[int]int{1: 1, 3: 1, 10: 1, 19: 1, 20: 2, 100: 10} {
			m, now, mac := interlocked(n)
			got := 0
			for got < n && m.Interlock(now, mac(got), Restart, "") == nil {
				act(m, mac(got), Restart, 0, Open)
				got++
			}
			if got != want {
				t.Errorf("N=%d: %d in flight, want %d", n, got, want)
			}
		}
		m, now, mac := interlocked(100)
		for i := range 100 {
			if i >= 8 {
				m.Dragons[mac(i)].Who.Domain = "other"
			}
		}
		act(m, mac(0), Restart, time.Hour, Open)
		if err := m.Interlock(now, mac(1), Restart, ""); err != nil {
			t.Error(err)
		}
		act(m, mac(1), Restart, time.Hour, Open)
		if m.Interlock(now, mac(2), Restart, "") == nil {
			t.Error("three of a domain of eight are in flight")
		}
		if err := m.Interlock(now, mac(50), Restart, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("a quarter of the fleet a day", func(t *testing.T) {
		for n, want := range map[int]int{1: 6, 10: 6, 24: 6, 100: 25} {
			m, now, mac := interlocked(n)
			got := 0
			for got < 50 && m.Interlock(now, mac(0), Restart, "") == nil {
				for range 3 { // of one dragon they are one
					m.Fleet.Ring = append(m.Fleet.Ring, FleetAction{fmt.Sprint("r", got), fmt.Sprint("another ", got), Restart, m.run.time.moment.Add(-time.Hour)})
				}
				got++
			}
			if got != want {
				t.Errorf("N=%d: %d a day, want %d", n, got, want)
			}
		}
	})
}
