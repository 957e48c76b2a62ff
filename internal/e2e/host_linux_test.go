package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// TestClockJumps sets the clock of the machine to and fro under a healer that has a
// sick dragon before it.
func TestClockJumps(t *testing.T) {
	if os.Getenv("E2E_MAY_SET_CLOCK") == "" {
		t.Skip("E2E_MAY_SET_CLOCK=1 has it set the clock of this machine, as root; make test-vm does, in a machine of its own")
	}
	start := time.Now()
	right := func() time.Time { return start.Add(time.Since(start)) } // by the monotonic clock
	set := func(off time.Duration) {
		t.Helper()
		tv := unix.NsecToTimeval(right().Add(off).UnixNano())
		err := unix.Settimeofday(&tv)
		if err == nil { // as NTP tells the kernel that its clock is right
			_, err = unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR, Status: unix.STA_PLL})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	t.Cleanup(func() { set(0) })
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 10, Specs: func(int) dragontest.Spec { return dragontest.Spec{Now: right} }})
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "mother.yml")
	policy := strings.NewReplacer("poll: 20s", "poll: 1s", "for: 1m", "for: 3s").Replace(fmt.Sprintf(hasty, "enforce"))
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	p, base := mother(t, append(flags, "--data-dir="+dir, "--config.file="+file, "--scan-interval=20")...)
	eventually(t, "all dragons are read, and the clock is trusted", func() bool {
		page := get(t, base+"/metrics")
		return boards(page) == 10 && valueIn(t, page, "mother_clock_trusted") == 1
	})
	for i, off := range []time.Duration{time.Hour, 25 * time.Hour, 24 * time.Hour, 0, -24 * time.Hour, 0} {
		set(off)
		eventually(t, fmt.Sprintf("jump %d, to %v, is seen", i+1, off), func() bool { return valueAt(t, base, "mother_clock_jumps_total") == float64(i+1) })
		dragons.Dragon(3).Inject(dragontest.DeadBoard)
		reads := func() int { return dragons.Dragon(0).Traffic().Requests["summary"] }
		scans := func() float64 { return valueAt(t, base, `mother_discovery_scans_total{outcome="complete"}`) }
		r, s := reads(), scans()
		eventually(t, "dragons are read and looked for", func() bool { return reads() > r+3 && scans() > s })
	}
	eventually(t, "the dragon is sick, and the clock is why nothing is done", func() bool {
		out, _ := exec.CommandContext(t.Context(), binary, "plan", "--data-dir="+dir, "--why="+dragon.WorkerName(dragons.Dragon(3).Spec().MAC)).CombinedOutput()
		return strings.Contains(string(out), "the clock has jumped")
	})
	for i, d := range dragons.Dragons() {
		if n := len(d.Writes()); n > 0 {
			t.Errorf("dragon %d: %d writes after jumps of the clock", i, n)
		}
	}
	if n := boards(get(t, base+"/metrics")); n != 10 {
		t.Errorf("%d of 10 dragons are read", n)
	}
	p.stop(t)
}

// TestANetworkThatDropsEverySecondPacket has a fleet behind one, in a network namespace
// where netem drops what goes from and to the dragons.
func TestANetworkThatDropsEverySecondPacket(t *testing.T) {
	const role = "E2E_LOSSY"
	switch os.Getenv(role) {
	case "":
		t.Skip(role + "=1 has it run for minutes, as root; make soak and make test-vm do")
	case "inside":
		amongLoss(t)
		return
	}
	lossy := []string{"ip link set lo up", "tc qdisc add dev lo root handle 1: prio bands 4", "tc qdisc add dev lo parent 1:4 netem loss 50%"}
	for _, way := range []string{"src", "dst"} {
		lossy = append(lossy, "tc filter add dev lo parent 1: protocol ip u32 match ip "+way+" 127.10.0.0/16 flowid 1:4")
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", strings.Join(lossy, " && ") + ` && exec "$@"`, "sh"}, args...)...)
		cmd.Env = append(os.Environ(), role+"=inside", "E2E_BINARY="+binary)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		return cmd
	}
	if out, err := inside("true").CombinedOutput(); err != nil {
		t.Skipf("no network namespace with netem can be made here (it needs root, ip and tc of iproute2, and the kernel's sch_netem): %v %s", err, out)
	}
	out, err := inside(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=40m").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

func amongLoss(t *testing.T) {
	const count = 5
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: count})
	file := filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, hasty, "enforce"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, base := mother(t, append(flags, "--data-dir="+t.TempDir(), "--config.file="+file, "--scan-interval=20")...)
	begun := time.Now()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	known := func(page string) int { return strings.Count(page, "\ndragon_up{") }
	for known(get(t, base+"/metrics")) < count {
		if <-tick.C; time.Since(begun) > 20*time.Minute {
			t.Fatalf("%d of %d dragons are found after 20 minutes", known(get(t, base+"/metrics")), count)
		}
	}
	t.Logf("all are found after %v", time.Since(begun).Round(time.Second))
	begun = time.Now()
	var read, goroutines, files, memory []float64
	for time.Since(begun) < 3*time.Minute {
		page := get(t, base+"/metrics")
		read = append(read, float64(boards(page)))
		goroutines = append(goroutines, valueIn(t, page, "go_goroutines"))
		files = append(files, valueIn(t, page, "process_open_fds"))
		memory = append(memory, valueIn(t, page, "process_resident_memory_bytes")/1e6)
		<-tick.C
	}
	t.Logf("dragons read by a scrape: %v", read)
	if median(read) < 1 || slices.Max(goroutines) > 300 || slices.Max(files) > 200 || slices.Max(memory) > 150 {
		t.Errorf("%g of %d dragons are read by a scrape; up to %g goroutines, %g files, %.0f MB", median(read), count, slices.Max(goroutines), slices.Max(files), slices.Max(memory))
	}
	minutes := int(time.Since(begun).Minutes()) + 1
	for i, d := range dragons.Dragons() {
		traffic := d.Traffic()
		t.Logf("dragon %d: %d connections, %d logins, %d requests, at most %d at once", i, traffic.Connections, traffic.Logins, traffic.Total(), traffic.MaxInFlight)
		if n := len(d.Writes()); n > 0 || traffic.Connections > 60*minutes || traffic.Logins > 12*minutes || traffic.MaxInFlight > 2 {
			t.Errorf("dragon %d: %d writes, %+v in %d minutes", i, n, traffic, minutes)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "tc", "qdisc", "del", "dev", "lo", "root").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	eventually(t, "all dragons are read again", func() bool { return boards(get(t, base+"/metrics")) == count })
	p.stop(t)
}
