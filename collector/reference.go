package collector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Reference returns docs/metrics.md: every metric of this package in Markdown.
func Reference() string { return reference(tables()) }

func reference(tables []grouped) string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Made from the rows of the package collector; go test ./collector -update writes it anew. -->

Every series of a dragon has the label ` + "`worker`" + `: ` + "`dragon-`" + ` and the last eight digits of its MAC,
the name that its pool shows. What else names a dragon is on ` + "`dragon_info`" + `:

    dragon_board_temperature_celsius * on (worker) group_left (model, ip) dragon_info

A dragon that could not be read has ` + "`dragon_up`" + ` 0 and no data. What a dragon does not report, or
reports in a way that makes no sense, has no series: unknown is not zero. Counters begin
anew with the dragon's mining process; those of the table "Every known dragon" and the
program's with the program. ` + "`/metrics`" + ` and ` + "`/probe`" + ` give the same series of a dragon.

The last column is where a value comes from: a field of the answer of ` + "`/api/summary`" + ` or ` + "`/api/overview`" + `.
`)
	for _, t := range tables {
		families := t.families()
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | meaning | from |\n|---|---|---|---|---|\n", families[0].table)
		for _, f := range families {
			help, _, _ := strings.Cut(f.help, " ("+strings.Join(f.sources, ", ")+")")
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.name, strings.ToLower(f.typ.String()), code(f.labelsShown()), help, strings.Join(f.sources, ", "))
		}
	}
	b.WriteString("\n## The program\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	r := prometheus.NewRegistry()
	newOwn(r)
	newStatsdMetrics(r)
	NewRequestMetrics(r)(dragon.Call{})
	own, err := r.Gather()
	if err != nil {
		panic(err) // the metrics above contradict one another
	}
	for _, mf := range own {
		var labels []string
		for _, l := range mf.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", mf.GetName(), strings.ToLower(mf.GetType().String()), code(labels), mf.GetHelp())
	}
	return b.String()
}

// labelsShown are the labels with the values that are always the same.
func (f *family) labelsShown() []string {
	labels := slices.Clone(f.labels)
	for i, l := range labels {
		if l == f.constant {
			labels[i] = l + ": " + strings.Join(f.values, " ")
		}
	}
	return labels
}

func code(labels []string) string {
	for i, l := range labels {
		name, values, _ := strings.Cut(l, ": ")
		labels[i] = "`" + name + "`"
		if values != "" {
			labels[i] += ": " + values
		}
	}
	return strings.Join(labels, ", ")
}
