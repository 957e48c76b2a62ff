package web

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
	"github.com/brndnmtthws/mother-of-dragons/healer/explain"
)

// words are the template functions. An unknown value is a dash, never a zero.
var words = template.FuncMap{
	"rate":     rate,
	"rateH":    func(v float64, algorithm string) string { return rate(known(v), algorithm) },
	"celsius":  func(n dragon.Number) string { return figure(n, "%.0f °C", 1) },
	"percent":  func(n dragon.Number) string { return figure(n, "%.0f %%", 100) },
	"number":   func(n dragon.Number) string { return figure(n, "%.6g", 1) },
	"count":    func(n dragon.Number) string { return countOf(n) },
	"bytes":    bytesOf,
	"span":     func(n dragon.Number) string { return spanOf(n) },
	"spanS":    func(seconds float64) string { return spanOf(known(seconds)) },
	"spanD":    func(d healer.Span) string { return short(time.Duration(d)) },
	"known":    func(n dragon.Number) bool { return n.IsKnown() },
	"yes":      func(n dragon.Number) bool { return n.Or(0) != 0 },
	"dragons":  dragonsOf,
	"spaced":   func(s any) string { return spaced(s) },
	"dash":     func(s any) string { return dash(fmt.Sprint(s)) },
	"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"stamp":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"machine":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"cut":      cut,
	"tone":     tone,
	"phase":    func(p any) string { return phaseTone(fmt.Sprint(p)) },
	"means":    func(s healer.State) string { return meanings[s] },
	"stateIs":  func(s healer.State) string { return explain.State(s) },
	"action":   actionWord,
	"outcome":  outcomeWord,
	"happened": happened,
	"decided":  decided,
	"sub":      func(a, b int) int { return a - b },
	"actor":    func(s string) string { return strings.TrimPrefix(s, "user:") },
	"offset":   offset,
	"window":   window,
	"siteScope": func(s string) string {
		if site, ok := strings.CutPrefix(s, "domain="); ok {
			return "site " + site
		}
		return s
	},
	"share":  share,
	"badge":  badge,
	"boards": boardsCell,
	"bar":    barCell,
}

func spaced[T any](s T) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") }

const unknown = "–"

func known(v float64) dragon.Number {
	if v < 0 {
		return dragon.Number{}
	}
	return dragon.Known(v)
}

func dash(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

func figure(n dragon.Number, format string, factor float64) string {
	v, ok := n.Get()
	if !ok {
		return unknown
	}
	return fmt.Sprintf(format, v*factor)
}

// scaled returns v with three digits, and its unit prefix.
func scaled(v, step float64, prefixes ...string) (figure, prefix string) {
	i := 0
	for math.Abs(v) >= step*0.9995 && i < len(prefixes)-1 {
		v, i = v/step, i+1
	}
	digits := 2
	switch {
	case math.Abs(v) >= 99.95:
		digits = 0
	case math.Abs(v) >= 9.995:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64), prefixes[i]
}

// rate formats hashes per second; for Equihash, solutions.
func rate(n dragon.Number, algorithm string) string {
	v, ok := n.Get()
	if !ok {
		return unknown
	}
	unit := "H/s"
	if algorithm == "Equihash" {
		unit = "Sol/s"
	}
	if v == 0 {
		return "0 " + unit
	}
	figure, prefix := scaled(v, 1000, "", "k", "M", "G", "T", "P", "E", "Z")
	return figure + " " + prefix + unit
}

func bytesOf(n dragon.Number) string {
	v, ok := n.Get()
	if !ok {
		return unknown
	}
	figure, prefix := scaled(v, 1024, "B", "KiB", "MiB", "GiB", "TiB")
	return figure + " " + prefix
}

// countOf formats a whole number with separated thousands.
func countOf(n dragon.Number) string {
	v, ok := n.Get()
	if !ok {
		return unknown
	}
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:] // a narrow no-break space
	}
	return s
}

func spanOf(n dragon.Number) string {
	v, ok := n.Get()
	if !ok || v > 1e9 {
		return unknown
	}
	return short(time.Duration(v * float64(time.Second)))
}

// short formats a duration with one unit.
func short(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours())/24)
}

