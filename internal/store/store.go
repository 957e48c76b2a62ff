// Package store keeps the state that must survive a kill: a record of the fleet and one of
// each dragon, opaque to it, in one bbolt file with one owner at a time.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	fileName = "healer.db"
	newName  = "healer.db.new" // until it is whole

	// How long a reader may keep the file, which takes its lock for a moment.
	fileWait = time.Second
	again    = 20 * time.Millisecond // between two attempts to take a lock

	pageSize = 4096 // also where the host's are larger: a commit writes at least four
	filled   = 0.8  // of a page that is split: records grow
)

var bucketState = []byte("state")

var (
	// ErrHeld says that another process owns the state.
	ErrHeld = errors.New("held by another process")
	// ErrCorrupt says that the state exists and cannot be decoded.
	ErrCorrupt = errors.New("corrupt")
)

// Records are the fleet's record and those of its dragons by MAC: all of them, or those
// that changed. Of the changed, a nil Fleet is unchanged and a nil dragon forgotten.
type Records struct {
	Fleet   []byte
	Dragons map[string][]byte
	Cold    map[string][]byte // by MAC: what changes often and may be lost
}

// NewRecords returns no records.
func NewRecords() Records {
	return Records{Dragons: make(map[string][]byte), Cold: make(map[string][]byte)}
}

// Empty reports whether there are no records.
func (r *Records) Empty() bool { return r.Fleet == nil && len(r.Dragons) == 0 && len(r.Cold) == 0 }

// Merge adds newer changes.
func (r *Records) Merge(newer Records) {
	if newer.Fleet != nil {
		r.Fleet = newer.Fleet
	}
	if r.Dragons == nil || r.Cold == nil {
		none := NewRecords()
		maps.Copy(none.Dragons, r.Dragons)
		maps.Copy(none.Cold, r.Cold)
		r.Dragons, r.Cold = none.Dragons, none.Cold
	}
	maps.Copy(r.Dragons, newer.Dragons)
	maps.Copy(r.Cold, newer.Cold)
}

// State is what a store holds when it is opened.
type State struct {
	Records
	Generation uint64 // commits since the state began
	WrittenBy  string // version of the program that wrote it last; empty: 0.1.0 or nothing written

	// Lost says why the records are not the last ones written: moved aside, gone, or
	// restored from a backup. Empty: they are the last ones. It stays until the next
	// commit.
	Lost string
}

// Store is an open state. But for Generation, its methods may be called by one goroutine at a time.
type Store struct {
	dir   string
	lock  *os.File
	db    *bolt.DB
	floor uint64 // the next generation is above it

	generation atomic.Uint64
}

// Open loads the state in dir, which it creates if missing, and owns it until Close.
// Another owner is ErrHeld, a newer program's state ErrNewer. A state that cannot be
// decoded is moved aside under a dated name. floor is the newest generation known from
// elsewhere.
//
// The file is always written again from the records that were read: so bbolt, which
// trusts its file, only opens what this process wrote.
func Open(dir string, floor uint64) (s *Store, state State, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, State{}, fmt.Errorf("the healer's state: %w", err)
	}
	// The file's own lock is not enough: between finding it corrupt and setting it
	// aside, another process could do the same and take its new file for the old one.
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, State{}, fmt.Errorf("the healer's state in %s: %w", dir, err)
	}
	s = &Store{dir: dir, lock: lock}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if state, err = read(s.path()); errors.Is(err, ErrCorrupt) {
		var aside string
		if aside, err = setAside(s.path()); err == nil {
			state = State{Records: NewRecords()}
			state.Lost = "the state was corrupt and is set aside as " + aside
		}
	}
	if err != nil {
		return nil, State{}, fmt.Errorf("the healer's state %s: %w", s.path(), err)
	}
	if s.floor, err = s.newest(floor); err != nil {
		return nil, State{}, fmt.Errorf("the healer's state: %w", err)
	}
	if state.Lost == "" {
		if state.Lost, err = s.lost(&state); err != nil {
			return nil, State{}, fmt.Errorf("the healer's state: %w", err)
		}
	}
	if err = s.create(state); err != nil {
		return nil, State{}, fmt.Errorf("the healer's state %s: %w", s.path(), err)
	}
	return s, state, nil
}

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

