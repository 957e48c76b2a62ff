package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestARunnerRunsOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type leg struct {
			name string
			err  error
			idle bool // it has nothing to do
		}
		var said []string
		r := newRunner(&leg{name: "a"})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		run := func(l *leg, ctx context.Context) error {
			said = append(said, "begin "+l.name)
			defer func() { said = append(said, "end "+l.name) }()
			if l.err != nil || l.idle {
				return l.err
			}
			<-ctx.Done()
			time.Sleep(time.Second) // an end takes its time
			return nil
		}
		go func() { ended <- r.run(ctx, run) }()
		synctest.Wait()
		for _, next := range []*leg{{name: "skipped"}, {name: "b", idle: true}} {
			r.set(next) // the one before is on its way out, so only the last counts
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.set(&leg{name: "c"})
		synctest.Wait()
		if got, want := strings.Join(said, ", "), "begin a, end a, begin b, end b, begin c"; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		stop()
		if err := <-ended; err != nil || said[len(said)-1] != "end c" {
			t.Errorf("%v, %v", err, said)
		}

		broken := errors.New("broken")
		if err := newRunner(&leg{err: broken}).run(t.Context(), run); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}
