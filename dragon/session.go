package dragon

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// session is the login of a client. A token is good for six hours or until the
// device reboots; its clock may be wrong, so that only the device's "expired" tells.
type session struct {
	worked  Credential // that was accepted last
	changed bool       // UpdatePassword set it, and the configuration may not have it yet
	token   Secret

	// foreign: something answered that is not the API. The address may have changed
	// hands, so the device has to identify itself before it gets the token.
	foreign bool

	// No login follows a refused one for a while: one at every scrape would be a storm.
	refused      error
	refusedUntil time.Time
	tried        []Credential // and refused

	loggedInAt time.Time
	shortLived int // logins in a row whose token expired within shortLife()
}

// shortLife is less than any token of a dragon in order lives: a minute, and less where a
// simulation makes LoginRetry shorter.
func (c *Client) shortLife() time.Duration { return c.opts.LoginRetry / 15 }

var errExpired = errors.New("token expired")

type noLoginKey struct{}

// WithoutLogin returns a context whose calls use the token that there is, or fail with
// ErrUnauthorized: no new login is made. Each dragon knows only the tokens that it gave
// itself since it booted (vendor backend source), so what is sent this way reaches
// the dragon that answered last, or none, also if the address has changed hands since.
func WithoutLogin(ctx context.Context) context.Context {
	return context.WithValue(ctx, noLoginKey{}, true)
}

var errNoLogin = errors.New("not logged in, and no login wanted")

// authorized makes a request as a logged-in user.
func (c *Client) authorized(ctx context.Context, e endpoint, form url.Values, understand func(*answer) error) (answer, error) {
	var a answer
	err := c.withToken(ctx, func(token Secret, _ bool) (err error) {
		a, err = c.exchange(ctx, e, form, token, understand)
		return err
	})
	return a, err
}

// withToken lets try make a request with a token, and once more with a new one if
// the first had expired: the device looks at the token before it does anything, so
// that this is safe for writes too.
func (c *Client) withToken(ctx context.Context, try func(token Secret, isNew bool) error) error {
	isNew, err := c.login(ctx, false)
	if err != nil {
		return err
	}
	err = try(c.session.token, isNew)
	if errors.Is(err, errExpired) {
		c.tokenExpired(err)
		if isNew {
			return err
		}
		if isNew, err = c.login(ctx, true); err != nil { // only a dragon says "expired"
			return err
		}
		if err = try(c.session.token, isNew); errors.Is(err, errExpired) {
			c.tokenExpired(err)
			return err
		}
	}
	if err == nil && time.Since(c.session.loggedInAt) >= c.shortLife() {
		c.session.shortLived = 0
	}
	return err
}

// tokenExpired drops the token. Where it was short-lived, as those before it, logins rest
// for longer and longer: each takes a dragon some work, and such a dragon calls every
// token expired. The first may be a race on the device, which makes its key at the first
// login after boot.
func (c *Client) tokenExpired(err error) {
	s := &c.session
	s.token = ""
	if time.Since(s.loggedInAt) >= c.shortLife() {
		s.shortLived = 0
		return
	}
	s.shortLived++
	switch s.shortLived {
	case 1:
	case 2:
		c.rememberRefusal(err, c.opts.LoginRetry/15)
	case 3:
		c.rememberRefusal(err, c.opts.LoginRetry/3)
	default:
		c.rememberRefusal(err, c.opts.LoginRetry)
	}
}

// rememberRefusal keeps a failed login as the answer for some time.
func (c *Client) rememberRefusal(err error, wait time.Duration) {
	c.session.refused, c.session.refusedUntil = err, time.Now().Add(wait)
}

var authEndpoint = read("auth")

// login makes sure that there is a token, and reports whether it is new. The
// credential that worked last is tried first.
//
// An address may have changed hands since it was asked last, so no credential is sent
// before the API has refused to answer without one. That costs a request where there
// was not a token. proven says that the API has just spoken.
func (c *Client) login(ctx context.Context, proven bool) (renewed bool, err error) {
	s := &c.session
	var credentials []Credential
	if s.token == "" {
		credentials = c.credentials()
		if err := c.mayLogIn(ctx, credentials); err != nil {
			return false, err
		}
	}
	if !proven && (s.token == "" || s.foreign) {
		if err := c.refusal(ctx); err != nil {
			return false, err
		}
	}
	if s.token != "" {
		return false, nil
	}
	s.refused, s.tried = nil, credentials
	for _, credential := range credentials {
		token, err := c.authenticate(ctx, credential)
		if err == nil {
			s.changed = s.changed && credential == s.worked
			s.worked, s.token, s.loggedInAt = credential, token, time.Now()
			c.loggedIn(issuer(token))
			return true, nil
		}
		s.refused = err
		if errors.Is(err, ErrNotDragon) || errors.Is(err, ErrLockedOut) || errors.Is(err, ErrPasswordChange) {
			break
		}
		if !errors.Is(err, ErrUnauthorized) {
			s.refused = nil
			return false, err
		}
	}
	c.rememberRefusal(s.refused, c.opts.LoginRetry)
	return false, s.refused
}

