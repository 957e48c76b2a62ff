package discovery

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestStrangersAreLeftAlone(t *testing.T) {
	for _, kind := range dragontest.StrangerKinds() {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.HerdConfig{Count: 3, Strangers: []dragontest.StrangerKind{kind, kind}},
					Config{Networks: networks(t, "127.10.0.0/28"), IdentifyTimeout: 5 * time.Second})
				r := f.scan()
				if len(r.Found) != 3 || r.Strangers+r.Unanswered != 2 || r.Scanned != 14 {
					t.Errorf("%+v", r)
				}
				if r.Duration > 6*time.Second {
					t.Errorf("took %v", r.Duration)
				}
				if len(f.fleet.Dragons()) != 3 {
					t.Errorf("the fleet has %d dragons", len(f.fleet.Dragons()))
				}
				first := f.herd.Strangers()[0].Traffic()
				// Only its token tells a modified Antminer from a dragon.
				if first.Credentials > 0 && kind != dragontest.Antminer {
					t.Errorf("it was sent %d credentials", first.Credentials)
				}
				if r.Strangers == 0 {
					return
				}

				time.Sleep(50 * time.Minute)
				again := f.scan()
				if again.Strangers != 2 {
					t.Errorf("the next scan says %+v", again)
				}
				if now := f.herd.Strangers()[0].Traffic(); now.Requests != first.Requests || now.Credentials != first.Credentials {
					t.Errorf("it was asked again within the hour: %+v after %+v", now, first)
				}
				time.Sleep(15 * time.Minute)
				f.scan()
				if now := f.herd.Strangers()[0].Traffic(); now == first {
					t.Error("it was not asked again after an hour")
				}
			})
		})
	}
}

func TestAStrangerThatLeavesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.HerdConfig{}, Config{Networks: networks(t, "127.10.0.0/30")})
		f.strangers.remember("127.10.0.2", isStranger, time.Hour)
		f.scan() // nobody lives there
		if _, ok := f.strangers.recall("127.10.0.2"); ok {
			t.Error("a dragon that gets the address would be taken for the stranger")
		}
	})
}

func TestTheMemoryOfStrangersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStrangers()
		for i := range 2 * remembered {
			s.remember(address(uint32(i)).String(), isStranger, time.Hour)
		}
		if len(s.m) != remembered {
			t.Errorf("%d remembered, want %d", len(s.m), remembered)
		}
		time.Sleep(time.Hour)
		s.remember("127.0.0.1", isStranger, time.Hour)
		if len(s.m) != 1 {
			t.Errorf("%d remembered after all but one are over", len(s.m))
		}
	})
}

func TestADragonThatMovesIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.HerdConfig{}, Config{Networks: networks(t, "127.10.0.0/29")})
		f.scan()
		worker := f.fleet.Lookup("127.10.0.1").Info().Worker
		if err := f.herd.Move(0, f.herd.Host(0).Next()); err != nil {
			t.Fatal(err)
		}
		r := f.scan()
		if len(r.Found) != 1 || r.Found[0].Address != "127.10.0.2" || r.Found[0].Change != "moved" {
			t.Errorf("%+v", r)
		}
		if d := f.fleet.Lookup(worker); d == nil || d.Info().Address != "127.10.0.2" {
			t.Error("the worker is not at its new address")
		}
	})
}
