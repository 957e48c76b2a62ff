package alerts

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// silencers are the series of what silences a dragon, by the row of the table in docs/alerting.md.
var silencers = map[string]map[string]string{
	"maintenance": {`dragon_maintenance{worker="a"}`: "1"},
	"retired":     {`dragon_maintenance{worker="a"}`: "1"}, // a maintenance without a limit
	"quarantine": {`mother_healer_device_state{worker="a",state="healthy"}`: "none",
		`mother_healer_device_state{worker="a",state="quarantined"}`: "1"},
	"being written to": {`dragon_busy{worker="a",action="reboot"}`: "1"},
	"restarting (ours)": {`mother_healer_device_state{worker="a",state="healthy"}`: "none",
		`mother_healer_device_state{worker="a",state="acting"}`: "1"},
	"none of these": {},
}

// troubles are the columns of the table.
func troubles() map[string]map[string]string {
	return map[string]map[string]string{
		"DragonDown": deaf("timeout"),
		"BoardDead": {`dragon_board_up{worker="a",board="1"}`: "1|0", `dragon_board_status{worker="a",board="1",status="Alive"}`: "1|none",
			`dragon_board_status{worker="a",board="1",status="Dead"}`: "none|1"},
		"TemperatureHigh": hot("95"),
	}
}

// TestWhatSilencesWhat holds the table of docs/alerting.md against the rules.
func TestWhatSilencesWhat(t *testing.T) {
	doc, err := os.ReadFile("../docs/alerting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## What silences what\n")
	if !ok {
		t.Fatal("there is no such table")
	}
	cells := func(line string) (cells []string) {
		for cell := range strings.SplitSeq(strings.Trim(line, "| \n"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		return cells
	}
	var head []string
	all := scenario{begins: 20, lasts: 30}
	u := unit{Name: "what silences what", Step: "1m"}
	for series, value := range world() {
		u.add(scraped(series, false), all.values(t, value, 50))
	}
	rows := 0
	for line := range strings.Lines(section) {
		switch c := cells(line); {
		case strings.HasPrefix(line, "## "):
			section = ""
		case section == "" || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---"):
		case head == nil:
			head = c
		default:
			rows++
			series, known := silencers[c[0]]
			if !known {
				t.Errorf("no test knows %q", c[0])
			}
			for i, name := range head[1:] {
				trouble, known := troubles()[name]
				if !known {
					continue // told in words
				}
				worker := fmt.Sprintf("%s-%d", name, rows)
				d := dragonA()
				maps.Copy(d, trouble)
				maps.Copy(d, series)
				for s, value := range d {
					u.add(scraped(as(worker, s), false), all.values(t, value, 50))
				}
				var want []string
				switch c[i+1] {
				case "fires":
					want = []string{fmt.Sprintf("{alertname=%q}", name)}
				case "silent":
				default:
					t.Errorf("%s, %s: %q", c[0], name, c[i+1])
				}
				u.Tests = append(u.Tests, at(45, fmt.Sprintf(`count by (alertname) (ALERTS{alertname=%q,alertstate="firing",worker=%q})`, name, worker), want...))
			}
		}
	}
	if rows != len(silencers) || !slices.Contains(head, "DragonDown") {
		t.Errorf("%d rows of %v", rows, head)
	}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml", "recording.yml", "dragon.yml"})
}
