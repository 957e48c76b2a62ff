package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cactus/go-statsd-client/v5/statsd/statsdtest"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// A statsdServer is what a Statsd sends to, in memory.
type statsdServer struct {
	mu         sync.Mutex
	packets    []string
	at         []time.Time
	unresolved bool
	down       bool // nobody listens: every third packet is refused, which the next one is told
	lost       int
	refused    bool
	dials      int
}

func (s *statsdServer) dial(_ context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials++
	if s.unresolved {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}}
	}
	return &statsdConn{server: s}, nil
}

type statsdConn struct {
	net.Conn
	server *statsdServer
}

func (c *statsdConn) Close() error { return nil }

func (c *statsdConn) Write(packet []byte) (int, error) {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused {
		s.refused = false
		return 0, &net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("write", syscall.ECONNREFUSED)}
	}
	if s.down {
		s.lost++
		s.refused = s.lost%3 == 0 // hosts do not complain about each
		return len(packet), nil
	}
	s.packets = append(s.packets, string(packet))
	s.at = append(s.at, time.Now())
	return len(packet), nil
}

func (s *statsdServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// take returns the lines that came since the last take.
func (s *statsdServer) take() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, p := range s.packets {
		lines = append(lines, strings.Split(p, "\n")...)
	}
	s.packets, s.at = nil, nil
	return lines
}

// arrivals returns when the lines that begin with name came.
func (s *statsdServer) arrivals(name string) []time.Time {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var at []time.Time
	for i, p := range s.packets {
		if strings.Contains("\n"+p, "\n"+name) {
			at = append(at, s.at[i])
		}
	}
	return at
}

// mirror runs a Statsd on the farm until stop, which waits for it.
func (f *farm) mirror(t *testing.T, change ...func(*StatsdConfig)) (s *Statsd, server *statsdServer, stop func()) {
	t.Helper()
	server = &statsdServer{}
	c := StatsdConfig{Fleet: f.Fleet, Address: "statsd.example.net:8125", Prefix: "dragons", Logger: f.Logger, Registerer: f.Registry, Dial: server.dial}
	for _, change := range change {
		change(&c)
	}
	s = NewStatsd(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return s, server, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// inFarm tests on a farm of n dragons of all models, in a bubble.
func inFarm(t *testing.T, n int, test func(t *testing.T, f *farm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, dragontest.HerdConfig{Count: n, Specs: dragontest.Mixed})
		defer f.close()
		test(t, f)
	})
}

func (f *farm) summaries() (n int) {
	for i := range f.herd.Len() {
		n += f.herd.Dragon(i).Traffic().Requests["summary"]
	}
	return n
}

func TestStatsdLinesOfModels(t *testing.T) {
	for _, m := range dragontest.Models() {
		t.Run(m.Key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.HerdConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{Model: m.Key} }})
				defer f.close()
				time.Sleep(time.Hour)
				_, server, stop := f.mirror(t)
				defer stop()
				time.Sleep(70 * time.Second)
				golden(t, "testdata/statsd/"+m.Key+".txt", strings.Join(server.take(), "\n")+"\n")
			})
		})
	}
}

