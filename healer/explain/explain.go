// Package explain writes plans, decisions and comparisons as text for people.
package explain

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

const day = 24 * time.Hour

// Layout says how a plan is printed.
type Layout struct {
	All   bool // every dragon in a row; otherwise dragons that wait for a rollout are grouped
	Width int  // columns of the terminal; 0: any
}

// short cuts a text of people or dragons in a table, but not with All.
func (l Layout) short(s string) string {
	if r := []rune(s); len(r) > maxText && !l.All {
		return string(r[:maxText-1]) + "…"
	}
	return s
}

const (
	maxText = 24  // letters of a name with its labels
	maxNote = 200 // of a line about many dragons: a dragon's own texts can be long
)

// maxRows is how many dragons are listed without Layout.All.
const maxRows = 50

// Plan writes a plan: a line about the fleet, the dragons that are not
// healthy, what they wait for, the rollouts and the dragons that have drifted.
func Plan(w io.Writer, p *healer.Plan, l Layout) error {
	var b bytes.Buffer
	if err := plan(&b, p, l); err != nil {
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

func plan(w io.Writer, p *healer.Plan, l Layout) error {
	n := &p.Counts
	fmt.Fprintf(w, "fleet=%d healthy=%d suspect=%d sick=%d quarantined=%d unreachable=%d  storm=%s(%d/%d)", n.Fleet,
		n.States[healer.StateHealthy], n.States[healer.StateSuspect], n.States[healer.StateSick]+n.States[healer.StateHeld],
		n.States[healer.StateQuarantined], n.States[healer.StateUnreachable], p.BreakerState("storm"), n.Sick, n.Storm)
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
		fmt.Fprintf(w, "%s %s of %s by %s: %s\n", x.Kind, x.ID, x.Of(), x.Owner, x.Reason)
	}
	if e := p.External; e != nil {
		state := "open"
		if !e.Open {
			state = "CLOSED"
		}
		fmt.Fprintln(w, strings.TrimSuffix("external gate: "+state+": "+e.Detail, ": "))
	}
	if err := dragons(w, p, l); err != nil {
		return err
	}
	if err := waits(w, p); err != nil {
		return err
	}
	return rollouts(w, p, l)
}

// waits writes what sick dragons wait for, the longest wait first.
func waits(w io.Writer, p *healer.Plan) error {
	if len(p.Waiting) == 0 {
		return nil
	}
	fmt.Fprintln(w, "waiting, the longest first:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  GATE\tDRAGONS\tLONGEST\tWORKER\tENDED BY")
	for i := range p.Waiting {
		x := &p.Waiting[i]
		fmt.Fprintf(t, "  %s\t%d\t%s\t%s\t%s\n", x.Gate, x.Dragons, healer.ShortDuration(time.Duration(x.For)), x.Worker, x.EndedBy())
	}
	return t.Flush()
}

// shown reports whether a dragon is in the table of the plan.
func shown(d *healer.Decision) bool {
	return d.Verb != healer.Nothing || d.Note != "" || d.Reason != "" || !d.State.Quiet()
}

// State is a state in words. A restart by the healer needs no attention.
func State(s healer.State) string {
	switch s {
	case healer.StateActing:
		return "restarting (ours)"
	case healer.StateSettling:
		return "restarted (ours)"
	}
	return string(s)
}

// dragons writes the dragons that are not healthy.
func dragons(w io.Writer, p *healer.Plan, l Layout) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	placed := slices.ContainsFunc(p.Dragons, func(d healer.Decision) bool { return shown(&d) && d.Place != "" })
	row := func(next, mac, worker, place string, cells ...string) {
		cells = append([]string{worker}, cells...)
		if placed {
			cells = slices.Insert(cells, 1, place)
		}
		if l.All {
			cells = append([]string{mac}, cells...)
		}
		fmt.Fprintln(t, next+"\t"+strings.Join(cells, "\t"))
	}
	row("NEXT", "MAC", "WORKER", "PLACE", "STATE", "REASON", "EVIDENCE", "ACTION", "WHEN", "BLOCKED BY")
	next, rows := 0, 0
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if !shown(d) {
			continue
		}
		if rows++; rows > maxRows && !l.All {
			continue
		}
		turn, at := "-", "-"
		if d.Verb == healer.Act || d.Verb == healer.WouldAct || d.Verb == healer.Blocked {
			next++
			turn, at = fmt.Sprint(next), when(d)
		}
		row(turn, d.MAC, d.Worker, dash(l.short(d.Place)), State(d.State), dash(string(d.Reason)), dash(Evidence(d)), action(d), at, dash(d.BlockedBy()))
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

// rollouts writes the progress of the rollouts and the dragons that have drifted.
func rollouts(w io.Writer, p *healer.Plan, l Layout) error {
	for i := range p.Rollouts {
		ro := &p.Rollouts[i]
		fmt.Fprintf(w, "rollout %s %s (%s): %s for %s", ro.ID, ro.Kind, ro.Name, ro.State, healer.ShortDuration(p.At.Since(ro.Since)))
		if ro.State == healer.RolloutCanary {
			fmt.Fprintf(w, ", canary %s", ro.Canary)
		}
		var parts []string
		for _, phase := range healer.Phases {
			if n := ro.Phases[string(phase)]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, phaseText(phase)))
			}
		}
		if left := Left(ro); left != "" {
			parts = append(parts, left)
		}
		if ro.Priority > 0 {
			parts = append(parts, fmt.Sprintf("priority %d", ro.Priority))
		}
		if ro.Fast {
			parts = append(parts, "fast")
		}
		fmt.Fprintf(w, "; %d dragons: %s\n", ro.Members, strings.Join(parts, ", "))
		if ro.Waits != nil {
			fmt.Fprintf(w, "  the next one waits for %s\n", Wait(ro.Waits))
		}
		for _, x := range ro.Pending {
			fmt.Fprintf(w, "  %s still has the failed configuration; its rollback waits for %s\n", x.Worker, x.Waits)
		}
	}
	firmware(w, p)
	if l.All {
		return drift(w, p)
	}
	groups(w, p)
	return nil
}

