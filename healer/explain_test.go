package healer_test

import (
	"io"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
)

var _ = healer.ExplainBy(plan, explain.Dragon, explain.Comparison)

func plan(w io.Writer, p *healer.Plan, all bool, width int) error {
	return explain.Plan(w, p, explain.Layout{All: all, Width: width})
}
