package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// InstanceFlags name a running instance, and the form of its answer.
type InstanceFlags struct {
	URL string
	Output
}

// Register adds the flags to a command.
func (f *InstanceFlags) Register(cmd flagger) {
	config.Flag(cmd, "url", "Ask the instance at this address, such as http://localhost:9977, instead of the one that uses the data directory.", &f.URL,
		parseURL).PlaceHolder("URL")
	f.Output.Register(cmd)
}

func parseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("invalid address: want one like http://localhost:9977") // not shown: it may contain a password
	}
	return strings.TrimSuffix(s, "/"), nil
}

// ErrNoInstance says that no instance answers at the control socket.
var ErrNoInstance = errors.New("no instance runs there")

// WithAdvice adds to ErrNoInstance which flags name an instance, and more.
func WithAdvice(err error, more string) error {
	if !errors.Is(err, ErrNoInstance) {
		return err
	}
	return fmt.Errorf("%w; name its data directory with --data-dir or --config.file, or its address with --url%s", err, more)
}

// Instance is a running instance.
type Instance struct {
	base   string
	client *http.Client
	where  string // for messages
}

// controlBase is the base URL on the control socket.
const controlBase = "http://control"

// Connect returns the instance at an address, or, if that is empty, the one that uses the
// data directory dir. It does not connect yet.
func Connect(address, dir string) *Instance {
	if address != "" {
		where := "the instance"
		if u, err := url.Parse(address); err == nil {
			where = u.Redacted()
		}
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		return &Instance{address, client, where}
	}
	path := filepath.Join(dir, config.ControlSocket)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%s: %w", path, ErrNoInstance)
		} else if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%s: %w: run this as the user of the instance (sudo -u), or use --url", path, err)
		}
		return c, err
	}
	return &Instance{controlBase, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, path}
}

// Connect returns the instance that the flags name, else the one that uses the data directory.
func (f *InstanceFlags) Connect(data func() (*config.InstanceData, error)) (*Instance, error) {
	if f.URL != "" {
		return Connect(f.URL, ""), nil
	}
	d, err := data()
	if err != nil {
		return nil, err
	}
	return Connect("", d.Dir), nil
}

// maxAnswer is more than the plan of the largest fleet needs, in bytes.
const maxAnswer = 256 << 20

// Call sends a request and decodes the answer into to. An answer other than 200 is an error
// with the text of the API.
func (i *Instance) Call(ctx context.Context, method, path string, body, to any) error {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, i.base+path, payload)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := i.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok && i.base == controlBase {
			err = e.Err // without the URL, which means nothing to the user
		}
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", i.where, err)
	}
	if resp.StatusCode != http.StatusOK {
		return i.refusal(resp.StatusCode, resp.Status, data)
	}
	var dragon struct{ Success *bool } // which answers every request with 200
	if json.Unmarshal(data, &dragon) == nil && dragon.Success != nil {
		return fmt.Errorf("%s: this is a dragon, expected an instance of %s", i.where, Name)
	}
	if raw, ok := to.(*json.RawMessage); ok {
		*raw = data
		return nil
	}
	return i.Decode(data, to)
}

// asCommands puts the API's advice into commands and flags.
var asCommands = strings.NewReplacer(
	`"force": true`, "--force", "use force", "use --force", `"owner": "your name"`, "--owner=NAME",
	"GET /api/v1/discovery or GET /api/v1/dragons", Name+" inventory", "GET /api/v1/plan", Name+" plan", "GET /api/v1/healer", Name+" healer status",
	"GET /api/v1/rollouts", Name+" plan", "GET /api/v1/firmware", Name+" firmware list",
)

// refusal is the error of an answer other than 200.
func (i *Instance) refusal(code int, status string, data []byte) error {
	if code == http.StatusUnauthorized {
		return fmt.Errorf("%s: %s: give a user and a password: --url=https://USER:PASSWORD@HOST:PORT", i.where, status)
	}
	var e struct{ Error, Try string } // of web.ErrorAnswer; this package does not import web
	switch {
	case json.Unmarshal(data, &e) != nil || e.Error == "":
		return fmt.Errorf("%s: %s, expected an instance of %s", i.where, status, Name)
	case e.Try != "":
		return fmt.Errorf("%s (try: %s)", Plain(e.Error, 1000), Plain(asCommands.Replace(e.Try), 1000))
	}
	return errors.New(Plain(e.Error, 1000))
}

// Decode decodes an answer.
func (i *Instance) Decode(data []byte, to any) error {
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: unexpected answer: %w", i.where, err)
	}
	return nil
}

// Post sends a request that changes something. It returns the result and the whole answer,
// and writes the warning in it to stderr.
func Post[T any](ctx context.Context, i *Instance, path string, body any, stderr io.Writer) (result T, raw json.RawMessage, err error) {
	if err := i.Call(ctx, http.MethodPost, path, body, &raw); err != nil {
		return result, nil, err
	}
	var answer struct {
		Result  *T
		Warning string
	}
	if err := i.Decode(raw, &answer); err != nil {
		return result, nil, err
	}
	if answer.Result == nil {
		return result, nil, fmt.Errorf("%s: unexpected answer: it has no result", i.where)
	}
	if answer.Warning != "" {
		fmt.Fprintln(stderr, "warning:", Plain(answer.Warning, 1000))
	}
	return *answer.Result, raw, nil
}

// UserName returns the user's name, with sudo that of the user who called it.
func UserName() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