// Both are made of one reading: what the document says to be the same is the same.
func TestStatsdAndMetricsShowTheSameNumbers(t *testing.T) {
	for _, m := range dragontest.Models() {
		t.Run(m.Key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.HerdConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{Model: m.Key} }})
				defer f.close()
				_, server, stop := f.mirror(t)
				defer stop()
				time.Sleep(time.Second)
				series := seriesOf(f.scraped(t), f.worker(0))
				time.Sleep(time.Minute)
				lines := map[string]float64{}
				for _, line := range server.take() {
					name, rest, _ := strings.Cut(line, ":")
					v, err := strconv.ParseFloat(strings.Split(rest, "|")[0], 64)
					if err != nil {
						t.Errorf("%s: %v", line, err)
					}
					lines[name] = v
				}
				if n := f.summaries(); n != 1 {
					t.Errorf("%d readings, want one for both", n)
				}

				rows, compared := documented(t), 0
				worker := "dragons.worker." + m.Type + "." + f.worker(0) + "."
				for name, v := range lines {
					rest, ok := strings.CutPrefix(name, worker)
					if !ok || strings.HasPrefix(rest, "action.") {
						continue
					}
					part := strings.Split(rest, ".")
					key, label := rest, ""
					if part[0] != "hardware" {
						key = part[0] + ".N." + part[2]
						label = map[string]string{"dev": "board", "pool": "pool"}[part[0]] + `="` + part[1] + `",`
					}
					row, ok := rows[key]
					if !ok {
						t.Errorf("docs/statsd.md does not say what %s is", key)
						continue
					}
					if row.metric == "" {
						continue
					}
					metric, labels, _ := strings.Cut(strings.TrimSuffix(row.metric, "}"), "{")
					if labels != "" {
						labels += ","
					}
					got, ok := series[seriesName(metric, label+labels+`worker="`+f.worker(0)+`"`)]
					if !ok {
						if v > 0 {
							t.Errorf("%s is %v, and %s is not there", name, v, row.metric)
						}
						continue // -1 and 0 say unknown, and that has no series
					}
					factor := map[string]float64{"1": 1, "0.01": 0.01, "H": m.Factor}[row.factor]
					// To compare means to multiply: the page's figure is rounded after it was.
					want, err := strconv.ParseFloat(got, 64)
					if err != nil || factor == 0 || v*factor != want && !near(v*factor, want) {
						t.Errorf("%s is %v, times %v; %s is %s", name, v, row.factor, row.metric, got)
					}
					compared++
				}
				if compared < 30 {
					t.Errorf("%d figures compared", compared)
				}
			})
		})
	}
}

// near allows for the last bit of a product.
func near(a, b float64) bool { return (a-b)*(a-b) <= 1e-30*a*a }

// seriesName sorts labels as the page does.
func seriesName(metric, labels string) string {
	pairs := strings.Split(labels, ",")
	slices.Sort(pairs)
	return metric + "{" + strings.Join(pairs, ",") + "}"
}

type documentedRow struct{ metric, factor string }

var documentedLine = regexp.MustCompile("^\\| `([^`]+)` \\| (?:`([^`]+)`)?(?:–)? *\\| *([^|]*?) *\\|$")

