package healer

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// Exit codes of the plan command.
const (
	ExitNothing = 0
	ExitError   = 1
	ExitAct     = 2 // something is done now, or would be
	ExitBlocked = 3 // something waits for a gate
)

// ExitCode is ExitAct if the plan acts now, ExitBlocked if something only waits, else
// ExitNothing.
func (p *Plan) ExitCode() int {
	code := ExitNothing
	for _, list := range [][]Decision{p.Dragons, p.Upgrades, p.Changes} {
		for i := range list {
			switch list[i].Verb {
			case Act, WouldAct:
				return ExitAct
			case Blocked, Wait:
				code = ExitBlocked
			}
		}
	}
	return code
}

// Layout says how a plan is printed.
type Layout struct {
	All   bool // every dragon in a row; otherwise dragons that wait for a rollout are grouped
	Width int  // columns of the terminal; 0: any
}

// maxRows is how many dragons are listed without Layout.All.
const maxRows = 50

// Render writes the plan as text, every dragon in a row.
func (p *Plan) Render(w io.Writer) error { return p.RenderAs(w, Layout{All: true}) }

// RenderAs writes the plan as text: a line about the fleet, the dragons that are not
// healthy, the rollouts and the dragons that have drifted.
func (p *Plan) RenderAs(w io.Writer, l Layout) error {
	var b bytes.Buffer
	if err := p.render(&b, l); err != nil {
		return err
	}
	for line := range bytes.Lines(b.Bytes()) {
		if text := bytes.TrimRight(line, " \n"); l.Width > 0 && utf8.RuneCount(text) > l.Width {
			line = append([]byte(string([]rune(string(text))[:l.Width-1])), "…\n"...)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) render(w io.Writer, l Layout) error {
	n := &p.Counts
	fmt.Fprintf(w, "fleet=%d healthy=%d suspect=%d sick=%d quarantined=%d unreachable=%d  storm=%s(%d/%d)", n.Fleet,
		n.States[StateHealthy], n.States[StateSuspect], n.States[StateSick]+n.States[StateHeld],
		n.States[StateQuarantined], n.States[StateUnreachable], p.BreakerState("storm"), n.Sick, n.Storm)
	if l.Width > 0 { // the budgets on a line of their own
		fmt.Fprint(w, "\nbudgets:")
	}
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
	if err := p.renderDragons(w, l); err != nil {
		return err
	}
	return p.renderRollouts(w, l)
}

// renderDragons writes the dragons that are not healthy.
func (p *Plan) renderDragons(w io.Writer, l Layout) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(next, mac string, cells ...string) {
		if l.All {
			cells = append([]string{mac}, cells...)
		}
		fmt.Fprintln(t, next+"\t"+strings.Join(cells, "\t"))
	}
	row("NEXT", "MAC", "WORKER", "STATE", "REASON", "EVIDENCE", "ACTION", "WHEN", "BLOCKED BY")
	next, rows := 0, 0
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if d.Verb == Nothing && d.Note == "" && d.Reason == "" && quiet(d.State) {
			continue
		}
		if rows++; rows > maxRows && !l.All {
			continue
		}
		turn, when := "-", "-"
		if d.Verb == Act || d.Verb == WouldAct || d.Verb == Blocked {
			next++
			turn, when = fmt.Sprint(next), d.when()
		}
		row(turn, d.MAC, d.Worker, string(d.State), dash(string(d.Reason)), dash(d.InWords()), d.action(), when, dash(d.blockedBy()))
	}
	if rows == 0 {
		return nil
	}
	err := t.Flush()
	if rows > maxRows && !l.All {
		fmt.Fprintf(w, "and %d more (--all)\n", rows-maxRows)
	}
	return err
}

// renderRollouts writes the progress of the rollouts and the dragons that have drifted.
func (p *Plan) renderRollouts(w io.Writer, l Layout) error {
	for i := range p.Rollouts {
		ro := &p.Rollouts[i]
		fmt.Fprintf(w, "rollout %s %s (%s): %s for %s", ro.ID, ro.Kind, ro.Name, ro.State, ShortDuration(p.At.Since(ro.Since)))
		if ro.State == RolloutCanary {
			fmt.Fprintf(w, ", canary %s", ro.Canary)
		}
		var parts []string
		for _, phase := range Phases {
			if n := ro.Phases[string(phase)]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, phase.inWords()))
			}
		}
		if ro.Left > 0 {
			parts = append(parts, fmt.Sprintf("about %s left", ShortDuration(time.Duration(ro.Left))))
		}
		fmt.Fprintf(w, "; %d dragons: %s\n", ro.Members, strings.Join(parts, ", "))
		for _, x := range ro.Owed {
			fmt.Fprintf(w, "  %s still has the failed configuration; its rollback waits for %s\n", x.Worker, x.Waits)
		}
	}
	p.renderFirmware(w)
	if l.All {
		return p.renderDrift(w)
	}
	p.renderGroups(w)
	return nil
}

