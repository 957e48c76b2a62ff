// Package dragon talks to dragons: DragonMint and Innosilicon miners and their
// HTTP API.
package dragon

import (
	"context"
	"net/http"
	"time"
)

// Secret is a password or token. It prints as <secret>; string(s) is the value.
type Secret string

func (Secret) String() string { return "<secret>" }

// GoString hides the value from %#v.
func (Secret) GoString() string { return "<secret>" }

// MarshalText hides the value from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// Credential is a user name with its password.
type Credential struct {
	Username string
	Password Secret
}

// Options say how a Client talks. The zero value is usable.
type Options struct {
	Credentials []Credential // tried in order; default admin/dragonadmin, admin/admin
	Transport   http.RoundTripper

	Timeout         time.Duration // of an ordinary read; default 10 s
	WriteTimeout    time.Duration // of calls that restart something; default 120 s
	FirmwareTimeout time.Duration // of getLatestFirmwareVersion, which makes the device call its vendor; default 130 s
	LoginRetry      time.Duration // how long a refused login is believed; default 15 min

	Observe func(Call) // called after every request, if set
}

// Call is one request to a dragon, for whoever counts them.
type Call struct {
	Endpoint string // the last part of the path, from a fixed set, e.g. summary, auth
	Outcome  string // ok, or the reason of Reason
	Took     time.Duration
}

// Client talks to one dragon, one request at a time.
type Client struct {
	host string
	opts Options
}

// New returns a client of the dragon at host, a name or address with an optional
// port. It makes no request.
func New(host string, o Options) *Client { return &Client{host: host, opts: o} }

// Host returns the host[:port] given to New.
func (c *Client) Host() string { return c.host }

// Summary reads /api/summary. Where the model is not known yet, and the answer
// does not give its own units, it asks for it once.
func (c *Client) Summary(ctx context.Context) (*Summary, error) { return nil, nil }

// Overview reads /api/overview.
func (c *Client) Overview(ctx context.Context) (*Overview, error) { return nil, nil }

// Identity is what Identify found.
type Identity struct {
	Brand    Brand
	Overview *Overview
}

// Identify finds out whether a dragon answers at the client's host. It looks at the
// start page, then at the API's way to say no, and only then sends a credential.
// The error is ErrNotDragon where something else answers.
func (c *Client) Identify(ctx context.Context) (*Identity, error) { return nil, nil }

// Reason maps an error to the word that metrics use for it: timeout, refused,
// unreachable, auth, response; ok for nil, canceled for a cancelled context.
func Reason(err error) string { return "" }
