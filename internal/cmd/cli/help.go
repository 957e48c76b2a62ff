package cli

import (
	"slices"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
)

// helpPage is what --help shows without a command: one page. --help-long shows everything.
const helpPage = `usage: {{.App.Name}} [<command>] [<flags>]

{{.App.Help}}

Commands:
{{.App.Commands|Overview|FormatTwoColumns}}
The most important flags of run, which is also what happens without a command:
{{ImportantFlags|FlagsToTwoColumns|FormatTwoColumns}}
More: {{.App.Name}} help <command>, or --help-long for every flag of every command.
`

var importantFlags = []string{
	"config.file", "network", "dragon", "data-dir", "web.listen-address", "web.config.file", "dragon-health-reboot", "pools", "statsd-host", "log.level",
}

// setHelp chooses the form of the help: a page, or what belongs to the named command.
func (p *Program) setHelp(model *kingpin.ApplicationModel, args []string) {
	p.UsageFuncs(template.FuncMap{
		"Overview": func(commands []*kingpin.CmdModel) (rows [][2]string) {
			for _, c := range commands {
				if !c.Hidden {
					rows = append(rows, [2]string{c.Name, firstSentence(c.Help)})
				}
			}
			return rows
		},
		"ImportantFlags": func() (flags []*kingpin.FlagModel) {
			all := read(model, nil).allowed(model)
			for _, name := range importantFlags {
				if f := flagOf(all, "--"+name); f != nil {
					short := *f
					short.Help = firstSentence(f.Help)
					flags = append(flags, &short)
				}
			}
			return flags
		},
	})
	named := slices.DeleteFunc(read(model, args).commands, func(c *kingpin.CmdModel) bool { return c.Name == "help" })
	if help := slices.Index(args, "help"); help >= 0 && help+1 < len(args) { // help COMMAND
		named = read(model, args[help+1:]).commands
	}
	if len(named) == 0 {
		p.UsageTemplate(helpPage)
	} else {
		p.UsageTemplate(kingpin.DefaultUsageTemplate)
	}
}

func firstSentence(help string) string {
	if first, _, ok := strings.Cut(help, ". "); ok {
		return first + "."
	}
	return help
}

// HideFlagsOf hides the flags of another command from the help of cmd, which takes them, too.
func HideFlagsOf(other, cmd *kingpin.CmdClause, but ...string) {
	for _, f := range other.Model().Flags {
		if flag := cmd.GetFlag(f.Name); flag != nil && !slices.Contains(but, f.Name) {
			flag.Hidden()
		}
	}
}
