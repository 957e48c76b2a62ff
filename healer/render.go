package healer

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Exit codes of the plan command.
const (
	ExitNothing = 0
	ExitError   = 1
	ExitAct     = 2 // something would be done
	ExitBlocked = 3 // something would be done, were it not for a breaker
)

// ExitCode says what the plan amounts to.
func (p *Plan) ExitCode() int {
	code := ExitNothing
	for i := range p.Dragons {
		switch d := &p.Dragons[i]; {
		case d.Verb == Act || d.Verb == WouldAct:
			return ExitAct
		case d.Verb == Blocked && breakerGate(d.Blocked):
			code = ExitBlocked
		}
	}
	for i := range p.Upgrades {
		if p.Upgrades[i].Verb == Act {
			return ExitAct
		}
	}
	for i := range p.Changes {
		switch d := &p.Changes[i]; {
		case d.Verb == Act || d.Verb == WouldAct:
			return ExitAct
		case breakerGate(d.Blocked):
			code = ExitBlocked
		}
	}
	return code
}

func breakerGate(g Gate) bool {
	switch g {
	case GateIsolation, GateBoot, GatePool, GateDomain, GateSchema, GateForeign, GateStorm, GateScope, GateEfficacy, GateHarm, GateRollout:
		return true
	}
	return false
}

