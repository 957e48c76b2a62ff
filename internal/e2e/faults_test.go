package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// boards is how many dragons of a page were read.
func boards(page string) int { return strings.Count(page, "\ndragon_boards{") }

// TestKilledAtAnyMoment kills the program while it is scraped and writes, again and
// again: E2E_KILLS says how often. It must always come back with all it knew.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	kills := 8
	if n, err := strconv.Atoi(os.Getenv("E2E_KILLS")); err == nil {
		kills = n
	}
	const count = 30
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: count})
	flags = append(flags, "--data-dir="+t.TempDir(), "--dragon-health-reboot", "--scan-interval=1")
	p, base := mother(t, flags...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == count })
	eventually(t, "the inventory is written", func() bool {
		b, err := os.ReadFile(filepath.Join(dataDir(flags), "inventory.json"))
		return err == nil && strings.Count(string(b), `"mac"`) == count
	})
	random := rand.New(rand.NewPCG(1, 2))
	for n := range kills {
		var scraping sync.WaitGroup
		quit := make(chan struct{})
		for range 4 {
			scraping.Go(func() {
				for {
					select {
					case <-quit:
						return
					default:
						_, _ = tryGet(base + "/metrics")
					}
				}
			})
		}
		_ = dragons.Swap(n%count, (n+1)%count) // something to write down
		<-time.After(time.Duration(random.IntN(400)) * time.Millisecond)
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.done
		close(quit)
		scraping.Wait()
		p, base = mother(t, flags...)
		if page := get(t, base+"/metrics"); strings.Count(page, "\ndragon_up{") != count {
			t.Fatalf("after kill %d it knows %d dragons, want %d", n, strings.Count(page, "\ndragon_up{"), count)
		}
		if strings.Contains(p.logged(), "set aside") {
			t.Fatalf("after kill %d a file was spoilt:\n%s", n, p.logged())
		}
	}
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == count })
	for i, d := range dragons.Dragons() {
		if w := d.Writes(); len(w) > 0 {
			t.Errorf("dragon %d was written to: %v", i, w)
		}
	}
	p.stop(t)
}

func dataDir(flags []string) string {
	for _, f := range flags {
		if dir, ok := strings.CutPrefix(f, "--data-dir="); ok {
			return dir
		}
	}
	return "data"
}

// TestFewerFilesThanDragons gives the program fewer files than it has dragons.
func TestFewerFilesThanDragons(t *testing.T) {
	t.Parallel()
	const count = 300
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: count})
	few, dir := []string{"sh", "-c", `ulimit -n 256 && exec "$@"`, "sh"}, t.TempDir()
	p, base := motherBy(t, few, append(flags, "--data-dir="+dir, "--dragon-timeout=30")...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == count })
	for range 3 {
		page := get(t, base+"/metrics")
		if boards(page) != count {
			t.Errorf("%d of %d dragons read", boards(page), count)
		}
	}
	if strings.Contains(p.logged(), "too many open files") {
		t.Errorf("it ran out of files:\n%s", p.logged())
	}
	p.stop(t)

	// So do the commands that ask all dragons without an instance.
	run := func(args ...string) string {
		var failure strings.Builder
		cmd := exec.CommandContext(t.Context(), few[0], slices.Concat(few[1:], []string{binary}, args)...)
		cmd.Stderr = &failure
		out, err := cmd.Output()
		if strings.Contains(failure.String(), "too many open files") || len(out) == 0 {
			t.Errorf("%q: %v\n%s", args, err, failure.String())
		}
		return string(out)
	}
	if n := strings.Count(run("scan", "--scan-timeout=60", flags[0], dragons.Networks()[0].String()), "dragon-"); n != count {
		t.Errorf("a scan found %d of %d dragons", n, count)
	}
	if plan := run(append([]string{"plan", "--data-dir=" + dir, "--inventory-file=", "--dragon-timeout=60"}, flags...)...); !strings.Contains(plan, fmt.Sprintf("fleet=%d", count)) || !strings.Contains(plan, " unreachable=0 ") {
		t.Errorf("a plan misses dragons:\n%.300s", plan)
	}
}

// TestADataDirectoryThatCannotBeWritten has the program export all the same.
func TestADataDirectoryThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 10})
	dragons.Dragon(3).Inject(dragontest.DeadBoard)
	dir := t.TempDir()
	p, base := motherBy(t, []string{"unshare", "-m", "sh", "-c", `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`, dir},
		append(flags, "--data-dir="+dir, "--dragon-health-reboot")...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == 10 })
	eventually(t, "the healer says so", func() bool { return valueAt(t, base, "mother_state_writable") == 0 })
	if n := valueAt(t, base, `mother_healer_mode{mode="enforce"}`); n != 0 {
		t.Errorf("the healer is in enforce mode: %g", n)
	}
	p.stop(t)
}

