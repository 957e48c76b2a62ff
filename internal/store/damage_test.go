package store

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

var soak = flag.Bool("soak", false, "20,000 damaged files, not a sample")

// aFile is the file of a state that has lived: with freed pages, pages that were split, and
// old versions of what is in it. It returns what the file holds.
func aFile(t *testing.T) (whole []byte, holds Records) {
	t.Helper()
	dir := t.TempDir()
	s, _ := open(t, dir)
	holds = some(150)
	must(t, s.Commit(holds))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		changed := NewRecords()
		changed.Fleet = fmt.Appendf(nil, `{"fleet":%d}`, i)
		for range 5 {
			mac := mac(random.IntN(150))
			changed.Dragons[mac] = bytes.Repeat([]byte{byte('a' + i%26)}, 200+random.IntN(400))
			changed.Cold[mac] = fmt.Appendf(nil, `{"cold":"%d"}`, random.Uint64())
		}
		must(t, s.Commit(changed))
		holds.Merge(changed)
	}
	must(t, s.Close())
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	must(t, err)
	return whole, holds
}

// damages are single flipped bits and truncations, all deterministic.
func damages(whole []byte, flips, cuts int) map[string][]byte {
	random := rand.New(rand.NewPCG(uint64(flips), 3))
	all := make(map[string][]byte, flips+cuts)
	for range flips {
		at, bit := random.IntN(len(whole)), random.IntN(8)
		b := bytes.Clone(whole)
		b[at] ^= 1 << bit
		all[fmt.Sprintf("bit %d of byte %#x", bit, at)] = b
	}
	for range cuts {
		n := random.IntN(len(whole))
		all[fmt.Sprintf("cut after %d", n)] = whole[:n]
	}
	return all
}

// Whatever happens to the file, it is either read as it was written or found to be corrupt.
func TestDamageIsFoundOrHarmless(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and nothing in it is new to the race detector")
	}
	whole, want := aFile(t)
	flips, cuts := 2000, 200
	if *soak {
		flips, cuts = 20000, 2000
	}
	random := rand.New(rand.NewPCG(uint64(flips), 3))
	found := 0
	try := func(name string, data []byte) {
		switch got, err := decodeFile(bytes.NewReader(data), int64(len(data))); {
		case err != nil && !errors.Is(err, ErrCorrupt):
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		case err != nil:
			found++
		case !equal(got.Records, want):
			t.Errorf("%s: read as whole, with %d records that are not as they were", name, len(got.Dragons))
		}
	}
	for range flips {
		at, bit := random.IntN(len(whole)), random.IntN(8)
		b := bytes.Clone(whole)
		b[at] ^= 1 << bit
		try(fmt.Sprintf("bit %d of byte %#x", bit, at), b)
	}
	for range cuts {
		n := random.IntN(len(whole))
		try(fmt.Sprintf("cut after %d", n), whole[:n])
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d of %d damages found, the others harmless; %d MB of memory", found, flips+cuts, m.Sys>>20)
	if found < (flips+cuts)/4 {
		t.Errorf("only %d of %d damages were found: the file is mostly free pages", found, flips+cuts)
	}
	if m.Sys > 200<<20 {
		t.Errorf("%d MB of memory", m.Sys>>20)
	}
}

// Every page of the tree is pointed at every other one: cycles, old pages, wrong kinds.
func TestEveryWrongPointerIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and nothing in it is new to the race detector")
	}
	whole, want := aFile(t)
	pages := len(whole) / pageSize
	pointers := 0
	for page := 2; page < pages; page++ {
		data := whole[page*pageSize:]
		if order.Uint16(data[8:]) != branchFlag {
			continue
		}
		for i := range int(order.Uint16(data[10:])) {
			for to := range pages + 1 {
				b := bytes.Clone(whole)
				order.PutUint64(b[page*pageSize+pageHeader+i*branchElement+8:], uint64(to))
				if got, err := decodeFile(bytes.NewReader(b), int64(len(b))); err == nil && !equal(got.Records, want) || err != nil && !errors.Is(err, ErrCorrupt) {
					t.Errorf("child %d of page %d points at page %d: %v", i, page, to, err)
				}
				pointers++
			}
		}
	}
	if pointers < 100 {
		t.Errorf("%d pointers tried, want a tree of more pages", pointers)
	}
}

// A damaged file is set aside as it is, and the store works afterwards.
func TestADamagedFileIsSetAside(t *testing.T) {
	whole, want := aFile(t)
	damaged := damages(whole, 20, 5)
	maps.Copy(damaged, map[string][]byte{"empty": {}, "text": []byte("not a database"), "zeros": make([]byte, len(whole)), "one page": whole[:pageSize]})
	found := 0
	for _, name := range slices.Sorted(maps.Keys(damaged)) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, fileName), damaged[name], 0o600))
		s, state, err := Open(dir, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		aside, err := lastAside(dir)
		must(t, err)
		switch {
		case aside != "":
			found++
			if kept, err := os.ReadFile(aside); err != nil || !bytes.Equal(kept, damaged[name]) {
				t.Errorf("%s: the file set aside is not the one that was there: %v", name, err)
			}
			if !state.Empty() || state.Lost == "" {
				t.Errorf("%s: set aside, and still %d dragons known; lost %q", name, len(state.Dragons), state.Lost)
			}
		case !equal(state.Records, want):
			t.Errorf("%s: taken for whole", name)
		}
		must(t, s.Replace(some(2)))
		must(t, s.Close())
		if got, err := Peek(dir); err != nil || !equal(got.Records, some(2)) {
			t.Errorf("%s: what is committed afterwards is not there again: %v", name, err)
		}
	}
	if found < 10 {
		t.Errorf("only %d of %d damages were found", found, len(damaged))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{})
	f.Add(readTestdata(f, "format-1.db.gz"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := decodeFile(bytes.NewReader(data), int64(len(data))); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
			t.Fatal(err)
		}
	})
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testdata/format-1.db.gz is the state of program 0.1.0 after a demo with twelve dragons.
func TestStateOfVersion010IsConverted(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, fileName), readTestdata(t, "format-1.db.gz"), 0o600))
	peeked, err := Peek(dir)
	must(t, err)
	s, state, err := Open(dir, 0)
	must(t, err)
	if !equal(peeked.Records, state.Records) || len(state.Dragons) != 12 || !bytes.Contains(state.Fleet, []byte(`"version":1`)) || state.Lost != "" {
		t.Errorf("%d dragons, fleet %.60s, lost %q", len(state.Dragons), state.Fleet, state.Lost)
	}
	must(t, s.Commit(Records{Cold: map[string][]byte{"x": []byte("y")}}))
	must(t, s.Close())
	again, err := Peek(dir)
	must(t, err)
	if len(again.Dragons) != 12 || again.Generation != 1 {
		t.Errorf("%d dragons, generation %d", len(again.Dragons), again.Generation)
	}
}
