package cmd

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/renameio/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/recording"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

func addCapture(p *cli.Program) {
	cmd := p.Command("capture", "Record the answers of one dragon, without secrets, for a bug report.")
	host := cmd.Arg("host", "The dragon, host[:port].").Required().String()
	output := cmd.Flag("output", "File to write; - for standard output.").Short('o').Default("-").String()
	var timeout time.Duration
	config.Flag(cmd, "dragon-timeout", "Timeout of a read.", &timeout, config.ParseInterval).Default("10")
	p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		client := dragon.New(*host, dragon.Options{Transport: dragon.NewTransport(), Timeout: timeout})
		if _, err := client.Identify(ctx); err != nil {
			return err
		}
		r, err := recording.Take(ctx, client, func(endpoint string) { fmt.Fprintf(stderr, "asking %s for %s\n", *host, endpoint) })
		if err != nil {
			return err
		}
		if *output == "-" {
			return r.Write(stdout)
		}
		file, err := renameio.NewPendingFile(*output, renameio.WithStaticPermissions(0o600))
		if err != nil {
			return err
		}
		defer func() { _ = file.Cleanup() }()
		if err := r.Write(file); err != nil {
			return err
		}
		return file.CloseAtomicallyReplace()
	})
}
