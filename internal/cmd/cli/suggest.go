package cli

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// explained says of a command line that was not understood what kingpin does not: which
// word was meant, which variable it was, and where there is help.
func explained(app *kingpin.ApplicationModel, args []string, err error) error {
	help := "--help"
	if c := innermost(app, args); c != nil {
		help = c.FullCommand + " --help"
	}
	return fmt.Errorf("%w (%s shows what there is)", explanation(app, args, err), help)
}

func explanation(app *kingpin.ApplicationModel, args []string, err error) error {
	text := err.Error()
	if wrong, ok := strings.CutPrefix(text, "unknown long flag '--"); ok {
		return meant(err, alike(strings.TrimSuffix(wrong, "'"), flagsFor(app, args)), "--")
	}
	if letter, ok := strings.CutPrefix(text, "unknown short flag '"); ok {
		letter = strings.TrimSuffix(letter, "'")
		for _, a := range args { // a whole word behind one dash is a long flag to Go and Prometheus of old
			if word, _, _ := strings.Cut(a, "="); strings.HasPrefix(word, letter) && len(word) > len(letter) {
				return meant(fmt.Errorf("unknown flag '%s'", word), alike(word[1:], flagsFor(app, args)), "--")
			}
		}
		return err
	}
	for _, said := range []string{"unexpected ", "expected command but got "} {
		if wrong, ok := strings.CutPrefix(text, said); ok {
			if unquoted, err := strconv.Unquote(wrong); err == nil {
				wrong = unquoted
			}
			return noCommand(app, args, wrong)
		}
	}
	if c := innermost(app, args); c != nil && strings.HasPrefix(text, "must select a subcommand of ") {
		return fmt.Errorf("%s does nothing by itself; what may follow: %s", c.FullCommand, strings.Join(verbs(c.CmdGroupModel), ", "))
	}
	if strings.HasPrefix(text, "strconv.ParseBool: ") { // only a variable can be to blame
		for _, c := range everyFlag(app.FlagGroupModel, app.CmdGroupModel) {
			value, set := os.LookupEnv(c.Envar)
			if _, err := strconv.ParseBool(value); set && err != nil && c.IsBoolFlag() {
				return fmt.Errorf("$%s: %q is neither true nor false", c.Envar, value)
			}
		}
	}
	return err
}

// noCommand explains a word that is no command, where one may stand or none.
func noCommand(app *kingpin.ApplicationModel, args []string, wrong string) error {
	if flag := valued(app, args, wrong); flag != "" {
		return fmt.Errorf("--%s takes no value, and %q is one; its opposite is --no-%[1]s", flag, wrong)
	}
	if i := slices.Index(args, wrong); i >= 0 {
		args = args[:i] // nobody has read what comes after it
	}
	group := app.CmdGroupModel
	if c := innermost(app, args); c == nil {
		if flag := flagOf(wrong); flag != "" {
			return meant(fmt.Errorf("%s is no command", wrong), []string{flag + "=" + wrong}, "--")
		}
	} else if group = c.CmdGroupModel; len(group.Commands) == 0 {
		return fmt.Errorf("%s takes no %q", c.FullCommand, wrong)
	}
	err := fmt.Errorf("%s is no command", wrong)
	names := append(verbs(group), "--version")
	for _, c := range group.FlattenedCommands() {
		names = append(names, c.FullCommand)
	}
	if like := alike(wrong, names); len(like) > 0 {
		return meant(err, like, "")
	}
	return fmt.Errorf("%w; what may stand here: %s", err, strings.Join(verbs(group), ", "))
}

// valued is the flag without values that wrong was given to as one.
func valued(app *kingpin.ApplicationModel, args []string, wrong string) string {
	for i, a := range args {
		flag, value, _ := strings.Cut(a, "=")
		if value == "" && slices.Contains([]string{"true", "false", "yes", "no", "on", "off"}, wrong) && i+1 < len(args) {
			value = args[i+1]
		}
		for _, f := range everyFlag(app.FlagGroupModel, app.CmdGroupModel) {
			if flag == "--"+f.Name && value == wrong && f.IsBoolFlag() {
				return f.Name
			}
		}
	}
	return ""
}

// flagOf is the flag that a word is a value of, by the look of it.
func flagOf(word string) string {
	if _, err := netip.ParsePrefix(word); err == nil {
		return "network"
	}
	if _, err := netip.ParseAddr(word); err == nil {
		return "dragon"
	}
	if ext := filepath.Ext(word); ext == ".yml" || ext == ".yaml" {
		return "config.file"
	}
	return ""
}

func meant(err error, like []string, before string) error {
	if len(like) == 0 {
		return err
	}
	return fmt.Errorf("%w; did you mean %s%s?", err, before, strings.Join(like, " or "+before))
}

// alike are the names that have all parts of a wrong one, if they are few, or else the
// one that most resembles it.
func alike(wrong string, names []string) (like []string) {
	parts := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) })
	}
	wanted := parts(wrong)
	for _, n := range names {
		has := parts(n)
		if len(wanted) > 0 && !slices.ContainsFunc(wanted, func(p string) bool { return !slices.Contains(has, p) }) {
			like = append(like, n)
		}
	}
	slices.Sort(like)
	like = slices.Compact(like)
	if len(like) > 0 && len(like) <= 3 {
		return like
	}
	if best := config.Nearest(wrong, names); best != "" {
		return []string{best}
	}
	return nil
}

// verbs are the commands that may stand at one place.
func verbs(group *kingpin.CmdGroupModel) (names []string) {
	for _, c := range group.Commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}

// innermost is the last command that a command line names; nil: it names none.
func innermost(app *kingpin.ApplicationModel, args []string) *kingpin.CmdModel {
	commands := named(app, args)
	if len(commands) == 0 {
		return nil
	}
	return commands[len(commands)-1]
}

// named are the commands that a command line names, the innermost last.
func named(app *kingpin.ApplicationModel, args []string) (commands []*kingpin.CmdModel) {
	group := app.CmdGroupModel
	for _, w := range args {
		if c := commandOf(group, w); c != nil && c.Name != "help" {
			commands, group = append(commands, c), c.CmdGroupModel
		}
	}
	return commands
}

// flagsFor are the flags that may stand in a command line.
func flagsFor(app *kingpin.ApplicationModel, args []string) (names []string) {
	add := func(flags []*kingpin.FlagModel) {
		for _, f := range flags {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		}
	}
	add(app.Flags)
	commands := named(app, args)
	for _, c := range app.Commands {
		if c.Default && len(commands) == 0 {
			add(c.Flags)
		}
	}
	for _, c := range commands {
		add(c.Flags)
	}
	slices.Sort(names)
	return names
}

func everyFlag(flags *kingpin.FlagGroupModel, group *kingpin.CmdGroupModel) []*kingpin.FlagModel {
	all := slices.Clone(flags.Flags)
	for _, c := range group.Commands {
		all = append(all, everyFlag(c.FlagGroupModel, c.CmdGroupModel)...)
	}
	return all
}
