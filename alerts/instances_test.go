package alerts

import (
	"strings"
	"testing"
)

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

// TestAStandbyCountsNoDragonTwice has a second instance that reads the same dragons, as in
// docs/multi-site.md, and a power cut that it may not survive.
func TestAStandbyCountsNoDragonTwice(t *testing.T) {
	byName := alertsByName(t)
	const booted = 305
	var units []unit
	for _, x := range []struct {
		name, leader, standby string // how many are down; empty: it ends with the power
		want                  []string
	}{
		{"the standby is gone, and three stay down", "4x299 60x4 7x100", "", []string{"{}"}},
		{"both run, and three stay down", "4x299 60x4 7x100", "4x299 60x4 7x100", []string{"{}"}},
		{"both run, and none stays down", "4x299 60x4 4x100", "4x299 60x4 4x100", nil},
	} {
		u := unit{Name: x.name, Step: "1m"}
		for instance, down := range map[string]string{"leader": x.leader, "standby": x.standby} {
			boots := "0x304 1x100"
			if down == "" {
				down, boots = "4x299 stale", "0x299 stale"
			}
			u.add(instanceOf("mother_dragons", instance, instance, `,state="down"`), down)
			u.add(instanceOf("mother_fleet_boot_events_total", instance, instance, ""), boots)
		}
		u.Tests = []unitTest{
			at(booted+10, `round(`+byName["FleetBoot"].Expr+`)`, "{}"),
			at(booted+40, `count(ALERTS{alertname="DragonsNotBack",alertstate="firing"})`, x.want...),
		}
		units = append(units, u)
	}
	promtoolTests(t, units, []string{"thresholds.yml", "recording.yml", "fleet.yml"})
}

// TestDragonsAreNotNewAfterAnOutage has two instances with dragons of their own, of which one is
// away for ten minutes. Later it finds a new one.
func TestDragonsAreNotNewAfterAnOutage(t *testing.T) {
	u := unit{Name: "an instance is away", Step: "1m"}
	for worker, values := range map[string]string{"a": "1x200", "b": "1x59 stale _x9 1x130", "new": "_x150 1x50"} {
		instance := map[string]string{"a": "one"}[worker]
		if instance == "" {
			instance = "other"
		}
		u.add(instanceOf("dragon_up", "dragons", instance, `,worker="`+worker+`"`), values)
		u.add(instanceOf("dragon_info", "dragons", instance, `,worker="`+worker+`",model="T1"`), values)
	}
	const fires = `count by (worker) (ALERTS{alertname="NewDragon",alertstate="firing"})`
	u.Tests = []unitTest{at(75, fires), at(125, fires), at(155, fires, `{worker="new"}`), at(199, fires, `{worker="new"}`)}
	promtoolTests(t, []unit{u}, []string{"thresholds.yml", "recording.yml", "dragon.yml"})
}

// TestAStandbyRaisesNoAlarm: an instance that waits for the owner of the state on the same host does not know
// what that one has done. The restarts are unexplained to it, and it waits for the gate owner as long as a dragon
// is sick. If there is no owner, it is all that is known. So is one of two hosts that cannot reach etcd, while the other
// one leads.
func TestAStandbyRaisesNoAlarm(t *testing.T) {
	alarms := []string{`{alertname="DragonUntreated"}`, `{alertname="ForeignActor"}`, `{alertname="HealerWaiting"}`}
	var units []unit
	for _, x := range []struct {
		name, owns, standby string // of the first, and of the second
		site                string // that the second one shares with the first, which leads; empty: without etcd
		want                []string
	}{
		{"one owns the state", "1", "1", "", nil}, {"each has its own", "1", "0", "", alarms}, {"the owner is gone", "0", "1", "", alarms},
		{"the second is cut off from etcd", "1", "0", "/north/", nil}, {"that of another site is", "1", "0", "/south/", alarms},
	} {
		u := unit{Name: x.name, Step: "1m"}
		for series, values := range map[string][2]string{
			"mother_healer_lock_held": {x.owns, "0"}, "mother_healer_standby": {"0", x.standby}, "mother_healer_untreated_seconds": {"600", "90000"},
			`mother_healer_waiting_seconds,gate="owner"`: {"0", "90000"}, `mother_healer_breaker_state,breaker="foreign",scope=""`: {"0", "2"},
		} {
			name, labels, more := strings.Cut(series, ",")
			if more {
				labels = "," + labels
			}
			u.add(instanceOf(name, "dragons", "a", labels), values[0]+"x60")
			u.add(instanceOf(name, "standby", "b", labels), values[1]+"x60")
		}
		if x.site != "" {
			u.add(instanceOf("mother_leader", "dragons", "a", ""), "1x60")
			u.add(instanceOf("mother_ha_info", "dragons", "a", `,id="a",prefix="/north/"`), "1x60")
			u.add(instanceOf("mother_leader", "standby", "b", ""), "0x60")
			u.add(instanceOf("mother_ha_info", "standby", "b", `,id="b",prefix="`+x.site+`"`), "1x60")
		}
		u.Tests = []unitTest{at(30, `count by (alertname) (ALERTS{alertname=~"ForeignActor|HealerWaiting|DragonUntreated",alertstate="firing"})`, x.want...)}
		units = append(units, u)
	}
	promtoolTests(t, units, []string{"thresholds.yml", "healer.yml"})
}

// TestAStandbyTellsOfNoLostHashrate has a pair of which the first host is scraped for the dragons, and the second for
// the program alone. When the first is gone nothing is known of the dragons; ExporterDown tells of it.
func TestAStandbyTellsOfNoLostHashrate(t *testing.T) {
	var units []unit
	for _, x := range []struct {
		name, up, rate, expected string // of the first host, from when something happens
		want                     []string
	}{
		{"the first host is gone", "stale", "stale", "stale", nil},
		{"the dragons are down", "0x60", "stale", "100x60", []string{"{}"}},
	} {
		u := unit{Name: x.name, Step: "1m"}
		for _, worker := range []string{"a", "b", "c", "d", "e"} {
			w := `,worker="` + worker + `"`
			u.add(instanceOf("dragon_up", "dragons", "first", w), "1x60 "+x.up)
			u.add(instanceOf("dragon_board_up", "dragons", "first", w+`,board="0"`), "1x60 "+x.rate)
			u.add(instanceOf("dragon_board_hashrate_hashes_per_second", "dragons", "first", w+`,board="0",window="15m"`), "100x60 "+x.rate)
			u.add(instanceOf("dragon_hashrate_expected_hashes_per_second", "dragons", "first", w), "100x60 "+x.expected)
			u.add(instanceOf("dragon_hashrate_expected_hashes_per_second", "standby", "second", w), "100x120")
		}
		u.Tests = []unitTest{at(90, `count(ALERTS{alertname="FleetHashrateDrop",alertstate="firing"})`, x.want...)}
		units = append(units, u)
	}
	promtoolTests(t, units, []string{"thresholds.yml", "recording.yml", "fleet.yml"})
}
