package datadir

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestRightsOfOthersAreTakenAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	if narrowed, err := Prepare(dir); err != nil || len(narrowed) != 0 || mode(t, dir) != 0o700 {
		t.Fatalf("a new one: %v, %v, mode %#o", narrowed, err, mode(t, dir))
	}
	secret, private := filepath.Join(dir, "passwords.yml"), filepath.Join(dir, "healer.db")
	for path, perm := range map[string]os.FileMode{dir: 0o755, secret: 0o644, private: 0o600} {
		if path != dir {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(path, perm); err != nil {
			t.Fatal(err)
		}
	}
	if narrowed, err := Prepare(dir); err != nil || !slices.Equal(narrowed, []string{dir, secret}) {
		t.Errorf("narrowed %v, %v", narrowed, err)
	}
	if mode(t, dir) != 0o700 || mode(t, secret) != 0o600 || mode(t, private) != 0o600 {
		t.Errorf("modes %#o, %#o, %#o", mode(t, dir), mode(t, secret), mode(t, private))
	}
	if narrowed, err := Prepare(dir); err != nil || len(narrowed) != 0 {
		t.Errorf("again: %v, %v", narrowed, err)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestLinksAreRefused(t *testing.T) {
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "data")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(link); err == nil || !strings.Contains(err.Error(), "symbolic link: name "+real) {
		t.Errorf("a directory that is a link: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(real, "passwords.yml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(real); err == nil || !strings.Contains(err.Error(), "passwords.yml in the data directory is a symbolic link") {
		t.Errorf("a link in it: %v", err)
	}
}

// TestADirectoryOfAnotherUserIsRefused runs this very test as another user.
func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	if dir := os.Getenv("DATADIR_OF_ANOTHER"); dir != "" {
		if _, err := Prepare(dir); err == nil || !strings.Contains(err.Error(), "belongs to user 0 and has mode 0777") {
			t.Errorf("%v", err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("it takes root to become another user")
	}
	dir, err := os.MkdirTemp("/tmp", "datadir") //nolint:usetesting // another user is to get into it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	program := filepath.Join(dir, "test")
	binary, err := os.ReadFile(os.Args[0])
	for _, err := range []error{err, os.Mkdir(data, 0o700), os.Chmod(data, 0o777), os.Chmod(dir, 0o755), os.WriteFile(program, binary, 0o700), os.Chmod(program, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run", "TestADirectoryOfAnotherUserIsRefused")
	cmd.Env, cmd.Dir = []string{"DATADIR_OF_ANOTHER=" + data}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
