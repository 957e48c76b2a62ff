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
	cmd := p.Command("convert-config", "Convert a config.toml or config.json of the Python tool. Settings that cannot be converted are listed on standard error.")
	file := cmd.Arg("file", "The file of the Python tool.").Required().String()
	output := cmd.Flag("output", "Write the result to this file, readable by its owner only, with the passwords. Without it the result is printed "+
		"with the passwords masked.").Short('o').NoEnvar().PlaceHolder("FILE").String()
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
		f, err := os.OpenFile(*output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // never overwrites a file
		if err != nil {
			return err
		}
		if _, err = f.Write(got.File); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	})
}
