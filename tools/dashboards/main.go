// Command dashboards writes the Grafana boards of ../dashboards: a file for each board,
// fleet.go, dragon.go, healer.go and exporter.go, says what is on it; panels.go knows
// what a panel looks like, and board.go what all boards have in common. With -grafana.com they are for
// grafana.com, see grafanacom.go.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	published := flag.Bool("grafana.com", false, "Write the boards as grafana.com wants them.")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards [-grafana.com] THRESHOLDS DIRECTORY")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *published); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func run(thresholdsFile, dir string, published bool) error {
	limits, err := readThresholds(thresholdsFile)
	if err != nil {
		return err
	}
	for _, b := range boards(limits) {
		data, err := b.encode()
		if err == nil && published {
			data, err = forGrafanaCom(data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", b.uid, err)
		}
		if err := os.WriteFile(filepath.Join(dir, b.file()), data, 0o644); err != nil { //nolint:gosec // for everybody to read
			return err
		}
	}
	return nil
}

// boards are all of them, in the order in which one looks at them.
func boards(limits thresholds) []*board {
	return []*board{fleetBoard(limits), dragonBoard(limits), healerBoard(limits), exporterBoard(limits)}
}
