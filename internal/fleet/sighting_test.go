package fleet

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

const (
	macA = "a0:b0:45:00:00:0a"
	macB = "a0:b0:45:00:00:0b"
	macC = "a0:b0:45:00:00:0c"
)

func TestASightingMakesADragonKnown(t *testing.T) {
	site := func(address string) string { return "hall of " + address }
	inHall(t, Config{Site: site}, func(h *hall) {
		h.lan.put("10.1.0.8", dragontest.New(dragontest.Spec{MAC: "A0: b0:45:00:E3: ab"}))
		if c := h.sight("10.1.0.8"); c != Added {
			h.Errorf("first sighting: %s", c)
		}
		if c := h.sight("10.1.0.8"); c != Unchanged {
			h.Errorf("second sighting: %s", c)
		}
		d := h.Lookup("dragon-4500e3ab")
		if d == nil {
			h.Fatal("not found by worker")
		}
		for _, target := range []string{"10.1.0.8", "10.1.0.8:80", "A0B04500E3AB", "a0-b0-45-00-e3-ab", "a0b0.4500.e3ab"} {
			if h.Lookup(target) != d {
				h.Errorf("not found by %s", target)
			}
		}
		for _, target := range []string{"", "10.1.0.9", "10.1.0.8:81", "dragon-4500e3ac", "a0:b0:45:00:e3:ac"} {
			if o := h.Lookup(target); o != nil {
				h.Errorf("%q found %s", target, o.Info().Worker)
			}
		}
		got, want := *d.Info(), Info{Worker: "dragon-4500e3ab", MAC: "a0:b0:45:00:e3:ab", Address: "10.1.0.8", IP: "10.1.0.8",
			Brand: dragon.DragonMint, Model: "T1", Firmware: got(d).Firmware, HWVersion: "g19", Site: "hall of 10.1.0.8",
			FirstSeen: time.Now(), LastSeen: time.Now()}
		if got != want {
			h.Errorf("got %+v, want %+v", got, want)
		}
		if all := h.Dragons(); len(all) != 1 || all[0] != d || &h.Dragons()[0] != &all[0] {
			h.Errorf("Dragons %v", all)
		}
		start := time.Now()
		time.Sleep(time.Second)
		if !h.Answered("10.1.0.8", start) || h.Answered("10.1.0.8", time.Now()) || h.Answered("10.1.0.9", time.Time{}) {
			h.Error("Answered after a sighting")
		}
		h.read(d)
		if !h.Answered("10.1.0.8", time.Now()) {
			h.Error("not Answered after a reading")
		}
	})
}

func got(d *Dragon) *Info { return d.Info() }

func TestAPortIsPartOfTheAddress(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8:8081", dragontest.Spec{})
		if i := d.Info(); i.Address != "10.1.0.8:8081" || i.IP != "10.1.0.8" || h.Lookup("10.1.0.8:8081") != d || h.Lookup("10.1.0.8:8080") != nil {
			h.Errorf("%+v", i)
		}
		h.read(d)
	})
}

// move changes who answers where.
func (h *hall) move(at map[string]*dragontest.Dragon) {
	for a, sim := range at {
		if sim == nil {
			h.lan.put(a, nil)
		} else {
			h.lan.put(a, sim)
		}
	}
}

// lives checks where a dragon is and that it is read there.
func (h *hall) lives(d *Dragon, mac, address string) {
	h.Helper()
	if i := d.Info(); i.MAC != mac || i.Address != address || i.Conflict || h.Lookup(mac) != d || h.Lookup(address) != d {
		h.Errorf("%s is at %s (%+v), want %s", mac, i.Address, i, address)
	}
	if r := h.read(d); r.Overview.MAC != mac {
		h.Errorf("a reading of %s is of %s", mac, r.Overview.MAC)
	}
}

