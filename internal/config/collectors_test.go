package config

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/brndnmtthws/mother-of-dragons/collector"
)

func TestCollectorsAreSwitched(t *testing.T) {
	for _, c := range []struct {
		args []string
		want map[string]bool
	}{
		{nil, nil},
		{[]string{"--collector.chips"}, map[string]bool{"chips": true}},
		{[]string{"--no-collector.boards", "--no-collector.firmware", "--collector.chips"}, map[string]bool{"boards": false, "firmware": false, "chips": true}},
		{[]string{"--collector.boards", "--no-collector.chips"}, nil},
	} {
		got, err := parse(append(c.args, "--network=127.1.0.0/24")...)
		if err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		if diff := cmp.Diff(c.want, changed(got)); diff != "" {
			t.Errorf("%v: %s", c.args, diff)
		}
	}
	if _, err := parse("--network=127.1.0.0/24", "--collector.fans"); err == nil {
		t.Error("a collector that is not there was taken")
	}
	t.Setenv("TEST_COLLECTOR_CHIPS", "maybe")
	app := kingpin.New("test", "").Terminate(nil).DefaultEnvars()
	Register(app)
	if _, err := app.Parse(nil); err == nil || !strings.Contains(err.Error(), `"maybe"`) {
		t.Errorf("%v", err)
	}
}

func TestHelpDescribesEveryCollector(t *testing.T) {
	var out bytes.Buffer
	app := kingpin.New("test", "").Terminate(nil).UsageWriter(&out)
	Register(app)
	app.Usage(nil)
	help := strings.Join(strings.Fields(out.String()), " ")
	for _, s := range collector.Switches() {
		if !strings.Contains(help, "--[no-]collector."+s.Name+" "+s.Help) {
			t.Errorf("--help does not describe %s:\n%s", s.Name, out.String())
		}
	}
}

func TestTheFileHasEveryCollector(t *testing.T) {
	var names []string
	for _, s := range collector.Switches() {
		names = append(names, s.Name)
	}
	c := mustParse(t, "collectors: {chips: false, boards: false}\n", "--network=127.5.0.0/16", "--collector.chips", "--no-collector.pools")
	for name := range c.Collectors.Switches() {
		if !slices.Contains(names, name) {
			t.Errorf("there is no collector %s", name)
		}
	}
	if len(c.Collectors.Switches()) != len(names) {
		t.Errorf("%v: want a key for each of %v", c.Collectors, names)
	}
	if diff := cmp.Diff(map[string]bool{"boards": false, "pools": false}, changed(c)); diff != "" {
		t.Errorf("a key does not win over its flag, or the flags are lost: %s", diff)
	}
}

// changed are the collectors that are not as by default.
func changed(c *Config) map[string]bool {
	var list map[string]bool
	on := c.Collectors.Switches()
	for _, s := range collector.Switches() {
		if on[s.Name] != s.On {
			if list == nil {
				list = map[string]bool{}
			}
			list[s.Name] = on[s.Name]
		}
	}
	return list
}
