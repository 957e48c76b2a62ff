package discovery

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// Variables of the environment that make the test binary something else.
const (
	busyScans   = "DISCOVERY_BUSY_SCANS"   // how many scans the test of a busy machine makes
	busyDragons = "DISCOVERY_BUSY_DRAGONS" // how many dragons this process simulates
	busySpinner = "DISCOVERY_BUSY_SPINNER" // this process only computes
)

// beBusy is what a process of TestABusyHostFindsEveryDragon does; false: this is not one.
func beBusy() bool {
	switch {
	case os.Getenv(busySpinner) != "":
		go func() {
			for n := uint64(0); ; n++ {
				spun = n
			}
		}()
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends
	case os.Getenv(busyDragons) != "":
		if err := simulate(os.Getenv(busyDragons)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		return false
	}
	return true
}

var spun uint64

// simulate runs dragons that answer after 200 ms, a tenth of them after 2 to 8 s, until
// its input ends.
func simulate(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	simulated, err := dragontest.NewFleet(dragontest.FleetConfig{Count: n, Prefix: netip.MustParsePrefix("127.79.0.0/19")})
	if err != nil {
		return err
	}
	defer simulated.Close()
	chance := rand.New(rand.NewPCG(1, 2))
	for i, d := range simulated.Dragons() {
		delay := 200 * time.Millisecond
		if i%10 == 3 {
			delay = 2*time.Second + time.Duration(chance.Int64N(int64(6*time.Second)))
		}
		d.Inject(dragontest.Slow, dragontest.Delay(delay))
	}
	fmt.Println(simulated.Port())
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// TestABusyHostFindsEveryDragon scans 5,000 dragons while four processes compute. It
// takes two minutes a scan, so it is asked for: DISCOVERY_BUSY_SCANS=20.
func TestABusyHostFindsEveryDragon(t *testing.T) {
	scans, err := strconv.Atoi(os.Getenv(busyScans))
	if err != nil {
		t.Skip(busyScans + " says how many scans to make")
	}
	const count = 5000
	port, err := strconv.ParseUint(child(t, fmt.Sprintf("%s=%d", busyDragons, count), true), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		child(t, busySpinner+"=1", false)
	}
	missed := 0
	for i := range scans {
		transport := dragon.NewTransport()
		options := dragon.Options{Transport: transport, Timeout: 10 * time.Second}
		dragons, err := fleet.Open(fleet.Config{Client: options})
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Networks: networks(t, "127.79.0.0/19"), Port: uint16(port), Client: options, Fleet: dragons})
		r, err := s.Scan(t.Context())
		transport.CloseIdleConnections()
		t.Logf("scan %d: %d dragons in %v; %d open, %d unanswered, %d failed: %v", i+1, len(r.Found), r.Duration.Round(time.Millisecond), r.Open, r.Unanswered, r.Failed, err)
		missed += count - len(r.Found)
	}
	if missed > 0 {
		t.Errorf("%d of %d dragons missed in %d scans", missed, count, scans)
	}
}

// child runs this binary as something else until the test ends, and returns its first
// line, if it is to say one.
func child(t *testing.T, variable string, says bool) (line string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if says {
		first := bufio.NewScanner(out)
		first.Scan()
		line = first.Text()
	}
	return line
}
