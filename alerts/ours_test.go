package alerts

import (
	"maps"
	"strings"
	"testing"
)

// TestAPoolChangeOfTheWholeFleetIsNoAlert has the healer bring pools with a new account to one
// dragon after the other: each is down for ten minutes, and then mines for that account.
func TestAPoolChangeOfTheWholeFleetIsNoAlert(t *testing.T) {
	const first, down, end = 20, 10, 170
	u := unit{Name: "new pools for everybody", Step: "1m"}
	for series, value := range world() {
		if !strings.Contains(series, "worker=") {
			u.add(scraped(series, false), (&scenario{begins: end, lasts: 1}).values(t, value, end))
		}
	}
	u.add(scraped(`mother_desired_pool_info{account="next"}`, false), (&scenario{begins: end, lasts: 1}).values(t, "1", end))
	const before, after = `dragon_pool_info{worker="a",pool="0",url="p0",user="farm.a"}`, `dragon_pool_info{worker="a",pool="0",url="p0",user="next.a"}`
	for i, worker := range dragons {
		begins := first + i*down
		d := dragonA()
		maps.Copy(d, oursNow(deaf("timeout")))
		d[`dragon_miner_uptime_seconds{worker="a"}`] = "4000|none"
		delete(d, before)
		add := func(series, value string, begins, lasts int) {
			series = strings.ReplaceAll(as(worker, series), "next.a", "next."+worker)
			u.add(scraped(series, false), (&scenario{begins: begins, lasts: lasts}).values(t, value, end))
		}
		for series, value := range d {
			add(series, value, begins, down)
		}
		add(before, "1|none", begins, end)
		add(after, "none|1", begins+down, end)
	}
	state := func(minute int, want string) unitTest {
		return at(minute, `count by (state) (worker:dragon_state:info{worker="a"})`, `{state="`+want+`"}`)
	}
	u.Tests = append(u.Tests, state(first-1, "hashing"), state(first+3, "busy"), state(first+down+3, "hashing"))
	for minute := first - 1; minute < end; minute += 5 {
		u.Tests = append(u.Tests, firing(minute, ""))
	}
	promtoolTests(t, []unit{u}, ruleFiles(t))
}
