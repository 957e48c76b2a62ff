package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// Control is a command whose subcommands control a running instance.
type Control struct {
	Advice string // what is added where no instance runs

	program *Program
	at      InstanceFlags
	data    func() (*config.InstanceData, error)
	owner   string
}

// Control adds the flags of all its subcommands to a command.
func (p *Program) Control(parent *kingpin.CmdClause) *Control {
	c := &Control{program: p}
	c.at.Register(parent)
	c.data = config.RegisterData(parent)
	config.Flag(parent, "owner", "Who asks for it; the default is your user name.", &c.owner, config.Text).PlaceHolder("NAME")
	return c
}

// Add adds a subcommand.
func (c *Control) Add(cmd *kingpin.CmdClause, do func(context.Context, *Session) error) {
	c.program.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		instance, err := c.at.Connect(c.data)
		if err != nil {
			return err
		}
		return WithAdvice(do(ctx, &Session{instance, &c.at.Output, cmp.Or(c.owner, UserName()), stdout, stderr}), c.Advice)
	})
}

// Session is one run of a subcommand of a Control.
type Session struct {
	*Instance
	*Output
	Owner          string
	Stdout, Stderr io.Writer
}

// Get returns an answer of the instance. If JSON is wanted, it prints the answer and returns nil.
func Get[T any](ctx context.Context, c *Session, path string) (*T, error) {
	var raw json.RawMessage
	if err := c.Call(ctx, http.MethodGet, path, nil, &raw); err != nil {
		return nil, err
	}
	if c.JSON() {
		_, err := c.Stdout.Write(raw)
		return nil, err
	}
	answer := new(T)
	if err := c.Decode(raw, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

// Change sends a request and prints its result: in words, or the whole answer as JSON.
func Change[T any](ctx context.Context, c *Session, path string, body any, words func(T) string) error {
	result, raw, err := Post[T](ctx, c.Instance, path, body, c.Stderr)
	if err != nil {
		return err
	}
	if c.JSON() {
		_, err = c.Stdout.Write(raw)
		return err
	}
	fmt.Fprintln(c.Stdout, words(result))
	return nil
}