// LoggedInAs returns the credential that the dragon has accepted, after a login where
// there has been none.
func (c *Client) LoggedInAs(ctx context.Context) (Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, ordinary(&c.opts))
	defer cancel()
	if err := c.take(ctx, authEndpoint); err != nil {
		return Credential{}, err
	}
	defer c.give()
	_, err := c.login(ctx, false)
	return c.session.worked, err
}

// credentials returns what a login may be tried with, that which worked last first.
func (c *Client) credentials() []Credential {
	list := c.opts.Credentials
	if c.opts.CredentialsFor != nil {
		list = c.opts.CredentialsFor(c.host)
		if len(list) == 0 {
			list = DefaultCredentials()
		}
	}
	worked := c.session.worked
	switch first := slices.Index(list, worked); {
	case first > 0:
		return append([]Credential{worked}, slices.Delete(slices.Clone(list), first, first+1)...)
	case first < 0 && c.session.changed:
		return append([]Credential{worked}, list...)
	}
	return list
}

// mayLogIn finds out whether a login may be tried now: with other credentials than
// those that were refused at once.
func (c *Client) mayLogIn(ctx context.Context, credentials []Credential) error {
	e := &Error{Host: c.host, Endpoint: authEndpoint.path, Kind: ErrUnauthorized}
	s := &c.session
	wait := time.Until(s.refusedUntil)
	switch {
	case ctx.Value(noLoginKey{}) != nil:
		e.Err = errNoLogin
		return e
	case s.refused == nil || wait <= 0 || !slices.Equal(s.tried, credentials):
		return nil
	case errors.Is(s.refused, ErrNotDragon):
		e.Kind = ErrNotDragon
	}
	e.Err = fmt.Errorf("a login failed, the next is tried in %s", wait.Round(time.Second))
	for _, cause := range []error{ErrLockedOut, ErrPasswordChange} {
		if errors.Is(s.refused, cause) {
			e.Err = fmt.Errorf("%w, the next login is tried in %s", cause, wait.Round(time.Second))
		}
	}
	return e
}

type login struct {
	jwt        string
	needChange bool // a login with the delivered password: it is to be changed first
}

// A recorded token has 190 bytes.
var loginFields = table(own("jwt", func(r *reader, l *login) (ok bool) {
	l.jwt, ok = r.text(4 << 10)
	return ok
}), own("needChange", func(r *reader, l *login) (ok bool) {
	l.needChange, ok = r.flag()
	return ok
}))

// lockedOut reports whether a refusal speaks of a lock rather than of the password. How
// firmware words it is not known; those of 2018 know no lock-out.
func lockedOut(message string) bool {
	message = strings.ToLower(message)
	return slices.ContainsFunc([]string{"lock", "too many", "try again", "blocked"}, func(word string) bool { return strings.Contains(message, word) })
}

// authenticate sends one credential. What answers with a page is ErrNotDragon. It goes without Authorization: the device looks
// at an old token even here, and calls the login expired.
func (c *Client) authenticate(ctx context.Context, credential Credential) (Secret, error) {
	form := url.Values{"username": {credential.Username}, "password": {string(credential.Password)}}
	var l login
	_, err := c.exchange(ctx, authEndpoint, form, "", func(a *answer) error {
		l = login{}
		r, err := readAnswer(a.Raw, &loginFields, &l)
		switch {
		case err != nil:
			return &Error{Kind: ErrBadResponse, Expected: "a JSON object with jwt", Err: err}
		case r.reply.success && l.jwt != "" && plain(l.jwt): // it goes into a header
			return nil
		case r.reply.said && !r.reply.success && lockedOut(r.reply.message):
			return &Error{Kind: ErrUnauthorized, Err: ErrLockedOut, Expected: "user " + credential.Username + " to be accepted"}
		case r.reply.said && !r.reply.success:
			return &Error{Kind: ErrUnauthorized, Expected: "user " + credential.Username + " to be accepted"}
		case l.needChange && l.jwt == "":
			return &Error{Kind: ErrUnauthorized, Err: ErrPasswordChange, Expected: "a token for user " + credential.Username}
		}
		return &Error{Kind: ErrBadResponse, Expected: "a JSON object with jwt"}
	})
	if e, ok := errors.AsType[*Error](err); ok && c.session.foreign && (errors.Is(e, ErrBadResponse) || errors.Is(e, ErrUnauthorized)) {
		e.Kind = ErrNotDragon
	}
	return Secret(l.jwt), err
}

type claims struct{ issuer string }

var claimsFields = table(text("iss", func(c *claims) *string { return &c.issuer }))

// issuer returns who made a token, empty if it does not say. The signature is the
// device's own business.
func issuer(token Secret) string {
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 {
		return ""
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return ""
	}
	var c claims
	if _, err := readAnswer(body, &claimsFields, &c); err != nil {
		return ""
	}
	return c.issuer
}
