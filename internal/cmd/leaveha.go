package cmd

import (
	"context"
	"errors"
	"io"

	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

func addLeaveHA(p *cli.Program) {
	cmd := p.Command("leave-ha", "Write the healer's state from etcd to healer.db in the data directory, to go on with one instance without etcd. "+
		"Stop all instances first. It takes all flags of run.")
	load := config.Register(cmd)
	new(app.WebFlags).Register(cmd, ":9977") // the instance's flags may contain them
	cli.HideFlagsOf(p.GetCommand("run"), cmd)
	p.Add(cmd, func(ctx context.Context, stdout, _ io.Writer) error {
		c, err := load()
		if err != nil && !errors.Is(err, config.ErrNoTarget) {
			return err
		}
		return app.LeaveHA(ctx, c, stdout)
	})
}
