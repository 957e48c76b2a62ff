package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
)

// Webhook is where events are sent.
type Webhook struct {
	Name        string
	URL         string // secret: it may contain a token
	Secret      string // signs the messages; empty: they are not signed
	Kinds       []Kind
	Text        string    // of Template; empty: JSON
	Template    *Template // nil: JSON
	ContentType string
	Timeout     time.Duration // of one attempt
}

// Config is what a Notifier needs.
type Config struct {
	Webhooks   []Webhook
	Instance   string // names this one in messages
	Logger     log.Logger
	Registerer prometheus.Registerer // may be nil
}

const (
	queued     = 1000            // events that wait for one webhook; more are dropped
	collecting = 3 * time.Second // in which more events join a message
	firstRetry = time.Second     // doubled with each attempt
	lastRetry  = time.Minute
	patience   = 30 * time.Minute // then a message is given up
)

// The values of mother_notifications_total's result.
const (
	resultSent    = "sent"
	resultRetried = "retried" // an attempt that failed, and is repeated
	resultFailed  = "failed"
	resultDropped = "dropped" // the queue was full
)

// Notifier sends events to webhooks. Add may be called from any goroutine and never waits.
type Notifier struct {
	config Config
	total  *prometheus.CounterVec
	client *http.Client
	hooks  []*hook
}

type hook struct {
	Webhook
	events  chan Event
	dropped atomic.Uint64 // since the last message
	full    atomic.Bool   // that it was said
	message *Message      // that is being sent; it survives a reload
}

// New makes a Notifier. It sends nothing before Run.
func New(c Config) (*Notifier, error) {
	n := &Notifier{
		config: c,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mother_notifications_total",
			Help: "Events for a webhook by result: sent; retried (an attempt failed and is repeated); failed (given up); dropped (too many waited).",
		}, []string{"webhook", "result"}),
		client: &http.Client{
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
			// What is signed for one address is not sent to another.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if c.Registerer != nil {
		if err := c.Registerer.Register(n.total); err != nil {
			return nil, err
		}
	}
	return n.With(c.Webhooks), nil
}

// With is a Notifier for other webhooks. Those that stay keep what waits for them.
func (n *Notifier) With(webhooks []Webhook) *Notifier {
	next := *n
	next.config.Webhooks, next.hooks = webhooks, nil
	for _, w := range webhooks {
		i := slices.IndexFunc(n.hooks, func(h *hook) bool { return reflect.DeepEqual(sameAs(h.Webhook), sameAs(w)) })
		if i >= 0 {
			next.hooks = append(next.hooks, n.hooks[i])
			continue
		}
		next.hooks = append(next.hooks, &hook{Webhook: w, events: make(chan Event, queued)})
		for _, result := range []string{resultSent, resultRetried, resultFailed, resultDropped} {
			n.total.WithLabelValues(w.Name, result)
		}
	}
	for _, h := range n.hooks {
		if !slices.ContainsFunc(webhooks, func(w Webhook) bool { return w.Name == h.Name }) {
			n.total.DeletePartialMatch(prometheus.Labels{"webhook": h.Name})
		}
	}
	return &next
}

// SendsTo reports whether these are the webhooks of the Notifier.
func (n *Notifier) SendsTo(webhooks []Webhook) bool {
	return slices.EqualFunc(n.config.Webhooks, webhooks, func(a, b Webhook) bool { return reflect.DeepEqual(sameAs(a), sameAs(b)) })
}

// sameAs is a webhook without what is made of its other fields.
func sameAs(w Webhook) Webhook {
	w.Template = nil
	return w
}

// Add queues an event for the webhooks that want its kind. It drops what finds no place.
func (n *Notifier) Add(e Event) {
	for _, h := range n.hooks {
		if !slices.Contains(h.Kinds, e.Kind) {
			continue
		}
		select {
		case h.events <- e:
		default:
			h.dropped.Add(1)
			n.total.WithLabelValues(h.Name, resultDropped).Inc()
			if !h.full.Swap(true) {
				level.Warn(n.config.Logger).Log("msg", "notifications dropped, queue full", "webhook", h.Name, "queued", queued)
			}
		}
	}
}

