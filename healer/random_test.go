package healer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// world is a farm that things happen to at random, and an oracle that sees only what
// was sent.
type world struct {
	*farm
	r      *rand.Rand
	writes []write
	size   int
}

type write struct {
	mac  string
	kind Kind
	at   time.Duration
}

func newWorld(t testing.TB, seed uint64, n int) *world {
	w := &world{farm: newFarm(t, n), r: rand.New(rand.NewPCG(seed, 0)), size: n}
	w.policy.Seed = seed
	for i, u := range w.units {
		u.who.Domain = fmt.Sprint("row-", i%3)
	}
	w.settle()
	return w
}

// happen lets something happen to one dragon, or to many.
func (w *world) happen() {
	u := w.units[w.r.IntN(len(w.units))]
	switch w.r.IntN(22) {
	case 0, 1:
		killBoard(u, w.r.IntN(3), 60)
	case 2:
		killBoard(u, w.r.IntN(3), 111)
	case 3, 4, 5:
		revive(u, "")
	case 6:
		u.reach = []ReadStatus{Timeout, Refused, AuthFailed, BadResponse, Busy, Untried}[w.r.IntN(6)]
	case 7, 8, 9:
		u.reach = Reached
	case 10:
		u.tuning = !u.tuning
	case 11:
		w.reboot(u)
	case 12:
		w.restart(u)
	case 13:
		u.boards[w.r.IntN(3)].rate = float64(w.r.IntN(6)) * tera
	case 14:
		u.boards[w.r.IntN(3)].gone = w.r.IntN(2) == 0
	case 15:
		u.boards[w.r.IntN(3)].temp = float64(w.r.IntN(150)) - 10
	case 16:
		u.pools[0].Status = []string{"Alive", "Dead"}[w.r.IntN(2)]
	case 17:
		u.frozen, u.ignore, u.die = w.r.IntN(3) == 0, w.r.IntN(3) == 0, w.r.IntN(8) == 0
	case 18:
		if w.r.IntN(4) == 0 {
			w.now.Wall = w.now.Wall.Add(time.Duration(w.r.IntN(48)-24) * time.Hour)
		}
	case 19:
		u.garbage = !u.garbage
	case 20:
		if w.r.IntN(3) == 0 {
			w.reload()
		}
	case 21:
		if w.r.IntN(6) == 0 { // the power
			for _, u := range w.units {
				w.reboot(u)
			}
		}
	}
}

// step lets a minute pass and checks what was sent.
func (w *world) step() {
	w.t.Helper()
	before := len(w.sent)
	w.tick()
	for _, a := range w.sent[before:] {
		w.writes = append(w.writes, write{w.macOf(a.ID), a.Kind, w.now.Mono})
		w.check(a)
	}
}

// check holds the last write against the invariants, as seen from outside.
func (w *world) check(a Action) {
	w.t.Helper()
	last := w.writes[len(w.writes)-1]
	count := func(window time.Duration, fits func(write) bool) (n int) {
		for _, x := range w.writes {
			if last.at-x.at < window && fits(x) {
				n++
			}
		}
		return n
	}
	same := func(x write) bool { return x.mac == last.mac }
	rebooted := func(x write) bool { return same(x) && x.kind == Reboot }
	all := func(write) bool { return true }
	treated := make(map[string]bool)
	count(day, func(x write) bool { treated[x.mac] = true; return true })
	for _, limit := range []struct {
		name string
		n    int
		most int
	}{
		{"I2 reboots of one dragon in 24h", count(day, rebooted), 3},
		{"I2 reboots of one dragon in 7d", count(week, rebooted), 6},
		{"writes to one dragon in 10m", count(10*time.Minute, same), 1},
		{"I1 writes in an hour", count(time.Hour, all), w.policy.Fleet.hourLimit(w.size)},
		{"I1 dragons written to in a day", len(treated), w.policy.Fleet.dayLimit(w.size)},
	} {
		if limit.n > limit.most {
			w.t.Errorf("%s: %d, at most %d", limit.name, limit.n, limit.most)
		}
	}
	u := w.unit(last.mac)
	// I7: the dragon's age just before the write is in the intent.
	if a.Before.Uptime >= 0 && a.Before.Uptime < (15*time.Minute).Seconds() && a.Before.Elapsed < (15*time.Minute).Seconds() {
		w.t.Errorf("I7: %s sent to a dragon that is up for %.0fs", a.Kind, a.Before.Uptime)
	}
	if u.pools[0].Status == "Dead" && a.Reason != NoWorkLocal && a.Kind == Reboot && a.Reason == LowHashrate {
		w.t.Errorf("a dragon without a pool is rebooted for its rate")
	}
}

