package dragon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// Identity is the result of Identify.
type Identity struct {
	Brand    Brand
	Overview *Overview // nil if no credential was accepted
}

// Identify finds out whether the client's host is a dragon. It checks the start page, then
// the API's refusal without a login, and only then sends a credential. The error is
// ErrNotDragon if something else answers. With ErrUnauthorized, a dragon that rejects all
// credentials, the Identity has the brand.
//
// Each of its four or more questions may take Options.IdentifyTimeout: a slow dragon that
// answers all of them is not missed. ctx bounds the whole.
func (c *Client) Identify(ctx context.Context) (*Identity, error) {
	brand, issuer, err := c.introduced(ctx)
	if err != nil && !errors.Is(err, ErrUnauthorized) {
		return nil, err
	}
	id := &Identity{Brand: brand}
	if err != nil {
		return id, err
	}
	if isAntminers(issuer) {
		return nil, c.notDragon(authEndpoint, "a dragon's token", "one issued by "+issuer)
	}
	asked := read("overview")
	asked.timeout = identifying
	id.Overview, err = c.overview(ctx, asked)
	// An earlier token may have expired because another device answers now.
	if issuer := c.tokenIssuer(); isAntminers(issuer) {
		return nil, c.notDragon(authEndpoint, "a dragon's token", "one issued by "+issuer)
	}
	if err != nil {
		if errors.Is(err, ErrUnauthorized) {
			return id, err
		}
		return nil, err
	}
	if isAntminer(id.Overview.Model) {
		return nil, c.notDragon(read("overview"), "a dragon's type", id.Overview.Model)
	}
	return id, nil
}

// isAntminers tells the token of an Antminer: the mineralos firmware makes it look like
// a dragon in all else.
func isAntminers(issuer string) bool { return strings.EqualFold(issuer, "AntMiner") }

// introduced does the steps up to the login, on one connection.
func (c *Client) introduced(ctx context.Context) (brand Brand, issuer string, err error) {
	if err := c.take(ctx, indexEndpoint); err != nil {
		return "", "", err
	}
	defer c.give()
	question := identifying(&c.opts)
	if err = within(ctx, question, func(ctx context.Context) error {
		brand, err = c.brand(ctx)
		return err
	}); err != nil {
		return "", "", err
	}
	if err = within(ctx, question, c.refusal); err != nil {
		return "", "", err
	}
	logins := max(1, len(c.credentials()))
	err = within(ctx, time.Duration(logins)*question, func(ctx context.Context) error {
		_, err := c.login(ctx, true)
		return err
	})
	return brand, c.tokenIssuer(), err
}

// within calls ask with a context that lasts no longer than d.
func within(ctx context.Context, d time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return ask(ctx)
}

func (c *Client) notDragon(e endpoint, expected, got string) error {
	return &Error{Host: c.host, Endpoint: e.path, Kind: ErrNotDragon, Expected: expected, Got: excerpt([]byte(got), nil)}
}

var indexEndpoint = endpoint{name: "index", path: "/", method: http.MethodGet, timeout: ordinary}

// indexBytes is how much of a start page is looked at; a dragon's has less than 1 KiB.
const indexBytes = 16 << 10

// brand reads the start page. Only its beginning is read, and the connection is not
// kept: most of what answers in a scan is not a dragon.
func (c *Client) brand(ctx context.Context) (Brand, error) {
	start := time.Now()
	req := c.request(indexEndpoint, nil, "")
	req.Close = true
	resp, _, err := c.send(ctx, indexEndpoint, req)
	var body []byte
	var brand Brand
	var seen startPage
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(resp.Body, indexBytes))
		resp.Body.Close()
		seen = readStartPage(body)
		brand = seen.brand()
	}
	switch silent := ended(ctx) != nil || errors.Is(kindOf(err), ErrTimeout); {
	case brand != "" && resp.StatusCode == http.StatusOK:
		err = nil
	case err != nil && silent:
		// A host that was still sending may be a dragon.
	case resp != nil && isGatewayError(resp.StatusCode):
		err = indexEndpoint.judgeStatus(resp.StatusCode) // what is behind the web server does not answer
	case resp != nil && seen.title == "" && errors.Is(kindOf(err), ErrUnreachable):
		err = cutShort(indexEndpoint, err)
	case resp != nil || errors.Is(kindOf(err), ErrBadResponse):
		err = &Error{Kind: ErrNotDragon, Expected: "a start page with a dragon's title", Err: seen.instead(resp, body, err)}
	}
	err = c.finish(ctx, indexEndpoint, err, body, nil)
	c.observe(indexEndpoint, start, err)
	return brand, err
}

// refusal asks the API without a login and expects its refusal, so that no credential goes
// to a host that only has a dragon's start page or address.
func (c *Client) refusal(ctx context.Context) error {
	_, err := c.exchange(ctx, read("overview"), nil, "", func(a *answer) error {
		r, err := readAnswer(a.Raw, &noFields, new(nothing))
		if err == nil && r.reply.said && !r.reply.success && r.reply.message == invalidRequest {
			return nil
		}
		if errors.Is(err, errEmpty) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &Error{Kind: ErrBadResponse, Expected: "the API's refusal", Err: err}
		}
		return &Error{Kind: ErrNotDragon, Expected: "the API's refusal"}
	})
	if e, ok := errors.AsType[*Error](err); ok && (errors.Is(e, ErrUnauthorized) || errors.Is(e, ErrBadResponse) && !unwell(e)) {
		e.Kind = ErrNotDragon
	}
	if err == nil {
		c.session.foreign = false
	}
	return err
}

// unwell recognises the answers of a dragon that boots, or whose PHP is down: half of one,
// none, or a gateway error.
func unwell(e *Error) bool {
	return e.Err != nil && (errors.Is(e, errEmpty) || errors.Is(kindOf(e.Err), ErrUnreachable) || strings.HasPrefix(e.Err.Error(), "HTTP status 50"))
}

// isGatewayError reports whether a web server says by a status that what is behind it does
// not answer.
func isGatewayError(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
