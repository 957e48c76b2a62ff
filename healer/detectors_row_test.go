package healer

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// evidenceKeys are the settings of a dragon's policy that say how much evidence is needed,
// each with a function that sets it.
func evidenceKeys() map[string]func(*DragonPolicy, time.Duration) {
	keys := make(map[string]func(*DragonPolicy, time.Duration))
	t := reflect.TypeFor[DetectPolicy]()
	for i := range t.NumField() {
		if t.Field(i).Type == reflect.TypeFor[Evidence]() {
			keys["detect."+t.Field(i).Tag.Get("yaml")] = func(p *DragonPolicy, d time.Duration) {
				reflect.ValueOf(&p.Detect).Elem().Field(i).Set(reflect.ValueOf(Evidence{For: d, Bad: 8, Of: 10}))
			}
		}
	}
	keys["heat.warn_for"] = func(p *DragonPolicy, d time.Duration) { p.Heat.WarnFor = d }
	keys["heat.crit_for"] = func(p *DragonPolicy, d time.Duration) { p.Heat.CritFor = d }
	return keys
}

// detectorFaults are what is wrong with rows of the table of detectors, or missing in them.
func detectorFaults(rows []detector, reasons []string) (faults []string) {
	keys, used := evidenceKeys(), make(map[string]bool)
	seen := make(map[Reason]bool)
	for i := range rows {
		d := &rows[i]
		fault := func(bad bool, format string, args ...any) {
			if bad {
				faults = append(faults, string(d.reason)+": "+fmt.Sprintf(format, args...))
			}
		}
		fault(!slices.Contains(reasons, string(d.reason)), "no constant has this name")
		fault(seen[d.reason], "it has two rows")
		seen[d.reason] = true
		fault(d.doc == "" || strings.HasSuffix(d.doc, "."), "doc %q is not a clause", d.doc)
		fault(d.words == nil, "no words")
		fault(d.words != nil && d.words(&Shown{Value: 1, Threshold: 2, Baseline: 3}, 1) == "", "no words")
		fault(d.alert == "", "no alert")
		fault(d.alert != "" && !runbook(d.alert), "no runbook of its alert %s: docs/runbooks/%s.md", d.alert, d.alert)
		fault(d.judge == nil, "no judge")
		set := keys[d.setting]
		used[d.setting] = true
		fault(set == nil, "its setting %q is not a field of DetectPolicy (policy.go); it wants a default there and a row in internal/config/settings_healing.go", d.setting)
		fault(d.need == nil, "no need")
		if set != nil && d.need != nil {
			p := DefaultPolicy().Default
			e := d.need(&p)
			fault(e == Evidence{}, "its evidence has no default in DefaultPolicy (policy.go)")
			fault(e != Evidence{} && (e.Of > 64 || e.Bad > e.Of || e.Bad < freshInRow), "it needs %+v", e)
			set(&p, 77*time.Minute)
			fault(d.need(&p).For != 77*time.Minute, "need does not follow %s", d.setting)
		}
		if d.gap != nil {
			device := DefaultPolicy().Default.Device
			fault(d.gap(&device) == 0, "its gap has no default in DefaultPolicy (policy.go)")
		}
		fault(d.maxRung == 1 && d.gap == nil, "it does not climb, and has no gap between two restarts")
		fault(d.maxRung != 1 && d.gap != nil, "it has a gap, and climbs")
		fault(d.maxRung == 0 && (d.boards || d.tuning), "nothing is done about it, and it says how")
	}
	for key := range keys {
		if !used[key] {
			faults = append(faults, key+": no detector takes this evidence")
		}
	}
	return faults
}

// notDetected are the reasons why a dragon is not judged.
var notDetected = []string{string(NotReachable), string(NoLogin), string(Schema)}

