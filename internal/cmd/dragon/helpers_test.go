package dragon

import (
	"context"
	"io"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

func program() *cli.Program {
	p := cli.New(nil)
	var audit agent.OfflineAudit
	Add(p, func(dir string, d Done) error {
		return audit.Record(dir, agent.ManualAction{MAC: d.MAC, Worker: d.Worker, Action: d.Action, Owner: d.Owner, Note: d.Note})
	})
	return p
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return program().Run(ctx, args, stdout, stderr)
}

func invoke(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return cmdtest.Invoke(t, program(), args...)
}

// farm is simulated dragons that an inventory knows.
type farm struct {
	*cmdtest.Farm
	t *testing.T
}

func newFarm(t *testing.T, specs ...dragontest.Spec) *farm {
	t.Helper()
	return &farm{cmdtest.NewFarm(t, specs...), t}
}

// dragon runs the command dragon.
func (l *farm) dragon(args ...string) (stdout, stderr string, err error) {
	l.t.Helper()
	return invoke(l.t, append([]string{"dragon", "--data-dir=" + l.Dir}, args...)...)
}