// lost says why a state is not the last one written.
func (s *Store) lost(state *State) (string, error) {
	if state.Empty() {
		// The process that moved the last state aside may have ended before it wrote a new
		// one.
		aside, err := lastAside(s.dir)
		if err != nil || aside != "" {
			return "the state was set aside as " + aside, err
		}
		if s.floor > 0 {
			return fmt.Sprintf("the state is gone; it was at generation %d", s.floor), nil
		}
		return "", nil
	}
	if state.Generation < s.floor {
		return fmt.Sprintf("the state is of generation %d and was at %d before: a backup was restored", state.Generation, s.floor), nil
	}
	return "", nil
}

// newest is the newest generation of those known: floor, or that of a file beside the state.
func (s *Store) newest(floor uint64) (uint64, error) {
	beside, err := filepath.Glob(s.path() + ".*")
	if err != nil {
		return 0, err
	}
	for _, path := range beside[max(0, len(beside)-4):] {
		if other, err := read(path); err == nil {
			floor = max(floor, other.Generation)
		}
	}
	return floor, nil
}

// create writes a new file with a state in the place of the old one, and opens it.
func (s *Store) create(state State) error {
	fresh := filepath.Join(s.dir, newName)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := guarded(func() (err error) {
		s.db, err = bolt.Open(fresh, 0o600, &bolt.Options{
			Timeout: fileWait,
			// Every start writes a new file, so nothing reads the free list.
			NoFreelistSync: true,
			PageSize:       pageSize,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				return os.OpenFile(name, flag|os.O_EXCL|syscall.O_NOFOLLOW, mode) //nolint:gosec // it is the operator's own directory
			},
		})
		if err != nil {
			return err
		}
		return s.db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket(bucketState)
			if err != nil {
				return err
			}
			return write(b, state.Records, seal{Generation: state.Generation})
		})
	})
	if err == nil {
		err = os.Rename(fresh, s.path())
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil && s.db != nil {
		_ = s.db.Close()
	}
	s.generation.Store(state.Generation)
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // it is the operator's own directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read reads a whole state. A missing one has no records. While a process owns it, the
// error is ErrHeld.
func read(path string) (State, error) {
	none := State{Records: NewRecords()}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, nil
	case err != nil:
		return none, err
	case !info.Mode().IsRegular(): // a link, too
		return none, fmt.Errorf("it is not a regular file, but %v", info.Mode().Type())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0) //nolint:gosec // it is the operator's own directory
	if err != nil {
		return none, err
	}
	defer func() { _ = f.Close() }()
	if err := flock(f, syscall.LOCK_SH, fileWait); err != nil {
		return none, err
	}
	if info, err = f.Stat(); err != nil {
		return none, err
	}
	return decodeFile(f, info.Size())
}

// decodeFile reads a state in any format up to this program's.
func decodeFile(f io.ReaderAt, size int64) (state State, err error) {
	buckets, err := readBolt(f, size)
	if err != nil {
		return State{}, err
	}
	if content, ok := buckets[string(bucketState)]; ok && len(buckets) == 1 {
		var s seal
		state.Records, s, err = unseal(content)
		state.Generation, state.WrittenBy = s.Generation, s.WrittenBy
		return state, err
	}
	for name := range buckets {
		if name != bucketFleet1 && name != bucketDragons1 {
			return State{}, corrupt("a bucket %q", name)
		}
	}
	state.Records, err = unseal1(buckets)
	return state, err
}

// asideTime is what is added to the name of a file that is set aside.
const asideTime = ".20060102T150405.000Z"

