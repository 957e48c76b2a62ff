package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

func (f *inventoryFamily) addChanges(parent *kingpin.CmdClause) {
	accept := parent.Command("accept", "Take in new dragons that wait because too many were found at once.")
	all := accept.Flag("all", "All that wait.").NoEnvar().Bool()
	accepted := accept.Arg("dragon", "Address, MAC or worker.").Strings()
	f.Add(accept, func(ctx context.Context, stdout, stderr io.Writer) error {
		if (len(*accepted) > 0) == *all {
			return errors.New("name the dragons, or use --all")
		}
		names := *accepted
		if *all {
			names = []string{"all"}
		}
		count := 0
		for _, name := range names {
			addresses, err := changeInventory[[]string](ctx, f, "accept", web.Request{Dragon: name}, stderr)
			if err != nil {
				return err
			}
			count += len(addresses)
		}
		if count == 0 { // of names, each is one or an error
			_, err := fmt.Fprintln(stdout, "no dragon waits")
			return err
		}
		_, err := fmt.Fprintf(stdout, "accepted %s; they join within a minute\n", counted(count, "dragon", "dragons"))
		return err
	})

	f.addEach(parent, "forget", "forgot", "Forget dragons: out of the inventory, the series, the healer and the alerts, at once. "+
		"One that still answers comes back as a new dragon.")
	f.addEach(parent, "unretire", "unretired", "End the retirement of dragons: the healer may act on them again, and their alerts fire.")

	retire := parent.Command("retire", "Retire dragons: they stay in the inventory with their history, "+
		"the healer does not act on them, and their alerts are muted.")
	var span time.Duration
	config.Flag(retire, "for", "How long: 30d, 8760h.", &span, config.ParseInterval).NoEnvar()
	until := retire.Flag("until", "Until a day: 2027-01-31.").NoEnvar().PlaceHolder("DAY").String()
	reason := retire.Flag("reason", "Why, for others and for the audit log.").NoEnvar().Required().String()
	retired := retire.Arg("dragon", "Worker, MAC or address.").Required().Strings()
	f.Add(retire, func(ctx context.Context, stdout, stderr io.Writer) error {
		d, err := retireFor(span, *until, time.Now())
		if err != nil {
			return err
		}
		for _, name := range *retired {
			p, err := changeInventory[web.PauseAnswer](ctx, f, "retire", web.Request{Dragon: name, For: d.String(), Reason: *reason}, stderr)
			if err != nil {
				return err
			}
			fmt.Fprintf(stdout, "retired %s until %s; pause %s; end it with: inventory unretire %[1]s\n",
				cli.Plain(name, 100), f.Time(time.Now().Add(d)), cli.Plain(p.ID, 20))
		}
		return nil
	})
}

// addEach adds a command that asks for one change of each dragon.
func (f *inventoryFamily) addEach(parent *kingpin.CmdClause, verb, past, help string) {
	cmd := parent.Command(verb, help)
	names := cmd.Arg("dragon", "Worker, MAC or address.").Required().Strings()
	f.Add(cmd, func(ctx context.Context, stdout, stderr io.Writer) error {
		for _, name := range *names {
			worker, err := changeInventory[string](ctx, f, verb, web.Request{Dragon: name}, stderr)
			if err != nil {
				return err
			}
			fmt.Fprintln(stdout, past, cli.Plain(worker, 100))
		}
		return nil
	})
}

// retireFor is how long a retirement lasts.
func retireFor(d time.Duration, until string, now time.Time) (time.Duration, error) {
	if (d > 0) == (until != "") {
		return 0, errors.New("how long? use --for or --until, one of them")
	}
	if d > 0 {
		return d, nil
	}
	day, err := time.ParseInLocation("2006-01-02", until, time.Local)
	if err != nil {
		return 0, fmt.Errorf("--until: %q is not a day: want one like 2027-01-31", until)
	}
	if !day.After(now) {
		return 0, fmt.Errorf("--until: %s is over", until)
	}
	return day.Sub(now).Round(time.Second), nil
}

func changeInventory[T any](ctx context.Context, f *inventoryFamily, verb string, body web.Request, stderr io.Writer) (result T, err error) {
	instance, err := f.from.Connect(f.data)
	if err != nil {
		return result, err
	}
	body.Owner = cmp.Or(cli.UserName(), "unknown")
	result, _, err = cli.Post[T](ctx, instance, "/api/v1/inventory/"+verb, body, stderr)
	return result, cli.WithAdvice(err, "; the running instance owns the inventory")
}
