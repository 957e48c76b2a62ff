package dragon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

// factoryPasswords are all passwords that dragons are delivered with, also with old firmware.
func factoryPasswords() []dragon.Credential {
	return append(dragon.DefaultCredentials(), dragon.Credential{Username: "admin", Password: "innoadmin"})
}

// rotation changes the passwords of dragons.
type rotation struct {
	store   *passwords.Store
	given   dragon.Secret // for all dragons; empty: each gets a random one
	factory bool          // only dragons with a factory password

	step func(string) error // for tests: called between the steps; an error stops the rotation like a kill
}

func (f *family) addPassword() {
	var allDefault, yes bool
	var file, reason string
	f.addSelecting("password", "Change the password of admin. The new one is random, or read from a file. It is saved in passwords.yml in the data "+
		"directory before it is sent, "+
		"and the old one is removed only after a login with the new one. After an interruption run the command again.", func(cmd *kingpin.CmdClause) {
		cmd.Flag("all-default", "All dragons of the inventory that still have a factory password.").NoEnvar().BoolVar(&allDefault)
		cmd.Flag("new-password-file", "File with the new password in its only line, for all of them.").NoEnvar().PlaceHolder("FILE").StringVar(&file)
		cmd.Flag("reason", "Why, for others and for the audit log.").NoEnvar().StringVar(&reason)
		cmd.Flag("yes", "Do not ask for confirmation.").NoEnvar().BoolVar(&yes)
	}, func() bool { return allDefault }, func(ctx context.Context, b *batch) error {
		var given dragon.Secret
		if file != "" {
			var err error
			if given, err = readPassword(file); err != nil {
				return err
			}
		}
		question := "change the password of "
		if allDefault {
			question = "change the factory password of "
		}
		return b.changePasswords(ctx, question, yes, func(ctx context.Context, t *target, store *passwords.Store) (any, error) {
			r := &rotation{store: store, given: given, factory: allDefault}
			result, sent, err := r.rotate(ctx, t)
			if sent {
				t.record(ctx, "password", note(reason, result, err))
			}
			return result, err
		})
	})
}

// changePasswords opens the store of passwords, asks, and changes the password of each dragon.
func (b *batch) changePasswords(ctx context.Context, question string, yes bool, change func(context.Context, *target, *passwords.Store) (any, error)) error {
	store, err := passwords.Open(b.config.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no data directory %s to save the new passwords in; name it with --data-dir or --config.file", b.verb, b.config.DataDir)
	} else if err != nil {
		return fmt.Errorf("%s: the new passwords cannot be saved, so nothing is sent: %w", b.verb, err)
	}
	defer func() { _ = store.Close() }()
	if !yes {
		if err := cli.Agree(ctx, b.stderr, question+b.who(), b.verb+": confirm it with --yes"); err != nil {
			return err
		}
	}
	outcomes := b.each(ctx, func(ctx context.Context, t *target) (any, error) { return change(ctx, t, store) })
	return b.show(outcomes, []string{"RESULT"}, func(result any) [][]string { return one(result.(string)) })
}

// passwordUser is the user whose password every firmware can change.
const passwordUser = "admin"

// rotate gives one dragon a new password. sent reports whether the dragon was sent one.
func (r *rotation) rotate(ctx context.Context, t *target) (result string, sent bool, err error) {
	if err := t.identify(ctx); err != nil {
		return "", false, err
	}
	if !dragon.UsableMAC(t.MAC) {
		return "", false, errors.New("it has no usable MAC to save its password under")
	}
	now, err := t.LoggedInAs(ctx)
	if err != nil {
		return "", false, err
	}
	if now.Username != passwordUser {
		return "", false, fmt.Errorf("logged in as %s, but only %s can change passwords", now.Username, passwordUser)
	}
	next, pending := r.store.Pending(t.MAC)
	if pending && next == now.Password { // an earlier run was interrupted after sending it
		return "interrupted change completed and verified", true, r.confirm(t)
	}
	if r.factory && !slices.Contains(factoryPasswords(), now) {
		return "has a password of its own", false, nil
	}
	switch {
	case r.given != "":
		next = r.given
	case !pending:
		next = dragon.Secret(rand.Text())
	}
	if slices.ContainsFunc(factoryPasswords(), func(c dragon.Credential) bool { return c.Password == next }) {
		return "", false, errors.New("the new password is a factory password")
	}
	if next == now.Password {
		return "has this password", false, nil
	}
	sent, err = r.send(ctx, t, now.Password, next)
	if err == nil {
		result = "changed and verified"
	}
	return result, sent, err
}

// send saves the new password, sends it and verifies by logins which one the dragon has.
func (r *rotation) send(ctx context.Context, t *target, old, next dragon.Secret) (sent bool, err error) {
	if err := r.at("begin"); err != nil {
		return false, err
	}
	if err := r.store.Begin(t.MAC, t.Address, passwordUser, next); err != nil {
		return false, fmt.Errorf("nothing was sent: %w", err)
	}
	if err := r.at("send"); err != nil {
		return false, err
	}
	// Without a new login it can only reach the dragon that has just identified itself.
	sendErr := t.UpdatePassword(dragon.WithoutLogin(ctx), passwordUser, old, next)
	if err := r.at("verify"); err != nil {
		return true, err
	}
	switch err := t.login(ctx, next); {
	case err == nil:
		return true, r.confirm(t)
	case !errors.Is(err, dragon.ErrUnauthorized):
		return true, fmt.Errorf("it is unknown whether the password was changed; both are saved, run this again: %w", errors.Join(sendErr, err))
	}
	if err := t.login(ctx, old); err != nil {
		return true, fmt.Errorf("neither the old nor the new password works; both are saved: %w", errors.Join(sendErr, err))
	}
	if sendErr == nil {
		sendErr = errors.New("the dragon reports success but keeps its old password")
	}
	return true, errors.Join(sendErr, r.store.Refuse(t.MAC))
}

func (r *rotation) confirm(t *target) error {
	if err := r.at("confirm"); err != nil {
		return err
	}
	return r.store.Confirm(t.MAC)
}

func (r *rotation) at(step string) error {
	if r.step == nil {
		return nil
	}
	return r.step(step)
}

// login tries a password on the dragon with a session of its own.
func (t *target) login(ctx context.Context, password dragon.Secret) error {
	o := t.client
	o.Credentials, o.CredentialsFor = []dragon.Credential{{Username: passwordUser, Password: password}}, nil
	overview, err := dragon.New(t.Address, o).Overview(ctx)
	if err == nil && overview.MAC != t.MAC {
		err = fmt.Errorf("%s answers at %s, expected %s", overview.MAC, t.Address, t.MAC)
	}
	return err
}
