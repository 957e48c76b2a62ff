package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// explained says of a command line that was not understood what kingpin does not: which
// word was meant, and which variable it was.
func explained(app *kingpin.ApplicationModel, args []string, err error) error {
	text := err.Error()
	if wrong, ok := strings.CutPrefix(text, "unknown long flag '--"); ok {
		return meant(err, strings.TrimSuffix(wrong, "'"), "--", flagsFor(app, args))
	}
	for _, said := range []string{"unexpected ", "expected command but got "} {
		wrong, ok := strings.CutPrefix(text, said)
		if !ok {
			continue
		}
		if unquoted, err := strconv.Unquote(wrong); err == nil {
			wrong = unquoted
		}
		var names []string
		group := app.CmdGroupModel
		for _, c := range named(app, args) {
			if len(c.Commands) > 0 {
				group = c.CmdGroupModel
			}
		}
		for _, c := range group.Commands {
			names = append(names, c.Name)
		}
		return meant(fmt.Errorf("%s is no command", wrong), wrong, "", names)
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

func meant(err error, wrong, before string, known []string) error {
	if best := config.Nearest(wrong, known); best != "" {
		return fmt.Errorf("%w; did you mean %s%s?", err, before, best)
	}
	return err
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
