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
	cmd := p.Command("check-config", "Check a configuration file: every error with its line, and warnings. Give it the flags of the instance, too: "+
		"it takes all flags of run. "+
		"The exit status is 0 if the file is valid, 1 if not.")
	load := config.RegisterCheck(cmd)
	new(app.WebFlags).Register(cmd, ":9977") // the instance's flags may contain them
	show := cmd.Flag("print-config", "Print the configuration in force, with every default, passwords masked.").NoEnvar().Bool()
	cli.HideFlagsOf(p.GetCommand("run"), cmd, "print-config")
	p.Add(cmd, func(_ context.Context, stdout, stderr io.Writer) error {
		c, err := load()
		noTarget := errors.Is(err, config.ErrNoTarget)
		if bad, ok := errors.AsType[*config.BadFile](err); ok {
			fmt.Fprintln(stderr, bad) // as editors and their like read it
			return cli.Exit(1)
		}
		if err != nil && !noTarget {
			return err
		}
		warnings := c.Warnings
		if noTarget {
			warnings = append(warnings, "neither a network nor a dragon is named; the program does not start without one")
		}
		for _, w := range warnings {
			fmt.Fprintf(stderr, "%s: warning: %s\n", c.File, w)
		}
		if *show {
			return printConfig(stdout, c)
		}
		fmt.Fprintf(stdout, "%s: OK\n", c.File)
		return nil
	})
}

func printConfig(w io.Writer, c *config.Config) error {
	text, err := c.Print()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "# The configuration in force: the file, the flags where the file has no key, and the defaults.")
	for _, f := range c.Beside() {
		fmt.Fprintf(w, "# Flags without a key: %s\n", strings.ReplaceAll(f, "\n", " "))
	}
	_, err = w.Write(text)
	return err
}