// Run sends until ctx is done. What waits then is not sent.
func (n *Notifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, h := range n.hooks {
		wg.Go(func() { n.serve(ctx, h) })
	}
	wg.Wait()
	return nil
}

// serve sends one message after the other to a webhook.
func (n *Notifier) serve(ctx context.Context, h *hook) {
	for {
		if h.message == nil && !n.collect(ctx, h) {
			return
		}
		if !n.deliver(ctx, h) {
			return
		}
		h.message = nil
	}
}

// collect waits for an event, and for those that follow within a few seconds.
func (n *Notifier) collect(ctx context.Context, h *hook) bool {
	m := &Message{Version: 1, ID: rand.Text(), Instance: n.config.Instance}
	select {
	case e := <-h.events:
		m.Events = append(m.Events, e)
	case <-ctx.Done():
		return false
	}
	h.message = m
	for timer := time.After(collecting); len(m.Events) < most; {
		select {
		case e := <-h.events:
			m.Events = append(m.Events, e)
			continue
		case <-timer:
		case <-ctx.Done():
		}
		break
	}
	m.SentAt, m.Dropped = time.Now().UTC(), h.dropped.Swap(0)
	h.full.Store(false)
	return true
}

// deliver sends the message until it arrives or is given up. It reports false when ctx is done.
func (n *Notifier) deliver(ctx context.Context, h *hook) bool {
	m := h.message
	count := func(result string) { n.total.WithLabelValues(h.Name, result).Add(float64(len(m.Events))) }
	body, err := h.Template.body(m)
	if err != nil {
		count(resultFailed)
		level.Error(n.config.Logger).Log("msg", "notification template failed", "webhook", h.Name, "err", err)
		return true
	}
	began := time.Now()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		after, err := n.post(ctx, h, body)
		switch {
		case err == nil:
			count(resultSent)
			level.Debug(n.config.Logger).Log("msg", "notification sent", "webhook", h.Name, "events", len(m.Events))
			return true
		case ctx.Err() != nil:
			return false
		case errors.As(err, new(*finalError)) || time.Since(began) >= patience:
			count(resultFailed)
			level.Error(n.config.Logger).Log("msg", "notification failed", "webhook", h.Name, "events", len(m.Events), "err", err)
			return true
		}
		if wait == firstRetry {
			level.Warn(n.config.Logger).Log("msg", "notification delayed, still trying", "webhook", h.Name, "err", err)
		}
		count(resultRetried)
		select {
		case <-time.After(max(wait, after)):
		case <-ctx.Done():
			return false
		}
	}
}

// finalError is an answer that another attempt would get too.
type finalError struct{ says string }

func (e *finalError) Error() string { return e.says }

// post makes one attempt. After is how long the server wants to be left alone.
func (n *Notifier) post(ctx context.Context, h *hook, body []byte) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return 0, &finalError{"invalid URL"} // its text is not shown: it may contain a token
	}
	request.Header.Set("Content-Type", h.ContentType)
	request.Header.Set("User-Agent", "mother-of-dragons")
	sign(request.Header, h.Secret, h.message.ID, time.Now(), body)
	response, err := n.client.Do(request)
	if err != nil {
		if around, ok := errors.AsType[*url.Error](err); ok {
			err = around.Err // the outer error repeats the URL
		}
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	_ = response.Body.Close()
	err = fmt.Errorf("status %d", response.StatusCode)
	switch code := response.StatusCode; {
	case code/100 == 2:
		return 0, nil
	case code/100 == 3:
		return 0, &finalError{err.Error() + ": redirects are not followed, set the URL that it leads to"}
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if s, bad := strconv.Atoi(response.Header.Get("Retry-After")); bad == nil && s > 0 {
			after = min(time.Duration(s)*time.Second, patience)
		}
		return after, err
	case code/100 == 4 && code != http.StatusRequestTimeout:
		return 0, &finalError{err.Error()}
	}
	return 0, err
}
