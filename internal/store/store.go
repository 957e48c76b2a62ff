// Package store keeps what must survive a kill: a fleet's record and a record per
// dragon, opaque to it, in one bbolt file that one process at a time owns.
package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	fileName = "healer.db"
	lockName = "healer.lock"

	// How long a reader may keep the file, which takes its lock for a moment.
	fileWait = time.Second

	lockAgain = 20 * time.Millisecond // between two attempts to take the lock
)

var (
	bucketFleet   = []byte("fleet")
	bucketDragons = []byte("dragons")
	keyFleet      = []byte("fleet")
)

var (
	// ErrHeld says that another process owns the state.
	ErrHeld = errors.New("held by another process")
	// ErrCorrupt says that the state is there and cannot be understood.
	ErrCorrupt = errors.New("corrupt")
)

// Records is a fleet's record and those of its dragons by MAC: all of them, or those
// that changed. Of the changed, a nil Fleet is unchanged and a nil dragon forgotten.
type Records struct {
	Fleet   []byte
	Dragons map[string][]byte
}

// Store is an open state. Its methods may be called by one goroutine at a time.
type Store struct {
	dir  string
	lock *os.File
	db   *bolt.DB
}

// Open opens the state in dir, which is made if it is not there, and owns it until
// Close. Another owner is ErrHeld. What cannot be understood is set aside under a
// dated name, and the state begun anew: aside says where the old one went. Whoever
// gets an aside knows nothing of what was done before.
func Open(dir string) (s *Store, aside string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("the healer's state: %w", err)
	}
	// The file's own lock is not enough: between finding it corrupt and setting it
	// aside, another process could do the same and take its new file for the old one.
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, "", fmt.Errorf("the healer's state in %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	s = &Store{dir: dir, lock: lock}
	written, err := check(s.path())
	if errors.Is(err, ErrCorrupt) {
		if aside, err = setAside(s.path()); err != nil {
			return nil, "", fmt.Errorf("the healer's state: setting a corrupt file aside: %w", err)
		}
	}
	if err != nil {
		return nil, "", err
	}
	unsaid := ""
	if !written { // whoever set the last one aside may have been ended before he wrote that he knows nothing
		if unsaid, err = lastAside(dir); err != nil {
			return nil, "", fmt.Errorf("the healer's state: %w", err)
		}
	}
	if err = s.open(); aside == "" && errors.Is(err, ErrCorrupt) { // where check does not look: what is free
		if aside, err = setAside(s.path()); err == nil {
			err = s.open()
		}
	}
	if err != nil {
		return nil, "", err
	}
	return s, cmp.Or(aside, unsaid), nil
}

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

func (s *Store) open() error {
	var db *bolt.DB
	err := guarded(func() (err error) {
		db, err = bolt.Open(s.path(), 0o600, &bolt.Options{Timeout: fileWait})
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("the healer's state %s: %w", s.path(), ErrHeld)
	case err != nil:
		return fmt.Errorf("the healer's state %s: %w", s.path(), err)
	}
	s.db = db
	err = guarded(func() error {
		return db.Update(func(tx *bolt.Tx) error {
			for _, b := range [][]byte{bucketFleet, bucketDragons} {
				if _, err := tx.CreateBucketIfNotExists(b); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		_ = db.Close()
		return fmt.Errorf("the healer's state %s: %w", s.path(), err)
	}
	return nil
}

// Own owns the state in dir, without opening it, until release: for whoever writes
// beside it while nobody runs. It waits for another owner for as long as its patience
// lasts; one that is still there then is ErrHeld.
func Own(dir string, patience time.Duration) (release func() error, err error) {
	path := filepath.Join(dir, lockName)
	for end := time.Now().Add(patience); ; <-time.After(lockAgain) { // no lock says when it is free
		lock, err := takeLock(path)
		if err == nil {
			if err = Bequeath(path); err == nil {
				return lock.Close, nil
			}
			_ = lock.Close()
		}
		if !errors.Is(err, ErrHeld) || !time.Now().Before(end) {
			return nil, fmt.Errorf("the healer's state in %s: %w", dir, err)
		}
	}
}

// takeLock takes a lock that ends with the process, whatever ends that.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // it is the operator's own directory
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, heldBy(f)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	// Who it is that holds it is for people only, and nothing hangs on whether it can be written.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// heldBy is ErrHeld with the process that has written itself into the lock, if one has.
func heldBy(lock io.Reader) error {
	var pid int
	if _, err := fmt.Fscan(io.LimitReader(lock, 20), &pid); err != nil || pid <= 0 {
		return ErrHeld
	}
	return fmt.Errorf("%w (%d)", ErrHeld, pid)
}

// check reads all of a file before it is opened for writing, and reports whether it holds
// a record. One that is not there is in order. bbolt's own check does its work in a goroutine that a fault cannot be kept
// from ending the process in.
func check(path string) (written bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("the healer's state: %w", err)
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("the healer's state %s: it is no file", path)
	}
	if info.Size() == 0 { // bbolt would take it for a new one
		return false, fmt.Errorf("the healer's state %s: %w: it is empty", path, ErrCorrupt)
	}
	db, err := openReadOnly(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	err = guarded(func() error {
		return db.View(func(tx *bolt.Tx) error {
			if tx.Size() > info.Size() {
				return fmt.Errorf("%w: %d bytes, expected at least %d", ErrCorrupt, info.Size(), tx.Size())
			}
			r, err := load(tx)
			written = r.Fleet != nil || len(r.Dragons) > 0
			return err
		})
	})
	if err != nil {
		return false, fmt.Errorf("the healer's state %s: %w", path, err)
	}
	return written, nil
}

func openReadOnly(path string) (*bolt.DB, error) {
	var db *bolt.DB
	err := guarded(func() (err error) {
		db, err = bolt.Open(path, 0o400, &bolt.Options{Timeout: fileWait, ReadOnly: true})
		return err
	})
	var system syscall.Errno
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		err = ErrHeld
	case !errors.As(err, &system) && !errors.Is(err, ErrCorrupt): // not the file's content, then
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil, fmt.Errorf("the healer's state %s: %w", path, err)
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

// guarded turns into an error what bbolt answers a broken file with: a panic, or a
// fault, since it trusts what the file says of where to look.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, v)
		}
	}()
	return fn()
}

// SetAside sets the state aside, whose content its reader could not understand, and
// begins anew. If that fails the Store is closed.
func (s *Store) SetAside() (aside string, err error) {
	if err := s.db.Close(); err != nil {
		return "", errors.Join(err, s.lock.Close())
	}
	if aside, err = setAside(s.path()); err == nil {
		err = s.open()
	}
	if err != nil {
		_ = s.lock.Close()
	}
	return aside, err
}

// Load returns all records.
func (s *Store) Load() (r Records, err error) {
	err = guarded(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			r, err = load(tx)
			return err
		})
	})
	if err != nil {
		return Records{}, fmt.Errorf("the healer's state %s: %w", s.path(), err)
	}
	return r, nil
}

