// Package cli has what the commands share: registration, help, completion, log flags,
// questions at a terminal, tables, the connection to a running instance.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

// Name is the program's name.
const Name = "mother-of-dragons"

// A Command is one thing that the program can be asked to do.
type Command func(ctx context.Context, stdout, stderr io.Writer) error

// Exit is an exit status without a message.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Program is the command line with its commands.
type Program struct {
	*kingpin.Application
	Logs      LogFlags
	Listening func(net.Addr) // gets every address that a command listens on; may be nil

	utc      bool
	commands map[string]Command
}

// New returns a program without commands.
func New(listening func(net.Addr)) *Program {
	p := &Program{
		Application: kingpin.New(Name, "Prometheus exporter and healer for dragons: DragonMint and Innosilicon miners."),
		Listening:   listening,
		commands:    map[string]Command{},
	}
	p.Version(version.Print(Name))
	p.HelpFlag.Short('h')
	p.DefaultEnvars()
	p.Logs.register(p.Application)
	p.Flag("utc", "Show times in UTC instead of the local zone.").BoolVar(&p.utc)
	return p
}

// Add adds a command.
func (p *Program) Add(clause *kingpin.CmdClause, do Command) { p.commands[clause.FullCommand()] = do }

// Commands returns the full names of all commands, sorted.
func (p *Program) Commands() []string { return slices.Sorted(maps.Keys(p.commands)) }

// output is a standard output that keeps the first error: commands print without a look at it.
type output struct {
	io.Writer
	once sync.Once
	err  error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.once.Do(func() { o.err = err })
	}
	return n, err
}

// terminated is how --help and --version leave the parser without ending the process.
type terminated struct{ code int }

// Run parses args and runs the command they name.
func (p *Program) Run(ctx context.Context, args []string, out, stderr io.Writer) (err error) {
	stdout := &output{Writer: out}
	p.UsageWriter(stdout).ErrorWriter(stderr)
	p.Terminate(func(code int) { panic(terminated{code}) })
	defer func() {
		switch v := recover().(type) {
		case nil:
		case terminated:
			if v.code != 0 {
				err = errors.New("stopped")
			}
		case *fs.PathError: // the parser's, of a help that cannot be written
			err = v
		default:
			panic(v)
		}
		if _, status := errors.AsType[Exit](err); stdout.err != nil && (err == nil || status) {
			err = stdout.err
		}
	}()
	model := p.Model()
	if len(args) > 0 && args[0] == CompletionFlag {
		_, err := fmt.Fprintln(stdout, strings.Join(completions(ctx, model, args[1:]), "\n"))
		return err
	}
	if slices.Contains(args, "--help-long") {
		all, err := p.ParseContext(nil)
		if err != nil {
			return err
		}
		return p.UsageForContextWithTemplate(all, 2, kingpin.LongHelpTemplate)
	}
	args = commandFirst(model, args)
	if err := refuseValues(model, args); err != nil {
		return suggest(model, args, err)
	}
	p.setHelp(model, args)
	chosen, err := p.Parse(args)
	if err != nil {
		return suggest(p.Model(), args, err) // the parser has filled in the variables
	}
	return p.commands[chosen](ctx, stdout, stderr)
}
