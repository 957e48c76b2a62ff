package dragon

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
	"github.com/brndnmtthws/mother-of-dragons/internal/passwords"
)

func (f *family) addAdopt() {
	var yes bool
	var reason string
	f.add("adopt", "Let new dragons in that refuse our credentials: try the factory passwords once, change them to the password that the configuration "+
		"has for the dragon, or else to a random one, and tell the running instance.", func(cmd *kingpin.CmdClause) {
		cmd.Flag("reason", "Why, for others and for the audit log.").NoEnvar().StringVar(&reason)
		cmd.Flag("yes", "Do not ask for confirmation.").NoEnvar().BoolVar(&yes)
	}, func(ctx context.Context, b *batch) error {
		if f.passwordFile == "" && !f.ask {
			b.client.Credentials, b.client.CredentialsFor = factoryPasswords(), nil
		}
		question := "log in with the factory password, and change it, on "
		return b.changePasswords(ctx, question, yes, func(ctx context.Context, t *target, store *passwords.Store) (any, error) {
			if err := t.identify(ctx); err != nil {
				return nil, err
			}
			r := &rotation{store: store, given: t.farmPassword()}
			result, sent, err := r.rotate(ctx, t)
			if sent {
				t.record(ctx, "password", note(reason, "adopted: "+result, err))
			}
			if err == nil {
				result += "; " + t.join(ctx)
			}
			return result, err
		})
	})
}

// farmPassword is the password that the configuration has for the identified dragon, empty if
// none but a factory password.
func (t *target) farmPassword() dragon.Secret {
	for _, c := range t.config.Credentials.For(t.Address, &fleet.Info{MAC: t.MAC, Model: t.overview.Model}) {
		if c.Username == passwordUser && !slices.ContainsFunc(factoryPasswords(), func(f dragon.Credential) bool { return f.Password == c.Password }) {
			return c.Password
		}
	}
	return ""
}

// join has the running instance look at the dragon, and says what came of it.
func (t *target) join(ctx context.Context) string {
	var answer struct{ Result bool }
	err := cli.Connect("", t.config.DataDir).Call(ctx, http.MethodPost, "/api/v1/inventory/look",
		map[string]string{"dragon": t.Address, "owner": cli.UserName()}, &answer)
	switch {
	case errors.Is(err, cli.ErrNoInstance):
		return "it joins when the instance runs"
	case err != nil:
		t.warn("%s: the instance did not look at it: %v", t.Name, err)
		return "it joins at the next scan"
	case !answer.Result:
		return "it is in no network of the instance"
	}
	return "joined"
}
