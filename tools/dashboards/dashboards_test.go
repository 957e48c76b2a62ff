package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const committed = "../../dashboards"

func limits(t *testing.T) thresholds {
	t.Helper()
	limits, err := readThresholds("../../alerts/thresholds.yml")
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

func TestCommittedBoardsAreTheGeneratedOnes(t *testing.T) {
	made := map[string]bool{}
	for _, b := range boards(limits(t)) {
		made[b.file()] = true
		want, err := b.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(committed, b.file()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), string(want)); diff != "" {
			t.Errorf("%s is stale; make dashboards writes it (-committed +generated)\n%s", b.file(), diff)
		}
	}
	files, err := filepath.Glob(committed + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !made[filepath.Base(f)] {
			t.Errorf("%s is not a generated board", f)
		}
	}
}
