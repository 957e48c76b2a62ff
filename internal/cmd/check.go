package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

func addCheckConfig(p *cli.Program) {
	cmd := p.Command("check-config", "Check a configuration file: every error with its line, and what is legal and not wise. The flags are those that the instance gets beside it. "+
		"The exit status is 0 if it would be taken, 1 if not.")
	load := config.RegisterCheck(cmd)
	new(app.WebFlags).Register(cmd, ":9977") // they may be among the instance's, and say nothing of the file
	show := cmd.Flag("print-config", "Print what would be in force, every default included, passwords masked.").NoEnvar().Bool()
	p.Add(cmd, func(_ context.Context, stdout, stderr io.Writer) error {
		c, err := load()
		nobody := errors.Is(err, config.ErrNoTarget)
		if bad, ok := errors.AsType[*config.BadFile](err); ok {
			fmt.Fprintln(stderr, bad) // as editors and their like read it
			return cli.Exit(1)
		}
		if err != nil && !nobody {
			return err
		}
		warnings := c.Warnings
		if nobody {
			warnings = append(warnings, "it names neither a network nor a dragon: the flags must, or the program ends")
		}
		for _, w := range warnings {
			fmt.Fprintf(stderr, "%s: warning: %s\n", c.File, w)
		}
		if *show {
			return printConfig(stdout, c)
		}
		fmt.Fprintf(stdout, "%s: in order\n", c.File)
		return nil
	})
}

// printConfig prints what is in force.
func printConfig(w io.Writer, c *config.Config) error {
	text, err := c.Print()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "# What is in force: the file, the flags where it says nothing, and the defaults.")
	for _, f := range c.Beside() {
		fmt.Fprintf(w, "# Beside it: %s\n", strings.ReplaceAll(f, "\n", " "))
	}
	_, err = w.Write(text)
	return err
}