// documented reads the table of docs/statsd.md.
func documented(t *testing.T) map[string]documentedRow {
	t.Helper()
	b, err := os.ReadFile("../docs/statsd.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]documentedRow{}
	for line := range strings.Lines(string(b)) {
		if m := documentedLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil && !strings.HasPrefix(m[1], "--") { // which are options
			rows[m[1]] = documentedRow{m[2], m[3]}
		}
	}
	return rows
}

// The document lists every line and nothing else, and every metric in it exists.
func TestStatsdDocumentIsComplete(t *testing.T) {
	rows := documented(t)
	want := map[string]bool{"hardware.fan_duty": true, "dev.N.Alive": true}
	for _, name := range boardLines {
		want["dev.N."+lineName.Replace(name)] = true
	}
	for _, name := range poolLines {
		want["pool.N."+lineName.Replace(name)] = true
	}
	if len(boardLines) != 23 || len(poolLines) != 22 {
		t.Errorf("%d and %d fields; the original sends 23 and 22", len(boardLines), len(poolLines))
	}
	for name := range want {
		if _, ok := rows[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	known := map[string]bool{}
	for _, f := range aCollector(t).families {
		known[f.name] = true
	}
	for name, row := range rows {
		if !want[name] && !strings.HasPrefix(name, "manager.") && !strings.HasPrefix(name, "action.") {
			t.Errorf("no line is named %s", name)
		}
		if metric, _, _ := strings.Cut(row.metric, "{"); strings.HasPrefix(metric, "dragon_") && !known[metric] {
			t.Errorf("%s: there is no metric %s", name, metric)
		}
	}
	doc, err := os.ReadFile("../docs/statsd.md")
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := os.ReadFile("../docs/statsd_exporter.yml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), "```yaml\n"+string(mapping)+"```") {
		t.Error("docs/statsd.md does not show docs/statsd_exporter.yml as it is")
	}
}

func TestNumbersAreWrittenAsPythonDoes(t *testing.T) {
	for in, want := range map[string]string{
		// What json.loads and then str make of it in Python 3.
		"0": "0", "-0": "0", "7": "7", "-5": "-5", "12345678901234567890123": "12345678901234567890123",
		"0.0": "0.0", "-0.0": "-0.0", "1.0": "1.0", "70.00": "70.0", "-1.5": "-1.5", "4932258.41": "4932258.41", "100": "100", "1e2": "100.0", "1E2": "100.0", "1e+2": "100.0",
		"0.1": "0.1", "0.30000000000000004": "0.30000000000000004", "2.675": "2.675", "1.10": "1.1",
		"0.0001": "0.0001", "0.00012": "0.00012", "0.00001": "1e-05", "0.000012": "1.2e-05", "1e-7": "1e-07", "1e-10": "1e-10", "5e-324": "5e-324", "1e-400": "0.0",
		"9999999999999998.0": "9999999999999998.0", "1000000000000000.0": "1000000000000000.0", "1e15": "1000000000000000.0", "123456789012345680.0": "1.2345678901234568e+17",
		"1e16": "1e+16", "1.5e16": "1.5e+16", "1e100": "1e+100", "1.7976931348623157e308": "1.7976931348623157e+308",
		// In quotes, as a broken firmware does.
		`"71"`: "71", `"71.50"`: "71.5", `" 7 "`: "7",
		// What is no number has no line.
		"1e400": "", "-1e400": "", "": "", "null": "", "true": "", "false": "", `""`: "", `"x"`: "", `"0x10"`: "", `"1|g"`: "", `"NaN"`: "", `"1\n2"`: "", `"1 2"`: "", "{}": "", "[]": "", "[1]": "", `"[1]"`: "", `"01"`: "",
		strings.Repeat("9", 65): "",
	} {
		got, ok := pythonNumber([]byte(in))
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", in, got, ok, want)
		}
	}
}

func linesOf(t *testing.T, info fleet.Info, body string) []string {
	t.Helper()
	m := newMessage("p", false)
	if err := m.summary(&info, []byte(body)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range m.lines {
		lines = append(lines, string(l))
	}
	return lines
}

func TestLinesOfOddSummaries(t *testing.T) {
	for name, c := range map[string]struct {
		info fleet.Info
		body string
		want []string
	}{
		"fields that are not there are not sent": {
			fleet.Info{Model: "T1", Worker: "dragon-1"}, `{"DEVS":[{"ID":0,"Status":"Alive"}],"POOLS":[{"POOL":2}]}`,
			[]string{"p.worker.T1.dragon-1.dev.0.Alive:1|g"},
		},
		"the order is the original's": {
			fleet.Info{Model: "T1", Worker: "w"}, `{"HARDWARE":{"Fan duty":60},"POOLS":[{"Stale":1,"POOL":0,"Works":2}],"DEVS":[{"Hash Rate H":5e12,"Hash Rate":5.2,"MHS 5s":1,"Temperature":70.0,"Status":"Dead","ID":1}]}`,
			[]string{
				"p.worker.T1.w.hardware.fan_duty:60|g", "p.worker.T1.w.dev.1.Alive:0|g", "p.worker.T1.w.dev.1.Temperature:70.0|g", "p.worker.T1.w.dev.1.MHS-5s:1|g", "p.worker.T1.w.dev.1.Hash-Rate:5.2|g", "p.worker.T1.w.dev.1.Hash-Rate-H:5000000000000.0|g",
				"p.worker.T1.w.pool.0.Works:2|g", "p.worker.T1.w.pool.0.Stale:1|g",
			},
		},
		"a negative gauge comes after a zero, in one packet": {
			fleet.Info{Model: "T1", Worker: "w"}, `{"DEVS":[{"ID":0,"Last Share Pool":-1,"Temperature":-4.5}]}`,
			[]string{"p.worker.T1.w.dev.0.Temperature:0|g\np.worker.T1.w.dev.0.Temperature:-4.5|g", "p.worker.T1.w.dev.0.Last-Share-Pool:0|g\np.worker.T1.w.dev.0.Last-Share-Pool:-1|g"},
		},
		"percent signs are dropped": {
			fleet.Info{Model: "T1", Worker: "w"}, `{"DEVS":[{"ID":0,"Device Hardware%":0.0025}],"POOLS":[{"POOL":0,"Pool Stale%":0}]}`,
			[]string{"p.worker.T1.w.dev.0.Device-Hardware:0.0025|g", "p.worker.T1.w.pool.0.Pool-Stale:0|g"},
		},
		"names of dragons stay one level": {
			fleet.Info{Model: "B29+ v.2", Worker: "dragon-4500e3ab@10.1.0.9:8080"}, `{"HARDWARE":{"Fan duty":1}}`,
			[]string{"p.worker.B29+_v_2.dragon-4500e3ab_10_1_0_9_8080.hardware.fan_duty:1|g"},
		},
		"lists that PHP made objects": {
			fleet.Info{Model: "T1", Worker: "w"}, `{"HARDWARE":[],"DEVS":{"2":{"ID":5,"Accepted":1},"1":{"ID":"3","Accepted":"2"}},"POOLS":{}}`,
			[]string{"p.worker.T1.w.dev.5.Accepted:1|g", "p.worker.T1.w.dev.3.Accepted:2|g"},
		},
		"nothing of what is something else": {
			fleet.Info{Model: "T1", Worker: "w"}, `{"HARDWARE":7,"DEVS":[1,null,[],{},{"ID":null,"Accepted":1},{"ID":{},"Accepted":1},{"ID":0,"Status":7,"Accepted":true,"Rejected":null,"Utility":[1]}],"POOLS":"none","devs":[{"ID":0,"Accepted":1}]}`,
			nil,
		},
		"invalid UTF-8 and a key twice": {
			fleet.Info{Model: "T\xff1", Worker: "w"}, "{\"DEVS\":[{\"ID\":0,\"Name\":\"\xff\xfe\",\"Accepted\":1,\"Accepted\":2}]}",
			[]string{"p.worker.T_1.w.dev.0.Accepted:2|g"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, linesOf(t, c.info, c.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"", "null and void", "{", `{"DEVS":[{]}`, "[]", "7"} {
		if m := newMessage("p", false); m.summary(&fleet.Info{}, []byte(bad)) == nil || len(m.lines) > 0 {
			t.Errorf("%q: no error, or lines %q", bad, m.lines)
		}
	}
}

func TestPacketsHoldWhatFits(t *testing.T) {
	for _, oneLine := range []bool{false, true} {
		inFarm(t, 10, func(t *testing.T, f *farm) {
			f.herd.Dragon(0).Inject(dragontest.BogusTemperature, dragontest.Amount(-20))
			s, server, stop := f.mirror(t, func(c *StatsdConfig) { c.OneLinePerPacket = oneLine })
			defer stop()
			time.Sleep(70 * time.Second)
			synctest.Wait()
			packets, lines := slices.Clone(server.packets), len(server.take())
			longest := 0
			for i, p := range packets {
				longest = max(longest, len(p))
				if oneLine && strings.Contains(p, "\n") {
					t.Errorf("more than one line: %q", p)
				}
				if line := packets[i][strings.LastIndexByte(p, '\n')+1:]; strings.Contains(line, ":0|g") && !oneLine && i+1 < len(packets) &&
					strings.HasPrefix(packets[i+1], strings.TrimSuffix(line, "0|g")) {
					t.Errorf("a negative gauge is cut from its zero: %q | %.80q", line, packets[i+1])
				}
			}
			if longest > maxPacket || !oneLine && longest < maxPacket-200 {
				t.Errorf("the longest packet has %d bytes, of %d that fit", longest, maxPacket)
			}
			if lines < 1000 || testutil.ToFloat64(s.metrics.lines) != float64(lines) {
				t.Errorf("%d lines came", lines)
			}
		})
	}
}

func TestPacketsAreFullToTheByte(t *testing.T) {
	for _, c := range []struct{ first, second, packets int }{{700, 731, 1}, {700, 732, 2}, {1432, 1, 2}, {1, 1430, 1}} {
		m := message{lines: [][]byte{bytes.Repeat([]byte("a"), c.first), bytes.Repeat([]byte("b"), c.second)}}
		if got := m.packets(); len(got) != c.packets {
			t.Errorf("lines of %d and %d bytes are %d packets, want %d", c.first, c.second, len(got), c.packets)
		}
	}
}

// The kernel tells of an earlier packet in place of sending the next one, which must
// not be lost for it.
func TestAPacketIsSentAlthoughAnEarlierOneWasRefused(t *testing.T) {
	server := &statsdServer{refused: true}
	w := wire{Statsd: NewStatsd(StatsdConfig{Dial: server.dial})}
	sent, err := w.write(t.Context(), []byte("a:1|c"))
	if !sent || !errors.Is(err, syscall.ECONNREFUSED) || len(server.packets) != 1 {
		t.Errorf("sent %v, error %v, %q came", sent, err, server.packets)
	}
}

func TestANilStatsdDoesNothing(t *testing.T) {
	var s *Statsd
	s.Scanned(time.Second, 1)
	s.Count("manager.dragons.exception")
	s.Action(&fleet.Info{}, "rebooted")
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestManagerLines(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		s, server, stop := f.mirror(t)
		defer stop()
		s.Scanned(1234567890*time.Nanosecond, 3)
		s.Count("manager.dragons.health_exception")
		s.Action(&fleet.Info{Model: "T1", Worker: "dragon-4500e3ab"}, "poolsChanged")
		want := []string{
			"dragons.manager.scan_timed:1234.567890|ms", "dragons.manager.scan.count:3|g", "dragons.manager.dragons.health_exception:1|c",
			"dragons.worker.T1.dragon-4500e3ab.action.poolsChanged:1|c",
		}
		if diff := cmp.Diff(want, server.take()); diff != "" {
			t.Error(diff)
		}
	})
}

// others are the lines that are no gauges of a dragon.
func others(lines []string) []string {
	return slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "worker.") && !strings.Contains(l, ".action.") })
}

func TestDragonsComeAndGo(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		_, server, stop := f.mirror(t)
		defer stop()
		action := "dragons.worker.T1." + f.worker(0) + ".action.added:1|c"
		time.Sleep(3 * time.Minute)
		added := []string{action, "dragons.manager.dragons.count:1|g", "dragons.manager.dragons.added:1|c"}
		if diff := cmp.Diff(added, others(server.take())); diff != "" {
			t.Errorf("found: %s", diff)
		}
		f.herd.Dragon(0).Inject(dragontest.Reset)
		time.Sleep(3 * time.Minute)
		lost := []string{"dragons.manager.dragons.exception:1|c", "dragons.manager.dragons.stats_exception:1|c", "dragons.manager.dragons.count:0|g", "dragons.manager.dragons.removed:1|c"}
		if diff := cmp.Diff(lost, others(server.take())); diff != "" {
			t.Errorf("lost: %s", diff)
		}
		f.herd.Dragon(0).Clear()
		time.Sleep(3 * time.Minute)
		if diff := cmp.Diff(added, others(server.take())); diff != "" {
			t.Errorf("back: %s", diff)
		}
		// A write is no reason to lose a dragon.
		err := f.Fleet.Dragons()[0].Write(t.Context(), "restart", func(context.Context, *dragon.Client) error {
			time.Sleep(3 * time.Minute)
			return nil
		})
		if lines := server.take(); err != nil || len(others(lines)) > 0 || len(lines) > 500 {
			t.Errorf("%v %q", err, lines)
		}
	})
}

