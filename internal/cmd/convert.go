package cmd

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

func addConvertConfig(p *cli.Program) {
	cmd := p.Command("convert-config", "Turn a config.toml or config.json of the Python tool into a configuration file. What could not be carried over is said on standard error.")
	file := cmd.Arg("file", "Its configuration.").Required().String()
	output := cmd.Flag("output", "Write the result here, with its passwords, for its owner alone. Without it the result is shown, with the passwords masked.").Short('o').NoEnvar().PlaceHolder("FILE").String()
	p.Add(cmd, func(_ context.Context, stdout, stderr io.Writer) error {
		data, err := config.ReadFile(*file)
		if err != nil {
			return err
		}
		got, err := config.Convert(data, *output != "")
		if err != nil {
			return fmt.Errorf("%s: %w", *file, err)
		}
		for _, note := range got.Notes {
			fmt.Fprintf(stderr, "%s: %s\n", *file, note)
		}
		if *output == "" {
			_, err = stdout.Write(got.File)
			return err
		}
		f, err := os.OpenFile(*output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err // what is there is left alone
		}
		if _, err = f.Write(got.File); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	})
}
