package dragon

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// PoolConfig is a configured pool: an element of /api/pools.
type PoolConfig struct {
	URL      string // url
	User     string // user: account and worker
	Password Secret // pass; the device gives it in clear to every user
}

// MaxPools is how many pools a dragon keeps.
const MaxPools = 3

// poolURL matches the pool URLs that the device accepts: only these schemes (no
// stratum+ssl, no stratum2+tcp), and a dotted name or IPv4 address. Older firmware accepts
// anything and then does not mine. Vendor backend source, 2018.
var poolURL = regexp.MustCompile(`^(?i:https?|stratum\+tcp|tcp)://(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)+` +
	`[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?::([0-9]{1,5}))?(?:/[!-~]*)?$`)

// ValidatePools rejects pools that a dragon would silently drop, alter or never use. The
// list is replaced as a whole; a pool with an empty field, or all pools with an empty
// list, are deleted, and the device reports success.
func ValidatePools(pools []PoolConfig) error {
	switch {
	case len(pools) == 0:
		return errors.New("no pools: the dragon would forget those it has")
	case len(pools) > MaxPools:
		return fmt.Errorf("%d pools: a dragon keeps %d", len(pools), MaxPools)
	}
	for i, p := range pools {
		if err := p.Validate(); err != nil {
			return fmt.Errorf("pool %d: %w", i+1, err)
		}
	}
	return nil
}

// Validate checks one pool of a list: see ValidatePools.
func (p PoolConfig) Validate() error {
	switch {
	case p.URL == "":
		return errors.New("the url is empty")
	case p.User == "":
		return errors.New("the user is empty")
	case p.Password == "":
		return errors.New("the password is empty: the dragon would drop the pool; use x if it needs none")
	}
	match := poolURL.FindStringSubmatch(p.URL)
	if match == nil {
		return fmt.Errorf("the url %q is not one that a dragon takes: stratum+tcp://, tcp://, http:// or https://, then a name with a dot or an IPv4 "+
			"address", hideLogin(p.URL))
	}
	if port, err := strconv.Atoi(match[1]); match[1] != "" && (err != nil || port < 1 || port > 65535) {
		return fmt.Errorf("the url %q has no valid port", hideLogin(p.URL))
	}
	// The device deletes other characters from what it passes on, and trims.
	if !plain(p.User) {
		return errors.New("the user has spaces, control or non-ASCII characters")
	}
	if !plain(string(p.Password)) {
		return errors.New("the password has spaces, control or non-ASCII characters")
	}
	return nil
}

// plain reports whether a text has printable ASCII alone, and no spaces.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

type poolsAnswer struct{ pools []PoolConfig }

var poolConfigFields = table(
	text("url", func(p *PoolConfig) *string { return &p.URL }).always(),
	text("user", func(p *PoolConfig) *string { return &p.User }).always(),
	own("pass", poolPassword),
	own("password", poolPassword), // in getAll
)

func poolPassword(r *reader, p *PoolConfig) bool {
	password, ok := r.text(maxText)
	p.Password = Secret(password)
	return ok
}

// readPoolConfigs reads a list of pools; an empty array in it stands for no pool.
func readPoolConfigs(r *reader) (pools []PoolConfig, ok bool) {
	ok = r.elements(maxPools, func(int, string) {
		var p PoolConfig
		if r.dec.PeekKind() == '[' {
			r.skip()
		} else if readObject(r, "pools", &poolConfigFields, &p) {
			pools = append(pools, p)
		} else {
			r.unreadableField("pools")
		}
	})
	return pools, ok
}

var poolsFields = table(
	own("pools", func(r *reader, a *poolsAnswer) (ok bool) {
		a.pools, ok = readPoolConfigs(r)
		return ok
	}).always(),
)