func TestEachDragonHasItsTurnOnTime(t *testing.T) {
	t.Parallel()
	inFarm(t, 20, func(t *testing.T, f *farm) {
		for i := range f.herd.Len() { // however long they take
			f.herd.Dragon(i).Inject(dragontest.Slow, dragontest.Delay(time.Duration(i+1)*100*time.Millisecond))
		}
		start := time.Now()
		_, server, stop := f.mirror(t)
		defer stop()
		const rounds = 20
		time.Sleep(rounds*time.Minute + 30*time.Second)
		turns := map[int]bool{}
		for i := range f.herd.Len() {
			info := f.Fleet.Lookup(f.herd.Addr(i)).Info()
			at := server.arrivals("dragons." + workerName(info) + ".hardware.")
			if len(at) < rounds {
				t.Errorf("%s came %d times in %d minutes", info.Worker, len(at), rounds)
				continue
			}
			delay := time.Duration(i+1) * 100 * time.Millisecond
			for n, got := range at {
				want := start.Add(time.Duration(n)*time.Minute + time.Duration(statsdSlot(info.MAC))*time.Second + 6*time.Second + delay)
				if !got.Equal(want) && !got.Equal(want.Add(delay)) { // a reading takes two requests now and then
					t.Errorf("%s came the time %d at %v, want %v", info.Worker, n, got.Sub(start), want.Sub(start))
					break
				}
			}
			turns[statsdSlot(info.MAC)] = true
		}
		if len(turns) < 12 {
			t.Errorf("20 dragons have %d different turns", len(turns))
		}
	})
}

