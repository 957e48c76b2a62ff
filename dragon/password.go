package dragon

import (
	"context"
	"net/url"
)

// UpdatePassword sets a user's password by /api/updatePassword; current is the
// admin's. Innosilicon changes only the admin's. Tokens stay valid. The client logs
// in with the new password from then on, if it is that user's.
func (c *Client) UpdatePassword(ctx context.Context, user string, current, changed Secret) error {
	e := write("updatePassword")
	if user == "" || current == "" || changed == "" {
		return c.refuse(e, "user, current and new password must not be empty")
	}
	if !plain(string(changed)) {
		return c.refuse(e, "the new password has spaces, control or non-ASCII characters")
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout(&c.opts))
	defer cancel()
	if err := c.take(ctx, e); err != nil {
		return err
	}
	defer c.give()
	form := url.Values{"user": {user}, "currentPassword": {string(current)}, "newPassword": {string(changed)}}
	_, err := c.authorized(ctx, e, form, func(a *answer) error {
		r, syntax := readAnswer(a.Raw, &noFields, new(nothing))
		return judge(e, r, nil, syntax)
	})
	if err != nil {
		return err
	}
	if user == c.session.worked.Username {
		c.session.worked.Password, c.session.changed = changed, true
	}
	return nil
}
