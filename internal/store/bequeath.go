package store

import (
	"os"
	"path/filepath"
	"syscall"
)

// Bequeath gives a file that root has made to the owner of the directory that it is in:
// a command that an operator runs as root must not leave behind what the program, as
// another user, cannot read.
func Bequeath(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	owner, ok := dir.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}
