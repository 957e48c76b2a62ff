package collector

import (
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// Reference returns docs/metrics.md: every metric in Markdown. The dragons' metrics come
// from the rows; own are the program's metrics.
func Reference(own []*dto.MetricFamily) string { return reference(parts(), own) }

// referenceIntro is the beginning of docs/metrics.md.
const referenceIntro = `# Metrics

<!-- Made from the rows of the package collector and from what the program serves; make golden writes it. -->

Every series of a dragon has the label ` + "`worker`" + `: ` + "`dragon-`" + ` and the last eight digits of its MAC,
the name that its pool shows. The other labels are on ` + "`dragon_info`" + `:

    dragon_board_temperature_celsius * on (worker) group_left (model, ip) dragon_info

` + "`dragon_info`" + ` also has the labels of the configuration (` + "`dragons`" + ` and ` + "`inventory.labels`" + `), the ` + "`name`" + `, and
` + "`place`" + `, which has all of them in one text for alerts.

A dragon that could not be read has ` + "`dragon_up`" + ` 0 and no data. A value that a dragon does not report, or
that is impossible, has no series: unknown is not zero. Counters restart
with the dragon's miner process; those of the table "Every known dragon" and the
program's with the program; restarts are counted as long as the dragon is known.
` + "`/metrics`" + ` and ` + "`/probe`" + ` give the same series of a dragon;
only ` + "`/metrics`" + ` has the healer's.

The last column is the source of a value: a field of the answer of ` + "`/api/summary`" + ` or ` + "`/api/overview`" + `,
or another endpoint. A scrape reads the summary, and the overview every five minutes.
The others are facts, which are read in the background: autotune every ten minutes,
errors every three, chips and power every five, the firmware once a day, because that request makes the dragon call
its vendor. ` + "`dragon_facts_timestamp_seconds`" + ` has the time. A fact that could not be read for three
intervals is not shown. A fact that the firmware does not offer is tried once a day.

A restart is a new start of ` + "`Device Elapsed`" + ` (miner) or of the uptime (system) after the dragon was last
read. A restart of the system does not also count as one of the miner, and neither does the end of tuning,
when the dragon resets its counters. The ` + "`initiator`" + ` is ` + "`healer`" + ` if the healer announced the restart, else ` + "`unknown`" + `.

Most of the tables can be switched on or off:

| flag | default | what |
|---|---|---|
`

func reference(parts []part, own []*dto.MetricFamily) string {
	var b strings.Builder
	rows := make(map[string]bool)
	b.WriteString(referenceIntro)
	for _, p := range parts {
		if p.Name != "" {
			fmt.Fprintf(&b, "| `--[no-]collector.%s` | %s | %s |\n", p.Name, map[bool]string{true: "on", false: "off"}[p.On], p.Help)
		}
	}
	b.WriteString("\nA collector that is off has no series and no HELP, and its facts are not read.\n")
	b.WriteString(`
A single scrape selects among what is on with parameters, as with node_exporter: ` + "`/metrics?collect[]=boards&collect[]=pools`" + `
gives these alone, ` + "`/metrics?exclude[]=firmware`" + ` all but that. Beside the names above there are ` + "`dragons`" + `, which is all of the
dragons, and ` + "`program`" + `. With ` + "`collect[]=program`" + ` no dragon is read: that is for the job that watches the program where
others probe the dragons.
`)
	for _, p := range parts {
		for _, t := range p.tables {
			families := t.families()
			fmt.Fprintf(&b, "\n## %s\n\n", families[0].table)
			if p.Name != "" && !p.On {
				fmt.Fprintf(&b, "With `--collector.%s` only.\n\n", p.Name)
			}
			b.WriteString("| metric | type | labels | meaning | from |\n|---|---|---|---|---|\n")
			for _, f := range families {
				rows[f.name] = true
				help, _, _ := strings.Cut(f.help, " ("+strings.Join(f.sources, ", ")+")")
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.name, strings.ToLower(f.typ.String()), code(f.labelsShown()), help, strings.Join(f.sources, ", "))
			}
		}
	}
	programReference(&b, own, rows)
	return b.String()
}

// programReference writes the table of the program's own metrics; rows are the dragons'.
func programReference(b *strings.Builder, own []*dto.MetricFamily, rows map[string]bool) {
	b.WriteString(`
## The program

Beside these there are the usual ones of Go and of the process (` + "`go_`, `process_`" + `).

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, mf := range own {
		name := mf.GetName()
		if rows[name] || strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		var labels []string
		for _, l := range mf.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(mf.GetType().String()), code(labels), mf.GetHelp())
	}
}

// labelsShown are the labels with the values that are always the same.
func (f *family) labelsShown() []string {
	labels := slices.Clone(f.labels)
	for i, l := range labels {
		if l == f.constant {
			labels[i] = l + ": " + strings.Join(f.values, " ")
		}
	}
	return append(labels, f.may...)
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
