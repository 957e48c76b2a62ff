package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const lockName = "healer.lock"

// Own locks the state in dir, without opening it, until release: for commands that write
// other files while no instance runs. It waits for another owner for its patience, then
// returns ErrHeld.
func Own(dir string, patience time.Duration) (release func() error, err error) {
	path := filepath.Join(dir, lockName)
	for end := time.Now().Add(patience); ; <-time.After(again) { // no lock says when it is free
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

// takeLock takes a lock that ends with the process.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // it is the operator's own directory
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_EX, 0); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, ErrHeld) {
			return nil, heldBy(f)
		}
		return nil, err
	}
	// The owner's process ID is informational; a failed write does not matter.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// flock locks a file. If another process holds it for longer than wait, the error is
// ErrHeld.
func flock(f *os.File, how int, wait time.Duration) error {
	for end := time.Now().Add(wait); ; time.Sleep(again) { //nolint:forbidigo // no lock says when it is free
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		case !time.Now().Before(end):
			return ErrHeld
		}
	}
}

// heldBy is ErrHeld with the process ID in the lock file, if there is one.
func heldBy(lock io.Reader) error {
	var pid int
	if _, err := fmt.Fscan(io.LimitReader(lock, 20), &pid); err != nil || pid <= 0 {
		return ErrHeld
	}
	return fmt.Errorf("%w (%d)", ErrHeld, pid)
}
