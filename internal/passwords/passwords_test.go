package passwords

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

const mac = "a0:b0:45:00:d1:a7"

func credentials(passwords ...string) (list []dragon.Credential) {
	for _, p := range passwords {
		list = append(list, dragon.Credential{Username: "admin", Password: dragon.Secret(p)})
	}
	return list
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryStepIsOnTheDiskAndFollowed(t *testing.T) {
	dir := t.TempDir()
	reader := Reader(dir)
	if got := reader.For(mac); got != nil || reader.Err() != nil {
		t.Errorf("without a file: %v, %v", got, reader.Err())
	}
	b, err := Open(dir)
	do(t, err)
	want := func(passwords ...string) {
		t.Helper()
		for who, store := range map[string]*Store{"who changes it": b, "who follows it": reader, "who opens it": Reader(dir)} {
			if diff := cmp.Diff(credentials(passwords...), store.For(mac)); diff != "" {
				t.Errorf("%s: %s", who, diff)
			}
		}
	}
	do(t, b.Begin(mac, "127.78.0.1", "admin", "first"))
	want("first")
	do(t, b.Confirm(mac))
	want("first")
	do(t, b.Begin(mac, "127.78.0.1", "admin", "second"))
	want("first", "second")
	if p, ok := b.Pending(mac); !ok || p != "second" {
		t.Errorf("%q %v", string(p), ok)
	}
	do(t, b.Refuse(mac))
	want("first")
	do(t, b.Begin(mac, "127.78.0.1", "admin", "third"))
	do(t, b.Confirm(mac))
	want("third")
	if diff := cmp.Diff(credentials("third"), reader.ForAddress("127.78.0.1")); diff != "" || reader.ForAddress("127.78.0.2") != nil {
		t.Errorf("by its address: %s", diff)
	}
	info, err := os.Stat(b.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want the mode 0600", info, err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrHeld) {
		t.Errorf("a second process: %v", err)
	}
	do(t, b.Begin("00:11:22:33:44:55", "127.78.0.1", "admin", "never"))
	do(t, b.Refuse("00:11:22:33:44:55"))
	if data, _ := os.ReadFile(b.path); strings.Contains(string(data), "00:11") {
		t.Errorf("an entry without a password is left in\n%s", data)
	}
	do(t, b.Close())
	again, err := Open(dir)
	do(t, err)
	do(t, again.Close())
	if err := reader.Begin(mac, "127.78.0.1", "admin", "x"); err == nil {
		t.Error("a reader wrote")
	}
}

func TestAFileThatCannotBeReadLeavesWhatIsKnown(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	do(t, os.WriteFile(path, []byte("A0-B0-45-00-D1-A7: {username: admin, password: hunter2}\n"), 0o600))
	b := Reader(dir)
	if diff := cmp.Diff(credentials("hunter2"), b.For(mac)); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"[hunter2-longer]", "x: {username: admin, password: hunter2-longer}", mac + ": {username: admin, at: hunter2-longer}", mac + ": {password: hunter2-longer}"} {
		do(t, os.WriteFile(path, []byte(bad), 0o600))
		if diff := cmp.Diff(credentials("hunter2"), b.For(mac)); diff != "" {
			t.Error(diff)
		}
		if err := b.Err(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
		if _, err := Open(dir); err == nil {
			t.Errorf("%s: opened to be overwritten", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + mac + ": {username: admin, password: a, pending: b}\n"))
	f.Add([]byte("- 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parse(data)
		for m, e := range entries {
			if _, ok := dragon.ParseMAC(m); err != nil || !ok || e.Username == "" {
				t.Errorf("%q %v", m, err)
			}
		}
	})
}