func TestTurnsAreSpread(t *testing.T) {
	const dragons = 6000
	var n [statsdSlots]int
	for i := range dragons {
		n[statsdSlot(fmt.Sprintf("a0:b0:45:%02x:%02x:%02x", i>>16, i>>8&255, i&255))]++
	}
	if least, most := slices.Min(n[:]), slices.Max(n[:]); least < 50 || most > 200 {
		t.Errorf("%d to %d of %d dragons at once", least, most, dragons)
	}
}

// Wherever in the interval the scrape is, and although it comes a little sooner or
// later each time, statsd asks no dragon anything.
func TestStatsdAddsNoRequestToScrapesAtTheSamePace(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{
		"at a dragon's turn": 0, "when it would be read without": 6 * time.Second, "in between": 3 * time.Second, "after": 30 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			inFarm(t, 10, func(t *testing.T, f *farm) {
				// No delay is as long as a scrape comes late: whether one that begins at the
				// moment another reading ends shares it is for the scheduler to say.
				for i := range f.herd.Len() {
					f.herd.Dragon(i).Inject(dragontest.Slow, dragontest.Delay(time.Duration(i+1)*50*time.Millisecond+7*time.Millisecond))
				}
				first := time.Duration(statsdSlot(f.Fleet.Lookup(f.herd.Addr(0)).Info().MAC))*time.Second + after
				start := time.Now()
				_, server, stop := f.mirror(t)
				defer stop()
				jitter := []int{0, 150, -90, 40, -150, 150, -150, 90} // milliseconds
				const settled, rounds = 8, 24
				before := 0
				for n := range rounds {
					late := time.Duration(jitter[n%len(jitter)]) * time.Millisecond
					due := start.Add(first + time.Duration(n+1)*time.Minute + late)
					if n == settled { // counted from a moment at which nobody reads
						time.Sleep(time.Until(due.Add(-time.Second)))
						before = f.summaries()
						server.take()
					}
					time.Sleep(time.Until(due))
					f.scraped(t)
				}
				time.Sleep(time.Until(start.Add(first + (rounds+1)*time.Minute - time.Second)))
				if n, want := f.summaries()-before, (rounds-settled)*f.herd.Len(); n != want {
					t.Errorf("%d requests, want the %d of the scrapes", n, want)
				}
				mirrorings := 0
				for _, line := range server.take() {
					if strings.Contains(line, "fan_duty") {
						mirrorings++
					}
				}
				if want := (rounds - settled) * f.herd.Len(); mirrorings < want-f.herd.Len() || mirrorings > want+f.herd.Len() {
					t.Errorf("%d mirrorings, want about %d", mirrorings, want)
				}
			})
		})
	}
}

