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

// Own owns the state in dir, without opening it, until release: for commands that write
// beside it while no instance runs. It waits for another owner for as long as its patience
// lasts; one that is still there then is ErrHeld.
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

// takeLock takes a lock that ends with the process, whatever ends that.
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
	// The owner's process ID is for people only, and nothing depends on whether it can be written.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// flock locks a file. Where another process holds it for longer than wait, it is ErrHeld.
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

// heldBy is ErrHeld with the process that has written itself into the lock, if one has.
func heldBy(lock io.Reader) error {
	var pid int
	if _, err := fmt.Fscan(io.LimitReader(lock, 20), &pid); err != nil || pid <= 0 {
		return ErrHeld
	}
	return fmt.Errorf("%w (%d)", ErrHeld, pid)
}
