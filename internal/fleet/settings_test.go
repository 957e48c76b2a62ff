package fleet

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestOtherSitesAndTimesAreFollowed(t *testing.T) {
	var north atomic.Bool
	north.Store(true)
	site := func(string) string {
		if north.Load() {
			return "north"
		}
		return "south"
	}
	inHall(t, Config{Site: site, Retention: 100 * time.Hour}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		was := d.Info()
		h.Change(Settings{Retention: 100 * time.Hour})
		if d.Info() != was {
			t.Error("nothing changed, and what is known of the dragon is another value")
		}
		north.Store(false)
		h.Change(Settings{Retention: time.Hour, Timeout: 3 * time.Second})
		if d.Info().Site != "south" || was.Site != "north" {
			t.Errorf("site %s, before %s", d.Info().Site, was.Site)
		}
		if h.timeout() != 3*time.Second {
			t.Errorf("a reading may take %v", h.timeout())
		}
		h.lan.put("10.1.0.8", nil)
		if _, err := d.Read(h.Context(), 0); err == nil {
			t.Fatal("it was read")
		}
		time.Sleep(2 * time.Hour)
		if len(h.Dragons()) != 0 {
			t.Error("it is not forgotten by the new retention")
		}
	})
}

func TestLabelsAreFollowed(t *testing.T) {
	var rack atomic.Pointer[string]
	rack.Store(new("a12"))
	labels := func(mac string) *Labels {
		if mac != macA {
			return nil
		}
		return &Labels{Pairs: []Label{{"rack", *rack.Load()}}}
	}
	inHall(t, Config{Labels: labels}, func(h *hall) {
		d, _ := h.dragon("10.1.0.8", dragontest.Spec{MAC: macA})
		other, _ := h.dragon("10.1.0.9", dragontest.Spec{MAC: macB})
		was := d.Info()
		if was.Labels.Map()["rack"] != "a12" || other.Info().Labels != nil {
			t.Errorf("%q and %q", was.Labels, other.Info().Labels)
		}
		h.Change(Settings{})
		if d.Info() != was {
			t.Error("equal labels made another value")
		}
		rack.Store(new("b1"))
		h.Change(Settings{})
		if d.Info().Labels.Map()["rack"] != "b1" || was.Labels.Map()["rack"] != "a12" {
			t.Errorf("%q, before %q", d.Info().Labels, was.Labels)
		}
	})
}

func TestOtherCredentialsAreTriedOnThoseThatRefused(t *testing.T) {
	var known atomic.Pointer[[]dragon.Credential]
	known.Store(&[]dragon.Credential{{Username: "admin", Password: "old"}})
	options := dragon.Options{CredentialsFor: func(string) []dragon.Credential { return *known.Load() }}
	inHall(t, Config{Client: options}, func(h *hall) {
		h.lan.put("10.1.0.8", dragontest.New(dragontest.Spec{MAC: macA}))
		id, err := dragon.New("10.1.0.8", dragon.Options{Transport: h.lan}).Identify(h.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.Sighted(h.Context(), Sighting{Address: "10.1.0.8", Identity: id})
		d := h.Lookup("10.1.0.8")
		_, _ = d.Read(h.Context(), 0)
		time.Sleep(10 * time.Minute)
		if health := d.Health(); health.Up || health.Reason != "auth" {
			t.Fatalf("%+v, want it to refuse", health)
		}
		h.Sighted(h.Context(), Sighting{Address: "10.1.0.9", Identity: &dragon.Identity{Overview: &dragon.Overview{MAC: macB}}})
		absent := h.Lookup("10.1.0.9")
		_, _ = absent.Read(h.Context(), 0)
		due := absent.health.retryAt
		known.Store(&[]dragon.Credential{{Username: "admin", Password: "dragonadmin"}})
		h.RetryRefused()
		if !absent.health.retryAt.Equal(due) {
			t.Error("one that is not there is asked earlier than it was to be")
		}
		time.Sleep(time.Second)
		if !d.Health().Up {
			t.Errorf("%+v, want it up at once", d.Health())
		}
	})
}
