// Package passwords keeps the passwords that the program itself has given to dragons,
// in one file of the data directory that only its owner may read.
//
// A password is on the disk before it is sent, and what it replaces is forgotten only
// when the dragon has taken the new one at a login. So whenever the program is killed,
// one of the passwords of an entry, or the one from before it, is the dragon's.
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
	head     = "# The passwords that mother-of-dragons has given to dragons, by MAC. Keep it, and keep it secret:\n# without it these dragons let nobody in until their reset button is held.\n"
)

// ErrHeld says that another process changes passwords.
var ErrHeld = errors.New("another process changes passwords")

// entry is what is known of one dragon's password.
type entry struct {
	Username string    `yaml:"username"`
	Password string    `yaml:"password,omitempty"` // the dragon has taken it
	Pending  string    `yaml:"pending,omitempty"`  // it was sent, or was to be
	Address  string    `yaml:"address,omitempty"`  // where the dragon lived then, for whoever knows no MAC
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

// Book is the file. Its methods may be called from any goroutine.
type Book struct {
	path string
	lock *os.File // nil: it is only read

	mu      sync.Mutex
	entries map[string]entry // by MAC
	read    fs.FileInfo      // of the file as it was read last; nil: it was not there
	err     error            // why it could not be read
}

// Reader returns the book in dir for whoever logs in. It follows the file, which need
// not be there.
func Reader(dir string) *Book {
	return &Book{path: filepath.Join(dir, fileName)}
}

// Open opens the book in dir to change it, until Close. Where another process does so
// it is ErrHeld.
func Open(dir string) (*Book, error) {
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
	b := Reader(dir)
	b.lock = lock
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.follow(); b.err != nil {
		_ = lock.Close()
		return nil, b.err
	}
	return b, store.Bequeath(lock.Name())
}

// Close lets others change the book.
func (b *Book) Close() error { return b.lock.Close() }

// Path is where the file is.
func (b *Book) Path() string { return b.path }

// For returns what to try at the login of a dragon, nothing where it was given none.
func (b *Book) For(mac string) []dragon.Credential {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow()
	e := b.entries[mac]
	return e.credentials()
}

// ForAddress returns what to try where it is not known who lives: the passwords of the
// dragon that was there when it was given one, the last one.
func (b *Book) ForAddress(address string) []dragon.Credential {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow()
	var last entry
	for _, e := range b.entries {
		if e.Address == address && !e.At.Before(last.At) {
			last = e
		}
	}
	return last.credentials()
}

// Err says why the file cannot be read; nil where it is not there.
func (b *Book) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow()
	return b.err
}

// Pending returns the password that was to be given to a dragon and of which it is not
// known whether it was.
func (b *Book) Pending(mac string) (dragon.Secret, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.entries[mac].Pending
	return dragon.Secret(p), p != ""
}

// Begin writes down that a dragon is to be given a password. It is on the disk when it
// returns.
func (b *Book) Begin(mac, address, user string, pending dragon.Secret) error {
	return b.change(mac, func(e *entry) {
		if e.Username != user {
			e.Password = "" // it was another user's
		}
		e.Username, e.Address, e.Pending = user, address, string(pending)
	})
}

// Confirm writes down that the dragon has taken the pending password.
func (b *Book) Confirm(mac string) error {
	return b.change(mac, func(e *entry) { e.Password, e.Pending = e.Pending, "" })
}

// Refuse writes down that the dragon has not taken the pending password.
func (b *Book) Refuse(mac string) error {
	return b.change(mac, func(e *entry) { e.Pending = "" })
}

func (b *Book) change(mac string, fn func(*entry)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lock == nil {
		return errors.New("passwords: the book was opened to read")
	}
	next := maps.Clone(b.entries)
	if next == nil {
		next = map[string]entry{}
	}
	e := next[mac]
	fn(&e)
	e.At = time.Now().UTC().Truncate(time.Second)
	next[mac] = e
	if e.Password == "" && e.Pending == "" {
		delete(next, mac)
	}
	if err := write(b.path, next); err != nil {
		return fmt.Errorf("passwords: %w", err)
	}
	b.entries = next
	b.read, _ = os.Lstat(b.path) // where it fails, it is read anew
	return nil
}

// write replaces the file, and does not return before it is on the disk.
func write(path string, entries map[string]entry) error {
	data, err := yaml.Marshal(entries) //nolint:gosec // this is the file that holds them
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, append([]byte(head), data...), 0o600, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o600)); err != nil {
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

// follow reads the file, if it is another than it was. One that cannot be read leaves
// what is known. The caller holds b.mu.
func (b *Book) follow() {
	info, err := os.Lstat(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.entries, b.read, b.err = nil, nil, nil
		return
	case err != nil:
		b.err = err
		return
	case !info.Mode().IsRegular(): // a link, too
		b.err = fmt.Errorf("%s: no regular file, but %v", b.path, info.Mode().Type())
		return
	case b.read != nil && b.err == nil && os.SameFile(info, b.read) && info.ModTime().Equal(b.read.ModTime()) && info.Size() == b.read.Size():
		return
	case info.Size() > largest:
		b.err = fmt.Errorf("%s: %d bytes, expected at most %d", b.path, info.Size(), largest)
		return
	}
	data, err := os.ReadFile(b.path)
	if err != nil {
		b.err = err
		return
	}
	entries, err := parse(data)
	if err != nil {
		b.err = fmt.Errorf("%s: %w", b.path, err)
		return
	}
	b.entries, b.read, b.err = entries, info, nil
}

func parse(data []byte) (map[string]entry, error) {
	var raw map[string]entry
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, errors.New("no list of passwords by MAC") // the error of the library may quote one
	}
	entries := make(map[string]entry, len(raw))
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		mac, ok := dragon.ParseMAC(key)
		if e := raw[key]; !ok || e.Username == "" || e.Password == "" && e.Pending == "" {
			return nil, fmt.Errorf("the entry %.40q: want a MAC with a username and a password", key)
		}
		entries[mac] = raw[key]
	}
	return entries, nil
}
