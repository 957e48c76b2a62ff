package store

import (
	"os"
	"path/filepath"
	"syscall"
)

// Bequeath gives a file that root has created to the owner of its directory, so that the
// program can read it as its own user.
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
