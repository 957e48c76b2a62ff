package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
	"github.com/brndnmtthws/mother-of-dragons/internal/config"
	"github.com/brndnmtthws/mother-of-dragons/internal/web"
)

func (c *call) status(ctx context.Context) error {
	s, err := cli.Get[web.HealerAnswer](ctx, c.Session, "/api/v1/healer")
	if s == nil {
		return err
	}
	return c.showStatus(c.Stdout, c.Output, s)
}

func (f *family) showStatus(w io.Writer, output *cli.Output, s *web.HealerAnswer) error {
	if s.Status == nil {
		return errors.New("unexpected answer: it has no status")
	}
	t := cli.Table{Head: []string{"WHAT", "STATUS"}, Cell: 500}
	row := func(name, format string, args ...any) { t.Add(name, fmt.Sprintf(format, args...)) }
	row("mode", "%s", s.Mode)
	for _, x := range []struct {
		is   bool
		text string
	}{
		{s.Stop, "STOP file found: nothing is sent"},
		{s.Standby, "another process owns the state: this one only observes"},
		{!s.Owner && !s.Standby, "the state is not open here: this one only observes"},
		{s.Owner && !s.Writable, "the state cannot be written: nothing is sent"},
		{s.Namesake, "another instance has the name of this one, " + cli.Plain(s.Healer, 100) + ": give each its own ha.id"},
		{s.Error != "", s.Error},
		{s.Recovered != "", s.Recovered},
		{!s.ClockTrusted, "the clock is not trusted yet: nothing is sent"},
	} {
		if x.is {
			row("warning", "%s", x.text)
		}
	}
	if s.Shared && s.Leader != nil {
		row("leader", "%s", strings.TrimSpace(cli.Plain(s.Leader.ID, 100)+" "+cli.Plain(s.Leader.URL, 200)))
	}
	row("last cycle", "%s", f.program.Time(s.LastCycle))
	var states []string
	for _, state := range healer.States {
		if n := s.Counts.States[state]; n > 0 {
			states = append(states, fmt.Sprintf("%d %s", n, explain.State(state)))
		}
	}
	row("dragons", "%s", cmp.Or(strings.Join(states, ", "), "none"))
	for _, b := range s.Budgets {
		window := "in flight"
		if b.Window > 0 {
			window = "in " + config.Span(time.Duration(b.Window))
		}
		row("budget", "%s %s: %d of %d", b.Scope, window, b.Used, b.Limit)
	}
	for _, b := range s.Breakers {
		row("breaker", "%s: %s: %s", scope(b.Name, b.Scope), b.State, b.Detail)
	}
	for i := range s.Pauses {
		row("pause", "%s", f.describe(&s.Pauses[i]))
	}
	for i := range s.Calendars {
		c := &s.Calendars[i]
		when := "not within eight days"
		if c.Next != nil {
			when = f.program.Time(*c.Next)
		}
		if c.Open {
			when = "now, then " + when
		}
		row("calendar", "%s: %s of %s, %s: %s", c.Name, c.Does, c.Scope, when, c.Reason)
	}
	for i := range s.Apart {
		d := &s.Apart[i]
		row(string(d.State), "%s %s %s", d.Worker, d.MAC, d.Note)
	}
	return output.Write(w, &t, s)
}
