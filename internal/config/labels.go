package config

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

const (
	mostLabels      = 10  // that may be declared
	mostLabelErrors = 10  // of the CSV file that are shown
	longestLabel    = 100 // bytes of a name or value
)

// labelName is a name that Prometheus takes, too.
var labelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// reservedLabels are the names that dragon_info, its scrape and the CSV file use themselves.
var reservedLabels = []string{"brand", "firmware", "hw_version", "instance", "ip", "job", "mac", "model", "name", "place", "site", "worker"}

// LabelsOf returns the labels of a dragon; nil: it has none.
func (c *Config) LabelsOf(mac string) *fleet.Labels { return c.labels[mac] }

// adoptLabels merges the labels of the CSV file and of the dragons in the configuration file,
// which win.
func (c *Config) adoptLabels(r *reader, dir string) {
	c.checkLabelNames(r)
	byMAC := c.labelsFile(r, dir)
	seen := map[string]int{}
	for i, d := range c.Dragons {
		path := fmt.Sprintf("dragons[%d]", i)
		if d.MAC == "" {
			if d.Name != "" || len(d.Labels) > 0 {
				r.at(path, "a name or a label needs the mac of the dragon")
			}
			continue
		}
		mac, ok := dragon.ParseMAC(d.MAC)
		if !ok || !dragon.UsableMAC(mac) {
			r.at(path+".mac", "%s is not the MAC of a dragon: want 12 hex digits like a0:b0:45:00:00:01", shown(d.MAC))
			continue
		}
		if j, taken := seen[mac]; taken {
			r.at(path+".mac", "%s is a duplicate of dragons[%d]", mac, j)
			continue
		}
		seen[mac] = i
		if byMAC[mac] == nil {
			byMAC[mac] = map[string]string{}
		}
		if wrong := c.wrongLabel("name", d.Name); wrong != "" {
			r.at(path+".name", "%s", wrong)
		}
		if d.Name != "" {
			byMAC[mac]["name"] = d.Name
		}
		for name, value := range d.Labels {
			if wrong := c.wrongLabel(name, value); wrong != "" {
				r.at(path+".labels."+name, "%s", wrong)
			} else if name == "name" {
				r.at(path+".labels.name", "name is not a label; it is a key beside labels")
			} else {
				byMAC[mac][name] = value
			}
		}
	}
	c.labels = make(map[string]*fleet.Labels, len(byMAC))
	for mac, values := range byMAC {
		l := &fleet.Labels{Name: values["name"]}
		for _, name := range c.Inventory.Labels {
			if values[name] != "" {
				l.Pairs = append(l.Pairs, fleet.Label{Name: name, Value: values[name]})
			}
		}
		if l.String() != "" {
			c.labels[mac] = l
		}
	}
}

func (c *Config) checkLabelNames(r *reader) {
	if n := len(c.Inventory.Labels); n > mostLabels {
		r.at("inventory.labels", "%d labels: want at most %d", n, mostLabels)
	}
	for i, name := range c.Inventory.Labels {
		path := fmt.Sprintf("inventory.labels[%d]", i)
		switch {
		case !labelName.MatchString(name):
			r.at(path, "invalid name %s: want 1 to 40 of a-z, 0-9 and _, the first a letter", shown(name))
		case slices.Contains(reservedLabels, name):
			r.at(path, "%s is reserved; the reserved names are %s", name, strings.Join(reservedLabels, ", "))
		case slices.Contains(c.Inventory.Labels[:i], name):
			r.at(path, "%s is a duplicate", name)
		}
	}
}

// wrongLabel says what is wrong with a label; empty: nothing.
func (c *Config) wrongLabel(name, value string) string {
	if name != "name" && !slices.Contains(c.Inventory.Labels, name) {
		if best := Nearest(name, c.Inventory.Labels); best != "" {
			return fmt.Sprintf("label %s is not declared in inventory.labels; did you mean %s?", shown(name), best)
		}
		return fmt.Sprintf("label %s is not declared in inventory.labels", shown(name))
	}
	if len(value) > longestLabel || strings.TrimSpace(value) != value || strings.ContainsFunc(value, unprintable) {
		return fmt.Sprintf("invalid value %s: want at most %d letters", shown(value), longestLabel)
	}
	return ""
}

// labelsFile reads the CSV file: the values of each dragon by MAC and column.
func (c *Config) labelsFile(r *reader, dir string) map[string]map[string]string {
	byMAC := map[string]map[string]string{}
	path := c.Inventory.LabelsFile
	if path == "" {
		return byMAC
	}
	const key = "inventory.labels_file"
	if r.has(key) && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	data, err := ReadFile(path)
	if err != nil {
		r.at(key, "%s", err)
		return byMAC
	}
	found := 0
	say := func(line int, format string, args ...any) {
		if found++; found <= mostLabelErrors {
			r.say(r.lines[key], key, "%s:%d: %s", path, line, fmt.Sprintf(format, args...))
		}
	}
	in := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(data), "\ufeff")))
	in.TrimLeadingSpace, in.Comment = true, '#'
	header, err := in.Read()
	if err != nil {
		say(1, "no header: want mac and then names of labels")
		return byMAC
	}
	column := slices.Index(header, "mac")
	if column < 0 {
		say(1, "the header has no column mac")
		return byMAC
	}
	for i, name := range header {
		if wrong := c.wrongLabel(name, ""); i != column && wrong != "" {
			say(1, "%s", wrong)
		}
	}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
			say(wrong.Line, "%s", wrong.Err)
			if errors.Is(err, csv.ErrFieldCount) {
				continue
			}
			break
		}
		line, _ := in.FieldPos(0)
		c.labelsRow(header, row, column, byMAC, func(format string, args ...any) { say(line, format, args...) })
	}
	if more := found - mostLabelErrors; more > 0 {
		r.say(r.lines[key], key, "%s: and %d more errors", path, more)
	}
	return byMAC
}

// labelsRow takes in one row of the CSV file.
func (c *Config) labelsRow(header, row []string, column int, byMAC map[string]map[string]string, say func(format string, args ...any)) {
	mac, ok := dragon.ParseMAC(row[column])
	if !ok || !dragon.UsableMAC(mac) {
		say("%s is not the MAC of a dragon: want 12 hex digits like a0:b0:45:00:00:01", shown(row[column]))
		return
	}
	if byMAC[mac] != nil {
		say("%s is a duplicate", mac)
		return
	}
	byMAC[mac] = map[string]string{}
	for i, name := range header {
		value := strings.TrimSpace(row[i])
		if i == column || c.wrongLabel(name, "") != "" {
			continue
		}
		if wrong := c.wrongLabel(name, value); wrong != "" {
			say("%s: %s", name, wrong)
			continue
		}
		byMAC[mac][name] = value
	}
}
