package fleet

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

var powerFigure = regexp.MustCompile(`("power": *)[^,}]+`)

// powerless answers as a dragon does, and while without is set gives 0 as its power.
func powerless(sim http.Handler, without *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != askAll || !without.Load() {
			sim.ServeHTTP(w, r)
			return
		}
		said := httptest.NewRecorder()
		sim.ServeHTTP(said, r)
		_, _ = w.Write(powerFigure.ReplaceAll(said.Body.Bytes(), []byte("${1}0")))
	})
}

func TestAFactThatWasThereIsForgottenAndAskedForAgain(t *testing.T) {
	inHall(t, every(Power), func(h *hall) {
		const a = "10.1.0.8"
		d, sim := h.dragon(a, dragontest.Spec{Model: "t3+"})
		var without atomic.Bool
		h.lan.put(a, powerless(sim, &without))
		h.read(d)
		time.Sleep(10 * time.Minute)
		if d.Facts().Power.At.IsZero() {
			t.Fatal("the power was not read")
		}
		without.Store(true)
		time.Sleep(7 * time.Minute)
		if p := d.Facts().Power; !p.At.IsZero() {
			t.Errorf("the dragon gave no figure, and %v is shown", p)
		}
		without.Store(false)
		time.Sleep(25 * time.Minute)
		if d.Facts().Power.At.IsZero() {
			t.Error("it is not asked for again")
		}
	})
}
