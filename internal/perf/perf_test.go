// Package perf measures the program as a process, on herds in processes of their own,
// by size. It has benchmarks only: make bench runs them.
package perf

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// binary is the program as a user builds it; made by the first benchmark.
var binary string

var sizes = []int{10, 100, 1000, 10_000}

func TestMain(m *testing.M) {
	if config := os.Getenv(herdVariable); config != "" {
		if err := beHerd(config); err != nil {
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
		h := newHerd(b, size)
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

// BenchmarkBlackholes is the same where one dragon in twenty takes every question and
// answers none.
func BenchmarkBlackholes(b *testing.B) {
	bySize(b, []int{1000}, func(b *testing.B, size int) {
		h := newHerd(b, size)
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
		h := newHerd(b, size)
		p := start(b, h)
		_, port, err := net.SplitHostPort(h.first)
		if err != nil {
			b.Fatal(err)
		}
		address := func(i int) string { // as service discovery has it
			return net.JoinHostPort(fmt.Sprintf("127.90.%d.%d", (i+1)>>8, (i+1)&255), port)
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

// BenchmarkIdle is a minute in which nobody scrapes and the healer looks once.
func BenchmarkIdle(b *testing.B) {
	bySize(b, sizes, func(b *testing.B, size int) {
		h := newHerd(b, size)
		p := start(b, h)
		h.ask("forget")
		before := p.cpu()
		for b.Loop() {
			<-time.After(time.Minute)
		}
		c := h.ask("count")
		b.ReportMetric(100*float64(p.cpu()-before)/float64(b.Elapsed()), "%core")
		b.ReportMetric(p.peak(), "MB-resident")
		b.ReportMetric(float64(c.Requests)/float64(size)/float64(b.N), "requests/dragon")
		b.ReportMetric(0, "ns/op") // which is a minute
	})
}

// BenchmarkStatsd is what mirroring a dragon costs beside the reading that it needs:
// twenty seconds of a mirror that sends every five, without a scrape.
func BenchmarkStatsd(b *testing.B) {
	bySize(b, []int{10, 100, 1000}, func(b *testing.B, size int) {
		server, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer server.Close()
		_, port, err := net.SplitHostPort(server.LocalAddr().String())
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for buffer := make([]byte, 1<<16); ; {
				if _, _, err := server.ReadFrom(buffer); err != nil {
					return
				}
			}
		}()
		h := newHerd(b, size)
		p := start(b, h, "--statsd-host=127.0.0.1", "--statsd-port="+port, "--statsd-interval=5")
		h.ask("forget")
		before := p.cpu()
		for b.Loop() {
			<-time.After(20 * time.Second)
		}
		c := h.ask("count")
		b.ReportMetric(float64((p.cpu()-before).Microseconds())/float64(4*b.N*size), "cpu-µs/dragon")
		b.ReportMetric(float64(c.Summaries)/float64(4*b.N*size), "summaries/dragon")
		b.ReportMetric(0, "ns/op")
	})
}

func quantile(of []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
