package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/agent"
)

// historyShown is the number of audit lines shown.
const historyShown = 100

// historyKind is a kind of audit line that the pages and the API filter by.
type historyKind struct {
	Name, Text string
	is         func(*healer.Audit) bool
}

var historyKinds = []historyKind{
	{"action", "actions", func(a *healer.Audit) bool { return a.Result != nil || a.Verify != nil || a.Decision == healer.Manual }},
	{"blocked", "blocked", func(a *healer.Audit) bool { return a.Decision == healer.Blocked }},
	{"state", "states", func(a *healer.Audit) bool {
		return a.MAC != "" && slices.Contains([]healer.Verb{healer.Changed, healer.Recovery, healer.Quarantine, healer.Release}, a.Decision)
	}},
	{"hold", "breakers and pauses", func(a *healer.Audit) bool { return a.Decision == healer.Hold || a.Decision == healer.Resume }},
	{"rollout", "rollouts", func(a *healer.Audit) bool {
		return a.Action == healer.Configure || a.Action == healer.Upgrade || strings.HasPrefix(a.Actor, "rollout:")
	}},
	{"person", "by a person", func(a *healer.Audit) bool { return agent.ByPerson(a.Actor) }},
}

// historySpans are the times that the pages filter by.
var historySpans = [][2]string{{"1h", "last hour"}, {"24h", "last day"}, {"168h", "last week"}}

// historyQuery is which lines of the audit are asked for.
type historyQuery struct {
	Dragon string // worker, MAC or address; empty: all
	Kind   string // name of a historyKind; empty: all
	Since  string // duration; empty: all
	N      int

	since time.Duration
	is    func(*healer.Audit) bool
}

func historyOf(v url.Values) (historyQuery, error) {
	q := historyQuery{Dragon: strings.TrimSpace(v.Get("dragon")), Kind: v.Get("kind"), Since: v.Get("since"), N: historyShown}
	if s := v.Get("n"); s != "" {
		var err error
		if q.N, err = strconv.Atoi(s); err != nil || q.N < 1 || q.N > mostHistory {
			return q, fmt.Errorf("n %.50q, expected a number from 1 to %d", s, mostHistory)
		}
	}
	if q.Since != "" {
		var err error
		if q.since, err = time.ParseDuration(q.Since); err != nil || q.since <= 0 {
			return q, fmt.Errorf("since %.50q, expected a duration like 24h", q.Since)
		}
	}
	if q.Kind != "" {
		i := slices.IndexFunc(historyKinds, func(k historyKind) bool { return k.Name == q.Kind })
		if i < 0 {
			var names []string
			for _, k := range historyKinds {
				names = append(names, k.Name)
			}
			return q, fmt.Errorf("kind %.50q, expected one of %s", q.Kind, strings.Join(names, ", "))
		}
		q.is = historyKinds[i].is
	}
	return q, nil
}

// read returns the lines that the query asks for, the newest first. Of a filter by kind or
// time, it looks through the newest mostHistory lines.
func (q *historyQuery) read(a *api) ([]healer.Audit, error) {
	mac, n, now := "", q.N, time.Now()
	if status := a.Healer.Status(); status != nil {
		now = status.Plan.Wall // of the audit, which may run faster in a simulation
	}
	if q.Dragon != "" {
		d := a.Fleet.Lookup(q.Dragon)
		if d == nil || d.Info().MAC == "" {
			return nil, fmt.Errorf("%w: %q", agent.ErrUnknownDragon, cut(most, q.Dragon))
		}
		mac = d.Info().MAC
	}
	if q.is != nil || q.since > 0 {
		n = mostHistory
	}
	history, err := a.Healer.History(mac, n)
	history = slices.DeleteFunc(history, func(x healer.Audit) bool {
		return q.is != nil && !q.is(&x) || q.since > 0 && now.Sub(x.At) > q.since
	})
	return history[:min(len(history), q.N)], err
}

type historyPage struct {
	Action string // the page
	Worker string // whose page it is; empty: of all dragons
	Query  historyQuery
	Lines  []healer.Audit
	Failed string
}

func (h *historyPage) Kinds() []historyKind { return historyKinds }

func (h *historyPage) Spans() [][2]string { return historySpans }

// historyFor reads the history of a page by the filter in its URL. worker is whose page it
// is: without a filter, its history is known already. Empty: the filter names the dragon.
func (a *api) historyFor(page, worker string, v url.Values) *historyPage {
	h := &historyPage{Action: page, Worker: worker}
	var err error
	h.Query, err = historyOf(v)
	h.Query.Dragon = cmp.Or(worker, h.Query.Dragon)
	if err == nil && (worker == "" || h.Query.Kind != "" || h.Query.Since != "") {
		h.Lines, err = h.Query.read(a)
	}
	if err != nil {
		h.Failed = err.Error()
	}
	return h
}
