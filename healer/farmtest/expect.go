package farmtest

import (
	"slices"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// expectation reads how dragons have to stand at a time, as a script's own invariant:
// expect d3 well. Several words are alternatives: expect d3-d5 well quarantined.
func (p *command) expectation() func(*World) {
	who := p.dragons()
	words := []string{p.oneOf(expected...)}
	for p.err == nil && len(p.words) > 0 {
		words = append(words, p.oneOf(expected...))
	}
	return each(who, func(w *World, d *Dragon) {
		if !slices.ContainsFunc(words, d.stands) {
			w.healer.Watch.fail("expected d%d (%s) to be %v, it is %s", d.N, worker(d.MAC), words, d.standing())
		}
	})
}

var expected = []string{"well", "sick", "quarantined", "lost", "conflict", "untouched", "treated", "restored", "upgraded"}

// stands reports whether a word of an expectation is true of the dragon.
func (d *Dragon) stands(word string) bool {
	switch word {
	case "well":
		return !d.gone && d.phase == running && !d.unwell()
	case "sick":
		return d.unwell()
	case "untouched":
		return !d.written()
	case "treated":
		return d.written()
	case "upgraded":
		return d.firmware != firmware(d.N)
	case "restored": // it has no pool that does not exist
		return !slices.ContainsFunc(d.conf, func(l lead) bool { return l.pool < 0 })
	}
	x := d.decision()
	return x != nil && x.State == healer.State(word)
}

// written reports whether the healer has written to the dragon.
func (d *Dragon) written() bool {
	return slices.ContainsFunc(d.world.Writes, func(x Write) bool { return x.N == d.N && x.ID != "" })
}

// decision is what the healer decided about the dragon last; nil: nothing is known.
func (d *Dragon) decision() *healer.Decision {
	if d.world.healer.Plan == nil {
		return nil
	}
	plan := d.world.healer.Plan.Dragons
	i := slices.IndexFunc(plan, func(x healer.Decision) bool { return x.MAC == d.Shown })
	if i < 0 {
		return nil
	}
	return &plan[i]
}

// standing says how the dragon is, and what the healer says of it.
func (d *Dragon) standing() string {
	text := "well"
	switch {
	case d.gone:
		text = "gone"
	case d.unwell():
		text = d.wrong()[0].kind
	}
	if d.written() {
		text += ", treated"
	}
	if x := d.decision(); x != nil {
		text += ", and called " + string(x.State)
	}
	return text
}
