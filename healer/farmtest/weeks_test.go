package farmtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// unattended is a farm without a human for weeks: every few hours something happens
// of the kinds that farms have, and is over before the next.
func unattended(seed uint64, n, days int) string {
	r := rand.New(rand.NewPCG(seed, 7))
	switches, pdus, pools := max(1, n/24), max(1, n/100), []string{"slush", "backup"}
	var b strings.Builder
	fmt.Fprintf(&b, "farm %d\nswitches %d\npdus %d\nseed %d\nrun %dh\npools %s\nbaselines learned\n", n, switches, pdus, seed, 24*days, strings.Join(pools, " "))
	for at := 3 * time.Hour; at < time.Duration(days)*24*time.Hour; {
		what := fault(r, n, switches, pdus, pools)
		switch kind, _, _ := strings.Cut(what, " "); kind {
		case "board", "dragon", "pool", "switch", "power", "gateway", "dhcp", "kill":
			fmt.Fprintf(&b, "at %s %s\n", at, what)
			at += 6*time.Hour + time.Duration(r.IntN(300))*time.Minute
		}
	}
	return b.String()
}

func TestSoakWeeksOfAThousand(t *testing.T) {
	if !*soak {
		t.Skip("with -soak")
	}
	s, err := Parse(unattended(*seed0, 1000, *soakDays))
	if err != nil {
		t.Fatal(err)
	}
	r := Run(s, Options{CheckStore: true, CheckPlan: 60})
	for _, f := range r.Oracle.Failures {
		if kind(f) != "I22" { // in weeks boards die again that are in quarantine, which only a human ends
			t.Error(f)
		}
	}
	t.Logf("%d days of a thousand dragons, %d writes", *soakDays, len(r.World.Writes))
}
