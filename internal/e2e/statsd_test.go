package e2e

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// statsdExporter returns the path of statsd_exporter: the installed one, or else one
// built from the tools' module.
func statsdExporter(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"statsd_exporter", "prometheus-statsd-exporter"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	path := filepath.Join(t.TempDir(), "statsd_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/prometheus/statsd_exporter")
	build.Dir = "../../tools"
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		message := fmt.Sprintf("statsd_exporter is not installed and cannot be built: %v\n%s", err, out)
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	return path
}

func freeUDPPort(t *testing.T) int {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.LocalAddr().(*net.UDPAddr).Port
}

// page is the series of a page of metrics, by name and labels.
type page map[string]float64

func pageOf(t *testing.T, url string) page {
	t.Helper()
	body, err := tryGet(url)
	if err != nil {
		return page{}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	p := page{}
	for name, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label { // sorted, on both pages
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			p[name+"{"+strings.Join(labels, ",")+"}"] = valueOf(m)
		}
	}
	return p
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Summary != nil:
		return m.Summary.GetSampleSum()
	}
	return m.GetUntyped().GetValue()
}

// A legacy setup behind statsd_exporter, with the mapping of the documentation, shows
// what /metrics shows.
func TestStatsdExporterShowsWhatMetricsShow(t *testing.T) {
	t.Parallel()
	program := statsdExporter(t)
	mapping, err := filepath.Abs("../../docs/statsd_exporter.yml")
	if err != nil {
		t.Fatal(err)
	}
	models := dragontest.Models()
	dragons, flags := fleetOf(t, dragontest.FleetConfig{Count: len(models), Specs: func(i int) dragontest.Spec {
		// Their answers stand still, so that readings at two times can be compared.
		return dragontest.Spec{Model: models[i].Key, Seed: uint64(i) + 1, Faults: []dragontest.Fault{dragontest.Frozen}}
	}})
	for _, oneLine := range []bool{false, true} {
		t.Run(fmt.Sprintf("one line a packet: %v", oneLine), func(t *testing.T) {
			udp, tcp := freeUDPPort(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
			spawn(t, nil, program, "--statsd.mapping-config="+mapping, fmt.Sprintf("--statsd.listen-udp=127.0.0.1:%d", udp),
				"--statsd.listen-tcp=", "--web.listen-address="+tcp)
			legacy := "http://" + tcp + "/metrics"
			eventually(t, "statsd_exporter answers", func() bool { _, err := tryGet(legacy); return err == nil })
			args := append(flags, "--statsd-host=127.0.0.1", fmt.Sprintf("--statsd-port=%d", udp), "--statsd-interval=2")
			if oneLine {
				args = append(args, "--statsd-one-line")
			}
			p, base := mother(t, args...)

			// UDP may lose a packet on a busy machine. A figure comes again, so that in the
			// end every one is there and is right; a count does not.
			var old page
			var differ []string
			compared, lost := 0, 0
			compare := func() {
				old = pageOf(t, legacy)
				now := pageOf(t, base+"/metrics")
				compared, lost, differ = 0, 0, nil
				same := func(oldSeries string, factor float64, series string) {
					a, ok := old[oldSeries]
					b, there := now[series]
					if !ok || !there || math.Abs(a*factor-b) > 1e-12*math.Abs(b) {
						differ = append(differ, fmt.Sprintf("%s is %v (%v), times %v; %s is %v (%v)", oldSeries, a, ok, factor, series, b, there))
					}
					compared++
				}
				for i, m := range models {
					w := worker(dragons, i)
					same(fmt.Sprintf(`statsd_dragon_fan_duty{model=%q,worker=%q}`, m.Type, w), 0.01, fmt.Sprintf(`dragon_fan_duty_ratio{worker=%q}`, w))
					for b := range dragons.Dragon(i).Truth().Boards {
						board := func(name string) string {
							return fmt.Sprintf(`statsd_dragon_board_%s{board="%d",model=%q,worker=%q}`, name, b, m.Type, w)
						}
						same(board("Alive"), 1, fmt.Sprintf(`dragon_board_up{board="%d",worker=%q}`, b, w))
						same(board("Temperature"), 1, fmt.Sprintf(`dragon_board_temperature_celsius{board="%d",worker=%q}`, b, w))
						same(board("MHS_av"), m.Factor, fmt.Sprintf(`dragon_board_hashrate_hashes_per_second{board="%d",window="avg",worker=%q}`, b, w))
						same(board("Accepted"), 1, fmt.Sprintf(`dragon_board_shares_total{board="%d",result="accepted",worker=%q}`, b, w))
						same(board("Hardware_Errors"), 1, fmt.Sprintf(`dragon_board_hardware_errors_total{board="%d",worker=%q}`, b, w))
					}
					for n := range dragons.Dragon(i).Truth().Pools {
						same(fmt.Sprintf(`statsd_dragon_pool_Accepted{model=%q,pool="%d",worker=%q}`, m.Type, n, w), 1,
							fmt.Sprintf(`dragon_pool_shares_total{pool="%d",result="accepted",worker=%q}`, n, w))
					}
					switch n := old[fmt.Sprintf(`statsd_dragon_actions_total{action="added",model=%q,worker=%q}`, m.Type, w)]; {
					case n > 1:
						t.Errorf("%s was added %v times", w, n)
					case n == 0:
						lost++
					}
				}
				for _, series := range []string{"statsd_scan_dragons{}", "statsd_dragons{}"} {
					if n := old[series]; n != float64(len(models)) {
						differ = append(differ, fmt.Sprintf("%s is %v", series, n))
					}
				}
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(strings.Join(differ, "\n"))
				}
			})
			eventually(t, "statsd_exporter shows what /metrics shows", func() bool { compare(); return len(differ) == 0 })
			if compared < 200 {
				t.Errorf("%d figures compared", compared)
			}
			if n := old[`statsd_dragons_events_total{event="added"}`]; n > float64(len(models)) || n < 1 || lost > len(models)/2 {
				t.Errorf("%v dragons added, %d of them not by name, want %d", n, lost, len(models))
			}
			for series, v := range old {
				if strings.HasPrefix(series, "statsd_exporter_") && strings.Contains(series, "error") && v != 0 {
					t.Errorf("statsd_exporter counts errors: %s %v", series, v)
				}
				if strings.HasPrefix(series, "dragons_") {
					t.Errorf("a line that the mapping does not know: %s", series)
				}
			}
			p.stop(t)
		})
	}
}
