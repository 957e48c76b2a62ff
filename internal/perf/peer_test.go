package perf

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

var peer = flag.String("peer", "", "PYTHONPATH of the Python tool and its modules, which BenchmarkPeer measures; empty: it is skipped")

// launcher starts the Python tool also with a newer gevent, whose signal has another name.
const launcher = `
from gevent import monkey
monkey.patch_all()
import gevent
gevent.signal = getattr(gevent, "signal_handler", gevent.signal)
from mother_of_dragons.main import main
main()
`

// The Python tool begins to mirror a dragon only when these are its pools.
const peerPools = `[{"mac_addresses": [], "pools": [
	{"id": 0, "url": "stratum+tcp://one.example.com:3333", "username": "farm", "password": "x"},
	{"id": 1, "url": "stratum+tcp://two.example.com:3333", "username": "farm", "password": "x"},
	{"id": 2, "url": "stratum+tcp://three.example.com:3333", "username": "farm", "password": "x"}]}]`

// BenchmarkPeer is BenchmarkStatsd of the Python tool and, beside it, of this program. The
// Python tool knows no other port than 80, so this needs root.
func BenchmarkPeer(b *testing.B) {
	if *peer == "" {
		b.Skip("make bench-peer PEER_SRC=… runs it")
	}
	sizes := []int{500, 1000}
	b.Run("tool=python", func(b *testing.B) {
		bySize(b, sizes, func(b *testing.B, size int) {
			h := newFleetAt(b, 90, size, "80")
			port := statsdServer(b)
			configured := startPeer(b, h, port, 30*time.Second)
			configured.stop()
			p := startPeer(b, h, port, 24*time.Hour)
			<-time.After(settled) // it writes its whole inventory for each dragon that it adds
			mirror(b, h, p)
		})
	})
	b.Run("tool=this", func(b *testing.B) {
		bySize(b, sizes, func(b *testing.B, size int) {
			h := newFleetAt(b, 90, size, "80")
			p := startMirror(b, h, statsdServer(b))
			<-time.After(settled)
			mirror(b, h, p)
		})
	})
}

// startPeer runs the Python tool on a fleet and waits until it reads every dragon of it.
func startPeer(b *testing.B, h *dragons, statsd string, scans time.Duration) *program {
	b.Helper()
	cmd := exec.Command("python3", append([]string{"-c", launcher, "--statsd-host=127.0.0.1", "--statsd-port=" + statsd, "--pools=" + peerPools,
		fmt.Sprintf("--statsd-interval=%g", mirrorEvery.Seconds()), fmt.Sprintf("--scan-interval=%g", scans.Seconds())}, h.flags[:len(h.flags)-1]...)...)
	cmd.Dir = b.TempDir()
	cmd.Env = append(os.Environ(), "PYTHONPATH="+*peer)
	cmd.Stderr = os.Stderr
	p := launch(b, cmd)
	for range 60 {
		h.ask("forget")
		<-time.After(mirrorEvery)
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid)); err != nil || bytes.Contains(state, []byte(") Z ")) {
			b.Fatal("the Python tool has ended")
		}
		if h.ask("count").Summaries >= h.size*9/10 { // its rhythm is a little slower than it says
			return p
		}
	}
	b.Fatalf("the Python tool does not read all %d dragons within ten minutes", h.size)
	return nil
}
