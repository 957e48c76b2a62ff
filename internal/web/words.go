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
)

// words are the functions that the templates write figures with. What is not known is
// a dash, never a zero.
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
	"spaced":   func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") },
	"dash":     func(s any) string { return dash(fmt.Sprint(s)) },
	"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"stamp":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"machine":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"cut":      cut,
	"tone":     tone,
	"phase":    func(p any) string { return phaseTone(fmt.Sprint(p)) },
	"means":    func(s healer.State) string { return meanings[s] },
	"action":   actionWord,
	"outcome":  outcomeWord,
	"happened": happened,
	"decided":  decided,
	"sub":      func(a, b int) int { return a - b },
	"actor":    func(s string) string { return strings.TrimPrefix(s, "user:") },
	"offset":   offset,
	"window":   window,
	"share":    share,
	"part":     func(a, b int64) string { return share(float64(a), float64(b)) },
	"squares":  squares,
}

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

// scaled writes v with three digits and the prefix that they are for.
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

// rate writes hashes per second: for Equihash they are solutions.
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

// countOf writes a whole number with its thousands apart.
func countOf(n dragon.Number) string {
	v, ok := n.Get()
	if !ok {
		return unknown
	}
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:] // a narrow blank that does not break
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

// short writes a span of time as people say it.
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

// offset says how wrong a dragon's clock is.
func offset(n dragon.Number) string {
	v, ok := n.Get()
	switch {
	case !ok:
		return unknown
	case math.Abs(v) < 2: // it is told to the second
		return "right"
	case v > 0:
		return spanOf(n) + " ahead of ours"
	}
	return spanOf(dragon.Known(-v)) + " behind ours"
}

// window names the time that a budget is for.
func window(s healer.Span) string {
	switch time.Duration(s) {
	case 0:
		return "At one time"
	case time.Hour:
		return "In an hour"
	case 24 * time.Hour:
		return "In a day"
	}
	return "In " + short(time.Duration(s))
}

// cut shortens what a device says to what a cell has room for.
func cut(n int, s string) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// tone is how a state looks.
func tone(s healer.State) string {
	switch s {
	case healer.StateHealthy:
		return "good"
	case healer.StateSuspect, healer.StateActing, healer.StateSettling, healer.StateFlapping:
		return "warn"
	case healer.StateSick, healer.StateHeld, healer.StateLost, healer.StateQuarantined, healer.StateUnreachable, healer.StateConflict:
		return "bad"
	}
	return "calm"
}

// meanings say what the states are, for who meets them for the first time.
var meanings = map[healer.State]string{
	"":                      "The healer has not looked at it yet.",
	healer.StateNew:         "Just met: the healer watches it for an hour before it judges.",
	healer.StateObserving:   "Well so far, and not watched long enough to be touched.",
	healer.StateHealthy:     "Well.",
	healer.StateSuspect:     "Something looks wrong; there is not enough evidence yet.",
	healer.StateSick:        "Something is wrong, and the healer would act.",
	healer.StateHeld:        "Something is wrong, and a gate holds the healer back.",
	healer.StateActing:      "Something was sent; its clock does not show it yet.",
	healer.StateSettling:    "It has restarted; whether that helped is not clear yet.",
	healer.StateProbation:   "Recovered, and watched for a relapse.",
	healer.StateMaintenance: "Somebody works on it: the healer keeps away.",
	healer.StateFlapping:    "It restarts by itself, again and again.",
	healer.StateUnreachable: "It does not answer.",
	healer.StateLost:        "It did not come back from an action: somebody has to go there.",
	healer.StateQuarantined: "Given up on, until somebody releases it.",
	healer.StateConflict:    "Its MAC is claimed by another dragon, or is none.",
}

func actionWord(k healer.Kind) string {
	switch k {
	case healer.Restart:
		return "restart of the miner"
	case healer.Configure:
		return "configuration"
	}
	return string(k)
}

// outcomeWord says what came of an action: what the dragon said, until it is known
// what that did.
func outcomeWord(a *ActionAnswer) string {
	switch {
	case a.Result == healer.Refusal:
		return "refused"
	case a.Outcome != "":
		return strings.ReplaceAll(string(a.Outcome), "_", " ")
	}
	return "under way"
}

// happened says what a line of the audit tells.
func happened(a *healer.Audit) string {
	switch {
	case a.Verify != nil: // the verb is the outcome
		return withAction(strings.ReplaceAll(string(a.Decision), "_", " "), a.Action)
	case a.Result != nil && a.Result.Success:
		return withAction("sent", a.Action)
	case a.Result != nil:
		return withAction("not carried out", a.Action)
	}
	return decided(a.Decision, a.Action)
}

// decided says what was decided.
func decided(verb healer.Verb, kind healer.Kind) string {
	word, ok := map[healer.Verb]string{
		healer.Act: "decided", healer.WouldAct: "would do", healer.Blocked: "waits", healer.Wait: "under way", healer.Recovery: "well again",
		healer.Changed: "another state", healer.Quarantine: "quarantined", healer.Release: "released", healer.Hold: "held", healer.Resume: "resumed",
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

// share is how much a is of b, in percent and at most 100, for a bar.
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
	case float64:
		return v
	}
	return -1
}

// square is a board in a row of them.
type square struct{ Tone, Says string }

// squares are a dragon's boards by slot, with those that are missing.
func squares(a *DragonAnswer) []square {
	if a.reading == nil || a.reading.Summary == nil {
		return nil
	}
	boards := a.reading.Summary.Boards
	list := make([]square, 0, max(len(boards), int(a.BoardsExpected.Or(0))))
	for i := range boards {
		b := &boards[i]
		tone := "bad"
		if b.Alive() {
			tone = "good"
		}
		list = append(list, square{tone, fmt.Sprintf("board %d %s", b.Slot, cut(20, b.Status))})
	}
	for range int(min(a.BoardsExpected.Or(0), 64)) - len(boards) {
		list = append(list, square{"gone", "a board is missing"})
	}
	return list
}
