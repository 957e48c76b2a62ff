package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// A rule says what is wrong with one key of a policy.
type rule func(key, format string, args ...any)

// atMost says so if one key is more than another.
func atMost[T int | float64 | time.Duration | healer.Ratio](say rule, key string, v T, other string, most T) {
	if v > most {
		k := kinds[reflect.TypeFor[T]()]
		say(key, "%s is more than %s, %s", k.show(v), other, k.show(most))
	}
}

// below says so if one key is not below another.
func below(say rule, key string, v float64, other string, limit float64) {
	if v >= limit {
		say(key, "%g is not below %s, %g", v, other, limit)
	}
}

// checkPolicy says which keys do not fit together. The range of each is in its row. Whether a
// policy is wise is for the healer's own guard, which sees the dragons.
func checkPolicy(p *healer.Policy, say rule) {
	atMost(say, "fleet.in_flight_min", p.Fleet.InFlightMin, "in_flight_max", p.Fleet.InFlightMax)
	atMost(say, "breakers.efficacy_min", p.Breakers.EfficacyMin, "efficacy_of", p.Breakers.EfficacyOf)
	if c := &p.Causes; c.Gateway != "" {
		if a, err := netip.ParseAddrPort(c.Gateway); err != nil || a.Port() == 0 { // no name: a name server would choose the host
			say("causes.gateway", "%s is not an IP address with a port; want one like 192.0.2.1:80", shown(c.Gateway))
		}
	}
	f := &p.Firmware
	for i := 1; i < len(f.Waves); i++ {
		if f.Waves[i] <= f.Waves[i-1] {
			say(fmt.Sprintf("firmware.waves[%d]", i), "%s is not more than the wave before it, %s", showRatio(f.Waves[i]), showRatio(f.Waves[i-1]))
		}
	}
	if n := len(f.Waves); n == 0 || f.Waves[n-1] != 1 {
		say("firmware.waves", "the last one is not 100%%")
	}
	atMost(say, "firmware.verify_for", f.VerifyFor, "verify", f.Verify)
	checkGate(&p.External, say)
	checkWindows("windows", p.Windows, say)
	checkWindows("firmware.windows", f.Windows, say)
}

// checkWindows also makes the windows usable.
func checkWindows(key string, windows []healer.Window, say rule) {
	for i := range windows {
		if w := &windows[i]; len(w.Not) > 0 {
			w.Exclude(timesOf(w.Not, func(j int, err error) { say(fmt.Sprintf("%s[%d].not[%d]", key, i, j), "%s", err) }))
		}
		if err := windows[i].Validate(); err != nil {
			say(fmt.Sprintf("%s[%d]", key, i), "%s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), "window: "), "\nwindow: ", "; "))
		}
	}
}

// checkGate says what cannot be asked.
func checkGate(e *healer.External, say rule) {
	if (e.Prometheus == "") != (e.Query == "") {
		say("gate", "it needs both prometheus and query")
	}
	if e.Prometheus == "" {
		return
	}
	u, err := url.Parse(e.Prometheus)
	switch {
	case err == nil && u.User != nil: // not shown: it may be a password
		say("gate.prometheus", "contains a user, which would be shown with it; let this host in without a login")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		say("gate.prometheus", "is not a base URL; want one like http://127.0.0.1:9090")
	}
}

// checkDragon is checkPolicy for the part that may differ from dragon to dragon. It checks the
// ranges, too, because a profile has no values of its own before it is put on the default.
func checkDragon(p *healer.DragonPolicy, say rule) {
	for _, row := range dragonRows() {
		each(reflect.ValueOf(p).Elem(), "", row.key, func(path string, v reflect.Value) {
			if e, ok := reflect.TypeAssert[healer.Evidence](v); ok {
				checkEvidence(path, e, say)
			} else if wrong := row.outOfRange(v); wrong != "" {
				say(path, "%s", wrong)
			}
		})
	}
	atMost(say, "detect.low_ratio", p.Detect.LowRatio, "warn_ratio", p.Detect.WarnRatio)
	h := &p.Heat
	atMost(say, "heat.warn", h.Warn, "crit", h.Crit)
	below(say, "heat.restore_below", h.RestoreBelow, "downshift", h.Downshift)
	below(say, "heat.cool_below", h.CoolBelow, "dead_hot", h.DeadHot)
	l := &p.Ladder
	if n := len(l.Steps); n < 1 || n > 10 {
		say("ladder.steps", "%d steps: want 1 to 10", n)
	}
	if len(l.Hold) != len(l.Steps) {
		say("ladder.hold", "%d durations for %d steps: want one for each", len(l.Hold), len(l.Steps))
	}
	if i := slices.Index(l.Steps, healer.Restart); i > 0 && slices.Contains(l.Steps[:i], healer.Reboot) {
		say(fmt.Sprintf("ladder.steps[%d]", i), "a restart after a reboot does nothing new")
	}
}

// checkEvidence says what is wrong with the evidence at a key.
func checkEvidence(key string, e healer.Evidence, say rule) {
	for _, x := range []struct {
		row setting
		v   any
	}{
		{setting{key: ".for", from: "0s", to: longest}, e.For},
		{setting{key: ".of", from: "3", to: "64"}, e.Of},
		{setting{key: ".bad", from: "3", to: "64"}, e.Bad},
	} {
		if wrong := x.row.outOfRange(reflect.ValueOf(x.v)); wrong != "" {
			say(key+x.row.key, "%s", wrong)
		}
	}
	atMost(say, key+".bad", e.Bad, "of", e.Of)
}

// dragonRows are the rows of a healer.DragonPolicy, by their keys in it.
var dragonRows = sync.OnceValue(func() (rows []setting) {
	for _, row := range table() {
		if key, ok := strings.CutPrefix(row.key, "healing.default."); ok {
			row.key = key
			rows = append(rows, row)
		}
	}
	return rows
})
