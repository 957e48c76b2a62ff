package healer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

func TestADeedIsOnRecordAlsoWhereNobodyRuns(t *testing.T) {
	dir := t.TempDir()
	deed := Deed{MAC: "A0:B0:45:00:D1:A7", Worker: "dragon-4500d1a7", Action: "poweroff", Owner: "ada", Note: "sent"}
	if err := RecordOffline(dir, deed); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, auditName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	records, err := ReadAudit(data)
	if err != nil || len(records) != 1 {
		t.Fatalf("%+v, %v", records, err)
	}
	if r := records[0]; r.MAC != "a0:b0:45:00:d1:a7" || r.Decision != Manual || r.Action != "poweroff" || r.Actor != "user:ada" || r.Note != "sent" || r.At.IsZero() {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want the mode 0600", info, err)
	}

	release, err := store.Own(dir) // as an instance does
	if err != nil {
		t.Fatal(err)
	}
	if err := RecordOffline(dir, deed); !errors.Is(err, store.ErrHeld) {
		t.Errorf("beside an instance: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Deed{{}, {MAC: "x", Action: "a", Owner: "o"}, {MAC: deed.MAC, Owner: "o"}, {MAC: deed.MAC, Action: "a"}} {
		if err := RecordOffline(dir, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