func TestAScrapeATickAndAnotherReaderAtOneMomentAreOneRequest(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		d := f.Fleet.Dragons()[0]
		f.herd.Dragon(0).Inject(dragontest.Slow, dragontest.Delay(50*time.Millisecond))
		turn := time.Duration(statsdSlot(d.Info().MAC)) * time.Second
		start := time.Now()
		_, server, stop := f.mirror(t)
		defer stop()
		// At the moment of its turn, and at the moment when it does not wait any longer.
		for n, moment := range []time.Duration{time.Minute + turn, 2*time.Minute + turn + 6*time.Second} {
			time.Sleep(time.Until(start.Add(moment - time.Second)))
			server.take()
			before := f.summaries()
			time.Sleep(time.Second)
			var reading sync.WaitGroup
			reading.Go(func() { f.scraped(t) })
			reading.Go(func() {
				if _, err := d.Read(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
			reading.Wait()
			time.Sleep(10 * time.Second)
			if n := f.summaries() - before; n != 1 {
				t.Errorf("%d requests, want one", n)
			}
			if lines := server.take(); len(lines) < 50 {
				t.Errorf("moment %d: %d lines came of it", n, len(lines))
			}
		}
	})
}

func TestAReadingIsMirroredOnce(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		_, server, stop := f.mirror(t)
		defer stop()
		for range 20 { // three scrapes in four minutes
			time.Sleep(80 * time.Second)
			f.scraped(t)
		}
		seen := map[string]int{}
		for _, line := range server.take() {
			if strings.Contains(line, "dev.0.Device-Elapsed") {
				seen[line]++
			}
		}
		for line, n := range seen {
			if n > 1 {
				t.Errorf("%d times: %s", n, line)
			}
		}
		if len(seen) < 25 {
			t.Errorf("%d mirrorings in 27 minutes", len(seen))
		}
	})
}

