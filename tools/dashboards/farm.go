package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"
)

// farmLabel is what a Prometheus of each farm adds by external_labels, and a central one sees.
// Where no series has it, "all" of the variable matches those without.
const farmLabel = "farm"

func farmVariable() *dashboard.QueryVariableBuilder {
	return choices(farmLabel, "Farm", "label_values(mother_build_info, "+farmLabel+")").
		Description("The label farm that each Prometheus adds before it writes to a central one. Empty: there is one farm.")
}

// interval is a duration that Grafana fills in.
var interval = regexp.MustCompile(`\$__(?:range|rate_interval)\b`)

// ofFarm restricts every selector of a query to the chosen farms.
func ofFarm(expr string) string {
	// The parser gets durations of the same length, so that its positions are those of expr.
	readable := interval.ReplaceAllStringFunc(expr, func(s string) string { return fmt.Sprintf("%0*dm", len(s)-1, 1) })
	parsed, err := parser.ParseExpr(readable)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", expr, err)) // the boards do not get written
	}
	var ends []int
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			ends = append(ends, selectorEnd(expr, int(s.PosRange.Start)))
		}
		return nil
	})
	var b strings.Builder
	last := 0
	for _, end := range ends { // in their order
		b.WriteString(expr[last:end])
		last = end
		switch {
		case expr[end-1] != '}':
			b.WriteString(`{farm=~"$farm"}`)
		default:
			s := strings.TrimSuffix(b.String(), "}")
			b.Reset()
			b.WriteString(s)
			if !strings.HasSuffix(s, "{") {
				b.WriteString(", ")
			}
			b.WriteString(`farm=~"$farm"}`)
		}
	}
	return b.String() + expr[last:]
}

var selector = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\s*\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?`)

// selectorEnd is where the selector that starts there ends, its labels included.
func selectorEnd(expr string, start int) int {
	return start + len(selector.FindString(expr[start:]))
}

// ofFarmQuery does the same with the query of a variable.
func ofFarmQuery(query string) string {
	args, ok := strings.CutPrefix(query, "label_values(")
	i := strings.LastIndex(args, ", ")
	if !ok || i < 0 || strings.HasSuffix(args, ", "+farmLabel+")") {
		return query
	}
	return "label_values(" + ofFarm(args[:i]) + args[i:]
}
