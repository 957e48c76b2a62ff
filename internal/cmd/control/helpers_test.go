package control

import (
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

func invoke(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	p := cli.New(nil)
	Add(p)
	return cmdtest.Invoke(t, p, args...)
}