func (p Phase) inWords() string {
	if p == PhaseRight {
		return "in sync"
	}
	return strings.ReplaceAll(string(p), "_", " ")
}

// drifted reports whether a dragon is not in sync with its desired state.
func (d *Decision) drifted() bool {
	x := d.Wish
	return x != nil && (len(x.Drift) > 0 || x.Phase != PhaseNone && x.Phase != PhaseRight && x.Phase != PhaseUnknown)
}

// renderDrift writes every dragon that has drifted.
func (p *Plan) renderDrift(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	empty := true
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if !d.drifted() {
			continue
		}
		if empty {
			fmt.Fprintln(t, "ROLLOUT\tMAC\tWORKER\tIS\tWANT\tHAVE\tWHEN\tBLOCKED BY")
			empty = false
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

// renderGroups writes how many dragons have drifted, by what they are and wait for.
func (p *Plan) renderGroups(w io.Writer) {
	type group struct{ rollout, model, is, note string }
	counts := make(map[group]int)
	var order []group
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if !d.drifted() {
			continue
		}
		g := group{d.Wish.Rollout, d.Model, strings.ReplaceAll(d.Wish.Is(), "_", " "), d.Wish.trouble()}
		if c := p.changeOf(d.MAC); c != nil {
			g.note = "now"
			if c.Blocked != "" {
				g.note = "blocked by " + string(c.Blocked)
			}
		}
		if counts[g]++; counts[g] == 1 {
			order = append(order, g)
		}
	}
	for _, g := range order {
		line := fmt.Sprintf("  %d of %s %s", counts[g], dash(g.model), g.is)
		if g.rollout != "" {
			line = "  " + g.rollout + ":" + line[1:]
		}
		if g.note != "" {
			line += ", " + g.note
		}
		fmt.Fprintln(w, line)
	}
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

// trouble says why a dragon stays as it is.
func (x *WishState) trouble() string {
	var words []string
	for _, d := range x.Drift {
		if d.Item == ItemFirmware && x.Firmware == FirmwareIs(PhaseDrifted) {
			words = append(words, fmt.Sprintf("start it with: mother-of-dragons firmware rollout start %s --model %s --reason WHY", d.Want, modelOf(d.Want)))
		}
	}
	for _, x := range x.Stuck {
		words = append(words, fmt.Sprintf("%s: %s", x.Item, x.Why))
	}
	for _, item := range x.Conflict {
		words = append(words, fmt.Sprintf("its %s was changed externally", item))
	}
	return strings.Join(words, "; ")
}

// modelOf is the model that a version is for, as dragons write it.
func modelOf(version string) string {
	model, _, _ := strings.Cut(version, "_")
	return strings.ToUpper(model)
}

// differences says what is not in sync.
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
	fmt.Fprintf(w, "%s %s at %s, %s, firmware %s, site %s\n", d.Worker, d.MAC, d.Address, dash(d.Model), dash(d.Firmware), d.Domain)
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
	switch {
	case d.Kind != "":
		fmt.Fprintf(w, "action    %s, %s\n", d.action(), dash(d.when()))
	case len(d.Gates) > 0:
		fmt.Fprintln(w, "action    none; a restart now would meet these gates:")
	}
	if b := d.Benefit; b != nil && b.Known {
		fmt.Fprintf(w, "benefit   p %.2f: gain %s over a day, cost %s\n", b.Chance, work(b.Gain), work(b.Cost))
	}
	d.whyGates(w)
}

// why writes the desired state, and what keeps the dragon from it.
func (x *WishState) why(w io.Writer, change *Decision) {
	name := x.Name
	if x.Rollout != "" {
		name += " (rollout " + x.Rollout + ")"
	}
	fmt.Fprintf(w, "desired   %s: %s\n", name, strings.ReplaceAll(strings.ReplaceAll(x.Is(), "as_wished", "in sync"), "_", " "))
	for _, d := range x.Drift {
		fmt.Fprintf(w, "  %-8s want %s\n           have %s\n", d.Item, d.Want, d.Have)
	}
	if trouble := x.trouble(); trouble != "" {
		fmt.Fprintf(w, "  why      %s\n", trouble)
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
