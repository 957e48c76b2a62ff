package main

import (
	"flag"
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
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// The reference has the program's own metrics from the program itself, with all that
// can be switched on: none can be forgotten there.
func TestMetricsReferenceIsWhatTheProgramServes(t *testing.T) {
	herd, err := dragontest.NewHerd(dragontest.HerdConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer herd.Close()
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsd.Close()
	_, port, err := net.SplitHostPort(statsd.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	// Some series need something to have happened: an expectation, a write.
	dir, policy := t.TempDir(), filepath.Join(t.TempDir(), "mother.yml")
	if err := os.WriteFile(policy, []byte("healing:\n  default:\n    hashrate: 15 TH/s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--data-dir=" + dir, "--config.file=" + policy, "--dragon=" + herd.Addr(0), "--statsd-host=127.0.0.1", "--statsd-port=" + port, "--dragon-health-check-interval=1"}
	for _, s := range collector.Switches() {
		args = append(args, "--collector."+s.Name)
	}
	address, _, _ := start(t, args...)
	var page string
	shows := func(names ...string) func() bool {
		return func() bool {
			_, page = get(t, "http://"+address+"/metrics")
			return !slices.ContainsFunc(names, func(name string) bool { return !strings.Contains(page, "\n"+name+"{") })
		}
	}
	eventually(t, "the dragon is read, and the healer has seen it", shows("dragon_boards", "dragon_hashrate_expected_hashes_per_second", "mother_pool_state", "mother_domain_state"))
	before := page
	if _, stderr, err := invoke(t, "healer", "restart", "--data-dir="+dir, "--yes", "--force", "--reason=reference", dragon.WorkerName(herd.Dragon(0).Spec().MAC)); err != nil {
		t.Fatal(err, stderr)
	}
	eventually(t, "the write is shown", shows("mother_healer_last_action_timestamp_seconds"))
	families := make(map[string]*dto.MetricFamily)
	for _, page := range []string{before, page} {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		f, err := parser.TextToMetricFamilies(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(families, f)
	}
	var own []*dto.MetricFamily
	for _, name := range slices.Sorted(maps.Keys(families)) {
		own = append(own, families[name])
	}
	got := collector.Reference(own)
	const file = "docs/metrics.md"
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
