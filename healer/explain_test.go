package healer_test

import (
	"io"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
)

var _ = healer.ExplainBy(plan, why, explain.Comparison)

func plan(w io.Writer, p *healer.Plan, all bool, width int) error {
	return explain.Plan(w, p, explain.Layout{All: all, Width: width})
}

func why(w io.Writer, p *healer.Plan, target string) bool {
	d := p.Find(target)
	if d != nil {
		explain.Dragon(w, p, d)
	}
	return d != nil
}
