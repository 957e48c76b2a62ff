package docs_test

import (
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/brndnmtthws/mother-of-dragons/collector"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

var update = flag.Bool("update", false, "write docs/metrics.md and the tables of docs/healing.md")

// The reference has the program's own metrics from the program itself, with all that
// can be switched on: none can be forgotten there.
func TestMetricsReferenceIsWhatTheProgramServes(t *testing.T) {
	dragons, err := dragontest.NewFleet(dragontest.FleetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer dragons.Close()
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsd.Close()
	_, port, err := net.SplitHostPort(statsd.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(file, []byte("notify: {webhooks: [{name: ops, url: 'http://127.0.0.1:1/'}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--config.file=" + file, "--dragon=" + dragons.Addr(0), "--dragon=127.0.0.1:1", "--statsd-host=127.0.0.1", "--statsd-port=" + port, "--dragon-health-check-interval=1"}
	for _, s := range collector.Switches() {
		args = append(args, "--collector."+s.Name)
	}
	address, _, _ := cmdtest.Start(t, cmd.New, args...)
	var page string
	cmdtest.Eventually(t, "the dragon is read, and the healer has seen it", func() bool {
		_, page = cmdtest.Get(t, "http://"+address+"/metrics")
		return strings.Contains(page, "\ndragon_boards{") && strings.Contains(page, "\nmother_pool_state{") && strings.Contains(page, "\nmother_domain_state{") &&
			strings.Contains(page, "\nmother_target_down_info{")
	})
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(families, mayShow())
	var own []*dto.MetricFamily
	for _, name := range slices.Sorted(maps.Keys(families)) {
		own = append(own, families[name])
	}
	got := collector.Reference(own)
	file = "docs/metrics.md"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s is stale (-want +got); if the new one is right: make golden\n%s", file, diff)
	}
	if n := strings.Count(got, "\n| `mother_"); n < 15 {
		t.Errorf("only %d metrics of the program", n)
	}
}

// The tables of docs/healing.md are what the rows of the healer say.
func TestHealingReferenceIsWhatTheTablesSay(t *testing.T) {
	var detectors, gates strings.Builder
	runbook := func(alert string) string {
		if alert == "" {
			return ""
		}
		return "[" + alert + "](runbooks/" + alert + ".md)"
	}
	fmt.Fprintf(&detectors, "| reason | what is wrong | goes as far as | alert |\n|---|---|---|---|\n")
	for _, d := range healer.DetectorDocs() {
		fmt.Fprintf(&detectors, "| `%s` | %s | %s | %s |\n", d.Reason, d.Doc, d.Reach, runbook(d.Alert))
	}
	fmt.Fprintf(&gates, "| gate | closed | holds | opened by | alert |\n|---|---|---|---|---|\n")
	for _, g := range healer.GateDocs() {
		fmt.Fprintf(&gates, "| `%s` | %s | %s | %s | %s |\n", g.Gate, g.Closed, g.Holds, g.OpenedBy, runbook(g.Alert))
	}
	const file = "docs/healing.md"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for name, table := range map[string]string{"detectors": detectors.String(), "gates": gates.String()} {
		before, rest, found := strings.Cut(page, "<!-- "+name+": make golden -->\n")
		_, after, end := strings.Cut(rest, "<!-- end -->\n")
		if !found || !end {
			t.Fatalf("%s: no place for the table of %s", file, name)
		}
		page = before + "<!-- " + name + ": make golden -->\n\n" + table + "\n<!-- end -->\n" + after
	}
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(strings.Split(string(data), "\n"), strings.Split(page, "\n")); diff != "" {
		t.Errorf("%s is stale (-want +got); if the new one is right: make golden\n%s", file, diff)
	}
}

// mayShow are the healer's gauges, also those that show only when something has happened.
func mayShow() map[string]*dto.MetricFamily {
	all := make(map[string]*dto.MetricFamily)
	for _, m := range agent.StatusMetrics() {
		one := &dto.Metric{}
		for _, name := range slices.Sorted(slices.Values(m.Labels)) {
			one.Label = append(one.Label, &dto.LabelPair{Name: &name})
		}
		all[m.Name] = &dto.MetricFamily{Name: &m.Name, Help: &m.Help, Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{one}}
	}
	return all
}