func TestADragonThatMovesKeepsItsHistory(t *testing.T) {
	inHall(t, Config{Site: func(string) string { return "north" }}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		first := d.Info().FirstSeen
		d.SkippedForBudget()
		time.Sleep(time.Hour)
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": nil, "10.1.0.9": sim})
		if c := h.sight("10.1.0.9"); c != Moved {
			h.Errorf("sighted at another address: %s", c)
		}
		h.lives(d, macA, "10.1.0.9")
		if i := d.Info(); !i.FirstSeen.Equal(first) || d.Health().Failures[5] != 1 || len(h.Dragons()) != 1 {
			h.Errorf("history lost: %+v", i)
		}
		if h.Lookup("10.1.0.8") != nil {
			h.Error("still found at the old address")
		}
		h.move(map[string]*dragontest.Dragon{"10.1.0.9": nil, "miner-8.example": sim})
		h.sight("miner-8.example")
		if i := d.Info(); i.IP != "miner-8.example" {
			h.Errorf("at a name: %+v", i)
		}
	})
}

func TestADragonThatWasDownIsReadAtOnceWhereItIsSighted(t *testing.T) {
	for _, at := range []string{"10.1.0.8", "10.1.0.9"} {
		t.Run(at, func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
				before := d.endpoint
				h.move(map[string]*dragontest.Dragon{"10.1.0.8": nil})
				_, _ = d.Read(h.Context(), 0)
				time.Sleep(time.Hour)
				h.move(map[string]*dragontest.Dragon{at: sim})
				h.sight(at)
				synctest.Wait()
				h.lives(d, macA, at)
				if before.ctx.Err() == nil {
					h.Error("what was asked by its session before goes on")
				}
			})
		})
	}
}

func TestTwoDragonsSwapAddresses(t *testing.T) {
	for _, order := range [][]string{{"10.1.0.8", "10.1.0.9"}, {"10.1.0.9", "10.1.0.8"}, {"10.1.0.8"}, {"10.1.0.9"}} {
		t.Run(fmt.Sprint("sighted at ", order), func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				a, simA := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
				b, simB := h.dragon("10.1.0.9", dragontest.Spec{MAC: macB, Seed: 2})
				h.move(map[string]*dragontest.Dragon{"10.1.0.8": simB, "10.1.0.9": simA})
				if c := h.sight(order[0]); c != Moved {
					h.Errorf("first sighting: %s", c)
				}
				for _, address := range order[1:] {
					h.sight(address)
				}
				h.lives(a, macA, "10.1.0.9")
				h.lives(b, macB, "10.1.0.8")
			})
		})
	}
}

func TestAReadingThatMeetsAnotherDragonIsDiscarded(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, simA := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		b, simB := h.dragon("10.1.0.9", dragontest.Spec{MAC: macB, Seed: 2})
		h.read(a)
		h.read(b)
		time.Sleep(time.Minute)
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": simB, "10.1.0.9": simA})
		r, err := a.Read(h.Context(), 0)
		if err == nil {
			h.Fatalf("B's figures were taken for A's: %+v", r.Overview)
		}
		if g := a.Health(); g.Up || dragon.Reason(err) != "unreachable" || g.Failures[2] != 1 {
			h.Errorf("%v, %+v", err, g)
		}
		synctest.Wait() // B was met at A's address, and A then at B's
		h.check()
		h.lives(a, macA, "10.1.0.9")
		h.lives(b, macB, "10.1.0.8")
		if i := a.Info(); i.Brand != dragon.DragonMint {
			h.Errorf("%+v", i)
		}
	})
}

// antminer is an Antminer S9 whose firmware makes it talk like a dragon.
func antminer(seed uint64) *dragontest.Dragon {
	return dragontest.New(dragontest.Spec{Model: "S9", Brand: dragontest.AntMiner, Firmware: "s9_20180601_101500", MAC: "2c:00:f0:00:5e:ed", Seed: seed})
}

func TestAnAntminerThatTakesADragonsAddressIsNoDragon(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.read(a)
		h.lan.put("10.1.0.8", antminer(7))
		if _, err := a.Read(h.Context(), 0); err == nil {
			h.Error("it was read as the dragon")
		}
		synctest.Wait()
		h.check()
		if all := h.Dragons(); len(all) != 1 || all[0] != a || a.currentEndpoint() != nil {
			h.Errorf("%d dragons, %+v", len(all), all[len(all)-1].Info())
		}
		before := h.lan.asked("10.1.0.8", "/api/auth")
		time.Sleep(time.Hour)
		if n := h.lan.asked("10.1.0.8", "/api/auth"); n != before {
			h.Errorf("it was sent %d more credentials", n-before)
		}
	})
}

