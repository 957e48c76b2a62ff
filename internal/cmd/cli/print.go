package cli

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/term"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// Plain returns s printable, see dragon.Printable, and cut to at most n bytes.
func Plain(s string, n int) string {
	s = dragon.Printable(s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// Dashed is Plain, with a dash for an empty string.
func Dashed(s string, n int) string { return cmp.Or(Plain(s, n), "-") }

// TimeFormat is RFC 3339 with a space: the form of every time that a command prints.
const TimeFormat = "2006-01-02 15:04:05Z07:00"

// Time formats a time in the zone that --utc chooses; a dash for the zero time.
func (p *Program) Time(t time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case p.utc:
		return t.UTC().Format(TimeFormat)
	}
	return t.Local().Format(TimeFormat)
}

// Width is the width of the terminal that w is, in columns; 0 if w is none.
func Width(w io.Writer) int {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// WriteJSON writes v, indented.
func WriteJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// Table is a list as commands print it.
type Table struct {
	Head []string
	Rows [][]string // as devices and people wrote them; Write makes them harmless
	Cell int        // the longest cell on a terminal, in bytes; 0 for 80
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Write writes the table in aligned columns.
func (t *Table) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(t.Head, "\t"))
	for _, row := range t.Rows {
		for i, cell := range row {
			end := "\t"
			if i == len(row)-1 {
				end = "\n"
			}
			fmt.Fprint(tw, Dashed(cell, cmp.Or(t.Cell, 80)), end)
		}
	}
	return tw.Flush()
}

// writeCSV writes the table with its head in lower case.
func (t *Table) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := make([]string, len(t.Head))
	for i, h := range t.Head {
		head[i] = strings.ReplaceAll(strings.ToLower(h), " ", "_")
	}
	_ = c.Write(head) // Flush keeps the error
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = harmless(Plain(cell, 1<<20))
		}
		_ = c.Write(cells)
	}
	c.Flush()
	return c.Error()
}

// harmless keeps a spreadsheet from reading what a device says as a formula.
func harmless(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil {
		return cell
	}
	return "'" + cell
}

// Output is the form in which a list is printed: table, json or csv.
type Output struct {
	form string
	json bool
}

// flagger is a command or an application.
type flagger interface {
	Flag(name, help string) *kingpin.FlagClause
}

// Register adds --output and its alias --json to a command.
func (o *Output) Register(cmd flagger) {
	config.Flag(cmd, "output", "Print a table, json or csv.", &o.form, config.Choice("table", "json", "csv")).NoEnvar().Default("table")
	cmd.Flag("json", "The same as --output=json.").BoolVar(&o.json)
}

// JSON reports whether JSON is wanted.
func (o *Output) JSON() bool { return o.json || o.form == "json" }

// Table reports whether a table for people is wanted.
func (o *Output) Table() bool { return !o.JSON() && o.form != "csv" }

// Write writes a list: v as JSON, t as CSV or as a table.
func (o *Output) Write(w io.Writer, t *Table, v any) error {
	switch {
	case o.JSON():
		return WriteJSON(w, v)
	case o.form == "csv":
		return t.writeCSV(w)
	}
	return t.Write(w)
}
