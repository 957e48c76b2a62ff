package farmtest

import (
	"fmt"
	"strings"
	"testing"
)

// In a farm of three, every sequence of a few events keeps the invariants.
func TestTinyWorldExhausted(t *testing.T) {
	happens := []string{
		"", "board d0/1 dead restart=1", "board d0/1 dead", "board d1/0 dead reboot=1", "dragon d0 reboots", "dragon d2 nopool restart=1",
		"web d0 hang 25m", "pool slush down 20m", "power site off 3m", "kill healer at wal=sent", "clock healer -1h",
	}
	length := 2
	if *soak {
		length = 4
	}
	total := 1
	for range length {
		total *= len(happens)
	}
	for n := range total {
		var b strings.Builder
		b.WriteString("farm 3; switches 1; pdus 1; tune 5m; run 4h; baselines learned; policy hashrate 15\n")
		for i, k := 0, n; i < length; i, k = i+1, k/len(happens) {
			if e := happens[k%len(happens)]; e != "" {
				fmt.Fprintf(&b, "at %dm %s\n", 20+25*i, e)
			}
		}
		s, err := Parse(b.String())
		if err != nil {
			t.Fatal(err)
		}
		r := Run(s, Options{})
		for _, f := range r.Oracle.Failures {
			t.Errorf("%s%s", b.String(), f)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d worlds", total)
}
