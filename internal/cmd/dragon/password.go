package dragon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

// factoryPasswords are all that dragons have been delivered with, also by old firmware.
func factoryPasswords() []dragon.Credential {
	return append(dragon.DefaultCredentials(), dragon.Credential{Username: "admin", Password: "innoadmin"})
}

// renewal gives dragons passwords of their own.
type renewal struct {
	store   *passwords.Store
	given   dragon.Secret // to all of them; empty: one is made for each
	factory bool          // only to those that have a factory's

	step func(string) error // called between the steps; an error ends it as a kill would
}

func (d *dragonCommand) addPassword() {
	var allDefault, yes bool
	var file, reason string
	d.addSelecting("password", "Change the password of admin. The new one, made for each dragon or read from a file, is in passwords.yml in the data directory before it is sent, and the old one forgotten only when a login has proven it. What was broken off is taken up by doing it again.", func(cmd *kingpin.CmdClause) {
		cmd.Flag("all-default", "All dragons of the inventory that still have a password that dragons are delivered with.").NoEnvar().BoolVar(&allDefault)
		cmd.Flag("new-password-file", "File with the new password in its only line, for all of them.").NoEnvar().PlaceHolder("FILE").StringVar(&file)
		cmd.Flag("reason", "Why, for the others and for the audit.").NoEnvar().StringVar(&reason)
		cmd.Flag("yes", "Do not ask.").NoEnvar().BoolVar(&yes)
	}, func() bool { return allDefault }, func(ctx context.Context, r *round) error {
		w := &renewal{factory: allDefault}
		var err error
		if file != "" {
			if w.given, err = readPassword(file); err != nil {
				return err
			}
		}
		if !yes {
			question := "change the password of "
			if allDefault {
				question = "change the password, where it is a factory's, of "
			}
			if err := cli.Agree(ctx, r.stderr, question+r.who(), "password: say --yes"); err != nil {
				return err
			}
		}
		if w.store, err = passwords.Open(r.config.DataDir); err != nil {
			return fmt.Errorf("nothing is sent without a place to keep the new passwords: %w", err)
		}
		defer func() { _ = w.store.Close() }()
		outcomes := r.visitAll(ctx, func(ctx context.Context, v *visit) (any, error) {
			said, sent, err := w.renew(ctx, v)
			if sent {
				note := said
				if err != nil {
					note = err.Error()
				}
				if reason != "" {
					note = reason + ": " + note
				}
				v.record(ctx, "password", note)
			}
			return said, err
		})
		return r.show(outcomes, "RESULT", func(result any) []string { return []string{cli.Row(result.(string))} })
	})
}

const passwordUser = "admin" // the one whose password every firmware lets change

// renew gives one dragon a new password. sent says that the dragon was asked for it.
func (w *renewal) renew(ctx context.Context, v *visit) (said string, sent bool, err error) {
	if err := v.itself(ctx); err != nil {
		return "", false, err
	}
	if !dragon.UsableMAC(v.MAC) {
		return "", false, errors.New("it has no MAC of its own, by which its password could be kept")
	}
	now, err := v.LoggedInAs(ctx)
	if err != nil {
		return "", false, err
	}
	if now.Username != passwordUser {
		return "", false, fmt.Errorf("the login is %s, and only %s may change passwords", now.Username, passwordUser)
	}
	next, begun := w.store.Pending(v.MAC)
	if begun && next == now.Password { // it was sent, and nobody lived to see it
		return "the change that was broken off is done, and verified", true, w.confirm(v)
	}
	if w.factory && !slices.Contains(factoryPasswords(), now) {
		return "has a password of its own", false, nil
	}
	switch {
	case w.given != "":
		next = w.given
	case !begun:
		next = dragon.Secret(rand.Text())
	}
	if slices.ContainsFunc(factoryPasswords(), func(c dragon.Credential) bool { return c.Password == next }) {
		return "", false, errors.New("the new password is one that dragons are delivered with")
	}
	if next == now.Password {
		return "has this password", false, nil
	}
	if err := w.at("begin"); err != nil {
		return "", false, err
	}
	if err := w.store.Begin(v.MAC, v.Address, passwordUser, next); err != nil {
		return "", false, fmt.Errorf("nothing was sent: %w", err)
	}
	if err := w.at("send"); err != nil {
		return "", false, err
	}
	// What is sent goes to who has just said who it is, or to nobody.
	sendErr := v.UpdatePassword(dragon.WithoutLogin(ctx), passwordUser, now.Password, next)
	if err := w.at("verify"); err != nil {
		return "", true, err
	}
	// Whatever the dragon says, only a login proves which password it has.
	switch err := v.opens(ctx, next); {
	case err == nil:
		return "changed and verified", true, w.confirm(v)
	case !errors.Is(err, dragon.ErrUnauthorized):
		return "", true, fmt.Errorf("it is not known whether the password was changed; both are kept, do it again: %w", errors.Join(sendErr, err))
	}
	if err := v.opens(ctx, now.Password); err != nil {
		return "", true, fmt.Errorf("neither the old password nor the new one opens it; both are kept: %w", errors.Join(sendErr, err))
	}
	if sendErr == nil {
		sendErr = errors.New("the dragon says success and keeps its old password")
	}
	return "", true, errors.Join(sendErr, w.store.Refuse(v.MAC))
}

func (w *renewal) confirm(v *visit) error {
	if err := w.at("confirm"); err != nil {
		return err
	}
	return w.store.Confirm(v.MAC)
}

func (w *renewal) at(step string) error {
	if w.step == nil {
		return nil
	}
	return w.step(step)
}

// opens tries a password by a login of its own, at the dragon that was meant.
func (v *visit) opens(ctx context.Context, password dragon.Secret) error {
	o := v.client
	o.Credentials, o.CredentialsFor = []dragon.Credential{{Username: passwordUser, Password: password}}, nil
	overview, err := dragon.New(v.Address, o).Overview(ctx)
	if err == nil && overview.MAC != v.MAC {
		err = fmt.Errorf("%s answers at %s, expected %s", overview.MAC, v.Address, v.MAC)
	}
	return err
}
