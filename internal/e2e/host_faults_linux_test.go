package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// TestStandingStillForTenMinutes stops the process, as a laptop's lid or a snapshot of a
// virtual machine does, for ten minutes of the dragons' time. It must not take its own
// absence for theirs.
func TestStandingStillForTenMinutes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("stands still for ten seconds")
	}
	w := newInstance(t, "enforce")
	w.dragons.Dragon(4).Inject(dragontest.DeadBoard, dragontest.CuredBy(dragontest.CuredByRestart))
	begun := w.now()
	if err := w.p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { // a scrape that comes meanwhile
		page, err := tryGet(w.base + "/metrics")
		if err == nil && strings.Count(page, "\ndragon_up{") != 10 {
			err = fmt.Errorf("half a page: %.300s", page)
		}
		answered <- err
	}()
	w.live(10 * time.Minute)
	if err := w.p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// The server's own time for an answer may be over: then the client is told so at once.
	if err := <-answered; err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the scrape that came meanwhile: %v", err)
	}
	if gone := w.now().Sub(begun); gone < 10*time.Minute {
		t.Errorf("it stood still for %v", gone)
	}
	// A request that was in flight may have run out of time.
	eventually(t, "all dragons are read again", func() bool { return boards(get(t, w.base+"/metrics")) == 10 })
	eventually(t, "the sick dragon is healed", func() bool { return len(w.dragons.Dragon(4).ActiveFaults()) == 0 })
	for _, x := range w.writes() {
		if x.dragon != 4 {
			t.Errorf("%s to %s, which is well", x.Endpoint, w.worker(x.dragon))
		}
	}
	for _, series := range []string{"mother_healer_isolated", `mother_healer_mode{mode="safe"}`} {
		if w.value(series) > 0 {
			t.Errorf("%s is %g", series, w.value(series))
		}
	}
	w.p.stop(t)
}

// TestNoCoreIsDumped crashes the program as Go does at its users' wish, and looks for a
// core: the passwords of the dragons would be in it.
func TestNoCoreIsDumped(t *testing.T) {
	t.Parallel()
	_, flags := fleetOf(t, dragontest.FleetConfig{Count: 2})
	unlimited := []string{"sh", "-c", `ulimit -c unlimited; GOTRACEBACK=crash exec "$@"`, "sh"}
	p, base := motherBy(t, unlimited, append(flags, "--data-dir="+t.TempDir())...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == 2 })
	if open := valueAt(t, base, "process_open_fds"); open < 5 {
		t.Errorf("process_open_fds is %g: the program cannot read what it may read of itself", open)
	}
	if err := p.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	<-p.done
	exit, ok := errors.AsType[*exec.ExitError](p.err)
	if !ok {
		t.Fatalf("it ended with %v", p.err)
	}
	status := exit.Sys().(syscall.WaitStatus)
	if cores, _ := filepath.Glob(filepath.Join(p.Dir, "*core*")); !status.Signaled() || status.CoreDump() || len(cores) > 0 {
		t.Errorf("signalled: %t; a core was dumped: %t %v", status.Signaled(), status.CoreDump(), cores)
	}
}

// TestNoInodeIsLeft lets a file system have room and no file left, as one full of small
// files has.
func TestNoInodeIsLeft(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 7})
	dragons.Dragon(5).Inject(dragontest.Unplugged)
	dragons.Dragon(6).Inject(dragontest.Unplugged)
	dir := t.TempDir()
	// In a mount namespace of its own, which ends with the program.
	inside := []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o nr_inodes=64,size=16m,mode=0700 tmpfs "$0" && exec "$@"`, dir}
	if out, err := exec.CommandContext(t.Context(), inside[0], append(inside[1:len(inside):len(inside)], "true")...).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v %s", err, out)
	}
	p, base := motherBy(t, inside, append(flags, "--data-dir="+dir, "--scan-interval=2")...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == 5 })
	seen := filepath.Join("/proc", fmt.Sprint(p.Process.Pid), "root", dir)
	eventually(t, "the inventory is written", func() bool {
		_, err := os.Stat(filepath.Join(seen, "inventory.json"))
		return err == nil
	})
	inventory := filepath.Join(seen, "inventory.json")
	before, err := os.ReadFile(inventory)
	if err != nil {
		t.Fatal(err)
	}
	var fill []string
	for i := 0; ; i++ {
		name := filepath.Join(seen, fmt.Sprint("small-", i))
		f, err := os.Create(name)
		if errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		f.Close()
		fill = append(fill, name)
	}
	dragons.Dragon(5).Clear() // which is to be written down
	eventually(t, "it is said that the inventory cannot be written", func() bool {
		return valueAt(t, base, `mother_inventory_write_failures_total{file="own"}`) > 0
	})
	eventually(t, "all dragons are read, the new one too", func() bool { return boards(get(t, base+"/metrics")) == 6 })
	if after, err := os.ReadFile(inventory); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the inventory was\n%s\nand is\n%s\n%v", before, after, err)
	}
	for _, name := range fill {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	dragons.Dragon(6).Clear()
	eventually(t, "both new dragons are written down", func() bool {
		after, err := os.ReadFile(inventory)
		return err == nil && bytes.Count(after, []byte(`"mac"`)) == 7
	})
	p.stop(t)
}
