// Command mother-of-dragons exports the state of DragonMint and Innosilicon miners
// to Prometheus, on demand, and looks after them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

const name = "mother-of-dragons"

// collectAt is how much the heap may grow, in percent, before it is collected: half of
// Go's own. What lives is small and lasts, what a scrape makes is large and gone, and
// the machine may be a Raspberry Pi. The variable GOGC says otherwise.
const collectAt = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal ends it in order, a second one at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, nil)
	stop()
	if status, ok := errors.AsType[exit](err); ok {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// A command is one thing that the program can be asked to do.
type command func(ctx context.Context, stdout, stderr io.Writer) error

// terminated is how --help and --version leave the parser without ending the process.
type terminated struct{ code int }

// run is the program: arguments in, error out. Every listening address is given to
// listening, if that is set.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, listening func(net.Addr)) (err error) {
	app, commands := application(listening)
	app.UsageWriter(stdout).ErrorWriter(stderr)
	app.Terminate(func(code int) { panic(terminated{code}) })
	defer func() {
		switch v := recover().(type) {
		case nil:
		case terminated:
			if v.code != 0 {
				err = errors.New("stopped")
			}
		default:
			panic(v)
		}
	}()
	if len(args) > 0 && args[0] == completionFlag {
		_, err := fmt.Fprintln(stdout, strings.Join(completions(app.Model(), args[1:]), "\n"))
		return err
	}
	if innermost(app.Model(), args) != nil { // its help is not that of all the others
		app.UsageTemplate(kingpin.DefaultUsageTemplate)
	}
	chosen, err := app.Parse(args)
	if err != nil {
		return explained(app.Model(), args, err)
	}
	return commands[chosen](ctx, stdout, stderr)
}

// application is the command line, and what each command does.
func application(listening func(net.Addr)) (*kingpin.Application, map[string]command) {
	app := kingpin.New(name, "Prometheus exporter and healer for dragons: DragonMint and Innosilicon miners.")
	app.Version(version.Print(name))
	app.UsageTemplate(kingpin.LongHelpTemplate)
	app.HelpFlag.Short('h')
	app.DefaultEnvars()
	var logs logFlags
	logs.register(app)

	commands := map[string]command{}
	for _, add := range []func(*kingpin.Application, *logFlags, func(net.Addr)) (string, command){
		addServe, addCheckConfig, addConvertConfig, addScan, addInventory, addPlan, addAudit, addCapture, addDemo, addCompletion, addMan,
	} {
		name, c := add(app, &logs, listening)
		commands[name] = c
	}
	maps.Copy(commands, addHealer(app))
	maps.Copy(commands, addFirmware(app))
	maps.Copy(commands, addDragon(app))
	return app, commands
}
