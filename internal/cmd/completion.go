package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
)

func addCompletion(p *cli.Program) {
	cmd := p.Command("completion", "Print a completion script for bash or zsh. It completes commands, flags, dragons, sites and models. For bash: "+
		"mother-of-dragons completion bash > /etc/bash_completion.d/mother-of-dragons")
	shell := cmd.Arg("shell", "bash or zsh.").Required().Enum("bash", "zsh")
	p.Add(cmd, func(_ context.Context, stdout, _ io.Writer) error {
		script := cli.BashCompletion
		if *shell == "zsh" {
			script = strings.TrimSpace(strings.ReplaceAll(kingpin.ZshCompletionTemplate, "{{.App.Name}}", cli.Name))
		}
		_, err := fmt.Fprintln(stdout, script)
		return err
	})
}
