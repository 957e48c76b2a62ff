package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// thresholds are what the alerts measure by, so that a line on a board is where an
// alert is: name, without threshold:, to value.
type thresholds map[string]float64

func readThresholds(file string) (thresholds, error) {
	data, err := os.ReadFile(file) //nolint:gosec // whose path the Makefile gives
	if err != nil {
		return nil, err
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Record, Expr string }
		}
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	all := make(thresholds)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			name, ok := strings.CutPrefix(r.Record, "threshold:")
			if !ok {
				continue
			}
			number, _ := strings.CutPrefix(r.Expr, "vector(")
			v, err := strconv.ParseFloat(strings.TrimSuffix(number, ")"), 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: expected vector(NUMBER), found %q", file, r.Record, r.Expr)
			}
			all[name] = v
		}
	}
	return all, nil
}

// at is the value of a threshold. One that is not there is a mistake in a board, which
// the first run of the generator tells.
func (t thresholds) at(name string) float64 {
	v, ok := t[name]
	if !ok {
		panic("no threshold:" + name)
	}
	return v
}
