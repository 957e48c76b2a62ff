package healer

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// constants returns the values of this package's constants of a type.
func constants(t *testing.T, file, typ string) (values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typ {
			value, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			values = append(values, value)
		}
		return true
	})
	return values
}

// runbook reports whether an alert has one.
func runbook(alert string) bool {
	_, err := os.Stat("../docs/runbooks/" + alert + ".md")
	return err == nil
}

var (
	whenClosed = regexp.MustCompile(`^(while|until|for|after|when|outside|to) .*[^. ]$`)
	healerVerb = regexp.MustCompile(`healer (ack [a-z_]+|resume ID|(release|quarantine) WORKER)`)
)

// gateFaults are what is wrong with rows of the table of gates, or missing in them.
func gateFaults(rows []gate, names []string) (faults []string) {
	seen := make(map[Gate]bool)
	for i := range rows {
		g := &rows[i]
		fault := func(bad bool, format string, args ...any) {
			if bad {
				faults = append(faults, string(g.name)+": "+fmt.Sprintf(format, args...))
			}
		}
		fault(!slices.Contains(names, string(g.name)), "no constant has this name")
		fault(seen[g.name], "it has two rows")
		seen[g.name] = true
		fault(!whenClosed.MatchString(g.closed), "closed %q does not say when", g.closed)
		fault(g.human == "" && g.event == "", "neither human nor event: nothing ends the wait")
		fault(g.holds == 0, "it holds no kind of write")
		fault(g.passes&^g.holds != 0, "it passes writes that it is not about")
		fault(g.passes == g.holds && g.holds != 0, "it passes all that it is about")
		fault(g.ask == nil, "no ask")
		fault(g.latched && !strings.Contains(g.human, "healer ack "+string(g.name)), "latched, and human does not say: healer ack %s", g.name)
		fault(strings.Contains(g.human, "healer ") && !healerVerb.MatchString(g.human), "human %q has no verb of the command healer", g.human)
		if _, after, ok := strings.Cut(g.human, "healer ack "); ok {
			fault(strings.Fields(after)[0] != string(g.name), "human %q acknowledges something else", g.human)
		}
		fault(g.hold && !strings.Contains(g.human, "healer "), "a human holds the dragon, and human does not say how to release it")
		fault(g.fleetWide && g.own, "fleetWide, and own")
		fault(g.human != "" && g.alert == "", "a human opens it, and no alert calls one")
		fault(g.alert != "" && !runbook(g.alert), "no runbook of its alert %s", g.alert)
	}
	for _, name := range names {
		if !seen[Gate(name)] {
			faults = append(faults, name+": a constant without a row")
		}
	}
	return faults
}

func TestEveryGateIsWhole(t *testing.T) {
	for _, fault := range gateFaults(gates, constants(t, "gates.go", "Gate")) {
		t.Error(fault)
	}
}

// A new row is whole, or the test above names what is missing.
func TestWhatAGateLacksIsNamed(t *testing.T) {
	names := constants(t, "gates.go", "Gate")
	if len(gateFaults(gates, names)) > 0 {
		t.Skip("see TestEveryGateIsWhole")
	}
	with := func(name Gate, change func(*gate)) []gate {
		rows := slices.Clone(gates)
		change(&rows[slices.IndexFunc(rows, func(g gate) bool { return g.name == name })])
		return rows
	}
	for _, x := range []struct {
		rows []gate
		want []string
	}{
		{append(slices.Clone(gates), gate{name: "moon"}), []string{
			"moon: no constant has this name", `moon: closed "" does not say when`, "moon: neither human nor event: nothing ends the wait",
			"moon: it holds no kind of write", "moon: no ask"}},
		{gates[1:], []string{"stop: a constant without a row"}},
		{append(slices.Clone(gates), gates[0]), []string{"stop: it has two rows"}},
		{with(GatePool, func(g *gate) { g.closed = "a pool is down" }), []string{`pool: closed "a pool is down" does not say when`}},
		{with(GatePool, func(g *gate) { g.human = "" }), []string{"pool: neither human nor event: nothing ends the wait"}},
		{with(GatePool, func(g *gate) { g.ask = nil }), []string{"pool: no ask"}},
		{with(GatePool, func(g *gate) { g.alert = "PoolGone" }), []string{"pool: no runbook of its alert PoolGone"}},
		{with(GateCooling, func(g *gate) { g.alert = "" }), []string{"cooling: a human opens it, and no alert calls one"}},
		{with(GateHarm, func(g *gate) { g.human = "wait" }), []string{"harm: latched, and human does not say: healer ack harm"}},
		{with(GateStorm, func(g *gate) { g.human = "healer ack scope" }), []string{`storm: human "healer ack scope" acknowledges something else`}},
		{with(GatePause, func(g *gate) { g.human = "wait" }), []string{"pause: a human holds the dragon, and human does not say how to release it"}},
		{with(GateHold, func(g *gate) { g.passes = configWrites }), []string{"hold-down: it passes writes that it is not about"}},
		{with(GateHold, func(g *gate) { g.passes = g.holds }), []string{"hold-down: it passes all that it is about"}},
		{with(GateStop, func(g *gate) { g.own = true }), []string{"stop: fleetWide, and own"}},
	} {
		if diff := cmp.Diff(x.want, gateFaults(x.rows, names)); diff != "" {
			t.Error(diff)
		}
	}
}

// Every breaker that opens has its gate.
func TestBreakersAreGates(t *testing.T) {
	all, ofFleet := BreakerNames()
	if len(ofFleet) == 0 {
		t.Error("no breaker of the fleet")
	}
	literal := regexp.MustCompile(`(?:condition|Breaker)\{(?:name|Name): "([a-z_]+)"`)
	for _, file := range []string{"breakers.go", "causes.go"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := literal.FindAllSubmatch(data, -1)
		for _, m := range found {
			if !slices.Contains(all, string(m[1])) {
				t.Errorf("%s: the breaker %s has no gate", file, m[1])
			}
		}
		if len(found) < 3 {
			t.Errorf("%s: only %d breakers found", file, len(found))
		}
	}
}
