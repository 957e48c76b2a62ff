package farmtest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// mutations say, for every gate, in which farm something goes wrong without it, and
// which invariant is broken then. A name is a story of testdata, anything else a
// script.
var mutations = map[healer.Gate]struct{ script, breaks string }{
	healer.GateStop:  {"x-humans-win", "I17"},
	healer.GateOwner: {"s17-second-process", "I19"},
	healer.GateStore: {"s33-disk-full", "I9"},
	healer.GateClock: {"s10-clock-jumps", "I9"},
	healer.GateRecovered: {`farm 12; run 36h; policy recovered_observe 48h
at 3h store corrupt; at 4h board d3/1 dead`, "I9"},
	healer.GateSafeMode: {"s16-crash-loop", "I9"},
	healer.GatePause:    {"x-humans-win", "I17"},
	healer.GateStart: {`farm 12; run 5h
at 3h05m board d3/1 dead; at 3h14m kill healer`, "I6"},
	healer.GateConflict: {`farm 12; run 4h
at 2h mac d3 d4; at 3h ask d3 reboot force`, "I8"},
	healer.GateMaintenance: {`farm 12; run 4h
at 2h maintenance mac d3; at 3h ask d3 reboot`, "I17"},
	healer.GateQuarantine: {`farm 12; run 4h
at 2h quarantine d3; at 3h ask d3 reboot`, "I2"},
	healer.GateFlapping: {`farm 12; run 6h
at 2h dragon d3 reboots; at 2h20m dragon d3 reboots; at 2h40m dragon d3 reboots; at 5h ask d3 restart`, "I3"},
	healer.GateNew: {`farm 12; run 2h
at 5m board d3/1 dead`, "I7"},
	healer.GateFresh: {`farm 12; run 4h
at 2h web d3 stale 30m; at 2h04m10s ask d3 reboot`, "I6"},
	healer.GateYoung: {`farm 12; run 4h; tune 0s
at 2h dragon d3 reboots; at 2h10m ask d3 restart`, "I7"},
	healer.GateTuning: {`farm 12; run 6h; tune 2h
at 2h dragon d3 reboots; at 3h ask d3 restart`, "I7"},
	healer.GateConfig: {`farm 12; run 5h; policy min_gap 5m
at 2h ask d3 configure by rollout:pools; at 2h05m board d3/1 dead`, "I7"},
	healer.GateUnfit: {`farm 4; switches 4; run 5h; baselines learned
at 1h dragon all hot +25; at 2h firmware start t1_20191101_120000 good`, "I13"},
	healer.GateCooling: {"s24-heat", "I7"},
	healer.GateWindow:  {"s40-window", "I17"},
	healer.GateIsolation: {`farm 20; switches 10; run 5h
at 3h board d4/0 dead; at 3h08m30s gateway down 1m`, "I3"},
	healer.GateBoot: {`farm 30; switches 5; tune 2m..5m; run 7h
at 4h power site off 3m; at 4h20m board d11/1 dead`, "I3"},
	healer.GatePool: {`farm 20; run 6h
at 3h pool slush down 1h; at 3h10m board d4/0 dead`, "I3"},
	healer.GateDomain: {"s03-switch-outage", "I3"},
	healer.GateSchema: {"s29-garbage", "I3"},
	healer.GateForeign: {`farm 20; switches 10; run 5h; baselines learned
at 3h stranger restarts d3-d6; at 3h05m board d3/1 dead`, "I3"},
	healer.GateStorm: {`farm 20; switches 5; run 5h
at 3h board d0-d4/1 dead`, "I3"},
	healer.GateScope: {`farm 40; switches 4; run 5h; policy storm 90%
at 3h board d0,d4,d8,d12/1 dead`, "I3"},
	healer.GateEfficacy: {`farm 3; switches 3; run 12d; baselines learned
at 1h board d1/1 150`, "I10"},
	healer.GateHarm: {"s36-lost", "I10"},
	healer.GateInFlight: {`farm 12; run 6h
at 3h dragon d3 freeze restart=1; at 3h29m ask d3 reboot force`, "I1"},
	healer.GateHold: {`farm 12; run 6h; policy min_gap 10m
at 3h board d3/0 dead; at 3h board d3/1 dead; at 3h board d3/2 dead`, "I2"},
	healer.GateInterval: {"s02-own-pools-dead", "I2"},
	healer.GateGap: {`farm 12; run 5h
at 3h answer d3 refused; at 3h ask d3 restart; at 3h01m answer d3 ok; at 3h01m board d3/1 dead`, "I1"},
	healer.GateDevice:  {"s02-own-pools-dead", "I2"},
	healer.GateBenefit: {"s23-tuning-costs", "I4"},
	healer.GateFlight: {`farm 40; switches 8; run 5h
at 3h board d3/1 dead; at 3h board d4/1 missing`, "I1"},
	healer.GateDomainSlots: {`farm 40; switches 4; run 5h; policy in_flight_min 5
at 3h board d3/1 dead; at 3h board d7/1 missing`, "I1"},
	healer.GateRollouts: {`farm 40; switches 8; run 5h; policy in_flight_min 2
at 3h ask d3 configure by rollout:pools; at 3h02m ask d4 configure by rollout:pools`, "I1"},
	healer.GateSpacing: {`farm 40; switches 8; run 5h; policy in_flight_min 5; cycle 10s
at 3h board d0/1 dead; at 3h board d6/1 missing`, "I1"},
	healer.GateHour: {`farm 40; switches 8; run 5h; policy in_flight_min 5
at 3h board d3/1 dead; at 3h board d4/1 dead; at 3h board d5/1 dead`, "I1"},
	healer.GateDay: {`farm 20; run 14h
at 2h board d3/1 dead restart=1; at 4h board d4/1 dead restart=1; at 6h board d5/1 dead restart=1
at 8h board d6/1 dead restart=1; at 10h board d7/1 dead restart=1`, "I1"},
	healer.GateExternal: {"s38-external-gate", "I9"},
	healer.GateRollout: {`farm 20; run 4h
at 2h wish all pools typo`, "I12"},
	healer.GateWave: {`farm 20; run 4h
at 2h wish all pools slush mode efficient`, "I12"},
}