// Peek returns all records of the state in dir without owning it. There are none
// where there is no state. While a process owns it, the error is ErrHeld.
func Peek(dir string) (r Records, err error) {
	path := filepath.Join(dir, fileName)
	if _, err := check(path); err != nil {
		return Records{}, err
	}
	db, err := openReadOnly(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Records{}, nil
	}
	if err != nil {
		return Records{}, err
	}
	s := &Store{dir: dir, db: db}
	defer func() { _ = db.Close() }()
	return s.Load()
}

func load(tx *bolt.Tx) (Records, error) {
	r := Records{Dragons: make(map[string][]byte)}
	var err error
	if b := tx.Bucket(bucketFleet); b != nil {
		if r.Fleet, err = opened(b.Get(keyFleet)); err != nil {
			return Records{}, fmt.Errorf("the fleet's record: %w", err)
		}
	}
	if b := tx.Bucket(bucketDragons); b != nil {
		err = b.ForEach(func(mac, v []byte) error {
			data, err := opened(v)
			if err != nil {
				return fmt.Errorf("the record of %q: %w", mac, err)
			}
			r.Dragons[string(mac)] = data
			return nil
		})
	}
	return r, err
}

// Commit writes what changed: all of it or nothing, and on the disk when it returns.
func (s *Store) Commit(changed Records) error { return s.write(changed, false) }

// Replace writes all records in the place of what is there.
func (s *Store) Replace(all Records) error { return s.write(all, true) }

func (s *Store) write(r Records, replace bool) error {
	err := guarded(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			if replace {
				if err := tx.DeleteBucket(bucketDragons); err != nil {
					return err
				}
				if _, err := tx.CreateBucket(bucketDragons); err != nil {
					return err
				}
			}
			if r.Fleet != nil {
				if err := tx.Bucket(bucketFleet).Put(keyFleet, sealed(r.Fleet)); err != nil {
					return err
				}
			}
			dragons := tx.Bucket(bucketDragons)
			for mac, data := range r.Dragons {
				if data == nil {
					if err := dragons.Delete([]byte(mac)); err != nil {
						return err
					}
					continue
				}
				if err := dragons.Put([]byte(mac), sealed(data)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("writing the healer's state %s: %w", s.path(), err)
	}
	return nil
}

// Close gives the state up.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.lock.Close()) }

// sealed puts a checksum before a value: bbolt has none of its own, and a memory card
// may return what was never written.
func sealed(data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, len(data)+4), checksum(data)), data...)
}

// opened returns a copy of a sealed value, as bbolt's own lives no longer than its transaction.
func opened(v []byte) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	if len(v) < 4 || binary.BigEndian.Uint32(v) != checksum(v[4:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrCorrupt)
	}
	return append([]byte(nil), v[4:]...), nil
}

func checksum(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }
