package dragon

import (
	"context"
	"net/http"
	"slices"
)

// Stats reads /api/stats: the mining process's own reply to "stats", which every
// driver words differently. Raw is it; DebugStats is the same in words.
func (c *Client) Stats(ctx context.Context) (*Answer, error) {
	_, a, err := call(ctx, c, read("stats"), nil, &noFields)
	if err != nil {
		return nil, err
	}
	return &a.Answer, nil
}

// Readable are the endpoints that Fetch takes: every question that changes nothing
// and does not end in a journal. The first, index, is the start page.
func Readable() []string {
	return []string{
		"index", "summary", "overview", "network", "pools", "type", "ping", "getAutoTune", "getAutoTuneStatus",
		"getLatestFirmwareVersion", "getDebugStats", "getHashRates", "stats",
		"unit", "getErrorMessage", "getErrorDetail", "getRuntimePools", "getAll",
	}
}

// Fetch returns an endpoint's answer as it is, for recordings: also one that says no.
// Beware that pools and getAll hold passwords.
func (c *Client) Fetch(ctx context.Context, name string) (*Answer, error) {
	e := read(name)
	switch {
	case !slices.Contains(Readable(), name):
		return nil, c.refuse(e, "%q is not among the questions", name)
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
	understand := func(a *answer) error {
		if r, err := readAnswer(a.Raw, &noFields, new(nothing)); err == nil && r.reply.token == "expired" {
			return judge(e, r, nil, nil)
		}
		return nil
	}
	var a answer
	var err error
	if e.method == http.MethodGet {
		a, err = c.exchange(ctx, e, nil, "", understand)
	} else {
		a, err = c.authorized(ctx, e, nil, understand)
	}
	if err != nil {
		return nil, err
	}
	return &a.Answer, nil
}
