package cmd

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer, listening func(net.Addr)) error {
	return New(listening).Run(ctx, args, stdout, stderr)
}

func start(t *testing.T, args ...string) (address string, logs *cmdtest.LogBuffer, stop func() error) {
	t.Helper()
	return cmdtest.Start(t, New, args...)
}

func invoke(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return cmdtest.Invoke(t, New(nil), args...)
}
