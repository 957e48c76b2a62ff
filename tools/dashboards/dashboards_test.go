package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const committed = "../../dashboards"

func TestCommittedFilesAreTheGeneratedOnes(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "alerting"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := run("../../alerts", dir, false); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"*.json", "alerting/*"} {
		want, got := read(t, dir, pattern), read(t, committed, pattern)
		if diff := cmp.Diff(got, want); diff != "" || len(want) < 2 {
			t.Errorf("%s are stale; make dashboards writes them (-committed +generated)\n%s", pattern, diff)
		}
	}
}

// read are the files of a pattern by their names.
func read(t *testing.T, dir, pattern string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = string(data)
	}
	return files
}
