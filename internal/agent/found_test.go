package agent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// A few new dragons have a record each, many have one together, and known ones have none.
func TestNewDragonsAreInTheAudit(t *testing.T) {
	for _, n := range []int{0, 2, namedFound, namedFound + 1} {
		h := &Healer{mem: healer.NewMemory(), plan: &healer.Plan{At: 7}}
		h.mem.Dragons["known"] = &healer.Record{FirstSeen: 3}
		for i := range n {
			mac := fmt.Sprintf("a0:b0:45:00:00:%02x", i)
			h.mem.Dragons[mac] = &healer.Record{FirstSeen: 7, Who: healer.Who{MAC: mac, Worker: fmt.Sprintf("dragon-%08x", i), Address: "192.0.2.7"}}
		}
		all := h.found()
		switch {
		case n <= namedFound && len(all) != n, n > namedFound && len(all) != 1:
			t.Errorf("%d records of %d dragons", len(all), n)
		case n > namedFound && !strings.HasPrefix(all[0].Note, fmt.Sprintf("%d new dragons: dragon-00000000 ", n)):
			t.Errorf("%q", all[0].Note)
		}
		for i := range all {
			if all[i].Decision != healer.Sighted || n <= namedFound && all[i].Worker != fmt.Sprintf("dragon-%08x", i) {
				t.Errorf("%+v", all[i])
			}
		}
	}
}