func TestAStatsdThatIsDownIsSaidOnceAndCostsNothing(t *testing.T) {
	for name, fail := range map[string]func(*statsdServer, bool){
		"nobody listens": func(s *statsdServer, b bool) { s.down = b },
		"no such name":   func(s *statsdServer, b bool) { s.unresolved = b },
	} {
		t.Run(name, func(t *testing.T) {
			inFarm(t, 10, func(t *testing.T, f *farm) {
				s, server, stop := f.mirror(t)
				server.set(func() { fail(server, true) })
				time.Sleep(10 * time.Minute)
				errorsThen := testutil.ToFloat64(s.metrics.errors)
				if n := len(server.take()); n > 0 || errorsThen < 100 {
					t.Errorf("%d lines came, %v errors are counted", n, errorsThen)
				}
				if server.dials > 70 {
					t.Errorf("resolved %d times in ten minutes", server.dials)
				}
				if n := f.summaries(); n > 10*f.herd.Len() {
					t.Errorf("%d requests", n)
				}
				server.set(func() { fail(server, false) })
				time.Sleep(5 * time.Minute)
				if lines := server.take(); len(lines) < 3000 {
					t.Errorf("%d lines came when it was back", len(lines))
				}
				if n := testutil.ToFloat64(s.metrics.errors); n > errorsThen+60 {
					t.Errorf("%v errors more when it was back", n-errorsThen)
				}
				stop()
				logged := f.log.String()
				if n := strings.Count(logged, "statsd unreachable, still sending"); n != 1 {
					t.Errorf("said %d times that it is down:\n%s", n, logged)
				}
				if n := strings.Count(logged, "statsd reachable again"); n != 1 {
					t.Errorf("said %d times that it is up:\n%s", n, logged)
				}
			})
		})
	}
}

func TestANameIsResolvedAgain(t *testing.T) {
	inFarm(t, 5, func(t *testing.T, f *farm) {
		_, server, stop := f.mirror(t)
		defer stop()
		time.Sleep(10 * time.Minute)
		if server.take(); server.dials < 8 || server.dials > 12 {
			t.Errorf("resolved %d times in ten minutes", server.dials)
		}
		server.set(func() { server.unresolved = true }) // and the old address will do
		time.Sleep(5 * time.Minute)
		if lines := server.take(); len(lines) < 1000 {
			t.Errorf("%d lines came while the name could not be resolved", len(lines))
		}
	})
}

// The farm's dragons answer as they should; this one's lines cannot be made.
func TestAnAnswerWithoutLinesIsCounted(t *testing.T) {
	inFarm(t, 1, func(t *testing.T, f *farm) {
		s := NewStatsd(StatsdConfig{Fleet: f.Fleet})
		err := s.lines(s.message(), &fleet.Info{}, &fleet.Reading{}) // no Summary: a panic
		if err == nil {
			t.Error("a panic is no error")
		}
		if err := s.lines(s.message(), &fleet.Info{}, &fleet.Reading{Summary: &dragon.Summary{Answer: dragon.Answer{Raw: []byte("{")}}}); err == nil {
			t.Error("half an object is no error")
		}
	})
}

