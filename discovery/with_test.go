package discovery

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/brndnmtthws/mother-of-dragons/dragon/dragontest"
)

func TestAnotherConfigurationIsFollowed(t *testing.T) {
	registry := prometheus.NewRegistry()
	f := newFarm(t, dragontest.FleetConfig{Count: 3, Strangers: []dragontest.StrangerKind{dragontest.Antminer}}, Config{Registerer: registry})
	at := func(i int) Network { return one(f.simulated.Host(i)) }
	f.simulated.Dragon(1).Inject(dragontest.WrongPassword)
	before := f.With(Config{
		Networks: []Network{at(0), at(1), one(f.simulated.Host(2).Next())}, Targets: targets("kept.example", "gone.example"),
		Fleet: f.fleet, Client: f.cfg.Client, Dial: f.dial,
	})
	if r, err := before.Scan(t.Context()); err != nil || len(r.Found) != 1 || r.Locked != 1 || r.Strangers != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	f.simulated.Dragon(1).Clear(dragontest.WrongPassword)
	f.metrics.targetUp.WithLabelValues("kept.example").Set(1)
	if r, err := before.Scan(t.Context()); err != nil || r.Locked != 1 {
		t.Errorf("who is locked is asked again without a reason: %+v, %v", r, err)
	}
	asked := f.simulated.Strangers()[0].Traffic().Requests

	after := before.With(Config{
		Networks: []Network{at(1), at(2), one(f.simulated.Host(2).Next())}, Targets: targets("kept.example", "new.example"),
		Fleet: f.fleet, Client: f.cfg.Client, Dial: f.dial,
	})
	if r, err := after.Scan(t.Context()); err != nil || len(r.Found) != 2 {
		t.Errorf("%+v, %v: want the one that was locked, and a new one", r, err)
	}
	if n := f.simulated.Strangers()[0].Traffic().Requests; n != asked {
		t.Error("that one is a stranger was forgotten")
	}
	if _, ok := before.allowed(t.Context(), f.simulated.Host(2).String()); ok {
		t.Error("the one before looks where only the new one does")
	}
	if _, ok := after.allowed(t.Context(), f.simulated.Host(0).String()); ok {
		t.Error("the new one looks where only the one before did")
	}
	if n := testutil.CollectAndCount(f.metrics.targetUp); n != 2 || testutil.ToFloat64(f.metrics.targetUp.WithLabelValues("kept.example")) != 1 || testutil.ToFloat64(f.metrics.targetUp.WithLabelValues("new.example")) != 0 {
		t.Errorf("%d static targets are shown", n)
	}
}
