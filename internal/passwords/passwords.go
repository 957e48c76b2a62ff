// Package passwords keeps the passwords that the program itself has given to dragons,
// in one file of the data directory that only its owner can read.
//
// A password is on the disk before it is sent. The old one is forgotten only when the dragon
// has accepted the new one at a login. So if the program is killed at any moment, one of the
// passwords of an entry, or the one before it, is the dragon's.
package passwords

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

const (
	fileName = "passwords.yml"
	lockName = "passwords.lock"
	largest  = 64 << 20
	head     = "# The passwords that mother-of-dragons has given to dragons, by MAC. Keep this file, and keep it secret:\n# without it you cannot " +
		"log in to these dragons until their reset button is held.\n"
)

// ErrHeld says that another process changes passwords.
var ErrHeld = errors.New("another process changes passwords")

type entry struct {
	Username string    `yaml:"username"`
	Password string    `yaml:"password,omitempty"` // the dragon has accepted it
	Pending  string    `yaml:"pending,omitempty"`  // it was sent, or was about to be
	Address  string    `yaml:"address,omitempty"`  // of the dragon at that time, for a login without a known MAC
	At       time.Time `yaml:"at"`
}

func (e *entry) credentials() (tried []dragon.Credential) {
	for _, p := range []string{e.Password, e.Pending} {
		if p != "" {
			tried = append(tried, dragon.Credential{Username: e.Username, Password: dragon.Secret(p)})
		}
	}
	return tried
}

// Store is the file. Its methods may be called from any goroutine.
type Store struct {
	path string
	lock *os.File // nil: opened by Reader

	mu      sync.Mutex
	entries map[string]entry // by MAC
	read    fs.FileInfo      // of the file when it was last read; nil: there was none
	err     error            // why it could not be read
}

// Reader returns the store in dir for logins. It reads the file again when it has changed.
// The file may be missing.
func Reader(dir string) *Store {
	return &Store{path: filepath.Join(dir, fileName)}
}

// Open opens the store in dir for changes, until Close. While another process has it open
// the error is ErrHeld.
func Open(dir string) (*Store, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", lock.Name(), ErrHeld)
		}
		return nil, fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	s := Reader(dir)
	s.lock = lock
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follow(); s.err != nil {
		_ = lock.Close()
		return nil, s.err
	}
	return s, store.Bequeath(lock.Name())
}

// Close lets other processes open the store.
func (s *Store) Close() error { return s.lock.Close() }

// For returns the credentials of a dragon, to try at its login; nil if the store has none.
func (s *Store) For(mac string) []dragon.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow()
	e := s.entries[mac]
	return e.credentials()
}

// ForAddress returns the credentials to try at an address with an unidentified dragon:
// those of the dragon that was there at its last password change.
func (s *Store) ForAddress(address string) []dragon.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow()
	var last entry
	for _, e := range s.entries {
		if e.Address == address && !e.At.Before(last.At) {
			last = e
		}
	}
	return last.credentials()
}

// Err is why the file cannot be read; nil if it is missing.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow()
	return s.err
}

// Pending returns the password that was sent to a dragon, or was about to be, without a
// known result.
func (s *Store) Pending(mac string) (dragon.Secret, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.entries[mac].Pending
	return dragon.Secret(p), p != ""
}

// Begin records the password that will be sent to a dragon. It is on the disk when Begin
// returns.
func (s *Store) Begin(mac, address, user string, pending dragon.Secret) error {
	return s.change(mac, func(e *entry) {
		if e.Username != user {
			e.Password = "" // of another user
		}
		e.Username, e.Address, e.Pending = user, address, string(pending)
	})
}

// Confirm records that the dragon has accepted the pending password.
func (s *Store) Confirm(mac string) error {
	return s.change(mac, func(e *entry) { e.Password, e.Pending = e.Pending, "" })
}

// Refuse records that the dragon has not accepted the pending password.
func (s *Store) Refuse(mac string) error {
	return s.change(mac, func(e *entry) { e.Pending = "" })
}

func (s *Store) change(mac string, fn func(*entry)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return errors.New("passwords: the store was opened for reading")
	}
	e := s.entries[mac]
	fn(&e)
	at := time.Now().UTC().Truncate(time.Millisecond)
	if !at.After(e.At) { // of two entries for a dragon the newer one counts
		at = e.At.Add(time.Millisecond)
	}
	e.At = at
	return s.put(map[string]entry{mac: e})
}

// put writes changed entries. One without a password is removed. The caller holds s.mu.
func (s *Store) put(changed map[string]entry) error {
	next := make(map[string]entry)
	maps.Copy(next, s.entries)
	maps.Copy(next, changed)
	maps.DeleteFunc(next, func(_ string, e entry) bool { return len(e.credentials()) == 0 })
	if err := write(s.path, next); err != nil {
		return fmt.Errorf("passwords: %w", err)
	}
	s.entries = next
	s.read, _ = os.Lstat(s.path) // on an error the file is read again
	return nil
}

// write replaces the file. It is on the disk when write returns.
func write(path string, entries map[string]entry) error {
	data, err := yaml.Marshal(entries) //nolint:gosec // this file is for passwords
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, append([]byte(head), data...), 0o600, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithStaticPermissions(0o600)); err != nil {
		return err
	}
	if err := store.Bequeath(path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// follow reads the file if it has changed. The entries stay if it cannot be read. The caller
// holds s.mu.
func (s *Store) follow() {
	info, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.entries, s.read, s.err = nil, nil, nil
		return
	case err != nil:
		s.err = err
		return
	case !info.Mode().IsRegular(): // a link, too
		s.err = fmt.Errorf("%s: expected a regular file, got %v", s.path, info.Mode().Type())
		return
	case s.err == nil && sameFile(info, s.read):
		return
	case info.Size() > largest:
		s.err = fmt.Errorf("%s: %d bytes, expected at most %d", s.path, info.Size(), largest)
		return
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		s.err = err
		return
	}
	entries, err := parse(data)
	if err != nil {
		s.err = fmt.Errorf("%s: %w", s.path, err)
		return
	}
	s.entries, s.read, s.err = entries, info, nil
}

func parse(data []byte) (map[string]entry, error) {
	var raw map[string]entry
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, errors.New("expected passwords by MAC") // the library's error may quote a password
	}
	entries := make(map[string]entry, len(raw))
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		mac, ok := dragon.ParseMAC(key)
		if e := raw[key]; !ok || e.Username == "" || e.Password == "" && e.Pending == "" {
			return nil, fmt.Errorf("entry %.40q: expected a MAC with a username and a password", key)
		}
		entries[mac] = raw[key]
	}
	return entries, nil
}
