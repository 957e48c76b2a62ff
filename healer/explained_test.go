package healer

import "io"

// Package explain imports this one, so it comes into these tests from outside: see
// explain_test.go.
var (
	explainPlan       func(w io.Writer, p *Plan, all bool, width int) error
	explainDragon     func(io.Writer, *Plan, string) bool
	explainComparison func(io.Writer, *Comparison) error
)

// ExplainBy sets what plans are explained by.
func ExplainBy(plan func(io.Writer, *Plan, bool, int) error, dragon func(io.Writer, *Plan, string) bool, comparison func(io.Writer, *Comparison) error) struct{} {
	explainPlan, explainDragon, explainComparison = plan, dragon, comparison
	return struct{}{}
}
