package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

func addRun(p *cli.Program) {
	cmd := p.Command("run", "Find dragons, read them on demand, serve what they say. This is what happens without a command.").Default()
	load := config.Register(cmd)
	var web app.WebFlags
	web.Register(cmd, ":9977")
	show := cmd.Flag("print-config", "Print the configuration that would be in force, every default included, passwords masked, and end.").NoEnvar().Bool()
	p.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		c, err := load()
		if *show && (err == nil || errors.Is(err, config.ErrNoTarget)) {
			return printConfig(stdout, c)
		}
		if errors.Is(err, config.ErrNoTarget) {
			in := ""
			if file := c.File; file != "" {
				in = fmt.Sprintf(", or networks or dragons in %s", file)
			}
			return fmt.Errorf("%w: credentials are sent to what answers there, so none is assumed; "+
				"name one with --network or --dragon%s%s", err, in, suggestNetworks())
		} else if err != nil {
			return err
		}
		logger := p.Logs.Logger(stderr)
		app.Warn(c, logger)
		return app.Serve(ctx, c, load, web, logger, p.Listening)
	})
}

// suggestNetworks says which networks this machine is in, for the user to choose from.
func suggestNetworks() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var found []string
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && p.Addr().IsPrivate() {
			found = append(found, "--network="+p.Masked().String())
		}
	}
	if len(found) == 0 {
		return ""
	}
	return " (this machine is in " + strings.Join(found, ", ") + ")"
}