// TestMain names what a row lacks before any test runs: an incomplete row would panic in most.
func TestMain(m *testing.M) {
	var broken []string
	for i := range detectors {
		if d := &detectors[i]; d.judge == nil || d.need == nil || d.words == nil {
			broken = append(broken, detectorFaults(detectors[i:i+1], []string{string(d.reason)})...)
		}
	}
	if broken = slices.DeleteFunc(broken, func(f string) bool { return strings.HasSuffix(f, "no detector takes this evidence") }); len(broken) > 0 {
		fmt.Println(strings.Join(broken, "\n"))
		os.Exit(1)
	}
	m.Run()
}

// The audit log of a farm names every detector, but for those about which nothing is done.
func TestEveryDetectorIsSeenInAFarm(t *testing.T) {
	names, err := filepath.Glob("farmtest/testdata/*.golden")
	if err != nil || len(names) == 0 {
		t.Fatal("no golden audit logs", err)
	}
	var all []byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	for i := range detectors {
		d := &detectors[i]
		if d.maxRung > 0 && !regexp.MustCompile(`\b`+string(d.reason)+`\b`).Match(all) {
			t.Errorf("%s: no farm script finds it; add one to farmtest/testdata", d.reason)
		}
	}
}

func TestEveryDetectorIsWhole(t *testing.T) {
	reasons := constants(t, "detectors.go", "Reason")
	for _, fault := range detectorFaults(detectors, reasons) {
		t.Error(fault)
	}
	for _, name := range reasons {
		if rank(Reason(name)) == len(detectors) != slices.Contains(notDetected, name) {
			t.Errorf("%s: a constant without a row", name)
		}
	}
}

// A new row is whole, or the test above names what is missing.
func TestWhatADetectorLacksIsNamed(t *testing.T) {
	reasons := constants(t, "detectors.go", "Reason")
	if len(detectorFaults(detectors, reasons)) > 0 {
		t.Skip("see TestEveryDetectorIsWhole")
	}
	with := func(reason Reason, change func(*detector)) []detector {
		rows := slices.Clone(detectors)
		change(&rows[rank(reason)])
		return rows
	}
	for _, x := range []struct {
		rows []detector
		want []string
	}{
		{append(slices.Clone(detectors), detector{reason: "moon"}), []string{
			"moon: no constant has this name", `moon: doc "" is not a clause`, "moon: no words", "moon: no alert", "moon: no judge",
			`moon: its setting "" is not a field of DetectPolicy (policy.go); it wants a default there and a row in internal/config/settings_healing.go`, "moon: no need"}},
		{append(slices.Clone(detectors), detectors[0]), []string{"dead_hot: it has two rows"}},
		{with(DeadBoard, func(d *detector) { d.doc = "" }), []string{`dead_board: doc "" is not a clause`}},
		{with(DeadBoard, func(d *detector) { d.words = nil }), []string{"dead_board: no words"}},
		{with(DeadBoard, func(d *detector) { d.alert = "BoardGone" }), []string{"dead_board: no runbook of its alert BoardGone: docs/runbooks/BoardGone.md"}},
		{with(DeadBoard, func(d *detector) { d.judge = nil }), []string{"dead_board: no judge"}},
		{with(DeadBoard, func(d *detector) { d.setting = "detect.low" }), []string{
			"dead_board: need does not follow detect.low", "detect.dead_board: no detector takes this evidence"}},
		{with(DeadBoard, func(d *detector) { d.need = func(*DragonPolicy) Evidence { return Evidence{Bad: 1, Of: 2} } }), []string{
			"dead_board: it needs {For:0s Bad:1 Of:2}", "dead_board: need does not follow detect.dead_board"}},
		{with(DeadHot, func(d *detector) { d.gap = nil }), []string{"dead_hot: it does not climb, and has no gap between two restarts"}},
		{with(DeadBoard, func(d *detector) { d.maxRung = 0 }), []string{"dead_board: nothing is done about it, and it says how"}},
	} {
		if diff := cmp.Diff(x.want, detectorFaults(x.rows, reasons)); diff != "" {
			t.Error(diff)
		}
	}
}