// Pools reads /api/pools: the configured pools, in order. Summary and RuntimePools have
// the pools in use.
func (c *Client) Pools(ctx context.Context) ([]PoolConfig, error) {
	a, got, err := call(ctx, c, read("pools"), nil, &poolsFields)
	if err != nil {
		return nil, err
	}
	if slices.Contains(got.unreadable, "pools") {
		return nil, &Error{Host: c.host, Endpoint: "/api/pools", Kind: ErrBadResponse, Expected: "a list of pools", Got: excerpt(got.Raw, nil)}
	}
	return a.pools, nil
}

// PoolsUpdate is the result of an UpdatePools.
type PoolsUpdate struct {
	// Locked: the dragon is pinned to a pool and the change, though stored, will not
	// take effect. Innosilicon since September 2018.
	Locked    bool
	Pools     []PoolConfig // as read back
	Dropped   []int        // indexes of pools that were sent and are not there
	Differing []int        // indexes of pools that are there and not as sent
}

// InSync reports whether the dragon now has the pools that were sent and will use them.
func (u *PoolsUpdate) InSync() bool {
	return !u.Locked && len(u.Dropped) == 0 && len(u.Differing) == 0
}

// UpdatePools replaces the pools by /api/updatePools, which restarts the miner process,
// and reads them back, because the device's success proves nothing. A list that
// ValidatePools refuses is not sent. An ErrUnknownOutcome from /api/pools says that the
// change was accepted and could not be read back.
func (c *Client) UpdatePools(ctx context.Context, pools []PoolConfig) (*PoolsUpdate, error) {
	e := write("updatePools")
	if err := ValidatePools(pools); err != nil {
		return nil, c.refuse(e, "%w", err)
	}
	form := url.Values{}
	for i, p := range pools {
		n := strconv.Itoa(i + 1)
		form.Set("Pool"+n, p.URL)
		form.Set("UserName"+n, p.User)
		form.Set("Password"+n, string(p.Password))
	}
	_, a, err := call(ctx, c, e, form, &noFields)
	if err != nil {
		return nil, err
	}
	u := &PoolsUpdate{Locked: a.reply.message == "lock"}
	u.Pools, err = c.Pools(ctx)
	if err != nil {
		if known, ok := errors.AsType[*Error](err); ok {
			unread := *known
			unread.Kind, unread.Err = ErrUnknownOutcome, cause(known)
			err = &unread
		}
		return u, err
	}
	u.compare(pools)
	return u, nil
}

// cause is the cause of a failed call as an error without a kind.
func cause(e *Error) error {
	switch {
	case e.Err == nil:
		return errors.New(e.Kind.Error())
	case e.Kind == nil:
		return e.Err
	}
	return fmt.Errorf("%s: %w", e.Kind.Error(), e.Err)
}

func (u *PoolsUpdate) compare(sent []PoolConfig) {
	for i := range max(len(sent), len(u.Pools)) {
		switch {
		case i >= len(u.Pools):
			u.Dropped = append(u.Dropped, i)
		case i >= len(sent) || u.Pools[i] != sent[i]:
			u.Differing = append(u.Differing, i)
		}
	}
}

// RuntimePools are the pools of the miner process.
type RuntimePools struct {
	Answer
	Pools      []Pool
	Unreadable []string
}

type runtimePools struct{ pools []reportedPool }

var runtimePoolsFields = table(
	list("POOLS", maxPools, &poolFields, func(a *runtimePools) *[]reportedPool { return &a.pools }).always(),
)

// RuntimePools reads /api/getRuntimePools: the pools in use. Innosilicon since September
// 2018.
func (c *Client) RuntimePools(ctx context.Context) (*RuntimePools, error) {
	reported, a, err := call(ctx, c, read("getRuntimePools"), nil, &runtimePoolsFields)
	if err != nil {
		return nil, err
	}
	out := &RuntimePools{Answer: a.Answer, Unreadable: a.unreadable}
	out.Pools = numberPools(reported.pools, &out.Unreadable)
	return out, nil
}
