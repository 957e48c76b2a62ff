package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func printed(t *testing.T, c *Config) string {
	t.Helper()
	text, err := c.Print()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsPrintedIsTheSameConfiguration(t *testing.T) {
	example, err := os.ReadFile("../../examples/mother-of-dragons.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"flags alone":                      "",
		"everything":                       whole,
		"credentials with a match":         locks,
		"the example":                      string(example),
		"the example with every setting":   commented.ReplaceAllString(string(example), "$1$2"),
		"labels":                           "inventory: {labels: [rack, owner], labels_file: labels.csv}\ndragons: [{mac: 'a0:b0:45:00:00:02', name: Bertha, labels: {rack: 007, owner: 'no'}}]\n",
		"nothing where there is a default": "firmware: {allowed_hosts: [], path: ''}\n",
		"odd texts":                        "networks: [{cidr: 127.5.0.0/16, site: 'no: \"#yes'}]\nstatsd: {host: '127.0.0.1', prefix: '123'}\ndata_dir: ' a b '\ninventory: {file: 'true'}\nhealing: {fleet: {per_day: 0.123456789}, default: {hashrate: 14.7123456789 TH/s}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t, text)
			writeExampleFiles(t, filepath.Dir(path))
			c, err := parse("--network=127.5.0.0/16", "--statsd-host=127.0.0.1", "--statsd-prefix=flag", "--config.file="+path)
			if err != nil {
				t.Fatal(err)
			}
			first := printed(t, c)
			again, err := parse("--config.file=" + written(t, first))
			if err != nil {
				t.Fatalf("%v\n%s", err, first)
			}
			if diff := cmp.Diff(first, printed(t, again)); diff != "" {
				t.Errorf("printed again it is another:\n%s", diff)
			}
			if diff := cmp.Diff(c.Healing.Policy(), again.Healing.Policy(), comparable); diff != "" {
				t.Errorf("the policy is another:\n%s", diff)
			}
			if !c.SearchesAs(again) || c.Statsd != again.Statsd || c.DataDir != again.DataDir || c.Inventory.File != again.Inventory.File || fmt.Sprint(c.Inventory.Retention, c.Inventory.Labels, c.labels) != fmt.Sprint(again.Inventory.Retention, again.Inventory.Labels, again.labels) || c.Scrape != again.Scrape ||
				c.Collectors != again.Collectors || !reflect.DeepEqual(c.Firmware, again.Firmware) {
				t.Errorf("%+v\nbecame\n%+v", c, again)
			}
			for _, key := range []string{"scrape:", "workers: ", "start_observe: ", "min_gap: "} {
				if !strings.Contains(first, key) {
					t.Errorf("%s is not shown:\n%s", key, first)
				}
			}
		})
	}
}

func TestNoSecretIsPrinted(t *testing.T) {
	c := mustParse(t, strings.ReplaceAll(locks, "everyone", "hunter2"))
	if text := printed(t, c); strings.Contains(text, "hunter2") || !strings.Contains(text, "<secret>") {
		t.Error(text)
	}
}
