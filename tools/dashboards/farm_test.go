package main

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

func TestEverySelectorIsOfTheChosenFarm(t *testing.T) {
	for expr, want := range map[string]string{
		`dragon_up`:        `dragon_up{farm=~"$farm"}`,
		`dragon_up{}`:      `dragon_up{farm=~"$farm"}`,
		`dragon_up{a="}"}`: `dragon_up{a="}", farm=~"$farm"}`,
		`sum(rate(x_total{a="b"}[$__rate_interval]))`: `sum(rate(x_total{a="b", farm=~"$farm"}[$__rate_interval]))`,
		`a + on (b) c offset $__range`:                `a{farm=~"$farm"} + on (b) c{farm=~"$farm"} offset $__range`,
		`label_replace(a, "x", "$1", "y", "(.*)")`:    `label_replace(a{farm=~"$farm"}, "x", "$1", "y", "(.*)")`,
	} {
		if got := ofFarm(expr); got != want {
			t.Errorf("%s\n got %s\nwant %s", expr, got, want)
		}
	}
	for _, b := range shownBoards(t) {
		for _, p := range b.Panels {
			for _, q := range p.Targets {
				parser.Inspect(parsed(t, p.Title, q.Expr), func(n parser.Node, _ []parser.Node) error {
					if s, ok := n.(*parser.VectorSelector); ok && !strings.Contains(s.String(), "farm=~") {
						t.Errorf("%s: %s: %s is of all farms", b.file, p.Title, s)
					}
					return nil
				})
			}
		}
	}
}