// A fault of one dragon costs the lines of no other.
func TestStatsdFaultsCostOnlyTheirDragon(t *testing.T) {
	t.Parallel()
	for _, fault := range dragontest.Faults() {
		t.Run(string(fault.Fault), func(t *testing.T) {
			inFarm(t, 3, func(t *testing.T, f *farm) {
				f.herd.Dragon(1).Inject(fault.Fault)
				_, server, stop := f.mirror(t)
				defer stop()
				time.Sleep(5*time.Minute + 30*time.Second)
				lines := server.take()
				for i := range 3 {
					n := 0
					for _, line := range lines {
						if strings.Contains(line, workerName(f.Fleet.Dragons()[i].Info())+".hardware.") {
							n++
						}
					}
					if f.Fleet.Dragons()[i] != f.Fleet.Lookup(f.herd.Addr(1)) && n < 5 {
						t.Errorf("%d mirrorings of a well dragon in 5.5 minutes", n)
					}
				}
				wellFormed(t, lines)
			})
		})
	}
}

var lineForm = regexp.MustCompile(`^[A-Za-z0-9_+./-]+:-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?\|(g|c|ms)$`)

func wellFormed(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		if !lineForm.MatchString(line) {
			t.Errorf("malformed: %q", line)
		}
		if stats := statsdtest.ParseStats([]byte(line)); len(stats) != 1 || !stats[0].Parsed {
			t.Errorf("the library cannot parse %q", line)
		}
	}
}

func FuzzStatsdLines(f *testing.F) {
	f.Add("T1", "dragon-4500e3ab", []byte(`{"HARDWARE":{"Fan duty":60},"DEVS":[{"ID":0,"Status":"Alive","Temperature":70.0,"Last Share Pool":-1}],"POOLS":[{"POOL":0,"Works":1e16}]}`))
	f.Add("A8+:1|g\n", "dragon-1@10.1.0.9:80", []byte(`{"DEVS":{"1":{"ID":"0:1|c\n#a=b","Accepted":"1|g\nx:2"}},"POOLS":[{"POOL":"`+strings.Repeat("é.", 500)+`","Works":-1e-300}]}`))
	f.Add("", "", []byte(`{"HARDWARE":[],"DEVS":[],"POOLS":{}}`))
	f.Fuzz(func(t *testing.T, model, worker string, body []byte) {
		for _, oneLine := range []bool{false, true} {
			m := newMessage(strings.Repeat("p", 100), oneLine)
			if m.summary(&fleet.Info{Model: model, Worker: worker}, body) != nil && len(m.lines) > 0 {
				t.Error("lines of what is no JSON")
			}
			for _, p := range m.packets() {
				if len(p) > maxPacket {
					t.Errorf("a packet of %d bytes", len(p))
				}
				lines := strings.Split(string(p), "\n")
				wellFormed(t, lines)
				for _, line := range lines {
					name, _, _ := strings.Cut(line, ":")
					if n, want := strings.Count(name, "."), map[bool]int{true: 5, false: 6}[strings.HasSuffix(name, ".hardware.fan_duty")]; n != want {
						t.Errorf("%d dots, want %d: %s", n, want, name)
					}
				}
			}
		}
	})
}

func TestStatsdOverUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewStatsd(StatsdConfig{Fleet: emptyFleet(t), Address: server.LocalAddr().String(), Prefix: "dragons"})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	s.Scanned(1500*time.Millisecond, 7)
	buffer := make([]byte, 2000)
	if err := server.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := server.ReadFrom(buffer)
	if got, want := string(buffer[:n]), "dragons.manager.scan_timed:1500.000000|ms\ndragons.manager.scan.count:7|g"; err != nil || got != want {
		t.Errorf("%v: %q, want %q", err, got, want)
	}

	// The kernel tells that nobody listens any more, and who listens next misses nothing.
	address := server.LocalAddr().String()
	server.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); testutil.ToFloat64(s.metrics.errors) == 0; {
		select {
		case <-tick.C:
			s.Count("manager.dragons.exception")
		case <-deadline:
			t.Fatal("nobody listens, and no error is counted")
		}
	}
	server, err = net.ListenPacket("udp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		t.Skip("somebody else took the port")
	} else if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	s.Action(&fleet.Info{Model: "T1", Worker: "dragon-1"}, "rebooted")
	for want := "dragons.worker.T1.dragon-1.action.rebooted:1|c"; ; {
		n, _, err := server.ReadFrom(buffer)
		if err != nil {
			t.Fatal("the first line after it was back is lost: ", err)
		}
		if string(buffer[:n]) == want {
			return
		}
	}
}

func emptyFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Open(fleet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}
