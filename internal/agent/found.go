package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

const (
	discoveryActor = "discovery"
	namedFound     = 10 // new dragons with a record each; more have one together
)

// found are the audit records of the dragons that the newest plan has met first.
func (h *Healer) found() []healer.Audit {
	var all []healer.Audit
	for mac, r := range h.mem.Dragons {
		if r.FirstSeen != h.plan.At {
			continue
		}
		all = append(all, h.record(h.plan.Wall, healer.Sighted, mac, discoveryActor, ""))
	}
	slices.SortFunc(all, func(a, b healer.Audit) int { return strings.Compare(a.Worker+a.MAC, b.Worker+b.MAC) })
	if len(all) <= namedFound {
		return all
	}
	var names []string
	for i := range namedFound {
		names = append(names, all[i].Worker)
	}
	note := fmt.Sprintf("%d new dragons: %s …", len(all), strings.Join(names, " "))
	return []healer.Audit{h.record(h.plan.Wall, healer.Sighted, "", discoveryActor, note)}
}

// Locked records that a dragon at an address refuses the credentials.
func (h *Healer) Locked(ctx context.Context, address, brand, reason string) error {
	return h.onLoop(ctx, "recording a locked dragon", func(context.Context) error {
		a := h.record(h.clock.Now().Wall, healer.LockedOut, "", discoveryActor, strings.TrimSpace(brand+" refuses our credentials: "+reason))
		a.IP = address
		h.appendAudit(a)
		return nil
	})
}
