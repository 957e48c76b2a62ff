package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

const (
	timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

	// A reading that takes longer than this frees its worker and continues without one, so
	// dragons that hang do not delay the others. Waiting costs a goroutine, not work.
	patience = 250 * time.Millisecond
)

// scrapeContext ends when the client leaves and, if Prometheus said how long it waits,
// offset earlier than that.
func scrapeContext(r *http.Request, offset time.Duration) (context.Context, context.CancelFunc) {
	timeout, ok := scrapeTimeout(r.Header.Get(timeoutHeader), offset)
	if !ok {
		return context.WithCancel(r.Context())
	}
	return context.WithTimeout(r.Context(), timeout)
}

// scrapeTimeout is the header's seconds less offset. An invalid header sets no timeout.
func scrapeTimeout(header string, offset time.Duration) (time.Duration, bool) {
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || !(seconds > 0 && seconds <= time.Hour.Seconds()) {
		return 0, false
	}
	timeout := time.Duration(seconds * float64(time.Second))
	if timeout > 2*offset {
		return timeout - offset, true
	}
	return timeout / 2, true // better half of a very short time than none
}

// scrape reads all dragons concurrently until ctx ends. The samples are in the fleet's
// order, one for each dragon.
func (c *Collector) scrape(ctx context.Context) []*sample {
	dragons := c.Fleet.Dragons()
	faces := c.labelCachesOf(dragons)
	samples := make([]*sample, len(dragons))
	workers := make(chan struct{}, cmp.Or(c.limits.Load().Workers, len(dragons)))
	var reading sync.WaitGroup
	for i, d := range dragons {
		select {
		case workers <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				d.SkippedForBudget()
			}
			samples[i] = newSample(d.Info(), d.Health(), faces[i], nil, fmt.Errorf("not asked, the scrape's time is spent: %w", ctx.Err()), 0)
			continue
		}
		reading.Go(func() {
			back := sync.OnceFunc(func() { <-workers })
			defer back()
			defer time.AfterFunc(patience, back).Stop()
			s := c.read(ctx, d, faces[i])
			if s.reading != nil { // the answers of all would fill the memory until the page is written
				s.reading = s.reading.WithoutAnswer()
			}
			samples[i] = s
		})
	}
	reading.Wait()
	return unique(samples)
}

// read reads one dragon. A panic makes only this reading fail.
func (c *Collector) read(ctx context.Context, d *fleet.Dragon, f *labelCache) (s *sample) {
	start := time.Now()
	defer func() {
		if v := recover(); v != nil {
			c.panicked(d.Info().Worker, v)
			s = newSample(d.Info(), d.Health(), newLabelCache(c.sharedLabels), nil, fmt.Errorf("panic: %v", v), time.Since(start))
		}
	}()
	r, err := d.Read(ctx, 0)
	s = newSample(d.Info(), d.Health(), f, r, err, time.Since(start))
	s.configuredPower = c.Power
	return s
}

func (c *Collector) panicked(worker string, v any) {
	c.own.errors.WithLabelValues("panic").Inc()
	level.Error(c.Logger).Log("msg", "panic in a dragon's answer", "advice", "please report it", "worker", clean(worker), "err", fmt.Sprint(v), "stack",
		string(debug.Stack()))
}

// unique drops samples with a worker that occurred before.
func unique(samples []*sample) []*sample {
	seen := make(map[string]bool, len(samples))
	kept := samples[:0]
	for _, s := range samples {
		if w := s.worker.GetValue(); !seen[w] {
			seen[w] = true
			kept = append(kept, s)
		}
	}
	return kept
}

func (c *Collector) labelCachesOf(dragons []*fleet.Dragon) []*labelCache {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*labelCache, len(dragons))
	for i, d := range dragons {
		f, ok := c.labelCaches[d]
		if !ok {
			f = newLabelCache(c.sharedLabels)
			c.labelCaches[d] = f
		}
		all[i] = f
	}
	if known := c.Fleet.Dragons(); len(c.labelCaches) > len(known)+len(dragons) {
		c.forget(known)
	}
	return all
}

// forget drops the label caches of dragons that have left the fleet.
func (c *Collector) forget(known []*fleet.Dragon) {
	kept := make(map[*fleet.Dragon]*labelCache, len(known))
	for _, d := range known {
		if f, ok := c.labelCaches[d]; ok {
			kept[d] = f
		}
	}
	c.labelCaches = kept
}
