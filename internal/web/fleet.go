package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/discovery"
	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/internal/fleet"
)

// FleetAnswer is the answer to GET /api/v1/dragons.
type FleetAnswer struct {
	At       time.Time      `json:"at"`
	Known    int            `json:"known"`    // dragons
	Up       int            `json:"up"`       // of those
	Matching int            `json:"matching"` // of those that are known
	Page     int            `json:"page"`
	Pages    int            `json:"pages"`
	Groups   []GroupAnswer  `json:"groups,omitempty"` // of all matching dragons
	Dragons  []DragonAnswer `json:"dragons"`          // of this page

	// These are for the page.
	Models   []string      `json:"-"`
	Sites    []string      `json:"-"`
	Labels   []labelChoice `json:"-"`
	Hottest  *DragonAnswer `json:"-"`
	Oldest   dragon.Number `json:"-"` // age of the oldest reading of those that are up
	Troubled int           `json:"-"`

	states    map[healer.State]int
	hashrates map[string]float64 // by algorithm
}

// fleetQuery selects and sorts dragons.
type fleetQuery struct {
	Text, State, Model, Site string
	Label                    string // as in rack=a12
	Group                    string // a grouping or a label; empty: not grouped
	Sort                     string // one of orders, with a - in front for the other way round
	Page, Per                int    // Per 0: all on one page
}

// troubled stands for all states that need attention.
const troubled = "trouble"

// most is the longest value of a query in bytes.
const most = 200

// parseFleetQuery reads the parameters q, state, model, site, group, sort, page and per.
func parseFleetQuery(v url.Values, per int) (fleetQuery, error) {
	q := fleetQuery{
		Text: v.Get("q"), State: v.Get("state"), Model: v.Get("model"), Site: v.Get("site"), Label: v.Get("label"), Group: v.Get("group"),
		Sort: cmp.Or(v.Get("sort"), "state"), Page: 1, Per: per,
	}
	for name, s := range map[string]string{"q": q.Text, "model": q.Model, "site": q.Site, "label": q.Label, "group": q.Group} {
		if len(s) > most {
			return q, fmt.Errorf("%s has %d letters, expected at most %d", name, len(s), most)
		}
	}
	if name, value, _ := strings.Cut(q.Label, "="); q.Label != "" && (name == "" || value == "") {
		return q, fmt.Errorf("label %.50q, expected a name and a value like rack=a12", q.Label)
	}
	if q.State != "" && q.State != troubled && !slices.Contains(healer.States, healer.State(q.State)) {
		return q, fmt.Errorf("state %.50q, expected %s or one of %v", q.State, troubled, healer.States)
	}
	if orders[strings.TrimPrefix(q.Sort, "-")] == nil {
		return q, fmt.Errorf("sort %.50q, expected one of %s, with a - in front for the other way round", q.Sort, strings.Join(orderNames, ", "))
	}
	for _, n := range []struct {
		name string
		to   *int
		max  int
	}{{"page", &q.Page, 1e6}, {"per", &q.Per, 1e5}} {
		s := v.Get(n.name)
		if s == "" {
			continue
		}
		i, err := strconv.Atoi(s)
		if err != nil || i < 1 || i > n.max {
			return q, fmt.Errorf("%s %.50q, expected a number from 1 to %d", n.name, s, n.max)
		}
		*n.to = i
	}
	return q, nil
}

// values are the query's parameters without the defaults.
func (q fleetQuery) values(per int) url.Values {
	v := url.Values{}
	for name, s := range map[string]string{"q": q.Text, "state": q.State, "model": q.Model, "site": q.Site, "label": q.Label, "group": q.Group} {
		if s != "" {
			v.Set(name, s)
		}
	}
	if q.Sort != "state" {
		v.Set("sort", q.Sort)
	}
	if q.Page > 1 {
		v.Set("page", strconv.Itoa(q.Page))
	}
	if q.Per != per {
		v.Set("per", strconv.Itoa(q.Per))
	}
	return v
}

