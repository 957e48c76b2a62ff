package discovery

import (
	"context"
	"sync"
	"time"
)

// pulse detects that this process got no CPU time. On a busy host a goroutine may wait
// longer for a CPU than a connect may take. Such a timeout says nothing about the address.
type pulse struct {
	mu   sync.Mutex
	beat time.Time
	gaps [gapsKept]gap // the latest, in a ring
	next int
}

// gap is a time in which the process did not run.
type gap struct{ from, to time.Time }

const (
	beatEvery = 10 * time.Millisecond
	gapsKept  = 256
	gapFrom   = 25 * time.Millisecond // what is shorter is not kept
)

// run beats until ctx is done.
func (p *pulse) run(ctx context.Context) {
	p.note(time.Now())
	beat := time.Tick(beatEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat:
			p.note(time.Now())
		}
	}
}

func (p *pulse) note(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.beat.IsZero() && now.Sub(p.beat) >= gapFrom {
		p.gaps[p.next] = gap{p.beat, now}
		p.next = (p.next + 1) % gapsKept
	}
	p.beat = now
}

// missed returns the longest time since t in which the process did not run, a current one
// included.
func (p *pulse) missed(t, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	longest := time.Duration(0)
	count := func(g gap) {
		if g.from.Before(t) {
			g.from = t
		}
		longest = max(longest, g.to.Sub(g.from))
	}
	for _, g := range p.gaps {
		count(g)
	}
	count(gap{p.beat, now})
	return longest
}
