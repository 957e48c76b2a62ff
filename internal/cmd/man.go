package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
)

func addMan(p *cli.Program) {
	cmd := p.Command("man", "Print the manual page. To read it: mother-of-dragons man | man -l -")
	p.Add(cmd, func(_ context.Context, stdout, _ io.Writer) error {
		_, err := io.WriteString(stdout, manual(p.Model()))
		return err
	})
}

// page is a manual page in the making. Kingpin's own template leaves out the flags of a
// command that has verbs.
type page struct{ strings.Builder }

// manual is the manual page. There is no date in it, so that the same source gives the
// same bytes.
func manual(app *kingpin.ApplicationModel) string {
	p := &page{}
	p.line(`.TH %s 1 "" "%s %s" "User Commands"`, strings.ToUpper(cli.Name), cli.Name, version.Version)
	p.line(".SH NAME")
	p.line(`%s \- exporter and healer for DragonMint and Innosilicon miners`, cli.Name)
	p.line(".SH SYNOPSIS")
	p.line(`\fB%s\fR [\fIflags\fR] [\fIcommand\fR] [\fIarguments\fR]`, roff(cli.Name))
	p.line(".SH DESCRIPTION")
	p.line("%s", roff(app.Help))
	p.line("Without a command it is the command \\fBrun\\fR.")
	p.line(".SH OPTIONS")
	p.flags(app.FlagGroupModel)
	p.line(".SH COMMANDS")
	for _, c := range app.Commands {
		if !c.Hidden {
			p.command(c)
		}
	}
	p.line(".SH ENVIRONMENT")
	p.line("Every option is also an environment variable: \\fB--network\\fR is \\fBMOTHER_OF_DRAGONS_NETWORK\\fR; several values are several lines.")
	p.line("What confirms something dangerous is an option only.")
	p.line(".SH FILES")
	for _, f := range [][2]string{
		{"/etc/mother-of-dragons/mother-of-dragons.yml", "The configuration, where a package has installed the program."},
		{"/var/lib/mother-of-dragons", "Its data directory: the inventory, the healer's state, its audit, its control socket, passwords that were changed."},
	} {
		p.line(".TP\n.I %s\n%s", roff(f[0]), roff(f[1]))
	}
	p.line(".SH SIGNALS")
	p.line(".TP\n.B SIGTERM, SIGINT\nEnd in order; a second one ends at once.\n.TP\n.B SIGHUP\nRead the configuration file anew, and take it over whole or not at all.\n.TP\n.B SIGUSR1\nPause the healer for an hour.")
	p.line(".SH EXIT STATUS")
	p.line("0, or 1 after an error; where one of many dragons failed, too. The command \\fBplan\\fR has statuses of its own.")
	p.line(".SH SEE ALSO")
	p.line("https://github.com/brndnmtthws/mother-of-dragons")
	return p.String()
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) command(c *kingpin.CmdModel) {
	p.line(".SS")
	p.WriteString(`\fB` + roff(c.FullCommand) + `\fR`)
	if len(c.Commands) > 0 {
		p.WriteString(` \fIverb\fR`)
	}
	for _, a := range c.Args {
		text := `\fI` + roff(a.Name) + `\fR`
		if cli.Cumulative(a) {
			text += "..."
		}
		if !a.Required && a.Name != "host" { // either hosts or --all
			text = "[" + text + "]"
		}
		p.WriteString(" " + text)
	}
	p.line("\n.PP\n%s", roff(c.Help))
	for _, a := range c.Args {
		p.line(".TP\n\\fI%s\\fR\n%s", roff(a.Name), roff(a.Help))
	}
	p.flags(c.FlagGroupModel)
	for _, verb := range c.Commands {
		if !verb.Hidden {
			p.command(verb)
		}
	}
}

func (p *page) flags(group *kingpin.FlagGroupModel) {
	for _, f := range group.Flags {
		if f.Hidden {
			continue
		}
		text := "--" + f.Name
		if f.Short != 0 {
			text = "-" + string(f.Short) + ", " + text
		}
		if !f.IsBoolFlag() {
			text += "=" + f.FormatPlaceHolder()
		}
		p.line(".TP\n\\fB%s\\fR\n%s", roff(text), roff(f.Help))
	}
}

// roff hides from troff what it would read as its own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
