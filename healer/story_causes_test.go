package healer

import (
	"slices"
	"testing"
	"time"
)

func TestPoolOutageHealsNobody(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units {
		u.pools[0].Status = "Dead"
	}
	f.run(2 * time.Hour)
	if !f.plan.Pools[0].Down {
		t.Error("the pool is not known to be down")
	}
	for _, u := range f.units {
		u.pools[0].Status = "Alive"
	}
	f.run(6 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	if len(f.plan.Breakers) != 0 {
		t.Errorf("breakers still open: %v", f.plan.Breakers)
	}
}

func TestStuckAfterPoolOutageIsRestarted(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units {
		u.pools[0].Status = "Dead"
	}
	f.run(2 * time.Hour)
	for _, u := range f.units[1:] {
		u.pools[0].Status = "Alive"
	}
	back := f.now.Mono
	f.cure = func(u *unit, _ Kind) { u.pools[0].Status = "Alive" }
	f.run(3 * time.Hour)
	if got := f.sentTo(0); !slices.Equal(got, []Kind{Restart}) || len(f.sent) != 1 {
		t.Fatalf("sent %v, want one restart of the stuck one", f.sent)
	}
	if after := f.sent[0].Wall.Sub(f.now.Wall) + f.now.Mono - back; after < 20*time.Minute {
		t.Errorf("restarted %s after the pool came back, want at least 20m", after)
	}
}

func TestLocalPoolTroubleIsNeverRebooted(t *testing.T) {
	f := newFarm(t, 6).settle()
	f.units[5].pools[0].Status = "Dead"
	f.run(30 * time.Hour)
	got := f.sentTo(5)
	if len(got) < 3 || len(got) > 5 || slices.Contains(got, Reboot) {
		t.Fatalf("sent %v, want a few restarts", got)
	}
	r := f.record(5)
	for i := 1; i < len(r.Actions); i++ {
		if gap := r.Actions[i].At.Since(r.Actions[i-1].At); gap < 6*time.Hour {
			t.Errorf("restart after %s, want at least 6h", gap)
		}
	}
}

func TestDomainOutageIsNobodysIllness(t *testing.T) {
	f := newFarm(t, 30)
	for i, u := range f.units {
		u.who.Domain = []string{"a", "b", "c"}[i%3]
	}
	f.settle()
	for i := range f.units {
		if i%3 == 0 {
			f.units[i].reach = Timeout
		}
	}
	killBoard(f.units[3], 0, 60) // in the dark row
	f.run(20 * time.Minute)
	if d := f.plan.Domains[0]; !d.Down {
		t.Errorf("domain %+v is not down", d)
	}
	if s := f.of(3).State; s != StateUnreachable {
		t.Errorf("state %s, want unreachable", s)
	}
	for _, u := range f.units {
		u.reach = Reached
	}
	f.run(24 * time.Minute)
	if len(f.sent) != 0 {
		t.Errorf("sent %v within the grace after the return", f.sent)
	}
	if !f.plan.Domains[0].Held || f.plan.Domains[0].Down {
		t.Errorf("domain %+v, want held and not down", f.plan.Domains[0])
	}
	f.cure = revive
	f.run(2 * time.Hour)
	if got := f.sentTo(3); !slices.Equal(got, []Kind{Restart}) {
		t.Errorf("sent %v, want a restart once the hold was over", got)
	}
}

func TestIsolationHoldsEverything(t *testing.T) {
	for _, how := range []string{"most are gone", "gateway"} {
		t.Run(how, func(t *testing.T) {
			f := newFarm(t, 10).settle()
			killBoard(f.units[9], 0, 60)
			if how == "gateway" {
				f.host.GatewayDown = true
			} else {
				for i, u := range f.units[:6] {
					u.reach = Unreachable
					u.who.Domain = string(rune('a' + i))
				}
			}
			f.run(40 * time.Minute)
			if len(f.sent) != 0 {
				t.Errorf("sent %v", f.sent)
			}
			if !slices.Contains(f.closed(9), GateIsolation) {
				t.Errorf("closed gates %v, want isolation", f.closed(9))
			}
		})
	}
}

func TestPowerCutIsSatOut(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units {
		u.reach = Timeout
	}
	f.run(3 * time.Minute)
	for _, u := range f.units {
		u.reach, u.tuning = Reached, true
		f.reboot(u)
	}
	killBoard(f.units[4], 0, 60)
	f.run(40 * time.Minute)
	if b := f.mem.breaker("fleet_boot", ""); b == nil {
		t.Fatal("the boot was not noticed")
	}
	if b := f.mem.breaker("foreign", ""); b != nil {
		t.Error("the power cut is taken for a stranger")
	}
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	for _, u := range f.units {
		u.tuning = false
	}
	f.cure = revive
	f.run(4 * time.Hour)
	if got := f.sentTo(4); !slices.Equal(got, []Kind{Restart}) || len(f.sent) != 1 {
		t.Errorf("sent %v, want one restart of the dead board", f.sent)
	}
	for i := range f.units {
		if f.record(i).Flapping != 0 {
			t.Errorf("unit %d flaps", i)
		}
	}
	if len(f.plan.Breakers) != 0 {
		t.Errorf("breakers still open: %+v", f.plan.Breakers)
	}
}

func TestFlappingDragonIsLeftAlone(t *testing.T) {
	f := newFarm(t, 5).settle()
	for range 4 {
		f.reboot(f.units[2])
		f.run(16 * time.Minute)
	}
	if s := f.of(2).State; s != StateFlapping {
		t.Fatalf("state %s, want flapping", s)
	}
	killBoard(f.units[2], 0, 60)
	f.run(23 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	f.run(3 * time.Hour)
	if len(f.sentTo(2)) == 0 {
		t.Errorf("not acted on after a stable day: %+v", f.of(2))
	}
}

func TestForeignRestartsHoldWhatTheyStrike(t *testing.T) {
	f := newFarm(t, 40).settle()
	f.units[1].who.Domain = "elsewhere"
	killBoard(f.units[1], 0, 60)
	killBoard(f.units[20], 0, 60)
	for i := range 3 {
		f.restart(f.units[i])
		f.run(2 * time.Minute)
	}
	f.cure = revive
	f.run(50 * time.Minute)
	if len(f.sentTo(1)) != 0 || !slices.Contains(f.closed(1), GateForeign) || len(f.sentTo(20)) != 1 {
		t.Errorf("sent %v, closed %v", f.sent, f.closed(1))
	}
	f.run(3 * time.Hour)
	if len(f.sentTo(1)) != 1 {
		t.Errorf("sent %v, want one once the hold was over", f.sent)
	}
	if f.mem.breaker("foreign", "") != nil {
		t.Error("the breaker did not close after its trial")
	}
}

func TestDHCPSwapKeepsEvidenceWithTheMAC(t *testing.T) {
	f := newFarm(t, 10).settle()
	f.sends = false
	killBoard(f.units[3], 0, 60)
	f.run(5 * time.Minute)
	a, b := f.units[3], f.units[4]
	a.who.Address, b.who.Address = b.who.Address, a.who.Address
	f.run(20 * time.Minute)
	if d := f.of(3); d.Verb != Act || d.Address != a.who.Address {
		t.Errorf("decision %+v, want to act on the sick one at its new address", d)
	}
	if s := f.of(4).State; s != StateHealthy {
		t.Errorf("the other one is %s", s)
	}
	if f.record(3).Who.Address != a.who.Address {
		t.Error("the record has the old address")
	}
}

func TestMACConflictFreezesBoth(t *testing.T) {
	f := newFarm(t, 10).settle()
	killBoard(f.units[3], 0, 60)
	twin := *f.units[3]
	twin.who.Address = "127.9.9.9"
	f.units = append(f.units, &twin)
	zero := f.add(77)
	zero.who.MAC = "00:00:00:00:00:00"
	killBoard(zero, 0, 60)
	f.run(2 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
	if n := f.plan.Counts.States[StateConflict]; n != 3 {
		t.Errorf("%d in conflict, want 3", n)
	}
	f.units = f.units[:10]
	f.run(20 * time.Hour)
	if len(f.sent) != 0 || f.plan.Counts.States[StateConflict] != 1 {
		t.Errorf("sent %v: the twin may only be silent", f.sent)
	}
	f.run(8 * time.Hour)
	if len(f.sentTo(3)) == 0 {
		t.Error("not healed after the conflict was over")
	}
}

func TestSchemaDriftHoldsAFirmware(t *testing.T) {
	f := newFarm(t, 20).settle()
	for _, u := range f.units[:10] {
		u.who.Firmware = "t1_20990101_000000"
	}
	killBoard(f.units[5], 0, 60)
	killBoard(f.units[15], 0, 60)
	for _, u := range f.units[:2] {
		u.garbage = true
	}
	f.cure = revive
	f.run(2 * time.Hour)
	if s := f.of(0); s.State != StateUnreachable || s.Reason != Schema {
		t.Errorf("state %s reason %s, want unreachable for its schema", s.State, s.Reason)
	}
	if len(f.sentTo(5)) != 0 || !slices.Contains(f.closed(5), GateSchema) {
		t.Errorf("sent %v, closed %v: the firmware is not held", f.sentTo(5), f.closed(5))
	}
	if len(f.sentTo(15)) != 1 {
		t.Errorf("the other firmware is held, too: %v", f.closed(15))
	}
}

func TestShrunkenInventoryIsIsolation(t *testing.T) {
	f := newFarm(t, 10).settle()
	killBoard(f.units[0], 0, 60)
	f.units = f.units[:2]
	f.run(30 * time.Minute)
	if f.mem.breaker("isolation", "") == nil || len(f.sent) != 0 {
		t.Errorf("sent %v, breakers %v", f.sent, f.plan.Breakers)
	}
	if n := f.plan.Counts.Fleet; n != 10 {
		t.Errorf("%d dragons known, want 10", n)
	}
	f.now.Mono, f.now.Wall = f.now.Mono+31*day, f.now.Wall.Add(31*day)
	f.tick()
	if n := f.plan.Counts.Fleet; n != 2 {
		t.Errorf("%d dragons known after a month, want 2", n)
	}
}

func TestCripplesLeaveTheStormBreaker(t *testing.T) {
	f := newFarm(t, 10).settle()
	for i := range 3 {
		if err := f.mem.Quarantine(f.now, f.units[i].who.MAC, "user:ann", "old"); err != nil {
			t.Fatal(err)
		}
		killBoard(f.units[i], 0, 60)
	}
	killBoard(f.units[7], 0, 60)
	f.cure = revive
	f.run(3 * time.Hour)
	if len(f.sentTo(7)) != 1 || len(f.sent) != 1 {
		t.Errorf("sent %v, want one to the one that can be cured", f.sent)
	}
}

func TestStormAndSlowMode(t *testing.T) {
	f := newFarm(t, 3).settle()
	f.cure = revive
	killBoard(f.units[0], 0, 60)
	killBoard(f.units[1], 0, 60)
	f.run(35 * time.Minute)
	if len(f.sent) != 0 || !slices.Contains(f.closed(0), GateStorm) {
		t.Fatalf("sent %v, closed %v", f.sent, f.closed(0))
	}
	f.run(3 * time.Hour)
	if len(f.sentTo(0)) != 1 || len(f.sentTo(1)) != 1 {
		t.Errorf("sent %v, want both healed slowly", f.sent)
	}
	if first := f.mem.Action(f.macOf(f.sent[0].ID), f.sent[0].ID); f.sent[1].At < first.Ended {
		t.Error("the second was sent before the first had its outcome")
	}
	f.run(2 * time.Hour)
	if len(f.plan.Breakers) != 0 {
		t.Errorf("still open: %+v", f.plan.Breakers)
	}
}

func TestStormWithACauseNeverGoesSlow(t *testing.T) {
	f := newFarm(t, 10).settle()
	for i, u := range f.units {
		if i < 4 {
			killBoard(u, 0, 60)
		} else if i < 8 {
			u.pools[0].Status = "Dead"
		}
	}
	f.run(6 * time.Hour)
	if len(f.sent) != 0 {
		t.Errorf("sent %v", f.sent)
	}
}

func TestHotSiteIsAnAlertOnly(t *testing.T) {
	f := newFarm(t, 10).settle()
	for _, u := range f.units[:3] {
		u.boards[0].temp = 96
	}
	f.run(3 * time.Hour)
	if !f.plan.SiteHot || f.of(0).Reason != Hot || len(f.sent) != 0 {
		t.Errorf("site hot %v, reason %q, sent %v", f.plan.SiteHot, f.of(0).Reason, f.sent)
	}
}
