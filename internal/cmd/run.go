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
	cmd := p.Command("run", "Find dragons and serve their metrics. This is the default command.").Default()
	load := config.Register(cmd)
	var web app.WebFlags
	web.Register(cmd, ":9977")
	show := cmd.Flag("print-config", "Print the resulting configuration with every default, passwords masked, and exit.").NoEnvar().Bool()
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
			return fmt.Errorf("%w: name one with --network or --dragon%s%s; there is no default, "+
				"since credentials are sent to whatever answers there", err, in, suggestNetworks())
		} else if err != nil {
			return err
		}
		if err := keepData(c.DataDir); err != nil {
			return err
		}
		logger := p.Logs.Logger(stderr)
		app.Warn(c, logger)
		return app.Serve(ctx, c, load, web, logger, p.Listening)
	})
}

// suggestNetworks lists the private networks of this host as flags.
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
	return " (this host is in " + strings.Join(found, ", ") + ")"
}
