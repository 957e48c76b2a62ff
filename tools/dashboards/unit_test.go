package main

import (
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// unitOf returns the unit of an expression's value, which its metrics' names tell.
// It reports false where it cannot tell.
func unitOf(expr parser.Expr) (unit string, ok bool) {
	const moment = "moment" // a timestamp
	switch e := expr.(type) {
	case *parser.VectorSelector:
		name := strings.TrimSuffix(strings.TrimSuffix(e.Name, "_bucket"), "_sum")
		for _, stem := range []string{":sum", ":max", ":any", ":info", ":quantile"} {
			name = strings.TrimSuffix(name, stem)
		}
		for end, unit := range map[string]string{
			"_timestamp_seconds": moment, "start_time_seconds": moment, "ALERTS_FOR_STATE": moment, "_hashes_per_second": hashes, "_celsius": celsius, "_ratio": ratio,
			":ratio": ratio, ":ratio1h": ratio, "_watts": watts, ":joules_per_terahash": perTerahash, "_kilowatt_hours:sum24h": kilowattHours, ":celsius": celsius, "_bytes": bytesSI,
		} {
			if strings.HasSuffix(name, end) {
				return unit, true
			}
		}
		switch {
		case strings.HasSuffix(name, "_seconds"):
			return seconds, true
		case strings.HasSuffix(name, ":rate5m"):
			return perSec, true
		case strings.Contains(name, "_hash_") || strings.Contains(name, "_hashes"):
			return "hashes", true
		case strings.HasSuffix(name, "cpu_seconds_total"):
			return seconds, true
		}
		return count, true
	case *parser.NumberLiteral:
		return "", true
	case *parser.MatrixSelector:
		return unitOf(e.VectorSelector)
	case *parser.ParenExpr:
		return unitOf(e.Expr)
	case *parser.AggregateExpr:
		if e.Op == parser.COUNT {
			return count, true
		}
		return unitOf(e.Expr)
	case *parser.Call:
		switch e.Func.Name {
		case "time":
			return moment, true
		case "rate":
			switch u, ok := unitOf(e.Args[0]); u {
			case "hashes":
				return hashes, ok
			case seconds:
				return count, ok // of CPU, or of a mean's numerator
			default:
				return perSec, ok
			}
		case "increase":
			if u, ok := unitOf(e.Args[0]); u != seconds {
				return u, ok
			}
			return count, true
		case "histogram_quantile":
			return unitOf(selectorIn(e.Args[1]))
		case "clamp_max", "label_replace":
			return unitOf(e.Args[0])
		}
	case *parser.BinaryExpr:
		l, ok := unitOf(e.LHS)
		r, known := unitOf(e.RHS)
		switch {
		case !ok || !known:
			return "", false
		case e.Op == parser.SUB && l == moment && r == moment:
			return seconds, true
		case e.Op == parser.DIV && l == r:
			return ratio, true
		case e.Op == parser.DIV && l == watts && r == hashes: // and times 1e12
			return perTerahash, true
		case e.Op == parser.DIV && l == count && r == perSec: // what of it there was by how often: a mean
			return seconds, true
		case e.Op == parser.MUL && l == moment && e.RHS.String() == "1000":
			return ago, true
		case e.Op == parser.MUL && (l == "" || l == count): // by 0, or by a series that is 1
			return r, true
		}
		return l, true
	}
	return "", false
}

// selectorIn is the series that buckets are of, without what a rate makes of it.
func selectorIn(expr parser.Expr) (found *parser.VectorSelector) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			found = s
		}
		return nil
	})
	return found
}
