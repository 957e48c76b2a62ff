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

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/config"
)

// InstanceFlags say where the running instance is.
type InstanceFlags struct {
	URL  string
	JSON bool
}

// Register adds the flags to a command.
func (f *InstanceFlags) Register(cmd *kingpin.CmdClause) {
	config.Flag(cmd, "url", "Ask the instance at this address, such as http://localhost:9977, in place of the one that uses the data directory.", &f.URL, parseURL).PlaceHolder("URL")
	cmd.Flag("json", "Print JSON.").BoolVar(&f.JSON)
}

func parseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("no address of an instance: want one like http://localhost:9977") // it may have a password in it
	}
	return strings.TrimSuffix(s, "/"), nil
}

// ErrNoInstance says that nobody answers at a socket.
var ErrNoInstance = errors.New("no instance runs there")

// Instance talks to a running instance.
type Instance struct {
	base   string
	client *http.Client
	Where  string // for messages
}

// Connect returns the instance that the flags mean. It does not say that there is one.
func Connect(address, dir string) *Instance {
	if address != "" {
		where := "the instance"
		if u, err := url.Parse(address); err == nil {
			where = u.Redacted()
		}
		return &Instance{address, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, where}
	}
	path := filepath.Join(dir, config.ControlSocket)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%s: %w", path, ErrNoInstance)
		} else if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%s: %w: only the user that the instance runs as may talk to it here; be that user (sudo -u), or use --url", path, err)
		}
		return c, err
	}
	return &Instance{"http://control", &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, path}
}

// mostAnswer is more than the plan of the largest fleet needs.
const mostAnswer = 256 << 20

// Call sends a request and reads the answer into to, as far as it is a good one.
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
		if e, ok := errors.AsType[*url.Error](err); ok && i.base == "http://control" {
			err = e.Err // its URL would say nothing
		}
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", i.Where, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: %s: it wants a user and a password: --url=https://USER:PASSWORD@HOST:PORT", i.Where, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error, Try string } // web.ErrorAnswer, without what that package needs
		if json.Unmarshal(data, &e) != nil || e.Error == "" {
			return fmt.Errorf("%s: %s, expected an instance of mother-of-dragons", i.Where, resp.Status)
		}
		if e.Try != "" {
			return fmt.Errorf("%s (try: %s)", Plain(e.Error, 1000), Plain(e.Try, 1000))
		}
		return errors.New(Plain(e.Error, 1000))
	}
	if raw, ok := to.(*json.RawMessage); ok {
		*raw = data
		return nil
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: the answer is not what was expected: %w", i.Where, err)
	}
	return nil
}

// Done is what the API says of a request that was carried out.
type Done[T any] struct {
	Result  T      `json:"result"`
	Warning string `json:"warning"`
}

// UserName is who sits at the keyboard, also behind sudo.
func UserName() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