func TestAnAntminerAtADragonsFormerAddressIsNoDragon(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, sim := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": antminer(7), "10.1.0.9": sim})
		if c := h.sight("10.1.0.9"); c != Moved {
			h.Errorf("sighted elsewhere: %s", c)
		}
		h.lives(a, macA, "10.1.0.9")
		if n := len(h.Dragons()); n != 1 {
			h.Errorf("%d dragons", n)
		}
	})
}

func TestAStrangerWhoseStartPageDoesNotComeIsOfUnknownBrand(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		b := dragontest.New(dragontest.Spec{MAC: macB, Seed: 2})
		b.Inject(dragontest.Hang, dragontest.On("index"))
		h.lan.put("10.1.0.8", b)
		_, _ = a.Read(h.Context(), 0)
		time.Sleep(time.Minute)
		if d := h.Lookup(macB); d == nil || d.Info().Address != "10.1.0.8" || d.Info().Brand != "" {
			h.Errorf("%+v", d)
		}
	})
}

// A plain web server that took the address of a remembered dragon must not be sent the
// password again and again.
func TestNoCredentialGoesToAWebServerAtADragonsAddress(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<title>Shop</title>") })
	for name, read := range map[string]bool{"read before": true, "remembered": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				l := newLAN()
				h := openHall(t, Config{Dir: dir}, l)
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
				if read {
					h.read(d)
				} else {
					h.stop()
					h = openHall(t, Config{Dir: dir}, l)
					d = h.Lookup(macA)
				}
				l.put("10.1.0.8", page)
				before := l.asked("10.1.0.8", "/api/auth")
				if _, err := d.Read(h.Context(), 0); err == nil {
					t.Error("a page was read as a dragon")
				}
				time.Sleep(24 * time.Hour)
				if n := l.asked("10.1.0.8", "/api/auth") - before; n != 0 {
					t.Errorf("%d credentials sent in a day", n)
				}
				if g := d.Health(); g.Up || g.Reason != "response" {
					t.Errorf("%+v", g)
				}
				l.put("10.1.0.8", sim)
				time.Sleep(2 * time.Minute)
				h.lives(d, macA, "10.1.0.8")
			})
		})
	}
}

func TestADragonFoundElsewhereIsNotDownForWhatItsOldAddressSaid(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, simA := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		_, simB := h.dragon("10.1.0.9", dragontest.Spec{MAC: macB, Seed: 2})
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": simB, "10.1.0.9": simA})
		h.log.slow = time.Second // A is found again before its reading, which met B, has come to its end
		if _, err := a.Read(h.Context(), 0); err == nil {
			h.Fatal("B's figures were taken for A's")
		}
		h.lives(a, macA, "10.1.0.9")
	})
}

func TestADragonThatRefusedUsIsReadWithTheSessionOfTheScan(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		d, sim := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		sim.Inject(dragontest.WrongPassword)
		if _, err := d.Read(h.Context(), 0); dragon.Reason(err) != "auth" {
			h.Fatal(err)
		}
		sim.Clear()
		time.Sleep(time.Minute)
		if d.Health().Up {
			h.Error("a refusal is forgotten too early for this test")
		}
		h.sight("10.1.0.8")
		synctest.Wait()
		h.lives(d, macA, "10.1.0.8")
	})
}