// TestNamesThatCannotBeResolved has neither a dragon nor the statsd server.
func TestNamesThatCannotBeResolved(t *testing.T) {
	t.Parallel()
	_, flags := fleetOf(t, dragontest.FleetConfig{Count: 5})
	p, base := mother(t, append(flags, "--data-dir="+t.TempDir(), "--dragon=dragon.invalid", "--statsd-host=statsd.invalid", "--statsd-interval=1")...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == 5 })
	eventually(t, "what cannot be sent is counted", func() bool { return valueAt(t, base, "mother_statsd_errors_total") > 0 })
	eventually(t, "the named dragon is missing", func() bool { return valueAt(t, base, `mother_target_up{target="dragon.invalid"}`) == 0 })
	if n := strings.Count(p.logged(), "statsd.invalid"); n > 3 {
		t.Errorf("the log says it %d times:\n%s", n, p.logged())
	}
	p.stop(t)
}

// TestMoreScrapesThanAreServed has thousands of clients at once while dragons hang.
func TestMoreScrapesThanAreServed(t *testing.T) {
	t.Parallel()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 20})
	p, base := mother(t, append(flags, "--data-dir="+t.TempDir(), "--web.max-requests=4", "--dragon-timeout=1")...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == 20 })
	before := valueAt(t, base, "go_goroutines")
	for i := range 10 {
		dragons.Dragon(i).Inject(dragontest.Hang)
	}
	const clients = 2000
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var mu sync.Mutex
	status := map[int]int{}
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			resp, err := client.Get(base + "/metrics")
			if err != nil {
				t.Error(err)
				return
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			status[resp.StatusCode]++
			if resp.StatusCode == http.StatusServiceUnavailable && !strings.Contains(string(body), "too many scrapes") {
				t.Errorf("503 without its reason: %.100s", body)
			}
		})
	}
	asking.Wait()
	if status[http.StatusOK] == 0 || status[http.StatusServiceUnavailable] == 0 || len(status) > 2 {
		t.Errorf("answers by status: %v, want some 200, the others 503", status)
	}
	eventually(t, "nothing piles up", func() bool { return valueAt(t, base, "go_goroutines") < before+100 })
	p.stop(t)
}

// TestClientsThatDoNotBehave has connections that say little, slowly, and requests that
// say too much.
func TestClientsThatDoNotBehave(t *testing.T) {
	t.Parallel()
	_, flags := fleetOf(t, dragontest.FleetConfig{Count: 5})
	p, base := mother(t, append(flags, "--data-dir="+t.TempDir(), "--web.enable-admin-api")...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == 5 })
	address := strings.TrimPrefix(base, "http://")

	const lorises = 300
	ended := make(chan struct{}, lorises)
	for range lorises {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = io.Copy(io.Discard, c)
			ended <- struct{}{}
		}()
	}
	if boards(get(t, base+"/metrics")) != 5 {
		t.Error("a scrape beside slow clients is not complete")
	}
	for what, request := range map[string]string{
		"a long header": "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"a long line":   "GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(c, request) }()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil && resp.StatusCode < 400 {
			t.Errorf("%s: %s", what, resp.Status)
		}
		c.Close()
	}
	resp, err := http.Post(base+"/api/v1/pauses", "application/json", io.LimitReader(endless{}, 64<<20))
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("a body of 64 MB: %s", resp.Status)
		}
	}
	for range lorises {
		<-ended // within the time that a header may take
	}
	if boards(get(t, base+"/metrics")) != 5 {
		t.Error("a scrape afterwards is not complete")
	}
	p.stop(t)
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// TestDragonsThatTalkWithoutEnd has some send gigabytes, header or body.
func TestDragonsThatTalkWithoutEnd(t *testing.T) {
	t.Parallel()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: 40})
	p, base := mother(t, append(flags, "--data-dir="+t.TempDir(), "--dragon-timeout=2")...)
	eventually(t, "all dragons are read", func() bool { return boards(get(t, base+"/metrics")) == 40 })
	for i := range 5 {
		dragons.Dragon(i).Inject(dragontest.Endless)
		dragons.Dragon(10+i).Inject(dragontest.Huge, dragontest.Amount(10<<10)) // MiB
	}
	for range 5 {
		if n := boards(get(t, base+"/metrics")); n < 30 {
			t.Errorf("%d dragons read, want the 30 that behave", n)
		}
	}
	if mb := valueAt(t, base, "process_resident_memory_bytes") / 1e6; mb > 120 {
		t.Errorf("%.0f MB resident", mb)
	}
	p.stop(t)
}