// Random worlds: the limits hold whatever happens, twice the same seed gives the same
// audit, and a memory rebuilt from what was stored is the memory.
func TestRandomWorlds(t *testing.T) {
	t.Parallel()
	total := 0
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := []int{1, 2, 3, 7, 12, 20}[seed%6]
			w := newWorld(t, seed, n)
			stored := newShelf(t, w.mem)
			for range 60 * 24 {
				if w.r.IntN(12) == 0 {
					w.happen()
				}
				w.step()
				stored.take(t, w.mem)
			}
			stored.compare(t, w.mem)
			total += len(w.writes)
		})
	}
	if total < 8 {
		t.Errorf("%d writes in all: the worlds prove nothing", total)
	}
}

// shelf is a stand-in for the real one.
type shelf struct {
	fleet   []byte
	dragons map[string][]byte
	cold    map[string][]byte
}

func newShelf(t testing.TB, m *Memory) *shelf {
	m.Everything()
	s := &shelf{dragons: make(map[string][]byte), cold: make(map[string][]byte)}
	s.take(t, m)
	return s
}

func (s *shelf) take(t testing.TB, m *Memory) {
	t.Helper()
	c, err := m.Changes()
	if err != nil {
		t.Fatal(err)
	}
	if c.Fleet != nil {
		s.fleet = c.Fleet
	}
	for mac, data := range c.Dragons {
		if data == nil {
			delete(s.dragons, mac)
			continue
		}
		s.dragons[mac] = data
	}
	maps.Copy(s.cold, c.Cold)
}

// compare is invariant I23. What is cold may be older.
func (s *shelf) compare(t testing.TB, m *Memory) {
	t.Helper()
	rebuilt, err := LoadMemory(s.fleet, s.dragons)
	if err != nil {
		t.Fatal(err)
	}
	m = m.Clone()
	for _, r := range m.Dragons {
		r.LastSeen, r.Samples, r.Baseline = 0, 0, Baseline{}
	}
	for name, x := range map[string][2]any{"fleet": {m.Fleet, rebuilt.Fleet}, "dragons": {m.Dragons, rebuilt.Dragons}} {
		a, err1 := json.Marshal(x[0])
		b, err2 := json.Marshal(x[1])
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("the %s rebuilt from the store differ (-kept +rebuilt):\n%s", name, cmp.Diff(string(a), string(b)))
		}
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	t.Parallel()
	run := func() []byte {
		w := newWorld(t, 42, 15)
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		for range 60 * 24 {
			if w.r.IntN(10) == 0 {
				w.happen()
			}
			slices.Reverse(w.units) // the order of the view does not matter
			w.step()
			slices.Reverse(w.units)
			for _, a := range w.plan.Audit {
				if err := e.Encode(a); err != nil {
					t.Fatal(err)
				}
			}
		}
		return out.Bytes()
	}
	a, b := run(), run()
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("two runs differ (%d and %d bytes)", len(a), len(b))
	}
}

