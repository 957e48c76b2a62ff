package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// completionFlag is how kingpin's completion scripts ask what the last of the words
// that follow may be.
const completionFlag = "--completion-bash"

func addCompletion(app *kingpin.Application, _ *logFlags, _ func(net.Addr)) (string, command) {
	cmd := app.Command("completion", "Print what makes a shell complete commands, flags and the names of dragons. For bash: mother-of-dragons completion bash > /etc/bash_completion.d/mother-of-dragons")
	shell := cmd.Arg("shell", "bash or zsh.").Required().Enum("bash", "zsh")
	return cmd.FullCommand(), func(_ context.Context, stdout, _ io.Writer) error {
		script := map[string]string{"bash": kingpin.BashCompletionTemplate, "zsh": kingpin.ZshCompletionTemplate}[*shell]
		script = strings.TrimSpace(strings.ReplaceAll(script, "{{.App.Name}}", name))
		_, err := fmt.Fprintln(stdout, script)
		return err
	}
}

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
	dir := os.Getenv("MOTHER_OF_DRAGONS_DATA_DIR")
	for i, w := range words {
		switch cmd := commandOf(group, w); {
		case w == "--data-dir" && i+1 < len(words):
			dir = words[i+1]
		case strings.HasPrefix(w, "--data-dir="):
			dir = strings.TrimPrefix(w, "--data-dir=")
		case strings.HasPrefix(w, "-"):
		case cmd != nil:
			group, args = cmd.CmdGroupModel, cmd.Args
			flags = append(flags, cmd.Flags...)
		case len(args) > 0 && !cumulative(args[0]):
			args = args[1:]
		}
	}
	switch {
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
		found = values(args[0], dir)
	}
	found = slices.DeleteFunc(found, func(s string) bool { return !strings.HasPrefix(s, last) })
	slices.Sort(found)
	return slices.Compact(found)
}

func commandOf(group *kingpin.CmdGroupModel, word string) *kingpin.CmdModel {
	for _, c := range group.Commands {
		if c.Name == word {
			return c
		}
	}
	return nil
}

func cumulative(arg *kingpin.ArgModel) bool {
	v, ok := arg.Value.(interface{ IsCumulative() bool })
	return ok && v.IsCumulative()
}

// values are what an argument may be: dragons that are known, or one of few words.
func values(arg *kingpin.ArgModel, dir string) (found []string) {
	switch arg.Name {
	case "host", "dragon":
		if dir == "" {
			dir = "data"
		}
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
