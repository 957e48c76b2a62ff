package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// adoptedTime is what is added to the name of a file whose state is in etcd by now.
const adoptedTime = ".adopted.20060102T150405.000Z"

// Adopt takes over the state in a directory of this host, if there is one. It is for an
// Etcd without a state. The file is renamed, so that it is adopted once; from is its new
// name, or empty where there was nothing to adopt. While another process owns the file the
// error is ErrHeld.
func (e *Etcd) Adopt(dir string) (state State, from string, err error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return State{}, "", nil
	}
	local, state, err := Open(dir, e.floor)
	if err != nil {
		return State{}, "", err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	if state.Empty() {
		return State{}, "", nil
	}
	e.floor = max(e.floor, state.Generation)
	if err := e.Commit(state.Records); err != nil {
		return State{}, "", err
	}
	state.Generation = e.Generation()
	from = path + time.Now().UTC().Format(adoptedTime)
	if err := os.Rename(path, from); err != nil {
		return State{}, "", fmt.Errorf("the state is in etcd now: %w", err)
	}
	return state, from, nil
}

// Export writes the shared state to a directory of this host, and sets it aside in etcd, so
// that nothing goes on with it there. It returns what was written, and where it is kept in etcd.
func (e *Etcd) Export(dir string, state State) (written State, aside string, err error) {
	local, _, err := Open(dir, state.Generation)
	if err != nil {
		return State{}, "", err
	}
	err = local.Replace(state.Records)
	state.Generation = local.Generation()
	if err = errors.Join(err, local.Close()); err != nil {
		return State{}, "", err
	}
	for _, name := range []string{fileName, lockName} {
		if err := Bequeath(filepath.Join(dir, name)); err != nil {
			return State{}, "", err
		}
	}
	aside, err = e.SetAside()
	return state, aside, err
}
