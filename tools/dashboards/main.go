// Command dashboards writes the Grafana boards of ../dashboards: a file for each board,
// fleet.go, dragon.go, healer.go and exporter.go, says what is on it; panels.go knows
// what a panel looks like, and board.go what all boards have in common.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: dashboards THRESHOLDS DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func run(thresholdsFile, dir string) error {
	limits, err := readThresholds(thresholdsFile)
	if err != nil {
		return err
	}
	for _, b := range boards(limits) {
		data, err := b.encode()
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
