package collector

import (
	"bytes"
	"context"
	"errors"
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

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// A statsdServer is what a Statsd sends to, in memory.
type statsdServer struct {
	mu         sync.Mutex
	packets    []string
	at         []time.Time
	unresolved bool
	down       bool // closed port: every third packet is refused, which the next one is told
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
		f := newFarm(t, dragontest.FleetConfig{Count: n, Specs: dragontest.Mixed})
		defer f.close()
		test(t, f)
	})
}

func (f *farm) summaries() (n int) {
	for i := range f.dragons.Len() {
		n += f.dragons.Dragon(i).Traffic().Requests["summary"]
	}
	return n
}

func TestStatsdLinesOfModels(t *testing.T) {
	for _, m := range dragontest.Models() {
		t.Run(m.Key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{Model: m.Key} }})
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
				f := newFarm(t, dragontest.FleetConfig{Specs: func(int) dragontest.Spec { return dragontest.Spec{Model: m.Key} }})
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
	for _, name := range boardLines.names[headFields:] {
		want["dev.N."+name] = true
	}
	for _, name := range poolLines.names[headFields:] {
		want["pool.N."+name] = true
	}
	if boards, pools := len(boardLines.names)-headFields, len(poolLines.names)-headFields; boards != 23 || pools != 22 {
		t.Errorf("%d and %d fields; the original sends 23 and 22", boards, pools)
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
		// What is not a number has no line.
		"1e400": "", "-1e400": "", "": "", "null": "", "true": "", "false": "", `""`: "", `"x"`: "", `"0x10"`: "", `"1|g"`: "", `"NaN"`: "", `"1\n2"`: "", `"1 2"`: "", "{}": "", "[]": "", "[1]": "", `"[1]"`: "", `"01"`: "",
		strings.Repeat("9", 65): "",
	} {
		number, ok := appendPython(nil, []byte(in))
		if got := string(number); got != want || ok != (want != "") {
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
	begin := 0
	for _, end := range m.units {
		lines = append(lines, string(m.text[begin:end-1]))
		begin = end
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
		if m := newMessage("p", false); m.summary(&fleet.Info{}, []byte(bad)) == nil || len(m.text) > 0 {
			t.Errorf("%q: no error, or lines %q", bad, m.text)
		}
	}
}

func TestPacketsHoldWhatFits(t *testing.T) {
	for _, oneLine := range []bool{false, true} {
		inFarm(t, 10, func(t *testing.T, f *farm) {
			f.dragons.Dragon(0).Inject(dragontest.BogusTemperature, dragontest.Amount(-20))
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

func packetsOf(m *message) (all []string) {
	var p packer
	keep := func(packet []byte) { all = append(all, string(packet)) }
	p.add(m, keep)
	p.flush(keep)
	return all
}

func TestPacketsAreFullToTheByte(t *testing.T) {
	for _, c := range []struct{ first, second, packets int }{{700, 731, 1}, {700, 732, 2}, {1432, 1, 2}, {1, 1430, 1}} {
		m := &message{}
		_, _ = m.Send(bytes.Repeat([]byte("a"), c.first))
		_, _ = m.Send(bytes.Repeat([]byte("b"), c.second))
		if got := packetsOf(m); len(got) != c.packets {
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
	s.Action(&fleet.Info{}, "rebooted")
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
}
