package main

import (
	"fmt"
	"strconv"
	"strings"
)

// thresholds are what the alerts measure by, so that a line on a board is where an
// alert is: name, without threshold:, to value.
type thresholds map[string]float64

func thresholdsOf(rules []prometheusGroup) (thresholds, error) {
	all := make(thresholds)
	for _, g := range rules {
		for _, r := range g.Rules {
			name, ok := strings.CutPrefix(r.Record, "threshold:")
			if !ok {
				continue
			}
			number, _ := strings.CutPrefix(r.Expr, "vector(")
			v, err := strconv.ParseFloat(strings.TrimSuffix(number, ")"), 64)
			if err != nil {
				return nil, fmt.Errorf("%s: expected vector(NUMBER), found %q", r.Record, r.Expr)
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
