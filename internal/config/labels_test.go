package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const labelled = `
networks: [{cidr: 127.5.0.0/24}]
inventory: {labels: [rack, slot, owner], labels_file: labels.csv}
dragons:
  - {address: 127.6.0.1, mac: A0-B0-45-00-00-01, name: Bertha, labels: {rack: a12, slot: 3}}
  - {mac: "a0:b0:45:00:00:02", labels: {slot: 7}}
  - {mac: "a0:b0:45:00:00:04"}
`

func TestLabelsAreOfTheFileAndTheTable(t *testing.T) {
	path := written(t, labelled)
	table := "\ufeffmac, rack, name, slot\n# moved in March\na0:b0:45:00:00:02,b1,Anna,6\nA0B045000003, b2, ,\n\"a0:b0:45:00:00:04\",\"b 4\",,\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "labels.csv"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parse("--config.file=" + path)
	if err != nil {
		t.Fatal(err)
	}
	for mac, want := range map[string]string{
		"a0:b0:45:00:00:01": "Bertha, rack a12, slot 3",
		"a0:b0:45:00:00:02": "Anna, rack b1, slot 7", // the configuration file wins
		"a0:b0:45:00:00:03": "rack b2",
		"a0:b0:45:00:00:04": "rack b 4",
		"a0:b0:45:00:00:05": "",
	} {
		if got := c.LabelsOf(mac).String(); got != want {
			t.Errorf("%s has %q, want %q", mac, got, want)
		}
	}
	if got := fmt.Sprint(c.Targets()); got != "[{127.6.0.1 }]" {
		t.Errorf("read without a search: %s", got)
	}
	if got := c.LabelsOf("a0:b0:45:00:00:02").Map()["slot"]; got != "7" {
		t.Errorf("slot %q", got)
	}
}

func TestLabelsFromFlagsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "labels.csv")
	if err := os.WriteFile(file, []byte("rack,mac\na12,a0:b0:45:00:00:01\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parse("--network=127.5.0.0/24", "--inventory.labels=rack", "--inventory.labels=slot", "--inventory.labels-file="+file)
	if err != nil || c.LabelsOf("a0:b0:45:00:00:01").String() != "rack a12" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestErrorsOfTheLabelsFileHaveTheirLines(t *testing.T) {
	for _, x := range []struct{ table, want string }{
		{"", "labels.csv:1: no header: want mac and then names of labels"},
		{"rack,slot\n", "labels.csv:1: the header has no column mac"},
		{"mac,rak\n", `labels.csv:1: label "rak" is not declared in inventory.labels; did you mean rack?`},
		{"mac,rack\na0:b0,1\n", `labels.csv:2: "a0:b0" is not the MAC of a dragon`},
		{"mac,rack\na0:b0:45:00:00:01,1\n\nA0-B0-45-00-00-01,2\n", "labels.csv:4: a0:b0:45:00:00:01 is a duplicate"},
		{"mac,rack\na0:b0:45:00:00:01\n", "labels.csv:2: wrong number of fields"},
		{"mac,rack\n\"a0:b0:45:00:00:01,1\n", `labels.csv:`},
		{"mac,rack\na0:b0:45:00:00:01,a\x1bb\n", `labels.csv:2: rack: invalid value "a\x1bb"`},
		{"mac,rack\n" + strings.Repeat("x,1\n", 12), "labels.csv: and 2 more errors"},
	} {
		path := written(t, "networks: [{cidr: 127.5.0.0/24}]\ninventory:\n  labels: [rack]\n  labels_file: labels.csv\n")
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "labels.csv"), []byte(x.table), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := parse("--config.file=" + path); err == nil || !strings.Contains(err.Error(), ":4: inventory.labels_file: ") || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: %v\nwant %s", x.table, err, x.want)
		}
	}
	if _, err := parseFile(t, "inventory: {labels_file: nowhere.csv}", "--network=127.5.0.0/24"); err == nil || !strings.Contains(err.Error(), "nowhere.csv: no such file") {
		t.Errorf("%v", err)
	}
}

func FuzzLabelsFile(f *testing.F) {
	f.Add("mac,rack\na0:b0:45:00:00:01,a12\n")
	f.Add("\"")
	f.Fuzz(func(t *testing.T, table string) {
		path := written(t, "networks: [{cidr: 127.5.0.0/24}]\ninventory: {labels: [rack], labels_file: labels.csv}\n")
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "labels.csv"), []byte(table), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := parse("--config.file=" + path)
		if err != nil {
			return
		}
		for mac, l := range c.labels {
			if len(mac) != 17 || len(l.String()) > 300 || strings.ContainsFunc(l.String(), unprintable) {
				t.Errorf("%q has %q", mac, l)
			}
		}
	})
}
