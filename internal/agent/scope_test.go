package agent

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestAScopeThatNoDragonHasIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, 4)
		w.start()
		w.settle()
		facts := w.healer.view.Dragons[0]
		if facts.Name != "Bertha" || facts.Place != "Bertha, rack a12" || w.healer.view.Dragons[1].Place != "" {
			t.Errorf("named %+v and %+v", facts.Named, w.healer.view.Dragons[1].Named)
		}
		pool := facts.Pools[0].URL
		pause := func(scope, value string, force bool) (healer.Pause, error) {
			return w.healer.Pause(w.ctx, healer.PauseRequest{Scope: scope, Value: value, Owner: "eva", Reason: "test", Force: force})
		}
		for _, x := range []struct{ scope, value, want string }{
			{"site", facts.Domain, "domain"}, {"domain", facts.Domain, "domain"}, {"model", facts.Model, "model"}, {"firmware", facts.Firmware, "firmware"}, {"label", "rack=a12", "label"},
			{"pool", pool, "pool"}, {"worker", facts.Worker, "mac"}, {"mac", facts.Address, "mac"},
		} {
			p, err := pause(x.scope, x.value, false)
			if err != nil || p.Scope != x.want {
				t.Errorf("%s=%s: %+v, %v", x.scope, x.value, p, err)
			}
		}
		for _, x := range []struct{ scope, value, meant string }{
			{"site", facts.Domain + "x", facts.Domain}, {"label", "rack=a11", "rack=a12"}, {"model", facts.Model + "1", facts.Model}, {"firmware", facts.Firmware + "3", facts.Firmware},
			{"pool", pool[:len(pool)-1], pool}, {"worker", facts.Worker + "0", facts.Worker}, {"model", "a-name-like-no-other", ""},
		} {
			_, err := pause(x.scope, x.value, false)
			if err == nil || !errors.Is(err, ErrUnknownScope) && !errors.Is(err, ErrUnknownDragon) || !strings.Contains(err.Error(), x.meant) ||
				(x.meant != "") != strings.Contains(err.Error(), "did you mean") {
				t.Errorf("%s=%s: %v", x.scope, x.value, err)
			}
			if _, err := pause(x.scope, x.value, true); (err == nil) != (x.scope != "worker") {
				t.Errorf("%s=%s by force: %v", x.scope, x.value, err)
			}
		}
		if m := w.metric("mother_pauses", "scope", "firmware"); m != 2 {
			t.Errorf("%v pauses by firmware", m)
		}
	})
}
