package fleet

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestTwoThatClaimOneMACAreToldApart(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, sim := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.read(a)
		h.lan.put("10.1.0.9", dragontest.New(dragontest.Spec{MAC: macA, Seed: 9}))
		if c := h.sight("10.1.0.9"); c != Conflict {
			h.Errorf("a second claimant: %s", c)
		}
		b := h.Lookup("10.1.0.9")
		if a.Info().Worker != "dragon-4500000a@10.1.0.8" || b.Info().Worker != "dragon-4500000a@10.1.0.9" || !a.Info().Conflict || !b.Info().Conflict {
			h.Errorf("%+v, %+v", a.Info(), b.Info())
		}
		if h.Lookup(macA) != nil || h.Lookup("dragon-4500000a") != nil {
			h.Error("an ambiguous name finds one of them")
		}
		h.read(a)
		h.read(b)
		for range 3 {
			if c := h.sight("10.1.0.8"); c != Unchanged {
				h.Errorf("seen again: %s", c)
			}
			if c := h.sight("10.1.0.9"); c != Unchanged {
				h.Errorf("seen again: %s", c)
			}
		}

		// One of them is away for some hours: nothing is renamed.
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": nil})
		for range 20 {
			_, _ = a.Read(h.Context(), 0)
			h.read(b)
			time.Sleep(time.Hour)
		}
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": sim})
		time.Sleep(2 * time.Minute)
		h.read(a)
		if !a.Info().Conflict || !b.Info().Conflict {
			h.Error("the conflict ended although both are there")
		}

		// For good, then.
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": nil})
		first := a.Info().FirstSeen
		for range 26 {
			_, _ = a.Read(h.Context(), 0)
			time.Sleep(time.Hour)
			h.read(b)
		}
		h.check()
		if i := b.Info(); i.Worker != "dragon-4500000a" || i.Conflict || len(h.Dragons()) != 1 || !i.FirstSeen.Equal(first) {
			h.Errorf("after a day: %+v", i)
		}
		if _, err := a.Read(h.Context(), 0); err == nil {
			h.Error("the claimant that is gone was read")
		}
	})
}

func TestTheClaimantThatIsLeftHasThePastOfBoth(t *testing.T) {
	inHall(t, every(Firmware), func(h *hall) {
		a, simA := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.read(a)
		b, _ := h.dragon("10.1.0.9", dragontest.Spec{MAC: macA, Seed: 9})
		h.read(b)
		time.Sleep(25 * time.Hour) // both are asked what their vendor has
		for range 2 {
			simA.RestartMiner()
			time.Sleep(time.Hour)
			h.read(a)
		}
		asked := time.Now()
		a.mu.Lock()
		a.firmwareAsked = asked
		a.mu.Unlock()
		before := h.lan.told("10.1.0.9", askVendor)
		h.lan.put("10.1.0.8", dragontest.New(dragontest.Spec{MAC: macB, Seed: 3}))
		h.sight("10.1.0.8")
		if got := b.Health().Restarts; got.Miner.Unknown != 2 || b.Info().Conflict {
			h.Errorf("restarts %+v, want both that were seen at the other address", got)
		}
		h.read(b)
		time.Sleep(time.Until(asked.Add(24*time.Hour - time.Minute)))
		if n := h.lan.told("10.1.0.9", askVendor) - before; n != 0 {
			h.Errorf("the vendor was asked %d times within a day", n)
		}
		time.Sleep(4 * time.Hour)
		if n := h.lan.told("10.1.0.9", askVendor) - before; n != 1 {
			h.Errorf("then the vendor was asked %d times", n)
		}
	})
}

func TestAConflictDoesNotEndWhileNoneAnswers(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, simA := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		simB := dragontest.New(dragontest.Spec{MAC: macA, Seed: 9})
		h.lan.put("10.1.0.9", simB)
		h.sight("10.1.0.9")
		b := h.Lookup("10.1.0.9")
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": nil, "10.1.0.9": nil}) // a power cut
		_, _ = a.Read(h.Context(), 0)
		time.Sleep(30 * time.Minute)
		_, _ = b.Read(h.Context(), 0)
		time.Sleep(72 * time.Hour)
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": simA, "10.1.0.9": simB})
		time.Sleep(2 * time.Minute)
		h.check()
		h.read(a)
		h.read(b)
	})
}

