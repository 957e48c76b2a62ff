package cmd

import (
	"context"
	"io"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
)

// families are the commands with a manual page of their own.
var families = []string{"dragon", "firmware", "healer", "inventory"}

func addMan(p *cli.Program) {
	cmd := p.Command("man", "Print the manual page. To read it: mother-of-dragons man | man -l -")
	family := cmd.Arg("command", "The page of this family of commands: "+strings.Join(families, ", ")+".").Enum(families...)
	p.Add(cmd, func(_ context.Context, stdout, _ io.Writer) error {
		return manual.Execute(stdout, manualOf(p.Model(), *family))
	})
}

// page is what the template of the manual gets. It has no date, so that the same source
// gives the same bytes.
type page struct {
	Title, Name, Version, Help, Synopsis string
	Flags                                []*kingpin.FlagModel
	Commands                             []*kingpin.CmdModel
	Main                                 bool
	Families                             []string
}

func manualOf(app *kingpin.ApplicationModel, family string) *page {
	p := &page{Name: cli.Name, Version: version.Version, Help: app.Help, Synopsis: "[flags] [command] [arguments]", Flags: app.Flags,
		Commands: app.Commands, Main: true, Families: families}
	for _, c := range app.Commands {
		if c.Name == family {
			p = &page{Name: cli.Name + "-" + family, Version: version.Version, Help: c.Help, Synopsis: family + " [flags] subcommand [arguments]",
				Flags: c.Flags, Commands: c.FlattenedCommands()}
		}
	}
	p.Title = strings.ToUpper(p.Name)
	return p
}

var manual = template.Must(template.New("manual").Funcs(template.FuncMap{
	"roff": roff,
	"flag": func(f *kingpin.FlagModel) string {
		text := "--" + f.Name
		if f.Short != 0 {
			text = "-" + string(f.Short) + ", " + text
		}
		if !f.IsBoolFlag() {
			text += "=" + f.FormatPlaceHolder()
		}
		return roff(text)
	},
	"args": func(c *kingpin.CmdModel) (text string) {
		if len(c.Commands) > 0 {
			return ` \fIsubcommand\fR`
		}
		for _, a := range c.Args {
			arg := `\fI` + roff(a.Name) + `\fR`
			if cli.Cumulative(a) {
				arg += "..."
			}
			if !a.Required && a.Name != "host" { // hosts or --all
				arg = "[" + arg + "]"
			}
			text += " " + arg
		}
		return text
	},
	"own": func(c *kingpin.CmdModel, main bool) []*kingpin.FlagModel {
		if main && len(c.Commands) > 0 { // they are on the page of the family
			return nil
		}
		return c.Flags
	},
}).Parse(`.TH {{.Title}} 1 "" "` + cli.Name + ` {{.Version}}" "User Commands"
.SH NAME
{{roff .Name}} \- {{if .Main}}exporter and healer for DragonMint and Innosilicon miners{{else}}commands of mother\-of\-dragons{{end}}
.SH SYNOPSIS
\fB` + strings.ReplaceAll(cli.Name, "-", `\-`) + `\fR {{roff .Synopsis}}
.SH DESCRIPTION
{{roff .Help}}
{{- if .Main}}
Without a command it is the command \fBrun\fR.
{{- end}}
.SH OPTIONS
{{template "flags" .Flags -}}
.SH COMMANDS
{{range .Commands}}{{if not .Hidden}}.SS
\fB{{roff .FullCommand}}\fR{{args .}}
.PP
{{roff .Help}}
{{range .Args}}.TP
\fI{{roff .Name}}\fR
{{roff .Help}}
{{end}}{{template "flags" own . $.Main}}{{end}}{{end -}}
{{if .Main -}}
.SH ENVIRONMENT
Every option is also an environment variable: \fB\-\-network\fR is \fBMOTHER_OF_DRAGONS_NETWORK\fR; several values are several lines.
Options that confirm something dangerous have no variable.
.SH FILES
.TP
.I /etc/mother\-of\-dragons/mother\-of\-dragons.yml
The configuration, if a package installed the program.
.TP
.I /var/lib/mother\-of\-dragons
Its data directory: the inventory, the state of the healer, its audit log, its control socket, changed passwords.
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
Stop in order; a second one stops at once.
.TP
.B SIGHUP
Reload the configuration file; with an error in it the old configuration stays.
.TP
.B SIGUSR1
Pause the healer for an hour.
{{end -}}
.SH EXIT STATUS
0, or 1 after an error, also if one of many dragons failed.{{if .Main}} The command \fBplan\fR has statuses of its own.{{end}}
.SH SEE ALSO
{{if .Main}}{{range .Families}}\fBmother\-of\-dragons\-{{.}}\fR(1), {{end}}{{else}}\fBmother\-of\-dragons\fR(1), {{end -}}
https://github.com/brndnmtthws/mother\-of\-dragons
{{define "flags"}}{{range .}}{{if not .Hidden}}.TP
\fB{{flag .}}\fR
{{roff .Help}}
{{end}}{{end}}{{end}}`))

// roff escapes what troff would read as markup.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
