package fleet

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestRememberedReadsAndTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, inventoryName)
	const inventory = `{"version":1,"dragons":[
		{"mac":"a0:b0:45:00:00:02","address":"127.78.0.2","model":"T1","first_seen":"2026-01-02T00:00:00Z","last_seen":"2026-01-03T00:00:00Z"},
		{"mac":"a0:b0:45:00:00:01","address":"127.78.0.1:8080","model":"A9","first_seen":"2026-01-02T00:00:00Z","last_seen":"2026-01-03T00:00:00Z"},
		{"mac":"a0:b0:45:00:00:01","address":"127.78.0.9","first_seen":"2026-01-02T00:00:00Z","last_seen":"2026-01-03T00:00:00Z"}]}`
	if err := os.WriteFile(path, []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
	site := func(string) string { return "hall-a" }
	infos, err := Remembered(dir, site)
	if err != nil {
		t.Fatal(err)
	}
	var workers []string
	for _, i := range infos {
		workers = append(workers, i.Worker)
	}
	want := []string{"dragon-45000001@127.78.0.1:8080", "dragon-45000001@127.78.0.9", "dragon-45000002"}
	if len(workers) != 3 || workers[0] != want[0] || workers[1] != want[1] || workers[2] != want[2] {
		t.Errorf("%q, want %q", workers, want)
	}
	if infos[2].Site != "hall-a" || infos[2].Model != "T1" || infos[2].LastSeen.IsZero() {
		t.Errorf("%+v", infos[2])
	}

	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Remembered(dir, nil); err == nil {
		t.Error("a torn inventory is not an error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v; want only the inventory, where it was", entries, err)
	}
	if _, err := Remembered(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