func TestAConflictEndsWhenOneIsAnotherDragon(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.lan.put("10.1.0.9", dragontest.New(dragontest.Spec{MAC: macA, Seed: 9}))
		h.sight("10.1.0.9")
		h.lan.put("10.1.0.9", dragontest.New(dragontest.Spec{MAC: macB, Seed: 9}))
		if c := h.sight("10.1.0.9"); c != Added {
			h.Errorf("%s", c)
		}
		h.lives(a, macA, "10.1.0.8")
		h.lives(h.Lookup(macB), macB, "10.1.0.9")
		if len(h.Dragons()) != 2 {
			h.Errorf("%d dragons", len(h.Dragons()))
		}
	})
}

func TestAClaimantThatMovesIsNotAThird(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		b, simB := h.dragon("10.1.0.9", dragontest.Spec{MAC: macA, Seed: 9})
		h.move(map[string]*dragontest.Dragon{"10.1.0.9": nil, "10.1.0.10": simB})
		if c := h.sight("10.1.0.10"); c != Moved {
			h.Errorf("%s", c)
		}
		if i := b.Info(); i.Worker != "dragon-4500000a@10.1.0.10" || len(h.Dragons()) != 2 {
			h.Errorf("%+v", i)
		}
	})
}

func TestDragonsWithoutAMACAreToldApartByAddress(t *testing.T) {
	for _, tc := range []struct{ mac, worker string }{
		{" ", "dragon-unknown@"},
		{"00:00:00:00:00:00", "dragon-00000000@"},
		{"00:0a:35:00:00:00", "dragon-35000000@"}, // the default of the board's maker
	} {
		t.Run(tc.mac, func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				for _, a := range []string{"10.1.0.8", "10.1.0.9"} {
					h.lan.put(a, dragontest.New(dragontest.Spec{MAC: tc.mac, Seed: uint64(len(a))}))
					if c := h.sight(a); c != Conflict {
						h.Errorf("first: %s", c)
					}
					if c := h.sight(a); c != Unchanged {
						h.Errorf("again: %s", c)
					}
					d := h.Lookup(a)
					if i := d.Info(); i.Worker != tc.worker+a || !i.Conflict {
						h.Errorf("%+v", i)
					}
					h.read(d)
				}
				// One gets its MAC back.
				h.lan.put("10.1.0.9", dragontest.New(dragontest.Spec{MAC: macB, Seed: 2}))
				if c := h.sight("10.1.0.9"); c != Added {
					h.Errorf("with a MAC: %s", c)
				}
				h.lives(h.Lookup(macB), macB, "10.1.0.9")
				if len(h.Dragons()) != 2 {
					h.Errorf("%d dragons", len(h.Dragons()))
				}
			})
		})
	}
}

func TestAMACUnreadableOnceChangesNothing(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.lan.put("10.1.0.8", dragontest.New(dragontest.Spec{MAC: "00:00:00:00:00:00"}))
		if c := h.sight("10.1.0.8"); c != Unchanged {
			h.Errorf("%s", c)
		}
		h.read(d)
		if i := d.Info(); i.MAC != macA || i.Conflict {
			h.Errorf("%+v", i)
		}
	})
}

func TestMACsWithTheSameEndDoNotShareAWorker(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: "a0:b0:45:00:00:0a"})
		b, simB := h.dragon("10.1.0.9", dragontest.Spec{MAC: "c8:00:45:00:00:0a", Seed: 2})
		if a.Info().Worker != "dragon-4500000a@10.1.0.8" || b.Info().Worker != "dragon-4500000a@10.1.0.9" {
			h.Errorf("%s, %s", a.Info().Worker, b.Info().Worker)
		}
		// b takes a's address: a, of no address, must still have a name of its own.
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": simB, "10.1.0.9": nil})
		h.sight("10.1.0.8")
		if a.Info().Worker != "dragon-4500000a@a0b04500000a" || b.Info().Worker != "dragon-4500000a@10.1.0.8" {
			h.Errorf("%s, %s", a.Info().Worker, b.Info().Worker)
		}
		if h.Lookup(b.mac) != b {
			h.Error("not found by its MAC, which is its own")
		}
	})
}