// Left says how long a rollout takes until none of its dragons waits; empty: none waits.
func Left(ro *healer.RolloutShown) string {
	switch {
	case ro.Left > 0:
		return fmt.Sprintf("about %s left", healer.ShortDuration(time.Duration(ro.Left)))
	case ro.Phases[string(healer.PhaseWaiting)]+ro.Phases[string(healer.PhaseDrifted)] > 0:
		return "time left unknown"
	}
	return ""
}

// Wait says what a rollout waits for, and what ends the wait.
func Wait(w *healer.Waiting) string {
	text := strings.ReplaceAll(string(w.Gate), "_", " ")
	if w.Detail != "" {
		text += " (" + w.Detail + ")"
	}
	return text + "; ends: " + w.EndedBy()
}

func phaseText(p healer.Phase) string {
	return strings.ReplaceAll(string(p), "_", " ")
}

// drifted reports whether a dragon is not in sync with its desired state.
func drifted(d *healer.Decision) bool {
	x := d.Desired
	return x != nil && (len(x.Drift) > 0 || x.Phase != healer.PhaseNone && x.Phase != healer.PhaseInSync && x.Phase != healer.PhaseUnknown)
}

// drift writes every dragon that has drifted.
func drift(w io.Writer, p *healer.Plan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	empty := true
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if !drifted(d) {
			continue
		}
		if empty {
			fmt.Fprintln(t, "ROLLOUT\tMAC\tWORKER\tIS\tWANT\tHAVE\tWHEN\tBLOCKED BY")
			empty = false
		}
		at, blocked := "-", trouble(d.Desired)
		if c := p.ChangeOf(d.MAC); c != nil {
			at, blocked = when(c), c.ClosedGates()
		}
		want, have := differences(d.Desired)
		fmt.Fprintln(t, strings.Join([]string{dash(d.Desired.Rollout), d.MAC, d.Worker, dash(d.Desired.Is()), dash(want), dash(have), at, dash(blocked)}, "\t"))
	}
	return t.Flush()
}

