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

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) (*Store, State) {
	t.Helper()
	s, state, err := Open(dir, 0)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, state
}

func mac(i int) string { return fmt.Sprintf("a0:b0:45:00:%02x:%02x", i/256, i%256) }

// some are records of so many dragons; a few dozen fill more than one page.
func some(n int) Records {
	r := NewRecords()
	r.Fleet = []byte(`{"fleet":1}`)
	for i := range n {
		r.Dragons[mac(i)] = fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, i, strings.Repeat("x", 300))
		r.Cold[mac(i)] = fmt.Appendf(nil, `{"cold":%d}`, i)
	}
	return r
}

func equal(a, b Records) bool {
	return bytes.Equal(a.Fleet, b.Fleet) && maps.EqualFunc(a.Dragons, b.Dragons, bytes.Equal) && maps.EqualFunc(a.Cold, b.Cold, bytes.Equal)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCommittedRecordsAreLoadedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	s, _ := open(t, dir)
	want := some(50)
	must(t, s.Commit(want))
	must(t, s.Commit(Records{Dragons: map[string][]byte{mac(1): nil, mac(2): []byte(`{}`)}, Cold: map[string][]byte{mac(1): nil}}))
	delete(want.Dragons, mac(1))
	delete(want.Cold, mac(1))
	want.Dragons[mac(2)] = []byte(`{}`)
	must(t, s.Close())
	if got, err := Peek(dir); err != nil || !equal(got.Records, want) || got.Generation != 2 {
		t.Errorf("Peek: %v, generation %d, %d dragons", err, got.Generation, len(got.Dragons))
	}
	s, got := open(t, dir)
	if !equal(got.Records, want) || got.Lost != "" {
		t.Errorf("Open: lost %q, %d dragons", got.Lost, len(got.Dragons))
	}
	want = some(3)
	must(t, s.Replace(want))
	must(t, s.Close())
	if got, err := Peek(dir); err != nil || !equal(got.Records, want) || got.Generation != 3 {
		t.Errorf("after Replace: %v, generation %d, %d dragons", err, got.Generation, len(got.Dragons))
	}
	if info, err := os.Stat(filepath.Join(dir, fileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others may read it", info.Mode(), err)
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	if _, _, err := Open(dir, 0); !errors.Is(err, ErrHeld) {
		t.Errorf("a second Open: %v, want ErrHeld", err)
	}
	if _, err := Peek(dir); !errors.Is(err, ErrHeld) {
		t.Errorf("Peek beside an owner: %v, want ErrHeld", err)
	}
	must(t, s.Close())
	open(t, dir)
}

func TestPeekWithoutAFile(t *testing.T) {
	dir := t.TempDir()
	if r, err := Peek(dir); err != nil || !r.Empty() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(dir, fileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Peek made a file")
	}
}

func TestAfterSetAsideTheStoreIsEmpty(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	must(t, s.Commit(some(2)))
	aside, err := s.SetAside()
	must(t, err)
	if _, err := os.Stat(aside); err != nil {
		t.Error(err)
	}
	if _, _, err := Open(dir, 0); !errors.Is(err, ErrHeld) {
		t.Errorf("it is no longer owned: %v", err)
	}
	must(t, s.Commit(some(1)))
	if s.Generation() != 2 {
		t.Errorf("generation %d after SetAside at 1, want 2", s.Generation())
	}
}

// A process that sets a state aside and is killed before it writes anything has not told the
// next one that nothing is known. The next one says it all the same, until something is written.
func TestALostStateIsReportedUntilTheNextCommit(t *testing.T) {
	for name, lose := range map[string]struct {
		do    func(t *testing.T, dir string)
		floor uint64
		says  string
	}{
		"set aside": {func(t *testing.T, dir string) {
			s, _ := open(t, dir)
			_, err := s.SetAside()
			must(t, err)
			must(t, s.Close())
		}, 0, "set aside as"},
		"corrupt": {func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, fileName), []byte("no database"), 0o600))
		}, 0, "set aside as"},
		"gone": {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, fileName))) }, 2, "gone"},
		"restored": {func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "backup"), filepath.Join(dir, fileName)))
		}, 2, "a backup was restored"},
		"restored beside the newer one": {func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, fileName), filepath.Join(dir, fileName+".old")))
			must(t, os.Rename(filepath.Join(dir, "backup"), filepath.Join(dir, fileName)))
		}, 0, "a backup was restored"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, r := range []Records{some(2), some(3)} {
				s, _ := open(t, dir)
				must(t, s.Commit(r))
				must(t, s.Close())
				if i == 0 {
					data, err := os.ReadFile(filepath.Join(dir, fileName))
					must(t, err)
					must(t, os.WriteFile(filepath.Join(dir, "backup"), data, 0o600))
				}
			}
			lose.do(t, dir)
			for range 2 {
				s, state, err := Open(dir, lose.floor)
				must(t, err)
				must(t, s.Close())
				if !strings.Contains(state.Lost, lose.says) {
					t.Fatalf("lost %q, want %q", state.Lost, lose.says)
				}
			}
			s, _, err := Open(dir, lose.floor)
			must(t, err)
			must(t, s.Commit(some(1)))
			if s.Generation() <= lose.floor {
				t.Errorf("generation %d, want more than %d", s.Generation(), lose.floor)
			}
			must(t, s.Close())
			s, state, err := Open(dir, max(lose.floor, s.Generation()))
			must(t, err)
			must(t, s.Close())
			if state.Lost != "" {
				t.Errorf("after a commit: lost %q", state.Lost)
			}
		})
	}
}

