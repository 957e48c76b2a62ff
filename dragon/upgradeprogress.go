package dragon

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// UpgradeProgress is what the dragon's updater says while it flashes. It is for people
// to watch: the socket has no login, anybody in the dragon's place could say it, and
// half of what matters comes after the reboot that ends it.
type UpgradeProgress struct {
	Type   string // status, message, source, info, step
	Status string // of a status: IDLE, START, RUN, SUCCESS, FAILURE, DOWNLOAD, DONE, SUBPROCESS
	Text   string // of a message
	Name   string // of a step: what is being written
	Step   Number // the step's number, from 1
	Steps  Number // how many there are
	Share  Number // of the step that is done, 0 to 1
}

// Over reports whether the updater has come to an end, good or bad.
func (p UpgradeProgress) Over() bool {
	return p.Status == "SUCCESS" || p.Status == "FAILURE" || p.Status == "DONE"
}

var upgradeProgressFields = table(
	text("type", func(p *UpgradeProgress) *string { return &p.Type }).always(),
	text("status", func(p *UpgradeProgress) *string { return &p.Status }),
	text("text", func(p *UpgradeProgress) *string { return &p.Text }),
	text("name", func(p *UpgradeProgress) *string { return &p.Name }),
	number("step", amount, func(p *UpgradeProgress) *Number { return &p.Step }),
	number("number", amount, func(p *UpgradeProgress) *Number { return &p.Steps }), // swupdate: number of steps
	number("percent", percent, func(p *UpgradeProgress) *Number { return &p.Share }),
)

var upgradeSocket = endpoint{name: "upgrade_ws", path: "/upgrade/ws", method: http.MethodGet, timeout: ordinary}

const (
	maxFrame  = 16 << 10
	maxFrames = 20_000 // of one upgrade: a percent each of some steps, and a few messages
)

// WatchUpgrade listens to /upgrade/ws and calls fn with what it says, until ctx is done,
// fn returns false, or the dragon ends it, as its reboot does. It sends no login, and
// is, with FollowLogs, what may go beside the one request in flight: an upload is what it is
// for. Unreadable frames are skipped.
func (c *Client) WatchUpgrade(ctx context.Context, fn func(UpgradeProgress) bool) (err error) {
	start := time.Now()
	defer func() { c.observe(upgradeSocket, start, err) }()
	conn, err := c.dialUpgrade(ctx)
	if err != nil {
		return c.failed(ctx, upgradeSocket, err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxFrame)
	for range maxFrames {
		kind, frame, err := conn.Read(ctx)
		switch {
		case ctx.Err() != nil:
			return c.failed(ctx, upgradeSocket, ctx.Err())
		case errors.Is(err, websocket.ErrMessageTooBig):
			return c.failed(ctx, upgradeSocket, &Error{Kind: ErrBadResponse, Expected: "short frames", Err: errTooLarge})
		case err != nil:
			return nil // it reboots, or has nothing more to say
		case kind != websocket.MessageText:
			continue
		}
		if p, ok := upgradeProgress(frame); ok && !fn(p) {
			return nil
		}
	}
	return c.failed(ctx, upgradeSocket, &Error{Kind: ErrBadResponse, Expected: "an end", Err: errTooLarge})
}

// dialUpgrade connects within the time of an ordinary read.
func (c *Client) dialUpgrade(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeSocket.timeout(&c.opts))
	defer cancel()
	u := url.URL{Scheme: "ws", Host: c.host, Path: upgradeSocket.path}
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport:     fresh(c.opts.Transport),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader: http.Header{"User-Agent": {"mother-of-dragons"}},
	})
	if resp != nil && resp.Body != nil && err != nil {
		_ = resp.Body.Close()
	}
	if err == nil {
		return conn, nil
	}
	if resp != nil {
		if status := upgradeSocket.judgeStatus(resp.StatusCode); status != nil {
			return nil, status
		}
		return nil, &Error{Kind: ErrBadResponse, Expected: "a websocket", Err: err} // an older image has only the page
	}
	return nil, err
}

func upgradeProgress(frame []byte) (UpgradeProgress, bool) {
	var p UpgradeProgress
	r, err := readAnswer(frame, &upgradeProgressFields, &p)
	return p, err == nil && r.known > 0 && p.Type != ""
}
