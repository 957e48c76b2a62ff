package cli

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// CompletionFlag is how kingpin's completion scripts ask what the last of the words
// that follow may be.
const CompletionFlag = "--completion-bash"

// completions returns what the last of words may be. Kingpin's own answer knows no
// command where there is a default one, and no flag of a command that has verbs.
func completions(app *kingpin.ApplicationModel, words []string) (found []string) {
	last := ""
	if len(words) > 0 {
		words, last = words[:len(words)-1], words[len(words)-1]
	}
	group := app.CmdGroupModel
	flags := slices.Clone(app.Flags)
	for _, c := range group.Commands {
		if c.Default && !slices.ContainsFunc(words, func(w string) bool { return commandOf(group, w) != nil }) {
			flags = append(flags, c.Flags...)
		}
	}
	var args []*kingpin.ArgModel
	dir, file := os.Getenv("MOTHER_OF_DRAGONS_DATA_DIR"), os.Getenv("MOTHER_OF_DRAGONS_CONFIG_FILE")
	open := "" // a flag whose value is the next word
	for _, w := range words {
		name, value, whole := strings.Cut(w, "=")
		if open != "" {
			name, value, whole = open, w, true
		}
		switch cmd := commandOf(group, w); {
		case open != "" || strings.HasPrefix(w, "-"):
			open = ""
			switch {
			case whole && name == "--data-dir":
				dir = value
			case whole && name == "--config.file":
				file = value
			case !whole && takesValue(flags, name):
				open = name
			}
		case cmd != nil:
			group, args = cmd.CmdGroupModel, cmd.Args
			flags = append(flags, cmd.Flags...)
		case len(args) > 0 && !Cumulative(args[0]):
			args = args[1:]
		}
	}
	switch {
	case open != "": // a file, if anything; that is for the shell
	case strings.HasPrefix(last, "-"):
		for _, f := range flags {
			if !f.Hidden {
				found = append(found, "--"+f.Name)
			}
		}
	case len(group.Commands) > 0:
		for _, c := range group.Commands {
			if !c.Hidden {
				found = append(found, c.Name)
			}
		}
	case len(args) > 0:
		if dir, _, err := config.Data(file, cmp.Or(dir, "data")); err == nil {
			found = values(args[0], dir)
		}
	}
	found = slices.DeleteFunc(found, func(s string) bool { return !strings.HasPrefix(s, last) })
	slices.Sort(found)
	return slices.Compact(found)
}

func takesValue(flags []*kingpin.FlagModel, name string) bool {
	i := slices.IndexFunc(flags, func(f *kingpin.FlagModel) bool {
		return "--"+f.Name == name || f.Short != 0 && "-"+string(f.Short) == name
	})
	return i >= 0 && !flags[i].IsBoolFlag()
}

func commandOf(group *kingpin.CmdGroupModel, word string) *kingpin.CmdModel {
	for _, c := range group.Commands {
		if c.Name == word {
			return c
		}
	}
	return nil
}

func Cumulative(arg *kingpin.ArgModel) bool {
	v, ok := arg.Value.(interface{ IsCumulative() bool })
	return ok && v.IsCumulative()
}

// values are what an argument may be: dragons that are known, or one of few words.
func values(arg *kingpin.ArgModel, dir string) (found []string) {
	switch arg.Name {
	case "host", "dragon":
		known, err := fleet.Remembered(dir, nil)
		if err != nil {
			return nil // nothing to choose from
		}
		for _, i := range known {
			found = append(found, i.Worker)
		}
	case "light":
		return []string{"on", "off"}
	case "shell":
		return []string{"bash", "zsh"}
	}
	return found
}
