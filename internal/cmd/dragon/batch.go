package dragon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/internal/cmd/cli"
)

type target struct {
	*batch
	host
	*dragon.Client
	overview *dragon.Overview // in which the dragon identified itself
	progress func(sent int64) // of an upload
}

type outcome struct {
	Dragon  string `json:"dragon"`
	Address string `json:"address"`
	MAC     string `json:"mac,omitempty"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
	Result  any    `json:"result,omitempty"`
	result  any    // as do returned it
}

// each calls do for every dragon, some at the same time. A dragon that was named by worker
// or MAC must identify itself as that dragon.
func (b *batch) each(ctx context.Context, do func(context.Context, *target) (any, error)) []outcome {
	outcomes := make([]outcome, len(b.hosts))
	var group errgroup.Group
	group.SetLimit(b.parallel)
	bar := b.progress()
	for i, h := range b.hosts {
		group.Go(func() error {
			t := &target{batch: b, host: h, Client: dragon.New(h.Address, b.client), progress: func(sent int64) { bar(i, sent, false) }}
			result, err := t.run(ctx, do)
			o := outcome{Dragon: h.Name, Address: h.Address, MAC: t.MAC, OK: err == nil, result: result}
			if err != nil {
				o.Error = cli.Plain(describe(ctx, err), 1000)
			} else {
				o.Result = jsonOf(result)
			}
			outcomes[i] = o
			if b.streams && !o.OK {
				b.mu.Lock()
				fmt.Fprintf(b.stderr, "%s: %s\n", o.Dragon, o.Error)
				b.mu.Unlock()
			}
			bar(i, 0, true)
			return nil
		})
	}
	_ = group.Wait() // no error is returned above
	return outcomes
}

// progress returns a function that draws the progress of the batch: in bytes for an upload,
// else in dragons. It takes the index of a dragon, the bytes sent to it, and whether it is done.
func (b *batch) progress() func(i int, sent int64, done bool) {
	n := int64(len(b.hosts))
	draw, unit := cli.DrawBar[int64](b.stderr, b.verb, progressbar.OptionShowCount()), int64(1)
	switch {
	case b.size > 0:
		draw, unit = cli.DrawBar[int64](b.stderr, b.verb), b.size
	case n == 1 || b.streams:
		draw = nil
	}
	if draw == nil {
		return func(int, int64, bool) {}
	}
	each, total := make([]int64, n), int64(0)
	return func(i int, sent int64, done bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if done {
			sent = unit
		}
		total += sent - each[i]
		each[i] = sent
		draw(total, n*unit)
	}
}

func describe(ctx context.Context, err error) string {
	if e, ok := errors.AsType[*dragon.Error](err); ok && errors.Is(err, dragon.ErrNotOffered) {
		return fmt.Sprintf("%s: %v", e.Endpoint, dragon.ErrNotOffered)
	}
	if ctx.Err() != nil { // by Ctrl-C
		return strings.ReplaceAll(err.Error(), context.Canceled.Error(), "interrupted")
	}
	return err.Error()
}

func (t *target) run(ctx context.Context, do func(context.Context, *target) (any, error)) (any, error) {
	if ctx.Err() != nil {
		return nil, errors.New("not asked: interrupted")
	}
	if t.MAC != "" {
		if err := t.identify(ctx); err != nil {
			return nil, err
		}
	}
	return do(ctx, t)
}

// identify reads who the dragon is, and fails if another one was named.
func (t *target) identify(ctx context.Context) error {
	if t.overview != nil {
		return nil
	}
	o, err := t.Overview(ctx)
	switch {
	case err != nil:
		return err
	case t.MAC != "" && o.MAC != t.MAC:
		return fmt.Errorf("%s answers at %s, expected %s; scan again, or use the address", cmp.Or(o.MAC, "a dragon without a MAC"), t.Address, t.MAC)
	}
	t.overview, t.MAC = o, o.MAC
	return nil
}

// show prints the outcomes: a table of the dragons that answered, then the errors of the
// others; or JSON. Its error says how many failed.
func (b *batch) show(outcomes []outcome, head []string, rows func(any) [][]string) error {
	table := cli.Table{Head: append([]string{"DRAGON"}, head...)}
	failed := 0
	for _, o := range outcomes {
		if !o.OK {
			failed++
			continue
		}
		for _, row := range rows(o.result) {
			table.Add(append([]string{o.Dragon}, row...)...)
		}
	}
	if failed < len(outcomes) || b.output.JSON() {
		if err := b.output.Write(b.stdout, &table, outcomes); err != nil {
			return err
		}
	}
	if !b.output.JSON() && !b.streams {
		for _, o := range outcomes {
			if !o.OK {
				fmt.Fprintf(b.stderr, "%s: %s\n", o.Dragon, o.Error)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d of %d failed", b.verb, failed, len(outcomes))
	}
	return nil
}