// setAside renames a file out of the way.
func setAside(path string) (string, error) {
	aside := path + time.Now().UTC().Format(asideTime)
	return aside, os.Rename(path, aside)
}

// lastAside is the file in dir that was set aside last; empty: none was.
func lastAside(dir string) (aside string, err error) {
	files, err := os.ReadDir(dir) // by name, and so by time
	for _, f := range files {
		if when, ok := strings.CutPrefix(f.Name(), fileName); ok {
			if _, err := time.Parse(asideTime, when); err == nil {
				aside = filepath.Join(dir, f.Name())
			}
		}
	}
	return aside, err
}

// guarded turns a panic or a fault of bbolt into an error.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, v)
		}
	}()
	return fn()
}

// SetAside moves a state aside that its reader could not decode, and starts without
// records. If that fails the Store is closed.
func (s *Store) SetAside() (aside string, err error) {
	s.floor = max(s.floor, s.generation.Load())
	if err := s.db.Close(); err != nil {
		return "", errors.Join(err, s.lock.Close())
	}
	if aside, err = setAside(s.path()); err == nil {
		err = s.create(State{Records: NewRecords()})
	}
	if err != nil {
		_ = s.lock.Close()
	}
	return aside, err
}

// Peek returns the state in dir without owning it; no records if there is no file. While a
// process owns it, the error is ErrHeld.
func Peek(dir string) (State, error) {
	path := filepath.Join(dir, fileName)
	state, err := read(path)
	if err != nil {
		return State{}, fmt.Errorf("the healer's state %s: %w", path, err)
	}
	return state, nil
}

// Commit writes what changed: all of it or nothing, and on the disk when it returns.
func (s *Store) Commit(changed Records) error { return s.update(changed, false) }

// Replace writes all records in the place of what is there.
func (s *Store) Replace(all Records) error { return s.update(all, true) }

// Generation is the number of the last commit. It never goes down.
func (s *Store) Generation() uint64 { return s.generation.Load() }

// Remaining returns 0: the lock of an open state needs no lease.
func (s *Store) Remaining() time.Duration { return 0 }

// Wait returns 0: the owner of the lock may send at once.
func (s *Store) Wait() (time.Duration, string) { return 0, "" }

// Confirm returns nil: the lock ends with the process.
func (s *Store) Confirm(context.Context) error { return nil }

// Lost returns nil: the lock of an open state is not lost.
func (s *Store) Lost() <-chan struct{} { return nil }

func (s *Store) update(r Records, replace bool) error {
	next := uint64(0)
	err := guarded(func() error {
		return s.db.Update(func(tx *bolt.Tx) (err error) {
			was, err := decodeSeal(tx.Bucket(bucketState).Get([]byte(keySeal)))
			if err != nil {
				return err
			}
			next = max(was.Generation, s.floor) + 1
			if replace {
				was = seal{}
				if err = tx.DeleteBucket(bucketState); err == nil {
					_, err = tx.CreateBucket(bucketState)
				}
				if err != nil {
					return err
				}
			}
			was.Generation = next
			return write(tx.Bucket(bucketState), r, was)
		})
	})
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("writing the healer's state %s: %w", s.path(), fs.ErrClosed)
	case err != nil:
		return fmt.Errorf("writing the healer's state %s: %w", s.path(), err)
	}
	s.generation.Store(next)
	return nil
}

// write writes changed records and the seal over all of them.
func write(b *bolt.Bucket, r Records, s seal) error {
	b.FillPercent = filled
	err := r.changes(func(key string, data []byte) error {
		old := b.Get([]byte(key))
		if data == nil {
			s.add(old, nil)
			return b.Delete([]byte(key))
		}
		next := encode(key, s.Generation, data)
		s.add(old, next)
		return b.Put([]byte(key), next)
	})
	if err != nil {
		return err
	}
	data, err := s.encode()
	if err != nil {
		return err
	}
	return b.Put([]byte(keySeal), data)
}

// Close releases the state.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.lock.Close()) }