// unreachable are the gates that no farm can tell from the others: what stands behind
// each of them. Their own tests are the healer's.
var unreachable = map[healer.Gate]string{
	healer.GateUploads: "in a farm it takes no time to send an image",
	healer.GateCeiling: "Interlock asks the same right before the write",
	healer.GateLost:    "a lost dragon gives no sample, or it is not lost any more: the gate fresh",
}

// A rule that nothing fails without is not a rule.
func TestEveryGateIsNeeded(t *testing.T) {
	for _, gate := range healer.Gates() {
		m, ok := mutations[gate]
		if !ok {
			if unreachable[gate] == "" {
				t.Errorf("no script fails without the gate %s", gate)
			}
			continue
		}
		t.Run(string(gate), func(t *testing.T) {
			t.Parallel()
			text := m.script
			if file, err := os.ReadFile("testdata/" + m.script + ".farm"); err == nil {
				text = string(file)
			}
			s, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := violations(s, s.Policy); len(got) > 0 {
				t.Errorf("with the gate: %s", strings.Join(got, "\n"))
			}
			got := violations(s, healer.WithoutGate(t, s.Policy, gate))
			for _, f := range got {
				if kind(f) == m.breaks {
					return
				}
			}
			t.Errorf("without the gate nothing breaks %s, only %q", m.breaks, got)
		})
	}
}

// Two dragons behind a switch are too few for an outage of their site: isolation holds them, as long
// as the storm of those out of reach, which is not looked for here.
func TestIsolationHoldsWhereASiteIsTooSmall(t *testing.T) {
	s := load(t, "x-two-known-behind-a-switch")
	p := healer.WithoutGate(t, s.Policy, healer.GateIsolation)
	p.Breakers.Unreachable = 2
	if got := violations(s, p); !slices.ContainsFunc(got, func(f string) bool { return kind(f) == "I3" }) {
		t.Errorf("without the gate nothing breaks I3, only %q", got)
	}
}

func violations(s *Script, p healer.Policy) []string {
	r := Run(s, Options{Policy: &p})
	if err := r.Harm(Leave(s, NoHealer{})); err != nil {
		return append(r.Oracle.Failures, "end "+err.Error())
	}
	return r.Oracle.Failures
}

// What the healer's process must do is noticed when it does not: here, prove who
// answers before it sends.
func TestIdentityIsNeeded(t *testing.T) {
	s := load(t, "s19-dhcp")
	r := Run(s, Options{Prepare: func(_ *World, h *Healer) { h.Trust = true }})
	for _, f := range r.Oracle.Failures {
		if kind(f) == "I8" {
			return
		}
	}
	t.Errorf("a healer that proves no identity is not found out: %q", r.Oracle.Failures)
}
