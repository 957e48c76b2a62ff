package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

// A dragon that is down because it was written to is not a warning; one that does not come back is.
func TestWhatWeDoOurselvesIsNoWarning(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		before func(*Dragon)
		down   string // the line when it goes down
		late   int    // lines that it did not come back
	}{
		"nothing explains it": {down: "level warn msg dragon is down"},
		"the healer restarts it": {
			before: func(d *Dragon) { d.Expect(SystemRestart, time.Now(), time.Now().Add(15*time.Minute)) },
			down:   "level info msg dragon is down", late: 1,
		},
		"the write was not carried out": {
			before: func(d *Dragon) {
				d.Expect(SystemRestart, time.Now(), time.Now().Add(15*time.Minute))
				d.Unexpect(SystemRestart)
			},
			down: "level warn msg dragon is down",
		},
		"the announcement is over": {
			before: func(d *Dragon) {
				d.Expect(SystemRestart, time.Now(), time.Now().Add(time.Minute))
				time.Sleep(2 * time.Minute)
			},
			down: "level warn msg dragon is down",
		},
		"a person works on it": {
			config: Config{Maintained: func(mac string) bool { return mac != "" }},
			down:   "level info msg dragon is down",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inHall(t, c.config, func(h *hall) {
				d, sim := h.dragon("10.1.0.8", dragontest.Spec{Seed: 1})
				h.read(d)
				if c.before != nil {
					c.before(d)
				}
				sim.Inject(dragontest.Unplugged)
				_, _ = d.Read(h.Context(), 0)
				synctest.Wait()
				if h.log.said(c.down) != 1 || h.log.said("dragon is down") != 1 {
					h.Errorf("not once %q", c.down)
				}
				time.Sleep(time.Hour)
				if n := h.log.said("level warn msg dragon did not come back"); n != c.late {
					h.Errorf("%d times it did not come back, want %d", n, c.late)
				}
			})
		})
	}
}
