package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, aside, err := Open(dir)
	if err != nil || aside != "" {
		t.Fatalf("Open: %v, aside %q", err, aside)
	}
	return s
}

// some are records of a few dozen dragons, enough for more than one page.
func some(n int) Records {
	r := Records{Fleet: []byte(`{"fleet":1}`), Dragons: map[string][]byte{}}
	for i := range n {
		r.Dragons[fmt.Sprintf("a0:b0:45:00:00:%02x", i)] = fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, i, strings.Repeat("x", 300))
	}
	return r
}

func equal(a, b Records) bool {
	return bytes.Equal(a.Fleet, b.Fleet) && maps.EqualFunc(a.Dragons, b.Dragons, bytes.Equal)
}

func TestWhatIsCommittedIsThereAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	s := open(t, dir)
	want := some(50)
	if err := s.Commit(want); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(Records{Dragons: map[string][]byte{"a0:b0:45:00:00:01": nil, "a0:b0:45:00:00:02": []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	delete(want.Dragons, "a0:b0:45:00:00:01")
	want.Dragons["a0:b0:45:00:00:02"] = []byte(`{}`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := Peek(dir); err != nil || !equal(got, want) {
		t.Errorf("Peek: %v, %d dragons", err, len(got.Dragons))
	}
	s = open(t, dir)
	defer s.Close()
	if got, err := s.Load(); err != nil || !equal(got, want) {
		t.Errorf("Load: %v, %d dragons", err, len(got.Dragons))
	}
	want = some(3)
	if err := s.Replace(want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(); err != nil || !equal(got, want) {
		t.Errorf("after Replace: %v, %d dragons", err, len(got.Dragons))
	}
	if info, err := os.Stat(filepath.Join(dir, fileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others may read it", info.Mode(), err)
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, _, err := Open(dir); !errors.Is(err, ErrHeld) {
		t.Errorf("a second Open: %v, want ErrHeld", err)
	}
	if _, err := Peek(dir); !errors.Is(err, ErrHeld) {
		t.Errorf("Peek beside an owner: %v, want ErrHeld", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	defer open(t, dir).Close()
}

func TestPeekWhereThereIsNothing(t *testing.T) {
	dir := t.TempDir()
	if r, err := Peek(dir); err != nil || r.Fleet != nil || len(r.Dragons) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(dir, fileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Peek made a file")
	}
}

// Whatever happens to the file: what is returned is either what was committed, or
// the file is set aside and nothing is known. Nothing ends the process.
func TestADamagedFileIsSetAsideOrWhole(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	want := some(60)
	for range 3 { // so that there are free pages
		if err := s.Commit(want); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{"empty": {}, "text": []byte("not a database"), "zeros": make([]byte, len(whole))}
	for _, n := range []int{1, 100, 4096, 8192, 8200, 12288, 20480, len(whole) / 2, len(whole) - 4096, len(whole) - 1} {
		damaged[fmt.Sprintf("cut after %d", n)] = whole[:n]
	}
	for at := 5; at < len(whole); at += 977 {
		b := bytes.Clone(whole)
		b[at] ^= 0x55
		damaged[fmt.Sprintf("byte %d", at)] = b
	}
	for at := 0; at < len(whole); at += 4096 {
		b := bytes.Clone(whole)
		clear(b[at:min(at+4096, len(b))])
		damaged[fmt.Sprintf("page %d gone", at/4096)] = b
	}
	found := 0
	for name, data := range damaged {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, aside, err := Open(dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := s.Load()
		switch {
		case err != nil:
			t.Errorf("%s: Load: %v", name, err)
		case aside != "":
			found++
			if kept, err := os.ReadFile(aside); err != nil || !bytes.Equal(kept, data) {
				t.Errorf("%s: what was set aside is not what was there: %v", name, err)
			}
			if got.Fleet != nil || len(got.Dragons) != 0 {
				t.Errorf("%s: set aside, and still %d dragons known", name, len(got.Dragons))
			}
		case !equal(got, want):
			t.Errorf("%s: taken for whole, with %d dragons that are not as they were", name, len(got.Dragons))
		}
		if err := s.Commit(some(2)); err != nil {
			t.Errorf("%s: it cannot be written afterwards: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if found < 20 {
		t.Errorf("only %d of %d damages were found", found, len(damaged))
	}
}

func TestSetAsideBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Commit(some(2)); err != nil {
		t.Fatal(err)
	}
	aside, err := s.SetAside()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, err := s.Load(); err != nil || r.Fleet != nil || len(r.Dragons) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	if _, _, err := Open(dir); !errors.Is(err, ErrHeld) {
		t.Errorf("it is no longer owned: %v", err)
	}
}

// Who has set a state aside and is killed before he writes anything has not told the next
// one that nothing is known. The next one sees it all the same, until something is written.
func TestWhatWasSetAsideIsSaidUntilSomethingIsWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir) // nothing was there, and nothing is set aside
	if err := s.Commit(some(2)); err != nil {
		t.Fatal(err)
	}
	was, err := s.SetAside()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var aside string
		if s, aside, err = Open(dir); err != nil || aside != was {
			t.Fatalf("Open: %v, aside %q, want %q", err, aside, was)
		}
	}
	if err := s.Commit(some(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhereNothingCanBeWrittenItIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(filepath.Join(file, "data")); err == nil || errors.Is(err, ErrHeld) || errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	// A directory in the place of the file is no corrupt file.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(dir); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("%v", err)
	}
}