func TestACloneHasItsOwnListOfDragonsGivenUp(t *testing.T) {
	m := NewMemory()
	o := m.Fleet.outcomes("ladder")
	o.GivenUp = append(make([]string, 0, 4), "a")
	clone := m.Clone().Fleet.outcomes("ladder")
	clone.GivenUp = append(clone.GivenUp, "b")
	o.GivenUp = append(o.GivenUp, "c")
	if clone.GivenUp[1] != "b" {
		t.Errorf("the clone has %q", clone.GivenUp)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	w := newWorld(t, 3, 12)
	for range 600 {
		if w.r.IntN(6) == 0 {
			w.happen()
		}
		w.step()
	}
	before, err := json.Marshal(w.mem)
	if err != nil {
		t.Fatal(err)
	}
	audit := func(m *Memory) string {
		p := Decide(w.now, w.view(), m, &w.policy)
		data, err := json.Marshal(p.Dragons)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	clone := w.mem.Clone()
	later := w.now
	for range 120 {
		later.Mono += time.Minute
		later.Wall = later.Wall.Add(time.Minute)
		Decide(later, w.view(), clone, &w.policy)
	}
	after, err := json.Marshal(w.mem)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("deciding on a clone changed the original")
	}
	if a, b := audit(w.mem.Clone()), audit(w.mem.Clone()); a != b {
		t.Error("two clones decide differently: running evidence is shared")
	}
}

// Exhaustion of a tiny world: three dragons that are well, sick, young or gone, in
// every order of six steps, each dragon taking the order at its own pace. Whatever
// the order, the limits of a small farm hold.
func TestTinyWorldExhausted(t *testing.T) {
	t.Parallel()
	base := newFarm(t, 3).settle()
	base.policy.Default.Detect.DeadBoard = Evidence{4 * time.Minute, 4, 5} // a step is enough to fall ill
	for i, u := range base.units {
		u.who.Domain = fmt.Sprint("row-", i)
	}
	written := 0
	var walk func(*farm, int)
	walk = func(from *farm, step int) {
		if step == 6 {
			return
		}
		for state := range 4 {
			f := &farm{t: t, now: from.now, host: from.host, policy: from.policy, mem: from.mem.Clone(), sends: true, sent: slices.Clone(from.sent)}
			for i, u := range from.units {
				c := new(unit)
				*c = *u
				c.boards, c.pools, c.reach = slices.Clone(u.boards), slices.Clone(u.pools), Reached
				f.units = append(f.units, c)
				switch (state + i*step) % 4 {
				case 0:
					revive(c, "")
				case 1:
					killBoard(c, 0, 60)
				case 2:
					f.reboot(c)
				case 3:
					c.reach = Timeout
				}
			}
			f.run(6 * time.Minute)
			flying := 0
			for _, r := range f.mem.Dragons {
				if r.open() != nil {
					flying++
				}
			}
			if len(f.sent) > f.policy.Fleet.dayLimit(3) || flying > 1 {
				t.Fatalf("%d writes in %s, %d in flight", len(f.sent), f.age(), flying)
			}
			for _, a := range f.sent {
				if a.Before.Uptime < (15 * time.Minute).Seconds() {
					t.Fatalf("%s to a dragon that is up for %.0fs", a.Kind, a.Before.Uptime)
				}
			}
			written += len(f.sent) - len(from.sent)
			walk(f, step+1)
		}
	}
	walk(base, 0)
	if written == 0 {
		t.Error("nothing was ever sent: this proves nothing")
	}
}

// FuzzDecide drives a small farm by the fuzzer's bytes.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21})
	f.Add([]byte("a longer script of things that happen to a farm"))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 60 {
			return
		}
		w := newWorld(t, 1, 4)
		for _, b := range script {
			w.r = rand.New(rand.NewPCG(uint64(b), uint64(len(w.writes))))
			w.happen()
			for range b % 16 {
				w.step()
			}
		}
		var out bytes.Buffer
		if err := explainPlan(&out, w.plan, true, 0); err != nil {
			t.Fatal(err)
		}
		explainDragon(&out, w.plan, w.units[0].who.MAC)
	})
}

// FuzzLoadMemory feeds the store's bytes: broken ones are an error, never a panic.
func FuzzLoadMemory(f *testing.F) {
	w := newFarm(f, 2)
	w.tick()
	w.mem.Everything()
	c, err := w.mem.Changes()
	if err != nil {
		f.Fatal(err)
	}
	mac := w.units[0].who.MAC
	f.Add(c.Fleet, c.Dragons[mac])
	f.Add([]byte(`{"version":1,"breakers":[null,{"name":"storm","state":9}],"outcomes":{"a/b/c":null}}`), []byte(`{"who":{"MAC":"`+mac+`"},"actions":[{"at":9e17}]}`))
	f.Fuzz(func(t *testing.T, fleet, dragon []byte) {
		m, err := LoadMemory(fleet, map[string][]byte{mac: dragon})
		if err != nil {
			return
		}
		g := newFarm(t, 3)
		g.mem, g.sends = m, false
		g.mem.Start(g.now, &g.policy)
		for range 20 {
			g.tick()
		}
	})
}