func TestAVanishedDragonIsForgottenInTheEnd(t *testing.T) {
	inHall(t, Config{Retention: 48 * time.Hour}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		other, _ := h.dragon("10.1.0.9", dragontest.Spec{MAC: macB, Seed: 2})
		h.lan.put("10.1.0.8", nil)
		_, _ = d.Read(h.Context(), 0)
		for range 47 {
			time.Sleep(time.Hour)
			h.read(other)
		}
		if h.Lookup(macA) != d {
			h.Error("forgotten too early")
		}
		time.Sleep(2 * time.Hour)
		h.check()
		if h.Lookup(macA) != nil || len(h.Dragons()) != 1 || h.Lookup(macB) != other {
			h.Error("not forgotten, or the wrong one")
		}
		before := h.lan.asked("10.1.0.8", "/api/auth") + h.lan.asked("10.1.0.8", "/api/summary")
		time.Sleep(time.Hour)
		if n := h.lan.asked("10.1.0.8", "/api/auth") + h.lan.asked("10.1.0.8", "/api/summary"); n != before {
			h.Error("a forgotten dragon is still asked")
		}
	})
}

// Wherever dragons go, and whatever is sighted meanwhile, each is found in the end,
// under one name, and read as itself.
func TestDragonsThatChangeAddressesOften(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				rng := rand.New(rand.NewPCG(seed, 0))
				addresses := make([]string, 7)
				for i := range addresses {
					addresses[i] = fmt.Sprintf("10.1.0.%d", i+1)
				}
				sims := make([]*dragontest.Dragon, 5)
				for i := range sims {
					sims[i] = dragontest.New(dragontest.Spec{MAC: fmt.Sprintf("a0:b0:45:00:00:%02x", i), Seed: uint64(i)})
				}
				var where []int
				for range 12 {
					where = rng.Perm(len(addresses))
					for _, a := range addresses {
						h.lan.put(a, nil)
					}
					for i, sim := range sims {
						h.lan.put(addresses[where[i]], sim)
					}
					for range rng.IntN(6) {
						i := rng.IntN(len(sims))
						switch rng.IntN(3) {
						case 0:
							h.sight(addresses[where[i]])
						case 1:
							if d := h.Lookup(fmt.Sprintf("a0:b0:45:00:00:%02x", i)); d != nil {
								if r, err := d.Read(h.Context(), 0); err == nil && r.Overview.MAC != d.mac {
									h.Fatalf("%s was read as %s", r.Overview.MAC, d.mac)
								}
							}
						default:
							time.Sleep(time.Duration(rng.IntN(100)) * time.Second)
						}
						synctest.Wait()
						h.check()
					}
				}
				for i := range sims {
					h.sight(addresses[where[i]])
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if len(h.Dragons()) != len(sims) {
					h.Errorf("%d dragons", len(h.Dragons()))
				}
				for i := range sims {
					mac := fmt.Sprintf("a0:b0:45:00:00:%02x", i)
					h.lives(h.Lookup(mac), mac, addresses[where[i]])
				}
			})
		})
	}
}

func TestDragonsBehindOneAddressAreLabelledByTheirPort(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		label := func(d *Dragon, want string) {
			h.Helper()
			if got := d.Info().IPLabel(); got != want {
				h.Errorf("%s is labelled %s, want %s", d.Info().Address, got, want)
			}
		}
		a, _ := h.dragon("10.1.0.8:8101", dragontest.Spec{MAC: macA})
		label(a, "10.1.0.8")
		b, simB := h.dragon("10.1.0.8:8102", dragontest.Spec{MAC: macB})
		label(a, "10.1.0.8:8101")
		label(b, "10.1.0.8:8102")
		h.move(map[string]*dragontest.Dragon{"10.1.0.8:8102": nil, "10.1.0.9": simB})
		if c := h.sight("10.1.0.9"); c != Moved {
			h.Fatalf("%s", c)
		}
		label(a, "10.1.0.8")
		label(b, "10.1.0.9")
		c, _ := h.dragon("10.1.0.9:8103", dragontest.Spec{MAC: macC})
		label(b, "10.1.0.9")
		label(c, "10.1.0.9:8103")
		if err := h.Forget(c.Info().Worker); err != nil {
			h.Error(err)
		}
		label(b, "10.1.0.9")
	})
}
