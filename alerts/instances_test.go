package alerts

import "testing"

// instanceOf writes a series of one instance of the program.
func instanceOf(name, job, instance, labels string) string {
	return name + `{job="` + job + `",instance="` + instance + `"` + labels + `}`
}

// TestAnInstanceThatIsDownIsToldOfUntilItIsBack: on its second day, too, beside one that runs and alone.
func TestAnInstanceThatIsDownIsToldOfUntilItIsBack(t *testing.T) {
	var units []unit
	for name, others := range map[string][]string{"one of two": {"a"}, "the only one": nil} {
		u := unit{Name: name + " is down", Step: "1h"}
		for _, up := range others {
			u.add(instanceOf("up", "dragons", up, ""), "1x200")
			u.add(instanceOf("mother_build_info", "dragons", up, ""), "1x200")
		}
		u.add(instanceOf("up", "dragons", "down", ""), "1 0x149 1x50")
		u.add(instanceOf("mother_build_info", "dragons", "down", ""), "1 stale _x148 1x50")
		const fires = `count by (instance) (ALERTS{alertname="ExporterDown",alertstate="firing"})`
		for _, hour := range []int{3, 23, 26, 48, 149} {
			u.Tests = append(u.Tests, at(hour*60, fires, `{instance="down"}`))
		}
		u.Tests = append(u.Tests, at(151*60, fires))
		units = append(units, u)
	}
	promtoolTestsEvery(t, "1h", units, []string{"thresholds.yml", "exporter.yml"})
}