// groups writes how many dragons have drifted, by what they are and wait for.
func groups(w io.Writer, p *healer.Plan) {
	type group struct{ rollout, model, is, note string }
	counts := make(map[group]int)
	var order []group
	for i := range p.Dragons {
		d := &p.Dragons[i]
		if !drifted(d) {
			continue
		}
		g := group{d.Desired.Rollout, d.Model, strings.ReplaceAll(d.Desired.Is(), "_", " "), trouble(d.Desired)}
		if c := p.ChangeOf(d.MAC); c != nil {
			g.note = "now"
			if c.Blocked != "" {
				g.note = "blocked by " + string(c.Blocked)
			}
		}
		if left := timeLeft(p, d.Desired); left > 0 {
			g.is += ", about " + healer.ShortDuration(left)
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
		if r := []rune(line); len(r) > maxNote {
			line = string(r[:maxNote-1]) + "…"
		}
		fmt.Fprintln(w, line)
	}
}

// timeLeft is the estimate for a dragon that waits for its rollout; 0 for others.
func timeLeft(p *healer.Plan, x *healer.SyncStatus) time.Duration {
	if x.Phase != healer.PhaseWaiting && x.Phase != healer.PhaseDrifted {
		return 0
	}
	for i := range p.Rollouts {
		if p.Rollouts[i].ID == x.Rollout {
			return time.Duration(p.Rollouts[i].Left)
		}
	}
	return 0
}

// trouble says why a dragon is not brought in sync.
func trouble(x *healer.SyncStatus) string {
	var words []string
	for _, d := range x.Drift {
		if d.Item == healer.ItemFirmware && x.Firmware == healer.FirmwareIs(healer.PhaseDrifted) {
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
func differences(x *healer.SyncStatus) (want, have string) {
	var wants, haves []string
	for _, d := range x.Drift {
		wants, haves = append(wants, d.Want), append(haves, d.Have)
	}
	return strings.Join(wants, "; "), strings.Join(haves, "; ")
}

func dash(s string) string { return cmp.Or(s, "-") }

// Evidence is the evidence for the decision's reason in a few words; empty where there
// is not a reason.
func Evidence(d *healer.Decision) string {
	e := &d.Evidence
	if d.Reason == "" {
		return ""
	}
	parts := []string{d.Finding()}
	if e.Of > 0 {
		parts = append(parts, fmt.Sprintf("%d/%d", e.Bad, e.Of))
	}
	if e.Tuning && d.Reason != healer.TuningStuck {
		parts = append(parts, "tuning "+healer.ShortDuration(time.Duration(e.TuningFor)))
	}
	if e.Hottest >= 90 && d.Reason != healer.Hot && d.Reason != healer.Overheat {
		parts = append(parts, fmt.Sprintf("%.0fC", e.Hottest))
	}
	if e.FanDuty >= 0.95 {
		parts = append(parts, fmt.Sprintf("fan %.0f%%", 100*e.FanDuty))
	}
	if up := max(e.Uptime, e.Elapsed); up >= 0 {
		parts = append(parts, "up "+healer.ShortDuration(time.Duration(up*float64(time.Second))))
	}
	if parts[0] == "" {
		parts = parts[1:]
	}
	return strings.Join(parts, ", ")
}

func action(d *healer.Decision) string {
	switch {
	case d.Kind == "":
		return "none"
	case d.Rungs > 0:
		return fmt.Sprintf("%s (%d/%d)", d.Kind, d.Rung, d.Rungs)
	}
	return string(d.Kind)
}

func when(d *healer.Decision) string {
	switch {
	case d.Verb != healer.Blocked && d.Verb != healer.Wait:
		return "now"
	case !d.In.Known:
		return "-"
	}
	m := int(time.Duration(d.In.For).Round(time.Minute).Minutes())
	return fmt.Sprintf("+%02d:%02d", m/60, m%60)
}

// Dragon writes everything that is known about one dragon.
func Dragon(w io.Writer, p *healer.Plan, d *healer.Decision) {
	decision(w, p, d)
	if d.Desired != nil {
		desired(w, d.Desired, p.ChangeOf(d.MAC))
	}
	firmwareOf(w, p, d.MAC)
}

// firmwareOf says where a dragon stands in rollouts of firmware, and whether it is next.
func firmwareOf(w io.Writer, p *healer.Plan, mac string) {
	for i := range p.Firmware {
		x := &p.Firmware[i]
		for _, u := range x.Dragons {
			if u.MAC != mac {
				continue
			}
			fmt.Fprintf(w, "firmware  %s to %s, wave %d: %s for %s", x.ID, x.Release.Version, u.Wave+1, u.Phase, healer.ShortDuration(p.At.Since(u.Since)))
			if u.Why != "" {
				fmt.Fprintf(w, ": %s", u.Why)
			}
			fmt.Fprintln(w)
		}
	}
	for i := range p.Upgrades {
		if d := &p.Upgrades[i]; d.MAC == mac {
			fmt.Fprintf(w, "firmware  %s, %s\n", d.Note, when(d))
			gates(w, d)
		}
	}
}

func decision(w io.Writer, p *healer.Plan, d *healer.Decision) {
	fmt.Fprintf(w, "%s %s at %s, %s, firmware %s, site %s\n", d.Worker, d.MAC, d.Address, dash(d.Model), dash(d.Firmware), d.Domain)
	if d.Place != "" {
		fmt.Fprintf(w, "place     %s\n", d.Place)
	}
	fmt.Fprintf(w, "state     %s for %s", State(d.State), healer.ShortDuration(p.At.Since(d.Since)))
	if d.Note != "" {
		fmt.Fprintf(w, " (%s)", d.Note)
	}
	fmt.Fprintln(w)
	e := &d.Evidence
	if d.Reason != "" {
		fmt.Fprintf(w, "reason    %s: %s\n", d.Reason, Evidence(d))
	}
	if e.Of > 0 {
		fmt.Fprintf(w, "evidence  %d of the last %d samples bad, for %s\n", e.Bad, e.Of, healer.ShortDuration(time.Duration(e.For)))
	}
	fmt.Fprintf(w, "hashrate  %s of %s\n", healer.Hashrate(e.Rate), healer.Hashrate(e.Baseline))
	fmt.Fprintf(w, "boards    %d alive, %d reported, %d expected\n", e.Alive, e.Boards, e.Expected)
	switch {
	case d.Kind != "":
		fmt.Fprintf(w, "action    %s, %s\n", action(d), dash(when(d)))
	case len(d.Gates) > 0:
		fmt.Fprintln(w, "action    none; a restart now would meet these gates:")
	}
	if b := d.Benefit; b != nil && b.Known {
		fmt.Fprintf(w, "benefit   p %.2f: gain %s over a day, cost %s\n", b.Chance, healer.Hashes(b.Gain), healer.Hashes(b.Cost))
	}
	gates(w, d)
}

// desired writes the desired state, and what keeps the dragon from it.
func desired(w io.Writer, x *healer.SyncStatus, change *healer.Decision) {
	name := x.Name
	if x.Rollout != "" {
		name += " (rollout " + x.Rollout + ")"
	}
	fmt.Fprintf(w, "desired   %s: %s\n", name, strings.ReplaceAll(x.Is(), "_", " "))
	for _, d := range x.Drift {
		fmt.Fprintf(w, "  %-8s want %s\n           have %s\n", d.Item, d.Want, d.Have)
	}
	if why := trouble(x); why != "" {
		fmt.Fprintf(w, "  why      %s\n", why)
	}
	if change != nil {
		fmt.Fprintf(w, "action    %s, %s\n", change.Kind, when(change))
		gates(w, change)
	}
}

func gates(w io.Writer, d *healer.Decision) {
	for _, g := range d.Gates {
		state := "open"
		if !g.Open {
			state = "CLOSED"
			if g.Wait.Known {
				state += " for " + healer.ShortDuration(time.Duration(g.Wait.For))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("gate      %-18s %-15s %s", g.Name, state, g.Detail), " "))
	}
}

// firmware writes how far the rollouts of firmware are, and who is next.
func firmware(w io.Writer, p *healer.Plan) {
	for i := range p.Firmware {
		x := &p.Firmware[i]
		if x.State == healer.RolloutDone || x.State == healer.RolloutAborted && p.At.Since(x.Since) >= 7*day {
			continue
		}
		fmt.Fprintln(w, Firmware(x, p.At))
	}
	for i := range p.Upgrades {
		d := &p.Upgrades[i]
		fmt.Fprintf(w, "  %s %s: %s, %s", d.Worker, d.Kind, d.Note, when(d))
		if d.Blocked != "" {
			fmt.Fprintf(w, ", blocked by %s", d.WhatBlocks())
		}
		fmt.Fprintln(w)
	}
}

// Firmware says how far a rollout of firmware is.
func Firmware(x *healer.FirmwareShown, now healer.Moment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "firmware %s to %s: %s", x.ID, x.Release.Version, x.State)
	if age := now.Since(x.Since); age > 0 {
		fmt.Fprintf(&b, " for %s", healer.ShortDuration(age))
	}
	if x.Why != "" {
		fmt.Fprintf(&b, " (%s)", x.Why)
	}
	fmt.Fprintf(&b, "; wave %d of %d, %d dragons", x.Wave+1, x.Waves, x.Members)
	if x.Members > 0 {
		b.WriteByte(':')
	}
	for _, phase := range append([]healer.UpgradePhase{healer.PhaseWaiting}, healer.UpgradePhases...) {
		if n := x.Phases[string(phase)]; n > 0 {
			fmt.Fprintf(&b, " %d %s", n, phase)
		}
	}
	if x.Left > 0 {
		fmt.Fprintf(&b, "; at least %s left", healer.ShortDuration(time.Duration(x.Left)))
	}
	if x.Waits != nil {
		fmt.Fprintf(&b, "; waits for %s", Wait(x.Waits))
	}
	return b.String()
}

// Comparison writes what another policy would change.
func Comparison(w io.Writer, x *healer.Comparison) error {
	fmt.Fprintf(w, "policy %s in place of %s, by what is seen now of %d dragons:\n", x.Other, x.InForce, x.Judged)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range x.Newly {
		fmt.Fprintf(t, "+\t%s\t%s\t%s\n", f.Worker, f.Reason, f.Evidence)
	}
	for _, f := range x.Over {
		fmt.Fprintf(t, "-\t%s\t%s\t%s\n", f.Worker, f.Reason, f.Evidence)
	}
	for i := range x.Changes {
		c := &x.Changes[i]
		fmt.Fprintf(t, "~\t%s\t%s\t-> %s\n", c.Before.Worker, c.Before.Brief(), c.After.Brief())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "it would be taken over"
	if x.Refused != "" {
		verdict = "REFUSED: " + x.Refused
	}
	if x.Desired > 0 {
		fmt.Fprintf(w, "%d dragons would have another desired state (pools, autotune mode, firmware), which a rollout brings\n", x.Desired)
	}
	_, err := fmt.Fprintf(w, "%d would become sick (+, at most %d), %d would be well (-), %d decisions would change (~): %s\n",
		len(x.Newly), x.Limit, len(x.Over), len(x.Changes), verdict)
	return err
}