func offset(n dragon.Number) string {
	v, ok := n.Get()
	switch {
	case !ok:
		return unknown
	case math.Abs(v) < 2: // its resolution is a second
		return "in sync"
	case v > 0:
		return spanOf(n) + " ahead"
	}
	return spanOf(dragon.Known(-v)) + " behind"
}

// window names the period of a budget.
func window(s healer.Span) string {
	switch time.Duration(s) {
	case 0:
		return "In flight"
	case time.Hour:
		return "Per hour"
	case 24 * time.Hour:
		return "Per day"
	}
	return "Per " + short(time.Duration(s))
}

// cut shortens s to n letters.
func cut(n int, s string) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

func tone(s healer.State) string {
	switch s {
	case healer.StateHealthy:
		return "good"
	case healer.StateSuspect, healer.StateFlapping:
		return "warn"
	case healer.StateSick, healer.StateHeld, healer.StateLost, healer.StateQuarantined, healer.StateUnreachable, healer.StateConflict:
		return "bad"
	}
	return "calm"
}

var meanings = map[healer.State]string{
	"":                      "Not examined by the healer yet.",
	healer.StateNew:         "New. The healer watches it for an hour before it judges.",
	healer.StateObserving:   "Healthy so far. Not observed long enough to act on.",
	healer.StateHealthy:     "Works as expected.",
	healer.StateSuspect:     "Looks wrong. Not enough evidence yet.",
	healer.StateSick:        "Sick. The healer would act.",
	healer.StateHeld:        "Sick. A gate blocks the healer.",
	healer.StateActing:      "We wrote to it, so it restarts. Its uptime does not show it yet.",
	healer.StateSettling:    "We restarted it. The result is not clear yet.",
	healer.StateProbation:   "Recovered. Watched for a relapse.",
	healer.StateMaintenance: "In maintenance. The healer does not act.",
	healer.StateFlapping:    "Restarts by itself again and again.",
	healer.StateUnreachable: "Does not answer.",
	healer.StateLost:        "Did not come back after an action. Needs someone on site.",
	healer.StateQuarantined: "The healer does not act until it is released.",
	healer.StateConflict:    "Another dragon claims its MAC, or the MAC is invalid.",
}

func actionWord(k healer.Kind) string {
	switch k {
	case healer.Restart:
		return "miner process restart"
	case healer.Configure:
		return "configuration"
	}
	return string(k)
}

// outcomeWord is the outcome of an action, or the answer of the dragon until there is one.
func outcomeWord(a *ActionAnswer) string {
	switch {
	case a.Result == healer.Refusal:
		return "refused"
	case a.Outcome != "":
		return strings.ReplaceAll(string(a.Outcome), "_", " ")
	}
	return "in progress"
}

// happened is the event of an audit line in words.
func happened(a *healer.Audit) string {
	switch {
	case a.Verify != nil: // the verb is the outcome
		return withAction(strings.ReplaceAll(string(a.Decision), "_", " "), a.Action)
	case a.Result != nil && a.Result.Success:
		return withAction("sent", a.Action)
	case a.Result != nil && a.Result.Result == healer.Unknown:
		return withAction("sent, answer lost", a.Action)
	case a.Result != nil:
		return withAction("not executed", a.Action)
	}
	return decided(a.Decision, a.Action)
}

func decided(verb healer.Verb, kind healer.Kind) string {
	word, ok := map[healer.Verb]string{
		healer.Act: "decided", healer.WouldAct: "would do", healer.Blocked: "blocked", healer.Wait: "in progress", healer.Recovery: "recovered",
		healer.Changed: "state changed", healer.Quarantine: "quarantined", healer.Release: "released", healer.Hold: "held", healer.Resume: "resumed",
	}[verb]
	if !ok {
		word = strings.ReplaceAll(string(verb), "_", " ")
	}
	return withAction(word, kind)
}

func withAction(what string, kind healer.Kind) string {
	switch {
	case kind == "":
		return what
	case what == "":
		return actionWord(kind)
	}
	return what + ": " + actionWord(kind)
}

// share is a as a percentage of b, at most 100, for a bar.
func share(a, b any) string {
	x, y := toFloat(a), toFloat(b)
	if !(x >= 0 && y > 0) {
		return "0"
	}
	return strconv.FormatFloat(min(100, 100*x/y), 'f', 1, 64)
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case dragon.Number:
		return v.Or(-1)
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return -1
}