func TestADragonWhoseAddressIsTakenIsNotAskedThere(t *testing.T) {
	inHall(t, Config{}, func(h *hall) {
		a, simA := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		_, simB := h.dragon("10.1.0.9", dragontest.Spec{MAC: macB, Seed: 2})
		h.move(map[string]*dragontest.Dragon{"10.1.0.8": simB, "10.1.0.9": nil})
		if c := h.sight("10.1.0.8"); c != Moved {
			h.Errorf("%s", c)
		}
		before := h.lan.total()
		time.Sleep(time.Hour)
		if n := h.lan.total() - before; n != 0 {
			h.Errorf("%d requests to a dragon of unknown address", n)
		}
		_, err := a.Read(h.Context(), 0)
		if g := a.Health(); dragon.Reason(err) != "unreachable" || g.Up || g.Reason != "unreachable" {
			h.Errorf("%v, %+v", err, g)
		}
		if err := a.Write(h.Context(), "reboot", func(context.Context, *dragon.Client) error { h.Error("written"); return nil }); err == nil {
			h.Error("a write to a dragon of unknown address")
		}
		if h.Lookup(macA) != a || a.Info().Address != "10.1.0.8" || a.Info().IP != "" {
			h.Errorf("a dragon without an address is forgotten, or claims another's: %+v", a.Info())
		}
		if e := a.copyEntry(a.record()); e.IP != "" {
			h.Errorf("the inventory's copy has it at %s", e.IP)
		}
		h.lan.put("10.1.0.9", simA)
		h.sight("10.1.0.9")
		h.lives(a, macA, "10.1.0.9")
		if i := a.Info(); i.IP != "10.1.0.9" {
			h.Errorf("found again: %+v", i)
		}
	})
}

func TestOnlySoManyAddressesMayClaimAMAC(t *testing.T) {
	for name, c := range map[string]struct {
		mac   string
		named bool
		want  int // of 50
	}{
		"a scan finds them":                        {macA, false, mostClaims},
		"the operator names them":                  {macA, true, mostClaims},
		"a scan finds them without a MAC":          {"", false, mostClaims},
		"the operator names them without a MAC":    {"", true, 50},
		"the operator names them with a MAC of 0":  {"00:00:00:00:00:00", true, 50},
		"the operator names them with the default": {"00:0a:35:00:00:00", true, 50},
		"a scan finds them with the default":       {"00:0a:35:00:00:00", false, mostClaims},
	} {
		t.Run(name, func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				sight := func(i int, named bool) Change {
					a := fmt.Sprintf("10.1.0.%d", i+1)
					h.lan.put(a, dragontest.New(dragontest.Spec{MAC: cmp.Or(c.mac, " "), Seed: uint64(i)}))
					return h.Sighted(h.Context(), Sighting{Address: a, Identity: &dragon.Identity{Overview: &dragon.Overview{MAC: c.mac}}, Named: named})
				}
				for i := range 50 {
					if got := sight(i, c.named); (got == Refused) != (i >= c.want) {
						h.Errorf("the claim %d: %s", i+1, got)
					}
				}
				for i := range 50 { // only a new address is one too many
					if got := sight(i, c.named); (got == Refused) != (i >= c.want) || i < c.want && got != Unchanged {
						h.Errorf("the claim %d again: %s", i+1, got)
					}
				}
				if got := sight(60, false); got != Refused {
					h.Errorf("one more that a scan finds: %s", got)
				}
				h.check()
				if n := len(h.Dragons()); n != c.want {
					h.Errorf("%d are known, want %d", n, c.want)
				}
			})
		})
	}
}

func TestAChainOfMoves(t *testing.T) {
	addresses := []string{"10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"}
	for _, ring := range []bool{false, true} {
		t.Run(fmt.Sprint("ring ", ring), func(t *testing.T) {
			inHall(t, Config{}, func(h *hall) {
				var dragons []*Dragon
				var sims []*dragontest.Dragon
				for i := range 3 {
					d, sim := h.dragon(addresses[i], dragontest.Spec{MAC: fmt.Sprintf("a0:b0:45:00:00:%02x", i), Seed: uint64(i)})
					dragons, sims = append(dragons, d), append(sims, sim)
				}
				where := addresses[1:]
				h.move(map[string]*dragontest.Dragon{addresses[0]: nil})
				if ring {
					where = []string{addresses[1], addresses[2], addresses[0]}
				}
				for i, sim := range sims {
					h.lan.put(where[i], sim)
				}
				for _, a := range where {
					h.sight(a)
				}
				for i, d := range dragons {
					h.lives(d, d.mac, where[i])
				}
			})
		})
	}
}
