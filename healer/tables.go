package healer

import "strings"

// DetectorDoc is what the documentation says of a reason.
type DetectorDoc struct {
	Reason Reason
	Doc    string // what is wrong
	Reach  string // how far the ladder goes
	Alert  string
}

// DetectorDocs returns what the documentation says of every reason, the most severe first.
func DetectorDocs() []DetectorDoc {
	docs := make([]DetectorDoc, len(detectors))
	for i := range detectors {
		d := &detectors[i]
		docs[i] = DetectorDoc{d.reason, d.doc, d.reach(), d.alert}
	}
	return docs
}

func (d *detector) reach() string {
	switch {
	case d.maxRung == 0:
		return "nothing: it is shown"
	case d.gap != nil:
		p := DefaultPolicy()
		return "a restart, once in " + ShortDuration(d.gap(&p.Default.Device))
	case d.maxRung < wholeLadder:
		return "one reboot, then quarantine"
	}
	return "quarantine"
}

// GateDoc is what the documentation says of a gate.
type GateDoc struct {
	Gate     Gate
	Closed   string // when it is closed
	Holds    string // which writes
	OpenedBy string // a human or an event, where no time is said
	Alert    string // empty: it has none of its own
}

// writeNames are the kinds of writes in the order of their bits.
var writeNames = []string{"the ladder", "requests", "configuration", "rollbacks", "firmware", "a boot of the canary"}

func (w writes) String() string {
	if w == allWrites {
		return "everything"
	}
	return bitNames(w, writeNames)
}

// bitNames lists the names of the bits that are set.
func bitNames[S ~uint8](set S, names []string) string {
	var listed []string
	for i, name := range names {
		if set&(1<<i) != 0 {
			listed = append(listed, name)
		}
	}
	return strings.Join(listed, ", ")
}

// GateDocs returns what the documentation says of every gate, in the order in which they are asked.
func GateDocs() []GateDoc {
	docs := make([]GateDoc, len(gates))
	for i := range gates {
		g := &gates[i]
		x := GateDoc{Gate: g.name, Closed: g.closed, Holds: (g.holds &^ g.passes).String(), Alert: g.alert}
		if g.unforceable {
			x.Holds += ", also by force"
		}
		for _, by := range []string{g.human, g.event} {
			if before, command, ok := strings.Cut(by, "mother-of-dragons "); ok {
				by = before + "`" + command + "`"
			}
			if by != "" && x.OpenedBy != "" {
				x.OpenedBy += "; "
			}
			x.OpenedBy += by
		}
		docs[i] = x
	}
	return docs
}
