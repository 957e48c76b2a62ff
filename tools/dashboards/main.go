// Command dashboards writes the Grafana boards of ../dashboards: a file for each board,
// fleet.go, dragon.go, healer.go and exporter.go, says what is on it; panels.go knows
// what a panel looks like, and board.go what all boards have in common. With -grafana.com they are for
// grafana.com, see grafanacom.go. alerting.go makes Grafana's own rules of those in ../alerts.
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
		fmt.Fprintln(os.Stderr, "usage: dashboards [-grafana.com] ALERTS DIRECTORY")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *published); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func run(alertsDir, dir string, published bool) error {
	rules, err := readRules(alertsDir)
	if err != nil {
		return err
	}
	all, err := boards(rules)
	if err != nil {
		return err
	}
	files, err := managedRules(rules)
	if err != nil {
		return err
	}
	if published {
		clear(files)
	}
	for _, b := range all {
		data, err := b.encode()
		if err == nil && published {
			data, err = forGrafanaCom(data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", b.uid, err)
		}
		files[b.file()] = data
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil { //nolint:gosec // for everybody to read
			return err
		}
	}
	return nil
}

// boards are all of them, in the order in which one looks at them.
func boards(rules []prometheusGroup) ([]*board, error) {
	limits, err := thresholdsOf(rules)
	if err != nil {
		return nil, err
	}
	return []*board{fleetBoard(limits, alertNames(rules)), dragonBoard(limits), healerBoard(limits), exporterBoard(limits)}, nil
}
