// Package dragon talks to dragons: DragonMint and Innosilicon miners and their
// HTTP API.
package dragon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Secret is a password or token. It prints as <secret>; string(s) is the value.
type Secret string

func (Secret) String() string { return cutSecret }

// GoString hides the value from %#v.
func (Secret) GoString() string { return cutSecret }

// MarshalText hides the value from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(cutSecret), nil }

// Credential is a user name with its password.
type Credential struct {
	Username string
	Password Secret
}

// DefaultCredentials are the factory credentials: DragonMint's, then Innosilicon's.
func DefaultCredentials() []Credential {
	return []Credential{{"admin", "dragonadmin"}, {"admin", "admin"}}
}

// Options configure a Client. The zero value is usable.
type Options struct {
	Credentials []Credential      // tried in order; default DefaultCredentials
	Transport   http.RoundTripper // default a NewTransport of its own; share one between many clients

	Timeout         time.Duration // of an ordinary read, with its login; default 10 s
	WriteTimeout    time.Duration // of calls that restart something, and of getLogs; default 120 s
	FirmwareTimeout time.Duration // of getLatestFirmwareVersion, which makes the device call its vendor; default 130 s
	UploadTimeout   time.Duration // of a firmware upload; default 15 min
	LoginRetry      time.Duration // how long no login follows a refused one; default 15 min
	IdentifyTimeout time.Duration // of each question of Identify; default Timeout

	// CredentialsFor and ReadTimeout, if set, are asked each time in place of Credentials
	// and Timeout, for what changes while a Client lives. No credential at all means
	// DefaultCredentials. Neither may call the Client.
	CredentialsFor func(host string) []Credential
	ReadTimeout    func() time.Duration

	Observe func(Call) // called after every request, if set
}

// Call is one request to a dragon, for metrics.
type Call struct {
	Endpoint string // the last part of the path, from a fixed set, e.g. summary, auth; index is the start page
	Outcome  string // ok, or the reason of Reason
	Took     time.Duration
}

// Client talks to one dragon, one request at a time. Its methods may be called from
// any goroutine: they wait for each other.
type Client struct {
	host string
	opts Options

	// slot is the right to the one request in flight. It is a channel so that waiting
	// for it ends with the context.
	slot    chan struct{}
	session session // guarded by slot
	logins  atomic.Uint64

	writing   sync.Once
	writeWith http.RoundTripper

	mu       sync.Mutex
	model    string // as the device reports it
	hasModel bool
	issuer   string // of the token: DragonMint, AsicMiner, AntMiner
}

// New returns a client of the dragon at host, a name or address with an optional
// port. It makes no request.
func New(host string, o Options) *Client {
	if len(o.Credentials) == 0 {
		o.Credentials = DefaultCredentials()
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&o.Timeout, 10 * time.Second},
		{&o.WriteTimeout, 120 * time.Second},
		{&o.FirmwareTimeout, 130 * time.Second},
		{&o.UploadTimeout, 15 * time.Minute},
		{&o.LoginRetry, 15 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	o.Credentials = slices.Clone(o.Credentials)
	return &Client{host: host, opts: o, slot: make(chan struct{}, 1)}
}

// Host returns the host[:port] given to New.
func (c *Client) Host() string { return c.host }

// Logins counts the successful logins. When it grows, another dragon may live at the
// address: a reboot, which ends every token, is often a change of address too.
func (c *Client) Logins() uint64 { return c.logins.Load() }

// CloseIdleConnections closes what Options.Transport keeps open, for all its clients.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.opts.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

func (c *Client) setModel(model string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if model != "" || !c.hasModel { // unreadable once is not another model
		c.model, c.hasModel = model, true
	}
}

// factor is what one unit of a field named MHS is in hashes on this model.
func (c *Client) factor(ctx context.Context) (float64, error) {
	model, known := c.knownModel()
	if !known {
		var err error
		model, err = c.Type(ctx)
		if err != nil && !errors.Is(err, ErrRejected) && !errors.Is(err, ErrNotOffered) {
			// A figure in the wrong unit would be wrong by a factor of up to a million.
			return 0, err
		}
		c.setModel(model)
	}
	return ModelOf(model).Factor, nil
}

func (c *Client) knownModel() (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.model, c.hasModel
}

// loggedIn records a login: the issuer of the token is known; the model is not, since another
// dragon may answer at the address now.
func (c *Client) loggedIn(issuer string) {
	c.logins.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.model, c.hasModel, c.issuer = "", false, issuer
}

func (c *Client) tokenIssuer() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issuer
}