func describeFleet(f *fleet.Fleet, l look, q fleetQuery, now time.Time) *FleetAnswer {
	dragons := f.Dragons()
	a := &FleetAnswer{At: now.UTC(), Known: len(dragons), states: make(map[healer.State]int), hashrates: make(map[string]float64)}
	all := make([]DragonAnswer, len(dragons))
	models, sites, labels := make(map[string]bool), make(map[string]bool), make(map[string]map[string]bool)
	text := strings.ToLower(strings.TrimSpace(q.Text))
	matching := make([]*DragonAnswer, 0, len(all))
	for i, d := range dragons {
		all[i] = l.describe(d, now)
		x := &all[i]
		a.count(x)
		models[x.Model], sites[x.Site] = true, true
		addLabels(labels, x)
		if q.matches(x, text) {
			matching = append(matching, x)
		}
	}
	a.Models, a.Sites, a.Labels = names(models), names(sites), labelChoices(labels)
	name, descending := strings.CutPrefix(q.Sort, "-")
	order := orders[name]
	slices.SortStableFunc(matching, func(x, y *DragonAnswer) int { return order(x, y, descending) }) // stable: equals stay sorted by worker
	if q.Group != "" {
		a.Groups = groupDragons(matching, q.Group)
	}

	a.Matching, a.Page, a.Pages = len(matching), 1, 1
	if q.Per > 0 {
		a.Pages = max(1, (len(matching)+q.Per-1)/q.Per)
		a.Page = min(q.Page, a.Pages)
		from := (a.Page - 1) * q.Per
		matching = matching[from:min(from+q.Per, len(matching))]
	}
	a.Dragons = make([]DragonAnswer, len(matching))
	for i, x := range matching {
		a.Dragons[i] = *x
	}
	return a
}

// mostNames bounds a list of models or sites: devices choose their own names.
const mostNames = 100

func names(set map[string]bool) []string {
	list := slices.DeleteFunc(slices.Sorted(maps.Keys(set)), func(name string) bool { return name == "" || len(name) > most })
	return list[:min(len(list), mostNames)]
}

func (a *FleetAnswer) count(x *DragonAnswer) {
	if x.Up {
		a.Up++
		if age, known := x.Age.Get(); known && age >= a.Oldest.Or(age) {
			a.Oldest = x.Age
		}
	}
	a.states[x.State()]++
	if x.needsALook() {
		a.Troubled++
	}
	if rate, known := x.Hashrate.Get(); known {
		a.hashrates[cmp.Or(x.Algorithm, "unknown")] += rate
	}
	if t, known := x.Temperature.Get(); known && (a.Hottest == nil || t > a.Hottest.Temperature.Or(t)) {
		a.Hottest = x
	}
}

// State is the healer's state of the dragon; empty before its first cycle.
func (a *DragonAnswer) State() healer.State {
	if a.Healer == nil {
		return ""
	}
	return a.Healer.State
}

func (a *DragonAnswer) needsALook() bool {
	return inTrouble(a.State()) || unjudged(a.State()) && a.plainly() != ""
}

// inTrouble reports whether a state needs attention. What the healer itself is doing does not.
func inTrouble(s healer.State) bool {
	switch s {
	case healer.StateHealthy, healer.StateMaintenance, healer.StateProbation, healer.StateActing, healer.StateSettling:
		return false
	}
	return !unjudged(s)
}

// unjudged reports whether the healer still observes a dragon.
func unjudged(s healer.State) bool {
	return s == "" || s == healer.StateNew || s == healer.StateObserving
}

// plainly is an obvious fault, shown also in the first hour, in which the healer only
// observes; empty if there is none.
func (a *DragonAnswer) plainly() string {
	boards := a.BoardsExpected.Or(a.Boards.Or(0))
	switch alive, known := a.BoardsAlive.Get(); {
	case a.Restarting != "":
	case !a.Up && a.Down != "":
		return "down: " + a.Down
	case known && alive < boards:
		return fmt.Sprintf("%g of %g boards alive", alive, boards)
	}
	return ""
}

