package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/store"
)

func TestADeedIsOnRecordAlsoWhereNobodyRuns(t *testing.T) {
	dir := t.TempDir()
	manual := ManualAction{MAC: "A0:B0:45:00:D1:A7", Worker: "dragon-4500d1a7", Action: "poweroff", Owner: "ada", Note: "sent"}
	if err := new(OfflineAudit).Record(dir, manual); err != nil {
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
	if r := records[0]; r.MAC != "a0:b0:45:00:d1:a7" || r.Decision != healer.Manual || r.Action != "poweroff" || r.Actor != "user:ada" || r.Note != "sent" || r.At.IsZero() {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want the mode 0600", info, err)
	}

	for _, bad := range []ManualAction{{}, {MAC: "x", Action: "a", Owner: "o"}, {MAC: manual.MAC, Owner: "o"}, {MAC: manual.MAC, Action: "a"}} {
		if err := new(OfflineAudit).Record(dir, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// Two commands at once wait for each other, and for an instance only so long.
func TestADeedWaitsForTheLock(t *testing.T) {
	dir := t.TempDir()
	manual := ManualAction{MAC: "a0:b0:45:00:d1:a7", Action: "poweroff", Owner: "ada"}
	synctest.Test(t, func(t *testing.T) {
		release, err := store.Own(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		recorded := make(chan error)
		go func() { recorded <- new(OfflineAudit).Record(dir, manual) }()
		time.Sleep(3 * time.Second)
		select {
		case err := <-recorded:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if err := <-recorded; err != nil {
			t.Errorf("after the other one was done: %v", err)
		}

		if release, err = store.Own(dir, 0); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = new(OfflineAudit).Record(dir, manual)
		if want := fmt.Sprintf("held by another process (%d)", os.Getpid()); !errors.Is(err, store.ErrHeld) || !strings.Contains(err.Error(), want) {
			t.Errorf("beside an instance: %v, want %q", err, want)
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it gave up after %s, want 5s", took)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
	})
}

// A command at a thousand dragons would wait for hours, five seconds at each of them.
func TestManyDeedsWaitForTheLockTogether(t *testing.T) {
	dir := t.TempDir()
	manual := ManualAction{MAC: "a0:b0:45:00:d1:a7", Action: "poweroff", Owner: "ada"}
	synctest.Test(t, func(t *testing.T) {
		release, err := store.Own(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		var audit OfflineAudit
		began := time.Now()
		for range 100 {
			if err := audit.Record(dir, manual); !errors.Is(err, store.ErrHeld) {
				t.Fatalf("beside an instance: %v", err)
			}
		}
		if took := time.Since(began); took < recordPatience || took > recordPatience+time.Second {
			t.Errorf("they gave up after %s, want %s", took, recordPatience)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if err := audit.Record(dir, manual); err != nil {
			t.Errorf("nobody is there any more: %v", err)
		}
		if release, err = store.Own(dir, 0); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() { _ = release() })
		if err := audit.Record(dir, manual); err != nil {
			t.Errorf("another one is not waited for: %v", err)
		}
	})
}
