// Package perf measures the program as a process, on fleets in processes of their own,
// by size. It has benchmarks only: make bench runs them.
package perf

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// binary is the program as a user builds it; made by the first benchmark.
var binary string

var sizes = []int{10, 100, 1000, 10_000}

func TestMain(m *testing.M) {
	if config := os.Getenv(fleetVariable); config != "" {
		if err := beFleet(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "mother-of-dragons-perf-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "mother-of-dragons")
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

var build = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return nil
})

func bySize(b *testing.B, sizes []int, measure func(b *testing.B, size int)) {
	if err := build(); err != nil {
		b.Fatal(err)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("dragons=%d", n), func(b *testing.B) { measure(b, n) })
	}
}

// BenchmarkScrape is one /metrics of all dragons, gzipped, as Prometheus asks for it.
func BenchmarkScrape(b *testing.B) {
	bySize(b, sizes, func(b *testing.B, size int) {
		h := newFleet(b, size)
		p := start(b, h)
		p.scrape()
		h.ask("forget")
		before, times := p.cpu(), make([]time.Duration, 0, 64)
		for b.Loop() {
			begun := time.Now()
			p.scrape()
			times = append(times, time.Since(begun))
		}
		perDragon := float64(b.N) * float64(size)
		c := h.ask("count")
		b.ReportMetric(float64((p.cpu()-before).Microseconds())/perDragon, "cpu-µs/dragon")
		b.ReportMetric(p.peak(), "MB-resident")
		b.ReportMetric(float64(c.Summaries)/perDragon, "summaries/dragon")
		b.ReportMetric(float64(c.Connections)/float64(size), "new-connections/dragon")
		b.ReportMetric(float64(c.Logins)/float64(size), "new-logins/dragon")
		b.ReportMetric(quantile(times, 0.95).Seconds()*1000, "p95-ms")
	})
}

// BenchmarkScan is a scan, by the command, of networks that are as small as has room for
// the dragons. Loopback refuses unused addresses at once.
func BenchmarkScan(b *testing.B) {
	bySize(b, sizes, func(b *testing.B, size int) {
		h := newFleet(b, size)
		var used time.Duration
		var peak float64
		for b.Loop() {
			found := 0
			for _, network := range h.networks {
				scan := exec.Command(binary, "scan", "--dragon-port="+h.port, network)
				out, err := scan.Output()
				if err != nil {
					b.Fatal(err)
				}
				found += bytes.Count(out, []byte("\ndragon-"))
				used += scan.ProcessState.UserTime() + scan.ProcessState.SystemTime()
				peak = max(peak, float64(scan.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)*1024/1e6)
			}
			if found != size {
				b.Fatalf("%d of %d dragons found", found, size)
			}
		}
		b.ReportMetric(float64(used.Microseconds())/float64(b.N*size), "cpu-µs/dragon")
		b.ReportMetric(peak, "MB-resident")
	})
}

// BenchmarkBlackholes is the same where one dragon in twenty takes every question and
// answers none.
func BenchmarkBlackholes(b *testing.B) {
	bySize(b, []int{1000}, func(b *testing.B, size int) {
		h := newFleet(b, size)
		p := start(b, h)
		p.scrape()
		h.ask("hang 20")
		p.scrape() // finds out, within the dragons' own time
		times := make([]time.Duration, 0, 64)
		for b.Loop() {
			begun := time.Now()
			p.scrape()
			times = append(times, time.Since(begun))
		}
		b.ReportMetric(quantile(times, 0.95).Seconds()*1000, "p95-ms")
	})
}

// BenchmarkProbe asks for one dragon after the other, 500 in a second, and says how much
// longer that takes than asking the dragon itself at the same pace.
func BenchmarkProbe(b *testing.B) {
	const pace = time.Second / 500
	bySize(b, []int{1000}, func(b *testing.B, size int) {
		h := newFleet(b, size)
		p := start(b, h)
		address := func(i int) string { // as service discovery has it
			return net.JoinHostPort(fmt.Sprintf("127.90.%d.%d", (i+1)>>8, (i+1)&255), h.port)
		}
		transport := dragon.NewTransport()
		defer transport.CloseIdleConnections()
		clients := make([]*dragon.Client, size)
		for i := range clients {
			clients[i] = dragon.New(address(i), dragon.Options{Transport: transport})
		}
		ask := func(i int) error {
			_, err := clients[i].Summary(b.Context())
			return err
		}
		http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 100
		probe := func(i int) error {
			_, err := p.get("/probe?target="+address(i), "identity")
			return err
		}
		paced(b, 2*size, size, pace, ask) // logs in, and connects
		direct := paced(b, 5*size, size, pace, ask)
		paced(b, size, size, pace, probe)
		var through []time.Duration
		before := p.cpu()
		n := 0
		for b.Loop() {
			through = append(through, paced(b, 5*size, size, pace, probe)...)
			n += 5 * size
		}
		b.ReportMetric(0, "ns/op") // which is so many probes at a fixed pace
		b.ReportMetric(float64((p.cpu()-before).Microseconds())/float64(n), "cpu-µs/probe")
		for _, q := range []float64{0.5, 0.95} {
			b.ReportMetric(quantile(through, q).Seconds()*1000, fmt.Sprintf("p%g-ms", 100*q))
			b.ReportMetric((quantile(through, q)-quantile(direct, q)).Seconds()*1000, fmt.Sprintf("p%g-ms-added", 100*q))
		}
	})
}

