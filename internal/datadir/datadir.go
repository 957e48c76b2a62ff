// Package datadir protects the data directory, which has passwords and the healer's state.
package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Prepare creates the directory if it is missing, and removes the permissions of other
// users from it and its files. It returns the paths that it has changed. A symbolic link
// is an error, and so is a directory of another user that others may read or write.
func Prepare(dir string) (narrowed []string, err error) {
	if info, err := os.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 { //nolint:gosec // the operator names it
		to, _ := os.Readlink(dir)
		return nil, fmt.Errorf("the data directory %s is a symbolic link: name %s itself with --data-dir", dir, to)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // the operator names it
		return nil, fmt.Errorf("the data directory (--data-dir): %w", err)
	}
	info, err := os.Lstat(dir) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("the data directory (--data-dir): %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if !mayNarrow(info) {
			return nil, fmt.Errorf("the data directory %s belongs to user %d and has mode %#o, expected at most 0700: name a directory of its own in it with --data-dir",
				dir, ownerOf(info), info.Mode().Perm())
		}
		if err := os.Chmod(dir, 0o700); err != nil && !errors.Is(err, syscall.EROFS) { //nolint:gosec // a directory needs its x
			return nil, fmt.Errorf("the data directory: %w", err)
		}
		narrowed = append(narrowed, dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, fmt.Errorf("the data directory: %w", err)
		case info.Mode()&fs.ModeSymlink != 0:
			return nil, fmt.Errorf("%s in the data directory is a symbolic link: put the file itself there", path)
		case !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 || !mayNarrow(info):
			continue
		}
		if err := os.Chmod(path, info.Mode().Perm()&0o700); err != nil && !errors.Is(err, syscall.EROFS) { //nolint:gosec // the operator names it
			return nil, fmt.Errorf("the data directory: %w", err)
		}
		narrowed = append(narrowed, path)
	}
	return narrowed, nil
}

func mayNarrow(info fs.FileInfo) bool {
	return os.Geteuid() == 0 || ownerOf(info) == os.Geteuid()
}

// ownerOf is the owner of a file; -1: unknown.
func ownerOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// Open opens a file of the directory to read it, see OpenFile.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY) }

// OpenFile opens a file of the directory; a new one belongs to the program alone. Anything but a
// regular file is an error: a named pipe would keep the program waiting.
func OpenFile(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file: %v", path, info.Mode().Type())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile reads a file of the directory, see Open.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
