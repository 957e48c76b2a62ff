package dragon

import (
	"bytes"
	"context"
	"net/http"
	"path"
	"time"
)

// RawAnswer is an answer as it came, whatever it says.
type RawAnswer struct {
	Status      int
	ContentType string
	Body        []byte // at most 1 MiB
}

// Raw asks a path that only reads, as the logged-in user, and returns the answer
// unjudged: for recordings and for people. Only a failed login or connection, or a
// body without end, is an error.
func (c *Client) Raw(ctx context.Context, where string) (*RawAnswer, error) {
	e := read(path.Base(where))
	e.path = where
	switch where {
	case indexEndpoint.path:
		e = indexEndpoint
	case latestFirmware.path:
		e = latestFirmware
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout(&c.opts))
	defer cancel()
	if err := c.take(ctx, e); err != nil {
		return nil, err
	}
	defer c.give()
	for {
		var renewed bool
		if e.path != indexEndpoint.path {
			var err error
			if renewed, err = c.login(ctx); err != nil {
				return nil, err
			}
		}
		a, err := c.raw(ctx, e)
		if err == nil && !renewed && bytes.Contains(a.Body, []byte(`"expired"`)) && c.session.token != "" {
			c.session.token = ""
			continue
		}
		return a, err
	}
}

func (c *Client) raw(ctx context.Context, e endpoint) (a *RawAnswer, err error) {
	start := time.Now()
	defer func() { c.observe(e, start, err) }()
	var token Secret
	if e.path != indexEndpoint.path {
		token = c.session.token
	}
	var resp *http.Response
	if resp, _, err = c.send(ctx, e, c.request(e, nil, token)); err != nil {
		return nil, c.failed(ctx, e, err)
	}
	a = &RawAnswer{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type")}
	if a.Body, err = readBody(resp, maxBody); err != nil {
		return nil, c.finish(ctx, e, cutShort(e, err), a.Body, c.secretsOf(nil, token))
	}
	return a, nil
}
