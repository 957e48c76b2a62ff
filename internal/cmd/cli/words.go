package cli

import (
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// line is a command line, read word by word without judging it.
type line struct {
	commands []*kingpin.CmdModel // that it names, the innermost last
	flags    map[string]string   // values by name
	args     int                 // words that are neither commands nor flags nor values
	open     string              // the flag whose value is still to come
	before   int                 // words in front of the first command
}

// read reads a command line. A word is a command where one may stand.
func read(app *kingpin.ApplicationModel, words []string) *line {
	l := &line{flags: map[string]string{}}
	group, all := app.CmdGroupModel, everyFlag(app.FlagGroupModel, app.CmdGroupModel)
	for i, w := range words {
		name, value, whole := strings.Cut(w, "=")
		switch c := commandOf(group, w); {
		case l.open != "":
			l.flags[l.open], l.open = w, ""
		case strings.HasPrefix(w, "-"):
			f := flagOf(all, name)
			switch {
			case f == nil:
			case whole:
				l.flags[f.Name] = value
			case !f.IsBoolFlag():
				l.open = f.Name
			}
		case c != nil:
			if len(l.commands) == 0 {
				l.before = i
			}
			l.commands, group = append(l.commands, c), c.CmdGroupModel
		default:
			l.args++
		}
	}
	return l
}

// innermost is the last command that a line names; nil if it names none.
func (l *line) innermost() *kingpin.CmdModel {
	if len(l.commands) == 0 {
		return nil
	}
	return l.commands[len(l.commands)-1]
}

// allowed are the flags that may stand in the line. Without a command it is that of the
// default command.
func (l *line) allowed(app *kingpin.ApplicationModel) []*kingpin.FlagModel {
	flags := slices.Clone(app.Flags)
	commands := l.commands
	if len(commands) == 0 {
		commands = slices.DeleteFunc(slices.Clone(app.Commands), func(c *kingpin.CmdModel) bool { return !c.Default })
	}
	for _, c := range commands {
		flags = append(flags, c.Flags...)
	}
	return flags
}

// commandFirst moves flags in front of the command behind it, where kingpin expects them.
func commandFirst(app *kingpin.ApplicationModel, args []string) []string {
	l := read(app, args)
	if l.before == 0 || l.args > 0 && read(app, args[:l.before]).args > 0 {
		return args
	}
	if c := l.commands[0]; c.Name == "help" {
		return args
	}
	n := l.before + 1
	for group := l.commands[0].CmdGroupModel; n < len(args); n++ {
		c := commandOf(group, args[n])
		if c == nil {
			break
		}
		group = c.CmdGroupModel
	}
	return slices.Concat(args[l.before:n], args[:l.before], args[n:])
}

func commandOf(group *kingpin.CmdGroupModel, word string) *kingpin.CmdModel {
	i := slices.IndexFunc(group.Commands, func(c *kingpin.CmdModel) bool { return c.Name == word })
	if i < 0 {
		return nil
	}
	return group.Commands[i]
}

// flagOf is the flag that a word such as --json or -o names; nil if there is none.
func flagOf(flags []*kingpin.FlagModel, word string) *kingpin.FlagModel {
	i := slices.IndexFunc(flags, func(f *kingpin.FlagModel) bool {
		return "--"+f.Name == word || f.IsBoolFlag() && "--no-"+f.Name == word || f.Short != 0 && "-"+string(f.Short) == word
	})
	if i < 0 {
		return nil
	}
	return flags[i]
}

func everyFlag(flags *kingpin.FlagGroupModel, group *kingpin.CmdGroupModel) []*kingpin.FlagModel {
	all := slices.Clone(flags.Flags)
	for _, c := range group.Commands {
		all = append(all, everyFlag(c.FlagGroupModel, c.CmdGroupModel)...)
	}
	return all
}

// names lists the commands of a group that are not hidden.
func names(group *kingpin.CmdGroupModel) (found []string) {
	for _, c := range group.Commands {
		if !c.Hidden {
			found = append(found, c.Name)
		}
	}
	return found
}

// Cumulative reports whether an argument may be given many times.
func Cumulative(arg *kingpin.ArgModel) bool {
	v, ok := arg.Value.(interface{ IsCumulative() bool })
	return ok && v.IsCumulative()
}
