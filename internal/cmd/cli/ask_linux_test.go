package cli_test

import (
	"context"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cmdtest"
)

func TestCtrlCAtAPasswordLeavesTheTerminalAsItWas(t *testing.T) {
	cmdtest.AtTerminal(t)
	fd := int(os.Stdin.Fd())
	echoes := func() bool {
		state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		return err == nil && state.Lflag&unix.ECHO != 0
	}
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := cli.AskPassword(ctx, io.Discard, "password")
		done <- err
	}()
	cmdtest.Eventually(t, "what is typed is not shown", func() bool { return !echoes() })
	interrupt()
	if err := <-done; err == nil || !echoes() {
		t.Errorf("%v; shown: %t", err, echoes())
	}
}
