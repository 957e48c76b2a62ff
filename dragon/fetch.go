package dragon

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"
)

// Readable are the endpoints that Fetch takes: every request that changes nothing, except
// the journals. The first, index, is the start page; the last makes the device call its
// vendor and may take two minutes.
func Readable() []string {
	return []string{
		"index", "summary", "overview", "network", "pools", "type", "ping", "getAutoTune", "getAutoTuneStatus",
		"getDebugStats", "getHashRates", "stats",
		"unit", "getErrorMessage", "getErrorDetail", "getRuntimePools", "getAll",
		"getLatestFirmwareVersion",
	}
}

// Fetched is an undecoded answer.
type Fetched struct {
	Path        string // where it came from
	Status      int
	ContentType string
	Body        []byte // at most 128 KiB; 1 MiB of getDebugStats, getHashRates and stats
}

// Fetch asks one of Readable and returns the undecoded answer, for recordings, also if it
// is a refusal or invalid. Only a failed login or connection, or a body that ends badly,
// is an error. Beware that pools and getAll hold passwords.
func (c *Client) Fetch(ctx context.Context, name string) (*Fetched, error) {
	e := read(name)
	switch {
	case !slices.Contains(Readable(), name):
		return nil, c.refuse(e, "%q is not a readable endpoint", name)
	case name == indexEndpoint.name:
		e = indexEndpoint
	case name == latestFirmware.name:
		e = latestFirmware
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout(&c.opts))
	defer cancel()
	if err := c.take(ctx, e); err != nil {
		return nil, err
	}
	defer c.give()
	if e.method == http.MethodGet {
		return c.fetch(ctx, e, "")
	}
	for proven := false; ; proven = true {
		renewed, err := c.login(ctx, proven)
		if err != nil {
			return nil, err
		}
		f, err := c.fetch(ctx, e, c.session.token)
		if err != nil || renewed || !saysExpired(f.Body) {
			return f, err
		}
		c.session.token = ""
	}
}

func saysExpired(body []byte) bool {
	r, err := readAnswer(body, &noFields, new(nothing))
	return err == nil && r.reply.token == "expired"
}

func (c *Client) fetch(ctx context.Context, e endpoint, token Secret) (f *Fetched, err error) {
	start := time.Now()
	defer func() { c.observe(e, start, err) }()
	resp, _, err := c.send(ctx, e, c.request(e, nil, token))
	if err != nil {
		return nil, c.failed(ctx, e, err)
	}
	body, err := readBody(new(bytes.Buffer), resp, e.limit())
	if err != nil {
		return nil, c.finish(ctx, e, cutShort(e, err), body, c.secretsOf(nil, token))
	}
	return &Fetched{e.path, resp.StatusCode, resp.Header.Get("Content-Type"), body}, nil
}