// Render writes the plan as a table: one line about the fleet, then every dragon that
// is not simply well.
func (p *Plan) Render(w io.Writer) error {
	n := &p.Counts
	fmt.Fprintf(w, "fleet=%d healthy=%d suspect=%d sick=%d quarantined=%d unreachable=%d  storm=%s(%d/%d)", n.Fleet,
		n.States[StateHealthy], n.States[StateSuspect], n.States[StateSick]+n.States[StateHeld],
		n.States[StateQuarantined], n.States[StateUnreachable], p.BreakerState("storm"), n.Sick, n.Storm)
	for _, b := range p.Budgets {
		if b.Scope != "fleet" {
			continue
		}
		name := "slots"
		switch time.Duration(b.Window) {
		case time.Hour:
			name = "hour"
		case day:
			name = "day"
		}
		fmt.Fprintf(w, "  %s %d/%d", name, b.Used, b.Limit)
	}
	fmt.Fprintln(w)
	for _, b := range p.Breakers {
		slow := ""
		if b.Slow {
			slow = ", slow mode"
		}
		fmt.Fprintf(w, "breaker %s: %s%s: %s\n", strings.TrimSpace(b.Name+" "+b.Scope), b.State, slow, b.Detail)
	}
	for _, x := range p.Pauses {
		fmt.Fprintf(w, "%s %s of %s by %s: %s\n", x.Kind, x.ID, strings.TrimSpace(x.Scope+" "+x.Value), x.Owner, x.Reason)
	}
	if e := p.External; e != nil {
		state := "open"
		if !e.Open {
			state = "CLOSED"
		}
		fmt.Fprintln(w, strings.TrimSuffix("external gate: "+state+": "+e.Detail, ": "))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NEXT\tMAC\tWORKER\tSTATE\tREASON\tEVIDENCE\tACTION\tWHEN\tBLOCKED BY")
	next := 0
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if d.Verb == Nothing && d.Note == "" && d.Reason == "" && quiet(d.State) {
			continue
		}
		row := []string{"-", d.MAC, d.Worker, string(d.State), dash(string(d.Reason)), dash(d.InWords()), d.action(), "-", dash(d.blockedBy())}
		if d.Verb == Act || d.Verb == WouldAct || d.Verb == Blocked {
			next++
			row[0] = fmt.Sprint(next)
			row[7] = d.when()
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return p.renderWishes(w)
}

// renderWishes writes how far the rollouts are, and every dragon that is not as wished.
func (p *Plan) renderWishes(w io.Writer) error {
	for i := range p.Rollouts {
		ro := &p.Rollouts[i]
		fmt.Fprintf(w, "rollout %s %s (%s): %s for %s", ro.ID, ro.Kind, ro.Name, ro.State, ShortDuration(p.At.Since(ro.Since)))
		if ro.State == RolloutCanary {
			fmt.Fprintf(w, ", %s tries it first", ro.Canary)
		}
		fmt.Fprintf(w, "; of %d dragons", ro.Members)
		for _, phase := range Phases {
			if n := ro.Phases[string(phase)]; n > 0 {
				fmt.Fprintf(w, " %d %s", n, strings.ReplaceAll(string(phase), "_", " "))
			}
		}
		fmt.Fprintln(w)
		for _, x := range ro.Owed {
			fmt.Fprintf(w, "  %s still has what does not work; to be given back what it had it waits for %s\n", x.Worker, x.Waits)
		}
	}
	p.renderFirmware(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	any := false
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if d.Wish == nil || len(d.Wish.Drift) == 0 && (d.Wish.Phase == PhaseNone || d.Wish.Phase == PhaseRight || d.Wish.Phase == PhaseUnknown) {
			continue
		}
		if !any {
			fmt.Fprintln(t, "WISH\tMAC\tWORKER\tIS\tWANT\tHAVE\tWHEN\tBLOCKED BY")
			any = true
		}
		when, blocked := "-", d.Wish.trouble()
		if c := p.changeOf(d.MAC); c != nil {
			when, blocked = c.when(), c.closedGates()
		}
		want, have := d.Wish.differences()
		fmt.Fprintln(t, strings.Join([]string{dash(d.Wish.Rollout), d.MAC, d.Worker, dash(d.Wish.Is()), dash(want), dash(have), when, dash(blocked)}, "\t"))
	}
	return t.Flush()
}

// changeOf is the decision to configure a dragon; nil if there is none.
func (p *Plan) changeOf(mac string) *Decision {
	for i := range p.Changes {
		if p.Changes[i].MAC == mac {
			return &p.Changes[i]
		}
	}
	return nil
}

// trouble says why a dragon is left as it is.
func (x *WishState) trouble() string {
	var words []string
	for _, d := range x.Drift {
		if d.Item == ItemFirmware && x.Firmware == FirmwareIs(PhaseDrifted) {
			words = append(words, fmt.Sprintf("firmware comes by: mother-of-dragons firmware rollout start %s --model %s --reason WHY", d.Want, modelOf(d.Want)))
		}
	}
	for _, x := range x.Stuck {
		words = append(words, fmt.Sprintf("%s: %s", x.Item, x.Why))
	}
	for _, item := range x.Conflict {
		words = append(words, fmt.Sprintf("somebody else wants its %s so", item))
	}
	return strings.Join(words, "; ")
}

// modelOf is the model that a version is for, as dragons write it.
func modelOf(version string) string {
	model, _, _ := strings.Cut(version, "_")
	return strings.ToUpper(model)
}

// differences says what is otherwise than wished.
func (x *WishState) differences() (want, have string) {
	var wants, haves []string
	for _, d := range x.Drift {
		wants, haves = append(wants, d.Want), append(haves, d.Have)
	}
	return strings.Join(wants, "; "), strings.Join(haves, "; ")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// InWords is the evidence for the decision's reason in a few words; empty where there
// is no reason.
func (d *Decision) InWords() string {
	e := &d.Evidence
	if d.Reason == "" {
		return ""
	}
	parts := []string{describe(d.Reason, e, d.Slot)}
	if e.Of > 0 {
		parts = append(parts, fmt.Sprintf("%d/%d", e.Bad, e.Of))
	}
	if e.Tuning && d.Reason != TuningStuck {
		parts = append(parts, "tuning "+ShortDuration(time.Duration(e.TuningFor)))
	}
	if e.Hottest >= 90 && d.Reason != Hot && d.Reason != Overheat {
		parts = append(parts, fmt.Sprintf("%.0fC", e.Hottest))
	}
	if e.FanDuty >= 0.95 {
		parts = append(parts, fmt.Sprintf("fan %.0f%%", 100*e.FanDuty))
	}
	if up := max(e.Uptime, e.Elapsed); up >= 0 {
		parts = append(parts, "up "+ShortDuration(seconds(up)))
	}
	if parts[0] == "" {
		parts = parts[1:]
	}
	return strings.Join(parts, ", ")
}

func (d *Decision) action() string {
	switch {
	case d.Kind == "":
		return "none"
	case d.Rungs > 0:
		return fmt.Sprintf("%s (%d/%d)", d.Kind, d.Rung, d.Rungs)
	}
	return string(d.Kind)
}

func (d *Decision) when() string {
	switch {
	case d.Verb != Blocked && d.Verb != Wait:
		return "now"
	case !d.In.Known:
		return "-"
	}
	m := int(time.Duration(d.In.For).Round(time.Minute).Minutes())
	return fmt.Sprintf("+%02d:%02d", m/60, m%60)
}

func (d *Decision) blockedBy() string {
	if d.Blocked == "" {
		return d.Note
	}
	return d.closedGates()
}

func (d *Decision) closedGates() string {
	var closed []string
	for _, g := range d.Gates {
		if !g.Open {
			closed = append(closed, string(g.Name))
		}
	}
	return strings.Join(closed, ", ")
}

// Why writes everything that is known about one dragon, by MAC or worker. It reports
// false where there is no such dragon.
func (p *Plan) Why(w io.Writer, target string) bool {
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if d.MAC != target && d.Worker != target {
			continue
		}
		d.why(w, p)
		if d.Wish != nil {
			d.Wish.why(w, p.changeOf(d.MAC))
		}
		p.whyFirmware(w, d.MAC)
		return true
	}
	return false
}

// whyFirmware says where a dragon stands in rollouts of firmware, and whether it is next.
func (p *Plan) whyFirmware(w io.Writer, mac string) {
	for i := range p.Firmware {
		x := &p.Firmware[i]
		for _, u := range x.Dragons {
			if u.MAC != mac {
				continue
			}
			fmt.Fprintf(w, "firmware  %s to %s, wave %d: %s for %s", x.ID, x.Release.Version, u.Wave+1, u.Phase, ShortDuration(p.At.Since(u.Since)))
			if u.Why != "" {
				fmt.Fprintf(w, ": %s", u.Why)
			}
			fmt.Fprintln(w)
		}
	}
	for i := range p.Upgrades {
		if d := &p.Upgrades[i]; d.MAC == mac {
			fmt.Fprintf(w, "firmware  %s, %s\n", d.Note, d.when())
			d.whyGates(w)
		}
	}
}

func (d *Decision) why(w io.Writer, p *Plan) {
	fmt.Fprintf(w, "%s %s at %s, %s, firmware %s, domain %s\n", d.Worker, d.MAC, d.Address, dash(d.Model), dash(d.Firmware), d.Domain)
	fmt.Fprintf(w, "state     %s for %s", d.State, ShortDuration(p.At.Since(d.Since)))
	if d.Note != "" {
		fmt.Fprintf(w, " (%s)", d.Note)
	}
	fmt.Fprintln(w)
	e := &d.Evidence
	if d.Reason != "" {
		fmt.Fprintf(w, "reason    %s: %s\n", d.Reason, d.InWords())
	}
	if e.Of > 0 {
		fmt.Fprintf(w, "evidence  %d of the last %d samples bad, for %s\n", e.Bad, e.Of, ShortDuration(time.Duration(e.For)))
	}
	fmt.Fprintf(w, "hashrate  %s of %s\n", hashrate(e.Rate), hashrate(e.Baseline))
	fmt.Fprintf(w, "boards    %d alive, %d reported, %d expected\n", e.Alive, e.Boards, e.Expected)
	if d.Kind != "" {
		fmt.Fprintf(w, "action    %s, %s\n", d.action(), dash(d.when()))
	}
	if b := d.Benefit; b != nil && b.Known {
		fmt.Fprintf(w, "benefit   p %.2f: gain %s over a day, cost %s\n", b.Chance, work(b.Gain), work(b.Cost))
	}
	d.whyGates(w)
}

// why says what a dragon is to be, and what is in the way.
func (x *WishState) why(w io.Writer, change *Decision) {
	name := x.Name
	if x.Rollout != "" {
		name += " (rollout " + x.Rollout + ")"
	}
	fmt.Fprintf(w, "wish      %s: %s\n", name, strings.ReplaceAll(x.Is(), "_", " "))
	for _, d := range x.Drift {
		fmt.Fprintf(w, "  %-8s want %s\n           have %s\n", d.Item, d.Want, d.Have)
	}
	if trouble := x.trouble(); trouble != "" {
		fmt.Fprintf(w, "  left so  %s\n", trouble)
	}
	if change != nil {
		fmt.Fprintf(w, "action    %s, %s\n", change.Kind, change.when())
		change.whyGates(w)
	}
}

func (d *Decision) whyGates(w io.Writer) {
	for _, g := range d.Gates {
		state := "open"
		if !g.Open {
			state = "CLOSED"
			if g.Wait.Known {
				state += " for " + ShortDuration(time.Duration(g.Wait.For))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("gate      %-18s %-15s %s", g.Name, state, g.Detail), " "))
	}
}

// renderFirmware writes how far the rollouts of firmware are, and who is next.
func (p *Plan) renderFirmware(w io.Writer) {
	for i := range p.Firmware {
		x := &p.Firmware[i]
		if x.State == FirmwareDone || x.State == FirmwareAborted && p.At.Since(x.Since) >= week {
			continue
		}
		fmt.Fprintln(w, x.InWords(p.At))
	}
	for i := range p.Upgrades {
		d := &p.Upgrades[i]
		fmt.Fprintf(w, "  %s %s: %s, %s", d.Worker, d.Kind, d.Note, d.when())
		if d.Blocked != "" {
			fmt.Fprintf(w, ", blocked by %s", d.WhatBlocks())
		}
		fmt.Fprintln(w)
	}
}

// WhatBlocks says which gate is in the way first, and why.
func (d *Decision) WhatBlocks() string {
	for _, g := range d.Gates {
		if g.Name == d.Blocked && g.Detail != "" {
			return string(g.Name) + ": " + g.Detail
		}
	}
	return string(d.Blocked)
}

// InWords says how far a rollout is.
func (x *FirmwareShown) InWords(now Moment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "firmware %s to %s: %s", x.ID, x.Release.Version, x.State)
	if age := now.Since(x.Since); age > 0 {
		fmt.Fprintf(&b, " for %s", ShortDuration(age))
	}
	if x.Why != "" {
		fmt.Fprintf(&b, " (%s)", x.Why)
	}
	fmt.Fprintf(&b, "; wave %d of %d, %d dragons:", x.Wave+1, x.Waves, x.Members)
	for _, phase := range append([]UpgradePhase{PhaseWaiting}, UpgradePhases...) {
		if n := x.Phases[string(phase)]; n > 0 {
			fmt.Fprintf(&b, " %d %s", n, phase)
		}
	}
	return b.String()
}