func TestAnUnwritableDataDirectoryIsReported(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, _, err := Open(filepath.Join(file, "data"), 0); err == nil || errors.Is(err, ErrHeld) || errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	// A directory in the place of the file is not a corrupt file.
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, fileName), 0o700))
	if _, _, err := Open(dir, 0); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("%v", err)
	}
}

func TestLinksAreRefused(t *testing.T) {
	for _, name := range []string{fileName, lockName} {
		dir := t.TempDir()
		elsewhere := filepath.Join(t.TempDir(), "precious")
		must(t, os.WriteFile(elsewhere, []byte("precious"), 0o600))
		must(t, os.Symlink(elsewhere, filepath.Join(dir, name)))
		if _, _, err := Open(dir, 0); err == nil || errors.Is(err, ErrHeld) {
			t.Errorf("%s is a link, and Open: %v", name, err)
		}
		if data, err := os.ReadFile(elsewhere); err != nil || string(data) != "precious" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	dir := t.TempDir() // a link in the place of the new file is removed, not followed
	must(t, os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, newName)))
	open(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the link was followed")
	}
}

// TestANewerStateIsNeverSetAside writes what a later program might: another format behind
// the same seal.
func TestANewerStateIsNeverSetAside(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	must(t, s.Commit(some(2)))
	must(t, s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketState)
		must(t, b.Put([]byte("something/new"), []byte("in another encoding")))
		return b.Put([]byte(keySeal), encode(keySeal, 9, []byte(`{"format":3,"written_by":"7.1.0","more":{}}`)))
	}))
	must(t, s.Close())
	path := filepath.Join(dir, fileName)
	before, err := os.ReadFile(path)
	must(t, err)
	for name, try := range map[string]func() error{
		"Open": func() error { _, _, err := Open(dir, 0); return err },
		"Peek": func() error { _, err := Peek(dir); return err },
	} {
		if err := try(); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "mother-of-dragons 7.1.0 in format 3") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("%v, %v: want the file and the lock", files, err)
	}
}

// An error of a commit leaves what was there, and the next commit goes on from it.
func TestAFailedCommitChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	want := some(40)
	must(t, s.Commit(want))
	if err := s.Commit(Records{Fleet: []byte("x"), Dragons: map[string][]byte{strings.Repeat("k", 40000): []byte("too long a key")}}); err == nil {
		t.Fatal("no error")
	}
	must(t, s.Commit(Records{Dragons: map[string][]byte{mac(3): []byte("{}")}}))
	want.Dragons[mac(3)] = []byte("{}")
	must(t, s.Close())
	if got, err := Peek(dir); err != nil || !equal(got.Records, want) {
		t.Errorf("%v", err)
	}
}