func (q *fleetQuery) matches(a *DragonAnswer, text string) bool {
	switch {
	case q.State == troubled && !a.needsALook(),
		q.State != "" && q.State != troubled && string(a.State()) != q.State,
		q.Model != "" && a.Model != q.Model,
		q.Site != "" && a.Site != q.Site,
		q.Label != "" && !a.HasLabel(q.Label):
		return false
	case text == "":
		return true
	}
	for _, s := range []string{a.Worker, a.MAC, a.Address, a.Model, a.Firmware, a.Site, a.Profile, a.Pool, a.PoolUser, a.Place} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return a.Healer != nil && strings.Contains(string(a.Healer.Reason), strings.ReplaceAll(text, " ", "_"))
}

// urgency is the order of the states, most urgent first.
var urgency = func() map[healer.State]int {
	m := make(map[healer.State]int)
	for i, s := range []healer.State{
		healer.StateLost, healer.StateQuarantined, healer.StateSick, healer.StateHeld, healer.StateActing, healer.StateSettling,
		healer.StateFlapping, healer.StateUnreachable, healer.StateConflict, healer.StateSuspect, healer.StateProbation, healer.StateMaintenance, "",
		healer.StateNew, healer.StateObserving, healer.StateHealthy,
	} {
		m[s] = i
	}
	return m
}()

var orders = map[string]func(a, b *DragonAnswer, descending bool) int{
	"state": by(func(a *DragonAnswer) int {
		if a.needsALook() {
			return min(urgency[a.State()], urgency[healer.StateSuspect])
		}
		return urgency[a.State()]
	}),
	"worker":   by(func(a *DragonAnswer) string { return a.Worker }),
	"model":    by(func(a *DragonAnswer) string { return a.Model }),
	"site":     by(func(a *DragonAnswer) string { return a.Site }),
	"firmware": by(func(a *DragonAnswer) string { return a.Firmware }),
	"address": func(a, b *DragonAnswer, descending bool) int {
		return turned(discovery.CompareAddresses(a.Address, b.Address), descending)
	},
	"hashrate":    byNumber(func(a *DragonAnswer) dragon.Number { return a.Hashrate }),
	"temperature": byNumber(func(a *DragonAnswer) dragon.Number { return a.Temperature }),
	"boards":      byNumber(func(a *DragonAnswer) dragon.Number { return a.BoardsAlive }),
	"uptime":      byNumber(func(a *DragonAnswer) dragon.Number { return a.Uptime }),
	"age":         byNumber(func(a *DragonAnswer) dragon.Number { return a.Age }),
	"action": byNumber(func(a *DragonAnswer) dragon.Number {
		if a.LastAction == nil {
			return dragon.Number{}
		}
		return dragon.Known(a.LastAction.Age)
	}),
}

var orderNames = []string{"state", "worker", "model", "site", "firmware", "address", "hashrate", "temperature", "boards", "uptime", "age", "action"}

func turned(c int, descending bool) int {
	if descending {
		return -c
	}
	return c
}

func by[T cmp.Ordered](of func(*DragonAnswer) T) func(a, b *DragonAnswer, descending bool) int {
	return func(a, b *DragonAnswer, descending bool) int { return turned(cmp.Compare(of(a), of(b)), descending) }
}

// byNumber sorts unknown values last in both directions.
func byNumber(of func(*DragonAnswer) dragon.Number) func(a, b *DragonAnswer, descending bool) int {
	return func(a, b *DragonAnswer, descending bool) int {
		x, known := of(a).Get()
		y, other := of(b).Get()
		switch {
		case known && other:
			return turned(cmp.Compare(x, y), descending)
		case known:
			return -1
		case other:
			return 1
		}
		return 0
	}
}