// paced does n things at a fixed pace, whether the last are done or not, and returns
// how long each took.
func paced(b *testing.B, n, size int, pace time.Duration, do func(i int) error) []time.Duration {
	b.Helper()
	times := make([]time.Duration, n)
	failed := make(chan error, n)
	var running sync.WaitGroup
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		running.Go(func() {
			begun := time.Now()
			if err := do(i % size); err != nil {
				failed <- err
			}
			times[i] = time.Since(begun)
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		b.Fatalf("%d of %d failed: %v", len(failed)+1, n, err)
	default:
	}
	return times
}

// settled is when every dragon has been asked for its facts for the first time.
const settled = 130 * time.Second

// BenchmarkIdle is three minutes without a scrape, in which the healer looks at each
// dragon about thrice, of all sizes at the same time. They begin when every dragon has been
// asked for its facts for the first time.
func BenchmarkIdle(b *testing.B) {
	const minutes = 3
	if err := build(); err != nil {
		b.Fatal(err)
	}
	fleets, programs := make(map[int]*dragons), make(map[int]*program)
	used, asked := make(map[int]time.Duration), make(map[int]count)
	for _, n := range sizes {
		fleets[n] = newFleet(b, n)
		programs[n] = start(b, fleets[n])
	}
	<-time.After(settled)
	for _, n := range sizes {
		fleets[n].ask("forget")
		used[n] = programs[n].cpu()
	}
	begun := time.Now()
	<-time.After(minutes * time.Minute)
	for _, n := range sizes {
		used[n] = programs[n].cpu() - used[n]
		asked[n] = fleets[n].ask("count")
	}
	took := time.Since(begun)
	bySize(b, sizes, func(b *testing.B, n int) {
		b.ReportMetric(100*float64(used[n])/float64(took), "%core")
		b.ReportMetric(programs[n].peak(), "MB-resident")
		b.ReportMetric(float64(asked[n].Requests)/float64(n)/minutes, "requests/dragon")
		b.ReportMetric(float64(used[n].Microseconds())/float64(asked[n].Requests), "cpu-µs/request")
		b.ReportMetric(0, "ns/op")
	})
}

var sites = flag.Int("sites", 0, "how many instances of 10,000 dragons BenchmarkSites runs; 0: it is skipped")

// BenchmarkSites is many instances on one machine, each with a farm of its own: one minute of
// them all, in which each is scraped once, one after the other.
func BenchmarkSites(b *testing.B) {
	const size, every = 10_000, time.Minute
	if *sites == 0 {
		b.Skip("-sites=10 runs ten instances of 10,000 dragons; takes 5 GB and some ten minutes")
	}
	if err := build(); err != nil {
		b.Fatal(err)
	}
	programs := make([]*program, *sites)
	for i := range programs {
		programs[i] = start(b, newFleetAt(b, 90+(size+fleetAtMost-1)/fleetAtMost*i, size, "0"))
	}
	used := func() (cpu time.Duration) {
		for _, p := range programs {
			cpu += p.cpu()
		}
		return cpu
	}
	before, began := used(), time.Now()
	var took []time.Duration
	for b.Loop() {
		next := time.NewTicker(every / time.Duration(len(programs)))
		for _, p := range programs {
			begun := time.Now()
			p.scrape()
			took = append(took, time.Since(begun))
			<-next.C
		}
		next.Stop()
	}
	resident := 0.0
	for _, p := range programs {
		resident += p.peak()
	}
	b.ReportMetric(100*float64(used()-before)/float64(time.Since(began)), "%core")
	b.ReportMetric(resident, "MB-resident")
	b.ReportMetric(quantile(took, 0.5).Seconds()*1000, "p50-ms")
	b.ReportMetric(quantile(took, 0.95).Seconds()*1000, "p95-ms")
	b.ReportMetric(0, "ns/op")
}

const mirrorEvery = 10 * time.Second

// BenchmarkStatsd is what mirroring a dragon costs together with the reading that it
// needs: twenty seconds of a mirror that sends every ten, without a scrape.
func BenchmarkStatsd(b *testing.B) {
	bySize(b, sizes, func(b *testing.B, size int) {
		h := newFleet(b, size)
		p := startMirror(b, h, statsdServer(b))
		<-time.After(settled)
		mirror(b, h, p)
	})
}

func startMirror(b *testing.B, h *dragons, statsd string) *program {
	b.Helper()
	return start(b, h, "--statsd-host=127.0.0.1", "--statsd-port="+statsd, fmt.Sprintf("--statsd-interval=%g", mirrorEvery.Seconds()))
}

// mirror measures a program that mirrors a fleet.
func mirror(b *testing.B, h *dragons, p *program) {
	const rounds = 2
	h.ask("forget")
	before := p.cpu()
	for b.Loop() {
		<-time.After(rounds * mirrorEvery)
	}
	used, c := p.cpu()-before, h.ask("count")
	if c.Summaries == 0 {
		b.Fatal("it has read no dragon")
	}
	b.ReportMetric(float64(used.Microseconds())/float64(c.Summaries), "cpu-µs/summary")
	b.ReportMetric(float64(c.Summaries)/float64(rounds*b.N*h.size), "summaries/dragon")
	b.ReportMetric(0, "ns/op")
}

// statsdServer reads what is sent to it, and is the port of it.
func statsdServer(b *testing.B) string {
	b.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Close() })
	go func() {
		for buffer := make([]byte, 1<<16); ; {
			if _, _, err := server.ReadFrom(buffer); err != nil {
				return
			}
		}
	}()
	_, port, err := net.SplitHostPort(server.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	return port
}

func quantile(of []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
