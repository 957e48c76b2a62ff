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
	cmd := p.Command("completion", "Print what makes a shell complete commands, flags and the names of dragons. For bash: mother-of-dragons completion bash > /etc/bash_completion.d/mother-of-dragons")
	shell := cmd.Arg("shell", "bash or zsh.").Required().Enum("bash", "zsh")
	p.Add(cmd, func(_ context.Context, stdout, _ io.Writer) error {
		script := map[string]string{"bash": kingpin.BashCompletionTemplate, "zsh": kingpin.ZshCompletionTemplate}[*shell]
		script = strings.TrimSpace(strings.ReplaceAll(script, "{{.App.Name}}", cli.Name))
		_, err := fmt.Fprintln(stdout, script)
		return err
	})
}