// endpoint is an endpoint of the API and how to call it.
type endpoint struct {
	name    string // for metrics
	path    string
	method  string
	writes  bool // never sent twice
	timeout func(*Options) time.Duration
	refuses func(status int) bool // statuses that are an endpoint's own way to say no; may be nil
	largest int                   // bytes of an answer; 0: maxBody

	notReady       string // the message of an answer without data yet; mostly empty
	emptyIsNothing bool   // an empty body is an answer
	lean           bool   // the answer is without Raw
}

func read(name string) endpoint {
	e := endpoint{name: name, path: "/api/" + name, method: http.MethodPost, timeout: ordinary}
	if slices.Contains(bigAnswers, name) {
		e.largest = maxBigBody
	}
	return e
}

func write(name string) endpoint {
	return endpoint{name: name, path: "/api/" + name, method: http.MethodPost, writes: true, timeout: restarting}
}

func ordinary(o *Options) time.Duration {
	if o.ReadTimeout != nil {
		return o.ReadTimeout()
	}
	return o.Timeout
}

// identifying is the timeout of one request of Identify.
func identifying(o *Options) time.Duration {
	if o.IdentifyTimeout > 0 {
		return o.IdentifyTimeout
	}
	return ordinary(o)
}

func restarting(o *Options) time.Duration { return o.WriteTimeout }

// take takes the slot; the caller gives it back with c.give.
func (c *Client) take(ctx context.Context, e endpoint) error {
	select {
	case c.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return c.failed(ctx, e, ctx.Err())
	}
}

func (c *Client) give() { <-c.slot }

// call asks an endpoint that answers with JSON, with a login where one is needed.
func call[T any](ctx context.Context, c *Client, e endpoint, form url.Values, f *fields[T]) (*T, answer, error) {
	var t *T
	a, err := callInto(ctx, c, e, form, f, func() *T {
		t = new(T)
		return t
	})
	if err != nil {
		return nil, a, err
	}
	return t, a, nil
}

// callInto is call for an answer that is decoded into what empty returns. It is called again for
// the answer after a new login.
func callInto[T any](ctx context.Context, c *Client, e endpoint, form url.Values, f *fields[T], empty func() *T) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout(&c.opts))
	defer cancel()
	if err := c.take(ctx, e); err != nil {
		return answer{}, err
	}
	defer c.give()
	return c.authorized(ctx, e, form, func(a *answer) error {
		t := empty()
		if e.emptyIsNothing && len(bytes.TrimSpace(a.Raw)) == 0 {
			return nil
		}
		r, err := readAnswer(a.Raw, f, t)
		if err != nil {
			a.Raw, t = quoteNaN(a.Raw), empty()
			r, err = readAnswer(a.Raw, f, t)
		}
		if err == nil {
			a.unreadable, a.reply = r.unreadable, r.reply
		}
		return judge(e, r, f.musts, err)
	})
}

// nothing is the table of answers without data.
type nothing struct{}

var noFields = table[nothing]()

// tell calls an endpoint without data in its answer.
func (c *Client) tell(ctx context.Context, e endpoint, form url.Values) error {
	_, _, err := call(ctx, c, e, form, &noFields)
	return err
}

// judge interprets an answer of the API.
func judge(e endpoint, r *reader, musts []string, syntax error) error {
	switch {
	case syntax != nil:
		return &Error{Kind: ErrBadResponse, Expected: "a JSON object", Err: syntax}
	case r.reply.token == "expired":
		return &Error{Kind: ErrUnauthorized, Expected: "a token that lasts", Err: errExpired}
	case r.reply.said && r.reply.success && (r.known > 0 || len(musts) == 0):
		return nil
	case r.reply.said && r.reply.success:
		return &Error{Kind: ErrBadResponse, Expected: "a JSON object with " + strings.Join(musts, ", ")}
	case r.reply.said && r.reply.message == invalidRequest:
		return &Error{Kind: ErrUnauthorized, Expected: "an answer to the logged-in user", Err: ErrNotOffered}
	case r.reply.said && !e.writes && (r.reply.message == "" || r.reply.message == e.notReady):
		return &Error{Kind: ErrNotReady, Expected: "success"}
	case r.reply.said:
		return &Error{Kind: ErrRejected, Expected: "success"}
	case r.known > 0 && !e.writes:
		return nil // some answers of some firmware leave success out
	}
	return &Error{Kind: ErrBadResponse, Expected: "a JSON object with success"}
}

// refuse is the error of a request that is not sent.
func (c *Client) refuse(e endpoint, format string, args ...any) error {
	return &Error{Host: c.host, Endpoint: e.path, Kind: ErrRejected, Err: fmt.Errorf("not sent: "+format, args...)}
}

// invalidRequest is the API's answer without a login, for an unknown endpoint, and to a
// guest at an admin's endpoint. The three cannot be told apart.
const invalidRequest = "invalid request"
