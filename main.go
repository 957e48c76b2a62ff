// Command mother-of-dragons exports the state of DragonMint and Innosilicon miners
// to Prometheus, on demand, and looks after them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/brndnmtthws/mother-of-dragons/internal/app"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
)

// heapShare is Go's share of the cgroup's memory limit. The rest is for the kernel, some
// 5 kB for each open connection, and for the pages of the binary. The variable GOMEMLIMIT
// overrides it.
const heapShare = 0.75

func main() {
	if err := app.DisableCoreDumps(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: core dumps are not disabled: %v\n", cli.Name, err)
	}
	_, _ = memlimit.Set(memlimit.WithRatio(heapShare)) // without a cgroup there is no limit
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal stops the program in order, the second at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, nil)
	stop()
	if status, ok := errors.AsType[cli.Exit](err); ok {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", cli.Name, err)
		os.Exit(1)
	}
}

// run is the program: arguments in, error out. It calls listening, unless nil, with every
// address that it listens on.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, listening func(net.Addr)) error {
	return cmd.New(listening).Run(ctx, args, stdout, stderr)
}
